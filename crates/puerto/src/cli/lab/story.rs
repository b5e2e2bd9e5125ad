//! What is sent in the lab, and what has to come of it. Pure: the receivers' records
//! come in, rows of a table come out.

use std::net::IpAddr;
use std::sync::Arc;

use puerto_lab::world::{
    GRUMPY, HOME, PLAIN, RELAY, SENDER_ADDRESS, SENDER_DOMAIN, STRICT, UNKNOWN_USER,
};
use puerto_lab::{Outcome, Resident, Transaction};
use puerto_smtp::address::AddressError;
use puerto_smtp::{Address, Reply, ReversePath};

use crate::lang::{Said, Text, said};

/// Who writes the letters that go through the relay, by a route of their own.
pub(super) const RELAYED_USER: &str = "shop";
/// What the strict receiver looks at.
pub(super) const METHODS: [&str; 4] = ["iprev", "spf", "dkim", "dmarc"];

const DELIVERED: Text = Text::new("delivered", "entregado");
const RETURNED: Text = Text::new("returned to the sender", "devuelto al remitente");

/// The way of a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// To the recipient's MX.
    Direct,
    /// Through the relay.
    Relay,
}

/// How a recipient's letter is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The receiver has it.
    Delivered,
    /// The receiver has it, and found everything about its sender in order.
    Authenticated,
    /// The receiver knows no such user, and the sender is told.
    Returned,
}

/// A message: one envelope, one text.
#[derive(Debug, Clone)]
pub(super) struct Letter {
    /// The reverse-path.
    pub(super) from: Address,
    /// The address in From.
    pub(super) author: Address,
    pub(super) recipients: Vec<Destined>,
    pub(super) way: Way,
}

/// One recipient of a letter.
#[derive(Debug, Clone)]
pub(super) struct Destined {
    pub(super) to: Address,
    pub(super) receiver: &'static str,
    pub(super) ending: Ending,
}

/// The letters that show the most with the least. It fails for a user whose name
/// is not a local part as it stands.
pub(super) fn letters(user: &str) -> Result<Vec<Letter>, AddressError> {
    let from = |local_part: &str| Address::parse(&format!("{local_part}@{SENDER_DOMAIN}"));
    let direct = |resident: Resident, local_part: &str, ending| {
        let recipients = vec![destined(resident, local_part, ending)?];
        Ok(Letter { from: from(user)?, author: from(user)?, recipients, way: Way::Direct })
    };
    Ok(vec![
        direct(STRICT, "ana", Ending::Authenticated)?,
        direct(PLAIN, "luis", Ending::Delivered)?,
        direct(GRUMPY, "rosa", Ending::Delivered)?,
        direct(PLAIN, UNKNOWN_USER, Ending::Returned)?,
        Letter {
            from: from(RELAYED_USER)?,
            author: from(RELAYED_USER)?,
            recipients: vec![
                destined(STRICT, "ana", Ending::Authenticated)?,
                destined(PLAIN, "luis", Ending::Delivered)?,
            ],
            way: Way::Relay,
        },
    ])
}

pub(super) fn destined(
    resident: Resident,
    local_part: &str,
    ending: Ending,
) -> Result<Destined, AddressError> {
    let to = Address::parse(&format!("{local_part}@{}", resident.domain))?;
    Ok(Destined { to, receiver: resident.name, ending })
}

impl Letter {
    /// The text, as a user's program writes it: the server adds what is missing.
    pub(super) fn text(&self) -> String {
        let to: Vec<String> = self.recipients.iter().map(|r| r.to.to_string()).collect();
        let by = match self.way {
            Way::Direct => "directly to your MX",
            Way::Relay => "through the relay of my provider",
        };
        format!(
            "From: {from}\r\n\
             To: {to}\r\n\
             Subject: Buen puerto\r\n\
             MIME-Version: 1.0\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\
             Content-Transfer-Encoding: 8bit\r\n\
             \r\n\
             ¡Buen puerto!\r\n\
             .\r\n\
             This letter came {by}. The dot above stands alone on its line, as sent.\r\n",
            from = self.author,
            to = to.join(", "),
        )
    }
}

/// What became of one recipient so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) way: Way,
    /// Each attempt: who saw it, and what it answered; `None` if it hung up.
    pub(super) attempts: Vec<(&'static str, Option<String>)>,
    pub(super) status: Status,
    /// The results of [`METHODS`], where the receiver looked.
    pub(super) results: [Option<String>; 4],
    /// The receiver's last reply.
    pub(super) reply: Option<Reply>,
}

