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
