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
mod relay;
pub mod render;
mod spf;
mod subject;
#[cfg(test)]
mod tests;
pub mod update;
mod words;
pub mod zonefile;

use std::net::IpAddr;

use puerto_mail::dns::{Dns, DnsError, RecordType};
use puerto_mail::spf::ahead;

use crate::config::NextHopHost;
pub use crate::lang::Said;
use crate::lang::{Language, dns_error};
use crate::survey::unregistered;
pub use dmarc::{DmarcProposal, dmarc_proposal, said_of_faults};
pub use spf::{Sender, SpfProposal, helo_spf_proposal, spf_proposal};
pub use subject::{Key, Subject, SubjectError};

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
    /// Its type.
    pub kind: RecordType,
    /// Seconds.
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
    /// The name as most panels want it: without the zone, `@` for the zone itself.
    pub fn relative(&self) -> &str {
        if self.name == self.zone {
            return "@";
        }
        let inside = self.name.strip_suffix(self.zone.as_str());
        inside.and_then(|name| name.strip_suffix('.')).unwrap_or(&self.name)
    }

    /// The value of a TXT record in character-strings of at most 255 octets (RFC 1035
    /// §3.3), which receivers join without anything between; any other value as it is.
    pub fn pieces(&self) -> Vec<String> {
        if self.kind != RecordType::Txt {
            return vec![self.value.clone()];
        }
        let mut pieces = vec![String::new()];
        for character in self.value.chars() {
            if pieces.last().is_some_and(|piece| piece.len() + character.len_utf8() > 255) {
                pieces.push(String::new());
            }
            if let Some(piece) = pieces.last_mut() {
                piece.push(character);
            }
        }
        pieces
    }
}

/// The reverse record of an address, which whoever owns the address sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reverse {
    /// The address.
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
    /// What it is for.
    pub why: Said,
    /// Where it is to be made.
    pub place: Said,
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

/// Something to know that is no record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Whether mail is refused or lost if nothing is done about it.
    pub serious: bool,
    /// What.
    pub text: Said,
}

/// The head of a zone: what a file of it must have so that a name server loads it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Apex {
    /// The zone.
    pub zone: String,
    /// The data of its SOA record; `None` if the DNS did not give it.
    pub soa: Option<String>,
    /// Its name servers.
    pub servers: Vec<String>,
    /// The addresses of those hosts in the zone that its NS and MX records name.
    pub addresses: Vec<(String, IpAddr)>,
}

/// Everything that is to be published for one domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The domain.
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
    /// The reverse records.
    pub reverse: Vec<Reverse>,
    /// The mailboxes that every domain has.
    pub mailboxes: Vec<Mailbox>,
    /// Look-ups of the SPF record.
    pub lookups: Lookups,
    /// What else is to be known.
    pub notes: Vec<Note>,
    /// The domain does not exist, which the first of the notes says: no record can be
    /// published before it does.
    pub unregistered: bool,
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

    pub(crate) fn note(&mut self, serious: bool, text: impl Into<Said>) {
        self.notes.push(Note { serious, text: text.into() });
    }

    // An alias is the only record of its name (RFC 1034 §3.6.2): what is read there
    // stands at its target, which may be somebody else's.
    fn push(&mut self, existing: &existing::Existing, mut record: Draft) {
        if let Some(target) = existing.aliases.get(&record.name)
            && record.state != State::Keep
        {
            if record.state == State::Delete {
                return;
            }
            let said = Said::plain(words::NAME_IS_ALIAS).put("name", &record.name);
            let said = said.put("target", target);
            if record.name != self.hostname && !self.notes.iter().any(|note| note.text == said) {
                self.note(true, said.clone());
            }
            record.why = said;
            record.state = State::Decide;
        }
        self.records.push(record.in_zone(&existing.zones, &self.domain));
    }
}

/// A record before its zone is known.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Draft {
    name: String,
    kind: RecordType,
    value: String,
    state: State,
    old: Option<String>,
    why: Said,
}

impl Draft {
    fn in_zone(self, zones: &existing::Zones, domain: &str) -> Planned {
        let zone = zones.of(&self.name, domain);
        let Self { name, kind, value, state, old, why } = self;
        Planned { name, zone, kind, ttl: TTL, value, state, old, why }
    }
}

/// Questions that the DNS did not answer. Without the answers it is not known what
/// exists, and nothing is proposed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// The questions, such as `TXT example.com`, and what went wrong.
    pub questions: Vec<(String, DnsError)>,
}

impl Unread {
    /// What to tell the administrator.
    pub fn explain(&self, language: Language) -> String {
        let mut list: Vec<String> = self
            .questions
            .iter()
            .map(|(question, error)| format!("{question}: {}", dns_error(error).of(language)))
            .collect();
        // Where nothing answers, a few say as much as all of them.
        let more = list.len().saturating_sub(SHOWN);
        if more > 0 {
            list.truncate(SHOWN);
            list.push(format!("… (+{more})"));
        }
        Said::plain(words::UNREAD).put("questions", list.join("; ")).of(language)
    }
}

/// Works out what is to be published, from what exists.
pub async fn plan<D: Dns>(dns: &D, subject: &Subject) -> Result<Plan, Unread> {
    let (existing, unregistered) =
        tokio::join!(existing::read(dns, subject), unregistered(dns, &subject.domain));
    let existing = existing?;
    let mut plan = Plan {
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
        unregistered: unregistered.is_some(),
    };
    if let Some(registered) = unregistered {
        plan.note(true, Said::plain(words::NOT_REGISTERED).put("domain", registered));
    }
    ahead::ask(dns, evaluated(subject)).await;
    let mut future = overlay::Overlay::new(dns);
    host::addresses(&mut plan, subject, &existing, &mut future);
    host::exchangers(&mut plan, subject, &existing, &mut future);
    spf::of_domain(&mut plan, subject, &existing, &mut future).await?;
    spf::of_helo_name(&mut plan, subject, &existing, &mut future).await?;
    dkim::keys(&mut plan, subject, &existing);
    dmarc::policy(&mut plan, subject, &existing);
    host::reverse(&mut plan, subject, &existing);
    later::encryption(&mut plan, subject, &existing);
    Ok(plan)
}

// What evaluations will begin with: both SPF records, and whatever the relay's name
// leads to.
fn evaluated(subject: &Subject) -> Vec<ahead::Question> {
    let mut first = vec![
        (subject.domain.clone(), RecordType::Txt),
        (subject.hostname.clone(), RecordType::Txt),
    ];
    match subject.relay.as_ref().map(|relay| &relay.host) {
        Some(NextHopHost::Mx(name)) => {
            first.push((name.clone(), RecordType::Mx));
            first.extend(ahead::addresses(name));
        }
        Some(NextHopHost::Name(name)) => first.extend(ahead::addresses(name)),
        _ => {}
    }
    first
}
