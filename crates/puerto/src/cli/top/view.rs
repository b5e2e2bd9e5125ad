//! How it looks: lines for a screen of so many columns and rows.

use jiff::Timestamp;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use super::state::{Look, Sort, State};
use crate::cli::output::printable;
use crate::cli::queue::print::{ago, from_now, size};
use crate::cli::queue::{orders, summary};
use crate::control::overview::{Destination, LaneView, LaneWord, Reason, WarmUpView};
use crate::lang::Text;
use crate::lang::layout::set;

/// Rows that the lanes and the reasons have at most, where there is room.
const LANES: usize = 8;
const REASONS: usize = 8;
const WARM_UP: usize = 6;
/// Orders that are shown.
const ORDERS: usize = 3;
/// Columns below which a screen is narrow: names are short, and only what says most is told.
const NARROW: usize = 66;
/// Rows from which on there is room to set long texts in several.
const TALL: usize = 14;
/// Columns of a name, and where the screen is narrow.
const NAME: usize = 28;
const SHORT_NAME: usize = 14;

const KEYS: Text = Text::new(
    "q quit  s sort  ↑↓ scroll  space stand still  r look now",
    "q salir  s ordenar  ↑↓ desplazar  espacio detener  r mirar ya",
);
const FEW_KEYS: Text = Text::new("q quit", "q salir");
const STANDS: Text = Text::new("STANDS STILL", "DETENIDO");
const RATES: Text = Text::new(
    "per second: accepted {accepted}  delivered {delivered}  deferred {deferred}  bounced {bounced}  refused {rejected}",
    "por segundo: aceptados {accepted}  entregados {delivered}  aplazados {deferred}  devueltos {bounced}  rechazados {rejected}",
);
const QUEUE: Text = Text::new(
    "queue: {messages} messages, {recipients} recipients, {active} being sent or in line, {held} messages held, {size}, oldest {oldest}, next {next}",
    "cola: {messages} mensajes, {recipients} destinatarios, {active} enviándose o en turno, {held} mensajes retenidos, {size}, el más antiguo {oldest}, próximo {next}",
);
const REFUSING: Text = Text::new("no mail is taken: {why}", "no se acepta correo: {why}");
const NODES: Text = Text::new("nodes: ", "nodos: ");
const SILENT: Text = Text::new("{name} (silent)", "{name} (sin noticias)");
const DESTINATIONS: Text = Text::new("DESTINATION", "DESTINO");
const ALL: Text = Text::new("ALL", "TODOS");
const SENDING: Text = Text::new("SENDING", "ENVIANDO");
const OLDEST: Text = Text::new("OLDEST", "ANTIGUO");
const NEXT: Text = Text::new("NEXT", "PRÓXIMO");
const WHY: Text = Text::new("WHY", "MOTIVO");
const REASON: Text = Text::new("WAITS FOR", "ESPERA POR");
const MEANING: Text = Text::new("MEANING", "SIGNIFICADO");
const LANE: Text = Text::new("LANE", "VÍA");
const OPEN: Text = Text::new("OPEN", "ABIERTAS");
const IN_LINE: Text = Text::new("IN LINE", "EN FILA");
const STATE: Text = Text::new("STATE", "ESTADO");
const SOURCE: Text = Text::new("NEW ADDRESS", "DIRECCIÓN NUEVA");
const OF_DAY: Text = Text::new("DAY", "DÍA");
const SENT: Text = Text::new("SENT TODAY", "ENVIADOS HOY");
const TOWARDS: Text = Text::new("TO", "A");
const NOTHING: Text = Text::new("nothing waits", "no espera nada");
const MORE: Text = Text::new("… {count} more", "… {count} más");

/// The screen.
pub(super) fn lines(
    state: &State,
    now: Timestamp,
    (width, height): (usize, usize),
) -> Vec<Line<'static>> {
    let set = Some(width).filter(|_| height >= TALL);
    let screen = Screen { state, now, width: Some(width), set };
    let mut lines = screen.head();
    let Some(look) = &state.look else { return lines };
    let lanes = screen.lanes(&look.lanes, LANES);
    let reasons = screen.reasons(&look.overview.reasons, REASONS);
    let warm_up = screen.warm_up(&look.warm_up, WARM_UP);
    // What is below has its place first; a small screen shows the head and what fits.
    let apart = usize::from(!warm_up.is_empty());
    let below = lanes.len() + reasons.len() + warm_up.len() + 2 + apart;
    let room = height.saturating_sub(lines.len());
    let for_destinations = if room > below + 4 { room - below } else { room };
    lines.extend(screen.destinations(for_destinations.saturating_sub(1)));
    for part in [reasons, lanes, warm_up].into_iter().filter(|part| !part.is_empty()) {
        if lines.len() + part.len() < height {
            lines.push(Line::default());
            lines.extend(part);
        }
    }
    lines.truncate(height);
    lines.into_iter().map(|line| cut(line, width)).collect()
}