/// Where a recipient's letter stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Status {
    /// It has not ended.
    UnderWay,
    /// It ended as it should.
    Well(Text),
    /// It ended otherwise.
    Wrong(Said),
}

/// The rows of all recipients.
pub(super) fn rows(letters: &[Letter], seen: &[Arc<Transaction>]) -> Vec<Row> {
    letters
        .iter()
        .flat_map(|letter| letter.recipients.iter().map(|destined| row(letter, destined, seen)))
        .collect()
}

fn row(letter: &Letter, destined: &Destined, seen: &[Arc<Transaction>]) -> Row {
    let from = ReversePath::Address(letter.from.clone());
    let own: Vec<&Transaction> = seen
        .iter()
        .map(Arc::as_ref)
        .filter(|t| t.from.as_ref() == Some(&from) && concerns(t, destined))
        .collect();
    let last = own.iter().rev().find(|t| t.receiver == destined.receiver);
    let results = METHODS.map(|method| last.and_then(|t| t.result_of(method)).map(str::to_owned));
    let notification = (destined.ending == Ending::Returned)
        .then(|| find_notification(letter, destined, seen))
        .flatten();
    let attempts = own.iter().copied().map(|t| (t.receiver, answer_to(t, &destined.to)));
    let told = notification.map(|t| (t.receiver, answer_to(t, &letter.from)));
    Row {
        from: letter.from.to_string(),
        to: destined.to.to_string(),
        way: letter.way,
        attempts: attempts.chain(told).collect(),
        status: status(letter, destined, &own, seen),
        results,
        reply: last.and_then(|t| reply_to(t, &destined.to)).cloned(),
    }
}

// A client that is sent away at MAIL has named nobody: that is an attempt of every
// letter that it has for this receiver.
fn concerns(transaction: &Transaction, destined: &Destined) -> bool {
    let nobody_named = transaction.recipients.is_empty();
    nobody_named && transaction.receiver == destined.receiver
        || transaction.recipients.iter().any(|(address, _)| *address == destined.to)
}

pub(super) fn reply_to<'a>(transaction: &'a Transaction, to: &Address) -> Option<&'a Reply> {
    let at_recipient = transaction.recipients.iter().find(|(address, _)| address == to);
    match at_recipient {
        Some((_, reply)) if !reply.is_positive() => Some(reply),
        _ => transaction.reply.as_ref(),
    }
}

fn answer_to(transaction: &Transaction, to: &Address) -> Option<String> {
    reply_to(transaction, to).map(|reply| format!("{} {}", reply.code(), reply.status()))
}

fn status(
    letter: &Letter,
    destined: &Destined,
    own: &[&Transaction],
    seen: &[Arc<Transaction>],
) -> Status {
    let at_receiver = || own.iter().filter(|t| t.receiver == destined.receiver);
    let refused = at_receiver().find(|t| {
        reply_to(t, &destined.to)
            .is_some_and(|reply| reply.severity() == puerto_smtp::Severity::Permanent)
    });
    if destined.ending == Ending::Returned {
        return returned(letter, destined, refused.is_some(), seen);
    }
    if let Some(reply) = refused.and_then(|t| reply_to(t, &destined.to)) {
        return Status::Wrong(said!("refused: {reply}", "rechazado: {reply}"; reply = reply));
    }
    let mut accepted =
        at_receiver().filter(|t| t.outcome == Outcome::Accepted && names_accepted(t, &destined.to));
    let Some(arrived) = accepted.next() else { return Status::UnderWay };
    if accepted.next().is_some() {
        return Status::Wrong(said!("it arrived twice", "ha llegado dos veces"));
    }
    let expected = match letter.way {
        Way::Direct => SENDER_ADDRESS,
        Way::Relay => RELAY.address,
    };
    if arrived.peer != IpAddr::V4(expected) {
        return Status::Wrong(said!(
            "it came from {peer}, not from {expected}",
            "ha llegado desde {peer} y no desde {expected}";
            peer = arrived.peer, expected = expected
        ));
    }
    if destined.ending == Ending::Authenticated {
        for method in METHODS {
            let result = arrived.result_of(method).unwrap_or("missing");
            if result != "pass" {
                return Status::Wrong(Said::words(format!("{method}={result}")));
            }
        }
    }
    Status::Well(DELIVERED)
}

fn names_accepted(transaction: &Transaction, to: &Address) -> bool {
    transaction.accepted_recipients().any(|address| address == to)
}

