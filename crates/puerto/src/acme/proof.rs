//! How it is shown that a name is ours.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use instant_acme::{ChallengeType, KeyAuthorization};
use puerto_mail::dns::{Dns as _, Record, RecordType};
use puerto_spool::clock::Clock;
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use crate::cause::Cause;
use crate::cause::field::{Spoken, Words};
use crate::config::{Acme, Challenge};
use crate::dns::{Resolver, ask_server};
use crate::dnsplan::update::{self, Key};
use crate::web::{ACME_PROTOCOL, Answers};

/// How long a record may take to reach all servers of its zone.
const SPREADING: Duration = Duration::from_secs(150);
/// How long it is waited where none of them can be asked.
const UNSEEN: Duration = Duration::from_secs(20);
const AGAIN: Duration = Duration::from_secs(2);
/// Aliases that lead from a name to where its record is written.
const ALIASES: usize = 8;

/// What shows names, and takes back what it has shown.
pub(super) struct Prover {
    way: Way,
    shown: Mutex<Vec<(String, String)>>,
}

enum Way {
    Page(Answers),
    Certificate(Answers),
    Record { server: SocketAddr, key: PathBuf, dns: Arc<Resolver>, clock: Arc<dyn Clock> },
}

impl Prover {
    /// By the challenge that is configured.
    pub(super) fn new(
        acme: &Acme,
        answers: &Answers,
        dns: &Arc<Resolver>,
        clock: &Arc<dyn Clock>,
    ) -> Self {
        let way = match (acme.challenge, acme.dns_server, &acme.dns_key) {
            (Challenge::Dns, Some(server), Some(key)) => Way::Record {
                server,
                key: key.clone(),
                dns: Arc::clone(dns),
                clock: Arc::clone(clock),
            },
            (Challenge::TlsAlpn, ..) => Way::Certificate(answers.clone()),
            _ => Way::Page(answers.clone()),
        };
        Self { way, shown: Mutex::default() }
    }

    /// The challenge, as the library calls it.
    pub(super) fn kind(&self) -> ChallengeType {
        match &self.way {
            Way::Page(_) => ChallengeType::Http01,
            Way::Certificate(_) => ChallengeType::TlsAlpn01,
            Way::Record { .. } => ChallengeType::Dns01,
        }
    }

    /// Shows it; the authority may look when this is done.
    pub(super) async fn show(
        &self,
        name: &str,
        token: &str,
        proof: &KeyAuthorization,
    ) -> Result<(), Cause> {
        match &self.way {
            Way::Page(answers) => {
                self.note(token, "");
                answers.page(token, Some(proof.as_str().to_owned()));
            }
            Way::Certificate(answers) => {
                let config = certificate(name, proof.digest().as_ref());
                let config = config.map_err(|why| Cause::AcmeMisunderstood { why: Words(why) })?;
                self.note(name, "");
                answers.certificate(name, Some(Arc::new(config)));
            }
            Way::Record { dns, .. } => {
                let at = target(dns, &format!("_acme-challenge.{name}")).await;
                let value = proof.dns_value();
                self.note(&at, &value);
                let zone = self.update(&at, &value, true).await?;
                if !spread(dns, &zone, (&at, &value)).await {
                    return Err(Cause::AcmeUnseen { name: at });
                }
            }
        }
        Ok(())
    }

    /// Takes back all that was shown.
    pub(super) async fn withdraw(&self) {
        let shown = std::mem::take(&mut *self.shown.lock().unwrap_or_else(PoisonError::into_inner));
        for (what, value) in shown {
            match &self.way {
                Way::Page(answers) => answers.page(&what, None),
                Way::Certificate(answers) => answers.certificate(&what, None),
                // One that stays harms nobody: it is good for this order alone.
                Way::Record { .. } => drop(self.update(&what, &value, false).await),
            }
        }
    }

