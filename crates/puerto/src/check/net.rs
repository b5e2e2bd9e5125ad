//! The network that this host sends over: its addresses, and whether port 25 is open.

use std::net::{IpAddr, SocketAddr};

use super::context::Context;
use super::outcome::{Check, Family, definitions};
use super::starttls::{self, Starttls, TLS_OUT};
use super::world::{Trial, World};
use crate::finding::Severity;
use crate::lang::{Said, Text, detail, said_of};
use crate::survey::address::is_public;
use crate::survey::greeting::Greeting;
use puerto_mail::together::together;

pub(super) static FAMILY: Family = Family {
    name: "net",
    title: Text::new("Network", "Red"),
    is_of_machine: true,
    checks: &[
        &EGRESS_IP,
        &IPV4_PUBLIC,
        &PORT25_OUT,
        &TLS_OUT,
        &IPV6,
        &RESOLVER_PUBLIC,
        &RELAY,
        &SENDMAIL,
    ],
};

definitions! {
    EGRESS_IP = "net.egress-ip" Error "RFC 5321 §4.1.1.1" [
        "It is known from which addresses mail leaves",
        "Se sabe desde qué direcciones sale el correo",
        "Records and reputation belong to addresses: mail must always leave from the same. With \
         several, set `delivery.bind_ipv4` and `delivery.bind_ipv6`.",
        "Los registros y la reputación son de las direcciones: el correo debe salir siempre de la \
         misma. Si hay varias, ponga `delivery.bind_ipv4` y `delivery.bind_ipv6`.",
    ];
    IPV4_PUBLIC = "net.ipv4-public" Error "RFC 1918 §3; RFC 6598 §7" [
        "The public IPv4 address is known",
        "Se conoce la dirección IPv4 pública",
        "Behind address translation the world sees another address. Give it to `puerto check \
         --egress`, publish it as the A record of the host name, or use a relayhost.",
        "Tras una traducción de direcciones el mundo ve otra dirección. Désela a `puerto check \
         --egress`, publíquela como registro A del nombre de la máquina, o use un relayhost.",
    ];
    PORT25_OUT = "net.port25-out" Error "RFC 5321 §4.5.4.1" [
        "Port 25 is open outwards",
        "El puerto 25 está abierto hacia fuera",
        "Many hosting companies close it and open it on request. Until then send through a \
         relayhost on port 587 or 465.",
        "Muchas empresas de alojamiento lo cierran y lo abren si se pide. Mientras tanto envíe por \
         un relayhost en el puerto 587 o 465.",
    ];
    IPV6 = "net.ipv6" Warning "RFC 5321 §5.1" [
        "IPv6 leads somewhere",
        "IPv6 llega a alguna parte",
        "A route over which nothing comes back delays every delivery. Repair it, or remove the \
         address from this host.",
        "Una ruta por la que no vuelve nada retrasa cada entrega. Repárela, o quite la dirección \
         de esta máquina.",
    ];
    RELAY = "net.relay" Error "RFC 4954 §4" [
        "The relayhost takes our mail and the login",
        "El relayhost acepta nuestro correo y las credenciales",
        "All mail depends on it, and only a conversation with it can tell: this one asks with the \
         login and the sender that real mail has, up to the message, which is not sent. `puerto \
         relay test` shows it all. Where the password may not be read it is not tried.",
        "Todo el correo depende de él, y solo una conversación con él puede decirlo: esta pregunta \
         con las credenciales y el remitente del correo real, hasta el mensaje, que no se envía. \
         `puerto relay test` la muestra entera. Donde no se puede leer la contraseña no se prueba.",
    ];
    SENDMAIL = "net.sendmail" Error "" [
        "The command `sendmail` is this server's",
        "La orden `sendmail` es la de este servidor",
        "Programs hand their mail to `sendmail`. A package that is installed later, such as \
         bsd-mailx, may bring another mail server whose `sendmail` takes the place of ours.",
        "Los programas entregan su correo a `sendmail`. Un paquete que se instale después, como \
         bsd-mailx, puede traer otro servidor cuyo `sendmail` ocupe el lugar del nuestro.",
    ];
    RESOLVER_PUBLIC = "net.resolver-public" Warning "RFC 5782 §2" [
        "The DNS resolver is not a public one",
        "El servidor DNS no es uno público",
        "Blocklists refuse public resolvers, so that listings stay unknown. Run a resolver of \
         your own, such as Unbound.",
        "Las listas de bloqueo rechazan a los resolutores públicos, y así no se sabe si hay \
         inclusiones. Use uno propio, como Unbound.",
    ];
}

