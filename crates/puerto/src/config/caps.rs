//! The section `[caps]`: how much one account, user or client may send before the rest is
//! held.

use std::fmt;

use super::network::Network;
use crate::lang::{Said, said};

/// Who may send how much.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caps {
    /// By account; `*` is every account that is not named.
    pub accounts: Vec<(String, Vec<Cap>)>,
    /// By user of this machine; `*` is every user that is not named.
    pub users: Vec<(String, Vec<Cap>)>,
    /// By network: for each client of the first that it is in.
    pub clients: Vec<(Network, Vec<Cap>)>,
}

/// One bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cap {
    /// How many at most.
    pub most: u64,
    /// Of what.
    pub of: Counted,
    /// In which time.
    pub span: Span,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Messages.
    Messages,
    /// Recipients that have not been sent to before.
    Recipients,
}

/// In which time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// An hour.
    Hour,
    /// A day.
    Day,
}

impl Caps {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty() && self.users.is_empty() && self.clients.is_empty()
    }
}

impl Cap {
    /// Reads `200 messages/hour`, `1000 messages/day`, `100 recipients/hour`.
    pub fn parse(text: &str) -> Result<Self, Said> {
        let read = || {
            let (number, rest) = text.trim().split_once(' ')?;
            let (of, span) = rest.trim().split_once('/')?;
            let of = match of.trim() {
                "message" | "messages" => Counted::Messages,
                "recipient" | "recipients" => Counted::Recipients,
                _ => return None,
            };
            let span = match span.trim() {
                "hour" | "h" => Span::Hour,
                "day" | "d" => Span::Day,
                _ => return None,
            };
            Some(Self { most: number.parse().ok()?, of, span })
        };
        read().ok_or_else(|| {
            said!(
                "`{text}` is no cap: write `200 messages/hour`, `1000 messages/day`, \
                 `100 recipients/hour` or `300 recipients/day`",
                "`{text}` no es un tope: escriba `200 messages/hour`, `1000 messages/day`, \
                 `100 recipients/hour` o `300 recipients/day`";
                text = text
            )
        })
    }
}

impl fmt::Display for Cap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = match self.of {
            Counted::Messages => "messages",
            Counted::Recipients => "recipients",
        };
        let span = match self.span {
            Span::Hour => "hour",
            Span::Day => "day",
        };
        write!(f, "{} {of}/{span}", self.most)
    }
}
