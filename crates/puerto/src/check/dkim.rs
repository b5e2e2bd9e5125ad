//! DKIM: is each key published, is it the one that we sign with, and does a signature
//! made with it verify?

use std::time::{Duration, SystemTime};

use puerto_mail::dkim::{
    self, Algorithm, BodyHasher, Canonicalization, DkimResult, PublicKey, RecordError, SigningKey,
    SigningTime, zone_file_text,
};
use puerto_mail::dmarc::{self, Alignment, Authenticated};
use puerto_mail::dns::RecordType;
use puerto_mail::header::Header;

use super::Status;
use super::context::Context;
use super::outcome::{Check, Definition, Draft, Judged, after, family};
use super::world::World;
use crate::finding::Severity;
use crate::lang::{Said, Text};
use puerto_mail::together::together;

family! {
    FAMILY = "dkim" ["DKIM"] is_of_machine: false;

    KEY_PERMS = "dkim.key-perms" Error "" [
        "Every key file can be used, and by the server alone",
        "Todos los ficheros de claves se pueden usar, y solo el servidor puede",
        "A key that everybody on the machine can read lets everybody sign in your name; the \
         server passes such files over.",
        "Una clave que cualquiera en la máquina puede leer permite a cualquiera firmar en su \
         nombre; el servidor pasa por alto esos ficheros.",
        wrong: "{problem}";
        expected: "a key file that can be used", "un fichero de clave que se pueda usar";
        remedy: "chmod 640 the file and give it to root and the group puerto, or make a new key: \
                 puerto dkim new",
            "chmod 640 al fichero y déselo a root y al grupo puerto, o cree otra clave: puerto \
             dkim new";
    ];
    RECORD_EXISTS = "dkim.record-exists" Error "RFC 6376 §3.6.2.1" [
        "There is a key for the domain, and it is published",
        "El dominio tiene una clave y está publicada",
        "Without a key mail is not signed; without its record at SELECTOR._domainkey.DOMAIN the \
         signature is worth nothing. `puerto dkim new` makes a key and prints the record.",
        "Sin clave el correo no se firma; sin su registro en SELECTOR._domainkey.DOMINIO la firma \
         no vale nada. `puerto dkim new` crea una clave y escribe el registro.",
        right: "published", "publicado";
        wrong: "no TXT record", "no hay registro TXT";
        expected: "the public key", "la clave pública";
        remedy: "{line}";
    ];
    MULTIPLE = "dkim.multiple" Error "RFC 6376 §3.6.2.2" [
        "There is one record for each key",
        "Hay un registro por clave",
        "With several TXT records at a selector a receiver may take any of them.",
        "Con varios registros TXT en un selector, el receptor puede tomar cualquiera.",
        right: "one record", "un registro";
        wrong: "{count} TXT records", "{count} registros TXT";
        expected: "one", "uno";
        remedy: "Delete all but: {line}", "Borre todos menos: {line}";
    ];
    CHUNKS = "dkim.chunks" Error "RFC 6376 §3.6.2.2; RFC 1035 §3.3" [
        "The record came through the DNS panel unharmed",
        "El registro pasó por el panel de DNS sin daños",
        "Quotation marks or backslashes inside the value come from a panel that quotes by itself. \
         Enter the value without them.",
        "Las comillas o barras invertidas dentro del valor vienen de un panel que pone comillas \
         por su cuenta. Escriba el valor sin ellas.",
        right: "whole", "entero";
        wrong: "quotation marks in the value: {text}", "comillas dentro del valor: {text}";
        expected: "the value without them", "el valor sin ellas";
        remedy: "{line}";
    ];
    CNAME = "dkim.cname" Info "RFC 6376 §3.6.2.1; RFC 1034 §3.6.2" [
        "An alias at the selector leads to a key",
        "Un alias en el selector lleva a una clave",
        "Providers let SELECTOR._domainkey.DOMAIN be a CNAME to a record of theirs. Where that \
         record is gone the signature is worth nothing, and whoever gets hold of its name can sign \
         for you: correct the alias, or replace it by the key.",
        "Algunos proveedores piden que SELECTOR._domainkey.DOMINIO sea un CNAME a un registro \
         suyo. Si ese registro ya no existe la firma no vale nada, y quien se haga con su nombre \
         puede firmar por usted: corrija el alias, o sustitúyalo por la clave.",
        right: "no alias", "no es un alias";
        wrong: "an alias of {target}, where there is no key",
            "un alias de {target}, donde no hay clave";
        expected: "an alias that leads to a key", "un alias que lleve a una clave";
        remedy: "{line}";
    ];
    REVOKED = "dkim.revoked" Error "RFC 6376 §3.6.1" [
        "The key is not revoked",
        "La clave no está revocada",
        "An empty `p=` says that the key is no longer valid. Publish the key again, or make a new \
         one with another selector.",
        "Un `p=` vacío dice que la clave ya no vale. Publíquela de nuevo o cree otra con otro \
         selector.",
        right: "not revoked", "no revocada";
        wrong: "p= is empty: the key is revoked", "p= está vacío: la clave está revocada";
        expected: "the public key", "la clave pública";
        remedy: "{line}";
    ];
    SYNTAX = "dkim.syntax" Error "RFC 6376 §3.6.1; RFC 8463 §4" [
        "The record holds a whole key",
        "El registro contiene una clave entera",
        "A key of 2048 bits is longer than the 255 octets of one DNS string. Some panels cut it \
         off there: enter it in pieces, or use a panel that splits it.",
        "Una clave de 2048 bits no cabe en los 255 octetos de una cadena de DNS. Algunos paneles \
         la cortan ahí: escríbala en trozos, o use un panel que la parta.",
        right: "{kind}, {bits} bits";
        expected: "the whole key", "la clave entera";
        remedy: "{line}";
    ];
    KEY_MATCH = "dkim.key-match" Error "RFC 6376 §3.6.1" [
        "The published key is the one that signs",
        "La clave publicada es la que firma",
        "Every signature made with another key fails. Publish the current key, or go back to the \
         old private key.",
        "Toda firma hecha con otra clave falla. Publique la clave actual, o vuelva a la clave \
         privada antigua.",
        right: "the same key", "la misma clave";
        wrong: "published is p={seen}", "está publicada p={seen}";
        expected: "p={ours}, with which we sign", "p={ours}, con la que firmamos";
        remedy: "{line}";
    ];
    KEY_SIZE = "dkim.key-size" Error "RFC 8301 §3.2" [
        "RSA keys have 2048 to 4096 bits",
        "Las claves RSA tienen de 2048 a 4096 bits",
        "Receivers ignore keys below 1024 bits, and Gmail and Yahoo advise 2048. Above 4096 some \
         cannot verify.",
        "Los receptores ignoran las claves de menos de 1024 bits; Gmail y Yahoo aconsejan 2048. \
         Por encima de 4096 algunos no pueden verificar.",
        right: "{bits} bits";
        expected: "2048 to 4096 bits", "de 2048 a 4096 bits";
        remedy: "puerto dkim new {d}, with another selector",
            "puerto dkim new {d}, con otro selector";
    ];
    TESTING = "dkim.testing" Warning "RFC 6376 §3.6.1" [
        "The key is not marked as a test",
        "La clave no está marcada como prueba",
        "With `t=y` receivers may treat the mail as if it were not signed. Remove the flag.",
        "Con `t=y` los receptores pueden tratar el correo como si no estuviera firmado. Quite la \
         marca.",
        right: "no t=y", "sin t=y";
        wrong: "t=y";
        remedy: "{line}";
    ];
    SELFTEST = "dkim.selftest" Error "RFC 6376 §6.1" [
        "A message that is signed here verifies",
        "Un mensaje firmado aquí se verifica bien",
        "A message is signed with the key and verified with the published record, as a receiver \
         does it.",
        "Se firma un mensaje con la clave y se verifica con el registro publicado, como lo hace \
         un receptor.",
        right: "{result}";
        wrong: "{result}: {reason}";
        expected: "pass";
        remedy: "{line}";
    ];
    ALIGNMENT = "dkim.alignment" Error "RFC 9989 §4.4; RFC 6376 §3.5" [
        "The key belongs to the domain in From",
        "La clave es del dominio que va en From",
        "A signature of another domain proves nothing about the sender. Make a key for the domain: \
         `puerto dkim new DOMAIN`.",
        "Una firma de otro dominio no prueba nada del remitente. Cree una clave para el dominio: \
         `puerto dkim new DOMINIO`.",
        right: "d={d}";
        wrong: "d={d}, From {domain}";
        expected: "d={domain}";
        remedy: "puerto dkim new {domain}, or adkim=r in the DMARC record",
            "puerto dkim new {domain}, o adkim=r en el registro DMARC";
    ];
    ED25519_DUAL = "dkim.ed25519-dual" Warning "RFC 8463 §3, §6" [
        "An RSA key signs too",
        "También firma una clave RSA",
        "Gmail, Microsoft and others still ignore Ed25519 signatures. Keep an RSA key beside it.",
        "Gmail, Microsoft y otros aún ignoran las firmas Ed25519. Tenga también una clave RSA.",
        right: "{algorithms}";
        wrong: "{algorithms} only", "solo {algorithms}";
        expected: "an RSA key too", "también una clave RSA";
        remedy: "puerto dkim new {subject} --type rsa";
    ];
    ROTATION = "dkim.rotation" Info "M3AAWG DKIM Key Rotation Best Common Practices" like KEY_SIZE [
        "The key is not older than a year",
        "La clave no tiene más de un año",
        "Make a new key with another selector, publish it, and remove the old one a week after \
         the change.",
        "Cree una clave nueva con otro selector, publíquela y retire la antigua una semana \
         después del cambio.",
        right: "{days} days old", "{days} días";
        expected: "at most a year", "un año como mucho";
    ];
}

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

