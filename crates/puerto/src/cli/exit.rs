//! Exit codes as in sysexits, which mail programs have agreed on since sendmail.

use std::io;
use std::process::ExitCode;

use puerto_spool::{Hindrance, SpoolError};

use super::output::tell;
use crate::config::ConfigErrors;
use crate::control::ClientError;
use crate::control::protocol::ErrorCode;
use crate::lang::{Language, Said, said, said_of, system};

/// What a command's end means to whoever started it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Sysexit {
    /// Done.
    Ok = 0,
    /// It was done, and something is wrong, as the output says.
    Findings = 1,
    /// The arguments of a command of `puerto`, as everywhere with such commands, or what
    /// they name and cannot be judged.
    Arguments = 2,
    /// The command line is wrong.
    Usage = 64,
    /// The input is wrong.
    DataError = 65,
    /// The input cannot be read.
    NoInput = 66,
    /// A recipient does not exist.
    NoUser = 67,
    /// The server refuses, or does not answer where it should be asked.
    Unavailable = 69,
    /// The system lets us down: no memory, no file descriptors.
    OsError = 71,
    /// A file cannot be made.
    CantCreate = 73,
    /// Reading or writing failed half-way.
    IoError = 74,
    /// Not now; the same may succeed later.
    TryAgain = 75,
    /// The server does not speak the protocol.
    Protocol = 76,
    /// This user may not.
    NoPermission = 77,
    /// The configuration is wrong.
    Config = 78,
}

impl Sysexit {
    /// What a store that cannot do something means: what will pass, what the configuration
    /// must say otherwise, or what another user may.
    pub fn of_store(error: &SpoolError) -> Self {
        use Hindrance as H;
        use nix::libc;
        match error.hindrance() {
            Some(H::Unusable { why, .. } | H::Unreadable { why, .. }) => match why.hindrance() {
                Some(H::System(Some(libc::EACCES | libc::EPERM), _)) => Self::NoPermission,
                Some(H::System(Some(libc::ENOENT | libc::ENOTDIR | libc::EISDIR), _)) => {
                    Self::Config
                }
                _ => Self::of_store(why),
            },
            Some(H::System(Some(libc::EACCES | libc::EPERM), _)) => Self::NoPermission,
            Some(
                H::DatabaseUrl { .. }
                | H::DatabaseDenied { .. }
                | H::SchemaOlder { .. }
                | H::SchemaNewer { .. }
                | H::NameTaken { .. }
                | H::TooManyNodes { .. },
            ) => Self::Config,
            _ => Self::TryAgain,
        }
    }
}

impl From<Sysexit> for ExitCode {
    fn from(code: Sysexit) -> Self {
        Self::from(code as u8)
    }
}

/// Why a command ends without having done what it was asked: what its user reads,
/// and what its caller can act on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// For the caller.
    pub code: Sysexit,
    /// For the user: what, where, and how to mend it. It may have several lines.
    pub message: Said,
}

impl Failure {
    /// Joins the two.
    pub fn new(code: Sysexit, message: impl Into<Said>) -> Self {
        Self { code, message: message.into() }
    }

    /// What its user reads, in a language.
    pub fn of(&self, language: Language) -> String {
        self.message.of(language)
    }

    /// The same of a command of `puerto`, of which a wrong command line ends with 2.
    pub fn of_arguments(self) -> Self {
        match self.code {
            Sysexit::Usage => Self { code: Sysexit::Arguments, ..self },
            _ => self,
        }
    }

    /// The same of a command whose 1 is a judgement: 2 is that there is none, and only a
    /// wrong configuration is told apart.
    pub fn unjudged(self) -> Self {
        match self.code {
            Sysexit::Config => self,
            _ => Self { code: Sysexit::Arguments, ..self },
        }
    }
}

