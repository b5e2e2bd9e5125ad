//! What a provider's file may say: its keys, declared as those of the configuration are.
//!
//! The files that come with the program and those in the administrator's folder have one
//! form and one reader. Of a provider that is known, a file changes what it names.

use std::time::Duration;

use super::keys::{Key, KeyDefault, array, quote};
use super::value::{self, Node, Read, store};
use crate::lang::{Said, Text, said};
use crate::providers::{Against, Call, Changes, Demand, Ground, Profile, Rate, Rule};

/// A rule while it is read.
#[derive(Debug, Default)]
pub(super) struct RuleDraft {
    pub(super) says: Option<String>,
    pub(super) class: Option<u8>,
    pub(super) word: Option<&'static str>,
    pub(super) span: Option<Duration>,
    pub(super) rate: Option<Rate>,
    pub(super) pause: bool,
}

/// The section of a rule, as the file names it.
pub(super) const REPLY: &str = "reply";
/// The section of what refusals are held against.
pub(super) const AGAINST: &str = "against";

const COUNT: Text = Text::new("a whole number of at least 1", "un número entero mayor que 0");
pub(super) const RATE: Text = Text::new(
    "a number of messages and a time, such as \"100/minute\", \"4000/hour\" or \"1/90s\"",
    "un número de mensajes y un tiempo, como \"100/minute\", \"4000/hour\" o \"1/90s\"",
);
const NOTHING: KeyDefault = KeyDefault::Written("\"\"");
const DEMANDS: Text = Text::new(
    "a list of \"ptr\", \"own-ptr\", \"spf\", \"dkim\", \"spf or dkim\", \"dmarc\", \"alignment\", \"tls\"",
    "una lista de \"ptr\", \"own-ptr\", \"spf\", \"dkim\", \"spf or dkim\", \"dmarc\", \"alignment\", \"tls\"",
);
const PIECES: Text = Text::new(
    "a list of pieces of replies, such as [\"blocked using\"]",
    "una lista de trozos de respuestas, como [\"blocked using\"]",
);
/// What may stand in `do`.
const CALLS: Text = Text::same("\"slow\", \"park\", \"recipient\", \"message\", \"reconnect\"");

macro_rules! keys {
    ($($section:expr, $name:literal = $accepts:expr; $doc:expr; $set:expr; $show:expr;)*) => {
        &[$(Key { section: $section, name: $name, default: NOTHING, accepts: $accepts,
                  doc: $doc, set: $set, show: $show }),*]
    };
}