/// Large receivers that have nothing to do with each other, and what their greeting
/// holds.
const PROVIDERS: [(&str, &[&str]); 3] = [
    ("gmail.com", &["google"]),
    ("outlook.com", &["outlook", "microsoft"]),
    ("yahoo.com", &["yahoo"]),
];

const PUBLIC_RESOLVERS: &str = "1.1.1.1 1.0.0.1 8.8.8.8 8.8.4.4 9.9.9.9 149.112.112.112 \
    208.67.222.222 208.67.220.220 2606:4700:4700::1111 2606:4700:4700::1001 \
    2001:4860:4860::8888 2001:4860:4860::8844 2620:fe::fe 2620:fe::9";

/// What a conversation with the relayhost showed. A fault that keeps no mail is milder.
async fn relay_trial<W: World>(context: &Context<'_, W>, relay: &str) -> Vec<Check> {
    let draft = || context.about(&RELAY, relay);
    let not_tried = draft().remedy("puerto relay test");
    match context.world.relay_trial().await {
        Trial::Through => {
            vec![draft().not_applicable(("mail goes through it", "el correo pasa por él"))]
        }
        Trial::Answered(faults) => {
            let taken = draft().pass((
                "{subject} takes our mail, and the login where there is one; none was sent",
                "{subject} acepta nuestro correo, y las credenciales si las hay; no se ha enviado \
                 nada",
            ));
            let is_taken = !faults.iter().any(|fault| fault.severity == Severity::Error);
            let faults = faults.into_iter().map(|fault| {
                let draft = draft().severity(fault.severity).with_said("seen", fault.seen);
                draft.with_said("remedy", fault.remedy).finding(
                    "{seen}",
                    ("a relay that takes our mail", "un relay que acepte nuestro correo"),
                    "{remedy}",
                )
            });
            is_taken.then_some(taken).into_iter().chain(faults).collect()
        }
        Trial::NotTried(Some(why)) => vec![not_tried.with_said("why", why).unknown((
            "not tried here, whether {subject} takes our mail and the login: {why}",
            "no se ha probado aquí si {subject} acepta nuestro correo y las credenciales: {why}",
        ))],
        Trial::NotTried(None) => vec![not_tried.unknown((
            "not tried here: whether {subject} takes our mail and the login",
            "no se ha probado aquí: si {subject} acepta nuestro correo y las credenciales",
        ))],
    }
}

pub(super) async fn run<W: World>(context: &Context<'_, W>) -> Vec<Check> {
    let mut checks = vec![resolver(context), sendmail(context)];
    if let Some(relay) = &context.relay {
        let why =
            Text::new("mail goes to the relayhost {relay}", "el correo va al relayhost {relay}");
        checks.push(match &relay.addresses {
            Ok(found) if found.is_empty() => context.about(&EGRESS_IP, &relay.name).finding(
                (
                    "the relayhost {subject} has no address",
                    "el relayhost {subject} no tiene dirección",
                ),
                ("a name that resolves", "un nombre que se resuelva"),
                ("Correct relayhost in puerto.toml", "Corrija relayhost en puerto.toml"),
            ),
            Ok(found) => {
                let list: Vec<_> = found.iter().map(ToString::to_string).collect();
                let draft = context.about(&EGRESS_IP, &relay.name).with("found", list.join(", "));
                draft.pass("relayhost {subject} → {found}")
            }
            Err(error) => context.about(&EGRESS_IP, &relay.name).no_answer(error),
        });
        checks.extend(relay_trial(context, &relay.name).await);
        let rest = [&IPV4_PUBLIC, &PORT25_OUT, &TLS_OUT];
        checks.extend(rest.map(|check| {
            context.about(check, &context.helo).with("relay", &relay.name).not_applicable(why)
        }));
        return checks;
    }
    checks.push(egress(context));
    checks.extend(
        context.egress.iter().filter(|address| address.is_ipv4()).map(|a| public(context, *a)),
    );
    if context.egress_given {
        let given = Text::new(
            "the addresses were given, they need not be this machine's",
            "las direcciones se han dado, no tienen por qué ser de esta máquina",
        );
        let rest = [&PORT25_OUT, &TLS_OUT];
        checks.extend(rest.map(|check| context.about(check, &context.helo).not_applicable(given)));
        return checks;
    }
    checks.extend(port_25(context).await);
    checks
}

fn sendmail<W: World>(context: &Context<'_, W>) -> Check {
    let draft = context.about(&SENDMAIL, &context.helo);
    if context.egress_given {
        return draft.not_applicable((
            "the addresses were given, they need not be this machine's",
            "las direcciones se han dado, no tienen por qué ser de esta máquina",
        ));
    }
    match context.world.foreign_sendmail() {
        None => draft.pass(("ours", "la nuestra")),
        Some(found) => draft.with("found", found).finding(
            (
                "another program takes what is sent by `sendmail`: {found}",
                "otro programa recibe lo que se envía con `sendmail`: {found}",
            ),
            "puerto",
            (
                "Run `puerto setup`, which puts ours in its place, or remove the other mail server",
                "Ejecute `puerto setup`, que pone la nuestra en su lugar, o desinstale el otro \
                 servidor de correo",
            ),
        ),
    }
}

