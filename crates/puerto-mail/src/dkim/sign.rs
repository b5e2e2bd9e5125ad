//! Making signatures (RFC 6376 §5).

use puerto_smtp::base64;

use super::canonical::{BodyHash, Canonicalization, canonical_field};
use super::key::PrivateKey;
use crate::header::Field;

/// Fields that are signed once more than they occur, so that nobody can add another
/// on the way (RFC 6376 §5.4.2, §8.15).
const OVERSIGNED: [&str; 11] = [
    "From",
    "Sender",
    "Reply-To",
    "Subject",
    "Date",
    "Message-ID",
    "To",
    "Cc",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
];

/// Fields that are signed as often as they occur. Servers on the way may add these,
/// so their absence is not signed.
const SIGNED: [&str; 17] = [
    "In-Reply-To",
    "References",
    "Content-ID",
    "Content-Description",
    "Resent-From",
    "Resent-Date",
    "Resent-To",
    "Resent-Cc",
    "Resent-Message-ID",
    "List-Id",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "Auto-Submitted",
    "Feedback-ID",
    "TLS-Report-Domain",
    "TLS-Report-Submitter",
    "TLS-Required",
];

/// Fields of one name at most that are signed; more are a mistake or an attack.
const MAX_INSTANCES: usize = 20;

/// A private key and where its public half is published.
#[derive(Debug)]
pub struct SigningKey {
    /// The signing domain, `d=`, in A-labels.
    pub domain: String,
    /// Which of the domain's keys it is, `s=`.
    pub selector: String,
    /// The private half; the public one is in the DNS.
    pub key: PrivateKey,
}

impl SigningKey {
    /// Where its public part is published (RFC 6376 §3.6.2.1).
    pub fn record_name(&self) -> String {
        format!("{}._domainkey.{}", self.selector, self.domain)
    }
}

/// When a signature is made and until when it holds, in seconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SigningTime {
    /// Now, `t=`: receivers refuse a signature from the future.
    pub signed_at: i64,
    /// `x=`; none: it does not expire.
    pub expires_at: Option<i64>,
}

/// Why no signature could be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// A signature must cover a From field (RFC 6376 §5.4).
    #[error("a message without From cannot be signed")]
    NoFrom,
    /// The cryptographic library failed, and does not say why.
    #[error("the key could not sign")]
    Failed,
}

/// Makes a `DKIM-Signature` field, folded and with its CRLF, over the fields of a header, as they are
/// stored, and the hash of its body.
pub fn sign(
    key: &SigningKey,
    fields: &[Field<'_>],
    form: Canonicalization,
    body: &BodyHash,
    time: SigningTime,
) -> Result<Vec<u8>, SignError> {
    if !fields.iter().any(|field| field.is("From")) {
        return Err(SignError::NoFrom);
    }
    let (names, mut signed) = select(fields, form);
    let mut signature = field_without_b(key, form, body, time, &names);
    let field = Field::parse(signature.as_bytes()).ok_or(SignError::Failed)?;
    canonical_field(&field, form, &mut signed);
    // The signature's own field is hashed without its final CRLF (RFC 6376 §3.7).
    signed.truncate(signed.len().saturating_sub(2));
    let value = key.key.sign(&signed).ok_or(SignError::Failed)?;
    fold_into(&mut signature, &base64::encode(&value));
    signature.push_str("\r\n");
    Ok(signature.into_bytes())
}

// The names for h= and the canonical fields they stand for: instances of a name are
// taken from the bottom up (RFC 6376 §5.4.2).
fn select(fields: &[Field<'_>], form: Canonicalization) -> (Vec<&'static str>, Vec<u8>) {
    let mut names = Vec::with_capacity(32);
    let mut signed = Vec::with_capacity(2048);
    let oversigned = OVERSIGNED.iter().map(|name| (*name, true));
    for (name, over) in oversigned.chain(SIGNED.iter().map(|name| (*name, false))) {
        for field in fields.iter().rev().filter(|field| field.is(name)).take(MAX_INSTANCES) {
            names.push(name);
            canonical_field(field, form, &mut signed);
        }
        if over {
            names.push(name);
        }
    }
    (names, signed)
}

fn field_without_b(
    key: &SigningKey,
    form: Canonicalization,
    body: &BodyHash,
    time: SigningTime,
    names: &[&str],
) -> String {
    let mut text = format!(
        "DKIM-Signature: v=1; a={}; c={}/{};\r\n\td={}; s={};\r\n\tt={};",
        key.key.algorithm(),
        form.name(),
        body.canonicalization.name(),
        key.domain,
        key.selector,
        time.signed_at,
    );
    if let Some(expires_at) = time.expires_at {
        text.push_str(&format!(" x={expires_at};"));
    }
    text.push_str("\r\n\th=");
    let mut column = 4;
    for (index, name) in names.iter().enumerate() {
        if index > 0 {
            text.push(':');
            column += 1;
        }
        if column + name.len() > 74 {
            text.push_str("\r\n\t ");
            column = 3;
        }
        text.push_str(name);
        column += name.len();
    }
    text.push_str(&format!(";\r\n\tbh={};\r\n\tb=", base64::encode(&body.sha256)));
    text
}

fn fold_into(field: &mut String, encoded: &str) {
    let mut column = 3;
    for character in encoded.chars() {
        if column >= 76 {
            field.push_str("\r\n\t ");
            column = 2;
        }
        field.push(character);
        column += 1;
    }
}
