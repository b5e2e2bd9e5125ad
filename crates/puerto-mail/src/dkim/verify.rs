//! Checking signatures (RFC 6376 §6), step by step, so that a failure can be
//! explained.

use std::collections::HashMap;

use puerto_smtp::base64;

use super::canonical::{BodyHasher, Canonicalization, canonical_field};
use super::record::{PublicKey, RecordError};
use super::tags::{Tags, shown};
use super::{Algorithm, Step};
use crate::dns::{Dns, Record, RecordType};
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
    /// The body and the signed fields are as they were signed.
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

/// What became of one signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// What the signature is worth.
    pub result: DkimResult,
    /// `d=`, in lower case; empty if it could not be read.
    pub domain: String,
    /// The name of the key, `s=`; empty if it could not be read.
    pub selector: String,
    /// `i=`, or `@` and the domain.
    pub identity: String,
    /// `a=`, if it is one that is known.
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
    /// The step that went wrong; `None` after a pass.
    pub fn reason(&self) -> Option<&Step> {
        self.steps.iter().find(|step| !step.passed())
    }

    /// Of a signature of which nothing is known yet.
    pub(crate) fn blank() -> Self {
        Self {
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

    // Which the last step says.
    fn stop(mut self, step: Step) -> Self {
        self.result = step.result();
        self.steps.push(step);
        self
    }
}

/// Checks every signature of a whole message, from the top. `now` is in seconds
/// since the epoch.
pub async fn verify<D: Dns>(message: &[u8], dns: &D, now: i64) -> Vec<Verification> {
    let Ok(header) = Header::parse_within(message, MAX_HEADER) else { return Vec::new() };
    let mut results = Vec::new();
    for (index, field) in header.named("DKIM-Signature").enumerate() {
        results.push(match index < MAX_SIGNATURES {
            true => verify_one(&header, field, dns, now).await,
            false => Verification::blank().stop(Step::NotChecked(MAX_SIGNATURES)),
        });
    }
    results
}

async fn verify_one<D: Dns>(
    header: &Header<'_>,
    field: &Field<'_>,
    dns: &D,
    now: i64,
) -> Verification {
    let mut seen = Verification::blank();
    let text = String::from_utf8_lossy(field.value());
    let tags = match Tags::parse(&text) {
        Ok(tags) => tags,
        Err(error) => return seen.stop(Step::Tags(error)),
    };
    identify(&tags, &mut seen);
    let signature = match Signature::read(&tags, now) {
        Ok(signature) => signature,
        Err(fault) => return seen.stop(fault),
    };
    seen.signed_fields.clone_from(&signature.fields);
    seen.steps.push(Step::Signer(seen.domain.clone(), seen.selector.clone()));
    seen.steps.push(Step::Algorithm(signature.algorithm));
    let keys = match fetch_keys(&seen, &signature, dns).await {
        Ok(keys) => keys,
        Err(fault) => return seen.stop(fault),
    };
    let octets = signed_octets(header, field, &signature);
    // RFC 6376 §3.6.2.2 leaves it open which of several records counts: each may be the
    // signer's.
    let fits = |key: &&PublicKey| key.verifies(&octets, &signature.value);
    let Some(key) = keys.iter().find(fits).or(keys.first()) else { return seen };
    seen.testing = key.testing;
    seen.key_bits = Some(key.bits);
    seen.steps.push(Step::Key(key.kind(), key.bits, key.testing));
    if keys.len() > 1 {
        seen.steps.push(Step::SeveralKeys(keys.len()));
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
        return seen.stop(Step::BodyTooShort(limit, body.octets));
    }
    if body.sha256 != signature.body_hash {
        return seen.stop(Step::BodyChanged);
    }
    seen.steps.push(Step::Body(body.octets));
    if !key_fits {
        return seen.stop(Step::HeaderChanged);
    }
    seen.steps.push(Step::Fields(signature.fields.len()));
    if body.octets > limit {
        // It passes all the same (RFC 6376 §8.2); whoever reads the steps is warned.
        seen.steps.push(Step::PartOfBody(limit, body.octets));
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
    fn read(tags: &Tags<'_>, now: i64) -> Result<Self, Step> {
        let need = |name| {
            let value = tags.get(name).filter(|value| !value.is_empty());
            value.ok_or(Step::Missing(name))
        };
        if need("v")? != "1" {
            return Err(Step::Version);
        }
        let algorithm = read_algorithm(need("a")?)?;
        let (header_form, body_form) = read_forms(tags.get("c").unwrap_or("simple/simple"))?;
        let domain = need("d")?.to_lowercase();
        let selector = need("s")?.to_owned();
        check_name(&domain, "d")?;
        check_name(&selector, "s")?;
        let fields: Vec<String> = need("h")?.split(':').map(|n| n.trim().to_owned()).collect();
        if !fields.iter().any(|name| name.eq_ignore_ascii_case("from")) {
            return Err(Step::FromNotSigned);
        }
        let octets = |name| base64::decode(need(name)?.as_bytes()).ok_or(Step::NotBase64(name));
        let body_hash = octets("bh")?;
        let value = octets("b")?;
        let body_length = tags.get("l").map(number).transpose()?;
        check_time(tags, now)?;
        let identity_domain = read_identity(tags, &domain)?;
        let query_ok =
            tags.get("q").is_none_or(|q| q.split(':').any(|method| method.trim() == "dns/txt"));
        if !query_ok {
            return Err(Step::Query);
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

fn read_algorithm(name: &str) -> Result<Algorithm, Step> {
    match Algorithm::from_name(name) {
        Some(Algorithm::RsaSha1) => Err(Step::Sha1),
        Some(algorithm) => Ok(algorithm),
        None => Err(Step::UnknownAlgorithm(shown(name))),
    }
}

fn read_forms(text: &str) -> Result<(Canonicalization, Canonicalization), Step> {
    let (header, body) = text.split_once('/').unwrap_or((text, "simple"));
    match (Canonicalization::from_name(header.trim()), Canonicalization::from_name(body.trim())) {
        (Some(header), Some(body)) => Ok((header, body)),
        _ => Err(Step::UnknownForm(shown(text))),
    }
}

// Only a name that can be asked for is put into a question to the DNS.
fn check_name(name: &str, tag: &'static str) -> Result<(), Step> {
    let label = |l: &str| {
        !l.is_empty()
            && l.len() <= 63
            && l.chars().all(|c| c == '-' || c == '_' || c.is_alphanumeric())
    };
    if name.len() <= 253 && name.split('.').all(label) {
        return Ok(());
    }
    Err(Step::NotAName(tag, shown(name)))
}

fn number(text: &str) -> Result<u64, Step> {
    // RFC 6376 §3.5 allows 76 digits: what does not fit is larger than anything here.
    let digits = (1..=76).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let value = digits.then(|| text.parse().unwrap_or(u64::MAX));
    value.ok_or_else(|| Step::NotANumber(shown(text)))
}

fn check_time(tags: &Tags<'_>, now: i64) -> Result<(), Step> {
    let time = |name: &str| tags.get(name).map(number).transpose();
    let now = u64::try_from(now).unwrap_or(0);
    let (signed, expires) = (time("t")?, time("x")?);
    if let (Some(signed), Some(expires)) = (signed, expires)
        && expires < signed
    {
        return Err(Step::ExpiresBeforeSigned);
    }
    if expires.is_some_and(|expires| expires < now) {
        return Err(Step::Expired);
    }
    if signed.is_some_and(|signed| signed > now.saturating_add(CLOCK_SKEW.unsigned_abs())) {
        return Err(Step::InTheFuture);
    }
    Ok(())
}

fn read_identity(tags: &Tags<'_>, domain: &str) -> Result<String, Step> {
    let Some(identity) = tags.get("i") else { return Ok(domain.to_owned()) };
    let (_, identity_domain) = identity.rsplit_once('@').ok_or(Step::NoIdentity)?;
    let identity_domain = identity_domain.trim().to_lowercase();
    let below = identity_domain.strip_suffix(domain);
    match below {
        Some("") => Ok(identity_domain),
        Some(rest) if rest.ends_with('.') => Ok(identity_domain),
        _ => Err(Step::ForeignIdentity),
    }
}

// The keys at the selector that this signature may have been made with; the first fault
// if there is none.
async fn fetch_keys<D: Dns>(
    seen: &Verification,
    signature: &Signature,
    dns: &D,
) -> Result<Vec<PublicKey>, Step> {
    // RFC 8616 §3: U-labels in `d=` and `s=` are asked for as A-labels.
    let name = format!("{}._domainkey.{}", signature.selector, signature.domain);
    let name = match name.is_ascii() {
        true => name,
        false => idna::domain_to_ascii(&name).unwrap_or(name),
    };
    let answer = match dns.lookup(&name, RecordType::Txt).await {
        Ok(answer) => answer,
        Err(error) if error.is_absence() => return Err(Step::NoKey(name, error)),
        Err(error) => return Err(Step::NoAnswer(name, error)),
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
        None => Err(Step::KeyRecord(name, problem)),
    }
}

fn fitting(key: PublicKey, signature: &Signature, identity: &str) -> Result<PublicKey, Step> {
    if !key.fits(signature.algorithm) {
        return Err(Step::OtherKind(key.kind(), signature.algorithm));
    }
    if !key.hashes.is_empty() && !key.hashes.iter().any(|hash| hash == "sha256") {
        return Err(Step::HashNotAllowed);
    }
    if key.strict && signature.identity_domain != signature.domain {
        return Err(Step::IdentityNotAllowed(shown(identity)));
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
