//! The queue in one page, for people.

use jiff::Timestamp;

use super::orders;
use super::print::{self, ago, from_now, size};
use crate::cli::output::printable;
use crate::control::overview::{
    Destination, LaneView, LaneWord, Numbers, Overview, Reason, RescuedView,
};
use crate::control::reasons;
use crate::explain;
use crate::lang::layout::table;
use crate::lang::{Language, Text};

/// Destinations that are shown where not all were asked for.
pub(super) const DESTINATIONS: usize = 30;
/// Lanes that are shown.
const LANES: usize = 30;
/// Reasons that are named of one destination.
const REASONS: usize = 3;
/// A terminal of fewer columns has room for half of the ages.
const WIDE: usize = 120;

/// Columns of ages: the heading, and where it begins among the server's.
const FINE: [(&str, usize); 8] = [
    ("<5m", 0),
    ("<20m", 1),
    ("<1h", 2),
    ("<4h", 3),
    ("<12h", 4),
    ("<1d", 5),
    ("<3d", 6),
    ("3d+", 7),
];
const COARSE: [(&str, usize); 4] = [("<1h", 0), ("<1d", 3), ("<3d", 6), ("3d+", 7)];

const EMPTY: Text = Text::new("The queue is empty.", "La cola está vacía.");
const TOTAL: Text = Text::new(
    "Messages: {messages} ({held} held), recipients: {recipients} ({active} being sent or in line), {size}",
    "Mensajes: {messages} ({held} retenidos), destinatarios: {recipients} ({active} enviándose o en \
     turno), {size}",
);
const OLDEST: Text = Text::new("The oldest came {ago} ago.", "El más antiguo llegó hace {ago}.");
const NEXT: Text =
    Text::new("The next attempt is due in {span}.", "El próximo intento toca dentro de {span}.");
const NEXT_NOW: Text = Text::new("An attempt is due now.", "Toca un intento ahora.");
const NO_NEXT: Text = Text::new("No attempt is due.", "No toca ningún intento.");
const NEXT_RESUMED: Text = Text::new(
    "No attempt is due before a pause is ended.",
    "No toca ningún intento antes de que se ponga fin a una pausa.",
);
const DESTINATION: Text = Text::new("DESTINATION", "DESTINO");
const ALL: Text = Text::new("ALL", "TODOS");
const NEXT_TRY: Text = Text::new("NEXT", "PRÓXIMO");
const WHY: Text = Text::new("WHY", "MOTIVO");
const REASON: Text = Text::new("REASON", "MOTIVO");
const MEANING: Text = Text::new("MEANING", "SIGNIFICADO");
const LANE: Text = Text::new("LANE", "VÍA");
const OPEN: Text = Text::new("OPEN", "ABIERTAS");
const WAITING: Text = Text::new("IN LINE", "EN FILA");
const STATE: Text = Text::new("STATE", "ESTADO");
const RESCUED: Text = Text::new("BY THE RESCUE ROUTE", "POR LA RUTA DE RESCATE");
const SINCE: Text = Text::new("FOR", "DESDE HACE");
const LOOKS: Text = Text::new("LOOKS AGAIN", "VUELVE A MIRAR");
const ALL_DESTINATIONS: Text = Text::new("(all destinations)", "(todos los destinos)");
const HELD: Text = Text::new("held {count}", "retenidos {count}");
const ACTIVE: Text = Text::new("being sent or in line {count}", "enviándose o en turno {count}");
const OTHERS: Text = Text::new("(other domains)", "(otros dominios)");
const MORE: Text = Text::new(
    "… and {count} destinations more: `--all` shows them",
    "… y {count} destinos más: `--all` los muestra",
);
const MORE_LANES: Text = Text::new("… and {count} lanes more", "… y {count} vías más");
const NOW: Text = Text::new("now", "ahora");
const SENT: Text = Text::new("nothing has been tried yet", "aún no se ha intentado nada");
const UNKNOWN: Text = Text::new(
    "no rule of `puerto explain` knows it",
    "ninguna regla de `puerto explain` lo conoce",
);
const TAKES: Text = Text::new("open", "abierta");
const PROBING: Text = Text::new(
    "out of reach, failures in a row: {failures}; one message tries it now",
    "fuera de alcance, fallos seguidos: {failures}; un mensaje lo intenta ahora",
);
const OUT_OF_REACH: Text = Text::new(
    "out of reach, failures in a row: {failures}; one message tries it in {span}",
    "fuera de alcance, fallos seguidos: {failures}; un mensaje lo intentará dentro de {span}",
);
const NOT_BEFORE: Text = Text::new(
    "out of reach, failures in a row: {failures}; nothing waits to try it, and nothing does for {span}",
    "fuera de alcance, fallos seguidos: {failures}; nada espera para intentarlo, ni lo hará antes \
     de {span}",
);
const NEXT_TRIES: Text = Text::new(
    "out of reach when last tried, failures in a row: {failures}; the next message for it tries it",
    "fuera de alcance la última vez, fallos seguidos: {failures}; el próximo mensaje lo intentará",
);
const PARKED: Text = Text::new(
    "asked for a pause: nothing is tried and no attempt is spent for {span}, then one message looks",
    "pidió una pausa: no se intenta nada ni se gasta ningún intento durante {span}; después prueba \
     un mensaje",
);
const PAUSE_OVER: Text = Text::new(
    "asked for a pause, which is over: the next message looks",
    "pidió una pausa, que ya ha terminado: prueba el próximo mensaje",
);
const CANARY: Text = Text::new(
    "asked for a pause, which is over: one message looks now",
    "pidió una pausa, que ya ha terminado: un mensaje prueba ahora",
);
const PACED: Text = Text::new(
    "open, {count} messages an hour at most",
    "abierta, como mucho {count} mensajes por hora",
);
const PACED_IN_ALL: Text = Text::new(
    "open, {count} messages an hour at most together with all other destinations (`rate_in_all`)",
    "abierta, como mucho {count} mensajes por hora junto con todos los demás destinos (`rate_in_all`)",
);
const NO_PLACE: Text = Text::new(
    "others hold the connections that it may have",
    "otros ocupan las conexiones que puede tener",
);