/// What is said of a provider.
#[rustfmt::skip]
pub(super) const PROFILE_KEYS: &[Key<Changes, Profile>] = keys! {
    "", "hosts" = Text::new("a list of suffixes of MX hosts, such as [\"google.com\"]", "una lista de sufijos de MX, como [\"google.com\"]");
        Text::new("Whose MX hosts end so is this provider's.", "De quién son los MX que terminan así.");
        |d, v| store(&mut d.hosts, value::list(v, suffix).map(Some));
        |p| array(&p.hosts, |host| quote(host));
    "", "connections" = COUNT;
        Text::new("Connections at the same time.", "Conexiones a la vez.");
        |d, v| store(&mut d.connections, value::count(v, 10_000).map(Some));
        |p| shown(p.connections);
    "", "messages" = COUNT;
        Text::new("Messages on one connection.", "Mensajes en una conexión.");
        |d, v| store(&mut d.messages, value::count(v, 100_000).map(|n| u32::try_from(n).ok()));
        |p| shown(p.messages);
    "", "recipients" = COUNT;
        Text::new("Recipients of one transaction.", "Destinatarios de una transacción.");
        |d, v| store(&mut d.recipients, value::count(v, 100_000).map(Some));
        |p| shown(p.recipients);
    "", "rate" = RATE;
        Text::new("Messages in a time, spread evenly over it.", "Mensajes en un tiempo, repartidos por igual.");
        |d, v| store(&mut d.rate, value::optional(v, value::rate));
        |p| quote(p.rate.map_or_else(String::new, value::show_rate));
    "", "enforces" = DEMANDS;
        Text::new("What it turns mail away for.", "Por qué rechaza correo.");
        |d, v| store(&mut d.enforces, value::list(v, demand).map(Some));
        |p| array(&p.enforces, |demand| quote(word_for(*demand)));
    AGAINST, "list" = PIECES;
        Text::new("What is said where a list names the address that we send from. With these, and the next three, mail goes by the rescue route.", "Lo que se dice cuando la dirección desde la que enviamos está en una lista. Con esto, y con las tres siguientes, el correo va por la ruta de rescate.");
        |d, v| grounds(d, Against::List, v);
        |p| shown_grounds(p, Against::List);
    AGAINST, "range" = PIECES;
        Text::new("The same for its range: dynamic addresses, home connections.", "Lo mismo por su rango: direcciones dinámicas, conexiones domésticas.");
        |d, v| grounds(d, Against::Range, v);
        |p| shown_grounds(p, Against::Range);
    AGAINST, "reputation" = PIECES;
        Text::new("The same for its reputation.", "Lo mismo por su reputación.");
        |d, v| grounds(d, Against::Reputation, v);
        |p| shown_grounds(p, Against::Reputation);
    AGAINST, "name" = PIECES;
        Text::new("The same for its name, which is missing or does not lead back to it.", "Lo mismo por su nombre, que falta o no vuelve a ella.");
        |d, v| grounds(d, Against::Name, v);
        |p| shown_grounds(p, Against::Name);
    AGAINST, "message" = PIECES;
        Text::new("What is said of the recipient or the message: whatever else stands beside it, no other way cures that.", "Lo que se dice del destinatario o del mensaje: diga lo que diga al lado, ninguna otra vía lo cura.");
        |d, v| grounds(d, Against::Message, v);
        |p| shown_grounds(p, Against::Message);
};

fn grounds(changes: &mut Changes, against: Against, node: &Node<'_>) -> Read<()> {
    let pieces = value::list(node, value::text)?;
    let pieces = pieces.into_iter().map(|says| says.to_lowercase());
    let pieces = pieces.filter(|says| !says.trim().is_empty());
    changes.grounds.extend(pieces.map(|says| Ground { says, against }));
    Ok(())
}

fn shown_grounds(profile: &Profile, against: Against) -> String {
    let pieces: Vec<&str> = profile
        .grounds
        .iter()
        .filter(|ground| ground.against == against)
        .map(|ground| ground.says.as_str())
        .collect();
    array(&pieces, |says| quote(says))
}

/// What is said of a reply.
#[rustfmt::skip]
pub(super) const RULE_KEYS: &[Key<RuleDraft, Rule>] = keys! {
    REPLY, "says" = Text::new("a piece of the reply, such as \"4.7.28\"", "un trozo de la respuesta, como \"4.7.28\"");
        Text::new("A piece of the reply, its code in front; case does not count.", "Un trozo de la respuesta, con su código delante; no importan las mayúsculas.");
        |d, v| store(&mut d.says, value::text(v).map(|text| Some(text.to_lowercase())));
        |r| quote(&r.says);
    REPLY, "class" = Text::same("4, 5");
        Text::new("Only replies whose code begins so.", "Solo las respuestas cuyo código empieza así.");
        |d, v| store(&mut d.class, class(v).map(Some));
        |r| shown(r.class);
    REPLY, "do" = CALLS;
        Text::new("What it calls for.", "Qué pide.");
        |d, v| store(&mut d.word, word(v).map(Some));
        |r| quote(word_of(r.call));
    REPLY, "for" = Text::new("a duration, such as \"10m\"", "una duración, como \"10m\"");
        Text::new("For how long.", "Durante cuánto tiempo.");
        |d, v| store(&mut d.span, value::duration(v).map(Some));
        |r| quote(value::show_duration(r.call.span()));
    REPLY, "rate" = RATE;
        Text::new("With \"slow\": at no more than this.", "Con \"slow\": no más que esto.");
        |d, v| store(&mut d.rate, value::optional(v, value::rate));
        |r| quote(match r.call { Call::Slow(_, Some(rate)) => value::show_rate(rate), _ => String::new() });
    REPLY, "pause" = Text::new("true or false", "true o false");
        Text::new("It is a pause, also where it comes as a refusal for good.", "Es una pausa aunque llegue como rechazo definitivo.");
        |d, v| store(&mut d.pause, value::flag(v));
        |r| r.pause.to_string();
};

