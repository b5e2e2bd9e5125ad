//! What is to be published in the DNS so that mail from this server is accepted.
//!
//! The work is a merge: what exists is read first and kept wherever it does not
//! contradict what this server needs, because the domain's other senders live in the
//! same records. The SPF record that is there is edited, never joined by a second;
//! so is the DMARC record. Where the DNS does not answer, nothing is proposed at all,
//! since an answer that did not come looks like a record that does not exist.
//!
//! [`plan`] asks the DNS in one place ([`existing`]) and works the rest out from
//! values. Whether a merged SPF record covers this server is not guessed from its
//! text but evaluated, over the DNS as it will be ([`overlay`]).

mod dkim;
mod dmarc;
mod existing;
mod host;
mod later;
mod overlay;
pub mod render;
mod spf;
mod subject;
#[cfg(test)]
mod tests;
pub mod update;
mod words;
pub mod zonefile;

use std::net::IpAddr;

use puerto_mail::dns::{Dns, RecordType, character_strings};
use puerto_mail::spf::ahead;

use crate::finding::Finding;
pub use crate::lang::Said;
use crate::lang::{dns_error, said_of};
use crate::survey::records::Unanswered;
use crate::survey::{relayhost, unregistered};
pub use dmarc::{DmarcProposal, dmarc_proposal, said_of_faults};
use existing::Existing;
use overlay::Overlay;
pub use spf::{Sender, SpfProposal, helo_spf_proposal, spf_proposal};
pub use subject::{Key, Subject};

/// Seconds for which a record that is made anew may be kept.
pub const TTL: u32 = 3600;

/// What is to be done about a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is missing: publish it.
    New,
    /// Another one stands there: replace that by this.
    Change,
    /// It is right already.
    Keep,
    /// It is in the way: delete it.
    Delete,
    /// Only the domain's owner can say whether it is to be published, for the reason
    /// given: nothing does it for them.
    Decide,
}

impl State {
    /// The word in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Change => "change",
            Self::Keep => "keep",
            Self::Delete => "delete",
            Self::Decide => "decide",
        }
    }
}

/// Questions without an answer that are named.
const SHOWN: usize = 4;

/// A record of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Its name, whole, in A-labels, without a trailing dot.
    pub name: String,
    /// The zone that it is to stand in, as far as the DNS says.
    pub zone: String,
    /// A, AAAA, MX, TXT or TLSA: nothing else is planned.
    pub kind: RecordType,
    /// Seconds for which it may be kept.
    pub ttl: u32,
    /// Its value in one piece; of an MX the preference and the host.
    pub value: String,
    /// What is to be done.
    pub state: State,
    /// What stands there, where that is to be replaced.
    pub old: Option<String>,
    /// What it is for, and why it is proposed.
    pub why: Said,
}

impl Planned {
    // To be published; its zone is known once it is added to a plan.
    fn new(name: &str, kind: RecordType, value: impl ToString, why: impl Into<Said>) -> Self {
        let (name, value, why) = (name.to_owned(), value.to_string(), why.into());
        let (zone, state, old) = (String::new(), State::New, None);
        Self { name, zone, kind, ttl: TTL, value, state, old, why }
    }

    fn text(name: &str, value: &str, why: impl Into<Said>) -> Self {
        Self::new(name, RecordType::Txt, value, why)
    }

    fn in_state(self, state: State) -> Self {
        Self { state, ..self }
    }

    /// The name as most panels want it: without the zone, `@` for the zone itself.
    pub fn relative(&self) -> &str {
        if self.name == self.zone {
            return "@";
        }
        let inside = self.name.strip_suffix(self.zone.as_str());
        inside.and_then(|name| name.strip_suffix('.')).unwrap_or(&self.name)
    }

    /// The value of a TXT record in its character-strings; any other value as it is.
    pub fn pieces(&self) -> Vec<String> {
        match self.kind {
            RecordType::Txt => character_strings(&self.value),
            _ => vec![self.value.clone()],
        }
    }
}

