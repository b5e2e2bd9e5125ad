//! What no key can say by itself: which of them go together, and what would stop all mail.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use super::{Draft, Reader, RouteDraft, SourceDraft};
use crate::config::errors::ConfigError;
use crate::config::{Acme, Challenge, Config, Listen, TlsLevel};
use crate::lang::{Said, Text, said};

const WITH_TLS: Text =
    Text::new("\"opportunistic\" or \"required\"", "\"opportunistic\" o \"required\"");

const LOGINS_NEED_TLS: Text = Text::new(
    "clients log in here, which they can do with TLS alone, but there is no certificate",
    "aquí se identifican los clientes, y eso solo se puede con TLS, pero no hay certificado",
);
const TLS_FROM_THE_START: Text = Text::new(
    "this listener speaks TLS from the first byte, but there is no certificate",
    "este puerto habla TLS desde el primer octeto, pero no hay certificado",
);

/// The keys that make a login, by their paths.
struct LoginKeys {
    user: &'static str,
    password: &'static str,
    relay: &'static str,
    tls: &'static str,
}

impl Reader {
    pub(super) fn route_relations(&mut self, route: &RouteDraft, span: Range<usize>) {
        let mut complain = |key: &str, message: Text, accepted: Text| {
            let error = ConfigError::new(span.clone(), message).about(format!("route.{key}"));
            self.errors.push(error.accepting(accepted));
        };
        if route.to.is_none() && route.from.is_none() {
            let message = Text::new(
                "this route says neither whose mail it is for nor whose from",
                "esta ruta no dice ni para quién ni de quién es el correo",
            );
            let accepted = Text::new(
                "`to`, `from` or both; for all mail there is `relayhost`",
                "`to`, `from` o ambas; para todo el correo está `relayhost`",
            );
            complain("to", message, accepted);
        }
        let keys = LoginKeys {
            user: "route.user",
            password: "route.password_file",
            relay: "route.via",
            tls: "route.tls",
        };
        let level = route.tls.unwrap_or(TlsLevel::Required);
        let (user, password) = (route.user.is_some(), route.password_file.is_some());
        self.login(&keys, (user, password), route.via.is_some(), level);
    }

    pub(super) fn source_relations(
        &mut self,
        source: &SourceDraft,
        before: &[SourceDraft],
        span: Range<usize>,
    ) {
        let mut complain = |key: &str, message: Said, accepted: Said| {
            let error = ConfigError::new(span.clone(), message).about(format!("source.{key}"));
            self.errors.push(error.accepting(accepted));
        };
        let Some(name) = &source.name else {
            complain(
                "name",
                said!("this source has no name", "esta fuente no tiene nombre"),
                said!("`name = \"news-1\"`", "`name = \"boletin-1\"`"),
            );
            return;
        };
        if before.iter().any(|other| other.name.as_ref() == Some(name)) {
            complain(
                "name",
                said!("two sources are called `{name}`", "dos fuentes se llaman `{name}`"; name = name),
                said!("a name of its own for each", "un nombre propio para cada una"),
            );
        }
        if source.ipv4.is_none() && source.ipv6.is_none() {
            complain(
                "ipv4",
                said!(
                    "the source `{name}` has no address", "la fuente `{name}` no tiene dirección";
                    name = name
                ),
                said!("`ipv4`, `ipv6` or both", "`ipv4`, `ipv6` o ambas"),
            );
        }
        if source.plan.as_ref().is_some_and(Vec::is_empty) {
            complain(
                "plan",
                said!("a plan without a day", "un plan sin ningún día"),
                said!("messages for one day at least", "los mensajes de un día por lo menos"),
            );
        }
        if source.plan.is_some() && source.begins.is_none() {
            complain(
                "begins",
                said!(
                    "a plan, but no day on which it begins: it would bound nothing",
                    "hay un plan, pero ningún día en que empiece: no limitaría nada"
                ),
                said!(
                    "`begins = \"2026-12-31\"`; where it began long ago, no `plan`",
                    "`begins = \"2026-12-31\"`; si empezó hace mucho, ningún `plan`"
                ),
            );
        }
    }

    // A user needs a password, a relay that knows it, and TLS to send it over.
    fn login(
        &mut self,
        keys: &LoginKeys,
        (user, password): (bool, bool),
        relay: bool,
        level: TlsLevel,
    ) {
        self.pair((keys.user, user), (keys.password, password));
        if !user || !password {
            return;
        }
        self.require(
            relay,
            keys.user,
            said!(
                "a user, but no relay to log in to",
                "hay usuario, pero ningún relay en el que identificarse"
            ),
            said!(
                "`{key}` with the relay that knows this user",
                "`{key}` con el relay que conoce a este usuario"; key = keys.relay
            ),
        );
        self.require(
            level != TlsLevel::None,
            keys.tls,
            said!("a password is never sent without TLS", "una contraseña nunca se envía sin TLS"),
            WITH_TLS.into(),
        );
    }

