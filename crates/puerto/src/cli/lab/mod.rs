//! `puerto lab`: the whole system on this machine alone.
//!
//! The server is the real one, with its real spool and its real sockets, started in
//! this process on a folder of its own; its Internet is `puerto_lab`. Letters go in
//! through the local socket as `sendmail` hands them over. What the receivers saw is
//! shown as it happens, then in a table; nothing that is shown is made up. `scenario`
//! holds worlds in which one thing is wrong, `cluster` shows several nodes on one queue,
//! and `classroom` is for labs that stay: exercises, and a class.

mod classroom;
mod cluster;
mod scenario;
mod scene;
mod show;
mod story;
mod submit;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use puerto_lab::{Lab, LabError, Options, Transaction};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use self::scenario::Scenario;
use self::scene::{Scene, Stage};
use self::show::Show;
use self::story::{Letter, Row, Status};
use crate::cli::exit::{Failure, Sysexit, client_error, end};
use crate::cli::output::say;
use crate::cli::spanish::Spanish as _;
use crate::config::Config;
use crate::control::{Client, ClientError};
use crate::lang::{Language, Said, Text, address_error, quoted, said_of, system};
use crate::serve::{Daemon, Prepared};

/// How long the letters may take to end.
const DEADLINE: Duration = Duration::from_secs(25);
/// How long the queue may take to be empty after that, and the pause between looks.
const CLEARING: Duration = Duration::from_secs(3);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Show the whole system in a simulated Internet on this machine.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct LabArgs {
    #[command(subcommand)]
    command: Option<classroom::ClassroomCommand>,
    /// Send the letters, print the table and end: with 0 if all ended as it should,
    /// with 1 otherwise
    #[arg(
        es = "Envía las cartas, muestra la tabla y termina: con 0 si todo acabó como debía; si \
                no, con 1"
    )]
    #[arg(long)]
    once: bool,
    /// Print JSON lines; with --nodes, one JSON document
    #[arg(es = "Escribe líneas JSON; con --nodes, un documento JSON")]
    #[arg(long)]
    json: bool,
    /// Show a world in which one thing is wrong, and end: with 0 if exactly what is
    /// expected came; `list` names them all
    #[arg(es = "Muestra un mundo en el que algo está mal y termina: con 0 si ocurrió justo lo \
                esperado; `list` los enumera todos")]
    #[arg(long, value_name = "NAME", conflicts_with = "once")]
    scenario: Option<String>,
    /// Show so many nodes (2 to 9) on one queue, in a PostgreSQL that is started for it; kill
    /// one, and the database, and end: with 0 if nothing was lost
    #[arg(
        es = "Muestra tantos nodos (de 2 a 9) con una sola cola, en un PostgreSQL que se inicia \
                para ello; mata a uno y a la base de datos, y termina: con 0 si no se perdió nada"
    )]
    #[arg(long, value_name = "N", conflicts_with_all = ["once", "scenario"])]
    #[arg(value_parser = cluster::count)]
    nodes: Option<u8>,
    /// Stay until Ctrl-C on a folder whose files are to be edited: the DNS as a zone file, and
    /// the server's configuration
    #[arg(
        es = "Permanece hasta que pulse Ctrl-C, en una carpeta cuyos ficheros se pueden editar: el \
                DNS como fichero de zona y la configuración del servidor"
    )]
    #[arg(long, conflicts_with_all = ["once", "scenario", "nodes"])]
    keep: bool,
    /// The folder of a lab that is kept; below ~/puerto-lab if none is given
    #[arg(
        es = "La carpeta del laboratorio que permanece; si no se indica, dentro de ~/puerto-lab"
    )]
    #[arg(long, value_name = "FOLDER", requires = "keep")]
    folder: Option<PathBuf>,
    /// Begin anew in the folder of an earlier lab, whose files are removed
    #[arg(es = "Empieza de nuevo en la carpeta de un laboratorio anterior y elimina sus ficheros")]
    #[arg(long, requires = "keep")]
    reset: bool,
    /// The folder of a lab that is watched
    #[arg(es = "La carpeta de un laboratorio vigilado")]
    #[arg(long, hide = true, value_name = "FOLDER", requires = "nodes")]
    kept: Option<PathBuf>,
}

