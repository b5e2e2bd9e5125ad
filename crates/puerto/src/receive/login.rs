//! Logins: a client's messages go to the accounts, and what they say goes to the client.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use puerto_smtp::Reply;
use puerto_smtp::base64;
use puerto_smtp::sasl::{self, Binding, Claim, ClientFirst, Exchange, Mechanism, ScramFault};

use super::Service;
use super::connection::Connection;
use super::driver::Driver;
use crate::accounts::{Accounts, Login, Standing, Verdict, Why, new_password};
use crate::config::Config;
use crate::telemetry::Event;

/// What is offered on every connection with TLS.
const ALWAYS: [Mechanism; 3] = [Mechanism::ScramSha256, Mechanism::Plain, Mechanism::Login];

/// A login is bound to its connection (RFC 9266).
const EXPORTER: &str = "tls-exporter";
/// A login is bound to our certificate (RFC 5929 §4): for clients whose library does not let
/// them get at more.
const END_POINT: &str = "tls-server-end-point";

/// What a session offers before its handshake, for the protocol to know: nothing where no
/// handshake can follow, nor on port 25, where nobody but guessers would log in.
pub(super) fn offered(service: Service, starttls: bool, config: &Config) -> Vec<String> {
    let is_offered = match service {
        Service::Smtp => false,
        Service::Submission => starttls,
        Service::Submissions => true,
    };
    always(config).filter(|_| is_offered).map(|mechanism| mechanism.name().to_owned()).collect()
}

// Dovecot is asked for a password alone.
fn always(config: &Config) -> impl Iterator<Item = Mechanism> {
    let shows = |mechanism: &Mechanism| matches!(mechanism, Mechanism::Plain | Mechanism::Login);
    let is_dovecot = config.accounts.dovecot.is_some();
    ALWAYS.into_iter().filter(move |mechanism| !is_dovecot || shows(mechanism))
}

/// A login under way.
#[derive(Debug)]
pub(super) struct Conversation {
    mechanism: Mechanism,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Begun,
    /// LOGIN has said its name.
    Named(Option<String>),
    /// SCRAM was asked.
    Asked(Exchange),
    /// SCRAM has proved who it is, and was shown in turn who we are.
    Proved(Login),
}

/// Failures of one session that are answered; the next ends it.
const MOST_FAILURES: u32 = 3;

/// Whom a conversation is with, and who judges it.
struct With<'a> {
    accounts: &'a Arc<Accounts>,
    from: IpAddr,
    bindings: Bindings,
}

/// What binds a login.
struct Bindings {
    /// To this connection.
    exported: Option<[u8; 32]>,
    /// To our certificate.
    end_point: Option<Arc<[u8]>>,
}

impl Bindings {
    fn of(connection: &Connection, config: &Config) -> Self {
        // Dovecot is asked for a password alone.
        if config.accounts.dovecot.is_some() || !config.accounts.channel_binding {
            return Self { exported: None, end_point: None };
        }
        Self { exported: connection.exported(), end_point: connection.end_point() }
    }

    /// Whether bound logins are offered. Whoever offers them has to know the binding that
    /// clients take when nobody tells them which (RFC 5802 §6.1): under TLS 1.3 that is the
    /// exporter. Before it was `tls-unique`, which we do not have: a client that has no other
    /// would choose a bound login and fail, where it can have one that is not bound.
    fn are_offered(&self) -> bool {
        self.exported.is_some()
    }

    /// What the client's binding has to hold, if it is one that we have.
    fn expected(&self, binding: &Binding) -> Option<&[u8]> {
        match binding {
            Binding::Used(name) if name == EXPORTER => self.exported.as_ref().map(|e| &e[..]),
            Binding::Used(name) if name == END_POINT => self.end_point.as_deref(),
            _ => None,
        }
    }
}

/// What is to be said to the client.
enum Step {
    Ask(Vec<u8>),
    Judged(Verdict),
}

