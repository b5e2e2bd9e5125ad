//! Sentences that are recognized, whole and with what is put in.

use super::*;

#[test]
fn what_fails_on_the_way_is_said_in_spanish() {
    for (english, spanish) in [
        (
            "connect to mx.example[192.0.2.1]:25: Connection refused",
            "conexión con mx.example[192.0.2.1]:25: conexión rechazada",
        ),
        (
            "host mx.example[192.0.2.1] said: 550 5.1.1 no such record: go away (in reply to RCPT TO command)",
            "mx.example[192.0.2.1] respondió: 550 5.1.1 no such record: go away (a RCPT TO)",
        ),
        (
            "lost connection with mx.example[192.0.2.1] while sending end of data -- message may be sent more than once",
            "se perdió la conexión con mx.example[192.0.2.1] al terminar el mensaje, que podría enviarse más de una vez",
        ),
        (
            "MX of a.test: the DNS failed: 127.0.0.1:53 answered REFUSED",
            "MX de a.test: el DNS ha fallado: 127.0.0.1:53 ha respondido REFUSED",
        ),
        (
            "the DNS failed: 127.0.0.1:53 answered SERVFAIL",
            "el DNS ha fallado: 127.0.0.1:53 ha respondido SERVFAIL",
        ),
        (
            "Cannot start TLS with mx.example[192.0.2.1]: invalid peer certificate: UnknownIssuer",
            "no se puede iniciar TLS con mx.example[192.0.2.1]: certificado no válido: lo emitió una autoridad que no se reconoce",
        ),
        (
            "/etc/x: No such file or directory (os error 2)",
            "/etc/x: no existe el fichero o el directorio (error 2)",
        ),
        ("connection refused", "conexión rechazada"),
        ("250 2.0.0 Ok: we have it as x", "250 2.0.0 Ok: we have it as x"),
        ("TLSv1.3 with cipher TLS_X", "TLSv1.3 con el cifrado TLS_X"),
        ("10.0.0.1:53: something new went wrong", "10.0.0.1:53: «something new went wrong»"),
    ] {
        assert_eq!(detail(english).of(Language::Spanish), spanish);
        assert_eq!(detail(english).of(Language::English), english);
    }
}

#[test]
fn each_sentence_has_as_many_holes_in_both_languages() {
    for sentence in TABLES.iter().copied().flatten() {
        let holes = |text: &str| text.matches("{}").count() + text.matches("{=}").count();
        assert_eq!(holes(sentence.en), holes(sentence.es), "{}", sentence.en);
    }
}

#[test]
fn no_text_recurs_without_end() {
    let deep = "the DNS failed: ".repeat(100_000);
    assert!(in_spanish(&deep).len() >= deep.len() - 100);
}
