//! The exercises from the first message to the relay's rules.

#[cfg(test)]
use super::Step;
use super::{Arrival, Check, Exercise, Hint, STUDENT, WORLD, What, numbered};
use crate::cli::lab::classroom::world::Blueprint;
use crate::lang::Text;
use puerto_lab::world::{PLAIN, RELAY, RELAY_INWARD, STRICT};

/// Through the relay, to whoever takes everything and to whoever looks closely.
const THROUGH_RELAY: [Check; 2] = [
    Check {
        points: 4,
        title: Text::new(
            "a letter to plain.example arrives, through the relay",
            "una carta a plain.example llega, por el relay",
        ),
        what: What::Arrives(Arrival {
            at: PLAIN,
            by: std::net::IpAddr::V4(RELAY.address),
            proof: &[],
        }),
    },
    Check {
        points: 6,
        title: Text::new(
            "a letter to strict.example arrives, through the relay",
            "una carta a strict.example llega, por el relay",
        ),
        what: What::Arrives(Arrival {
            at: STRICT,
            by: std::net::IpAddr::V4(RELAY.address),
            proof: &[],
        }),
    },
];

/// These exercises.
pub(super) const EXERCISES: &[Exercise] = &[
    Exercise {
        number: 1,
        title: Text::new("The first message", "El primer mensaje"),
        task: Text::new(
            "A mail server runs here, and nothing is wrong with it. Send a letter to \
             luis@plain.example and another to ana@strict.example, both from student@lab.example, \
             and see in their mailboxes what became of them.",
            "Aquí funciona un servidor de correo, y no tiene nada mal. Envíe una carta a \
             luis@plain.example y otra a ana@strict.example, las dos desde student@lab.example, y \
             mire en sus buzones qué ha sido de ellas.",
        ),
        world: numbered(1, WORLD),
        hints: &[
            Hint {
                cost: 1,
                text: Text::new(
                    "`puerto lab send ADDRESS` sends one, `puerto lab inbox` shows who got what.",
                    "`puerto lab send DIRECCIÓN` envía una, `puerto lab inbox` muestra a quién le \
                     llegó qué.",
                ),
            },
            Hint {
                cost: 2,
                text: Text::new(
                    "Programs send with sendmail: `echo hi | puerto --config {folder}/puerto.toml \
                     sendmail -f student@lab.example luis@plain.example`",
                    "Los programas envían con sendmail: `echo hola | puerto --config \
                     {folder}/puerto.toml sendmail -f student@lab.example luis@plain.example`",
                ),
            },
        ],
        checks: &[
            Check {
                points: 5,
                title: Text::new("Luis has a letter", "Luis tiene una carta"),
                what: What::Came { from: STUDENT, to: "luis@plain.example" },
            },
            Check {
                points: 5,
                title: Text::new("Ana has a letter", "Ana tiene una carta"),
                what: What::Came { from: STUDENT, to: "ana@strict.example" },
            },
        ],
        #[cfg(test)]
        model: &[
            Step::Send("student@lab.example", "luis@plain.example"),
            Step::Send("student@lab.example", "ana@strict.example"),
        ],
        #[cfg(test)]
        wrong: &[
            (&[Step::Send("student@lab.example", "luis@plain.example")], "letter.none"),
            (
                &[
                    Step::Send("otra@lab.example", "luis@plain.example"),
                    Step::Send("student@lab.example", "ana@strict.example"),
                ],
                "letter.sender",
            ),
            (
                &[
                    Step::Send("student@other.example", "luis@plain.example"),
                    Step::Send("student@lab.example", "ana@strict.example"),
                ],
                "letter.sender",
            ),
            (
                &[
                    Step::Send("student@lab.example", "luis@plain.example"),
                    Step::Send("student@other.example", "ana@strict.example"),
                ],
                "letter.refused/auth-missing",
            ),
        ],
    },
    Exercise {
        number: 2,
        title: Text::new("Reading the log", "Leer el registro"),
        task: Text::new(
            "This morning Marta (marta@lab.example) sent one letter to each of five people. One of \
             the letters came back, she does not know which, for somebody mistyped an address. \
             Their right addresses are: carmen@gmail.com, jose.garcia@yahoo.com, \
             luis@plain.example, ana@strict.example, pilar@outlook.com. Find the letter in the \
             log, {folder}/mail.log, and send it once more, in Marta's name, to the right address. \
             Nobody wants it twice.",
            "Esta mañana Marta (marta@lab.example) envió una carta a cada una de cinco personas. \
             Una de las cartas volvió, y no sabe cuál: alguien tecleó mal una dirección. Las \
             direcciones correctas son: carmen@gmail.com, jose.garcia@yahoo.com, \
             luis@plain.example, ana@strict.example, pilar@outlook.com. Busque la carta en el \
             registro, {folder}/mail.log, y envíela otra vez, en nombre de Marta, a la dirección \
             correcta. Nadie la quiere dos veces.",
        ),
        world: numbered(
            2,
            Blueprint {
                options: |options| options.unknown = &["jose.garzia@yahoo.com"],
                letters: &[
                    ("marta@lab.example", "carmen@gmail.com"),
                    ("marta@lab.example", "ana@strict.example"),
                    ("marta@lab.example", "jose.garzia@yahoo.com"),
                    ("marta@lab.example", "luis@plain.example"),
                    ("marta@lab.example", "pilar@outlook.com"),
                ],
                ..WORLD
            },
        ),
        hints: &[
            Hint {
                cost: 1,
                text: Text::new(
                    "Each attempt has a line with to=<…> and status=: sent arrived, deferred is \
                     tried again, bounced came back.",
                    "Cada intento tiene una línea con to=<…> y status=: sent llegó, deferred se \
                     intentará otra vez, bounced volvió.",
                ),
            },
            Hint {
                cost: 2,
                text: Text::new(
                    "`grep status=bounced {folder}/mail.log` shows it. In Marta's name: `puerto \
                     lab send --from marta@lab.example ADDRESS`",
                    "`grep status=bounced {folder}/mail.log` la muestra. En nombre de Marta: \
                     `puerto lab send --from marta@lab.example DIRECCIÓN`",
                ),
            },
        ],
        checks: &[
            Check {
                points: 6,
                title: Text::new(
                    "the letter that came back has arrived",
                    "la carta que volvió ha llegado",
                ),
                what: What::Came { from: "marta@lab.example", to: "jose.garcia@yahoo.com" },
            },
            Check {
                points: 4,
                title: Text::new("nobody has it twice", "nadie la tiene dos veces"),
                what: What::Once(&[
                    "carmen@gmail.com",
                    "jose.garcia@yahoo.com",
                    "luis@plain.example",
                    "ana@strict.example",
                    "pilar@outlook.com",
                ]),
            },
        ],
        #[cfg(test)]
        model: &[Step::Send("marta@lab.example", "jose.garcia@yahoo.com")],
        #[cfg(test)]
        wrong: &[
            (&[Step::Send("marta@lab.example", "jose.garzia@yahoo.com")], "letter.none"),
            (
                &[
                    Step::Send("marta@lab.example", "jose.garcia@yahoo.com"),
                    Step::Send("marta@lab.example", "pilar@outlook.com"),
                ],
                "letter.again",
            ),
            (&[Step::Send("marta@other.example", "jose.garcia@yahoo.com")], "letter.sender"),
        ],
    },
    Exercise {
        number: 3,
        title: Text::new(
            "A relayhost with and without brackets",
            "Un relayhost con y sin corchetes",
        ),
        task: Text::new(
            "From this network mail goes out through the provider's relay, relay.isp.example, \
             which listens on port {port}. The server knows that, and still every letter comes \
             back. Find out where the letters really go, and make them go through the relay.",
            "Desde esta red el correo sale por el relay del proveedor, relay.isp.example, que \
             escucha en el puerto {port}. El servidor lo sabe y, aun así, todas las cartas \
             vuelven. Averigüe adónde van en realidad, y haga que salgan por el relay.",
        ),
        world: numbered(
            3,
            Blueprint {
                zone: |zone| {
                    zone.add_host(RELAY_INWARD.host, RELAY_INWARD.address.into());
                    zone.add_mx(RELAY.host, 10, RELAY_INWARD.host);
                },
                top: "relayhost = \"relay.isp.example:{port}\"\n",
                ..WORLD
            },
        ),
        hints: &[
            Hint {
                cost: 1,
                text: Text::new(
                    "The log says relay=…: the host that was really spoken to. Is it the one in \
                     the configuration?",
                    "El registro dice relay=…: el servidor con el que se habló de verdad. ¿Es el de \
                     la configuración?",
                ),
            },
            Hint {
                cost: 2,
                text: Text::new(
                    "A relayhost without brackets is a domain: its MX is looked up first. \
                     relay.isp.example has one, for the mail that it receives itself.",
                    "Un relayhost sin corchetes es un dominio: primero se busca su MX. \
                     relay.isp.example tiene uno, para el correo que recibe él mismo.",
                ),
            },
            Hint {
                cost: 3,
                text: Text::new(
                    "In brackets it is the host itself; the port stands behind them: \
                     relayhost = \"[relay.isp.example]:{port}\"",
                    "Entre corchetes es la propia máquina; el puerto va detrás: \
                     relayhost = \"[relay.isp.example]:{port}\"",
                ),
            },
        ],
        checks: &THROUGH_RELAY,
        #[cfg(test)]
        model: &[Step::Edit("puerto.toml", "\"relay.isp.example:", "\"[relay.isp.example]:")],
        #[cfg(test)]
        wrong: &[
            // Around the relay.
            (
                &[Step::Edit(
                    "puerto.toml",
                    "relayhost = \"relay.isp.example:{port}\"",
                    "relayhost = \"\"",
                )],
                "letter.way",
            ),
            // Behind the brackets no port, and there is nobody at 25.
            (
                &[Step::Edit("puerto.toml", "relay.isp.example:{port}", "[relay.isp.example]")],
                "letter.waits/connection-refused",
            ),
            // The port within them.
            (
                &[Step::Edit(
                    "puerto.toml",
                    "relay.isp.example:{port}",
                    "[relay.isp.example:{port}]",
                )],
                "file.config",
            ),
        ],
    },
    Exercise {
        number: 4,
        title: Text::new("A relay that wants a login", "Un relay que pide contraseña"),
        task: Text::new(
            "The relay of the provider, [relay.isp.example]:{port}, takes mail of customers only. \
             Yours are the user name lab and the password azul-marino-42. Let the server log in.",
            "El relay del proveedor, [relay.isp.example]:{port}, solo admite el correo de sus \
             clientes. Su usuario es lab y su contraseña azul-marino-42. Haga que el servidor se \
             identifique.",
        ),
        world: numbered(
            4,
            Blueprint {
                options: |options| options.relay_login = Some(("lab", "azul-marino-42")),
                top: "relayhost = \"[relay.isp.example]:{port}\"\n",
                ..WORLD
            },
        ),
        hints: &[
            Hint {
                cost: 1,
                text: Text::new(
                    "Two keys belong together: relayhost_user, and relayhost_password_file, which \
                     names a file with the password alone in it.",
                    "Dos claves van juntas: relayhost_user, y relayhost_password_file, que nombra \
                     un fichero que contiene solo la contraseña.",
                ),
            },
            Hint {
                cost: 2,
                text: Text::new(
                    "Only you may read the file: `umask 077; echo azul-marino-42 > \
                     {folder}/relay-password`. The keys stand at the top of puerto.toml, beside \
                     relayhost.",
                    "El fichero solo lo puede leer usted: `umask 077; echo azul-marino-42 > \
                     {folder}/relay-password`. Las claves van al principio de puerto.toml, junto a \
                     relayhost.",
                ),
            },
        ],
        checks: &THROUGH_RELAY,
        #[cfg(test)]
        model: &[
            Step::Add("relay-password", "azul-marino-42\n"),
            Step::Edit("puerto.toml", "\nrelayhost", LOGIN),
        ],
        #[cfg(test)]
        wrong: &[
            (
                &[
                    Step::Add("relay-password", "azul-marino-24\n"),
                    Step::Edit("puerto.toml", "\nrelayhost", LOGIN),
                ],
                "letter.waits/login-refused",
            ),
            (
                &[Step::Edit(
                    "puerto.toml",
                    "\nrelayhost",
                    "\nrelayhost_user = \"lab\"\nrelayhost",
                )],
                "file.config",
            ),
            (&[Step::Edit("puerto.toml", "\"[relay.isp.example]:{port}\"", "\"\"")], "letter.way"),
        ],
    },
    Exercise {
        number: 5,
        title: Text::new(
            "The relay's rule about senders",
            "La regla del relay sobre los remitentes",
        ),
        task: Text::new(
            "The relay takes letters now, but only from its customers' own addresses; yours there \
             is lab@isp.example. The users of this server go on writing as student@lab.example, \
             and their letters have to arrive all the same.",
            "El relay ya admite cartas, pero solo de las direcciones de sus clientes; la suya allí \
             es lab@isp.example. Los usuarios de este servidor siguen escribiendo como \
             student@lab.example, y sus cartas tienen que llegar igualmente.",
        ),
        world: numbered(
            5,
            Blueprint {
                options: |options| options.relay_takes_from = Some("isp.example"),
                zone: |zone| zone.add_txt("isp.example", "v=spf1 include:_spf.isp.example -all"),
                top: "relayhost = \"[relay.isp.example]:{port}\"\n",
                ..WORLD
            },
        ),
        hints: &[
            Hint {
                cost: 1,
                text: Text::new(
                    "`puerto explain` and `puerto why` say what the relay's answer means. The table \
                     [sender] of the configuration is about this.",
                    "`puerto explain` y `puerto why` dicen qué significa la respuesta del relay. De \
                     esto trata la tabla [sender] de la configuración.",
                ),
            },
            Hint {
                cost: 2,
                text: Text::new(
                    "`always` makes every letter leave with one address; the author stays in \
                     Reply-To.",
                    "`always` hace que todas las cartas salgan con una dirección; el autor queda en \
                     Reply-To.",
                ),
            },
            Hint {
                cost: 3,
                text: Text::new(
                    "Below [sender], at the end of the file: always = \"lab@isp.example\"",
                    "Bajo [sender], al final del fichero: always = \"lab@isp.example\"",
                ),
            },
        ],
        checks: &THROUGH_RELAY,
        #[cfg(test)]
        model: &[Step::Edit(
            "puerto.toml",
            "[sender]\n",
            "[sender]\nalways = \"lab@isp.example\"\n",
        )],
        #[cfg(test)]
        wrong: &[
            (
                &[Step::Edit(
                    "puerto.toml",
                    "[sender]\n",
                    "[sender]\nalways = \"lab@lab.example\"\n",
                )],
                "letter.refused/sender-rejected",
            ),
            (&[Step::Edit("puerto.toml", "\"[relay.isp.example]:{port}\"", "\"\"")], "letter.way"),
            // Not in its table.
            (
                &[Step::Edit(
                    "puerto.toml",
                    "\nrelayhost",
                    "\nalways = \"lab@isp.example\"\nrelayhost",
                )],
                "file.config",
            ),
        ],
    },
];

#[cfg(test)]
const LOGIN: &str = "\nrelayhost_user = \"lab\"\n\
     relayhost_password_file = \"{folder}/relay-password\"\nrelayhost";
