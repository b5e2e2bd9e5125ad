//! The aliases file, in the form that sendmail and Postfix read: `name: target,
//! target`, with comments, and with lines that go on when the next begins with white
//! space. Lists that it includes and `.forward` files hold such targets, too.
//!
//! What people write beside the form, such as blanks for commas or a comment behind a
//! target, is read as it is meant, with a warning: mail is not lost for a blank.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::PathBuf;

use puerto_smtp::Address;

use super::watched::{Names, Owner, read};
use crate::cause::Cause;
use crate::config::{Local, NamedIn};
use crate::lang::{Said, said, said_of};
use crate::rights::{self, Identity};

/// Where mail for an alias goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// A local name, itself perhaps an alias.
    Name(String),
    /// `\name`: a user's mailbox, whatever aliases there are.
    User(String),
    /// An address with a domain.
    Address(Address),
    /// `\name@domain`: if the domain is ours, that user's mailbox.
    UserAt(Address),
    /// `/dev/null`: mail is thrown away, and the log says so.
    Nowhere,
    /// `:include:/file`: a file with more targets.
    List(PathBuf),
    /// `|command`: a command that gets it, where the configuration allows that.
    Command(String),
    /// `/file` or `/maildir/`, under the same condition.
    File(PathBuf),
    /// Something that this server does not do.
    Unsupported(Cause),
}

/// All aliases, by name in lower case.
#[derive(Debug, Default)]
pub(super) struct Aliases {
    /// With the line on which each stands.
    by_name: HashMap<String, (usize, Vec<Target>)>,
    warnings: Vec<Warning>,
    /// Whose file it is.
    pub(super) owner: Owner,
}

/// What is wrong in a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Warning {
    line: usize,
    what: Said,
    /// It is right where this is allowed.
    unless: Option<Unless>,
}

/// What the configuration may allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unless {
    Commands,
    Files,
}

impl Warning {
    /// Says it, if it is wrong by this configuration.
    fn told(&self, local: &Local, place: NamedIn) -> Option<Said> {
        let is_allowed = match self.unless {
            None => false,
            Some(Unless::Commands) => local.allow_commands.contains(&place),
            Some(Unless::Files) => local.allow_files.contains(&place),
        };
        (!is_allowed).then(|| on_line(self.line, &self.what))
    }
}

/// All that is wrong by this configuration.
pub(super) fn told(warnings: &[Warning], local: &Local, place: NamedIn) -> Vec<Said> {
    warnings.iter().filter_map(|warning| warning.told(local, place)).collect()
}

impl Aliases {
    /// Reads a file's text. What cannot be understood is passed over with a warning.
    pub(super) fn parse(text: &str) -> Self {
        let mut aliases = Self::default();
        for line in logical_lines(text) {
            for number in &line.remarks {
                aliases.warn(*number, &remark());
            }
            aliases.entry(line.number, &line.text);
        }
        aliases
    }

    fn entry(&mut self, number: usize, line: &str) {
        let Some((name, value)) = split_name(line) else {
            let text = said!(
                "there is no colon after the name: write `name: target`",
                "faltan los dos puntos tras el nombre: escriba `nombre: destino`"
            );
            self.warn(number, &text);
            return;
        };
        if name.contains('@') {
            let text = said!(
                "`{name}`: a name stands here without a domain, and holds for all of ours",
                "`{name}`: el nombre va aquí sin dominio y vale para todos los nuestros";
                name = name
            );
            self.warn(number, &text);
        }
        let (targets, warnings) = targets(value);
        for (what, unless) in warnings {
            let name = Said::words(&*name);
            let what = said_of!("`{name}`: {what}", "`{name}`: {what}"; name = name, what = what);
            self.warnings.push(Warning { line: number, what, unless });
        }
        if targets.is_empty() {
            let text = said!("`{name}` has no targets", "`{name}` no tiene destinos"; name = name);
            self.warn(number, &text);
            return;
        }
        if self.by_name.insert(name.to_lowercase(), (number, targets)).is_some() {
            let text = said!(
                "`{name}` stands here for the second time: this one holds",
                "`{name}` aparece aquí por segunda vez: vale esta"; name = name
            );
            self.warn(number, &text);
        }
    }

    fn warn(&mut self, line: usize, text: &Said) {
        self.warnings.push(Warning { line, what: text.clone(), unless: None });
    }

    /// What is wrong with the file by this configuration, with line numbers.
    pub(super) fn warnings(&self, local: &Local) -> Vec<Said> {
        told(&self.warnings, local, NamedIn::Alias)
    }

