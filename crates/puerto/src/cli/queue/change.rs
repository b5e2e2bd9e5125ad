//! Changes of many messages at once.
//!
//! A bulk change is made in two steps. The messages that the conditions select are counted
//! first and their ids kept; after some of them were shown and the question was answered,
//! exactly these are changed, and not others that have come since.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, BufRead, IsTerminal};

use clap::Args;
use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use puerto_spool::MessageId;

use super::conditions::{Conditions, id};
use super::print::{self, Manner};
use super::{counted, usage};
use crate::cli::clock::now;
use crate::cli::exit::{Failure, Sysexit};
use crate::cli::output::{json_document, say, tell};
use crate::cli::spanish::Spanish as _;
use crate::control::protocol::{Change, PausedView, Selection};
use crate::control::{Client, ClientError};
use crate::lang::{Language, Said, Text, said};

/// Messages that are shown before the question.
const EXAMPLES: usize = 3;
/// Messages below which a change is done before anybody could look at its progress.
const MANY: u64 = 2000;

#[derive(Debug, Args)]
pub(super) struct ChangeArgs {
    /// Ids of messages, as `puerto queue list` and the log show them
    #[arg(es = "Identificadores de mensajes, como los muestran `puerto queue list` y el registro")]
    #[arg(conflicts_with = "all", value_parser = id)]
    pub(super) ids: Vec<String>,
    #[command(flatten)]
    pub(super) conditions: Conditions,
    /// All messages that wait
    #[arg(es = "Todos los mensajes en espera")]
    #[arg(long)]
    pub(super) all: bool,
    #[command(flatten)]
    pub(super) consent: Consent,
}

/// Whether it is done at once, or only shown.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Consent {
    /// Do not ask before changing several messages
    #[arg(es = "No pregunta antes de cambiar varios mensajes")]
    #[arg(long, short)]
    pub(super) yes: bool,
    /// Only show which messages that would be
    #[arg(es = "Solo muestra qué mensajes serían")]
    #[arg(long, conflicts_with = "yes")]
    pub(super) dry_run: bool,
    /// Print a JSON document
    #[arg(es = "Escribe un documento JSON")]
    #[arg(long)]
    pub(super) json: bool,
}

/// How to reach the server, once for each thing that is asked.
pub(super) type Connect<'a> = &'a dyn Fn() -> Result<Client, ClientError>;

/// Does what was asked to the messages that are named or meant.
pub(super) fn run(
    connect: Connect<'_>,
    change: Change,
    arguments: &ChangeArgs,
    language: Language,
) -> Result<Sysexit, Failure> {
    let mut selection = arguments.conditions.selection();
    let named = !arguments.ids.is_empty();
    if named && !selection.is_empty() {
        return Err(usage(said!(
            "name messages by their ids or by conditions, not by both",
            "nombre los mensajes por su identificador o por condiciones, no de ambas formas"
        )));
    }
    if named {
        let ids = arguments.ids.iter().cloned();
        let done = connect()?.change((change, &selection), ids, |_| {})?;
        return tell_done(change, &done, (true, arguments.consent.json), language);
    }
    if !arguments.all && selection.is_empty() {
        return Err(usage(said!(
            "which messages? Name their ids, conditions such as --to, or --all",
            "¿qué mensajes? Indique sus identificadores, condiciones como --to, o --all"
        )));
    }
    // What is not held has nothing to be released from.
    if change == Change::Release {
        selection.held.get_or_insert(true);
    }
    let question = question(change);
    let Some(ids) = agreed(connect, &selection, question, arguments.consent, language)? else {
        return Ok(Sysexit::Ok);
    };
    // What was learnt of destinations for which nothing waits is looked at anew, too.
    if change == Change::Retry && arguments.all {
        connect()?.flush(None)?;
    }
    change_all(connect, (change, &selection), (&ids, arguments.consent.json), language)
}

