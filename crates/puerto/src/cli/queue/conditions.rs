//! Which messages are meant, as options say it.

use std::time::Duration;

use clap::Args;
use puerto_spool::MessageId;

use crate::cli::spanish::Spanish as _;
use crate::config::{parse_duration, parse_size};
use crate::control::protocol::Selection;
use crate::control::reasons;
use crate::lang::{Said, said, said_of};

/// Which messages. With `*` or `?`, a condition is a pattern; otherwise any text that
/// contains it will do. A message is selected whole, even if only one of its
/// recipients fits.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Conditions {
    /// With a waiting recipient like this
    #[arg(es = "Con un destinatario en espera como este")]
    #[arg(long, value_name = "ADDRESS", value_parser = text)]
    pub(super) to: Option<String>,
    /// With a sender like this; '<>' for notifications
    #[arg(es = "Con un remitente como este; '<>' para las notificaciones")]
    #[arg(long, value_name = "ADDRESS", value_parser = text)]
    pub(super) from: Option<String>,
    /// With a waiting recipient in this domain, or last tried at this host
    #[arg(
        es = "Con un destinatario en espera de este dominio, o cuyo último intento fue en esta \
                máquina"
    )]
    #[arg(long, value_name = "DOMAIN", value_parser = text)]
    destination: Option<String>,
    /// That wait for a reason like this
    #[arg(es = "Que esperan por un motivo como este")]
    #[arg(long, value_name = "TEXT", value_parser = text)]
    reason: Option<String>,
    /// That wait for a reason of this class, as `puerto queue summary` and `puerto explain`
    /// name it
    #[arg(es = "Que esperan por un motivo de esta clase, con el nombre que le dan `puerto queue \
                summary` y `puerto explain`")]
    #[arg(long, value_name = "CLASS", value_parser = class)]
    class: Option<String>,
    /// That this account handed over
    #[arg(es = "Que entregó esta cuenta")]
    #[arg(long, value_name = "NAME", value_parser = text)]
    pub(super) account: Option<String>,
    /// That came from there, as `puerto queue show` says it: "user 33", "*[192.0.2.7]";
    /// or from a client in this network: 2001:db8::/64
    #[arg(es = "Que vinieron de ahí, como lo dice `puerto queue show`: \"user 33\", \
                \"*[192.0.2.7]\"; o de un cliente de esta red: 2001:db8::/64")]
    #[arg(long, value_name = "ORIGIN", value_parser = text)]
    origin: Option<String>,
    /// That came longer ago than this, as 30m, 4h or 2d
    #[arg(es = "Que llegaron hace más de este tiempo, como 30m, 4h o 2d")]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    older: Option<Duration>,
    /// That are larger than this, as 500k or 10MiB
    #[arg(es = "Que ocupan más que esto, como 500k o 10MiB")]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(super) larger: Option<u64>,
    /// With one of these ids, separated by commas
    #[arg(es = "Con uno de estos identificadores, separados por comas")]
    #[arg(long, value_name = "IDS", value_delimiter = ',', value_parser = id)]
    id: Vec<String>,
    /// That are held
    #[arg(es = "Que están retenidos")]
    #[arg(long)]
    held: bool,
}

impl Conditions {
    /// Those that can be judged of mail that is only coming.
    pub(super) fn of_new_mail(&self) -> Self {
        Self {
            to: self.to.clone(),
            from: self.from.clone(),
            account: self.account.clone(),
            larger: self.larger,
            ..Self::default()
        }
    }

    pub(super) fn selection(&self) -> Selection {
        Selection {
            to: self.to.clone(),
            from: self.from.clone(),
            destination: self.destination.clone(),
            reason: self.reason.clone(),
            class: self.class.clone(),
            account: self.account.clone(),
            origin: self.origin.clone(),
            older: self.older.map(|age| age.as_secs()),
            larger: self.larger,
            ids: self.id.clone(),
            held: self.held.then_some(true),
        }
    }
}

/// The id of a message.
pub(super) fn id(value: &str) -> Result<String, Said> {
    match value.parse::<MessageId>() {
        Ok(_) => Ok(value.to_owned()),
        Err(_) => Err(said!(
            "it is no queue id: those have 12 or 14 hexadecimal digits, as `puerto queue list` shows them",
            "no es un identificador de cola: estos tienen 12 o 14 cifras hexadecimales, como los \
             muestra `puerto queue list`"
        )),
    }
}

// A script's variable that was never set would mean the whole queue.
fn text(value: &str) -> Result<String, Said> {
    if value.trim().is_empty() {
        return Err(said!(
            "it is empty, which would mean any message: leave the condition out, or write `*`",
            "está vacío, lo que abarcaría cualquier mensaje: omita la condición o escriba `*`"
        ));
    }
    Ok(value.to_owned())
}

fn class(name: &str) -> Result<String, Said> {
    if reasons::all().any(|known| known == name) {
        return Ok(name.to_owned());
    }
    // A value is cut where it is put into a sentence, and this list is to be whole.
    let all: Vec<&str> = reasons::all().collect();
    let all = Said::words(all.join(", "));
    Err(said_of!(
        "there is no such class; there are {all}", "no existe esa clase; las que hay son {all}";
        all = all
    ))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::Conditions;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        conditions: Conditions,
    }

    /// `puerto queue remove --to "$who" --yes` in a script that never set it.
    #[test]
    fn an_empty_condition_is_a_mistake_and_not_everything() {
        let options = [
            "--to",
            "--from",
            "--destination",
            "--reason",
            "--class",
            "--account",
            "--origin",
            "--id",
        ];
        for option in options {
            for empty in ["", " ", "\t"] {
                assert!(Line::try_parse_from(["x", option, empty]).is_err(), "{option} {empty:?}");
            }
        }
        let line = Line::try_parse_from(["x", "--to", "*", "--from", "<>"]).unwrap();
        let selection = line.conditions.selection();
        assert_eq!((selection.to.as_deref(), selection.from.as_deref()), (Some("*"), Some("<>")));
    }
}
