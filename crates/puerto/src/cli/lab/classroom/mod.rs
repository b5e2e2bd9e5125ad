//! The classroom: labs that stay, to break and to mend. `home` is the folder of one,
//! `world` what runs on it, `desk` how another terminal asks it.

mod class;
mod desk;
mod exercise;
mod home;
mod inbox;
mod world;
mod zone;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use puerto_lab::world::SENDER_ADDRESS;
use puerto_smtp::Address;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::broadcast::error::RecvError;

use self::desk::{Answer, Ask, Host};
use self::world::{Blueprint, CONFIG, News, World};
use super::show::{BAD, FAINT, GOOD, Show, TITLE, manners_of, paint};
use super::submit::{Counter, NotTaken};
use crate::cli::exit::{Failure, Sysexit, end};
use crate::cli::output::{json_document, say, show};
use crate::cli::spanish::Spanish as _;
use crate::lang::layout::whole;
use crate::lang::{Language, Said, Text, address_error, said, shell_word, system};
use crate::receive::SUBMIT_SOCKET;

/// What is done with a lab that stays.
#[derive(Debug, Subcommand)]
pub(super) enum ClassroomCommand {
    /// Send a letter through the server of the lab that runs
    #[command(es = "Envía una carta por el servidor del laboratorio en marcha")]
    Send(SendArgs),
    /// Show what arrived in whose mailbox, and what was refused and why
    #[command(es = "Muestra qué llegó a cada buzón, y qué fue rechazado y por qué")]
    Inbox(InboxArgs),
    /// Begin or go on with an exercise; without a number, list them
    #[command(es = "Empieza o sigue un ejercicio; sin número, los enumera")]
    Exercise(ExerciseArgs),
    /// Say what holds of the exercise that runs: 0 if it is solved, 1 if not
    #[command(es = "Dice qué se cumple del ejercicio en marcha: 0 si está resuelto, 1 si no")]
    Grade(Which),
    /// Give a hint for the exercise that runs, the cheapest first; it costs points
    #[command(
        es = "Da una pista para el ejercicio en marcha, la más barata primero; cuesta puntos"
    )]
    Hint(Which),
    /// Run a class: one gateway, and a server for each student that is to send through it
    #[command(
        es = "Monta una clase: una pasarela, y un servidor por estudiante que debe enviar por \
                    ella"
    )]
    Class(ClassArgs),
}

/// Run a class.
#[derive(Debug, Args)]
pub(super) struct ClassArgs {
    /// How many students, from 1 to 99
    #[arg(es = "Cuántos estudiantes, de 1 a 99")]
    #[arg(long, value_name = "N", default_value_t = 30)]
    #[arg(value_parser = clap::value_parser!(u8).range(1..=99))]
    students: u8,
    #[command(flatten)]
    begin: BeginArgs,
}

/// Begin or go on with an exercise.
#[derive(Debug, Args)]
pub(super) struct ExerciseArgs {
    /// Its number
    #[arg(es = "Su número")]
    #[arg(value_name = "N")]
    number: Option<u8>,
    #[command(flatten)]
    begin: BeginArgs,
}

/// Where a lab is begun, and how it is shown.
#[derive(Debug, Args)]
struct BeginArgs {
    /// The folder to use; below ~/puerto-lab if none is given
    #[arg(es = "La carpeta que se usa; si no se indica, dentro de ~/puerto-lab")]
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Begin anew: what was done in the folder is removed
    #[arg(es = "Empieza de nuevo: se elimina lo que se hizo en la carpeta")]
    #[arg(long)]
    reset: bool,
    /// Print JSON lines
    #[arg(es = "Escribe líneas JSON")]
    #[arg(long)]
    json: bool,
}

/// Which lab.
#[derive(Debug, Clone, Args)]
pub(super) struct Which {
    /// The lab's folder; the only lab that runs if none is given
    #[arg(es = "La carpeta del laboratorio; si no se indica, el único que esté en marcha")]
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Print a JSON document
    #[arg(es = "Escribe un documento JSON")]
    #[arg(long)]
    json: bool,
}

