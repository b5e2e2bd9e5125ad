//! Asking one list about one address or domain.
//!
//! A list is tested before it is believed (RFC 5782 §5): one that does not list its
//! test point, or lists what must never be listed, has shut down or sold its domain.
//! An answer counts as a listing only if the list defines it so. All else, above all
//! the answers by which lists refuse a resolver, is a doubt and never a listing.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use puerto_mail::dns::{Dns, DnsError, Record, RecordType, reverse_name};

use super::data::{Access, Kind, List, Meaning};
use crate::lang::harmless;
use puerto_mail::together::together;

/// Characters of a list's own text that are shown.
const MAX_TEXT: usize = 300;

/// What lists answer for their test points.
const TEST_ANSWER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// What a list is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject<'a> {
    Address(IpAddr),
    Domain(&'a str),
}

impl Subject<'_> {
    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Address(IpAddr::V4(_)) => Kind::Ipv4,
            Self::Address(IpAddr::V6(_)) => Kind::Ipv6,
            Self::Domain(_) => Kind::Domain,
        }
    }

    pub(super) fn address_v4(self) -> Option<Ipv4Addr> {
        match self {
            Self::Address(IpAddr::V4(address)) => Some(address),
            _ => None,
        }
    }

    /// The name that stands for it in a zone (RFC 5782 §2.1, §2.4, §3).
    pub(super) fn name_in(self, zone: &str) -> String {
        match self {
            Self::Address(address) => format!("{}.{zone}", reversed(address)),
            Self::Domain(domain) => format!("{}.{zone}", domain.trim_end_matches('.')),
        }
    }
}

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Domain(domain) => domain.fmt(f),
        }
    }
}

/// What a list says.
#[derive(Debug)]
pub(super) enum Verdict<'a> {
    NotListed,
    Listed {
        meanings: Vec<&'a Meaning>,
        /// The answers, as they came.
        answers: Vec<IpAddr>,
        /// The list's own words.
        text: Option<String>,
    },
    Unknown(Doubt<'a>),
}

/// Why nothing is known.
#[derive(Debug, Clone)]
pub(super) enum Doubt<'a> {
    /// The list does not answer this resolver; with the reason if the list gives one.
    Refused(IpAddr, Option<&'a Meaning>),
    /// The DNS did not answer.
    Silent(DnsError),
    /// Its test point is not listed, though it should be.
    ListsNothing,
    /// As before, and only registered resolvers get answers.
    Unregistered,
    /// What must never be listed is.
    ListsEverything,
    /// An answer that the list does not define.
    Strange(IpAddr),
}

/// Whether a list is fit to be believed about subjects of a kind.
pub(super) async fn test<'a, D: Dns>(dns: &D, list: &'a List, kind: Kind) -> Option<Doubt<'a>> {
    let (never, always) =
        tokio::join!(test_unlisted(dns, list, kind), test_listed(dns, list, kind));
    never.or(always)
}

/// Asks a list that passed its test.
pub(super) async fn ask<'a, D: Dns>(dns: &D, list: &'a List, subject: Subject<'_>) -> Verdict<'a> {
    let name = subject.name_in(&list.zone);
    let answers = match addresses(dns, &name).await {
        Ok(answers) if answers.is_empty() => return Verdict::NotListed,
        Ok(answers) => answers,
        Err(error) => return Verdict::Unknown(Doubt::Silent(error)),
    };
    match understand(list, &answers) {
        Ok(meanings) => Verdict::Listed { meanings, answers, text: own_words(dns, &name).await },
        Err(doubt) => Verdict::Unknown(doubt),
    }
}

/// Names of which a list must list at least one.
pub(super) fn listed_names(list: &List, kind: Kind) -> Vec<String> {
    match kind {
        Kind::Domain if list.listed.is_empty() => vec![format!("test.{}", list.zone)],
        Kind::Domain => list.listed.iter().map(|name| format!("{name}.{}", list.zone)).collect(),
        // Many that list both families have a test point for IPv4 alone.
        Kind::Ipv4 | Kind::Ipv6 => [kind, Kind::Ipv4]
            .iter()
            .filter(|kind| list.of.contains(kind))
            .map(|kind| Subject::Address(test_address(*kind, 2)).name_in(&list.zone))
            .collect(),
    }
}

async fn test_unlisted<'a, D: Dns>(dns: &D, list: &'a List, kind: Kind) -> Option<Doubt<'a>> {
    let name = match (&list.unlisted, kind) {
        (Some(name), _) => format!("{name}.{}", list.zone),
        (None, Kind::Domain) => format!("invalid.{}", list.zone),
        (None, _) => Subject::Address(test_address(kind, 1)).name_in(&list.zone),
    };
    match addresses(dns, &name).await {
        Ok(answers) if answers.is_empty() => None,
        Ok(answers) => Some(match understand(list, &answers) {
            Ok(_) => Doubt::ListsEverything,
            Err(doubt) => doubt,
        }),
        Err(error) => Some(Doubt::Silent(error)),
    }
}

