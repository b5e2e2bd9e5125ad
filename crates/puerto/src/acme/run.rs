//! The one who looks whether it is time, and does it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest;
use instant_acme::{Account, CertificateIdentifier};
use puerto_spool::clock::Clock;
use rustls::pki_types::Der;
use tokio::sync::{Notify, watch};

use super::folder::{Folder, Standing, Trouble};
use super::http::Client;
use super::names;
use super::order::{self, Wanted};
use super::proof::Prover;
use super::roll::{self, Roll};
use super::trouble::cause;
use super::when;
use crate::cause::Cause;
use crate::config::{Acme, Challenge, Config, Live};
use crate::dns::Resolver;
use crate::telemetry::{Event, MailLog};
use crate::tls::{Certificate, ClientTls, OwnCertificate};
use crate::web::Answers;

/// How often it is looked at least: clocks leap, machines sleep.
const LOOK_AGAIN: Duration = Duration::from_secs(3600);
/// Seconds.
const MINUTE: i64 = 60;
/// No failure has a certificate wait for longer.
const LONGEST_PAUSE: i64 = 8 * 86_400;
/// How often it is looked for the record of a new key, or of a name that has none.
const LOOK_FOR_RECORD: Duration = Duration::from_secs(300);
/// How often the authority is asked when it wants to be asked for the next certificate.
const ASK_FOR_WINDOW: i64 = 12 * 3600;

/// Has the certificate in force read again.
pub type Reload = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// What it works with.
pub struct Needs {
    /// The configuration in force.
    pub config: Live,
    /// Names of authorities.
    pub dns: Arc<Resolver>,
    /// What authorities are shown.
    pub answers: Answers,
    /// Has a new certificate taken into use.
    pub reload: Reload,
    /// Where it is told.
    pub log: MailLog,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Has it looked at once: an administrator has asked, or the configuration has changed.
/// Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Renew(Arc<Asked>);

#[derive(Debug, Default)]
struct Asked {
    wake: Notify,
    /// Not only to be looked, but done, whenever the certificate ends.
    now: Mutex<bool>,
    /// With a new key, as soon as that may be.
    new_key: Mutex<bool>,
}

impl Renew {
    /// Has it looked whether there is something to do.
    pub fn look(&self) {
        self.0.wake.notify_one();
    }

    /// Has a certificate asked for in any case.
    pub fn now(&self) {
        *self.0.now.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.look();
    }

    /// Has a new key made, and a certificate for it asked for as soon as its TLSA record has
    /// come to everybody.
    pub fn new_key(&self) {
        *self.0.new_key.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.look();
    }