/// Send a letter.
#[derive(Debug, Args)]
pub(super) struct SendArgs {
    /// Whose mailbox it is for, such as ana@strict.example
    #[arg(es = "A qué buzón va, como ana@strict.example")]
    #[arg(value_name = "ADDRESS")]
    to: String,
    /// Who sends it; student@lab.example, or the student of a class, if nobody is given
    #[arg(es = "Quién la envía; si no se indica, student@lab.example o el estudiante de la clase")]
    #[arg(long, value_name = "ADDRESS")]
    from: Option<String>,
    /// Its subject
    #[arg(es = "Su asunto")]
    #[arg(long, value_name = "TEXT", default_value = "Buen puerto")]
    subject: String,
    /// In a class: by the server of this student
    #[arg(es = "En una clase: por el servidor de este estudiante")]
    #[arg(long, value_name = "N")]
    student: Option<u64>,
    /// Hand it in by SMTP instead of by the socket of sendmail
    #[arg(es = "La entrega por SMTP en vez de por el socket de sendmail")]
    #[arg(long)]
    smtp: bool,
    #[command(flatten)]
    which: Which,
}

/// Show what arrived.
#[derive(Debug, Args)]
pub(super) struct InboxArgs {
    /// Only this mailbox
    #[arg(es = "Solo este buzón")]
    #[arg(value_name = "ADDRESS")]
    mailbox: Option<String>,
    /// With the messages as they arrived
    #[arg(es = "Con los mensajes tal como llegaron")]
    #[arg(long)]
    full: bool,
    #[command(flatten)]
    which: Which,
}

/// Runs `puerto lab` with one of these commands.
pub(super) fn run(command: &ClassroomCommand, language: Language) -> ExitCode {
    match command {
        ClassroomCommand::Send(arguments) => {
            end("puerto lab send", send(arguments, language), language)
        }
        ClassroomCommand::Inbox(arguments) => {
            end("puerto lab inbox", inbox_of(arguments, language), language)
        }
        ClassroomCommand::Exercise(arguments) => {
            end("puerto lab exercise", exercise_of(arguments, language), language)
        }
        ClassroomCommand::Grade(which) => end("puerto lab grade", grade(which, language), language),
        ClassroomCommand::Class(arguments) => {
            let begin = arguments.begin.begin();
            let held = super::threads().and_then(|runtime| {
                runtime.block_on(class::hold(arguments.students, begin, language))
            });
            end("puerto lab class", held.map(|()| Sysexit::Ok), language)
        }
        ClassroomCommand::Hint(which) => end("puerto lab hint", hint(which, language), language),
    }
}

fn exercise_of(arguments: &ExerciseArgs, language: Language) -> Result<Sysexit, Failure> {
    let Some(number) = arguments.number else {
        say(&exercise::listed(language, arguments.begin.json))?;
        return Ok(Sysexit::Ok);
    };
    let Some(exercise) = exercise::find(number) else {
        let text = said!(
            "there is no exercise {number}; `puerto lab exercise` lists them",
            "no hay ningún ejercicio {number}; `puerto lab exercise` los enumera"; number = number
        );
        return Err(Failure::new(Sysexit::Arguments, text));
    };
    let begin = arguments.begin.begin();
    let introduce = |world: &World, show: &Show| exercise::introduce(exercise, world, show);
    super::threads()?.block_on(stay(exercise.world, begin, language, introduce))?;
    Ok(Sysexit::Ok)
}

// What the lab that runs answers about its exercise.
fn ask_about_exercise(which: &Which, ask: &Ask) -> Result<Answer, Failure> {
    let folder = home::running(which.folder.as_deref())?;
    match desk::ask(&folder, ask)? {
        Answer::NoExercise => Err(Failure::new(
            Sysexit::Unavailable,
            said!(
                "the lab in {folder} is no exercise: begin one with `puerto lab exercise 1`",
                "el laboratorio de {folder} no es un ejercicio: empiece uno con `puerto lab \
                 exercise 1`"; folder = folder.display()
            ),
        )),
        Answer::Failed(why) => Err(Failure::new(Sysexit::IoError, Said::words(why))),
        answer => Ok(answer),
    }
}