/// Changes these, which were chosen by conditions.
pub(super) fn change_all(
    connect: Connect<'_>,
    (change, chosen): (Change, &Selection),
    (ids, json): (&[MessageId], bool),
    language: Language,
) -> Result<Sysexit, Failure> {
    let bar = bar(ids.len() as u64);
    let all = ids.iter().map(ToString::to_string);
    let done = connect()?.change((change, chosen), all, |dealt_with| bar.set_position(dealt_with));
    bar.finish_and_clear();
    tell_done(change, &done?, (false, json), language)
}

/// The messages that conditions mean, if whoever asks still wants it when they have been
/// shown; `None`: nothing is to be done.
pub(super) fn agreed(
    connect: Connect<'_>,
    selection: &Selection,
    question: (Text, Text),
    consent: Consent,
    language: Language,
) -> Result<Option<Vec<MessageId>>, Failure> {
    let ids = found(connect, selection)?;
    if ids.is_empty() && !consent.dry_run {
        return Ok(Some(ids));
    }
    if consent.dry_run && consent.json {
        document(&serde_json::json!({ "would_change": ids.len(), "ids": ids }))?;
        return Ok(None);
    }
    if consent.dry_run || (!consent.yes && io::stdin().is_terminal()) {
        show_some(connect, &ids, language)?;
    }
    if consent.dry_run {
        say(&counted(WOULD_ONE, WOULD, ids.len() as u64, language))?;
        return Ok(None);
    }
    if !consent.yes && !confirmed(question, ids.len(), language)? {
        tell(&format!("puerto: {}", UNCHANGED.of(language)));
        return Ok(None);
    }
    Ok(Some(ids))
}

// A million of them take eight megabytes.
fn found(connect: Connect<'_>, selection: &Selection) -> Result<Vec<MessageId>, Failure> {
    let mut ids = Vec::new();
    let bar = ProgressBar::new_spinner();
    let style = ProgressStyle::with_template("{spinner} {human_pos}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    let listed = connect()?.ids(selection, |some| {
        ids.extend(some.iter().filter_map(|id| id.parse::<MessageId>().ok()));
        bar.set_position(ids.len() as u64);
        Ok(())
    });
    bar.finish_and_clear();
    listed?;
    Ok(ids)
}

fn show_some(connect: Connect<'_>, ids: &[MessageId], language: Language) -> Result<(), Failure> {
    let some = ids.iter().take(EXAMPLES).map(ToString::to_string).collect();
    let selection = Selection { ids: some, ..Selection::default() };
    let manner = Manner { form: print::Form::Plain, language, now: now() };
    if !ids.is_empty() {
        let mut shown = Vec::new();
        connect()?.briefs(&selection, language != Language::English, |message| {
            shown.push(print::example(message, manner));
            Ok(())
        })?;
        shown.iter().for_each(|line| tell(&format!("  {line}")));
    }
    if let Some(more) = ids.len().checked_sub(EXAMPLES).filter(|more| *more > 0) {
        tell(&format!("  {}", counted(MORE_ONE, MORE, more as u64, language)));
    }
    Ok(())
}

fn bar(length: u64) -> ProgressBar {
    if length < MANY || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(length);
    let template = "{bar:30} {human_pos}/{human_len} {rate} {eta}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        let rate = |state: &ProgressState, out: &mut dyn fmt::Write| {
            // A bar that cannot be written is not seen.
            let _ = out.write_str(&rate_of(state.per_sec()));
        };
        bar.set_style(style.with_key("rate", rate));
    }
    bar
}

fn rate_of(per_second: f64) -> String {
    format!("{per_second:.0}/s")
}

fn tell_done(
    change: Change,
    done: &crate::control::protocol::Summary,
    (named, json): (bool, bool),
    language: Language,
) -> Result<Sysexit, Failure> {
    if json {
        document(&serde_json::json!({
            "changed": done.count, "missing": done.missing, "held": done.held,
            "not_held": done.not_held, "paused": done.paused
        }))?;
    } else if done.count > 0
        || (done.held.is_empty() && done.not_held.is_empty() && done.paused.is_empty())
    {
        say(&past(change, done.count, language))?;
    }
    let (held, held_code) = of_the_held(&done.held, named, language);
    let (gone, code) = of_the_missing(&done.missing, named, language);
    let free = done.not_held.iter().map(|id| NOT_HELD.with(language, &[("id", id)]));
    let free: Vec<String> = free.collect();
    let (paused, paused_code) = of_the_paused(&done.paused, named, language);
    for line in held.iter().chain(&paused).chain(&free).chain(&gone) {
        tell(&format!("puerto: {line}"));
    }
    let codes = [code, held_code, paused_code];
    Ok(codes.into_iter().find(|code| *code != Sysexit::Ok).unwrap_or(Sysexit::Ok))
}

