//! From which address a message leaves: the same one each time, so that whoever greylists it
//! knows it again.

use puerto_smtp::ReversePath;

use super::random::Random;
use super::{DestinationKey, Guard, Leaving, Plan, family};
use crate::cause::Cause;
use crate::config::{Config, Source};

impl Plan {
    /// The same from one of several addresses: a lane of its own, for what is learnt of a
    /// destination is learnt of what it thinks of that address. `None` if none of its hosts can
    /// be reached from there.
    pub fn from_source(&self, source: &Source) -> Option<Self> {
        let (hops, avoided) = match &self.guard {
            Some(guard) => guard.sift(source),
            None => (family::reached(&self.hops, source), None),
        };
        let key = DestinationKey(format!("{} from {}", self.key, source.name).into());
        let leaving = Some(Leaving { source: source.clone(), towards: self.key.clone() });
        let made = Self { key, hops, avoided, leaving, ..self.clone() };
        (!made.hops.is_empty()).then_some(made)
    }

    /// Why a source is not used while there is another: what is known against each of its
    /// addresses from which the hosts can be reached.
    pub fn against(&self, source: &Source) -> Option<&Cause> {
        self.guard.as_deref().and_then(|guard: &Guard| guard.against(source))
    }
}

/// The sources that may carry a message, the one that does first, by their places. Those that
/// are for it by name go before those that are for all; there are none where mail leaves from
/// the usual address.
///
/// Each message draws for each source (rendezvous hashing): which one is first depends on
/// these two alone, so that another source more or less moves no other message.
pub fn order(config: &Config, whose: (&ReversePath, Option<&str>), message: &str) -> Vec<usize> {
    let sources = &config.sources;
    let named = |source: &Source| source.is_for(whose, &config.domains);
    let is_named = sources.iter().any(named);
    let fits = |source: &Source| if is_named { named(source) } else { !source.is_for_some() };
    let mut drawn: Vec<(f64, usize)> = sources
        .iter()
        .enumerate()
        .filter(|(_, source)| fits(source))
        .map(|(place, source)| (draw(source, message), place))
        .collect();
    drawn.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    drawn.into_iter().map(|(_, place)| place).collect()
}

// An exponentially distributed wait at the rate of the weight: the shortest wins as often as the
// weights are to each other.
fn draw(source: &Source, message: &str) -> f64 {
    let octets = source.name.bytes().chain([0]).chain(message.bytes());
    // FNV-1a, the same on every machine and in every version.
    let hash = octets.fold(0xcbf2_9ce4_8422_2325_u64, |hash, octet| {
        (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3)
    });
    let dice = Random::from_seed(hash).next() >> 32;
    let dice = u32::try_from(dice).unwrap_or(u32::MAX);
    let unit = (f64::from(dice) + 0.5) / (f64::from(u32::MAX) + 1.0);
    -unit.ln() / f64::from(source.weight.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(text: &str) -> Config {
        Config::parse(&format!("domains = [\"example.com\"]\n{text}"), "puerto.toml").unwrap()
    }

    fn first(config: &Config, from: &str, account: Option<&str>, message: &str) -> Option<String> {
        let from = ReversePath::parse(from).unwrap();
        let order = order(config, (&from, account), message);
        order.first().and_then(|place| config.sources.get(*place)).map(|source| source.name.clone())
    }

    const THREE: &str = "[[source]]\nname = \"main\"\nipv4 = \"192.0.2.1\"\n\
        [[source]]\nname = \"news\"\nipv4 = \"192.0.2.2\"\nfrom = [\"@news.example.com\"]\n\
        [[source]]\nname = \"shop\"\nipv4 = \"192.0.2.3\"\naccounts = [\"shop\"]\n";

    #[test]
    fn a_sender_or_an_account_has_its_own_and_all_others_the_rest() {
        let all = sources(THREE);
        for (from, account, name) in [
            ("<ana@example.com>", None, "main"),
            ("<x@news.example.com>", None, "news"),
            ("<x@NEWS.example.com>", Some("ana"), "news"),
            ("<ana@example.com>", Some("Shop"), "shop"),
            ("<ana@example.com>", Some("shop@example.com"), "main"),
            ("<>", None, "main"),
        ] {
            assert_eq!(first(&all, from, account, "id").as_deref(), Some(name), "{from}");
        }
        let some =
            sources(&THREE.replace("[[source]]\nname = \"main\"\nipv4 = \"192.0.2.1\"\n", ""));
        assert_eq!(first(&some, "<ana@example.com>", None, "id"), None, "the usual address");
    }

    #[test]
    fn a_message_has_the_same_source_each_time_and_weights_are_kept() {
        let all = sources(
            "[[source]]\nname = \"a\"\nipv4 = \"192.0.2.1\"\n\
             [[source]]\nname = \"b\"\nipv4 = \"192.0.2.2\"\nweight = 3\n",
        );
        let one = |n: u32| first(&all, "<ana@example.com>", None, &format!("message{n}")).unwrap();
        let drawn: Vec<String> = (0..4000).map(one).collect();
        assert_eq!(drawn, (0..4000).map(one).collect::<Vec<_>>());
        let heavy = drawn.iter().filter(|name| *name == "b").count();
        assert!((2850..=3150).contains(&heavy), "{heavy} of 4000");
        // Another one takes from both, and moves nothing between them.
        let more = sources(
            "[[source]]\nname = \"a\"\nipv4 = \"192.0.2.1\"\n\
             [[source]]\nname = \"b\"\nipv4 = \"192.0.2.2\"\nweight = 3\n\
             [[source]]\nname = \"c\"\nipv4 = \"192.0.2.3\"\n",
        );
        for (n, before) in drawn.iter().enumerate().take(500) {
            let now = first(&more, "<ana@example.com>", None, &format!("message{n}")).unwrap();
            assert!(now == *before || now == "c");
        }
    }
}
