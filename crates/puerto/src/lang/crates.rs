//! The errors of the pure crates, which know no languages, put into both.

use puerto_mail::dkim::KeyError;
use puerto_mail::dns::{DnsError, DnsFault};
use puerto_mail::header::address_list::{AddressListError, AddressListProblem};
use puerto_smtp::address::AddressError;
use puerto_smtp::client::{Cause, Failure, Loss, Stage};
use puerto_smtp::reply::ReplyError;
use puerto_spool::{Hindrance, SpoolError};

use super::evaluators::in_spanish;
use super::{InSpanish, Language, Said, of_number, quoted};

pub(super) fn beside(english: &impl std::fmt::Display, spanish: String) -> Said {
    Said::of_both(|language| match language {
        Language::English => english.to_string(),
        Language::Spanish => spanish.clone(),
    })
}

/// Why an address is none.
pub fn address_error(error: &AddressError) -> Said {
    error.into()
}

in_spanish! { AddressError:
    Self::Empty => "la dirección está vacía";
    Self::MissingDomain => "a la dirección le falta el dominio: escriba usuario@dominio";
    Self::BadLocalPart =>
        "lo que precede a la @ está mal formado: ponga entre comillas los caracteres insólitos, \
         como en \"a b\"@dominio";
    Self::BadDomain => "lo que sigue a la @ no es un nombre de dominio";
    Self::BadLiteral =>
        "la dirección literal está mal formada: escriba [192.0.2.1] o [IPv6:2001:db8::1]";
    Self::TooLong =>
        "la dirección es demasiado larga: caben 900 octetos antes de la @ y 255 después";
    Self::BadBrackets => "los ángulos no casan: escriba <usuario@dominio>";
    Self::BadRoute => "la ruta de origen está mal formada: omítala";
}

/// Why a list of addresses is none.
pub fn address_list_error(error: &AddressListError) -> Said {
    error.into()
}

in_spanish! { AddressListError:
    Self { problem, excerpt } => "{}, en {excerpt:?}", problem.in_spanish();
}

in_spanish! { AddressListProblem:
    Self::Unclosed => "algo se abre y no se cierra (comillas, paréntesis, corchetes o ángulos)";
    Self::MissingComma =>
        "falta una coma entre direcciones, o un nombre necesita <> en torno a su dirección";
    Self::Address(error) => "{}", error.in_spanish();
    Self::Unexpected => "hay un carácter inesperado";
}

/// Why the DNS gave nothing.
pub fn dns_error(error: &DnsError) -> Said {
    error.into()
}

in_spanish! { DnsError:
    Self::NoSuchDomain => "no existe ese dominio";
    Self::NoRecords => "no existe ese registro";
    Self::Timeout => "el DNS no ha respondido a tiempo";
    Self::Failure(fault) => "el DNS ha fallado: {}", fault.in_spanish();
}

/// Why the queue's store could not do something.
pub fn spool_error(error: &SpoolError) -> Said {
    error.into()
}

in_spanish! { SpoolError:
    Self::Full(what) => "el disco está lleno ({})", what.in_spanish();
    Self::ReadOnly(what) | Self::Io(what) if what.stands_alone() => "{}", what.in_spanish();
    Self::ReadOnly(what) => "no admite correo nuevo ({})", what.in_spanish();
    Self::Io(what) => "el disco ha fallado ({})", what.in_spanish();
    Self::Damaged { id, what } => "el mensaje {id} está dañado («{what}»)";
    Self::NotFound(id) | Self::LeaseLost(id) => "no se encuentra el mensaje {id}";
    Self::Held(id) => "el mensaje {id} está retenido";
}

// What has a file's name before it needs no word of whose file it is.
fn bare(why: &SpoolError) -> String {
    why.hindrance().map_or_else(|| why.in_spanish(), InSpanish::in_spanish)
}

fn of_each(servers: &[(String, Option<String>)]) -> String {
    let of_one = |(name, why): &(String, Option<String>)| match why {
        Some(why) => format!("{name}: «{why}»"),
        None => format!("{name} no contesta"),
    };
    servers.iter().map(of_one).collect::<Vec<_>>().join("; ")
}

