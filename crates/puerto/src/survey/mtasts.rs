//! The MTA-STS policy of a domain, as text (RFC 8461 §3.2), and the record that announces it.

use aws_lc_rs::digest;

/// Where the policy is, at `mta-sts.DOMAIN`.
pub const PATH: &str = "/.well-known/mta-sts.txt";
/// RFC 8461 §3.2: about a year.
pub const LONGEST: u64 = 31_557_600;
/// Patterns that are kept of one policy, and octets of one: a name's (RFC 1035 §2.3.4).
const MOST_HOSTS: usize = 100;
const LONGEST_HOST: usize = 255;

/// What a policy demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Mail goes only to hosts that it names and that show a valid certificate.
    Enforce,
    /// It is tried out: mail goes as it would without.
    Testing,
    /// There is none any more.
    None,
}

impl Mode {
    /// As the policy writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Testing => "testing",
            Self::None => "none",
        }
    }

    /// The mode of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Enforce, Self::Testing, Self::None].into_iter().find(|mode| mode.name() == name)
    }
}

/// A policy as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// What it demands.
    pub mode: Mode,
    /// For how many seconds it holds, as it says.
    pub max_age: u64,
    /// The hosts by which mail comes, `*.` for one label.
    pub hosts: Vec<String>,
}

impl Policy {
    /// Reads a page. What is wrong is told by the name of the field; of one that is there
    /// twice the first counts.
    pub fn read(body: &str) -> Result<Self, &'static str> {
        let fields: Vec<(&str, &str)> = body
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim(), value.trim()))
            .collect();
        let value = |wanted| fields.iter().find(|(name, _)| *name == wanted).map(|field| field.1);
        if value("version") != Some("STSv1") {
            return Err("version");
        }
        let mode = value("mode").and_then(Mode::named).ok_or("mode")?;
        let is_number = |age: &&str| age.bytes().all(|octet| octet.is_ascii_digit());
        let max_age = value("max_age").filter(is_number).and_then(|age| age.parse().ok());
        let is_host = |(name, host): &&(&str, &str)| *name == "mx" && host.len() <= LONGEST_HOST;
        let hosts = fields.iter().filter(is_host).take(MOST_HOSTS);
        let hosts: Vec<_> = hosts.map(|(_, host)| host.to_ascii_lowercase()).collect();
        if hosts.is_empty() && mode != Mode::None {
            return Err("mx");
        }
        Ok(Self { mode, max_age: max_age.ok_or("max_age")?, hosts })
    }

    /// The policy line by line.
    pub fn written(&self) -> Vec<String> {
        let mut lines = vec!["version: STSv1".to_owned(), format!("mode: {}", self.mode.name())];
        lines.extend(self.hosts.iter().map(|host| format!("mx: {host}")));
        lines.push(format!("max_age: {}", self.max_age));
        lines
    }

    /// The pattern that names a host, in lower case. RFC 8461 §4.1: a wildcard stands for one
    /// label.
    pub fn pattern_of(&self, host: &str) -> Option<&str> {
        let names = |pattern: &&String| match pattern.strip_prefix("*.") {
            Some(rest) => host.split_once('.').is_some_and(|(_, above)| above == rest),
            None => *pattern == host,
        };
        self.hosts.iter().find(names).map(String::as_str)
    }
}

/// The id of a policy's text: another for each, so that whoever changes the policy and
/// publishes what is proposed has changed the id, too (RFC 8461 §3.1).
pub fn id_for(text: &str) -> String {
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    hash.as_ref().iter().take(10).map(|octet| format!("{octet:02x}")).collect()
}

