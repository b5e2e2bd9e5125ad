//! `puerto lab class`: one gateway and a server for each student, all on this machine, and
//! a screen for the teacher: who has sent, whose set-up is right.
//!
//! The gateway is the course's: a host `satelite` with the alias `mail`, the only address
//! that the strict receiver trusts. The students' addresses are dynamic ones, from which it takes
//! no mail; their servers begin without a relayhost. Each is the real server, on a
//! configuration of its own.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use puerto_lab::world::HOME;
use puerto_lab::{Lab, Options, Outcome, Zone};
use puerto_mail::dns::{Record, RecordType};
use tokio::sync::Mutex as Turn;

use super::desk::{self, Host};
use super::home::{Home, Kind, Memory, cannot, write};
use super::world::{CONFIG, LOOK_AGAIN, Stamps, Written, files, leads_outside, serve, start};
use super::{Begin, Signals, program};
use crate::cli::exit::{Failure, Sysexit};
use crate::cli::lab::scenario::publish_blocklists;
use crate::cli::lab::show::{BAD, FAINT, GOOD, LATER, Show, TITLE, paint};
use crate::cli::output::{columns, printable};
use crate::config::{Config, NextHop, NextHopHost};
use crate::lang::layout::{table, whole};
use crate::lang::{Language, Said, Text, said, shell_word};
use crate::serve::Daemon;

/// The gateway's domain, host, alias and address.
const DOMAIN: &str = "instituto.example";
const GATEWAY: &str = "satelite.instituto.example";
const ALIAS: &str = "mail.instituto.example";
const GATEWAY_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 40);
/// What the gateway takes for its own network, and from each of it at most.
const NETWORK: &str = "127.0.1.0/24";
const CAP: &str = "100 messages/hour";
const PBL: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 10);

/// The folder of a student's server.
pub(super) fn folder_of(class: &Path, student: u8) -> PathBuf {
    class.join(name_of(student))
}

/// Who writes a student's letters.
pub(super) fn sender(student: u8) -> String {
    format!("{0}@{0}.{DOMAIN}", name_of(student))
}

/// The student of a number, if the class in a folder has one.
pub(super) fn student(class: &Path, number: u64) -> Result<u8, Failure> {
    let wrong = |said| Failure::new(Sysexit::Arguments, said);
    let Some(Kind::Class(count)) = Memory::of(class)?.map(|memory| memory.kind) else {
        return Err(wrong(said!(
            "the lab in {folder} is no class, and has no students: leave --student out",
            "el laboratorio de {folder} no es una clase ni tiene estudiantes: quite --student";
            folder = class.display()
        )));
    };
    let student = u8::try_from(number).ok().filter(|number| (1..=count).contains(number));
    student.ok_or_else(|| {
        wrong(said!(
            "there is no student {number}: this class has those from 1 to {count}",
            "no hay ningún estudiante {number}: esta clase tiene los números del 1 al {count}";
            number = number, count = count
        ))
    })
}

/// That a lab is no class: in one, each letter goes by the server of a student.
pub(super) fn has_no_students(lab: &Path) -> Result<(), Failure> {
    let Some(Kind::Class(count)) = Memory::of(lab)?.map(|memory| memory.kind) else {
        return Ok(());
    };
    Err(Failure::new(
        Sysexit::Arguments,
        said!(
            "the lab in {folder} is a class: say by whose server, with --student and a number from \
             1 to {count}",
            "el laboratorio de {folder} es una clase: diga por el servidor de quién, con --student \
             y un número del 1 al {count}";
            folder = lab.display(), count = count
        ),
    ))
}

fn name_of(student: u8) -> String {
    format!("alumno{student:02}")
}

fn address_of(student: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 1, student)
}

/// A class that is held.
pub(super) struct Class {
    pub(super) lab: Lab,
    home: Home,
    gateway: Turn<Option<Daemon>>,
    seats: Vec<Turn<Seat>>,
}

