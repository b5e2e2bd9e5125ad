//! The parameters of a `main.cf`, as postconf(5) has them read.

use std::collections::HashMap;

use super::{NOT_TAKEN, OF_ITS_OWN, READ};
use crate::setup::takeover::has_word;

/// What is put in for a name at most: a file whose names refer to each other in a circle
/// must not hang us.
const EXPANSIONS: u8 = 100;

/// The parameters of a `main.cf`, the last of each name.
pub(super) struct Parameters {
    written: HashMap<String, String>,
    /// The machine's own name, which `myhostname` is where it is not set.
    machine: String,
}

impl Parameters {
    pub(super) fn parse(text: &str, machine: &str) -> Self {
        let lines = logical_lines(text);
        let pairs = lines.iter().filter_map(|line| line.split_once('='));
        let written = pairs.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()));
        Self { written: written.collect(), machine: machine.to_owned() }
    }

    /// A value with its `$name`s put in; `None` if it is not set or empty.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        let value = self.expand(self.written.get(name)?, &mut 0);
        (!value.trim().is_empty()).then(|| value.trim().to_owned())
    }

    /// Whether it is set, be it to nothing.
    pub(super) fn has(&self, name: &str) -> bool {
        self.written.contains_key(name)
    }

    /// A value, or what it is where it is not set.
    pub(super) fn get_or_default(&self, name: &str) -> Option<String> {
        let default = || self.expand(&self.value_or_default(name), &mut 0);
        self.get(name).or_else(|| Some(default()).filter(|value| !value.is_empty()))
    }

    /// Whether a switch is on, in the case in which people write it.
    pub(super) fn says_yes(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value.eq_ignore_ascii_case("yes"))
    }

    /// What is set to something, and neither taken over nor named for itself. A name that
    /// other values refer to is the administrator's own, and stands in them.
    pub(super) fn unread(&self) -> Vec<&str> {
        let is_read = |name: &str| {
            has_word(READ, name)
                || has_word(OF_ITS_OWN, name)
                || NOT_TAKEN.iter().any(|(keys, _)| has_word(keys, name))
                || name.starts_with("smtpd_tls_")
        };
        let refers = |name: &str| {
            let begins = [format!("${name}"), format!("${{{name}"), format!("$({name}")];
            let ends = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
            self.written
                .values()
                .any(|value| begins.iter().any(|form| value.split(form.as_str()).skip(1).any(ends)))
        };
        let names = self.written.keys().map(String::as_str);
        names.filter(|name| !is_read(name) && self.get(name).is_some() && !refers(name)).collect()
    }

    /// The values behind which somebody wrote a comment, which Postfix takes as part of
    /// them.
    pub(super) fn commented(&self) -> Vec<(&str, &str)> {
        let pairs = self.written.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let mut found: Vec<_> = pairs.filter(|(_, value)| value.contains(" #")).collect();
        found.sort_unstable();
        found
    }

    // `$name`, `${name}`, `$(name)`, `${name?value}`, `${name:value}`, and `$$`.
    fn expand(&self, value: &str, expanded: &mut u8) -> String {
        let mut out = String::new();
        let mut rest = value;
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            if let Some(tail) = after.strip_prefix('$') {
                out.push('$');
                rest = tail;
                continue;
            }
            let (inner, tail) = match after.chars().next() {
                Some('{') => balanced(after, '{', '}'),
                Some('(') => balanced(after, '(', ')'),
                _ => {
                    let end = after.find(|c: char| !c.is_alphanumeric() && c != '_');
                    after.split_at(end.unwrap_or(after.len()))
                }
            };
            if *expanded < EXPANSIONS {
                *expanded += 1;
                out.push_str(&self.put_in(inner.trim(), expanded));
            }
            rest = tail;
        }
        out.push_str(rest);
        out
    }

    fn put_in(&self, inner: &str, expanded: &mut u8) -> String {
        let end = inner.find(['?', ':']).unwrap_or(inner.len());
        let (name, choice) = inner.split_at(end);
        // A comparison: which side is meant depends on Postfix's own version.
        if name.starts_with('{') {
            return String::new();
        }
        let value = self.value_or_default(name.trim());
        let is_set = !value.is_empty();
        let chosen = match choice.chars().next() {
            None => return self.expand(&value, expanded),
            Some('?') => {
                let (yes, no) = two_sides(choice.get(1..).unwrap_or_default());
                if is_set { yes } else { no }
            }
            _ if is_set => "",
            _ => unbraced(choice.get(1..).unwrap_or_default()),
        };
        self.expand(chosen, expanded)
    }

    fn value_or_default(&self, name: &str) -> String {
        if let Some(value) = self.written.get(name) {
            return value.clone();
        }
        match name {
            "myhostname" => self.machine.clone(),
            "mydomain" => {
                let host = self.expand(&self.value_or_default("myhostname"), &mut 0);
                host.split_once('.').map(|(_, rest)| rest.to_owned()).unwrap_or_default()
            }
            "myorigin" => "$myhostname".to_owned(),
            "mydestination" => "$myhostname, localhost.$mydomain, localhost".to_owned(),
            "config_directory" => "/etc/postfix".to_owned(),
            "data_directory" => "/var/lib/postfix".to_owned(),
            "queue_directory" => "/var/spool/postfix".to_owned(),
            "default_database_type" => "hash".to_owned(),
            _ => String::new(),
        }
    }
}

