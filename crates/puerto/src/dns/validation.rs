//! Whether the resolver validates DNSSEC: two questions whose answers are known.
//!
//! DANE rests on the resolver's word alone. One that does not validate never says that an
//! answer is secure, and DANE is then off without anybody noticing; one that passes on what
//! somebody else says would have us trust what anybody on the way may have made up.

use std::sync::atomic::Ordering;

use puerto_mail::dns::{DnsError, RecordType};

use super::Resolver;

/// What the resolver makes of DNSSEC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Validation {
    /// It validates: it vouches for what is signed, and gives nothing that is forged.
    Full,
    /// It is not on this machine, nor configured as trusted: its word is not heard.
    Untrusted,
    /// It does not vouch for a name that is signed.
    Absent,
    /// It gives records whose signatures are wrong: its word is worth nothing.
    Credulous,
    /// It did not answer.
    Unknown(DnsError),
}

impl Validation {
    /// Whether answers may be secure.
    pub fn is_full(&self) -> bool {
        *self == Self::Full
    }
}

impl Resolver {
    /// Asks each server for the NS records of a name that is signed and for the address of
    /// one whose signatures are wrong; an empty name is not asked for. What servers that
    /// believe everything say of DNSSEC counts no longer.
    pub async fn validation(&self, signed: &str, bogus: &str) -> Validation {
        let found = match self.0.servers.are_trusted() {
            false => Validation::Untrusted,
            true => self.worst_validation(signed, bogus).await,
        };
        self.0.is_credulous.store(found == Validation::Credulous, Ordering::Relaxed);
        found
    }

    async fn worst_validation(&self, signed: &str, bogus: &str) -> Validation {
        let mut unknown = None;
        let (mut full, mut absent) = (0, 0);
        let servers = self.servers().len();
        for number in 0..servers {
            match self.validation_of(number, signed, bogus).await {
                Validation::Full => full += 1,
                Validation::Absent => absent += 1,
                Validation::Unknown(error) => unknown = Some(Validation::Unknown(error)),
                other => return other,
            }
        }
        // One that is down is passed over, and what the others say holds.
        match (unknown, absent, full) {
            (_, 1.., _) => Validation::Absent,
            (_, 0, 1..) => Validation::Full,
            (unknown, ..) => unknown.unwrap_or(Validation::Absent),
        }
    }

    async fn validation_of(&self, number: usize, signed: &str, bogus: &str) -> Validation {
        let servers = &self.0.servers;
        if !signed.is_empty() {
            let signed = signed.trim_end_matches('.').to_ascii_lowercase();
            match servers.ask_number(number, &signed, RecordType::Ns).await {
                Ok(answer) if answer.validated => {}
                Err(error) if !error.is_absence() => return Validation::Unknown(error),
                Ok(_) | Err(_) => return Validation::Absent,
            }
        }
        let bogus = bogus.trim_end_matches('.').to_ascii_lowercase();
        if bogus.is_empty() {
            return Validation::Full;
        }
        match servers.ask_number(number, &bogus, RecordType::A).await {
            Ok(_) => Validation::Credulous,
            Err(_) => Validation::Full,
        }
    }
}
