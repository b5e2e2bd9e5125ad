//! Accounts as they are written: when somebody logs in, in the configuration, in orders and
//! in conditions. Here alone is decided who is meant.

use puerto_smtp::Domain;

use super::pattern::in_ascii;

/// How a name may be spelt by which somebody means an account, to be compared with
/// [`account_folded`] names: as a whole, and without one of our domains, which is what programs
/// fill in. The first that there is counts. Of a pattern with `*` or `?` there is one.
pub fn account_spellings(written: &str, domains: &[Domain]) -> Vec<String> {
    let whole = account_folded(written);
    let short = whole.rsplit_once('@').and_then(|(name, domain)| {
        let domain = Domain::parse(domain).ok()?;
        let is_ours = domains.iter().any(|ours| in_ascii(ours) == in_ascii(&domain));
        (is_ours && !name.is_empty() && !name.contains(['*', '?'])).then(|| name.to_owned())
    });
    [Some(whole), short].into_iter().flatten().collect()
}

/// Whether what somebody has written means this account.
pub fn means_account(written: &str, account: &str, domains: &[Domain]) -> bool {
    account_spellings(written, domains).contains(&account_folded(account))
}

/// An account's name as it is compared: case does not count, nor which of two ways a keyboard
/// has to write an accent (RFC 4013).
pub fn account_folded(name: &str) -> String {
    let prepared = stringprep::saslprep(name);
    prepared.map_or_else(|_| name.to_lowercase(), |name| name.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_meant_in_every_way_in_which_one_logs_in_to_it() {
        let domains =
            ["example.com", "xn--and-6ma2c.example"].map(|name| Domain::parse(name).unwrap());
        for (written, account, expected) in [
            ("ana", "ana", true),
            ("ANA", "ana", true),
            ("ana@example.com", "ana", true),
            ("Ana@Example.COM", "ana", true),
            ("ana@ñandú.example", "ana", true),
            ("ana@example.com", "ana@example.com", true),
            ("jose\u{301}", "jos\u{e9}", true),
            ("jose\u{301}@example.com", "JOS\u{c9}", true),
            ("ana@example.net", "ana", false),
            ("ana@example.net", "ana@example.net", true),
            // By this nobody logs in to it.
            ("ana", "ana@example.com", false),
            ("anabel", "ana", false),
            ("@example.com", "", false),
        ] {
            assert_eq!(means_account(written, account, &domains), expected, "{written} {account}");
        }
        for pattern in ["*", "*@example.com", "an?@example.com"] {
            assert_eq!(account_spellings(pattern, &domains), [pattern], "a pattern is none of us");
        }
    }
}
