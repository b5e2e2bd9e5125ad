//! The record that mends what is found: the very one that `puerto dns` proposes.

use super::{Context, World};
use crate::check::outcome::Draft;
use crate::dnsplan::{Sender, SpfProposal, spf_proposal};
use crate::lang::{Said, Text};

/// What the record is to be.
pub(super) struct Remedy {
    // Of which words only the owner knows who they stand for; `None` where the DNS did not
    // answer all that has to be known for the record.
    unclear: Option<String>,
    /// The term that the rescue route's relay needs, where the record has none that covers it.
    pub(super) for_rescue: Option<String>,
    edited: Said,
    /// By which strangers do not pass, where that is another one.
    closed: Option<Said>,
}

impl Remedy {
    /// Works the record out of the texts that stand at the domain.
    pub(super) async fn find<W: World>(context: &Context<'_, W>, texts: &[String]) -> Self {
        let senders = context.senders();
        let relay = context.config.relayhost.as_ref();
        let sender = Sender {
            domain: &context.domain,
            hostname: &context.helo,
            relay,
            rescue: context.config.rescuer(),
            egress: if relay.is_some() { &[] } else { &senders },
        };
        let proposal = spf_proposal(context.world, &sender, texts, false).await.ok();
        let proposal = proposal.filter(|proposal| !proposal.is_blind);
        let closed = match &proposal {
            Some(proposal) if proposal.mended.is_ajar() => {
                spf_proposal(context.world, &sender, texts, true).await.ok()
            }
            _ => None,
        };
        let alias = context.alias_of(&context.domain).await;
        let line = |proposal: &SpfProposal| {
            let line = format!("{}. IN TXT \"{}\"", context.domain, proposal.text);
            context.to_publish(alias.as_deref(), &line)
        };
        Self {
            unclear: proposal.as_ref().map(SpfProposal::unclear),
            for_rescue: proposal.as_ref().and_then(|proposal| proposal.for_rescue.clone()),
            edited: proposal.as_ref().map(line).unwrap_or_default(),
            closed: closed.as_ref().map(line),
        }
    }

    /// Puts the record into a finding, as `{edited}`.
    pub(super) fn put_in(&self, draft: Draft) -> Draft {
        let draft = draft.with_record("edited", &self.edited);
        match self.unclear.as_deref() {
            None => draft.remedy(UNKNOWN),
            Some("") => draft,
            Some(unclear) => draft.with("unclear", unclear).remedy(UNCLEAR),
        }
    }

    /// Puts the record by which strangers do not pass into a finding, as `{closed}`.
    pub(super) fn put_in_closed(&self, draft: Draft) -> Draft {
        match &self.closed {
            Some(closed) => draft.with_record("closed", closed),
            None => self.put_in(draft).with_record("closed", &self.edited),
        }
    }
}

const UNKNOWN: Text = Text::new(
    "Run `puerto dns {domain}` once the DNS answers: it shows the record",
    "Ejecute `puerto dns {domain}` cuando el DNS responda: muestra el registro",
);
const UNCLEAR: Text = Text::new(
    "Write {unclear} right; or, if that stands for nobody who still sends for the domain, publish: \
     {edited}",
    "Corrija {unclear}; o, si no representa a nadie que todavía envíe en nombre del dominio, \
     publique: {edited}",
);
