//! The service and its process: whether it runs and starts with the machine, whether it is
//! the program that is installed, how many files it may open, and what it says of its queue.

use std::path::Path;
use std::process::Command;

use super::{Daemon, MANAGED, Machine, Section};
use crate::config::{Config, DEFAULT_FILE};
use crate::control::protocol::HealthView;
use crate::finding::{Finding, kinds};
use crate::lang::{Said, Text, quoted, said};
use crate::survey::processes;

kinds! {
    DOWN = "service.down" Error:
        "the server does not run, so no mail leaves",
        "el servidor no está en marcha, así que no sale correo",
        "{start}", "{start}";
    FAILED = "service.failed" Error:
        "the server has ended by itself ({result})",
        "el servidor ha terminado por sí solo ({result})",
        "see why: journalctl -u puerto -n 20 --no-pager; mend it, then: systemctl reset-failed \
         puerto.socket puerto.service; {start}",
        "mire por qué: journalctl -u puerto -n 20 --no-pager; arréglelo y después: systemctl \
         reset-failed puerto.socket puerto.service; {start}";
    UNREACHED = "service.unreached" Error:
        "the server runs, and its sockets in {folder} are gone: neither commands nor `sendmail` reach it",
        "el servidor está en marcha, pero sus sockets de {folder} no están: ni las órdenes ni \
         `sendmail` llegan a él",
        "{restart}", "{restart}";
    MASKED = "service.masked" Error:
        "{unit} is masked, so nothing starts it",
        "{unit} está enmascarada, así que nada la arranca",
        "systemctl unmask {unit}", "systemctl unmask {unit}";
    DISABLED = "service.disabled" Warning:
        "{unit} does not start with the machine",
        "{unit} no arranca con la máquina",
        "systemctl enable {unit}", "systemctl enable {unit}";
    STALE = "service.stale" Warning:
        "systemd has read {unit} before its file was changed",
        "systemd leyó {unit} antes de que cambiara su fichero",
        "systemctl daemon-reload", "systemctl daemon-reload";
    OTHER_VERSION = "version.differs" Warning:
        "the server that runs is {running}, the program here {here}",
        "el servidor en marcha es {running}, y este programa {here}",
        "{restart}", "{restart}";
    REPLACED = "version.replaced" Warning:
        "the program was replaced after the server had started: it runs the one before",
        "el programa se cambió después de arrancar el servidor: este usa el anterior",
        "{restart}", "{restart}";
    MUTE = "service.mute" Error:
        "the server cannot be asked: {why}",
        "no se puede preguntar al servidor: {why}",
        "{restart}", "{restart}";
    FEW_FILES = "limit.files" Warning:
        "the server may open {limit} files, and {connections} connections are allowed to it",
        "el servidor puede abrir {limit} ficheros y se le permiten {connections} conexiones",
        "mkdir -p /etc/systemd/system/puerto.service.d && printf '[Service]\\nLimitNOFILE=65536\\n' \
         > /etc/systemd/system/puerto.service.d/files.conf && systemctl daemon-reload && {restart}",
        "mkdir -p /etc/systemd/system/puerto.service.d && printf '[Service]\\nLimitNOFILE=65536\\n' \
         > /etc/systemd/system/puerto.service.d/files.conf && systemctl daemon-reload && {restart}";
    REFUSING = "queue.refusing" Error:
        "the server takes no new mail: {why}",
        "el servidor no acepta correo nuevo: {why}",
        "mend what it names; it goes on by itself",
        "arregle lo que dice; sigue por sí mismo";
    UNREADABLE = "queue.unreadable" Error:
        "the disk does not give back {count} parts of the queue, and mail waits for them: {first}",
        "el disco no devuelve {count} partes de la cola, y hay correo que las espera: {first}",
        "see what the disk says (`dmesg | tail`) and mend it; the mail goes on by itself",
        "mire qué dice el disco (`dmesg | tail`) y arréglelo; el correo sigue por sí mismo";
    DAMAGED = "queue.damaged" Warning:
        "{count} parts of the queue were found damaged when it was opened: {first}",
        "al abrir la cola se encontraron {count} partes dañadas: {first}",
        "see what the disk says (`dmesg | tail`); the rest of the queue is intact",
        "mire qué dice el disco (`dmesg | tail`); el resto de la cola está intacto";
}

/// Files that are open besides those of clients: the queue, the log, deliveries under way.
const BESIDES: u64 = 256;
const UNIT: &str = "puerto.service";

