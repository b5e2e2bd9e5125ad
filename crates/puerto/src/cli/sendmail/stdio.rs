//! `-bs`: SMTP on standard input and output, for programs that speak it to a pipe.
//!
//! The octets go to the server's socket and back as they are: the server is the one
//! that understands them, and its answers are its own.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::path::Path;

use super::input::BLOCK;
use super::session::connect;
use crate::cli::exit::{Failure, Sysexit};
use crate::lang::{said, said_of, system};

/// Relays until the server ends the session.
pub(super) fn run(socket: &Path) -> Result<(), Failure> {
    let stream = connect(socket)?;
    let to_server = stream.try_clone().map_err(|error| failed(&error))?;
    // This thread may sit in a read of standard input for ever; the end of the
    // process, once the server has hung up, ends it too.
    std::thread::spawn(move || {
        let _ = copy(io::stdin().lock(), &to_server);
        let _ = to_server.shutdown(Shutdown::Write);
    });
    let mut replies = Replies { output: io::stdout().lock(), line: Vec::new(), last: Vec::new() };
    copy(stream, &mut replies).map_err(|error| failed(&error))?;
    if replies.last.starts_with(b"354") { Err(unfinished()) } else { Ok(()) }
}

/// Passes the server's replies on and keeps the last line of them.
struct Replies<W> {
    output: W,
    line: Vec<u8>,
    last: Vec<u8>,
}

impl<W: Write> Write for Replies<W> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        for octet in octets {
            if *octet == b'\n' {
                self.last = std::mem::take(&mut self.line);
            } else if self.line.len() < 3 {
                self.line.push(*octet);
            }
        }
        self.output.write_all(octets)?;
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

// A caller that does not read replies learns it from the exit code alone.
fn unfinished() -> Failure {
    Failure::new(
        Sysexit::DataError,
        said!(
            "the input ended before the message did: its end is a line with a dot and nothing \
             else, ended as the line DATA is; that message was not sent",
            "la entrada ha terminado antes que el mensaje: su final es una línea con un punto y \
             nada más, terminada como la línea DATA; ese mensaje no se ha enviado"
        ),
    )
}

fn copy(mut from: impl Read, mut to: impl Write) -> io::Result<()> {
    let mut block = vec![0; BLOCK];
    loop {
        match from.read(&mut block) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                to.write_all(block.get(..count).unwrap_or_default())?;
                to.flush()?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn failed(error: &io::Error) -> Failure {
    let message = said_of!(
        "the session with the mail server failed: {error}",
        "ha fallado la sesión con el servidor de correo: {error}"; error = system(error)
    );
    Failure::new(Sysexit::TryAgain, message)
}
