//! Addresses that mail leaves from: whether they are ours, and which mail waits for the first
//! day of one.

use std::net::{IpAddr, UdpSocket};

use jiff::civil::Date;
use puerto_smtp::ReversePath;

use super::{Means, Trial, Tried, line_of};
use crate::config::{Config, Source, show_duration, whole_domain};
use crate::finding::{Finding, Kind, kinds};
use crate::lang::{Said, said};
use crate::route::source;

kinds! {
    NOT_OURS = "source.not-ours" Warning:
        "{address} is no address of this machine, so no mail would leave",
        "{address} no es una dirección de esta máquina, así que no saldría correo",
        "`ip address` shows those that are", "`ip address` muestra las que sí";
    OTHERS_CARRY = "source.later" Warning:
        "`{source}` begins to send on {day}: until then its mail leaves by {others}",
        "`{source}` empieza a enviar el {day}: hasta entonces su correo sale por {others}";
    NOBODY_CARRIES = "source.mail-waits" Warning:
        "`{source}` begins to send on {day}: until then {whose} waits, as no other source carries it",
        "`{source}` empieza a enviar el {day}: hasta entonces {whose} espera, pues ninguna otra \
         `source` lo lleva",
        "name another source for that mail until then, or an earlier day",
        "ponga otra `source` para ese correo hasta entonces, o un día anterior";
    RETURNED = "source.mail-returned" Warning:
        "`{source}` begins to send on {day}: until then {whose} waits, as no other source carries it, \
         and comes back once it is {expire} old",
        "`{source}` empieza a enviar el {day}: hasta entonces {whose} espera, pues ninguna otra \
         `source` lo lleva, y vuelve a quien lo envió al cumplir {expire}",
        "name another source for that mail until then, or an earlier day",
        "ponga otra `source` para ese correo hasta entonces, o un día anterior";
}

impl Trial {
    /// Addresses that this machine has not.
    pub(super) fn sources(&mut self, config: &Config) {
        let delivery = &config.delivery;
        let v4 = delivery.bind_ipv4.map(|address| ("delivery.bind_ipv4", IpAddr::V4(address)));
        let v6 = delivery.bind_ipv6.map(|address| ("delivery.bind_ipv6", IpAddr::V6(address)));
        let of_sources = config.sources.iter().flat_map(|source| {
            let v4 = source.ipv4.map(|address| ("source.ipv4", IpAddr::V4(address)));
            v4.into_iter().chain(source.ipv6.map(|address| ("source.ipv6", IpAddr::V6(address))))
        });
        for (key, address) in v4.into_iter().chain(v6).chain(of_sources) {
            if UdpSocket::bind((address, 0)).is_err() {
                self.add(key, NOT_OURS.put("address", address));
            }
        }
    }

    /// Sources that begin on a day to come, and what becomes of their mail until then. What goes
    /// to a relay does not leave from them.
    pub(super) fn first_days(&mut self, config: &Config, today: Date) {
        if config.relayhost.is_some() {
            return;
        }
        for (place, source) in config.sources.iter().enumerate() {
            let Some(begins) = source.begins.filter(|begins| *begins > today) else { continue };
            let line = line_of_begins(&self.text, place);
            for finding in until(config, source, (today, begins)) {
                let (key, is_unseen, means) = ("source.begins", false, Means::Stops);
                self.found.push(Tried { finding, key, line, is_unseen, means });
            }
        }
    }
}

// In the table at this place.
fn line_of_begins(text: &str, place: usize) -> Option<usize> {
    let lines = text.lines().enumerate();
    let (before, _) = lines.filter(|(_, line)| line.trim().starts_with("[[source]]")).nth(place)?;
    let own = text.lines().skip(before).collect::<Vec<_>>().join("\n");
    line_of(&own, "source.begins").map(|line| before + line)
}

