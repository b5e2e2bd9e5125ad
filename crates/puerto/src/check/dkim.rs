//! DKIM: is each key published, is it the one that we sign with, and does a signature
//! made with it verify?

mod definitions;

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use puerto_mail::dkim::{
    self, Algorithm, BodyHasher, Canonicalization, DkimResult, PublicKey, RecordError, SigningKey,
    SigningTime, zone_file_text,
};
use puerto_mail::dmarc::{self, Alignment, Authenticated};
use puerto_mail::dns::{DnsError, RecordType};
use puerto_mail::header::Header;

use super::context::Context;
use super::outcome::{Check, Definition, Draft, Family};
use super::world::World;
use crate::finding::Severity;
use crate::lang::{Said, Text};
use definitions::{
    ALIGNMENT, CHUNKS, CNAME, ED25519_DUAL, KEY_MATCH, KEY_PERMS, KEY_SIZE, MULTIPLE,
    RECORD_EXISTS, REVOKED, ROTATION, SELFTEST, SYNTAX, TESTING,
};
use puerto_mail::together::together;

pub(super) static FAMILY: Family = Family {
    name: "dkim",
    title: Text::same("DKIM"),
    is_of_machine: false,
    checks: &[
        &KEY_PERMS,
        &RECORD_EXISTS,
        &MULTIPLE,
        &CHUNKS,
        &CNAME,
        &REVOKED,
        &SYNTAX,
        &KEY_MATCH,
        &KEY_SIZE,
        &TESTING,
        &SELFTEST,
        &ALIGNMENT,
        &ED25519_DUAL,
        &ROTATION,
    ],
};

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

pub(super) async fn run<W: World>(context: &Context<'_, W>) -> Vec<Check> {
    let mut checks = key_files(context);
    if context.keys.is_empty() {
        checks.push(no_key(context, &checks));
        return checks;
    }
    let of_keys = together(context.keys.iter().map(|key| of_key(context, key))).await;
    checks.extend(of_keys.concat());
    checks.push(dual(context));
    checks
}

fn key_files<W: World>(context: &Context<'_, W>) -> Vec<Check> {
    let directory = context.key_directory.display();
    if context.key_problems.is_empty() {
        let draft = context.about(&KEY_PERMS, directory).with("count", context.keys.len());
        return vec![draft.pass(Text::by_count(
            context.keys.len(),
            Text::new("1 key", "1 clave"),
            Text::new("{count} keys", "{count} claves"),
        ))];
    }
    let problems = context.key_problems.iter().map(|problem| {
        let draft = context.about(&KEY_PERMS, &directory).with_said("problem", problem);
        // That we may not look says nothing about the server, which runs as another.
        if problem.to_string().contains("ermission denied") {
            return draft.remedy(("Run it as root", "Ejecútelo como root")).unknown("{problem}");
        }
        draft.finding(
            "{problem}",
            ("a key file that can be used", "un fichero de clave que se pueda usar"),
            (
                "chmod 640 the file and give it to root and the group puerto, or make a new key: \
                 puerto dkim new",
                "chmod 640 al fichero y déselo a root y al grupo puerto, o cree otra clave: puerto \
                 dkim new",
            ),
        )
    });
    problems.collect()
}

fn no_key<W: World>(context: &Context<'_, W>, files: &[Check]) -> Check {
    let unreadable = files.iter().any(|check| check.status != super::Status::Pass);
    let others = &context.other_key_domains;
    let definition = if others.is_empty() { &RECORD_EXISTS } else { &ALIGNMENT };
    let draft = context
        .about(definition, &context.domain)
        .with("directory", context.key_directory.display())
        .with("others", others.join(", "));
    let remedy = Text::new(
        "puerto dkim new {subject}, publish the record that it prints, reload the server",
        "puerto dkim new {subject}, publique el registro que escribe y recargue el servidor",
    );
    if unreadable {
        return draft.skipped(&KEY_PERMS);
    }
    if !others.is_empty() {
        return draft.finding(
            (
                "there are keys for {others} only: mail from {subject} is not signed",
                "solo hay claves de {others}: el correo de {subject} no se firma",
            ),
            ("a key for {subject}", "una clave de {subject}"),
            remedy,
        );
    }
    // The relayhost may sign in our name.
    let severity = if context.relay.is_some() { Severity::Warning } else { Severity::Error };
    draft.severity(severity).finding(
        (
            "no key below {directory}: mail is not signed",
            "no hay claves en {directory}: el correo no se firma",
        ),
        ("a key for {subject}", "una clave de {subject}"),
        remedy,
    )
}

