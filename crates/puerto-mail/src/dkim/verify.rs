//! Checking signatures (RFC 6376 §6), step by step, so that a failure can be
//! explained.

use std::collections::HashMap;

use puerto_smtp::base64;

use super::Algorithm;
use super::canonical::{BodyHasher, Canonicalization, canonical_field};
use super::record::{PublicKey, RecordError};
use super::tags::{Tags, shown};
use crate::dns::{Dns, DnsError, Record, RecordType};
use crate::header::{Field, Header};

/// Signatures of one message that are checked; the others are reported as
/// permerror, since each costs a look-up and a hash.
const MAX_SIGNATURES: usize = 10;
/// Records at one selector that are tried.
const MAX_KEYS: usize = 4;
/// Octets of a header that is read. Receivers refuse long ones for what they are; a
/// signature in them is not to be passed over.
const MAX_HEADER: usize = 4 * 1024 * 1024;
/// How far ahead of our clock a signature's `t=` may be, in seconds.
const CLOCK_SKEW: i64 = 300;

/// The result of one signature (RFC 8601 §2.7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DkimResult {
    /// It holds.
    Pass,
    /// The message was changed, or the key is another.
    Fail,
    /// It is unacceptable whatever the message: `policy.dkim-rules`.
    Policy,
    /// It or its key is malformed, and always will be.
    PermError,
    /// The key could not be fetched; to be tried again.
    TempError,
}

impl DkimResult {
    /// As an `Authentication-Results` field writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Policy => "policy",
            Self::PermError => "permerror",
            Self::TempError => "temperror",
        }
    }
}

/// What a step of the check looked at, in the order of the steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StepKind {
    /// The signature's tags.
    Syntax,
    /// The algorithm.
    Algorithm,
    /// The key record in the DNS.
    KeyRecord,
    /// The hash of the body.
    BodyHash,
    /// The signature over the header.
    HeaderHash,
}

/// One step of the check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What it looked at.
    pub kind: StepKind,
    /// Whether it went well.
    pub passed: bool,
    /// What was seen, or what is wrong, in a sentence for people.
    pub detail: String,
}

/// What became of one signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// The result.
    pub result: DkimResult,
    /// `d=`, in lower case; empty if it could not be read.
    pub domain: String,
    /// `s=`.
    pub selector: String,
    /// `i=`, or `@` and the domain.
    pub identity: String,
    /// `a=`.
    pub algorithm: Option<Algorithm>,
    /// The first characters of `b=`, which tell signatures of one message apart
    /// (RFC 6008).
    pub signature_start: String,
    /// The names in `h=`, as they are written; empty if it could not be read.
    pub signed_fields: Vec<String>,
    /// The bits of the key.
    pub key_bits: Option<usize>,
    /// The key record says that the domain is only testing.
    pub testing: bool,
    /// How many octets of the body lie behind `l=` and are not signed (RFC 6376 §8.2).
    pub octets_not_signed: u64,
    /// The steps taken, in order; the last one says why it failed.
    pub steps: Vec<Step>,
}

impl Verification {
    /// The first step that went wrong, in words; `None` after a pass.
    pub fn reason(&self) -> Option<&str> {
        self.steps.iter().find(|step| !step.passed).map(|step| step.detail.as_str())
    }

    fn step(&mut self, kind: StepKind, detail: impl Into<String>) {
        self.steps.push(Step { kind, passed: true, detail: detail.into() });
    }

    fn stop(mut self, result: DkimResult, kind: StepKind, detail: impl Into<String>) -> Self {
        self.result = result;
        self.steps.push(Step { kind, passed: false, detail: detail.into() });
        self
    }
}

/// Checks every signature of a whole message, from the top. `now` is in seconds
/// since the epoch.
pub async fn verify<D: Dns>(message: &[u8], dns: &D, now: i64) -> Vec<Verification> {
    let Ok(header) = Header::parse_within(message, MAX_HEADER) else { return Vec::new() };
    let mut results = Vec::new();
    for (index, field) in header.named("DKIM-Signature").enumerate() {
        let blank = blank();
        if index >= MAX_SIGNATURES {
            let detail = format!("only the first {MAX_SIGNATURES} signatures are checked");
            results.push(blank.stop(DkimResult::PermError, StepKind::Syntax, detail));
            continue;
        }
        results.push(verify_one(&header, field, dns, now).await);
    }
    results
}

fn blank() -> Verification {
    Verification {
        result: DkimResult::PermError,
        domain: String::new(),
        selector: String::new(),
        identity: String::new(),
        algorithm: None,
        signature_start: String::new(),
        signed_fields: Vec::new(),
        key_bits: None,
        testing: false,
        octets_not_signed: 0,
        steps: Vec::new(),
    }
}

