//! What is wrong with a relayhost, and what to do.

use puerto_smtp::ReversePath;

use super::Report;
use crate::config::{NextHopHost, TlsLevel};
use crate::deliver::probe::Sight;
use crate::lang::{Said, Text};
use crate::telemetry::DeliveryStatus;
use crate::tls::Certificate;

/// Days before a certificate ends at which it should have been renewed.
const RENEWAL_DAYS: i64 = 14;
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
    /// What to do.
    pub remedy: Said,
}

fn error(id: &'static str, seen: Said, remedy: Said) -> Problem {
    Problem { id, weight: Weight::Error, seen, remedy }
}

fn warning(id: &'static str, seen: Said, remedy: Said) -> Problem {
    Problem { id, weight: Weight::Warning, seen, remedy }
}

/// Everything that is wrong, the worst first.
pub(super) fn find(report: &Report, now: i64) -> Vec<Problem> {
    let mut problems = Vec::new();
    problems.extend(no_route(report));
    problems.extend(other_exchanger(report));
    problems.extend(port(report));
    for sight in &report.sights {
        reach(sight, &mut problems);
        encryption(report, sight, &mut problems);
        certificate(report, sight, now, &mut problems);
        login(sight, &mut problems);
        addresses(sight, &mut problems);
    }
    problems.extend(unsent(report));
    problems.sort_by_key(|problem| problem.weight);
    problems
}

fn no_route(report: &Report) -> Option<Problem> {
    const SEEN: Text = Text::new(
        "there is nowhere to connect to: {failure}",
        "no hay adónde conectarse: {failure}",
    );
    const REMEDY: Text = Text::new(
        "check how the name is spelled, and whether it stands in brackets that it needs",
        "compruebe cómo está escrito el nombre, y si le faltan los corchetes",
    );
    const LATER: Text =
        Text::new("the DNS did not answer: try again", "el DNS no respondió: inténtelo de nuevo");
    let failure = report.plan.as_ref().err()?;
    let remedy = if report.is_uncertain() { LATER } else { REMEDY };
    let seen = Said::with(SEEN, &[("failure", &failure.text)]);
    Some(error("relay.route", seen, Said::plain(remedy)))
}

fn other_exchanger(report: &Report) -> Option<Problem> {
    const SEEN: Text = Text::new(
        "without brackets mail goes to the MX {exchanger}, not to {name} itself ({addresses})",
        "sin corchetes el correo va al MX {exchanger}, no a {name} mismo ({addresses})",
    );
    const REMEDY: Text = Text::new(
        "if {name} itself is meant, write [{name}]",
        "si se quiere {name} mismo, escriba [{name}]",
    );
    let names = report.names.as_ref()?;
    let NextHopHost::Mx(name) = &report.next_hop.host else { return None };
    let (_, exchanger) = names.exchangers.first()?;
    if names.addresses.is_empty() || names.addresses == names.exchanger_addresses {
        return None;
    }
    let addresses: Vec<String> = names.addresses.iter().map(ToString::to_string).collect();
    let values =
        [("exchanger", exchanger.as_str()), ("name", name), ("addresses", &addresses.join(", "))];
    let remedy = Said::with(REMEDY, &[("name", name)]);
    Some(warning("relay.mx-differs", Said::with(SEEN, &values), remedy))
}

fn port(report: &Report) -> Option<Problem> {
    const NEEDS_TLS: Text = Text::new(
        "on port 465 TLS is spoken from the first byte, but the relayhost says nothing of it",
        "en el puerto 465 se habla TLS desde el primer byte, pero el relayhost no lo dice",
    );
    const WRITE: Text = Text::new("write smtps://{hop}", "escriba smtps://{hop}");
    const NEEDS_STARTTLS: Text = Text::new(
        "smtps:// speaks TLS from the first byte, but port {port} begins in plain text",
        "smtps:// habla TLS desde el primer byte, pero el puerto {port} empieza sin cifrar",
    );
    const LEAVE_OUT: Text = Text::new(
        "leave smtps:// out: STARTTLS is used where it is offered",
        "quite smtps://: se usa STARTTLS donde se ofrece",
    );
    let hop = report.next_hop.to_string();
    let port = report.next_hop.port?;
    match (port, report.next_hop.implicit_tls) {
        (SMTPS_PORT, false) => Some(error(
            "relay.port",
            Said::plain(NEEDS_TLS),
            Said::with(WRITE, &[("hop", hop.trim_end_matches(":465"))]),
        )),
        (25 | 587, true) => Some(error(
            "relay.port",
            Said::with(NEEDS_STARTTLS, &[("port", &port.to_string())]),
            Said::plain(LEAVE_OUT),
        )),
        _ => None,
    }
}