fn shown(number: Option<impl std::fmt::Display>) -> String {
    number.map_or_else(|| quote(""), |number| number.to_string())
}

fn suffix(node: &Node<'_>) -> Read<String> {
    value::host_name(node).map(|host| host.to_ascii_lowercase())
}

fn demand(node: &Node<'_>) -> Read<Demand> {
    value::choice(node, &Demand::ALL)
}

fn word_for(demand: Demand) -> &'static str {
    Demand::ALL.iter().find(|(_, known)| *known == demand).map_or("", |(word, _)| word)
}

fn word(node: &Node<'_>) -> Read<&'static str> {
    value::choice(node, &Call::WORDS.map(|word| (word, word)))
}

fn word_of(call: Call) -> &'static str {
    let [slow, park, recipient, message, reconnect] = Call::WORDS;
    match call {
        Call::Slow(..) => slow,
        Call::Park(_) => park,
        Call::Recipient(_) => recipient,
        Call::Message => message,
        Call::Reconnect => reconnect,
    }
}

fn class(node: &Node<'_>) -> Read<u8> {
    match value::count(node, 5)? {
        4 => Ok(4),
        5 => Ok(5),
        _ => value::wrong(
            node,
            said!(
                "a code of a refusal begins with 4 or 5",
                "el código de un rechazo empieza por 4 o por 5"
            ),
        ),
    }
}

/// The longest that a reply may stop or slow mail.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// The rule that a draft makes, or the key that is wrong with it and why.
pub(super) fn rule(draft: RuleDraft) -> Result<Rule, (&'static str, Said)> {
    let says = draft.says.filter(|says| !says.trim().is_empty());
    let says = says.ok_or_else(|| {
        (
            "says",
            said!(
                "without words it would mean every reply",
                "sin palabras valdría para toda respuesta"
            ),
        )
    })?;
    let word = draft.word.ok_or_else(|| {
        ("do", said!("it does not say what the reply calls for", "no dice qué pide la respuesta"))
    })?;
    let [slow, park, recipient, message, _] = Call::WORDS;
    let needs_span = word == slow || word == park || word == recipient;
    match draft.span {
        None if needs_span => {
            let why = said!("`{word}` needs a time", "`{word}` necesita un tiempo"; word = word);
            return Err(("for", why));
        }
        Some(_) if !needs_span => {
            let why = said!("`{word}` takes no time", "`{word}` no lleva tiempo"; word = word);
            return Err(("for", why));
        }
        Some(span) if span.is_zero() || span > LONGEST => {
            let why = said!(
                "the time must lie between a second and a day",
                "el tiempo debe estar entre un segundo y un día"
            );
            return Err(("for", why));
        }
        _ => {}
    }
    if draft.rate.is_some() && word != slow {
        let why = said!("only `slow` takes a rate", "solo `slow` lleva un ritmo");
        return Err(("rate", why));
    }
    let span = draft.span.unwrap_or_default();
    let call = if word == slow {
        Call::Slow(span, draft.rate)
    } else if word == park {
        Call::Park(span)
    } else if word == recipient {
        Call::Recipient(span)
    } else if word == message {
        Call::Message
    } else {
        Call::Reconnect
    };
    Ok(Rule { says, class: draft.class, call, pause: draft.pause })
}