// A student's server.
#[derive(Default)]
struct Seat {
    daemon: Option<Daemon>,
    files: Stamps,
    config: Option<Arc<Config>>,
    fault: Option<Said>,
}

/// How a student stands.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    student: u8,
    /// What the relayhost is, as it is written; `None` if there is none.
    relayhost: Option<String>,
    /// Mail would go to the gateway.
    is_right: bool,
    /// Letters that arrived through the gateway, and attempts that were refused.
    arrived: usize,
    refused: usize,
    /// The last refusal, or what is wrong with the file.
    why: Option<Said>,
}

impl Class {
    async fn open(count: u8, begin: Begin<'_>, language: Language) -> Result<Self, Failure> {
        let (home, known) = Home::take(begin.folder, Kind::Class(count), begin.anew)?;
        let ports = known.as_ref().map(|known| (known.ports.0, known.ports.1));
        let options = Options { ports, kept: 10_000, ..Options::default() };
        let lab = start(options, known.is_some()).await?;
        publish(lab.zone(), count);
        if known.is_none() {
            lay_out(&lab, home.path(), count, language)
                .map_err(|error| cannot(home.path(), &error))?;
        }
        let file = home.path().join("satelite").join(CONFIG);
        let config = Config::load(Some(&file))?;
        let gateway = serve(config, &file).await;
        let gateway = gateway.map_err(|error| Failure::new(Sysexit::Unavailable, error.said()))?;
        let seats = (0..count).map(|_| Turn::default()).collect();
        let class = Self { lab, home, gateway: Turn::new(Some(gateway)), seats };
        class.apply().await;
        Ok(class)
    }

    async fn close(&self) {
        for seat in &self.seats {
            if let Some(daemon) = seat.lock().await.daemon.take() {
                daemon.stop().await;
            }
        }
        if let Some(gateway) = self.gateway.lock().await.take() {
            gateway.stop().await;
        }
    }

    fn students(&self) -> impl Iterator<Item = (u8, &Turn<Seat>)> {
        (1..=u8::MAX).zip(&self.seats)
    }

    // Brings what the files say into force.
    async fn apply(&self) {
        for (student, seat) in self.students() {
            let folder = folder_of(self.home.path(), student);
            let mut seat = seat.lock().await;
            let files = files(&folder);
            if files != seat.files {
                seat.files = files;
                seat.restart(&self.lab, &folder.join(CONFIG)).await;
            }
        }
    }

    async fn rows(&self) -> Vec<Row> {
        let seen = self.lab.transactions();
        let mut rows = Vec::new();
        for (student, seat) in self.students() {
            let seat = seat.lock().await;
            let domain = format!("{}.{DOMAIN}", name_of(student));
            let is_theirs = |one: &&Arc<puerto_lab::Transaction>| {
                let from = one.from.as_ref().and_then(|from| from.address());
                one.peer == IpAddr::V4(address_of(student))
                    || one.peer == IpAddr::V4(GATEWAY_ADDRESS)
                        && from.is_some_and(|from| from.domain().name() == Some(&domain))
            };
            let theirs: Vec<_> = seen.iter().filter(is_theirs).collect();
            let by_gateway = IpAddr::V4(GATEWAY_ADDRESS);
            let arrived = theirs
                .iter()
                .filter(|one| one.peer == by_gateway && one.outcome == Outcome::Accepted)
                .count();
            let refused: Vec<_> =
                theirs.iter().filter(|one| one.outcome == Outcome::Refused).collect();
            let reply = refused.last().and_then(|one| one.reply.as_ref());
            let relayhost = seat.config.as_ref().and_then(|config| config.relayhost.as_ref());
            let is_right = relayhost.is_some_and(|hop| self.leads_to_gateway(hop));
            let last = reply.filter(|_| arrived == 0).map(|r| Said::words(r.to_string()));
            rows.push(Row {
                student,
                relayhost: relayhost.map(ToString::to_string),
                is_right,
                arrived,
                refused: refused.len(),
                why: seat.fault.clone().or(last),
            });
        }
        rows
    }

