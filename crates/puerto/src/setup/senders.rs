//! From which addresses the users and programs of this machine send: what completes
//! their names, and whether a relay takes mail from one address alone.

use puerto_smtp::{Address, Domain};

use super::Wishes;
use super::decide::dotted_name;
use super::person::{Gone, Person, ask};
use super::takeover::Inherited;
use crate::config::{Config, NextHop};
use crate::finding::{Finding, Kind, Severity, kinds};
use crate::lang::said;
use crate::sender::of_the_machine;
use crate::survey::names::{is_private, provider};
use crate::survey::relayhost::service;
use puerto_mail::dns::is_at_or_below;

kinds! {
    INTERNAL = "hostname.private" Error:
        "The server is called {name}, a name that nobody outside knows: receivers refuse mail from \
         such a name.",
        "El servidor se llama {name}, un nombre que nadie conoce fuera: los receptores rechazan el \
         correo de un nombre así.",
        "Set `hostname` to one of {domain}, as in mail.{domain}",
        "Ponga en `hostname` uno de {domain}, como mail.{domain}";
    SHORT = "hostname.short" Error:
        "The configuration calls this server {name}, which is not a full name, and receivers \
         refuse such a greeting",
        "La configuración llama {name} a este servidor, que no es un nombre completo, y los \
         receptores rechazan ese saludo",
        "set `hostname`, as in mail.example.com", "ponga `hostname`, como en mail.example.com";
    PROVIDERS = "hostname.of-provider" Error:
        "The server is called {name}, as its hosting company ({provider}) calls machines of which \
         nobody takes care: receivers distrust them, and no SPF or DKIM of yours can stand there.",
        "El servidor se llama {name}, como su proveedor ({provider}) llama a las máquinas de las \
         que nadie se ocupa: los receptores desconfían de ellas, y ahí no puede haber SPF ni DKIM \
         suyos.",
        "Set `hostname` to one of {domain}, as in mail.{domain}",
        "Ponga en `hostname` uno de {domain}, como mail.{domain}";
    SENDERS_INTERNAL = "sender.private" Error:
        "Who sends from this machine is user@{name}, which nobody outside knows: receivers refuse \
         such senders, and nobody can answer them.",
        "Quien envía desde esta máquina es usuario@{name}, que nadie conoce fuera: los receptores \
         rechazan esos remitentes y nadie les puede contestar.",
        "Set `origin` to a domain of yours, as in {domain}",
        "Ponga en `origin` un dominio suyo, como {domain}";
    SENDERS_PROVIDERS = "sender.of-provider" Error:
        "Who sends from this machine is user@{name}, a name of the hosting company ({provider}), \
         for which you can publish neither SPF nor DKIM: many receivers refuse such senders.",
        "Quien envía desde esta máquina es usuario@{name}, un nombre del proveedor ({provider}), \
         para el que no se puede publicar SPF ni DKIM: muchos receptores rechazan esos remitentes.",
        "Set `origin` to a domain of yours, as in {domain}",
        "Ponga en `origin` un dominio suyo, como {domain}";
}

/// Asks what completes bare senders, where the domain that was asked for has its
/// mailboxes elsewhere or what another program said is of no use outside.
pub(super) fn origin(
    wishes: &Wishes,
    config: &Config,
    inherited: &[&Inherited],
    person: &mut dyn Person,
) -> Result<Option<Domain>, Gone> {
    if let Some(asked) = &wishes.origin {
        return Ok(asked.clone());
    }
    let first = config.domains.first();
    let said = inherited.iter().find_map(|program| program.origin.clone());
    let is_of_use = |domain: &Domain| domain.name().is_some_and(is_known_outside);
    let is_here = config.domains.iter().any(|domain| domain.name() == Some(&wishes.domain));
    let known = said.clone().filter(is_of_use);
    if is_here && known.as_ref().or(first).is_some_and(is_of_use) {
        return Ok(known.filter(|origin| Some(origin) != first));
    }
    let proposed = known.and_then(|origin| origin.name().map(str::to_owned));
    let proposed = proposed.unwrap_or_else(|| wishes.domain.clone());
    let question = said!(
        "What stands behind the @ of those who send from this machine, as in root@{proposed}? The \
         domain where they have mailboxes",
        "¿Qué va tras la @ de quienes envían desde esta máquina, como en root@{proposed}? El \
         dominio donde tienen sus buzones";
        proposed = proposed
    );
    let mut warned = None;
    let name = ask(person, question, &proposed, |answer| {
        let Some(name) = dotted_name(answer.trim_start_matches('@')) else {
            return Err(said!(
                "{answer} is not a domain, as example.com is. What stands behind the @ of those \
                 who send",
                "{answer} no es un dominio, como example.com. Qué va tras la @ de quienes envían";
                answer = answer
            ));
        };
        let known = !is_private(&name) || name == wishes.domain;
        // Whoever says it twice knows why.
        if known || warned.replace(name.clone()).as_ref() == Some(&name) {
            return Ok(name);
        }
        Err(said!(
            "{answer} is a name that nobody outside knows: receivers refuse senders there, and \
             nobody can answer them. What stands behind the @, such as {proposed}",
            "{answer} es un nombre que nadie conoce fuera: los receptores rechazan remitentes así \
             y nadie les puede contestar. Qué va tras la @, como {proposed}";
            answer = answer, proposed = proposed
        ))
    })?;
    Ok(Domain::parse(&name).ok().filter(|origin| Some(origin) != first))
}

