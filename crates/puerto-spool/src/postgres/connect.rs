//! Connections: each is opened anew when it is lost, and all of them when the server that
//! they led to is no longer the one that takes writes.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, Error, Row, Statement};

use super::lock;
use super::settings::{CONNECT, Server, Settings, quoted};
use crate::{Hindrance, SpoolError};

/// By what a session tells others whose it is: a node's name and its machine's.
pub(super) fn session_name(node: &str) -> String {
    let machine = nix::unistd::gethostname().unwrap_or_default();
    // As much as the database keeps of it, and in the letters that it keeps.
    let whole = format!("{}{}", session_prefix(node), machine.to_string_lossy());
    let kept =
        whole.bytes().take(63).map(|b| if b.is_ascii_graphic() || b == b' ' { b } else { b'?' });
    kept.map(char::from).collect()
}

/// What the names of all sessions of nodes of a name begin with.
pub(super) fn session_prefix(node: &str) -> String {
    format!("puerto {node}@")
}

/// The parameters of a statement.
pub(super) type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// Takes what other sessions notify.
pub(super) type Heard = Arc<dyn Fn(String) + Send + Sync>;

/// What to do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The connection is of no use any more; what it was about may have happened.
    Lost,
    /// Others were in the way; nothing happened.
    Again,
    /// The database will not do it.
    Refused,
}

/// The way to the database, which all connections share.
pub(super) struct Reach {
    pub(super) settings: Settings,
    /// Grows when all connections are to be opened anew.
    generation: AtomicU64,
    /// Why the database cannot be reached, if so.
    away: Mutex<Option<SpoolError>>,
    lost: Notify,
    /// The server that was found last: it is tried first, so that one that hangs costs its
    /// time once.
    found: Mutex<Option<String>>,
    /// Grows when the database says nothing, which ends all connections.
    silences: watch::Sender<u64>,
}

