//! What the operating system says of a failure, in both languages. The C library
//! would say it in Spanish only where that locale was generated, and Rust's library
//! never does.

use std::io;

use nix::errno::Errno;

use super::crates::beside;
use super::{Language, Said, quoted, said_of};

/// The failure in words.
pub fn system(error: &io::Error) -> Said {
    match error.raw_os_error() {
        Some(number) => of_number(number),
        None => of_kind(&format!("{:?}", error.kind()), &error.to_string()),
    }
}

/// The failure of a number, with the number behind it.
pub fn of_number(number: i32) -> Said {
    let bare = bare(number);
    said_of!("{bare} (os error {number})", "{bare} (error {number})"; bare = bare, number = Said::words(number.to_string()))
}

/// The same without the number, as Postfix's log has it.
pub fn bare(number: i32) -> Said {
    let text = io::Error::from_raw_os_error(number).to_string();
    // The library puts the number behind what the system says.
    let english = text.strip_suffix(&format!(" (os error {number})")).unwrap_or(&text);
    let known = BY_NUMBER.iter().find(|(code, _)| *code as i32 == number);
    Said::of_both(|language| match (language, known) {
        (Language::Spanish, Some((_, spanish))) => (*spanish).to_owned(),
        (Language::Spanish, None) => quoted(english).of(language),
        (Language::English, _) => english.to_owned(),
    })
}

/// The failure of a kind, as [`io::ErrorKind`] names it, that somebody has put into words.
pub fn of_kind(kind: &str, words: &str) -> Said {
    let known = BY_KIND.iter().find(|(known, _)| format!("{known:?}") == kind);
    match known {
        Some((_, spanish)) => beside(&words, (*spanish).to_owned()),
        None => quoted(words),
    }
}

const BY_NUMBER: &[(Errno, &str)] = &[
    (Errno::EPERM, "operación no permitida"),
    (Errno::ENOENT, "no existe el fichero o el directorio"),
    (Errno::EINTR, "llamada interrumpida"),
    (Errno::EIO, "error de entrada/salida"),
    (Errno::EBADF, "descriptor de fichero erróneo"),
    (Errno::EAGAIN, "recurso no disponible por ahora"),
    (Errno::ENOMEM, "memoria insuficiente"),
    (Errno::EACCES, "permiso denegado"),
    (Errno::EBUSY, "recurso ocupado"),
    (Errno::EEXIST, "el fichero ya existe"),
    (Errno::EXDEV, "enlace entre sistemas de ficheros distintos"),
    (Errno::ENOTDIR, "no es un directorio"),
    (Errno::EISDIR, "es un directorio"),
    (Errno::EINVAL, "argumento no válido"),
    (Errno::ENFILE, "demasiados ficheros abiertos"),
    (Errno::EMFILE, "demasiados ficheros abiertos"),
    (Errno::EFBIG, "fichero demasiado grande"),
    (Errno::ENOSPC, "no queda espacio en el dispositivo"),
    (Errno::EROFS, "sistema de ficheros de solo lectura"),
    (Errno::EPIPE, "tubería rota"),
    (Errno::ENAMETOOLONG, "nombre de fichero demasiado largo"),
    (Errno::ENOTEMPTY, "el directorio no está vacío"),
    (Errno::ELOOP, "demasiados enlaces simbólicos"),
    (Errno::EADDRINUSE, "la dirección ya está en uso"),
    (Errno::EADDRNOTAVAIL, "esta máquina no tiene esa dirección"),
    (Errno::ENETDOWN, "la red está caída"),
    (Errno::ENETUNREACH, "la red es inalcanzable"),
    (Errno::EHOSTUNREACH, "no hay ruta hasta la máquina"),
    (Errno::ECONNABORTED, "conexión abortada"),
    (Errno::ECONNRESET, "el otro extremo ha cortado la conexión"),
    (Errno::ECONNREFUSED, "conexión rechazada"),
    (Errno::ETIMEDOUT, "se ha agotado el tiempo de espera"),
    (Errno::EDQUOT, "se ha superado la cuota de disco"),
    (Errno::EAFNOSUPPORT, "esta máquina no admite esa familia de direcciones"),
];

const BY_KIND: &[(io::ErrorKind, &str)] = &[
    (io::ErrorKind::NotFound, "no existe el fichero o el directorio"),
    (io::ErrorKind::PermissionDenied, "permiso denegado"),
    (io::ErrorKind::ConnectionRefused, "conexión rechazada"),
    (io::ErrorKind::ConnectionReset, "el otro extremo ha cortado la conexión"),
    (io::ErrorKind::TimedOut, "se ha agotado el tiempo de espera"),
    (io::ErrorKind::WouldBlock, "se ha agotado el tiempo de espera"),
    (io::ErrorKind::UnexpectedEof, "el final ha llegado antes de tiempo"),
    (io::ErrorKind::InvalidData, "no es texto en UTF-8 o no tiene la forma debida"),
    (io::ErrorKind::BrokenPipe, "tubería rota"),
    (io::ErrorKind::AlreadyExists, "el fichero ya existe"),
    (io::ErrorKind::ConnectionAborted, "conexión abortada"),
    (io::ErrorKind::NotConnected, "no hay conexión"),
    (io::ErrorKind::AddrInUse, "la dirección ya está en uso"),
    (io::ErrorKind::AddrNotAvailable, "esta máquina no tiene esa dirección"),
    (io::ErrorKind::HostUnreachable, "no hay ruta hasta la máquina"),
    (io::ErrorKind::NetworkUnreachable, "la red es inalcanzable"),
    (io::ErrorKind::IsADirectory, "es un directorio"),
    (io::ErrorKind::NotADirectory, "no es un directorio"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_words_are_said_in_both_languages() {
        for (error, english, spanish) in [
            (
                io::Error::from_raw_os_error(2),
                "No such file or directory (os error 2)",
                "no existe el fichero o el directorio (error 2)",
            ),
            (
                io::ErrorKind::UnexpectedEof.into(),
                "unexpected end of file",
                "el final ha llegado antes de tiempo",
            ),
            (
                io::Error::from_raw_os_error(75),
                "Value too large for defined data type (os error 75)",
                "«Value too large for defined data type» (error 75)",
            ),
            (io::Error::other("it is a device"), "it is a device", "«it is a device»"),
            (
                io::Error::new(io::ErrorKind::PermissionDenied, "go away"),
                "go away",
                "permiso denegado",
            ),
        ] {
            assert_eq!(system(&error).of(Language::English), english);
            assert_eq!(system(&error).of(Language::Spanish), spanish);
        }
    }
}
