//! What a cause may be about: each says itself in both languages, and is kept as JSON.

use std::borrow::Cow;
use std::io;
use std::net::IpAddr;

use nix::errno::Errno;
use puerto_mail::dns::DnsError;
use puerto_smtp::address::AddressError;
use puerto_smtp::client::{AuthUnavailable, Stage};
use puerto_smtp::reply::ReplyError;
use puerto_spool::SpoolError;
use serde::{Deserialize, Serialize};

use super::Cause;
use crate::lang::{self, Language, Said, Text};

/// Something that is put into the words of a cause.
pub trait Field {
    /// In one language.
    fn said_in(&self, language: Language) -> Cow<'_, str>;
}

/// A name, an address, a reply: the same in every language.
impl Field for String {
    fn said_in(&self, _: Language) -> Cow<'_, str> {
        Cow::Borrowed(self)
    }
}

macro_rules! fields {
    ($($kind:ty: |$value:ident, $language:ident| $said:expr;)*) => {$(
        impl Field for $kind {
            fn said_in(&self, $language: Language) -> Cow<'_, str> {
                let $value = self;
                Cow::Owned($said)
            }
        }
    )*};
}

fields! {
    u64: |number, _language| number.to_string();
    IpAddr: |address, _language| address.to_string();
    Box<Cause>: |cause, language| cause.in_language(language);
    DescribedAddress: |address, language| address.0.described(language);
    DnsError: |error, language| lang::dns_error(error).of(language);
    ReplyError: |error, language| lang::reply_error(error).of(language);
    SpoolError: |error, language| lang::spool_error(error).of(language);
    AddressError: |error, language| lang::address_error(error).of(language);
}

/// Several, one behind the other.
impl Field for Vec<Cause> {
    fn said_in(&self, language: Language) -> Cow<'_, str> {
        let all: Vec<String> = self.iter().map(|cause| cause.in_language(language)).collect();
        Cow::Owned(all.join("; "))
    }
}

/// Words of others, which have no other language: a sentence among them is quoted where
/// another is spoken.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Words(pub String);

impl Field for Words {
    fn said_in(&self, language: Language) -> Cow<'_, str> {
        match language {
            Language::English => Cow::Borrowed(&self.0),
            Language::Spanish => Cow::Owned(lang::quoted(&self.0).of(language)),
        }
    }
}

/// What was said in both languages where it was found out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spoken {
    en: String,
    es: String,
}

impl Spoken {
    /// What is said, without its parts.
    pub fn of(said: &Said) -> Self {
        Self { en: said.of(Language::English), es: said.of(Language::Spanish) }
    }
}

impl Field for Spoken {
    fn said_in(&self, language: Language) -> Cow<'_, str> {
        Cow::Borrowed(match language {
            Language::English => &self.en,
            Language::Spanish => &self.es,
        })
    }
}

/// An error of the operating system, or of the library that stands before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SystemError {
    /// By its number.
    #[serde(rename = "errno")]
    Number(i32),
    /// One that has none, by its kind as [`io::ErrorKind`] calls it, and its words.
    #[serde(rename = "error")]
    Kind(String, String),
    /// What this program has said where a function gives errors of that kind.
    #[serde(rename = "cause")]
    Ours(Box<Cause>),
}

impl From<&io::Error> for SystemError {
    fn from(error: &io::Error) -> Self {
        let ours = error.get_ref().and_then(|inner| inner.downcast_ref::<Cause>());
        match (error.raw_os_error(), ours) {
            (_, Some(cause)) => Self::Ours(Box::new(cause.clone())),
            (Some(number), None) => Self::Number(number),
            (None, None) => Self::Kind(format!("{:?}", error.kind()), error.to_string()),
        }
    }
}

impl From<io::Error> for SystemError {
    fn from(error: io::Error) -> Self {
        Self::from(&error)
    }
}

impl SystemError {
    /// In both languages.
    pub fn said(&self) -> Said {
        Said::of_both(|language| self.said_in(language).into_owned())
    }
}

impl Field for SystemError {
    fn said_in(&self, language: Language) -> Cow<'_, str> {
        Cow::Owned(match self {
            Self::Number(number) => lang::of_number(*number).of(language),
            Self::Ours(cause) => cause.in_language(language),
            Self::Kind(kind, words) => lang::of_kind(kind, words).of(language),
        })
    }
}

