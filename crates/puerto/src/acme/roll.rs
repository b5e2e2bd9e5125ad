//! A new key, in the order that DANE demands: its TLSA record comes first, then two TTLs go by,
//! then the key is taken into use (RFC 7671 §8.1). Who publishes no TLSA records need not wait.

use aws_lc_rs::digest;
use puerto_mail::dns::{Dns, Record, RecordType};
use rcgen::{KeyPair, PublicKeyData as _};
use serde::{Deserialize, Serialize};

use super::folder::Folder;
use crate::config::Config;
use crate::rights::Identity;
use crate::tls::OwnCertificate;

/// A TTL that is not known is not believed to be shorter.
const SHORTEST: u32 = 300;

/// How far the next key has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Roll {
    /// Since when its record has been seen, in seconds since the epoch.
    pub seen: Option<i64>,
    /// The longest TTL of the records that was seen.
    pub ttl: u32,
}

impl Roll {
    /// When the key may be taken into use; `None` while its record is not there.
    pub fn ready(&self) -> Option<i64> {
        Some(self.seen?.saturating_add(2 * i64::from(self.ttl.max(SHORTEST))))
    }

    /// What is known after a look: `None` if there is nothing to wait for.
    fn after(mut self, found: Option<(&[Record], u32)>, next: &[u8], now: i64) -> Option<Self> {
        let (records, ttl) = found?;
        self.ttl = self.ttl.max(ttl);
        let is_next =
            |record: &Record| matches!(record, Record::Tlsa(3, 1, 1, data) if data == next);
        self.seen = match records.iter().any(is_next) {
            true => self.seen.filter(|seen| *seen <= now).or(Some(now)),
            false => None,
        };
        (self.ready().is_none_or(|ready| ready > now)).then_some(self)
    }
}

/// Looks whether the next key must still wait; `None`: it need not.
pub(super) async fn wait<D: Dns>(
    dns: &D,
    hostname: &str,
    (roll, next): (Roll, &str),
    now: i64,
) -> Option<Roll> {
    let hash = KeyPair::from_pem(next).ok().map(|key| hash(&key.subject_public_key_info()))?;
    let host = idna::domain_to_ascii(hostname).unwrap_or_else(|_| hostname.to_owned());
    match dns.lookup(&format!("_25._tcp.{host}"), RecordType::Tlsa).await {
        Ok(answer) => roll.after(Some((&answer.records, answer.ttl)), &hash, now),
        Err(error) if error.is_absence() => roll.after(None, &hash, now),
        // What cannot be looked up may be there.
        Err(_) => Some(roll),
    }
}

/// What the TLSA records of this server are to say: of the key in force, and of the next.
pub fn tlsa_hashes(config: &Config, service: Option<&Identity>) -> Vec<String> {
    let own = config.tls.as_ref().and_then(|files| OwnCertificate::load(files).ok());
    let in_force = own.and_then(|own| {
        let (_, key) = own.chain().next()?;
        Some(hash(key?.as_ref()))
    });
    let folder = Folder::of(&config.state_dir);
    let next = config.acme.is_on().then(|| folder.next_key(service).ok().flatten()).flatten();
    let next = next.and_then(|next| KeyPair::from_pem(&next).ok());
    let next = next.map(|key| hash(&key.subject_public_key_info()));
    let text = |hash: Vec<u8>| hash.iter().map(|octet| format!("{octet:02x}")).collect();
    match in_force {
        Some(in_force) => std::iter::once(in_force).chain(next).map(text).collect(),
        None => Vec::new(),
    }
}

fn hash(key: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, key).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use puerto_mail::dns::{DnsError, Table, block_on};

    use super::*;

    #[test]
    fn a_new_key_waits_for_its_record_and_two_ttls_more() {
        let key = KeyPair::generate().unwrap();
        let (pem, own) = (key.serialize_pem(), hash(&key.subject_public_key_info()));
        let name = "_25._tcp.mail.example.com";
        let mut table = Table::new();
        let look = |table: &Table, roll: Roll, now: i64| {
            block_on(wait(table, "mail.example.com", (roll, &pem), now)).unwrap()
        };
        assert_eq!(look(&table, Roll::default(), 0), None, "nobody demands a key");
        table.add(name, RecordType::Tlsa, Record::Tlsa(3, 1, 1, vec![7; 32]));
        let waits = look(&table, Roll::default(), 1000).unwrap();
        assert_eq!(waits.seen, None);
        table.add(name, RecordType::Tlsa, Record::Tlsa(3, 1, 1, own));
        let seen = look(&table, waits, 2000).unwrap();
        assert_eq!(seen.seen, Some(2000));
        let ready = seen.ready().unwrap();
        assert!(ready >= 2000 + 600);
        assert!(look(&table, seen.clone(), ready - 1).is_some());
        assert_eq!(look(&table, seen.clone(), ready), None);
        // It was taken away again: from the beginning.
        table.remove(name, RecordType::Tlsa);
        table.add(name, RecordType::Tlsa, Record::Tlsa(3, 1, 1, vec![7; 32]));
        assert_eq!(look(&table, seen.clone(), ready).unwrap().seen, None);
        table.fail(name, RecordType::Tlsa, DnsError::Timeout);
        assert_eq!(look(&table, seen.clone(), ready), Some(seen), "no answer is no absence");
    }
}
