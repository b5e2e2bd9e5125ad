//! A wire between a store and its database that can be cut.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

const OPEN: u8 = 0;
/// What is sent arrives, and then the connection is gone before an answer has come.
const DEAF: u8 = 1;
const CUT: u8 = 2;

/// A wire to a port of this machine.
pub(super) struct Wire {
    pub(super) port: u16,
    state: Arc<AtomicU8>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Wire {
    pub(super) fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = listener.local_addr().unwrap().port();
        let state = Arc::new(AtomicU8::new(OPEN));
        let open: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
        let (now, all) = (Arc::clone(&state), Arc::clone(&open));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                if now.load(Ordering::SeqCst) == CUT {
                    continue;
                }
                let both = [&client, &server].map(|stream| stream.try_clone().unwrap());
                all.lock().unwrap().extend(both);
                let streams = (client.try_clone().unwrap(), server.try_clone().unwrap());
                std::thread::spawn(move || carry(client, server));
                let now = Arc::clone(&now);
                std::thread::spawn(move || answer(streams.1, streams.0, &now));
            }
        });
        Self { port: own, state, open }
    }

    /// Cuts all connections, and lets none be opened.
    pub(super) fn cut(&self) {
        self.state.store(CUT, Ordering::SeqCst);
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// What is sent from now on arrives, and is not answered: the next answer ends its
    /// connection, and from then on all is well.
    pub(super) fn swallow_an_answer(&self) {
        self.state.store(DEAF, Ordering::SeqCst);
    }

    /// All is well again.
    pub(super) fn mend(&self) {
        self.state.store(OPEN, Ordering::SeqCst);
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
}

fn answer(mut from: TcpStream, mut to: TcpStream, state: &AtomicU8) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let swallowed = state.compare_exchange(DEAF, OPEN, Ordering::SeqCst, Ordering::SeqCst);
        if swallowed.is_ok() || to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    for stream in [&from, &to] {
        let _ = stream.shutdown(Shutdown::Both);
    }
}