    pub(super) fn relations(&mut self, draft: &Draft) {
        let config = &draft.config;
        let keys = LoginKeys {
            user: "relayhost_user",
            password: "relayhost_password_file",
            relay: "relayhost",
            tls: "delivery.tls",
        };
        let given = (draft.relayhost_user.is_some(), draft.relayhost_password_file.is_some());
        self.require(
            config.store.url.is_some() || config.store.password_file.is_none(),
            "store.password_file",
            said!(
                "a password, but no database to log in to",
                "hay contraseña, pero ninguna base de datos en la que identificarse"
            ),
            said!("`store.url` with the database", "`store.url` con la base de datos"),
        );
        // A route without a level of its own has this one.
        let inherits = |route: &RouteDraft| route.user.is_some() && route.tls.is_none();
        let level = config.delivery.tls;
        self.login(&keys, given, config.relayhost.is_some(), level);
        let keys = LoginKeys {
            user: "rescue.user",
            password: "rescue.password_file",
            relay: "rescue.via",
            tls: "rescue.tls",
        };
        let given = (draft.rescue_user.is_some(), draft.rescue_password_file.is_some());
        self.login(&keys, given, config.rescue.via.is_some(), config.rescue.tls);
        self.require(
            level != TlsLevel::None || !draft.routes.iter().any(inherits),
            "delivery.tls",
            said!(
                "a route's password is never sent without TLS",
                "la contraseña de una ruta nunca se envía sin TLS"
            ),
            WITH_TLS.into(),
        );
        self.require(
            !config.trusted_networks.hold_the_internet(),
            "trusted_networks",
            said!(
                "together these networks hold so much of the Internet that this server would \
                 relay for strangers and be blocklisted within hours",
                "juntas, estas redes abarcan tanto de Internet que este servidor reenviaría \
                 correo de desconocidos y en unas horas estaría en las listas de bloqueo"
            ),
            said!(
                "your own networks; users elsewhere use AUTH",
                "sus propias redes; para los usuarios de fuera está AUTH"
            ),
        );
        self.pair(
            ("tls.certificate", draft.certificate.is_some()),
            ("tls.key", draft.key.is_some()),
        );
        for (key, addresses, why) in [
            ("listen.submission", &config.listen.submission, LOGINS_NEED_TLS),
            ("listen.submissions", &config.listen.submissions, TLS_FROM_THE_START),
        ] {
            self.require(
                addresses.is_empty() || draft.certificate.is_some() || config.acme.is_on(),
                key,
                why.into(),
                said!(
                    "[] until [tls] has `certificate` and `key`, or [acme] a `directory`",
                    "[] hasta que [tls] tenga `certificate` y `key`, o [acme] un `directory`"
                ),
            );
        }
        self.listeners(config);
        self.require(
            draft.domains.as_ref().is_none_or(|domains| !domains.is_empty()),
            "domains",
            said!(
                "the list is empty: bare names could not be completed",
                "la lista está vacía: los nombres sin dominio no se podrían completar"
            ),
            said!("at least one domain", "al menos un dominio"),
        );
        self.acme(draft);
        self.policy(draft);
        self.bounds(config);
        self.addresses(draft);
    }

    fn listeners(&mut self, config: &Config) {
        let listen = &config.listen;
        let lists = [
            ("listen.smtp", &listen.smtp),
            ("listen.submission", &listen.submission),
            ("listen.submissions", &listen.submissions),
        ];
        let mut before: Vec<&SocketAddr> = Vec::new();
        for (key, address) in lists.iter().flat_map(|(k, list)| list.iter().map(|a| (*k, a))) {
            let met = before.iter().find(|other| Listen::meet(address, other));
            if let Some(other) = met {
                self.require(
                    false,
                    key,
                    said!(
                        "{address} and {other} cannot both be listened on: they are the same port",
                        "no se puede escuchar a la vez en {address} y en {other}: son el mismo puerto";
                        address = address, other = other
                    ),
                    said!("each port for one service", "cada puerto para un solo servicio"),
                );
            }
            before.push(address);
        }
    }

