//! Logins: a client's messages go to the accounts, and what they say goes to the client.

use puerto_smtp::Reply;
use puerto_smtp::base64;
use puerto_smtp::sasl::{self, Binding, Claim, ClientFirst, Exchange, Mechanism, ScramFault};

use super::Service;
use super::driver::Driver;
use crate::accounts::{Accounts, Login, Verdict, Why, new_password};
use crate::telemetry::Event;

use std::sync::Arc;

/// What is offered on every connection with TLS.
const ALWAYS: [Mechanism; 3] = [Mechanism::ScramSha256, Mechanism::Plain, Mechanism::Login];

/// The one way of binding a login to its connection that we have (RFC 9266).
const EXPORTER: &str = "tls-exporter";

/// What a session offers before its handshake, for the protocol to know: nothing where no
/// handshake can follow, nor on port 25, where nobody but guessers would log in.
pub(super) fn offered(service: Service, starttls: bool) -> Vec<String> {
    let is_offered = match service {
        Service::Smtp => false,
        Service::Submission => starttls,
        Service::Submissions => true,
    };
    ALWAYS.into_iter().filter(|_| is_offered).map(|mechanism| mechanism.name().to_owned()).collect()
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

    /// Takes what the client says; `exported` is what binds it to its connection.
    async fn step(
        &mut self,
        said: Option<Vec<u8>>,
        accounts: &Arc<Accounts>,
        exported: Option<[u8; 32]>,
    ) -> Step {
        let stage = std::mem::replace(&mut self.stage, Stage::Begun);
        match (self.mechanism, stage, said) {
            (Mechanism::Plain, _, None) => Step::Ask(Vec::new()),
            (Mechanism::Plain, _, Some(message)) => match Claim::of_plain(&message) {
                Some(claim) => Step::Judged(accounts.by_password(claim).await),
                None => Why::Malformed.into(),
            },
            (Mechanism::Login, Stage::Named(user), Some(password)) => match user {
                Some(user) => Step::Judged(accounts.by_password(Claim { user, password }).await),
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
            (_, Stage::Begun | Stage::Named(_), Some(first)) => {
                self.ask(&first, accounts, exported.is_some()).await
            }
            (_, Stage::Asked(exchange), said) => {
                let said = said.unwrap_or_default();
                self.prove(&exchange, &said, accounts, exported).await
            }
            (_, Stage::Proved(login), said) => match said.is_none_or(|said| said.is_empty()) {
                true => Step::Judged(Verdict::Known(login)),
                false => Why::Malformed.into(),
            },
        }
    }

    async fn ask(&mut self, first: &[u8], accounts: &Arc<Accounts>, can_bind: bool) -> Step {
        let first = match ClientFirst::parse(first) {
            Ok(first) => first,
            Err(fault) => return Why::Scram(fault).into(),
        };
        // A client that would be bound and was not told that it can be was told by another
        // than us (RFC 5802 §6).
        let is_bound = matches!(&first.binding, Binding::Used(name) if name == EXPORTER);
        let is_right = match self.mechanism {
            Mechanism::ScramSha256Plus => is_bound,
            _ => {
                first.binding == Binding::Unknown
                    || (first.binding == Binding::NotOffered && !can_bind)
            }
        };
        if !is_right {
            return Why::Scram(ScramFault::Binding).into();
        }
        let asked = accounts.parameters(first.user.clone()).await;
        match (asked, new_password()) {
            (Ok(parameters), Ok(nonce)) => {
                let exchange = first.challenge(&nonce, &parameters.salt, parameters.iterations);
                let challenge = exchange.challenge().as_bytes().to_vec();
                self.stage = Stage::Asked(exchange);
                Step::Ask(challenge)
            }
            (Err(error), _) => Step::Judged(Verdict::Unavailable(error)),
            (_, Err(error)) => Step::Judged(Verdict::Unavailable(error.to_string())),
        }
    }

    async fn prove(
        &mut self,
        exchange: &Exchange,
        last: &[u8],
        accounts: &Arc<Accounts>,
        exported: Option<[u8; 32]>,
    ) -> Step {
        let bound = exported.filter(|_| self.mechanism == Mechanism::ScramSha256Plus);
        let bound = bound.as_ref().map_or(&[][..], |octets| octets);
        let proof = match exchange.finish(last, bound) {
            Ok(proof) => proof,
            Err(fault) => return Why::Scram(fault).into(),
        };
        match accounts.by_proof(proof).await {
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
        let can_bind = self.arrival.connection.exported().is_some();
        let bound = Some(Mechanism::ScramSha256Plus).filter(|_| can_bind);
        let offered: Vec<Mechanism> = bound.into_iter().chain(ALWAYS).collect();
        self.session.offer_auth(&offered);
    }

    /// Goes on with a login.
    pub(super) async fn converse(&mut self, said: Option<Vec<u8>>) {
        let Some(mut conversation) = self.conversation.take() else { return };
        let exported = self.arrival.connection.exported();
        match conversation.step(said, &self.context.accounts, exported).await {
            Step::Ask(question) => {
                self.conversation = Some(conversation);
                self.session.challenge(&question);
            }
            Step::Judged(verdict) => self.conclude_login(conversation.mechanism, verdict),
        }
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
            Verdict::Refused { account, why } => {
                let text = "Error: authentication failed: user name or password is wrong";
                (account, why.to_string(), Reply::enhanced(535, (5, 7, 8), text))
            }
            Verdict::Unavailable(why) => {
                let text = "Error: temporary authentication failure, try later";
                (None, why, Reply::enhanced(454, (4, 7, 0), text))
            }
        };
        self.log(&Event::LoginFailed {
            client: &self.arrival.client,
            mechanism: mechanism.name(),
            account: account.as_deref(),
            why: &why,
        });
        self.session.answer(&reply);
    }
}
