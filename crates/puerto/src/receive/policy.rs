//! Who may send what to whom. It is decided here and nowhere else, on values that
//! were parsed, and the domain that is judged is the one that mail is routed by: so
//! no spelling of an address can be judged as one thing and delivered as another.

use std::net::IpAddr;

use puerto_smtp::{Address, Domain, LocalPart, Reply, ReversePath};

use super::Service;
use crate::config::{Config, Limits};
use crate::lang::Language;
use crate::recipients::Answer;
use crate::route::{self, LiteralFault};

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// A client at this address.
    Client(IpAddr),
    /// A user of this machine.
    User,
}

/// What has to be known of a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing: it is taken.
    Nothing,
    /// That there is somebody.
    Somebody,
}

/// What one client may do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Policy {
    service: Service,
    trusted: bool,
    /// Our own address on this connection, for address literals.
    own_address: Option<IpAddr>,
    is_user: bool,
}

impl Policy {
    /// The policy for a client. `own_address` is our end of the connection.
    pub(super) fn new(
        config: &Config,
        service: Service,
        who: Who,
        own_address: Option<IpAddr>,
    ) -> Self {
        let trusted = match who {
            // ::ffff:192.0.2.1 is 192.0.2.1, here as everywhere.
            Who::Client(address) => config.trusted_networks.contains(address.to_canonical()),
            Who::User => true,
        };
        let own_address = own_address.map(|address| address.to_canonical());
        Self { service, trusted, own_address, is_user: who == Who::User }
    }

    /// It has shown to be one of ours.
    pub(super) fn let_in(&mut self) {
        self.trusted = true;
    }

    /// Whether it may send to everybody.
    pub(super) fn is_trusted(&self) -> bool {
        self.trusted
    }

    /// Whether whoever may send here at all is one of ours.
    pub(super) fn is_for_ours(&self) -> bool {
        self.trusted || self.service != Service::Smtp
    }

    /// How many recipients one message may have.
    pub(super) fn most_recipients(&self, limits: &Limits) -> usize {
        let strangers = limits.recipients_from_strangers.min(limits.recipients);
        if self.is_for_ours() { limits.recipients } else { strangers }
    }

    /// Whether a message may be sent at all, and from this reverse-path.
    pub(super) fn mail(&self, config: &Config, from: &ReversePath, tls: bool) -> Result<(), Reply> {
        if self.trusted {
            return Ok(());
        }
        if self.service == Service::Smtp {
            return from.address().map_or(Ok(()), |sender| self.stranger(config, sender));
        }
        let text =
            if tls { "Authentication required" } else { "Must issue a STARTTLS command first" };
        Err(Reply::enhanced(530, (5, 7, 0), text))
    }

    // A notification for a stranger may have to be brought back.
    fn stranger(&self, config: &Config, sender: &Address) -> Result<(), Reply> {
        let domain = sender.domain();
        let fault = route::fault_of_stranger(config, domain)
            .or_else(|| self.is_at_own_address(domain).then_some(LiteralFault::Ourselves));
        let why = match fault {
            None => return Ok(()),
            Some(LiteralFault::Special(kind)) => {
                format!("{domain} is {}", kind.described(Language::English))
            }
            Some(LiteralFault::Ourselves) => format!("{domain} is an address of this server"),
        };
        let text = format!("<{sender}>: Sender address rejected: {why}");
        Err(Reply::enhanced(553, (5, 1, 8), text))
    }

    /// Whether a message may go to this recipient, if there is one: [`Need`] says what has
    /// to be known for that.
    pub(super) fn recipient(&self, config: &Config, recipient: &Address) -> Result<Need, Reply> {
        let domain = recipient.domain();
        if route::is_relayed(config, domain) {
            return match self.trusted {
                true => Ok(Need::Nothing),
                false if leads_on(recipient.local_part()) => Err(relay_denied(recipient)),
                false => Ok(Need::Somebody),
            };
        }
        if !self.is_ours(config, domain) {
            return if self.trusted { Ok(Need::Nothing) } else { Err(relay_denied(recipient)) };
        }
        if !self.trusted && route::is_virtual(config, domain) && leads_on(recipient.local_part()) {
            return Err(relay_denied(recipient));
        }
        // A local user's message may have other recipients: it is taken, and the
        // notification says which of them does not exist.
        let taken = self.is_user || is_postmaster(recipient);
        Ok(if taken { Need::Nothing } else { Need::Somebody })
    }

