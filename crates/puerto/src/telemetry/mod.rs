//! The mail log: one enum of events, written in the form that is configured.
//!
//! [`open`] gives a [`MailLog`] that renders each event in the thread it happens in,
//! into a buffer that is used again, and hands the line to one writing thread
//! (`writer`). `postfix`, `json` and `text` are the forms; `clean` keeps what the
//! network says from harming any of them.

mod clean;
mod counts;
pub mod event;
mod json;
mod origin;
mod postfix;
#[cfg(test)]
mod tests;
mod text;
mod writer;

use std::cell::RefCell;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::tz::TimeZone;
use nix::fcntl::OFlag;
use puerto_mail::date::push_number;
use puerto_spool::clock::Clock;

use crate::config::{Config, LogFormat, LogTarget};
use crate::lang::{Said, said_of};
use crate::rights::{self, Identity, Place};
use writer::{Sink, Writer};

use counts::Counters;
pub use counts::Counts;
pub use event::{
    Change, Client, Delays, Delivery, DeliveryStatus, Encryption, Event, Later, Prepared, Reject,
    Signature, Signing, Verified,
};
pub use origin::{Ancestor, Claims, LocalOrigin, Process, bounded};

/// The mail log. Writing never blocks on a slow reader for longer than the
/// system's buffer, and never fails a message.
#[derive(Clone)]
pub struct MailLog {
    writer: Arc<dyn Fn(&Event<'_>) + Send + Sync>,
    counts: Arc<Counters>,
}

impl MailLog {
    /// A log that hands each event to a function.
    pub fn new(write: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        Self { writer: Arc::new(write), counts: Arc::default() }
    }

    /// A log that forgets everything.
    pub fn nowhere() -> Self {
        Self::new(|_| {})
    }

    /// A log that hands each event to a function, too, before it is written.
    #[must_use]
    pub fn also(&self, hear: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        let write = Arc::clone(&self.writer);
        let writer = move |event: &Event<'_>| {
            hear(event);
            write(event);
        };
        // What is told is told once, by whichever of the two.
        Self { writer: Arc::new(writer), counts: Arc::clone(&self.counts) }
    }

    /// Writes an event as one line; waits only while the buffer is full.
    pub fn write(&self, event: &Event<'_>) {
        self.counts.count(event);
        (self.writer)(event);
    }

    /// What it has told since the start.
    pub fn counts(&self) -> Counts {
        self.counts.read()
    }
}

impl std::fmt::Debug for MailLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MailLog")
    }
}

/// A handle on the open log, for signals and the end of the program.
#[derive(Clone)]
pub struct Reopen(Arc<Writer>);

impl Reopen {
    /// Opens a log file again by its name, as after its rotation. If it cannot be
    /// opened, the old one goes on and the log says so.
    pub fn reopen(&self) {
        self.0.reopen();
    }

    /// Waits until every line is written. Call it before the program ends: dropping
    /// the last handle does the same, but a forgotten clone would prevent it.
    pub fn flush(&self) {
        self.0.flush();
    }
}

impl std::fmt::Debug for Reopen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reopen")
    }
}

/// Why the log could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the mail log {target}: {source}")]
pub struct OpenError {
    /// What was to be opened.
    pub target: String,
    /// What the system says.
    pub source: io::Error,
}

impl OpenError {
    /// The error for people.
    pub fn said(&self) -> Said {
        said_of!(
            "cannot open the mail log {target}: {error}", "{target}: {error}";
            target = Said::words(self.target.clone()), error = rights::said(&self.source)
        )
    }
}

/// Opens the log that is configured. Call it before privileges are dropped: a file
/// that `user` cannot make is made by root and given to it, so that it can be opened again.
pub fn open(config: &Config, clock: Arc<dyn Clock>) -> Result<(MailLog, Reopen), OpenError> {
    let failed = |target: &dyn std::fmt::Display| {
        let target = target.to_string();
        move |source| OpenError { target, source }
    };
    let (sink, lead) = match &config.log_to {
        LogTarget::Auto => automatic(config.log),
        LogTarget::Stderr => (Sink::Stderr, Lead::TimeAndHost),
        LogTarget::Syslog => {
            let socket = connect_syslog().map_err(failed(&SYSLOG_SOCKET))?;
            (Sink::Syslog(socket), Lead::PriorityAndTime)
        }
        LogTarget::File(path) => {
            let file = open_first(path, &config.user).map_err(failed(&path.display()))?;
            (Sink::File(path.clone(), file), Lead::TimeAndHost)
        }
    };
    let to_terminal = matches!(sink, Sink::Stderr) && io::stderr().is_terminal();
    let form = Form {
        format: config.log,
        lead,
        host: config.hostname.split('.').next().unwrap_or_default().to_owned(),
        colour: to_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        zone: TimeZone::system(),
        written: Mutex::default(),
    };
    start(sink, form, clock).map_err(failed(&"thread"))
}

fn start(sink: Sink, form: Form, clock: Arc<dyn Clock>) -> io::Result<(MailLog, Reopen)> {
    let form = Arc::new(form);
    let now =
        move || jiff::Timestamp::from_millisecond(clock.now().as_millis()).unwrap_or_default();
    let at_notice = now.clone();
    let for_notices = Arc::clone(&form);
    let notice = move |text: &str| {
        let mut line = String::new();
        let event = Event::Notice { level: "error", component: "master", id: None, text };
        for_notices.render(&mut line, &event, at_notice());
        line
    };
    let writer = Arc::new(Writer::start(sink, notice)?);
    let reopen = Reopen(Arc::clone(&writer));
    let log = MailLog::new(move |event| {
        if event.is_for_the_story() {
            return;
        }
        LINE.with_borrow_mut(|line| {
            line.clear();
            form.render(line, event, now());
            writer.write(line);
        });
    });
    Ok((log, reopen))
}

