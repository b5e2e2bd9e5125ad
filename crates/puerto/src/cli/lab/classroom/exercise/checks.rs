//! The checks: whether mail arrives, and what receivers make of the DNS.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use puerto_lab::world::{HOME, SENDER_DOMAIN, SENDER_HOST};
use puerto_lab::{Outcome, Transaction};
use puerto_mail::dkim::PrivateKey;
use puerto_mail::dmarc::{self, DmarcResult};
use puerto_mail::dns::{Record, RecordType};
use puerto_mail::spf::{self, SpfResult};
use puerto_smtp::{Address, Reply, ReversePath, Severity};
use serde::{Deserialize, Serialize};

use super::{Arrival, Check, Exercise, STUDENT, What};
use crate::cause::Cause;
use crate::cli::lab::asked;
use crate::cli::lab::classroom::inbox::PROBE;
use crate::cli::lab::classroom::world::World;
use crate::cli::lab::story::reply_to;
use crate::control::protocol::{Change, Selection};
use crate::explain;
use crate::lang::{Language, Said, dns_error, said, said_of};

/// How long a letter may take, and the pause between looks.
const PATIENCE: Duration = Duration::from_secs(15);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// What failed so often in our queue is not waited for.
const ATTEMPTS: u32 = 2;
/// How long letters of before may take to be tried.
const SETTLING: Duration = Duration::from_secs(3);

/// What came of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::cli::lab::classroom) struct Graded {
    pub(in crate::cli::lab::classroom) title: String,
    pub(in crate::cli::lab::classroom) points: u32,
    pub(in crate::cli::lab::classroom) of: u32,
    /// What was found, if it does not hold: a name for programs, and words.
    pub(in crate::cli::lab::classroom) finding: Option<(String, String)>,
}

/// Something that does not hold.
pub(super) struct Fault {
    id: &'static str,
    /// Why a letter was refused, or waits, as `puerto explain` classes it.
    class: Option<&'static str>,
    said: Said,
}

impl Fault {
    fn new(id: &'static str, said: Said) -> Self {
        Self { id, class: None, said }
    }

    fn name(&self) -> String {
        match self.class {
            Some(class) => format!("{}/{class}", self.id),
            None => self.id.to_owned(),
        }
    }
}

/// Judges the world.
pub(in crate::cli::lab::classroom) async fn grade(
    exercise: &Exercise,
    world: &World,
    language: Language,
) -> Vec<Graded> {
    let mut graded = Vec::new();
    let faults = world.faults().await;
    settle(world).await;
    for (id, said) in faults {
        let title = said!("what you saved is in force", "lo que ha guardado está en vigor");
        let finding = Some((id.to_owned(), said.of(language)));
        graded.push(Graded { title: title.of(language), points: 0, of: 0, finding });
    }
    for (number, check) in exercise.checks.iter().enumerate() {
        let fault = judge(check, world, number).await.err();
        graded.push(Graded {
            title: check.title.of(language).to_owned(),
            points: if fault.is_none() { check.points } else { 0 },
            of: check.points,
            finding: fault.map(|fault| (fault.name(), fault.said.of(language))),
        });
    }
    graded
}