fn resolver<W: World>(context: &Context<'_, W>) -> Check {
    let servers = context.world.resolver();
    let draft = context.about(&RESOLVER_PUBLIC, &servers);
    let is_public = |server: &str| PUBLIC_RESOLVERS.split(' ').any(|public| public == server);
    let public = servers.split(", ").any(is_public);
    if !public {
        return draft.pass("{subject}");
    }
    draft.finding(
        ("{subject} is a public resolver", "{subject} es un resolutor público"),
        ("a resolver of your own", "un resolutor propio"),
        (
            "apt install unbound, then in puerto.toml: [dns] servers = [\"127.0.0.1\"]",
            "apt install unbound y, en puerto.toml: [dns] servers = [\"127.0.0.1\"]",
        ),
    )
}

fn egress<W: World>(context: &Context<'_, W>) -> Check {
    let list: Vec<_> = context.egress.iter().map(ToString::to_string).collect();
    let draft = context.about(&EGRESS_IP, &context.helo).with("list", list.join(", "));
    if list.is_empty() {
        return draft
            .remedy(("puerto check --egress ADDRESS", "puerto check --egress DIRECCIÓN"))
            .unknown((
                "this machine has no way to the Internet",
                "esta máquina no tiene salida a Internet",
            ));
    }
    draft.pass("{list}")
}

fn public<W: World>(context: &Context<'_, W>, address: IpAddr) -> Check {
    let draft = context.about(&IPV4_PUBLIC, address).with("helo", &context.helo);
    if context.translated.contains(&address) {
        return draft.pass((
            "behind address translation; {helo} leads to {subject}",
            "tras una traducción de direcciones; {helo} lleva a {subject}",
        ));
    }
    if context.config.delivery.allow_private || is_public(address) {
        return draft.pass("{subject}");
    }
    draft.finding(
        ("{subject} is a private address", "{subject} es una dirección privada"),
        ("a public address", "una dirección pública"),
        (
            "puerto check --egress PUBLIC-ADDRESS, or publish it: {helo}. IN A PUBLIC-ADDRESS",
            "puerto check --egress DIRECCIÓN-PÚBLICA, o publíquela: {helo}. IN A DIRECCIÓN-PÚBLICA",
        ),
    )
}

/// What became of one try.
struct Try {
    peer: String,
    v6: bool,
    greeting: Greeting,
    starttls: Option<Starttls>,
    expected: &'static [&'static str],
}

impl Try {
    fn is_answered(&self) -> bool {
        matches!(self.greeting, Greeting::Line(_))
    }

    // A line of somebody else's: a proxy stands in the way.
    fn is_foreign(&self) -> bool {
        match &self.greeting {
            Greeting::Line(line) => {
                let line = line.to_ascii_lowercase();
                line.starts_with("220") && !self.expected.iter().any(|word| line.contains(word))
            }
            _ => false,
        }
    }

    fn shown(&self) -> Said {
        let what = match &self.greeting {
            Greeting::Line(line) => Said::words(line),
            Greeting::Refused(why) | Greeting::NotTried(why) => detail(why),
            Greeting::TimedOut => Said::words("—"),
        };
        said_of!("{peer}: {what}", "{peer}: {what}"; peer = Said::words(&self.peer), what = what)
    }
}

async fn port_25<W: World>(context: &Context<'_, W>) -> Vec<Check> {
    let tries = together(PROVIDERS.map(|(domain, words)| reach(context, domain, words))).await;
    let (v6, v4): (Vec<Try>, Vec<Try>) = tries.into_iter().flatten().partition(|one| one.v6);
    let encrypted = v4.iter().chain(&v6);
    let encrypted = encrypted.filter_map(|one| Some((one.peer.clone(), one.starttls.clone()?)));
    let encrypted: Vec<_> = encrypted.collect();
    let mut checks = vec![outwards(context, &v4, &v6), starttls::judge(context, &encrypted)];
    let has_v6 = context.egress.iter().any(IpAddr::is_ipv6);
    if has_v6 && !v6.is_empty() {
        let dead = v6.iter().all(|one| one.greeting == Greeting::TimedOut);
        let alive = v4.iter().any(Try::is_answered);
        let shown: Vec<_> = v6.iter().map(Try::shown).collect();
        let draft = context
            .about(&IPV6, &context.helo)
            .asked(v6.iter().map(|one| one.peer.clone()).collect::<Vec<_>>().join(", "))
            .with_said("shown", Said::joined(&shown, "; "));
        checks.push(match (dead, alive) {
            (true, true) => draft.finding(
                ("nothing comes back over IPv6", "por IPv6 no vuelve nada"),
                ("an answer, as over IPv4", "una respuesta, como por IPv4"),
                (
                    "Repair the route (ip -6 route), or remove the IPv6 address from this host",
                    "Repare la ruta (ip -6 route), o quite la dirección IPv6 de esta máquina",
                ),
            ),
            (false, _) if v6.iter().any(Try::is_answered) => draft.pass("{shown}"),
            _ => draft.unknown("{shown}"),
        });
    }
    checks
}