    /// Who is asked about a list by `LIST-request` (RFC 2142 §6) where no alias says so: its
    /// owner.
    pub(super) fn owner_of_request(&self, name: &str) -> Option<String> {
        let list = name.strip_suffix("-request")?;
        let owner = format!("owner-{list}");
        let is_list = self.get(name).is_none() && self.get(list).is_some();
        (is_list && self.get(&owner).is_some()).then_some(owner)
    }

    /// Each with its line, its name in lower case and its targets, as they stand in the file.
    pub(super) fn in_order(&self) -> Vec<(usize, &str, &[Target])> {
        let all = self.by_name.iter();
        let mut all: Vec<_> =
            all.map(|(name, (line, targets))| (*line, &**name, &**targets)).collect();
        all.sort_by_key(|(line, ..)| *line);
        all
    }

    /// The targets of a name, without regard to case.
    pub(super) fn get(&self, name: &str) -> Option<&[Target]> {
        self.by_name.get(&name.to_lowercase()).map(|(_, targets)| targets.as_slice())
    }
}

impl Names for Aliases {
    fn parse(text: &str, owner: Owner) -> Self {
        Self { owner, ..Self::parse(text) }
    }

    fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    const MAY_BE_MISSING: bool = true;
}

/// Reads targets that stand alone, separated by commas or line ends: an included list,
/// or a `.forward`. With them, what is wrong.
pub(super) fn listed(text: &str) -> (Vec<Target>, Vec<Warning>) {
    let (mut all, mut warnings) = (Vec::new(), Vec::new());
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let (line, has_remark) = without_remark(line);
        let (targets, mut wrong) = targets(line);
        all.extend(targets);
        wrong.extend(has_remark.then(|| (remark(), None)));
        let at = |(what, unless)| Warning { line: index + 1, what, unless };
        warnings.extend(wrong.into_iter().map(at));
    }
    (all, warnings)
}

/// A warning with its line.
pub(super) fn on_line(line: usize, what: &Said) -> Said {
    let line = Said::words(line.to_string());
    said_of!("line {line}: {text}", "línea {line}: {text}"; line = line, text = what)
}

fn remark() -> Said {
    said!(
        "what follows `#` is passed over: a comment stands on a line of its own",
        "lo que sigue a `#` no cuenta: un comentario va en una línea propia"
    )
}

/// A line and those after it that begin with white space.
pub(super) struct Line {
    /// Counted from 1.
    pub(super) number: usize,
    /// Without comments.
    pub(super) text: String,
    /// Lines on which a comment stands behind targets.
    remarks: Vec<usize>,
}

/// The lines of a file that say something.
pub(super) fn logical_lines(text: &str) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let continues = line.starts_with([' ', '\t']);
        let (content, has_remark) = without_remark(line);
        if content.is_empty() {
            continue;
        }
        let number = index + 1;
        let remarks = if has_remark { vec![number] } else { Vec::new() };
        match lines.last_mut() {
            Some(previous) if continues => {
                previous.text.push(' ');
                previous.text.push_str(content);
                previous.remarks.extend(remarks);
            }
            _ => lines.push(Line { number, text: content.to_owned(), remarks }),
        }
    }
    lines
}

// The line without a comment, and whether one stood behind something else.
fn without_remark(line: &str) -> (&str, bool) {
    let line = line.trim();
    if line.starts_with('#') {
        return ("", false);
    }
    let begins_word = |at: &usize| line.get(..*at).is_some_and(|head| head.ends_with([' ', '\t']));
    match outside_quotes(line, &['#']).find(begins_word) {
        Some(at) => (line.get(..at).unwrap_or_default().trim_end(), true),
        None => (line, false),
    }
}

fn split_name(line: &str) -> Option<(String, &str)> {
    let colon = outside_quotes(line, &[':']).next()?;
    let name = unquote(line.get(..colon)?.trim());
    (!name.is_empty()).then_some((name, line.get(colon + 1..)?))
}

fn split<'a>(value: &'a str, separators: &[char]) -> Vec<&'a str> {
    let mut pieces = Vec::new();
    let mut start = 0;
    for separator in outside_quotes(value, separators).chain([value.len()]) {
        pieces.push(value.get(start..separator).unwrap_or_default().trim());
        start = separator + 1;
    }
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

fn outside_quotes(text: &str, wanted: &[char]) -> impl Iterator<Item = usize> {
    let (mut quoted, mut escaped) = (false, false);
    text.char_indices().filter_map(move |(index, character)| {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            found if wanted.contains(&found) && !quoted => return Some(index),
            _ => {}
        }
        None
    })
}

