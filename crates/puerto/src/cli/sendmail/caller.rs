//! What `sendmail` says of the program that has called it: only the same user may see
//! which file a process runs and in which folder it works, so the server cannot.
//!
//! A web site's script that was broken into is found by these: PHP changes to the script's
//! folder, a CGI program names it in its environment, an interpreter on its command line.
//! No other argument is told: they may hold passwords.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use crate::receive::look_at_process;
use crate::telemetry::{Ancestor, Process};

/// Programs that stand between `sendmail` and whoever wants a message sent.
const BETWEEN: &[&str] = &[
    "sh",
    "bash",
    "dash",
    "ash",
    "zsh",
    "ksh",
    "mksh",
    "fish",
    "busybox",
    "env",
    "xargs",
    "nice",
    "ionice",
    "timeout",
    "time",
    "nohup",
    "setsid",
    "flock",
    "chronic",
    "run-parts",
    "sudo",
    "su",
    "runuser",
    "setpriv",
    "sendmail",
    "puerto",
    "mail",
    "mailx",
    "s-nail",
    "bsd-mailx",
    "mutt",
];
/// Programs whose first argument that is a file is what they run.
const INTERPRETERS: &[&str] = &[
    "sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "fish", "busybox", "php", "python", "perl",
    "ruby", "node", "nodejs", "lua", "tclsh",
];
/// Octets of a command line that are read, and its arguments that are looked at.
const COMMAND_LINE: u64 = 16 * 1024;
const ARGUMENTS: usize = 16;

/// What is to be said: names as the server knows them, with their values.
pub(super) type Claims = Vec<(&'static str, String)>;

/// Of the program that has called this one.
pub(super) fn claims() -> Claims {
    let own = look_at_process(std::process::id()).unwrap_or_default();
    let called = Called::by(Path::new("/proc"), &own.parents);
    let script = std::env::var("SCRIPT_FILENAME").ok().filter(|path| !path.is_empty());
    let script = script.or(called.script);
    let directory = std::env::current_dir().ok().map(|path| path.display().to_string());
    let all = [("executable", called.executable), ("script", script), ("directory", directory)];
    all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// The same of a message that is left for later, when this process is gone: with what the
/// server would have seen by itself.
pub(super) fn claims_for_later() -> Claims {
    let own: Process = look_at_process(std::process::id()).unwrap_or_default();
    claims().into_iter().chain(own.each()).collect()
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Called {
    executable: Option<String>,
    script: Option<String>,
}

impl Called {
    fn by(proc: &Path, parents: &[Ancestor]) -> Self {
        let (mut called, mut nearest) = (Self::default(), None);
        for parent in parents {
            let folder = proc.join(parent.pid.to_string());
            // That of another user's process is not shown.
            let Ok(executable) = std::fs::read_link(folder.join("exe")) else { break };
            let name = name_of(&executable);
            if called.script.is_none() && is_one_of(&name, INTERPRETERS) {
                called.script = script(&folder);
            }
            let executable = executable.display().to_string();
            if !is_one_of(&name, BETWEEN) {
                called.executable = Some(executable);
                break;
            }
            nearest = nearest.or(Some(executable));
        }
        called.executable = called.executable.or(nearest);
        called
    }
}

// The kernel adds a word to the name of a file that an upgrade has replaced.
fn name_of(executable: &Path) -> String {
    let name = executable.file_name().unwrap_or_default().to_string_lossy();
    name.split(' ').next().unwrap_or_default().to_owned()
}

// `python3.11` and `php-fpm8.2` as well.
fn is_one_of(name: &str, known: &[&str]) -> bool {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    known.contains(&name) || known.contains(&stem)
}

fn script(folder: &Path) -> Option<String> {
    let mut line = Vec::new();
    File::open(folder.join("cmdline")).ok()?.take(COMMAND_LINE).read_to_end(&mut line).ok()?;
    let home = std::fs::read_link(folder.join("cwd")).ok()?;
    let arguments = line.split(|octet| *octet == 0).skip(1).take(ARGUMENTS);
    let mut may_be_value = false;
    for word in arguments {
        // What follows these is a program itself, or a module, not the name of a file.
        if matches!(word, b"-c" | b"-r" | b"-e" | b"-m") {
            return None;
        }
        if word.starts_with(b"-") {
            may_be_value = word.len() == 2;
            continue;
        }
        let path = home.join(PathBuf::from(std::ffi::OsString::from_vec(word.to_vec())));
        if path.is_file() {
            return Some(path.display().to_string());
        }
        if !std::mem::take(&mut may_be_value) {
            return None;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn machine(processes: &[(u32, &str, &[&str])]) -> (tempfile::TempDir, Vec<Ancestor>) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("job.sh"), "").unwrap();
        let mut parents = Vec::new();
        for (pid, executable, arguments) in processes {
            let own = folder.path().join(pid.to_string());
            std::fs::create_dir(&own).unwrap();
            if !executable.is_empty() {
                symlink(executable, own.join("exe")).unwrap();
            }
            symlink(folder.path(), own.join("cwd")).unwrap();
            std::fs::write(own.join("cmdline"), arguments.join("\0")).unwrap();
            parents.push(Ancestor { name: "x".into(), pid: *pid });
        }
        (folder, parents)
    }

    fn called(processes: &[(u32, &str, &[&str])]) -> (Option<String>, Option<String>) {
        let (folder, parents) = machine(processes);
        let Called { executable, script } = Called::by(folder.path(), &parents);
        let name =
            |script: String| Path::new(&script).file_name().unwrap().to_str().unwrap().to_owned();
        (executable, script.map(name))
    }

    #[test]
    fn the_program_is_found_behind_shells_and_its_script_on_its_command_line() {
        let some = |text: &str| Some(text.to_owned());
        let shell: (u32, &str, &[&str]) =
            (9, "/usr/bin/dash", &["sh", "-c", "sendmail -t", "job.sh"]);
        let php: &[&str] = &["php", "-d", "job.sh"];
        let secret: &[&str] = &["/opt/shop", "job.sh"];
        assert_eq!(
            called(&[shell, (8, "/usr/bin/php8.2", &["php", "job.sh"]), (7, "", &[])]),
            (some("/usr/bin/php8.2"), some("job.sh"))
        );
        assert_eq!(called(&[shell, (8, "/usr/bin/php", php)]).1, some("job.sh"));
        assert_eq!(called(&[(8, "/opt/shop", secret)]), (some("/opt/shop"), None));
        let with_value: &[&str] = &["php", "-d", "memory_limit=1G", "-f", "job.sh"];
        assert_eq!(called(&[(8, "/usr/bin/php", with_value)]).1, some("job.sh"));
        for none in [&["python3", "-m", "job.sh"][..], &["perl", "none", "job.sh"]] {
            assert_eq!(called(&[(8, "/usr/bin/python3", none)]).1, None, "{none:?}");
        }
        assert_eq!(
            called(&[(9, "/bin/bash", &["bash", "job.sh"]), (8, "", &[])]),
            (some("/bin/bash"), some("job.sh"))
        );
        assert_eq!(
            called(&[shell, (8, "/usr/sbin/php-fpm8.2 (deleted)", &[])]).0,
            some("/usr/sbin/php-fpm8.2 (deleted)")
        );
        assert_eq!(called(&[(8, "/usr/bin/perl", &["perl", "no-such-file"])]).1, None);
        assert_eq!(called(&[]), (None, None));
    }
}