impl From<Why> for Step {
    fn from(why: Why) -> Self {
        Self::Judged(Verdict::Refused { account: None, why })
    }
}

impl Conversation {
    pub(super) fn new(mechanism: Mechanism) -> Self {
        Self { mechanism, stage: Stage::Begun }
    }

    /// Takes what the client says.
    async fn step(&mut self, said: Option<Vec<u8>>, with: &With<'_>) -> Step {
        let With { accounts, from, .. } = with;
        let stage = std::mem::replace(&mut self.stage, Stage::Begun);
        match (self.mechanism, stage, said) {
            (Mechanism::Plain, _, None) => Step::Ask(Vec::new()),
            (Mechanism::Plain, _, Some(message)) => {
                match Claim::of_plain(&message, |one, other| accounts.are_one(one, other)) {
                    Some(claim) => Step::Judged(accounts.by_password(*from, claim).await),
                    None => Why::Malformed.into(),
                }
            }
            (Mechanism::Login, Stage::Named(user), Some(password)) => match user {
                Some(user) => {
                    let claim = Claim { user, password };
                    Step::Judged(accounts.by_password(*from, claim).await)
                }
                None => Why::Malformed.into(),
            },
            (Mechanism::Login, _, said) => match said.filter(|name| !name.is_empty()) {
                None => Step::Ask(b"Username:".to_vec()),
                Some(name) => {
                    self.stage = Stage::Named(sasl::user_name(&name));
                    Step::Ask(b"Password:".to_vec())
                }
            },
            (_, Stage::Begun | Stage::Named(_), None) => Step::Ask(Vec::new()),
            (_, Stage::Begun | Stage::Named(_), Some(first)) => self.ask(&first, with).await,
            (_, Stage::Asked(exchange), said) => {
                let said = said.unwrap_or_default();
                self.prove(&exchange, &said, with).await
            }
            (_, Stage::Proved(login), said) => match said.is_none_or(|said| said.is_empty()) {
                true => Step::Judged(Verdict::Known(login)),
                false => Why::Malformed.into(),
            },
        }
    }

    async fn ask(&mut self, first: &[u8], with: &With<'_>) -> Step {
        let are_one = |one: &str, other: &str| with.accounts.are_one(one, other);
        let first = match ClientFirst::parse(first, are_one) {
            Ok(first) => first,
            Err(fault) => return Why::Scram(fault).into(),
        };
        // A client that would be bound and was not told that it can be was told by another
        // than us (RFC 5802 §6).
        let is_right = match self.mechanism {
            Mechanism::ScramSha256Plus => with.bindings.expected(&first.binding).is_some(),
            _ => {
                first.binding == Binding::Unknown
                    || (first.binding == Binding::NotOffered && !with.bindings.are_offered())
            }
        };
        if !is_right {
            return Why::Scram(ScramFault::Binding).into();
        }
        let asked = with.accounts.parameters(with.from, first.user.clone()).await;
        match (asked, new_password()) {
            (Ok(parameters), Ok(nonce)) => {
                let exchange = first.challenge(&nonce, &parameters.salt, parameters.iterations);
                let challenge = exchange.challenge().as_bytes().to_vec();
                self.stage = Stage::Asked(exchange);
                Step::Ask(challenge)
            }
            (Err(verdict), _) => Step::Judged(verdict),
            (_, Err(error)) => Step::Judged(Verdict::Unavailable(error.to_string())),
        }
    }

    async fn prove(&mut self, exchange: &Exchange, last: &[u8], with: &With<'_>) -> Step {
        let bound = with.bindings.expected(exchange.binding()).unwrap_or_default();
        let proof = match exchange.finish(last, bound) {
            Ok(proof) => proof,
            Err(fault) => return Why::Scram(fault).into(),
        };
        match with.accounts.by_proof(with.from, proof).await {
            (Verdict::Known(login), signature) => {
                self.stage = Stage::Proved(login);
                Step::Ask(format!("v={}", base64::encode(&signature)).into_bytes())
            }
            (verdict, _) => Step::Judged(verdict),
        }
    }
}