async fn of_key<W: World>(context: &Context<'_, W>, key: &SigningKey) -> Vec<Check> {
    let name = key.record_name();
    let record = key.key.record_text();
    let (texts, alias) = tokio::join!(context.texts(&name), context.alias(&name));
    let target = alias.as_ref().ok().and_then(Option::as_deref);
    let line = format!("{name}. IN TXT ( {} )", zone_file_text(&record));
    let line = context.to_publish(target, &line);
    let draft = |definition| {
        context.asking(definition, &name, (&name, RecordType::Txt)).with_said("line", &line)
    };
    let asked = context.question(&name, RecordType::Cname);
    let alias = alias_leads(draft(&CNAME).asked(asked), alias.clone(), texts.as_ref().ok());
    let mut checks = match texts {
        Ok(texts) => published(&draft, &record, &texts),
        Err(error) => {
            let mut checks = vec![draft(&RECORD_EXISTS).no_answer(&error)];
            checks.extend(
                rest_after(&RECORD_EXISTS).map(|check| draft(check).skipped(&RECORD_EXISTS)),
            );
            checks
        }
    };
    checks.extend([alias, size(context, key)]);
    checks.push(aligned(context, key).await);
    checks.push(age(context, key));
    let broken = checks.iter().find(|check| {
        check.definition != &ALIGNMENT && check.severity == Severity::Error && check.is_wrong()
    });
    let known = !checks
        .iter()
        .any(|check| check.id() == RECORD_EXISTS.id && check.status == super::Status::Unknown);
    let mismatch = checks.iter().position(|check| check.id() == KEY_MATCH.id && check.is_wrong());
    match broken.map(|check| check.definition) {
        _ if !known => {}
        None => checks.push(selftest(context, key, draft(&SELFTEST)).await),
        Some(_) if mismatch.is_some() => {
            // The same key may be written in another way.
            let test = selftest(context, key, draft(&SELFTEST)).await;
            if test.status == super::Status::Pass {
                if let Some(slot) = mismatch.and_then(|at| checks.get_mut(at)) {
                    *slot = draft(&KEY_MATCH).pass(("the same key", "la misma clave"));
                }
                checks.push(test);
            } else {
                checks.push(draft(&SELFTEST).skipped(&KEY_MATCH));
            }
        }
        Some(broken) => checks.push(draft(&SELFTEST).skipped(broken)),
    }
    checks
}

fn alias_leads(
    draft: Draft,
    alias: Result<Option<String>, DnsError>,
    texts: Option<&Vec<String>>,
) -> Check {
    draft.no_alias(alias, |draft| match texts {
        None => draft.skipped(&RECORD_EXISTS),
        Some(texts) if texts.is_empty() => draft.finding(
            (
                "an alias of {target}, where there is no key",
                "un alias de {target}, donde no hay clave",
            ),
            ("an alias that leads to a key", "un alias que lleve a una clave"),
            "{line}",
        ),
        Some(_) => draft.pass(("an alias of {target}", "un alias de {target}")),
    })
}

// The checks of the record that follow one another, up to the key itself.
const OF_RECORD: [&Definition; 7] =
    [&RECORD_EXISTS, &MULTIPLE, &CHUNKS, &REVOKED, &SYNTAX, &KEY_MATCH, &TESTING];

