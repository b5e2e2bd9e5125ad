//! The sockets that a service manager holds for us (sd_listen_fds(3)).
//!
//! It opens them before the daemon starts and keeps them while it does not run, so that
//! clients wait through a restart instead of being refused. What the configuration lists
//! decides what each is for: a socket belongs to the listener that has its address, and
//! the local one to the one that has its path. The names that units may give to sockets
//! play no part, so that the two files cannot contradict each other.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use listenfd::ListenFd;
use socket2::SockRef;

/// Sockets that were handed over and that nobody has taken yet.
#[derive(Debug, Default)]
pub struct Inherited {
    tcp: Vec<(SocketAddr, TcpListener)>,
    unix: Vec<(PathBuf, UnixListener)>,
    /// What is no socket of ours, described.
    odd: Vec<String>,
}

impl Inherited {
    /// What the environment says was handed to this process. To be called once, before
    /// there are threads: the variables are taken away, so that no child takes them for
    /// its own.
    pub fn from_environment() -> Self {
        let mut descriptors = ListenFd::from_env();
        let mut inherited = Self::default();
        for index in 0..descriptors.len() {
            if let Ok(Some(listener)) = descriptors.take_tcp_listener(index)
                && let Ok(address) = listener.local_addr()
            {
                inherited.tcp.push((address, listener));
            } else if let Ok(Some(listener)) = descriptors.take_unix_listener(index) {
                let address = listener.local_addr().ok();
                match address.as_ref().and_then(|address| address.as_pathname()) {
                    Some(path) => inherited.unix.push((path.to_owned(), listener)),
                    None => inherited.odd.push("a local socket without a path".to_owned()),
                }
            } else {
                inherited.odd.push("something that is no listening stream socket".to_owned());
            }
        }
        inherited
    }

    /// The socket with this address.
    pub(super) fn take_tcp(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let found = self.tcp.iter().position(|(known, _)| *known == address)?;
        let (_, listener) = self.tcp.swap_remove(found);
        listener.set_nonblocking(true).ok()?;
        Some(listener)
    }

    /// Whether a socket for every IPv6 address takes IPv4 at its port as well, as
    /// `ListenStream=25` makes it.
    pub(super) fn is_dual(listener: &TcpListener) -> bool {
        listener.local_addr().is_ok_and(|address| address.ip().is_unspecified())
            && SockRef::from(listener).only_v6().is_ok_and(|only| !only)
    }

    /// The local socket at this path.
    pub(super) fn take_unix(&mut self, path: &Path) -> Option<UnixListener> {
        let found = self.unix.iter().position(|(known, _)| known == path)?;
        let (_, listener) = self.unix.swap_remove(found);
        listener.set_nonblocking(true).ok()?;
        Some(listener)
    }

    /// What nobody took, described.
    pub(super) fn rest(&self) -> Vec<String> {
        let tcp = self.tcp.iter().map(|(address, _)| address.to_string());
        let unix = self.unix.iter().map(|(path, _)| path.display().to_string());
        tcp.chain(unix).chain(self.odd.iter().cloned()).collect()
    }

    #[cfg(test)]
    pub(super) fn of(tcp: Vec<TcpListener>, unix: Vec<UnixListener>) -> Self {
        let named = |listener: TcpListener| (listener.local_addr().unwrap(), listener);
        let placed = |listener: UnixListener| {
            (listener.local_addr().unwrap().as_pathname().unwrap().to_owned(), listener)
        };
        Self {
            tcp: tcp.into_iter().map(named).collect(),
            unix: unix.into_iter().map(placed).collect(),
            odd: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use socket2::{Domain, Socket, Type};

    use super::super::Listeners;
    use super::*;
    use crate::config::Config;
    use crate::lang::Language;

    fn listening(address: &str, only_v6: bool) -> TcpListener {
        let address: SocketAddr = address.parse().unwrap();
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        if address.is_ipv6() {
            socket.set_only_v6(only_v6).unwrap();
        }
        socket.bind(&address.into()).unwrap();
        socket.listen(8).unwrap();
        socket.into()
    }

    fn config(folder: &Path, listen: &[SocketAddr]) -> Config {
        let mut config = Config::for_tests(folder);
        std::fs::create_dir_all(&config.run_dir).unwrap();
        config.listen.smtp = listen.to_vec();
        config
    }

    #[test]
    fn a_socket_belongs_to_the_listener_with_its_address_and_the_others_are_bound() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, foreign) = (listening("127.0.0.1:0", true), listening("127.0.0.1:0", true));
        let (address, other) = (ours.local_addr().unwrap(), foreign.local_addr().unwrap());
        let config = config(folder.path(), &[address, "127.0.0.1:0".parse().unwrap()]);
        // While we hold them nobody can bind these addresses, so that a bind would fail.
        let local = UnixListener::bind(config.run_dir.join("submit")).unwrap();
        let inherited = Inherited::of(vec![foreign, ours], vec![local]);
        let listeners = Listeners::open(&config, inherited).unwrap();
        let addresses = listeners.addresses();
        assert_eq!((addresses.len(), addresses[0]), (2, address));
        let warnings = listeners.warnings();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains(&other.to_string()), "{warnings:?}");
    }

    #[test]
    fn one_socket_for_both_families_does_for_both_listeners() {
        let folder = tempfile::tempdir().unwrap();
        let Ok(dual) = std::net::TcpListener::bind("[::]:0") else { return };
        if !Inherited::is_dual(&dual) {
            return;
        }
        let six = dual.local_addr().unwrap();
        let four = SocketAddr::from(([0, 0, 0, 0], six.port()));
        let config = config(folder.path(), &[four, six]);
        let listeners = Listeners::open(&config, Inherited::of(vec![dual], vec![])).unwrap();
        assert_eq!(listeners.addresses(), [six]);
    }

    #[test]
    fn a_socket_for_more_than_was_configured_is_not_taken_for_less() {
        let folder = tempfile::tempdir().unwrap();
        let Ok(dual) = std::net::TcpListener::bind("[::]:0") else { return };
        if !Inherited::is_dual(&dual) {
            return;
        }
        let port = dual.local_addr().unwrap().port();
        let config = config(folder.path(), &[SocketAddr::from(([0, 0, 0, 0], port))]);
        let error = Listeners::open(&config, Inherited::of(vec![dual], vec![])).unwrap_err();
        for language in [Language::English, Language::Spanish] {
            let text = error.said().of(language);
            assert!(text.contains(&format!("[::]:{port}")), "{text}");
        }
    }
}
