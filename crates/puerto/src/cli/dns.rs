//! `puerto dns`: the records to publish, merged with those that exist.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;
use puerto_mail::dns::{Dns, RecordType};
use puerto_spool::clock::SystemClock;

use super::exit::{Failure, Sysexit, end};
use super::output::{print, show, tell};
use crate::acme;
use crate::cli::spanish::Spanish as _;
use crate::config::Config;
use crate::dns::Resolver;
use crate::dnsplan::{self, Plan, Subject, render, update, zonefile};
use crate::intake::KeyRing;
use crate::lang::{Language, Said, Text, harmless_json, system};
use crate::rights::Identity;
use crate::survey::address::is_public;
use crate::survey::authority::{Authority, Undistorted};
use crate::survey::egress;
use crate::survey::https::{self, Page};
use crate::survey::mtasts::{PATH, Policy};
use crate::survey::patience::{Patience, Patient};
use crate::tls::ClientTls;

/// How long our own policy may take to come.
const FETCHING: Duration = Duration::from_secs(10);

/// Which records to work out, and how to show them.
#[derive(Debug, clap::Args)]
pub struct DnsArgs {
    /// The domain that mail is sent from; the first of `domains` if none is given
    #[arg(es = "El dominio desde el que se envía; si no se indica, el primero de `domains`")]
    domain: Option<String>,
    /// How to show the records
    #[arg(es = "Cómo se muestran los registros")]
    #[arg(long, value_enum, default_value_t = Format::Fields)]
    format: Format,
    /// One JSON document, as --format json
    #[arg(es = "Un documento JSON, como --format json")]
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// An address that mail leaves from, instead of those found out; repeatable
    #[arg(es = "Una dirección desde la que sale correo, en lugar de las averiguadas; puede \
                repetirse")]
    #[arg(long, value_name = "ADDRESS")]
    egress: Vec<IpAddr>,
    /// Publish at this server by dynamic update (RFC 2136), after asking
    #[arg(es = "Publica en este servidor por actualización dinámica (RFC 2136), tras preguntar")]
    #[arg(long, value_name = "SERVER", requires = "key")]
    update: Option<String>,
    /// The key to sign updates with, in the form that tsig-keygen writes
    #[arg(es = "La clave con que se firman las actualizaciones, tal como la escribe tsig-keygen")]
    #[arg(long, value_name = "FILE", requires = "update")]
    key: Option<PathBuf>,
    /// Publish without asking
    #[arg(es = "Publica sin preguntar")]
    #[arg(long, requires = "update")]
    yes: bool,
}

impl DnsArgs {
    fn format(&self) -> Format {
        if self.json { Format::Json } else { self.format }
    }
}

/// Forms of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For the form of a provider's panel
    #[value(es = "Para el formulario del panel de un proveedor")]
    Fields,
    /// A zone file that a name server loads
    #[value(es = "Un fichero de zona que un servidor DNS puede cargar")]
    Zone,
    /// One JSON document
    #[value(es = "Un documento JSON")]
    Json,
}

/// Runs the command. Exit code 0; 1 if not all was published that was to be; 2 if what
/// exists could not be read, if an address is not known, or for wrong arguments, so that
/// nobody takes silence for "nothing to do"; 77 if this user may not read the keys; 78 if
/// the configuration is wrong.
pub fn run(arguments: &DnsArgs, file: Option<&Path>, language: Language) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(work(arguments, file, language)),
        Err(error) => Err(Failure::new(Sysexit::OsError, system(&error))),
    };
    end("puerto", done.map_err(Failure::of_arguments), language)
}

fn say(said: &Said, language: Language) {
    tell(&format!("puerto: {}", said.of(language)));
}

fn cannot(why: impl Into<Said>) -> Failure {
    Failure::new(Sysexit::Usage, why)
}

