//! The errors of the pure crates, which know no languages, put into both.

use puerto_mail::dkim::KeyError;
use puerto_mail::dns::{DnsError, DnsFault};
use puerto_mail::header::address_list::{AddressListError, AddressListProblem};
use puerto_smtp::address::AddressError;
use puerto_smtp::client::{Cause, Failure, Loss, Stage};
use puerto_smtp::reply::ReplyError;
use puerto_spool::{Hindrance, SpoolError};

use super::{InSpanish, Language, Said, of_number, quoted};

pub(super) fn beside(english: &impl std::fmt::Display, spanish: String) -> Said {
    Said::of_both(|language| match language {
        Language::English => english.to_string(),
        Language::Spanish => spanish.clone(),
    })
}

/// Why an address is none.
pub fn address_error(error: &AddressError) -> Said {
    beside(error, address(error).to_owned())
}

fn address(error: &AddressError) -> &'static str {
    match error {
        AddressError::Empty => "la dirección está vacía",
        AddressError::MissingDomain => {
            "a la dirección le falta el dominio: escriba usuario@dominio"
        }
        AddressError::BadLocalPart => {
            "lo que precede a la @ está mal formado: ponga entre comillas los caracteres insólitos, \
             como en \"a b\"@dominio"
        }
        AddressError::BadDomain => "lo que sigue a la @ no es un nombre de dominio",
        AddressError::BadLiteral => {
            "la dirección literal está mal formada: escriba [192.0.2.1] o [IPv6:2001:db8::1]"
        }
        AddressError::TooLong => {
            "la dirección es demasiado larga: caben 900 octetos antes de la @ y 255 después"
        }
        AddressError::BadBrackets => "los ángulos no casan: escriba <usuario@dominio>",
        AddressError::BadRoute => "la ruta de origen está mal formada: omítala",
    }
}

/// Why a list of addresses is none.
pub fn address_list_error(error: &AddressListError) -> Said {
    let problem = match &error.problem {
        AddressListProblem::Unclosed => {
            "algo se abre y no se cierra (comillas, paréntesis, corchetes o ángulos)"
        }
        AddressListProblem::MissingComma => {
            "falta una coma entre direcciones, o un nombre necesita <> en torno a su dirección"
        }
        AddressListProblem::Address(error) => address(error),
        AddressListProblem::Unexpected => "hay un carácter inesperado",
    };
    beside(error, format!("{problem}, en {:?}", error.excerpt))
}

/// Why the DNS gave nothing.
pub fn dns_error(error: &DnsError) -> Said {
    let spanish = match error {
        DnsError::NoSuchDomain => "no existe ese dominio".to_owned(),
        DnsError::NoRecords => "no existe ese registro".to_owned(),
        DnsError::Timeout => "el DNS no ha respondido a tiempo".to_owned(),
        DnsError::Failure(fault) => format!("el DNS ha fallado: {}", dns_fault(fault)),
    };
    beside(error, spanish)
}

/// Why the queue's store could not do something.
pub fn spool_error(error: &SpoolError) -> Said {
    let spanish = match error {
        SpoolError::Full(what) => format!("el disco está lleno ({})", trouble(what)),
        SpoolError::ReadOnly(what) => format!("no admite correo nuevo ({})", trouble(what)),
        SpoolError::Io(what) => format!("el disco ha fallado ({})", trouble(what)),
        SpoolError::Damaged { id, what } => format!("el mensaje {id} está dañado («{what}»)"),
        SpoolError::NotFound(id) | SpoolError::LeaseLost(id) => {
            format!("no se encuentra el mensaje {id}")
        }
        SpoolError::Held(id) => format!("el mensaje {id} está retenido"),
    };
    beside(error, spanish)
}

