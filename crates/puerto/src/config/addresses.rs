//! The section `[virtual]` and the domains that mail is relayed to: addresses that stand
//! for others, and who lives behind a next hop.

use std::fmt;
use std::path::PathBuf;

use puerto_smtp::{Address, Domain, LocalPart};

use super::sender::Who;
use crate::lang::{Said, said};

/// Addresses that stand for others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Virtual {
    /// Domains of ours that have no users of this machine, only entries of the table.
    pub domains: Vec<Domain>,
    /// What stands for what, in the order of the file.
    pub map: Vec<(Who, Destinations)>,
    /// A file with more entries, in Postfix's form.
    pub file: Option<PathBuf>,
}

/// Under which senders mail is sent on to other addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Srs {
    /// The domain of those senders; `None`: it keeps its own.
    pub domain: Option<Domain>,
    /// The file that holds the secret; `None`: `srs.secret` in the state directory.
    pub secret_file: Option<PathBuf>,
}

/// Where one entry of the table leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destinations(pub Vec<Destination>);

/// One target of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// An alias or a user of this machine.
    User(LocalPart),
    /// An address, of ours or elsewhere.
    Address(Address),
    /// The same local part at this domain.
    Domain(Domain),
}

/// Who lives in the domains that mail is relayed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inhabitant {
    /// This address, or everybody of this domain.
    Listed(Who),
    /// Those that this file names, one a line.
    File(PathBuf),
}

/// Where a command or a file is named as a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NamedIn {
    /// The aliases file.
    Alias,
    /// A list that it includes.
    Include,
    /// A user's `.forward`.
    Forward,
}

impl NamedIn {
    /// As the configuration names them.
    pub(super) const ALL: [(&'static str, Self); 3] =
        [("alias", Self::Alias), ("include", Self::Include), ("forward", Self::Forward)];
}

impl Destinations {
    /// Reads targets that commas or blanks separate.
    pub fn parse(text: &str) -> Result<Self, Said> {
        let mut quoted = false;
        let pieces = text.split(|character| {
            quoted ^= character == '"';
            !quoted && matches!(character, ',' | ' ' | '\t')
        });
        let pieces = pieces.filter(|piece| !piece.is_empty());
        let targets = pieces.map(Destination::parse).collect::<Result<Vec<_>, _>>()?;
        match targets.as_slice() {
            [] => Err(said!("there is no target", "falta el destino")),
            _ => Ok(Self(targets)),
        }
    }
}

impl Destination {
    /// Reads `user`, `user@domain` or `@domain`.
    pub fn parse(text: &str) -> Result<Self, Said> {
        Ok(match Who::parse(text)? {
            Who::User(name) if name.as_str().starts_with(['|', '/', ':', '\\']) => {
                return Err(said!(
                    "`{text}`: programs, files and lists stand in the aliases file: name an alias \
                     here",
                    "`{text}`: los programas, ficheros y listas van en el fichero de alias: aquí \
                     indique un alias";
                    text = text
                ));
            }
            Who::User(name) => Self::User(name),
            Who::Address(address) => Self::Address(address),
            Who::Domain(domain) => Self::Domain(domain),
        })
    }
}

impl Inhabitant {
    /// Reads an address, `@domain` or the path of a file.
    pub fn parse(text: &str) -> Result<Self, Said> {
        if text.starts_with('/') {
            return Ok(Self::File(text.into()));
        }
        match Who::parse(text)? {
            Who::User(_) => Err(said!(
                "`{text}`: write the whole address, such as `{text}@example.net`",
                "`{text}`: escriba la dirección entera, como `{text}@example.net`";
                text = text
            )),
            who => Ok(Self::Listed(who)),
        }
    }
}

/// Reads an entry's left side: `user`, `user@domain` or `@domain`.
pub(super) fn who(text: &str) -> Result<Who, Said> {
    Who::parse(text)
}

/// Reads what parts an extension from a name.
pub(super) fn delimiter(text: &str) -> Result<String, Said> {
    if text.chars().all(|c| c.is_ascii_punctuation() && !"@\\\"/|,:;<>()".contains(c)) {
        return Ok(text.to_owned());
    }
    Err(said!(
        "`{text}`: letters and digits stand in names, and cannot part them",
        "`{text}`: las letras y cifras forman parte de los nombres y no pueden separarlos";
        text = text
    ))
}

/// Reads the user that root's commands are run as.
pub(super) fn unprivileged(text: &str) -> Result<String, Said> {
    if text == "root" || text.is_empty() {
        return Err(said!(
            "`{text}`: nothing is ever run as root: name a user without rights, such as `nobody`",
            "`{text}`: nada se ejecuta jamás como root: indique un usuario sin privilegios, como \
             `nobody`";
            text = text
        ));
    }
    Ok(text.to_owned())
}

impl fmt::Display for NamedIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(_, one)| one == self).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

impl fmt::Display for Destinations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let targets: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&targets.join(", "))
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => name.fmt(f),
            Self::Address(address) => address.fmt(f),
            Self::Domain(domain) => write!(f, "@{domain}"),
        }
    }
}

impl fmt::Display for Inhabitant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listed(who) => who.fmt(f),
            Self::File(path) => path.display().fmt(f),
        }
    }
}