fn rest_after(last: &'static Definition) -> impl Iterator<Item = &'static Definition> {
    OF_RECORD.into_iter().skip_while(move |check| check.id != last.id).skip(1)
}

fn published(
    draft: &impl Fn(&'static Definition) -> Draft,
    record: &str,
    texts: &[String],
) -> Vec<Check> {
    let ready = Text::same("{line}");
    let mut checks = Vec::new();
    let failed = |mut checks: Vec<Check>, definition: &'static Definition, check: Check| {
        checks.push(check);
        checks.extend(rest_after(definition).map(|next| draft(next).skipped(definition)));
        checks
    };
    let text = match texts {
        [] => {
            let check = draft(&RECORD_EXISTS).finding(
                ("no TXT record", "no hay registro TXT"),
                ("the public key", "la clave pública"),
                ready,
            );
            return failed(checks, &RECORD_EXISTS, check);
        }
        [text] => text.as_str(),
        several => {
            checks.push(draft(&RECORD_EXISTS).pass(("published", "publicado")));
            let check = draft(&MULTIPLE).with("count", several.len()).finding(
                ("{count} TXT records", "{count} registros TXT"),
                ("one", "uno"),
                ("Delete all but: {line}", "Borre todos menos: {line}"),
            );
            return failed(checks, &MULTIPLE, check);
        }
    };
    checks.push(draft(&RECORD_EXISTS).pass(("published", "publicado")));
    checks.push(draft(&MULTIPLE).pass(("one record", "un registro")));
    if text.contains(['"', '\\']) {
        let check = draft(&CHUNKS).with("text", shortened(text)).finding(
            ("quotation marks in the value: {text}", "comillas dentro del valor: {text}"),
            ("the value without them", "el valor sin ellas"),
            ready,
        );
        return failed(checks, &CHUNKS, check);
    }
    checks.push(draft(&CHUNKS).pass(("whole", "entero")));
    let key = match PublicKey::parse(text) {
        Ok(key) => key,
        Err(error) => {
            let (definition, check) = unusable(draft, record, text, &error);
            return failed(checks, definition, check);
        }
    };
    checks.push(draft(&REVOKED).pass(("not revoked", "no revocada")));
    if !key.hashes.is_empty() && !key.hashes.iter().any(|hash| hash == "sha256") {
        let check = draft(&SYNTAX).with("hashes", key.hashes.join(":")).finding(
            (
                "h={hashes} leaves out sha256, with which we sign",
                "h={hashes} no incluye sha256, con el que firmamos",
            ),
            ("h=sha256, or no h=", "h=sha256, o ningún h="),
            ready,
        );
        return failed(checks, &SYNTAX, check);
    }
    let (seen, ours) = (tag(text, "p"), tag(record, "p"));
    if seen != ours && seen == ours.trim_end_matches('=') {
        let check = draft(&SYNTAX).finding(
            ("p= has lost the `=` at its end", "p= ha perdido el `=` del final"),
            ("the whole key", "la clave entera"),
            ready,
        );
        return failed(checks, &SYNTAX, check);
    }
    checks.push(
        draft(&SYNTAX).with("kind", key.kind()).with("bits", key.bits).pass("{kind}, {bits} bits"),
    );
    checks.push(if seen == ours {
        draft(&KEY_MATCH).pass(("the same key", "la misma clave"))
    } else {
        let same = seen.chars().zip(ours.chars()).take_while(|(a, b)| a == b).count();
        draft(&KEY_MATCH)
            .with("seen", around(&seen, same))
            .with("ours", around(&ours, same))
            .finding(
                ("published is p={seen}", "está publicada p={seen}"),
                ("p={ours}, with which we sign", "p={ours}, con la que firmamos"),
                ready,
            )
    });
    checks.push(if key.testing {
        draft(&TESTING).finding("t=y", ("no t=y", "sin t=y"), ready)
    } else {
        draft(&TESTING).pass(("no t=y", "sin t=y"))
    });
    checks
}

fn unusable(
    draft: &impl Fn(&'static Definition) -> Draft,
    record: &str,
    text: &str,
    error: &RecordError,
) -> (&'static Definition, Check) {
    let ready = Text::same("{line}");
    if *error == RecordError::Revoked {
        let check = draft(&REVOKED).finding(
            ("p= is empty: the key is revoked", "p= está vacío: la clave está revocada"),
            ("the public key", "la clave pública"),
            ready,
        );
        return (&REVOKED, check);
    }
    let (seen, ours) = (tag(text, "p"), tag(record, "p"));
    let cut = !seen.is_empty() && seen.len() < ours.len() && ours.starts_with(&seen);
    let draft = draft(&SYNTAX)
        .with_said("error", error)
        .with("octets", text.len())
        .with("whole", record.len());
    let what = if cut {
        Text::new(
            "cut off after {octets} octets, probably by the DNS panel: the record has {whole}",
            "cortado tras {octets} octetos, seguramente por el panel de DNS: el registro tiene {whole}",
        )
    } else {
        Text::same("{error}")
    };
    let check = draft.finding(
        what,
        ("the whole key", "la clave entera"),
        (
            "{line}   (in a panel: each string in a line of its own, or all as one value)",
            "{line}   (en un panel: cada cadena en una línea, o todo como un solo valor)",
        ),
    );
    (&SYNTAX, check)
}

// A tag's value without the white space that may stand in it.
fn tag(record: &str, name: &str) -> String {
    let values = record.split(';').filter_map(|tag| tag.split_once('='));
    let value = values.into_iter().find(|(found, _)| found.trim() == name).map(|(_, value)| value);
    value.unwrap_or_default().split_whitespace().collect()
}

fn shortened(text: &str) -> String {
    const SHOWN: usize = 40;
    let mut short: String = text.chars().take(SHOWN).collect();
    if text.chars().count() > SHOWN {
        short.push('…');
    }
    short
}

// All RSA keys of one size begin alike, so that their beginnings would look the same.
fn around(key: &str, difference: usize) -> String {
    const BEFORE: usize = 4;
    const SHOWN: usize = 24;
    let from = difference.saturating_sub(BEFORE);
    let shown: String = key.chars().skip(from).take(SHOWN).collect();
    let more = |is_more: bool| if is_more { "…" } else { "" };
    format!("{}{shown}{}", more(from > 0), more(key.chars().count() > from + SHOWN))
}

fn size<W: World>(context: &Context<'_, W>, key: &SigningKey) -> Check {
    let bits = key.key.bits();
    let draft =
        context.about(&KEY_SIZE, key.record_name()).with("bits", bits).with("domain", &key.domain);
    let severity = match (key.key.algorithm(), bits) {
        (Algorithm::Ed25519Sha256, _) => {
            return draft.pass("Ed25519");
        }
        (_, 2048..=4096) => return draft.pass("{bits} bits"),
        (_, ..1024) => Severity::Error,
        _ => Severity::Warning,
    };
    draft.severity(severity).finding(
        "{bits} bits",
        ("2048 to 4096 bits", "de 2048 a 4096 bits"),
        (
            "puerto dkim new {domain}, with another selector",
            "puerto dkim new {domain}, con otro selector",
        ),
    )
}

async fn aligned<W: World>(context: &Context<'_, W>, key: &SigningKey) -> Check {
    let draft = context
        .about(&ALIGNMENT, key.record_name())
        .with("d", &key.domain)
        .with("domain", &context.domain);
    if key.domain == context.domain {
        return draft.pass("d={d}");
    }
    let signed = [Authenticated::new(key.domain.clone(), true)];
    let evaluation = dmarc::evaluate(context.world, &context.domain, None, &signed).await;
    match evaluation.dkim.first().map(|(_, alignment)| *alignment) {
        Some(Alignment::NotAligned) => draft.finding(
            "d={d}, From {domain}",
            "d={domain}",
            (
                "puerto dkim new {domain}, or adkim=r in the DMARC record",
                "puerto dkim new {domain}, o adkim=r en el registro DMARC",
            ),
        ),
        Some(Alignment::Unknown) => draft.dns_silent(),
        _ => draft.pass("d={d}, From {domain}"),
    }
}

fn age<W: World>(context: &Context<'_, W>, key: &SigningKey) -> Check {
    let file = key_file(context, key);
    let draft = context.about(&ROTATION, key.record_name()).with("domain", &key.domain);
    let written = file.metadata().and_then(|metadata| metadata.modified());
    let Ok(written) = written else {
        return draft.unknown(("the file's age is not known", "no se sabe la edad del fichero"));
    };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(context.now.max(0).unsigned_abs());
    let age = now.duration_since(written).unwrap_or_default();
    let days = age.as_secs() / (24 * 3600);
    let draft = draft.with("days", days);
    if age <= YEAR {
        return draft.pass(Text::by_count(
            days,
            Text::new("1 day old", "1 día"),
            Text::new("{days} days old", "{days} días"),
        ));
    }
    draft.finding(
        ("{days} days old", "{days} días"),
        ("at most a year", "un año como mucho"),
        (
            "puerto dkim new {domain}, with another selector",
            "puerto dkim new {domain}, con otro selector",
        ),
    )
}

fn key_file<W: World>(context: &Context<'_, W>, key: &SigningKey) -> PathBuf {
    context.key_directory.join(&key.domain).join(format!("{}.pem", key.selector))
}

async fn selftest<W: World>(context: &Context<'_, W>, key: &SigningKey, draft: Draft) -> Check {
    let Some(message) = sample(context, key) else {
        return draft.unknown(("the key could not sign", "la clave no pudo firmar"));
    };
    let results = dkim::verify(&message, context.world, context.now).await;
    let Some(result) = results.first() else {
        return draft.unknown(("the key could not sign", "la clave no pudo firmar"));
    };
    let draft = draft
        .with("result", result.result.name())
        .with_said("reason", result.reason().map_or_else(|| Said::words(""), Said::from));
    match result.result {
        DkimResult::Pass => draft.pass("{result}"),
        DkimResult::TempError => draft.unknown("{result}: {reason}"),
        _ => draft.finding("{result}: {reason}", "pass", "{line}"),
    }
}

// 8-bit text, folded fields, trailing white space: what signatures break on.
fn sample<W: World>(context: &Context<'_, W>, key: &SigningKey) -> Option<Vec<u8>> {
    let domain = &context.domain;
    let body = "Señal de prueba.  \r\n\r\n\tTabulated\ttext \r\n.\r\nThe end.\r\n\r\n";
    let text = format!(
        "From: Puerto <postmaster@{domain}>\r\nTo: postmaster@{domain}\r\n\
         Subject: A folded\r\n subject,  with   spaces \r\nDate: Thu, 01 Jan 2026 00:00:00 +0000\r\n\
         Message-ID: <selftest@{domain}>\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\r\n{body}"
    );
    let header = Header::parse(text.as_bytes()).ok()?;
    let form = Canonicalization::Relaxed;
    let mut hasher = BodyHasher::new(form);
    hasher.update(body.as_bytes());
    let time = SigningTime { signed_at: context.now, expires_at: None };
    let mut message = dkim::sign(key, header.fields(), form, &hasher.finish(), time).ok()?;
    message.extend_from_slice(text.as_bytes());
    Some(message)
}

fn dual<W: World>(context: &Context<'_, W>) -> Check {
    let draft = context.about(&ED25519_DUAL, &context.domain);
    let names: Vec<_> = context.keys.iter().map(|key| key.key.algorithm().name()).collect();
    let draft = draft.with("algorithms", names.join(", "));
    if context.keys.iter().any(|key| key.key.algorithm() == Algorithm::RsaSha256) {
        return draft.pass("{algorithms}");
    }
    draft.finding(
        ("{algorithms} only", "solo {algorithms}"),
        ("an RSA key too", "también una clave RSA"),
        "puerto dkim new {subject} --type rsa",
    )
}

#[cfg(test)]
mod tests {
    use super::around;

    #[test]
    fn two_keys_are_shown_where_they_differ() {
        assert_eq!(around("MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAx", 44), "…AQEAx");
        assert_eq!(around("abcdefghijklmnopqrstuvwxyz0123456789", 0), "abcdefghijklmnopqrstuvwx…");
        assert_eq!(around("abc", 3), "abc");
        assert_eq!(around("", 0), "");
    }
}
