//! Names that providers give to addresses by the thousand, and that receivers take
//! for home connections.

use std::net::IpAddr;

use crate::survey::names;

/// What makes a name look so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Generic {
    /// The address is in the name.
    Address,
    /// A word that speaks of a home connection.
    Word(&'static str),
    /// The end that a provider gives to its machines' names.
    Provider(&'static str),
    /// A word such as `host`, with a number.
    Numbered(&'static str),
}

/// Words that stand for themselves, as a part of a label.
const WORDS: &str = "dyn dynamic dynamicip dynip dhcp dial dialup dialin dsl adsl vdsl xdsl sdsl pool \
    pools ppp pppoe cable cablemodem catv broadband ftth cpe wifi unassigned";

/// Words that count together with a number beside them.
const NUMBERED: [&str; 14] = [
    "ip", "static", "client", "clients", "customer", "cust", "user", "host", "vps", "vds",
    "server", "node", "ns", "vm",
];

/// Whether the name looks made by a machine. Words do not count in a domain of one's
/// own, where whoever chose the name is asked; the address does.
pub(super) fn generic(name: &str, address: IpAddr, own: bool) -> Option<Generic> {
    let name = name.to_ascii_lowercase();
    if holds_address(&name, address) {
        return Some(Generic::Address);
    }
    if own {
        return None;
    }
    if let Some(suffix) = names::provider(&name) {
        return Some(Generic::Provider(suffix));
    }
    // The registered domain itself says nothing about the host.
    let labels: Vec<&str> = name.split('.').collect();
    let host_labels = labels.get(..labels.len().saturating_sub(2)).unwrap_or_default();
    for label in host_labels {
        let parts =
            || label.split(['-', '_']).map(|part| part.trim_matches(|c: char| c.is_ascii_digit()));
        if let Some(word) = WORDS.split(' ').find(|word| parts().any(|part| part == *word)) {
            return Some(Generic::Word(word));
        }
        let has_number = label.bytes().any(|byte| byte.is_ascii_digit());
        let word = NUMBERED.iter().find(|word| parts().any(|part| part == **word));
        if let Some(word) = word
            && has_number
        {
            return Some(Generic::Numbered(word));
        }
    }
    None
}

fn holds_address(name: &str, address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let octets = v4.octets();
            let reversed = [octets[3], octets[2], octets[1], octets[0]];
            [octets, reversed].iter().any(|octets| {
                let [a, b, c, d] = octets;
                let padded = format!("{a:03}{b:03}{c:03}{d:03}");
                let hex = format!("{a:02x}{b:02x}{c:02x}{d:02x}");
                numbers(name).windows(4).any(|window| window == octets.map(u64::from))
                    || name.contains(&padded)
                    || name
                        .split(|c: char| !c.is_ascii_alphanumeric())
                        .any(|part| part.strip_prefix("ip").unwrap_or(part) == hex)
            })
        }
        IpAddr::V6(v6) => {
            let whole: String = v6.octets().iter().map(|octet| format!("{octet:02x}")).collect();
            let plain: String = name.chars().filter(char::is_ascii_hexdigit).collect();
            let nibbles: String = whole.chars().rev().collect();
            let groups = v6.to_string().replace("::", "-").replace(':', "-");
            plain.contains(&whole) || plain.contains(&nibbles) || name.contains(&groups)
        }
    }
}

// The numbers in a name, in order; words between them do not matter.
fn numbers(name: &str) -> Vec<u64> {
    let runs = name.split(|c: char| !c.is_ascii_digit()).filter(|run| !run.is_empty());
    runs.map(|run| run.parse().unwrap_or(u64::MAX)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_made_by_machines_are_told_from_names_that_people_give() {
        let address = "192.0.2.10".parse().unwrap();
        for (name, expected) in [
            ("mail.example.com", None),
            ("mx1.example.com", None),
            ("mail2.poolside.example", None),
            ("smtp-out-3.cable.example", None),
            ("mail.dynamics.example", None),
            ("192-0-2-10.isp.example", Some(Generic::Address)),
            ("host-10-2-0-192.isp.example", Some(Generic::Address)),
            ("10.2.0.192.static.isp.example", Some(Generic::Address)),
            ("c000020a.isp.example", Some(Generic::Address)),
            ("ip192000002010.isp.example", Some(Generic::Address)),
            ("a12.dynamic.isp.example", Some(Generic::Word("dynamic"))),
            ("adsl-77.isp.example", Some(Generic::Word("adsl"))),
            ("dsl77.isp.example", Some(Generic::Word("dsl"))),
            ("vps-1234.isp.example", Some(Generic::Numbered("vps"))),
            ("static.9.8.clients.your-server.de", Some(Generic::Provider("your-server.de"))),
        ] {
            assert_eq!(generic(name, address, false), expected, "{name}");
        }
        assert_eq!(generic("vps-1234.isp.example", address, true), None);
        assert_eq!(generic("192-0-2-10.isp.example", address, true), Some(Generic::Address));
        let v6 = "2001:db8::1".parse().unwrap();
        assert_eq!(generic("2001-db8-1.isp.example", v6, true), Some(Generic::Address));
        assert_eq!(generic("mail.example.com", v6, false), None);
    }
}
