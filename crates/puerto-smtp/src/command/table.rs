//! Which commands there are and when each may be said (RFC 5321 §4.1.4).

use crate::reply::Reply;

/// Where a session stands between two commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Moment {
    /// The client has not said EHLO or HELO, or TLS has just begun.
    Start,
    /// The client has said its name; there is no transaction.
    Ready,
    /// After MAIL, without a recipient that was accepted.
    Mail,
    /// At least one recipient was accepted.
    Recipients,
    /// A part of the content has come by BDAT.
    Chunks,
}

/// A command's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Verb {
    Ehlo,
    Helo,
    StartTls,
    Auth,
    Mail,
    Rcpt,
    Bdat,
    Data,
    Rset,
    Noop,
    Quit,
    Vrfy,
    Expn,
    Etrn,
    /// TURN, SEND, SOML and SAML, all withdrawn (RFC 5321 appendix F).
    Turn,
    Help,
    /// XORIGIN, which is ours alone.
    Origin,
}

/// What holds for one command.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    verb: Verb,
    name: &'static str,
    /// The moments at which it may be said.
    when: &'static [Moment],
    /// How it is written, for the reply to one that is not.
    pub(crate) syntax: &'static str,
}

const ANY: &[Moment] =
    &[Moment::Start, Moment::Ready, Moment::Mail, Moment::Recipients, Moment::Chunks];
const IN_TRANSACTION: &[Moment] = &[Moment::Mail, Moment::Recipients];
const WITH_RECIPIENTS: &[Moment] = &[Moment::Recipients];
const FOR_CHUNKS: &[Moment] = &[Moment::Recipients, Moment::Chunks];
const IDLE: &[Moment] = &[Moment::Ready];
// GNU SASL says STARTTLS before it says who it is, and must say that again in any case.
const UNGREETED: &[Moment] = &[Moment::Start, Moment::Ready];

const fn rules(
    verb: Verb,
    name: &'static str,
    when: &'static [Moment],
    syntax: &'static str,
) -> Rules {
    Rules { verb, name, when, syntax }
}

/// Every command, in the order of [`Verb`].
static TABLE: [Rules; 17] = [
    rules(Verb::Ehlo, "EHLO", ANY, "EHLO hostname"),
    rules(Verb::Helo, "HELO", ANY, "HELO hostname"),
    rules(Verb::StartTls, "STARTTLS", UNGREETED, "STARTTLS"),
    rules(Verb::Auth, "AUTH", IDLE, "AUTH mechanism [initial-response]"),
    rules(Verb::Mail, "MAIL", IDLE, "MAIL FROM:<address>"),
    rules(Verb::Rcpt, "RCPT", IN_TRANSACTION, "RCPT TO:<address>"),
    rules(Verb::Bdat, "BDAT", FOR_CHUNKS, "BDAT count [LAST]"),
    rules(Verb::Data, "DATA", WITH_RECIPIENTS, "DATA"),
    rules(Verb::Rset, "RSET", ANY, "RSET"),
    rules(Verb::Noop, "NOOP", ANY, "NOOP"),
    rules(Verb::Quit, "QUIT", ANY, "QUIT"),
    rules(Verb::Vrfy, "VRFY", ANY, "VRFY address"),
    rules(Verb::Expn, "EXPN", ANY, "EXPN list"),
    rules(Verb::Etrn, "ETRN", ANY, "ETRN domain"),
    rules(Verb::Turn, "TURN", ANY, "TURN"),
    rules(Verb::Help, "HELP", ANY, "HELP"),
    rules(Verb::Origin, "XORIGIN", IDLE, "XORIGIN name=value"),
];

impl Verb {
    pub(crate) const COUNT: usize = TABLE.len();

    #[cfg(test)]
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|rules| rules.verb)
    }

    /// The command of this name, in any case.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        if ["SEND", "SOML", "SAML"].iter().any(|name| name.eq_ignore_ascii_case(word)) {
            return Some(Self::Turn);
        }
        TABLE.iter().find(|rules| rules.name.eq_ignore_ascii_case(word)).map(|rules| rules.verb)
    }

    /// Its place in the table.
    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    pub(crate) fn rules(self) -> &'static Rules {
        // The table is in the order of the enum, which a test checks; the first
        // row stands in for a row that cannot be missing.
        TABLE.get(self.index()).unwrap_or(&TABLE[0])
    }

    pub(crate) fn name(self) -> &'static str {
        self.rules().name
    }

    /// Whether it may be said now; if not, what the client is told.
    pub(crate) fn check(self, moment: Moment) -> Result<(), Reply> {
        if self.rules().when.contains(&moment) {
            return Ok(());
        }
        let text = match (self, moment) {
            (_, Moment::Start) => "Error: send HELO/EHLO first",
            (Self::Mail, _) => "Error: nested MAIL command",
            (Self::Rcpt, Moment::Chunks) => "Error: RCPT after BDAT: finish with BDAT 0 LAST",
            (Self::Rcpt, _) => "Error: need MAIL command",
            (Self::Data, Moment::Chunks) => "Error: DATA after BDAT: finish with BDAT 0 LAST",
            (Self::Data | Self::Bdat, Moment::Mail) => {
                return Err(Reply::enhanced(554, (5, 5, 1), "Error: no valid recipients"));
            }
            (Self::Data | Self::Bdat, _) => "Error: need RCPT command",
            _ => "Error: not permitted in a mail transaction",
        };
        Err(Reply::enhanced(503, (5, 5, 1), text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_enum() {
        for (index, verb) in Verb::all().enumerate() {
            assert_eq!(verb.index(), index);
            assert_eq!(verb.rules().verb, verb);
            assert_eq!(Verb::parse(&verb.name().to_lowercase()), Some(verb));
        }
        assert_eq!(Verb::parse("saml"), Some(Verb::Turn));
        assert_eq!(Verb::parse("MAILX"), None);
    }

    #[test]
    fn what_may_not_be_said_gets_a_reason() {
        let moments =
            [Moment::Start, Moment::Ready, Moment::Mail, Moment::Recipients, Moment::Chunks];
        for verb in Verb::all() {
            for moment in moments {
                let allowed = verb.rules().when.contains(&moment);
                match verb.check(moment) {
                    Ok(()) => assert!(allowed),
                    Err(reply) => assert!(!allowed && [503, 554].contains(&reply.code().get())),
                }
            }
        }
    }
}
