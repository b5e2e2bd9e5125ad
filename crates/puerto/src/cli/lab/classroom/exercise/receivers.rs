//! The exercises about the server's address and the manners of receivers.

use std::net::{IpAddr, Ipv4Addr};

use puerto_lab::world::{RELAY, SENDER_ADDRESS, SENDER_DOMAIN, SENDER_HOST, STRICT};
use puerto_mail::dns::RecordType;

#[cfg(test)]
use super::Step;
use super::{Check, Exercise, Hint, OURS, OURS_V6, STRANGER, WORLD, What, numbered, strict};
use crate::cli::lab::classroom::world::Blueprint;
use crate::lang::Text;

const ZEN: &str = "zen.spamhaus.org";
/// What Spamhaus answers for an address on the PBL.
const ON_PBL: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 10);

/// These exercises.
pub(super) const EXERCISES: &[Exercise] = &[
    Exercise {
        number: 10,
        title: Text::new("The dynamic address and the PBL", "La IP dinámica y la PBL"),
        task: Text::new(
            "The server now stands at home, behind a household's line. Ana's letters come back \
             with DY-001. The address is the provider's: neither its name nor the list it is on \
             are yours to change. But the provider runs a relay for its customers, \
             [relay.isp.example]:{port}, and says: our servers are in _spf.isp.example. Bring the \
             mail out.",
            "El servidor está ahora en casa, tras una línea doméstica. Las cartas a Ana vuelven \
             con DY-001. La dirección es del proveedor: ni su nombre ni la lista en la que figura \
             puede cambiarlos usted. Pero el proveedor tiene un relay para sus clientes, \
             [relay.isp.example]:{port}, y dice: nuestros servidores están en _spf.isp.example. \
             Saque el correo.",
        ),
        world: numbered(
            10,
            Blueprint {
                zone: |zone| {
                    zone.remove_pointer(OURS);
                    zone.add_host("127-0-0-10.dynamic.isp.example", OURS);
                    zone.add_listing(ZEN, OURS, ON_PBL);
                    zone.set_txt(SENDER_DOMAIN, &format!("v=spf1 ip4:{SENDER_ADDRESS} -all"));
                },
                yours: &["lab.example"],
                keys: false,
                letters: &[("student@lab.example", "ana@strict.example")],
                ..WORLD
            },
        ),
        hints: &[
            Hint {
                cost: 1,
                text: Text::new(
                    "`puerto explain DY-001` says whose problem it is. What a household's line may \
                     not deliver, another has to.",
                    "`puerto explain DY-001` dice de quién es el problema. Lo que una línea \
                     doméstica no puede entregar lo tiene que entregar otro.",
                ),
            },
            Hint {
                cost: 2,
                text: Text::new(
                    "With the relayhost set, the letters come from the relay's address. Does your \
                     SPF let it send?",
                    "Con el relayhost puesto, las cartas llegan desde la dirección del relay. ¿Le \
                     deja enviar su SPF?",
                ),
            },
            Hint {
                cost: 3,
                text: Text::new(
                    "puerto.toml: relayhost = \"[relay.isp.example]:{port}\"; in the zone: \
                     \"v=spf1 include:_spf.isp.example -all\"",
                    "puerto.toml: relayhost = \"[relay.isp.example]:{port}\"; en la zona: \
                     \"v=spf1 include:_spf.isp.example -all\"",
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
                title: Text::new("the relay may send", "el relay puede enviar"),
                what: What::SpfPasses(IpAddr::V4(RELAY.address)),
            },
            Check {
                points: 2,
                title: Text::new("a stranger may not", "un extraño no puede"),
                what: What::SpfStops(STRANGER),
            },
            strict(4, IpAddr::V4(RELAY.address), &["spf"]),
        ],
        #[cfg(test)]
        model: &[
            Step::Edit(
                "puerto.toml",
                "relayhost = \"\"",
                "relayhost = \"[relay.isp.example]:{port}\"",
            ),
            Step::Edit("dns.zone", "ip4:127.0.0.10", "include:_spf.isp.example"),
        ],
        #[cfg(test)]
        wrong: &[
            (
                &[Step::Edit(
                    "puerto.toml",
                    "relayhost = \"\"",
                    "relayhost = \"[relay.isp.example]:{port}\"",
                )],
                "spf.not-pass",
            ),
            (
                &[
                    Step::Edit(
                        "puerto.toml",
                        "relayhost = \"\"",
                        "relayhost = \"[relay.isp.example]:{port}\"",
                    ),
                    Step::Edit("dns.zone", "ip4:127.0.0.10 -all", "+all"),
                ],
                "spf.open",
            ),
            // The name of the address is the provider's.
            (
                &[Step::Add("dns.zone", "10.0.0.127.in-addr.arpa. PTR mail.lab.example.\n")],
                "file.zone",
            ),
            (
                &[Step::Edit(
                    "dns.zone",
                    "ip4:127.0.0.10",
                    "include:_spf.isp.example ip4:127.0.0.10",
                )],
                "letter.refused/ip-dynamic",
            ),
        ],
    },
    Exercise {
        number: 11,
        title: Text::new("Greylisting is no fault", "Las listas grises no son una avería"),
        task: Text::new(
            "Marta wrote to rosa@grumpy.example, and the letter has not arrived. The log says \
             status=deferred. She asks you to mend the server. Find out what has to be mended, \
             and see to it that Rosa gets the letter, once.",
            "Marta escribió a rosa@grumpy.example, y la carta no ha llegado. El registro dice \
             status=deferred. Le pide a usted que arregle el servidor. Averigüe qué hay que \
             arreglar, y consiga que Rosa reciba la carta, una vez.",
        ),
        world: numbered(
            11,
            Blueprint {
                retry: "[\"1m\"]",
                letters: &[("marta@lab.example", "rosa@grumpy.example")],
                ..WORLD
            },
        ),
        hints: &[
            Hint {
                cost: 1,
                text: Text::new(
                    "`puerto --config {folder}/puerto.toml queue list` shows what waits, why, and \
                     when it is tried next. What does a reply that begins with 4 mean?",
                    "`puerto --config {folder}/puerto.toml queue list` muestra qué espera, por qué \
                     y cuándo se intenta otra vez. ¿Qué significa una respuesta que empieza por 4?",
                ),
            },
            Hint {
                cost: 2,
                text: Text::new(
                    "The receiver puts strangers off, to see whether they come again. A queue \
                     does. Wait, some minutes; or, if you cannot: `puerto --config {folder}/puerto.toml \
                     queue retry --all --yes`, more than once",
                    "El receptor hace esperar a los desconocidos para ver si vuelven. Una cola \
                     vuelve. Espere unos minutos; o, si no puede: `puerto --config {folder}/puerto.toml \
                     queue retry --all --yes`, más de una vez",
                ),
            },
        ],
        checks: &[
            Check {
                points: 4,
                title: Text::new("Rosa has the letter", "Rosa tiene la carta"),
                what: What::Came { from: "marta@lab.example", to: "rosa@grumpy.example" },
            },
            Check {
                points: 3,
                title: Text::new("once", "una sola vez"),
                what: What::Once(&["rosa@grumpy.example"]),
            },
            Check {
                points: 3,
                title: Text::new(
                    "what was not broken was not mended",
                    "no se ha arreglado lo que no estaba roto",
                ),
                what: What::Untouched,
            },
        ],
        #[cfg(test)]
        model: &[Step::Retry],
        #[cfg(test)]
        wrong: &[
            (&[Step::Remove], "letter.waits"),
            (
                &[Step::Send("marta@lab.example", "rosa@grumpy.example"), Step::Retry],
                "letter.again",
            ),
            (&[Step::Edit("puerto.toml", "[\"1m\"]", "[\"1s\"]"), Step::Retry], "files.touched"),
        ],
    },
    Exercise {
        number: 12,
        title: Text::new("IPv6 without a name", "IPv6 sin nombre"),
        task: Text::new(
            "Since the provider gave the server an IPv6 address, ::1 here, letters to \
             strict.example are refused, which prefers IPv6; over IPv4 all was right. IPv6 stays \
             on. Its reverse zone is yours to edit: it is in the zone file.",
            "Desde que el proveedor dio al servidor una dirección IPv6, que aquí es ::1, se \
             rechazan las cartas a strict.example, que prefiere IPv6; por IPv4 iba todo bien. \
             IPv6 se queda. Su zona inversa puede editarla usted: va en el fichero de zona.",
        ),
        world: numbered(
            12,
            Blueprint {
                options: |options| options.ipv6 = true,
                zone: |zone| {
                    zone.remove(STRICT.host, RecordType::A);
                    zone.add_address(STRICT.host, OURS_V6);
                    zone.add_address(SENDER_HOST, OURS_V6);
                },
                yours: &["lab.example", "10.0.0.127.in-addr.arpa", LOCALHOST_V6],
                ..WORLD
            },
        ),
        hints: &[
            Hint {
                cost: 1,
                text: Text::new(
                    "An IPv6 address needs what an IPv4 address needs: a name that leads back, and \
                     a place in the SPF record.",
                    "Una dirección IPv6 necesita lo que una IPv4: un nombre que lleve de vuelta a \
                     ella, y un sitio en el registro SPF.",
                ),
            },
            Hint {
                cost: 2,
                text: Text::new(
                    "The name of ::1 is looked up at \
                     1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa, \
                     digit by digit from the end; in SPF it is ip6:::1.",
                    "El nombre de ::1 se busca en \
                     1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa, \
                     cifra a cifra desde el final; en SPF es ip6:::1.",
                ),
            },
        ],
        checks: &[
            Check {
                points: 4,
                title: Text::new(
                    "the IPv6 address has a name that leads back",
                    "la dirección IPv6 tiene un nombre que lleva de vuelta a ella",
                ),
                what: What::ReverseName(OURS_V6),
            },
            Check {
                points: 3,
                title: Text::new("the IPv6 address may send", "la dirección IPv6 puede enviar"),
                what: What::SpfPasses(OURS_V6),
            },
            strict(3, OURS_V6, &["iprev", "spf"]),
        ],
        #[cfg(test)]
        model: &[
            Step::Add("dns.zone", PTR_V6),
            Step::Edit("dns.zone", "ip4:127.0.0.10", "ip4:127.0.0.10 ip6:::1"),
        ],
        #[cfg(test)]
        wrong: &[
            (&[Step::Add("dns.zone", PTR_V6)], "spf.not-pass"),
            (
                &[Step::Add("dns.zone", "1.0.0.127.in-addr.arpa. PTR mail.lab.example.\n")],
                "file.zone",
            ),
            (
                &[Step::Add("dns.zone", PTR_V6), Step::Edit("dns.zone", "AAAA  ::1", "AAAA  ::2")],
                "ptr.not-back",
            ),
        ],
    },
];

/// The reverse name of `::1`.
const LOCALHOST_V6: &str =
    "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa";
#[cfg(test)]
const PTR_V6: &str = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa. \
     PTR mail.lab.example.\n";
