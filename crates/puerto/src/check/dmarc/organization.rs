//! Is the organizational domain the same by the tree walk and by the list of public
//! suffixes? Receivers of both ways will be around for years.

use puerto_mail::dmarc::{Evaluation, PublicSuffix};
use puerto_mail::dns::RecordType;

use super::ORG_DOMAIN;
use crate::check::context::Context;
use crate::check::outcome::Check;
use crate::check::world::World;
use crate::lang::Text;

pub(super) fn check<W: World>(context: &Context<'_, W>, evaluation: &Evaluation) -> Check {
    let draft = context.about(&ORG_DOMAIN, &context.domain);
    let Some(walk) = &evaluation.organizational_domain else {
        return draft.dns_silent();
    };
    let list = &evaluation.by_list.organizational_domain;
    let draft = draft
        .asked_dns(context.question(&format!("_dmarc.{list}"), RecordType::Txt))
        .with("walk", walk)
        .with("list", list)
        .with("old", evaluation.by_list.result)
        .with("new", evaluation.result);
    match (evaluation.ways_differ(), walk == list) {
        (true, _) => draft.remedy(remedy(evaluation, walk, list)).wrong(),
        (false, true) => draft.right(),
        (false, false) => draft.pass((
            "{walk} and {list}, which does not matter: alignment is strict",
            "{walk} y {list}, lo cual no importa: la alineación es estricta",
        )),
    }
}

fn remedy(evaluation: &Evaluation, walk: &str, list: &str) -> Text {
    // The list names a domain below the one that the walk ends at: it ends too high,
    // and a word of the domain itself stops it.
    let ends_too_high = list.len() > walk.len();
    let says_so =
        |suffix| evaluation.record.as_ref().is_some_and(|record| record.public_suffix == suffix);
    if ends_too_high || walk == list {
        Text::new(
            "Publish at _dmarc.{list} a record with psd=n: v=DMARC1; p=none; psd=n",
            "Publique en _dmarc.{list} un registro con psd=n: v=DMARC1; p=none; psd=n",
        )
    } else if says_so(PublicSuffix::No) || evaluation.by_list.policy_domain.as_deref() == Some(list)
    {
        Text::new(
            "Delete psd= below {list} and at it, or write adkim=s; aspf=s into the record of {walk}",
            "Borre psd= en {list} y por debajo, o ponga adkim=s; aspf=s en el registro de {walk}",
        )
    } else {
        Text::same("_dmarc.{list}. IN TXT \"v=DMARC1; p=none\"")
    }
}

#[cfg(test)]
mod tests {
    use puerto_mail::dmarc;
    use puerto_mail::dns::{Table, block_on};

    use super::*;
    use crate::lang::Language;

    #[test]
    fn the_remedy_makes_both_ways_agree() {
        let none = "v=DMARC1; p=none";
        let own = "v=DMARC1; p=none; psd=n";
        // From; records; the remedy's words; the records when it was followed.
        for (from, before, words, after) in [
            (
                "a.github.io",
                vec![("github.io", none)],
                "record with psd=n",
                vec![("github.io", none), ("a.github.io", own)],
            ),
            (
                "shop.example.com",
                vec![("shop.example.com", none)],
                "_dmarc.example.com. IN",
                vec![("shop.example.com", none), ("example.com", none)],
            ),
            (
                "shop.example.com",
                vec![("shop.example.com", own), ("example.com", none)],
                "Delete psd=",
                vec![("shop.example.com", none), ("example.com", none)],
            ),
            (
                "shop.example.com",
                vec![("example.com", "v=DMARC1; p=none; psd=y")],
                "Delete psd=",
                vec![("example.com", none)],
            ),
        ] {
            let evaluate = |records: &[(&str, &str)]| {
                let mut table = Table::new();
                for (name, text) in records {
                    table.txt(&format!("_dmarc.{name}"), text);
                }
                block_on(dmarc::evaluate(&table, from, None, &[])).unwrap()
            };
            let wrong = evaluate(&before);
            assert!(wrong.ways_differ(), "{from} {before:?}");
            let walk = wrong.organizational_domain.as_deref().unwrap();
            let list = wrong.by_list.organizational_domain.as_str();
            let said = remedy(&wrong, walk, list).with(Language::English, &[("list", list)]);
            assert!(said.contains(words), "{from} {before:?}: {said}");
            assert!(!evaluate(&after).ways_differ(), "{from} {after:?}");
        }
    }
}
