//! Next hops, in the syntax of Postfix's `relayhost`.

use std::fmt;
use std::net::IpAddr;

use puerto_smtp::Domain;

use crate::lang::{Said, said};

/// A next hop in Postfix's syntax: `mail.example.org`, `[mail.example.org]:587`,
/// `[192.0.2.1]`, `smtps://[mail.example.org]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NextHop {
    /// Whom to ask.
    pub host: NextHopHost,
    /// The port, if one was written.
    pub port: Option<u16>,
    /// TLS from the first byte (port 465 unless one is written).
    pub implicit_tls: bool,
}

/// The host of a next hop.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum NextHopHost {
    /// A bare name: its MX records, or its addresses where it has none.
    Mx(String),
    /// A name in brackets: its addresses.
    Name(String),
    /// An address.
    Address(IpAddr),
}

impl NextHop {
    /// Reads a next hop. The error says what is wrong and how it is written.
    pub fn parse(text: &str) -> Result<Self, Said> {
        let (implicit_tls, rest) = match text.split_once("://") {
            None => (false, text),
            Some((scheme, rest)) => match scheme.to_ascii_lowercase().as_str() {
                "smtps" | "submissions" => (true, rest),
                "smtp" => (false, rest),
                _ => {
                    return Err(said!(
                        "`{scheme}://` is not known here: only `smtps://` and `smtp://` are",
                        "`{scheme}://` no se conoce aquí, solo `smtps://` y `smtp://`";
                        scheme = scheme
                    ));
                }
            },
        };
        if rest.is_empty() {
            return Err(said!("no host is named", "no se nombra ninguna máquina"));
        }
        if rest.parse::<IpAddr>().is_ok() {
            return Err(no_brackets(&format!("[{rest}]")));
        }
        let (host, port) = match rest.strip_prefix('[') {
            Some(inner) => parse_brackets(inner)?,
            None => parse_bare(rest)?,
        };
        let port = port.map(parse_port).transpose()?;
        Ok(Self { host, port, implicit_tls })
    }

    /// What to tell whoever configures a password for this next hop: a bare name is looked
    /// up by MX records, which can be forged on the way; a name in brackets is not.
    pub fn advice_for_password(&self) -> Option<Said> {
        let NextHopHost::Mx(name) = &self.host else { return None };
        let better = self.in_brackets()?;
        Some(said!(
            "the hosts of {hop} are looked up by MX records, which can be forged on the way, so the password goes only to a host at or below {name}, with a certificate for {name}, or whose MX record DNSSEC vouches for; if {name} itself is the relay, write {better}",
            "las máquinas de {hop} se buscan por registros MX, que pueden falsificarse por el camino, así que la contraseña solo va a una máquina que sea {name} o esté por debajo, que tenga un certificado para {name} o cuyo registro MX avale DNSSEC; si el relay es {name} mismo, escriba {better}";
            hop = self, name = name, better = better
        ))
    }

    /// This next hop with its name in brackets, if it is a bare one.
    pub fn in_brackets(&self) -> Option<Self> {
        let NextHopHost::Mx(name) = &self.host else { return None };
        Some(Self { host: NextHopHost::Name(name.clone()), ..self.clone() })
    }

    /// This configured next hop as `written` means it, which may leave out the port, the
    /// scheme or the brackets and is completed with what is configured; brackets may be
    /// added. `None` if another host, port or way of TLS is meant.
    pub fn as_written(&self, written: &str) -> Option<Self> {
        let asked = Self::parse(written).ok()?;
        let is_same_tls = !written.contains("://") || asked.implicit_tls == self.implicit_tls;
        let is_same_port = asked.port.is_none() || asked.port_or(25) == self.port_or(25);
        if !is_same_tls || !is_same_port || !asked.host.is_named_as(&self.host) {
            return None;
        }
        let with_brackets = matches!(asked.host, NextHopHost::Name(_)).then(|| self.in_brackets());
        Some(with_brackets.flatten().unwrap_or_else(|| self.clone()))
    }

