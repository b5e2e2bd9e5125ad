//! What the operating system says of a failure, in both languages. The C library
//! would say it in Spanish only where that locale was generated, and Rust's library
//! never does.

use std::io;

use nix::errno::Errno;

use super::{Language, Said, technical};

/// The failure in words.
pub fn system(error: &io::Error) -> Said {
    Said::of_both(|language| match language {
        Language::English => error.to_string(),
        Language::Spanish => in_spanish(error),
    })
}

fn in_spanish(error: &io::Error) -> String {
    let text = error.to_string();
    let of_kind = by_kind(error.kind()).map(str::to_owned);
    let known = match error.get_ref() {
        // Whoever put an error into words of their own said more than its kind does.
        Some(_) => Some(technical::in_spanish(&text)).filter(|spanish| *spanish != text),
        None => recognized(&text),
    };
    known.or(of_kind).unwrap_or(text)
}

/// The same of an error that has been put into words already, alone or with its number;
/// `None` if the words are no error's of the system.
pub(super) fn recognized(words: &str) -> Option<String> {
    let said_of = |code: i32| io::Error::from_raw_os_error(code).to_string();
    if let Some((_, number)) = words.split_once(" (os error ") {
        let code: i32 = number.strip_suffix(')')?.parse().ok()?;
        let spanish = by_number(Errno::from_raw(code)).filter(|_| said_of(code) == words)?;
        return Some(format!("{spanish} (error {code})"));
    }
    let number = BY_NUMBER.iter().find(|(code, _)| {
        said_of(*code as i32).split_once(" (os error ").is_some_and(|(said, _)| said == words)
    });
    let kind = || BY_KIND.iter().find(|(kind, _)| io::Error::from(*kind).to_string() == words);
    match words {
        "Connection timed out" | "deadline has elapsed" => by_number(Errno::ETIMEDOUT),
        _ => number.map(|(_, said)| *said).or_else(|| kind().map(|(_, said)| *said)),
    }
    .map(str::to_owned)
}

/// In Spanish, what an error of a kind is that has no number; the kind as [`io::ErrorKind`]
/// names it.
pub fn system_by_kind(name: &str) -> Option<&'static str> {
    BY_KIND.iter().find(|(kind, _)| format!("{kind:?}") == name).map(|(_, words)| *words)
}

fn by_number(code: Errno) -> Option<&'static str> {
    BY_NUMBER.iter().find(|(known, _)| *known == code).map(|(_, words)| *words)
}

fn by_kind(kind: io::ErrorKind) -> Option<&'static str> {
    BY_KIND.iter().find(|(known, _)| *known == kind).map(|(_, words)| *words)
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

    fn by_kind_of(kind: io::ErrorKind) -> Option<String> {
        by_kind(kind).map(str::to_owned)
    }

    #[test]
    fn the_systems_words_are_said_in_both_languages() {
        let error = io::Error::from_raw_os_error(2);
        assert_eq!(system(&error).of(Language::English), "No such file or directory (os error 2)");
        assert_eq!(
            system(&error).of(Language::Spanish),
            "no existe el fichero o el directorio (error 2)"
        );
        let said = recognized("Connection refused (os error 111)");
        assert_eq!(said.as_deref(), Some("conexión rechazada (error 111)"));
        assert_eq!(recognized("Is a directory").as_deref(), Some("es un directorio"));
        assert_eq!(recognized("unexpected end of file"), by_kind_of(io::ErrorKind::UnexpectedEof));
        assert_eq!(recognized("connected"), None);
        let ours = io::Error::other("a sentence of ours");
        assert_eq!(system(&ours).of(Language::Spanish), "a sentence of ours");
    }
}