// The checks of the record that follow one another, up to the key itself.
const OF_RECORD: &[&Definition] =
    &[&RECORD_EXISTS, &MULTIPLE, &CHUNKS, &REVOKED, &SYNTAX, &KEY_MATCH, &TESTING];

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
    let draft = || context.about(&KEY_PERMS, context.key_directory.display());
    if context.key_problems.is_empty() {
        return vec![draft().with("count", context.keys.len()).pass(Text::by_count(
            context.keys.len(),
            Text::new("1 key", "1 clave"),
            Text::new("{count} keys", "{count} claves"),
        ))];
    }
    let problems = context.key_problems.iter().map(|problem| {
        let draft = draft().with_said("problem", &problem.said);
        // That we may not look says nothing about the server, which runs as another.
        match problem.is_hidden {
            true => draft.advice(("Run it as root", "Ejecútelo como root")).unknown("{problem}"),
            false => draft.wrong(),
        }
    });
    problems.collect()
}

fn no_key<W: World>(context: &Context<'_, W>, files: &[Check]) -> Check {
    let others = &context.other_key_domains;
    let definition = if others.is_empty() { &RECORD_EXISTS } else { &ALIGNMENT };
    let draft = context
        .about(definition, &context.domain)
        .expected(("a key for {subject}", "una clave de {subject}"))
        .remedy((
            "puerto dkim new {subject}, publish the record that it prints, reload the server",
            "puerto dkim new {subject}, publique el registro que escribe y recargue el servidor",
        ));
    if files.iter().any(|check| check.status != Status::Pass) {
        return draft.skipped(&KEY_PERMS);
    }
    if !others.is_empty() {
        return draft.list("others", others).finding((
            "there are keys for {others} only: mail from {subject} is not signed",
            "solo hay claves de {others}: el correo de {subject} no se firma",
        ));
    }
    // The relayhost may sign in our name.
    let severity = if context.relay.is_some() { Severity::Warning } else { Severity::Error };
    draft.severity(severity).with("directory", context.key_directory.display()).finding((
        "no key below {directory}: mail is not signed",
        "no hay claves en {directory}: el correo no se firma",
    ))
}

