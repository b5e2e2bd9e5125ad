//! The exercises about what a domain publishes: MX and PTR, SPF, DKIM, DMARC.

use puerto_lab::world::SENDER_DOMAIN;
use puerto_mail::dns::RecordType;

#[cfg(test)]
use super::Step;
use super::{Check, Exercise, Hint, NEWSLETTER, OURS, STRANGER, WORLD, What, numbered, strict};
use crate::cli::lab::classroom::world::Blueprint;
use crate::lang::Text;

/// Where panels cut a text off.
const PANEL: usize = 255;

/// These exercises.
pub(super) const EXERCISES: &[Exercise] = &[
    Exercise {
        number: 6,
        title: Text::new("MX and PTR", "MX y PTR"),
        task: Text::new(
            "A new VPS, which sends directly. Ana at strict.example gets none of its letters, and \
             her answers do not arrive at lab.example either, whose mailboxes are on \
             mx.lab.example. The provider lets you edit the reverse zone of 127.0.0.10, whose \
             records go into the same file. Mend both.",
            "Un VPS nuevo, que envía directamente. Ana, en strict.example, no recibe ninguna de sus \
             cartas, y sus respuestas tampoco llegan a lab.example, cuyos buzones están en \
             mx.lab.example. El proveedor le deja editar la zona inversa de 127.0.0.10, cuyos \
             registros van en el mismo fichero. Arregle las dos cosas.",
        ),
        world: numbered(
            6,
            Blueprint {
                zone: |zone| {
                    zone.remove_pointer(OURS);
                    zone.remove(SENDER_DOMAIN, RecordType::Mx);
                    zone.add_mx(SENDER_DOMAIN, 10, "mx1.lab.example");
                },
                ..WORLD
            },
        ),
        hints: &[
            Hint {
                cost: 1,
                text: Text::new(
                    "`puerto lab inbox` shows what Ana's server answered. An MX has to lead to a \
                     name that has an address: is mx1 in the zone?",
                    "`puerto lab inbox` muestra qué respondió el servidor de Ana. Un MX debe llevar \
                     a un nombre que tenga dirección: ¿está mx1 en la zona?",
                ),
            },
            Hint {
                cost: 2,
                text: Text::new(
                    "The name of 127.0.0.10 is looked up at 10.0.0.127.in-addr.arpa, of type PTR, \
                     and that name must have the address 127.0.0.10.",
                    "El nombre de 127.0.0.10 se busca en 10.0.0.127.in-addr.arpa, de tipo PTR, y \
                     ese nombre debe tener la dirección 127.0.0.10.",
                ),
            },
            Hint {
                cost: 3,
                text: Text::new(
                    "At the end of the zone file: `10.0.0.127.in-addr.arpa. PTR \
                     mail.lab.example.`, with both dots; and the MX is mx.lab.example.",
                    "Al final del fichero de zona: `10.0.0.127.in-addr.arpa. PTR \
                     mail.lab.example.`, con los dos puntos finales; y el MX es mx.lab.example.",
                ),
            },
        ],
        checks: &[
            Check {
                points: 3,
                title: Text::new(
                    "the server's address has a name that leads back",
                    "la dirección del servidor tiene un nombre que lleva de vuelta a ella",
                ),
                what: What::ReverseName(OURS),
            },
            Check {
                points: 3,
                title: Text::new(
                    "mail for lab.example finds its mailboxes",
                    "el correo para lab.example encuentra sus buzones",
                ),
                what: What::Exchanger,
            },
            strict(4, OURS, &["iprev"]),
        ],
        #[cfg(test)]
        model: &[
            Step::Add("dns.zone", "10.0.0.127.in-addr.arpa. PTR mail.lab.example.\n"),
            Step::Edit("dns.zone", "10 mx1.lab.example.", "10 mx.lab.example."),
        ],
        #[cfg(test)]
        wrong: &[
            (
                &[Step::Add("dns.zone", "10.0.0.127.in-addr.arpa. PTR lab.example.\n")],
                "ptr.not-back",
            ),
            (&[Step::Edit("dns.zone", "10 mx1.lab.example.", "10 127.0.0.15")], "file.zone"),
            (
                &[
                    Step::Add("dns.zone", "10.0.0.127.in-addr.arpa. PTR mail.lab.example.\n"),
                    Step::Edit("dns.zone", "10 mx1.lab.example.", "10 mail.lab.example."),
                ],
                "mx.elsewhere",
            ),
        ],
    },
    Exercise {
        number: 7,
        title: Text::new(
            "SPF: written, then merged with the newsletter's",
            "SPF: primero escrito, después combinado con el del boletín",
        ),
        task: Text::new(
            "lab.example has no SPF. Two parties send in its name: this server, 127.0.0.10, and a \
             newsletter service, which says: publish v=spf1 include:_spf.news.example ~all. \
             Publish what lets both of them send, and nobody else.",
            "lab.example no tiene SPF. Dos envían en su nombre: este servidor, 127.0.0.10, y un \
             servicio de boletines, que dice: publique v=spf1 include:_spf.news.example ~all. \
             Publique lo que deje enviar a los dos, y a nadie más.",
        ),
        world: numbered(
            7,
            Blueprint {
                zone: |zone| {
                    zone.remove(SENDER_DOMAIN, RecordType::Txt);
                    zone.add_txt("_spf.news.example", "v=spf1 ip4:127.0.0.31 -all");
                },
                keys: false,
                ..WORLD
            },
        ),
        hints: &[
            Hint {
                cost: 1,
                text: Text::new(
                    "SPF is a TXT record at lab.example itself: v=spf1, who may send, and at the \
                     end what holds for all others.",
                    "SPF es un registro TXT en el propio lab.example: v=spf1, quién puede enviar y, \
                     al final, qué vale para todos los demás.",
                ),
            },
            Hint {
                cost: 2,
                text: Text::new(
                    "A domain has one SPF record; with two, none counts. What the second would \
                     say goes into the first, before its `all`.",
                    "Un dominio tiene un solo registro SPF; con dos no vale ninguno. Lo que diría \
                     el segundo va dentro del primero, antes de su `all`.",
                ),
            },
            Hint {
                cost: 3,
                text: Text::new(
                    "Below $ORIGIN lab.example.: `@ TXT \"v=spf1 ip4:127.0.0.10 \
                     include:_spf.news.example -all\"`",
                    "Bajo $ORIGIN lab.example.: `@ TXT \"v=spf1 ip4:127.0.0.10 \
                     include:_spf.news.example -all\"`",
                ),
            },
        ],
        checks: &[
            Check {
                points: 2,
                title: Text::new("there is one SPF record", "hay un solo registro SPF"),
                what: What::SpfSingle,
            },
            Check {
                points: 2,
                title: Text::new("this server may send", "este servidor puede enviar"),
                what: What::SpfPasses(OURS),
            },
            Check {
                points: 2,
                title: Text::new("the newsletter may send", "el boletín puede enviar"),
                what: What::SpfPasses(NEWSLETTER),
            },
            Check {
                points: 2,
                title: Text::new("a stranger may not", "un extraño no puede"),
                what: What::SpfStops(STRANGER),
            },
            strict(2, OURS, &["spf"]),
        ],
        #[cfg(test)]
        model: &[Step::Add(
            "dns.zone",
            "lab.example. TXT \"v=spf1 ip4:127.0.0.10 include:_spf.news.example -all\"\n",
        )],
        #[cfg(test)]
        wrong: &[
            (
                &[Step::Add(
                    "dns.zone",
                    "lab.example. TXT \"v=spf1 ip4:127.0.0.10 -all\"\n\
                     lab.example. TXT \"v=spf1 include:_spf.news.example ~all\"\n",
                )],
                "spf.several",
            ),
            (
                &[Step::Add("dns.zone", "lab.example. TXT \"v=spf1 ip4:127.0.0.10 -all\"\n")],
                "spf.not-pass",
            ),
            (&[Step::Add("dns.zone", "lab.example. TXT \"v=spf1 +all\"\n")], "spf.open"),
            (
                &[Step::Add(
                    "dns.zone",
                    "lab.example. TXT \"v=spf1 ip4:127.0.0.10 include:_spf.news.example ?all\"\n",
                )],
                "spf.open",
            ),
        ],
    },
    Exercise {
        number: 8,
        title: Text::new(
            "DKIM: published, and cut off by the panel",
            "DKIM: publicado, y cortado por el panel",
        ),
        task: Text::new(
            "The server signs with the key of the selector rsa. Its public half was pasted into \
             the provider's panel, which kept the first 255 characters. Ana's server refuses the \
             letters since. Publish the whole key; the server has it.",
            "El servidor firma con la clave del selector rsa. Su mitad pública se pegó en el panel \
             del proveedor, que guardó los primeros 255 caracteres. Desde entonces el servidor de \
             Ana rechaza las cartas. Publique la clave entera; la tiene el servidor.",
        ),
        world: numbered(
            8,
            Blueprint {
                zone: |zone| {
                    let name = "rsa._domainkey.lab.example";
                    let found = zone.resolve(name, RecordType::Txt).result.unwrap_or_default();
                    if let Some(puerto_mail::dns::Record::Txt(whole)) = found.first() {
                        let start = whole.get(..PANEL).unwrap_or(whole);
                        zone.set_txt(name, &String::from_utf8_lossy(start));
                    }
                },
                ..WORLD
            },
        ),
        hints: &[
            Hint {
                cost: 1,
                text: Text::new(
                    "`puerto --config {folder}/puerto.toml dkim list` prints the \
                     record as it has to be.",
                    "`puerto --config {folder}/puerto.toml dkim list` escribe el \
                     registro tal como debe ser.",
                ),
            },
            Hint {
                cost: 2,
                text: Text::new(
                    "A string has 255 characters at most, and a TXT record several strings: \
                     rsa._domainkey TXT ( \"first part\" \"second part\" ). Two TXT records are \
                     two keys, both broken.",
                    "Una cadena tiene 255 caracteres como mucho, y un registro TXT varias cadenas: \
                     rsa._domainkey TXT ( \"primera parte\" \"segunda parte\" ). Dos registros TXT \
                     son dos claves, las dos rotas.",
                ),
            },
        ],
        checks: &[
            Check {
                points: 5,
                title: Text::new("the whole key is published", "la clave entera está publicada"),
                what: What::KeyPublished("rsa"),
            },
            strict(5, OURS, &["dkim"]),
        ],
        #[cfg(test)]
        model: &[Step::Publish(1)],
        #[cfg(test)]
        wrong: &[
            (&[Step::Publish(2)], "key.several"),
            (&[Step::Unpublish], "key.none"),
            (
                &[
                    Step::Unpublish,
                    Step::Add(
                        "dns.zone",
                        "rsa._domainkey.lab.example. TXT \"v=DKIM1; k=rsa; p=\"\n",
                    ),
                ],
                "key.other",
            ),
        ],
    },
    Exercise {
        number: 9,
        title: Text::new("DMARC: from reports to policy", "DMARC: de los informes a la política"),
        task: Text::new(
            "SPF and DKIM are right, and still anybody can write to the world as \
             student@lab.example: the DMARC of lab.example asks for nothing. First let the \
             receivers' reports come to dmarc@lab.example. They will show that all of your mail \
             proves itself; then let receivers refuse what does not.",
            "SPF y DKIM están bien y, aun así, cualquiera puede escribir al mundo como \
             student@lab.example: el DMARC de lab.example no pide nada. Primero haga que los \
             informes de los receptores lleguen a dmarc@lab.example. Mostrarán que todo su correo \
             se acredita; entonces, haga que los receptores rechacen el que no.",
        ),
        world: numbered(
            9,
            Blueprint {
                zone: |zone| zone.set_txt("_dmarc.lab.example", "v=DMARC1; p=none"),
                ..WORLD
            },
        ),
        hints: &[
            Hint {
                cost: 1,
                text: Text::new(
                    "It is the TXT record of _dmarc.lab.example. rua=mailto:… says where reports \
                     go, p=… what is to be done with what fails.",
                    "Es el registro TXT de _dmarc.lab.example. rua=mailto:… dice adónde van los \
                     informes; p=…, qué se hace con lo que falla.",
                ),
            },
            Hint {
                cost: 2,
                text: Text::new(
                    "p=none looks on, p=quarantine puts into the spam folder, p=reject refuses.",
                    "p=none solo mira, p=quarantine manda a la carpeta de spam, p=reject rechaza.",
                ),
            },
        ],
        checks: &[
            Check {
                points: 4,
                title: Text::new("reports can arrive", "los informes pueden llegar"),
                what: What::Reports,
            },
            Check {
                points: 3,
                title: Text::new(
                    "what others send in your name is refused",
                    "lo que otros envían en su nombre se rechaza",
                ),
                what: What::ForgeryRefused,
            },
            strict(3, OURS, &["dmarc"]),
        ],
        #[cfg(test)]
        model: &[Step::Edit("dns.zone", "p=none", "p=reject; rua=mailto:dmarc@lab.example")],
        #[cfg(test)]
        wrong: &[
            (&[Step::Edit("dns.zone", "p=none", "p=reject")], "dmarc.no-reports"),
            (
                &[Step::Edit(
                    "dns.zone",
                    "p=none",
                    "p=reject; pct=1; rua=mailto:dmarc@lab.example",
                )],
                "dmarc.lets-through",
            ),
            (
                &[Step::Edit("dns.zone", "p=none", "p=reject; rua=mailto:me@gmail.com")],
                "dmarc.reports-elsewhere",
            ),
            (
                &[Step::Add(
                    "dns.zone",
                    "_dmarc.lab.example. TXT \"v=DMARC1; p=reject; rua=mailto:dmarc@lab.example\"\n",
                )],
                "dmarc.several",
            ),
        ],
    },
];