async fn test_listed<'a, D: Dns>(dns: &D, list: &'a List, kind: Kind) -> Option<Doubt<'a>> {
    let mut doubt = match list.access {
        Access::Registered => Doubt::Unregistered,
        _ => Doubt::ListsNothing,
    };
    let names = listed_names(list, kind);
    for answer in together(names.iter().map(|name| addresses(dns, name))).await {
        match answer {
            Ok(answers) if answers.is_empty() => {}
            Ok(answers) => match understand(list, &answers) {
                // RFC 5782 §5: for its test point a list may answer 127.0.0.2, even if
                // that means nothing otherwise.
                Ok(_) | Err(Doubt::Strange(TEST_ANSWER)) => return None,
                Err(found) => doubt = found,
            },
            Err(error) => doubt = Doubt::Silent(error),
        }
    }
    Some(doubt)
}

/// RFC 5782 §5: 127.0.0.2 is always listed and 127.0.0.1 never; for IPv6 the same
/// addresses mapped.
fn test_address(kind: Kind, last: u8) -> IpAddr {
    match kind {
        Kind::Ipv6 => Ipv6Addr::from([0, 0, 0, 0, 0, 0xffff, 0x7f00, last.into()]).into(),
        Kind::Ipv4 | Kind::Domain => IpAddr::from([127, 0, 0, last]),
    }
}

/// The A records; none if the DNS says for certain that there are none.
async fn addresses<D: Dns>(dns: &D, name: &str) -> Result<Vec<IpAddr>, DnsError> {
    let records = dns.records(name, RecordType::A).await?;
    Ok(records.into_iter().filter_map(Record::into_address).collect())
}

/// What the answers mean, if they are a listing. One that is not voids them all.
fn understand<'a>(list: &'a List, answers: &[IpAddr]) -> Result<Vec<&'a Meaning>, Doubt<'a>> {
    let mut meanings = Vec::new();
    for answer in answers {
        let mut known = list.meanings(*answer).peekable();
        match known.peek() {
            Some(meaning) if meaning.is_refusal => {
                return Err(Doubt::Refused(*answer, Some(meaning)));
            }
            None if is_refusal(*answer) => return Err(Doubt::Refused(*answer, None)),
            None => return Err(Doubt::Strange(*answer)),
            Some(_) => meanings.extend(known),
        }
    }
    Ok(meanings)
}

/// 127.255.255.0/24: lists besides Spamhaus use it to say that they will not answer.
fn is_refusal(answer: IpAddr) -> bool {
    matches!(answer, IpAddr::V4(answer) if answer.octets().starts_with(&[127, 255, 255]))
}

async fn own_words<D: Dns>(dns: &D, name: &str) -> Option<String> {
    let answer = dns.lookup(name, RecordType::Txt).await.ok()?;
    let text = answer.records.iter().find_map(Record::text)?;
    Some(harmless(&text.chars().take(MAX_TEXT).collect::<String>()))
}

/// The octets or nibbles of an address from the last to the first.
fn reversed(address: IpAddr) -> String {
    let name = reverse_name(address);
    name.trim_end_matches(".in-addr.arpa").trim_end_matches(".ip6.arpa").to_owned()
}

#[cfg(test)]
mod tests {
    use puerto_mail::dns::{Table, block_on};

    use super::super::data::Lists;
    use super::*;

    const EGRESS: Subject<'_> = Subject::Address(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7)));
    const LISTED_NAME: &str = "7.2.0.192.zen.spamhaus.org";

