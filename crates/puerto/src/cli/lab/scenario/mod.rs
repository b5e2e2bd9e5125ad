//! `puerto lab --scenario NAME`: a world in which one thing is wrong, what the
//! receivers answer to it, what `puerto check` finds and what `puerto explain` says.
//!
//! Each scenario says what has to come of it, and is a test: the findings that are
//! expected and no others, and the answers that are expected.

mod internet;
mod play;
mod worlds;

use std::net::IpAddr;

use puerto_lab::{Lab, Options};

pub(super) use self::play::{Answered, Verdict, perform};
pub(super) use self::worlds::publish_blocklists;
use super::scene::Stage;
use crate::lang::{Language, Said, Text};

/// A world, and what has to come of it.
pub(super) struct Scenario {
    /// Its name.
    pub(super) name: &'static str,
    /// What is wrong in it.
    sentence: Text,
    stage: Stage,
    options: fn(&mut Options),
    change: fn(&Lab) -> Result<(), Said>,
    /// Who the letter's reverse-path belongs to, where that is not its author.
    envelope_domain: Option<&'static str>,
    /// Addresses that mail leaves from beside the usual one.
    more: &'static [IpAddr],
    /// The checks that are to find something, and those that are to remain unknown.
    findings: &'static [&'static str],
    unknown: &'static [&'static str],
    /// What the strict receiver is to answer, and the one that takes everything.
    strict: Ending,
    plain: Ending,
    /// How what came is to be explained, if there is something to explain.
    class: Option<&'static str>,
}

/// How a letter ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// The receiver takes it.
    Taken,
    /// It is refused, with this enhanced code.
    Refused(&'static str),
    /// It waits, since nobody could be reached.
    Waits,
}

const HEALTHY: Scenario = Scenario {
    name: "healthy",
    sentence: Text::new(
        "Nothing is wrong: the letters arrive and the checks find nothing.",
        "No hay nada mal: las cartas llegan y las comprobaciones no encuentran nada.",
    ),
    stage: Stage::USUAL,
    options: |_| {},
    change: worlds::healthy,
    envelope_domain: None,
    more: &[],
    findings: &[],
    unknown: &[],
    strict: Ending::Taken,
    plain: Ending::Taken,
    class: None,
};

