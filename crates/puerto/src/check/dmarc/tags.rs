//! The tags of a DMARC record as text: what an administrator wrote.

/// The tags of a record as they are written.
pub(super) struct Tags(Vec<(String, String)>);

impl Tags {
    pub(super) fn read(text: &str) -> Self {
        let parts = text.split(';').map(str::trim).filter(|part| !part.is_empty());
        let tags = parts.map(|part| match part.split_once('=') {
            Some((name, value)) => (name.trim().to_ascii_lowercase(), value.trim().to_owned()),
            None => (part.to_owned(), String::new()),
        });
        Self(tags.collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(tag, _)| tag == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Whether the version stands first, as it must.
    pub(super) fn begins_right(&self) -> bool {
        self.0.first().is_some_and(|(name, value)| name == "v" && value == "DMARC1")
    }

    /// The first tag with a value that is not defined, or the one that stands where the
    /// version must.
    pub(super) fn wrong(&self) -> Option<String> {
        let one_of =
            |value: &str, values: &[&str]| values.iter().any(|v| value.eq_ignore_ascii_case(v));
        let right = |(name, value): &&(String, String)| match name.as_str() {
            "v" => value == "DMARC1",
            "p" | "sp" | "np" => one_of(value, &["none", "quarantine", "reject"]),
            "adkim" | "aspf" => one_of(value, &["r", "s"]),
            "psd" => one_of(value, &["y", "n", "u"]),
            "t" => one_of(value, &["y", "n"]),
            "rua" | "ruf" => value.split(',').all(|uri| uri.trim().contains(':')),
            "fo" => value.split(':').all(|option| one_of(option.trim(), &["0", "1", "d", "s"])),
            // A part without `=` is one that a semicolon is missing before, or worse.
            _ => name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && !value.is_empty(),
        };
        let doubled =
            self.0.iter().enumerate().find(|(at, (name, _))| {
                self.0.iter().take(*at).any(|(earlier, _)| earlier == name)
            });
        let first = self.0.first().filter(|_| !self.begins_right());
        let wrong =
            first.or(self.0.iter().find(|tag| !right(tag))).or(doubled.map(|(_, tag)| tag))?;
        Some(if wrong.1.is_empty() { wrong.0.clone() } else { format!("{}={}", wrong.0, wrong.1) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_tags_are_named() {
        for (record, wrong) in [
            ("v=DMARC1; p=none; rua=mailto:a@example.com", None),
            ("v=DMARC1;p=reject;pct=100;", None),
            ("v=DMARC1; p=reject; sp=quarantine; adkim=s; fo=1:d", None),
            ("v=dmarc1; p=none", Some("v=dmarc1")),
            ("p=none; v=DMARC1", Some("p=none")),
            ("v=DMARC1; p=monitor", Some("p=monitor")),
            ("v=DMARC1; p=none rua", Some("p=none rua")),
            ("v=DMARC1; p=none; rua=a@example.com", Some("rua=a@example.com")),
            ("v=DMARC1; p=none; p=reject", Some("p=reject")),
        ] {
            assert_eq!(Tags::read(record).wrong().as_deref(), wrong, "{record}");
        }
    }
}