fn unquote(text: &str) -> String {
    match text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        Some(inner) => inner.replace("\\\"", "\"").replace("\\\\", "\\"),
        None => text.to_owned(),
    }
}

// All targets of one name, and what is wrong with them.
fn targets(value: &str) -> (Vec<Target>, Vec<(Said, Option<Unless>)>) {
    let (mut all, mut warnings) = (Vec::new(), Vec::new());
    for written in split(value, &[',']) {
        let found =
            target(written).map_or_else(|| run_together(written, &mut warnings), |t| vec![t]);
        for target in found {
            warnings.extend(match &target {
                Target::Unsupported(what) => Some((what.said(), None)),
                Target::Command(_) | Target::File(_) => {
                    let is_command = matches!(target, Target::Command(_));
                    let unless = if is_command { Unless::Commands } else { Unless::Files };
                    not_allowed(&target).map(|what| (what.said(), Some(unless)))
                }
                _ => None,
            });
            all.push(target);
        }
    }
    (all, warnings)
}

// One target; `None` if it may be several that blanks or semicolons separate.
fn target(written: &str) -> Option<Target> {
    if let Ok(address) = Address::parse(written) {
        return Some(Target::Address(address));
    }
    let bare = unquote(written);
    let unsupported = |why| Some(unsupported(&bare, why));
    match bare.chars().next() {
        Some('|') => match bare.get(1..).map(str::trim) {
            None | Some("") => unsupported(Cause::NoTarget {}),
            Some(command) => Some(Target::Command(command.to_owned())),
        },
        Some('/') if bare == "/dev/null" => Some(Target::Nowhere),
        Some('/') => Some(Target::File(bare.as_str().into())),
        Some(':') => match bare.strip_prefix(":include:").map(|path| unquote(path.trim())) {
            Some(path) if path.starts_with('/') => Some(Target::List(path.into())),
            _ => unsupported(Cause::HalfList {}),
        },
        _ if bare != written => Some(one_word(&bare)),
        _ if written.contains(['<', '(']) => in_brackets(written),
        _ if written.contains(|c: char| c.is_whitespace() || c == ';') => None,
        _ => Some(one_word(written)),
    }
}

// `Ana <ana@example.com>`, `ana (at home)`: what a mail program would write.
fn in_brackets(written: &str) -> Option<Target> {
    let inner = match written.split_once('<') {
        Some((_, rest)) => rest.split_once('>').filter(|(_, after)| after.trim().is_empty())?.0,
        None => written.split_once('(').filter(|(_, rest)| rest.ends_with(')'))?.0,
    };
    target(inner.trim())
}

fn one_word(word: &str) -> Target {
    let plain = word.strip_prefix('\\').unwrap_or(word);
    if plain.contains('@') {
        return match Address::parse(plain) {
            Ok(address) if plain.len() < word.len() => Target::UserAt(address),
            Ok(address) => Target::Address(address),
            Err(error) => unsupported(word, Cause::BadAddress { error }),
        };
    }
    let impossible = |c: char| c.is_control() || "<>()[]:;,\"\\/|".contains(c);
    if plain.is_empty() || plain.contains(impossible) {
        return unsupported(word, Cause::NoTarget {});
    }
    let name = plain.to_lowercase();
    if plain.len() < word.len() { Target::User(name) } else { Target::Name(name) }
}

fn run_together(written: &str, warnings: &mut Vec<(Said, Option<Unless>)>) -> Vec<Target> {
    let what = said!(
        "commas separate targets: this is read as if they stood here",
        "los destinos se separan con comas: se lee como si estuvieran"
    );
    let about = Said::words(written);
    let what = said_of!("`{written}`: {what}", "`{written}`: {what}"; written = about, what = what);
    warnings.push((what, None));
    let pieces = split(written, &[' ', '\t', ';']);
    pieces.into_iter().map(|piece| target(piece).unwrap_or_else(|| one_word(piece))).collect()
}

fn unsupported(written: &str, why: Cause) -> Target {
    Target::Unsupported(about(written, why))
}

fn about(written: &str, why: Cause) -> Cause {
    Cause::Target { target: written.to_owned(), why: Box::new(why) }
}

/// Why a command or a file gets no mail where the configuration does not allow it.
pub(super) fn not_allowed(target: &Target) -> Option<Cause> {
    match target {
        Target::Command(command) => Some(about(&format!("|{command}"), Cause::ProgramTarget {})),
        Target::File(path) => Some(about(&path.display().to_string(), Cause::FileTarget {})),
        _ => None,
    }
}

