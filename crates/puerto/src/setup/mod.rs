//! From a bare machine to a server that can send: what is there is found out, what
//! another mail program was told is taken over, and the files that are missing are
//! written.
//!
//! Everything is decided before anything is written, from values: a [`Root`] to read, a
//! [`World`] that looks around, a [`Person`] who answers. Nothing that exists is ever
//! written over; where a file should be another, it stays unless the person says so,
//! and then the old one is moved aside. So a second run changes nothing, and tells what
//! is still to do. What commands do (the user, the start) is done on the machine itself
//! alone, after a question; never on a folder that stands for one.

mod batch;
mod certificate;
mod decide;
mod files;
mod hands;
mod keys;
mod names;
mod others;
mod person;
mod postmaster;
mod processes;
mod report;
mod root;
mod senders;
mod service;
mod steps;
mod takeover;
#[cfg(test)]
mod tests;
mod undo;
mod world;

use std::path::PathBuf;

use puerto_smtp::{Address, Domain};

use crate::config::{Config, ConfigErrors, NextHop};
use crate::dnsplan::{Plan as Publication, Subject};
use crate::intake::KeyRing;
use crate::lang::{Language, Said, Text, dns_error, key_error, said, said_of};
use crate::sender;
use crate::survey::address::is_public;

use batch::{Batch, Unwritten};
use decide::{Decided, PASSWORD_FILE, decide};
use files::{State, Wanted};
use takeover::Inherited;

pub use decide::{domain_meant, dotted_name, host_name};
pub use files::Done;
pub use hands::Step;
pub use person::{Gone, Nobody, Person};
pub use postmaster::is_reader;
pub use report::{Found, Record, Report};
pub use root::Root;
pub use takeover::Credentials;
pub use undo::{Undone, undo};
#[cfg(test)]
pub use world::Egress;
pub use world::{Network, Port25, Survey, World, program_path};

/// What was asked for.
#[derive(Debug, Clone)]
pub struct Wishes {
    /// The domain to send for, in A-labels.
    pub domain: String,
    /// The server's name, in A-labels; none: found out.
    pub hostname: Option<String>,
    /// Who reads root's mail: an address or users; empty: nobody but root. None: asked.
    pub root_mail: Option<String>,
    /// Where all mail goes; `Some(None)`: to its MX, without a question.
    pub relayhost: Option<Option<NextHop>>,
    /// User and password for it.
    pub login: Option<Credentials>,
    /// What completes bare senders; `Some(None)`: the first of `domains`, without a question.
    pub origin: Option<Option<Domain>>,
    /// The address that all mail is sent from; `Some(None)`: none, without a question.
    pub always: Option<Option<Address>>,
    /// The configuration file, as a path of the machine.
    pub config_file: PathBuf,
    /// Where the program is, as a path of the machine.
    pub program: PathBuf,
    /// Whether commands may be run on this machine; else they are only told.
    pub act: bool,
    /// The language of the comments in the configuration that is written.
    pub language: Language,
    /// By whose month new keys are named.
    pub today: jiff::civil::Date,
}

/// Why there is no setup.
#[derive(Debug)]
pub enum SetupError {
    /// The configuration that is there cannot be read.
    Config(ConfigErrors),
    /// A file cannot be read or written.
    File(Unwritten),
    /// A key cannot be made.
    Key(puerto_mail::dkim::KeyError),
    /// The person has gone; nothing was written.
    BrokenOff,
}

impl SetupError {
    /// The error for people.
    pub fn said(&self) -> Said {
        match self {
            Self::Config(errors) => Said::of_both(|language| errors.render(false, None, language)),
            Self::File(Unwritten { path, error }) => said_of!(
                "{path}: {error}", "{path}: {error}";
                path = Said::words(path.display().to_string()), error = crate::rights::said(error)
            ),
            Self::Key(error) => key_error(error),
            Self::BrokenOff => {
                said!("broken off: nothing was written", "interrumpido: no se ha escrito nada")
            }
        }
    }
}

