//! The network that this host sends over: its addresses, and whether port 25 is open.

use std::net::{IpAddr, SocketAddr};

use super::context::{Context, Relay};
use super::outcome::{Check, Definition, Draft, Judged, family, told};
use super::starttls::{self, Starttls};
use super::world::{Trial, World};
use crate::dns::Validation;
use crate::finding::Severity;
use crate::lang::{Said, Text, said_of};
use crate::survey::address::is_public;
use crate::survey::greeting::Greeting;
use puerto_mail::dns::RecordType;
use puerto_mail::together::together;

family! {
    FAMILY = "net" ["Network", "Red"] is_of_machine: true;

    EGRESS_IP = "net.egress-ip" Error "RFC 5321 §4.1.1.1" [
        "It is known from which addresses mail leaves",
        "Se sabe desde qué direcciones sale el correo",
        "Records and reputation belong to addresses: mail must always leave from the same. With \
         several, set `delivery.bind_ipv4` and `delivery.bind_ipv6`.",
        "Los registros y la reputación son de las direcciones: el correo debe salir siempre de la \
         misma. Si hay varias, ponga `delivery.bind_ipv4` y `delivery.bind_ipv6`.",
        right: "{list}";
        wrong: "the relayhost {subject} has no address", "el relayhost {subject} no tiene dirección";
        expected: "a name that resolves", "un nombre que se resuelva";
        remedy: "Correct relayhost in puerto.toml", "Corrija relayhost en puerto.toml";
    ];
    IPV4_PUBLIC = "net.ipv4-public" Error "RFC 1918 §3; RFC 6598 §7" [
        "The public IPv4 address is known",
        "Se conoce la dirección IPv4 pública",
        "Behind address translation the world sees another address. Give it to `puerto check \
         --egress`, publish it as the A record of the host name, or use a relayhost.",
        "Tras una traducción de direcciones el mundo ve otra dirección. Désela a `puerto check \
         --egress`, publíquela como registro A del nombre de la máquina, o use un relayhost.",
        right: "{subject}";
        wrong: "{subject} is a private address", "{subject} es una dirección privada";
        expected: "a public address", "una dirección pública";
        remedy: "puerto check --egress PUBLIC-ADDRESS, or publish it: {helo}. IN A PUBLIC-ADDRESS",
            "puerto check --egress DIRECCIÓN-PÚBLICA, o publíquela: {helo}. IN A DIRECCIÓN-PÚBLICA";
    ];
    PORT25_OUT = "net.port25-out" Error "RFC 5321 §4.5.4.1" [
        "Port 25 is open outwards",
        "El puerto 25 está abierto hacia fuera",
        "Many hosting companies close it and open it on request. Until then send through a \
         relayhost on port 587 or 465.",
        "Muchas empresas de alojamiento lo cierran y lo abren si se pide. Mientras tanto envíe por \
         un relayhost en el puerto 587 o 465.",
        right: "{shown}";
        expected: "an answer of theirs on port 25", "una respuesta suya en el puerto 25";
        remedy: "Ask the hosting company to open port 25 outwards, or set relayhost in puerto.toml \
                 (port 587)",
            "Pida a la empresa de alojamiento que abra el puerto 25 hacia fuera, o ponga relayhost en \
             puerto.toml (puerto 587)";
    ];
    TLS_OUT = "tls.out" Error "RFC 3207 §6; RFC 8996 §4" [
        "Mail that leaves this machine is encrypted",
        "El correo que sale de esta máquina va cifrado",
        "Large receivers offer STARTTLS, and Gmail marks mail that comes without it. Where none of \
         them seems to offer it, a firewall or proxy on the way takes the offer out (Cisco calls \
         that `fixup` or `inspect` smtp or esmtp); where the handshake fails with all, the system's \
         cryptographic policy is wrong.",
        "Los grandes receptores ofrecen STARTTLS, y Gmail señala el correo que llega sin él. Si \
         parece que ninguno lo ofrece, un cortafuegos o proxy del camino quita la oferta (Cisco lo \
         llama `fixup` o `inspect` smtp o esmtp); si la negociación falla con todos, la política \
         criptográfica del sistema está mal.",
        right: "{shown}";
        expected: "TLS 1.2 or 1.3 with all of them", "TLS 1.2 o 1.3 con todos";
    ];
    IPV6 = "net.ipv6" Warning "RFC 5321 §5.1" [
        "IPv6 leads somewhere",
        "IPv6 llega a alguna parte",
        "A route over which nothing comes back delays every delivery. Repair it, or remove the \
         address from this host.",
        "Una ruta por la que no vuelve nada retrasa cada entrega. Repárela, o quite la dirección \
         de esta máquina.",
        right: "{shown}";
        wrong: "nothing comes back over IPv6", "por IPv6 no vuelve nada";
        expected: "an answer, as over IPv4", "una respuesta, como por IPv4";
        remedy: "Repair the route (ip -6 route), or remove the IPv6 address from this host",
            "Repare la ruta (ip -6 route), o quite la dirección IPv6 de esta máquina";
    ];
    RESOLVER_PUBLIC = "net.resolver-public" Warning "RFC 5782 §2" [
        "The DNS resolver is not a public one",
        "El servidor DNS no es uno público",
        "Blocklists refuse public resolvers, so that listings stay unknown. Run a resolver of \
         your own, such as Unbound.",
        "Las listas de bloqueo rechazan a los resolutores públicos, y así no se sabe si hay \
         inclusiones. Use uno propio, como Unbound.",
        right: "{subject}";
        wrong: "{subject} is a public resolver", "{subject} es un resolutor público";
        expected: "a resolver of your own", "un resolutor propio";
        remedy: "apt install unbound, then in puerto.toml: [dns] servers = [\"127.0.0.1\"]",
            "apt install unbound y, en puerto.toml: [dns] servers = [\"127.0.0.1\"]";
    ];
    RESOLVER_DNSSEC = "net.resolver-dnssec" Info "RFC 7672 §2.2" [
        "The DNS resolver validates DNSSEC, so that DANE protects mail that leaves",
        "El resolutor DNS valida DNSSEC y así DANE protege el correo que sale",
        "By DANE many receivers say in the DNS which certificate their hosts show, so that nobody \
         on the way can read or take the mail. It rests on DNSSEC, and that on a resolver that \
         validates and that nobody can get in front of: one on this machine, such as Unbound, or \
         one that `[dns] trust_ad` says is as near. It is asked for a signed name, which it must \
         vouch for, and for one whose signatures are wrong, which it must not give (`[dns] \
         signed_name` and `bogus_name`). Mail goes out all the same without it, to these \
         receivers as to all others.",
        "Con DANE muchos receptores dicen en el DNS qué certificado muestran sus máquinas, y nadie \
         puede leer ni quedarse el correo por el camino. Se apoya en DNSSEC, y este en un resolutor \
         que valide y al que nadie pueda suplantar: uno en esta máquina, como Unbound, o uno que \
         `[dns] trust_ad` declare igual de cercano. Se le pregunta por un nombre firmado, del que \
         debe responder, y por uno con firmas incorrectas, que no debe dar (`[dns] signed_name` y \
         `bogus_name`). Sin él el correo sale igualmente, hacia esos receptores como hacia los \
         demás.",
        right: "DANE: active, {subject} validates", "DANE: activo, {subject} valida";
        wrong: "DANE: inactive, {subject} does not validate", "DANE: inactivo, {subject} no valida";
        expected: "a resolver on this machine that validates DNSSEC",
            "un resolutor en esta máquina que valide DNSSEC";
        remedy: "apt install unbound, then in puerto.toml: [dns] servers = [\"127.0.0.1\"]",
            "apt install unbound y, en puerto.toml: [dns] servers = [\"127.0.0.1\"]";
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
        right: "{subject} takes our mail, and the login where there is one; none was sent",
            "{subject} acepta nuestro correo, y las credenciales si las hay; no se ha enviado nada";
        wrong: "{seen}";
        expected: "a relay that takes our mail", "un relay que acepte nuestro correo";
        remedy: "{remedy}";
    ];
    SENDMAIL = "net.sendmail" Error "" [
        "The command `sendmail` is this server's",
        "La orden `sendmail` es la de este servidor",
        "Programs hand their mail to `sendmail`. A package that is installed later, such as \
         bsd-mailx, may bring another mail server whose `sendmail` takes the place of ours.",
        "Los programas entregan su correo a `sendmail`. Un paquete que se instale después, como \
         bsd-mailx, puede traer otro servidor cuyo `sendmail` ocupe el lugar del nuestro.",
        right: "ours", "la nuestra";
        wrong: "another program takes what is sent by `sendmail`: {found}",
            "otro programa recibe lo que se envía con `sendmail`: {found}";
        expected: "puerto";
        remedy: "Run `puerto setup`, which puts ours in its place, or remove the other mail server",
            "Ejecute `puerto setup`, que pone la nuestra en su lugar, o desinstale el otro servidor \
             de correo";
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

const GIVEN: Text = Text::new(
    "the addresses were given, they need not be this machine's",
    "las direcciones se han dado, no tienen por qué ser de esta máquina",
);

pub(super) async fn run<W: World>(context: &Context<'_, W>) -> Vec<Check> {
    let mut checks = vec![resolver(context), validation(context).await, sendmail(context)];
    if let Some(relay) = &context.relay {
        checks.push(told(relay_addresses(context, relay)));
        checks.extend(relay_trial(context, &relay.name).await);
        let skipped = [&IPV4_PUBLIC, &PORT25_OUT, &TLS_OUT].map(|check| {
            let draft = context.about(check, &context.helo).with("relay", &relay.name);
            draft.not_applicable((
                "mail goes to the relayhost {relay}",
                "el correo va al relayhost {relay}",
            ))
        });
        checks.extend(skipped);
        return checks;
    }
    checks.push(egress(context));
    let v4 = context.egress.iter().filter(|address| address.is_ipv4());
    checks.extend(v4.map(|address| public(context, *address)));
    checks.extend(match context.egress_given {
        true => [&PORT25_OUT, &TLS_OUT]
            .map(|check| context.about(check, &context.helo).not_applicable(GIVEN))
            .to_vec(),
        false => port_25(context).await,
    });
    checks
}

fn relay_addresses<W: World>(context: &Context<'_, W>, relay: &Relay) -> Judged {
    let draft = context.about(&EGRESS_IP, &relay.name);
    let found = draft.answered(relay.addresses.clone())?;
    Ok(match found.as_slice() {
        [] => draft.wrong(),
        found => draft.list("found", found).pass("relayhost {subject} → {found}"),
    })
}

/// What a conversation with the relayhost showed. A fault that keeps no mail is milder.
async fn relay_trial<W: World>(context: &Context<'_, W>, relay: &str) -> Vec<Check> {
    let draft = || context.about(&RELAY, relay);
    let not_tried = || draft().advice("puerto relay test");
    match context.world.relay_trial().await {
        Trial::Through => {
            vec![draft().not_applicable(("mail goes through it", "el correo pasa por él"))]
        }
        Trial::Answered(faults) => {
            let is_taken = !faults.iter().any(|fault| fault.severity == Severity::Error);
            let faults = faults.into_iter().map(|fault| {
                let draft = draft().severity(fault.severity).with_said("seen", fault.seen);
                draft.with_said("remedy", fault.remedy).wrong()
            });
            is_taken.then(|| draft().right()).into_iter().chain(faults).collect()
        }
        Trial::NotTried(Some(why)) => vec![not_tried().with_said("why", why).unknown((
            "not tried here, whether {subject} takes our mail and the login: {why}",
            "no se ha probado aquí si {subject} acepta nuestro correo y las credenciales: {why}",
        ))],
        Trial::NotTried(None) => vec![not_tried().unknown((
            "not tried here: whether {subject} takes our mail and the login",
            "no se ha probado aquí: si {subject} acepta nuestro correo y las credenciales",
        ))],
    }
}

fn sendmail<W: World>(context: &Context<'_, W>) -> Check {
    let draft = context.about(&SENDMAIL, &context.helo);
    match context.world.foreign_sendmail() {
        _ if context.egress_given => draft.not_applicable(GIVEN),
        None => draft.right(),
        Some(found) => draft.with("found", found).wrong(),
    }
}

fn resolver<W: World>(context: &Context<'_, W>) -> Check {
    let is_public = |server: &SocketAddr| {
        PUBLIC_RESOLVERS.split(' ').any(|public| public.parse() == Ok(server.ip()))
    };
    let draft = context.about(&RESOLVER_PUBLIC, context.world.resolver());
    draft.judge(context.world.resolvers().iter().any(is_public))
}

async fn validation<W: World>(context: &Context<'_, W>) -> Check {
    let dns = &context.config.dns;
    let asked = [(RecordType::Ns, &dns.signed_name), (RecordType::A, &dns.bogus_name)];
    let asked = asked.map(|(kind, name)| context.question(name, kind));
    let draft = context.about(&RESOLVER_DNSSEC, context.world.resolver()).asked(asked.join(", "));
    match context.world.validation(&dns.signed_name, &dns.bogus_name).await {
        None => draft.not_applicable(("nobody looked", "nadie lo ha mirado")),
        Some(Validation::Full) => draft.right(),
        Some(Validation::Absent) => draft.wrong(),
        Some(Validation::Untrusted) => draft.finding((
            "DANE: inactive, {subject} is not on this machine: anybody on the way could say that \
             an answer is signed",
            "DANE: inactivo, {subject} no está en esta máquina: cualquiera en el camino podría \
             decir que una respuesta está firmada",
        )),
        Some(Validation::Credulous) => draft.with("bogus", &dns.bogus_name).finding((
            "DANE: inactive, {subject} gives the address of {bogus}, whose signatures are wrong",
            "DANE: inactivo, {subject} da la dirección de {bogus}, cuyas firmas son incorrectas",
        )),
        Some(Validation::Unknown(error)) => draft.no_answer(&error),
    }
}

fn egress<W: World>(context: &Context<'_, W>) -> Check {
    let draft = context.about(&EGRESS_IP, &context.helo);
    match context.egress.as_slice() {
        [] => draft
            .advice(("puerto check --egress ADDRESS", "puerto check --egress DIRECCIÓN"))
            .unknown((
                "this machine has no way to the Internet",
                "esta máquina no tiene salida a Internet",
            )),
        egress => draft.list("list", egress).right(),
    }
}

fn public<W: World>(context: &Context<'_, W>, address: IpAddr) -> Check {
    let names = context.names_of(address);
    let draft = context.about(&IPV4_PUBLIC, address).list("helo", names.first());
    match context.translated.contains(&address) {
        true => draft.pass((
            "behind address translation; {helo} leads to {subject}",
            "tras una traducción de direcciones; {helo} lleva a {subject}",
        )),
        false => draft.judge(!context.config.delivery.allow_private && !is_public(address)),
    }
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
            Greeting::Refused(why) | Greeting::NotTried(why) => why.clone(),
            Greeting::TimedOut => Said::words("—"),
        };
        said_of!("{peer}: {what}", "{peer}: {what}"; peer = Said::words(&self.peer), what = what)
    }
}

