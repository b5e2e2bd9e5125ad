//! Whether a message goes to many and nobody waits for it, so that others go before it: a
//! newsletter of a hundred thousand keeps no password waiting.

use puerto_mail::header::Header;
use puerto_smtp::ReversePath;

use super::Source;
use super::prepare::Work;
use crate::config::{means_account, sender_matches};

/// Fields that lists and newsletters have (RFC 2919, RFC 2369), and no letter to one.
const OF_LISTS: [&str; 2] = ["List-Id", "List-Unsubscribe"];
/// What their senders write into Precedence (RFC 3834 §3.1.8 knows them).
const PRECEDENCES: [&str; 3] = ["bulk", "list", "junk"];

/// See the module: by its header, its envelope's size, its sender or its account.
pub(super) fn is_bulk(work: &Work, header: &Header<'_>) -> bool {
    let queue = &work.config.queue;
    let precedence = || {
        let said = header.first("Precedence").map(|field| field.text().trim().to_ascii_lowercase());
        said.is_some_and(|said| PRECEDENCES.contains(&said.as_str()))
    };
    work.envelope.bulk
        || work.envelope.recipients.len() > queue.bulk_recipients
        || is_named(&queue.bulk, &work.envelope.reverse_path, &work.source)
        || OF_LISTS.iter().any(|name| header.first(name).is_some())
        || precedence()
}

// A name without an at sign is an account.
fn is_named(names: &[String], reverse_path: &ReversePath, source: &Source) -> bool {
    let account = match source {
        Source::Smtp { account: Some(account), .. } => Some(account.name.as_str()),
        _ => None,
    };
    names.iter().any(|name| match name.contains('@') {
        true => sender_matches(name, reverse_path),
        false => account.is_some_and(|account| means_account(name, account, &[])),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::Account;
    use puerto_smtp::Address;

    #[test]
    fn whom_the_configuration_names_is_meant_as_a_sender_or_as_an_account() {
        let names = ["newsletter", "@news.example.com", "ads@example.com"].map(str::to_owned);
        let account = |name: &str| Source::Smtp {
            client: crate::telemetry::Client { name: None, address: None },
            peer: ([192, 0, 2, 1], 1).into(),
            helo: String::new(),
            protocol: "ESMTPSA",
            tls: None,
            trusted: true,
            account: Some(Account { name: name.to_owned(), addresses: Vec::new() }),
        };
        let from = |text: &str| ReversePath::Address(Address::parse(text).unwrap());
        for (sender, by, expected) in [
            (from("ana@example.com"), account("ana"), false),
            (from("ana@example.com"), account("Newsletter"), true),
            (from("ana@news.example.com"), account("ana"), true),
            (from("ads@example.com"), Source::Internal, true),
            (from("newsletter@example.com"), Source::Internal, false),
            (ReversePath::Null, Source::Internal, false),
        ] {
            assert_eq!(is_named(&names, &sender, &by), expected, "{sender}");
        }
    }
}