async fn work(
    arguments: &DnsArgs,
    file: Option<&Path>,
    language: Language,
) -> Result<ExitCode, Failure> {
    let config = Config::load(file)?;
    let ring = KeyRing::of(&config);
    let problems = ring.problems();
    for problem in &problems {
        say(&problem.said, language);
    }
    // Without the keys it is not known what is to be published, which is not nothing.
    if problems.iter().any(|problem| problem.is_hidden) {
        let directory = config.dkim_directory.display().to_string();
        let hidden = Said::with(KEYS_HIDDEN, &[("directory", &directory)]);
        return Err(Failure::new(Sysexit::NoPermission, hidden));
    }
    let addresses = addresses(arguments, &config, language)?;
    let subject = Subject::new(&config, &ring, arguments.domain.as_deref(), addresses);
    let mut subject = subject.map_err(cannot)?;
    let resolver = Resolver::new(&config);
    subject.is_policy_there = is_policy_there(&resolver, &subject).await;
    // Senders believe TLSA records of hosts alone for whose addresses DNSSEC vouches.
    let kinds = [RecordType::A, RecordType::Aaaa];
    for kind in kinds {
        let (found, is_signed) = resolver.vouched(&subject.exchanger, kind).await;
        if found.is_ok() && is_signed {
            let service = Identity::of_service(&config.user)?;
            subject.tlsa = acme::tlsa_hashes(&config, service.as_ref());
        }
    }
    let servers = resolver.servers().len();
    let Some((server, key)) = arguments.update.as_deref().zip(arguments.key.as_deref()) else {
        let sources = subject.sources.iter().map(|source| source.name.as_str());
        let own: Vec<&str> = std::iter::once(subject.hostname.as_str()).chain(sources).collect();
        let dns = Undistorted::new(resolver, &own);
        plan(dns, servers, &subject, (arguments.format(), language)).await?;
        return Ok(ExitCode::SUCCESS);
    };
    let key = update::Key::load(key).map_err(|error| cannot(error.said()))?;
    let server = address_of(server).await?;
    let authority = Authority::new(server, resolver);
    let plan = plan(authority, servers + 1, &subject, (arguments.format(), language)).await?;
    if plan.changes().next().is_none() {
        return Ok(ExitCode::SUCCESS);
    }
    if !arguments.yes && !agreed(server, language)? {
        say(&LEFT.into(), language);
        return Ok(ExitCode::FAILURE);
    }
    publish(server, &key, &plan, language).await
}

// Fetched as senders fetch it (RFC 8461 §3.3).
async fn is_policy_there(resolver: &Resolver, subject: &Subject) -> bool {
    let Some(ours) = subject.policy.as_deref().and_then(|text| Policy::read(text).ok()) else {
        return false;
    };
    let host = format!("mta-sts.{}", subject.domain);
    let tls = ClientTls::new();
    let fetched = async {
        let address = https::address(resolver, &host).await.ok()?;
        match https::fetch(SocketAddr::new(address, 443), &host, PATH, &tls).await {
            Page::Answer { status: 200, body, .. } => Policy::read(&body).ok(),
            _ => None,
        }
    };
    tokio::time::timeout(FETCHING, fetched).await.ok().flatten() == Some(ours)
}

// Also shows it: what is published is seen before.
async fn plan<D: Dns>(
    dns: D,
    servers: usize,
    subject: &Subject,
    (format, language): (Format, Language),
) -> Result<Plan, Failure> {
    let dns = Patient(dns, Patience::with_servers(servers));
    let plan = dnsplan::plan(&dns, subject).await.map_err(|unread| cannot(unread.said()))?;
    match format {
        Format::Fields => show(&render::fields(&plan, language))?,
        Format::Zone => print(&zonefile::zone(&plan, language))?,
        Format::Json => print(&harmless_json(&format!("{:#}\n", render::json(&plan, language))))?,
    }
    Ok(plan)
}

