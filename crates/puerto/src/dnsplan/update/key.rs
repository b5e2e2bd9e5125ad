//! Key files in the form that BIND writes: `key "name" { algorithm …; secret "…"; };`

use std::path::Path;

use puerto_smtp::base64;

use super::super::{Said, words};

/// A key that updates are signed with. The secret is never shown.
#[derive(Clone)]
pub struct Key {
    /// Its name, lower case, without a trailing dot.
    pub name: String,
    pub(super) algorithm: Algorithm,
    pub(super) secret: Vec<u8>,
}

/// Algorithms of RFC 8945 §6 that are offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Sha256,
    Sha384,
    Sha512,
}

impl Algorithm {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "hmac-sha256",
            Self::Sha384 => "hmac-sha384",
            Self::Sha512 => "hmac-sha512",
        }
    }
}

/// Why a file is not a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyFileError {
    /// It cannot be read.
    Unreadable {
        /// The file.
        file: String,
        /// Why.
        error: String,
    },
    /// It does not hold a key in this form.
    Malformed {
        /// The file.
        file: String,
    },
    /// Its algorithm is not offered.
    Algorithm {
        /// The file.
        file: String,
        /// The algorithm.
        algorithm: String,
    },
}

impl KeyFileError {
    /// What to tell the administrator.
    pub fn said(&self) -> Said {
        match self {
            Self::Unreadable { file, error } => {
                Said::plain(words::KEY_UNREADABLE).put("file", file).put("error", error)
            }
            Self::Malformed { file } => Said::plain(words::KEY_MALFORMED).put("file", file),
            Self::Algorithm { file, algorithm } => {
                Said::plain(words::KEY_ALGORITHM).put("file", file).put("algorithm", algorithm)
            }
        }
    }
}

impl Key {
    /// Reads a file.
    pub fn load(file: &Path) -> Result<Self, KeyFileError> {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(file).map_err(|error| KeyFileError::Unreadable {
            file: name.clone(),
            error: error.to_string(),
        })?;
        Self::parse(&text, &name)
    }

    /// Reads a text; `file` names it in errors.
    pub fn parse(text: &str, file: &str) -> Result<Self, KeyFileError> {
        let malformed = || KeyFileError::Malformed { file: file.to_owned() };
        let words = words_of(text);
        let mut words = words.iter().map(String::as_str);
        words.find(|word| *word == "key").ok_or_else(malformed)?;
        let name = words.next().ok_or_else(malformed)?;
        let (mut algorithm, mut secret) = (None, None);
        while let Some(word) = words.next() {
            match word {
                "algorithm" => algorithm = words.next(),
                "secret" => secret = words.next(),
                "}" => break,
                _ => {}
            }
        }
        let (algorithm, secret) = algorithm.zip(secret).ok_or_else(malformed)?;
        let offered = [Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512];
        let known = offered.into_iter().find(|one| algorithm.eq_ignore_ascii_case(one.name()));
        let algorithm = known.ok_or_else(|| KeyFileError::Algorithm {
            file: file.to_owned(),
            algorithm: algorithm.to_owned(),
        })?;
        let secret = base64::decode(secret.as_bytes()).filter(|octets| !octets.is_empty());
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        Ok(Self { name, algorithm, secret: secret.ok_or_else(malformed)? })
    }
}

// Comments are left out; quotes keep what stands in them together.
fn words_of(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for line in text.lines() {
        let line = if line.trim_start().starts_with("//") { "" } else { line };
        let line = if line.trim_start().starts_with('#') { "" } else { line };
        let spaced = line.replace(['"', ';'], " ").replace('{', " { ").replace('}', " } ");
        words.extend(spaced.split_whitespace().map(str::to_owned));
    }
    words
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({}, {})", self.name, self.algorithm.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_bind_writes_it() {
        for text in [
            "key \"Update.Example.\" {\n\talgorithm hmac-sha256;\n\tsecret \"c2VjcmV0\";\n};\n",
            "# made by tsig-keygen\nkey update.example{algorithm HMAC-SHA256;secret c2VjcmV0;};",
        ] {
            let key = Key::parse(text, "file").unwrap();
            assert_eq!((key.name.as_str(), key.algorithm), ("update.example", Algorithm::Sha256));
            assert_eq!(key.secret, b"secret");
            assert!(!format!("{key:?}").contains("secret"));
        }
        let malformed = KeyFileError::Malformed { file: "file".to_owned() };
        for text in [
            "",
            "key a { secret \"c2VjcmV0\"; };",
            "key a { algorithm hmac-sha256; secret \"!\"; };",
        ] {
            assert_eq!(Key::parse(text, "file").unwrap_err(), malformed, "{text}");
        }
        let old = Key::parse("key a { algorithm hmac-md5; secret \"c2VjcmV0\"; };", "file");
        assert!(matches!(old, Err(KeyFileError::Algorithm { .. })));
    }
}
