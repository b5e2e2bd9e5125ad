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
use crate::dnsplan::{Key, Plan as Publication, Subject};
use crate::finding::{Finding, Severity, kinds};
use crate::intake::KeyRing;
use crate::lang::{Language, Said, Text, dns_error, key_error, said, said_of};
use crate::sender;
use crate::survey::address::is_public;

use batch::Batch;
use decide::{Decided, decide};
use files::{State, Wanted};
use service::Installed;
use steps::Situation;

pub use batch::Unwritten;
pub use decide::{domain_meant, dotted_name, host_name};
pub use files::Done;
pub use hands::Step;
pub use names::{Name, commands_to_take, names_of_commands};
pub use others::{Service, mail_servers};
pub use person::{Gone, Nobody, Person};
pub use postmaster::{is_reader, unknown_reader};
pub use report::Report;
pub use root::Root;
pub use service::{overlap, write_packaged};
pub use steps::install_command;
pub use takeover::{Credentials, Inherited};
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

kinds! {
    PORT_25 = "setup.port-25" Error:
        "Port 25 is closed on the way out ({how}), as most hosting companies have it at first",
        "El puerto 25 de salida está cerrado ({how}), como hacen al principio casi todos los \
         proveedores",
        "set `relayhost` to a server that takes your mail at port 587, or ask them to open it",
        "ponga en `relayhost` un servidor que acepte su correo por el 587, o pida que lo abran";
    CONTRADICTION = "setup.contradiction" Error:
        "{file} says {there} for {key}, not {asked}, and was left as it is",
        "{file} dice {there} en {key}, no {asked}, y se ha dejado como está",
        "change that line, or move the file away and run this again",
        "cambie esa línea, o aparte el fichero y vuelva a ejecutar esto";
    KEPT = "setup.kept" Warning:
        "{file} is there, says something else, and was left as it is",
        "{file} ya existe, dice otra cosa y se ha dejado como está";
    ABSENT = "setup.absent-domain" Warning:
        "The DNS knows no {domain}", "El DNS no conoce {domain}",
        "see that it is written right, and that it has been registered",
        "compruebe que esté bien escrito y que se haya registrado";
    UNVALIDATED = "setup.no-dnssec" Info:
        "No resolver on this machine validates DNSSEC, so what receivers demand by DANE is not \
         obeyed",
        "Ningún servidor DNS de esta máquina valida DNSSEC, así que no se obedece lo que los \
         receptores exigen por DANE",
        "apt install unbound, then in {file}, below [dns]: servers = [\"127.0.0.1\"], then \
         systemctl restart puerto",
        "apt install unbound; después, en {file}, bajo [dns]: servers = [\"127.0.0.1\"], y \
         systemctl restart puerto";
    OFFLINE = "setup.offline" Warning:
        "This machine has no way to the Internet at the moment",
        "Esta máquina no tiene ahora mismo salida a Internet";
    PRIVATE = "setup.private-address" Warning:
        "{address} is not a public address", "{address} no es una dirección pública",
        "outside this machine is seen under another one, which SPF and PTR must name",
        "fuera, esta máquina se ve con otra, que es la que deben nombrar SPF y PTR";
    NOT_LOCAL = "setup.not-local" Info:
        "{domain} is not among `domains`, so mail for it is not put into mailboxes of this server",
        "{domain} no está en `domains`, así que su correo no se guarda en buzones de este servidor",
        "if they are here, add it", "si están aquí, añádalo";
    ELSEWHERE = "setup.mailboxes-elsewhere" Info:
        "Mail for {domain} is taken by {hosts}, so its mailboxes are not here: users of this \
         machine send as {sender}, and what cannot be delivered returns there",
        "El correo de {domain} lo recibe {hosts}, así que sus buzones no están aquí: los usuarios \
         de esta máquina envían como {sender}, y ahí vuelve lo que no se puede entregar";
    LISTENS_HERE = "setup.listens-here" Info:
        "It listens on {listen}: for programs of this machine alone.",
        "Escucha en {listen}: solo para los programas de esta máquina.",
        "If other machines are to send through it, set listen.smtp and trusted_networks, and run this \
         again",
        "Si otras máquinas van a enviar a través de ella, ponga listen.smtp y trusted_networks, y \
         vuelva a ejecutar esto";
    LISTENS = "setup.listens" Info:
        "It listens on {listen}, since everybody may bring mail for mailboxes here; through it, \
         only trusted_networks may send ({networks})",
        "Escucha en {listen}, pues cualquiera puede traer correo para los buzones de aquí; a \
         través de él solo pueden enviar las trusted_networks ({networks})";
}

