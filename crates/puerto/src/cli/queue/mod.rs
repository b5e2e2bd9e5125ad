//! `puerto queue`: shows what waits and why, and changes it through the running
//! server.
//!
//! A bulk change is made in two steps. The messages that the conditions select are
//! counted first and their ids kept; after the question was answered, exactly these
//! are changed, and not others that have come since.

mod print;

use std::io::{self, BufRead, BufWriter, IsTerminal};
use std::path::Path;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use self::print::{Form, Printer};
use crate::cli::exit::{Failure, Sysexit};
use crate::cli::output::{if_read, is_unread, say};
use crate::cli::sendmail;
use crate::control::Client;
use crate::control::protocol::{Change, Selection};

/// Show and change the mail that waits.
#[derive(Debug, Args)]
pub struct QueueArgs {
    #[command(subcommand)]
    command: QueueCommand,
}

#[derive(Debug, Subcommand)]
enum QueueCommand {
    /// List waiting messages, the oldest first
    List(ListArgs),
    /// Show everything about one message
    Show(ShowArgs),
    /// Try messages now
    Retry(ChangeArgs),
    /// Keep messages from being tried until they are released
    Hold(ChangeArgs),
    /// Release messages from hold
    Release(ChangeArgs),
    /// Remove messages for good, without notice to their senders
    Remove(ChangeArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    conditions: Conditions,
    /// Print one JSON object for each message
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// The message's id, as `puerto queue list` and the log show it
    id: String,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ChangeArgs {
    /// Ids of messages, as `puerto queue list` and the log show them
    #[arg(conflicts_with = "all")]
    ids: Vec<String>,
    #[command(flatten)]
    conditions: Conditions,
    /// All messages that wait
    #[arg(long)]
    all: bool,
    /// Do not ask before changing several messages
    #[arg(long, short)]
    yes: bool,
}

/// Which messages. With `*` or `?`, a condition is a pattern; otherwise any text that
/// contains it will do. A message is selected whole, even if only one of its
/// recipients fits.
#[derive(Debug, Args)]
struct Conditions {
    /// With a waiting recipient like this
    #[arg(long, value_name = "ADDRESS")]
    to: Option<String>,
    /// With a sender like this; '<>' for notifications
    #[arg(long, value_name = "ADDRESS")]
    from: Option<String>,
    /// With a waiting recipient in this domain, or last tried at this host
    #[arg(long, value_name = "DOMAIN")]
    destination: Option<String>,
    /// That wait for a reason like this
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

impl Conditions {
    fn selection(&self) -> Selection {
        Selection {
            to: self.to.clone(),
            from: self.from.clone(),
            destination: self.destination.clone(),
            reason: self.reason.clone(),
        }
    }
}

/// Runs the command.
pub fn run(arguments: &QueueArgs, config_path: Option<&Path>) -> ExitCode {
    match dispatch(&arguments.command, config_path) {
        Ok(code) => code.into(),
        Err(failure) => {
            eprintln!("puerto: {failure}");
            // Of the commands of `puerto`, a wrong command line ends with 2.
            match failure.code {
                Sysexit::Usage => ExitCode::from(2),
                code => code.into(),
            }
        }
    }
}

fn dispatch(command: &QueueCommand, config_path: Option<&Path>) -> Result<Sysexit, Failure> {
    let run_dir = sendmail::run_dir(config_path)?;
    let connect = || Client::connect(&run_dir);
    match command {
        QueueCommand::List(arguments) => list(&mut connect()?, arguments),
        QueueCommand::Show(arguments) => show(&mut connect()?, arguments),
        QueueCommand::Retry(arguments) => change(&connect, Change::Retry, arguments),
        QueueCommand::Hold(arguments) => change(&connect, Change::Hold, arguments),
        QueueCommand::Release(arguments) => change(&connect, Change::Release, arguments),
        QueueCommand::Remove(arguments) => change(&connect, Change::Remove, arguments),
    }
}

fn list(client: &mut Client, arguments: &ListArgs) -> Result<Sysexit, Failure> {
    let stdout = io::stdout();
    let form = match (arguments.json, stdout.is_terminal()) {
        (true, _) => Form::Json,
        (false, true) => Form::Table,
        (false, false) => Form::Plain,
    };
    let selection = arguments.conditions.selection();
    let mut printer = Printer::new(BufWriter::new(stdout.lock()), form, jiff::Timestamp::now());
    let listed = client.list(&selection, |message| printer.message(&message));
    match listed {
        Ok(_) => if_read(printer.finish())?,
        // Whoever reads only the first lines has what they want.
        Err(error) if is_unread(&error) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(Sysexit::Ok)
}

fn show(client: &mut Client, arguments: &ShowArgs) -> Result<Sysexit, Failure> {
    let message = client.show(&arguments.id)?;
    let text = if arguments.json {
        serde_json::to_string_pretty(&message).map_err(io::Error::from)?
    } else {
        let mut story = Vec::new();
        print::story(&mut story, &message, jiff::Timestamp::now())?;
        String::from_utf8_lossy(&story).trim_end().to_owned()
    };
    say(&text)?;
    Ok(Sysexit::Ok)
}

fn change(
    connect: &dyn Fn() -> Result<Client, crate::control::ClientError>,
    change: Change,
    arguments: &ChangeArgs,
) -> Result<Sysexit, Failure> {
    let selection = arguments.conditions.selection();
    let named = !arguments.ids.is_empty();
    let ids = if named {
        if !selection.is_empty() {
            return Err(usage("name messages by their ids or by conditions, not by both"));
        }
        arguments.ids.clone()
    } else if arguments.all || !selection.is_empty() {
        let mut ids = Vec::new();
        connect()?.list(&selection, |message| {
            ids.push(message.id);
            Ok(())
        })?;
        if !ids.is_empty() && !arguments.yes && !confirmed(change, ids.len())? {
            eprintln!("puerto: nothing was changed");
            return Ok(Sysexit::Ok);
        }
        ids
    } else {
        return Err(usage("which messages? Name their ids, conditions such as --to, or --all"));
    };
    let done = connect()?.change(change, &ids)?;
    say(&format!("{} {}", counted(done.count), past(change)))?;
    let (lines, code) = of_the_missing(&done.missing, named);
    for line in lines {
        eprintln!("puerto: {line}");
    }
    Ok(code)
}

/// What to say of messages that were not there to be changed, and the exit code. One
/// that was chosen by a condition may be delivered before it is changed; only whoever
/// `named` a message is owed an error when it is not there.
fn of_the_missing(missing: &[String], named: bool) -> (Vec<String>, Sysexit) {
    if missing.is_empty() {
        return (Vec::new(), Sysexit::Ok);
    }
    if !named {
        let left = format!("{} left the queue meanwhile", counted(missing.len() as u64));
        return (vec![left], Sysexit::Ok);
    }
    let lines = missing.iter().map(|id| format!("{id} is not in the queue (any more)")).collect();
    (lines, Sysexit::NoInput)
}

fn usage(message: &str) -> Failure {
    Failure::new(Sysexit::Usage, message)
}

fn confirmed(change: Change, count: usize) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        let count = counted(count as u64);
        return Err(usage(&format!(
            "this would change {count}; add --yes, since there is nobody to ask"
        )));
    }
    let verb = match change {
        Change::Retry => "Try",
        Change::Hold => "Hold",
        Change::Release => "Release",
        Change::Remove => "Remove for good",
    };
    eprint!("{verb} {}? [y/N] ", counted(count as u64));
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes" | "s" | "sí" | "si"))
}

fn counted(count: u64) -> String {
    if count == 1 { "1 message".to_owned() } else { format!("{count} messages") }
}

fn past(change: Change) -> &'static str {
    match change {
        Change::Retry => "to be tried now",
        Change::Hold => "held",
        Change::Release => "released",
        Change::Remove => "removed",
    }
}

#[cfg(test)]
mod tests {
    use super::of_the_missing;
    use crate::cli::exit::Sysexit;

    #[test]
    fn a_delivery_between_choice_and_change_is_no_error() {
        let gone = ["0A1B2C3D4E5F".to_owned()];
        let (lines, code) = of_the_missing(&gone, false);
        assert_eq!(
            (lines.join(""), code),
            ("1 message left the queue meanwhile".into(), Sysexit::Ok)
        );
        let (lines, code) = of_the_missing(&gone, true);
        assert!(lines.join("").contains("0A1B2C3D4E5F is not in the queue"));
        assert_eq!(code, Sysexit::NoInput);
        assert_eq!(of_the_missing(&[], true).1, Sysexit::Ok);
    }
}