/// Ends a command: with the exit code of what it did, or with why it did not, which its
/// user is told under the command's name.
pub(super) fn end(
    name: &str,
    done: Result<impl Into<ExitCode>, Failure>,
    language: Language,
) -> ExitCode {
    match done {
        Ok(code) => code.into(),
        Err(failure) => {
            tell(&format!("{name}: {}", failure.of(language)));
            failure.code.into()
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let code = match &error {
            ClientError::NotRunning { .. } | ClientError::Lost(_) => Sysexit::TryAgain,
            ClientError::Unreachable { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied => Sysexit::NoPermission,
                _ => Sysexit::TryAgain,
            },
            ClientError::Protocol(_) => Sysexit::Protocol,
            ClientError::Refused { code, .. } => match code {
                ErrorCode::Malformed | ErrorCode::NoEffect => Sysexit::Usage,
                ErrorCode::Version => Sysexit::Protocol,
                ErrorCode::Denied => Sysexit::NoPermission,
                ErrorCode::NotFound => Sysexit::NoInput,
                ErrorCode::Busy => Sysexit::TryAgain,
                ErrorCode::Failed => Sysexit::Unavailable,
            },
        };
        let message = client_error(&error);
        Self::new(code, if code == Sysexit::TryAgain { and_try_again(&message) } else { message })
    }
}

/// Why the server could not be asked, or what it refused.
pub fn client_error(error: &ClientError) -> Said {
    match error {
        ClientError::NotRunning { path, source } => said_of!(
            "the mail server is not running ({path}: {error})",
            "el servidor de correo no está en marcha ({path}: {error})";
            path = Said::words(path.display().to_string()), error = system(source)
        ),
        ClientError::Unreachable { path, source } => said_of!(
            "cannot reach the mail server ({path}: {error})",
            "no se puede hablar con el servidor de correo ({path}: {error})";
            path = Said::words(path.display().to_string()), error = system(source)
        ),
        ClientError::Lost(source) => said_of!(
            "the connection to the mail server failed: {error}",
            "ha fallado la conexión con el servidor de correo: {error}"; error = system(source)
        ),
        ClientError::Protocol(detail) => said!(
            "the mail server's answer was not understood: {detail}",
            "no se entiende la respuesta del servidor de correo: {detail}"; detail = detail
        ),
        ClientError::Refused { code, message } => Said::of_both(|language| match language {
            Language::English => message.clone(),
            // What it says of the matter itself is worth more than where else to look.
            Language::Spanish if *code == ErrorCode::Failed => {
                format!("{}: «{message}»", refused(*code))
            }
            Language::Spanish => refused(*code).to_owned(),
        }),
    }
}

// The server's own words are English, as its log is; the code says the same.
fn refused(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::Malformed => "el identificador o la petición están mal formados",
        ErrorCode::NoEffect => {
            "otro camino no tiene efecto: ese correo se queda en este servidor o volvería a él"
        }
        ErrorCode::Version => "el servidor en marcha es de otra versión: reinícielo",
        ErrorCode::Denied => "este usuario no puede hacerlo: pruebe como root o con sudo",
        ErrorCode::NotFound => "ese mensaje no está (o ya no está) en la cola",
        ErrorCode::Busy => "el servidor atiende a demasiados clientes a la vez",
        ErrorCode::Failed => "el servidor no ha podido hacerlo",
    }
}

/// A failure that may pass.
pub fn and_try_again(message: &Said) -> Said {
    said_of!("{message}; try again", "{message}; vuelva a intentarlo"; message = message)
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::new(Sysexit::IoError, system(&error))
    }
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        Self::new(Sysexit::Config, Said::of_both(|language| errors.render(false, None, language)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_file(number: i32) -> SpoolError {
        let why = Box::new(SpoolError::from(&io::Error::from_raw_os_error(number)));
        SpoolError::Io(Hindrance::Unusable { file: "/etc/puerto/database-password".into(), why })
    }

    #[test]
    fn trouble_that_is_no_disks_is_not_called_so_and_only_what_may_pass_is_tried_again() {
        use nix::libc::{EACCES, EIO, ENOENT};
        let database = || "postgres://db1/puerto".to_owned();
        let io = SpoolError::Io;
        for (error, code) in [
            (of_file(ENOENT), Sysexit::Config),
            (of_file(EACCES), Sysexit::NoPermission),
            (of_file(EIO), Sysexit::TryAgain),
            (io(Hindrance::DatabaseUrl { what: "nonsense".into() }), Sysexit::Config),
            (
                SpoolError::ReadOnly(Hindrance::DatabaseDenied {
                    database: database(),
                    why: "password authentication failed".into(),
                }),
                Sysexit::Config,
            ),
            (
                io(Hindrance::SchemaNewer { database: database(), version: 9, known: 5 }),
                Sysexit::Config,
            ),
            (
                io(Hindrance::SchemaOlder { database: database(), version: 1, known: 5 }),
                Sysexit::Config,
            ),
            (io(Hindrance::InUse { directory: "/var/lib/puerto".into() }), Sysexit::TryAgain),
            (io(Hindrance::NotReplicated { database: database() }), Sysexit::TryAgain),
            (
                SpoolError::ReadOnly(Hindrance::DatabaseSilent { database: database() }),
                Sysexit::TryAgain,
            ),
        ] {
            assert_eq!(Sysexit::of_store(&error), code, "{error}");
            let said = crate::lang::spool_error(&error);
            for (language, untrue) in [
                (Language::English, ["disk", "spool"]),
                (Language::Spanish, ["disco", "admite correo nuevo ("]),
            ] {
                let said = said.of(language);
                assert!(!untrue.iter().any(|word| said.contains(word)), "{said}");
            }
        }
        let failed = io(Hindrance::System(Some(EIO), "Input/output error".into()));
        assert!(failed.to_string().starts_with("the spool's disk failed: "));
    }

    #[test]
    fn why_the_server_could_not_do_it_is_said_in_spanish_too() {
        let error = ClientError::Refused { code: ErrorCode::Failed, message: "db1 is away".into() };
        assert!(client_error(&error).of(Language::Spanish).contains("db1 is away"));
    }
}
