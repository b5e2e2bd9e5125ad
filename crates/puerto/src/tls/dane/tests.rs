//! Chains made for the purpose against records of every kind that is published: the rows of
//! RFC 7671 §5 and RFC 7672 §3.1, and what went wrong for others.

use std::time::Duration;

use rcgen::{
    BasicConstraints, Certificate as Made, CertificateParams, CertifiedIssuer, DnType, IsCa,
    KeyPair, date_time_ymd,
};

use super::*;

struct Chain {
    own: CertificateDer<'static>,
    authority: CertificateDer<'static>,
    top: CertificateDer<'static>,
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn made(names: &[&str], has_expired: bool) -> Chain {
    let top = CertifiedIssuer::self_signed(authority("Top"), KeyPair::generate().unwrap()).unwrap();
    let middle =
        CertifiedIssuer::signed_by(authority("Middle"), KeyPair::generate().unwrap(), &top)
            .unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, "Host");
    if has_expired {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    }
    let own = params.signed_by(&KeyPair::generate().unwrap(), &middle).unwrap();
    let der = |made: &Made| made.der().clone();
    Chain { own: der(&own), authority: der(middle.as_ref()), top: der(top.as_ref()) }
}

fn key(certificate: &CertificateDer<'_>) -> Vec<u8> {
    ParsedCertificate::try_from(certificate).unwrap().subject_public_key_info().to_vec()
}

fn hash(octets: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, octets).as_ref().to_vec()
}

fn long_hash(octets: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA512, octets).as_ref().to_vec()
}

fn demand(names: &[&str], records: &[(u8, u8, u8, Vec<u8>)]) -> Dane {
    let records: Vec<Record> = records
        .iter()
        .map(|(usage, selector, matching, data)| {
            Record::Tlsa(*usage, *selector, *matching, data.clone())
        })
        .collect();
    let names: Vec<Arc<str>> = names.iter().map(|name| Arc::from(*name)).collect();
    Dane { base: names[0].clone(), names, records: Arc::new(TlsaSet::of(&records)) }
}

// 29 November 2026.
const NOW: u64 = 1_795_910_400;