async fn verify_one<D: Dns>(
    header: &Header<'_>,
    field: &Field<'_>,
    dns: &D,
    now: i64,
) -> Verification {
    let mut seen = blank();
    let text = String::from_utf8_lossy(field.value());
    let tags = match Tags::parse(&text) {
        Ok(tags) => tags,
        Err(detail) => return seen.stop(DkimResult::PermError, StepKind::Syntax, detail),
    };
    identify(&tags, &mut seen);
    let signature = match Signature::read(&tags, now) {
        Ok(signature) => signature,
        Err(Fault(result, kind, detail)) => return seen.stop(result, kind, detail),
    };
    seen.signed_fields.clone_from(&signature.fields);
    seen.step(StepKind::Syntax, format!("d={} s={}", seen.domain, seen.selector));
    seen.step(StepKind::Algorithm, signature.algorithm.name());
    let keys = match fetch_keys(&seen, &signature, dns).await {
        Ok(keys) => keys,
        Err(Fault(result, kind, detail)) => return seen.stop(result, kind, detail),
    };
    let octets = signed_octets(header, field, &signature);
    // RFC 6376 §3.6.2.2 leaves it open which of several records counts: each may be the
    // signer's.
    let fits = |key: &&PublicKey| key.verifies(&octets, &signature.value);
    let Some(key) = keys.iter().find(fits).or(keys.first()) else {
        return seen.stop(DkimResult::PermError, StepKind::KeyRecord, "there is no key");
    };
    seen.testing = key.testing;
    seen.key_bits = Some(key.bits);
    let mut about = format!("{} key of {} bits", key.kind(), key.bits);
    if key.testing {
        about.push_str(", in test mode (t=y)");
    }
    seen.step(StepKind::KeyRecord, about);
    if keys.len() > 1 {
        let detail = format!("{} keys at the selector, of which any may count", keys.len());
        seen.step(StepKind::KeyRecord, detail);
    }
    check(header, &signature, fits(&key), seen)
}

fn check(
    header: &Header<'_>,
    signature: &Signature,
    key_fits: bool,
    mut seen: Verification,
) -> Verification {
    let limit = signature.body_length.unwrap_or(u64::MAX);
    let mut hasher = BodyHasher::with_limit(signature.body_form, limit);
    hasher.update(header.body());
    let body = hasher.finish();
    if body.octets < signature.body_length.unwrap_or(0) {
        let detail = format!("l={limit} is more than the body's {} octets", body.octets);
        return seen.stop(DkimResult::Fail, StepKind::BodyHash, detail);
    }
    if body.sha256 != signature.body_hash {
        let detail = "the body hash differs: the body was changed after it was signed";
        return seen.stop(DkimResult::Fail, StepKind::BodyHash, detail);
    }
    seen.step(StepKind::BodyHash, format!("{} octets", body.octets));
    if !key_fits {
        let detail = "the signature does not fit the header: a signed field was changed after it \
                      was signed, or the published key is not the signer's";
        return seen.stop(DkimResult::Fail, StepKind::HeaderHash, detail);
    }
    seen.step(StepKind::HeaderHash, format!("{} fields", signature.fields.len()));
    if body.octets > limit {
        // It passes all the same (RFC 6376 §8.2); whoever reads the steps is warned.
        let detail = format!(
            "l= covers {limit} of {} octets: anybody could have added the rest",
            body.octets
        );
        seen.step(StepKind::BodyHash, detail);
        seen.octets_not_signed = body.octets - limit;
    }
    seen.result = DkimResult::Pass;
    seen
}

fn identify(tags: &Tags<'_>, seen: &mut Verification) {
    let short = |name: &str| tags.get(name).unwrap_or_default().chars().take(255).collect();
    let domain: String = short("d");
    seen.domain = domain.to_lowercase();
    seen.selector = short("s");
    seen.identity = match tags.get("i") {
        Some(identity) => identity.chars().take(320).collect(),
        None => format!("@{}", seen.domain),
    };
    seen.algorithm = tags.get("a").and_then(Algorithm::from_name);
    let value = tags.get("b").unwrap_or_default();
    seen.signature_start = value.chars().filter(|c| !c.is_whitespace()).take(8).collect();
}

struct Fault(DkimResult, StepKind, String);

fn malformed(detail: impl Into<String>) -> Fault {
    Fault(DkimResult::PermError, StepKind::Syntax, detail.into())
}

struct Signature {
    algorithm: Algorithm,
    header_form: Canonicalization,
    body_form: Canonicalization,
    fields: Vec<String>,
    body_hash: Vec<u8>,
    body_length: Option<u64>,
    value: Vec<u8>,
    domain: String,
    identity_domain: String,
    selector: String,
}

