//! All checks that there are, in the order in which they are shown, and the document
//! that explains them.

use std::future::Future;
use std::pin::Pin;

use super::context::Context;
use super::outcome::{Check, Definition, Family};
use super::world::World;
use crate::lang::{Language, Text};

type Running<'a> = Pin<Box<dyn Future<Output = Vec<Check>> + Send + 'a>>;

macro_rules! families {
    ($($room:ident)*) => {
        /// The families, in the order in which they are shown.
        pub static FAMILIES: [&Family; 11] = [$(&super::$room::FAMILY),*];

        /// Each family with its checks; a future that nobody waits for asks nothing.
        pub(super) fn runs<'a, W: World>(
            context: &'a Context<'_, W>,
        ) -> [(&'static Family, Running<'a>); 11] {
            [$((&super::$room::FAMILY, Box::pin(super::$room::run(context)))),*]
        }
    };
}

families! { net helo ptr domain spf dkim dmarc tls blocklists mailboxes policies }

impl Family {
    /// Whether some of its checks are among those asked for.
    pub(super) fn is_wanted(&self, only: &[String]) -> bool {
        self.checks.iter().any(|check| is_wanted(check, only))
    }
}

/// Whether a check is among those asked for: by its id, its group or the name of its
/// family. Nothing asked for means all.
pub(super) fn is_wanted(check: &Definition, only: &[String]) -> bool {
    let family = FAMILIES.into_iter().find(|family| family.checks.contains(&check));
    let family = family.map_or("", |family| family.name);
    only.is_empty()
        || only.iter().any(|name| name == check.id || name == check.group() || name == family)
}

/// Whether there is a check, a group or a family of this name.
pub fn has_group(name: &str) -> bool {
    let names = [name.to_owned()];
    FAMILIES.iter().any(|family| family.is_wanted(&names))
}

/// The check of this id.
pub fn definition(id: &str) -> Option<&'static Definition> {
    FAMILIES.iter().flat_map(|family| family.checks).find(|check| check.id == id).copied()
}

/// Where a check stands in the order.
pub(super) fn position(check: &Definition) -> usize {
    let all = FAMILIES.iter().flat_map(|family| family.checks);
    all.take_while(|other| other.id != check.id).count()
}

/// Checks that a machine cannot do from where it stands, or that would tell nothing,
/// and why.
const LEFT_OUT: &[(&str, &str, &str)] = &[
    (
        "net.port25-in",
        "from inside only the own listener can be seen; ask from another machine",
        "desde dentro solo se ve el propio servicio; pregunte desde otra máquina",
    ),
    (
        "net.clock",
        "without asking a time server it would be a guess; `timedatectl` or `chronyc tracking` \
             say it",
        "sin preguntar a un servidor de hora sería adivinar; lo dicen `timedatectl` o `chronyc \
             tracking`",
    ),
    (
        "dns.dnssec, dane.dnssec",
        "whether your own zone is signed matters to nobody who receives your mail, and whoever \
             brings you mail sees it by a resolver of his own",
        "que su propia zona esté firmada no le importa a quien recibe su correo, y quien le trae \
             correo lo ve con un resolutor suyo",
    ),
    (
        "net.tcp-fallback, net.provider-relay",
        "they would repeat what other checks see",
        "repetirían lo que ya ven otras comprobaciones",
    ),
    (
        "ptr.imprint",
        "whether a page names its operator is for people to judge",
        "que una página diga quién es su responsable lo juzgan las personas",
    ),
    (
        "dns.mx-duplicate, dns.domain-age, dns.idn",
        "they need a registry's data or say nothing about delivery",
        "necesitan datos de un registro o no dicen nada de la entrega",
    ),
    (
        "spf.type99, spf.subdomain",
        "nobody asks for the old type; run the check for each subdomain that sends",
        "nadie consulta el tipo antiguo; ejecute la comprobación para cada subdominio que envíe",
    ),
    (
        "dkim.t-s, dkim.no-sha1, dkim.headers-signed, dkim.no-length, \
         dkim.canonicalization, dkim.expiry",
        "this server never signs in such a way; dkim.selftest verifies the whole",
        "este servidor nunca firma así; dkim.selftest verifica el conjunto",
    ),
    (
        "dmarc.non-sending",
        "it needs a list of your other domains",
        "necesita la lista de sus otros dominios",
    ),
    (
        "bimi.assets",
        "whether a picture and its certificate are good enough is for the receivers to judge",
        "si una imagen y su certificado bastan lo juzgan los receptores",
    ),
    (
        "bl.dead-list",
        "`puerto explain` says it of a reply that names such a list",
        "`puerto explain` lo dice de una respuesta que nombra una de esas listas",
    ),
    (
        "mbox.replyto, mbox.dmarc-report, mbox.contact",
        "the addresses that users write from are not known here, how large a report a mailbox \
             takes only its owner knows, and the contact of an address range is in a registry",
        "aquí no se sabe con qué direcciones escriben los usuarios, qué tamaño de informe admite \
             un buzón solo lo sabe su dueño, y el contacto de un rango está en un registro",
    ),
    (
        "enroll.google, enroll.microsoft, enroll.yahoo",
        "they need an account with the provider",
        "necesitan una cuenta con el proveedor",
    ),
    (
        "msg.*",
        "they judge a message: `puerto verify` does that",
        "juzgan un mensaje: de eso se ocupa `puerto verify`",
    ),
];