fn outwards<W: World>(context: &Context<'_, W>, v4: &[Try], v6: &[Try]) -> Check {
    let tries: Vec<&Try> = v4.iter().chain(v6).collect();
    let asked: Vec<_> = tries.iter().map(|one| one.peer.clone()).collect();
    let shown: Vec<_> = tries.iter().map(|one| one.shown()).collect();
    let draft = context
        .about(&PORT25_OUT, &context.helo)
        .asked(asked.join(", "))
        .with_said("shown", Said::joined(&shown, "; "));
    let open = Text::new("an answer of theirs on port 25", "una respuesta suya en el puerto 25");
    let ask = Text::new(
        "Ask the hosting company to open port 25 outwards, or set relayhost in puerto.toml (port 587)",
        "Pida a la empresa de alojamiento que abra el puerto 25 hacia fuera, o ponga relayhost en puerto.toml (puerto 587)",
    );
    let tried: Vec<&&Try> =
        tries.iter().filter(|one| !matches!(one.greeting, Greeting::NotTried(_))).collect();
    // With fewer receivers it might be their fault.
    if tries.is_empty() {
        return draft.unknown((
            "the DNS knows no address of the receivers that would be tried",
            "el DNS no da ninguna dirección de los receptores con los que se probaría",
        ));
    }
    if tried.len() < 2 {
        return draft.unknown((
            "no receiver could be tried: {shown}",
            "no se pudo probar con ningún receptor: {shown}",
        ));
    }
    if tried.iter().all(|one| one.is_foreign()) {
        return draft.finding(
            ("intercepted, somebody else answers: {shown}", "interceptado, responde otro: {shown}"),
            open,
            ask,
        );
    }
    if tried.iter().any(|one| one.is_answered()) {
        return draft.pass("{shown}");
    }
    if tried.iter().all(|one| one.greeting == Greeting::TimedOut) {
        return draft.finding(
            ("dropped: nothing comes back", "descartado: no vuelve nada"),
            open,
            ask,
        );
    }
    if tried.iter().all(|one| matches!(one.greeting, Greeting::Refused(_))) {
        return draft.finding(("refused: {shown}", "rechazado: {shown}"), open, ask);
    }
    draft.finding(("closed: {shown}", "cerrado: {shown}"), open, ask)
}

async fn reach<W: World>(
    context: &Context<'_, W>,
    domain: &'static str,
    expected: &'static [&'static str],
) -> Vec<Try> {
    let Ok(hosts) = context.world.exchangers(domain).await else { return Vec::new() };
    let Some((_, host)) = hosts.into_iter().next() else { return Vec::new() };
    let (v4, v6) = tokio::join!(context.addresses(&host, false), context.addresses(&host, true));
    let mut peers = Vec::new();
    for family in [v4, v6].into_iter().flatten() {
        if let Some(address) = family.first()
            && context.egress.iter().any(|own| own.is_ipv4() == address.is_ipv4())
        {
            peers.push(SocketAddr::new(*address, 25));
        }
    }
    let bind_v4 = context.config.delivery.bind_ipv4.map(IpAddr::V4);
    let bind_v6 = context.config.delivery.bind_ipv6.map(IpAddr::V6);
    together(peers.into_iter().map(|peer| {
        let host = host.clone();
        async move {
            let source = if peer.is_ipv4() { bind_v4 } else { bind_v6 };
            let greeting = context.world.greeting(peer, source).await;
            let mut one = Try {
                peer: format!("{host}[{}]:25", peer.ip()),
                v6: peer.is_ipv6(),
                greeting,
                starttls: None,
                expected,
            };
            // Once for each receiver is enough.
            let is_first = peer.is_ipv4() || !context.egress.iter().any(IpAddr::is_ipv4);
            if is_first && one.is_answered() && !one.is_foreign() {
                let names = (host.as_str(), context.helo.as_str());
                one.starttls = Some(context.world.starttls(peer, source, names).await);
            }
            one
        }
    }))
    .await
}
