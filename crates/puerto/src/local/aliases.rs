//! The aliases file, in the form that sendmail and Postfix read: `name: target,
//! target`, with comments, and with lines that go on when the next begins with white
//! space. Lists that it includes and `.forward` files hold such targets, too.
//!
//! What people write beside the form, such as blanks for commas or a comment behind a
//! target, is read as it is meant, with a warning: mail is not lost for a blank.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};

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
    /// Nobody can say what it means: mail through it waits until it is mended.
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
    weight: Weight,
}

/// What comes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weight {
    /// It is read as it is meant, or passed over.
    Remark,
    /// Nobody can say what it means.
    Broken,
    /// It is right where the configuration allows commands.
    Command,
    /// It is right where the configuration allows files.
    File,
}

impl Warning {
    /// Says it, if it is wrong by this configuration.
    fn told(&self, local: &Local, place: NamedIn) -> Option<Said> {
        let said = match self.weight {
            Weight::Command if local.allow_commands.contains(&place) => return None,
            Weight::File if local.allow_files.contains(&place) => return None,
            // Of a `.forward` the mailbox gets what that cannot send on.
            Weight::Broken if place != NamedIn::Forward => said_of!(
                "{what}; until that is mended its mail waits",
                "{what}; hasta que se corrija, su correo espera"; what = self.what
            ),
            _ => self.what.clone(),
        };
        Some(on_line(self.line, &said))
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
        for (what, weight) in warnings {
            let name = Said::words(&*name);
            let what = said_of!("`{name}`: {what}", "`{name}`: {what}"; name = name, what = what);
            self.warnings.push(Warning { line: number, what, weight });
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
        self.warnings.push(Warning { line, what: text.clone(), weight: Weight::Remark });
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

    fn targets(&self) -> impl Iterator<Item = &Target> {
        self.by_name.values().flat_map(|(_, targets)| targets)
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
        wrong.extend(has_remark.then(|| (remark(), Weight::Remark)));
        let at = |(what, weight)| Warning { line: index + 1, what, weight };
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
fn targets(value: &str) -> (Vec<Target>, Vec<(Said, Weight)>) {
    let (mut all, mut warnings) = (Vec::new(), Vec::new());
    for written in split(value, &[',']) {
        let found =
            target(written).map_or_else(|| run_together(written, &mut warnings), |t| vec![t]);
        for target in found {
            warnings.extend(match &target {
                Target::Unsupported(what) => Some((what.said(), Weight::Broken)),
                Target::Command(_) => not_allowed(&target).map(|w| (w.said(), Weight::Command)),
                Target::File(_) => not_allowed(&target).map(|w| (w.said(), Weight::File)),
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

fn run_together(written: &str, warnings: &mut Vec<(Said, Weight)>) -> Vec<Target> {
    let what = said!(
        "commas separate targets: this is read as if they stood here",
        "los destinos se separan con comas: se lee como si estuvieran"
    );
    let about = Said::words(written);
    let what = said_of!("`{written}`: {what}", "`{written}`: {what}"; written = about, what = what);
    warnings.push((what, Weight::Remark));
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

/// What a list says, or why it cannot be read.
type Included = io::Result<(Vec<Target>, Vec<Warning>)>;

// The lists that these targets include, and those that they include in turn, each once.
fn lists_of<'a>(
    targets: impl Iterator<Item = &'a Target>,
    read: impl Fn(&Path) -> io::Result<String>,
) -> Vec<(PathBuf, Included)> {
    let path = |target: &Target| match target {
        Target::List(path) => Some(path.clone()),
        _ => None,
    };
    let mut waiting: Vec<PathBuf> = targets.filter_map(path).collect();
    waiting.sort_by(|a, b| b.cmp(a));
    let (mut lists, mut seen) = (Vec::new(), HashSet::new());
    while let Some(list) = waiting.pop() {
        if !seen.insert(list.clone()) {
            continue;
        }
        let said = read(&list).map(|text| listed(&text));
        waiting.extend(said.iter().flat_map(|(targets, _)| targets.iter().filter_map(path)));
        lists.push((list, said));
    }
    lists
}

/// Why mail for what has these targets waits, as far as they and the lists that they include
/// say so: no name in them is followed.
pub(super) fn waits_for(targets: &[Target]) -> Option<Cause> {
    let broken =
        |targets: &[Target]| targets.iter().any(|target| matches!(target, Target::Unsupported(_)));
    let unsaid = || Some(Cause::AliasesUnsaid {});
    if broken(targets) {
        return unsaid();
    }
    lists_of(targets.iter(), |list| Ok(read(list)?.0)).into_iter().find_map(|(list, said)| {
        match said {
            Ok((targets, _)) if broken(&targets) => unsaid(),
            Ok(_) => None,
            Err(error) => Some(list_unread(&list, error)),
        }
    })
}

/// That a list cannot be read.
pub(super) fn list_unread(list: &Path, error: io::Error) -> Cause {
    Cause::ListUnread { list: list.display().to_string(), error: error.into() }
}

/// What in an aliases file and in the lists that it includes cannot be understood, or read
/// by the service's user, each with its file: for `newaliases`, which has nothing else to do.
pub fn alias_warnings(
    local: &Local,
    service: Option<&Identity>,
) -> io::Result<Vec<(PathBuf, Said)>> {
    let file = local.aliases.as_path();
    let read = |file: &Path| rights::act(service, || Ok(read(file)?.0));
    let aliases = Aliases::parse(&read(file)?);
    let mut told: Vec<_> =
        aliases.warnings(local).into_iter().map(|what| (file.to_owned(), what)).collect();
    for (list, said) in lists_of(aliases.targets(), read) {
        match said {
            Ok((_, warnings)) => {
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

/// Where in an aliases file, and in the lists that it includes, is what mail waits for: lines
/// that cannot be understood, and lists that the service's user cannot read. That the file
/// itself cannot be read is for others to say.
pub fn broken_aliases(local: &Local, service: Option<&Identity>) -> Vec<(String, Said)> {
    let read = |file: &Path| rights::act(service, || Ok(read(file)?.0));
    let Ok(text) = read(&local.aliases) else { return Vec::new() };
    let aliases = Aliases::parse(&text);
    let broken = |file: &Path, warnings: &[Warning]| {
        let broken = warnings.iter().filter(|warning| warning.weight == Weight::Broken);
        let place = |line| format!("{}:{line}", file.display());
        broken.map(|one| (place(one.line), one.what.clone())).collect::<Vec<_>>()
    };
    let mut all = broken(&local.aliases, &aliases.warnings);
    for (list, said) in lists_of(aliases.targets(), read) {
        match said {
            Ok((_, warnings)) => all.extend(broken(&list, &warnings)),
            Err(error) => all.push((list.display().to_string(), rights::said(&error))),
        }
    }
    all
}

#[cfg(test)]
mod tests;
