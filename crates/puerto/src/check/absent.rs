//! A domain that does not exist: that is the one thing to be told, before all else, and
//! nothing else about the domain means anything.

use super::context::Context;
use super::domain::SENDER_RESOLVES;
use super::outcome::{Check, Status};
use super::world::World;
use puerto_mail::dns::{RecordType, is_at_or_below};

/// Groups that judge the domain's records.
const OF_DOMAIN: [&str; 8] = ["dns", "spf", "dkim", "dmarc", "mtasts", "tlsrpt", "bimi", "mbox"];
/// Those of them that judge this machine.
const OF_MACHINE: [&str; 6] = [
    "dkim.key-perms",
    "dkim.key-size",
    "dkim.ed25519-dual",
    "dkim.rotation",
    "mbox.open-relay",
    "mbox.backscatter",
];
/// What looks the name in EHLO up, and so fails where that is in the domain.
const OF_NAME: [&str; 3] = ["helo.resolves", "helo.no-cname", "helo.spf"];

/// Says first that the domain does not exist, and skips what depends on it.
pub(super) fn told<W: World>(context: &Context<'_, W>, checks: Vec<Check>) -> Vec<Check> {
    let Some(registered) = &context.unregistered else { return checks };
    let first = context
        .asking(&SENDER_RESOLVES, &context.domain, (registered, RecordType::Soa))
        .with("registered", registered)
        .decisive()
        .expected((
            "a domain that is registered and delegated to name servers",
            "un dominio registrado y delegado en servidores de nombres",
        ))
        .remedy((
            "Correct the name if it is misspelt; else register {registered}, or renew it if it has \
             expired, and let the registrar delegate it to your name servers. Then run `puerto \
             check` again",
            "Corrija el nombre si está mal escrito; si no, registre {registered}, o renuévelo si \
             ha caducado, y haga que el registrador lo delegue en sus servidores de nombres. \
             Repita después `puerto check`",
        ))
        .finding((
            "no such domain: the DNS says that {registered} does not exist (NXDOMAIN)",
            "no existe ese dominio: el DNS dice que {registered} no existe (NXDOMAIN)",
        ));
    let rest = checks.into_iter().filter(|check| check.id() != SENDER_RESOLVES.id);
    let rest = rest.map(|check| match depends(context, registered, &check) {
        true => context.about(check.definition, &check.subject).skipped(&SENDER_RESOLVES),
        false => check,
    });
    std::iter::once(first).chain(rest).collect()
}

fn depends<W: World>(context: &Context<'_, W>, registered: &str, check: &Check) -> bool {
    let (id, group) = (check.id(), check.definition.group());
    if check.status == Status::NotApplicable || OF_MACHINE.contains(&id) {
        return false;
    }
    let is_in_domain = |name: &str| is_at_or_below(name, registered);
    OF_DOMAIN.contains(&group)
        || OF_NAME.contains(&id) && is_in_domain(&context.helo)
        || check.status == Status::Finding && check.name.as_deref().is_some_and(is_in_domain)
}