/// Where a finding is milder than its check, and why: more would be a false alarm.
const MILDER: &[(&str, &str, &str)] = &[
    (
        "ptr.generic",
        "a warning where only a word with a number makes the name look so (`vps-12`): people \
             choose such names too",
        "un aviso cuando solo lo parece por una palabra con un número (`vps-12`): también las \
             personas eligen nombres así",
    ),
    (
        "spf.lookups",
        "a note from the eighth look-up on: the record still works, and there is little room",
        "una nota a partir de la octava consulta: el registro aún vale, pero queda poco margen",
    ),
    (
        "spf.size",
        "a note up to 1,232 octets, which arrive over UDP nearly everywhere",
        "una nota hasta 1232 octetos, que llegan por UDP casi en todas partes",
    ),
    (
        "dkim.record-exists",
        "a warning where there is no key and mail goes to a relayhost, which may sign",
        "un aviso cuando no hay clave y el correo va a un relayhost, que puede firmar",
    ),
    (
        "dkim.key-size",
        "a warning from 1,024 to 2,047 bits, which all receivers still take, and above 4,096",
        "un aviso de 1024 a 2047 bits, que todos los receptores aún aceptan, y por encima de 4096",
    ),
    (
        "dmarc.syntax",
        "a warning where only a semicolon is too many, which most receivers read past",
        "un aviso cuando solo sobra un punto y coma, que la mayoría de los receptores pasa por alto",
    ),
    (
        "mtasts.mx-match",
        "a warning while the policy is in the mode `testing`, in which mail still comes",
        "un aviso mientras la política esté en modo `testing`, en el que el correo aún llega",
    ),
    (
        "bl.spamhaus-dbl, bl.uribl-surbl",
        "a warning or a note for the entries of these lists that few receivers act upon: \
             legitimate domains that are abused, and the grey and red ones of URIBL",
        "un aviso o una nota para las entradas por las que pocos receptores actúan: dominios \
             legítimos de los que se abusa, y las grises y rojas de URIBL",
    ),
];

/// The document that explains every check, in Markdown.
pub fn document(language: Language) -> String {
    let title = Text::new("What `puerto check` checks", "Qué comprueba `puerto check`");
    let intro = Text::new(
        "Each check has one of four outcomes: pass, finding, not applicable, and unknown, where \
         who was asked did not answer; that is never taken for a finding. `puerto check --only` \
         takes an id or what stands before its dot.",
        "Cada comprobación acaba de una de cuatro formas: bien, hallazgo, no procede, o \
         desconocido, cuando no respondió a quien se preguntó; eso nunca se toma por un hallazgo. \
         `puerto check --only` admite un id o lo que va delante del punto.",
    );
    let mut out = format!("# {}\n\n{}\n\n", title.of(language), intro.of(language));
    for family in FAMILIES {
        out.push_str(&format!("## {}\n\n", family.title.of(language)));
        for check in family.checks {
            let (id, severity) = (check.id, check.severity.as_str());
            let (title, reason) = (check.title.of(language), check.reason.of(language));
            out.push_str(&format!("### `{id}`\n\n**{title}** ({severity})\n\n{reason}\n\n"));
            if !check.reference.is_empty() {
                out.push_str(&format!("{}\n\n", check.reference));
            }
        }
    }
    let rows = |rows: &[(&'static str, &'static str, &'static str)]| {
        let of_row = rows.iter().map(|(ids, en, es)| {
            format!("- `{}`: {}.\n", ids.replace(", ", "`, `"), Text::new(en, es).of(language))
        });
        of_row.collect::<String>()
    };
    let milder =
        Text::new("Where a finding is milder than its check", "Cuándo un hallazgo es más leve");
    out.push_str(&format!("## {}\n\n{}\n", milder.of(language), rows(MILDER)));
    let left_out = Text::new("What is not checked, and why", "Qué no se comprueba, y por qué");
    out.push_str(&format!("## {}\n\n{}", left_out.of(language), rows(LEFT_OUT)));
    let receivers =
        Text::new("Whose rules the verdicts follow", "Qué reglas siguen los veredictos");
    out.push_str(&format!("\n## {}\n\n", receivers.of(language)));
    for receiver in super::RECEIVERS {
        out.push_str(&format!("- {}: {}.\n", receiver.name, receiver.source));
    }
    out
}