impl From<Gone> for SetupError {
    fn from(_: Gone) -> Self {
        Self::BrokenOff
    }
}

impl From<Unwritten> for SetupError {
    fn from(error: Unwritten) -> Self {
        Self::File(error)
    }
}

impl From<ConfigErrors> for SetupError {
    fn from(errors: ConfigErrors) -> Self {
        Self::Config(errors)
    }
}

const NO_DNS: Text = Text::new(
    "The DNS could not be asked ({error}): names and reverse names are not verified yet, \
     `puerto check` does it later",
    "No se ha podido consultar el DNS ({error}): los nombres directos e inversos no se han \
     comprobado aún; `puerto check` lo hará después",
);

/// What is to be, before anything is written.
struct Plan {
    config: Config,
    port_25: Option<Port25>,
    wanted: Vec<Wanted>,
    found: Vec<Found>,
    problems: Vec<Said>,
    /// Who is to read root's mail, where that was said.
    root_mail: Option<String>,
}

/// Sets up.
pub fn run(
    wishes: &Wishes,
    root: &Root,
    world: &dyn World,
    person: &mut dyn Person,
) -> Result<Report, SetupError> {
    if !root.has(&wishes.config_file) {
        // Before the questions, so that nobody answers them in vain.
        root.writable(&wishes.config_file)?;
    }
    let survey = world.survey(&wishes.domain);
    let programs = takeover::look(root);
    let plan = plan(wishes, (world, &survey, root), &programs, person)?;
    let files = write(&plan.wanted, &plan.config.user, root, person)?;
    let Plan { config, port_25, found, mut problems, root_mail, .. } = plan;
    // The result is judged by what will read it.
    Config::load(Some(&root.at(&wishes.config_file)))?;
    let ring = KeyRing::load(&root.at(&config.dkim_directory));
    problems.extend(ring.problems().iter().map(|problem| {
        said_of!(
            "A key cannot be used: {problem}", "Hay una clave inservible: {problem}";
            problem = problem.said
        )
    }));
    problems.extend(port_25.filter(|_| config.relayhost.is_none()).and_then(closed));
    let mut notes = notes(wishes, &config, &survey, &files);
    let plan = publication(wishes, (world, &survey), &config, &ring, &mut notes);
    let situation = steps::Situation {
        root,
        world,
        program: &wishes.program,
        config_file: &wishes.config_file,
        survey: &survey,
        published: plan.as_ref().is_some_and(|plan| plan.changes().next().is_none()),
        written: files.iter().filter(|(_, d)| d.is_new()).map(|(path, _)| path.as_path()).collect(),
    };
    let mut steps = steps::steps(&wishes.domain, &config, &situation, &programs);
    let (of_names, good_to_know) = senders::judge(&config, &wishes.domain);
    problems.extend(of_names);
    notes.extend(good_to_know);
    postmaster::step(&root_mail, &config, root, &mut steps);
    if wishes.act && root.is_machine() {
        problems.extend(hands::carry_out(&mut steps, world, person));
    }
    Ok(Report {
        domain: wishes.domain.clone(),
        origin: config.sender_domain().map(Domain::to_string),
        hostname: config.hostname,
        relayhost: config.relayhost,
        config_file: wishes.config_file.clone(),
        root: root.folder().to_owned(),
        survey,
        port_25,
        found,
        files,
        plan,
        keys: records(&ring),
        notes,
        problems,
        steps,
    })
}

fn closed(port_25: Port25) -> Option<Said> {
    matches!(port_25, Port25::Refused | Port25::Dropped).then(|| {
        said!(
            "Port 25 is closed on the way out ({how}), as most hosting companies have it at first: \
             set `relayhost` to a server that takes your mail at port 587, or ask them to open it",
            "El puerto 25 de salida está cerrado ({how}), como hacen al principio casi todos los \
             proveedores: ponga en `relayhost` un servidor que acepte su correo por el 587, o pida \
             que lo abran";
            how = port_25.name()
        )
    })
}