thread_local! {
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
}

const SYSLOG_SOCKET: &str = "/dev/log";

fn connect_syslog() -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(SYSLOG_SOCKET)?;
    Ok(socket)
}

fn open_file(path: &Path) -> io::Result<File> {
    // A pipe that nobody reads must not hold us up.
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let mut options = File::options();
    options.append(true).create(true).mode(0o640).custom_flags(flags.bits()).open(path)
}

/// Opens the file as the service's user, who does so at each rotation. Where that user may
/// not, root makes a new file and gives it away, or one that is in a folder of root's own.
/// A user that does not exist is for whoever drops privileges to complain about.
fn open_first(path: &Path, user: &str) -> io::Result<File> {
    let Some(owner) = Identity::of_service(user)? else { return open_file(path) };
    let error = match owner.act(|| open_file(path))? {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => error,
        opened => return opened,
    };
    let place = Place::of(path)?;
    place.way_is_safe()?;
    let file = match place.create(OFlag::O_WRONLY | OFlag::O_APPEND, 0o640) {
        Err(exists) if exists.kind() == io::ErrorKind::AlreadyExists => {
            place.is_safe()?;
            let file = place.append()?;
            if file.metadata()?.nlink() > 1 {
                return Err(error);
            }
            file
        }
        made => made?,
    };
    nix::unistd::fchown(&file, Some(owner.uid), None)?;
    Ok(file)
}

// Under systemd, the journal takes the program's name from a syslog line but not
// from a line on the error output: only the socket lets `journalctl` show
// `puerto/smtpd[123]:`, which Postfix's readers look for.
fn automatic(format: LogFormat) -> (Sink, Lead) {
    if !stderr_is_the_journal() {
        return (Sink::Stderr, Lead::TimeAndHost);
    }
    match connect_syslog() {
        Ok(socket) if format == LogFormat::Postfix => (Sink::Syslog(socket), Lead::PriorityAndTime),
        _ => (Sink::Stderr, Lead::Priority),
    }
}

// systemd.exec(5): JOURNAL_STREAM holds device and inode, to be compared with ours,
// since a child whose output goes elsewhere inherits the variable.
fn stderr_is_the_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    nix::sys::stat::fstat(io::stderr())
        .is_ok_and(|status| stream == format!("{}:{}", status.st_dev, status.st_ino))
}

/// What stands before an event on its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lead {
    /// `Nov 24 06:53:50 host `, as syslog daemons write files.
    TimeAndHost,
    /// `<22>Nov 24 06:53:50 `, as the syslog socket wants it.
    PriorityAndTime,
    /// `<6>`, as the journal understands on an error output.
    Priority,
}

struct Form {
    format: LogFormat,
    lead: Lead,
    host: String,
    colour: bool,
    zone: TimeZone,
    /// The second that was written last, and how.
    written: Mutex<(i64, String)>,
}

impl Form {
    /// Appends a whole line with its end.
    fn render(&self, line: &mut String, event: &Event<'_>, now: jiff::Timestamp) {
        const FACILITY_MAIL: u8 = 2 << 3;
        let _ = match self.lead {
            Lead::TimeAndHost => Ok(()),
            Lead::PriorityAndTime => write!(line, "<{}>", FACILITY_MAIL | severity(event)),
            Lead::Priority => write!(line, "<{}>", severity(event)),
        };
        match self.format {
            LogFormat::Postfix => {
                self.push_time(line, now);
                postfix::render(line, event);
            }
            LogFormat::Json => {
                if self.lead == Lead::PriorityAndTime {
                    self.push_time(line, now);
                    line.push_str("puerto: ");
                }
                json::render(line, event, format_args!("{now:.3}"));
            }
            LogFormat::Text => {
                self.push_time(line, now);
                if self.lead == Lead::PriorityAndTime {
                    line.push_str("puerto: ");
                }
                text::render(line, event, self.colour);
            }
        }
        line.push('\n');
    }

    // Thousands of lines are of the same second.
    fn push_time(&self, line: &mut String, now: jiff::Timestamp) {
        if self.lead == Lead::Priority {
            return;
        }
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if written.0 != now.as_second() || written.1.is_empty() {
            written.0 = now.as_second();
            written.1.clear();
            self.write_time(&mut written.1, now);
        }
        line.push_str(&written.1);
    }

    fn write_time(&self, line: &mut String, now: jiff::Timestamp) {
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let local = self.zone.to_datetime(now);
        let month = usize::try_from(local.month() - 1).ok().and_then(|index| MONTHS.get(index));
        line.push_str(month.unwrap_or(&"Jan"));
        line.push_str(if local.day() < 10 { "  " } else { " " });
        push_number(line, local.day().into(), 1);
        for (mark, number) in [(' ', local.hour()), (':', local.minute()), (':', local.second())] {
            line.push(mark);
            push_number(line, number.into(), 2);
        }
        line.push(' ');
        if self.lead == Lead::TimeAndHost && self.format == LogFormat::Postfix {
            line.push_str(&self.host);
            line.push(' ');
        }
    }
}

// RFC 5424 §6.2.1.
fn severity(event: &Event<'_>) -> u8 {
    match event {
        Event::Notice { level: "fatal", .. } => 2,
        Event::Notice { level: "error", .. } | Event::Remark { level: "error", .. } => 3,
        Event::Notice { level: "warning", .. } | Event::Remark { level: "warning", .. } => 4,
        _ => 6,
    }
}