/// Offers to send all mail from the login's own address: a relay that answers "not owned
/// by user" takes no other.
pub(super) fn always(
    wishes: &Wishes,
    config: &Config,
    person: &mut dyn Person,
) -> Result<Option<Address>, Gone> {
    if let Some(asked) = &wishes.always {
        return Ok(asked.clone());
    }
    let (Some(relayhost), Some(login)) = (&config.relayhost, &config.relayhost_login) else {
        return Ok(None);
    };
    let Some(address) = Address::parse(&login.user).ok() else { return Ok(None) };
    let question = said!(
        "Does {relayhost} take mail from {address} alone, as providers of mailboxes do (\"553 not \
         owned by user\")? Then all mail is sent from it, and answers go to the author",
        "¿Acepta {relayhost} solo correo de {address}, como los proveedores de buzones («553 not \
         owned by user»)? Entonces todo el correo sale desde ella y las respuestas van al autor";
        relayhost = relayhost, address = login.user
    );
    Ok(person.confirm(&question, insists(relayhost, &address))?.then_some(address))
}

fn insists(relayhost: &NextHop, login: &Address) -> bool {
    let Some(host) = relayhost.host.name().map(str::to_ascii_lowercase) else { return false };
    let is_at = |domain: &str| is_at_or_below(&host, &domain.to_ascii_lowercase());
    service(relayhost).is_some_and(|service| service.has_mailboxes)
        || login.domain().name().is_some_and(is_at)
}

/// Whether others can look the name up, and it is the person's own.
pub(super) fn is_known_outside(name: &str) -> bool {
    !is_private(name) && provider(name).is_none()
}

/// What will come of the names that the configuration has; behind a relayhost nobody
/// outside hears that of the server.
pub(super) fn judge(config: &Config, domain: &str) -> Vec<Finding> {
    let domain = if is_known_outside(domain) { domain } else { "example.com" };
    let said = |kind: Kind, name: &str, end: &str| {
        kind.put("name", name).put("provider", end).put("domain", domain)
    };
    let hostname = config.hostname.as_str();
    let of_the_name = match provider(hostname) {
        _ if dotted_name(hostname).is_none() => Some(said(SHORT, hostname, "")),
        _ if is_private(hostname) => Some(said(INTERNAL, hostname, "")),
        Some(end) => Some(said(PROVIDERS, hostname, end)),
        None => None,
    };
    let severity = if config.relayhost.is_some() { Severity::Warning } else { Severity::Error };
    let sender = of_the_machine(config);
    let of_the_sender = match sender.as_ref().and_then(|address| address.domain().name()) {
        Some(sender) if is_private(sender) => Some(said(SENDERS_INTERNAL, sender, "")),
        Some(sender) => provider(sender).map(|end| said(SENDERS_PROVIDERS, sender, end)),
        None => None,
    };
    of_the_name.map(|found| found.of(severity)).into_iter().chain(of_the_sender).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relays_of_mailboxes_are_known_to_insist_on_the_logins_address() {
        for (hop, login, expected) in [
            ("[mail.gmx.net]:587", "ana@gmx.de", true),
            ("[smtp.gmail.com]:587", "ana@gmail.com", true),
            ("[smtp.office365.com]:587", "shop@example.com", true),
            ("[smtp.own.example]:587", "ana@own.example", true),
            ("[smtp-relay.brevo.com]:587", "ana@gmail.com", false),
            ("[email-smtp.eu-west-1.amazonaws.com]:587", "ana@example.com", false),
            ("[192.0.2.1]", "ana@example.com", false),
        ] {
            let (hop, login) = (NextHop::parse(hop).unwrap(), Address::parse(login).unwrap());
            assert_eq!(insists(&hop, &login), expected, "{hop} {login}");
        }
    }
}
