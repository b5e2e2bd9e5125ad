//! The message that is sent when somebody asks for one, signed like all others.

use std::sync::Arc;
use std::time::Duration;

use puerto_mail::date::{self, DateTime};
use puerto_mail::dkim::{self, BodyHasher, Canonicalization, SigningKey, SigningTime};
use puerto_mail::header::Header;
use puerto_smtp::{Address, Recipient, ReversePath};
use puerto_spool::{LeasedRecipient, MessageId, Timestamp};

use crate::config::Config;
use crate::deliver::{Ending, Job};
use crate::intake::KeyRing;
use crate::route::Plan;

/// A job with one short message. The keys are read from the disk.
pub(super) fn job(config: &Config, plan: &Arc<Plan>, from: &Address, to: Address, now: i64) -> Job {
    let text = compose(from, &to, &config.hostname, now);
    let keys = KeyRing::of(config).keys_for(from.domain());
    let mut signed = signatures(&keys, text.as_bytes(), now);
    signed.extend_from_slice(text.as_bytes());
    let body: Arc<[u8]> = signed.into();
    Job {
        id: MessageId::from_u64(0),
        plan: Arc::clone(plan),
        reverse_path: ReversePath::Address(from.clone()),
        recipients: vec![LeasedRecipient { index: 0, recipient: Recipient::new(to), attempts: 0 }],
        envelope_id: None,
        ret: None,
        verp: None,
        eight_bit: false,
        smtputf8: false,
        tls: puerto_smtp::TlsWish::Usual,
        bulk: false,
        received_at: Timestamp::from_millis(now.saturating_mul(1000)),
        in_queue: Duration::ZERO,
        ending: Ending::default(),
        body: Arc::new(body),
    }
}

fn compose(from: &Address, to: &Address, host: &str, now: i64) -> String {
    let date = date::format(DateTime { unix_seconds: now, offset_minutes: 0 });
    format!(
        "Date: {date}\r\nFrom: <{from}>\r\nTo: <{to}>\r\nMessage-ID: <relay-test.{now}.{}@{host}>\r\n\
         Subject: Test of the relayhost\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=us-ascii\r\n\r\n\
         This message was sent by \"puerto relay test\" on {host}.\r\n\
         That you read it says that the relayhost delivers.\r\n",
        std::process::id()
    )
}

fn signatures(keys: &[Arc<SigningKey>], text: &[u8], now: i64) -> Vec<u8> {
    let Ok(header) = Header::parse(text) else { return Vec::new() };
    let mut hasher = BodyHasher::new(Canonicalization::Relaxed);
    hasher.update(header.body());
    let body = hasher.finish();
    let time = SigningTime { signed_at: now, expires_at: None };
    let sign = |key: &Arc<SigningKey>| {
        // A key that cannot sign was complained about when it was loaded.
        dkim::sign(key, header.fields(), Canonicalization::Relaxed, &body, time).ok()
    };
    keys.iter().filter_map(sign).flatten().collect()
}