/// What in an aliases file and in the lists that it includes cannot be understood, or read
/// by the service's user, each with its file: for `newaliases`, which has nothing else to do.
pub fn alias_warnings(
    local: &Local,
    service: Option<&Identity>,
) -> io::Result<Vec<(PathBuf, Said)>> {
    let file = local.aliases.as_path();
    let aliases = Aliases::parse(&rights::act(service, || read(file))?.0);
    let lists = |targets: &[Target]| {
        let lists = targets.iter().filter_map(|target| match target {
            Target::List(path) => Some(path.clone()),
            _ => None,
        });
        lists.collect::<Vec<_>>()
    };
    let mut waiting: Vec<PathBuf> =
        aliases.by_name.values().flat_map(|(_, targets)| lists(targets)).collect();
    waiting.sort_by(|a, b| b.cmp(a));
    let mut told: Vec<_> =
        aliases.warnings(local).into_iter().map(|what| (file.to_owned(), what)).collect();
    let mut seen = HashSet::new();
    while let Some(list) = waiting.pop() {
        if !seen.insert(list.clone()) {
            continue;
        }
        match rights::act(service, || read(&list)) {
            Ok((text, _)) => {
                let (targets, warnings) = listed(&text);
                waiting.extend(lists(&targets));
                let warnings = self::told(&warnings, local, NamedIn::Include);
                told.extend(warnings.into_iter().map(|what| (list.clone(), what)));
            }
            Err(error) => {
                let what = said_of!(
                    "cannot be read, so that mail for the names that include it waits: {error}",
                    "no se puede leer, así que el correo para los nombres que la incluyen espera: \
                     {error}";
                    error = rights::said(&error)
                );
                told.push((list, what));
            }
        }
    }
    Ok(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(n: &str) -> Target {
        Target::Name(n.into())
    }

    fn address(a: &str) -> Target {
        Target::Address(Address::parse(a).unwrap())
    }

    #[test]
    fn the_form_of_sendmail_is_read() {
        let aliases = Aliases::parse(
            "\u{feff}# comment\r\n\
             Postmaster: root\r\n\
             root:ana, \"b c\"@example.net ,\n\t luis@example.org\n\
             \"the office\": \\ana\n\
             \n   \n\
             list : a,b,,c\n",
        );
        assert_eq!(aliases.get("POSTMASTER"), Some(&[name("root")][..]));
        assert_eq!(aliases.get("the office"), Some(&[Target::User("ana".into())][..]));
        assert_eq!(aliases.get("list"), Some(&[name("a"), name("b"), name("c")][..]));
        let root = [name("ana"), address("\"b c\"@example.net"), address("luis@example.org")];
        assert_eq!(aliases.get("root"), Some(&root[..]));
        assert_eq!(aliases.get("nobody"), None);
        assert_eq!(aliases.warnings(&Local::default()), []);
    }

    #[test]
    fn each_kind_of_target_is_told_from_the_others() {
        let at = |a: &str| Target::UserAt(Address::parse(a).unwrap());
        for (written, expected) in [
            ("/dev/null", Target::Nowhere),
            ("\"/dev/null\"", Target::Nowhere),
            ("\\Luis", Target::User("luis".into())),
            ("\\luis@example.com", at("luis@example.com")),
            ("\"\\\\luis\"", Target::User("luis".into())),
            (":include:/etc/list", Target::List("/etc/list".into())),
            ("\":include:/etc/the list\"", Target::List("/etc/the list".into())),
            ("Ana P\u{e9}rez <ana@example.com>", address("ana@example.com")),
            ("<ana@example.com>", address("ana@example.com")),
            ("ana (at home)", name("ana")),
            ("Root+Tag", name("root+tag")),
            ("\"ana luis\"", name("ana luis")),
            ("#1@example.com", address("#1@example.com")),
        ] {
            let aliases = Aliases::parse(&format!("x:{written}\n"));
            assert_eq!(aliases.get("x"), Some(&[expected][..]), "{written}");
            assert_eq!(aliases.warnings(&Local::default()), [], "{written}");
        }
    }

    #[test]
    fn what_is_written_beside_the_form_is_read_as_it_is_meant_and_told() {
        let (ana, luis) = (name("ana"), name("luis"));
        for (written, expected, told) in [
            ("ana luis", &[ana.clone(), luis.clone()][..], "commas separate targets"),
            ("ana; luis;", &[ana.clone(), luis.clone()], "commas separate targets"),
            ("ana\tluis", &[ana.clone(), luis.clone()], "commas separate targets"),
            ("ana \\luis", &[ana.clone(), Target::User("luis".into())], "commas separate"),
            ("ana a@example.net", &[ana.clone(), address("a@example.net")], "commas separate"),
            ("ana # note", std::slice::from_ref(&ana), "a comment stands on a line of its own"),
            ("ana, # note\n luis", &[ana.clone(), luis.clone()], "a comment stands"),
            ("ana,\n luis\t#x", &[ana.clone(), luis], "line 2: what follows `#`"),
        ] {
            let aliases = Aliases::parse(&format!("x: {written}\n"));
            assert_eq!(aliases.get("x"), Some(expected), "{written}");
            let warnings: Vec<String> =
                aliases.warnings(&Local::default()).iter().map(Said::to_string).collect();
            assert!(warnings.len() == 1 && warnings[0].contains(told), "{written}: {warnings:?}");
        }
    }

    #[test]
    fn what_is_not_done_is_told_with_its_line() {
        let aliases = Aliases::parse(
            "a: \"|/usr/bin/vacation, x\"\nb: /var/mail/archive\nc: :include:list\n\
             d\ne:\na: ana\nf@example.com: ana\ng: a@b@, c:d\nh: |cat > x\n",
        );
        assert!(matches!(aliases.get("c").unwrap(), [Target::Unsupported(_)]));
        let command = |text: &str| Target::Command(text.into());
        assert_eq!(aliases.get("h"), Some(&[command("cat > x")][..]));
        assert_eq!(aliases.get("b"), Some(&[Target::File("/var/mail/archive".into())][..]));
        let allowed = Local { allow_commands: vec![NamedIn::Alias], ..Local::default() };
        let told = aliases.warnings(&allowed);
        assert!(told.iter().all(|what| !what.to_string().contains("program")), "{told:?}");
        let told: Vec<String> =
            aliases.warnings(&Local::default()).iter().map(ToString::to_string).collect();
        let told = told.join("\n");
        for part in [
            "line 1: `a`: `|/usr/bin/vacation, x`: mail is handed to a program only where",
            "line 2: `b`",
            "line 3: `c`: `:include:list`: write",
            "line 4: there is no colon",
            "line 5: `e` has no targets",
            "line 6: `a` stands here for the second time",
            "line 7: `f@example.com`: a name stands here without a domain",
            "line 8: `g`: `a@b@`",
            "line 8: `g`: `c:d`: this is neither a user nor an address",
            "line 9: `h`",
        ] {
            assert!(told.contains(part), "{part} in\n{told}");
        }
    }

    #[test]
    fn a_list_is_separated_by_commas_or_lines() {
        let (targets, warnings) =
            listed("# members\nana, luis\n\n\"|/usr/bin/vacation ana\"\na@example.net # home\n");
        assert_eq!(targets[..2], [name("ana"), name("luis")]);
        assert!(matches!(targets[2], Target::Command(_)));
        assert_eq!(targets[3], address("a@example.net"));
        let warnings = super::told(&warnings, &Local::default(), NamedIn::Include);
        let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        assert!(warnings.len() == 2 && warnings[1].starts_with("line 5: "), "{warnings:?}");
    }

    #[test]
    fn newaliases_looks_into_lists_and_the_lists_in_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let text = format!(
            "one: ana luis, :include:{}\ntwo: :include:{}, :include:{}\n",
            path("members").display(),
            path("members").display(),
            path("missing").display()
        );
        std::fs::write(path("aliases"), text).unwrap();
        let text = format!("ana # at home\r\n:include:{}\r\n|cat\r\n", path("inner").display());
        std::fs::write(path("members"), text).unwrap();
        let text = format!("luis,\n\u{f1}u ana\n:include:{}\n", path("members").display());
        std::fs::write(path("inner"), text).unwrap();
        let local = |name| Local { aliases: path(name), ..Local::default() };
        let told = alias_warnings(&local("aliases"), None).unwrap();
        let told: Vec<String> = told
            .iter()
            .map(|(file, what)| format!("{} {what}", file.file_name().unwrap().display()))
            .collect();
        for (line, part) in told.iter().zip([
            "aliases line 1: `one`: `ana luis`: commas",
            "members line 1: what follows `#`",
            "members line 3: `|cat`",
            "inner line 2: `\u{f1}u ana`: commas",
            "missing cannot be read",
        ]) {
            assert!(line.starts_with(part), "{line}");
        }
        assert_eq!(told.len(), 5, "{told:?}");
        assert!(alias_warnings(&local("none"), None).is_err());
    }
}