/// The same as text, all of it.
pub(super) fn text(state: &State, now: Timestamp, width: Option<usize>) -> String {
    let screen = Screen { state, now, width: None, set: None };
    let mut out: String =
        screen.rates_and_trouble().iter().map(|line| format!("{line}\n")).collect();
    if let Some(look) = &state.look {
        out.push_str(&summary::text(&look.overview, now, width, state.language));
        let warm_up = screen.warm_up(&look.warm_up, usize::MAX);
        let line = |line: &Line<'_>| format!("{}\n", line.to_string().trim_end());
        if !warm_up.is_empty() {
            out.push('\n');
            out.extend(warm_up.iter().map(line));
        }
    }
    out
}

struct Screen<'a> {
    state: &'a State,
    now: Timestamp,
    width: Option<usize>,
    /// In how many columns long texts are set; else they are cut off.
    set: Option<usize>,
}

impl Screen<'_> {
    fn is_narrow(&self) -> bool {
        self.width.is_some_and(|width| width < NARROW)
    }

    fn name(&self, name: &str) -> String {
        fit(name, if self.is_narrow() { SHORT_NAME } else { NAME })
    }

    // A cell that a narrow screen goes without.
    fn wide(&self, text: &str, width: usize) -> String {
        if self.is_narrow() { String::new() } else { right(text, width) }
    }

    // What is too long for a line goes on in the next.
    fn set(&self, text: &str, style: Style) -> Vec<Line<'static>> {
        let text = set(text, self.set);
        text.lines().map(|line| Line::from(Span::styled(line.to_owned(), style))).collect()
    }

    fn of(&self, text: Text) -> &'static str {
        text.of(self.state.language)
    }

    fn style(&self, colour: Color) -> Style {
        if self.state.colour { Style::new().fg(colour) } else { Style::new() }
    }

    fn head(&self) -> Vec<Line<'static>> {
        let reversed = Style::new().add_modifier(Modifier::REVERSED);
        let Some(look) = &self.state.look else { return Vec::new() };
        let stands =
            if self.state.stands { format!("  {}", self.of(STANDS)) } else { String::new() };
        let time = look.overview.at.get(11..19).unwrap_or_default();
        let host = printable(&look.health.hostname);
        let title = match self.is_narrow() {
            true => format!("puerto top  {time}  {}{stands}", self.of(FEW_KEYS)),
            false => format!("puerto top  {host}  {time}  {}{stands}", self.of(KEYS)),
        };
        let mut lines = vec![Line::from(Span::styled(title, reversed))];
        lines.extend(self.rates_and_trouble());
        lines.extend(self.set(&self.queue(look), Style::new()));
        let orders = look.overview.orders.iter().take(ORDERS);
        lines.extend(orders.map(|order| {
            let line = orders::line(order, self.now, self.state.language);
            Line::from(Span::styled(line, self.style(Color::Yellow)))
        }));
        if look.nodes.len() > 1 {
            lines.push(self.nodes(look));
        }
        lines.push(Line::default());
        lines
    }

    fn rates_and_trouble(&self) -> Vec<Line<'static>> {
        let rates = &self.state.rates;
        let shown =
            [rates.accepted, rates.delivered, rates.deferred, rates.bounced, rates.rejected]
                .map(rate);
        let [accepted, delivered, deferred, bounced, rejected] = &shown;
        let line = RATES.with(
            self.state.language,
            &[
                ("accepted", accepted),
                ("delivered", delivered),
                ("deferred", deferred),
                ("bounced", bounced),
                ("rejected", rejected),
            ],
        );
        let mut lines = self.set(&line, Style::new());
        let refusing = self.state.look.as_ref().and_then(|look| look.health.why_refusing());
        let language = self.state.language;
        let refusing =
            refusing.map(|why| REFUSING.with(language, &[("why", &printable(&why.of(language)))]));
        let trouble = self.state.trouble.as_ref().map(|said| said.of(self.state.language));
        for text in [refusing, trouble].into_iter().flatten() {
            lines.extend(self.set(&printable(&text), self.style(Color::Red)));
        }
        lines
    }

    fn queue(&self, look: &Look) -> String {
        let overview = &look.overview;
        let numbers = &overview.recipients;
        let oldest = numbers.oldest.as_ref().map_or_else(|| "-".into(), |t| ago(t, self.now));
        QUEUE.with(
            self.state.language,
            &[
                ("messages", &overview.messages.to_string()),
                ("recipients", &numbers.count.to_string()),
                ("active", &numbers.active.to_string()),
                ("held", &overview.held.to_string()),
                ("size", &size(overview.octets)),
                ("oldest", &oldest),
                ("next", &next(numbers.next_attempt.as_ref(), self.now)),
            ],
        )
    }

    fn nodes(&self, look: &Look) -> Line<'static> {
        // Who was stopped in good order is no news.
        let shown = look.nodes.iter().filter(|node| !node.stopped);
        let names = shown.map(|node| match node.alive {
            true => format!("{} ({})", printable(&node.name), node.leases),
            false => SILENT.with(self.state.language, &[("name", &printable(&node.name))]),
        });
        Line::from(format!("{}{}", self.of(NODES), names.collect::<Vec<_>>().join(", ")))
    }

    fn heading(&self, cells: &[String]) -> Line<'static> {
        Line::from(Span::styled(cells.concat(), Style::new().add_modifier(Modifier::BOLD)))
    }

    fn destinations(&self, room: usize) -> Vec<Line<'static>> {
        let all = self.state.destinations();
        let mark = |text: Text, sort: Sort| {
            let mark = if self.state.sort == sort { "*" } else { "" };
            format!("{}{mark}", self.of(text))
        };
        let mut lines = vec![self.heading(&[
            self.name(&mark(DESTINATIONS, Sort::Name)),
            right(&mark(ALL, Sort::Recipients), 8),
            self.wide(self.of(SENDING), 10),
            self.wide(&mark(OLDEST, Sort::Oldest), 9),
            right(&mark(NEXT, Sort::Next), 9),
            format!("  {}", self.of(WHY)),
        ])];
        if all.is_empty() {
            lines.push(Line::from(self.of(NOTHING)));
        }
        let first = self.state.first.min(all.len().saturating_sub(1));
        let rows = room.saturating_sub(1);
        lines.extend(all.iter().skip(first).take(rows).map(|one| self.destination(one)));
        let hidden = all.len().saturating_sub(first + rows);
        if hidden > 0 {
            lines.pop();
            let count = (hidden + 1).to_string();
            lines.push(Line::from(MORE.with(self.state.language, &[("count", &count)])));
        }
        lines
    }

    fn destination(&self, one: &Destination) -> Line<'static> {
        let numbers = &one.recipients;
        let oldest = numbers.oldest.as_ref().map_or_else(|| "-".into(), |t| ago(t, self.now));
        let mut why: Vec<(&String, &u64)> = one.reasons.iter().collect();
        why.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let why: Vec<String> =
            why.iter().map(|(class, count)| format!("{class} {count}")).collect();
        let name = one.domain.as_deref().map_or_else(|| "…".to_owned(), printable);
        Line::from(
            [
                self.name(&name),
                right(&numbers.count.to_string(), 8),
                self.wide(&numbers.active.to_string(), 10),
                self.wide(&oldest, 9),
                right(&next(numbers.next_attempt.as_ref(), self.now), 9),
                format!("  {}", why.join(", ")),
            ]
            .concat(),
        )
    }

    fn reasons(&self, reasons: &[Reason], most: usize) -> Vec<Line<'static>> {
        let mut lines = vec![self.heading(&[
            self.name(self.of(REASON)),
            right(self.of(ALL), 8),
            format!("  {}", self.of(MEANING)),
        ])];
        lines.extend(reasons.iter().take(most).map(|reason| {
            let meaning = summary::meaning(&reason.class, self.state.language);
            let count = right(&reason.recipients.count.to_string(), 8);
            Line::from(format!("{}{count}  {meaning}", self.name(&reason.class)))
        }));
        lines
    }

    // Nothing where no address is new.
    fn warm_up(&self, all: &[WarmUpView], most: usize) -> Vec<Line<'static>> {
        if all.is_empty() {
            return Vec::new();
        }
        let mut lines = vec![self.heading(&[
            self.name(self.of(SOURCE)),
            right(self.of(OF_DAY), 8),
            right(self.of(SENT), 16),
            format!("  {}", self.of(TOWARDS)),
        ])];
        lines.extend(all.iter().take(most).map(|one| {
            let (sent, limit) = (one.sent, one.limit);
            let to = one.provider.as_deref().map_or_else(|| "-".to_owned(), printable);
            let cells = [
                self.name(&printable(&one.source)),
                right(&one.day.to_string(), 8),
                right(&format!("{sent}/{limit}"), 16),
            ];
            let style = if sent >= limit { self.style(Color::Yellow) } else { Style::new() };
            Line::from(vec![Span::raw(cells.concat()), Span::styled(format!("  {to}"), style)])
        }));
        lines
    }

    fn lanes(&self, lanes: &[LaneView], most: usize) -> Vec<Line<'static>> {
        let mut lines = vec![self.heading(&[
            self.name(self.of(LANE)),
            right(self.of(OPEN), 12),
            self.wide(self.of(IN_LINE), 9),
            format!("  {}", self.of(STATE)),
        ])];
        lines.extend(lanes.iter().take(most).map(|lane| {
            let [name, open, waiting, state] =
                summary::lane_row(lane, self.now, self.state.language);
            let style = match lane.state {
                LaneWord::Open => Style::new(),
                LaneWord::NoPlace | LaneWord::Parked | LaneWord::Canary => {
                    self.style(Color::Yellow)
                }
                LaneWord::OutOfReach | LaneWord::Probing => self.style(Color::Red),
            };
            let cells = [self.name(&name), right(&open, 12), self.wide(&waiting, 9)].concat();
            Line::from(vec![Span::raw(cells), Span::styled(format!("  {state}"), style)])
        }));
        lines
    }
}

