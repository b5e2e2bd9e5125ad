//! Where strangers come in: sockets that are bound before privileges are dropped, and as far as
//! is possible when the configuration is read again. One that cannot be bound stops no mail.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use super::guests::Guests;
use super::{Site, serve, serve_over_tls};
use crate::config::{Challenge, Config};
use crate::receive::bind_tcp;
use crate::rights;

/// For one connection from beginning to end.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long accepting rests when there are no more file descriptors.
const REST: Duration = Duration::from_millis(100);

/// What is spoken at a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spoken {
    Http,
    Tls,
}

/// What the configuration wants at an address, and by which key.
type Wanted = (Spoken, SocketAddr, &'static str);

/// Sockets that are bound, and who answers there. Clones share them.
#[derive(Clone, Default)]
pub struct Doors(Arc<Mutex<House>>);

#[derive(Default)]
struct House {
    doors: Vec<Door>,
    warnings: Vec<String>,
    /// Who answers, once the server runs.
    staff: Option<Staff>,
}

struct Staff {
    site: Site,
    guests: Guests,
    runtime: Handle,
}

struct Door {
    spoken: Spoken,
    place: SocketAddr,
    listener: TcpListener,
    keeper: Option<AbortHandle>,
}

impl Drop for Door {
    fn drop(&mut self) {
        self.keeper.iter().for_each(AbortHandle::abort);
    }
}

impl Doors {
    /// Binds what the configuration needs, and no more.
    pub fn open(config: &Config) -> Self {
        let doors = Self::default();
        doors.house().fit(config, false);
        doors
    }

    /// Binds what another configuration needs, and closes what it does not. Says what could
    /// not be bound.
    pub fn reload(&self, config: &Config) -> Vec<String> {
        let mut house = self.house();
        house.fit(config, true);
        house.warnings.clone()
    }

    /// What could not be bound.
    pub fn warnings(&self) -> Vec<String> {
        self.house().warnings.clone()
    }

    /// Where it listens; a port 0 of the configuration is a real one here.
    #[cfg(test)]
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        let house = self.house();
        house.doors.iter().filter_map(|door| door.listener.local_addr().ok()).collect()
    }

    /// Answers until `shutdown` is true.
    pub async fn run(self, site: Site, mut shutdown: watch::Receiver<bool>) {
        let staff = Staff { site, guests: Guests::default(), runtime: Handle::current() };
        {
            let mut house = self.house();
            house.doors.iter_mut().for_each(|door| door.keep(&staff));
            house.staff = Some(staff);
        }
        // An error says that nobody is left who could stop us: then we stop.
        let _ = shutdown.wait_for(|stop| *stop).await;
        *self.house() = House::default();
    }

    fn house(&self) -> MutexGuard<'_, House> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl House {
    // Who is late has given up root's rights.
    fn fit(&mut self, config: &Config, is_late: bool) {
        let wanted = wanted(config);
        let wants = |spoken: Spoken, place: SocketAddr| {
            wanted.iter().any(|one| (one.0, one.1) == (spoken, place))
        };
        self.doors.retain(|door| wanted.iter().any(|(_, place, _)| *place == door.place));
        self.warnings.clear();
        for &(spoken, place, key) in &wanted {
            // Challenges and the policy share port 443.
            if self.doors.iter().any(|door| (door.spoken, door.place) == (spoken, place)) {
                continue;
            }
            let mut others = self.doors.iter_mut().filter(|door| door.place == place);
            let door = match others.find(|door| !wants(door.spoken, place)) {
                Some(door) => {
                    door.spoken = spoken;
                    door
                }
                None => match bind_tcp(place) {
                    Ok(listener) => {
                        self.doors.push(Door { spoken, place, listener, keeper: None });
                        let Some(door) = self.doors.last_mut() else { continue };
                        door
                    }
                    Err(error) => {
                        self.warnings.push(unbound((place, key), &error, is_late));
                        continue;
                    }
                },
            };
            self.staff.iter().for_each(|staff| door.keep(staff));
        }
    }
}

impl Door {
    // Whoever kept it before, under other terms, leaves.
    fn keep(&mut self, staff: &Staff) {
        self.keeper.take().iter().for_each(AbortHandle::abort);
        let _inside = staff.runtime.enter();
        let listener = self.listener.try_clone().and_then(tokio::net::TcpListener::from_std);
        // Without a descriptor left nobody could be answered either.
        let Ok(listener) = listener else { return };
        let keeping = keep(listener, self.spoken, staff.site.clone(), staff.guests.clone());
        self.keeper = Some(staff.runtime.spawn(keeping).abort_handle());
    }
}

fn wanted(config: &Config) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    let of_challenge = match config.acme.challenge {
        Challenge::Http => Some(Spoken::Http),
        Challenge::TlsAlpn => Some(Spoken::Tls),
        Challenge::Dns => None,
    };
    if let Some(spoken) = of_challenge.filter(|_| config.acme.is_on()) {
        wanted.extend(config.acme.listen.iter().map(|at| (spoken, *at, "acme.listen")));
    }
    if config.mta_sts.mode.is_some() {
        let places = config.mta_sts.listen.iter();
        wanted.extend(places.map(|at| (Spoken::Tls, *at, "mta_sts.listen")));
    }
    wanted
}

fn unbound((place, key): (SocketAddr, &str), error: &std::io::Error, is_late: bool) -> String {
    let why = rights::said(error);
    if is_late && error.kind() == ErrorKind::PermissionDenied {
        return format!(
            "cannot listen on {place} ({key}): {why}: a server that runs has given up the right to \
             open ports below 1024, so this needs a restart (systemctl restart puerto)"
        );
    }
    format!(
        "cannot listen on {place} ({key}): {why}; if a web server holds the port, have it pass the \
         requests on and name another address in {key}, or take another challenge"
    )
}

async fn keep(listener: tokio::net::TcpListener, spoken: Spoken, site: Site, guests: Guests) {
    let mut visits = JoinSet::new();
    loop {
        while visits.try_join_next().is_some() {}
        let Ok((stream, peer)) = listener.accept().await else {
            tokio::time::sleep(REST).await;
            continue;
        };
        // Who finds no place is hung up on, and comes back.
        let Some(guest) = guests.admit(peer.ip()) else { continue };
        let site = site.clone();
        visits.spawn(async move {
            let visit = async {
                match spoken {
                    Spoken::Http => serve(stream, |request| site.answers.answer(request)).await,
                    Spoken::Tls => serve_over_tls(stream, &site).await,
                }
            };
            // What a stranger does wrong is nobody's business but his.
            let _ = tokio::time::timeout(PATIENCE, visit).await;
            drop(guest);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_a_running_server_may_not_open_is_told_with_what_opens_it() {
        let place: SocketAddr = "0.0.0.0:443".parse().unwrap();
        let told = |kind: ErrorKind, is_late| {
            unbound((place, "mta_sts.listen"), &std::io::Error::from(kind), is_late)
        };
        let late = told(ErrorKind::PermissionDenied, true);
        for words in ["0.0.0.0:443", "mta_sts.listen", "needs a restart", "systemctl restart"] {
            assert!(late.contains(words), "{words}: {late}");
        }
        // At a start nothing has been given up, and a port that somebody has is not had by that.
        for (kind, is_late) in [(ErrorKind::PermissionDenied, false), (ErrorKind::AddrInUse, true)]
        {
            let other = told(kind, is_late);
            assert!(!other.contains("restart") && other.contains("mta_sts.listen"), "{other}");
        }
    }
}
