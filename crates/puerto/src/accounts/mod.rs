//! Who may log in, and by what password.
//!
//! A password is kept in two forms: as Argon2id makes it, for mechanisms that show it, and
//! as the keys of SCRAM, for those that prove it. An account may have several, one for each
//! application, and they share its two salts: so one computation judges them all, and an
//! account that does not exist costs as much as one that does. Whoever asks cannot tell
//! them apart: neither by the time that an answer takes nor by the salt that SCRAM is told.
//!
//! Argon2id wants memory, so only so many are computed at a time, on threads beside the
//! reactor; who would wait too long is told to try later. Guessing is slowed and stopped
//! before anything is computed.

mod book;
mod dovecot;
mod keys;
mod pace;
#[cfg(test)]
mod tests;
mod uses;

use std::fmt;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::civil::Date;
use puerto_smtp::Domain;
use puerto_smtp::sasl::{Claim, Proof, ScramFault};
use puerto_spool::Timestamp;
use puerto_spool::clock::Clock;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::config::{AddressPattern, Config, Live, account_spellings, means_account};
use pace::{Pace, Turn};

pub use book::{Account, Book, BookError, MAX_FILE, NotAdded, Password, new_password};
pub use pace::TooMany;
pub use uses::Uses;

/// How long a login waits for those before it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Somebody who is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The account's name.
    pub account: String,
    /// The application whose password it was; empty for the account's own.
    pub application: String,
    /// What is noted with the account: addresses that it may send from beside its own.
    pub addresses: Vec<AddressPattern>,
    /// By which password; none where Dovecot judged it.
    by: Option<Mark>,
}

/// One password among all, by what is kept of it. It is not shown.
#[derive(Clone, PartialEq, Eq)]
struct Mark(Vec<u8>);

impl fmt::Debug for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mark")
    }
}

/// Whether a login that was good still is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is, and this is what its account may do now.
    Good(Login),
    /// Its account or its password has been taken away, changed, or has ended.
    Over,
    /// That cannot be said now; for the log.
    Unknown(String),
}

/// What became of an attempt to log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is somebody.
    Known(Login),
    /// It is nobody, or not who it says.
    Refused {
        /// The account, if there is one of that name.
        account: Option<String>,
        /// Why, for the log alone.
        why: Why,
    },
    /// There were too many before it: it was not judged.
    SentAway(TooMany),
    /// Nobody can be judged now; for the log.
    Unavailable(String),
}

/// Why somebody is not let in. Clients are all told the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// There is no such account.
    NoSuchAccount,
    /// None of the account's passwords.
    WrongPassword,
    /// One of them, whose time is over.
    Ended {
        /// The application's name.
        application: String,
    },
    /// Dovecot does not say why.
    RefusedByDovecot,
    /// The messages are not the mechanism's.
    Malformed,
    /// The same, of SCRAM's.
    Scram(ScramFault),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchAccount => f.write_str("no such account"),
            Self::WrongPassword => f.write_str("wrong password"),
            Self::Ended { application } if application.is_empty() => {
                f.write_str("the password has ended")
            }
            Self::Ended { application } => {
                write!(f, "the password of the application {application} has ended")
            }
            Self::RefusedByDovecot => f.write_str("refused by Dovecot"),
            Self::Malformed => f.write_str("malformed message"),
            Self::Scram(fault) => fault.fmt(f),
        }
    }
}

/// What SCRAM asks a client in return.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameters {
    /// The salt, which an account that does not exist has too.
    pub salt: Vec<u8>,
    /// How often it is hashed.
    pub iterations: u32,
}

/// The file as it was read, as long as it is the same.
type Read = Option<((u64, u64, i64, i64, u64), Arc<Book>)>;

/// The accounts of the configuration in force.
pub struct Accounts {
    config: Live,
    clock: Arc<dyn Clock>,
    read: Mutex<Read>,
    /// What names that are no accounts get their salts from, where there is no file.
    decoy: LazyLock<[u8; 32]>,
    workers: Arc<Semaphore>,
    uses: Uses,
    pace: Mutex<Pace>,
}