fn trouble(what: &Hindrance) -> String {
    let of = |error: &SpoolError| spool_error(error).of(Language::Spanish);
    match what {
        Hindrance::System(Some(number), _) => of_number(*number).of(Language::Spanish),
        Hindrance::System(None, words) => format!("«{words}»"),
        Hindrance::Still(error) => of(error),
        Hindrance::Closed => "está cerrado".to_owned(),
        Hindrance::NoSegment => "no se puede escribir en ningún segmento".to_owned(),
        Hindrance::NoRoom => "no hay sitio para otro segmento".to_owned(),
        Hindrance::Reserve { free, directory, reserve } => format!(
            "quedan {free} MiB libres en {directory} y se reservan {reserve} MiB: haga sitio ahí"
        ),
        Hindrance::RecordTooLarge => "un registro es demasiado grande".to_owned(),
        Hindrance::QueuedAlready(id) => format!("el mensaje {id} ya está en la cola"),
        Hindrance::ForeignContent => "el contenido es de otro almacén".to_owned(),
        Hindrance::NoDraft => "llegó contenido sin borrador".to_owned(),
        Hindrance::EnvelopeTooLarge => "el sobre es demasiado grande".to_owned(),
        Hindrance::EnvelopeDistorted => "el sobre no se puede guardar tal como es".to_owned(),
        Hindrance::InUse { directory } => {
            format!("otro proceso está usando {directory}: deténgalo primero")
        }
        Hindrance::Unusable { file, why } => format!("no se puede usar {file}: {}", of(why)),
        Hindrance::Unreadable { folder, why } => format!("no se puede leer {folder}: {}", of(why)),
        Hindrance::NothingThere { segments, directory } => format!(
            "la cola estaba en {segments}, y ahí no hay nada: si está en un disco propio, móntelo \
             primero; para empezar con una cola vacía, elimine {directory}/identity y \
             {directory}/checkpoint"
        ),
        Hindrance::NoneReadable { directory } => format!(
            "no se puede leer ningún fichero de {directory}: no se ha cambiado nada; permita que \
             lo lea el usuario del servidor, o repare el disco, y vuelva a iniciar"
        ),
        Hindrance::Newer { file, version, known } => format!(
            "{file} tiene el formato {version} y este programa lee hasta el {known}: use el \
             programa que lo escribió, o uno más nuevo"
        ),
        Hindrance::DatabaseUrl { what } => {
            format!("no se puede usar el URL de la base de datos: «{what}»")
        }
        Hindrance::DatabaseAway { database, why } => format!(
            "no se puede llegar a la base de datos {database}: «{why}»; se volverá a admitir correo \
             en cuanto se pueda"
        ),
        Hindrance::DatabaseSilent { database } => format!(
            "la base de datos {database} no contesta; se volverá a admitir correo en cuanto lo haga"
        ),
        Hindrance::DatabaseRefused { database, why } => {
            format!("la base de datos {database} se niega: «{why}»")
        }
        Hindrance::NotReplicated { database } => {
            format!("ninguna réplica de la base de datos {database} ha confirmado el mensaje")
        }
        Hindrance::SchemaOlder { database, version, known } => format!(
            "las tablas de {database} tienen la versión {version} y este programa necesita la \
             {known}: ejecute `puerto store migrate`"
        ),
        Hindrance::SchemaNewer { database, version, known } => format!(
            "las tablas de {database} tienen la versión {version} y este programa conoce la \
             {known}: use el programa que las hizo, u otro más nuevo"
        ),
        Hindrance::NameTaken { name } => format!(
            "otro proceso participa en el clúster como {name}: dé a cada nodo un nombre propio, \
             con `[store] node`"
        ),
        Hindrance::TooManyNodes { database } => {
            format!("en {database} han participado 255 nodos y no queda número para otro")
        }
    }
}

fn dns_fault(fault: &DnsFault) -> String {
    let spanish = |said: Said| said.of(Language::Spanish);
    let system = |number: i32| spanish(of_number(number));
    match fault {
        DnsFault::Code(server, code) => format!("{server} ha respondido {code}"),
        DnsFault::Referral(server) => {
            format!("{server} ha remitido a otros servidores en vez de responder")
        }
        DnsFault::CutOff(server) => {
            format!("{server}: la respuesta viene cortada, también por TCP")
        }
        DnsFault::Unreachable(server, number, _) => {
            format!("{server}: error de entrada/salida: {}", system(*number))
        }
        DnsFault::Server(server, words) => format!("{server}: {}", spanish(quoted(words))),
        DnsFault::Aliases => "una cadena de alias es demasiado larga".to_owned(),
        DnsFault::NoServerOf(name) => {
            format!("no se conoce ningún servidor de nombres de {name}")
        }
        DnsFault::Distorted(error) => format!(
            "no se puede preguntar a los servidores de nombres de la zona ({}), y el resolutor de \
             esta máquina puede haberse inventado su respuesta",
            spanish(dns_error(error))
        ),
        DnsFault::NoAddress => "el servidor de nombres no tiene dirección".to_owned(),
        DnsFault::TooManyNames => "habría que preguntar por demasiados nombres".to_owned(),
        DnsFault::BrokenOff => "la consulta se ha interrumpido".to_owned(),
        DnsFault::NoServer => "no hay ningún servidor DNS configurado".to_owned(),
        DnsFault::Unread(file, number, _) => {
            format!("no se conoce ningún servidor DNS: {file}: {}", system(*number))
        }
        DnsFault::Quoted(words) => spanish(quoted(words)),
    }
}

