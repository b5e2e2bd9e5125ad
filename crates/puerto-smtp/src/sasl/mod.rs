//! What is said in AUTH (RFC 4422): the mechanisms' messages, without SMTP around them
//! and without cryptography. Who an account is and whether a proof holds is for others
//! to say.

mod scram;

use std::fmt;

pub use scram::{Binding, ClientFirst, Exchange, Proof, ScramFault};

/// A mechanism that this server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// A name and a password (RFC 4616).
    Plain,
    /// The same, asked for one after the other: older than any standard.
    Login,
    /// A proof of the password that does not show it (RFC 7677).
    ScramSha256,
    /// The same, bound to the TLS connection.
    ScramSha256Plus,
}

impl Mechanism {
    /// All of them, the best first: clients that do not choose take the first they know.
    pub const ALL: [Self; 4] = [Self::ScramSha256Plus, Self::ScramSha256, Self::Plain, Self::Login];

    /// Its registered name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
        }
    }

    /// The mechanism of this name, in any case.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| mechanism.name().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Who somebody says to be, and the password. Its `Debug` form does not show that.
#[derive(Clone, PartialEq, Eq)]
pub struct Claim {
    /// Who.
    pub user: String,
    /// The password's octets; UTF-8 by the standard, and not always in truth.
    pub password: Vec<u8>,
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Claim {
    /// Reads a message of PLAIN, `authzid NUL authcid NUL password` (RFC 4616 §2). `None` if
    /// it is none, or somebody wants to act for another than they are: taking the name
    /// of whom they would act for as the name of who they are has let people in elsewhere.
    /// Whether two names are one person's is for `are_one` to say.
    pub fn of_plain(message: &[u8], are_one: impl Fn(&str, &str) -> bool) -> Option<Self> {
        let mut parts = message.split(|octet| *octet == 0);
        let (acting_for, user) = (parts.next()?, parts.next()?);
        let password = parts.next().filter(|password| !password.is_empty())?;
        let is_whole = parts.next().is_none();
        let user = user_name(user)?;
        let is_themselves = acting_for.is_empty()
            || user_name(acting_for).is_some_and(|name| are_one(&name, &user));
        (is_whole && is_themselves).then(|| Self { user, password: password.to_vec() })
    }
}

/// A user name as LOGIN and PLAIN have it: UTF-8, not empty, and fit to be shown.
pub fn user_name(octets: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(octets).ok()?.trim_matches([' ', '\r', '\n', '\t']);
    let is_fit = !name.is_empty() && !name.chars().any(char::is_control);
    is_fit.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    // As a server would say whose only domain is `ours`.
    pub(super) fn are_one(one: &str, other: &str) -> bool {
        let short = |name: &str| name.trim_end_matches("@ours").to_lowercase();
        short(one) == short(other)
    }

    #[test]
    fn plain_is_two_names_and_a_password() {
        for (message, user) in [
            (&b"\0ana\0secret"[..], Some("ana")),
            (b"ana\0ana\0secret", Some("ana")),
            // Phones write names with a capital, and forms leave blanks behind them.
            (b"Ana\0ana\0secret", Some("ana")),
            (b"ana@ours\0ana\0secret", Some("ana")),
            (b"\0ana \0secret", Some("ana")),
            (b"\0ana@example.com\0secret", Some("ana@example.com")),
            ("\0ñandú\0contraseña".as_bytes(), Some("ñandú")),
            (b"\0ana\0\xf1 in Latin-1", Some("ana")),
            // Who acts for others, and who hopes to be taken for them.
            (b"root\0ana\0secret", None),
            (b"root\0\0secret", None),
            // What clients sent elsewhere: no first NUL, one too many, nothing behind it.
            (b"ana\0secret", None),
            (b"\0ana\0sec\0ret", None),
            (b"\0ana\0", None),
            (b"\0\0secret", None),
            (b"\0ana", None),
            (b"", None),
            (b"\0\xff\0secret", None),
            (b"\0an\na\0secret", None),
        ] {
            let claim = Claim::of_plain(message, are_one);
            assert_eq!(claim.as_ref().map(|claim| &*claim.user), user, "{message:?}");
            assert!(!format!("{claim:?}").contains("secret"));
        }
        assert_eq!(Claim::of_plain(b"\0a\0 b ", are_one).unwrap().password, b" b ");
    }

    #[test]
    fn mechanisms_are_known_by_name_in_any_case() {
        for mechanism in Mechanism::ALL {
            assert_eq!(Mechanism::parse(&mechanism.to_string().to_lowercase()), Some(mechanism));
        }
        assert_eq!(Mechanism::parse("CRAM-MD5"), None);
    }
}
