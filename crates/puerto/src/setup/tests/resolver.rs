//! What is said of the resolver.

use super::*;

/// The world of `QUIET`, with this to be said of DNSSEC.
struct Resolving(Option<bool>);

impl World for Resolving {
    fn is_published(&self, _: &str) -> bool {
        false
    }

    fn survey(&self, domain: &str) -> Survey {
        Survey { validates: self.0, ..QUIET.survey(domain) }
    }

    fn plan(&self, subject: &Subject) -> Result<Publication, Unread> {
        QUIET.plan(subject)
    }

    fn port_25(&self) -> Port25 {
        Port25::Open
    }

    fn running(&self) -> Vec<PathBuf> {
        QUIET.running()
    }

    fn holders(&self, address: std::net::SocketAddr) -> Vec<PathBuf> {
        QUIET.holders(address)
    }

    fn execute(&self, command: &str) -> Result<(), String> {
        QUIET.execute(command)
    }
}

#[test]
fn who_has_no_resolver_that_validates_is_told_how_to_get_one() {
    for (validates, is_told) in [(Some(false), true), (Some(true), false), (None, false)] {
        let machine = Machine::new();
        let root = Root::new(machine.folder.path());
        let report = run(&machine.wishes, &root, &Resolving(validates), &mut Nobody).unwrap();
        let notes = english(&report.notes());
        assert_eq!(notes.contains("apt install unbound"), is_told, "{notes}");
        assert_eq!(notes.contains("servers = [\"127.0.0.1\"]"), is_told, "{notes}");
    }
    // What is said to be written there is taken.
    let config = Config::parse("[dns]\nservers = [\"127.0.0.1\"]\n", "puerto.toml").unwrap();
    assert_eq!(config.dns_servers[0].to_string(), "127.0.0.1:53");
}