fn met(dane: &Dane, chain: &[&CertificateDer<'static>]) -> Result<String, Cause> {
    let chain: Vec<_> = chain.iter().map(|one| (*one).clone()).collect();
    let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
    let now = UnixTime::since_unix_epoch(Duration::from_secs(NOW));
    let found = dane.matched(&chain, now, &algorithms);
    found.map(ToString::to_string).map_err(|error| crate::tls::tls_failure(&error))
}

#[test]
fn records_that_nothing_can_be_compared_with_are_none() {
    let (h256, h512) = (vec![7; 32], vec![7; 64]);
    for (usage, selector, matching, data, usable) in [
        // PKIX-TA and PKIX-EE are not for mail (RFC 7672 §3.1.3).
        (0, 1, 1, &h256, false),
        (1, 1, 1, &h256, false),
        (2, 0, 1, &h256, true),
        (2, 1, 2, &h512, true),
        (3, 0, 2, &h512, true),
        (3, 1, 1, &h256, true),
        (3, 1, 0, &vec![48, 3], true),
        (4, 1, 1, &h256, false),
        (255, 1, 1, &h256, false),
        (3, 2, 1, &h256, false),
        (3, 255, 1, &h256, false),
        (3, 1, 3, &h256, false),
        (3, 1, 255, &h256, false),
        // Lengths of another digest, or of none.
        (3, 1, 1, &h512, false),
        (3, 1, 2, &h256, false),
        (3, 1, 1, &vec![], false),
        (3, 1, 0, &vec![], false),
        (3, 1, 0, &vec![48; LONGEST + 1], false),
    ] {
        let dane = demand(&["mx.test"], &[(usage, selector, matching, data.clone())]);
        assert_eq!(dane.records.is_usable(), usable, "{usage} {selector} {matching}");
    }
    let many = vec![(3, 1, 1, vec![1; 32]); 200];
    assert_eq!(demand(&["mx.test"], &many).records.usable.len(), 1);
    let many: Vec<_> = (0..=255).map(|octet| (3, 1, 1, vec![octet; 32])).collect();
    assert_eq!(demand(&["mx.test"], &many).records.usable.len(), MOST);
}

#[test]
fn the_order_of_records_makes_no_other_demand() {
    let (a, b) = ((3, 1, 1, vec![1; 32]), (3, 1, 1, vec![2; 32]));
    let one = demand(&["mx.test"], &[a.clone(), b.clone()]);
    assert_eq!(one, demand(&["mx.test"], &[b, a.clone()]));
    assert_ne!(one, demand(&["mx.test"], &[a]));
}

/// DANE-EE(3): neither names, nor dates, nor the chain.
#[test]
fn the_hosts_own_certificate_is_enough() {
    let chain = made(&["somewhere.else.test"], true);
    for record in [
        (3, 0, 0, chain.own.to_vec()),
        (3, 0, 1, hash(&chain.own)),
        (3, 0, 2, long_hash(&chain.own)),
        (3, 1, 0, key(&chain.own)),
        (3, 1, 1, hash(&key(&chain.own))),
        (3, 1, 2, long_hash(&key(&chain.own))),
    ] {
        let shown = format!("{} {} {}", record.0, record.1, record.2);
        let dane = demand(&["mx.test"], std::slice::from_ref(&record));
        assert_eq!(met(&dane, &[&chain.own]), Ok(shown.clone()));
        assert_eq!(met(&dane, &[&chain.own, &chain.authority]), Ok(shown.clone()));
        // One is enough: the others may be those of a key that was or will be.
        let rolled = [(3, 1, 1, vec![0; 32]), record, (0, 0, 1, vec![0; 32])];
        if shown != "3 1 1" && rolled[1].2 != 2 {
            assert_eq!(met(&demand(&["mx.test"], &rolled), &[&chain.own]), Ok(shown));
        }
    }
    let none = Cause::TlsaUnmatched { host: "mx.test".to_owned() };
    for record in [
        (3, 1, 1, vec![0; 32]),
        // What is an authority's is not the host's, and a certificate is no key.
        (3, 1, 1, hash(&key(&chain.authority))),
        (3, 1, 1, hash(&chain.own)),
        (3, 0, 1, hash(&key(&chain.own))),
    ] {
        let dane = demand(&["mx.test"], &[record]);
        assert_eq!(met(&dane, &[&chain.own, &chain.authority]), Err(none.clone()));
    }
}

/// DANE-TA(2): the authority in the chain vouches for one of the names, today.
#[test]
fn an_authority_vouches_for_a_name_and_a_time() {
    let chain = made(&["mx.test"], false);
    let whole = [&chain.own, &chain.authority, &chain.top];
    for of in [&chain.authority, &chain.top] {
        for record in [
            (2, 0, 0, of.to_vec()),
            (2, 0, 1, hash(of)),
            (2, 0, 2, long_hash(of)),
            (2, 1, 0, key(of)),
            (2, 1, 1, hash(&key(of))),
            (2, 1, 2, long_hash(&key(of))),
        ] {
            let shown = format!("{} {} {}", record.0, record.1, record.2);
            let dane = demand(&["mx.test"], std::slice::from_ref(&record));
            assert!(dane.records.needs_names());
            assert_eq!(met(&dane, &whole), Ok(shown.clone()));
            // Any of the names: those of the domain that the mail is for, too.
            let by_domain = demand(&["other.test", "mx.test"], std::slice::from_ref(&record));
            assert_eq!(met(&by_domain, &whole), Ok(shown));
            let other = demand(&["other.test"], &[record]);
            assert!(matches!(met(&other, &whole), Err(Cause::CertificateFor { .. })));
        }
    }
    // A digest cannot mean what the peer has not sent; a whole certificate or key can.
    let dane = |record| demand(&["mx.test"], &[record]);
    let digest = dane((2, 1, 1, hash(&key(&chain.top))));
    assert!(met(&digest, &[&chain.own, &chain.authority]).is_err());
    for record in [(2, 0, 0, chain.top.to_vec()), (2, 1, 0, key(&chain.top))] {
        assert!(met(&dane(record), &[&chain.own, &chain.authority]).is_ok());
    }
    let below = dane((2, 1, 0, key(&chain.authority)));
    assert!(met(&below, &[&chain.own]).is_ok(), "it issued the host's own");
    // It is the peer's own certificate, which vouches for nobody.
    assert!(met(&dane((2, 1, 1, hash(&key(&chain.own)))), &whole).is_err());
    // In the chain, but another has issued the host's certificate.
    let stranger = made(&["mx.test"], false);
    let forged = [&stranger.own, &chain.authority, &chain.top];
    assert!(met(&dane((2, 1, 1, hash(&key(&chain.authority)))), &forged).is_err());
    assert!(met(&dane((2, 1, 0, key(&chain.authority))), &forged).is_err());
    let expired = made(&["mx.test"], true);
    let record = dane((2, 1, 1, hash(&key(&expired.authority))));
    let found = met(&record, &[&expired.own, &expired.authority]);
    assert!(matches!(found, Err(Cause::CertificateExpired {} | Cause::Quoted { .. })), "{found:?}");
}

/// Let's Encrypt issues from any of its intermediates since June 2024, and from others since May
/// 2026: who publishes one of them is not met after a renewal.
#[test]
fn an_authority_that_another_has_taken_the_place_of_vouches_for_nobody() {
    let top = CertifiedIssuer::self_signed(authority("Top"), KeyPair::generate().unwrap()).unwrap();
    let middle = |name: &str| {
        let key = KeyPair::generate().unwrap();
        CertifiedIssuer::signed_by(authority(name), key, &top).unwrap()
    };
    let (before, after) = (middle("R10"), middle("YR1"));
    let own_key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["mx.test".to_owned()]).unwrap();
    let old = params.signed_by(&own_key, &before).unwrap().der().clone();
    let new = params.signed_by(&own_key, &after).unwrap().der().clone();
    let [before, after] = [&before, &after].map(|one| one.as_ref().der().clone());
    let top = top.as_ref().der().clone();
    let of_key = |usage: u8, certificate| (usage, 1, 1, hash(&key(certificate)));
    let now = [&new, &after, &top];
    let only = demand(&["mx.test"], &[of_key(2, &before)]);
    assert_eq!(met(&only, &[&old, &before, &top]), Ok("2 1 1".to_owned()));
    assert_eq!(met(&only, &now), Err(Cause::TlsaUnmatched { host: "mx.test".to_owned() }));
    // What holds over a renewal: all that may issue, whoever is above them if the peer sends it,
    // and the host's own key where that stays.
    for records in [
        vec![of_key(2, &before), of_key(2, &after)],
        vec![of_key(2, &before), of_key(2, &top)],
        vec![of_key(2, &before), of_key(3, &old)],
    ] {
        assert!(met(&demand(&["mx.test"], &records), &now).is_ok());
    }
    // A chain as short as most servers send it says nothing of its top.
    let of_top = demand(&["mx.test"], &[of_key(2, &top)]);
    assert!(met(&of_top, &now).is_ok() && met(&of_top, &[&new, &after]).is_err());
}