impl Reach {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            generation: AtomicU64::new(0),
            away: Mutex::new(None),
            lost: Notify::new(),
            found: Mutex::default(),
            silences: watch::Sender::new(0),
        }
    }

    /// How often all connections were given up.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// Why nothing can be stored now.
    pub(super) fn away(&self) -> Option<SpoolError> {
        lock(&self.away).clone()
    }

    /// The database answers, and takes writes.
    pub(super) fn is_back(&self) {
        *lock(&self.away) = None;
    }

    /// The database has stored something.
    pub(super) fn answers(&self) {
        use Hindrance::{DatabaseAway, DatabaseDenied, DatabaseServers, DatabaseSilent};
        let mut away = lock(&self.away);
        if let Some(SpoolError::ReadOnly(
            DatabaseAway { .. }
            | DatabaseDenied { .. }
            | DatabaseSilent { .. }
            | DatabaseServers { .. },
        )) = &*away
        {
            *away = None;
        }
    }

    /// The database says nothing: its connections are of no use. Whoever waits on one of them
    /// hears that it is lost, since one to a machine that hangs may stay open for ever.
    pub(super) fn is_silent(&self) -> SpoolError {
        self.generation.fetch_add(1, Ordering::SeqCst);
        let error = self.refuse(self.silence());
        self.silences.send_modify(|count| *count += 1);
        error
    }

    /// That the database says nothing, or a server of it does, if that is what is known of it.
    pub(super) fn silent(&self) -> Option<SpoolError> {
        self.away().filter(is_silence)
    }

    /// That there was no answer to one question, which says nothing of others.
    pub(super) fn unanswered(&self) -> SpoolError {
        SpoolError::ReadOnly(self.silence())
    }

    fn silence(&self) -> Hindrance {
        Hindrance::DatabaseSilent { database: self.settings.shown.clone() }
    }

    /// Waits for what is asked outside of the nodes' life, where no beat tells that the
    /// database hangs.
    pub(super) async fn within<T>(
        &self,
        span: Duration,
        asked: impl Future<Output = Result<T, SpoolError>>,
    ) -> Result<T, SpoolError> {
        let answer = tokio::time::timeout(span, asked).await;
        answer.unwrap_or_else(|_| Err(self.unanswered()))
    }

    /// Nothing is stored from here on until it [is back](Reach::is_back).
    pub(super) fn refuse(&self, why: Hindrance) -> SpoolError {
        let error = SpoolError::ReadOnly(why);
        *lock(&self.away) = Some(error.clone());
        error
    }

    /// Looks at an error: what kind it is, and what it says to others.
    pub(super) fn judge(&self, error: &Error) -> Trouble {
        let trouble = trouble(error);
        if trouble == Trouble::Lost {
            self.generation.fetch_add(1, Ordering::SeqCst);
            let mut away = lock(&self.away);
            // That a connection was given up says less than why.
            if !away.as_ref().is_some_and(is_silence) {
                *away = Some(self.failure(error));
            }
            drop(away);
            self.lost.notify_one();
        }
        trouble
    }

    /// Completes when a connection was lost.
    pub(super) async fn lost(&self) {
        self.lost.notified().await;
    }

    /// The same as an answer.
    pub(super) fn failure(&self, error: &Error) -> SpoolError {
        let database = self.settings.shown.clone();
        let why = quoted(error);
        match trouble(error) {
            Trouble::Lost => SpoolError::ReadOnly(Hindrance::DatabaseAway { database, why }),
            Trouble::Refused if error.code() == Some(&SqlState::DISK_FULL) => {
                SpoolError::Full(Hindrance::DatabaseRefused { database, why })
            }
            Trouble::Again | Trouble::Refused => {
                SpoolError::Io(Hindrance::DatabaseRefused { database, why })
            }
        }
    }

    /// Opens a connection, in as long as each server may take, but no longer than eight may.
    pub(super) async fn open(&self, heard: Option<Heard>) -> Result<Session, SpoolError> {
        let servers = u32::try_from(self.settings.servers().len()).unwrap_or(u32::MAX);
        self.open_within(CONNECT * servers.clamp(2, 8), heard).await
    }

    /// The same within a span.
    pub(super) async fn open_within(
        &self,
        span: Duration,
        heard: Option<Heard>,
    ) -> Result<Session, SpoolError> {
        self.find(span, heard).await.inspect_err(|error| {
            *lock(&self.away) = Some(error.clone());
            if !is_silence(error) {
                self.lost.notify_one();
            }
        })
    }

    /// Opens a connection that mail can do without: that there is none says nothing of others.
    pub(super) async fn open_aside(&self) -> Result<Session, SpoolError> {
        self.find(CONNECT * 2, None).await
    }

    async fn find(&self, span: Duration, heard: Option<Heard>) -> Result<Session, SpoolError> {
        let generation = self.generation();
        let end = Instant::now() + span;
        let mut servers = by_address(self.settings.servers(), span / 4).await;
        let span = end.saturating_duration_since(Instant::now());
        let last = lock(&self.found).clone();
        // The others keep their order.
        servers.sort_by_key(|server| last.as_ref() != Some(&server.name));
        let begin = |server| self.begin(server, heard.clone(), generation);
        match first_of(&servers, span, begin).await {
            Ok((at, session)) => {
                *lock(&self.found) = servers.get(at).map(|server| server.name.clone());
                Ok(session)
            }
            Err(failed) => Err(SpoolError::ReadOnly(self.unfound(&servers, &failed))),
        }
    }

    // Each server's own reason, where there are several.
    fn unfound(&self, servers: &[Server], failed: &[Option<Error>]) -> Hindrance {
        let database = self.settings.shown.clone();
        let whys = failed.iter().map(|error| error.as_ref().map(quoted));
        let is_denied = |error: &Option<Error>| error.as_ref().is_some_and(is_denial);
        match failed {
            // Of the first, since all say it.
            [Some(error), ..] if failed.iter().all(is_denied) => {
                Hindrance::DatabaseDenied { database, why: quoted(error) }
            }
            [Some(error)] => Hindrance::DatabaseAway { database, why: quoted(error) },
            failed if failed.iter().all(Option::is_none) => self.silence(),
            _ => {
                let names = servers.iter().map(|server| server.name.clone());
                Hindrance::DatabaseServers { database, servers: names.zip(whys).collect() }
            }
        }
    }

    async fn begin(
        &self,
        server: &Server,
        heard: Option<Heard>,
        generation: u64,
    ) -> Result<Session, Error> {
        let (client, mut connection) = server.config.connect(self.settings.tls.clone()).await?;
        let warnings = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&warnings);
        let mut silences = self.silences.subscribe();
        tokio::spawn(async move {
            loop {
                let message = std::future::poll_fn(|context| connection.poll_message(context));
                let message = tokio::select! {
                    message = message => message,
                    _ = silences.changed() => break,
                };
                match message {
                    Some(Ok(AsyncMessage::Notice(notice))) => {
                        // A COMMIT that was not waited for says so by a warning alone.
                        if *notice.code() == SqlState::WARNING {
                            counted.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                    Some(Ok(AsyncMessage::Notification(notification))) => {
                        if let Some(heard) = &heard {
                            heard(notification.payload().to_owned());
                        }
                    }
                    Some(Ok(_)) => {}
                    // Whoever uses the connection is told.
                    Some(Err(_)) | None => break,
                }
            }
        });
        client.batch_execute(SETUP).await?;
        Ok(Session { client, warnings, prepared: Mutex::default(), generation })
    }
}

