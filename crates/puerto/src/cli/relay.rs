//! `puerto relay`: the relayhost, before mail depends on it.

use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use puerto_smtp::Address;
use puerto_spool::clock::SystemClock;

use super::clock::now;
use super::exit::{Failure, Sysexit, end};
use super::output::{json_document, printable, say, show, tell};
use crate::check::Trial;
use crate::cli::spanish::Spanish as _;
use crate::config::{Config, Live, NextHop};
use crate::dns::Resolver;
use crate::finding::Finding;
use crate::lang::{Language, Said, Text, address_error, system};
use crate::relay::{self, Question};
use crate::rights::Identity;
use crate::route::Machine;
use crate::sender;
use crate::tls::{ClientTls, KnownKeys};
use crate::transport::fetch::over_https;
use crate::transport::sts::Policies;

/// What to do with a relayhost.
#[derive(Debug, Subcommand)]
pub enum RelayCommand {
    /// Say what it means, where it leads, what it offers, and whether it takes our mail
    #[command(es = "Dice qué significa, adónde lleva, qué ofrece y si acepta nuestro correo")]
    Test(TestArgs),
}

/// Test a relayhost; nothing is sent without --send.
#[derive(Debug, Args)]
pub struct TestArgs {
    /// In Postfix's syntax, as in the configuration; without it, the configured one
    #[arg(es = "En la sintaxis de Postfix, como en la configuración; si falta, el configurado")]
    #[arg(value_name = "RELAYHOST")]
    relayhost: Option<String>,
    /// The sender to try, instead of root's as others see it
    #[arg(es = "El remitente que se prueba, en lugar del de root tal como se ve fuera")]
    #[arg(long, value_name = "ADDRESS")]
    from: Option<String>,
    /// The recipient to try, instead of the sender's own address; nothing is sent
    #[arg(
        es = "El destinatario que se prueba, en lugar de la propia dirección del remitente; no \
                se envía nada"
    )]
    #[arg(long, value_name = "ADDRESS")]
    to: Option<String>,
    /// Really send a short message to this address
    #[arg(es = "Envía de verdad un mensaje corto a esta dirección")]
    #[arg(long, value_name = "ADDRESS")]
    send: Option<String>,
    /// One JSON document instead of text
    #[arg(es = "Un documento JSON en vez de texto")]
    #[arg(long)]
    json: bool,
}

/// Runs the command: exit code 0 if the relay takes our mail, 1 if not, 2 if it could
/// not be tested.
pub fn run(command: &RelayCommand, config: Option<&Path>, language: Language) -> ExitCode {
    let RelayCommand::Test(arguments) = command;
    let tested = test(arguments, config, language).map_err(Failure::unjudged);
    end("puerto relay test", tested, language)
}

fn test(arguments: &TestArgs, config: Option<&Path>, language: Language) -> Result<u8, Failure> {
    let config = Config::load(config)?;
    let question = Question {
        next_hop: next_hop(arguments, &config)?,
        sender: sender(arguments, &config)?,
        recipient: arguments.to.as_deref().map(address).transpose()?,
        send_to: arguments.send.as_deref().map(address).transpose()?,
        now: now().as_second(),
        config,
    };
    tell_whose_login(arguments, &question, language);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(async {
        let resolver = Arc::new(Resolver::new(&question.config));
        let waiting = waiting(!arguments.json, &question.next_hop, language);
        let client_tls = client_tls(&question.config);
        let way = (Machine::this(), Some(policies(&resolver, &question.config)));
        let report = relay::test(resolver, way, client_tls, question).await;
        waiting.finish_and_clear();
        report
    });
    match arguments.json {
        true => say(&json_document(&report.to_json(language)).map_err(io::Error::from)?)?,
        false => show(&relay::show(&report, language))?,
    }
    Ok(match (report.is_uncertain(), report.is_wrong()) {
        (true, _) => 2,
        (false, true) => 1,
        (false, false) => 0,
    })
}

// What is tested may be written otherwise than it was asked for, and a login that is not
// tried is no login that works.
fn tell_whose_login(arguments: &TestArgs, question: &Question, language: Language) {
    const AS_CONFIGURED: Text = Text::new(
        "{written} is the configured relayhost, which is tested as {hop}",
        "{written} es el relayhost configurado, que se prueba como {hop}",
    );
    const NOT_FOR_IT: Text = Text::new(
        "no login is tried: the configured one is for {others} alone",
        "no se prueba a iniciar sesión: la configurada es solo para {others}",
    );
    let Some(written) = &arguments.relayhost else { return };
    let hop = &question.next_hop;
    if NextHop::parse(written).is_ok_and(|asked| asked != *hop) {
        let values = [("written", &*printable(written)), ("hop", &*hop.to_string())];
        tell(&format!("puerto relay test: {}", AS_CONFIGURED.with(language, &values)));
    }
    let known = question.config.relay_of(hop);
    let others = question.config.relays().filter(|relay| relay.login.is_some() && known.is_none());
    let others: Vec<String> = others.map(|relay| relay.next_hop.to_string()).collect();
    if !others.is_empty() {
        let values = [("others", &*others.join(", "))];
        tell(&format!("puerto relay test: {}", NOT_FOR_IT.with(language, &values)));
    }
}

