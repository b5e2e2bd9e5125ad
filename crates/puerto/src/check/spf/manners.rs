//! What does not break a record but weakens it.

use super::remedy::Remedy;
use super::terms::Terms;
use super::{
    AFTER_ALL, BROAD, Check, Context, Definition, MACROS, MAX_ADDRESSES, NO_ALL, PLUS_ALL,
    PTR_MECHANISM, REDIRECT_WITH_ALL, World, about,
};
use crate::lang::Text;

/// Judges the terms. `anybody_passes`: an address that nobody has passes. `damage`: the
/// finding because of which the record is not what was meant.
pub(super) fn judge<W: World>(
    context: &Context<'_, W>,
    (terms, remedy): (&Terms, &Remedy),
    anybody_passes: bool,
    damage: Option<&'static Definition>,
) -> Vec<Check> {
    let addresses = terms.own_addresses();
    let draft = |check| {
        about(context, check)
            .with("record", terms.text())
            .with("addresses", addresses)
            .with("all", terms.all().unwrap_or_default())
    };
    let closed = |check| remedy.put_in_closed(draft(check));
    // Also where it is another's record, which this one includes, that is open.
    let is_open = terms.is_open() || anybody_passes;
    let open = if terms.is_open() { closed(&PLUS_ALL) } else { draft(&PLUS_ALL).remedy(ANOTHERS) };
    let is_broad = !is_open && addresses > MAX_ADDRESSES;
    let broad = match addresses {
        1 => draft(&BROAD).pass(("1 IPv4 address by itself", "1 dirección IPv4 propia")),
        _ => draft(&BROAD).judge(is_broad),
    };
    let judged = [
        open.judge(is_open),
        broad,
        closed(&NO_ALL).judge(!is_open && terms.has_no_end()),
        draft(&AFTER_ALL).judge(terms.goes_on_after_all()),
        draft(&REDIRECT_WITH_ALL).judge(terms.has_redirect() && terms.all().is_some()),
        draft(&PTR_MECHANISM).judge(terms.has_ptr()),
        draft(&MACROS).judge(terms.text().to_ascii_lowercase().contains("%{p")),
    ];
    match damage {
        Some(damage) => judged.map(|check| draft(check.definition).skipped(damage)).to_vec(),
        None => judged.to_vec(),
    }
}

const ANOTHERS: Text = Text::new(
    "Remove the include or redirect whose record lets everybody send (`puerto verify` shows the \
     steps)",
    "Quite el include o redirect cuyo registro permite enviar a cualquiera (`puerto verify` \
     muestra los pasos)",
);