async fn of_key<W: World>(context: &Context<'_, W>, key: &SigningKey) -> Vec<Check> {
    let name = key.record_name();
    let record = key.key.record_text();
    let (texts, alias) = tokio::join!(context.texts(&name), context.alias(&name));
    let target = alias.as_ref().ok().and_then(Option::as_deref);
    let line = format!("{name}. IN TXT ( {} )", zone_file_text(&record));
    let line = context.to_publish(target, &line);
    let draft = |definition| {
        let asking = context.asking(definition, &name, (&name, RecordType::Txt));
        asking.with_record("line", &line).with("d", &key.domain)
    };
    let mut checks = match draft(&RECORD_EXISTS).answered(texts.clone()) {
        Ok(texts) => published(&draft, &record, &texts),
        Err(silent) => silent.skipping(after(OF_RECORD, &RECORD_EXISTS), draft),
    };
    let is_known = texts.is_ok();
    let alias_draft = draft(&CNAME).asked_dns(context.question(&name, RecordType::Cname));
    checks.push(match (alias, texts) {
        (Ok(None), _) => alias_draft.right(),
        (Ok(Some(_)), Err(_)) => alias_draft.skipped(&RECORD_EXISTS),
        (Ok(Some(target)), Ok(texts)) if texts.is_empty() => {
            alias_draft.with("target", target).wrong()
        }
        (Ok(Some(target)), Ok(_)) => alias_draft
            .with("target", target)
            .pass(("an alias of {target}", "un alias de {target}")),
        (Err(error), _) => alias_draft.no_answer(&error),
    });
    let unasked = |definition| context.about(definition, &name).with("d", &key.domain);
    checks.push(size(unasked(&KEY_SIZE), key));
    checks.push(aligned(context, unasked(&ALIGNMENT), key).await);
    checks.push(age(context, unasked(&ROTATION), key));
    if !is_known {
        return checks;
    }
    let broken = checks.iter().find(|check| {
        check.definition != &ALIGNMENT && check.severity == Severity::Error && check.is_wrong()
    });
    let mismatch = checks.iter().position(|check| check.id() == KEY_MATCH.id && check.is_wrong());
    let test = match (broken.map(|check| check.definition), mismatch) {
        (None, _) => selftest(context, key, draft(&SELFTEST)).await,
        // The same key may be written in another way.
        (Some(_), Some(at)) => {
            let test = selftest(context, key, draft(&SELFTEST)).await;
            match checks.get_mut(at) {
                Some(slot) if test.status == Status::Pass => {
                    *slot = draft(&KEY_MATCH).right();
                    test
                }
                _ => draft(&SELFTEST).skipped(&KEY_MATCH),
            }
        }
        (Some(broken), None) => draft(&SELFTEST).skipped(broken),
    };
    checks.push(test);
    checks
}

