//! Key files as name servers' tools write them: `tsig-keygen` and named.conf,
//! `dnssec-keygen` (`K….key` and `K….private`), and Knot's `keymgr`.

use std::path::Path;

use hickory_proto::rr::Name;
use hickory_proto::rr::rdata::tsig::TsigAlgorithm;
use puerto_smtp::base64;

use super::super::{Said, words};
use crate::dns::wire_name;
use crate::lang::system;

/// Algorithms of RFC 8945 §6 that are offered.
const OFFERED: [TsigAlgorithm; 3] =
    [TsigAlgorithm::HmacSha256, TsigAlgorithm::HmacSha384, TsigAlgorithm::HmacSha512];

/// A key that updates are signed with. The secret is never shown.
#[derive(Clone)]
pub struct Key {
    pub(super) name: Name,
    pub(super) algorithm: TsigAlgorithm,
    pub(super) secret: Vec<u8>,
}

/// Why a file is not a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyFileError {
    /// This file cannot be read, and why.
    Unreadable(String, Said),
    /// This file does not hold a key in this form.
    Malformed(String),
    /// What this file holds is for an algorithm that is not offered.
    Algorithm(String, String),
}

impl KeyFileError {
    /// What to tell the administrator.
    pub fn said(&self) -> Said {
        match self {
            Self::Unreadable(file, error) => {
                let parts = [("file", &Said::words(file)), ("error", error)];
                Said::of_parts(words::KEY_UNREADABLE, &parts)
            }
            Self::Malformed(file) => Said::plain(words::KEY_MALFORMED).put("file", file),
            Self::Algorithm(file, algorithm) => {
                Said::plain(words::KEY_ALGORITHM).put("file", file).put("algorithm", algorithm)
            }
        }
    }
}

impl Key {
    /// Reads a file that a name server's tool has written.
    pub fn load(file: &Path) -> Result<Self, KeyFileError> {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(file)
            .map_err(|error| KeyFileError::Unreadable(name.clone(), system(&error)))?;
        Self::parse(&text, &name)
    }

    /// Reads a text in any of the forms; `file` names it in errors and, as BIND names
    /// its files, the key of a `.private` one.
    pub fn parse(text: &str, file: &str) -> Result<Self, KeyFileError> {
        let malformed = || KeyFileError::Malformed(file.to_owned());
        let written = statement(text).or_else(|| record(text)).or_else(|| private(text, file));
        let Written { name, algorithm, secret } = written.ok_or_else(malformed)?;
        let known =
            OFFERED.into_iter().find(|one| algorithm.eq_ignore_ascii_case(&one.to_string()));
        let algorithm = known.ok_or_else(|| KeyFileError::Algorithm(file.to_owned(), algorithm))?;
        let secret = base64::decode(secret.as_bytes()).filter(|octets| !octets.is_empty());
        let name = wire_name(&name.trim_end_matches('.').to_ascii_lowercase());
        let (name, secret) = name.zip(secret).ok_or_else(malformed)?;
        Ok(Self { name, algorithm, secret })
    }
}

/// A key as a file has it.
struct Written {
    name: String,
    algorithm: String,
    secret: String,
}

// named.conf: `key "name" { algorithm …; secret "…"; };`. Knot says the same with
// other signs: `key: - id: name algorithm: … secret: …`.
fn statement(text: &str) -> Option<Written> {
    let mut words = words_of(text).into_iter().peekable();
    words.find(|word| word == "key")?;
    let mut name = words.next_if(|word| word != "-");
    let (mut algorithm, mut secret) = (None, None);
    while let Some(word) = words.next() {
        match word.as_str() {
            "id" => name = words.next(),
            "algorithm" => algorithm = words.next(),
            "secret" => secret = words.next(),
            "}" => break,
            _ => {}
        }
        if algorithm.is_some() && secret.is_some() {
            break;
        }
    }
    Some(Written { name: name?, algorithm: algorithm?, secret: secret? })
}

// `K….key` of `dnssec-keygen`: a KEY record.
fn record(text: &str) -> Option<Written> {
    text.lines().find_map(|line| {
        let mut fields = line.split_whitespace();
        let name = fields.next()?.to_owned();
        fields.find(|field| *field == "KEY")?;
        let algorithm = algorithm_of(fields.nth(2)?);
        Some(Written { name, algorithm, secret: fields.collect() })
    })
}

