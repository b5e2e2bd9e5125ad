//! How the receivers treat their clients: one file for each kind that needs one.
//!
//! A [`House`] is what all visits to one receiver share; it answers each command
//! and knows nothing of sockets.

pub(crate) mod grumpy;
pub(crate) mod strict;

use std::net::IpAddr;
use std::time::Duration;

use puerto_mail::authres::MethodResult;
use puerto_mail::dns::{Record, RecordType};
use puerto_smtp::sasl::Claim;
use puerto_smtp::{Address, Reply, ReversePath};

use crate::Options;
use crate::world::{Manners, Resident, SENDER_ADDRESS, UNKNOWN_USER};
use crate::zone::Zone;
use grumpy::Grudge;

/// What to do with a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The ordinary positive reply.
    Accept,
    /// Another reply; 421 also ends the session.
    Say(Reply),
    /// Close the connection without a word.
    HangUp,
}

/// What to do with a message, and what was found out about it.
#[derive(Debug)]
pub(crate) struct Judgement {
    pub(crate) answer: Answer,
    pub(crate) authentication: Vec<MethodResult>,
}

impl Judgement {
    fn accept() -> Self {
        Self { answer: Answer::Accept, authentication: Vec::new() }
    }
}

/// The envelope of a message that came as far as its content.
#[derive(Debug)]
pub(crate) struct Presented<'a> {
    pub(crate) peer: IpAddr,
    pub(crate) helo: &'a str,
    pub(crate) from: &'a ReversePath,
    pub(crate) message: &'a [u8],
}

/// One receiver's rules and memory.
#[derive(Debug)]
pub(crate) struct House {
    pub(crate) resident: Resident,
    pub(crate) zone: Zone,
    grudge: Grudge,
    // A relay that wants to be told beforehand who sends through it.
    knows_senders: bool,
    takes_from: Option<&'static str>,
    login: Option<(&'static str, &'static str)>,
    unknown: &'static [&'static str],
}

impl House {
    pub(crate) fn new(resident: Resident, zone: Zone, options: &Options) -> Self {
        Self {
            resident,
            zone,
            grudge: Grudge::default(),
            knows_senders: options.relay_refuses_senders,
            takes_from: options.relay_takes_from,
            login: options.relay_login.filter(|_| resident.manners == Manners::Relay),
            unknown: options.unknown,
        }
    }

    /// Whether it offers a login.
    pub(crate) fn has_login(&self) -> bool {
        self.login.is_some()
    }

    /// Whether somebody is who they say.
    pub(crate) fn knows(&self, claim: &Claim) -> bool {
        self.login.is_some_and(|(user, password)| {
            claim.user == user && claim.password == password.as_bytes()
        })
    }

    /// How long each answer takes.
    pub(crate) fn pause(&self) -> Duration {
        match self.resident.manners {
            Manners::Grumpy => grumpy::PAUSE,
            _ => Duration::ZERO,
        }
    }

    pub(crate) fn mail(&self) -> Answer {
        match self.resident.manners {
            Manners::Grumpy => self.grudge.mail(),
            _ => Answer::Accept,
        }
    }

    pub(crate) fn recipient(
        &self,
        (peer, logged_in): (IpAddr, bool),
        from: &ReversePath,
        to: &Address,
    ) -> Answer {
        if self.resident.manners == Manners::Relay {
            if self.login.is_some() && !logged_in {
                return Answer::Say(Reply::enhanced(530, (5, 7, 0), "Authentication required"));
            }
            return self.relay_for(peer, from);
        }
        if !to.domain().name().is_some_and(|domain| self.takes(domain)) {
            let text = format!("we take mail for {} only", self.resident.domain);
            return Answer::Say(Reply::enhanced(550, (5, 7, 1), text));
        }
        let nobody = || self.unknown.iter().any(|nobody| to.to_string() == **nobody);
        if to.local_part().as_str() == UNKNOWN_USER || nobody() {
            let text = format!("there is no mailbox {to} here");
            return Answer::Say(Reply::enhanced(550, (5, 1, 1), text));
        }
        match self.resident.manners {
            Manners::Grumpy => self.grudge.recipient(peer, from, to),
            _ => Answer::Accept,
        }
    }

    // Its own domain, and any whose MX it is.
    fn takes(&self, domain: &str) -> bool {
        let host = self.resident.host;
        let exchangers = || self.zone.resolve(domain, RecordType::Mx).result.unwrap_or_default();
        domain == self.resident.domain
            || exchangers().iter().any(|mx| matches!(mx, Record::Mx(_, name) if name == host))
    }

    fn relay_for(&self, peer: IpAddr, from: &ReversePath) -> Answer {
        if self.knows_senders && *from != ReversePath::Null {
            let text = format!("<{from}>: Sender address rejected: not owned by this customer");
            return Answer::Say(Reply::enhanced(553, (5, 7, 1), text));
        }
        if let (Some(domain), ReversePath::Address(sender)) = (self.takes_from, from)
            && sender.domain().name() != Some(domain)
        {
            let text = format!(
                "<{from}>: Sender address rejected: our customers send as somebody@{domain}"
            );
            return Answer::Say(Reply::enhanced(553, (5, 7, 1), text));
        }
        if peer == IpAddr::V4(SENDER_ADDRESS) {
            return Answer::Accept;
        }
        let text = format!("{peer} is not a customer of ours: relaying denied");
        Answer::Say(Reply::enhanced(550, (5, 7, 1), text))
    }

    pub(crate) async fn message(&self, presented: &Presented<'_>) -> Judgement {
        match self.resident.manners {
            Manners::Strict => strict::judge(&self.zone, self.resident.host, presented).await,
            Manners::Grumpy => {
                Judgement { answer: self.grudge.message(), authentication: Vec::new() }
            }
            Manners::Plain | Manners::Relay => Judgement::accept(),
        }
    }
}
