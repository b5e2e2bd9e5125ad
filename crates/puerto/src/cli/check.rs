//! `puerto check`: everything that receivers demand, asked live.

use std::io::{self, IsTerminal};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;

use super::clock::now;
use super::exit::{Failure, Sysexit, end};
use super::output::{json_document, print, printable, say, show};
use crate::check::watch::{Change, Memory, memory_file, memory_place};
use crate::check::{self, Asked, Check, FAMILIES, Internet, Progress, Report, Status, Trial};
use crate::cli::spanish::Spanish as _;
use crate::config::Config;
use crate::dns::Resolver;
use crate::finding::Severity;
use crate::lang::{Language, Said, Text, harmless_json};
use crate::rights;

/// Check, live, everything that receivers demand of this server and of a domain.
#[derive(Debug, Default, Args)]
pub struct CheckArgs {
    /// The domain that mail is sent from; all of `domains` if none is given
    #[arg(es = "El dominio desde el que se envía; si no se indica, todos los de `domains`")]
    #[arg(value_name = "DOMAIN")]
    domain: Option<String>,
    /// One JSON document instead of text
    #[arg(es = "Un documento JSON en vez de texto")]
    #[arg(long)]
    json: bool,
    /// Only these checks: a group such as spf, or an id such as spf.exists; repeatable
    #[arg(
        es = "Solo estas comprobaciones: un grupo como spf o un identificador como spf.exists; \
                puede repetirse"
    )]
    #[arg(long, value_name = "GROUP")]
    only: Vec<String>,
    /// Judge this address instead of this machine's own; repeatable
    #[arg(es = "Examina esta dirección en lugar de las de esta máquina; puede repetirse")]
    #[arg(long, value_name = "ADDRESS")]
    egress: Vec<IpAddr>,
    /// For a timer: say nothing until two runs in a row saw the same change
    #[arg(es = "Para un temporizador: calla hasta que dos pasadas seguidas hayan visto el mismo \
                cambio")]
    #[arg(long)]
    watch: bool,
    /// Where --watch remembers the last run; below the state directory if none is given
    #[arg(
        es = "Dónde recuerda --watch la última pasada; si no se indica, en la carpeta de estado"
    )]
    #[arg(long, value_name = "FILE", requires = "watch")]
    memory: Option<PathBuf>,
    /// Also what is right, and what was skipped
    #[arg(es = "También lo que está bien y lo que se ha omitido")]
    #[arg(long)]
    all: bool,
    /// Print the document that explains every check
    #[arg(es = "Escribe el documento que explica cada comprobación")]
    #[arg(long, hide = true)]
    document: bool,
}

/// Runs the command: exit code 0 if all is well, 1 if something is wrong, 2 if it
/// could not be checked.
pub fn run(arguments: &CheckArgs, config: Option<&Path>, language: Language) -> ExitCode {
    let done = match arguments.document {
        true => print(&check::document(language)).map(|()| 0).map_err(Failure::from),
        false => judge(arguments, config, language),
    };
    end("puerto check", done.map_err(Failure::unjudged), language)
}

