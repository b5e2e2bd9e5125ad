//! The messages of SCRAM (RFC 5802, RFC 7677) as the server reads and writes them. What is
//! computed with them (keys, signatures) is not done here.

use std::fmt;

use crate::base64;

/// Why a message of SCRAM is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScramFault {
    /// It is not well formed.
    Malformed,
    /// It asks for an extension that must not be passed over, and nobody here knows it.
    Extension,
    /// Somebody wants to act for another than they are.
    OtherIdentity,
    /// It belongs to another exchange.
    Nonce,
    /// It is not bound to this connection, or another was told what we offer: somebody
    /// stands in between.
    Binding,
}

impl fmt::Display for ScramFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "malformed SCRAM message",
            Self::Extension => "unknown SCRAM extension",
            Self::OtherIdentity => "authorization identity differs from the user",
            Self::Nonce => "SCRAM message of another exchange",
            Self::Binding => "channel binding does not match: is somebody in between?",
        })
    }
}

impl std::error::Error for ScramFault {}

/// What a client says of channel binding (RFC 5802 §6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Binding {
    /// It knows none.
    Unknown,
    /// It would use it, and takes it that the server would not.
    NotOffered,
    /// It uses the one of this name.
    Used(String),
}

/// The first message of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFirst {
    /// Who it says to be.
    pub user: String,
    /// How it is bound.
    pub binding: Binding,
    /// The part that the proof does not cover, to be repeated later in Base64.
    header: String,
    /// The part that it covers.
    bare: String,
    nonce: String,
}

impl ClientFirst {
    /// Reads it: `n,,n=user,r=nonce`. Whether two names are one person's is for `are_one` to say.
    pub fn parse(message: &[u8], are_one: impl Fn(&str, &str) -> bool) -> Result<Self, ScramFault> {
        let text = std::str::from_utf8(message).map_err(|_| ScramFault::Malformed)?;
        let mut parts = text.splitn(3, ',');
        let mut part = || parts.next().ok_or(ScramFault::Malformed);
        let (flag, acting_for, bare) = (part()?, part()?, part()?);
        let binding = match flag {
            "n" => Binding::Unknown,
            "y" => Binding::NotOffered,
            flag => Binding::Used(value(flag, "p=")?.to_owned()),
        };
        if bare.starts_with("m=") {
            return Err(ScramFault::Extension);
        }
        let mut attributes = bare.split(',');
        let mut attribute = |name| value(attributes.next().unwrap_or_default(), name);
        let user = unescape(attribute("n=")?)?;
        let nonce = attribute("r=")?;
        if !nonce.bytes().all(|octet| octet.is_ascii_graphic()) {
            return Err(ScramFault::Malformed);
        }
        let user = super::user_name(user.as_bytes()).ok_or(ScramFault::Malformed)?;
        if !acting_for.is_empty() {
            let acting_for = unescape(value(acting_for, "a=")?)?;
            if !are_one(&acting_for, &user) {
                return Err(ScramFault::OtherIdentity);
            }
        }
        let header = format!("{flag},{acting_for},");
        Ok(Self { user, binding, header, bare: bare.to_owned(), nonce: nonce.to_owned() })
    }

    /// What to ask in return, with a nonce of ours in printable ASCII without commas.
    pub fn challenge(self, nonce: &str, salt: &[u8], iterations: u32) -> Exchange {
        let nonce = format!("{}{nonce}", self.nonce);
        let challenge = format!("r={nonce},s={},i={iterations}", base64::encode(salt));
        Exchange { first: self, nonce, challenge }
    }
}

/// An exchange between its two messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    first: ClientFirst,
    nonce: String,
    challenge: String,
}

/// What a client offers as proof. Its `Debug` form shows none of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Proof {
    /// Who.
    pub user: String,
    /// ClientProof.
    pub proof: Vec<u8>,
    /// AuthMessage, which the signatures cover.
    pub message: String,
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proof").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Exchange {
    /// The server's first message.
    pub fn challenge(&self) -> &str {
        &self.challenge
    }

    /// How the client is bound.
    pub fn binding(&self) -> &Binding {
        &self.first.binding
    }

    /// Reads the client's final message, `c=biws,r=nonce,p=proof`. `bound` is what its
    /// binding has to be on this connection, empty where it uses none.
    pub fn finish(&self, message: &[u8], bound: &[u8]) -> Result<Proof, ScramFault> {
        let text = std::str::from_utf8(message).map_err(|_| ScramFault::Malformed)?;
        let (covered, proof) = text.rsplit_once(",p=").ok_or(ScramFault::Malformed)?;
        let mut attributes = covered.split(',');
        let mut attribute = |name| value(attributes.next().unwrap_or_default(), name);
        let channel = attribute("c=")?;
        let nonce = attribute("r=")?;
        if nonce != self.nonce {
            return Err(ScramFault::Nonce);
        }
        let expected = [self.first.header.as_bytes(), bound].concat();
        if base64::decode(channel.as_bytes()).as_deref() != Some(&*expected) {
            return Err(ScramFault::Binding);
        }
        let proof = base64::decode(proof.as_bytes()).ok_or(ScramFault::Malformed)?;
        let message = format!("{},{},{covered}", self.first.bare, self.challenge);
        Ok(Proof { user: self.first.user.clone(), proof, message })
    }
}