    fn leads_to_gateway(&self, hop: &NextHop) -> bool {
        let has_address = |name: &str| {
            let found = self.lab.zone().resolve(name, RecordType::A).result.unwrap_or_default();
            found.contains(&Record::Address(GATEWAY_ADDRESS.into()))
        };
        let is_host = match &hop.host {
            NextHopHost::Address(address) => *address == IpAddr::V4(GATEWAY_ADDRESS),
            NextHopHost::Name(name) => has_address(name),
            NextHopHost::Mx(name) => match self.lab.zone().resolve(name, RecordType::Mx).result {
                Ok(hosts) => hosts
                    .iter()
                    .any(|host| matches!(host, Record::Mx(_, host) if has_address(host))),
                Err(_) => has_address(name),
            },
        };
        is_host && hop.port == Some(self.lab.mx_port())
    }
}

impl Seat {
    async fn restart(&mut self, lab: &Lab, file: &Path) {
        let config = match Config::load(Some(file)) {
            Ok(config) => config,
            Err(errors) => {
                self.fault = errors.errors.first().map(|error| {
                    let place = Said::words(format!("{CONFIG}:{}", error.line));
                    place.then(&error.message)
                });
                return;
            }
        };
        if let Some(said) = leads_outside(lab, &config) {
            self.fault = Some(said);
            return;
        }
        if let Some(daemon) = self.daemon.take() {
            daemon.stop().await;
        }
        match serve(config, file).await {
            Ok(daemon) => {
                self.config = Some(daemon.config());
                self.daemon = Some(daemon);
                self.fault = None;
            }
            Err(error) => self.fault = Some(error.said()),
        }
    }
}

// The gateway's names, and those of the students' addresses, which are the provider's.
fn publish(zone: &Zone, count: u8) {
    publish_blocklists(zone);
    zone.add_host(GATEWAY, GATEWAY_ADDRESS.into());
    zone.add_alias(ALIAS, GATEWAY);
    zone.add_txt(GATEWAY, &format!("v=spf1 ip4:{GATEWAY_ADDRESS} -all"));
    for student in 1..=count {
        let (name, address) = (name_of(student), IpAddr::V4(address_of(student)));
        let domain = format!("{name}.{DOMAIN}");
        zone.add_mx(&domain, 10, HOME.host);
        zone.add_address(&domain, address);
        zone.add_txt(&domain, &format!("v=spf1 ip4:{GATEWAY_ADDRESS} -all"));
        zone.add_host(&format!("127-0-1-{student}.dynamic.isp.example"), address);
        zone.add_listing("zen.spamhaus.org", address, PBL);
    }
}

fn lay_out(lab: &Lab, folder: &Path, count: u8, language: Language) -> std::io::Result<()> {
    let lay = |name: &str, written: &Written<'_>| {
        fs::create_dir_all(written.place)?;
        write(&written.place.join("aliases"), "postmaster: root\n")?;
        write(&folder.join(name).join(CONFIG), &written.text(lab, language))
    };
    let place = folder.join("satelite");
    let top = format!(
        "relayhost = \"\"\ntrusted_networks = [\"127.0.0.0/8\", \"::1/128\", \"{NETWORK}\"]\n"
    );
    let tables = format!("\n[caps]\nclients = {{ \"{NETWORK}\" = [\"{CAP}\"] }}\n");
    lay(
        "satelite",
        &Written {
            host: GATEWAY,
            origin: DOMAIN,
            address: GATEWAY_ADDRESS,
            smtp: Some((GATEWAY_ADDRESS, lab.mx_port()).into()),
            place: &place,
            top: &top,
            tables: &tables,
            retry: "[\"1s\", \"5s\"]",
        },
    )?;
    for student in 1..=count {
        let name = name_of(student);
        let host = format!("{name}.{DOMAIN}");
        lay(
            &name,
            &Written {
                host: &host,
                origin: &host,
                address: address_of(student),
                smtp: None,
                place: &folder_of(folder, student),
                top: "relayhost = \"\"\n",
                tables: "",
                retry: "[\"2s\", \"5s\"]",
            },
        )?;
    }
    let ports = (lab.dns_addr().port(), lab.mx_port(), 0);
    let first = Default::default();
    Memory { kind: Kind::Class(count), ports, hints: 0, first }.keep(folder)
}

