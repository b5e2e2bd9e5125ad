//! `-bs`: SMTP on standard input and output, for programs that speak it to a pipe.
//!
//! The octets go to the server's socket and back as they are: the server is the one
//! that understands them, and its answers are its own.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::input::BLOCK;
use super::session::connect;
use crate::cli::exit::{Failure, Sysexit};
use crate::lang::{said_of, system};

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
    from_server(stream).map_err(|error| failed(&error))
}

fn from_server(stream: UnixStream) -> io::Result<()> {
    copy(stream, io::stdout().lock())
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