    /// The port to connect to: the one that was written, 465 for implicit TLS, or
    /// `default`.
    pub fn port_or(&self, default: u16) -> u16 {
        self.port.unwrap_or(if self.implicit_tls { 465 } else { default })
    }
}

impl NextHopHost {
    /// The name; `None` for an address.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Mx(name) | Self::Name(name) => Some(name),
            Self::Address(_) => None,
        }
    }

    fn is_named_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Mx(one) | Self::Name(one), Self::Mx(other) | Self::Name(other)) => {
                let ascii = |name| idna::domain_to_ascii(name).ok();
                one == other || ascii(one).is_some_and(|name| Some(name) == ascii(other))
            }
            (one, other) => one == other,
        }
    }
}

fn no_brackets(written: &str) -> Said {
    said!(
        "an address stands in brackets: write `{written}`",
        "una dirección va entre corchetes: escriba `{written}`"; written = written
    )
}

fn parse_brackets(inner: &str) -> Result<(NextHopHost, Option<&str>), Said> {
    let (host, after) = inner.split_once(']').ok_or_else(|| {
        said!("the closing bracket `]` is missing", "falta el corchete de cierre `]`")
    })?;
    let port = match after.strip_prefix(':') {
        Some(port) => Some(port),
        None if after.is_empty() => None,
        None => {
            return Err(said!(
                "after `]` only `:port` may stand, not `{after}`",
                "tras `]` solo puede ir `:puerto`, no `{after}`"; after = after
            ));
        }
    };
    let tagged = host.get(..5).is_some_and(|tag| tag.eq_ignore_ascii_case("ipv6:"));
    let literal = if tagged { host.get(5..).unwrap_or_default() } else { host };
    match literal.parse::<IpAddr>() {
        Ok(address) => Ok((NextHopHost::Address(address), port)),
        Err(_) => Ok((NextHopHost::Name(parse_name(host)?), port)),
    }
}

fn parse_bare(rest: &str) -> Result<(NextHopHost, Option<&str>), Said> {
    let (host, port) = match rest.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (rest, None),
    };
    if host.parse::<IpAddr>().is_ok() {
        let port = port.unwrap_or_default();
        return Err(no_brackets(&format!("[{host}]:{port}")));
    }
    Ok((NextHopHost::Mx(parse_name(host)?), port))
}

fn parse_name(host: &str) -> Result<String, Said> {
    match Domain::parse(host) {
        Ok(Domain::Name(name)) => Ok(name.into()),
        _ => Err(said!(
            "`{host}` is not a host name", "`{host}` no es un nombre de máquina"; host = host
        )),
    }
}

fn parse_port(digits: &str) -> Result<u16, Said> {
    // The names that stand in /etc/services everywhere, since Postfix's manual uses them.
    match digits {
        "smtp" => return Ok(25),
        "submission" => return Ok(587),
        "submissions" | "smtps" => return Ok(465),
        _ => {}
    }
    digits.parse().ok().filter(|port| *port != 0).ok_or_else(|| {
        said!(
            "`{digits}` is not a port: write a number from 1 to 65535",
            "`{digits}` no es un puerto: escriba un número del 1 al 65535"; digits = digits
        )
    })
}