impl Accounts {
    /// Nothing is read before somebody logs in.
    pub fn new(config: Live, clock: Arc<dyn Clock>) -> Arc<Self> {
        let uses = Uses::of(&config.get());
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = Arc::new(Semaphore::new(processors));
        let read = Mutex::default();
        // Without it, that there is nobody is no secret. The first random octets of a process
        // cost it some milliseconds of processor time.
        let decoy: LazyLock<[u8; 32]> = LazyLock::new(|| keys::random().unwrap_or_default());
        let pace = Mutex::default();
        Arc::new(Self { config, clock, read, decoy, workers, uses, pace })
    }

    /// Whether two names mean one account, by our domains: RFC 4616 §2 lets whoever logs in say
    /// so of themselves. Which names mean the same to Dovecot, it alone knows.
    pub fn are_one(&self, one: &str, other: &str) -> bool {
        let config = self.config.get();
        let domains = match config.accounts.dovecot {
            Some(_) => &[],
            None => &*config.domains,
        };
        means_account(one, other, domains) || means_account(other, one, domains)
    }

    /// Judges a name and a password that somebody says at this address.
    pub async fn by_password(self: &Arc<Self>, from: IpAddr, claim: Claim) -> Verdict {
        let name = self.meant(&claim.user);
        if let Err(verdict) = self.turn(from, &name).await {
            return verdict;
        }
        let verdict = match &self.config.get().accounts.dovecot {
            Some(socket) => dovecot::judge(socket, from, &claim).await,
            None => {
                let this = Arc::clone(self);
                let judged = self.aside(move || this.judge(&claim)).await;
                judged.unwrap_or_else(Verdict::Unavailable)
            }
        };
        self.note(from, &name, &verdict);
        verdict
    }

    /// Judges a proof. What is said in return proves to the client that it is we who know
    /// its password.
    pub async fn by_proof(self: &Arc<Self>, from: IpAddr, proof: Proof) -> (Verdict, Vec<u8>) {
        let name = self.meant(&proof.user);
        let this = Arc::clone(self);
        let judged = self.aside(move || this.judge_proof(&proof)).await;
        let (verdict, answer) =
            judged.unwrap_or_else(|error| (Verdict::Unavailable(error), Vec::new()));
        self.note(from, &name, &verdict);
        (verdict, answer)
    }

    /// What to ask somebody of this name, if anything; what they prove is for
    /// [`Accounts::by_proof`].
    pub async fn parameters(
        self: &Arc<Self>,
        from: IpAddr,
        user: String,
    ) -> Result<Parameters, Verdict> {
        let name = self.meant(&user);
        self.turn(from, &name).await?;
        let this = Arc::clone(self);
        let asked = self.aside(move || {
            let book = this.book()?;
            Ok(match book.find(&user, &this.domains()) {
                Some(account) => account.parameters(),
                None => keys::decoy(book.decoy().unwrap_or_else(|| &*this.decoy), &user),
            })
        });
        asked.await.flatten().map_err(|error| {
            let verdict = Verdict::Unavailable(error);
            self.note(from, &name, &verdict);
            verdict
        })
    }

    /// Judges a login again, by what `puerto user` has written since. One that Dovecot judged
    /// stays good: it is not asked about anybody without a password.
    pub async fn again(self: &Arc<Self>, login: Login) -> Standing {
        let is_dovecots = self.config.get().accounts.dovecot.is_some();
        let Some(mark) = login.by.clone() else {
            return if is_dovecots { Standing::Good(login) } else { Standing::Over };
        };
        if is_dovecots {
            return Standing::Over;
        }
        let this = Arc::clone(self);
        let read = tokio::task::spawn_blocking(move || this.book());
        let book = match read.await.map_err(|error| error.to_string()).flatten() {
            Ok(book) => book,
            Err(error) => return Standing::Unknown(error),
        };
        let today = day(self.clock.now());
        let account = book.accounts().iter().find(|account| account.name == login.account);
        let holds = |password: &&Password| {
            password.application == login.application
                && password.mark() == mark
                && password.holds(today)
        };
        match account.filter(|account| account.passwords.iter().any(|p| holds(&p))) {
            Some(account) => Standing::Good(Login { addresses: account.patterns(), ..login }),
            None => Standing::Over,
        }
    }

    /// Waits until an attempt may be judged.
    async fn turn(&self, from: IpAddr, name: &str) -> Result<(), Verdict> {
        let turn = self.pace().ask(self.clock.elapsed(), from, name);
        match turn {
            Turn::After(wait) => {
                tokio::time::sleep(wait).await;
                Ok(())
            }
            Turn::SentAway(many) => Err(Verdict::SentAway(many)),
            Turn::Later => Err(Verdict::Unavailable(
                "many guess at this account, and this client has not logged in to it before"
                    .to_owned(),
            )),
        }
    }

