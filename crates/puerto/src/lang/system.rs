//! What the operating system says of a failure, in both languages. The C library
//! would say it in Spanish only where that locale was generated, and Rust's library
//! never does.

use std::io;

use nix::errno::Errno;

use super::{Language, Said};

/// The failure in words.
pub fn system(error: &io::Error) -> Said {
    let words = match error.raw_os_error() {
        Some(code) => by_number(Errno::from_raw(code)),
        None => by_kind(error.kind()),
    };
    let number = error.raw_os_error().map(|code| format!(" (os error {code})"));
    Said::of_both(|language| match (language, words) {
        (Language::Spanish, Some(words)) => {
            words.to_owned() + &number.clone().unwrap_or_default().replace("os error", "error")
        }
        _ => error.to_string(),
    })
}

fn by_number(code: Errno) -> Option<&'static str> {
    Some(match code {
        Errno::EPERM => "operación no permitida",
        Errno::ENOENT => "no existe el fichero o el directorio",
        Errno::EINTR => "llamada interrumpida",
        Errno::EIO => "error de entrada/salida",
        Errno::EBADF => "descriptor de fichero erróneo",
        Errno::EAGAIN => "recurso no disponible por ahora",
        Errno::ENOMEM => "memoria insuficiente",
        Errno::EACCES => "permiso denegado",
        Errno::EBUSY => "recurso ocupado",
        Errno::EEXIST => "el fichero ya existe",
        Errno::EXDEV => "enlace entre sistemas de ficheros distintos",
        Errno::ENOTDIR => "no es un directorio",
        Errno::EISDIR => "es un directorio",
        Errno::EINVAL => "argumento no válido",
        Errno::ENFILE | Errno::EMFILE => "demasiados ficheros abiertos",
        Errno::EFBIG => "fichero demasiado grande",
        Errno::ENOSPC => "no queda espacio en el dispositivo",
        Errno::EROFS => "sistema de ficheros de solo lectura",
        Errno::EPIPE => "tubería rota",
        Errno::ENAMETOOLONG => "nombre de fichero demasiado largo",
        Errno::ENOTEMPTY => "el directorio no está vacío",
        Errno::ELOOP => "demasiados enlaces simbólicos",
        Errno::EADDRINUSE => "la dirección ya está en uso",
        Errno::EADDRNOTAVAIL => "esta máquina no tiene esa dirección",
        Errno::ENETDOWN => "la red está caída",
        Errno::ENETUNREACH => "la red es inalcanzable",
        Errno::EHOSTUNREACH => "no hay ruta hasta la máquina",
        Errno::ECONNABORTED => "conexión abortada",
        Errno::ECONNRESET => "el otro extremo ha cortado la conexión",
        Errno::ECONNREFUSED => "conexión rechazada",
        Errno::ETIMEDOUT => "se ha agotado el tiempo de espera",
        Errno::EDQUOT => "se ha superado la cuota de disco",
        Errno::EAFNOSUPPORT => "esta máquina no admite esa familia de direcciones",
        _ => return None,
    })
}

fn by_kind(kind: io::ErrorKind) -> Option<&'static str> {
    Some(match kind {
        io::ErrorKind::NotFound => "no existe el fichero o el directorio",
        io::ErrorKind::PermissionDenied => "permiso denegado",
        io::ErrorKind::ConnectionRefused => "conexión rechazada",
        io::ErrorKind::ConnectionReset => "el otro extremo ha cortado la conexión",
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => "se ha agotado el tiempo de espera",
        io::ErrorKind::UnexpectedEof => "el final ha llegado antes de tiempo",
        io::ErrorKind::InvalidData => "no es texto en UTF-8 o no tiene la forma debida",
        io::ErrorKind::BrokenPipe => "tubería rota",
        io::ErrorKind::AlreadyExists => "el fichero ya existe",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_words_are_said_in_both_languages() {
        let error = io::Error::from_raw_os_error(2);
        assert_eq!(system(&error).of(Language::English), "No such file or directory (os error 2)");
        assert_eq!(
            system(&error).of(Language::Spanish),
            "no existe el fichero o el directorio (error 2)"
        );
        let ours = io::Error::other("a sentence of ours");
        assert_eq!(system(&ours).of(Language::Spanish), "a sentence of ours");
    }
}