fn value<'a>(attribute: &'a str, name: &str) -> Result<&'a str, ScramFault> {
    let value = attribute.strip_prefix(name).filter(|value| !value.is_empty());
    value.ok_or(ScramFault::Malformed)
}

// `=2C` and `=3D` stand for a comma and an equals sign (RFC 5802 §5.1).
fn unescape(name: &str) -> Result<String, ScramFault> {
    let mut parts = name.split('=');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (mark, rest) = part.split_at_checked(2).ok_or(ScramFault::Malformed)?;
        out.push(match mark.to_ascii_uppercase().as_str() {
            "2C" => ',',
            "3D" => '=',
            _ => return Err(ScramFault::Malformed),
        });
        out.push_str(rest);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::super::tests::are_one;
    use super::*;

    const NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    const FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                         p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

    fn exchange(first: &str) -> Exchange {
        let salt = base64::decode(b"W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        ClientFirst::parse(first.as_bytes(), are_one).unwrap().challenge(NONCE, &salt, 4096)
    }

    #[test]
    fn the_exchange_of_rfc_7677_section_3() {
        let exchange = exchange("n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let challenge = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                         s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        assert_eq!(exchange.challenge(), challenge);
        let proof = exchange.finish(FINAL.as_bytes(), b"").unwrap();
        assert_eq!((proof.user.as_str(), proof.proof.len()), ("user", 32));
        let covered = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        assert_eq!(proof.message, format!("n=user,r=rOprNGfwEbeRWgbNEkqO,{challenge},{covered}"));
    }

    #[test]
    fn names_are_unescaped_and_other_messages_are_none() {
        for (message, user) in [
            ("n,,n=a=2Cb=3dc,r=x", Ok("a,b=c")),
            ("y,a=Ana,n=ana,r=x", Ok("ana")),
            ("n,a=ana@ours,n=ana,r=x", Ok("ana")),
            ("p=tls-exporter,,n=ana,r=x,ext=1", Ok("ana")),
            ("n,a=root,n=ana,r=x", Err(ScramFault::OtherIdentity)),
            ("n,,m=1,n=ana,r=x", Err(ScramFault::Extension)),
            ("n,,n=a=2,r=x", Err(ScramFault::Malformed)),
            ("n,,n=a=41,r=x", Err(ScramFault::Malformed)),
            ("n,,n=ana,r=", Err(ScramFault::Malformed)),
            ("n,,n=,r=x", Err(ScramFault::Malformed)),
            ("n,,r=x,n=ana", Err(ScramFault::Malformed)),
            ("p=,,n=ana,r=x", Err(ScramFault::Malformed)),
            ("q,,n=ana,r=x", Err(ScramFault::Malformed)),
            ("n,n=ana,r=x", Err(ScramFault::Malformed)),
            ("n,,n=ana,r=a\u{7f}", Err(ScramFault::Malformed)),
            ("", Err(ScramFault::Malformed)),
        ] {
            let parsed = ClientFirst::parse(message.as_bytes(), are_one).map(|first| first.user);
            assert_eq!(parsed.as_deref().map_err(|fault| *fault), user, "{message}");
        }
    }

    #[test]
    fn an_answer_belongs_to_its_exchange_and_its_connection() {
        let plain = exchange("n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        for (message, fault) in [
            (FINAL.replace("k0,p", "k1,p"), ScramFault::Nonce),
            (FINAL.replace("r=rOpr", "r=ropr"), ScramFault::Nonce),
            // The header of "y,," and of a binding, where the first message had "n,,".
            (FINAL.replace("biws", "eSws"), ScramFault::Binding),
            (FINAL.replace("biws", "cD10bHMtZXhwb3J0ZXIsLA=="), ScramFault::Binding),
            (FINAL.replace(",p=", ",q="), ScramFault::Malformed),
            (FINAL.replace("VQ=", "V!="), ScramFault::Malformed),
            ("*".to_owned(), ScramFault::Malformed),
        ] {
            assert_eq!(plain.finish(message.as_bytes(), b""), Err(fault), "{message}");
        }
        let bound = exchange("p=tls-exporter,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let channel = base64::encode(b"p=tls-exporter,,0123");
        let answer = FINAL.replace("biws", &channel);
        assert!(bound.finish(answer.as_bytes(), b"0123").is_ok());
        for other in [&b"0124"[..], b"", b"01230"] {
            assert_eq!(bound.finish(answer.as_bytes(), other), Err(ScramFault::Binding));
        }
    }
}
