//! What is wrong with a relayhost, and what to do: its name, its port, and what became
//! of the message. What is wrong with one of its hosts is found in `host`.

use puerto_mail::dns::DnsError;

use super::{Names, Report, host, trouble};
use crate::config::NextHopHost;
use crate::explain::Explanation;
use crate::lang::{Said, Text, dns_error, said, said_of};
use crate::telemetry::DeliveryStatus;

const SMTPS_PORT: u16 = 465;

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Weight {
    /// Mail does not arrive.
    Error,
    /// Mail may arrive.
    Warning,
}

impl Weight {
    /// The word in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its name, the same in every version.
    pub id: &'static str,
    /// How much it matters.
    pub weight: Weight,
    /// What was seen.
    pub seen: Said,
    /// What a refusal means, where that is known.
    pub cause: Option<Said>,
    /// The class of that refusal, as `puerto explain` names it.
    pub class: Option<&'static str>,
    /// What to do.
    pub remedy: Said,
}

impl Problem {
    pub(super) fn error(id: &'static str, seen: Said, remedy: impl Into<Said>) -> Self {
        let remedy = remedy.into();
        Self { id, weight: Weight::Error, seen, cause: None, class: None, remedy }
    }

    pub(super) fn warning(id: &'static str, seen: Said, remedy: impl Into<Said>) -> Self {
        Self { weight: Weight::Warning, ..Self::error(id, seen, remedy) }
    }

    pub(super) fn meaning(self, explanation: Option<Explanation>) -> Self {
        let cause = explanation.as_ref().map(trouble::explained_cause);
        Self { cause, class: explanation.map(|found| found.class()), ..self }
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
    let one_works = report.sights.iter().any(|sight| host::takes_mail(report, sight));
    for sight in &report.sights {
        let spared = one_works && !host::takes_mail(report, sight);
        let weight = |problem: Problem| match spared {
            true => Problem { weight: Weight::Warning, ..problem },
            false => problem,
        };
        found.extend(host::find(report, sight, now).into_iter().map(weight));
    }
    found.extend(unsent(report));
    found.sort_by_key(|problem| problem.weight);
    // Several addresses of one host say the same.
    let mut problems: Vec<Problem> = Vec::new();
    for problem in found {
        if !problems.contains(&problem) {
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
    const BRACKETS: Text = Text::new(
        "if {name} itself is the relay, write [{name}]",
        "si el relay es {name} mismo, escriba [{name}]",
    );
    const LATER: Text = Text::new(
        "that says nothing about the relayhost: try again, and check the name servers in [dns] or /etc/resolv.conf",
        "eso no dice nada del relayhost: inténtelo de nuevo y compruebe los servidores de nombres de [dns] o /etc/resolv.conf",
    );
    let failure = report.plan.as_ref().err()?;
    let names = report.names.as_ref();
    let (NextHopHost::Mx(name) | NextHopHost::Name(name)) = &report.next_hop.host else {
        let seen = said_of!("there is nowhere to connect to: {failure}",
            "no hay adónde conectarse: {failure}"; failure = failure.cause);
        return Some(Problem::error("relay.route", seen, SPELLING));
    };
    let remedy = if report.is_uncertain() {
        Said::plain(LATER)
    } else if names.is_some_and(|names| !names.exchangers.is_empty()) {
        Said::with(BRACKETS, &[("name", name)])
    } else {
        Said::plain(SPELLING)
    };
    let seen = names.and_then(|names| nowhere(name, names));
    let seen = seen.unwrap_or_else(|| {
        said_of!("there is nowhere to connect to: {failure}",
            "no hay adónde conectarse: {failure}"; failure = failure.cause)
    });
    Some(Problem::error("relay.route", seen, remedy))
}

fn nowhere(name: &str, names: &Names) -> Option<Said> {
    if let Some(error) = &names.uncertain {
        return Some(said_of!(
            "the DNS does not say where {name} is: {error}",
            "el DNS no dice dónde está {name}: {error}";
            name = Said::words(name), error = dns_error(error)
        ));
    }
    match names.exchangers.as_slice() {
        [(_, host)] if host.is_empty() => Some(said!(
            "{name} takes no mail: it publishes a null MX (RFC 7505)",
            "{name} no acepta correo: publica un MX nulo (RFC 7505)"; name = name
        )),
        [(_, host), ..] if names.exchanger_addresses.is_empty() => Some(said!(
            "the MX of {name}, {host}, has no address",
            "el MX de {name}, {host}, no tiene dirección"; name = name, host = host
        )),
        [] if names.absence == Some(DnsError::NoSuchDomain) => Some(said!(
            "{name} does not exist in the DNS", "{name} no existe en el DNS"; name = name
        )),
        [] => Some(said!(
            "{name} exists in the DNS, but has no address there",
            "{name} existe en el DNS, pero no tiene allí ninguna dirección"; name = name
        )),
        _ => None,
    }
}

fn other_exchanger(report: &Report) -> Option<Problem> {
    let names = report.names.as_ref()?;
    let NextHopHost::Mx(name) = &report.next_hop.host else { return None };
    let (_, exchanger) = names.exchangers.first()?;
    if names.addresses.is_empty() || names.addresses == names.exchanger_addresses {
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
    let NextHopHost::Mx(name) = &report.next_hop.host else { return None };
    let seen = said!(
        "a password is configured for {name}, which stands without brackets",
        "hay una contraseña para {name}, que va sin corchetes"; name = name
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

fn unsent(report: &Report) -> Option<Problem> {
    let sent = report.sent.as_ref()?;
    let Some(outcome) = &sent.outcome else {
        // What is wrong with the hosts has been said.
        return None;
    };
    if outcome.status == DeliveryStatus::Sent {
        return None;
    }
    let reason =
        outcome.reply.as_ref().map_or_else(|| outcome.text().into_owned(), ToString::to_string);
    let seen = said!(
        "the message was not taken: {reason}", "el mensaje no se aceptó: {reason}"; reason = reason
    );
    let host = outcome.host.as_deref().unwrap_or_default();
    let meaning = outcome.reply.as_ref().and_then(|reply| trouble::meaning(reply, host));
    let remedy = meaning.as_ref().map_or_else(
        || {
            said!(
                "read what the relay says; `puerto explain` tells what it means",
                "lea lo que dice el relay; `puerto explain` aclara qué significa"
            )
        },
        trouble::explained_remedy,
    );
    Some(Problem::error("relay.send", seen, remedy).meaning(meaning))
}
