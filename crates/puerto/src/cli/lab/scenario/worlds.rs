//! What is wrong in each world: changes of the lab's DNS, made while the lab runs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use aws_lc_rs::digest;
use puerto_lab::world::{
    HOME, NAME_SERVERS, PLAIN, SENDER_ADDRESS, SENDER_DOMAIN, SENDER_HOST, STRICT,
};
use puerto_lab::{Lab, Zone};
use puerto_mail::dkim::{Algorithm, PrivateKey};
use puerto_mail::dns::{Record, RecordType};

use crate::check::blocklist_test_points;
use crate::lang::{Said, dns_error, key_error, said};

/// The domain whose keys sign where they should be those of [`SENDER_DOMAIN`].
pub(super) const OTHER_DOMAIN: &str = "mailer.example";
const ZEN: &str = "zen.spamhaus.org";
/// What a list answers for its test point.
const LISTED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// What Spamhaus answers for an address on the PBL, and to resolvers that may not ask.
const ON_PBL: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 10);
const MAY_NOT_ASK: Ipv4Addr = Ipv4Addr::new(127, 255, 255, 254);
/// Octets of one string of a TXT record, where some panels cut a value off.
const STRING: usize = 255;
/// One look-up more than a record may cost.
const TOO_MANY: usize = 11;

const SENDER: IpAddr = IpAddr::V4(SENDER_ADDRESS);
/// Where the server and the strict receiver are in IPv6.
pub(super) const HERE_V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
const RSA_KEY: &str = "rsa._domainkey.lab.example";

/// What every world has besides the lab: blocklists that list nothing but what they
/// must for their test, and the names of the name servers.
pub(super) fn publish(zone: &Zone) {
    for (address, host) in NAME_SERVERS.into_iter().zip(["ns1", "ns2"]) {
        let host = format!("{host}.{SENDER_DOMAIN}");
        zone.add_address(&host, IpAddr::V4(address));
        zone.add(SENDER_DOMAIN, RecordType::Ns, Record::Name(host));
    }
    publish_blocklists(zone);
}

/// Blocklists that list nothing but what they must for their test.
pub(in crate::cli::lab) fn publish_blocklists(zone: &Zone) {
    for name in blocklist_test_points() {
        zone.add_address(&name, IpAddr::V4(LISTED));
    }
}

pub(super) fn healthy(_: &Lab) -> Result<(), Said> {
    Ok(())
}

pub(super) fn no_ptr(lab: &Lab) -> Result<(), Said> {
    lab.zone().remove_pointer(SENDER);
    Ok(())
}

pub(super) fn generic_ptr(lab: &Lab) -> Result<(), Said> {
    lab.zone().remove_pointer(SENDER);
    lab.zone().add_host("127-0-0-10.dynamic.isp.example", SENDER);
    Ok(())
}

pub(super) fn spf_missing(lab: &Lab) -> Result<(), Said> {
    lab.zone().remove(SENDER_DOMAIN, RecordType::Txt);
    Ok(())
}

pub(super) fn spf_too_many_lookups(lab: &Lab) -> Result<(), Said> {
    let mut includes = String::new();
    for number in 1..=TOO_MANY {
        let name = format!("_spf{number}.newsletters.example");
        lab.zone().add_txt(&name, &format!("v=spf1 ip4:192.0.2.{number} -all"));
        includes.push_str(&format!("include:{name} "));
    }
    let record = format!("v=spf1 {includes}ip4:{SENDER_ADDRESS} -all");
    lab.zone().set_txt(SENDER_DOMAIN, &record);
    Ok(())
}

pub(super) fn two_spf_records(lab: &Lab) -> Result<(), Said> {
    lab.zone().add_txt(SENDER_DOMAIN, "v=spf1 include:_spf.isp.example ~all");
    Ok(())
}

pub(super) fn key_mismatch(lab: &Lab) -> Result<(), Said> {
    let other = PrivateKey::generate(Algorithm::RsaSha256).map_err(|error| key_error(&error))?;
    let other = PrivateKey::from_pem(&other).map_err(|error| key_error(&error))?;
    lab.zone().set_txt(RSA_KEY, &other.record_text());
    Ok(())
}

pub(super) fn dkim_truncated(lab: &Lab) -> Result<(), Said> {
    let found = lab.zone().resolve(RSA_KEY, RecordType::Txt).result;
    let mut records = found.map_err(|error| dns_error(&error))?;
    let Some(Record::Txt(whole)) = records.pop() else {
        return Err(said!("{name} is not published", "{name} no está publicado"; name = RSA_KEY));
    };
    let start = whole.get(..STRING).unwrap_or(&whole);
    lab.zone().set_txt(RSA_KEY, &String::from_utf8_lossy(start));
    Ok(())
}

pub(super) fn dmarc_misaligned(lab: &Lab) -> Result<(), Said> {
    let zone = lab.zone();
    zone.add_mx(OTHER_DOMAIN, 10, HOME.host);
    zone.add_txt(OTHER_DOMAIN, &format!("v=spf1 ip4:{SENDER_ADDRESS} -all"));
    Ok(())
}