fn plan(
    wishes: &Wishes,
    surroundings: (&dyn World, &Survey, &Root),
    programs: &[Inherited],
    person: &mut dyn Person,
) -> Result<Plan, SetupError> {
    let (world, _, root) = surroundings;
    let config_file = &wishes.config_file;
    let there = root.has(config_file).then(|| Config::load(Some(&root.at(config_file))));
    let existing = there.transpose()?;
    let problems = existing.as_ref().map(|there| contradictions(wishes, there)).unwrap_or_default();
    let again = existing.is_some();
    let mut taken = Vec::new();
    let mut found = Vec::new();
    for program in programs {
        let question = said!(
            "{program} is configured on this machine. Take over what it says?",
            "En esta máquina está configurado {program}. ¿Heredar lo que dice?";
            program = program.program
        );
        let summary = program.summary();
        // Of some programs it is only known that they are there.
        let asks = !again && !summary.is_empty();
        if asks {
            person.tell(&Said::words(format!("{}:", program.program)), &summary);
        }
        let take = asks && person.confirm(&question, true)?;
        taken.extend(take.then_some(program));
        found.push(Found {
            program: program.program,
            files: program.files.clone(),
            taken: take,
            settings: summary,
            left: program.left.clone(),
        });
    }
    let mut wanted = Vec::new();
    let mut last = None;
    let (config, port_25) = match existing {
        Some(config) => {
            let probe = config.relayhost.is_none() && root.is_machine();
            let port_25 = probe.then(|| world.port_25());
            (config, port_25)
        }
        None => {
            let Decided { config, password, port_25 } =
                decide(wishes, surroundings, &taken, person)?;
            let config = Config { language: wishes.language, ..config };
            let text = config.annotated(wishes.language);
            // Nothing is written that could not be read again.
            let name = config_file.display().to_string();
            Config::parse(&text, &name)?;
            last = Some(Wanted::text(config_file, text));
            wanted.extend(password.map(|text| Wanted::secret(PASSWORD_FILE, text)));
            (config, port_25)
        }
    };
    // Who has not said it the first time is not asked each time.
    let asked = wishes.root_mail.as_deref().or(again.then_some(""));
    let root_mail = postmaster::reader(asked, &config, root, person)?;
    wanted.extend(postmaster::file(root_mail.as_deref(), &config, root));
    let keys = keys::wanted(&wishes.domain, &config.dkim_directory, &taken, root, wishes.today);
    wanted.extend(keys.map_err(SetupError::Key)?);
    wanted.extend(service::files(&wishes.program, &config, config_file));
    wanted.extend(names::free(root, &wishes.program));
    wanted.extend(certificate::hook(root, &config));
    // Once it is there nothing is taken over any more: so it comes last, and a run that
    // was cut off is made good by the next.
    wanted.extend(last);
    Ok(Plan { config, port_25, wanted, found, problems, root_mail })
}

/// Where a configuration that is there says something else than what was asked for.
fn contradictions(wishes: &Wishes, there: &Config) -> Vec<Said> {
    fn text<T: ToString>(value: &Option<T>) -> String {
        value.as_ref().map(ToString::to_string).unwrap_or_default()
    }
    let user = |login: &Credentials| login.user.clone();
    let login = there.relayhost_login.as_ref().map(|login| &login.user);
    let compared = [
        ("hostname", wishes.hostname.clone(), there.hostname.clone()),
        ("relayhost", wishes.relayhost.as_ref().map(text), text(&there.relayhost)),
        ("origin", wishes.origin.as_ref().map(text), text(&there.origin)),
        ("sender.always", wishes.always.as_ref().map(text), text(&there.sender.always)),
        ("relayhost_user", wishes.login.as_ref().map(user), text(&login)),
    ];
    let contradicted = compared.into_iter().filter_map(|(key, asked, there)| {
        let asked = asked.filter(|asked| *asked != there)?;
        Some(said!(
            "{file} says {there} for {key}, not {asked}, and was left as it is: change that line, \
             or move the file away and run this again",
            "{file} dice {there} en {key}, no {asked}, y se ha dejado como está: cambie esa línea, \
             o aparte el fichero y vuelva a ejecutar esto";
            file = wishes.config_file.display(), key = key, there = format!("{there:?}"),
            asked = format!("{asked:?}")
        ))
    });
    contradicted.collect()
}