/// The id in the TXT records of `_mta-sts.DOMAIN`; `None` without exactly one that is well
/// formed (RFC 8461 §3.1).
pub fn id_of<'a>(records: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let mut announced = records.into_iter().filter(|text| {
        text.split(';').next().is_some_and(|version| version.trim_end() == "v=STSv1")
    });
    let (only, None) = (announced.next()?, announced.next()) else { return None };
    let fields = only.split(';').filter_map(|field| field.split_once('='));
    let mut ids = fields.filter(|(name, _)| name.trim() == "id").map(|(_, id)| id.trim());
    ids.next().filter(|id| {
        (1..=32).contains(&id.len()) && id.bytes().all(|octet| octet.is_ascii_alphanumeric())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn policies_are_read_and_name_hosts() {
        let text = "version: STSv1\r\nmode: enforce\r\nmx: Mail.example.com\r\nmx: *.mx.example\r\n\
                    mx: *.mail.protection.outlook.com\r\nmx: *.mx.microsoft\r\n\
                    max_age: 604800\r\nmode: none\r\nx: y\r\n";
        let policy = Policy::read(text).unwrap();
        assert_eq!((policy.mode, policy.max_age), (Mode::Enforce, 604_800));
        for (host, pattern) in [
            ("mail.example.com", Some("mail.example.com")),
            ("a.mx.example", Some("*.mx.example")),
            ("b.a.mx.example", None),
            ("mx.example", None),
            ("other.example.com", None),
            ("example-com.mail.protection.outlook.com", Some("*.mail.protection.outlook.com")),
            // Exchange Online moves tenants there, with a label of their own between the two: their
            // policies went on naming what they had, or the one label too few.
            ("example-com.h-v1.mx.microsoft", None),
            ("example-com.mx.microsoft", Some("*.mx.microsoft")),
        ] {
            assert_eq!(policy.pattern_of(host), pattern, "{host}");
        }
        for (from, to, what) in [
            ("STSv1", "STSv2", "version"),
            ("enforce", "strict", "mode"),
            ("604800", "a week", "max_age"),
            ("604800", "+604800", "max_age"),
            ("604800", "-1", "max_age"),
            ("mx: ", "host: ", "mx"),
        ] {
            assert_eq!(Policy::read(&text.replace(from, to)), Err(what));
        }
        assert!(Policy::read("version: STSv1\nmode: none\nmax_age: 0\n").is_ok());
        assert_eq!(Policy::read(""), Err("version"));
        let long = text.replace("Mail.example.com", &"a".repeat(LONGEST_HOST + 1));
        assert_eq!(Policy::read(&long).unwrap().hosts[0], "*.mx.example", "no name is so long");
        let many = text.replace("mx: *.mx.example", &"mx: b.test\r\n".repeat(1000));
        assert_eq!(Policy::read(&many).unwrap().hosts.len(), MOST_HOSTS);
    }

    #[test]
    fn an_id_changes_when_and_only_when_the_policy_does() {
        let policy = |mode: &str, mx: &str, more: &str| {
            let text = format!(
                "[acme]\ndirectory = \"https://acme.test/dir\"\naccept_terms = true\n\
                 [mta_sts]\nmode = \"{mode}\"\nmx = [{mx}]\n{more}"
            );
            Config::parse(&text, "test").unwrap().mta_sts.text().unwrap()
        };
        let first = policy("testing", "\"mail.example.com\"", "");
        let id = id_for(&first);
        // Where it is served is no part of it, and a default may be written down.
        for same in ["listen = [\"127.0.0.1:8443\"]", "max_age = \"7d\"", "max_age = \"168h\""] {
            assert_eq!(id_for(&policy("testing", "\"mail.example.com\"", same)), id, "{same}");
        }
        let others = [
            policy("enforce", "\"mail.example.com\"", ""),
            policy("none", "\"mail.example.com\"", ""),
            policy("testing", "\"mx.example.com\"", ""),
            policy("testing", "\"mail.example.com\", \"mx.example.com\"", ""),
            policy("testing", "\"mail.example.com\"", "max_age = \"8d\""),
        ];
        let mut ids: Vec<String> = others.iter().map(|text| id_for(text)).collect();
        ids.push(id);
        for id in &ids {
            assert_eq!(id_of([format!("v=STSv1; id={id}").as_str()]), Some(id.as_str()));
        }
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), others.len() + 1);
    }

    #[test]
    fn one_record_announces_a_policy() {
        let longest = format!("v=STSv1; id={}", "a1".repeat(16));
        for (records, id) in [
            (&["v=STSv1; id=20261124T08;"][..], Some("20261124T08")),
            (&["v=spf1 -all", "v=STSv1;id=1"], Some("1")),
            (&["v=STSv1 ; x=y ; id = 7 ;"], Some("7")),
            (&[&longest], longest.strip_prefix("v=STSv1; id=")),
            (&["v=STSv1; id=1", "v=STSv1; id=2"], None),
            (&["v=STSv1; id="], None),
            (&["v=STSv1"], None),
            (&["v=STSv1; id=a-b"], None),
            (&["id=1; v=STSv1"], None),
            (&["v=STSv12; id=1"], None),
            (&[&format!("{longest}x")], None),
            (&[], None),
        ] {
            assert_eq!(id_of(records.iter().copied()), id, "{records:?}");
        }
    }
}
