//! One finding, shown in both languages.

use super::page::Page;
use super::{Finding, Severity};
use crate::lang::layout::set;
use crate::lang::{Language, Said, said};

const REMEDY: &str = "relayhost = \"[a.example]\"\ntls_level = \"encrypt\"  # two blanks";

fn whole() -> Finding {
    Finding {
        subject: Some("a.example\u{1b}[2J".to_owned()),
        asked: Some("A a.example @192.0.2.53".to_owned()),
        expected: Some(said!("an address", "una dirección")),
        reference: Some("RFC 5321 §5.1"),
        ..Finding::new(
            "relay.route",
            Severity::Error,
            said!("{name} has no address", "{name} no tiene dirección"; name = "a.example"),
            Said::words(REMEDY),
        )
    }
}

/// As a terminal without colours shows it.
fn page(finding: &Finding, language: Language, width: usize) -> String {
    let mut page = Page::new(language);
    let meaning = said!("it leads nowhere", "no lleva a ningún sitio");
    page.found(4, finding, Some((crate::lang::Text::new("meaning", "significa"), &meaning)));
    anstream::adapter::strip_str(&set(&page.finish(), Some(width))).to_string()
}

#[test]
fn a_page_says_first_what_is_at_fault_and_keeps_what_is_to_be_copied() {
    assert_eq!(
        page(&whole(), Language::English, 60),
        "    error  relay.route  a.example?[2J: a.example has no\n\
         \x20                       address\n\
         \x20     asked       A a.example @192.0.2.53\n\
         \x20     meaning     it leads nowhere\n\
         \x20     expected    an address\n\
         \x20     do          relayhost = \"[a.example]\"\n\
         \x20                 tls_level = \"encrypt\"  # two blanks\n\
         \x20     see         RFC 5321 §5.1\n"
    );
    let narrow = page(&whole(), Language::Spanish, 40);
    assert!(narrow.contains("significa   no lleva a ningún"), "{narrow}");
    assert!(narrow.contains("tls_level = \"encrypt\"  # two blanks"), "{narrow}");
}

#[test]
fn json_has_what_the_room_says_and_nothing_else() {
    let json = |finding: &Finding| serde_json::to_string(&finding.to_json(Language::Spanish));
    let short = Finding::new("a.b", Severity::Info, said!("seen", "visto"), Said::words("do"));
    assert_eq!(
        json(&short).unwrap(),
        r#"{"id":"a.b","remedy":"do","seen":"visto","severity":"info"}"#
    );
    let names: Vec<_> = whole().to_json(Language::English).into_iter().map(|(k, _)| k).collect();
    let all = ["asked", "expected", "id", "reference", "remedy", "seen", "severity", "subject"];
    assert_eq!(names, all);
}
