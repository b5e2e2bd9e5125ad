//! What is wrong with a relayhost, and what to do: its name, its port, and what became
//! of the message. What is wrong with one of its hosts is found in `host`.

use super::{Report, host, trouble};
use crate::cause::Cause;
use crate::config::NextHopHost;
use crate::explain::Explanation;
use crate::finding::{Finding, Severity};
use crate::lang::{Said, Text, dns_error, said, said_of};
use crate::telemetry::DeliveryStatus;

const SMTPS_PORT: u16 = 465;

/// Something that is wrong, and what a refusal means that it rests on.
#[derive(Debug, Clone)]
pub struct Problem {
    /// What was seen and what to do; of an error, mail does not arrive.
    pub finding: Finding,
    /// The refusal, where its meaning is known.
    pub refusal: Option<Explanation>,
}

impl Problem {
    pub(super) fn error(id: &'static str, seen: Said, remedy: impl Into<Said>) -> Self {
        Self { finding: Finding::new(id, Severity::Error, seen, remedy.into()), refusal: None }
    }

    pub(super) fn warning(id: &'static str, seen: Said, remedy: impl Into<Said>) -> Self {
        Self { finding: Finding::new(id, Severity::Warning, seen, remedy.into()), refusal: None }
    }

    pub(super) fn meaning(self, refusal: Option<Explanation>) -> Self {
        Self { refusal, ..self }
    }

    /// What the refusal means.
    pub fn cause(&self) -> Option<Said> {
        let refusal = self.refusal?;
        Some(Said::of_both(|language| refusal.cause(language).to_owned()))
    }
}

/// Everything that is wrong, the worst first.
pub(super) fn find(report: &Report, now: i64) -> Vec<Problem> {
    let mut found = Vec::new();
    found.extend(no_route(report));
    found.extend(other_exchanger(report));
    found.extend(unnamed(report));
    found.extend(port(report));
    // The next host takes what one does not.
    let one_works = report.sights.iter().any(host::takes_mail);
    for sight in &report.sights {
        let mut of_host = host::find(report, sight, now);
        if one_works && !host::takes_mail(sight) {
            of_host.iter_mut().for_each(|problem| problem.finding.severity = Severity::Warning);
        }
        found.append(&mut of_host);
    }
    found.extend(unsent(report));
    found.sort_by_key(|problem| std::cmp::Reverse(problem.finding.severity));
    // Several addresses of one host say the same.
    let mut problems: Vec<Problem> = Vec::new();
    for problem in found {
        if !problems.iter().any(|known| known.finding == problem.finding) {
            problems.push(problem);
        }
    }
    problems
}

fn no_route(report: &Report) -> Option<Problem> {
    const SPELLING: Text = Text::new(
        "check how the name is spelled: it is looked up in the DNS alone, not in /etc/hosts; what is not in the DNS stands as an address, such as [192.0.2.1]",
        "compruebe cómo está escrito el nombre: solo se busca en el DNS, no en /etc/hosts; lo que no está en el DNS va como dirección, como [192.0.2.1]",
    );
    let cause = &report.plan.as_ref().err()?.cause;
    let name = report.next_hop.host.name().unwrap_or_default();
    let brackets = || {
        said!(
            "if {name} itself is the relay, write [{name}]",
            "si el relay es {name} mismo, escriba [{name}]"; name = name
        )
    };
    let (seen, remedy) = match of_rule(cause) {
        Cause::ExchangersUnknown { error, .. } | Cause::AddressUnknown { error, .. } => (
            said_of!(
                "the DNS does not say where {name} is: {error}",
                "el DNS no dice dónde está {name}: {error}";
                name = Said::words(name), error = dns_error(error)
            ),
            said!(
                "that says nothing about the relayhost: try again, and check the name servers in [dns] or /etc/resolv.conf",
                "eso no dice nada del relayhost: inténtelo de nuevo y compruebe los servidores de nombres de [dns] o /etc/resolv.conf"
            ),
        ),
        Cause::NullExchanger { .. } => (
            said!(
                "{name} takes no mail: it publishes a null MX (RFC 7505)",
                "{name} no acepta correo: publica un MX nulo (RFC 7505)"; name = name
            ),
            brackets(),
        ),
        Cause::HostWithoutAddress { host }
        | Cause::ExchangerIsAddress { address: host }
        | Cause::LoopbackExchanger { host, .. } => (
            said!(
                "the MX of {name}, {host}, has no address",
                "el MX de {name}, {host}, no tiene dirección"; name = name, host = host
            ),
            brackets(),
        ),
        Cause::NoSuchDomain { .. } => (
            said!("{name} does not exist in the DNS", "{name} no existe en el DNS"; name = name),
            SPELLING.into(),
        ),
        Cause::BareDomain { .. } => (
            said!(
                "{name} exists in the DNS, but has no address there",
                "{name} existe en el DNS, pero no tiene allí ninguna dirección"; name = name
            ),
            SPELLING.into(),
        ),
        _ => (
            said_of!("there is nowhere to connect to: {cause}",
                "no hay adónde conectarse: {cause}"; cause = cause),
            SPELLING.into(),
        ),
    };
    Some(Problem::error("relay.route", seen, remedy))
}