/// All scenarios, in the order in which they are listed.
pub(super) const SCENARIOS: &[Scenario] = &[
    HEALTHY,
    Scenario {
        name: "no-ptr",
        sentence: Text::new(
            "The server's address has no name in the reverse DNS.",
            "La dirección del servidor no tiene nombre en el DNS inverso.",
        ),
        change: worlds::no_ptr,
        findings: &["ptr.exists"],
        strict: Ending::Refused("5.7.25"),
        class: Some("no-ptr"),
        ..HEALTHY
    },
    Scenario {
        name: "generic-ptr",
        sentence: Text::new(
            "The server's address has the name that the provider gives to all its customers.",
            "La dirección del servidor tiene el nombre que el proveedor da a todos sus clientes.",
        ),
        change: worlds::generic_ptr,
        findings: &["ptr.generic"],
        strict: Ending::Refused("5.7.1"),
        class: Some("ip-dynamic"),
        ..HEALTHY
    },
    Scenario {
        name: "spf-missing",
        sentence: Text::new(
            "The domain publishes no SPF record.",
            "El dominio no publica ningún registro SPF.",
        ),
        change: worlds::spf_missing,
        findings: &["spf.exists"],
        strict: Ending::Refused("5.7.23"),
        class: Some("spf-fail"),
        ..HEALTHY
    },
    Scenario {
        name: "spf-too-many-lookups",
        sentence: Text::new(
            "The SPF record includes so many others that receivers give up.",
            "El registro SPF incluye tantos otros que los receptores desisten.",
        ),
        change: worlds::spf_too_many_lookups,
        findings: &["spf.lookups"],
        strict: Ending::Refused("5.7.24"),
        class: Some("spf-fail"),
        ..HEALTHY
    },
    Scenario {
        name: "two-spf-records",
        sentence: Text::new(
            "A second SPF record was added beside the first, so that neither counts.",
            "Se añadió un segundo registro SPF junto al primero, y así no vale ninguno.",
        ),
        change: worlds::two_spf_records,
        findings: &["spf.single"],
        strict: Ending::Refused("5.7.24"),
        class: Some("spf-fail"),
        ..HEALTHY
    },
    Scenario {
        name: "key-mismatch",
        sentence: Text::new(
            "The DKIM key in the DNS is not the one that the server signs with.",
            "La clave DKIM del DNS no es aquella con la que firma el servidor.",
        ),
        change: worlds::key_mismatch,
        findings: &["dkim.key-match"],
        strict: Ending::Refused("5.7.20"),
        class: Some("dkim-fail"),
        ..HEALTHY
    },
    Scenario {
        name: "dkim-truncated",
        sentence: Text::new(
            "The DNS panel cut the DKIM key off after 255 octets.",
            "El panel de DNS cortó la clave DKIM tras 255 octetos.",
        ),
        change: worlds::dkim_truncated,
        findings: &["dkim.syntax"],
        strict: Ending::Refused("5.7.20"),
        class: Some("dkim-fail"),
        ..HEALTHY
    },
    Scenario {
        name: "dmarc-misaligned",
        sentence: Text::new(
            "SPF proves another domain than the one in From, whose mail nobody signs.",
            "SPF prueba otro dominio que el de From, cuyo correo nadie firma.",
        ),
        stage: Stage { key_domain: worlds::OTHER_DOMAIN, ..Stage::USUAL },
        change: worlds::dmarc_misaligned,
        envelope_domain: Some(worlds::OTHER_DOMAIN),
        findings: &["dkim.alignment"],
        strict: Ending::Refused("5.7.26"),
        class: Some("dmarc-fail"),
        ..HEALTHY
    },
    Scenario {
        name: "listed-on-pbl",
        sentence: Text::new(
            "The server's address is on the PBL of Spamhaus, the list of dynamic addresses.",
            "La dirección del servidor está en la PBL de Spamhaus, la lista de direcciones \
             dinámicas.",
        ),
        change: worlds::listed_on_pbl,
        findings: &["bl.spamhaus-zen"],
        strict: Ending::Refused("5.7.1"),
        class: Some("ip-dynamic"),
        ..HEALTHY
    },
    Scenario {
        name: "blocklist-refuses-us",
        sentence: Text::new(
            "The blocklist does not answer this resolver (127.255.255.254), which is no listing.",
            "La lista de bloqueo no responde a este resolutor (127.255.255.254), y eso no es \
             figurar en ella.",
        ),
        change: worlds::blocklist_refuses_us,
        unknown: &["bl.sanity", "bl.spamhaus-zen"],
        ..HEALTHY
    },
    Scenario {
        name: "servfail",
        sentence: Text::new(
            "One of the domain's two name servers answers SERVFAIL to every question.",
            "Uno de los dos servidores de nombres del dominio responde SERVFAIL a todo.",
        ),
        change: worlds::servfail,
        unknown: &["dns.ns-consistent"],
        ..HEALTHY
    },
    Scenario {
        name: "ipv6-without-ptr",
        sentence: Text::new(
            "The server's IPv6 address has no name. A receiver that turns such mail away prefers \
             IPv6, and gets it over IPv4.",
            "La dirección IPv6 del servidor no tiene nombre. Un receptor que rechaza ese correo \
             prefiere IPv6, y lo recibe por IPv4.",
        ),
        stage: Stage { providers: worlds::STRICT_DEMANDS, ..Stage::USUAL },
        options: |options| options.ipv6 = true,
        change: worlds::ipv6_without_ptr,
        more: &[worlds::HERE_V6],
        findings: &["ptr.v6"],
        ..HEALTHY
    },
    Scenario {
        name: "ipv6-outside-spf",
        sentence: Text::new(
            "The SPF record does not name the server's IPv6 address. A receiver that turns such \
             mail away prefers IPv6, and gets it over IPv4.",
            "El registro SPF no nombra la dirección IPv6 del servidor. Un receptor que rechaza \
             ese correo prefiere IPv6, y lo recibe por IPv4.",
        ),
        stage: Stage { providers: worlds::STRICT_DEMANDS, ..Stage::USUAL },
        options: |options| options.ipv6 = true,
        change: worlds::ipv6_outside_spf,
        more: &[worlds::HERE_V6],
        findings: &["spf.covers-ip"],
        ..HEALTHY
    },
    Scenario {
        name: "sources",
        sentence: Text::new(
            "Mail leaves from two addresses, and the second has no name in the reverse DNS. A \
             receiver that turns such mail away gets all of its mail from the first.",
            "El correo sale por dos direcciones, y la segunda no tiene nombre en el DNS inverso. Un \
             receptor que rechaza ese correo recibe todo el suyo por la primera.",
        ),
        stage: Stage { providers: worlds::STRICT_DEMANDS, more: worlds::SOURCES, ..Stage::USUAL },
        change: worlds::sources,
        more: &[worlds::SECOND],
        findings: &["ptr.exists"],
        ..HEALTHY
    },
    Scenario {
        name: "port-25-closed",
        sentence: Text::new(
            "The hosting company closes port 25: no receiver can be reached.",
            "La empresa de alojamiento cierra el puerto 25: no se llega a ningún receptor.",
        ),
        stage: Stage { port_closed: true, ..Stage::USUAL },
        findings: &["net.port25-out"],
        strict: Ending::Waits,
        plain: Ending::Waits,
        class: Some("connection-refused"),
        ..HEALTHY
    },
    Scenario {
        name: "relay-refuses-from",
        sentence: Text::new(
            "Mail goes through the provider's relay, which does not take our sender address; \
             only its answer shows that.",
            "El correo va por el relay del proveedor, que no admite nuestra dirección de \
             remitente; solo su respuesta lo muestra.",
        ),
        stage: Stage { relayhost: true, ..Stage::USUAL },
        options: |options| options.relay_refuses_senders = true,
        strict: Ending::Refused("5.7.1"),
        plain: Ending::Refused("5.7.1"),
        class: Some("sender-rejected"),
        ..HEALTHY
    },
    Scenario {
        name: "dane",
        sentence: Text::new(
            "Two receivers publish TLSA records; one has renewed its certificate and left the \
             record as it was, and its mail waits.",
            "Dos receptores publican registros TLSA; uno ha renovado su certificado sin cambiar \
             el registro, y su correo espera.",
        ),
        stage: Stage {
            dns: "signed_name = \"strict.example\"\nbogus_name = \"\"\n",
            ..Stage::USUAL
        },
        change: worlds::dane,
        plain: Ending::Waits,
        class: Some("tls-required"),
        ..HEALTHY
    },
    Scenario {
        name: "mta-sts",
        sentence: Text::new(
            "Two domains have an MTA-STS policy, fetched before; one has moved to another host \
             and its policy has not, and its mail waits.",
            "Dos dominios tienen una política MTA-STS, ya obtenida; uno se ha mudado a otra \
             máquina y su política no, y su correo espera.",
        ),
        stage: Stage { known: worlds::policies, is_trusting: true, ..Stage::USUAL },
        change: worlds::mta_sts,
        plain: Ending::Waits,
        class: Some("tls-required"),
        ..HEALTHY
    },
    Scenario {
        name: "downgrade",
        sentence: Text::new(
            "Somebody on the way takes STARTTLS out of what a receiver says that spoke TLS \
             yesterday; with downgrade = \"refuse\" its mail waits.",
            "Alguien en el camino quita STARTTLS de lo que dice un receptor que ayer hablaba TLS; \
             con downgrade = \"refuse\" su correo espera.",
        ),
        stage: Stage {
            delivery: "downgrade = \"refuse\"\n",
            known: worlds::spoke_tls,
            ..Stage::USUAL
        },
        options: |options| options.without_tls = &["strict"],
        strict: Ending::Waits,
        class: Some("tls-required"),
        ..HEALTHY
    },
];

/// The scenario of this name.
pub(super) fn find(name: &str) -> Option<&'static Scenario> {
    SCENARIOS.iter().find(|scenario| scenario.name == name)
}

/// All names, each with its sentence.
pub(super) fn list(language: Language) -> Vec<(&'static str, &'static str)> {
    SCENARIOS.iter().map(|one| (one.name, one.sentence.of(language))).collect()
}