fn document(value: &serde_json::Value) -> Result<(), Failure> {
    say(&json_document(value).map_err(io::Error::from)?)?;
    Ok(())
}

/// What to say of messages that would be tried if they were not held, and the exit code:
/// whoever `named` a message has not got what was asked for.
fn of_the_held(held: &[String], named: bool, language: Language) -> (Vec<String>, Sysexit) {
    match held {
        [] => (Vec::new(), Sysexit::Ok),
        held if named => {
            let lines = held.iter().map(|id| HELD_ONE.with(language, &[("id", id)]));
            (lines.collect(), Sysexit::Unavailable)
        }
        held => (vec![counted(HELD_OF_ALL, HELD, held.len() as u64, language)], Sysexit::Ok),
    }
}

/// The same of messages that wait for pauses to end.
fn of_the_paused(paused: &[PausedView], named: bool, language: Language) -> (Vec<String>, Sysexit) {
    if named {
        let code = match paused.iter().any(|one| !one.in_part) {
            true => Sysexit::Unavailable,
            false => Sysexit::Ok,
        };
        return (paused.iter().map(|one| paused_one(one).of(language)).collect(), code);
    }
    let orders: BTreeSet<u64> = paused.iter().flat_map(|one| one.orders.iter().copied()).collect();
    let numbers = listed(orders);
    let values = [("count", &*paused.len().to_string()), ("numbers", &*numbers)];
    let text = Text::by_count(paused.len() as u64, PAUSED_OF_ALL, PAUSED);
    let lines = (!paused.is_empty()).then(|| text.with(language, &values));
    (lines.into_iter().collect(), Sysexit::Ok)
}

/// That a message is not tried, or not all of it, by which pauses, and how they are ended.
pub(crate) fn paused_one(paused: &PausedView) -> Said {
    let text = if paused.in_part { PAUSED_IN_PART } else { PAUSED_ONE };
    let numbers = listed(paused.orders.iter().copied());
    Said::with(text, &[("id", &paused.id), ("numbers", &numbers)])
}

// As `puerto resume` takes them.
fn listed(numbers: impl IntoIterator<Item = u64>) -> String {
    let numbers = numbers.into_iter().map(|number| number.to_string());
    numbers.collect::<Vec<_>>().join(" ")
}

/// What to say of messages that were not there to be changed, and the exit code. One
/// that was chosen by a condition may be delivered before it is changed; only whoever
/// `named` a message is owed an error when it is not there.
fn of_the_missing(missing: &[String], named: bool, language: Language) -> (Vec<String>, Sysexit) {
    if missing.is_empty() {
        return (Vec::new(), Sysexit::Ok);
    }
    if !named {
        let left = counted(LEFT_ONE, LEFT, missing.len() as u64, language);
        return (vec![left], Sysexit::Ok);
    }
    let lines = missing.iter().map(|id| GONE.with(language, &[("id", id)])).collect();
    (lines, Sysexit::NoInput)
}

fn confirmed((one, many): (Text, Text), count: usize, language: Language) -> Result<bool, Failure> {
    let count = count as u64;
    if !io::stdin().is_terminal() {
        let (one, many) = (NOBODY_ONE, NOBODY);
        return Err(usage(Said::of_both(|language| counted(one, many, count, language))));
    }
    eprint!("{} {} ", counted(one, many, count, language), YES_NO.of(language));
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(language.answer(&answer) == Some(true))
}

const YES_NO: Text = Text::new("[y/N]", "[s/N]");
const UNCHANGED: Text = Text::new("nothing was changed", "no se ha cambiado nada");
const GONE: Text =
    Text::new("{id} is not in the queue (any more)", "{id} no está (o ya no está) en la cola");