/// Why a rule of the configuration leads nowhere.
pub(super) fn of_rule(cause: &Cause) -> &Cause {
    if let Cause::OfRule { why, .. } = cause { why } else { cause }
}

fn other_exchanger(report: &Report) -> Option<Problem> {
    let names = report.names.as_ref()?;
    let NextHopHost::Mx(name) = &report.next_hop.host else { return None };
    let (_, exchanger) = names.exchangers.first()?;
    let mut hops = report.plan.as_ref().ok()?.hops.iter().filter(|hop| *hop.host == **exchanger);
    let elsewhere = hops.any(|hop| !names.addresses.contains(&hop.address.ip()));
    if names.addresses.is_empty() || !elsewhere {
        return None;
    }
    let addresses: Vec<String> = names.addresses.iter().map(ToString::to_string).collect();
    let seen = said!(
        "without brackets mail goes to the MX {exchanger}, not to {name} itself ({addresses})",
        "sin corchetes el correo va al MX {exchanger}, no a {name} mismo ({addresses})";
        exchanger = exchanger, name = name, addresses = addresses.join(", ")
    );
    let remedy = said!(
        "if {name} itself is meant, write [{name}]",
        "si se quiere {name} mismo, escriba [{name}]"; name = name
    );
    Some(Problem::warning("relay.mx-differs", seen, remedy))
}

fn unnamed(report: &Report) -> Option<Problem> {
    let plan = report.plan.as_ref().ok().filter(|plan| plan.login.is_some())?;
    if plan.exchangers_of.as_ref().is_none_or(|relay| relay.validated) {
        return None;
    }
    let seen = said!(
        "a password is configured for {name}, which stands without brackets",
        "hay una contraseña para {name}, que va sin corchetes"; name = report.next_hop.host.name()?
    );
    Some(Problem::warning("relay.brackets", seen, report.next_hop.advice_for_password()?))
}

pub(super) fn port(report: &Report) -> Option<Problem> {
    let hop = report.next_hop.to_string();
    let port = report.next_hop.port?;
    // A port may be used in another way than is usual.
    if report.sights.iter().any(|sight| sight.offered.is_some()) {
        return None;
    }
    match (port, report.next_hop.implicit_tls) {
        (SMTPS_PORT, false) => Some(Problem::error(
            "relay.port",
            said!(
                "on port 465 TLS is spoken from the first byte, but the relayhost says nothing of it",
                "en el puerto 465 se habla TLS desde el primer byte, pero el relayhost no lo dice"
            ),
            said!("write smtps://{hop}", "escriba smtps://{hop}"; hop = hop.trim_end_matches(":465")),
        )),
        (25 | 587, true) => Some(Problem::error(
            "relay.port",
            said!(
                "smtps:// speaks TLS from the first byte, but port {port} begins in plain text",
                "smtps:// habla TLS desde el primer byte, pero el puerto {port} empieza sin cifrar";
                port = port
            ),
            said!(
                "leave smtps:// out: STARTTLS is used where it is offered",
                "quite smtps://: se usa STARTTLS donde se ofrece"
            ),
        )),
        _ => None,
    }
}

// Of a message that was kept back, what is wrong with the hosts has been said.
fn unsent(report: &Report) -> Option<Problem> {
    let outcome = report.sent.as_ref()?.outcome.as_ref()?;
    if outcome.status == DeliveryStatus::Sent {
        return None;
    }
    let reply = outcome.reply.as_ref();
    let reason = reply.map_or_else(|| outcome.text().into_owned(), ToString::to_string);
    let seen = said!(
        "the message was not taken: {reason}", "el mensaje no se aceptó: {reason}"; reason = reason
    );
    let meaning = trouble::meaning(reply, outcome.host.as_deref().unwrap_or_default());
    let remedy = meaning.as_ref().map(trouble::explained_remedy).unwrap_or_else(|| {
        said!(
            "read what the relay says; `puerto explain` tells what it means",
            "lea lo que dice el relay; `puerto explain` aclara qué significa"
        )
    });
    Some(Problem::error("relay.send", seen, remedy).meaning(meaning))
}