fn write(
    wanted: &[Wanted],
    group: &str,
    root: &Root,
    person: &mut dyn Person,
) -> Result<Vec<(PathBuf, Done)>, SetupError> {
    let mut jobs = Vec::new();
    for file in wanted {
        let state = file.state(root);
        let done = match state.map_err(|error| Unwritten { path: root.at(&file.path), error })? {
            State::Missing => Done::Written,
            State::Same => Done::Unchanged,
            State::Different => {
                let question = said!(
                    "{file} is there and says something else. Replace it? The old one is kept \
                     beside it",
                    "{file} ya existe y dice otra cosa. ¿Reemplazarlo? El anterior se guarda al lado";
                    file = file.path.display()
                );
                if person.confirm(&question, false)? { Done::Replaced } else { Done::Kept }
            }
        };
        jobs.push((file, done));
    }
    let new = || jobs.iter().filter(|(_, done)| done.is_new());
    let paths: Vec<_> = new().map(|(file, _)| root.at(&file.path).display().to_string()).collect();
    if !paths.is_empty() {
        person.tell(&said!("These files are missing:", "Faltan estos ficheros:"), &paths);
        let question = said!(
            "Files to write below {root}: {count}. Write them?",
            "Ficheros que escribir en {root}: {count}. ¿Escribirlos?";
            count = paths.len(), root = root.folder().display()
        );
        if !person.confirm(&question, true)? {
            return Err(SetupError::BrokenOff);
        }
    }
    let mut batch = Batch::new(root, group);
    for (file, done) in new() {
        batch.stage(file, *done == Done::Replaced)?;
    }
    batch.commit()?;
    Ok(jobs.into_iter().map(|(file, done)| (file.path.clone(), done)).collect())
}

fn notes(
    wishes: &Wishes,
    config: &Config,
    survey: &Survey,
    files: &[(PathBuf, Done)],
) -> Vec<Said> {
    let domain = &wishes.domain;
    let mut notes = vec![listening(config)];
    notes.extend(files.iter().filter(|(_, done)| *done == Done::Kept).map(|(path, _)| {
        said!(
            "{file} is there, says something else, and was left as it is",
            "{file} ya existe, dice otra cosa y se ha dejado como está"; file = path.display()
        )
    }));
    notes.extend(survey.absent.then(|| {
        said!(
            "The DNS knows no {domain}: see that it is written right, and that it has been \
             registered",
            "El DNS no conoce {domain}: compruebe que esté bien escrito y que se haya registrado";
            domain = domain
        )
    }));
    notes.extend(survey.egress.is_empty().then(|| {
        said!(
            "This machine has no way to the Internet at the moment",
            "Esta máquina no tiene ahora mismo salida a Internet"
        )
    }));
    let private = survey.egress.iter().filter(|egress| !is_public(egress.address));
    notes.extend(private.map(|egress| {
        said!(
            "{address} is not a public address: outside this machine is seen under another one, \
             which SPF and PTR must name",
            "{address} no es una dirección pública: fuera, esta máquina se ve con otra, que es la \
             que deben nombrar SPF y PTR";
            address = egress.address
        )
    }));
    let relayhost = config.relayhost.as_ref().filter(|_| config.relayhost_login.is_some());
    notes.extend(relayhost.and_then(NextHop::advice_for_password));
    let names = survey.egress.iter().find_map(|egress| egress.names.as_ref().err());
    if let Some(error) = survey.exchanges.as_ref().err().or(names) {
        notes.push(Said::of_parts(NO_DNS, &[("error", &dns_error(error))]));
    }
    let hosts = survey.exchanges.as_ref().ok();
    notes.extend(hosts.and_then(|hosts| mailboxes(domain, hosts, config)));
    notes
}