pub(super) fn look(machine: &Machine<'_>, unit: Option<&Unit>) -> Section {
    let mut section = Section::new("service", Text::new("service", "servicio"));
    let found = &mut section.findings;
    let begun = begun(machine.file, unit);
    let restart = match unit {
        Some(_) => "systemctl restart puerto.service",
        None => begun.as_str(),
    };
    // What is masked must not be before anything else can be done.
    if let Some(unit) = unit {
        of_unit(unit, found);
    }
    match &machine.daemon {
        Daemon::Runs(health) => {
            of_health(health, restart, found);
            section.seen = said!(
                "runs, version {version}, {count} messages wait",
                "en marcha, versión {version}, {count} mensajes en espera";
                version = health.version, count = health.messages
            );
        }
        Daemon::Mute(why) => {
            let finding = Finding::from(MUTE).put("restart", restart);
            let seen = Said::of_parts(MUTE.seen, &[("why", why)]);
            found.push(Finding { seen, ..finding });
        }
        Daemon::Down => found.push(down(unit, &begun, &machine.config.run_dir)),
    }
    for process in processes::called("puerto", "serve") {
        if process.is_replaced && !found.iter().any(|one| one.id == OTHER_VERSION.id) {
            found.push(REPLACED.put("restart", restart));
        }
        found.extend(few_files(process.id, machine.config).map(|one| one.put("restart", restart)));
    }
    section
}

fn begun(file: &Path, unit: Option<&Unit>) -> String {
    match unit {
        Some(_) => "systemctl start puerto.socket puerto.service".to_owned(),
        None => format!("{} serve", Config::command(file)),
    }
}

/// How the server is started again, with its sockets.
pub(super) fn restart_with_sockets(file: &Path, unit: Option<&Unit>) -> String {
    const BOTH: &str =
        "systemctl stop puerto.socket puerto.service && systemctl start puerto.service";
    unit.map_or_else(|| begun(file, unit), |_| BOTH.to_owned())
}

fn of_health(health: &HealthView, restart: &str, found: &mut Vec<Finding>) {
    let here = env!("CARGO_PKG_VERSION");
    if health.version != here {
        let differs = OTHER_VERSION.put("running", &health.version).put("here", here);
        found.push(differs.put("restart", restart));
    }
    found.extend(health.why_refusing().map(|why| saying(REFUSING.into(), "why", &why)));
    for (kind, list) in [(UNREADABLE, &health.unreadable), (DAMAGED, &health.damaged)] {
        let first = list.first().map(|first| quoted(first));
        found.extend(first.map(|first| saying(kind.put("count", list.len()), "first", &first)));
    }
}

// What was seen with words put in that are of two languages themselves.
fn saying(finding: Finding, name: &'static str, words: &Said) -> Finding {
    let seen =
        Said::of_both(|language| finding.seen.clone().put(name, words.of(language)).of(language));
    Finding { seen, ..finding }
}

fn down(unit: Option<&Unit>, start: &str, run_dir: &Path) -> Finding {
    match unit.map(|unit| unit.active.as_str()) {
        Some("failed") => {
            let result = unit.map(|unit| unit.result.as_str()).unwrap_or_default();
            FAILED.put("result", result).put("start", start)
        }
        Some("active") => {
            let restart = restart_with_sockets(Path::new(DEFAULT_FILE), unit);
            UNREACHED.put("folder", run_dir.display()).put("restart", restart)
        }
        _ => DOWN.put("start", start),
    }
}

fn of_unit(unit: &Unit, found: &mut Vec<Finding>) {
    let kind = match unit.starts.as_str() {
        "masked" | "masked-runtime" => Some(MASKED),
        "disabled" => Some(DISABLED),
        _ => None,
    };
    found.extend(kind.map(|kind| kind.put("unit", UNIT)));
    if unit.is_stale {
        found.push(STALE.put("unit", UNIT));
    }
}

/// What systemd knows of a unit.
pub(super) struct Unit {
    active: String,
    /// Whether it starts with the machine, in systemd's words.
    starts: String,
    result: String,
    is_stale: bool,
    /// What it starts.
    starts_what: String,
}

impl Unit {
    /// That of the server that is looked at; `None` where systemd does not say, has no such
    /// unit, or starts a server with another configuration by it.
    pub(super) fn of(machine: &Machine<'_>) -> Option<Self> {
        let unit = Path::new(MANAGED).exists().then(|| Self::ask(UNIT)).flatten()?;
        unit.is_of(machine.file).then_some(unit)
    }

    fn ask(name: &str) -> Option<Self> {
        let asked =
            "--property=LoadState,ActiveState,UnitFileState,Result,NeedDaemonReload,ExecStart";
        let output = Command::new("systemctl").args(["show", asked, name]).output().ok()?;
        Self::read(&String::from_utf8_lossy(&output.stdout))
    }