/// Holds a class until somebody ends it.
pub(super) async fn hold(count: u8, begin: Begin<'_>, language: Language) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let class = Arc::new(Class::open(count, begin, language).await?);
    let desk = desk::open(class.home.path())?;
    let screen = Screen { show: Show::new(begin.json, language), language };
    screen.introduce(&class);
    tokio::select! {
        () = screen.run(&class) => {}
        () = desk::run(desk, Host::Class(Arc::clone(&class))) => {}
        () = signals.ended() => {}
    }
    screen.show.done_waiting();
    class.close().await;
    Ok(())
}

struct Screen {
    show: Show,
    language: Language,
}

const HEADING: [Text; 5] = [
    Text::new("student", "estudiante"),
    Text::same("relayhost"),
    Text::new("set-up", "montaje"),
    Text::new("arrived", "llegadas"),
    Text::new("last trouble", "último problema"),
];
const INTRODUCED: Text = Text::new(
    "A class: the gateway {gateway}, alias {alias}, at {address}, port {port}, and {count} \
     students' servers, which are to send through it",
    "Una clase: la pasarela {gateway}, alias {alias}, en {address}, puerto {port}, y los \
     servidores de {count} estudiantes, que deben enviar por ella",
);
const EACH: Text = Text::new(
    "Each student's server has its own file. What is missing in it, and a first letter:",
    "El servidor de cada estudiante tiene su propio fichero. Lo que le falta, y una primera carta:",
);

impl Screen {
    fn introduce(&self, class: &Class) {
        let (folder, port) = (class.home.path(), class.lab.mx_port().to_string());
        if self.show.json {
            return self.show.object(&serde_json::json!({
                "event": "started", "folder": folder, "gateway": GATEWAY, "alias": ALIAS,
                "address": GATEWAY_ADDRESS, "port": class.lab.mx_port(),
                "students": class.seats.len(),
            }));
        }
        let address = GATEWAY_ADDRESS.to_string();
        let count = class.seats.len().to_string();
        let text = INTRODUCED.with(
            self.language,
            &[
                ("gateway", GATEWAY),
                ("alias", ALIAS),
                ("address", &address),
                ("port", &port),
                ("count", &count),
            ],
        );
        self.show.line(&format!("\n{}\n", paint(TITLE, &text)));
        self.show.line(EACH.of(self.language));
        let (file, program) = (folder_of(folder, 1).join(CONFIG), program());
        for line in [
            format!("{}: relayhost = \"[{ALIAS}]:{port}\"", file.display()),
            format!("{program} lab send ana@strict.example --student 1"),
            format!("{program} --config {} queue list", shell_word(&file)),
        ] {
            self.show.line(&whole(&format!("  {line}")));
        }
        self.show.line("");
    }