/// The same without its number, as Postfix's log has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BareSystemError(SystemError);

impl From<&io::Error> for BareSystemError {
    fn from(error: &io::Error) -> Self {
        Self(match error.kind() {
            io::ErrorKind::TimedOut => SystemError::Number(Errno::ETIMEDOUT as i32),
            _ => error.into(),
        })
    }
}

impl BareSystemError {
    /// Which error it is, where the system has a number for it.
    pub fn errno(&self) -> Option<Errno> {
        match &self.0 {
            SystemError::Number(number) => Some(Errno::from_raw(*number)),
            _ => None,
        }
    }
}

impl Field for BareSystemError {
    fn said_in(&self, language: Language) -> Cow<'_, str> {
        match &self.0 {
            SystemError::Number(number) => Cow::Owned(lang::bare(*number).of(language)),
            other => other.said_in(language),
        }
    }
}

/// What an address that is not for the whole Internet is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AddressKind {
    /// No address: as a destination, this machine.
    Unspecified,
    /// This machine.
    Loopback,
    /// A network of one's own (RFC 1918, RFC 4193), or a provider's behind its
    /// translator (RFC 6598).
    Private,
    /// One link only.
    LinkLocal,
    /// Many machines.
    Multicast,
    /// Tests of network devices, which may stand in any network.
    Benchmarking,
    /// A translator's or a tunnel's own, behind which any address may lie: 6to4
    /// (RFC 3056), Teredo, local NAT64 (RFC 6052).
    Translated,
    /// Nobody's, or a protocol's.
    Reserved,
}

impl AddressKind {
    /// The word with "address".
    pub const fn word(self) -> Text {
        match self {
            Self::Unspecified => Text::new("unspecified", "indeterminada"),
            Self::Loopback => Text::new("loopback", "de bucle local"),
            Self::Private => Text::new("private", "privada"),
            Self::LinkLocal => Text::new("link-local", "de enlace local"),
            Self::Multicast => Text::new("multicast", "de multidifusión"),
            Self::Benchmarking => Text::new("benchmarking", "de pruebas de red"),
            Self::Translated => Text::new("translated", "traducida"),
            Self::Reserved => Text::new("reserved", "reservada"),
        }
    }

    /// What such an address is: `a private address`.
    pub fn described(self, language: Language) -> String {
        let text = match self {
            Self::Unspecified => Text::new("an {kind} address", "una dirección {kind}"),
            _ => Text::new("a {kind} address", "una dirección {kind}"),
        };
        text.with(language, &[("kind", self.word().of(language))])
    }
}

impl Field for AddressKind {
    fn said_in(&self, language: Language) -> Cow<'_, str> {
        Cow::Borrowed(self.word().of(language))
    }
}

/// A kind of address with its noun: "a private address".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DescribedAddress(pub AddressKind);

/// What was under way.
impl Field for Stage {
    fn said_in(&self, language: Language) -> Cow<'_, str> {
        if language == Language::English {
            return Cow::Borrowed(self.activity());
        }
        Cow::Borrowed(lang::stage(*self))
    }
}

/// The command that a reply at a stage answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Command(pub Stage);

impl Field for Command {
    fn said_in(&self, language: Language) -> Cow<'_, str> {
        match language {
            Language::English => self.0.command(),
            Language::Spanish => Cow::Borrowed(lang::command(self.0)),
        }
    }
}

impl Field for AuthUnavailable {
    fn said_in(&self, language: Language) -> Cow<'_, str> {
        if language == Language::English {
            return Cow::Owned(self.to_string());
        }
        match self {
            Self::NotEncrypted => {
                Cow::Borrowed("por una conexión sin TLS no se envía ninguna contraseña")
            }
            Self::NoMechanism(offered) if offered.is_empty() => {
                Cow::Borrowed("el servidor no ofrece AUTH")
            }
            Self::NoMechanism(offered) => Cow::Owned(format!(
                "el servidor no ofrece AUTH PLAIN ni LOGIN, sino {}",
                offered.join(" ")
            )),
        }
    }
}
