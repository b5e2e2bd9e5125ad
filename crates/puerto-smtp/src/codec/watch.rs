//! Whether every line ends in CRLF: the one place that looks.

use std::fmt;

/// What makes content unfit to be passed on: another server might take it for the
/// end of a line or of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentFault {
    /// A CR without an LF after it (RFC 5321 §2.3.8).
    BareCr,
    /// An LF without a CR before it (RFC 5321 §2.3.8).
    BareLf,
    /// A NUL (RFC 5321 §4.5.2 allows to refuse it, RFC 5322 §4 never to make it).
    Nul,
}

impl fmt::Display for ContentFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BareCr => "bare <CR> received: lines must end with <CR><LF>",
            Self::BareLf => "bare <LF> received: lines must end with <CR><LF>",
            Self::Nul => "NUL received: encode binary content",
        })
    }
}

/// Looks for the first fault of a stream that comes in pieces.
#[derive(Debug, Default)]
pub(super) struct LineWatch {
    after_cr: bool,
    fault: Option<ContentFault>,
}

impl LineWatch {
    /// Watches the next octets.
    pub(super) fn push(&mut self, octets: &[u8]) {
        let Some(last) = octets.last().filter(|_| self.fault.is_none()) else { return };
        let ends_well = has_crlf_only(octets, self.after_cr);
        if !ends_well || memchr::memchr(0, octets).is_some() {
            self.fault = first_fault(octets, self.after_cr);
        }
        self.after_cr = *last == b'\r';
    }

    /// The first fault that was seen so far.
    pub(super) fn fault(&self) -> Option<ContentFault> {
        self.fault
    }

    /// Ends the stream.
    pub(super) fn finish(&self) -> Option<ContentFault> {
        self.fault.or(self.after_cr.then_some(ContentFault::BareCr))
    }
}

/// Whether each CR and each LF is half of a CRLF. A CR at the end is not judged, since
/// an LF may follow; `after_cr` says that one stood before the beginning.
pub(super) fn has_crlf_only(octets: &[u8], after_cr: bool) -> bool {
    let mut pairs = 0;
    for at in memchr::memchr_iter(b'\n', octets) {
        let before = at.checked_sub(1).and_then(|before| octets.get(before));
        if before.map_or(!after_cr, |octet| *octet != b'\r') {
            return false;
        }
        pairs += 1;
    }
    let unjudged = usize::from(octets.last().map_or(after_cr, |octet| *octet == b'\r'));
    let crs = memchr::memchr_iter(b'\r', octets).count() + usize::from(after_cr);
    crs == pairs + unjudged
}

fn first_fault(octets: &[u8], mut after_cr: bool) -> Option<ContentFault> {
    for octet in octets {
        match (std::mem::replace(&mut after_cr, *octet == b'\r'), octet) {
            (true, b'\n') => {}
            (true, _) => return Some(ContentFault::BareCr),
            (false, b'\n') => return Some(ContentFault::BareLf),
            (false, 0) => return Some(ContentFault::Nul),
            (false, _) => {}
        }
    }
    None
}
