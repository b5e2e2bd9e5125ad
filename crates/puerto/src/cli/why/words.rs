//! What the log says of a message's beginning, in words for people. What this version does not
//! know stays as it was written.

use nix::unistd::{Uid, User};

use crate::bounce::Kind;
use crate::cli::output::printable;
use crate::history::fact::{Changed, Fact, Ready};
use crate::lang::{Said, Text, quoted, said, said_of};

/// What a program said of itself: `executable`, `directory`.
pub(super) fn claim(name: &str, value: &str) -> Said {
    let text = match name {
        "executable" => Text::new("executable {value}", "ejecutable {value}"),
        "script" => Text::new("script {value}", "programa {value}"),
        "directory" => Text::new("directory {value}", "carpeta {value}"),
        "dropped" => Text::new("left at {value}", "dejado el {value}"),
        "pid" => Text::new("process {value}", "proceso {value}"),
        "unit" => Text::new("unit {value}", "unidad {value}"),
        "parents" => Text::new("started by {value}", "iniciado por {value}"),
        other => return Said::words(format!("{} {value}", printable(other))),
    };
    Said::with(text, &[("value", &*printable(value))])
}

/// What kind of notification it is.
pub(super) fn notification(kind: &str) -> Said {
    let known = [Kind::Failed, Kind::Delayed, Kind::Delivered];
    Said::plain(match known.into_iter().find(|known| known.log_name() == kind) {
        Some(Kind::Failed) => Text::new("notice of non-delivery", "aviso de que no se entregó"),
        Some(Kind::Delayed) => Text::new("notice of delay", "aviso de retraso"),
        Some(Kind::Delivered) => Text::new("notice of delivery", "aviso de entrega"),
        None => return quoted(&printable(kind)),
    })
}

/// What kind of complaint it is (RFC 5965 §3.1 and its registry), and what it asks for.
pub(super) fn complaint(kind: &str) -> Said {
    let meaning = match kind.to_ascii_lowercase().as_str() {
        "abuse" => Text::new(
            "its reader called it spam: write there no more",
            "quien lo leyó lo marcó como correo basura: no le escriba más",
        ),
        "opt-out" => Text::new(
            "its reader wants no more of it: write there no more",
            "quien lo leyó no quiere más: no le escriba más",
        ),
        "fraud" => Text::new("it was taken for fraud", "se tomó por un fraude"),
        "virus" => Text::new("a virus was found in it", "se encontró un virus en él"),
        "not-spam" => Text::new(
            "it was no spam, its reader says",
            "no era correo basura, según quien lo leyó",
        ),
        "auth-failure" => {
            Text::new("it did not pass SPF, DKIM or DMARC there", "no pasó allí SPF, DKIM o DMARC")
        }
        _ => return quoted(&printable(kind)),
    };
    let kind = Said::words(format!("{}: ", printable(kind)));
    Said::joined([&kind, &Said::plain(meaning)], "")
}

/// Who handed it over.
pub(super) fn came(origin: &Fact) -> Said {
    match origin {
        Fact::FromLocalUser { uid, pid, unit, parents, claimed, .. } => {
            let name = User::from_uid(Uid::from_raw(*uid)).ok().flatten();
            let name = name.map_or_else(|| "?".to_owned(), |user| user.name);
            let mut said = vec![said!(
                "from the local user {name} (uid {uid})",
                "del usuario local {name} (uid {uid})"; name = name, uid = uid
            )];
            said.extend(pid.map(|pid| said!("process {pid}", "proceso {pid}"; pid = pid)));
            said.extend(
                unit.as_ref()
                    .map(|unit| said!("of the unit {unit}", "de la unidad {unit}"; unit = unit)),
            );
            if !parents.is_empty() {
                let parents = parents.join(" < ");
                said.push(said!(
                    "started by {parents}", "iniciado por {parents}"; parents = parents
                ));
            }
            let claims: Vec<Said> =
                claimed.iter().map(|(name, value)| claim(name, value)).collect();
            if !claims.is_empty() {
                said.push(said_of!(
                    "by its own account {claims}", "según él mismo {claims}";
                    claims = Said::joined(&claims, ", ")
                ));
            }
            Said::joined(&said, "; ")
        }
        Fact::FromClient { client_name, client_address, helo, protocol, tls, login } => {
            let address = client_address.as_deref().unwrap_or("?");
            let name = client_name.as_deref().unwrap_or("unknown");
            let client = format!("{name}[{address}]");
            let mut said = said!(
                "by {protocol} from {client}, which called itself {helo}",
                "por {protocol} desde {client}, que se presentó como {helo}";
                protocol = protocol, client = client, helo = helo
            );
            if let Some(login) = login {
                let of =
                    said!(", logged in as {login}", ", identificado como {login}"; login = login);
                said = Said::joined([&said, &of], "");
            }
            let tls = match tls {
                // The log's form of what both sides agreed on.
                Some(tls) => {
                    let mut words = tls.split_whitespace();
                    match (words.next(), words.last()) {
                        (Some(version), Some(cipher)) => said!(
                            ", over {version} with cipher {cipher}", ", con {version} con {cipher}";
                            version = version, cipher = cipher
                        ),
                        _ => said!(", over {tls}", ", con {tls}"; tls = tls),
                    }
                }
                None => said!(", without TLS", ", sin TLS"),
            };
            Said::joined([&said, &tls], "")
        }
        Fact::NotificationOf { kind, about } => said_of!(
            "from this server: {kind} about {about}",
            "de este servidor: {kind} sobre {about}";
            kind = notification(kind), about = Said::words(printable(about))
        ),
        _ => Said::default(),
    }
}