// `Kname.+163+12345.private`: the name stands in that of the file only.
fn private(text: &str, file: &str) -> Option<Written> {
    let field = |label: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(label))?;
        line.split_whitespace().next().map(str::to_owned)
    };
    let file = Path::new(file).file_name()?.to_str()?;
    let name = file.strip_prefix('K')?.split_once('+')?.0.to_owned();
    Some(Written { name, algorithm: algorithm_of(&field("Algorithm:")?), secret: field("Key:")? })
}

// BIND's numbers for keys that are not DNSSEC's.
fn algorithm_of(number: &str) -> String {
    let name = match number {
        "157" => "hmac-md5",
        "161" => "hmac-sha1",
        "162" => "hmac-sha224",
        "163" => "hmac-sha256",
        "164" => "hmac-sha384",
        "165" => "hmac-sha512",
        other => other,
    };
    name.to_owned()
}

// Comments are left out; quotes keep what stands in them together. A comment begins
// where a word could: the two slashes in the middle of a secret are none.
fn words_of(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        if word.is_empty() && rest.starts_with("/*") {
            rest = rest.split_once("*/").map_or("", |(_, rest)| rest);
            continue;
        }
        if word.is_empty() && (rest.starts_with("//") || character == '#') {
            rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
            continue;
        }
        rest = rest.get(character.len_utf8()..).unwrap_or_default();
        let mut finish = |word: &mut String| {
            if !word.is_empty() {
                words.push(std::mem::take(word));
            }
        };
        match character {
            '"' => {
                finish(&mut word);
                let (quoted, after) = rest.split_once('"').unwrap_or((rest, ""));
                words.push(quoted.to_owned());
                rest = after;
            }
            '{' | '}' => {
                finish(&mut word);
                words.push(character.to_string());
            }
            ';' | ':' => finish(&mut word),
            _ if character.is_whitespace() => finish(&mut word),
            _ => word.push(character),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({}, {})", self.name, self.algorithm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::plain;

    #[test]
    fn a_key_is_read_as_bind_writes_it() {
        for text in [
            "key \"Update.Example.\" {\n\talgorithm hmac-sha256;\n\tsecret \"c2VjcmV0\";\n};\n",
            "# made by tsig-keygen\nkey update.example{algorithm HMAC-SHA256;secret c2VjcmV0;};",
            "/* key old {\n} */ key update.example { // ours\n secret \"c2VjcmV0\"; # not \
             shown\n algorithm hmac-sha256; };",
            "# hmac-sha256:update.example:c2VjcmV0\nkey:\n- id: update.example\n  algorithm: \
             hmac-sha256\n  secret: c2VjcmV0\n",
            "; a comment\nupdate.example. IN KEY 512 3 163 c2Vj cmV0\n",
            "Private-key-format: v1.3\nAlgorithm: 163 (HMAC_SHA256)\nKey: c2VjcmV0\nBits: AAA=\n",
        ] {
            let key = Key::parse(text, "/etc/Kupdate.example.+163+12345.private").unwrap();
            assert_eq!(
                (plain(&key.name), key.algorithm.clone()),
                ("update.example".into(), TsigAlgorithm::HmacSha256)
            );
            assert_eq!(key.secret, b"secret");
            assert!(!format!("{key:?}").contains("secret"));
        }
        let malformed = KeyFileError::Malformed("file".to_owned());
        for text in [
            "",
            "key a { secret \"c2VjcmV0\"; };",
            "key a { algorithm hmac-sha256; secret \"!\"; };",
        ] {
            assert_eq!(Key::parse(text, "file").unwrap_err(), malformed, "{text}");
        }
        let slashes = "key a { algorithm hmac-sha256; secret a//b; };";
        assert_eq!(Key::parse(slashes, "file").unwrap().secret, [0x6b, 0xff, 0xdb]);
        let old = Key::parse("key a { algorithm hmac-md5; secret \"c2VjcmV0\"; };", "file");
        assert!(matches!(old, Err(KeyFileError::Algorithm(..))));
    }
}