    fn note(&self, what: &str, value: &str) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.push((what.to_owned(), value.to_owned()));
    }

    async fn update(&self, at: &str, value: &str, is_wanted: bool) -> Result<String, Cause> {
        let Way::Record { server, key, clock, .. } = &self.way else { return Ok(String::new()) };
        let failed = |why| Cause::AcmeNotWritten { name: at.to_owned(), why };
        let file = key.clone();
        let read = tokio::task::spawn_blocking(move || Key::load(&file)).await;
        let key = match read {
            Ok(read) => read.map_err(|error| failed(Spoken::of(&error.said())))?,
            Err(error) => return Err(failed(Spoken::of(&crate::lang::quoted(&error.to_string())))),
        };
        let done = update::text(*server, &key, &**clock, (at, value), is_wanted).await;
        done.map_err(|error| failed(Spoken::of(&error.said())))
    }
}

// RFC 8737 §3: it says the name and the proof, and is signed by itself.
fn certificate(name: &str, digest: &[u8]) -> Result<ServerConfig, String> {
    if digest.len() != 32 {
        return Err("SHA-256".to_owned());
    }
    let words = |error: rcgen::Error| error.to_string();
    let mut asked = CertificateParams::new(vec![name.to_owned()]).map_err(words)?;
    asked.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate().map_err(words)?;
    let signed = asked.self_signed(&key).map_err(words)?;
    let words = |error: rustls::Error| error.to_string();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    let key = aws_lc_rs::sign::any_supported_type(&key).map_err(words)?;
    let shown = CertifiedKey::new(vec![signed.der().clone()], key);
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(words)?
        .with_no_client_auth()
        // Not by `with_single_cert`, which refuses an extension that it does not know.
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
    config.alpn_protocols = vec![ACME_PROTOCOL.to_vec()];
    Ok(config)
}

// RFC 8555 §8.4: the authority follows aliases, by which a zone hands its challenges over to
// another that takes updates.
async fn target(dns: &Resolver, name: &str) -> String {
    let mut at = name.to_owned();
    for _ in 0..ALIASES {
        let found = dns.records(&at, RecordType::Cname).await.unwrap_or_default();
        match found.into_iter().find_map(Record::into_name) {
            Some(next) => at = next,
            None => break,
        }
    }
    at
}

// Whether every server of the zone that answers has the record.
async fn spread(dns: &Resolver, zone: &str, (at, value): (&str, &str)) -> bool {
    let mut servers: Vec<IpAddr> = Vec::new();
    for server in dns.records(zone, RecordType::Ns).await.unwrap_or_default() {
        if let Some(name) = server.into_name() {
            servers.extend(dns.addresses(&name).await.unwrap_or_default());
        }
    }
    let looking = async {
        loop {
            let (mut have, mut lack) = (0, 0);
            for server in &servers {
                match ask_server(SocketAddr::new(*server, 53), at, RecordType::Txt).await {
                    Ok(found)
                        if found.records.iter().any(|one| one.text().as_deref() == Some(value)) =>
                    {
                        have += 1;
                    }
                    Ok(_) => lack += 1,
                    Err(error) if error.is_absence() => lack += 1,
                    Err(_) => {}
                }
            }
            match (have, lack) {
                (1.., 0) => return true,
                (0, 0) => {
                    // Its servers are hidden, or not to be reached from here.
                    tokio::time::sleep(UNSEEN).await;
                    return true;
                }
                _ => tokio::time::sleep(AGAIN).await,
            }
        }
    };
    tokio::time::timeout(SPREADING, looking).await.unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_for_the_authority_says_the_proof() {
        let config = certificate("mail.example.com", &[7; 32]).unwrap();
        assert_eq!(config.alpn_protocols, [ACME_PROTOCOL]);
        assert!(certificate("mail.example.com", &[7; 31]).is_err());
        assert!(certificate("\u{fc}", &[7; 32]).is_err());
    }
}