/// What was changed in it.
pub(super) fn changes(ready: &Ready) -> Said {
    let all: Vec<Said> = ready.changes.iter().map(change).collect();
    match all.as_slice() {
        [] => said!("nothing", "ninguno"),
        all => Said::joined(all, "; "),
    }
}

fn change(change: &Changed) -> Said {
    let of = change.of.as_deref().unwrap_or_default();
    match change.what.as_str() {
        "added" => said!("{of} added", "{of} añadido"; of = of),
        "rewritten" => said!("{of} rewritten", "{of} reescrito"; of = of),
        "dropped" => said!("{of} taken out", "{of} quitado"; of = of),
        "sender" => said!(
            "the envelope's sender was <{of}>", "el remitente del sobre era <{of}>"; of = of
        ),
        "line-ends" => said!(
            "line ends made CRLF, which stood alone as CR or LF",
            "finales de línea convertidos en CRLF: había CR o LF sueltos"
        ),
        "nuls" => said!(
            "{of} NULs taken out of the header", "{of} NUL quitados de la cabecera"; of = of
        ),
        "body" => said!("body encoded to be sendable", "cuerpo codificado para poder enviarlo"),
        other => Said::words(format!("{} {}", printable(other), printable(of))),
    }
}

/// By which keys it was signed, or why by none.
pub(super) fn signed(ready: &Ready) -> Said {
    let domain = ready.unsigned_domain.as_deref().unwrap_or_default();
    let all: Vec<Said> = ready
        .signed
        .iter()
        .map(|one| {
            said!(
                "for {domain} with the key {selector} ({algorithm})",
                "por {domain} con la clave {selector} ({algorithm})";
                domain = one.domain, selector = one.selector, algorithm = one.algorithm
            )
        })
        .collect();
    match (all.as_slice(), ready.unsigned.as_deref()) {
        ([], Some("not-ours")) => {
            said!("no: it is not mail of ours that goes out", "no: no es correo nuestro que salga")
        }
        ([], Some("no-author")) => said!(
            "no: its From has no address whose domain could sign",
            "no: su From no tiene ninguna dirección cuyo dominio pueda firmar"
        ),
        ([], Some("no-key")) => said!(
            "no: there is no key for {domain}; `puerto dkim new {domain}` makes one",
            "no: no hay clave para {domain}; `puerto dkim new {domain}` crea una"; domain = domain
        ),
        ([], _) => said!("no: see below", "no: véase abajo"),
        (all, _) => Said::joined(all, "; "),
    }
}

#[cfg(test)]
mod tests {
    use super::complaint;
    use crate::lang::Language;

    /// By the word `abuse`, it was explained as a poor reputation.
    #[test]
    fn a_complaint_is_what_its_kind_says() {
        let said = complaint("abuse");
        assert!(said.of(Language::English).starts_with("abuse: its reader called it spam"));
        assert!(said.of(Language::Spanish).starts_with("abuse: quien lo leyó"));
        for kind in ["opt-out", "Fraud", "virus", "not-spam", "auth-failure"] {
            let said = complaint(kind);
            assert_ne!(said.of(Language::English), said.of(Language::Spanish), "{kind}");
        }
        assert_eq!(complaint("other").of(Language::English), "other");
    }
}