fn reach(sight: &Sight, problems: &mut Vec<Problem>) {
    const SEEN: Text = Text::new("{host}[{address}]: {failure}", "{host}[{address}]: {failure}");
    const UNREACHED: Text = Text::new(
        "check the port, and whether a firewall or your hosting company blocks it: many block 25, few 587",
        "compruebe el puerto, y si lo bloquea un cortafuegos o su proveedor: muchos bloquean el 25, pocos el 587",
    );
    const BROKEN_OFF: Text = Text::new(
        "read what the relay says: it may not know this machine's address",
        "lea lo que dice el relay: quizá no conoce la dirección de esta máquina",
    );
    let Some(failure) = &sight.failure else { return };
    let address = sight.address.to_string();
    let values = [("host", &*sight.host), ("address", &address), ("failure", failure)];
    let remedy = if sight.offered.is_some() { BROKEN_OFF } else { UNREACHED };
    problems.push(error("relay.unreachable", Said::with(SEEN, &values), Said::plain(remedy)));
}

fn encryption(report: &Report, sight: &Sight, problems: &mut Vec<Problem>) {
    const SEEN: Text = Text::new("{host} offers no TLS", "{host} no ofrece TLS");
    const REMEDY: Text = Text::new(
        "use a port of the relay that offers it, such as 587: what is sent can be read on the way",
        "use un puerto del relay que lo ofrezca, como el 587: lo que se envía puede leerse por el camino",
    );
    let Ok(plan) = &report.plan else { return };
    if sight.offered.is_none() || sight.tls.is_some() || sight.offered_starttls {
        return;
    }
    let seen = Said::with(SEEN, &[("host", &sight.host)]);
    let needed = plan.tls == TlsLevel::Required || plan.login.is_some();
    let make = if needed { error } else { warning };
    problems.push(make("relay.no-tls", seen, Said::plain(REMEDY)));
}

fn certificate(report: &Report, sight: &Sight, now: i64, problems: &mut Vec<Problem>) {
    const INVALID: Text = Text::new(
        "the certificate of {host} is not valid for it: {reason}",
        "el certificado de {host} no es válido: {reason}",
    );
    const NAME: Text = Text::new(
        "write the name that the certificate is for, or tell the relay's administrator: with tls = \"required\" no mail goes there",
        "escriba el nombre para el que es el certificado, o avise al administrador del relay: con tls = \"required\" no le llega correo",
    );
    const UNPROVEN: Text = Text::new(
        "mail goes there all the same, encrypted, but to whoever answers: tell the relay's administrator, or write the name that the certificate is for",
        "el correo va igualmente, cifrado, pero a quien conteste: avise al administrador del relay, o escriba el nombre para el que es el certificado",
    );
    const ENDS: Text = Text::new(
        "the certificate of {host} ends in {days} days",
        "el certificado de {host} caduca en {days} días",
    );
    const RENEW: Text = Text::new(
        "tell the relay's administrator to renew it",
        "avise al administrador del relay para que lo renueve",
    );
    let (Some(inspected), Ok(plan)) = (&sight.inspected, &report.plan) else { return };
    if let Err(reason) = &inspected.verdict {
        let seen = Said::with(INVALID, &[("host", &sight.host), ("reason", reason)]);
        problems.push(match plan.tls {
            TlsLevel::Required => error("relay.certificate", seen, Said::plain(NAME)),
            _ => warning("relay.certificate", seen, Said::plain(UNPROVEN)),
        });
        return;
    }
    let days = inspected.chain.first().and_then(|der| days_left(der, now));
    if let Some(days) = days.filter(|days| *days < RENEWAL_DAYS) {
        let values = [("host", &*sight.host), ("days", &*days.to_string())];
        problems.push(warning("relay.certificate", Said::with(ENDS, &values), Said::plain(RENEW)));
    }
}