fn returned(
    letter: &Letter,
    destined: &Destined,
    refused: bool,
    seen: &[Arc<Transaction>],
) -> Status {
    match find_notification(letter, destined, seen) {
        None => Status::UnderWay,
        Some(_) if !refused => Status::Wrong(said!(
            "returned without a refusal",
            "devuelto sin que nadie lo rechazara"
        )),
        Some(t) if t.from != Some(ReversePath::Null) => Status::Wrong(said!(
            "the notification has a reverse-path",
            "la notificación tiene remitente de sobre"
        )),
        Some(t) if !holds(&t.message, "Content-Type: message/delivery-status") => {
            Status::Wrong(said!(
                "the notification has no delivery-status part",
                "la notificación no tiene la parte delivery-status"
            ))
        }
        Some(_) => Status::Well(RETURNED),
    }
}

fn find_notification<'a>(
    letter: &Letter,
    destined: &Destined,
    seen: &'a [Arc<Transaction>],
) -> Option<&'a Transaction> {
    let about = destined.to.to_string();
    let found = seen.iter().find(|t| {
        t.receiver == HOME.name
            && t.outcome == Outcome::Accepted
            && names_accepted(t, &letter.from)
            && holds(&t.message, &about)
    });
    found.map(Arc::as_ref)
}

fn holds(message: &[u8], text: &str) -> bool {
    memchr::memmem::find(message, text.as_bytes()).is_some()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use puerto_mail::authres::MethodResult;

    use super::*;

    fn seen(receiver: &'static str, peer: Ipv4Addr, to: &str, code: u16) -> Transaction {
        let reply = Reply::new(code, None, "text");
        let outcome = match code {
            250 => Outcome::Accepted,
            400..500 => Outcome::Deferred,
            _ => Outcome::Refused,
        };
        Transaction {
            receiver,
            host: format!("mx.{receiver}.example"),
            peer: peer.into(),
            helo: None,
            tls: true,
            from: Some(ReversePath::Address("me@lab.example".parse().unwrap())),
            recipients: vec![(to.parse().unwrap(), reply.clone())],
            reply: Some(reply),
            outcome,
            authentication: METHODS.map(|method| MethodResult::new(method, "pass")).to_vec(),
            message: Arc::from(&b"x"[..]),
        }
    }

    fn status_of(to: &str, seen: Vec<Transaction>) -> Status {
        let seen: Vec<_> = seen.into_iter().map(Arc::new).collect();
        let rows = rows(&letters("me").unwrap(), &seen);
        rows.into_iter().find(|row| row.to == to).unwrap().status
    }

    #[test]
    fn a_letter_is_well_when_it_arrived_once_from_where_it_should() {
        let to = "ana@strict.example";
        let arrived = || seen("strict", SENDER_ADDRESS, to, 250);
        let deferred = seen("strict", SENDER_ADDRESS, to, 451);
        assert_eq!(status_of(to, vec![]), Status::UnderWay);
        assert_eq!(status_of(to, vec![deferred.clone()]), Status::UnderWay);
        assert_eq!(status_of(to, vec![deferred, arrived()]), Status::Well(DELIVERED));
        let twice = status_of(to, vec![arrived(), arrived()]);
        assert!(matches!(twice, Status::Wrong(_)), "{twice:?}");
        let elsewhere = seen("strict", RELAY.address, to, 250);
        assert!(matches!(status_of(to, vec![elsewhere]), Status::Wrong(_)));
        let refused = seen("strict", SENDER_ADDRESS, to, 550);
        assert!(matches!(status_of(to, vec![refused]), Status::Wrong(_)));
        let mut unsigned = arrived();
        unsigned.authentication[2] = MethodResult::new("dkim", "none");
        assert_eq!(status_of(to, vec![unsigned]), Status::Wrong(Said::words("dkim=none")));
    }

    #[test]
    fn what_nobody_takes_is_well_when_its_sender_knows() {
        let to = "no-such-user@plain.example";
        let refused = seen("plain", SENDER_ADDRESS, to, 550);
        assert_eq!(status_of(to, vec![refused.clone()]), Status::UnderWay);
        let mut notification = seen("home", SENDER_ADDRESS, "me@lab.example", 250);
        let text = format!("Content-Type: message/delivery-status\r\n\r\n{to}");
        notification.message = Arc::from(text.as_bytes());
        let with_path = status_of(to, vec![refused.clone(), notification.clone()]);
        assert!(matches!(with_path, Status::Wrong(_)));
        notification.from = Some(ReversePath::Null);
        let well = status_of(to, vec![refused, notification]);
        assert_eq!(well, Status::Well(RETURNED));
    }
}
