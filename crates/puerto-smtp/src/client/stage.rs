//! The stages of a session, each with its time-out and its words.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::limits::ClientTimeouts;

/// What a session is waiting for, or was when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The 220 greeting.
    Greeting,
    /// The reply to EHLO.
    Ehlo,
    /// The reply to HELO, after EHLO was refused.
    Helo,
    /// The reply to LHLO (RFC 2033).
    Lhlo,
    /// The reply to STARTTLS.
    StartTls,
    /// The TLS handshake, which the driver performs.
    Handshake,
    /// The replies of an AUTH exchange.
    Auth,
    /// Nothing: the session is idle between two messages.
    Idle,
    /// The reply to RSET.
    Reset,
    /// The reply to MAIL.
    Mail,
    /// The reply to RCPT.
    Recipient,
    /// The reply to DATA.
    Data,
    /// The content being taken by the peer. Its end has not been sent: the peer
    /// cannot have the message.
    Content,
    /// The reply to the whole content. The peer may have the message already.
    FinalDot,
    /// The reply to QUIT.
    Quit,
}

impl Stage {
    /// How long to wait at this stage: for a whole reply, or, at
    /// [`Stage::Content`], for one block to be taken (RFC 5321 §4.5.3.2).
    pub fn timeout(self, timeouts: &ClientTimeouts) -> Duration {
        match self {
            Self::Greeting => timeouts.greeting,
            Self::Handshake => timeouts.tls_handshake,
            Self::Ehlo | Self::Helo | Self::Lhlo => timeouts.hello,
            Self::StartTls | Self::Auth | Self::Idle | Self::Reset => timeouts.hello,
            Self::Mail => timeouts.mail,
            Self::Recipient => timeouts.recipient,
            Self::Data => timeouts.data,
            Self::Content => timeouts.data_block,
            Self::FinalDot => timeouts.final_dot,
            Self::Quit => timeouts.quit,
        }
    }

    /// What we were doing, after "lost connection while": the words that readers of
    /// Postfix's log know.
    pub const fn activity(self) -> &'static str {
        match self {
            Self::Greeting => "receiving the initial server greeting",
            Self::Ehlo => "performing the EHLO handshake",
            Self::Helo => "performing the HELO handshake",
            Self::Lhlo => "performing the LHLO handshake",
            Self::StartTls => "sending STARTTLS",
            Self::Handshake => "performing the TLS handshake",
            Self::Auth => "performing SASL authentication",
            Self::Idle => "waiting between two messages",
            Self::Reset => "sending RSET",
            Self::Mail => "sending MAIL FROM",
            Self::Recipient => "sending RCPT TO",
            Self::Data => "sending DATA command",
            Self::Content => "sending message body",
            Self::FinalDot => "sending end of data -- message may be sent more than once",
            Self::Quit => "sending QUIT",
        }
    }

    /// The command that a reply answers; `None` where it answers none.
    pub const fn verb(self) -> Option<&'static str> {
        Some(match self {
            Self::Greeting | Self::Idle => return None,
            Self::Ehlo => "EHLO",
            Self::Helo => "HELO",
            Self::Lhlo => "LHLO",
            Self::StartTls | Self::Handshake => "STARTTLS",
            Self::Auth => "AUTH",
            Self::Reset => "RSET",
            Self::Mail => "MAIL FROM",
            Self::Recipient => "RCPT TO",
            Self::Data => "DATA",
            Self::Content | Self::FinalDot => "end of DATA",
            Self::Quit => "QUIT",
        })
    }

    /// What a reply answers, after "in reply to".
    pub fn command(self) -> Cow<'static, str> {
        match self.verb() {
            Some(verb) => Cow::Owned(format!("{verb} command")),
            None if self == Self::Greeting => Cow::Borrowed("initial connection"),
            None => Cow::Borrowed("nothing"),
        }
    }

    /// Whether the peer has been given none of a message's content yet, so that giving
    /// the connection up costs nothing but another attempt.
    pub const fn is_before_content(self) -> bool {
        self.is_before_mail() || matches!(self, Self::Mail | Self::Recipient | Self::Data)
    }

    /// Whether the session had not begun a message yet, so that whatever happened
    /// is about the host and not about the message.
    pub const fn is_before_mail(self) -> bool {
        matches!(
            self,
            Self::Greeting
                | Self::Ehlo
                | Self::Helo
                | Self::Lhlo
                | Self::StartTls
                | Self::Handshake
                | Self::Auth
                | Self::Idle
                | Self::Reset
        )
    }
}