pub(super) fn listed_on_pbl(lab: &Lab) -> Result<(), Said> {
    lab.zone().add_listing(ZEN, SENDER, ON_PBL);
    Ok(())
}

pub(super) fn blocklist_refuses_us(lab: &Lab) -> Result<(), Said> {
    let zone = lab.zone();
    zone.remove(&format!("2.0.0.127.{ZEN}"), RecordType::A);
    for address in [Ipv4Addr::new(127, 0, 0, 1), Ipv4Addr::new(127, 0, 0, 2), SENDER_ADDRESS] {
        zone.add_listing(ZEN, IpAddr::V4(address), MAY_NOT_ASK);
    }
    Ok(())
}

pub(super) fn servfail(lab: &Lab) -> Result<(), Said> {
    lab.break_second_name_server();
    Ok(())
}

/// What the administrator has found out about the strict receiver.
pub(super) const STRICT_DEMANDS: &[(&str, &str)] =
    &[("strict.toml", "hosts = [\"strict.example\"]\nenforces = [\"ptr\", \"spf\"]\n")];

pub(super) fn ipv6_without_ptr(lab: &Lab) -> Result<(), Said> {
    prefer_ipv6(lab.zone());
    lab.zone().add_address(SENDER_HOST, HERE_V6);
    for name in [SENDER_DOMAIN, SENDER_HOST] {
        let record = format!("v=spf1 ip4:{SENDER_ADDRESS} ip6:{HERE_V6} -all");
        lab.zone().set_txt(name, &record);
    }
    Ok(())
}

pub(super) fn ipv6_outside_spf(lab: &Lab) -> Result<(), Said> {
    prefer_ipv6(lab.zone());
    lab.zone().add_host(SENDER_HOST, HERE_V6);
    let record = format!("v=spf1 ip4:{SENDER_ADDRESS} ip6:{HERE_V6} -all");
    lab.zone().set_txt(SENDER_HOST, &record);
    Ok(())
}

/// An address beside the usual one, and what it is called in EHLO.
pub(super) const SECOND: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 29));
const SECOND_HOST: &str = "mail2.lab.example";
/// The server leaves from both. The second counts for much: it is the first choice for most mail.
pub(super) const SOURCES: &str = "[[source]]\nname = \"usual\"\nipv4 = \"127.0.0.10\"\n\
    [[source]]\nname = \"second\"\nipv4 = \"127.0.0.29\"\nhelo = \"mail2.lab.example\"\n\
    weight = 1000\n";

pub(super) fn sources(lab: &Lab) -> Result<(), Said> {
    lab.zone().add_address(SECOND_HOST, SECOND);
    let record = format!("v=spf1 ip4:{SENDER_ADDRESS} ip4:{SECOND} -all");
    for name in [SENDER_DOMAIN, SENDER_HOST, SECOND_HOST] {
        lab.zone().set_txt(name, &record);
    }
    Ok(())
}

// The strict receiver's best host has an IPv6 address alone, the other is as it was.
fn prefer_ipv6(zone: &Zone) {
    let host = format!("mx6.{}", STRICT.domain);
    zone.add_address(&host, HERE_V6);
    zone.add_mx(STRICT.domain, 5, &host);
}

/// One host shows the certificate that its record names, and one has renewed it and left the
/// record as it was.
pub(super) fn dane(lab: &Lab) -> Result<(), Said> {
    let (zone, port) = (lab.zone(), lab.mx_port());
    let right = digest::digest(&digest::SHA256, lab.certificate());
    let former = digest::digest(&digest::SHA256, b"former");
    for (resident, data) in [(STRICT, right), (PLAIN, former)] {
        zone.sign(resident.domain);
        zone.add_tlsa(resident.host, port, (3, 0, 1), data.as_ref());
    }
    let name_server = Record::Name(format!("ns1.{SENDER_DOMAIN}"));
    zone.add(STRICT.domain, RecordType::Ns, name_server);
    Ok(())
}

/// Two domains announce the policies that the server has fetched before.
pub(super) fn mta_sts(lab: &Lab) -> Result<(), Said> {
    for resident in [STRICT, PLAIN] {
        lab.zone().add_txt(&format!("_mta-sts.{}", resident.domain), "v=STSv1; id=1;");
    }
    Ok(())
}

/// Those policies: one names the host that takes the domain's mail, and one the host that did.
pub(super) fn policies(now: i64) -> Vec<(&'static str, String)> {
    let line = |domain: &str, host: &str| {
        serde_json::json!({
            "domain": domain, "id": "1", "fetched": now, "mode": "enforce", "max_age": 604_800,
            "mx": [host],
        })
    };
    let text = [line(STRICT.domain, STRICT.host), line(PLAIN.domain, "mx.former.example")];
    vec![("mta-sts", text.map(|line| format!("{line}\n")).concat())]
}

/// The host that spoke TLS yesterday.
pub(super) fn spoke_tls(now: i64) -> Vec<(&'static str, String)> {
    let line = serde_json::json!({ "host": STRICT.host, "good": now - 24 * 3600, "broken": 0 });
    vec![("tls-hosts", format!("{line}\n"))]
}