    // The table again for each change; in a file or a pipe only the rows that are new.
    async fn run(&self, class: &Class) {
        let mut shown: Vec<Row> = Vec::new();
        loop {
            class.apply().await;
            let rows = class.rows().await;
            let new: Vec<Row> = rows.iter().filter(|row| !shown.contains(row)).cloned().collect();
            if !new.is_empty() {
                let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stdout());
                self.rows(if is_terminal { &rows } else { &new }, &rows);
                shown = rows;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    // Some of them, and the count of all.
    fn rows(&self, rows: &[Row], all: &[Row]) {
        if self.show.json {
            for row in rows {
                self.show.object(&serde_json::json!({
                    "event": "student", "student": row.student, "relayhost": row.relayhost,
                    "right": row.is_right, "arrived": row.arrived, "refused": row.refused,
                    "why": row.why.as_ref().map(|why| why.of(self.language)),
                }));
            }
            return;
        }
        let cells: Vec<[String; 5]> = rows.iter().map(|row| self.cells(row)).collect();
        let heading = HEADING.map(|text| text.of(self.language));
        let text = table(heading, &cells, columns(&std::io::stdout()));
        self.show.line(&text);
        let right = all.iter().filter(|row| row.is_right).count().to_string();
        let sent = all.iter().filter(|row| row.arrived > 0).count().to_string();
        let text = Text::new(
            "{right} are set up right, {sent} have sent",
            "{right} con el montaje bien, {sent} han enviado",
        );
        let text = text.with(self.language, &[("right", &right), ("sent", &sent)]);
        self.show.line(&format!("{}\n", paint(FAINT, &text)));
    }

    fn cells(&self, row: &Row) -> [String; 5] {
        let (style, word) = match (row.is_right, row.relayhost.is_some()) {
            (true, _) => (GOOD, Text::new("right", "bien")),
            (false, true) => (BAD, Text::new("elsewhere", "a otro sitio")),
            (false, false) => (LATER, Text::new("not yet", "aún no")),
        };
        let none = Text::new("none", "ninguno").of(self.language);
        let why = row.why.as_ref().map(|why| printable(&why.of(self.language)));
        [
            name_of(row.student),
            row.relayhost.clone().unwrap_or_else(|| none.to_owned()),
            paint(style, word.of(self.language)),
            row.arrived.to_string(),
            why.unwrap_or_default(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cli::lab::classroom::world::send;
    use crate::cli::lab::submit::Counter;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_screen_shows_who_has_sent_and_whose_set_up_is_right() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("x");
        let begin = Begin { folder: Some(&place), anew: false, json: false };
        let class = match Class::open(4, begin, Language::English).await {
            Ok(class) => class,
            Err(failure) => panic!("{}", failure.of(Language::English)),
        };
        assert_eq!(super::student(&place, 4).ok(), Some(4));
        for number in [0, 5, 300] {
            let refused = super::student(&place, number).unwrap_err().of(Language::English);
            assert!(refused.contains("those from 1 to 4"), "{refused}");
        }
        assert!(super::student(folder.path(), 1).is_err(), "no class is there");
        let refused = has_no_students(&place).unwrap_err().of(Language::English);
        assert!(refused.contains("--student") && refused.contains("1 to 4"), "{refused}");
        assert!(has_no_students(folder.path()).is_ok());
        let port = class.lab.mx_port();
        let relay = |student, text: &str| {
            let file = folder_of(&place, student).join(CONFIG);
            let before = fs::read_to_string(&file).unwrap();
            let line = format!("relayhost = \"{text}\"");
            write(&file, &before.replace("relayhost = \"\"", &line)).unwrap();
        };
        // By its alias, by another host's name, not at all, and by something else.
        relay(1, &format!("[{ALIAS}]:{port}"));
        relay(2, &format!("[mx.plain.example]:{port}"));
        relay(4, "[not a host");
        class.apply().await;
        for student in 1..=4 {
            let socket = folder_of(&place, student).join("run/submit");
            let letter = (&*sender(student), "ana@strict.example");
            send(Counter::Socket(&socket), letter, "first", "text").await.unwrap();
        }
        let since = tokio::time::Instant::now();
        let rows = loop {
            let rows = class.rows().await;
            let ended = rows.iter().filter(|row| row.arrived + row.refused > 0).count();
            if ended == 4 || since.elapsed() > Duration::from_secs(20) {
                break rows;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        let stand: Vec<_> =
            rows.iter().map(|row| (row.is_right, row.arrived, row.refused)).collect();
        assert_eq!(stand, [(true, 1, 0), (false, 0, 1), (false, 0, 1), (false, 0, 1)], "{rows:#?}");
        assert!(rows.iter().skip(1).all(|row| row.why.is_some()), "{rows:#?}");
        class.close().await;
    }
}
