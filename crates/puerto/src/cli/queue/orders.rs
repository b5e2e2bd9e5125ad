//! What was ordered: rules by which new mail is held, other ways, and how orders are shown.

use std::io;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use super::change::{self, Connect, Consent};
use super::conditions::Conditions;
use super::print::from_now;
use super::{counted, usage};
use crate::cause::Cause;
use crate::cli::clock::now;
use crate::cli::exit::{Failure, Sysexit};
use crate::cli::output::{columns, json_document, print, printable, say, tell};
use crate::cli::pause::seconds;
use crate::cli::spanish::Spanish as _;
use crate::config::parse_duration;
use crate::control::protocol::{Change, Selection};
use crate::control::{Client, OrderView};
use crate::lang::layout::table;
use crate::lang::{Language, Said, Text, said};
use crate::orders::What;

/// When an order ends, and why it is given.
#[derive(Debug, Clone, Default, Args)]
pub(in crate::cli) struct OrderEnd {
    /// Until when it holds: 30m, 2h, 5d; without it, until it is taken back
    #[arg(es = "Cuánto dura: 30m, 2h, 5d; si no se indica, hasta que se retire")]
    #[arg(long = "for", value_name = "TIME", value_parser = lasting)]
    span: Option<Duration>,
    /// A word on why, shown with it
    #[arg(es = "Una nota sobre el motivo, que se muestra con ella")]
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

impl OrderEnd {
    /// Whether anything of it was said.
    pub(super) fn is_given(&self) -> bool {
        self.span.is_some() || self.note.is_some()
    }
}

#[derive(Debug, Args)]
pub(super) struct RulesArgs {
    /// Take back the orders with these numbers
    #[arg(es = "Retira las órdenes con estos números")]
    #[arg(long, value_name = "N", num_args = 1.., value_delimiter = ',')]
    remove: Vec<u64>,
    /// Print a JSON document
    #[arg(es = "Escribe un documento JSON")]
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct RerouteArgs {
    /// The recipients' domain: example.net, *.example.net with all below it, or * for all
    #[arg(
        es = "El dominio de los destinatarios: example.net, *.example.net con todos los que están \
                por debajo, o * para todos"
    )]
    #[arg(long, value_name = "DOMAIN")]
    to: String,
    /// The next hop, as `relayhost` is written: [relay.example.net]:587
    #[arg(es = "El siguiente salto, como se escribe `relayhost`: [relay.example.net]:587")]
    #[arg(long, value_name = "HOP")]
    via: String,
    /// Only mail of this sender: an address, @example.com, or <>
    #[arg(es = "Solo el correo de este remitente: una dirección, @example.com o <>")]
    #[arg(long, value_name = "ADDRESS")]
    from: Option<String>,
    #[command(flatten)]
    end: OrderEnd,
    #[command(flatten)]
    consent: Consent,
}

