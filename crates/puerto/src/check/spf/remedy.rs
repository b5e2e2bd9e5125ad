//! The record that mends what is found: the very one that `puerto dns` proposes.

use super::{Context, World};
use crate::check::outcome::Draft;
use crate::dnsplan::{Sender, SpfProposal, spf_proposal};
use crate::lang::Text;

/// What the record is to be.
pub(super) struct Remedy {
    // None where the DNS did not answer all that has to be known for it.
    proposal: Option<SpfProposal>,
    closed: Option<String>,
    alias: Option<String>,
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
            egress: if relay.is_some() { &[] } else { &senders },
        };
        let proposal = spf_proposal(context.world, &sender, texts, false).await.ok();
        let closed = match &proposal {
            Some(proposal) if proposal.mended.is_ajar() => {
                let closed = spf_proposal(context.world, &sender, texts, true).await;
                closed.ok().map(|closed| closed.text)
            }
            _ => None,
        };
        let alias = context.alias_of(&context.domain).await;
        Self { proposal, closed, alias }
    }

    /// Gives a finding the words that [`Remedy::text`] and [`Remedy::closed`] put in.
    pub(super) fn put_in<W: World>(&self, context: &Context<'_, W>, draft: Draft) -> Draft {
        let proposal = self.proposal.as_ref();
        let edited = proposal.map_or("", |proposal| proposal.text.as_str());
        let closed = self.closed.as_deref().unwrap_or(edited);
        let unclear = proposal.map(SpfProposal::unclear).unwrap_or_default();
        let line = |text: &str| {
            let line = format!("{}. IN TXT \"{text}\"", context.domain);
            context.to_publish(self.alias.as_deref(), &line)
        };
        let draft = draft.with_said("edited", line(edited)).with_said("closed", line(closed));
        draft.with("unclear", unclear)
    }

    /// Publish this.
    pub(super) fn text(&self) -> Text {
        match &self.proposal {
            None => UNKNOWN,
            Some(proposal) if !proposal.mended.unclear.is_empty() => UNCLEAR,
            Some(_) => Text::same("{edited}"),
        }
    }

    /// Publish this in the place of several.
    pub(super) fn for_all(&self) -> Text {
        match &self.proposal {
            None => UNKNOWN,
            Some(proposal) if !proposal.mended.unclear.is_empty() => UNCLEAR,
            Some(_) => {
                Text::new("Replace all of them by: {edited}", "Sustitúyalos todos por: {edited}")
            }
        }
    }

    /// Publish this, by which strangers do not pass.
    pub(super) fn closed(&self) -> Text {
        match (&self.proposal, &self.closed) {
            (Some(_), Some(_)) => Text::same("{closed}"),
            _ => self.text(),
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