/// What stands between a bracket, the first character, and its partner; and what follows.
fn balanced(text: &str, open: char, close: char) -> (&str, &str) {
    let mut depth = 0_usize;
    for (place, character) in text.char_indices() {
        if character == open {
            depth += 1;
        } else if character == close {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                let inner = text.get(open.len_utf8()..place).unwrap_or_default();
                return (inner, text.get(place + close.len_utf8()..).unwrap_or_default());
            }
        }
    }
    (text.get(open.len_utf8()..).unwrap_or_default(), "")
}

/// `value`, or `{value}:{value}`.
fn two_sides(choice: &str) -> (&str, &str) {
    let choice = choice.trim_start();
    if !choice.starts_with('{') {
        return (choice, "");
    }
    let (yes, rest) = balanced(choice, '{', '}');
    (yes.trim(), rest.trim_start().strip_prefix(':').map(unbraced).unwrap_or_default())
}

/// What a text is without the braces around it.
pub(super) fn unbraced(text: &str) -> &str {
    let text = text.trim();
    if text.starts_with('{') { balanced(text, '{', '}').0.trim() } else { text }
}

/// The items of a list; braces hold one together.
pub(super) fn items(list: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_usize;
    let split = move |c: char| {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && (c == ',' || c.is_whitespace())
    };
    list.split(split).filter(|item| !item.is_empty())
}

/// Lines with those that continue them, comments left out (postconf(5)).
pub(super) fn logical_lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        match lines.last_mut() {
            Some(last) if line.starts_with(char::is_whitespace) => {
                last.push(' ');
                last.push_str(line.trim());
            }
            _ => lines.push(line.trim().to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_values_are_put_in_as_postfix_does() {
        let main = Parameters::parse(
            "site = example.com\nmyhostname = mail.$site\nempty =\n\
             list = a,\n  # between\n  $mydomain,\n\tc\nlist = $(site) ${myhostname}\n\
             set = ${site?yes}${empty?no}${site:no}${empty:unset}\n\
             both = ${site?{is $mydomain}:{is not}} ${none?{x}:{y}}\nprice = 5$$\n",
            "web.lan",
        );
        for (name, value) in [
            ("list", Some("example.com mail.example.com")),
            ("set", Some("yesunset")),
            ("both", Some("is example.com y")),
            ("price", Some("5$")),
            ("empty", None),
            ("myorigin", None),
        ] {
            assert_eq!(main.get(name).as_deref(), value, "{name}");
        }
        assert_eq!(main.get_or_default("myorigin").as_deref(), Some("mail.example.com"));
        let bare = Parameters::parse("mydestination = $myhostname localhost.$mydomain", "w.x.lan");
        assert_eq!(bare.get("mydestination").as_deref(), Some("w.x.lan localhost.x.lan"));
    }

    #[test]
    fn an_item_in_braces_is_one() {
        let list = "hash:/a, inline:{ {b = c d}, e=f } static:{x y},,z";
        let expected = ["hash:/a", "inline:{ {b = c d}, e=f }", "static:{x y}", "z"];
        assert_eq!(items(list).collect::<Vec<_>>(), expected);
    }
}