    fn zen() -> &'static List {
        Lists::known().lists.iter().find(|list| list.zone == "zen.spamhaus.org").unwrap()
    }

    fn answer(table: &mut Table, name: &str, address: [u8; 4]) {
        table.address(name, address.into());
    }

    fn healthy() -> Table {
        let mut table = Table::new();
        answer(&mut table, "2.0.0.127.zen.spamhaus.org", [127, 0, 0, 2]);
        answer(&mut table, "2.0.0.127.zen.spamhaus.org", [127, 0, 0, 10]);
        table
    }

    fn tested(table: &Table) -> Option<Doubt<'static>> {
        block_on(test(table, zen(), Kind::Ipv4)).unwrap()
    }

    fn asked(table: &Table) -> Verdict<'static> {
        block_on(ask(table, zen(), EGRESS)).unwrap()
    }

    #[test]
    fn names_are_reversed_octets_or_nibbles() {
        assert_eq!(EGRESS.name_in("zen.spamhaus.org"), LISTED_NAME);
        let v6 = Subject::Address("2001:db8::1".parse().unwrap());
        let expected = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.x";
        assert_eq!(v6.name_in("x"), expected);
        assert_eq!(Subject::Domain("example.com.").name_in("x"), "example.com.x");
    }

    #[test]
    fn a_list_that_answers_its_tests_is_believed() {
        let table = healthy();
        assert!(tested(&table).is_none());
        assert!(matches!(asked(&table), Verdict::NotListed));
    }

    #[test]
    fn a_list_of_both_families_may_have_one_test_point() {
        let table = healthy();
        assert!(block_on(test(&table, zen(), Kind::Ipv6)).unwrap().is_none());
        assert!(block_on(test(&Table::new(), zen(), Kind::Ipv6)).unwrap().is_some());
    }

    #[test]
    fn what_an_answer_means_is_what_the_list_defines() {
        for (address, name) in [
            ([127, 0, 0, 2], "SBL"),
            ([127, 0, 0, 3], "CSS"),
            ([127, 0, 0, 4], "XBL"),
            ([127, 0, 0, 9], "DROP"),
            ([127, 0, 0, 10], "PBL"),
            ([127, 0, 0, 11], "PBL"),
            ([127, 0, 0, 30], "BCL"),
        ] {
            let mut table = healthy();
            answer(&mut table, LISTED_NAME, address);
            table.txt(LISTED_NAME, "https://check.spamhaus.org/\u{7}query");
            match asked(&table) {
                Verdict::Listed { meanings, text, .. } => {
                    assert_eq!(meanings.iter().map(|m| &m.name).collect::<Vec<_>>(), [name]);
                    assert_eq!(text.as_deref(), Some("https://check.spamhaus.org/?query"));
                }
                other => panic!("{address:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_refusal_is_never_a_listing() {
        for last in [252, 254, 255, 77] {
            let mut table = healthy();
            answer(&mut table, LISTED_NAME, [127, 255, 255, last]);
            assert!(matches!(asked(&table), Verdict::Unknown(Doubt::Refused(..))), "{last}");
            let mut table = Table::new();
            answer(&mut table, "2.0.0.127.zen.spamhaus.org", [127, 255, 255, last]);
            assert!(matches!(tested(&table), Some(Doubt::Refused(..))), "{last}");
        }
    }

    #[test]
    fn a_list_that_lists_all_or_nothing_is_not_believed() {
        assert!(matches!(tested(&Table::new()), Some(Doubt::ListsNothing)));
        let mut table = healthy();
        answer(&mut table, "1.0.0.127.zen.spamhaus.org", [127, 0, 0, 2]);
        assert!(matches!(tested(&table), Some(Doubt::ListsEverything)));
        // A parked domain, or a resolver that answers what does not exist.
        let mut table = healthy();
        answer(&mut table, "1.0.0.127.zen.spamhaus.org", [198, 51, 100, 1]);
        assert!(matches!(tested(&table), Some(Doubt::Strange(_))));
        let mut table = healthy();
        answer(&mut table, LISTED_NAME, [127, 0, 0, 99]);
        assert!(matches!(asked(&table), Verdict::Unknown(Doubt::Strange(_))));
    }

    #[test]
    fn a_dns_that_fails_says_nothing() {
        for error in [DnsError::Timeout, DnsError::Failure("SERVFAIL".into())] {
            let mut table = healthy();
            table.fail(LISTED_NAME, RecordType::A, error.clone());
            assert!(matches!(asked(&table), Verdict::Unknown(Doubt::Silent(_))));
            let mut table = healthy();
            table.fail("1.0.0.127.zen.spamhaus.org", RecordType::A, error);
            assert!(matches!(tested(&table), Some(Doubt::Silent(_))));
        }
    }

    #[test]
    fn bits_are_read_one_by_one_and_the_lowest_is_a_refusal() {
        let surbl = Lists::known().lists.iter().find(|list| list.zone == "multi.surbl.org");
        let surbl = surbl.unwrap();
        let domain = Subject::Domain("example.com");
        let mut table = Table::new();
        answer(&mut table, "test.surbl.org.multi.surbl.org", [127, 0, 0, 254]);
        assert!(block_on(test(&table, surbl, Kind::Domain)).unwrap().is_none());
        answer(&mut table, "example.com.multi.surbl.org", [127, 0, 0, 80]);
        match block_on(ask(&table, surbl, domain)).unwrap() {
            Verdict::Listed { meanings, .. } => {
                let names: Vec<_> = meanings.iter().map(|m| m.name.as_str()).collect();
                assert_eq!(names, ["MW", "ABUSE"]);
            }
            other => panic!("{other:?}"),
        }
        let mut table = Table::new();
        answer(&mut table, "test.surbl.org.multi.surbl.org", [127, 0, 0, 1]);
        assert!(matches!(
            block_on(test(&table, surbl, Kind::Domain)).unwrap(),
            Some(Doubt::Refused(..))
        ));
    }
}
