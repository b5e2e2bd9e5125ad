//! Reads the files of providers: those that come with the program, and the administrator's.

use std::io;
use std::path::Path;
use std::sync::LazyLock;

use toml::de::{DeTable, DeValue};

use super::{Reader, syntax_error};
use crate::config::errors::{ConfigError, ConfigErrors, nearest};
use crate::config::profiles::{AGAINST, PROFILE_KEYS, REPLY, RULE_KEYS, RuleDraft, rule};
use crate::config::value::Node;
use crate::lang::{Said, Text, said};
use crate::providers::{Changes, EVERYBODY, FILES, Profile, Profiles, RELAYS};

/// What comes with the program. A test reads each file, so that none can be wrong here.
static BUILT_IN: LazyLock<Profiles> = LazyLock::new(|| {
    let read = |(name, text): &(&str, &str)| {
        let changes = parse(text, name).unwrap_or_default();
        Profile { name: (*name).to_owned(), ..Profile::default() }.with(&changes)
    };
    Profiles::new(FILES.iter().map(read))
});

static COMMON: LazyLock<Profiles> = LazyLock::new(|| BUILT_IN.complete());

/// What holds where the administrator has no files.
pub(in crate::config) fn built_in() -> &'static Profiles {
    &COMMON
}

/// What holds with the files of a folder; nothing if there are none. `is_named`: somebody
/// said that the folder is there.
pub(in crate::config) fn of_folder(
    folder: &Path,
    is_named: bool,
) -> Result<Option<Profiles>, Vec<ConfigErrors>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound && !is_named => return Ok(None),
        Err(error) => return Err(vec![ConfigErrors::unreadable(folder, &error)]),
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut paths: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    paths.sort();
    let (mut files, mut wrong) = (Vec::new(), Vec::new());
    for path in paths {
        let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
        let shown = path.display().to_string();
        let is_known = BUILT_IN.named(&name).is_some();
        let read = match std::fs::read_to_string(&path) {
            Ok(text) => {
                parse(&text, &shown).and_then(|changes| match named(&name, &changes, is_known) {
                    Some(error) => Err(ConfigErrors::new(&shown, &text, vec![error])),
                    None => Ok(changes),
                })
            }
            Err(error) => Err(ConfigErrors::unreadable(&path, &error)),
        };
        match read {
            Ok(changes) => files.push((name, changes)),
            Err(errors) => wrong.push(errors),
        }
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let files = files.iter().map(|(name, changes)| (name.as_str(), changes));
    Ok(Some(BUILT_IN.changed(files).complete()))
}

// A name stands beside those of hosts, and is told from them by having no dot.
fn named(name: &str, changes: &Changes, is_known: bool) -> Option<ConfigError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !name.chars().all(fits) || name.is_empty() {
        let message = said!(
            "the file's name is the provider's, of letters, digits and `-` alone",
            "el nombre del fichero es el del proveedor, solo con letras, cifras y `-`"
        );
        return Some(ConfigError::new(0..0, message));
    }
    let has_no_hosts = [EVERYBODY, RELAYS].contains(&name);
    if let Some(hosts) = &changes.hosts
        && has_no_hosts != hosts.is_empty()
    {
        let message = said!(
            "`{name}` is for whoever has no file, so it names no hosts",
            "`{name}` es para quien no tiene fichero, así que no nombra máquinas"; name = name
        );
        return Some(ConfigError::new(0..0, message).about("hosts"));
    }
    if is_known || changes.hosts.as_ref().is_some_and(|hosts| !hosts.is_empty()) {
        return None;
    }
    let message = said!(
        "no provider is known as `{name}`: a new one needs `hosts`",
        "no se conoce ningún proveedor `{name}`: uno nuevo necesita `hosts`"; name = name
    );
    let mut error = ConfigError::new(0..0, message).about("hosts");
    error = error.accepting(Said::words("hosts = [\"mx.example.net\"]"));
    error.nearest = nearest(name, BUILT_IN.names()).map(|near| format!("{near}.toml"));
    Some(error)
}

fn parse(text: &str, file: &str) -> Result<Changes, ConfigErrors> {
    let (table, broken) = DeTable::parse_recoverable(text);
    let mut reader = Reader { stands_apart: true, ..Reader::default() };
    let mut changes = Changes::default();
    for (name, node) in table.get_ref() {
        match node.get_ref() {
            _ if *name.get_ref() == REPLY => reader.replies(node, &mut changes),
            DeValue::Table(inner) if *name.get_ref() == AGAINST => {
                for item in inner {
                    reader.entry(PROFILE_KEYS, AGAINST, item, &mut changes);
                }
            }
            _ => reader.entry(PROFILE_KEYS, "", (name, node), &mut changes),
        }
    }
    if !broken.is_empty() {
        // What the parser made of a broken line is not what its author meant.
        reader.errors = broken.iter().map(|error| syntax_error(text, error)).collect();
    }
    match reader.errors.is_empty() {
        true => Ok(changes),
        false => Err(ConfigErrors::new(file, text, reader.errors)),
    }
}