/// The page, for so many columns.
pub(in crate::cli) fn text(
    overview: &Overview,
    now: Timestamp,
    width: Option<usize>,
    language: Language,
) -> String {
    let says_nothing = overview.lanes.is_empty() && overview.rescued.is_empty();
    if overview.messages == 0 && says_nothing && overview.orders.is_empty() {
        return format!("{}\n", EMPTY.of(language));
    }
    let page = Page { now, width, language };
    let mut out = page.heading(overview);
    if overview.messages > 0 {
        let destinations = match width {
            Some(columns) if columns < WIDE => page.destinations(overview, COARSE),
            _ => page.destinations(overview, FINE),
        };
        out.extend([&destinations, "\n", &page.reasons(&overview.reasons)]);
    }
    out.push_str(&page.lanes(&overview.lanes));
    out.push_str(&page.rescued(&overview.rescued));
    out
}

struct Page {
    now: Timestamp,
    width: Option<usize>,
    language: Language,
}

impl Page {
    fn heading(&self, overview: &Overview) -> String {
        let numbers = &overview.recipients;
        let total = TOTAL.with(
            self.language,
            &[
                ("messages", &overview.messages.to_string()),
                ("held", &overview.held.to_string()),
                ("recipients", &numbers.count.to_string()),
                ("active", &numbers.active.to_string()),
                ("size", &size(overview.octets)),
            ],
        );
        let oldest = numbers.oldest.as_ref().map(|oldest| {
            format!(" {}", OLDEST.with(self.language, &[("ago", &ago(oldest, self.now))]))
        });
        let is_paused = overview.destinations.iter().any(|one| one.paused.is_some());
        let next = match numbers.next_attempt.as_ref().map(|next| from_now(next, self.now)) {
            Some(Some(span)) => NEXT.with(self.language, &[("span", &span)]),
            Some(None) => NEXT_NOW.of(self.language).to_owned(),
            None if is_paused => NEXT_RESUMED.of(self.language).to_owned(),
            None => NO_NEXT.of(self.language).to_owned(),
        };
        let orders: String = overview
            .orders
            .iter()
            .map(|order| orders::line(order, self.now, self.language) + "\n")
            .collect();
        format!("{total}\n{next}{}\n{orders}\n", oldest.unwrap_or_default())
    }