/// Where the mailboxes of a domain are that is not one of ours.
fn mailboxes(domain: &str, hosts: &[String], config: &Config) -> Option<Said> {
    let ours = Domain::parse(domain).is_ok_and(|domain| config.domains.contains(&domain));
    if ours {
        return None;
    }
    if hosts.is_empty() || hosts.contains(&config.hostname) {
        return Some(said!(
            "{domain} is not among `domains`, so mail for it is not put into mailboxes of this \
             server: if they are here, add it",
            "{domain} no está en `domains`, así que su correo no se guarda en buzones de este \
             servidor: si están aquí, añádalo";
            domain = domain
        ));
    }
    let sender = sender::of_the_machine(config).map(|sender| sender.to_string());
    Some(said!(
        "Mail for {domain} is taken by {hosts}, so its mailboxes are not here: users of this \
         machine send as {sender}, and what cannot be delivered returns there",
        "El correo de {domain} lo recibe {hosts}, así que sus buzones no están aquí: los usuarios \
         de esta máquina envían como {sender}, y ahí vuelve lo que no se puede entregar";
        domain = domain, hosts = hosts.join(", "), sender = sender.unwrap_or_default()
    ))
}

/// What is to be published, unless the DNS does not say what is.
fn publication(
    wishes: &Wishes,
    (world, survey): (&dyn World, &Survey),
    config: &Config,
    ring: &KeyRing,
    notes: &mut Vec<Said>,
) -> Option<Publication> {
    // That the DNS does not answer has been said already.
    survey.exchanges.as_ref().ok()?;
    let addresses = survey.egress.iter().map(|egress| egress.address);
    let public = addresses.filter(|address| is_public(*address)).collect();
    let subject = Subject::new(config, ring, Some(&wishes.domain), public).ok()?;
    match world.plan(&subject) {
        Ok(plan) => Some(plan),
        Err(unread) => {
            let questions = unread.questions.iter();
            let list = Said::of_both(|language| {
                let said = |(question, error): &(String, _)| {
                    format!("{question}: {}", dns_error(error).of(language))
                };
                questions.clone().map(said).collect::<Vec<_>>().join("; ")
            });
            notes.push(Said::of_parts(NO_DNS, &[("error", &list)]));
            None
        }
    }
}

/// What it listens on, and why.
fn listening(config: &Config) -> Said {
    let addresses: Vec<_> = config.listen.all().map(ToString::to_string).collect();
    let listen = addresses.join(", ");
    if config.listen.smtp.iter().all(|address| address.ip().is_loopback()) {
        return said!(
            "It listens on {listen}: for programs of this machine alone. If other machines are to \
             send through it, set listen.smtp and trusted_networks",
            "Escucha en {listen}: solo para los programas de esta máquina. Si otras máquinas van a \
             enviar a través de ella, ponga listen.smtp y trusted_networks";
            listen = listen
        );
    }
    let networks: Vec<_> = config.trusted_networks.0.iter().map(ToString::to_string).collect();
    said!(
        "It listens on {listen}, since everybody may bring mail for mailboxes here; through it, \
         only trusted_networks may send ({networks})",
        "Escucha en {listen}, pues cualquiera puede traer correo para los buzones de aquí; a \
         través de él solo pueden enviar las trusted_networks ({networks})";
        listen = listen, networks = networks.join(", ")
    )
}

fn records(ring: &KeyRing) -> Vec<Record> {
    let record = |key: &std::sync::Arc<puerto_mail::dkim::SigningKey>| Record {
        name: format!("{}._domainkey.{}", key.selector, key.domain),
        value: key.key.record_text(),
    };
    ring.keys().iter().map(record).collect()
}
