//! DANE (RFC 7672) for mail that comes to this server: what the TLSA records promise, beside the
//! certificate that is configured and the one that port 25 shows.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use aws_lc_rs::digest;
use puerto_mail::dns::{Record, RecordType};
use puerto_mail::together::together;

use super::context::Context;
use super::outcome::{Check, Draft, Judged, told};
use super::receiving::Receiving;
use super::starttls::Starttls;
use super::tls::{DANE_SHOWN, DANE_TLSA, DANE_USAGE, Loaded, loaded};
use super::world::World;
use crate::lang::Said;
use crate::tls::{self, Dane, OwnCertificate, TlsaSet};

/// A TLSA record (RFC 6698 §2.1): usage, selector, matching type, data.
type Tlsa = (u8, u8, u8, Vec<u8>);

/// Judges the records of each of our hosts.
pub(super) async fn run<W: World>(
    context: &Context<'_, W>,
    receiving: &Receiving,
    certificate: &Loaded,
) -> Vec<Check> {
    match receiving.here(&context.about(&DANE_TLSA, &context.domain)) {
        Ok(hosts) => {
            let judged = hosts.iter().map(|host| dane_of(context, host, certificate));
            together(judged).await.concat()
        }
        Err(check) => vec![*check],
    }
}

async fn dane_of<W: World>(
    context: &Context<'_, W>,
    host: &str,
    certificate: &Loaded,
) -> Vec<Check> {
    let name = format!("_25._tcp.{host}");
    let draft = |check| context.asking(check, host, (&name, RecordType::Tlsa)).with("name", &name);
    let records = context.world.records(&name, RecordType::Tlsa).await;
    let records = match draft(&DANE_TLSA).answered(records) {
        Ok(records) => records,
        Err(check) => return vec![*check],
    };
    let tlsa = |record| match record {
        Record::Tlsa(usage, selector, matching, data) => Some((usage, selector, matching, data)),
        _ => None,
    };
    let set = TlsaSet::of(&records);
    let records: Vec<Tlsa> = records.into_iter().filter_map(tlsa).collect();
    if records.is_empty() {
        return vec![draft(&DANE_TLSA).not_applicable((
            "no TLSA records, which nobody demands",
            "no hay registros TLSA, cosa que nadie exige",
        ))];
    }
    let shown = records
        .iter()
        .map(|(usage, selector, matching, _)| format!("{usage} {selector} {matching}"));
    let usage = draft(&DANE_USAGE).list("records", shown);
    let seen = context.about(&DANE_SHOWN, host).with("name", &name);
    let is_usable = |(usage, ..): &Tlsa| matches!(usage, 2 | 3);
    vec![
        usage.judge(!records.iter().all(is_usable)),
        told(matches(draft(&DANE_TLSA), &records, certificate)),
        told(as_seen(context, seen, (host, set)).await),
    ]
}

// As senders see it, at an address of each family.
async fn as_seen<W: World>(
    context: &Context<'_, W>,
    draft: Draft,
    (host, records): (&str, TlsaSet),
) -> Judged {
    if !records.is_usable() {
        return Ok(draft.skipped(&DANE_USAGE));
    }
    let addresses = draft.answered(context.addresses(host).await)?;
    let first = |is: fn(&IpAddr) -> bool| addresses.iter().copied().find(is);
    let peers = [first(IpAddr::is_ipv4), first(IpAddr::is_ipv6)].into_iter().flatten();
    let peers: Vec<SocketAddr> = peers.map(|address| SocketAddr::new(address, 25)).collect();
    let base: Arc<str> = host.into();
    let dane = Dane { names: vec![Arc::clone(&base)], base, records: Arc::new(records) };
    let names = (host, context.helo.as_str());
    let asked = peers.iter().map(|peer| context.world.certificates(*peer, names));
    let (mut seen, mut wrong, mut tried) = (Vec::new(), false, false);
    for (peer, found) in peers.iter().zip(together(asked).await) {
        let place = Said::words(at(host, *peer));
        let found = match found {
            Ok(chain) => dane.record_met(&chain).map_err(|why| why.said()),
            Err(Starttls::NotTried(why)) => {
                seen.push(Said::joined([&place, &why], ": "));
                continue;
            }
            Err(other) => Err(other.shown()),
        };
        tried = true;
        wrong |= found.is_err();
        let said = found.map_or_else(|why| why, Said::words);
        seen.push(Said::joined([&place, &said], ": "));
    }
    let asked: Vec<String> = peers.iter().map(|peer| at(host, *peer)).collect();
    let draft = draft.asked(asked.join(", ")).with_said("seen", Said::joined(&seen, "; "));
    Ok(match tried {
        true => draft.judge(wrong),
        false => draft.unknown("{seen}"),
    })
}

fn at(host: &str, peer: SocketAddr) -> String {
    format!("{host}[{}]:{}", peer.ip(), peer.port())
}

fn matches(draft: Draft, records: &[Tlsa], certificate: &Loaded) -> Judged {
    if certificate.is_none() {
        return Ok(draft
            .expected(("a certificate that matches", "un certificado que corresponda"))
            .remedy((
                "Configure the certificate under `[tls]`, or delete the records at {name}.",
                "Configure el certificado en `[tls]`, o borre los registros de {name}.",
            ))
            .finding((
                "TLSA records promise a certificate, and none is configured",
                "los registros TLSA prometen un certificado, y no hay ninguno configurado",
            )));
    }
    let (certificate, draft) = loaded(certificate, draft)?;
    let key = certificate.chain().next().and_then(|(_, key)| key);
    let right = key.map(|key| hex(digest::digest(&digest::SHA256, key.as_ref()).as_ref()));
    let draft = draft.with("right", right.unwrap_or_default());
    Ok(draft.judge(!records.iter().any(|record| is_met(record, certificate))))
}

fn is_met((usage, selector, matching, data): &Tlsa, certificate: &OwnCertificate) -> bool {
    let record = tls::Tlsa::new(*usage, *selector, *matching, data);
    record.is_some_and(|record| certificate.meets(&record))
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