const HEADING: [Text; 5] = [
    Text::new("NUMBER", "NÚMERO"),
    Text::new("ORDER", "ORDEN"),
    Text::new("ENDS", "TERMINA"),
    Text::new("GIVEN", "DADA"),
    Text::new("NOTE", "NOTA"),
];
const NONE: Text = Text::new(
    "No destination is paused, no new mail is held, none goes another way.",
    "Ningún destino está en pausa, no se retiene correo nuevo y ninguno va por otro camino.",
);
const PAUSED: Text = Text::new("paused: to {to}{from}", "en pausa: para {to}{from}");
const HELD: Text = Text::new("new mail is held:{what}", "se retiene el correo nuevo:{what}");
const REROUTED: Text = Text::new("to {to}{from} goes by {via}", "para {to}{from} va por {via}");
const TO: Text = Text::new(" to {to}", " para {to}");
const FROM: Text = Text::new(" from {from}", " de {from}");
const ACCOUNT: Text = Text::new(" of the account {account}", " de la cuenta {account}");
const LARGER: Text = Text::new(" larger than {octets} octets", " de más de {octets} octetos");
const NEVER: Text = Text::new("when taken back", "al retirarla");
const IN: Text = Text::new("in {span}", "en {span}");
const BY: Text = Text::new("{at} by uid {uid}", "{at} por el uid {uid}");
const TAKEN_BACK_ONE: Text = Text::new("1 order taken back", "1 orden retirada");
const TAKEN_BACK: Text = Text::new("{count} orders taken back", "{count} órdenes retiradas");
const NO_ORDER: Text = Text::new("there is no order {number}", "no hay ninguna orden {number}");
const STILL_HELD: Text = Text::new(
    "what was held by that stays held: `puerto queue release {ids}` releases it",
    "lo que se retuvo por ello sigue retenido: `puerto queue release {ids}` lo libera",
);
const MUCH_HELD: Text = Text::new(
    "what was held by that stays held: `puerto queue list --held` shows all that is, and for what; \
     `puerto queue release ID` releases it",
    "lo que se retuvo por ello sigue retenido: `puerto queue list --held` muestra todo lo que lo \
     está y por qué; `puerto queue release ID` lo libera",
);
/// Messages that are named with the command that releases them.
const MOST_NAMED: usize = 10;
const LINE: Text = Text::new(
    "order {number}: {order}; given by uid {uid}; it ends {end}, or by `{command}`",
    "orden {number}: {order}; dada por el uid {uid}; termina {end}, o con `{command}`",
);
const LINE_TO_TAKE_BACK: Text = Text::new(
    "order {number}: {order}; given by uid {uid}; it ends by `{command}`",
    "orden {number}: {order}; dada por el uid {uid}; termina con `{command}`",
);
const GIVEN: Text =
    Text::new("order {number}: {order}; it ends {end}", "orden {number}: {order}; termina {end}");

// What has ended when it begins is a slip.
fn lasting(value: &str) -> Result<Duration, Said> {
    match parse_duration(value)? {
        Duration::ZERO => Err(said!(
            "it would end at once: write how long it is to last, as 30m, 2h or 5d",
            "terminaría al momento: escriba cuánto ha de durar, como 30m, 2h o 5d"
        )),
        span => Ok(span),
    }
}

/// Says what cannot be ordered, in the reader's language.
pub(in crate::cli) fn check(what: &What) -> Result<(), Failure> {
    what.fault().map_or(Ok(()), |fault| Err(usage(fault)))
}

/// Gives an order.
pub(in crate::cli) fn give(
    client: &mut Client,
    what: What,
    end: &OrderEnd,
) -> Result<OrderView, Failure> {
    Ok(client.order(what, seconds(end.span), end.note.clone())?)
}

/// Says that an order was given.
pub(in crate::cli) fn say_given(
    order: &OrderView,
    json: bool,
    language: Language,
) -> Result<Sysexit, Failure> {
    match json {
        true => say(&json_document(order).map_err(io::Error::from)?)?,
        false => say(&given(order, now(), language))?,
    }
    Ok(Sysexit::Ok)
}

fn given(order: &OrderView, now: Timestamp, language: Language) -> String {
    let number = order.number.to_string();
    let (what, end) = (described(&order.what, language), end_of(order, now, language));
    GIVEN.with(language, &[("number", &number), ("order", &what), ("end", &end)])
}

/// Shows the orders that are meant, or says that there are none of them.
pub(in crate::cli) fn show(
    client: &mut Client,
    (is_meant, none): (fn(&What) -> bool, Text),
    json: bool,
    language: Language,
) -> Result<Sysexit, Failure> {
    let mut orders = client.orders()?;
    orders.retain(|order| is_meant(&order.what));
    if json {
        let document = serde_json::json!({ "orders": orders });
        say(&json_document(&document).map_err(io::Error::from)?)?;
    } else {
        match orders.as_slice() {
            [] => say(none.of(language))?,
            orders => print(&text(orders, now(), columns(&io::stdout()), language))?,
        }
    }
    Ok(Sysexit::Ok)
}