impl Signature {
    // RFC 6376 §6.1.1.
    fn read(tags: &Tags<'_>, now: i64) -> Result<Self, Fault> {
        let need = |name: &str| {
            let value = tags.get(name).filter(|value| !value.is_empty());
            value.ok_or_else(|| malformed(format!("the tag {name}= is missing")))
        };
        if need("v")? != "1" {
            return Err(malformed("v= is not 1"));
        }
        let algorithm = read_algorithm(need("a")?)?;
        let (header_form, body_form) = read_forms(tags.get("c").unwrap_or("simple/simple"))?;
        let domain = need("d")?.to_lowercase();
        let selector = need("s")?.to_owned();
        check_name(&domain, "d")?;
        check_name(&selector, "s")?;
        let fields: Vec<String> = need("h")?.split(':').map(|n| n.trim().to_owned()).collect();
        if !fields.iter().any(|name| name.eq_ignore_ascii_case("from")) {
            return Err(malformed("h= does not cover From"));
        }
        let octets = |name: &str, text: &str| {
            base64::decode(text.as_bytes())
                .ok_or_else(|| malformed(format!("{name}= is not base64")))
        };
        let body_hash = octets("bh", need("bh")?)?;
        let value = octets("b", need("b")?)?;
        let body_length = tags.get("l").map(number).transpose()?;
        check_time(tags, now)?;
        let identity_domain = read_identity(tags, &domain)?;
        let query_ok =
            tags.get("q").is_none_or(|q| q.split(':').any(|method| method.trim() == "dns/txt"));
        if !query_ok {
            return Err(malformed("q= does not offer dns/txt"));
        }
        Ok(Self {
            algorithm,
            header_form,
            body_form,
            fields,
            body_hash,
            body_length,
            value,
            domain,
            identity_domain,
            selector,
        })
    }
}

fn read_algorithm(name: &str) -> Result<Algorithm, Fault> {
    match Algorithm::from_name(name) {
        // RFC 8301 §3.1: such a signature counts as none.
        Some(Algorithm::RsaSha1) => Err(Fault(
            DkimResult::Policy,
            StepKind::Algorithm,
            "rsa-sha1 proves nothing since RFC 8301: sign with rsa-sha256".to_owned(),
        )),
        Some(algorithm) => Ok(algorithm),
        None => Err(Fault(
            DkimResult::PermError,
            StepKind::Algorithm,
            format!("the algorithm \"{}\" is unknown", shown(name)),
        )),
    }
}

fn read_forms(text: &str) -> Result<(Canonicalization, Canonicalization), Fault> {
    let (header, body) = text.split_once('/').unwrap_or((text, "simple"));
    match (Canonicalization::from_name(header.trim()), Canonicalization::from_name(body.trim())) {
        (Some(header), Some(body)) => Ok((header, body)),
        _ => Err(malformed(format!("c={} is unknown", shown(text)))),
    }
}

// Only a name that can be asked for is put into a question to the DNS.
fn check_name(name: &str, tag: &str) -> Result<(), Fault> {
    let label = |l: &str| {
        !l.is_empty()
            && l.len() <= 63
            && l.chars().all(|c| c == '-' || c == '_' || c.is_alphanumeric())
    };
    if name.len() <= 253 && name.split('.').all(label) {
        return Ok(());
    }
    Err(malformed(format!("{tag}={} is not a name", shown(name))))
}

fn number(text: &str) -> Result<u64, Fault> {
    // RFC 6376 §3.5 allows 76 digits: what does not fit is larger than anything here.
    let digits = (1..=76).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let value = digits.then(|| text.parse().unwrap_or(u64::MAX));
    value.ok_or_else(|| malformed(format!("\"{}\" is not a number", shown(text))))
}

fn check_time(tags: &Tags<'_>, now: i64) -> Result<(), Fault> {
    let time = |name: &str| tags.get(name).map(number).transpose();
    let now = u64::try_from(now).unwrap_or(0);
    let (signed, expires) = (time("t")?, time("x")?);
    if let (Some(signed), Some(expires)) = (signed, expires)
        && expires < signed
    {
        return Err(malformed("x= is before t="));
    }
    if expires.is_some_and(|expires| expires < now) {
        return Err(malformed("the signature has expired (x=)"));
    }
    if signed.is_some_and(|signed| signed > now.saturating_add(CLOCK_SKEW.unsigned_abs())) {
        return Err(malformed("the signature was made in the future (t=): a clock is wrong"));
    }
    Ok(())
}