/// Runs `puerto lab`.
pub fn run(arguments: &LabArgs, language: Language) -> ExitCode {
    if let Some(command) = &arguments.command {
        return classroom::run(command, language);
    }
    let shown = match (arguments.scenario.as_deref(), arguments.nodes, &arguments.kept) {
        (Some("list"), ..) => return list(arguments.json, language),
        (_, Some(count), None) => {
            return end("puerto lab", cluster::run(count, arguments.json, language), language);
        }
        (name, ..) => show_one(arguments, name, language),
    };
    end("puerto lab", shown.map(|is_well| u8::from(!is_well)), language)
}

fn show_one(arguments: &LabArgs, name: Option<&str>, language: Language) -> Result<bool, Failure> {
    const NONE: Text = Text::new(
        "there is no scenario `{name}`; `puerto lab --scenario list` names them",
        "no hay ningún escenario `{name}`; `puerto lab --scenario list` los enumera",
    );
    let none = |name| Failure::new(Sysexit::Arguments, Said::with(NONE, &[("name", name)]));
    let chosen = name.map(|name| scenario::find(name).ok_or_else(|| none(name))).transpose()?;
    let runtime = threads()?;
    if arguments.keep {
        let (folder, anew) = (arguments.folder.as_deref(), arguments.reset);
        let begin = classroom::Begin { folder, anew, json: arguments.json };
        return runtime.block_on(classroom::keep(begin, language));
    }
    let performed = runtime.block_on(async {
        match (chosen, arguments.nodes, &arguments.kept) {
            (Some(scenario), ..) => stage(scenario, arguments.json, language).await,
            (_, Some(count), Some(folder)) => {
                cluster::stage((count, folder), arguments.json, language).await
            }
            _ => perform(arguments, language).await,
        }
    });
    performed.map_err(|message| Failure::new(Sysexit::Unavailable, message))
}

fn threads() -> Result<tokio::runtime::Runtime, Failure> {
    const CANNOT: Text = Text::new("cannot start: {error}", "no se puede empezar: {error}");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| {
        Failure::new(Sysexit::OsError, Said::of_parts(CANNOT, &[("error", &system(&error))]))
    })
}

fn list(json: bool, language: Language) -> ExitCode {
    let scenarios = scenario::list(language);
    let lines: Vec<String> = match json {
        true => scenarios
            .iter()
            .map(|(name, text)| serde_json::json!({"name": name, "text": text}).to_string())
            .collect(),
        false => scenarios.iter().map(|(name, text)| format!("{name:<22}{text}")).collect(),
    };
    match say(&lines.join("\n")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => Sysexit::OsError.into(),
    }
}

async fn stage(scenario: &Scenario, json: bool, language: Language) -> Result<bool, Said> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| system(&error))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| system(&error))?;
    let show = Show::new(json, language);
    tokio::select! {
        outcome = scenario::perform(scenario, &show) => outcome,
        _ = interrupt.recv() => Ok(false),
        _ = terminate.recv() => Ok(false),
    }
}

async fn perform(arguments: &LabArgs, language: Language) -> Result<bool, Said> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| system(&error))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| system(&error))?;
    let lab = started(Options::default()).await?;
    let scene = Scene::set(&lab, Stage::USUAL)?;
    let config = load(&scene.config)?;
    let prepared = Prepared::new(config).map_err(|error| error.said())?;
    let daemon = Daemon::start(prepared, Some(scene.config.clone())).await;
    let daemon = daemon.map_err(|error| error.said())?;
    let show = Show::new(arguments.json, language);
    show.scene(&lab, &scene);
    let outcome = tokio::select! {
        outcome = play(&lab, &scene, &show, arguments.once) => outcome,
        _ = interrupt.recv() => Ok(arguments.once.then_some(false)),
        _ = terminate.recv() => Ok(arguments.once.then_some(false)),
    };
    show.done_waiting();
    daemon.stop().await;
    // Without --once an interrupt is how it ends, whatever came of the letters.
    outcome.map(|well| well.unwrap_or(true))
}