fn published(
    draft: &impl Fn(&'static Definition) -> Draft,
    record: &str,
    texts: &[String],
) -> Vec<Check> {
    let mut checks = Vec::new();
    match judged(draft, record, texts, &mut checks) {
        Ok(last) => checks.extend(last),
        Err(failed) => {
            let rest = after(OF_RECORD, failed.definition);
            checks.extend(failed.skipping(rest, draft));
        }
    }
    checks
}

// One after the other, up to the first that fails; `checks` are those that passed.
fn judged(
    draft: &impl Fn(&'static Definition) -> Draft,
    record: &str,
    texts: &[String],
    checks: &mut Vec<Check>,
) -> Judged<[Check; 2]> {
    let mut right = |definition| checks.push(draft(definition).right());
    let [text, more @ ..] = texts else { return draft(&RECORD_EXISTS).wrong().fails() };
    right(&RECORD_EXISTS);
    if !more.is_empty() {
        return draft(&MULTIPLE).with("count", texts.len()).wrong().fails();
    }
    right(&MULTIPLE);
    if text.contains(['"', '\\']) {
        return draft(&CHUNKS).with("text", shortened(text, 40)).wrong().fails();
    }
    right(&CHUNKS);
    let (seen, ours) = (public_part(text), public_part(record));
    let key = match PublicKey::parse(text) {
        Ok(key) => key,
        Err(RecordError::Revoked) => return draft(&REVOKED).wrong().fails(),
        Err(error) => {
            let is_cut = !seen.is_empty() && seen.len() < ours.len() && ours.starts_with(&seen);
            let draft = draft(&SYNTAX).remedy(IN_PIECES).with_said("error", &error);
            return match is_cut {
                true => draft.with("octets", text.len()).with("whole", record.len()).finding(CUT),
                false => draft.finding("{error}"),
            }
            .fails();
        }
    };
    right(&REVOKED);
    if !key.hashes.is_empty() && !key.hashes.iter().any(|hash| hash == "sha256") {
        return draft(&SYNTAX)
            .with("hashes", key.hashes.join(":"))
            .expected(("h=sha256, or no h=", "h=sha256, o ningún h="))
            .finding((
                "h={hashes} leaves out sha256, with which we sign",
                "h={hashes} no incluye sha256, con el que firmamos",
            ))
            .fails();
    }
    if seen != ours && seen == ours.trim_end_matches('=') {
        let lost = ("p= has lost the `=` at its end", "p= ha perdido el `=` del final");
        return draft(&SYNTAX).finding(lost).fails();
    }
    checks.push(draft(&SYNTAX).with("kind", key.kind()).with("bits", key.bits).right());
    let same = seen.chars().zip(ours.chars()).take_while(|(a, b)| a == b).count();
    let (here, there) = (around(&ours, same), around(&seen, same));
    let matching = draft(&KEY_MATCH).with("seen", there).with("ours", here).judge(seen != ours);
    Ok([matching, draft(&TESTING).judge(key.testing)])
}

const CUT: Text = Text::new(
    "cut off after {octets} octets, probably by the DNS panel: the record has {whole}",
    "cortado tras {octets} octetos, seguramente por el panel de DNS: el registro tiene {whole}",
);
const IN_PIECES: Text = Text::new(
    "{line}   (in a panel: each string in a line of its own, or all as one value)",
    "{line}   (en un panel: cada cadena en una línea, o todo como un solo valor)",
);

/// The key of a record, `p=`, without the white space that may stand in it.
pub(super) fn public_part(record: &str) -> String {
    let mut tags = record.split(';').filter_map(|tag| tag.split_once('='));
    let value = tags.find(|(name, _)| name.trim() == "p").map(|(_, value)| value);
    value.unwrap_or_default().split_whitespace().collect()
}

/// The beginning of a text, marked where it is not the whole.
pub(super) fn shortened(text: &str, length: usize) -> String {
    let mut short: String = text.chars().take(length).collect();
    if short.len() < text.len() {
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

fn size(draft: Draft, key: &SigningKey) -> Check {
    let bits = key.key.bits();
    let draft = draft.with("bits", bits);
    match (key.key.algorithm(), bits) {
        (Algorithm::Ed25519Sha256, _) => draft.pass("Ed25519"),
        (_, 2048..=4096) => draft.right(),
        (_, ..1024) => draft.wrong(),
        _ => draft.severity(Severity::Warning).wrong(),
    }
}

async fn aligned<W: World>(context: &Context<'_, W>, draft: Draft, key: &SigningKey) -> Check {
    if key.domain == context.domain {
        return draft.right();
    }
    let signed = [Authenticated::new(key.domain.clone(), true)];
    let evaluation = dmarc::evaluate(context.world, &context.domain, None, &signed).await;
    match evaluation.dkim.first().map(|(_, alignment)| *alignment) {
        Some(Alignment::NotAligned) => draft.wrong(),
        Some(Alignment::Unknown) => draft.dns_silent(),
        _ => draft.pass("d={d}, From {domain}"),
    }
}

fn age<W: World>(context: &Context<'_, W>, draft: Draft, key: &SigningKey) -> Check {
    let file = context.key_directory.join(&key.domain).join(format!("{}.pem", key.selector));
    let Ok(written) = file.metadata().and_then(|metadata| metadata.modified()) else {
        return draft.unknown(("the file's age is not known", "no se sabe la edad del fichero"));
    };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(context.now.max(0).unsigned_abs());
    let age = now.duration_since(written).unwrap_or_default();
    let days = age.as_secs() / (24 * 3600);
    match days {
        1 => draft.pass(("1 day old", "1 día")),
        _ => draft.with("days", days).judge(age > YEAR),
    }
}

async fn selftest<W: World>(context: &Context<'_, W>, key: &SigningKey, draft: Draft) -> Check {
    let message = sample(context, key).unwrap_or_default();
    let results = dkim::verify(&message, context.world, context.now).await;
    let Some(result) = results.first() else {
        return draft.unknown(("the key could not sign", "la clave no pudo firmar"));
    };
    let draft = draft
        .with("result", result.result.name())
        .with_said("reason", result.reason().map_or_else(Said::default, Said::from));
    match result.result {
        DkimResult::Pass => draft.right(),
        DkimResult::TempError => draft.unknown("{result}: {reason}"),
        _ => draft.wrong(),
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
    let algorithms = || context.keys.iter().map(|key| key.key.algorithm());
    let draft = context.about(&ED25519_DUAL, &context.domain);
    let draft = draft.list("algorithms", algorithms().map(Algorithm::name));
    draft.judge(!algorithms().any(|algorithm| algorithm == Algorithm::RsaSha256))
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
