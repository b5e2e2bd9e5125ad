use std::io;

use puerto_smtp::address::AddressError;
use puerto_smtp::client::{AuthUnavailable, Stage};

use puerto_mail::dns::{DnsError, DnsFault};
use puerto_smtp::reply::ReplyError;

use super::field::{BareSystemError, Command, DescribedAddress, Spoken};
use super::*;

/// A value to be put into the words of a cause.
pub(super) trait Sample {
    fn sample() -> Self;
}

macro_rules! samples {
    ($($type:ty = $sample:expr),* $(,)?) => {
        $(impl Sample for $type {
            fn sample() -> Self {
                $sample
            }
        })*
    };
}

samples! {
    String = "X1".to_owned(),
    u64 = 7,
    std::net::IpAddr = [192, 0, 2, 1].into(),
    Box<Cause> = Box::new(Cause::NoHostTried {}),
    Vec<Cause> = vec![Cause::NoHostTried {}, Cause::NotReached {}],
    Words = Words("X2".to_owned()),
    Spoken = Spoken::of(&Cause::NotReached {}.said()),
    SystemError = SystemError::Number(13),
    BareSystemError = (&io::Error::from_raw_os_error(111)).into(),
    AddressKind = AddressKind::LinkLocal,
    DescribedAddress = DescribedAddress(AddressKind::Unspecified),
    Stage = Stage::FinalDot,
    Command = Command(Stage::Content),
    ReplyError = ReplyError::TooLong,
    AddressError = AddressError::TooLong,
    puerto_spool::SpoolError = (&io::Error::from_raw_os_error(28)).into(),
    AuthUnavailable = AuthUnavailable::NotEncrypted,
    DnsError = DnsError::Failure(DnsFault::Code(([192, 0, 2, 1], 53).into(), "REFUSED".to_owned())),
}

#[test]
fn every_cause_has_an_id_of_its_own_and_is_kept() {
    let all = Cause::samples();
    let ids: std::collections::BTreeSet<&str> = all.iter().map(Cause::id).collect();
    assert_eq!(ids.len(), all.len());
    for cause in all.iter().filter(|cause| cause.id() != "quoted") {
        assert!(cause.kept().starts_with(&format!("{{\"{}\":{{", cause.id())), "{}", cause.kept());
        assert_eq!(&Cause::of_kept(&cause.kept(), ""), cause);
    }
}

#[test]
fn no_cause_is_left_in_english() {
    let english = ["the", "is", "was", "has", "of", "cannot", "not", "while", "it", "and", "to"];
    for cause in Cause::samples() {
        let said = cause.said().of(Language::Spanish);
        let mut words = said.split(|character: char| !character.is_alphanumeric());
        assert!(!words.any(|word| english.contains(&word)), "{}: {said}", cause.id());
    }
}