    fn take(of: &Mutex<bool>) -> bool {
        std::mem::take(&mut *of.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Sees to it that there is a certificate.
pub struct Manager {
    needs: Needs,
    folder: Folder,
    files: PathBuf,
    client: Client,
    renew: Renew,
}

/// A certificate that is there.
struct Held {
    holds: (i64, i64),
    id: Option<CertificateIdentifier<'static>>,
    chance: f64,
    has_all_names: bool,
}

impl Manager {
    /// One for a server with this state folder.
    pub fn new(needs: Needs, renew: Renew) -> Self {
        let state_dir = needs.config.get().state_dir.clone();
        let client = Client::new(Arc::clone(&needs.dns), ClientTls::new());
        Self { needs, folder: Folder::of(&state_dir), files: state_dir, client, renew }
    }

    /// Looks, until `shutdown` is true.
    pub async fn run(self, mut shutdown: watch::Receiver<bool>) {
        let this = Arc::new(self);
        let working = async {
            loop {
                let wait = match this.needs.config.get().acme.is_on() {
                    true => this.look().await,
                    false => LOOK_AGAIN,
                };
                let _ = tokio::time::timeout(wait, this.renew.0.wake.notified()).await;
            }
        };
        // An order that is broken off is begun anew a minute later, by the next start.
        tokio::select! {
            () = working => {}
            _ = shutdown.wait_for(|stop| *stop) => {}
        }
    }

    // Does what is to be done, and says for how long there is nothing more.
    async fn look(&self) -> Duration {
        let config = self.needs.config.get();
        let mut standing = match self.begin() {
            Ok(standing) => standing,
            Err(error) => {
                self.say("error", &Cause::AcmeUnkept { error: (&error).into() }.text());
                return LOOK_AGAIN;
            }
        };
        let now = self.now();
        let wanted = match self.names(&config.acme, &mut standing).await {
            Ok(wanted) => wanted,
            Err(cause) => {
                self.say("error", &cause.text());
                return LOOK_AGAIN;
            }
        };
        let held = self.held(&wanted);
        let is_asked = Renew::take(&self.renew.0.now);
        let next = match self.next_key(&config, &mut standing).await {
            Ok(next) => next,
            Err(cause) => {
                self.say("error", &cause.text());
                return LOOK_AGAIN;
            }
        };
        let due = match &next {
            Some(_) => i64::MIN,
            None => due(&config.acme, held.as_ref(), &standing),
        };
        // What a clock has left behind that was set wrong does not hold.
        let asked = standing.not_before.filter(|at| *at <= now.saturating_add(LONGEST_PAUSE));
        let from = due.max(asked.unwrap_or(i64::MIN));
        if !is_asked && now < from {
            self.ask_for_window(&config.acme, held.as_ref(), &mut standing).await;
            let ready = standing.roll.as_ref().and_then(Roll::ready);
            let from = ready.map_or(from, |ready| ready.min(from));
            let left = u64::try_from(from.saturating_sub(now)).unwrap_or(0).max(1);
            // Its record may come at any time.
            let waits = standing.roll.is_some() && ready.is_none();
            let waits = waits || !standing.unresolved.is_empty();
            let most = if waits { LOOK_FOR_RECORD } else { LOOK_AGAIN };
            return most.min(Duration::from_secs(left));
        }
        // Whoever is killed again and again, or has no room to keep what it gets, would use up
        // what the authority gives in a week.
        let begun = Standing { not_before: Some(now.saturating_add(MINUTE)), ..standing.clone() };
        if let Err(error) = self.folder.keep_standing(&begun) {
            self.say("error", &Cause::AcmeUnkept { error: (&error).into() }.text());
            return LOOK_AGAIN;
        }
        let done = self.attempt(&config.acme, (held.as_ref(), &wanted), next).await;
        let again = self.note(&config.acme, &mut standing, done);
        let again = if standing.unresolved.is_empty() { again } else { again.min(LOOK_FOR_RECORD) };
        self.tell_if_late(held.as_ref(), &standing, now);
        if let Err(error) = self.folder.keep_standing(&standing) {
            self.say("error", &Cause::AcmeUnkept { error: (&error).into() }.text());
        }
        again
    }

    fn begin(&self) -> std::io::Result<Standing> {
        self.folder.prepare()?;
        self.folder.settle()?;
        self.folder.standing(None)
    }

    // What a certificate can be asked for at this time: all names that have an address, or all
    // where none has, for the authority to say so. Over the DNS a name is shown without one.
    async fn names(&self, acme: &Acme, standing: &mut Standing) -> Result<Vec<String>, Cause> {
        let before = std::mem::take(&mut standing.unresolved);
        let missing = match acme.challenge {
            Challenge::Dns => Vec::new(),
            _ => names::unresolved(&*self.needs.dns, &acme.names, &before).await,
        };
        let is_missing = |name: &&String| missing.contains(*name);
        let new: Vec<&str> =
            missing.iter().filter(|name| !before.contains(name)).map(String::as_str).collect();
        if !new.is_empty() {
            let text = format!(
                "no A or AAAA record is there for {}, and no certificate for it before there is: \
                 `puerto dns` has it; one is asked for within minutes of seeing it",
                new.join(", ")
            );
            self.say("warn", &text);
        }
        let wanted: Vec<String> =
            acme.names.iter().filter(|name| !is_missing(name)).cloned().collect();
        standing.unresolved.clone_from(&missing);
        if missing != before {
            // What failed before may have failed for that.
            if before.iter().any(|name| !is_missing(&name)) {
                standing.not_before = None;
            }
            self.folder
                .keep_standing(standing)
                .map_err(|error| Cause::AcmeUnkept { error: error.into() })?;
        }
        Ok(if wanted.is_empty() { acme.names.clone() } else { wanted })
    }

    fn held(&self, wanted: &[String]) -> Option<Held> {
        let own = OwnCertificate::load(&Acme::files(&self.files)).ok()?;
        let (leaf, _) = own.chain().next()?;
        let leaf = Certificate::parse(leaf)?;
        let (serial, issuer_key) = leaf.number;
        let chance = chance_of(&serial);
        let id = issuer_key.map(|key| {
            CertificateIdentifier::new(Der::from_slice(&key), Der::from_slice(&serial)).into_owned()
        });
        let has_all_names = wanted.iter().all(|name| own.names(name));
        Some(Held { holds: leaf.holds, id, chance, has_all_names })
    }

    fn tell_if_late(&self, held: Option<&Held>, standing: &Standing, now: i64) {
        let (Some(held), true) = (held, standing.trouble.is_some()) else { return };
        if !when::is_late(held.holds, now) {
            return;
        }
        let days = (held.holds.1.saturating_sub(now)).div_euclid(86_400);
        let text = format!(
            "the certificate ends in {days} days, and no other was got in its place; `puerto \
             certificate` says what to do"
        );
        self.say("error", &text);
    }

    // The next key, if it may be taken into use; that it has to wait is noted.
    async fn next_key(
        &self,
        config: &Config,
        standing: &mut Standing,
    ) -> Result<Option<String>, Cause> {
        let unkept = |error: std::io::Error| Cause::AcmeUnkept { error: error.into() };
        let mut next = self.folder.next_key(None).map_err(unkept)?;
        let is_wanted = Renew::take(&self.renew.0.new_key);
        if next.is_none() && is_wanted {
            let new = order::new_key()?;
            self.folder.keep_next_key(&new).map_err(unkept)?;
            next = Some(new);
        }
        let before = standing.roll.take();
        let Some(next) = next else { return Ok(None) };
        let roll = (before.clone().unwrap_or_default(), next.as_str());
        standing.roll = roll::wait(&*self.needs.dns, &config.hostname, roll, self.now()).await;
        if standing.roll != before {
            self.folder.keep_standing(standing).map_err(unkept)?;
        }
        match (&standing.roll, &before) {
            (None, _) => return Ok(Some(next)),
            (Some(Roll { seen: None, .. }), None) => self.say(
                "info",
                "a new key waits until its TLSA record is published: `puerto dns` has it",
            ),
            (Some(Roll { seen: Some(_), .. }), Some(Roll { seen: None, .. }) | None) => self.say(
                "info",
                "the TLSA record of the new key is there: the key comes into use two TTLs later",
            ),
            _ => {}
        }
        Ok(None)
    }

    async fn attempt(
        &self,
        acme: &Acme,
        (held, wanted): (Option<&Held>, &[String]),
        next: Option<String>,
    ) -> Result<(), Cause> {
        let unkept = |error: std::io::Error| Cause::AcmeUnkept { error: error.into() };
        let key = match next {
            Some(next) => next,
            None => match self.folder.key().map_err(unkept)? {
                Some(key) => key,
                None => order::new_key()?,
            },
        };
        let names = wanted.join(", ");
        self.say("info", &format!("asking for a certificate for {names}"));
        let wanted =
            Wanted { names: wanted, key: &key, replaces: held.and_then(|held| held.id.clone()) };
        let chain = self.chain(acme, &wanted).await?;
        self.folder.install(&chain, &key).map_err(unkept)?;
        let text = match (self.needs.reload)() {
            Ok(()) => format!("a new certificate for {names} is in use"),
            Err(error) => format!("the new certificate for {names} cannot be used: {error}"),
        };
        self.say("info", &text);
        Ok(())
    }

    async fn chain(&self, acme: &Acme, wanted: &Wanted<'_>) -> Result<String, Cause> {
        let directory = acme.directory.as_deref().unwrap_or_default();
        let prover = Prover::new(acme, &self.needs.answers, &self.needs.dns, &self.needs.clock);
        let account = order::account(&self.folder, acme, &self.client).await?;
        let names = wanted.names.join(", ");
        match order::obtain(&account, wanted, &prover).await {
            Ok(chain) => chain,
            Err(error) if order::is_unknown_account(&error) => {
                self.folder.forget_account(directory);
                let account = order::account(&self.folder, acme, &self.client).await?;
                let again = order::obtain(&account, wanted, &prover).await;
                again.unwrap_or_else(|error| Err(cause(error, &names)))
            }
            Err(error) => Err(cause(error, &names)),
        }
    }

    fn note(&self, acme: &Acme, standing: &mut Standing, done: Result<(), Cause>) -> Duration {
        let now = self.now();
        standing.tried = Some(now);
        standing.attempts = standing.attempts.wrapping_add(1);
        match done {
            Ok(()) => {
                let (directory, attempts) = (acme.directory.clone(), standing.attempts);
                let (tried, roll) = (standing.tried, standing.roll.take());
                let unresolved = std::mem::take(&mut standing.unresolved);
                *standing = Standing {
                    directory,
                    attempts,
                    tried,
                    roll,
                    unresolved,
                    ..Standing::default()
                };
                // It is asked at once when the next is to be.
                Duration::from_secs(1)
            }
            Err(cause) => {
                standing.failures = standing.failures.saturating_add(1);
                let asked = self.client.pause().filter(|_| is_told_to_wait(&cause));
                let chance = f64::from(u8::try_from(now % 97).unwrap_or(0)) / 97.0;
                let wait = when::wait(standing.failures, asked, chance);
                standing.not_before = Some(now.saturating_add(wait));
                standing.trouble = Some(Trouble::of(&cause));
                let text = format!(
                    "no certificate was got: {}; it is tried again in {} minutes",
                    cause.text(),
                    wait / 60
                );
                self.say("error", &text);
                LOOK_AGAIN.min(Duration::from_secs(u64::try_from(wait).unwrap_or(3600)))
            }
        }
    }

    // Without an answer it is renewed when two thirds of its life are over.
    async fn ask_for_window(&self, acme: &Acme, held: Option<&Held>, standing: &mut Standing) {
        let now = self.now();
        let is_recent = |asked: i64| (asked..asked.saturating_add(ASK_FOR_WINDOW)).contains(&now);
        let Some(id) = held.and_then(|held| held.id.as_ref()) else { return };
        if standing.window_asked.is_some_and(is_recent) {
            return;
        }
        standing.window_asked = Some(now);
        let account: Result<Account, Cause> =
            order::account(&self.folder, acme, &self.client).await;
        let Ok(account) = account else { return };
        if let Ok((info, _)) = account.renewal_info(id).await {
            let window = info.suggested_window;
            standing.window = Some((window.start.unix_timestamp(), window.end.unix_timestamp()));
        }
        if let Err(error) = self.folder.keep_standing(standing) {
            self.say("error", &Cause::AcmeUnkept { error: (&error).into() }.text());
        }
    }

    fn now(&self) -> i64 {
        self.needs.clock.now().as_secs()
    }

    fn say(&self, level: &'static str, text: &str) {
        self.needs.log.write(&Event::Notice { level, component: "acme", id: None, text });
    }
}

/// A number from 0 to 1 that is a certificate's own: by it the renewals of many servers are
/// spread, and that of one stays where it is.
pub(super) fn chance_of(serial: &[u8]) -> f64 {
    let hash = digest::digest(&digest::SHA256, serial);
    f64::from(hash.as_ref().first().copied().unwrap_or(0)) / 255.0
}

fn is_told_to_wait(cause: &Cause) -> bool {
    matches!(cause, Cause::AcmeRateLimited { .. } | Cause::AcmeInternal { .. })
}

// At once where there is no certificate, or one from another authority or for other names.
fn due(acme: &Acme, held: Option<&Held>, standing: &Standing) -> i64 {
    match held {
        Some(held) if held.has_all_names && standing.directory == acme.directory => {
            when::renewal(held.holds, standing.window, held.chance)
        }
        _ => i64::MIN,
    }
}