/// Of one message that is not tried, since it is held.
pub(crate) const HELD_ONE: Text = Text::new(
    "{id} is held and is not tried until it is released: `puerto queue release {id}`",
    "{id} está retenido y no se intenta entregar hasta que se libere: `puerto queue release {id}`",
);
const NOT_HELD: Text = Text::new(
    "{id} is not held: there is nothing to release it from",
    "{id} no está retenido: no hay nada que liberar",
);
const HELD_OF_ALL: Text = Text::new(
    "1 message is held and is not tried until it is released: `puerto queue release` with the same selection",
    "1 mensaje está retenido y no se intenta entregar hasta que se libere: `puerto queue release` con la misma selección",
);
const HELD: Text = Text::new(
    "{count} messages are held and are not tried until they are released: `puerto queue release` with the same selection",
    "{count} mensajes están retenidos y no se intentan entregar hasta que se liberen: `puerto queue release` con la misma selección",
);
const PAUSED_ONE: Text = Text::new(
    "{id} is paused and is not tried until that ends: `puerto resume {numbers}`",
    "{id} está en pausa y no se intenta entregar hasta que termine: `puerto resume {numbers}`",
);
const PAUSED_IN_PART: Text = Text::new(
    "{id}: some of its recipients are paused and are not tried until that ends: `puerto resume {numbers}`",
    "{id}: algunos de sus destinatarios están en pausa y no se intentan hasta que termine: `puerto resume {numbers}`",
);
const PAUSED_OF_ALL: Text = Text::new(
    "1 message is paused, or some of its recipients are, and waits until that ends: `puerto resume {numbers}`",
    "1 mensaje está en pausa, o algunos de sus destinatarios, y espera a que termine: `puerto resume {numbers}`",
);
const PAUSED: Text = Text::new(
    "{count} messages are paused, or some of their recipients are, and wait until that ends: `puerto resume {numbers}`",
    "{count} mensajes están en pausa, o algunos de sus destinatarios, y esperan a que termine: `puerto resume {numbers}`",
);
const LEFT_ONE: Text =
    Text::new("1 message left the queue meanwhile", "1 mensaje ha salido entretanto de la cola");
const LEFT: Text = Text::new(
    "{count} messages left the queue meanwhile",
    "{count} mensajes han salido entretanto de la cola",
);
const NOBODY_ONE: Text = Text::new(
    "this would change 1 message; add --yes, since there is nobody to ask",
    "esto cambiaría 1 mensaje; añada --yes, ya que no hay a quién preguntar",
);
const NOBODY: Text = Text::new(
    "this would change {count} messages; add --yes, since there is nobody to ask",
    "esto cambiaría {count} mensajes; añada --yes, ya que no hay a quién preguntar",
);

const WOULD_ONE: Text = Text::new("this would be 1 message", "esto sería 1 mensaje");
const WOULD: Text = Text::new("this would be {count} messages", "esto serían {count} mensajes");
const MORE_ONE: Text = Text::new("… and 1 more", "… y 1 más");
const MORE: Text = Text::new("… and {count} more", "… y {count} más");

fn question(change: Change) -> (Text, Text) {
    match change {
        Change::Retry => (
            Text::new("Try 1 message?", "¿Intentar entregar 1 mensaje?"),
            Text::new("Try {count} messages?", "¿Intentar entregar {count} mensajes?"),
        ),
        Change::Hold => (
            Text::new("Hold 1 message?", "¿Retener 1 mensaje?"),
            Text::new("Hold {count} messages?", "¿Retener {count} mensajes?"),
        ),
        Change::Release => (
            Text::new("Release 1 message?", "¿Liberar 1 mensaje?"),
            Text::new("Release {count} messages?", "¿Liberar {count} mensajes?"),
        ),
        Change::Remove => (
            Text::new("Remove for good 1 message?", "¿Eliminar definitivamente 1 mensaje?"),
            Text::new(
                "Remove for good {count} messages?",
                "¿Eliminar definitivamente {count} mensajes?",
            ),
        ),
    }
}