fn next(time: Option<&String>, now: Timestamp) -> String {
    time.map_or_else(|| "-".into(), |time| from_now(time, now).unwrap_or_else(|| "0s".into()))
}

fn rate(rate: f64) -> String {
    if rate >= 100.0 { format!("{rate:.0}") } else { format!("{rate:.1}") }
}

// So many columns to the left, with a blank at the end.
fn fit(text: &str, width: usize) -> String {
    let room = width.saturating_sub(1);
    if text.chars().count() <= room {
        return format!("{text:<width$}");
    }
    let kept: String = text.chars().take(room.saturating_sub(1)).collect();
    format!("{kept}… ")
}

fn right(text: &str, width: usize) -> String {
    format!("{text:>width$}")
}

// Words that do not fit are cut by the screen; what was cut is seen by its mark.
fn cut(mut line: Line<'static>, width: usize) -> Line<'static> {
    if line.width() <= width {
        return line;
    }
    let mut room = width.saturating_sub(1);
    let mut spans = Vec::new();
    for span in std::mem::take(&mut line.spans) {
        let text: String = span.content.chars().take(room).collect();
        room -= text.chars().count();
        spans.push(Span::styled(text, span.style));
    }
    spans.push(Span::raw("…"));
    Line::from(spans)
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::widgets::Paragraph;

    use super::*;
    use crate::control::overview::{Numbers, Overview, Vitals};
    use crate::control::protocol::HealthView;
    use crate::lang::Language;

    fn state() -> State {
        let numbers = |count: u64, oldest: &str, next: &str| Numbers {
            count,
            active: 1,
            oldest: Some(oldest.to_owned()),
            next_attempt: Some(next.to_owned()),
            ..Numbers::default()
        };
        let destination = |domain: &str, recipients: Numbers| Destination {
            paused: None,
            domain: Some(domain.to_owned()),
            reasons: [("greylisted".to_owned(), recipients.count)].into(),
            recipients,
            lane: None,
        };
        let one = numbers(1000, "2026-11-24T11:00:00Z", "2026-11-24T12:10:00Z");
        let two = numbers(5, "2026-11-22T12:00:00Z", "2026-11-24T11:00:00Z");
        let lane = LaneView {
            lane: "mx.example.net".to_owned(),
            state: LaneWord::OutOfReach,
            waiting: 12,
            open: 0,
            allowed: 5,
            ceiling: 20,
            failures: 3,
            per_hour: None,
            in_all: false,
            until: Some("2026-11-24T12:02:00Z".to_owned()),
            reason: None,
            cause: None,
        };
        let overview = Overview {
            at: "2026-11-24T12:00:00.123Z".to_owned(),
            messages: 1005,
            recipients: numbers(1005, "2026-11-22T12:00:00Z", "2026-11-24T11:00:00Z"),
            destinations: vec![destination("example.net", one), destination("a.example", two)],
            reasons: vec![Reason {
                class: "greylisted".to_owned(),
                recipients: Numbers::default(),
            }],
            ..Overview::default()
        };
        let look = |counts: Vitals| Look {
            counts,
            lanes: vec![lane.clone()],
            warm_up: Vec::new(),
            overview: overview.clone(),
            nodes: Vec::new(),
            health: HealthView { hostname: "mail.example.com".to_owned(), ..HealthView::default() },
        };
        let mut state = State::new(Language::English, false);
        state.take(look(Vitals { millis: 1000, ..Vitals::default() }));
        let counts = Vitals { millis: 3000, accepted: 25, deferred: 300, ..Vitals::default() };
        state.take(look(counts));
        state
    }

    fn now() -> Timestamp {
        "2026-11-24T12:00:00Z".parse().unwrap()
    }

    fn screen(state: &State, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        let drawn = terminal.draw(|frame| {
            let area = frame.area();
            let lines = lines(state, now(), (area.width.into(), area.height.into()));
            frame.render_widget(Paragraph::new(lines), area);
        });
        drawn.unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn a_new_address_shows_what_each_provider_got_today() {
        let mut state = state();
        let mut look = state.look.clone().unwrap();
        assert!(!text(&state, now(), Some(80)).contains("NEW ADDRESS"));
        look.warm_up = vec![WarmUpView {
            source: "news-3".to_owned(),
            provider: Some("google".to_owned()),
            day: 2,
            limit: 100,
            sent: 37,
        }];
        state.look = Some(look);
        for shown in [screen(&state, 120, 30), text(&state, now(), Some(80))] {
            for part in ["NEW ADDRESS", "news-3", "37/100  google"] {
                assert!(shown.contains(part), "{part} in\n{shown}");
            }
        }
        assert_eq!(state.document()["warm_up"][0]["sent"], 37);
    }

    #[test]
    fn a_screen_shows_rates_destinations_reasons_and_lanes() {
        let shown = screen(&state(), 120, 30);
        for part in [
            "puerto top mail.example.com 12:00:00 q quit",
            "accepted 12.5 delivered 0.0 deferred 150 bounced 0.0",
            "queue: 1005 messages, 1005 recipients, 1 being sent or in line",
            "oldest 2d, next 0s",
            "example.net 1000 1 60m 10m greylisted 1000",
            "greylisted 0 ",
            "mx.example.net 0/5 (20) 12 out of reach, failures in a row: 3",
        ] {
            let words: Vec<&str> = shown.split_whitespace().collect();
            assert!(words.join(" ").contains(part), "{part} in\n{shown}");
        }
        let place = |name: &str, shown: &str| shown.find(name).unwrap();
        assert!(place("example.net ", &shown) < place("a.example ", &shown));
    }

    #[test]
    fn a_narrow_screen_tells_less_and_cuts_off_no_number() {
        let shown = screen(&state(), 40, 30);
        let words: Vec<&str> =
            shown.split_whitespace().map(|word| word.trim_matches('"')).collect();
        let words = words.join(" ").replace("  ", " ");
        for part in [
            "puerto top 12:00:00 q quit",
            "deferred 150",
            "oldest 2d, next 0s",
            "example.net 1000 10m greyli",
            "mx.example.n… 0/5 (20) out of re",
        ] {
            assert!(words.contains(part), "{part} in\n{shown}");
        }
    }

    #[test]
    fn destinations_are_ordered_as_is_asked() {
        let mut state = state();
        let first = |state: &State| state.destinations()[0].domain.clone().unwrap();
        let mut seen = Vec::new();
        for _ in 0..4 {
            seen.push((state.sort, first(&state)));
            state.sort = state.sort.next();
        }
        let expected = [
            (Sort::Recipients, "example.net"),
            (Sort::Oldest, "a.example"),
            (Sort::Next, "a.example"),
            (Sort::Name, "a.example"),
        ];
        assert_eq!(seen, expected.map(|(sort, name)| (sort, name.to_owned())));
        assert_eq!(state.sort, Sort::Recipients);
    }

    #[test]
    fn every_size_has_a_screen() {
        let mut state = state();
        for (width, height) in [(1, 1), (2, 3), (10, 5), (40, 8), (80, 24), (300, 100)] {
            for first in [0, 1, 1000] {
                state.first = first;
                let _ = screen(&state, width, height);
            }
        }
        let small = screen(&state, 40, 6);
        assert!(small.contains("puerto top") && small.contains('…'), "{small}");
    }

    #[test]
    fn what_the_network_says_cannot_draw() {
        let mut state = state();
        let look = state.look.as_mut().unwrap();
        look.overview.destinations[0].domain = Some("x\u{1b}[2J.example".to_owned());
        assert!(screen(&state, 100, 30).contains("x?[2J.example"));
    }

    #[test]
    fn a_server_that_was_started_again_has_no_negative_rates() {
        let mut state = state();
        let counts = Vitals { millis: 6000, accepted: 1, ..Vitals::default() };
        let look = Look { counts, ..state.look.clone().unwrap() };
        state.take(look);
        assert_eq!(state.rates.accepted, 0.0);
    }
}