/// Exchange Online read about twelve records of a host in 2024, and mail waited for the others.
#[test]
fn a_record_counts_also_where_it_stands_behind_a_dozen() {
    let chain = made(&["mx.test"], false);
    let right = (3, 1, 1, hash(&key(&chain.own)));
    for place in [0, 11, 12, 13, MOST - 1] {
        let mut records: Vec<_> =
            (0..MOST as u8 - 1).map(|octet| (3, 1, 1, vec![octet; 32])).collect();
        records.insert(place, right.clone());
        let dane = demand(&["mx.test"], &records);
        assert_eq!(met(&dane, &[&chain.own]), Ok("3 1 1".to_owned()), "{place}");
    }
}

#[test]
fn of_two_digests_the_stronger_counts() {
    let chain = made(&["mx.test"], false);
    let (right, wrong) = ((3, 1, 1, hash(&key(&chain.own))), (3, 1, 2, vec![0; 64]));
    assert!(met(&demand(&["mx.test"], &[right.clone(), wrong]), &[&chain.own]).is_err());
    // Those of something else are not compared.
    let of_other = (3, 0, 2, vec![0; 64]);
    assert!(met(&demand(&["mx.test"], &[right, of_other]), &[&chain.own]).is_ok());
}

#[test]
fn a_peer_without_a_certificate_or_with_nonsense_for_one_meets_nothing() {
    let nonsense = CertificateDer::from(b"no certificate".to_vec());
    for record in [(3, 1, 1, vec![0; 32]), (2, 1, 0, vec![48, 3, 1, 1, 1]), (2, 0, 0, vec![1])] {
        let dane = demand(&["mx.test"], &[record]);
        assert!(met(&dane, &[]).is_err());
        assert!(met(&dane, &[&nonsense]).is_err());
        assert!(met(&dane, &[&nonsense, &nonsense]).is_err());
    }
}

#[test]
fn a_key_in_a_certificate_of_version_1_is_a_key() {
    use rustls::pki_types::pem::PemObject;
    let pem = include_bytes!("../../../tests/tls/old.pem");
    let old = CertificateDer::from_pem_slice(pem).unwrap();
    let key = sequence(&Certificate::parse(&old).unwrap().public_key);
    assert_eq!(super::super::certificate::contents(&key).map(<[u8]>::len), Some(key.len() - 3));
    let dane = demand(&["mx.test"], &[(3, 1, 1, hash(&key))]);
    assert_eq!(met(&dane, &[&old]), Ok("3 1 1".to_owned()));
}
