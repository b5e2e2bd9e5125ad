//! What does not break a record but weakens it.

use super::definitions::{
    AFTER_ALL, BROAD, MACROS, NO_ALL, PLUS_ALL, PTR_MECHANISM, REDIRECT_WITH_ALL,
};
use super::remedy::Remedy;
use super::terms::Terms;
use super::{Check, Context, Definition, MAX_ADDRESSES, RecordType, World};
use crate::lang::Text;

struct Manners<'a, W> {
    context: &'a Context<'a, W>,
    terms: &'a Terms,
    remedy: &'a Remedy,
    damage: Option<&'static Definition>,
}

/// Judges the terms. `nobody_passes`: an address that nobody has passes. `damage`: the
/// finding because of which the record is not what was meant.
pub(super) fn judge<W: World>(
    context: &Context<'_, W>,
    (terms, remedy): (&Terms, &Remedy),
    nobody_passes: bool,
    damage: Option<&'static Definition>,
) -> Vec<Check> {
    let manners = Manners { context, terms, remedy, damage };
    [manners.ending(nobody_passes), manners.words()].concat()
}

impl<W: World> Manners<'_, W> {
    fn judge(&self, definition: &'static Definition, wrong: bool, texts: [Text; 4]) -> Check {
        let [good, seen, expected, remedy] = texts;
        let domain = self.context.domain.as_str();
        let draft = self
            .remedy
            .put_in(self.context, self.context.about(definition, domain))
            .asked(self.context.question(domain, RecordType::Txt))
            .with("domain", domain)
            .with("record", self.terms.text())
            .with("addresses", self.terms.own_addresses())
            .with("all", self.terms.all().unwrap_or_default());
        match self.damage {
            Some(damage) => draft.skipped(damage),
            None if wrong => draft.finding(seen, expected, remedy),
            None => draft.pass(good),
        }
    }

    fn ending(&self, nobody_passes: bool) -> Vec<Check> {
        let (terms, addresses) = (self.terms, self.terms.own_addresses());
        let judge = |definition, wrong, texts| self.judge(definition, wrong, texts);
        let publish = self.remedy.closed();
        // Also where it is another's record, which this one includes, that is open.
        let open = terms.is_open() || nobody_passes;
        let close = match terms.is_open() {
            true => publish,
            false => Text::new(
                "Remove the include or redirect whose record lets everybody send (`puerto verify` shows \
             the steps)",
                "Quite el include o redirect cuyo registro permite enviar a cualquiera (`puerto verify` \
             muestra los pasos)",
            ),
        };
        let mut checks = vec![judge(
            &PLUS_ALL,
            open,
            [
                Text::new("closed", "cerrado"),
                Text::new(
                    "the whole world may send: {record}",
                    "cualquiera puede enviar: {record}",
                ),
                Text::new("-all or ~all at the end", "-all o ~all al final"),
                close,
            ],
        )];
        checks.push(judge(
            &BROAD,
            !open && addresses > MAX_ADDRESSES,
            [
                Text::by_count(
                    addresses,
                    Text::new("1 IPv4 address by itself", "1 dirección IPv4 propia"),
                    Text::new(
                        "{addresses} IPv4 addresses by itself",
                        "{addresses} direcciones IPv4 propias",
                    ),
                ),
                Text::new(
                    "{addresses} IPv4 addresses: {record}",
                    "{addresses} direcciones IPv4: {record}",
                ),
                Text::new("at most 65536", "65536 como mucho"),
                Text::new(
                    "Name only the addresses that send for you",
                    "Incluya solo las direcciones que envían por usted",
                ),
            ],
        ));
        checks.push(judge(
            &NO_ALL,
            !open && terms.has_no_end(),
            [
                Text::new("it has an end", "tiene final"),
                Text::new("no `-all` or `~all`: {record}", "sin `-all` ni `~all`: {record}"),
                Text::new("-all or ~all at the end", "-all o ~all al final"),
                publish,
            ],
        ));
        checks
    }

    fn words(&self) -> Vec<Check> {
        let terms = self.terms;
        let judge = |definition, wrong, texts| self.judge(definition, wrong, texts);
        vec![
            judge(
                &AFTER_ALL,
                terms.goes_on_after_all(),
                [
                    Text::new("nothing", "nada"),
                    Text::new("terms behind {all}: {record}", "términos detrás de {all}: {record}"),
                    Text::new("{all} at the end", "{all} al final"),
                    Text::new(
                        "Move {all} to the end of the record",
                        "Ponga {all} al final del registro",
                    ),
                ],
            ),
            judge(
                &REDIRECT_WITH_ALL,
                terms.has_redirect() && terms.all().is_some(),
                [
                    Text::new("not both", "no los dos"),
                    Text::new("both: {record}", "los dos: {record}"),
                    Text::new("one of the two", "uno de los dos"),
                    Text::new(
                        "Delete redirect=, which is ignored",
                        "Borre redirect=, que se ignora",
                    ),
                ],
            ),
            judge(
                &PTR_MECHANISM,
                terms.has_ptr(),
                [
                    Text::new("no ptr", "sin ptr"),
                    Text::new("ptr: {record}", "ptr: {record}"),
                    Text::new("ip4: and ip6: instead", "ip4: e ip6: en su lugar"),
                    Text::new("Replace ptr by the addresses", "Cambie ptr por las direcciones"),
                ],
            ),
            judge(
                &MACROS,
                terms.text().to_ascii_lowercase().contains("%{p"),
                [
                    Text::new("no %{p}", "sin %{p}"),
                    Text::new("%{p}: {record}", "%{p}: {record}"),
                    Text::new("no %{p}", "sin %{p}"),
                    Text::new("Replace the term by addresses", "Cambie el término por direcciones"),
                ],
            ),
        ]
    }
}