/// Why a private key cannot be used.
pub fn key_error(error: &KeyError) -> Said {
    let spanish = match error {
        KeyError::NotPem => {
            "no hay ningún bloque PEM: debería empezar por -----BEGIN PRIVATE KEY-----".to_owned()
        }
        KeyError::WrongKind(kind) => format!(
            "el bloque PEM contiene {kind}: debería ser PRIVATE KEY (PKCS#8) o RSA PRIVATE KEY \
             (PKCS#1)"
        ),
        KeyError::BadBase64 => {
            "lo que hay entre las marcas PEM no es base64: el fichero está dañado".to_owned()
        }
        KeyError::Rejected(detail) => format!(
            "no sirve como clave RSA de 1024 bits o más ni como clave Ed25519 ({detail}): cree una \
             con `puerto dkim new`"
        ),
        KeyError::Generation => "el sistema no ha podido crear una clave".to_owned(),
    };
    beside(error, spanish)
}

/// Why what a server said is no reply.
pub fn reply_error(error: &ReplyError) -> Said {
    let spanish = match error {
        ReplyError::NotAReply => "ha enviado una línea que no es una respuesta SMTP",
        ReplyError::UnknownCode(_) => "ha enviado un código de respuesta que SMTP no conoce",
        ReplyError::TooLong => "ha enviado una respuesta demasiado larga",
    };
    beside(error, spanish.to_owned())
}

/// In Spanish, what was under way in a session.
pub fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Greeting => "al esperar su saludo",
        Stage::Ehlo => "durante la negociación de EHLO",
        Stage::Helo => "durante la negociación de HELO",
        Stage::Lhlo => "durante la negociación de LHLO",
        Stage::StartTls => "al enviar STARTTLS",
        Stage::Handshake => "durante la negociación de TLS",
        Stage::Auth => "durante la identificación (AUTH)",
        Stage::Idle => "entre dos mensajes",
        Stage::Reset => "al enviar RSET",
        Stage::Mail => "al enviar MAIL FROM",
        Stage::Recipient => "al enviar RCPT TO",
        Stage::Data => "al enviar DATA",
        Stage::Content => "al enviar el mensaje",
        Stage::FinalDot => "al terminar el mensaje, que podría enviarse más de una vez",
        Stage::Quit => "al enviar QUIT",
    }
}

/// In Spanish, the command that a reply at a stage answers.
pub fn command(stage: Stage) -> &'static str {
    match stage {
        Stage::Greeting => "la conexión inicial",
        Stage::Content | Stage::FinalDot => "el final de DATA",
        other => other.verb().unwrap_or("nada"),
    }
}

impl InSpanish for Failure {
    fn in_spanish(&self) -> String {
        let stage = stage(self.stage);
        match &self.cause {
            Cause::Reply(reply) => format!("{reply} (a {})", command(self.stage)),
            Cause::Garbage(error) => {
                format!("{} {stage}", reply_error(error).of(Language::Spanish))
            }
            Cause::OutOfStep => format!("el otro extremo dio una respuesta inesperada {stage}"),
            Cause::InjectedBeforeTls => {
                "el otro extremo envió texto sin cifrar tras su respuesta a STARTTLS".to_owned()
            }
            Cause::Lost(Loss::Closed) => format!("se perdió la conexión {stage}"),
            Cause::Lost(Loss::TimedOut) => format!("no respondió a tiempo {stage}"),
            Cause::Lost(Loss::Abandoned) => format!("se interrumpió {stage}"),
            Cause::TooLarge { limit } => {
                format!("el mensaje ocupa más de los {limit} octetos que admite el otro extremo")
            }
            Cause::NeedsSmtputf8 => "el otro extremo no ofrece SMTPUTF8".to_owned(),
        }
    }
}