// By whose mail it is: what others carry, and what waits.
fn until(config: &Config, source: &Source, (today, begins): (Date, Date)) -> Vec<Finding> {
    let (mut others, mut waiting) = (Vec::new(), Vec::new());
    for (shown, (reverse_path, account)) in kinds_of_mail(source) {
        let order = source::order(config, (&reverse_path, account), "");
        let carriers = order.into_iter().filter_map(|place| config.sources.get(place));
        let carriers = carriers.filter(|one| one.begins.is_none_or(|begins| begins <= today));
        let carriers: Vec<String> = carriers.map(|one| format!("`{}`", one.name)).collect();
        match carriers.is_empty() {
            true => waiting.push(shown),
            false => others.extend(carriers),
        }
    }
    others.sort();
    others.dedup();
    let (name, day) = (Said::words(&*source.name), Said::words(begins.to_string()));
    let expire = Said::words(show_duration(config.queue.expire));
    let found = |kind: Kind, how: (&'static str, Said)| {
        let (name, day, expire) = (("source", &name), ("day", &day), ("expire", &expire));
        let seen = Said::of_parts(kind.seen, &[name, day, expire, (how.0, &how.1)]);
        Finding::new(kind.id, kind.severity, seen, kind.remedy.into())
    };
    let days = today.until(begins).map_or(0, |span| span.get_days());
    let is_long = u64::try_from(days).unwrap_or(0) * 86_400 >= config.queue.expire.as_secs();
    let waits = if is_long { RETURNED } else { NOBODY_CARRIES };
    let waits =
        (!waiting.is_empty()).then(|| found(waits, ("whose", Said::joined(&waiting, ", "))));
    let leaves = (!others.is_empty())
        .then(|| found(OTHERS_CARRY, ("others", Said::words(others.join(", ")))));
    waits.into_iter().chain(leaves).collect()
}

type Whose<'a> = (ReversePath, Option<&'a str>);

// A sample of each kind of mail that a source is for, and what it is called.
fn kinds_of_mail(source: &Source) -> Vec<(Said, Whose<'_>)> {
    let sample = |pattern: &String| {
        let address = match whole_domain(pattern) {
            Some(domain) => format!("<x@{domain}>"),
            None => format!("<{pattern}>"),
        };
        let shown = said!("mail from {whose}", "el correo de {whose}"; whose = pattern);
        Some((shown, (ReversePath::parse(&address).ok()?, None)))
    };
    if !source.is_for_some() {
        let shown = said!(
            "all mail for which no source is named",
            "todo el correo para el que no se nombra ninguna `source`"
        );
        return vec![(shown, (ReversePath::Null, None))];
    }
    let of_accounts = source.accounts.iter().map(|account| {
        let shown = said!(
            "mail of the account {whose}", "el correo de la cuenta {whose}"; whose = account
        );
        (shown, (ReversePath::Null, Some(account.as_str())))
    });
    source.from.iter().filter_map(sample).chain(of_accounts).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lang::Language;

    fn told(text: &str) -> Vec<(Option<usize>, String)> {
        let config = Config::parse(text, "puerto.toml").unwrap();
        let (service, reader, found) = (None, None, Vec::new());
        let mut trial = Trial { text: text.to_owned(), service, reader, found };
        trial.first_days(&config, "2026-11-30".parse().unwrap());
        let said = |one: &Tried| one.finding.said().of(Language::English);
        trial.found.iter().map(|one| (one.line, said(one))).collect()
    }

    #[test]
    fn a_source_that_begins_on_a_day_to_come_says_which_mail_goes_how_until_then() {
        let source = |name: &str, more: &str| {
            format!("[[source]]\nname = \"{name}\"\nipv4 = \"192.0.2.1\"\n{more}\n")
        };
        let later = |more: &str| source("new", &format!("{more}begins = \"2026-12-02\""));
        let old = source("old", "");
        let news = "from = [\"@news.example.com\", \"boss@other.example\"]\n";
        let general = "until then all mail for which no source is named waits";
        for (text, expected) in [
            (source("old", "begins = \"2026-11-30\""), vec![]),
            (format!("relayhost = \"[r.example]\"\n{}", later("")), vec![]),
            (later(""), vec![(4, general)]),
            (
                format!("{old}{}", later("")),
                vec![(
                    8,
                    "`new` begins to send on 2026-12-02: until then its mail leaves by `old`",
                )],
            ),
            // What has a source of its own leaves by no other.
            (
                format!("{old}{}", later(news)),
                vec![(9, "mail from @news.example.com, mail from boss@other.example waits")],
            ),
            (
                format!("{}{}", source("b", "from = [\"@news.example.com\"]"), later(news)),
                vec![(9, "mail from boss@other.example waits"), (9, "its mail leaves by `b`")],
            ),
            (
                format!("{old}{}", later("accounts = [\"ana\"]\n")),
                vec![(9, "mail of the account ana waits")],
            ),
            (
                format!(
                    "{old}{}",
                    source("new", "from = [\"ana@example.com\"]\nbegins = \"2026-12-05\"")
                ),
                vec![(9, "and comes back once it is 5d old")],
            ),
            (
                format!("[queue]\nexpire = \"2d\"\n{}", later("")),
                vec![(6, "carries it, and comes back once it is 2d old")],
            ),
        ] {
            let told = told(&text);
            assert_eq!(told.len(), expected.len(), "{text}{told:?}");
            for ((line, said), (at, part)) in told.iter().zip(expected) {
                assert!(*line == Some(at) && said.contains(part), "{text}{line:?} {said}");
            }
        }
    }
}