fn spoken() -> Vec<(Cause, &'static str, &'static str)> {
    let host = || "mx.example[192.0.2.1]".to_owned();
    let refused = io::Error::from_raw_os_error(111);
    vec![
        (
            Cause::NotConnected { peer: format!("{}:25", host()), error: (&refused).into() },
            "connect to mx.example[192.0.2.1]:25: Connection refused",
            "conexión con mx.example[192.0.2.1]:25: conexión rechazada",
        ),
        (
            Cause::NotConnected {
                peer: host(),
                error: (&io::Error::from(io::ErrorKind::TimedOut)).into(),
            },
            "connect to mx.example[192.0.2.1]: Connection timed out",
            "conexión con mx.example[192.0.2.1]: se ha agotado el tiempo de espera",
        ),
        (
            Cause::Refused {
                host: host(),
                reply: "550 5.1.1 no such record: go away".to_owned(),
                command: Command(Stage::Recipient),
            },
            "host mx.example[192.0.2.1] said: 550 5.1.1 no such record: go away (in reply to RCPT TO command)",
            "mx.example[192.0.2.1] respondió: 550 5.1.1 no such record: go away (a RCPT TO)",
        ),
        (
            Cause::Expired {
                last: Box::new(Cause::ConnectionLost { host: host(), stage: Stage::FinalDot }),
            },
            "delivery time expired; last try: lost connection with mx.example[192.0.2.1] while sending end of data -- message may be sent more than once",
            "se agotó el plazo; último intento: se perdió la conexión con mx.example[192.0.2.1] al terminar el mensaje, que podría enviarse más de una vez",
        ),
        (
            Cause::SpecialLiteral {
                literal: "[10.0.0.1]".to_owned(),
                kind: DescribedAddress(AddressKind::Private),
                why: Box::new(Cause::UnlessAllowed {}),
            },
            "the address literal [10.0.0.1] is a private address, where mail is not delivered unless [delivery] allow_private = true",
            "la dirección literal [10.0.0.1] es una dirección privada, a la que no se entrega salvo con [delivery] allow_private = true",
        ),
        (
            Cause::PasswordUnread {
                file: "/etc/x".to_owned(),
                error: io::Error::from_raw_os_error(2).into(),
            },
            "cannot read the password file /etc/x: No such file or directory (os error 2)",
            "no se puede leer el fichero de la contraseña /etc/x: no existe el fichero o el directorio (error 2)",
        ),
        (
            Cause::PasswordUnread {
                file: "/etc/x".to_owned(),
                error: io::Error::other("it is a device").into(),
            },
            "cannot read the password file /etc/x: it is a device",
            "no se puede leer el fichero de la contraseña /etc/x: «it is a device»",
        ),
        (
            Cause::NoLogin {
                host: host(),
                user: "me".to_owned(),
                why: AuthUnavailable::NoMechanism(vec!["XOAUTH2".to_owned()]),
            },
            "cannot authenticate to mx.example[192.0.2.1] as me: the server offers neither AUTH PLAIN nor LOGIN, but XOAUTH2",
            "no es posible identificarse ante mx.example[192.0.2.1] como me: el servidor no ofrece AUTH PLAIN ni LOGIN, sino XOAUTH2",
        ),
    ]
}

#[test]
fn a_cause_is_said_in_both_languages_and_kept() {
    for (cause, english, spanish) in spoken() {
        assert_eq!(cause.to_string(), english);
        assert_eq!(cause.said().of(Language::English), english);
        assert_eq!(cause.said().of(Language::Spanish), spanish);
        assert_eq!(Cause::of_kept(&cause.kept(), "another text"), cause);
    }
}