impl Driver {
    /// Offers what this connection allows, its handshake being done.
    pub(super) fn offer_logins(&mut self) {
        if self.arrival.service == Service::Smtp {
            return;
        }
        let config = &self.arrival.config;
        let can_bind = Bindings::of(&self.arrival.connection, config).are_offered();
        let bound = Some(Mechanism::ScramSha256Plus).filter(|_| can_bind);
        let offered: Vec<Mechanism> = bound.into_iter().chain(always(config)).collect();
        self.session.offer_auth(&offered);
    }

    /// Goes on with a login.
    pub(super) async fn converse(&mut self, said: Option<Vec<u8>>) {
        let Some(mut conversation) = self.conversation.take() else { return };
        let with = With {
            accounts: &self.context.accounts,
            from: self.arrival.client.address.unwrap_or(Ipv4Addr::UNSPECIFIED.into()),
            bindings: Bindings::of(&self.arrival.connection, &self.arrival.config),
        };
        match conversation.step(said, &with).await {
            Step::Ask(question) => {
                self.conversation = Some(conversation);
                self.session.challenge(&question);
            }
            Step::Judged(verdict) => self.conclude_login(conversation.mechanism, verdict),
        }
    }

    /// Judges the session's login again, if it has one: an account or an application's
    /// password that was taken away must not go on sending in a session that was open. Such
    /// a session is ended and not only refused: programs log in again by themselves then, and
    /// hear there what is wrong.
    pub(super) async fn still_logged_in(&mut self) -> bool {
        let Some(login) = self.login.take() else { return true };
        let account = login.account.clone();
        match self.context.accounts.again(login.clone()).await {
            Standing::Good(login) => {
                self.login = Some(login);
                return true;
            }
            Standing::Over => {
                let why = "the password it logged in with has ended or was taken away";
                self.problem(&format!("session of {account} closed: {why}"));
                let text = "Error: this login does not hold any more, log in again";
                self.session.close_with(&Reply::enhanced(421, (4, 7, 0), text));
            }
            Standing::Unknown(why) => {
                self.login = Some(login);
                self.problem(&format!("login of {account} not judged again: {why}"));
                let text = "Error: temporary failure: logins cannot be judged now, try later";
                self.session.answer(&Reply::enhanced(451, (4, 3, 0), text));
            }
        }
        false
    }

    fn conclude_login(&mut self, mechanism: Mechanism, verdict: Verdict) {
        let (account, why, reply) = match verdict {
            Verdict::Known(login) => {
                self.login = Some(login);
                self.arrival.policy.let_in();
                self.arrival.place.progress();
                return self.session.accept();
            }
            // Everybody is told the same, whatever was wrong (RFC 4954 §6).
            Verdict::Refused { account, why } if self.failed_logins < MOST_FAILURES => {
                let text = "Error: authentication failed: user name or password is wrong";
                (account, why.to_string(), Reply::enhanced(535, (5, 7, 8), text))
            }
            Verdict::Refused { account, why } => (account, why.to_string(), sent_away()),
            Verdict::SentAway(many) => (None, many.to_string(), sent_away()),
            // No guess, and nothing to shut a client out for.
            Verdict::Unavailable(why) => {
                self.problem(&format!("{mechanism} login not judged: {why}"));
                let text = "Error: temporary authentication failure, try later";
                return self.session.answer(&Reply::enhanced(454, (4, 7, 0), text));
            }
        };
        self.failed_logins += 1;
        self.log(&Event::LoginFailed {
            client: &self.arrival.client,
            mechanism: mechanism.name(),
            account: account.as_deref(),
            why: &why,
        });
        self.session.answer(&reply);
    }
}

fn sent_away() -> Reply {
    Reply::enhanced(421, (4, 7, 0), "Error: too many failed logins, try later")
}