const LIST: Text = Text::new("replies form a list", "las respuestas forman una lista");
const ACCEPTED: Text = Text::new(
    "a header `[[reply]]`, with double brackets, for each reply",
    "una cabecera `[[reply]]`, con corchetes dobles, por cada respuesta",
);

impl Reader {
    fn replies(&mut self, node: &Node<'_>, changes: &mut Changes) {
        let DeValue::Array(replies) = node.get_ref() else {
            let error = ConfigError::new(node.span(), LIST).about(REPLY);
            return self.errors.push(error.accepting(ACCEPTED));
        };
        for node in replies.iter() {
            let DeValue::Table(table) = node.get_ref() else {
                let error = ConfigError::new(node.span(), LIST).about(REPLY);
                self.errors.push(error.accepting(ACCEPTED));
                continue;
            };
            let before = self.errors.len();
            let mut draft = RuleDraft::default();
            for item in table {
                self.entry(RULE_KEYS, REPLY, item, &mut draft);
            }
            if self.errors.len() > before {
                continue;
            }
            match rule(draft) {
                Ok(rule) => changes.replies.push(rule),
                Err((key, message)) => {
                    let accepted = RULE_KEYS.iter().find(|known| known.name == key);
                    let error = ConfigError::new(node.span(), message);
                    let error = error.about(format!("{REPLY}.{key}"));
                    self.errors.push(match accepted {
                        Some(known) => error.accepting(known.accepts),
                        None => error,
                    });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lang::Language;
    use crate::providers::{Against, Call};

    #[test]
    fn the_files_that_come_with_the_program_are_right() {
        for (name, text) in FILES {
            let changes = parse(text, name).unwrap_or_else(|errors| panic!("{errors}"));
            let wrong =
                named(name, &changes, false).filter(|_| ![EVERYBODY, RELAYS].contains(name));
            assert!(wrong.is_none(), "{wrong:?}");
            for rule in &changes.replies {
                assert!(rule.says.len() > 3, "{name}: {}", rule.says);
                assert!(
                    !rule.pause || matches!(rule.call, Call::Park(_) | Call::Recipient(_)),
                    "{name}: a pause says how long: {}",
                    rule.says
                );
            }
        }
        assert!(built_in().of_hosts(&["gmail-smtp-in.l.google.com"]).is_some());
    }

    // The code, the enhanced code and the text of a reply as people paste it.
    fn taken_apart(reply: &str) -> (u16, String, String) {
        let code = reply.get(..3).and_then(|code| code.parse().ok()).unwrap_or_default();
        let line = |line: &str| {
            let is_coded = line.get(..3).is_some_and(|c| c.bytes().all(|c| c.is_ascii_digit()));
            let rest = if is_coded { line.get(4..).unwrap_or_default() } else { line };
            rest.to_owned()
        };
        let lines: Vec<String> = reply.split("\\n").map(line).collect();
        let text = lines.join("\n");
        let first = text.split_ascii_whitespace().next().unwrap_or_default();
        let is_enhanced = first.starts_with(['4', '5']) && first.matches('.').count() == 2;
        (code, if is_enhanced { first.to_owned() } else { String::new() }, text)
    }

    /// What a relay cures is known by its words, and nothing else is taken for it: never an
    /// unknown recipient, a full mailbox, content, a size or a login.
    #[test]
    fn of_known_replies_only_those_against_our_address_are_held_against_us() {
        let everybody = built_in().everybody();
        let (mut known, mut all) = (0, 0);
        for line in include_str!("../../explain/replies.tsv").lines().skip(1) {
            let [class, _, reply] = line.split('\t').collect::<Vec<_>>()[..] else { continue };
            let (code, enhanced, text) = taken_apart(reply);
            let held = everybody.held_against_us((code, &enhanced), &text);
            let cured = ["ip-blocklisted", "ip-dynamic", "reputation-low", "no-ptr"];
            if cured.contains(&class) {
                (known, all) = (known + u32::from(held.is_some()), all + 1);
            } else if code != 0 {
                // Letters and pages in which such words stand are no replies.
                assert!(held.is_none(), "{class}: {reply}");
            }
        }
        assert!(known * 10 >= all * 6, "{known} of {all}");
    }

    #[test]
    fn a_reply_that_also_speaks_of_the_recipient_is_about_the_recipient() {
        let everybody = built_in().everybody();
        let held = |reply: &str| {
            let (code, enhanced, text) = taken_apart(reply);
            everybody.held_against_us((code, &enhanced), &text)
        };
        let pbl = "Client host [192.0.2.1] blocked using zen.spamhaus.org";
        assert_eq!(held(&format!("554 5.7.1 {pbl}")), Some(Against::List));
        for lie in [
            format!("550 5.1.1 {pbl}"),
            format!("554 5.7.1 {pbl}; User unknown"),
            format!("550 No such user here, and {pbl}"),
            format!("452 4.2.2 over quota; {pbl}"),
            format!("552 5.3.4 message too large; {pbl}"),
            "554 5.7.1 Sender address <x@example.com> blocked using dbl.spamhaus.org".to_owned(),
            "550 no such user <spamhaus@example.net>".to_owned(),
        ] {
            assert_eq!(held(&lie), None, "{lie}");
        }
        let microsoft = built_in().of_hosts(&["mx.olc.protection.outlook.com"]).unwrap();
        let text = "DY-001 (SNT004) Unfortunately, messages from 192.0.2.1 weren't sent.";
        assert_eq!(microsoft.held_against_us((550, ""), text), Some(Against::Range));
        let (code, enhanced, text) = taken_apart("550 5.7.1 blocked using zen.spamhaus.org");
        assert_eq!(built_in().relays().held_against_us((code, &enhanced), &text), None);
    }

    #[test]
    fn a_folder_may_add_words_and_take_none_away() {
        let dir =
            folder(&[("google.toml", "[against]\nlist = [\"Not You\"]\nmessage = [\"but\"]\n")]);
        let all = of_folder(dir.path(), true).unwrap().unwrap();
        let google = all.named("google").unwrap();
        assert_eq!(google.held_against_us((550, ""), "not you"), Some(Against::List));
        assert_eq!(google.held_against_us((550, ""), "not you but that"), None);
        assert_eq!(google.held_against_us((550, "5.7.25"), "no name"), Some(Against::Name));
        let dir = folder(&[("google.toml", "[against]\nlists = [\"x\"]\n")]);
        let wrong = of_folder(dir.path(), true).unwrap_err();
        let told = wrong.first().unwrap().render(false, None, Language::English);
        assert!(told.contains("did you mean"), "{told}");
    }

    // Whoever turns a refusal for good into a wait says from where that is known.
    #[test]
    fn a_refusal_that_is_a_pause_names_its_source() {
        for (name, text) in FILES {
            for reply in text.split("[[reply]]").skip(1).filter(|reply| reply.contains("pause")) {
                let comment: Vec<&str> = reply.lines().filter(|l| l.starts_with('#')).collect();
                assert!(comment.concat().contains(['(', ',']), "{name}: {reply}");
            }
        }
    }

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        dir
    }

    #[test]
    fn a_folder_changes_what_it_names_and_adds_what_is_new() {
        let dir = folder(&[
            (
                "google.toml",
                "connections = 2\n[[reply]]\nsays = \"4.7.28\"\ndo = \"park\"\nfor = \"1h\"\n",
            ),
            ("school.toml", "hosts = [\"mx.school.test\"]\nrate = \"10/minute\"\n"),
            ("google.toml.bak", "nonsense"),
        ]);
        let all = of_folder(dir.path(), true).unwrap().unwrap();
        let google = all.named("google").unwrap();
        assert_eq!((google.connections, google.messages), (Some(2), Some(50)));
        let rule = google.rule((421, "4.7.28"), "slow down").unwrap();
        assert_eq!(rule.call.span().as_secs(), 3600);
        let school = all.of_hosts(&["a.mx.school.test"]).unwrap();
        assert_eq!(school.rate.unwrap().interval().as_secs(), 6);
        assert!(school.rule((451, ""), "Greylisted").is_some(), "what all say holds for it too");
    }

    #[test]
    fn what_is_wrong_is_told_by_file_line_key_and_the_nearest_key() {
        for (name, text, parts) in [
            (
                "google.toml",
                "\nconections = 2",
                &["google.toml:2", "did you mean `connections`?"][..],
            ),
            ("google.toml", "connections = 0", &["between 1 and 10000"]),
            ("google.toml", "port = 25", &["unknown key `port`", "hosts, connections"]),
            ("google.toml", "[[reply]]\nsays = \"x\"", &["what the reply calls for", "park"]),
            ("google.toml", "[[reply]]\nsays = \"x\"\ndo = \"park\"", &["`park` needs a time"]),
            ("google.toml", "[[reply]]\ndo = \"message\"", &["every reply"]),
            ("google.toml", "[[reply]]\nsays = \"x\"\ndo = \"pork\"", &["not one of the choices"]),
            ("google.toml", "[[reply]]\nsay = \"x\"", &["did you mean `says`?"]),
            ("google.toml", "[reply]\nsays = \"x\"", &["double brackets"]),
            ("google.toml", "rate = \"fast\"", &["100/minute"]),
            ("google.toml", "enforces = [\"pte\"]", &["own-ptr"]),
            ("gogle.toml", "connections = 2", &["needs `hosts`", "google.toml"]),
            ("a b.toml", "hosts = [\"x.test\"]", &["the file's name"]),
            ("default.toml", "hosts = [\"x.test\"]", &["names no hosts"]),
            ("google.toml", "connections = ", &["not valid TOML"]),
        ] {
            let dir = folder(&[(name, text)]);
            let wrong = of_folder(dir.path(), true).unwrap_err();
            let told = wrong.first().unwrap().render(false, None, Language::English);
            for part in parts {
                assert!(told.contains(part), "{text}: {part} in\n{told}");
            }
        }
    }

    #[test]
    fn a_folder_that_nobody_named_may_be_missing() {
        let missing = std::path::Path::new("/nonexistent/providers");
        assert!(of_folder(missing, false).unwrap().is_none());
        assert!(of_folder(missing, true).is_err());
    }
}