// Whoever has just sent a letter asks about that one, too: each is tried once.
async fn settle(world: &World) {
    let since = tokio::time::Instant::now();
    let run_dir = world.run_dir();
    while since.elapsed() < SETTLING {
        let is_new = asked(&run_dir, |client| {
            let mut is_new = false;
            client.list(&Selection::default(), |message| {
                is_new |= message.recipients.iter().any(|one| one.last.is_none());
                Ok(())
            })?;
            Ok(is_new)
        });
        if !matches!(is_new.await, Ok(true)) {
            return;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

async fn judge(check: &Check, world: &World, number: usize) -> Result<(), Fault> {
    match &check.what {
        What::Came { from, to } => came(world, from, to),
        What::Once(mailboxes) => once(world, mailboxes),
        What::Arrives(arrival) => arrives(world, arrival, number).await,
        What::SpfSingle => spf_single(world),
        What::SpfPasses(address) => spf_of(world, *address, true).await,
        What::SpfStops(address) => spf_of(world, *address, false).await,
        What::ReverseName(address) => reverse_name(world, *address),
        What::Exchanger => exchanger(world),
        What::KeyPublished(selector) => key_published(world, selector),
        What::Reports => reports(world).await,
        What::ForgeryRefused => forgery_refused(world).await,
        What::Untouched if world.is_untouched() => Ok(()),
        What::Untouched => Err(Fault::new(
            "files.touched",
            said!(
                "a file was changed, and nothing was wrong with it: begin anew with --reset, or \
                 put back what was there",
                "se ha cambiado un fichero, y no tenía nada mal: empiece de nuevo con --reset o \
                 vuelva a poner lo que había"
            ),
        )),
    }
}

// The transactions about a recipient, the latest last.
fn about(world: &World, to: &str) -> Vec<Arc<Transaction>> {
    let Ok(to) = Address::parse(to) else { return Vec::new() };
    let mut seen = world.lab.transactions();
    seen.retain(|one| one.recipients.iter().any(|(address, _)| *address == to));
    seen
}

fn took(one: &Transaction, to: &str) -> bool {
    let is_it = |to: Address| one.accepted_recipients().any(|address| *address == to);
    one.outcome == Outcome::Accepted && Address::parse(to).is_ok_and(is_it)
}

fn came(world: &World, from: &str, to: &str) -> Result<(), Fault> {
    let seen = about(world, to);
    let sender = Address::parse(from).ok().map(ReversePath::Address);
    let mut taken = seen.iter().filter(|one| took(one, to)).peekable();
    if taken.peek().is_some() {
        return match taken.any(|one| one.from == sender) {
            true => Ok(()),
            false => Err(Fault::new(
                "letter.sender",
                said!(
                    "a letter came to {to}, and its sender is not {from}",
                    "a {to} le llegó una carta, y su remitente no es {from}";
                    to = to, from = from
                ),
            )),
        };
    }
    let last = Address::parse(to)
        .ok()
        .and_then(|to| seen.iter().rev().find_map(|one| reply_to(one, &to).cloned()));
    Err(match last {
        None => Fault::new(
            "letter.none",
            said!("no letter came to {to}", "a {to} no le ha llegado ninguna carta"; to = to),
        ),
        Some(reply) if reply.severity() == Severity::Permanent => refused(to, &reply),
        Some(reply) => Fault {
            id: "letter.waits",
            class: None,
            said: said!(
                "the letter to {to} has not arrived yet: {reply}",
                "la carta a {to} aún no ha llegado: {reply}"; to = to, reply = reply
            ),
        },
    })
}

fn once(world: &World, mailboxes: &[&str]) -> Result<(), Fault> {
    let twice =
        mailboxes.iter().find(|to| about(world, to).iter().filter(|one| took(one, to)).count() > 1);
    match twice {
        None => Ok(()),
        Some(to) => Err(Fault::new(
            "letter.again",
            said!("{to} got it twice", "a {to} le ha llegado dos veces"; to = to),
        )),
    }
}

fn refused(to: &str, reply: &Reply) -> Fault {
    let class = explain::of_cause(&Cause::words(reply.to_string()), None).map(|one| one.class());
    Fault {
        id: "letter.refused",
        class,
        said: said!(
            "the letter to {to} was refused: {reply}",
            "la carta a {to} fue rechazada: {reply}"; to = to, reply = reply
        ),
    }
}

// Each grading has recipients of its own, so that an earlier one's letters are not taken
// for this one's.
async fn arrives(world: &World, arrival: &Arrival, number: usize) -> Result<(), Fault> {
    let domain = arrival.at.domain;
    let count = world.lab.transactions().len();
    let process = std::process::id();
    let to = format!("{PROBE}{process}-{count}-{number}@{domain}");
    world.send(STUDENT, &to, "probe").await.map_err(|not_taken| {
        let why = Said::from(not_taken);
        let said = said_of!(
            "the server takes no letter: {why}", "el servidor no admite cartas: {why}"; why = why
        );
        Fault::new("server.refuses", said)
    })?;
    let since = tokio::time::Instant::now();
    while since.elapsed() < PATIENCE {
        for one in about(world, &to) {
            if one.receiver == arrival.at.name && took(&one, &to) {
                return arrived(&one, arrival);
            }
            let reply = Address::parse(&to).ok().and_then(|to| reply_to(&one, &to).cloned());
            if let Some(reply) = reply.filter(|reply| reply.severity() == Severity::Permanent) {
                return Err(refused(&to, &reply));
            }
        }
        if attempts(world, &to).await >= ATTEMPTS {
            break;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    Err(waits(world, &to).await)
}

fn arrived(one: &Transaction, arrival: &Arrival) -> Result<(), Fault> {
    if one.peer != arrival.by {
        return Err(Fault::new(
            "letter.way",
            said!(
                "it arrived, but from {peer} instead of {expected}",
                "llegó, pero desde {peer} y no desde {expected}";
                peer = one.peer, expected = arrival.by
            ),
        ));
    }
    let wrong = arrival.proof.iter().find(|method| one.result_of(method) != Some("pass"));
    match wrong {
        None => Ok(()),
        Some(method) => Err(Fault {
            id: "letter.proof",
            class: Some(method),
            said: said!(
                "it arrived, but its receiver found {method}={result}",
                "llegó, pero su receptor encontró {method}={result}";
                method = method, result = one.result_of(method).unwrap_or("none")
            ),
        }),
    }
}

// How often our queue has tried a letter that is still in it.
async fn attempts(world: &World, to: &str) -> u32 {
    let selection = Selection { to: Some(to.to_owned()), ..Selection::default() };
    let run_dir = world.run_dir();
    let most = asked(&run_dir, move |client| {
        let mut most = 0;
        client.list(&selection, |message| {
            most = message.recipients.iter().map(|one| one.attempts).max().unwrap_or(0).max(most);
            Ok(())
        })?;
        Ok(most)
    });
    most.await.unwrap_or(0)
}

// What our queue says, which then has the letter no longer: it was only a question.
async fn waits(world: &World, to: &str) -> Fault {
    let selection = Selection { to: Some(to.to_owned()), ..Selection::default() };
    let run_dir = world.run_dir();
    let last = asked(&run_dir, move |client| {
        let (mut ids, mut last) = (Vec::new(), None);
        client.list(&selection, |message| {
            ids.push(message.id);
            for recipient in message.recipients {
                last = recipient.last.map(|last| last.cause()).or(last.take());
            }
            Ok(())
        })?;
        let count = ids.len();
        client.change((Change::Remove, &Selection::default()), ids.into_iter(), |_| {})?;
        Ok((count, last))
    });
    match last.await {
        Ok((0, _)) | Err(_) => Fault::new(
            "letter.returned",
            said!(
                "the letter to {to} did not arrive, and the server has given it up: its log \
                 says why",
                "la carta a {to} no llegó, y el servidor ha desistido: su registro dice por qué";
                to = to
            ),
        ),
        Ok((_, last)) => {
            let class = last.as_ref().and_then(|cause| explain::of_cause(cause, None));
            let why = last.map_or_else(|| Said::words("…"), |cause| cause.said());
            Fault {
                id: "letter.waits",
                class: class.map(|one| one.class()),
                said: said_of!(
                    "the letter to {to} waits: {why}", "la carta a {to} espera: {why}";
                    to = Said::words(to), why = why
                ),
            }
        }
    }
}

fn texts(world: &World, name: &str) -> Vec<String> {
    let found = world.lab.zone().resolve(name, RecordType::Txt).result.unwrap_or_default();
    let texts = found.into_iter().filter_map(|record| match record {
        Record::Txt(text) => Some(String::from_utf8_lossy(&text).into_owned()),
        _ => None,
    });
    texts.collect()
}

fn spf_single(world: &World) -> Result<(), Fault> {
    let records = texts(world, SENDER_DOMAIN);
    match records.iter().filter(|text| spf::is_record(text.as_bytes())).count() {
        1 => Ok(()),
        0 => Err(Fault::new(
            "spf.none",
            said!(
                "{domain} has no TXT record that begins with v=spf1",
                "{domain} no tiene ningún registro TXT que empiece por v=spf1";
                domain = SENDER_DOMAIN
            ),
        )),
        count => Err(Fault::new(
            "spf.several",
            said!(
                "{domain} has {count} SPF records, and receivers then count none",
                "{domain} tiene {count} registros SPF, y entonces los receptores no cuentan ninguno";
                domain = SENDER_DOMAIN, count = count
            ),
        )),
    }
}

async fn spf_of(world: &World, address: IpAddr, should_pass: bool) -> Result<(), Fault> {
    let query = spf::Query::mail_from_text(address, SENDER_HOST, STUDENT);
    let found = spf::check(world.lab.zone(), &query).await;
    let (id, said) = match (found.result, should_pass) {
        (SpfResult::Pass, true) | (SpfResult::Fail | SpfResult::SoftFail, false) => return Ok(()),
        (_, true) => (
            "spf.not-pass",
            said!(
                "for {address} the SPF of {domain} comes to {result}",
                "para {address} el SPF de {domain} da {result}";
                address = address, domain = SENDER_DOMAIN, result = found.result
            ),
        ),
        (result, false) => (
            "spf.open",
            said!(
                "the SPF of {domain} does not say that {address}, who is nobody of ours, may not \
                 send: it comes to {result}",
                "el SPF de {domain} no dice que {address}, que no es de los nuestros, no pueda \
                 enviar: da {result}";
                address = address, domain = SENDER_DOMAIN, result = result
            ),
        ),
    };
    Err(Fault::new(id, said))
}

fn reverse_name(world: &World, address: IpAddr) -> Result<(), Fault> {
    let zone = world.lab.zone();
    if !zone.confirmed_names(address).is_empty() {
        return Ok(());
    }
    let name = puerto_mail::dns::reverse_name(address);
    Err(match zone.resolve(&name, RecordType::Ptr).result {
        Ok(_) => Fault::new(
            "ptr.not-back",
            said!(
                "{address} has a name, which does not have the address {address}",
                "{address} tiene un nombre, y ese nombre no tiene la dirección {address}";
                address = address
            ),
        ),
        Err(error) => Fault::new(
            "ptr.none",
            said_of!(
                "{name} has no PTR record: {error}", "{name} no tiene registro PTR: {error}";
                name = Said::words(name), error = dns_error(&error)
            ),
        ),
    })
}

fn exchanger(world: &World) -> Result<(), Fault> {
    let zone = world.lab.zone();
    let hosts = zone.resolve(SENDER_DOMAIN, RecordType::Mx).result.unwrap_or_default();
    let best = hosts.into_iter().min();
    let Some(Record::Mx(_, host)) = best else {
        return Err(Fault::new(
            "mx.none",
            said!("{domain} has no MX", "{domain} no tiene MX"; domain = SENDER_DOMAIN),
        ));
    };
    let addresses = zone.resolve(&host, RecordType::A).result.unwrap_or_default();
    match addresses.as_slice() {
        [] => Err(Fault::new(
            "mx.no-address",
            said!("the MX {host} has no address", "el MX {host} no tiene dirección"; host = host),
        )),
        all if all.contains(&Record::Address(HOME.address.into())) => Ok(()),
        _ => Err(Fault::new(
            "mx.elsewhere",
            said!(
                "the MX {host} is not at {address}, where the mailboxes are",
                "el MX {host} no está en {address}, donde están los buzones";
                host = host, address = HOME.address
            ),
        )),
    }
}

fn key_published(world: &World, selector: &str) -> Result<(), Fault> {
    let name = format!("{selector}._domainkey.{SENDER_DOMAIN}");
    let file = world.folder().join("dkim").join(SENDER_DOMAIN).join(format!("{selector}.pem"));
    let key = std::fs::read_to_string(file).ok().and_then(|pem| PrivateKey::from_pem(&pem).ok());
    let found = texts(world, &name);
    let (id, said) = match (found.as_slice(), key) {
        ([], _) => (
            "key.none",
            said!("{name} has no TXT record", "{name} no tiene registro TXT"; name = name),
        ),
        ([one], Some(key)) if is_same_key(one, &key.record_text()) => return Ok(()),
        ([_], _) => (
            "key.other",
            said!(
                "what {name} holds is not the whole public key that the server signs with",
                "lo que contiene {name} no es la clave pública entera con la que firma el servidor";
                name = name
            ),
        ),
        (several, _) => (
            "key.several",
            said!(
                "{name} has {count} TXT records, and a key is one: one record of several strings",
                "{name} tiene {count} registros TXT, y una clave es uno: un registro con varias \
                 cadenas"; name = name, count = several.len()
            ),
        ),
    };
    Err(Fault::new(id, said))
}

// Blanks mean nothing in a key.
fn is_same_key(one: &str, other: &str) -> bool {
    let key = |text: &str| {
        let mut tags = text.split(';').filter_map(|tag| tag.split_once('='));
        let value = tags.find(|(name, _)| name.trim() == "p").map(|(_, value)| value);
        value.map(|value| value.split_whitespace().collect::<String>())
    };
    key(one).is_some() && key(one) == key(other)
}

async fn reports(world: &World) -> Result<(), Fault> {
    let name = format!("_dmarc.{SENDER_DOMAIN}");
    let mut found = texts(world, &name);
    found.retain(|text| text.trim_start().starts_with("v=DMARC1"));
    let (id, said) = match found.as_slice() {
        [] => ("dmarc.none", said!("there is no {name}", "no existe {name}"; name = name)),
        [_] => {
            let record = dmarc::evaluate(world.lab.zone(), SENDER_DOMAIN, None, &[]).await.record;
            let to = record.map(|record| record.aggregate_reports).unwrap_or_default();
            let is_ours = |to: &String| {
                to.rsplit_once('@')
                    .is_some_and(|(_, domain)| domain.eq_ignore_ascii_case(SENDER_DOMAIN))
            };
            match to.as_slice() {
                [] => (
                    "dmarc.no-reports",
                    said!(
                        "{name} asks for no reports: rua=mailto:… is missing",
                        "{name} no pide informes: falta rua=mailto:…"; name = name
                    ),
                ),
                all if all.iter().all(is_ours) => return Ok(()),
                all => (
                    "dmarc.reports-elsewhere",
                    said!(
                        "{to} is of another domain, which has not said that it wants reports \
                         about {domain}: they are not sent",
                        "{to} es de otro dominio, que no ha dicho que quiera informes sobre \
                         {domain}: no se envían"; to = all.join(", "), domain = SENDER_DOMAIN
                    ),
                ),
            }
        }
        several => (
            "dmarc.several",
            said!(
                "{name} has {count} DMARC records, and receivers then count none",
                "{name} tiene {count} registros DMARC, y entonces los receptores no cuentan ninguno";
                name = name, count = several.len()
            ),
        ),
    };
    Err(Fault::new(id, said))
}

async fn forgery_refused(world: &World) -> Result<(), Fault> {
    // A stranger whose own house is in order: SPF passes, for the stranger's domain.
    let by_spf = dmarc::Authenticated::new("news.example", true);
    let zone = world.lab.zone();
    let found = dmarc::evaluate(zone, SENDER_DOMAIN, Some(&by_spf), &[]).await;
    // RFC 9989 has removed `pct`, and receivers of the time before go by it.
    let records = texts(world, &format!("_dmarc.{SENDER_DOMAIN}"));
    let mut tags =
        records.iter().flat_map(|text| text.split(';')).filter_map(|tag| tag.split_once('='));
    let is_of_some = tags
        .any(|(name, percent)| name.trim().eq_ignore_ascii_case("pct") && percent.trim() != "100");
    let refuses = found.disposition == dmarc::Policy::Reject && !is_of_some;
    if found.result == DmarcResult::Fail && refuses {
        return Ok(());
    }
    Err(Fault::new(
        "dmarc.lets-through",
        said!(
            "a letter that somebody else sends as {student} is not refused by the policy of \
             {domain}",
            "la política de {domain} no hace rechazar una carta que otro envía como {student}";
            student = STUDENT, domain = SENDER_DOMAIN
        ),
    ))
}