/// The same servers, one that has several addresses once for each: the library gives all of
/// the time to the first of them. Names that are not found within a span stay as they are.
async fn by_address(servers: Vec<Server>, span: Duration) -> Vec<Server> {
    let end = Instant::now() + span;
    let mut all = Vec::new();
    for server in servers {
        let addresses: Option<Vec<IpAddr>> = match server.to_look_up() {
            Some(asked) => {
                let found = tokio::time::timeout_at(end, tokio::net::lookup_host(asked)).await;
                found.ok().and_then(Result::ok).map(|found| found.map(|at| at.ip()).collect())
            }
            None => None,
        };
        all.extend(server.at_each(&addresses.unwrap_or_default()));
    }
    all
}

/// Asks one after the other until one answers well: which, and its answer. Each may take its
/// share of the time that is left, so that one that says nothing leaves the others theirs.
/// Otherwise what each said; `None`: nothing in time.
async fn first_of<'a, S, T, E, F: Future<Output = Result<T, E>>>(
    all: &'a [S],
    span: Duration,
    ask: impl Fn(&'a S) -> F,
) -> Result<(usize, T), Vec<Option<E>>> {
    let end = Instant::now() + span;
    let mut failed = Vec::new();
    for (at, one) in all.iter().enumerate() {
        let left = u32::try_from(all.len() - at).unwrap_or(u32::MAX);
        let share = end.saturating_duration_since(Instant::now()) / left;
        match tokio::time::timeout(share, ask(one)).await {
            Ok(Ok(answer)) => return Ok((at, answer)),
            Ok(Err(error)) => failed.push(Some(error)),
            Err(_) => failed.push(None),
        }
    }
    Err(failed)
}

// Whether time will not mend it.
fn is_denial(error: &Error) -> bool {
    const KINDS: [SqlState; 3] = [
        SqlState::INVALID_PASSWORD,
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
        SqlState::INVALID_CATALOG_NAME,
    ];
    error.code().is_some_and(|code| KINDS.contains(code))
}

// Whether somebody who waits for an answer may wait in vain.
fn is_silence(error: &SpoolError) -> bool {
    match error {
        SpoolError::ReadOnly(Hindrance::DatabaseSilent { .. }) => true,
        SpoolError::ReadOnly(Hindrance::DatabaseServers { servers, .. }) => {
            servers.iter().any(|(_, why)| why.is_none())
        }
        _ => false,
    }
}

/// Holds for every session. Plans are made while the tables are small and used when they
/// are not: what is meant to go by an index does so from the beginning.
const SETUP: &str = "SET search_path = puerto; SET synchronous_commit = on; \
                     SET idle_in_transaction_session_timeout = '60s'; \
                     SET enable_seqscan = off; SET enable_mergejoin = off; \
                     SET enable_hashjoin = off; SET jit = off";

/// A connection that is open, or was.
pub(super) struct Session {
    pub(super) client: Client,
    warnings: Arc<AtomicU64>,
    prepared: Mutex<HashMap<&'static str, Statement>>,
    generation: u64,
}

impl Session {
    /// Runs a statement of this program's, prepared once. The answer is there when the
    /// transaction that it was has ended.
    pub(super) async fn query(
        &self,
        sql: &'static str,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, Error> {
        let statement = self.statement(sql).await?;
        self.client.query(&statement, parameters).await
    }

    /// A statement of this program's, prepared once.
    pub(super) async fn statement(&self, sql: &'static str) -> Result<Statement, Error> {
        let known = lock(&self.prepared).get(sql).cloned();
        if let Some(statement) = known {
            return Ok(statement);
        }
        let statement = self.client.prepare(sql).await?;
        lock(&self.prepared).insert(sql, statement.clone());
        Ok(statement)
    }

    /// How many warnings have come. One that comes with a COMMIT means that no standby
    /// has confirmed it.
    pub(super) fn warnings(&self) -> u64 {
        self.warnings.load(Ordering::SeqCst)
    }
}

/// A connection for one purpose, opened when it is needed.
pub(super) struct Link {
    reach: Arc<Reach>,
    session: Option<Arc<Session>>,
    /// What is said first in each of its sessions.
    setup: &'static str,
}

impl Link {
    pub(super) fn new(reach: &Arc<Reach>) -> Self {
        Self::with(reach, "")
    }

    /// A link whose sessions begin with these statements.
    pub(super) fn with(reach: &Arc<Reach>, setup: &'static str) -> Self {
        Self { reach: Arc::clone(reach), session: None, setup }
    }

    fn usable(&self) -> Option<&Arc<Session>> {
        let generation = self.reach.generation.load(Ordering::SeqCst);
        let session = self.session.as_ref()?;
        (session.generation == generation && !session.client.is_closed()).then_some(session)
    }

