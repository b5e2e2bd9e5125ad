//! Variable envelope return paths: a reverse-path that names the recipient, so that a
//! notification says by the address that it comes to whom it is about, whatever is in it.
//!
//! The form is Postfix's: `bounce+user=example.net@example.com` for a message from
//! `bounce@example.com` to `user@example.net`. Which two characters stand between the parts
//! may be chosen; a mailbox with a `+extension` is found by the first pair.

use std::fmt;

use crate::address::{Address, Domain, LocalPart};

/// What stands before the recipient's local part, and what before its domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Verp {
    before_user: Delimiter,
    before_domain: Delimiter,
}

/// A character that may delimit (Postfix's verp_delimiter_filter).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Delimiter {
    Minus,
    Equals,
    Plus,
}

use Delimiter::{Equals, Minus, Plus};

impl Delimiter {
    const ALL: [Self; 3] = [Minus, Equals, Plus];

    const fn character(self) -> char {
        match self {
            Minus => '-',
            Equals => '=',
            Plus => '+',
        }
    }

    fn of(character: char) -> Option<Self> {
        Self::ALL.into_iter().find(|delimiter| delimiter.character() == character)
    }
}

/// `+=`, as with Postfix.
impl Default for Verp {
    fn default() -> Self {
        Self { before_user: Plus, before_domain: Equals }
    }
}

impl Verp {
    /// What is accepted, for errors.
    pub const FORM: &'static str = "two of - = +, such as +=";
    /// Every pair: a queue keeps the place in this list, so that its order is for ever.
    const PAIRS: [(Delimiter, Delimiter); 9] = [
        (Plus, Equals),
        (Plus, Minus),
        (Plus, Plus),
        (Minus, Equals),
        (Minus, Minus),
        (Minus, Plus),
        (Equals, Equals),
        (Equals, Minus),
        (Equals, Plus),
    ];

    /// Reads the two characters.
    pub fn parse(text: &str) -> Option<Self> {
        let mut characters = text.chars();
        let (user, domain) = (characters.next()?, characters.next()?);
        let (before_user, before_domain) = (Delimiter::of(user)?, Delimiter::of(domain)?);
        characters.next().is_none().then_some(Self { before_user, before_domain })
    }

    /// A number from 1 to 9 that stands for it where a queue keeps it.
    pub fn number(self) -> u8 {
        let own = (self.before_user, self.before_domain);
        (1..).zip(Self::PAIRS).find(|(_, pair)| *pair == own).map_or(1, |(number, _)| number)
    }

    /// The one that a number stands for.
    pub fn from_number(number: u8) -> Option<Self> {
        let place = usize::from(number.checked_sub(1)?);
        let (before_user, before_domain) = Self::PAIRS.get(place).copied()?;
        Some(Self { before_user, before_domain })
    }

    /// The reverse-path for one recipient; `None` where it would be too long to be one.
    pub fn reverse_path(self, sender: &Address, recipient: &Address) -> Option<Address> {
        let local_part = format!(
            "{}{}{}{}{}",
            sender.local_part().as_str(),
            self.before_user.character(),
            recipient.local_part().as_str(),
            self.before_domain.character(),
            recipient.domain()
        );
        let local_part = LocalPart::from_unquoted(&local_part).ok()?;
        Some(Address::new(local_part, sender.domain().clone()))
    }

    /// The recipient that such a reverse-path names, and the address that it was made from.
    /// The sender's part ends at the first delimiter, so that a recipient may hold some.
    pub fn read(self, address: &Address) -> Option<(Address, Address)> {
        let text = address.local_part().as_str();
        let (sender, rest) = text.split_once(self.before_user.character())?;
        let (user, domain) = rest.rsplit_once(self.before_domain.character())?;
        let sender = LocalPart::from_unquoted(sender).ok()?;
        let user = LocalPart::from_unquoted(user).ok()?;
        let recipient = Address::new(user, Domain::parse(domain).ok()?);
        Some((recipient, Address::new(sender, address.domain().clone())))
    }
}

impl fmt::Display for Verp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.before_user.character(), self.before_domain.character())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    #[test]
    fn a_reverse_path_names_its_recipient_as_with_postfix() {
        for (delimiters, sender, recipient, expected) in [
            ("+=", "owner-list@a.example", "bo@b.example", "owner-list+bo=b.example@a.example"),
            ("-=", "list@a.example", "bo+x@b.example", "list-bo+x=b.example@a.example"),
            ("+=", "list@a.example", "\"a b\"@b.example", "\"list+a b=b.example\"@a.example"),
            ("+=", "list@a.example", "bo@[192.0.2.1]", "\"list+bo=[192.0.2.1]\"@a.example"),
            ("+=", "list@a.example", "x=y@b.example", "list+x=y=b.example@a.example"),
        ] {
            let verp = Verp::parse(delimiters).unwrap();
            let made = verp.reverse_path(&address(sender), &address(recipient)).unwrap();
            assert_eq!(made.to_string(), expected);
            assert_eq!(verp.read(&made), Some((address(recipient), address(sender))));
        }
        let long = Address::parse(&format!("{}@b.example", "x".repeat(899))).unwrap();
        assert_eq!(Verp::default().reverse_path(&address("list@a.example"), &long), None);
        for other in
            ["bo@b.example", "list+x@b.example", "list+=b.example@a.example", "+x=y@z.example"]
        {
            assert_eq!(Verp::default().read(&address(other)), None, "{other}");
        }
    }

    #[test]
    fn delimiters_are_two_of_three_characters() {
        for first in ["-", "=", "+"] {
            for second in ["-", "=", "+"] {
                let verp = Verp::parse(&format!("{first}{second}")).unwrap();
                assert_eq!(verp.to_string(), format!("{first}{second}"));
                assert_eq!(Verp::from_number(verp.number()), Some(verp));
            }
        }
        assert_eq!(Verp::from_number(1), Some(Verp::default()));
        for bad in ["", "+", "+=-", "+_", "..", "é+"] {
            assert_eq!(Verp::parse(bad), None, "{bad}");
        }
        for bad in [0, 10, 255] {
            assert_eq!(Verp::from_number(bad), None);
        }
    }
}