/// The reverse record of an address, which whoever owns the address sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reverse {
    /// One that mail leaves from.
    pub address: IpAddr,
    /// The name in `in-addr.arpa` or `ip6.arpa`.
    pub name: String,
    /// The host name that it is to have.
    pub value: String,
    /// What is to be done; `None` if the DNS did not say what stands there.
    pub state: Option<State>,
    /// The names that stand there.
    pub old: Vec<String>,
    /// Why, and how.
    pub why: Said,
    /// What to write to the hosting company, unless the name is known to be right.
    pub request: Option<Said>,
}

/// An address that must be read by somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox {
    /// `postmaster@…` or `abuse@…`.
    pub address: String,
    /// Whether mail for it comes to this server.
    pub here: bool,
    /// Whether it reaches somebody; `None` where that is not known.
    pub exists: Option<bool>,
    /// What it is for, and where it is to be made.
    pub why: Said,
}

/// Terms of the SPF record's whole tree that ask the DNS; 10 are allowed (RFC 7208
/// §4.6.4). `None` where there is no record, or where a part cannot be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lookups {
    /// Of the record that is published.
    pub before: Option<u32>,
    /// Of the record that is proposed.
    pub after: Option<u32>,
}

/// The head of a zone: what a file of it must have so that a name server loads it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Apex {
    /// Where it begins.
    pub zone: String,
    /// The data of its SOA record; `None` if the DNS did not give it.
    pub soa: Option<String>,
    /// The hosts of its NS records.
    pub servers: Vec<String>,
    /// The addresses of those hosts in the zone that its NS and MX records name.
    pub addresses: Vec<(String, IpAddr)>,
}

/// Everything that is to be published for one domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Whose mail it is.
    pub domain: String,
    /// The name that this server calls itself.
    pub hostname: String,
    /// The addresses that its mail comes from; none behind a relayhost.
    pub egress: Vec<IpAddr>,
    /// The head of the domain's zone, as it stands.
    pub apex: Apex,
    /// The records, those that are right already among them.
    pub records: Vec<Planned>,
    /// What may come later and is not proposed now.
    pub later: Vec<Planned>,
    /// PTR records, which stand in zones of others.
    pub reverse: Vec<Reverse>,
    /// The mailboxes that every domain has.
    pub mailboxes: Vec<Mailbox>,
    /// Look-ups of the SPF record.
    pub lookups: Lookups,
    /// What else is to be known; of an error, mail is refused or lost if nothing is done.
    pub notes: Vec<Finding>,
}

impl Plan {
    /// Records that are to be made, changed or deleted.
    pub fn changes(&self) -> impl Iterator<Item = &Planned> {
        let is_left = |state| matches!(state, State::Keep | State::Decide);
        self.records.iter().filter(move |record| !is_left(record.state))
    }

    /// Records of which only the domain's owner can say whether they are to be published.
    pub fn undecided(&self) -> impl Iterator<Item = &Planned> {
        self.records.iter().filter(|record| record.state == State::Decide)
    }

    /// Whether the DNS is as it should be; the reverse records included.
    pub fn is_done(&self) -> bool {
        self.changes().next().is_none()
            && self.undecided().next().is_none()
            && self.reverse.iter().all(|reverse| reverse.state == Some(State::Keep))
    }

    // That the domain does not exist: no record can be published before it does.
    fn unregistered(&self) -> Option<&Finding> {
        self.notes.iter().find(|note| note.id == words::NOT_REGISTERED.id)
    }

    // All else that is to be known.
    fn other_notes(&self) -> impl Iterator<Item = &Finding> {
        self.notes.iter().filter(|note| note.id != words::NOT_REGISTERED.id)
    }
}

/// A plan in the making.
struct Draft<'a> {
    subject: &'a Subject,
    existing: &'a Existing,
    plan: Plan,
}

