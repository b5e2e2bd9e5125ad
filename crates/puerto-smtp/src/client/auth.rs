//! AUTH (RFC 4954): PLAIN (RFC 4616), and LOGIN, which some servers know alone.

use std::collections::VecDeque;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Cause, Connection, Stage, State};
use crate::base64;
use crate::reply::{Reply, Severity};

/// Octets of an initial response that is sent on the line of AUTH itself. A longer
/// one waits for the challenge (RFC 4954 §4 counts the line's length).
const MAX_INITIAL_RESPONSE: usize = 480;

/// A user name and a password. Its `Debug` form does not show the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Who.
    pub user: String,
    /// The secret.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Why AUTH cannot even be begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuthUnavailable {
    /// The connection is not encrypted: a password never goes out in plain text.
    NotEncrypted,
    /// The peer offers neither PLAIN nor LOGIN, but these, or nothing at all.
    NoMechanism(Vec<String>),
}

impl fmt::Display for AuthUnavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotEncrypted => f.write_str("no password is sent over a connection without TLS"),
            Self::NoMechanism(offered) if offered.is_empty() => {
                f.write_str("the server offers no AUTH")
            }
            Self::NoMechanism(offered) => {
                write!(f, "the server offers neither AUTH PLAIN nor LOGIN, but ")?;
                f.write_str(&offered.join(" "))
            }
        }
    }
}

impl std::error::Error for AuthUnavailable {}

/// An AUTH exchange.
pub(super) struct Login {
    /// What is to be said to each challenge.
    answers: VecDeque<String>,
    /// The answers of LOGIN, if that may be tried where PLAIN is not taken.
    instead: Option<VecDeque<String>>,
    cancelled: bool,
}

impl Connection {
    /// Begins AUTH with PLAIN (RFC 4616), or LOGIN where that is missing or turns out
    /// not to be taken; to be called at [`Step::Ready`].
    pub fn authenticate(&mut self, credentials: &Credentials) -> Result<(), AuthUnavailable> {
        if !self.encrypted {
            return Err(AuthUnavailable::NotEncrypted);
        }
        let offers = |mechanism: &str| self.extensions.auth.iter().any(|m| m == mechanism);
        let Credentials { user, password } = credentials;
        let login = [user, password].map(|word| base64::encode(word.as_bytes()));
        let login = Some(VecDeque::from(login)).filter(|_| offers("LOGIN"));
        if offers("PLAIN") {
            let mut answers = VecDeque::new();
            let response = base64::encode(format!("\0{user}\0{password}").as_bytes());
            if response.len() <= MAX_INITIAL_RESPONSE {
                self.say(&format!("AUTH PLAIN {response}\r\n"));
            } else {
                self.say("AUTH PLAIN\r\n");
                answers.push_back(response);
            }
            self.state = State::Auth(Login { answers, instead: login, cancelled: false });
            return Ok(());
        }
        let Some(answers) = login else {
            return Err(AuthUnavailable::NoMechanism(self.extensions.auth.clone()));
        };
        self.begin_login(answers);
        Ok(())
    }

    fn begin_login(&mut self, answers: VecDeque<String>) {
        self.say("AUTH LOGIN\r\n");
        self.state = State::Auth(Login { answers, instead: None, cancelled: false });
    }

    pub(super) fn on_auth(&mut self, reply: Reply) {
        let State::Auth(login) = &mut self.state else { return };
        match reply.severity() {
            Severity::Intermediate => match login.answers.pop_front() {
                Some(answer) => self.say(&format!("{answer}\r\n")),
                // More is asked than the mechanism has to say (RFC 4954 §4).
                None if !login.cancelled => {
                    login.cancelled = true;
                    self.say("*\r\n");
                }
                None => self.fail(Cause::OutOfStep),
            },
            Severity::Positive => self.state = State::Ready,
            Severity::Transient | Severity::Permanent => match login.instead.take() {
                Some(answers) if refuses_mechanism(&reply) => self.begin_login(answers),
                _ => self.refused(Stage::Auth, reply),
            },
        }
    }
}

// The mechanism, and not the password: 504 and 534 by RFC 4954 §4.7.2, the others where
// a server offers what it does not know.
fn refuses_mechanism(reply: &Reply) -> bool {
    matches!(reply.code().get(), 500..=504 | 534)
}