fn past(change: Change, count: u64, language: Language) -> String {
    let (one, many) = match change {
        Change::Retry => (
            Text::new("1 message to be tried now", "1 mensaje se intentará entregar ahora"),
            Text::new(
                "{count} messages to be tried now",
                "{count} mensajes se intentarán entregar ahora",
            ),
        ),
        Change::Hold => (
            Text::new("1 message held", "1 mensaje retenido"),
            Text::new("{count} messages held", "{count} mensajes retenidos"),
        ),
        Change::Release => (
            Text::new("1 message released", "1 mensaje liberado"),
            Text::new("{count} messages released", "{count} mensajes liberados"),
        ),
        Change::Remove => (
            Text::new("1 message removed", "1 mensaje eliminado"),
            Text::new("{count} messages removed", "{count} mensajes eliminados"),
        ),
    };
    counted(one, many, count, language)
}

#[cfg(test)]
mod tests {
    use super::{PausedView, of_the_held, of_the_missing, of_the_paused, rate_of};
    use crate::cli::exit::Sysexit;
    use crate::lang::Language;

    #[test]
    fn a_rate_is_a_whole_number() {
        assert_eq!(rate_of(181_078.068_1), "181078/s");
    }

    #[test]
    fn a_retry_of_paused_mail_says_by_which_order_and_how_that_ends() {
        let of = |id: &str, orders: &[u64], in_part| PausedView {
            id: id.to_owned(),
            orders: orders.to_vec(),
            in_part,
        };
        let all = [of("0A1B2C3D4E5F", &[2], false), of("1A1B2C3D4E5F", &[2, 7], true)];
        for (language, word) in [(Language::English, "paused"), (Language::Spanish, "pausa")] {
            let (lines, code) = of_the_paused(&all, true, language);
            assert_eq!((lines.len(), code), (2, Sysexit::Unavailable));
            assert!(
                lines[0].contains(word) && lines[0].ends_with("`puerto resume 2`"),
                "{lines:?}"
            );
            assert!(lines[1].ends_with("`puerto resume 2 7`"), "{lines:?}");
            assert_eq!(of_the_paused(&all[1..], true, language).1, Sysexit::Ok, "some are tried");
            let (lines, code) = of_the_paused(&all, false, language);
            assert_eq!((lines.len(), code), (1, Sysexit::Ok));
            assert!(lines[0].ends_with("`puerto resume 2 7`"), "{lines:?}");
            assert_eq!(of_the_paused(&[], false, language), (Vec::new(), Sysexit::Ok));
        }
    }

    /// G4.
    #[test]
    fn a_retry_of_held_mail_says_that_it_is_held_and_how_it_is_released() {
        let ids = ["0A1B2C3D4E5F".to_owned(), "1A1B2C3D4E5F".to_owned()];
        for (language, word) in [(Language::English, "held"), (Language::Spanish, "retenido")] {
            let (lines, code) = of_the_held(&ids, true, language);
            assert_eq!((lines.len(), code), (2, Sysexit::Unavailable));
            assert!(lines[1].contains(word) && lines[1].contains("release 1A1B2C3D4E5F"));
            for some in [&ids[..], &ids[..1]] {
                let (lines, code) = of_the_held(some, false, language);
                assert_eq!((lines.len(), code), (1, Sysexit::Ok));
                assert!(lines[0].contains(word) && lines[0].contains("`puerto queue release`"));
            }
            assert_eq!(of_the_held(&[], true, language), (Vec::new(), Sysexit::Ok));
        }
    }

    #[test]
    fn a_delivery_between_choice_and_change_is_no_error() {
        let gone = ["0A1B2C3D4E5F".to_owned()];
        let (lines, code) = of_the_missing(&gone, false, Language::English);
        assert_eq!(
            (lines.join(""), code),
            ("1 message left the queue meanwhile".into(), Sysexit::Ok)
        );
        let (lines, code) = of_the_missing(&gone, true, Language::English);
        assert!(lines.join("").contains("0A1B2C3D4E5F is not in the queue"));
        assert_eq!(code, Sysexit::NoInput);
        assert_eq!(of_the_missing(&[], true, Language::English).1, Sysexit::Ok);
    }
}