/// What a setup is made from.
#[derive(Clone, Copy)]
struct Site<'a> {
    wishes: &'a Wishes,
    root: &'a Root,
    world: &'a dyn World,
    survey: &'a Survey,
}

impl Site<'_> {
    // A probe leaves this machine, which a trial in a folder must not.
    fn port_25(&self, relayhost: Option<&NextHop>) -> Option<Port25> {
        (relayhost.is_none() && self.root.is_machine()).then(|| self.world.port_25())
    }
}

/// Finds out, asks, writes and, where it may, acts.
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
    let site = Site { wishes, root, world, survey: &survey };
    let mut programs = takeover::look(root);
    let decided = plan(&site, &mut programs, person)?;
    let files = write(&decided.wanted, &decided.config.user, root, person)?;
    let Decided { config, port_25, mut found, root_mail, .. } = decided;
    // The result is judged by what will read it.
    Config::load(Some(&root.at(&wishes.config_file)))?;
    let ring = KeyRing::load(&root.at(&config.dkim_directory));
    found.extend(ring.problems().iter().map(|problem| {
        let seen = said_of!(
            "A key cannot be used: {problem}", "Hay una clave inservible: {problem}";
            problem = problem.said
        );
        Finding::new("setup.unusable-key", Severity::Error, seen, Said::default())
    }));
    let closed = port_25.filter(|port| matches!(port, Port25::Refused | Port25::Dropped));
    let closed = closed.filter(|_| config.relayhost.is_none());
    found.extend(closed.map(|port| PORT_25.put("how", port.name())));
    found.extend(notes(&site, &config, &files));
    let plan = publication(&site, &config, &ring, &mut found);
    let mut steps = Situation {
        site,
        config: &config,
        programs: &programs,
        published: plan.as_ref().is_some_and(|plan| plan.changes().next().is_none()),
        written: files.iter().filter(|(_, d)| d.is_new()).map(|(path, _)| path.as_path()).collect(),
    }
    .steps();
    found.extend(senders::judge(&config, &wishes.domain));
    postmaster::step(&root_mail, &config, root, &mut steps);
    if wishes.act && root.is_machine() {
        found.extend(hands::carry_out(&mut steps, world, person));
    }
    Ok(Report {
        domain: wishes.domain.clone(),
        config,
        config_file: wishes.config_file.clone(),
        root: root.folder().to_owned(),
        survey,
        port_25,
        programs,
        files,
        plan,
        keys: ring.keys().iter().map(|key| Key::of(key)).collect(),
        found,
        steps,
    })
}

/// What is to be, before anything is written.
fn plan(
    site: &Site<'_>,
    programs: &mut [Inherited],
    person: &mut dyn Person,
) -> Result<Decided, SetupError> {
    let &Site { wishes, root, .. } = site;
    let config_file = &wishes.config_file;
    let there = root.has(config_file).then(|| Config::load(Some(&root.at(config_file))));
    let existing = there.transpose()?;
    let again = existing.is_some();
    for program in programs.iter_mut() {
        let question = said!(
            "{program} is configured on this machine. Take over what it says?",
            "En esta máquina está configurado {program}. ¿Heredar lo que dice?";
            program = program.program
        );
        let summary = program.summary();
        // Of some programs it is only known that they are there.
        if !again && !summary.is_empty() {
            person.tell(&Said::words(format!("{}:", program.program)), &summary);
            program.taken = person.confirm(&question, true)?;
        }
    }
    let taken: Vec<&Inherited> = programs.iter().filter(|program| program.taken).collect();
    let mut last = None;
    let mut decided = match existing {
        Some(config) => {
            let port_25 = site.port_25(config.relayhost.as_ref());
            Decided { found: contradictions(wishes, &config), ..Decided::of(config, port_25) }
        }
        None => {
            let mut decided = decide(site, &taken, person)?;
            decided.config.language = wishes.language;
            let text = decided.config.annotated(wishes.language);
            // Nothing is written that could not be read again.
            Config::parse(&text, &config_file.display().to_string())?;
            last = Some(Wanted::text(config_file, text));
            decided
        }
    };
    let Decided { config, wanted, root_mail, .. } = &mut decided;
    // Who has not said it the first time is not asked each time.
    let asked = wishes.root_mail.as_deref().or(again.then_some(""));
    *root_mail = postmaster::reader(asked, config, root, person)?;
    wanted.extend(postmaster::file(root_mail.as_deref(), config, root));
    let is_published = |name: &str| site.world.is_published(name);
    let when = (wishes.today, &is_published as &dyn Fn(&str) -> bool);
    let keys = keys::wanted(&wishes.domain, &config.dkim_directory, &taken, root, when);
    wanted.extend(keys.map_err(SetupError::Key)?);
    let installed = Installed { program: &wishes.program, config_file };
    wanted.extend(service::files(root, installed, config));
    wanted.extend(names::free(root, &wishes.program));
    wanted.extend(certificate::hook(root, config));
    // Once it is there nothing is taken over any more: so it comes last, and a run that
    // was cut off is made good by the next.
    wanted.extend(last);
    Ok(decided)
}