    // The default is named by no unit.
    fn is_of(&self, file: &Path) -> bool {
        let mut words = self.starts_what.split_ascii_whitespace();
        file == Path::new(DEFAULT_FILE) || words.any(|word| Path::new(word) == file)
    }

    fn read(shown: &str) -> Option<Self> {
        let value = |name: &str| {
            let values = shown.lines().filter_map(|line| line.split_once('='));
            values.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
        };
        let loaded = value("LoadState")?;
        ["loaded", "masked"].contains(&loaded.as_str()).then_some(())?;
        Some(Self {
            active: value("ActiveState")?,
            starts: value("UnitFileState").unwrap_or_default(),
            result: value("Result").unwrap_or_default(),
            is_stale: value("NeedDaemonReload").is_some_and(|value| value == "yes"),
            starts_what: value("ExecStart").unwrap_or_default(),
        })
    }
}

fn few_files(process: u32, config: &Config) -> Option<Finding> {
    let limits = std::fs::read_to_string(format!("/proc/{process}/limits")).ok()?;
    let limit = limit_of_files(&limits)?;
    let connections = config.limits.connections as u64;
    let is_few = limit < connections.saturating_add(BESIDES);
    is_few.then(|| FEW_FILES.put("limit", limit).put("connections", connections))
}

// Each line: a name of several words, the limit in force, the highest, the unit.
fn limit_of_files(limits: &str) -> Option<u64> {
    const NAME: &str = "Max open files";
    let line = limits.lines().find_map(|line| line.strip_prefix(NAME))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_advised_is_about_the_server_that_was_looked_at() {
        let other = Path::new("/etc/n1/puerto.toml");
        let unit = |words: &str| {
            let started = format!("{{ path=/usr/bin/puerto ; argv[]=/usr/bin/puerto {words} ; }}");
            let text = format!("LoadState=loaded\nActiveState=inactive\nExecStart={started}\n");
            Unit::read(&text).unwrap()
        };
        assert!(unit("serve").is_of(Path::new(DEFAULT_FILE)) && !unit("serve").is_of(other));
        assert!(unit("--config /etc/n1/puerto.toml serve").is_of(other));
        assert_eq!(begun(other, None), "puerto --config /etc/n1/puerto.toml serve");
        assert_eq!(restart_with_sockets(Path::new(DEFAULT_FILE), None), "puerto serve");
    }

    #[test]
    fn the_limit_of_open_files_is_read() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max processes             1                    2                    processes\n\
                      Max open files            1024                 524288               files\n";
        assert_eq!(limit_of_files(limits), Some(1024));
        assert_eq!(limit_of_files("Max open files            unlimited  x"), None);
        let mut config = Config::with_defaults("localhost".to_owned());
        config.limits.connections = 1_000_000_000;
        let found = few_files(std::process::id(), &config).unwrap();
        assert_eq!(found.id, "limit.files");
        config.limits.connections = 1;
        assert_eq!(few_files(std::process::id(), &config), None);
    }

    #[test]
    fn what_systemd_says_of_the_unit_is_told_and_of_none_nothing() {
        let said = |load: &str, active: &str, starts: &str, reload: &str| {
            format!(
                "LoadState={load}\nActiveState={active}\nUnitFileState={starts}\nResult=exit-code\n\
                 NeedDaemonReload={reload}\n"
            )
        };
        let ids = |text: &str, is_down: bool| {
            let unit = Unit::read(text);
            let mut found = Vec::new();
            if is_down {
                found.push(down(unit.as_ref(), "start it", Path::new("/run/puerto")));
            }
            unit.iter().for_each(|unit| of_unit(unit, &mut found));
            found.iter().map(|finding| finding.id).collect::<Vec<_>>()
        };
        assert_eq!(ids(&said("loaded", "active", "enabled", "no"), false), [""; 0]);
        assert_eq!(
            ids(&said("loaded", "failed", "disabled", "yes"), true),
            ["service.failed", "service.disabled", "service.stale"]
        );
        assert_eq!(
            ids(&said("masked", "inactive", "masked", "no"), true),
            ["service.down", "service.masked"]
        );
        assert_eq!(ids(&said("not-found", "inactive", "", "no"), true), ["service.down"]);
        assert_eq!(ids("", true), ["service.down"]);
        // Somebody has removed its sockets: to start what runs does nothing.
        assert_eq!(ids(&said("loaded", "active", "enabled", "no"), true), ["service.unreached"]);
    }
}
