//! `mailq`, `sendmail -bp`: the queue in the form that Postfix gives it, which
//! monitoring scripts read.

use std::ffi::OsString;
use std::io::{self, BufWriter, Write};
use std::iter::once;
use std::path::Path;
use std::process::ExitCode;

use jiff::tz::TimeZone;

use crate::cli::exit::Failure;
use crate::cli::output::{if_read, is_unread, printable};
use crate::cli::sendmail;
use crate::control::Client;
use crate::control::protocol::Selection;
use crate::control::view::Brief;
use crate::lang::Language;

/// Columns in which a reason is set to the right.
const REASON_COLUMNS: usize = 76;

/// Runs `mailq` with the arguments that follow its name: the options of `sendmail`.
pub fn run(
    arguments: impl Iterator<Item = OsString>,
    config_path: Option<&Path>,
    language: Language,
) -> ExitCode {
    sendmail::run(once(OsString::from("-bp")).chain(arguments), config_path, language)
}

/// Prints the queue.
pub(super) fn print(config_path: Option<&Path>) -> Result<(), Failure> {
    let run_dir = sendmail::run_dir(config_path)?;
    let connected = Client::connect(&run_dir).map_err(Failure::from);
    let mut client = connected.map_err(|failure| sendmail::and_what_waits(failure, config_path))?;
    let mut listing = Listing::new(BufWriter::new(io::stdout().lock()), TimeZone::system());
    let all = Selection::default();
    let listed = client.briefs(&all, false, |message| listing.message(message));
    match listed {
        Ok(_) => Ok(if_read(listing.finish())?),
        // Whoever reads only the first lines has what they want.
        Err(error) if is_unread(&error) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Postfix's form of the queue.
struct Listing<W> {
    out: W,
    zone: TimeZone,
    messages: u64,
    octets: u64,
}

impl<W: Write> Listing<W> {
    fn new(out: W, zone: TimeZone) -> Self {
        Self { out, zone, messages: 0, octets: 0 }
    }

    fn message(&mut self, message: &Brief<'_>) -> io::Result<()> {
        if self.messages == 0 {
            let heading = "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------";
            writeln!(self.out, "{heading}")?;
        } else {
            writeln!(self.out)?;
        }
        self.messages += 1;
        self.octets = self.octets.saturating_add(message.size);
        let mark = if message.held {
            "!"
        } else if message.is_active() {
            "*"
        } else {
            ""
        };
        let id = format!("{}{mark}", message.id);
        let from = if message.from.is_empty() { "MAILER-DAEMON" } else { &*message.from };
        let arrived = self.arrived(message.at);
        writeln!(self.out, "{id:<11} {:>7} {arrived:>20.20} {from}", message.size)?;
        let mut previous: Option<&str> = None;
        for recipient in &message.to {
            let reason = recipient.text.as_deref();
            if reason != previous {
                let reason = printable(reason.unwrap_or("reason unavailable"));
                let width = reason.chars().count();
                let padding = REASON_COLUMNS.saturating_sub(width);
                writeln!(self.out, "{:padding$}({reason})", "")?;
            }
            previous = reason;
            writeln!(self.out, "{:<11} {:>7} {:<20} {}", "", "", "", recipient.address)?;
        }
        Ok(())
    }

    // As asctime() writes it, cut where Postfix cuts it: before the year.
    fn arrived(&self, arrived: i64) -> String {
        let Ok(time) = jiff::Timestamp::from_millisecond(arrived) else {
            return arrived.to_string();
        };
        let local = time.to_zoned(self.zone.clone());
        local.strftime("%a %b %e %H:%M:%S ").to_string()
    }

    fn finish(mut self) -> io::Result<()> {
        if self.messages == 0 {
            writeln!(self.out, "Mail queue is empty")?;
        } else {
            let plural = if self.messages == 1 { "" } else { "s" };
            let (kbytes, messages) = (self.octets / 1024, self.messages);
            writeln!(self.out, "\n-- {kbytes} Kbytes in {messages} Request{plural}.")?;
        }
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::view::{BriefRecipient, State};

    fn recipient<'a>(
        address: &'a str,
        state: State,
        reason: Option<&'a str>,
    ) -> BriefRecipient<'a> {
        let text = reason.map(Into::into);
        BriefRecipient {
            address: address.into(),
            state,
            next: None,
            paused: None,
            turn: None,
            text,
            cause: None,
        }
    }

    fn message<'a>(
        id: &'a str,
        size: u64,
        from: &'a str,
        to: Vec<BriefRecipient<'a>>,
    ) -> Brief<'a> {
        let at = "2026-11-04T07:02:25.5Z".parse::<jiff::Timestamp>().unwrap().as_millisecond();
        Brief { id: id.into(), at, size, from: from.into(), held: false, held_for: None, to }
    }

    fn listing(messages: &[Brief<'_>]) -> String {
        let mut out = Vec::new();
        let mut listing = Listing::new(&mut out, TimeZone::UTC);
        for message in messages {
            listing.message(message).unwrap();
        }
        listing.finish().unwrap();
        String::from_utf8(out).unwrap()
    }

    // Taken from what Postfix 3.7.11 printed for the same queue, with ids of our length.
    #[test]
    fn the_listing_is_that_of_postfix() {
        let refused = "connect to 127.0.0.1[127.0.0.1]:9: Connection refused";
        let held = Brief {
            held: true,
            ..message(
                "3B80F98E0A67",
                275,
                "longsender@averylongdomain.example.com",
                vec![recipient("e@other.example", State::Waiting, Some(refused))],
            )
        };
        let messages = [
            message(
                "36E9A98E09E1",
                262,
                "a@example.com",
                vec![
                    recipient("b@example.net", State::Waiting, Some(refused)),
                    recipient("c@example.net", State::Waiting, Some(refused)),
                    recipient("d@example.net", State::Waiting, None),
                ],
            ),
            message(
                "3952798E0A43",
                31099,
                "",
                vec![recipient("d@example.org", State::Sending, None)],
            ),
            held,
        ];
        assert_eq!(
            listing(&messages),
            "\
-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------
36E9A98E09E1     262 Wed Nov  4 07:02:25  a@example.com
                       (connect to 127.0.0.1[127.0.0.1]:9: Connection refused)
                                         b@example.net
                                         c@example.net
                                                          (reason unavailable)
                                         d@example.net

3952798E0A43*   31099 Wed Nov  4 07:02:25  MAILER-DAEMON
                                         d@example.org

3B80F98E0A67!     275 Wed Nov  4 07:02:25  longsender@averylongdomain.example.com
                       (connect to 127.0.0.1[127.0.0.1]:9: Connection refused)
                                         e@other.example

-- 30 Kbytes in 3 Requests.
"
        );
        let one = [message("36E9A98E09E1", 1, "a@example.com", vec![])];
        assert!(listing(&one).ends_with("\n\n-- 0 Kbytes in 1 Request.\n"));
        assert_eq!(listing(&[]), "Mail queue is empty\n");
    }

    #[test]
    fn a_reason_cannot_draw_on_the_terminal() {
        let long = "x".repeat(100);
        let hostile = message(
            "36E9A98E09E1",
            1,
            "a@example.com",
            vec![
                recipient("b@example.net", State::Waiting, Some("450 \x1b[2J\nno")),
                recipient("c@example.net", State::Waiting, Some(&long)),
            ],
        );
        let shown = listing(&[hostile]);
        assert!(shown.contains("(450 ?[2J?no)\n"));
        assert!(shown.contains(&format!("\n({long})\n")));
    }
}