impl Draft<'_> {
    fn note(&mut self, finding: impl Into<Finding>) {
        self.plan.notes.push(finding.into());
    }

    // An alias is the only record of its name (RFC 1034 §3.6.2): what is read there
    // stands at its target, which may be somebody else's.
    fn add(&mut self, mut record: Planned) {
        if let Some(target) = self.existing.aliases.get(&record.name)
            && record.state != State::Keep
        {
            if record.state == State::Delete {
                return;
            }
            let found = words::NAME_IS_ALIAS.put("name", &record.name).put("target", target);
            record.why = found.said();
            let is_host = self.subject.hosts().iter().any(|host| host.name == record.name);
            if !is_host && !self.plan.notes.contains(&found) {
                self.note(found);
            }
            record.state = State::Decide;
        }
        let record = self.in_zone(record);
        self.plan.records.push(record);
    }

    /// Adds what may come later.
    fn prepare(&mut self, record: Planned) {
        let record = self.in_zone(record);
        self.plan.later.push(record);
    }

    fn in_zone(&self, record: Planned) -> Planned {
        let zone = self.existing.zones.of(&record.name, &self.subject.domain);
        Planned { zone, ..record }
    }

    /// Makes a text the only one of its kind at its name: of those that are present it
    /// takes the place of the `chosen` one, and the others go, for the reason that
    /// `surplus` gives of each.
    fn merge(
        &mut self,
        record: Planned,
        present: &[String],
        chosen: Option<usize>,
        surplus: impl Fn(&str) -> Said,
    ) {
        let name = record.name.clone();
        let (state, old) = match chosen.and_then(|at| present.get(at)) {
            None => (State::New, None),
            Some(text) if *text == record.value => (State::Keep, None),
            Some(text) => (State::Change, Some(text.clone())),
        };
        self.add(Planned { state, old, ..record });
        for (_, text) in present.iter().enumerate().filter(|(at, _)| Some(*at) != chosen) {
            self.add(Planned::text(&name, text, surplus(text)).in_state(State::Delete));
        }
    }
}

/// Questions that the DNS did not answer. Without the answers it is not known what
/// exists, and nothing is proposed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// The questions, such as `TXT example.com`, and what went wrong.
    pub questions: Vec<Unanswered>,
}

impl Unread {
    /// What to tell the administrator.
    pub fn said(&self) -> Said {
        // Where nothing answers, a few say as much as all of them.
        Said::of_parts(words::UNREAD, &[("questions", &self.list(SHOWN))])
    }

    /// So many of the questions, each with what went wrong.
    pub fn list(&self, most: usize) -> Said {
        let more = self.questions.len().saturating_sub(most);
        let more = (more > 0).then(|| Said::words(format!("… (+{more})")));
        let few = self.questions.iter().take(most).map(|(question, error)| {
            said_of!("{question}: {error}", "{question}: {error}";
                question = Said::words(question), error = dns_error(error))
        });
        Said::joined(&few.chain(more).collect::<Vec<_>>(), "; ")
    }
}

/// Works out what is to be published, from what exists.
pub async fn plan<D: Dns>(dns: &D, subject: &Subject) -> Result<Plan, Unread> {
    let (existing, unregistered) =
        tokio::join!(Existing::read(dns, subject), unregistered(dns, &subject.domain));
    let existing = existing?;
    let plan = Plan {
        domain: subject.domain.clone(),
        hostname: subject.hostname.clone(),
        egress: subject.egress.clone(),
        apex: existing.apex.clone(),
        records: Vec::new(),
        later: Vec::new(),
        reverse: Vec::new(),
        mailboxes: Vec::new(),
        lookups: Lookups::default(),
        notes: Vec::new(),
    };
    let mut draft = Draft { subject, existing: &existing, plan };
    if let Some(registered) = unregistered {
        draft.note(words::NOT_REGISTERED.put("domain", registered));
    }
    // What evaluations will begin with: both SPF records, and where the relay leads.
    let hosts = subject.hosts().into_iter().map(|host| host.name);
    let records = std::iter::once(subject.domain.clone()).chain(hosts);
    let records = records.map(|name| (name, RecordType::Txt));
    let relays = subject.relay.iter().chain(&subject.rescue);
    let of_relay = relays.flat_map(relayhost::first_questions);
    ahead::ask(dns, records.chain(of_relay)).await;
    let mut future = Overlay::new(dns);
    host::addresses(&mut draft, &mut future);
    host::exchangers(&mut draft, &mut future);
    spf::of_domain(&mut draft, &mut future).await?;
    spf::of_helo_names(&mut draft, &mut future).await?;
    dkim::keys(&mut draft);
    dmarc::policy(&mut draft);
    host::reverse(&mut draft);
    later::encryption(&mut draft);
    Ok(draft.plan)
}