/// Writes the next hop as it is configured.
impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.implicit_tls {
            f.write_str("smtps://")?;
        }
        match &self.host {
            NextHopHost::Mx(name) => f.write_str(name)?,
            NextHopHost::Name(name) => write!(f, "[{name}]")?,
            NextHopHost::Address(address) => write!(f, "[{address}]")?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_syntax_of_postfix_is_read_and_written_back() {
        let name = |n: &str| NextHopHost::Name(n.into());
        let mx = |n: &str| NextHopHost::Mx(n.into());
        let address = |a: &str| NextHopHost::Address(a.parse().unwrap());
        for (text, host, port, written) in [
            ("mail.example.org", mx("mail.example.org"), 25, "mail.example.org"),
            ("Mail.Example.ORG.", mx("mail.example.org"), 25, "mail.example.org"),
            ("mail.example.org:587", mx("mail.example.org"), 587, "mail.example.org:587"),
            ("[mail.example.org]", name("mail.example.org"), 25, "[mail.example.org]"),
            ("[mail.example.org]:587", name("mail.example.org"), 587, "[mail.example.org]:587"),
            ("[192.0.2.1]", address("192.0.2.1"), 25, "[192.0.2.1]"),
            ("[2001:db8::1]:26", address("2001:db8::1"), 26, "[2001:db8::1]:26"),
            ("[IPv6:2001:db8::1]", address("2001:db8::1"), 25, "[2001:db8::1]"),
            ("smtps://[a.example]", name("a.example"), 465, "smtps://[a.example]"),
            ("SMTPS://[a.example]", name("a.example"), 465, "smtps://[a.example]"),
            ("[a.example]:submission", name("a.example"), 587, "[a.example]:587"),
            ("smtps://a.example:4465", mx("a.example"), 4465, "smtps://a.example:4465"),
            ("submissions://[a.example]", name("a.example"), 465, "smtps://[a.example]"),
            ("smtp://[a.example]:587", name("a.example"), 587, "[a.example]:587"),
        ] {
            let hop = NextHop::parse(text).unwrap();
            assert_eq!((&hop.host, hop.port_or(25)), (&host, port), "{text}");
            assert_eq!(hop.to_string(), written);
        }
    }

    /// G4; what is not the configured relayhost gets none of its login (A7).
    #[test]
    fn a_configured_next_hop_is_known_by_its_other_spellings() {
        let brackets = "[mail.example.org]:587";
        for (configured, written, meant) in [
            (brackets, "mail.example.org", Some(brackets)),
            (brackets, "[mail.example.org]", Some(brackets)),
            (brackets, "[MAIL.Example.org.]:587", Some(brackets)),
            (brackets, "mail.example.org.:submission", Some(brackets)),
            (brackets, "smtp://mail.example.org:587", Some(brackets)),
            (brackets, "smtp://[mail.example.org]", Some(brackets)),
            (brackets, "smtps://mail.example.org", None),
            (brackets, "[mail.example.org]:25", None),
            (brackets, "[mail.example.org]:2525", None),
            (brackets, "example.org", None),
            (brackets, "x.mail.example.org", None),
            (brackets, "[192.0.2.1]:587", None),
            ("mail.example.org", "[mail.example.org]", Some("[mail.example.org]")),
            ("mail.example.org", "mail.example.org:25", Some("mail.example.org")),
            ("mail.example.org", "mail.example.org:587", None),
            ("smtps://[a.example]", "a.example", Some("smtps://[a.example]")),
            ("smtps://[a.example]", "[a.example]:465", Some("smtps://[a.example]")),
            ("smtps://[a.example]", "smtp://a.example", None),
            ("smtps://[a.example]", "a.example:587", None),
            ("[mañana.example]", "xn--maana-pta.example", Some("[mañana.example]")),
            ("[192.0.2.1]:587", "[192.0.2.1]", Some("[192.0.2.1]:587")),
        ] {
            let configured = NextHop::parse(configured).unwrap();
            let meant = meant.map(|hop| NextHop::parse(hop).unwrap());
            assert_eq!(configured.as_written(written), meant, "{configured} {written}");
        }
    }

    #[test]
    fn what_is_no_next_hop_says_why() {
        for (text, part) in [
            ("192.0.2.1", "write `[192.0.2.1]`"),
            ("192.0.2.1:587", "write `[192.0.2.1]:587`"),
            ("2001:db8::1", "write `[2001:db8::1]`"),
            ("[mail.example.org", "closing bracket"),
            ("[mail.example.org]587", "only `:port`"),
            ("mail.example.org:0", "not a port"),
            ("mail.example.org:http", "not a port"),
            ("http://mail.example.org", "only `smtps://` and `smtp://`"),
            ("", "no host"),
            ("smtps://", "no host"),
            ("[]", "not a host name"),
            ("a b", "not a host name"),
        ] {
            let error = NextHop::parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
