//! Where a domain wants its reports: the TXT record of `_smtp._tls.DOMAIN` (RFC 8460 §3).

use std::fmt;

use puerto_smtp::Address;

/// Places of one record that are looked at.
const MOST: usize = 5;
const PORT: u16 = 443;

/// Where a report goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// By POST to this path.
    Https {
        /// The host.
        host: String,
        /// Its port.
        port: u16,
        /// The path with its query.
        path: String,
    },
    /// By mail.
    Mail(Address),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Https { host, port: PORT, path } => write!(f, "https://{host}{path}"),
            Self::Https { host, port, path } => write!(f, "https://{host}:{port}{path}"),
            Self::Mail(address) => write!(f, "{address}"),
        }
    }
}

/// The places in a domain's records; none without exactly one that is for this.
pub(super) fn places<'a>(records: impl IntoIterator<Item = &'a str>) -> Vec<Place> {
    let mut own = records.into_iter().filter(|text| {
        text.split(';').next().is_some_and(|version| version.trim() == "v=TLSRPTv1")
    });
    let (Some(only), None) = (own.next(), own.next()) else { return Vec::new() };
    let fields = only.split(';').filter_map(|field| field.split_once('='));
    let mut places = fields.filter(|(name, _)| name.trim() == "rua");
    let uris = places.next().map_or("", |(_, uris)| uris);
    uris.split(',').filter_map(|uri| place(uri.trim())).take(MOST).collect()
}

fn place(uri: &str) -> Option<Place> {
    let (scheme, rest) = uri.split_once(':')?;
    if scheme.eq_ignore_ascii_case("mailto") {
        let address = rest.split('?').next()?;
        return Address::parse(&decoded(address)?).ok().map(Place::Mail);
    }
    let rest = rest.strip_prefix("//").filter(|_| scheme.eq_ignore_ascii_case("https"))?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end)?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (authority, PORT),
    };
    let is_of_host = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.');
    let path = path.split('#').next().unwrap_or_default();
    let is_of_path = path.bytes().all(|octet| octet.is_ascii_graphic());
    if host.is_empty() || !host.bytes().all(is_of_host) || !is_of_path {
        return None;
    }
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Some(Place::Https { host: host.to_ascii_lowercase(), port, path })
}

// RFC 3986 §2.1: what stands between places is written so within one.
fn decoded(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut parts = text.split('%');
    octets.extend(parts.next().unwrap_or_default().bytes());
    for part in parts {
        octets.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        octets.extend(part.get(2..)?.bytes());
    }
    String::from_utf8(octets).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(records: &[&str]) -> Vec<String> {
        places(records.iter().copied()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn places_are_read_as_domains_write_them() {
        for (record, expected) in [
            ("v=TLSRPTv1; rua=mailto:tls@example.com", &["tls@example.com"][..]),
            ("v=TLSRPTv1;rua=mailto:%22a%2Cb%22@example.com", &["a,b@example.com"]),
            (
                "v=TLSRPTv1; rua=mailto:a@example.com, https://R.example/v1?x=1 ;",
                &["a@example.com", "https://r.example/v1?x=1"],
            ),
            ("v=TLSRPTv1; rua=https://r.example", &["https://r.example/"]),
            ("v=TLSRPTv1; rua=https://r.example:8443/x", &["https://r.example:8443/x"]),
            ("v=TLSRPTv1; rua=http://r.example/", &[]),
            ("v=TLSRPTv1; rua=https://r.example/a\r\nX: y", &[]),
            ("v=TLSRPTv1; rua=https://me@r.example/", &[]),
            ("v=TLSRPTv1; rua=mailto:nobody", &[]),
            ("v=TLSRPTv1; rua=mailto:%zz@example.com", &[]),
            ("v=TLSRPTv1", &[]),
            ("v=TLSRPTv2; rua=mailto:a@example.com", &[]),
        ] {
            let found = shown(&[record, "v=spf1 -all"]);
            let wanted: Vec<String> = expected.iter().map(|one| (*one).to_owned()).collect();
            // A local part that needs quotes is shown with them.
            let bare: Vec<String> = found.iter().map(|one| one.replace('"', "")).collect();
            assert_eq!(bare, wanted, "{record}");
        }
        let one = "v=TLSRPTv1; rua=mailto:a@example.com";
        assert!(shown(&[one, one]).is_empty(), "which of them?");
    }
}