// Whoever may not read the keys of relays tests as if none were known.
fn client_tls(config: &Config) -> ClientTls {
    let service = Identity::of_service(&config.user).ok().flatten();
    let keys = KnownKeys::to_look_at(&config.state_dir, service.as_ref());
    ClientTls::new().knowing(keys.unwrap_or_default())
}

// What the server would fetch as well; this command keeps none.
fn policies(resolver: &Arc<Resolver>, config: &Config) -> Policies {
    let fetch = over_https(Arc::clone(resolver), Live::new(config.clone()));
    Policies::new(Arc::new(SystemClock), fetch)
}

/// What this command finds of the configured relayhost, for `puerto check`; nothing is
/// sent. Who may not read the password cannot try it.
pub(super) async fn trial(config: Config, resolver: Resolver) -> Trial {
    const UNREADABLE: Text = Text::new(
        "the password in {file} may not be read ({error}), so run it as root",
        "no se puede leer la contraseña de {file} ({error}), así que ejecútelo como root",
    );
    const NO_DNS: Text = Text::new("the DNS does not answer", "el DNS no responde");
    let Some(next_hop) = config.relayhost.clone() else { return Trial::NotTried(None) };
    if let Some(login) = &config.relayhost_login
        && let Err(error) = std::fs::File::open(&login.password_file)
        && error.kind() == std::io::ErrorKind::PermissionDenied
    {
        let file = Said::words(login.password_file.display().to_string());
        let parts = [("file", &file), ("error", &system(&error))];
        return Trial::NotTried(Some(Said::of_parts(UNREADABLE, &parts)));
    }
    let Some(sender) = sender::of_the_machine(&config) else { return Trial::NotTried(None) };
    let client_tls = client_tls(&config);
    let question = Question {
        next_hop,
        sender,
        recipient: None,
        send_to: None,
        now: now().as_second(),
        config,
    };
    let resolver = Arc::new(resolver);
    let way = (Machine::this(), Some(policies(&resolver, &question.config)));
    let report = relay::test(resolver, way, client_tls, question).await;
    if report.is_uncertain() {
        return Trial::NotTried(Some(Said::plain(NO_DNS)));
    }
    let faults = report.problems.into_iter().map(|problem| {
        let parts = std::iter::once(problem.finding.seen.clone()).chain(problem.cause());
        let seen = Said::joined(&parts.collect::<Vec<_>>(), ". ");
        Finding { seen, ..problem.finding }
    });
    Trial::Answered(faults.collect())
}

// A relay that keeps silent is waited for.
fn waiting(wanted: bool, next_hop: &NextHop, language: Language) -> ProgressBar {
    const ASKING: Text = Text::new("asking {hop}", "preguntando a {hop}");
    if !wanted || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let spinner = ProgressBar::new_spinner();
    spinner.set_message(ASKING.with(language, &[("hop", &next_hop.to_string())]));
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}

fn next_hop(arguments: &TestArgs, config: &Config) -> Result<NextHop, Failure> {
    const NONE: Text = Text::new(
        "the configuration names no relayhost: write it behind the command, such as [mail.example.org]:587",
        "la configuración no nombra ningún relayhost: escríbalo tras la orden, como [mail.example.org]:587",
    );
    match &arguments.relayhost {
        Some(text) => config.next_hop_of(text).map_err(|error| Failure::new(Sysexit::Usage, error)),
        None => config.relayhost.clone().ok_or_else(|| Failure::new(Sysexit::Usage, NONE)),
    }
}

fn sender(arguments: &TestArgs, config: &Config) -> Result<Address, Failure> {
    const NONE: Text = Text::new(
        "the host name cannot stand in an address: say the sender with --from",
        "el nombre del servidor no sirve en una dirección: indique el remitente con --from",
    );
    match &arguments.from {
        Some(text) => address(text),
        None => sender::of_the_machine(config).ok_or_else(|| Failure::new(Sysexit::Usage, NONE)),
    }
}

fn address(text: &str) -> Result<Address, Failure> {
    const MALFORMED: Text =
        Text::new("\"{text}\" is not an address: {error}", "«{text}» no es una dirección: {error}");
    Address::parse(text).map_err(|error| {
        let parts = [("text", &Said::words(text)), ("error", &address_error(&error))];
        Failure::new(Sysexit::Usage, Said::of_parts(MALFORMED, &parts))
    })
}