/// Where a configuration that is there says something else than what was asked for.
fn contradictions(wishes: &Wishes, there: &Config) -> Vec<Finding> {
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
        let found = CONTRADICTION.put("file", wishes.config_file.display()).put("key", key);
        Some(found.put("there", format!("{there:?}")).put("asked", format!("{asked:?}")))
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
            State::Different if service::is_followed(root, file) => Done::Replaced,
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

fn notes(site: &Site<'_>, config: &Config, files: &[(PathBuf, Done)]) -> Vec<Finding> {
    let (domain, survey) = (&site.wishes.domain, site.survey);
    let mut notes = vec![listening(config)];
    let kept = files.iter().filter(|(_, done)| *done == Done::Kept);
    notes.extend(kept.map(|(path, _)| KEPT.put("file", path.display())));
    notes.extend(survey.absent.then(|| ABSENT.put("domain", domain)));
    notes.extend(survey.egress.is_empty().then(|| OFFLINE.into()));
    let lacks_dnssec = survey.validates == Some(false) && config.delivery.dane;
    notes.extend(lacks_dnssec.then(|| UNVALIDATED.put("file", site.wishes.config_file.display())));
    let private = survey.egress.iter().filter(|egress| !is_public(egress.address));
    notes.extend(private.map(|egress| PRIVATE.put("address", egress.address)));
    let relayhost = config.relayhost.as_ref().filter(|_| config.relayhost_login.is_some());
    notes.extend(relayhost.and_then(NextHop::advice_for_password).map(|advice| {
        Finding::new("setup.relay-by-mx", Severity::Warning, advice, Said::default())
    }));
    let names = survey.egress.iter().find_map(|egress| egress.names.as_ref().err());
    if let Some(error) = survey.exchanges.as_ref().err().or(names) {
        notes.push(no_dns(&dns_error(error)));
    }
    let hosts = survey.exchanges.as_ref().ok();
    notes.extend(hosts.and_then(|hosts| mailboxes(domain, hosts, config)));
    notes
}

fn no_dns(error: &Said) -> Finding {
    let seen = Said::of_parts(NO_DNS, &[("error", error)]);
    Finding::new("setup.no-dns", Severity::Warning, seen, Said::default())
}

/// Where the mailboxes of a domain are that is not one of ours.
fn mailboxes(domain: &str, hosts: &[String], config: &Config) -> Option<Finding> {
    let ours = Domain::parse(domain).is_ok_and(|domain| config.domains.contains(&domain));
    if ours {
        return None;
    }
    if hosts.is_empty() || hosts.contains(&config.hostname) {
        return Some(NOT_LOCAL.put("domain", domain));
    }
    let sender = sender::of_the_machine(config).map(|sender| sender.to_string());
    let found = ELSEWHERE.put("domain", domain).put("hosts", hosts.join(", "));
    Some(found.put("sender", sender.unwrap_or_default()))
}

/// What is to be published, unless the DNS does not say what is.
fn publication(
    site: &Site<'_>,
    config: &Config,
    ring: &KeyRing,
    found: &mut Vec<Finding>,
) -> Option<Publication> {
    // That the DNS does not answer has been said already.
    site.survey.exchanges.as_ref().ok()?;
    let addresses = site.survey.egress.iter().map(|egress| egress.address);
    let public = addresses.filter(|address| is_public(*address)).collect();
    let subject = Subject::new(config, ring, Some(&site.wishes.domain), public).ok()?;
    let planned = site.world.plan(&subject);
    planned.map_err(|unread| found.push(no_dns(&unread.list(usize::MAX)))).ok()
}

/// What it listens on, and why.
fn listening(config: &Config) -> Finding {
    let listed = |items: Vec<String>| items.join(", ");
    let addresses = listed(config.listen.all().map(ToString::to_string).collect());
    if config.listen.smtp.iter().all(|address| address.ip().is_loopback()) {
        return LISTENS_HERE.put("listen", addresses);
    }
    let networks = config.trusted_networks.0.iter().map(ToString::to_string).collect();
    LISTENS.put("listen", addresses).put("networks", listed(networks))
}
