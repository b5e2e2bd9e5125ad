//! What may be read and not written, and text beyond ASCII in each of its places.

use std::io::Read as _;

use puerto_mail::header::Header;
use puerto_spool::{Content, Store as _};

use super::super::tests::{envelope, local};
use super::{check, signing};

#[tokio::test]
async fn forms_that_only_readers_have_to_know_b15() {
    check(&[
        ("To: <@a.example,@b.example:c@x.example>\r\n", "To", Some("c@x.example")),
        ("To: ,a@x.example,,b@x.example,\r\n", "To", Some("a@x.example, b@x.example")),
        ("To: a@x.example.\r\n", "To", Some("a@x.example")),
        ("From: ,a@example.com\r\n", "From", Some("a@example.com")),
        ("From: Ana <a@example.com.>\r\n", "From", Some("Ana <a@example.com>")),
        ("From: Ana <@x.example:a@example.com>\r\n", "From", Some("Ana <a@example.com>")),
        ("From: J. R. Doe <a@example.com>\r\n", "From", Some("J. R. Doe <a@example.com>")),
        (
            "To: a@x.example (Ana.), B: c@x.example;\r\n",
            "To",
            Some("a@x.example (Ana.), B: c@x.example;"),
        ),
        (
            "From: \"\u{1b}$BF|\u{1b}(B\" <a@example.com>\r\n",
            "From",
            Some("=?iso-2022-jp?Q?=1B=24BF=7C=1B=28B?= <a@example.com>"),
        ),
        (&format!("X-{}: a\r\n", "n".repeat(1200)), &format!("X-{}", "n".repeat(1200)), None),
    ])
    .await;
}

#[tokio::test]
async fn domains_in_u_labels_in_each_place_b9() {
    check(&[
        ("From: a@mañana.example\r\n", "From", Some("a@xn--maana-pta.example")),
        (
            "From: Año <a@mañana.example>\r\n",
            "From",
            Some("=?utf-8?Q?A=C3=B1o?= <a@xn--maana-pta.example>"),
        ),
        ("Sender: a@mañana.example\r\n", "Sender", Some("a@xn--maana-pta.example")),
        (
            "To: a@mañana.example, b@x.example\r\n",
            "To",
            Some("a@xn--maana-pta.example, b@x.example"),
        ),
        ("To: A: a@mañana.example;\r\n", "To", Some("A: a@xn--maana-pta.example;")),
        ("Cc: <a@mañana.example>\r\n", "Cc", Some("a@xn--maana-pta.example")),
        ("Reply-To: a@mañana.example\r\n", "Reply-To", Some("a@xn--maana-pta.example")),
        ("Errors-To: a@mañana.example\r\n", "Errors-To", Some("a@xn--maana-pta.example")),
        ("Message-ID: <1@mañana.example>\r\n", "Message-ID", Some("<1@xn--maana-pta.example>")),
        ("In-Reply-To: <1@mañana.example>\r\n", "In-Reply-To", Some("<1@xn--maana-pta.example>")),
        (
            "References: <0@x.example>\r\n <1@mañana.example> <ñ@x.example>\r\n",
            "References",
            Some("<0@x.example> <1@xn--maana-pta.example>"),
        ),
        (
            "List-Unsubscribe: <https://mañana.example/ñ>, <mailto:u@mañana.example>\r\n",
            "List-Unsubscribe",
            Some("<https://xn--maana-pta.example/%C3%B1>, <mailto:u@xn--maana-pta.example>"),
        ),
        ("List-Id: Año <l.x.example>\r\n", "List-Id", Some("=?utf-8?Q?A=C3=B1o?= <l.x.example>")),
        (
            "Content-Type: application/pdf; name=\"año.pdf\"\r\n",
            "Content-Type",
            Some("application/pdf; name*=utf-8''a%C3%B1o.pdf"),
        ),
    ])
    .await;
}

#[tokio::test]
async fn text_that_a_program_has_cut_b8() {
    let rig = signing();
    for (header, body, subject, charset) in [
        (
            b"Subject: a\xc3\xb1oN\xc3\r\n".as_slice(),
            b"a\xc3\xb1o \xc3\xa9 \xc3\r\n".as_slice(),
            "=?utf-8?Q?a=C3=B1oN=C3?=",
            "utf-8",
        ),
        (
            b"Subject: Jos\xe9\r\n",
            b"Jos\xe9 10 \x80\r\n",
            "=?windows-1252?Q?Jos=E9?=",
            "windows-1252",
        ),
        (
            b"Subject: \xf0\xd2\xc9\xd7\r\n",
            b"\xf0\xd2\xc9\xd7\r\n",
            "=?unknown-8bit?Q?=F0=D2=C9=D7?=",
            "unknown-8bit",
        ),
        (
            b"Subject: \x1b$BF|\x1b(B\r\n",
            b"\x1b$BF|\x1b(B\r\n",
            "=?iso-2022-jp?Q?=1B=24BF=7C=1B=28B?=",
            "iso-2022-jp",
        ),
    ] {
        let content = Content::Memory([header, b"\r\n", body].concat());
        let id = rig.intake.new_id();
        rig.intake.accept(id, &local(), envelope(), content).await.unwrap();
        let mut stored = Vec::new();
        rig.spool.content(id).wait().unwrap().read_to_end(&mut stored).unwrap();
        let seen = Header::parse(&stored).unwrap();
        assert_eq!(seen.first("Subject").unwrap().text(), subject);
        let content_type = seen.first("Content-Type").unwrap().text();
        assert_eq!(content_type, format!("text/plain; charset={charset}"), "header and body agree");
        assert!(stored.ends_with(body));
    }
}