fn grade(which: &Which, language: Language) -> Result<Sysexit, Failure> {
    let Answer::Grade(number, graded, cost) = ask_about_exercise(which, &Ask::Grade(language))?
    else {
        return Err(desk::not_understood());
    };
    let is_solved = graded.iter().all(|one| one.finding.is_none());
    if which.json {
        let (points, of) = exercise::points(&graded, cost);
        let checks: Vec<_> = graded
            .iter()
            .map(|one| {
                let (finding, text) = one.finding.clone().unzip();
                serde_json::json!({
                    "title": one.title, "points": one.points, "of": one.of,
                    "finding": finding, "text": text,
                })
            })
            .collect();
        let document = serde_json::json!({
            "exercise": number, "solved": is_solved, "points": points, "of": of,
            "hints": cost, "checks": checks,
        });
        say(&json_document(&document).map_err(std::io::Error::from)?)?;
    } else {
        show(&exercise::shown_grade(&graded, cost, language))?;
    }
    Ok(if is_solved { Sysexit::Ok } else { Sysexit::Findings })
}

fn hint(which: &Which, language: Language) -> Result<Sysexit, Failure> {
    let Answer::Hint(hints) = ask_about_exercise(which, &Ask::Hint(language))? else {
        return Err(desk::not_understood());
    };
    if which.json {
        let hints: Vec<_> = hints
            .iter()
            .map(|(cost, text)| serde_json::json!({"cost": cost, "text": text}))
            .collect();
        let document = serde_json::json!({ "hints": hints });
        say(&json_document(&document).map_err(std::io::Error::from)?)?;
    } else {
        let lines: Vec<String> = hints.into_iter().map(|(_, text)| text + "\n").collect();
        show(&lines.concat())?;
    }
    Ok(Sysexit::Ok)
}

/// How a lab is begun.
#[derive(Debug, Clone, Copy)]
pub(super) struct Begin<'a> {
    pub(super) folder: Option<&'a Path>,
    pub(super) anew: bool,
    pub(super) json: bool,
}

impl BeginArgs {
    fn begin(&self) -> Begin<'_> {
        Begin { folder: self.folder.as_deref(), anew: self.reset, json: self.json }
    }
}

/// Runs `puerto lab --keep`.
pub(super) async fn keep(begin: Begin<'_>, language: Language) -> Result<bool, Failure> {
    stay(Blueprint::KEEP, begin, language, introduce).await
}

// Starts a lab, and stays until somebody ends it.
async fn stay(
    blueprint: Blueprint,
    begin: Begin<'_>,
    language: Language,
    introduce: impl FnOnce(&World, &Show),
) -> Result<bool, Failure> {
    let mut signals = Signals::listen()?;
    let (world, news) = World::open(blueprint, begin.folder, begin.anew, language).await?;
    let world = Arc::new(world);
    let desk = desk::open(world.folder())?;
    let show = Show::new(begin.json, language);
    introduce(&world, &show);
    news.into_iter().for_each(|news| tell(&show, &news));
    show.idle();
    let told = |news| tell(&show, &news);
    tokio::select! {
        () = world.watch(told) => {}
        () = desk::run(desk, Host::World(Arc::clone(&world))) => {}
        () = follow(&world, &show) => {}
        () = signals.ended() => {}
    }
    show.done_waiting();
    world.close().await;
    if !show.json {
        const ENDED: Text = Text::new(
            "The lab has ended. What you did is in {folder}; go on with `{command}`.",
            "El laboratorio ha terminado. Lo que hizo está en {folder}; siga con `{command}`.",
        );
        let folder = world.folder().display().to_string();
        let command = blueprint.kind.command(world.folder());
        let values = [("folder", folder.as_str()), ("command", command.as_str())];
        show.line(&ENDED.with(language, &values));
    }
    Ok(true)
}