/// What one check and its group say now about the domain and addresses of the
/// configuration, in one sentence; `None` if no check of that name is built or the
/// configuration cannot be read. A receiver's words name the matter, and the fault may
/// be what a sister of the check finds.
pub(super) fn say_now(id: &str, config: Option<&Path>, language: Language) -> Option<String> {
    check::definition(id)?;
    let config = Config::load(config).ok()?;
    let group = id.split('.').next().unwrap_or(id);
    let arguments = CheckArgs { only: vec![group.to_owned()], ..CheckArgs::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let report = runtime.block_on(ask(&arguments, &config, language));
    runtime.shutdown_background();
    let first = |is: &dyn Fn(&&Check) -> bool| report.checks.iter().find(is);
    let of_it = |status| first(&|check| check.id() == id && check.status == status);
    let fault =
        first(&|check| check.status == Status::Finding && check.severity == Severity::Error);
    // What could not be asked because of something else is no answer either.
    let unanswered = of_it(Status::Unknown).or_else(|| of_it(Status::NotApplicable));
    let (text, check) = match (of_it(Status::Finding).or(fault), of_it(Status::Pass)) {
        (Some(check), _) => {
            const FAILS: Text = Text::new(
                "{id} is still failing now: {seen}. {remedy}",
                "{id} sigue fallando ahora: {seen}. {remedy}",
            );
            (FAILS, check)
        }
        (None, Some(check)) => {
            (Text::new("{id} is right now: {seen}", "{id} está bien ahora: {seen}"), check)
        }
        (None, None) => (
            Text::new("{id} cannot be told now: {seen}", "{id} no se puede saber ahora: {seen}"),
            unanswered?,
        ),
    };
    let (seen, remedy) = (check.seen.of(language), check.remedy.of(language));
    Some(text.with(language, &[("id", check.id()), ("seen", &seen), ("remedy", &remedy)]))
}

fn judge(arguments: &CheckArgs, config: Option<&Path>, language: Language) -> Result<u8, Failure> {
    let config = Config::load(config)?;
    if let Some(unknown) = arguments.only.iter().find(|name| !check::has_group(name)) {
        let groups: Vec<_> = FAMILIES.iter().map(|family| family.name).collect();
        let text = Text::new(
            "there is no check or group `{name}`; groups: {groups}",
            "no hay ninguna comprobación ni grupo `{name}`; grupos: {groups}",
        );
        let text = Said::with(text, &[("name", unknown), ("groups", &groups.join(" "))]);
        return Err(Failure::new(Sysexit::Usage, text));
    }
    if let Some(domain) = &arguments.domain
        && !puerto_smtp::Domain::parse(domain).is_ok_and(|domain| domain.name().is_some())
    {
        let text =
            Text::new("`{name}` is not a domain name", "`{name}` no es un nombre de dominio");
        return Err(Failure::new(Sysexit::Usage, Said::with(text, &[("name", domain)])));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(ask(arguments, &config, language));
    // A query that nobody waits for any more must not hold the process up.
    runtime.shutdown_background();
    if arguments.watch {
        return watch(arguments, &config, &report, language);
    }
    if arguments.json {
        say(&json_document(&report.to_json(language)).map_err(io::Error::from)?)?;
    } else {
        show(&check::show(&report, arguments.all, language))?;
    }
    Ok(report.exit_code())
}

async fn ask(arguments: &CheckArgs, config: &Config, language: Language) -> Report {
    let internet = Internet::new(Resolver::new(config));
    let internet = match tries_relay(arguments, config) {
        true => internet.trying(trial_of_relay(config)),
        false => internet,
    };
    let asked = Asked { domain: arguments.domain.clone(), egress: arguments.egress.clone() };
    let bar = progress_bar(!arguments.json && !arguments.watch);
    let now = now().as_second();
    internet.settle(&check::domain_of(&asked, config)).await;
    let progress = |progress: Progress| {
        bar.set_length(u64::try_from(progress.total).unwrap_or_default());
        bar.set_position(u64::try_from(progress.done).unwrap_or_default());
        bar.set_message(progress.family.title.of(language));
    };
    let report = check::judge(&internet, config, (asked, now), &arguments.only, &progress).await;
    bar.finish_and_clear();
    report
}

// What is judged for an address that is not ours says nothing of our relay.
fn tries_relay(arguments: &CheckArgs, config: &Config) -> bool {
    let is_wanted = |name: &String| ["net", "net.relay"].contains(&name.as_str());
    config.relayhost.is_some()
        && arguments.egress.is_empty()
        && (arguments.only.is_empty() || arguments.only.iter().any(is_wanted))
}

fn trial_of_relay(config: &Config) -> watch::Receiver<Option<Trial>> {
    let (tell, told) = watch::channel(None);
    let trial = super::relay::trial(config.clone(), Resolver::new(config));
    tokio::spawn(async move {
        let _ = tell.send(Some(trial.await));
    });
    told
}

fn progress_bar(wanted: bool) -> ProgressBar {
    if !wanted || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(1);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {pos}/{len} {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(std::time::Duration::from_millis(100));
    bar
}

fn watch(
    arguments: &CheckArgs,
    config: &Config,
    report: &Report,
    language: Language,
) -> Result<u8, Failure> {
    let named = arguments.memory.clone();
    let file = named.unwrap_or_else(|| memory_file(config, report.domain()));
    let cannot = |error: io::Error| {
        let text = Text::new(
            "cannot use {file}: {error}; name another file by --memory",
            "no se puede usar {file}: {error}; indique otro fichero con --memory",
        );
        let name = Said::words(file.display().to_string());
        let parts = [("file", &name), ("error", &rights::said(&error))];
        Failure::new(Sysexit::CantCreate, Said::of_parts(text, &parts))
    };
    let place = memory_place(&file).map_err(cannot)?;
    let mut memory = Memory::load(&place).map_err(cannot)?;
    let change = memory.learn(&report.checks);
    memory.save(&place).map_err(cannot)?;
    if let Some(change) = change {
        match arguments.json {
            true => say(&told_json(&change, report, language))?,
            false => show(&told(&change, report, language))?,
        }
    }
    Ok(report.exit_code())
}

fn told_json(change: &Change, report: &Report, language: Language) -> String {
    let value = serde_json::json!({
        "domain": report.domain(), "appeared": change.appeared, "gone": change.gone,
        "summary": report.summary(language),
    });
    harmless_json(&value.to_string())
}

fn told(change: &Change, report: &Report, language: Language) -> String {
    let mut out = String::new();
    let wrong = Text::new("now wrong: {what}", "ahora mal: {what}");
    let right = Text::new("right again: {what}", "bien de nuevo: {what}");
    for (text, list) in [(wrong, &change.appeared), (right, &change.gone)] {
        for what in list {
            out.push_str(&text.with(language, &[("what", &printable(what))]));
            out.push('\n');
        }
    }
    out.push_str(&printable(&report.summary(language)));
    out.push('\n');
    out
}