    /// Gives the session up.
    pub(super) fn forget(&mut self) {
        self.session = None;
    }

    /// Gives up a session that has not answered, and has the database end what it was asked:
    /// as long as that waits, for a lock or for a standby, its end is not known.
    pub(super) fn give_up(&mut self, session: Arc<Session>) {
        self.session = None;
        let (cancel, tls) = (session.client.cancel_token(), self.reach.settings.tls.clone());
        tokio::spawn(async move {
            // If it cannot be told, it hangs, and its end is asked for later.
            let _ = tokio::time::timeout(CONNECT, cancel.cancel_query(tls)).await;
            drop(session);
        });
    }

    /// Whether there is a session that can be used.
    pub(super) fn is_open(&self) -> bool {
        self.usable().is_some()
    }

    /// The session, opened if there is none that can be used. One attempt.
    pub(super) async fn session(&mut self) -> Result<Arc<Session>, SpoolError> {
        if let Some(session) = self.usable() {
            return Ok(Arc::clone(session));
        }
        self.session = None;
        let session = Arc::new(self.reach.open(None).await?);
        if !self.setup.is_empty() {
            let set = session.client.batch_execute(self.setup).await;
            set.map_err(|error| self.reach.failure(&error))?;
        }
        self.session = Some(Arc::clone(&session));
        Ok(session)
    }
}

/// How long to wait before the next attempt, after so many that failed.
pub(super) fn patience(failed: u32) -> Duration {
    Duration::from_millis(50 << failed.min(6)).min(Duration::from_secs(2))
}

fn trouble(error: &Error) -> Trouble {
    let Some(code) = error.code() else {
        // Not from the database: the connection broke, or the answer was no answer. What
        // could not be encoded was never sent.
        return if error.is_closed()
            || std::error::Error::source(error).is_some_and(|e| e.is::<std::io::Error>())
        {
            Trouble::Lost
        } else {
            Trouble::Refused
        };
    };
    let of_class = |class: &str| code.code().starts_with(class);
    if *code == SqlState::T_R_SERIALIZATION_FAILURE || *code == SqlState::T_R_DEADLOCK_DETECTED {
        Trouble::Again
    } else if of_class("08") || of_class("57P") || *code == SqlState::READ_ONLY_SQL_TRANSACTION {
        Trouble::Lost
    } else {
        Trouble::Refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a server does when it is asked.
    #[derive(Clone, Copy)]
    enum Does {
        Answer,
        Refuse,
        Nothing,
        AnswerAfter(u64),
    }
    use Does::{Answer, AnswerAfter, Nothing, Refuse};

    /// Asks these within ten seconds of a clock that is the test's: who was found, or what
    /// each said, and the seconds that it took.
    fn asked(all: &[Does]) -> (Result<usize, Vec<Option<&'static str>>>, u64) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let began = Instant::now();
            let found = first_of(all, Duration::from_secs(10), |does| async move {
                match does {
                    Answer => Ok(()),
                    Refuse => Err("refused"),
                    Nothing => std::future::pending().await,
                    AnswerAfter(seconds) => {
                        tokio::time::sleep(Duration::from_secs(*seconds)).await;
                        Ok(())
                    }
                }
            });
            (found.await.map(|(at, ())| at), began.elapsed().as_secs())
        })
    }

    #[test]
    fn a_server_that_says_nothing_leaves_the_others_their_share_of_the_time() {
        assert_eq!(asked(&[Answer, Nothing]), (Ok(0), 0));
        assert_eq!(asked(&[Nothing, Answer]), (Ok(1), 5));
        assert_eq!(asked(&[Nothing, Nothing, AnswerAfter(3)]), (Ok(2), 9));
        // What one does not need the others have.
        assert_eq!(asked(&[Refuse, AnswerAfter(9)]), (Ok(1), 9));
        assert_eq!(asked(&[AnswerAfter(6), Answer]), (Ok(1), 5));
    }

    #[test]
    fn where_none_can_be_used_each_says_why() {
        assert_eq!(asked(&[Refuse, Nothing]), (Err(vec![Some("refused"), None]), 10));
        assert_eq!(asked(&[Nothing, Refuse]), (Err(vec![None, Some("refused")]), 5));
        assert_eq!(asked(&[Nothing, Nothing]), (Err(vec![None, None]), 10));
        let url = "postgres://puerto:s3cret@db1,db2:5433/mail";
        let reach = Reach::new(Settings::read(url, None).unwrap());
        let servers = reach.settings.servers();
        let silent = SpoolError::ReadOnly(reach.unfound(&servers, &[None, None]));
        assert!(silent.to_string().contains("db1,db2:5433/mail does not answer"), "{silent}");
    }
}