/// `puerto queue rules`.
pub(super) fn rules(
    client: &mut Client,
    arguments: &RulesArgs,
    language: Language,
) -> Result<Sysexit, Failure> {
    if arguments.remove.is_empty() {
        return show(client, (|_| true, NONE), arguments.json, language);
    }
    let orders = client.orders()?;
    let done = client.take_back(&arguments.remove)?;
    let holds = orders.iter().filter(|order| matches!(order.what, What::Hold { .. }));
    let holds = holds.map(|order| order.number);
    let holds: Vec<u64> = holds.filter(|number| arguments.remove.contains(number)).collect();
    if arguments.json {
        let document = serde_json::json!({ "changed": done.count, "missing": done.missing });
        say(&json_document(&document).map_err(io::Error::from)?)?;
    } else {
        say(&counted(TAKEN_BACK_ONE, TAKEN_BACK, done.count, language))?;
    }
    if !holds.is_empty() && !arguments.json {
        let held = held_by(client, &holds)?;
        still_held(&held, language).iter().for_each(|line| tell(&format!("puerto: {line}")));
    }
    for number in &done.missing {
        tell(&format!("puerto: {}", NO_ORDER.with(language, &[("number", number)])));
    }
    Ok(if done.missing.is_empty() { Sysexit::Ok } else { Sysexit::NoInput })
}

// What is held by one of these orders, as far as one line tells it, and one more.
fn held_by(client: &mut Client, orders: &[u64]) -> Result<Vec<String>, Failure> {
    let selection = Selection { held: Some(true), ..Selection::default() };
    let mut held = Vec::new();
    client.briefs(&selection, false, |message| {
        let why = message.held_for.as_deref().map(|kept| Cause::of_kept(kept, kept));
        let by = match &why {
            Some(Cause::HeldByOrder { number }) => number.parse().ok(),
            _ => None,
        };
        if held.len() <= MOST_NAMED && by.is_some_and(|number| orders.contains(&number)) {
            held.push(message.id.to_string());
        }
        Ok(())
    })?;
    Ok(held)
}

// Of what else is held, nothing is to be released by a command that is copied from here.
fn still_held(held: &[String], language: Language) -> Option<String> {
    let ids = || held.join(" ");
    match held.len() {
        0 => None,
        1..=MOST_NAMED => Some(STILL_HELD.with(language, &[("ids", &ids())])),
        _ => Some(MUCH_HELD.of(language).to_owned()),
    }
}

/// `puerto queue hold --rule`: new mail that fits is held.
pub(super) fn hold(
    connect: Connect<'_>,
    conditions: &Conditions,
    (end, json): (&OrderEnd, bool),
    language: Language,
) -> Result<Sysexit, Failure> {
    let of_new = conditions.of_new_mail();
    if of_new.selection() != conditions.selection() {
        return Err(usage(said!(
            "new mail can be held by --to, --from, --account and --larger alone",
            "el correo nuevo solo se puede retener por --to, --from, --account y --larger"
        )));
    }
    let Conditions { to, from, account, larger, .. } = of_new;
    let what = What::Hold { to, from, account, larger };
    check(&what)?;
    say_given(&give(&mut connect()?, what, end)?, json, language)
}

/// `puerto queue reroute`: what waits for a domain, and what will come, goes another way.
pub(super) fn reroute(
    connect: Connect<'_>,
    arguments: &RerouteArgs,
    language: Language,
) -> Result<Sysexit, Failure> {
    let RerouteArgs { to, via, from, end, consent } = arguments;
    let what = What::Reroute { to: to.clone(), from: from.clone(), via: via.clone() };
    check(&what)?;
    let to = to.strip_suffix('.').unwrap_or(to);
    let selection = Selection {
        // A pattern of `destination` is one of whole names.
        to: Some(match to.strip_prefix("*.") {
            Some(parent) => format!("*{parent}"),
            None => format!("*@{to}"),
        }),
        from: from.clone(),
        held: Some(false),
        ..Selection::default()
    };
    let question = (
        Text::new(
            "Send 1 message that waits, and all that will come, by another way?",
            "¿Enviar por otro camino 1 mensaje en espera y los que lleguen?",
        ),
        Text::new(
            "Send {count} messages that wait, and all that will come, by another way?",
            "¿Enviar por otro camino {count} mensajes en espera y los que lleguen?",
        ),
    );
    let Some(ids) = change::agreed(connect, &selection, question, *consent, language)? else {
        return Ok(Sysexit::Ok);
    };
    let order = give(&mut connect()?, what, end)?;
    // A document is one.
    match consent.json {
        true => tell(&given(&order, now(), language)),
        false => say(&given(&order, now(), language))?,
    }
    change::change_all(connect, (Change::Retry, &selection), (&ids, consent.json), language)
}

