//! What of the configuration a server that runs cannot take over.

use super::Config;
use super::keys::KEYS;

/// Keys that hold from a start on: sockets and folders are opened, and the log and the queue with
/// them, while the server still has root's rights; the DNS is asked through what was made then.
/// `*` is all of a section. `[acme]` and `[mta_sts]` open what they may.
const FROM_A_START: &[(&str, &str)] = &[
    ("", "state_dir"),
    ("", "run_dir"),
    ("", "user"),
    ("", "log"),
    ("", "log_to"),
    ("listen", "*"),
    ("dns", "servers"),
    ("dns", "trust_ad"),
    ("store", "*"),
    ("pickup", "directory"),
];

/// The same, as people read them.
pub(super) fn from_a_start() -> String {
    let written = FROM_A_START.iter().map(|(section, name)| match (*section, *name) {
        ("", name) => format!("`{name}`"),
        (section, "*") => format!("`[{section}]`"),
        (section, name) => format!("`{section}.{name}`"),
    });
    written.collect::<Vec<_>>().join(", ")
}

impl Config {
    /// The keys in which another configuration differs from this one, with which a server was
    /// started, and that it does not take over before it is started again.
    pub fn waiting_for_a_start(&self, other: &Self) -> Vec<String> {
        let holds = |section: &str, name: &str| {
            FROM_A_START.iter().any(|(of, key)| *of == section && (*key == name || *key == "*"))
        };
        let waiting = KEYS.iter().filter(|key| holds(key.section, key.name));
        let changed = waiting.filter(|key| (key.show)(self) != (key.show)(other));
        changed.map(super::keys::Key::path).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_a_start_takes_over_is_named_and_nothing_else_is() {
        let of = |text: &str| Config::parse(text, "puerto.toml").unwrap();
        let started = of("hostname = \"mail.example.com\"\n");
        for (text, waiting) in [
            ("", &[][..]),
            ("[listen]\nsmtp = [\"127.0.0.1:25\"]\n", &["listen.smtp"]),
            ("[listen]\nsmtp = [\"0.0.0.0:25\", \"0.0.0.0:2525\"]\n", &["listen.smtp"]),
            ("log = \"json\"\n[listen]\nsmtp = []\n", &["log", "listen.smtp"]),
            ("user = \"\"\nrun_dir = \"/run/other\"\n", &["run_dir", "user"]),
            ("[store]\nurl = \"postgres://puerto@db/puerto\"\n", &["store.url"]),
            ("[dns]\nservers = [\"127.0.0.1:53\"]\n", &["dns.servers"]),
            ("[delivery]\nconcurrency = 5\n[queue]\nexpire = \"2d\"\n", &[]),
            ("[limits]\nconnections = 7\n[local]\nmailbox = \"maildir\"\n", &[]),
            (
                "[acme]\ndirectory = \"https://acme.test/dir\"\naccept_terms = true\n\
                 listen = [\"0.0.0.0:81\"]\n[mta_sts]\nmode = \"testing\"\n",
                &[],
            ),
        ] {
            let now = of(&format!("hostname = \"mail.example.com\"\n{text}"));
            assert_eq!(started.waiting_for_a_start(&now), waiting, "{text}");
        }
    }

    #[test]
    fn each_of_these_keys_exists() {
        for (section, name) in FROM_A_START {
            let is_it = |of: &str, key: &str| of == *section && (*name == "*" || key == *name);
            assert!(KEYS.iter().any(|key| is_it(key.section, key.name)), "{section} {name}");
        }
    }
}