async fn port_25<W: World>(context: &Context<'_, W>) -> Vec<Check> {
    let tries = together(PROVIDERS.map(|(domain, words)| reach(context, domain, words))).await;
    let (v6, v4): (Vec<Try>, Vec<Try>) = tries.into_iter().flatten().partition(|one| one.v6);
    let all: Vec<&Try> = v4.iter().chain(&v6).collect();
    let encrypted = all.iter().filter_map(|one| Some((one.peer.clone(), one.starttls.clone()?)));
    let encrypted: Vec<_> = encrypted.collect();
    let mut checks = vec![outwards(context, &all), starttls::judge(context, &encrypted)];
    if context.egress.iter().any(IpAddr::is_ipv6) && !v6.is_empty() {
        let is_dead = v6.iter().all(|one| one.greeting == Greeting::TimedOut);
        let answers = |tries: &[Try]| tries.iter().any(Try::is_answered);
        let draft = about(context, &IPV6, &v6.iter().collect::<Vec<_>>());
        checks.push(match (is_dead, answers(&v4), answers(&v6)) {
            (true, true, _) => draft.wrong(),
            (false, _, true) => draft.right(),
            _ => draft.unknown("{shown}"),
        });
    }
    checks
}

fn about<W: World>(context: &Context<'_, W>, check: &'static Definition, tries: &[&Try]) -> Draft {
    let asked: Vec<&str> = tries.iter().map(|one| one.peer.as_str()).collect();
    let shown: Vec<_> = tries.iter().map(|one| one.shown()).collect();
    let draft = context.about(check, &context.helo).asked(asked.join(", "));
    draft.with_said("shown", Said::joined(&shown, "; "))
}