fn text(orders: &[OrderView], now: Timestamp, width: Option<usize>, language: Language) -> String {
    let rows: Vec<[String; 5]> = orders
        .iter()
        .map(|order| {
            let uid = order.by.to_string();
            [
                order.number.to_string(),
                described(&order.what, language),
                end_of(order, now, language),
                BY.with(language, &[("at", &order.since), ("uid", &uid)]),
                printable(order.note.as_deref().unwrap_or_default()),
            ]
        })
        .collect();
    table(HEADING.map(|text| text.of(language)), &rows, width)
}

/// One order in a line: who gave it, until when it holds, and the command that ends it.
pub(in crate::cli) fn line(order: &OrderView, now: Timestamp, language: Language) -> String {
    let note = order.note.as_ref().map(|note| format!(" ({note})")).unwrap_or_default();
    let what = format!("{}{}", described(&order.what, language), printable(&note));
    let number = order.number.to_string();
    let (end, uid) = (end_of(order, now, language), order.by.to_string());
    let command = match order.what {
        What::Pause { .. } => format!("puerto resume {number}"),
        What::Hold { .. } | What::Reroute { .. } => format!("puerto queue rules --remove {number}"),
    };
    let text = if order.until.is_some() { LINE } else { LINE_TO_TAKE_BACK };
    let values = [("number", &*number), ("order", &*what), ("uid", &*uid), ("end", &*end)];
    text.with(language, &[&values[..], &[("command", &*command)]].concat())
}

fn end_of(order: &OrderView, now: Timestamp, language: Language) -> String {
    match order.until.as_ref().map(|until| from_now(until, now).unwrap_or_else(|| "0s".into())) {
        Some(span) => IN.with(language, &[("span", &span)]),
        None => NEVER.of(language).to_owned(),
    }
}

fn described(what: &What, language: Language) -> String {
    let sender = |from: &Option<String>| {
        let from = from.as_ref().map(|from| FROM.with(language, &[("from", &printable(from))]));
        from.unwrap_or_default()
    };
    match what {
        What::Pause { to, from } => {
            PAUSED.with(language, &[("to", &printable(to)), ("from", &sender(from))])
        }
        What::Reroute { to, from, via } => {
            let values =
                [("to", &*printable(to)), ("from", &*sender(from)), ("via", &*printable(via))];
            REROUTED.with(language, &values)
        }
        What::Hold { to, from, account, larger } => {
            let to = to.as_ref().map(|to| TO.with(language, &[("to", &printable(to))]));
            let account = account
                .as_ref()
                .map(|account| ACCOUNT.with(language, &[("account", &printable(account))]));
            let larger =
                larger.map(|octets| LARGER.with(language, &[("octets", &octets.to_string())]));
            let all = [to, Some(sender(from)), account, larger].into_iter().flatten();
            HELD.with(language, &[("what", &all.collect::<String>())])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It told to release all that is held, by whatever.
    #[test]
    fn a_rule_that_is_taken_back_names_what_it_holds_and_nothing_else() {
        let ids = |count: usize| (0..count).map(|n| format!("ID{n}")).collect::<Vec<_>>();
        for language in [Language::English, Language::Spanish] {
            assert_eq!(still_held(&[], language), None);
            let some = still_held(&ids(2), language).unwrap();
            assert!(some.contains("`puerto queue release ID0 ID1`"), "{some}");
            let many = still_held(&ids(MOST_NAMED + 1), language).unwrap();
            assert!(!many.contains("ID0") && many.contains("list --held"), "{many}");
        }
    }
}
