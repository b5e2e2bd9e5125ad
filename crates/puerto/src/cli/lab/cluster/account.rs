//! The account: what clients were told, held against what receivers have. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use puerto_lab::{Outcome, Transaction};

/// What was sent so far. Each letter has a recipient that no other has.
#[derive(Debug, Default)]
pub(super) struct Account {
    sent: usize,
    acknowledged: BTreeSet<String>,
    /// Copies too many that are nobody's fault: of what was being handed over when somebody
    /// was killed.
    excused: usize,
}

/// Which copies have arrived of each letter, by the sender's address.
pub(super) type Arrived = BTreeMap<String, Vec<IpAddr>>;

/// What it comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Balance {
    /// Letters that clients were told are safe.
    pub(super) acknowledged: usize,
    /// Those that a receiver has.
    pub(super) arrived: usize,
    /// Those that no receiver has.
    pub(super) lost: usize,
    /// Copies beyond the first.
    pub(super) second_copies: usize,
    /// As many of them may be.
    pub(super) excused: usize,
}

impl Balance {
    /// Whether the promise was kept.
    pub(super) fn is_well(self) -> bool {
        self.lost == 0 && self.second_copies <= self.excused
    }
}

impl Account {
    /// Numbers for so many more letters.
    pub(super) fn more(&mut self, count: usize) -> std::ops::Range<usize> {
        let from = self.sent;
        self.sent += count;
        from..self.sent
    }

    /// A client was told that a letter is safe.
    pub(super) fn acknowledge(&mut self, to: String) {
        self.acknowledged.insert(to);
    }

    /// So many letters may arrive twice.
    pub(super) fn excuse(&mut self, count: usize) {
        self.excused += count;
    }

    pub(super) fn balance(&self, arrived: &Arrived) -> Balance {
        let acknowledged = self.acknowledged.len();
        let have = self.acknowledged.iter().filter(|to| arrived.contains_key(*to)).count();
        Balance {
            acknowledged,
            arrived: have,
            lost: acknowledged - have,
            second_copies: arrived.values().map(|copies| copies.len() - 1).sum(),
            excused: self.excused,
        }
    }
}

/// What receivers have.
pub(super) fn arrived(seen: &[Arc<Transaction>]) -> Arrived {
    let mut arrived = Arrived::new();
    for one in seen.iter().filter(|one| one.outcome == Outcome::Accepted) {
        for to in one.accepted_recipients() {
            arrived.entry(to.to_string()).or_default().push(one.peer);
        }
    }
    arrived
}

#[cfg(test)]
mod tests {
    use puerto_smtp::{Reply, ReversePath};

    use super::*;

    fn seen(to: &str, outcome: Outcome) -> Arc<Transaction> {
        let reply = Reply::new(250, None, "text");
        Arc::new(Transaction {
            receiver: "plain",
            host: "mx.plain.example".into(),
            peer: [127, 0, 0, 31].into(),
            helo: None,
            tls: true,
            from: Some(ReversePath::Null),
            recipients: vec![(to.parse().unwrap(), reply.clone())],
            reply: Some(reply),
            outcome,
            authentication: Vec::new(),
            message: Arc::default(),
        })
    }

    #[test]
    fn what_was_acknowledged_and_never_arrived_is_lost() {
        let mut account = Account::default();
        assert_eq!((account.more(2), account.more(1)), (0..2, 2..3));
        for to in ["1@x.example", "2@x.example", "3@x.example"] {
            account.acknowledge(to.to_owned());
        }
        let arrived = arrived(&[
            seen("1@x.example", Outcome::Deferred),
            seen("1@x.example", Outcome::Accepted),
            seen("2@x.example", Outcome::Accepted),
            seen("2@x.example", Outcome::Accepted),
            seen("3@x.example", Outcome::HungUp),
            // Nobody was told of it.
            seen("4@x.example", Outcome::Accepted),
        ]);
        let balance = account.balance(&arrived);
        let expected =
            Balance { acknowledged: 3, arrived: 2, lost: 1, second_copies: 1, excused: 0 };
        assert_eq!(balance, expected);
        assert!(!balance.is_well());
        assert!(!Balance { lost: 0, ..balance }.is_well());
        account.excuse(1);
        assert!(Balance { lost: 0, ..account.balance(&arrived) }.is_well());
    }
}
