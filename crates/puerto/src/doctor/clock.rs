//! Whether the clock is right, as far as that can be known without asking anybody: what was
//! written on this machine is not from the future, the clock that runs on a battery says the
//! same, and something sets the time.

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::{MANAGED, Section};
use crate::config::Config;
use crate::finding::kinds;
use crate::lang::{Said, Text, said};
use crate::survey::processes;

kinds! {
    BEHIND = "clock.behind" Error:
        "the clock says {now}, and {file} was written at {then}: signatures and certificates are \
         refused, and mail that waits is not tried",
        "el reloj marca {now}, y {file} se escribió el {then}: se rechazan firmas y certificados, \
         y el correo en espera no se intenta",
        "timedatectl set-ntp true", "timedatectl set-ntp true";
    DIFFERS = "clock.differs" Warning:
        "the clock says {now}, the machine's own that runs on a battery {then}",
        "el reloj marca {now}; el de la máquina, con pila, {then}",
        "see which is right (`date -u`, `hwclock --show`); if it is the former: hwclock --systohc \
         --utc",
        "mire cuál es el bueno (`date -u`, `hwclock --show`); si es el primero: hwclock --systohc \
         --utc";
    UNSET = "clock.nobody-sets-it" Info:
        "nothing on this machine sets the clock",
        "nada en esta máquina pone en hora el reloj",
        "apt install systemd-timesyncd", "apt install systemd-timesyncd";
}

/// Programs that set the clock, by what their paths end in.
const SETTERS: [&str; 6] = ["systemd-timesyncd", "chronyd", "ntpd", "ntpsec", "openntpd", "ptp4l"];
/// Made by systemd-timesyncd when it has heard the time.
const SYNCHRONIZED: &str = "/run/systemd/timesync/synchronized";
/// The battery's clock, in seconds since 1970.
const BATTERY: &str = "/sys/class/rtc/rtc0/since_epoch";
/// What says whether that one runs by UTC: its third line.
const ADJUSTED: &str = "/etc/adjtime";
/// What a file may be from the future: file systems round, other machines write, too.
const LEEWAY: i64 = 120;
/// What the two clocks may differ by.
const APART: i64 = 300;
/// Files of the state that are looked at.
const AT_MOST: usize = 10_000;

pub(super) fn look(config: &Config, program: &Path, now: i64) -> Section {
    let mut section = Section::new("clock", Text::new("clock", "reloj"));
    let latest = latest(&config.state_dir).into_iter().chain(written(program));
    if let Some((then, file)) = latest.max()
        && then > now + LEEWAY
    {
        let finding = BEHIND.put("now", shown(now)).put("then", shown(then));
        section.findings.push(finding.put("file", file.display()));
    }
    let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    let battery = read(BATTERY).trim().parse::<i64>().ok();
    if let Some(then) = battery.filter(|then| is_apart(now, *then, &read(ADJUSTED))) {
        section.findings.push(DIFFERS.put("now", shown(now)).put("then", shown(then)));
    }
    let setter = setter();
    let is_guest = is_container();
    section.seen = match &setter {
        Some(name) if Path::new(SYNCHRONIZED).exists() => {
            said!("set by {name}", "lo pone en hora {name}"; name = name)
        }
        Some(name) => said!("{name} runs", "{name} en marcha"; name = name),
        None if is_guest => said!("its host's", "el de su anfitrión"),
        None => Said::words(shown(now)),
    };
    if setter.is_none() && !is_guest {
        section.findings.push(UNSET.into());
    }
    section
}

/// Seconds as people write a moment.
fn shown(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |at| at.to_string())
}

/// Whether the battery's clock says another time. One that runs by local time differs by
/// whole quarters of an hour, and by nothing is said to be wrong.
pub(super) fn is_apart(now: i64, battery: i64, adjusted: &str) -> bool {
    let is_local = adjusted.lines().nth(2).is_some_and(|line| line.trim() == "LOCAL");
    let apart = (now - battery).abs();
    let apart = if is_local { (apart % 900).min(900 - apart % 900) } else { apart };
    // One that was never set, or whose battery is empty, says nothing of the other.
    apart > APART && battery > 1_500_000_000
}

fn setter() -> Option<String> {
    let running = processes::running();
    let name = |program: &PathBuf| Some(program.file_name()?.to_str()?.to_owned());
    running.iter().filter_map(name).find(|name| SETTERS.contains(&name.as_str()))
}

/// Whether another machine's kernel and clock serve this one.
fn is_container() -> bool {
    let marks = ["/run/systemd/container", "/run/.containerenv", "/.dockerenv"];
    !Path::new(MANAGED).exists() || marks.iter().any(|mark| Path::new(mark).exists())
}

fn written(file: &Path) -> Option<(i64, PathBuf)> {
    let at = std::fs::symlink_metadata(file).ok()?.modified().ok()?;
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    Some((i64::try_from(since.as_secs()).ok()?, file.to_owned()))
}

/// What was written last below the folder, and when.
pub(super) fn latest(folder: &Path) -> Option<(i64, PathBuf)> {
    let (mut folders, mut seen) = (vec![folder.to_owned()], 0);
    let mut latest = None;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            seen += 1;
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => latest = latest.max(written(&entry.path())),
                _ => {}
            }
            if seen >= AT_MOST {
                return latest;
            }
        }
    }
    latest
}