    fn destinations<const N: usize>(
        &self,
        overview: &Overview,
        ages: [(&'static str, usize); N],
    ) -> String {
        let heading = self.heading_of(DESTINATION, ages);
        let rows: Vec<_> =
            overview.destinations.iter().map(|one| self.destination(one, ages)).collect();
        let mut out = aligned(&heading, &rows, self.width);
        if overview.more_destinations > 0 {
            let count = overview.more_destinations.to_string();
            out.push_str(&MORE.with(self.language, &[("count", &count)]));
            out.push('\n');
        }
        out
    }

    fn heading_of<const N: usize>(
        &self,
        first: Text,
        ages: [(&'static str, usize); N],
    ) -> Vec<String> {
        let ages = ages.iter().map(|(name, _)| (*name).to_owned());
        let [first, all, next, why] =
            [first, ALL, NEXT_TRY, WHY].map(|text| text.of(self.language).to_owned());
        [first, all].into_iter().chain(ages).chain([next, why]).collect()
    }

    fn destination<const N: usize>(
        &self,
        one: &Destination,
        ages: [(&'static str, usize); N],
    ) -> Vec<String> {
        let name = match &one.domain {
            Some(domain) => printable(domain),
            None => OTHERS.of(self.language).to_owned(),
        };
        let numbers = &one.recipients;
        let mut why: Vec<(&String, u64)> = one.reasons.iter().map(|(c, n)| (c, *n)).collect();
        why.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let reasons = why.iter().take(REASONS).map(|(class, count)| format!("{class} {count}"));
        let counted = |text: Text, count: u64| {
            (count > 0).then(|| text.with(self.language, &[("count", &count.to_string())]))
        };
        let paused = one
            .paused
            .map(|number| print::PAUSED.with(self.language, &[("number", &number.to_string())]));
        let others = [counted(HELD, numbers.held), counted(ACTIVE, numbers.active)];
        let why: Vec<String> =
            paused.into_iter().chain(reasons).chain(others.into_iter().flatten()).collect();
        let mut row = vec![name, numbers.count.to_string()];
        row.extend(age_cells(numbers, ages));
        row.extend([self.next(numbers), why.join(", ")]);
        row
    }

    fn next(&self, numbers: &Numbers) -> String {
        match &numbers.next_attempt {
            Some(next) => {
                let now = || NOW.of(self.language).to_owned();
                from_now(next, self.now).unwrap_or_else(now)
            }
            None => "-".to_owned(),
        }
    }

    fn reasons(&self, reasons: &[Reason]) -> String {
        let heading = [REASON, ALL, NEXT_TRY, MEANING].map(|text| text.of(self.language));
        let rows: Vec<[String; 4]> = reasons
            .iter()
            .map(|reason| {
                let numbers = &reason.recipients;
                let meaning = meaning(&reason.class, self.language);
                [reason.class.clone(), numbers.count.to_string(), self.next(numbers), meaning]
            })
            .collect();
        table(heading, &rows, self.width)
    }

    fn rescued(&self, rescued: &[RescuedView]) -> String {
        if rescued.is_empty() {
            return String::new();
        }
        let heading = [RESCUED, SINCE, LOOKS, WHY].map(|text| text.of(self.language));
        let row = |one: &RescuedView| {
            let name = one.lane.as_deref().map(printable);
            let name = name.unwrap_or_else(|| ALL_DESTINATIONS.of(self.language).to_owned());
            let now = || NOW.of(self.language).to_owned();
            let looks = from_now(&one.until, self.now).unwrap_or_else(now);
            let why = match &one.cause {
                Some(cause) => printable(&cause.said().of(self.language)),
                None => printable(&one.reason),
            };
            [name, ago(&one.since, self.now), looks, why]
        };
        let rows: Vec<[String; 4]> = rescued.iter().take(LANES).map(row).collect();
        format!("\n{}{}", table(heading, &rows, self.width), self.more(rescued.len()))
    }

    // What is said of lanes that are not shown.
    fn more(&self, all: usize) -> String {
        match all.saturating_sub(LANES) {
            0 => String::new(),
            more => MORE_LANES.with(self.language, &[("count", &more.to_string())]) + "\n",
        }
    }

    fn lanes(&self, lanes: &[LaneView]) -> String {
        if lanes.is_empty() {
            return String::new();
        }
        let heading = [LANE, OPEN, WAITING, STATE].map(|text| text.of(self.language));
        let rows: Vec<[String; 4]> =
            lanes.iter().take(LANES).map(|lane| lane_row(lane, self.now, self.language)).collect();
        format!("\n{}{}", table(heading, &rows, self.width), self.more(lanes.len()))
    }
}

/// What a class means, and whose problem it is.
pub(crate) fn meaning(class: &str, language: Language) -> String {
    match (class, explain::of_class(class)) {
        (reasons::NOT_TRIED, _) => SENT.of(language).to_owned(),
        (_, Some((short, whose))) => {
            format!("{} ({})", short.of(language), whose.in_language(language))
        }
        (_, None) => UNKNOWN.of(language).to_owned(),
    }
}

/// A lane: its name, connections, what waits in line, and what it is doing and why.
pub(crate) fn lane_row(lane: &LaneView, now: Timestamp, language: Language) -> [String; 4] {
    let failures = lane.failures.to_string();
    let span = lane.until.as_ref().and_then(|until| from_now(until, now));
    let state = match (lane.state, span) {
        (LaneWord::Open, _) => match lane.per_hour {
            Some(count) if lane.in_all => {
                PACED_IN_ALL.with(language, &[("count", &count.to_string())])
            }
            Some(count) => PACED.with(language, &[("count", &count.to_string())]),
            None => TAKES.of(language).to_owned(),
        },
        (LaneWord::Parked, Some(span)) => PARKED.with(language, &[("span", &span)]),
        (LaneWord::Parked, None) => PAUSE_OVER.of(language).to_owned(),
        (LaneWord::Canary, _) => CANARY.of(language).to_owned(),
        (LaneWord::NoPlace, _) => NO_PLACE.of(language).to_owned(),
        (LaneWord::OutOfReach, Some(span)) if lane.waiting == 0 => {
            NOT_BEFORE.with(language, &[("failures", &failures), ("span", &span)])
        }
        (LaneWord::OutOfReach, Some(span)) => {
            OUT_OF_REACH.with(language, &[("failures", &failures), ("span", &span)])
        }
        (LaneWord::OutOfReach, None) => NEXT_TRIES.with(language, &[("failures", &failures)]),
        (LaneWord::Probing, _) => PROBING.with(language, &[("failures", &failures)]),
    };
    let why = lane.cause.as_ref().map(|cause| format!(": {}", cause.said().of(language)));
    let state = printable(&(state + &why.unwrap_or_default()));
    let open = format!("{}/{} ({})", lane.open, lane.allowed, lane.ceiling);
    [printable(&lane.lane), open, lane.waiting.to_string(), state]
}

fn age_cells<const N: usize>(
    numbers: &Numbers,
    ages: [(&'static str, usize); N],
) -> impl Iterator<Item = String> {
    let ends = ages.into_iter().skip(1).map(|(_, from)| from).chain([numbers.ages.len()]);
    ages.into_iter().zip(ends).map(|((_, from), to)| {
        let count: u64 = numbers.ages.get(from..to).unwrap_or_default().iter().sum();
        if count == 0 { ".".to_owned() } else { count.to_string() }
    })
}

// Numbers stand to the right, below each other; the last column takes what is left.
fn aligned(heading: &[String], rows: &[Vec<String>], width: Option<usize>) -> String {
    let all = || std::iter::once(heading).chain(rows.iter().map(Vec::as_slice));
    let last = heading.len().saturating_sub(1);
    let widths: Vec<usize> = (0..last)
        .map(|column| {
            let cells = all().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
        })
        .collect();
    let set: Vec<[String; 2]> = all()
        .map(|row| {
            let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
                if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
            });
            // Blanks that are kept: a table would break its cells at others.
            let fixed = cells.collect::<Vec<_>>().join("  ");
            [fixed.replace(' ', "\u{a0}"), row.get(last).cloned().unwrap_or_default()]
        })
        .collect();
    let (heading, rows) = match set.split_first() {
        Some((heading, rows)) => (heading, rows),
        None => return String::new(),
    };
    let [first, second] = heading;
    table([first.as_str(), second.as_str()], rows, width).replace('\u{a0}', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cause::Cause;

    #[test]
    fn what_goes_by_the_rescue_route_is_told_with_since_and_until() {
        let why = Cause::words("mx.test said: 554 5.7.1 blocked using zen.spamhaus.org");
        let rescued = |lane: Option<&str>, cause: Option<Cause>| RescuedView {
            lane: lane.map(str::to_owned),
            since: "2026-11-24T10:00:00Z".to_owned(),
            until: "2026-11-24T12:20:00Z".to_owned(),
            reason: why.to_string(),
            cause,
        };
        let closed = Cause::PortClosed { destinations: 3 };
        let all = vec![rescued(None, Some(closed)), rescued(Some("google from news"), None)];
        let overview = Overview { rescued: all, ..Overview::default() };
        let now = "2026-11-24T12:00:00Z".parse().unwrap();
        for (language, words) in [
            (Language::English, ["BY THE RESCUE ROUTE  FOR  LOOKS AGAIN", "(all destinations)"]),
            (Language::Spanish, ["POR LA RUTA DE RESCATE  DESDE HACE", "(todos los destinos)"]),
        ] {
            let page = text(&overview, now, None, language);
            for word in words.into_iter().chain(["google from news", "2h", "20m", "zen.spam"]) {
                assert!(page.contains(word), "{word}: {page}");
            }
        }
    }
}