// What the lab itself wrote is right, unless the disk says otherwise.
fn load(config: &Path) -> Result<Config, Said> {
    Config::load_whole(Some(config))
        .map_err(|errors| Said::of_both(|language| errors.render(false, None, language)))
}

// Ends with whether all is well, or, without --once, never.
async fn play(lab: &Lab, scene: &Scene, show: &Show, once: bool) -> Result<Option<bool>, Said> {
    let letters = story::letters(&user_name())
        .or_else(|_| story::letters("user"))
        .map_err(|error| address_error(&error))?;
    let mut events = lab.events();
    let rows = tell(lab, scene, show, &letters, &mut events).await?;
    while let Ok(seen) = events.try_recv() {
        show.transaction(&seen);
    }
    let left = wait_for_empty_queue(&scene.run_dir()).await?;
    let well = left == 0 && rows.iter().all(|row| matches!(row.status, Status::Well(_)));
    if once {
        show.done_waiting();
        show.summary(&rows, left, well);
        return Ok(Some(well));
    }
    show.summary(&rows, left, well);
    show.invitation(scene);
    show.idle();
    loop {
        match events.recv().await {
            Ok(seen) => show.transaction(&seen),
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return Ok(None),
        }
    }
}

// Sends the letters and shows what happens until all have ended, or time is up.
async fn tell(
    lab: &Lab,
    scene: &Scene,
    show: &Show,
    letters: &[Letter],
    events: &mut Receiver<Arc<Transaction>>,
) -> Result<Vec<Row>, Said> {
    let socket = scene.run_dir().join("submit");
    let submissions = async {
        for letter in letters {
            let promise = submit::submit(&socket, letter).await?;
            show.promise(letter, &promise);
        }
        Ok::<(), Said>(())
    };
    let deadline = tokio::time::sleep(DEADLINE);
    tokio::pin!(submissions, deadline);
    let mut submitted = false;
    loop {
        let rows = story::rows(letters, &lab.transactions());
        show.waiting(&rows);
        if submitted && rows.iter().all(|row| row.status != Status::UnderWay) {
            return Ok(rows);
        }
        tokio::select! {
            result = &mut submissions, if !submitted => {
                result?;
                submitted = true;
            }
            event = events.recv() => match event {
                Ok(seen) => show.transaction(&seen),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Ok(rows),
            },
            () = &mut deadline => return Ok(rows),
        }
    }
}

// A receiver has a message a moment before the queue knows that.
async fn wait_for_empty_queue(run_dir: &Path) -> Result<u64, Said> {
    let since = tokio::time::Instant::now();
    loop {
        let left = asked(run_dir, |client| Ok(client.health()?.messages)).await?;
        if left == 0 || since.elapsed() > CLEARING {
            return Ok(left);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

// The Internet of this machine alone.
async fn started(options: Options) -> Result<Lab, Said> {
    Lab::start(options).await.map_err(|error| match error {
        LabError::Bind { address, error } => said_of!(
            "cannot listen on {address}: {error}", "no se puede escuchar en {address}: {error}";
            address = Said::words(address.to_string()), error = system(&error)
        ),
        LabError::Certificate(error) => said_of!(
            "cannot make a certificate for the receivers: {error}",
            "no se puede crear un certificado para los receptores: {error}";
            error = quoted(&error)
        ),
    })
}

// What the server answers on its control socket, which waits for it.
async fn asked<T: Send + 'static>(
    run_dir: &Path,
    question: impl FnOnce(&mut Client) -> Result<T, ClientError> + Send + 'static,
) -> Result<T, Said> {
    let run_dir = run_dir.to_owned();
    let asked = tokio::task::spawn_blocking(move || question(&mut Client::connect(&run_dir)?));
    let answer = asked.await.map_err(|error| quoted(&error.to_string()))?;
    answer.map_err(|error| client_error(&error))
}

fn user_name() -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::getuid());
    user.ok().flatten().map_or_else(|| "user".to_owned(), |user| user.name)
}