fn read_identity(tags: &Tags<'_>, domain: &str) -> Result<String, Fault> {
    let Some(identity) = tags.get("i") else { return Ok(domain.to_owned()) };
    let (_, identity_domain) = identity.rsplit_once('@').ok_or_else(|| malformed("i= has no @"))?;
    let identity_domain = identity_domain.trim().to_lowercase();
    let below = identity_domain.strip_suffix(domain);
    match below {
        Some("") => Ok(identity_domain),
        Some(rest) if rest.ends_with('.') => Ok(identity_domain),
        _ => Err(malformed("i= is not within d=")),
    }
}

// The keys at the selector that this signature may have been made with; the first fault
// if there is none.
async fn fetch_keys<D: Dns>(
    seen: &Verification,
    signature: &Signature,
    dns: &D,
) -> Result<Vec<PublicKey>, Fault> {
    // RFC 8616 §3: U-labels in `d=` and `s=` are asked for as A-labels.
    let name = format!("{}._domainkey.{}", signature.selector, signature.domain);
    let name = match name.is_ascii() {
        true => name,
        false => idna::domain_to_ascii(&name).unwrap_or(name),
    };
    let fault = |result, detail| Fault(result, StepKind::KeyRecord, detail);
    let answer = match dns.lookup(&name, RecordType::Txt).await {
        Ok(answer) => answer,
        Err(error @ (DnsError::NoSuchDomain | DnsError::NoRecords)) => {
            return Err(fault(DkimResult::PermError, format!("no key at {name}: {error}")));
        }
        Err(error) => {
            return Err(fault(DkimResult::TempError, format!("no answer for {name}: {error}")));
        }
    };
    let mut keys = Vec::new();
    let mut unfit = None;
    let mut problem = RecordError::NoKey;
    for record in answer.records.iter().take(MAX_KEYS) {
        let Record::Txt(octets) = record else { continue };
        match PublicKey::parse(&String::from_utf8_lossy(octets)) {
            Ok(key) => match fitting(key, signature, &seen.identity) {
                Ok(key) => keys.push(key),
                Err(fault) => unfit = unfit.or(Some(fault)),
            },
            Err(error) => problem = error,
        }
    }
    match unfit {
        _ if !keys.is_empty() => Ok(keys),
        Some(fault) => Err(fault),
        None => Err(fault(DkimResult::PermError, format!("{name}: {problem}"))),
    }
}

fn fitting(key: PublicKey, signature: &Signature, identity: &str) -> Result<PublicKey, Fault> {
    let fault = |detail: String| Err(Fault(DkimResult::PermError, StepKind::KeyRecord, detail));
    if !key.fits(signature.algorithm) {
        return fault(format!("the key is for {}, not {}", key.kind(), signature.algorithm));
    }
    if !key.hashes.is_empty() && !key.hashes.iter().any(|hash| hash == "sha256") {
        return fault("the key record's h= does not allow sha256".to_owned());
    }
    if key.strict && signature.identity_domain != signature.domain {
        return fault(format!("the key record's t=s does not allow i={}", shown(identity)));
    }
    Ok(key)
}

// The canonical fields that h= names, each instance from the bottom up, then the
// signature itself without its value (RFC 6376 §3.7, §5.4.2).
fn signed_octets(header: &Header<'_>, field: &Field<'_>, signature: &Signature) -> Vec<u8> {
    let mut out = Vec::with_capacity(2048);
    // Both lists may be as long as a header allows, so neither is searched for each
    // entry of the other.
    let mut instances: HashMap<Vec<u8>, Vec<&Field<'_>>> = HashMap::new();
    for instance in header.fields() {
        instances.entry(instance.name().to_ascii_lowercase()).or_default().push(instance);
    }
    for name in &signature.fields {
        let lower = name.to_ascii_lowercase().into_bytes();
        if let Some(instance) = instances.get_mut(&lower).and_then(Vec::pop) {
            canonical_field(instance, signature.header_form, &mut out);
        }
    }
    let own = without_signature_value(field.raw());
    if let Some(own) = Field::parse(&own) {
        canonical_field(&own, signature.header_form, &mut out);
    }
    out.truncate(out.len().saturating_sub(2));
    out
}

fn without_signature_value(raw: &[u8]) -> Vec<u8> {
    let colon = memchr::memchr(b':', raw).map_or(0, |at| at + 1);
    let (name, value) = raw.split_at(colon.min(raw.len()));
    let mut out = name.to_vec();
    for (index, tag) in value.split(|b| *b == b';').enumerate() {
        if index > 0 {
            out.push(b';');
        }
        let equals = memchr::memchr(b'=', tag).map_or(0, |at| at + 1);
        let (tag_name, _) = tag.split_at(equals.min(tag.len()));
        let bare: Vec<u8> = tag_name.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
        out.extend_from_slice(if bare == b"b=" { tag_name } else { tag });
    }
    out
}