    fn acme(&mut self, draft: &Draft) {
        let config = &draft.config;
        let acme = &config.acme;
        if !acme.is_on() {
            return;
        }
        self.require(
            acme.accept_terms,
            "acme.directory",
            said!(
                "no certificate is asked for before the authority's terms are accepted",
                "no se pide ningún certificado antes de aceptar las condiciones de la autoridad"
            ),
            said!(
                "`accept_terms = true` beside it, once you have read them",
                "`accept_terms = true` junto a ella, cuando las haya leído"
            ),
        );
        let own = Acme::files(&config.state_dir);
        let elsewhere = draft.certificate.as_ref().is_some_and(|file| *file != own.certificate);
        self.require(
            !elsewhere,
            "tls.certificate",
            said!(
                "the certificate is to be got by ACME, and to be read from elsewhere",
                "el certificado se ha de obtener por ACME y a la vez leerse de otro sitio"
            ),
            said!(
                "either [acme] `directory` or [tls] `certificate` and `key`",
                "o bien `directory` en [acme], o bien `certificate` y `key` en [tls]"
            ),
        );
        self.require(
            draft.acme_names.as_ref().is_none_or(|names| !names.is_empty()),
            "acme.names",
            said!("a certificate for no name", "un certificado para ningún nombre"),
            said!("at least one name", "al menos un nombre"),
        );
        let by_dns = acme.challenge == Challenge::Dns;
        self.require(
            !by_dns || (acme.dns_server.is_some() && acme.dns_key.is_some()),
            "acme.challenge",
            said!(
                "dns-01 writes into the DNS, but nothing says where and with which key",
                "dns-01 escribe en el DNS, pero nada dice dónde ni con qué clave"
            ),
            said!("`dns_server` and `dns_key` beside it", "`dns_server` y `dns_key` junto a ella"),
        );
    }

    fn policy(&mut self, draft: &Draft) {
        let config = &draft.config;
        if config.mta_sts.mode.is_none() {
            return;
        }
        self.require(
            draft.certificate.is_some() || config.acme.is_on(),
            "mta_sts.mode",
            said!(
                "the policy is served over HTTPS, but there is no certificate",
                "la política se sirve por HTTPS, pero no hay certificado"
            ),
            said!(
                "\"\" until [acme] has a `directory`, or [tls] `certificate` and `key`",
                "\"\" hasta que [acme] tenga un `directory`, o [tls] `certificate` y `key`"
            ),
        );
        self.require(
            draft.policy_mx.as_ref().is_none_or(|hosts| !hosts.is_empty()),
            "mta_sts.mx",
            said!("a policy that names no host", "una política que no nombra ninguna máquina"),
            said!("every MX host of our domains", "todos los MX de nuestros dominios"),
        );
        // RFC 8461 §3.2: at most about a year; below a day it is as good as none.
        let day = Duration::from_secs(24 * 3600);
        self.require(
            (day..=day * 365).contains(&config.mta_sts.max_age),
            "mta_sts.max_age",
            said!(
                "senders would forget the policy too soon, or keep it for too long",
                "los remitentes olvidarían la política demasiado pronto, o la guardarían demasiado"
            ),
            said!("a duration from \"1d\" to \"365d\"", "una duración de \"1d\" a \"365d\""),
        );
    }

    fn bounds(&mut self, config: &Config) {
        let retry = &config.queue.retry;
        let second = Duration::from_secs(1);
        self.require(
            !retry.is_empty() && retry.iter().all(|wait| *wait >= second),
            "queue.retry",
            said!(
                "there must be a wait between attempts",
                "entre intentos tiene que haber una espera"
            ),
            said!(
                "at least one duration, none below \"1s\"",
                "al menos una duración, ninguna menor de \"1s\""
            ),
        );
        self.require(
            config.queue.expire >= second,
            "queue.expire",
            said!(
                "messages would be returned before the first attempt",
                "los mensajes se devolverían antes del primer intento"
            ),
            said!("a duration of at least \"1s\"", "una duración de al menos \"1s\""),
        );
        self.require(
            config.delivery.connect_timeout >= second,
            "delivery.connect_timeout",
            said!(
                "no connection could be opened in this time",
                "en ese tiempo no se podría abrir ninguna conexión"
            ),
            said!("a duration of at least \"1s\"", "una duración de al menos \"1s\""),
        );
        self.require(
            (1024..=1 << 40).contains(&config.limits.message_size),
            "limits.message_size",
            said!(
                "no message, or every message, would fit",
                "no cabría ningún mensaje, o cabría cualquiera"
            ),
            said!(
                "a size between \"1KiB\" and \"1024GiB\"",
                "un tamaño entre \"1KiB\" y \"1024GiB\""
            ),
        );
    }

    fn pair(&mut self, one: (&str, bool), other: (&str, bool)) {
        let ((present, _), (absent, _)) = match (one.1, other.1) {
            (true, false) => (one, other),
            (false, true) => (other, one),
            _ => return,
        };
        let message = said!(
            "`{present}` is set, but `{absent}` is not",
            "está `{present}`, pero falta `{absent}`"; present = present, absent = absent
        );
        let accepted = said!(
            "both `{present}` and `{absent}`, or neither",
            "`{present}` y `{absent}`, las dos o ninguna"; present = present, absent = absent
        );
        self.require(false, present, message, accepted);
    }

    pub(super) fn require(&mut self, holds: bool, key: &str, message: Said, accepted: Said) {
        if !holds {
            let span = self.places.get(key).cloned().unwrap_or(0..0);
            self.errors.push(ConfigError::new(span, message).about(key).accepting(accepted));
        }
    }
}