    /// What is said where nobody is behind an address, or that cannot be found out.
    pub(super) fn answer(&self, recipient: &Address, answer: &Answer) -> Result<(), Reply> {
        match answer {
            Answer::Known => Ok(()),
            Answer::Unknown => {
                let text = format!("<{recipient}>: Recipient address rejected: User unknown");
                Err(Reply::enhanced(550, (5, 1, 1), text))
            }
            // Whoever is ours need not wait for what is found out at delivery.
            Answer::Unsaid(_) if self.trusted => Ok(()),
            Answer::Unsaid(why) => {
                let text =
                    format!("<{recipient}>: Recipient address rejected: unverified address: {why}");
                let text: String = text.chars().filter(|c| !c.is_control()).take(400).collect();
                Err(Reply::enhanced(450, (4, 1, 1), text))
            }
        }
    }

    fn is_ours(&self, config: &Config, domain: &Domain) -> bool {
        route::is_here(config, domain) || self.is_at_own_address(domain)
    }

    fn is_at_own_address(&self, domain: &Domain) -> bool {
        matches!(domain, Domain::Literal(ip) if self.own_address == Some(ip.to_canonical()))
    }
}

// The host that it is handed to might read another address in it.
fn leads_on(local_part: &LocalPart) -> bool {
    local_part.as_str().contains(['%', '!', '@'])
}

// RFC 5321 §4.5.1: every server takes mail for its postmaster.
fn is_postmaster(recipient: &Address) -> bool {
    recipient.local_part().as_str().eq_ignore_ascii_case("postmaster")
}

