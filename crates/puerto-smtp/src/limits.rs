//! Every bound and time-out of the protocol in one place (RFC 5321 §4.5.3).

use std::time::Duration;

/// Octets of a local part at most. RFC 5321 §4.5.3.1.1 asks for 64 and wants no limit
/// where none is needed: large senders write the recipient and more into theirs
/// (VERP, BATV, SRS), and no server of weight counts.
pub const MAX_LOCAL_PART: usize = 900;
/// Octets of a domain at most (RFC 5321 §4.5.3.1.2).
pub const MAX_DOMAIN: usize = 255;
/// Octets of a label of a domain at most (RFC 1035 §2.3.4).
pub const MAX_LABEL: usize = 63;
/// Octets of a path without its brackets. RFC 5321 §4.5.3.1.3 says 256 with them; a
/// full local part and a full domain are accepted, as other servers do.
pub const MAX_PATH: usize = MAX_LOCAL_PART + 1 + MAX_DOMAIN;
/// Octets of a command line with its CRLF. RFC 5321 §4.5.3.1.4 asks for 512 and
/// extensions add to it; 2,048 holds them all.
pub const MAX_COMMAND_LINE: usize = 2048;
/// Octets of a line within AUTH with its CRLF (RFC 4954 §4 takes it for enough).
pub const MAX_AUTH_LINE: usize = 12_288;
/// Octets of an over-long command line that are read and thrown away before the
/// connection is closed.
pub const MAX_DISCARDED_LINE: usize = 64 * 1024;
/// Octets of a text line in a message without its CRLF (RFC 5322 §2.1.1).
pub const MAX_TEXT_LINE: usize = 998;
/// Octets of one reply line that a client keeps; RFC 5321 §4.5.3.1.5 asks for 512.
pub const MAX_REPLY_LINE: usize = 4096;
/// Octets of one whole reply that a client keeps.
pub const MAX_REPLY: usize = 64 * 1024;
/// Lines of one reply that a client keeps.
pub const MAX_REPLY_LINES: usize = 2000;
/// Octets of one whole reply that a client reads, kept or not.
pub const MAX_REPLY_READ: usize = 1024 * 1024;
/// Lines that are no reply which a client skips while it waits for one.
pub const MAX_NOISE_LINES: usize = 100;
/// Commands that fail in one session before the server closes it.
pub const MAX_ERRORS: u32 = 20;
/// Octets of content that are read and thrown away after a refusal in the middle
/// of it, before the connection is closed instead.
pub const MAX_DISCARDED_CONTENT: u64 = 256 * 1024 * 1024;

/// How long a client waits at each stage (RFC 5321 §4.5.3.2). These are the
/// least values that the RFC asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientTimeouts {
    /// For the TCP connection; not in the RFC.
    pub connect: Duration,
    /// For the 220 greeting (§4.5.3.2.1).
    pub greeting: Duration,
    /// For the reply to EHLO, HELO, STARTTLS, AUTH, RSET (those of MAIL).
    pub hello: Duration,
    /// For the TLS handshake; not in the RFC.
    pub tls_handshake: Duration,
    /// For the reply to MAIL (§4.5.3.2.2).
    pub mail: Duration,
    /// For the reply to RCPT (§4.5.3.2.3).
    pub recipient: Duration,
    /// For the 354 reply to DATA (§4.5.3.2.4).
    pub data: Duration,
    /// For each block of content to be taken by the peer (§4.5.3.2.5).
    pub data_block: Duration,
    /// For the reply to the final dot (§4.5.3.2.6).
    pub final_dot: Duration,
    /// For the reply to QUIT; nothing depends on it, so it is short.
    pub quit: Duration,
}

impl Default for ClientTimeouts {
    fn default() -> Self {
        let minutes = |n: u64| Duration::from_secs(n * 60);
        Self {
            connect: Duration::from_secs(30),
            greeting: minutes(5),
            hello: minutes(5),
            tls_handshake: minutes(2),
            mail: minutes(5),
            recipient: minutes(5),
            data: minutes(2),
            data_block: minutes(3),
            final_dot: minutes(10),
            quit: Duration::from_secs(5),
        }
    }
}

/// How long a server waits for its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerTimeouts {
    /// For the next command (RFC 5321 §4.5.3.2.7).
    pub command: Duration,
    /// For the next piece of content.
    pub data: Duration,
    /// For the TLS handshake.
    pub tls_handshake: Duration,
    /// For our reply to be taken by the client.
    pub write: Duration,
}

impl Default for ServerTimeouts {
    fn default() -> Self {
        Self {
            command: Duration::from_secs(300),
            data: Duration::from_secs(300),
            tls_handshake: Duration::from_secs(60),
            write: Duration::from_secs(300),
        }
    }
}
