//! Whose domains are whose: no domain is in two places, and no entry about one in none.

use std::time::Duration;

use puerto_smtp::Domain;

use super::{Draft, Reader, host};
use crate::config::{Config, Inhabitant, Who};
use crate::lang::said;

impl Reader {
    pub(super) fn addresses(&mut self, draft: &Draft) {
        let config = &draft.config;
        self.commands(config);
        let ours = local_domains(draft);
        let table = &config.virtual_addresses;
        for domain in &table.domains {
            self.require(
                !ours.contains(domain),
                "virtual.domains",
                said!(
                    "`{domain}` is in `domains`, too: its users live on this machine",
                    "`{domain}` está también en `domains`: sus usuarios están en esta máquina";
                    domain = domain
                ),
                said!(
                    "it in one of the two; `map` may name addresses of both",
                    "en una de las dos; `map` puede nombrar direcciones de ambas"
                ),
            );
        }
        for domain in table.map.iter().filter_map(|(who, _)| domain_of(who)) {
            self.require(
                ours.contains(domain) || table.domains.contains(domain),
                "virtual.map",
                said!(
                    "mail for `{domain}` does not come here, so the entry would do nothing",
                    "el correo para `{domain}` no llega aquí, así que la entrada no haría nada";
                    domain = domain
                ),
                said!(
                    "entries for `domains` and for `virtual.domains`: add `{domain}` there",
                    "entradas de `domains` y de `virtual.domains`: añada ahí `{domain}`";
                    domain = domain
                ),
            );
        }
        for pattern in &config.relay_domains {
            let mut here = ours.iter().chain(&table.domains).chain(&config.srs.domain);
            let is_here = here.any(|own| own.name() == Some(pattern));
            self.require(
                !is_here,
                "relay_domains",
                said!(
                    "mail for `{domain}` ends on this server, and is not handed on",
                    "el correo para `{domain}` termina en este servidor y no se pasa adelante";
                    domain = pattern
                ),
                said!(
                    "domains that are neither in `domains` nor in `virtual.domains`, nor `srs.domain`",
                    "dominios que no estén ni en `domains` ni en `virtual.domains`, ni sean `srs.domain`"
                ),
            );
        }
        for pattern in &config.relay_domains {
            let parent = pattern.strip_prefix("*.");
            let is_public = |name: &str| psl::suffix_str(name).is_some_and(|suffix| suffix == name);
            self.require(
                !parent.is_some_and(is_public),
                "relay_domains",
                said!(
                    "`{domain}` holds so many domains of others that this server would relay for \
                     strangers",
                    "`{domain}` abarca tantos dominios ajenos que este servidor reenviaría correo \
                     de desconocidos";
                    domain = pattern
                ),
                said!("the domains themselves", "los dominios mismos"),
            );
        }
        for inhabitant in &config.relay_recipients {
            let Inhabitant::Listed(who) = inhabitant else { continue };
            let Some(domain) = domain_of(who) else { continue };
            self.require(
                config.relay_domains.iter().any(|pattern| covers(pattern, domain)),
                "relay_recipients",
                said!(
                    "mail for `{who}` is not handed on: `{domain}` is not in relay_domains",
                    "el correo para `{who}` no se pasa adelante: `{domain}` no está en relay_domains";
                    who = who, domain = domain
                ),
                said!(
                    "addresses of domains in `relay_domains`",
                    "direcciones de dominios de `relay_domains`"
                ),
            );
        }
    }

    fn commands(&mut self, config: &Config) {
        let times = Duration::from_secs(1)..=Duration::from_secs(3600);
        self.require(
            times.contains(&config.local.command_timeout),
            "local.command_timeout",
            said!(
                "a command would be ended at once, or keep its mail waiting for hours",
                "una orden terminaría al instante, o haría esperar horas a su correo"
            ),
            said!("a duration between \"1s\" and \"1h\"", "una duración entre \"1s\" y \"1h\""),
        );
        let may_do =
            !config.local.allow_commands.is_empty() || !config.local.allow_files.is_empty();
        self.require(
            !may_do || config.local.default_user != config.user,
            "local.default_user",
            said!(
                "commands would run with the rights of the service, which has everybody's mail",
                "las órdenes se ejecutarían con los derechos del servicio, que tiene el correo de \
                 todos"
            ),
            said!("another user than `user`", "otro usuario que no sea `user`"),
        );
    }
}

fn local_domains(draft: &Draft) -> Vec<Domain> {
    let hostname = draft.hostname.clone().unwrap_or_else(host::machine_name);
    let name = Domain::parse(&hostname).ok();
    let mut ours = match &draft.domains {
        Some(domains) => domains.clone(),
        None => host::mail_name().into_iter().collect(),
    };
    ours.extend(name);
    ours
}

fn domain_of(who: &Who) -> Option<&Domain> {
    match who {
        Who::User(_) => None,
        Who::Address(address) => Some(address.domain()),
        Who::Domain(domain) => Some(domain),
    }
}

// As `route` sees it, but for names in two alphabets, of which nobody is warned here.
fn covers(pattern: &str, domain: &Domain) -> bool {
    let Some(name) = domain.name() else { return false };
    match pattern.strip_prefix("*.") {
        Some(parent) => name.strip_suffix(parent).is_some_and(|p| p.is_empty() || p.ends_with('.')),
        None => name == pattern,
    }
}
