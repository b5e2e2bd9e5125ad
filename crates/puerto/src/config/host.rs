//! What the machine says of itself, without asking the network: its name, and the
//! domain that its local mail belongs to.

use puerto_smtp::Domain;

/// The machine's fully qualified name: the kernel's, completed from `/etc/hosts`
/// when it is a bare name. Nothing is looked up in DNS, so that a start never waits
/// for it; a name that stays bare is for `puerto check` to complain about.
pub(super) fn machine_name() -> String {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let name = name.filter(|name| Domain::parse(name).is_ok_and(|d| d.name().is_some()));
    let Some(name) = name else {
        return "localhost".to_owned();
    };
    if name.contains('.') {
        return name.to_lowercase();
    }
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    qualified(&hosts, &name).unwrap_or_else(|| name.to_lowercase())
}

/// The domain in `/etc/mailname`, if there is one.
pub(super) fn mail_name() -> Option<Domain> {
    let text = std::fs::read_to_string("/etc/mailname").ok()?;
    Domain::parse(text.trim()).ok().filter(|domain| domain.name().is_some())
}

// A line of hosts(5): an address, the canonical name, aliases. Debian writes
// `127.0.1.1 mail.example.com mail`.
fn qualified(hosts: &str, name: &str) -> Option<String> {
    let mut lines = hosts.lines().map(|line| line.split('#').next().unwrap_or_default());
    lines.find_map(|line| {
        let names: Vec<&str> = line.split_whitespace().skip(1).collect();
        if !names.iter().any(|candidate| candidate.eq_ignore_ascii_case(name)) {
            return None;
        }
        let full = names.iter().find(|candidate| {
            let first = candidate.split('.').next().unwrap_or_default();
            candidate.contains('.') && first.eq_ignore_ascii_case(name)
        })?;
        Domain::parse(full).ok()?.name().map(str::to_owned)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_name_is_completed_from_the_hosts_file() {
        let hosts = "# a comment mail.wrong.example mail\n127.0.0.1 localhost\n\
                     127.0.1.1 Mail.example.com mail # here\n";
        assert_eq!(qualified(hosts, "mail").as_deref(), Some("mail.example.com"));
        assert_eq!(qualified(hosts, "other"), None);
        assert_eq!(qualified("127.0.0.1 localhost.localdomain vm", "vm"), None);
    }
}
