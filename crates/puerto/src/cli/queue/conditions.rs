//! Which messages are meant, as options say it.

use std::time::Duration;

use clap::Args;

use crate::cli::spanish::Spanish as _;
use crate::config::{parse_duration, parse_size};
use crate::control::protocol::Selection;
use crate::control::reasons;
use crate::lang::{Said, said};

/// Which messages. With `*` or `?`, a condition is a pattern; otherwise any text that
/// contains it will do. A message is selected whole, even if only one of its
/// recipients fits.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Conditions {
    /// With a waiting recipient like this
    #[arg(es = "Con un destinatario en espera como este")]
    #[arg(long, value_name = "ADDRESS")]
    pub(super) to: Option<String>,
    /// With a sender like this; '<>' for notifications
    #[arg(es = "Con un remitente como este; '<>' para las notificaciones")]
    #[arg(long, value_name = "ADDRESS")]
    pub(super) from: Option<String>,
    /// With a waiting recipient in this domain, or last tried at this host
    #[arg(
        es = "Con un destinatario en espera de este dominio, o cuyo último intento fue en esta \
                máquina"
    )]
    #[arg(long, value_name = "DOMAIN")]
    destination: Option<String>,
    /// That wait for a reason like this
    #[arg(es = "Que esperan por un motivo como este")]
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// That wait for a reason of this class, as `puerto queue summary` and `puerto explain`
    /// name it
    #[arg(es = "Que esperan por un motivo de esta clase, con el nombre que le dan `puerto queue \
                summary` y `puerto explain`")]
    #[arg(long, value_name = "CLASS", value_parser = class)]
    class: Option<String>,
    /// That this account handed over
    #[arg(es = "Que entregó esta cuenta")]
    #[arg(long, value_name = "NAME")]
    pub(super) account: Option<String>,
    /// That came from there, as `puerto queue show` says it: "user 33", "*[192.0.2.7]"
    #[arg(es = "Que vinieron de ahí, como lo dice `puerto queue show`: \"user 33\", \
                \"*[192.0.2.7]\"")]
    #[arg(long, value_name = "ORIGIN")]
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
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
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

fn class(name: &str) -> Result<String, Said> {
    if reasons::all().any(|known| known == name) {
        return Ok(name.to_owned());
    }
    let all: Vec<&str> = reasons::all().collect();
    Err(said!(
        "there is no such class; there are {all}", "no existe esa clase; las que hay son {all}";
        all = all.join(", ")
    ))
}