/// The wording is the one that log readers know.
fn relay_denied(recipient: &Address) -> Reply {
    Reply::enhanced(554, (5, 7, 1), format!("<{recipient}>: Relay access denied"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use puerto_smtp::command::{Command, Mailbox};

    use super::*;

    // There is one user of each domain, and nobody can be asked about example.edu.
    fn whether(address: &Address) -> Answer {
        match (address.local_part().as_str(), address.domain().name()) {
            (_, Some("example.edu")) => Answer::Unsaid(crate::cause::Cause::NoAnswer {}),
            ("user", _) => Answer::Known,
            _ => Answer::Unknown,
        }
    }

    fn judge(config: &Config, client: &str, recipient: &str) -> u16 {
        let client = client.parse().unwrap();
        let own = Some([203, 0, 113, 25].into());
        let policy = Policy::new(config, Service::Smtp, Who::Client(client), own);
        let line = format!("RCPT TO:{recipient}");
        match Command::parse(line.as_bytes()) {
            Ok(Command::Rcpt(rcpt)) => match rcpt.to {
                Mailbox::Address(address) => {
                    let verdict = policy.recipient(config, &address).and_then(|need| match need {
                        Need::Nothing => Ok(()),
                        Need::Somebody => policy.answer(&address, &whether(&address)),
                    });
                    verdict.map_or_else(|reply| reply.code().get(), |()| 250)
                }
                Mailbox::Bare(_) => 501,
            },
            Ok(other) => panic!("{other:?}"),
            Err(refused) => refused.reply.code().get(),
        }
    }

    /// The ways in which open relays were found, `dom` standing for a domain that
    /// is not ours and `example.com` for one that is.
    #[test]
    fn no_spelling_of_an_address_makes_an_open_relay() {
        let mut with_others = Config::for_tests(Path::new("/nowhere"));
        with_others.relay_domains = vec!["example.net".into(), "*.school.example".into()];
        with_others.virtual_addresses.domains = vec![Domain::parse("example.org").unwrap()];
        let config = Config::for_tests(Path::new("/nowhere"));
        let stranger = "198.51.100.7";
        for recipient in [
            "<user%dom.example@example.net>",
            "<dom.example!user@example.net>",
            "<\"user@dom.example\"@example.net>",
            "<user%dom.example@example.org>",
            "<dom.example!user@a.school.example>",
            "<@example.net:user@dom.example>",
            "<user@example.net@dom.example>",
            "<user@sub.example.net>",
            "<user@notexample.net>",
            "<user@example.net.dom.example>",
            "<user@[198.51.100.9]>",
            "<user@notschool.example>",
            "<user@example.net:25>",
            "<other@example.net>",
            "<other@a.school.example>",
            "<postmaster@example.net>",
            "<other@example.org>",
        ] {
            let code = judge(&with_others, stranger, recipient);
            assert!(code >= 500, "{recipient:?} got {code}");
        }
        for recipient in [
            "<user@dom.example>",
            "<user%dom.example@example.com>",
            "<dom.example!user@example.com>",
            "<@example.com:user@dom.example>",
            "<@example.com,@dom.example:user@dom.example>",
            "<\"user@dom.example\"@example.com>",
            "<\"user@dom.example\">",
            "<user@dom.example@example.com>",
            "<user@example.com@dom.example>",
            "<user@dom.example.>",
            "<user@[198.51.100.9]>",
            "<user@[IPv6:2001:db8::9]>",
            "<user@[203.0.113.25]@dom.example>",
            "<user@dom.example:25>",
            "<user@example.com:dom.example>",
            "<user(comment)@dom.example>",
            "<user@dom.example(example.com)>",
            "<user@example.com\0@dom.example>",
            "<user@dom.example\0.example.com>",
            "<user@[dom.example]>",
            "<user@example.com.dom.example>",
            "<user@notexample.com>",
            "<user@.example.com>",
            "<user@dom.example> <user@example.com>",
            "<user@dom.example,user@example.com>",
            "<user@example.com>,<user@dom.example>",
            "user@dom.example",
            "< user@dom.example>",
            "<user%dom.example>",
            "<dom.example!user>",
        ] {
            let code = judge(&config, stranger, recipient);
            assert!(code >= 500, "{recipient:?} got {code}");
        }
    }

    #[test]
    fn mail_for_our_own_users_is_taken_from_everybody() {
        let config = Config::for_tests(Path::new("/nowhere"));
        for (recipient, code) in [
            ("<user@example.com>", 250),
            ("<user@EXAMPLE.com.>", 250),
            ("<user@mail.example.com>", 250),
            ("<user@[203.0.113.25]>", 250),
            ("<user@[IPv6:::ffff:203.0.113.25]>", 250),
            ("<@dom.example:user@example.com>", 250),
            ("<postmaster@example.com>", 250),
            ("<PostMaster@[203.0.113.25]>", 250),
            ("<nobody-here@example.com>", 550),
            ("<user@sub.example.com>", 554),
        ] {
            assert_eq!(judge(&config, "198.51.100.7", recipient), code, "{recipient}");
        }
    }

    #[test]
    fn mail_for_domains_behind_us_is_taken_for_those_who_exist() {
        let mut config = Config::for_tests(Path::new("/nowhere"));
        let pattern = |text: &str| text.to_owned();
        config.relay_domains =
            ["example.net", "*.school.example", "example.edu"].map(pattern).to_vec();
        config.virtual_addresses.domains = vec![Domain::parse("example.org").unwrap()];
        for (recipient, stranger, trusted) in [
            ("<user@example.net>", 250, 250),
            ("<user@EXAMPLE.net.>", 250, 250),
            ("<user@school.example>", 250, 250),
            ("<user@a.b.school.example>", 250, 250),
            ("<other@example.net>", 550, 250),
            ("<user@example.edu>", 450, 250),
            ("<user%x@example.net>", 554, 250),
            ("<user@example.org>", 250, 250),
            ("<other@example.org>", 550, 550),
            ("<postmaster@example.org>", 250, 250),
            ("<user@other.example>", 554, 250),
        ] {
            assert_eq!(judge(&config, "198.51.100.7", recipient), stranger, "{recipient}");
            assert_eq!(judge(&config, "127.0.0.1", recipient), trusted, "{recipient}");
        }
    }

    #[test]
    fn trusted_clients_may_send_anywhere_however_their_address_is_written() {
        let config = Config::for_tests(Path::new("/nowhere"));
        for (client, code) in [
            ("127.0.0.1", 250),
            ("127.9.9.9", 250),
            ("::1", 250),
            ("::ffff:127.0.0.1", 250),
            ("::ffff:198.51.100.7", 554),
            ("::127.0.0.1", 554),
            ("128.0.0.1", 554),
        ] {
            assert_eq!(judge(&config, client, "<user@dom.example>"), code, "{client}");
        }
        assert_eq!(judge(&config, "127.0.0.1", "<nobody-here@example.com>"), 550);
    }

    /// A8: what a notification could not be brought to is no stranger's address.
    #[test]
    fn a_strangers_address_literal_is_judged_as_one_that_mail_is_for() {
        let allowing = Config::for_tests(Path::new("/nowhere"));
        let mut config = allowing.clone();
        config.delivery.allow_private = false;
        let own = Some([203, 0, 113, 25].into());
        let policy = |client: &str, service| {
            Policy::new(&config, service, Who::Client(client.parse().unwrap()), own)
        };
        let stranger = policy("198.51.100.7", Service::Smtp);
        for (literal, said, where_private_is_allowed) in [
            ("[0.0.0.0]", "is an unspecified address", false),
            ("[IPv6:::]", "is an unspecified address", false),
            ("[IPv6:::ffff:0.0.0.0]", "is an unspecified address", false),
            ("[10.0.0.99]", "is a private address", true),
            ("[IPv6:::ffff:10.0.0.99]", "is a private address", true),
            ("[IPv6:64:ff9b::a00:63]", "is a private address", true),
            ("[100.64.0.1]", "is a private address", true),
            ("[127.0.0.1]", "is a loopback address", false),
            ("[IPv6:::1]", "is a loopback address", false),
            ("[169.254.169.254]", "is a link-local address", true),
            ("[198.18.0.1]", "is a benchmarking address", true),
            ("[198.19.255.255]", "is a benchmarking address", true),
            ("[IPv6:2002:7f00:1::1]", "is a translated address", true),
            ("[IPv6:2001:0:4136:e378:8000:63bf:3fff:fdd2]", "is a translated address", true),
            ("[IPv6:fe80::1]", "is a link-local address", true),
            ("[IPv6:ff02::1]", "is a multicast address", false),
            ("[255.255.255.255]", "is a reserved address", true),
            ("[203.0.113.25]", "is an address of this server", false),
            ("[IPv6:::ffff:203.0.113.25]", "is an address of this server", false),
        ] {
            let from = ReversePath::parse(&format!("<user@{literal}>")).unwrap();
            let reply = stranger.mail(&config, &from, false).unwrap_err().to_string();
            assert!(reply.starts_with("553 5.1.8 <user@[") && reply.ends_with(said), "{reply}");
            let allowed = stranger.mail(&allowing, &from, false);
            assert_eq!(allowed.is_ok(), where_private_is_allowed, "{literal}");
            let trusted = policy("127.0.0.1", Service::Smtp);
            assert!(trusted.mail(&config, &from, false).is_ok(), "{literal}");
        }
        for from in ["<>", "<user@[198.51.100.9]>", "<user@[IPv6:2001:db8::9]>", "<u@dom.example>"]
        {
            let from = ReversePath::parse(from).unwrap();
            assert!(stranger.mail(&config, &from, false).is_ok(), "{from}");
        }
        let from = ReversePath::parse("<user@[0.0.0.0]>").unwrap();
        let submission = policy("198.51.100.7", Service::Submission).mail(&config, &from, false);
        assert_eq!(submission.unwrap_err().code().get(), 530);
    }

    #[test]
    fn submission_is_for_our_users() {
        let config = Config::for_tests(Path::new("/nowhere"));
        let code = |service, client: &str, tls| {
            let who = Who::Client(client.parse().unwrap());
            let policy = Policy::new(&config, service, who, None);
            policy
                .mail(&config, &ReversePath::Null, tls)
                .map_or_else(|reply| reply.to_string(), |()| "250".to_owned())
        };
        assert_eq!(code(Service::Smtp, "198.51.100.7", false), "250");
        assert_eq!(code(Service::Submission, "127.0.0.1", false), "250");
        let plain = code(Service::Submission, "198.51.100.7", false);
        assert_eq!(plain, "530 5.7.0 Must issue a STARTTLS command first");
        let tls = code(Service::Submissions, "198.51.100.7", true);
        assert_eq!(tls, "530 5.7.0 Authentication required");
        let user = Policy::new(&config, Service::Smtp, Who::User, None);
        let unknown = Address::parse("nobody-here@example.com").unwrap();
        assert_eq!(user.recipient(&config, &unknown).ok(), Some(Need::Nothing));
    }
}
