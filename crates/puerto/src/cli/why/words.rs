//! Names that the log has, in words for people. What this version does not know stays as it
//! was written.

use crate::bounce::Kind;
use crate::cli::output::printable;
use crate::lang::{Said, Text, quoted};

/// What a program said of itself: `executable`, `directory`.
pub(super) fn claim(name: &str, value: &str) -> Said {
    let text = match name {
        "executable" => Text::new("executable {value}", "ejecutable {value}"),
        "script" => Text::new("script {value}", "programa {value}"),
        "directory" => Text::new("directory {value}", "carpeta {value}"),
        "dropped" => Text::new("left at {value}", "dejado el {value}"),
        "pid" => Text::new("process {value}", "proceso {value}"),
        "unit" => Text::new("unit {value}", "unidad {value}"),
        "parents" => Text::new("started by {value}", "iniciado por {value}"),
        other => return Said::words(format!("{} {value}", printable(other))),
    };
    Said::with(text, &[("value", &*printable(value))])
}

/// What kind of notification it is.
pub(super) fn notification(kind: &str) -> Said {
    let known = [Kind::Failed, Kind::Delayed, Kind::Delivered];
    Said::plain(match known.into_iter().find(|known| known.log_name() == kind) {
        Some(Kind::Failed) => Text::new("notice of non-delivery", "aviso de que no se entregó"),
        Some(Kind::Delayed) => Text::new("notice of delay", "aviso de retraso"),
        Some(Kind::Delivered) => Text::new("notice of delivery", "aviso de entrega"),
        None => return quoted(&printable(kind)),
    })
}

/// What kind of complaint it is (RFC 5965 §3.1 and its registry), and what it asks for.
pub(super) fn complaint(kind: &str) -> Said {
    let meaning = match kind.to_ascii_lowercase().as_str() {
        "abuse" => Text::new(
            "its reader called it spam: write there no more",
            "quien lo leyó lo marcó como correo basura: no le escriba más",
        ),
        "opt-out" => Text::new(
            "its reader wants no more of it: write there no more",
            "quien lo leyó no quiere más: no le escriba más",
        ),
        "fraud" => Text::new("it was taken for fraud", "se tomó por un fraude"),
        "virus" => Text::new("a virus was found in it", "se encontró un virus en él"),
        "not-spam" => Text::new(
            "it was no spam, its reader says",
            "no era correo basura, según quien lo leyó",
        ),
        "auth-failure" => {
            Text::new("it did not pass SPF, DKIM or DMARC there", "no pasó allí SPF, DKIM o DMARC")
        }
        _ => return quoted(&printable(kind)),
    };
    let kind = Said::words(format!("{}: ", printable(kind)));
    Said::joined([&kind, &Said::plain(meaning)], "")
}

#[cfg(test)]
mod tests {
    use super::complaint;
    use crate::lang::Language;

    /// By the word `abuse`, it was explained as a poor reputation.
    #[test]
    fn a_complaint_is_what_its_kind_says() {
        let said = complaint("abuse");
        assert!(said.of(Language::English).starts_with("abuse: its reader called it spam"));
        assert!(said.of(Language::Spanish).starts_with("abuse: quien lo leyó"));
        for kind in ["opt-out", "Fraud", "virus", "not-spam", "auth-failure"] {
            let said = complaint(kind);
            assert_ne!(said.of(Language::English), said.of(Language::Spanish), "{kind}");
        }
        assert_eq!(complaint("other").of(Language::English), "other");
    }
}