    fn note(&self, from: IpAddr, name: &str, verdict: &Verdict) {
        let now = self.clock.elapsed();
        match verdict {
            Verdict::Known(_) => self.pace().succeeded(now, from, name),
            Verdict::Unavailable(_) => self.pace().taken_back(now, from, name),
            Verdict::Refused { .. } | Verdict::SentAway(_) => {}
        }
    }

    /// As if somebody had guessed there, at one account after the other.
    #[cfg(test)]
    pub(crate) fn guessed_from(&self, from: IpAddr, times: usize) {
        for number in 0..times {
            self.pace().ask(self.clock.elapsed(), from, &number.to_string());
        }
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name that guesses at it are counted under, whether there is such an account or not.
    fn meant(&self, user: &str) -> String {
        account_spellings(user, &self.domains()).pop().unwrap_or_default()
    }

    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, String> {
        let permit = timeout(PATIENCE, Arc::clone(&self.workers).acquire_owned()).await;
        let Ok(Ok(permit)) = permit else { return Err("too many logins at a time".to_owned()) };
        let task = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(permit);
            done
        });
        task.await.map_err(|error| error.to_string())
    }

    fn judge(&self, claim: &Claim) -> Verdict {
        let book = match self.book() {
            Ok(book) => book,
            Err(error) => return Verdict::Unavailable(error),
        };
        let account = book.find(&claim.user, &self.domains());
        let found = match account {
            Some(account) => account.by_password(&claim.password),
            None => keys::waste(&claim.password).map(|()| None),
        };
        match found {
            Ok(found) => self.verdict(account, found),
            Err(error) => Verdict::Unavailable(error),
        }
    }

    fn judge_proof(&self, proof: &Proof) -> (Verdict, Vec<u8>) {
        let book = match self.book() {
            Ok(book) => book,
            Err(error) => return (Verdict::Unavailable(error), Vec::new()),
        };
        let account = book.find(&proof.user, &self.domains());
        let found = account.and_then(|account| account.by_proof(&proof.proof, &proof.message));
        let answer = found.map(|password| password.signature(&proof.message)).unwrap_or_default();
        (self.verdict(account, found), answer)
    }

    fn verdict(&self, account: Option<&Account>, password: Option<&Password>) -> Verdict {
        let name = account.map(|account| account.name.clone());
        let addresses = account.map(Account::patterns).unwrap_or_default();
        let now = self.clock.now();
        let why = match (&name, password) {
            (Some(account), Some(password)) if password.holds(day(now)) => {
                let (account, application) = (account.clone(), password.application.clone());
                self.uses.note(&account, password, now);
                let by = Some(password.mark());
                return Verdict::Known(Login { account, application, addresses, by });
            }
            (_, Some(password)) => Why::Ended { application: password.application.clone() },
            (Some(_), None) => Why::WrongPassword,
            (None, None) => Why::NoSuchAccount,
        };
        Verdict::Refused { account: name, why }
    }

    fn domains(&self) -> Vec<Domain> {
        self.config.get().domains.clone()
    }

    /// The book as it is now: `puerto user` changes it while the daemon runs. Without a file
    /// there is nobody.
    fn book(&self) -> Result<Arc<Book>, String> {
        let config: Arc<Config> = self.config.get();
        let path: &Path = &config.accounts.file;
        let seen = match std::fs::metadata(path) {
            Ok(found) => {
                (found.dev(), found.ino(), found.mtime(), found.mtime_nsec(), found.size())
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Arc::default());
            }
            Err(error) => return Err(format!("{}: {error}", path.display())),
        };
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        match &*read {
            Some((known, book)) if *known == seen => Ok(Arc::clone(book)),
            _ => {
                let book = Arc::new(Book::load(path).map_err(|error| error.to_string())?);
                *read = Some((seen, Arc::clone(&book)));
                Ok(book)
            }
        }
    }
}

/// The day in UTC, by which passwords end.
fn day(now: Timestamp) -> Date {
    let now = jiff::Timestamp::from_millisecond(now.as_millis()).unwrap_or_default();
    now.to_zoned(jiff::tz::TimeZone::UTC).date()
}
