//! The declarations: every key of the file once, with its section, default, what is
//! accepted, a sentence for the sample, how it is read and how it is shown. The
//! parser, `puerto config sample` and `puerto config show` all follow these lists.

use super::value::{self, Node, Read, store};
use super::{Config, LogFormat, LogTarget, Mailbox, NextHop, Route, TlsLevel};

/// What a key is when the file does not name it.
#[derive(Debug, Clone, Copy)]
pub(super) enum KeyDefault {
    /// This, as the file would write it.
    Written(&'static str),
    /// Found out when the program starts; an example, and where it comes from.
    Computed(&'static str, &'static str),
}

/// One key: `D` is what it is read into, `C` what it is shown from.
pub(super) struct Key<D: 'static, C: 'static> {
    /// The section it stands in; empty for those before the first.
    pub(super) section: &'static str,
    /// Its name.
    pub(super) name: &'static str,
    /// What it is without being named.
    pub(super) default: KeyDefault,
    /// What may stand there, for errors.
    pub(super) accepts: &'static str,
    /// What it is for, for the sample.
    pub(super) doc: &'static str,
    /// Reads it.
    pub(super) set: fn(&mut D, &Node<'_>) -> Read<()>,
    /// Shows it as the file would write it.
    pub(super) show: fn(&C) -> String,
}

impl<D, C> Key<D, C> {
    /// The key with its section, as errors name it.
    pub(super) fn path(&self) -> String {
        match self.section {
            "" => self.name.to_owned(),
            section => format!("{section}.{}", self.name),
        }
    }
}

/// A configuration while it is read: what is checked against other keys stays as it
/// was written until all are known.
pub(super) struct Draft {
    pub(super) config: Config,
    pub(super) routes: Vec<RouteDraft>,
    pub(super) hostname: Option<String>,
    pub(super) domains: Option<Vec<puerto_smtp::Domain>>,
    pub(super) relayhost_user: Option<String>,
    pub(super) relayhost_password_file: Option<std::path::PathBuf>,
    pub(super) certificate: Option<std::path::PathBuf>,
    pub(super) key: Option<std::path::PathBuf>,
    pub(super) helo: Option<String>,
}

/// A route while it is read.
#[derive(Default)]
pub(super) struct RouteDraft {
    pub(super) to: Option<String>,
    pub(super) from: Option<String>,
    pub(super) via: Option<NextHop>,
    pub(super) user: Option<String>,
    pub(super) password_file: Option<std::path::PathBuf>,
    pub(super) tls: Option<TlsLevel>,
}

/// The sections in the order of the sample, with a sentence for each.
pub(super) const SECTIONS: &[(&str, &str)] = &[
    ("", "Buen Puerto's configuration. Every line that is commented out shows its default."),
    ("listen", "Where mail is taken in: addresses with ports; [] switches a listener off."),
    ("tls", "Our certificate: with it, STARTTLS is offered."),
    ("dns", "Which DNS servers are asked."),
    ("dkim", "Signing."),
    ("delivery", "How mail leaves."),
    ("queue", "When mail is tried again and when it is given up."),
    ("local", "How the users of this machine get their mail."),
    ("limits", "Bounds for clients."),
];

const PATH: &str = "a path from the root, such as \"/etc/puerto/secret\"";
const OPTIONAL_PATH: &str = "a path from the root, or \"\" for none";
const ADDRESSES: &str = "a list of addresses with ports, such as [\"0.0.0.0:25\", \"[::]:25\"]";
const DURATION: &str = "a whole number with a unit: \"30s\", \"5m\", \"4h\", \"5d\"";
const COUNT: &str = "a whole number of at least 1";
const TLS: &str = "\"opportunistic\", \"required\" or \"none\"";
const NEXT_HOP: &str = "\"mail.example.org\", \"[mail.example.org]:587\", \"[192.0.2.1]\", \
                        \"smtps://[mail.example.org]\", or \"\" for none";

macro_rules! keys {
    ($($section:literal $name:literal = $default:expr; $accepts:expr; $doc:literal;
       $set:expr; $show:expr;)*) => {
        &[$(Key { section: $section, name: $name, default: $default, accepts: $accepts,
                  doc: $doc, set: $set, show: $show }),*]
    };
}

use KeyDefault::{Computed, Written};

/// The keys outside routes.
#[rustfmt::skip]
pub(super) const KEYS: &[Key<Draft, Config>] = keys! {
    "" "hostname" = Computed("\"mail.example.com\"", "the machine's full name");
        "a host name, such as \"mail.example.com\"";
        "The name in HELO and in trace fields. It should have an address that points back to it.";
        |d, v| store(&mut d.hostname, value::host_name(v).map(Some));
        |c| quote(&c.hostname);
    "" "domains" = Computed("[\"example.com\"]", "/etc/mailname, else hostname");
        "a list of domain names, such as [\"example.com\"]";
        "Domains whose users live on this server. The first completes bare names.";
        |d, v| store(&mut d.domains, value::list(v, value::domain).map(Some));
        |c| array(&c.domains, |domain| quote(domain));
    "" "relayhost" = Written("\"\""); NEXT_HOP;
        "Where all mail goes that has no route of its own; \"\": to its recipients' MX.";
        |d, v| store(&mut d.config.relayhost, value::optional(v, value::next_hop));
        |c| optional(c.relayhost.as_ref());
    "" "relayhost_user" = Written("\"\""); "a user name, or \"\" for none";
        "AUTH to the relayhost, over TLS only; with relayhost_password_file.";
        |d, v| store(&mut d.relayhost_user, value::optional(v, value::text));
        |c| optional(c.relayhost_login.as_ref().map(|login| &login.user));
    "" "relayhost_password_file" = Written("\"\""); OPTIONAL_PATH;
        "The file that holds the password and nothing else.";
        |d, v| store(&mut d.relayhost_password_file, value::optional(v, value::path));
        |c| optional(c.relayhost_login.as_ref().map(|login| login.password_file.display()));
    "" "trusted_networks" = Written("[\"127.0.0.0/8\", \"::1/128\"]");
        "a list of networks, such as [\"127.0.0.0/8\", \"2001:db8::/32\"]";
        "Who may relay without AUTH. The whole Internet is refused.";
        |d, v| store(&mut d.config.trusted_networks.0, value::list(v, value::network));
        |c| array(&c.trusted_networks.0, |network| quote(network));
    "" "state_dir" = Written("\"/var/lib/puerto\""); PATH;
        "Where the queue is kept.";
        |d, v| store(&mut d.config.state_dir, value::path(v));
        |c| quote(c.state_dir.display());
    "" "run_dir" = Written("\"/run/puerto\""); PATH;
        "Where the local sockets are.";
        |d, v| store(&mut d.config.run_dir, value::path(v));
        |c| quote(c.run_dir.display());
    "" "user" = Written("\"puerto\""); "the name of a system user, or \"\"";
        "Whom the daemon becomes when it is started as root; \"\": it stays who it is.";
        |d, v| store(&mut d.config.user, value::text(v));
        |c| quote(&c.user);
    "" "log" = Written("\"postfix\""); "\"postfix\", \"json\" or \"text\"";
        "The form of the mail log: as Postfix writes it, JSON lines, or for people.";
        |d, v| store(&mut d.config.log, value::log_format(v));
        |c| quote(match c.log {
            LogFormat::Postfix => "postfix", LogFormat::Json => "json", LogFormat::Text => "text" });
    "" "log_to" = Written("\"auto\""); "\"auto\", \"stderr\", \"syslog\" or a file's path";
        "Where the mail log goes; auto: the journal under systemd, else stderr.";
        |d, v| store(&mut d.config.log_to, value::log_target(v));
        |c| match &c.log_to {
            LogTarget::Auto => quote("auto"), LogTarget::Stderr => quote("stderr"),
            LogTarget::Syslog => quote("syslog"), LogTarget::File(path) => quote(path.display()) };

    "listen" "smtp" = Written("[\"0.0.0.0:25\", \"[::]:25\"]"); ADDRESSES;
        "Port 25: from trusted networks, and for our own domains from everywhere.";
        |d, v| store(&mut d.config.listen.smtp, value::list(v, value::socket_address));
        |c| array(&c.listen.smtp, |address| quote(address));
    "listen" "submission" = Written("[]"); ADDRESSES;
        "Port 587: STARTTLS, then AUTH.";
        |d, v| store(&mut d.config.listen.submission, value::list(v, value::socket_address));
        |c| array(&c.listen.submission, |address| quote(address));
    "listen" "submissions" = Written("[]"); ADDRESSES;
        "Port 465: TLS from the first byte, then AUTH.";
        |d, v| store(&mut d.config.listen.submissions, value::list(v, value::socket_address));
        |c| array(&c.listen.submissions, |address| quote(address));

    "tls" "certificate" = Written("\"\""); OPTIONAL_PATH;
        "The certificate chain in PEM form, ours first.";
        |d, v| store(&mut d.certificate, value::optional(v, value::path));
        |c| optional(c.tls.as_ref().map(|files| files.certificate.display()));
    "tls" "key" = Written("\"\""); OPTIONAL_PATH;
        "Its private key in PEM form.";
        |d, v| store(&mut d.key, value::optional(v, value::path));
        |c| optional(c.tls.as_ref().map(|files| files.key.display()));

    "dns" "servers" = Written("[]");
        "a list of addresses, such as [\"127.0.0.1\"] or [\"127.0.0.1:5353\"]";
        "DNS servers; []: those that the system uses.";
        |d, v| store(&mut d.config.dns_servers, value::list(v, value::dns_server));
        |c| array(&c.dns_servers, |server| quote(server));

    "dkim" "directory" = Written("\"/etc/puerto/dkim\""); PATH;
        "DIRECTORY/DOMAIN/SELECTOR.pem: every key there signs for its domain.";
        |d, v| store(&mut d.config.dkim_directory, value::path(v));
        |c| quote(c.dkim_directory.display());

    "delivery" "port" = Written("25"); "a port from 1 to 65535";
        "The port of MX hosts.";
        |d, v| store(&mut d.config.delivery.port, value::port(v));
        |c| c.delivery.port.to_string();
    "delivery" "connect_timeout" = Written("\"30s\""); DURATION;
        "How long one connection may take to open.";
        |d, v| store(&mut d.config.delivery.connect_timeout, value::duration(v));
        |c| quote(value::show_duration(c.delivery.connect_timeout));
    "delivery" "tls" = Written("\"opportunistic\""); TLS;
        "TLS towards other servers; a route may differ. Required means verified, too.";
        |d, v| store(&mut d.config.delivery.tls, value::tls_level(v));
        |c| tls_level(c.delivery.tls);
    "delivery" "bind_ipv4" = Written("\"\""); "an IPv4 address of this machine, or \"\"";
        "The IPv4 address to send from.";
        |d, v| store(&mut d.config.delivery.bind_ipv4, value::optional(v, value::address));
        |c| optional(c.delivery.bind_ipv4);
    "delivery" "bind_ipv6" = Written("\"\""); "an IPv6 address of this machine, or \"\"";
        "The IPv6 address to send from.";
        |d, v| store(&mut d.config.delivery.bind_ipv6, value::optional(v, value::address));
        |c| optional(c.delivery.bind_ipv6);
    "delivery" "helo" = Computed("\"mail.example.com\"", "hostname");
        "a host name, or \"\" for hostname";
        "The name in EHLO when sending.";
        |d, v| store(&mut d.helo, value::optional(v, value::host_name));
        |c| quote(&c.delivery.helo);
    "delivery" "concurrency" = Written("20"); COUNT;
        "Connections to one destination at most.";
        |d, v| store(&mut d.config.delivery.concurrency, value::count(v, 10_000));
        |c| c.delivery.concurrency.to_string();
    "delivery" "allow_private" = Written("false"); "true or false";
        "Deliver by MX to loopback and private addresses, as the lab and tests need it.";
        |d, v| store(&mut d.config.delivery.allow_private, value::flag(v));
        |c| c.delivery.allow_private.to_string();

    "queue" "retry" = Written("[\"5m\", \"10m\", \"20m\", \"40m\", \"1h\", \"2h\", \"3h\", \"4h\"]");
        "a list of durations, such as [\"5m\", \"1h\"]; the last repeats";
        "Waits between attempts; the last repeats.";
        |d, v| store(&mut d.config.queue.retry, value::list(v, value::duration));
        |c| array(&c.queue.retry, |span| quote(value::show_duration(*span)));
    "queue" "expire" = Written("\"5d\""); DURATION;
        "The age at which a message is returned to its sender.";
        |d, v| store(&mut d.config.queue.expire, value::duration(v));
        |c| quote(value::show_duration(c.queue.expire));
    "queue" "warn_after" = Written("\"4h\""); DURATION;
        "The age at which the sender is told of a delay; \"0s\": never.";
        |d, v| store(&mut d.config.queue.warn_after, value::duration(v));
        |c| quote(value::show_duration(c.queue.warn_after));

    "local" "mailbox" = Written("\"mbox\"");
        "\"mbox\", \"maildir\", or \"lmtp:\" with a socket's path or HOST:PORT";
        "mbox: /var/mail/USER; maildir: ~/Maildir/; lmtp: a server takes it, such as Dovecot.";
        |d, v| store(&mut d.config.local.mailbox, value::mailbox(v));
        |c| match &c.local.mailbox {
            Mailbox::Mbox => quote("mbox"), Mailbox::Maildir => quote("maildir"),
            Mailbox::Lmtp(address) => quote(format_args!("lmtp:{address}")) };
    "local" "aliases" = Written("\"/etc/aliases\""); PATH;
        "Other names for local users, in the usual form: `name: user, other@example.com`.";
        |d, v| store(&mut d.config.local.aliases, value::path(v));
        |c| quote(c.local.aliases.display());

    "limits" "message_size" = Written("\"50MiB\"");
        "a size, such as \"50MiB\", \"500KB\" or a number of octets";
        "The largest message that is taken.";
        |d, v| store(&mut d.config.limits.message_size, value::size(v));
        |c| quote(value::show_size(c.limits.message_size));
    "limits" "recipients" = Written("1000"); COUNT;
        "Recipients of one message.";
        |d, v| store(&mut d.config.limits.recipients, value::count(v, 1_000_000));
        |c| c.limits.recipients.to_string();
    "limits" "connections" = Written("1000"); COUNT;
        "Clients connected at the same time.";
        |d, v| store(&mut d.config.limits.connections, value::count(v, 1_000_000));
        |c| c.limits.connections.to_string();
    "limits" "connections_from_one_client" = Written("50"); COUNT;
        "Of these, from one address.";
        |d, v| store(&mut d.config.limits.connections_from_one_client, value::count(v, 1_000_000));
        |c| c.limits.connections_from_one_client.to_string();
};

/// The keys of a route.
#[rustfmt::skip]
pub(super) const ROUTE_KEYS: &[Key<RouteDraft, Route>] = keys! {
    "route" "to" = Computed("\"example.net\"", "all recipients");
        "a domain, such as \"example.net\", or \"*.example.net\" for its subdomains too";
        "The recipient's domain; \"*.example.net\": its subdomains too.";
        |d, v| store(&mut d.to, value::optional(v, value::route_to));
        |r| optional(r.to.as_ref());
    "route" "from" = Computed("\"@shop.example.com\"", "all senders");
        "an address, or a domain such as \"@example.com\"";
        "The sender: an address, or @ and a domain.";
        |d, v| store(&mut d.from, value::optional(v, value::route_from));
        |r| optional(r.from.as_ref());
    "route" "via" = Computed("\"[relay.example.net]:587\"", "the recipient's MX"); NEXT_HOP;
        "Where it goes, written as relayhost is.";
        |d, v| store(&mut d.via, value::optional(v, value::next_hop));
        |r| optional(r.via.as_ref());
    "route" "user" = Written("\"\""); "a user name, or \"\" for none";
        "AUTH to it, with password_file.";
        |d, v| store(&mut d.user, value::optional(v, value::text));
        |r| optional(r.login.as_ref().map(|login| &login.user));
    "route" "password_file" = Written("\"\""); OPTIONAL_PATH;
        "The file that holds the password and nothing else.";
        |d, v| store(&mut d.password_file, value::optional(v, value::path));
        |r| optional(r.login.as_ref().map(|login| login.password_file.display()));
    "route" "tls" = Computed("\"required\"", "as in [delivery]"); TLS;
        "TLS towards it.";
        |d, v| store(&mut d.tls, value::tls_level(v).map(Some));
        |r| tls_level(r.tls);
};

fn quote(text: impl std::fmt::Display) -> String {
    toml::Value::String(text.to_string()).to_string()
}

fn optional(text: Option<impl std::fmt::Display>) -> String {
    text.map_or_else(|| quote(""), quote)
}

fn array<T>(items: &[T], write: fn(&T) -> String) -> String {
    let items: Vec<String> = items.iter().map(write).collect();
    format!("[{}]", items.join(", "))
}

fn tls_level(level: TlsLevel) -> String {
    quote(match level {
        TlsLevel::Opportunistic => "opportunistic",
        TlsLevel::Required => "required",
        TlsLevel::None => "none",
    })
}