fn outwards<W: World>(context: &Context<'_, W>, tries: &[&Try]) -> Check {
    let draft = about(context, &PORT25_OUT, tries);
    let tried = tries.iter().filter(|one| !matches!(one.greeting, Greeting::NotTried(_)));
    let tried: Vec<&&Try> = tried.collect();
    let all = |is: fn(&Try) -> bool| tried.iter().all(|one| is(one));
    match tried.len() {
        _ if tries.is_empty() => draft.unknown((
            "the DNS knows no address of the receivers that would be tried",
            "el DNS no da ninguna dirección de los receptores con los que se probaría",
        )),
        // With fewer receivers it might be their fault.
        ..2 => draft.unknown((
            "no receiver could be tried: {shown}",
            "no se pudo probar con ningún receptor: {shown}",
        )),
        _ if all(Try::is_foreign) => draft.finding((
            "intercepted, somebody else answers: {shown}",
            "interceptado, responde otro: {shown}",
        )),
        _ if tried.iter().any(|one| one.is_answered()) => draft.right(),
        _ if all(|one| one.greeting == Greeting::TimedOut) => {
            draft.finding(("dropped: nothing comes back", "descartado: no vuelve nada"))
        }
        _ if all(|one| matches!(one.greeting, Greeting::Refused(_))) => {
            draft.finding(("refused: {shown}", "rechazado: {shown}"))
        }
        _ => draft.finding(("closed: {shown}", "cerrado: {shown}")),
    }
}