#[test]
fn in_json_the_id_is_the_key() {
    let cause = Cause::TooLarge { size: 9, limit: 5, host: "mx".to_owned() };
    let json = r#"{"delivery.too-large":{"size":9,"limit":5,"host":"mx"}}"#;
    assert_eq!(cause.kept(), json);
    assert_eq!(cause.id(), "delivery.too-large");
    assert_eq!(Cause::NoHostTried {}.kept(), r#"{"delivery.no-host-tried":{}}"#);
}

#[test]
fn of_a_cause_that_is_not_known_its_text_is_left() {
    for kept in [
        "",
        "{}",
        "null",
        r#"{"of.later":{}}"#,
        r#"{"queue.expired":{"last":{"of.later":{}}}}"#,
        r#"{"delivery.too-large":{"size":"9"}}"#,
    ] {
        let cause = Cause::of_kept(kept, "something new went wrong");
        assert_eq!(cause, Cause::words("something new went wrong"), "{kept}");
        assert_eq!(cause.kept(), "");
    }
    let deep = r#"{"queue.untold":{"of":"#.repeat(100_000);
    assert_eq!(Cause::of_kept(&deep, "deep").text(), "deep");
}

#[test]
fn a_sentence_of_others_is_quoted_and_their_words_are_not() {
    for (words, spanish) in [
        ("something new went wrong", "«something new went wrong»"),
        ("250 2.0.0 Ok: we have it as x", "250 2.0.0 Ok: we have it as x"),
        ("421-come back later", "421-come back later"),
        ("SERVFAIL", "SERVFAIL"),
        ("10.0.0.1:53", "10.0.0.1:53"),
        ("«ya está dicho así»", "«ya está dicho así»"),
    ] {
        let cause = Cause::words(words);
        assert_eq!(cause.text(), words);
        assert_eq!(cause.said().of(Language::Spanish), spanish);
    }
}

#[test]
fn an_error_without_a_number_is_said_by_its_kind() {
    let cause = |error: io::Error| Cause::MessageUnread { error: error.into() };
    for (error, english, spanish) in [
        (
            io::ErrorKind::UnexpectedEof.into(),
            "unexpected end of file",
            "el final ha llegado antes de tiempo",
        ),
        (io::Error::other("odd"), "odd", "odd"),
        (io::Error::from_raw_os_error(9999), "Unknown error 9999 (os error 9999)", "9999"),
    ] {
        let cause = cause(error);
        assert_eq!(cause.to_string(), format!("cannot read the queued message: {english}"));
        assert!(cause.said().of(Language::Spanish).contains(spanish), "{cause:?}");
    }
    let bare: BareSystemError = (&io::Error::from_raw_os_error(111)).into();
    assert_eq!(serde_json::to_string(&bare).unwrap(), r#"{"errno":111}"#);
}

#[test]
fn trouble_of_the_queues_store_is_kept_and_said_in_both_languages() {
    use puerto_spool::{Hindrance, MessageId, SpoolError};
    let full = SpoolError::from(&io::Error::from_raw_os_error(28));
    let directory = || "/var/spool".to_owned();
    for (why, english, spanish) in [
        (
            full.clone(),
            "the spool's disk is full: No space left on device (os error 28)",
            "el disco está lleno (no queda espacio en el dispositivo (error 28))",
        ),
        (
            SpoolError::ReadOnly(Hindrance::Still(Box::new(SpoolError::Io(Hindrance::InUse {
                directory: directory(),
            })))),
            "the spool takes no new mail: /var/spool is in use by another process: stop that one first",
            "no admite correo nuevo (otro proceso está usando /var/spool: deténgalo primero)",
        ),
        (
            SpoolError::Full(Hindrance::Reserve { free: 3, directory: directory(), reserve: 64 }),
            "the spool's disk is full: 3 MiB are free in /var/spool, and 64 MiB are kept in reserve: make room there",
            "el disco está lleno (quedan 3 MiB libres en /var/spool y se reservan 64 MiB: haga sitio ahí)",
        ),
        (
            SpoolError::Io(Hindrance::QueuedAlready(MessageId::from_u64(1 << 40))),
            "message 010000000000 is queued already",
            "el mensaje 010000000000 ya está en la cola",
        ),
    ] {
        let cause = Cause::CopyNotStored { why };
        assert_eq!(cause.text(), format!("cannot store the copy to forward: {english}"));
        let said = cause.said().of(Language::Spanish);
        assert_eq!(said, format!("no se puede guardar la copia que reenviar: {spanish}"));
        assert_eq!(Cause::of_kept(&cause.kept(), ""), cause);
    }
}

#[test]
fn what_a_function_says_among_errors_of_the_system_stays_a_cause() {
    let file = |error: io::Error| Cause::FileUnread { file: "/x".to_owned(), error: error.into() };
    let denied = io::ErrorKind::PermissionDenied;
    let exposed = Cause::SecretExposed {
        file: "/x".to_owned(),
        mode: "0644".to_owned(),
        remedy: "chmod 0640 /x".to_owned(),
    };
    for (error, spanish) in [
        (
            io::Error::new(denied, exposed),
            "otros pueden leer o cambiar lo que /x guarda en secreto (modo 0644)",
        ),
        (Cause::NoRegularFile {}.into(), "no se puede leer /x: no es un fichero normal"),
        (io::Error::new(denied, "go away"), "no se puede leer /x: permiso denegado"),
    ] {
        let cause = file(error);
        let said = cause.said().of(Language::Spanish);
        assert!(said.contains(spanish), "{said}");
        assert_eq!(Cause::of_kept(&cause.kept(), ""), cause);
    }
}