// What ends a lab: Ctrl-C, whoever manages processes, or that the terminal was closed.
struct Signals([Signal; 3]);

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::new(Sysexit::OsError, system(&error));
        let on = |kind| signal(kind).map_err(failed);
        let interrupt = on(SignalKind::interrupt())?;
        Ok(Self([interrupt, on(SignalKind::terminate())?, on(SignalKind::hangup())?]))
    }

    async fn ended(&mut self) {
        let Self([interrupt, terminate, hangup]) = self;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

// Shows what the receivers see.
async fn follow(world: &World, show: &Show) {
    let mut events = world.lab.events();
    loop {
        match events.recv().await {
            Ok(seen) if inbox::is_probe(&seen) => {}
            Ok(seen) => show.transaction(&seen),
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

fn tell(show: &Show, news: &News) {
    let said = news.said.of(show.language());
    if show.json {
        return show.object(&serde_json::json!({"event": "file", "ok": news.good, "text": said}));
    }
    let style = if news.good { GOOD } else { BAD };
    for line in said.lines() {
        show.line(&paint(style, line));
    }
}

const KEPT: Text = Text::new(
    "Buen Puerto, and an Internet of its own on this machine, until Ctrl-C",
    "Buen Puerto, con un Internet propio dentro de esta máquina, hasta que pulse Ctrl-C",
);
const EDIT: Text = Text::new(
    "Edit these files; what you save holds at once:",
    "Edite estos ficheros; lo que guarde vale enseguida:",
);
const OTHER_TERMINAL: Text = Text::new("In another terminal:", "En otro terminal:");
const EVERY_COMMAND: Text = Text::new(
    "Every command of puerto works on this server, if it is told where it is, each time or once \
     for the whole terminal:",
    "Todas las órdenes de puerto sirven con este servidor si se les dice dónde está, cada vez o una \
     para todo el terminal:",
);
const WORLD: Text = Text::new(
    "Every mailbox exists but no-such-user@. When you come back, the folder is as you left it; \
     --reset begins anew.",
    "Existen todos los buzones salvo no-such-user@. Cuando vuelva, la carpeta estará como la \
     dejó; --reset empieza de nuevo.",
);

fn introduce(world: &World, show: &Show) {
    let language = show.language();
    if show.json {
        return show.object(&started(world));
    }
    show.line(&format!("\n{}\n", paint(TITLE, KEPT.of(language))));
    for resident in world.lab.residents() {
        show.resident(resident.host, &resident.address.to_string(), manners_of(resident));
    }
    show.line("");
    files_and_commands(world, show, "ana@strict.example");
    show.line(&format!("{}\n", paint(FAINT, WORLD.of(language))));
}

// What there is to edit, and what to type, ready to be pasted.
fn files_and_commands(world: &World, show: &Show, to: &str) {
    let language = show.language();
    let lines = |title: Text, lines: &[String]| {
        show.line(title.of(language));
        for line in lines {
            show.line(&whole(&format!("  {line}")));
        }
        show.line("");
    };
    let program = program();
    let (zone, config) = (world.zone_file(), world.config_file());
    let which = home::named(world.folder());
    lines(EDIT, &[zone.display().to_string(), config.display().to_string()]);
    let log = world.folder().join("mail.log");
    lines(
        OTHER_TERMINAL,
        &[
            format!("{program} lab send {to}{which}"),
            format!("{program} lab inbox{which}"),
            format!("tail -f {}", shell_word(&log)),
        ],
    );
    lines(
        EVERY_COMMAND,
        &[
            format!("{program} --config {} queue list", shell_word(&config)),
            format!("export PUERTO_CONFIG={}", shell_word(&config)),
            format!("{program} queue list"),
            format!("{program} check lab.example --egress {SENDER_ADDRESS}"),
            format!("{program} dns lab.example --egress {SENDER_ADDRESS}"),
        ],
    );
}

fn started(world: &World) -> serde_json::Value {
    serde_json::json!({
        "event": "started",
        "folder": world.folder(),
        "config": world.config_file(),
        "zone": world.zone_file(),
        "log": world.folder().join("mail.log"),
        "dns": world.lab.dns_addr().to_string(),
        "mx_port": world.lab.mx_port(),
        "smtp": world.smtp().to_string(),
    })
}

/// How the user calls this program: by its name, if that leads to it.
fn program() -> String {
    let own = std::env::current_exe().ok();
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let own_real = own.as_deref().and_then(|path| path.canonicalize().ok());
    let named = std::env::split_paths(&paths)
        .map(|folder| folder.join("puerto"))
        .find(|path| path.is_file())
        .and_then(|path| path.canonicalize().ok());
    match own {
        Some(own) if named.is_none() || named != own_real => shell_word(&own),
        _ => "puerto".to_owned(),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

fn send(arguments: &SendArgs, language: Language) -> Result<Sysexit, Failure> {
    let running = home::running(arguments.which.folder.as_deref())?;
    let student = arguments.student.map(|number| class::student(&running, number)).transpose()?;
    let which = home::named(&running);
    let folder = match student {
        Some(student) => class::folder_of(&running, student),
        None if arguments.smtp => running,
        None => class::has_no_students(&running).map(|()| running)?,
    };
    // Not from the configuration, which may be broken: the server runs as it was.
    let socket = folder.join("run").join(SUBMIT_SOCKET);
    let smtp = home::Memory::of(&folder)?.map(|memory| memory.ports.2);
    let counter = match (arguments.smtp, smtp) {
        (true, Some(port)) => Counter::Port((Ipv4Addr::LOCALHOST, port).into()),
        (true, None) => {
            let text = said!(
                "the students' servers take letters at their sockets alone: leave --smtp out",
                "los servidores de los estudiantes solo admiten cartas en sus sockets: quite --smtp"
            );
            return Err(Failure::new(Sysexit::Arguments, text));
        }
        (false, _) => Counter::Socket(&socket),
    };
    let from = match (&arguments.from, student) {
        (Some(from), _) => from.clone(),
        (None, Some(student)) => class::sender(student),
        (None, None) => exercise::STUDENT.to_owned(),
    };
    for address in [&from, &arguments.to] {
        Address::parse(address).map_err(|error| {
            let said = Said::words(address.as_str()).then(&address_error(&error));
            Failure::new(Sysexit::Arguments, said)
        })?;
    }
    let letter = (from.as_str(), arguments.to.as_str());
    let text = "¡Buen puerto!";
    let sent = runtime()?.block_on(world::send(counter, letter, &arguments.subject, text));
    let promise = sent.map_err(|not_taken| {
        let code = match &not_taken {
            NotTaken::Failed(_) => Sysexit::Unavailable,
            NotTaken::Otherwise(_) => Sysexit::TryAgain,
        };
        Failure::new(code, Said::from(not_taken))
    })?;
    let id = promise.id().unwrap_or_default();
    if arguments.which.json {
        let document = serde_json::json!({
            "id": id, "from": from, "to": arguments.to,
            "reply": promise.reply.to_string(),
        });
        say(&json_document(&document).map_err(std::io::Error::from)?)?;
        return Ok(Sysexit::Ok);
    }
    const TAKEN: Text = Text::new(
        "The server has it, as {id}. What became of it:",
        "El servidor la tiene, como {id}. Qué ha sido de ella:",
    );
    let program = program();
    let config = folder.join(CONFIG);
    let why = whole(&format!("  {program} --config {} why {id}", shell_word(&config)));
    let inbox = whole(&format!("  {program} lab inbox{which}"));
    show(&format!("{}\n{why}\n{inbox}\n", TAKEN.with(language, &[("id", &id)])))?;
    Ok(Sysexit::Ok)
}

fn inbox_of(arguments: &InboxArgs, language: Language) -> Result<Sysexit, Failure> {
    let folder = home::running(arguments.which.folder.as_deref())?;
    let answer = desk::ask(&folder, &Ask::Inbox { full: arguments.full })?;
    let Answer::Inbox(mut posts) = answer else { return Err(desk::not_understood()) };
    if let Some(mailbox) = &arguments.mailbox {
        posts.retain(|post| post.to.eq_ignore_ascii_case(mailbox));
    }
    if arguments.which.json {
        let document = serde_json::json!({ "letters": posts });
        say(&json_document(&document).map_err(std::io::Error::from)?)?;
    } else {
        show(&inbox::shown(&posts, language))?;
    }
    Ok(Sysexit::Ok)
}