fn days_left(der: &[u8], now: i64) -> Option<i64> {
    let ends = Certificate::parse(der)?.not_after;
    let today = jiff::Timestamp::from_second(now).ok()?.to_zoned(jiff::tz::TimeZone::UTC).date();
    Some(i64::from(today.until(ends).ok()?.get_days()))
}

fn login(sight: &Sight, problems: &mut Vec<Problem>) {
    const SEEN: Text =
        Text::new("the login is not taken: {reason}", "no se acepta el usuario: {reason}");
    const REMEDY: Text = Text::new(
        "check relayhost_login: user, password file, and whether the provider wants an application password",
        "compruebe relayhost_login: el usuario, el archivo de la contraseña, y si el proveedor exige una contraseña de aplicación",
    );
    if let Some(Err(reason)) = &sight.login {
        let seen = Said::with(SEEN, &[("reason", reason)]);
        problems.push(error("relay.login", seen, Said::plain(REMEDY)));
    }
}

fn addresses(sight: &Sight, problems: &mut Vec<Problem>) {
    const REFUSED: Text = Text::new(
        "{host} does not take mail from {sender}: {reason}",
        "{host} no acepta correo de {sender}: {reason}",
    );
    const WANTS_LOGIN: Text = Text::new(
        "it offers AUTH: set relayhost_login, or have this machine's address allowed there",
        "ofrece AUTH: configure relayhost_login, o haga que allí se permita la dirección de esta máquina",
    );
    const VERIFY: Text = Text::new(
        "have the domain of the sender, or this machine's address, allowed at the relay",
        "haga que el relay permita el dominio del remitente, o la dirección de esta máquina",
    );
    const NULL_REFUSED: Text = Text::new(
        "{host} does not take the null reverse-path, so that notifications are lost: {reason}",
        "{host} no acepta el remitente nulo, así que los avisos se pierden: {reason}",
    );
    const NULL_REMEDY: Text = Text::new(
        "ask the relay's administrator: every server has to take it (RFC 5321 §4.5.5)",
        "pregunte al administrador del relay: todo servidor debe aceptarlo (RFC 5321 §4.5.5)",
    );
    let offers_login = sight.offered.as_ref().is_some_and(|offered| !offered.auth.is_empty());
    for granted in &sight.granted {
        let Err(failure) = &granted.answer else { continue };
        let reason = failure.to_string();
        match &granted.wish.reverse_path {
            ReversePath::Null => {
                let values = [("host", &*sight.host), ("reason", &*reason)];
                problems.push(warning(
                    "relay.null-sender",
                    Said::with(NULL_REFUSED, &values),
                    Said::plain(NULL_REMEDY),
                ));
            }
            ReversePath::Address(sender) => {
                let sender = sender.to_string();
                let values = [("host", &*sight.host), ("sender", &*sender), ("reason", &*reason)];
                let remedy =
                    if offers_login && sight.login.is_none() { WANTS_LOGIN } else { VERIFY };
                let seen = Said::with(REFUSED, &values);
                problems.push(error("relay.sender", seen, Said::plain(remedy)));
            }
        }
    }
}

fn unsent(report: &Report) -> Option<Problem> {
    const SEEN: Text =
        Text::new("the message was not taken: {reason}", "el mensaje no se aceptó: {reason}");
    const REMEDY: Text = Text::new(
        "read what the relay says; puerto explain tells what it means",
        "lea lo que dice el relay; puerto explain aclara qué significa",
    );
    let outcome = &report.sent.as_ref()?.outcome;
    if outcome.status == DeliveryStatus::Sent {
        return None;
    }
    let seen = Said::with(SEEN, &[("reason", &outcome.text)]);
    Some(error("relay.send", seen, Said::plain(REMEDY)))
}
