//! `puerto dns`: the records to publish, merged with those that exist.

use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;

use clap::ValueEnum;

use super::config::print;
use super::exit::{Failure, Sysexit};
use crate::config::Config;
use crate::dns::Resolver;
use crate::dnsplan::{self, Plan, Subject, egress, render};
use crate::intake::KeyRing;
use crate::lang::{Language, Text};

/// Which records to work out, and how to show them.
#[derive(Debug, clap::Args)]
pub struct DnsArgs {
    /// The domain that mail is sent from; the first of `domains` if none is given
    domain: Option<String>,
    /// How to show the records
    #[arg(long, value_enum, default_value_t = Format::Fields)]
    format: Format,
    /// An address that mail leaves from, instead of those found out; repeatable
    #[arg(long, value_name = "ADDRESS", num_args = 1..)]
    egress: Vec<IpAddr>,
}

/// Forms of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For the form of a provider's panel
    Fields,
    /// Lines of a zone file
    Zone,
    /// One JSON document
    Json,
}

/// Why nothing could be worked out. The command ends with 2 for all of them, so that
/// nobody takes silence for "nothing to do".
const CANNOT: u8 = 2;

/// Runs the command. Exit code 0; 2 if what exists could not be read, if an address
/// is not known, or for wrong arguments; 78 if the configuration is wrong.
pub fn run(arguments: &DnsArgs, file: Option<&Path>, language: Language) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(work(arguments, file, language)),
        Err(error) => Err(Failure::new(Sysexit::OsError, error.to_string()).into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => {
            eprintln!("puerto: {}", stop.message);
            ExitCode::from(stop.code)
        }
    }
}

/// What ends the command early.
struct Stop {
    code: u8,
    message: String,
}

impl Stop {
    fn cannot(message: String) -> Self {
        Self { code: CANNOT, message }
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self { code: failure.code as u8, message: failure.message }
    }
}

async fn work(arguments: &DnsArgs, file: Option<&Path>, language: Language) -> Result<(), Stop> {
    let config = Config::load(file).map_err(Failure::from)?;
    let ring = KeyRing::load(&config.dkim_directory);
    for problem in ring.problems() {
        eprintln!("puerto: {problem}");
    }
    let addresses = addresses(arguments, &config, language)?;
    let subject = Subject::new(&config, &ring, arguments.domain.as_deref(), addresses)
        .map_err(|error| Stop::cannot(error.said().of(language)))?;
    let resolver = Resolver::new(&config);
    let plan = dnsplan::plan(&resolver, &subject)
        .await
        .map_err(|unread| Stop::cannot(unread.explain(language)))?;
    Ok(print(&text(&plan, arguments.format, language))?)
}

fn text(plan: &Plan, format: Format, language: Language) -> String {
    match format {
        Format::Fields => render::fields(plan, language),
        Format::Zone => render::zone(plan, language),
        Format::Json => format!("{:#}\n", render::json(plan, language)),
    }
}

fn addresses(
    arguments: &DnsArgs,
    config: &Config,
    language: Language,
) -> Result<Vec<IpAddr>, Stop> {
    if !arguments.egress.is_empty() {
        return Ok(arguments.egress.clone());
    }
    // Whoever hands all mail to a relay is seen by nobody else.
    if config.relayhost.is_some() {
        return Ok(Vec::new());
    }
    let found = egress::find(config);
    let private: Vec<String> = found.private.iter().map(ToString::to_string).collect();
    let private = private.join(", ");
    match (found.public.is_empty(), private.is_empty()) {
        (false, true) => {}
        (false, false) => {
            eprintln!("puerto: {}", ALSO_PRIVATE.with(language, &[("private", &private)]))
        }
        (true, false) => {
            return Err(Stop::cannot(ONLY_PRIVATE.with(language, &[("private", &private)])));
        }
        (true, true) => return Err(Stop::cannot(NO_ADDRESS.of(language).to_owned())),
    }
    Ok(found.public)
}

const ALSO_PRIVATE: Text = Text::new(
    "mail also leaves from {private}, which others do not see: give every public address by \
     --egress ADDRESS if it is translated on the way",
    "también sale correo desde {private}, que los demás no ven: si se traduce por el camino, \
     indique todas las direcciones públicas con --egress DIRECCIÓN",
);
const ONLY_PRIVATE: Text = Text::new(
    "this machine has only the private address {private}, which is translated on the way to the \
     Internet: give the public one by --egress ADDRESS",
    "esta máquina solo tiene la dirección privada {private}, que se traduce camino de Internet: \
     indique la pública con --egress DIRECCIÓN",
);
const NO_ADDRESS: Text = Text::new(
    "this machine has no way to the Internet, so that the address that its mail comes from is not \
     known: give it by --egress ADDRESS, or set a relayhost",
    "esta máquina no tiene salida a Internet, así que no se sabe desde qué dirección saldrá su \
     correo: indíquela con --egress DIRECCIÓN o configure un relayhost",
);