in_spanish! { Hindrance:
    Self::System(Some(number), _) => "{}", spanish(of_number(*number));
    Self::System(None, words) => "«{words}»";
    Self::Still(error) => "{}", error.in_spanish();
    Self::Closed => "está cerrado";
    Self::NoSegment => "no se puede escribir en ningún segmento";
    Self::NoRoom => "no hay sitio para otro segmento";
    Self::Reserve { free, directory, reserve } =>
        "quedan {free} MiB libres en {directory} y se reservan {reserve} MiB: haga sitio ahí";
    Self::RecordTooLarge => "un registro es demasiado grande";
    Self::QueuedAlready(id) => "el mensaje {id} ya está en la cola";
    Self::ForeignContent => "el contenido es de otro almacén";
    Self::NoDraft => "llegó contenido sin borrador";
    Self::EnvelopeTooLarge => "el sobre es demasiado grande";
    Self::EnvelopeDistorted => "el sobre no se puede guardar tal como es";
    Self::InUse { directory } => "otro proceso está usando {directory}: deténgalo primero";
    Self::Unusable { file, why } => "no se puede usar {file}: {}", bare(why);
    Self::Unreadable { folder, why } => "no se puede leer {folder}: {}", bare(why);
    Self::NothingThere { segments, directory } =>
        "la cola estaba en {segments}, y ahí no hay nada: si está en un disco propio, móntelo \
         primero; para empezar con una cola vacía, elimine {directory}/identity y \
         {directory}/checkpoint";
    Self::NoneReadable { directory } =>
        "no se puede leer ningún fichero de {directory}: no se ha cambiado nada; permita que lo \
         lea el usuario del servidor, o repare el disco, y vuelva a iniciar";
    Self::Newer { file, version, known } =>
        "{file} tiene el formato {version} y este programa lee hasta el {known}: use el programa \
         que lo escribió, o uno más nuevo";
    Self::DatabaseUrl { what } => "no se puede usar el URL de la base de datos: «{what}»";
    Self::DatabaseAway { database, why } =>
        "no se puede llegar a la base de datos {database}: «{why}»; se volverá a admitir correo en \
         cuanto se pueda";
    Self::DatabaseSilent { database } =>
        "la base de datos {database} no contesta; se volverá a admitir correo en cuanto lo haga";
    Self::DatabaseServers { database, servers } =>
        "no se puede usar ningún servidor de la base de datos {database}: {}; se volverá a admitir \
         correo en cuanto se pueda usar uno", of_each(servers);
    Self::DatabaseRefused { database, why } => "la base de datos {database} se niega: «{why}»";
    Self::DatabaseDenied { database, why } =>
        "la base de datos {database} no deja entrar a este servidor: «{why}»; revise el usuario, el \
         nombre y la contraseña en `[store]`";
    Self::NotReplicated { database } =>
        "ninguna réplica de la base de datos {database} ha confirmado el mensaje";
    Self::SchemaOlder { database, version, known } =>
        "las tablas de {database} tienen la versión {version} y este programa necesita la {known}: \
         ejecute `puerto store migrate`";
    Self::SchemaNewer { database, version, known } =>
        "las tablas de {database} tienen la versión {version} y este programa conoce la {known}: \
         use el programa que las hizo, u otro más nuevo";
    Self::NameTaken { name, by } =>
        "otro proceso participa en el clúster como {name}, en {by}: dé a cada nodo un nombre propio, con \
         `[store] node`";
    Self::TooManyNodes { database } =>
        "en {database} han participado 255 nodos y no queda número para otro";
}

in_spanish! { DnsFault:
    Self::Code(server, code) => "{server} ha respondido {code}";
    Self::Referral(server) => "{server} ha remitido a otros servidores en vez de responder";
    Self::CutOff(server) => "{server}: la respuesta viene cortada, también por TCP";
    Self::Unreachable(server, number, _) =>
        "{server}: error de entrada/salida: {}", spanish(of_number(*number));
    Self::Server(server, words) => "{server}: {}", spanish(quoted(words));
    Self::Aliases => "una cadena de alias es demasiado larga";
    Self::NoServerOf(name) => "no se conoce ningún servidor de nombres de {name}";
    Self::Distorted(error) =>
        "no se puede preguntar a los servidores de nombres de la zona ({}), y el resolutor de esta \
         máquina puede haberse inventado su respuesta", error.in_spanish();
    Self::NoAddress => "el servidor de nombres no tiene dirección";
    Self::TooManyNames => "habría que preguntar por demasiados nombres";
    Self::BrokenOff => "la consulta se ha interrumpido";
    Self::NoServer => "no hay ningún servidor DNS configurado";
    Self::Unread(file, number, _) =>
        "no se conoce ningún servidor DNS: {file}: {}", spanish(of_number(*number));
    Self::Quoted(words) => "{}", spanish(quoted(words));
}

fn spanish(said: Said) -> String {
    said.of(Language::Spanish)
}

/// Why a private key cannot be used.
pub fn key_error(error: &KeyError) -> Said {
    error.into()
}

in_spanish! { KeyError:
    Self::NotPem => "no hay ningún bloque PEM: debería empezar por -----BEGIN PRIVATE KEY-----";
    Self::WrongKind(kind) =>
        "el bloque PEM contiene {kind}: debería ser PRIVATE KEY (PKCS#8) o RSA PRIVATE KEY \
         (PKCS#1)";
    Self::BadBase64 => "lo que hay entre las marcas PEM no es base64: el fichero está dañado";
    Self::Rejected(detail) =>
        "no sirve como clave RSA de 1024 bits o más ni como clave Ed25519 ({detail}): cree una con \
         `puerto dkim new`";
    Self::Generation => "el sistema no ha podido crear una clave";
}

/// Why what a server said is no reply.
pub fn reply_error(error: &ReplyError) -> Said {
    error.into()
}

in_spanish! { ReplyError:
    Self::NotAReply => "ha enviado una línea que no es una respuesta SMTP";
    Self::UnknownCode(_) => "ha enviado un código de respuesta que SMTP no conoce";
    Self::TooLong => "ha enviado una respuesta demasiado larga";
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
                format!("{} {stage}", error.in_spanish())
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
