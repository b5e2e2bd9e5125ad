//! Sends a copy of a message on to addresses elsewhere, as an alias or a `.forward` says.

use std::io::Read as _;
use std::sync::Arc;

use puerto_smtp::{Address, Domain, Envelope, LocalPart, Notify, Recipient, ReversePath};
use puerto_spool::LeasedRecipient;

use super::delivery::{Mailboxes, aside};
use super::failure::Failure;
use crate::cause::Cause;
use crate::deliver::Job;
use crate::intake::{Accepted, Source};

/// For whom a copy is sent on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent<'a> {
    /// The recipient that the message came for.
    pub(super) leased: &'a LeasedRecipient,
    /// Who hears of failures instead of the sender: a name of ours.
    pub(super) owner: Option<&'a str>,
    /// There is one copy and no mailbox: its recipient stands in this one's place.
    pub(super) is_only: bool,
}

impl Mailboxes {
    /// Queues a copy for these addresses. It keeps the reverse-path, so that whoever sent
    /// the message hears of its failure, unless the list has an owner for that.
    pub(super) async fn send_on(
        &self,
        job: &Job,
        sent: Sent<'_>,
        targets: &[Address],
    ) -> Result<Cause, Failure> {
        let refused = |refusal: crate::intake::Refusal| {
            let cause = Cause::NotForwarded { reply: refusal.reply.to_string() };
            Failure::of_peer(refusal.reply.status(), cause)
        };
        let mut draft = self.intake.draft().map_err(refused)?;
        let body = Arc::clone(&job.body);
        let trace = format!("Delivered-To: {}\r\n", sent.leased.recipient.address);
        let content = aside(move || {
            let full = |error: puerto_spool::SpoolError| {
                Failure::later(3, 1, Cause::CopyNotStored { why: error })
            };
            draft.write(trace.as_bytes()).map_err(full)?;
            let mut reader = body.open().map_err(Failure::of_message)?;
            let mut chunk = vec![0; 64 * 1024];
            loop {
                let length = reader.read(&mut chunk).map_err(Failure::of_message)?;
                match chunk.get(..length) {
                    Some(octets) if !octets.is_empty() => draft.write(octets).map_err(full)?,
                    _ => return draft.finish().map_err(full),
                }
            }
        })
        .await?;
        let id = self.intake.new_id();
        let mut envelope = envelope(job, sent, targets);
        // A receiver asks the sender's domain whether this server may send for it, and a list's
        // owner is ours already.
        if let ReversePath::Address(sender) = &envelope.reverse_path
            && let Some(ours) = self.sender_on(sender).await?
        {
            envelope.reverse_path = ReversePath::Address(ours);
        }
        let accepted = self.intake.accept(id, &Source::Forwarded, envelope, content).await;
        let forwarded = |accepted: Accepted| Cause::Forwarded { id: accepted.id.to_string() };
        accepted.map(forwarded).map_err(refused)
    }
}

fn envelope(job: &Job, sent: Sent<'_>, targets: &[Address]) -> Envelope {
    let address = &sent.leased.recipient.address;
    let owner = sent.owner.filter(|_| !job.reverse_path.is_null());
    let owner = owner.and_then(|name| owner_address(name, address.domain()));
    let Some(owner) = owner else {
        let original = Some(sent.leased.recipient.original_or_address().into_owned());
        let notify = sent.leased.recipient.notify;
        let notify = if sent.is_only { notify } else { notify.map(without_success) };
        let recipient = |address: &Address| Recipient {
            address: address.clone(),
            notify,
            original: original.clone(),
        };
        return Envelope {
            reverse_path: job.reverse_path.clone(),
            recipients: targets.iter().map(recipient).collect(),
            envelope_id: job.envelope_id.clone(),
            ret: job.ret,
            verp: None,
            eight_bit: job.eight_bit,
            smtputf8: job.smtputf8,
            tls: job.tls,
            bulk: job.bulk,
        };
    };
    // A list's copies are a new message as far as notifications go (RFC 3461 §5.2.7.3).
    let recipients = targets.iter().cloned().map(Recipient::new).collect();
    Envelope {
        eight_bit: job.eight_bit,
        smtputf8: job.smtputf8,
        tls: job.tls,
        bulk: job.bulk,
        ..Envelope::new(ReversePath::Address(owner), recipients)
    }
}

fn owner_address(name: &str, domain: &Domain) -> Option<Address> {
    LocalPart::from_unquoted(name).ok().map(|name| Address::new(name, domain.clone()))
}

// Success is told once, for the alias (RFC 3461 §5.2.7.3).
fn without_success(notify: Notify) -> Notify {
    Notify { success: false, ..notify }
}
