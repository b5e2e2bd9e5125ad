//! Carries lines to where they go. Callers append to a shared buffer; one thread
//! takes all that has gathered and writes it at once, so that a busy server makes
//! few system calls and a slow disk holds up nobody until the buffer is full. Then
//! callers wait: a log with holes is worth less than a little patience.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Octets that may wait for the writing thread.
const BUFFER_BOUND: usize = 1 << 20;
/// Octets at which the thread stops gathering and writes.
const ENOUGH: usize = 64 << 10;
/// How long the thread gathers lines before it writes them: on a busy server this
/// makes hundreds of system calls a second out of tens of thousands, and nobody who
/// reads a log notices.
const GATHERING: Duration = Duration::from_millis(4);

/// Where lines go.
pub(super) enum Sink {
    /// The error output.
    Stderr,
    /// A syslog socket: one datagram for each line.
    Syslog(UnixDatagram),
    /// A file, which is opened again by name when it was rotated.
    File(PathBuf, File),
    /// A buffer that a test looks at.
    #[cfg(test)]
    Memory(Arc<Mutex<Vec<u8>>>),
}

impl Sink {
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::Stderr => patiently(&mut io::stderr().lock(), lines),
            Self::File(_, file) => patiently(file, lines),
            Self::Syslog(socket) => lines
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty())
                .try_for_each(|line| send(socket, line)),
            #[cfg(test)]
            Self::Memory(memory) => {
                memory.lock().unwrap().extend_from_slice(lines);
                Ok(())
            }
        }
    }

    fn reopen(&mut self) -> io::Result<()> {
        match self {
            Self::File(path, file) => {
                *file = super::open_file(path)?;
                Ok(())
            }
            Self::Syslog(socket) => {
                *socket = super::connect_syslog()?;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

// The error output may be a pipe that somebody else made non-blocking.
fn patiently(out: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match out.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

// A syslog daemon that was restarted has a new socket under the old name.
fn send(socket: &mut UnixDatagram, line: &[u8]) -> io::Result<()> {
    match socket.send(line) {
        Ok(_) => Ok(()),
        Err(_) => {
            *socket = super::connect_syslog()?;
            socket.send(line).map(|_| ())
        }
    }
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    /// A batch is being gathered or written.
    busy: bool,
    /// Somebody waits for the lines to be written.
    hurry: bool,
    reopen: bool,
    closed: bool,
    /// Lines that could not be written, and why.
    lost: Option<(usize, String)>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// There is something to write, or to do.
    work: Condvar,
    /// Something was written: there is room, or all is done.
    room: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The writing end that callers share. Dropping the last one writes what waits.
pub(super) struct Writer {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the thread.
    /// `notice` makes the line that tells of lost ones.
    pub(super) fn start(
        sink: Sink,
        notice: impl Fn(&str) -> String + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("mail-log".to_owned())
            .spawn(move || run(&theirs, sink, &notice))?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Hands lines over, each with its line end; waits while the buffer is full.
    pub(super) fn write(&self, lines: &str) {
        let mut state = self.shared.lock();
        while state.waiting.len() >= BUFFER_BOUND && !state.closed {
            state = self.shared.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let before = state.waiting.len();
        state.waiting.extend_from_slice(lines.as_bytes());
        let is_first = before == 0 && !state.busy;
        let is_enough = before < ENOUGH && state.waiting.len() >= ENOUGH;
        drop(state);
        if is_first || is_enough {
            self.shared.work.notify_one();
        }
    }

    /// Opens a file again by its name before the next line is written.
    pub(super) fn reopen(&self) {
        let mut state = self.shared.lock();
        state.reopen = true;
        state.hurry = true;
        drop(state);
        self.shared.work.notify_one();
    }

    /// Waits until all that was handed over is written.
    pub(super) fn flush(&self) {
        let mut state = self.shared.lock();
        state.hurry = true;
        self.shared.work.notify_one();
        while (!state.waiting.is_empty() || state.busy || state.reopen) && !state.closed {
            state = self.shared.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.flush();
        self.shared.lock().closed = true;
        self.shared.work.notify_one();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // It cannot have panicked in a way that matters any more.
            let _ = thread.join();
        }
    }
}

fn run(shared: &Shared, mut sink: Sink, notice: &dyn Fn(&str) -> String) {
    let mut batch = Vec::new();
    let mut state = shared.lock();
    loop {
        if std::mem::take(&mut state.reopen) {
            state.busy = true;
            drop(state);
            let result = sink.reopen();
            state = shared.lock();
            if let Err(error) = result {
                state.lost = Some((0, format!("the log cannot be opened again: {error}")));
            }
        } else if !state.waiting.is_empty() {
            state.busy = true;
            state = gather(shared, state);
            std::mem::swap(&mut batch, &mut state.waiting);
            let lost = state.lost.take();
            drop(state);
            let failed = write_batch(
                &mut sink,
                &batch,
                lost.map(|(n, why)| (n, notice(&lost_text(n, &why)))),
            );
            batch.clear();
            state = shared.lock();
            state.lost = failed;
        } else if state.closed {
            return;
        } else {
            state.busy = false;
            state.hurry = false;
            shared.room.notify_all();
            state = shared.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            continue;
        }
        shared.room.notify_all();
    }
}

fn gather<'a>(shared: &'a Shared, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
    let more_may_come =
        |state: &mut State| !state.hurry && !state.closed && state.waiting.len() < ENOUGH;
    let waited = shared.work.wait_timeout_while(state, GATHERING, more_may_come);
    waited.unwrap_or_else(PoisonError::into_inner).0
}

// A log that cannot be written must not stop the mail: what is lost is counted, and
// told in the log itself, by the line in `lost`, once it can be written again.
fn write_batch(
    sink: &mut Sink,
    batch: &[u8],
    lost: Option<(usize, String)>,
) -> Option<(usize, String)> {
    let before = lost.as_ref().map_or(0, |(count, _)| *count);
    let told = match &lost {
        Some((_, line)) => sink.write(line.as_bytes()),
        None => Ok(()),
    };
    let error = told.and_then(|()| sink.write(batch)).err()?;
    let lines = memchr::memchr_iter(b'\n', batch).count();
    Some((before + lines, error.to_string()))
}

fn lost_text(lines: usize, why: &str) -> String {
    match lines {
        0 => why.to_owned(),
        lines => format!("{lines} log lines were lost: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_however_many_write_at_once() {
        let memory = Arc::new(Mutex::new(Vec::new()));
        let writer =
            Arc::new(Writer::start(Sink::Memory(Arc::clone(&memory)), str::to_owned).unwrap());
        let line = format!("{}\n", "x".repeat(999));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..2000).for_each(|_| writer.write(&line)));
            }
        });
        writer.flush();
        assert_eq!(memory.lock().unwrap().len(), 4 * 2000 * 1000);
        writer.write("last\n");
        drop(writer);
        assert!(memory.lock().unwrap().ends_with(b"last\n"));
    }

    #[test]
    fn a_rotated_file_is_opened_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mail.log");
        let file = crate::telemetry::open_file(&path).unwrap();
        let writer = Writer::start(Sink::File(path.clone(), file), str::to_owned).unwrap();
        writer.write("one\n");
        writer.flush();
        let rotated = dir.path().join("mail.log.1");
        std::fs::rename(&path, &rotated).unwrap();
        writer.write("two\n");
        writer.flush();
        writer.reopen();
        writer.write("three\n");
        drop(writer);
        assert_eq!(std::fs::read_to_string(&rotated).unwrap(), "one\ntwo\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "three\n");
    }

    #[test]
    fn lines_that_are_lost_are_counted_in_the_log() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut sink = Sink::File("/dev/full".into(), full);
        let lost = write_batch(&mut sink, b"a\nb\n", None).unwrap();
        assert_eq!(lost.0, 2);
        let memory = Arc::new(Mutex::new(Vec::new()));
        let mut sink = Sink::Memory(Arc::clone(&memory));
        let told = lost_text(lost.0, &lost.1) + "\n";
        assert_eq!(write_batch(&mut sink, b"c\n", Some((lost.0, told))), None);
        let text = String::from_utf8(memory.lock().unwrap().clone()).unwrap();
        assert!(text.contains("2 log lines were lost") && text.ends_with("c\n"), "{text}");
    }
}