async fn reach<W: World>(
    context: &Context<'_, W>,
    domain: &'static str,
    expected: &'static [&'static str],
) -> Vec<Try> {
    let hosts = context.world.exchangers(domain).await.unwrap_or_default();
    let Some((_, host)) = hosts.first() else { return Vec::new() };
    let found = context.addresses(host).await.unwrap_or_default();
    let has = |is: fn(&IpAddr) -> bool| context.egress.iter().any(is);
    let first = |is: fn(&IpAddr) -> bool| found.iter().copied().find(is).filter(|_| has(is));
    let peers = [first(IpAddr::is_ipv4), first(IpAddr::is_ipv6)].into_iter().flatten();
    let delivery = &context.config.delivery;
    together(peers.map(async |address| {
        let peer = SocketAddr::new(address, 25);
        let source = match address {
            IpAddr::V4(_) => delivery.bind_ipv4.map(IpAddr::V4),
            IpAddr::V6(_) => delivery.bind_ipv6.map(IpAddr::V6),
        };
        let mut one = Try {
            peer: format!("{host}[{address}]:25"),
            v6: address.is_ipv6(),
            greeting: context.world.greeting(peer, source).await,
            starttls: None,
            expected,
        };
        // Once for each receiver is enough.
        let is_first = address.is_ipv4() || !has(IpAddr::is_ipv4);
        if is_first && one.is_answered() && !one.is_foreign() {
            let names = (host.as_str(), context.helo.as_str());
            one.starttls = Some(context.world.starttls(peer, source, names).await);
        }
        one
    }))
    .await
}
