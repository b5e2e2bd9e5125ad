//! Looking at a next hop without giving it a message: what it offers, what its
//! certificate says, whether it takes our login and our addresses.
//!
//! The way is that of a delivery, with the same rooms; only its end differs: MAIL and
//! RCPT are taken back by RSET.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use puerto_smtp::client::{Failure, Fate, Step, Transaction};
use puerto_smtp::extension::Extensions;
use puerto_smtp::limits::ClientTimeouts;
use puerto_smtp::{Address, Recipient, Reply, ReversePath};

use super::open::{Terms, authenticate};
pub use super::outcome::Why;
use super::outcome::{HostFailure, Peer};
use super::session::Session;
use crate::cause::Cause;
use crate::config::Config;
use crate::route::{Hop, Plan};
use crate::tls::{Acquaintance, Agreed, ClientTls, Inspected, Inspection};
use crate::transport::{Demand, Rule};

/// How long somebody at a terminal waits for one reply.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// Octets that MAIL says the message would have.
const SIZE: u64 = 2000;

/// A message that might be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// What MAIL says.
    pub reverse_path: ReversePath,
    /// What RCPT says.
    pub recipient: Address,
}

/// What became of a wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// What was asked.
    pub wish: Wish,
    /// The reply to RCPT, or what was refused where.
    pub answer: Result<Reply, Failure>,
}

/// What was seen of one address of a next hop.
#[derive(Debug, Clone)]
pub struct Sight {
    /// The host's name, as the plan has it.
    pub host: Arc<str>,
    /// Its address.
    pub address: SocketAddr,
    /// What it offers, by its last reply to EHLO; `None` if there was none.
    pub offered: Option<Extensions>,
    /// It offered STARTTLS in plain text.
    pub offered_starttls: bool,
    /// TLS version and cipher.
    pub tls: Option<Agreed>,
    /// What is demanded of TLS there, and why.
    pub rule: Rule,
    /// What the rule comes to with what the host showed: what is told then, or why nothing is
    /// sent there. `None` where it says nothing of certificates, or none was seen.
    pub verdict: Option<Result<Cause, Cause>>,
    /// Its certificates, and what a verified connection would make of them.
    pub inspected: Option<Inspected>,
    /// Whether it took our login, if we have one.
    pub login: Option<Result<(), Why>>,
    /// What became of each wish.
    pub granted: Vec<Granted>,
    /// Why there was no session, or no more of it.
    pub failure: Option<Why>,
}

/// Looks at one address of a plan.
pub async fn look(
    config: &Config,
    client_tls: &ClientTls,
    plan: &Plan,
    hop: &Hop,
    wishes: &[Wish],
) -> Sight {
    let inspection = Inspection::default();
    let terms = Terms {
        inspection: Some(&inspection),
        ..Terms::of(plan, config, client_tls, timeouts(config)).at(hop)
    };
    let mut sight = Sight {
        host: Arc::clone(&hop.host),
        address: hop.address,
        offered: None,
        offered_starttls: false,
        tls: None,
        rule: terms.rule.clone(),
        verdict: None,
        inspected: None,
        login: None,
        granted: Vec::new(),
        failure: None,
    };
    let result = visit(&terms, hop, wishes, &mut sight).await;
    sight.failure = result.err().map(|failure| failure.why);
    sight.inspected = inspection.take();
    let shown = sight.inspected.as_ref();
    sight.verdict = shown.and_then(|shown| verdict(&terms.rule, shown));
    sight
}

fn verdict(rule: &Rule, shown: &Inspected) -> Option<Result<Cause, Cause>> {
    let verdict = shown.verdict.as_ref().map_err(Cause::from);
    match &rule.demand {
        Demand::Dane(dane) => {
            let met = dane.record_met(&shown.chain);
            Some(met.map(|record| Cause::DaneMatched { record }))
        }
        Demand::Verified => Some(verdict.map(|()| rule.reason.clone())),
        Demand::Watched => Some(Ok(match verdict {
            Ok(()) => Cause::StsTestPassed {},
            Err(why) => Cause::StsTestFailed { why: Box::new(why) },
        })),
        Demand::None | Demand::Opportunistic | Demand::Encrypted => None,
    }
}

fn timeouts(config: &Config) -> ClientTimeouts {
    ClientTimeouts {
        connect: config.delivery.connect_timeout.min(PATIENCE / 2),
        greeting: PATIENCE,
        hello: PATIENCE,
        tls_handshake: PATIENCE,
        mail: PATIENCE,
        recipient: PATIENCE,
        ..ClientTimeouts::default()
    }
}

async fn visit(
    terms: &Terms<'_>,
    hop: &Hop,
    wishes: &[Wish],
    sight: &mut Sight,
) -> Result<(), HostFailure> {
    let mut session = terms.greet(&Peer::at(&hop.host, hop.address)).await?;
    note(&session, sight);
    sight.offered_starttls = session.connection.extensions().starttls;
    let result = inquire(terms, &mut session, wishes, sight).await;
    session.quit().await;
    result
}

async fn inquire(
    terms: &Terms<'_>,
    session: &mut Session,
    wishes: &[Wish],
    sight: &mut Sight,
) -> Result<(), HostFailure> {
    if !session.connection.is_encrypted() && terms.rule.demand != Demand::None {
        terms.encrypt(session).await?;
        note(session, sight);
    }
    if let Some(login) = terms.login {
        let shown = terms.inspection.and_then(Inspection::seen);
        if shown.is_some_and(|shown| !may_have_password(&terms.rule.demand, &shown)) {
            return Ok(());
        }
        let taken = authenticate(session, login).await;
        let refused = taken.is_err();
        sight.login = Some(taken.map_err(|failure| failure.why));
        if refused {
            return Ok(());
        }
    }
    for wish in wishes {
        sight.granted.push(ask(session, wish).await);
        if !session.connection.is_ready() {
            return Ok(());
        }
    }
    Ok(())
}

// As in a delivery, where the handshake would have failed.
fn may_have_password(demand: &Demand, shown: &Inspected) -> bool {
    if let Demand::Dane(dane) = demand {
        return dane.record_met(&shown.chain).is_ok();
    }
    let is_known = match shown.acquaintance {
        Acquaintance::New => shown.may_be_new,
        Acquaintance::Same => true,
        Acquaintance::Changed => false,
    };
    shown.verdict.is_ok() || *demand != Demand::Verified && is_known
}

fn note(session: &Session, sight: &mut Sight) {
    sight.offered = Some(session.connection.extensions().clone());
    sight.tls.clone_from(&session.tls);
}

/// Asks for one wish in a session that is ready.
pub(super) async fn ask(session: &mut Session, wish: &Wish) -> Granted {
    let recipient = Recipient::new(wish.recipient.clone());
    session.connection.probe(&Transaction {
        reverse_path: &wish.reverse_path,
        recipients: &[&recipient],
        envelope_id: None,
        ret: None,
        verp: None,
        size: SIZE,
        eight_bit: false,
        utf8_header: false,
        require_tls: false,
    });
    while !matches!(session.next_step().await, Step::Finished | Step::Closed | Step::Failed(_)) {}
    let lost = || Failure {
        stage: puerto_smtp::client::Stage::Mail,
        cause: puerto_smtp::client::Cause::Lost(puerto_smtp::client::Loss::Closed),
    };
    let answer = match session.connection.take_fates().pop() {
        Some(Fate::Accepted(reply)) => Ok(reply),
        Some(Fate::Failed(failure)) => Err(failure),
        Some(Fate::Remaining) | None => Err(lost()),
    };
    Granted { wish: wish.clone(), answer }
}