async fn publish(
    server: SocketAddr,
    key: &update::Key,
    plan: &Plan,
    language: Language,
) -> Result<ExitCode, Failure> {
    use update::UpdateError::{Changed, Unreachable};
    let done = update::publish(server, key, plan, &SystemClock).await.map_err(|stopped| {
        let code = match stopped.error {
            Changed(_) | Unreachable(_) => Sysexit::TryAgain,
            _ => Sysexit::Unavailable,
        };
        Failure::new(code, stopped.said())
    })?;
    for (names, text) in [(&done.published, PUBLISHED), (&done.elsewhere, ELSEWHERE)] {
        if !names.is_empty() {
            say(&Said::plain(text).put("names", names.join(", ")), language);
        }
    }
    let is_whole = done.elsewhere.is_empty();
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

// A name or an address, with or without a port.
async fn address_of(server: &str) -> Result<SocketAddr, Failure> {
    if let Ok(address) = server.parse::<SocketAddr>() {
        return Ok(address);
    }
    if let Ok(address) = server.parse::<IpAddr>() {
        return Ok(SocketAddr::new(address, 53));
    }
    let written = if server.contains(':') { server.to_owned() } else { format!("{server}:53") };
    let found = tokio::net::lookup_host(&written).await.ok().and_then(|mut list| list.next());
    found.ok_or_else(|| cannot(Said::with(NO_SERVER, &[("server", server)])))
}

fn agreed(server: SocketAddr, language: Language) -> Result<bool, Failure> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(cannot(NOT_ASKED));
    }
    let mut err = std::io::stderr().lock();
    let question = ASK.with(language, &[("server", &server.to_string())]);
    write!(err, "{question} ").and_then(|()| err.flush())?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer)?;
    Ok(language.answer(&answer) == Some(true))
}

fn addresses(
    arguments: &DnsArgs,
    config: &Config,
    language: Language,
) -> Result<Vec<IpAddr>, Failure> {
    if !arguments.egress.is_empty() {
        return Ok(egress::given(&arguments.egress));
    }
    // Whoever hands all mail to a relay is seen by nobody else.
    if config.relayhost.is_some() {
        return Ok(Vec::new());
    }
    let (public, private): (Vec<_>, Vec<_>) =
        egress::find(config).into_iter().partition(|address| is_public(*address));
    let private: Vec<String> = private.iter().map(ToString::to_string).collect();
    let private = private.join(", ");
    match (public.is_empty(), private.is_empty()) {
        (false, true) => {}
        (false, false) => {
            say(&Said::plain(ALSO_PRIVATE).put("private", &private), language);
        }
        (true, false) => {
            return Err(cannot(Said::plain(ONLY_PRIVATE).put("private", &private)));
        }
        (true, true) => return Err(cannot(NO_ADDRESS)),
    }
    Ok(public)
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
const KEYS_HIDDEN: Text = Text::new(
    "this user may not read the keys below {directory}, so that nothing can be said about their \
     records: run `puerto dns` as root or as the server's user",
    "este usuario no puede leer las claves de {directory}, así que no se puede decir nada de sus \
     registros: ejecute `puerto dns` como root o como el usuario del servidor",
);
const NO_ADDRESS: Text = Text::new(
    "this machine has no way to the Internet, so that the address that its mail comes from is not \
     known: give it by --egress ADDRESS, or set a relayhost",
    "esta máquina no tiene salida a Internet, así que no se sabe desde qué dirección saldrá su \
     correo: indíquela con --egress DIRECCIÓN o configure un relayhost",
);
const ASK: Text = Text::new("Publish this at {server}? [y/N]", "¿Publicar esto en {server}? [s/N]");
const NOT_ASKED: Text = Text::new(
    "nothing was published: nobody is there to be asked. Add --yes to publish what is shown",
    "no se ha publicado nada: no hay a quién preguntar. Añada --yes para publicar lo que se muestra",
);
const LEFT: Text = Text::new("nothing was published", "no se ha publicado nada");
const PUBLISHED: Text = Text::new("published: {names}", "publicado: {names}");
const ELSEWHERE: Text = Text::new(
    "that server is not responsible for {names}: publish those where they belong",
    "ese servidor no es responsable de {names}: publíquelos donde corresponda",
);
const NO_SERVER: Text = Text::new(
    "`{server}` is not the name or address of a server",
    "`{server}` no es el nombre ni la dirección de un servidor",
);
