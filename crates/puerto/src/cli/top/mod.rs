//! `puerto top`: the queue as it moves, on a terminal, or once as text.

mod state;
mod view;

use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::widgets::Paragraph;

use self::state::{Look, State};
use super::clock::now;
use super::exit::{Failure, Sysexit, client_error, end};
use super::output::{columns, json_document, print, say};
use super::sendmail;
use super::spanish::Spanish as _;
use crate::config::parse_duration;
use crate::control::protocol::Selection;
use crate::control::{Client, ClientError};
use crate::lang::{Language, Said, said};

/// Destinations that are asked for: more than a terminal has lines.
const DESTINATIONS: usize = 200;
/// Rates that are printed once are those of this time.
const ONCE: Duration = Duration::from_secs(1);

/// Show the queue as it moves.
#[derive(Debug, Args)]
pub struct TopArgs {
    /// Print it once as text, with the rates of one second
    #[arg(es = "Lo escribe una vez como texto, con los ritmos de un segundo")]
    #[arg(long)]
    once: bool,
    /// Print it once as a JSON document
    #[arg(es = "Lo escribe una vez como documento JSON")]
    #[arg(long)]
    json: bool,
    /// How often it is looked, as 2s
    #[arg(es = "Cada cuánto se mira, como 2s")]
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_duration)]
    every: Duration,
}

/// Runs the command.
pub fn run(arguments: &TopArgs, config: Option<&Path>, language: Language) -> ExitCode {
    let done = top(arguments, config, language);
    end("puerto top", done.map_err(Failure::of_arguments), language)
}

fn top(arguments: &TopArgs, config: Option<&Path>, language: Language) -> Result<Sysexit, Failure> {
    let run_dir = sendmail::run_dir(config)?;
    if arguments.once || arguments.json {
        return once(&run_dir, arguments.json, language);
    }
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return Err(Failure::new(
            Sysexit::Usage,
            said!(
                "this is no terminal: `puerto top --once` prints it once, `--json` as JSON",
                "esto no es un terminal: `puerto top --once` lo escribe una vez, `--json` en JSON"
            ),
        ));
    }
    if std::env::var("TERM").is_ok_and(|term| term == "dumb") {
        return Err(Failure::new(
            Sysexit::Usage,
            said!(
                "a terminal of the kind `dumb` cannot show it: `puerto top --once` prints it once",
                "un terminal de tipo `dumb` no puede mostrarlo: `puerto top --once` lo escribe una vez"
            ),
        ));
    }
    // What cannot be reached is said before the screen is taken.
    let look = look(&mut Client::connect(&run_dir)?, Duration::ZERO)?;
    let mut state = State::new(language, has_colour());
    state.take(look);
    let terminal = ratatui::try_init()?;
    let shown = watch(terminal, &mut state, &run_dir, arguments.every);
    ratatui::restore();
    shown?;
    Ok(Sysexit::Ok)
}

fn has_colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn look(client: &mut Client, max_age: Duration) -> Result<Look, ClientError> {
    let (counts, lanes, warm_up) = client.vitals()?;
    let overview = client.overview(&Selection::default(), DESTINATIONS, max_age)?;
    let nodes = client.nodes()?;
    let health = client.health()?;
    Ok(Look { counts, lanes, warm_up, overview, nodes, health })
}

fn once(run_dir: &Path, json: bool, language: Language) -> Result<Sysexit, Failure> {
    let mut client = Client::connect(run_dir)?;
    let mut state = State::new(language, false);
    state.take(look(&mut client, Duration::ZERO)?);
    std::thread::sleep(ONCE);
    state.take(look(&mut client, ONCE)?);
    if json {
        say(&json_document(&state.document()).map_err(io::Error::from)?)?;
    } else {
        print(&view::text(&state, now(), columns(&io::stdout())))?;
    }
    Ok(Sysexit::Ok)
}

fn watch(
    mut terminal: DefaultTerminal,
    state: &mut State,
    run_dir: &Path,
    every: Duration,
) -> io::Result<()> {
    let every = every.max(Duration::from_millis(200));
    let mut client = None;
    let mut looked = now();
    loop {
        terminal.draw(|frame| {
            let area = frame.area();
            let lines = view::lines(state, now(), (area.width.into(), area.height.into()));
            frame.render_widget(Paragraph::new(lines), area);
        })?;
        let wait = patience(state.stands, since(looked), every);
        if event::poll(wait)? {
            match event::read()? {
                Event::Key(key) if key.kind != KeyEventKind::Release => match pressed(key, state) {
                    Pressed::Quit => return Ok(()),
                    Pressed::LookNow => looked = Timestamp::UNIX_EPOCH,
                    Pressed::Nothing => {}
                },
                // Drawn anew in any case.
                _ => {}
            }
        }
        if since(looked) >= every && !state.stands {
            looked = now();
            match look_again(&mut client, run_dir, every) {
                Ok(look) => state.take(look),
                Err(error) => {
                    client = None;
                    state.trouble = Some(client_error(&error));
                }
            }
        }
    }
}

// How long a key is waited for. What stands still does not look again, so that the time for a
// look is always past.
fn patience(stands: bool, since_look: Duration, every: Duration) -> Duration {
    if stands { every } else { every.saturating_sub(since_look) }
}

// A clock that leaps costs one look more.
fn since(time: Timestamp) -> Duration {
    now().duration_since(time).unsigned_abs()
}

// A server that was started again is found again.
fn look_again(
    client: &mut Option<Client>,
    run_dir: &Path,
    max_age: Duration,
) -> Result<Look, ClientError> {
    let connected = match client.take() {
        Some(connected) => connected,
        None => Client::connect(run_dir)?,
    };
    look(client.insert(connected), max_age)
}

enum Pressed {
    Quit,
    LookNow,
    Nothing,
}

fn pressed(key: KeyEvent, state: &mut State) -> Pressed {
    match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => {
            return Pressed::Quit;
        }
        KeyCode::Char('q') | KeyCode::Esc => return Pressed::Quit,
        KeyCode::Char('r') => return Pressed::LookNow,
        KeyCode::Char('s') => state.sort = state.sort.next(),
        KeyCode::Char(' ' | 'p') => state.stands = !state.stands,
        KeyCode::Down | KeyCode::Char('j') => state.first = state.first.saturating_add(1),
        KeyCode::Up | KeyCode::Char('k') => state.first = state.first.saturating_sub(1),
        _ => {}
    }
    Pressed::Nothing
}

/// The words for what went wrong.
type Trouble = Said;

#[cfg(test)]
mod tests {
    use super::*;

    /// It drew as fast as it could.
    #[test]
    fn what_stands_still_waits_for_a_key() {
        let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3600));
        for past in [Duration::ZERO, second, hour] {
            assert_eq!(patience(true, past, second), second);
        }
        assert_eq!(patience(false, hour, second), Duration::ZERO);
        assert_eq!(patience(false, second / 4, second), second * 3 / 4);
    }
}
