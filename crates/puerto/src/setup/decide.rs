//! What the configuration of a new machine says: from what was asked for, what was
//! found and what the person answers, in this order.

use puerto_mail::dns::is_at_or_below;
use puerto_smtp::Domain;

use super::Site;
use super::files::Wanted;
use super::person::{Gone, Person, ask};
use super::senders;
use super::takeover::{Credentials, Inherited};
use super::world::{Port25, Survey};
use crate::config::{Config, Login, NextHop, NextHopHost, Sender, TlsLevel};
use crate::finding::Finding;
use crate::lang::{Said, Text, said, said_of};
use crate::survey::names::is_private;

/// Where the relayhost's password is kept, and that of the rescue route's.
pub(super) const PASSWORD_FILE: &str = "/etc/puerto/relayhost.password";
const RESCUE_PASSWORD_FILE: &str = "/etc/puerto/rescue.password";

/// What was decided, before anything is written.
pub(super) struct Decided {
    pub(super) config: Config,
    pub(super) port_25: Option<Port25>,
    pub(super) wanted: Vec<Wanted>,
    pub(super) found: Vec<Finding>,
    /// Who is to read root's mail, where that was said.
    pub(super) root_mail: Option<String>,
}

impl Decided {
    pub(super) fn of(config: Config, port_25: Option<Port25>) -> Self {
        Self { config, port_25, wanted: Vec::new(), found: Vec::new(), root_mail: None }
    }
}

pub(super) fn decide(
    site: &Site<'_>,
    inherited: &[&Inherited],
    person: &mut dyn Person,
) -> Result<Decided, Gone> {
    let wishes = site.wishes;
    let hostname = hostname(site, inherited, person)?;
    let mut config = Config::with_defaults(hostname);
    config.domains = domains(site, &config, inherited, person)?;
    let here = config.domains.iter().any(|domain| domain.name() == Some(&wishes.domain));
    let from = inherited.iter().find(|program| program.relayhost.is_some());
    let known = match &wishes.relayhost {
        Some(asked) => asked.clone(),
        None => from.and_then(|program| program.relayhost.clone()),
    };
    let port_25 = site.port_25(known.as_ref());
    let settled = known.is_some() || wishes.relayhost.is_some();
    config.relayhost =
        if settled { known } else { ask_relayhost(port_25, &config.hostname, person)? };
    let from = from.filter(|program| program.relayhost == config.relayhost);
    let login = match (&wishes.login, from, &config.relayhost) {
        (Some(login), _, _) => Some(login.clone()),
        (None, Some(program), _) => program.login.clone(),
        (None, None, Some(relayhost)) => ask_login(relayhost, person)?,
        (None, None, None) => None,
    };
    let mut wanted = Vec::new();
    if let Some(Credentials { user, password }) = login {
        config.relayhost_login = Some(Login { user, password_file: PASSWORD_FILE.into() });
        wanted.push(Wanted::secret(PASSWORD_FILE, format!("{password}\n")));
    }
    if from.is_some_and(|program| program.tls_required) {
        config.delivery.tls = TlsLevel::Required;
    }
    // With a relay for all mail there is nothing to rescue.
    let rescue = inherited.iter().find_map(|program| program.rescue.clone());
    if let Some((hop, login)) = rescue.filter(|_| config.relayhost.is_none()) {
        config.rescue.via = Some(hop);
        if let Some(Credentials { user, password }) = login {
            config.rescue.login = Some(Login { user, password_file: RESCUE_PASSWORD_FILE.into() });
            wanted.push(Wanted::secret(RESCUE_PASSWORD_FILE, format!("{password}\n")));
        }
    }
    // Strangers have nothing to bring where there are no mailboxes of the domain.
    if !here {
        config.listen.smtp = super::takeover::loopback();
    }
    inherit(&mut config, inherited);
    config.origin = senders::origin(wishes, &config, inherited, person)?;
    // What worked for another program with its relay needs no question.
    let is_known = from.is_some() || config.sender.always.is_some();
    if !is_known || wishes.always.is_some() {
        config.sender.always = senders::always(wishes, &config, person)?;
    }
    if here && config.tls.is_none() {
        certificate(&mut config, person)?;
    }
    Ok(Decided { wanted, ..Decided::of(config, port_25) })
}

// An authority's terms are accepted by a person, or not at all.
fn certificate(config: &mut Config, person: &mut dyn Person) -> Result<(), Gone> {
    if is_private(&config.hostname) {
        return Ok(());
    }
    let question = said!(
        "Get a certificate for {hostname} from Let's Encrypt, and keep it renewed? By saying yes \
         you accept its terms ({terms}); it must reach port 80 of this server",
        "¿Obtener de Let's Encrypt un certificado para {hostname} y mantenerlo renovado? Al decir \
         que sí acepta sus condiciones ({terms}); tiene que llegar al puerto 80 de este servidor";
        hostname = config.hostname, terms = TERMS
    );
    if person.confirm(&question, false)? {
        config.acme.directory = Some(LETS_ENCRYPT.to_owned());
        config.acme.accept_terms = true;
    }
    Ok(())
}

const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
const TERMS: &str = "https://letsencrypt.org/repository/";

fn hostname(
    site: &Site<'_>,
    inherited: &[&Inherited],
    person: &mut dyn Person,
) -> Result<String, Gone> {
    let &Site { wishes, root, survey, .. } = site;
    if let Some(asked) = &wishes.hostname {
        return Ok(asked.clone());
    }
    // The relay has its name already, and mail for it would go round.
    let hops = inherited.iter().filter_map(|program| program.relayhost.as_ref());
    let relays: Vec<String> =
        wishes.relayhost.iter().flatten().chain(hops).filter_map(name_of).collect();
    let is_free = |name: &String| !relays.contains(name);
    let plain = format!("mail.{}", wishes.domain);
    let machine = || {
        let said = root.read("/etc/hostname").ok().flatten().unwrap_or_default();
        let first = said.trim().split('.').next().unwrap_or_default().to_lowercase();
        host_name(&format!("{first}.{}", wishes.domain))
    };
    // What the machine is called inside, or by its hosting company, is no name that a
    // receiver would trust for this domain.
    let own = |name: &String| is_at_or_below(name, &wishes.domain);
    let proposed = inherited
        .iter()
        .find_map(|program| program.hostname.as_deref().and_then(host_name))
        .filter(|name| senders::is_known_outside(name) && is_free(name))
        .or_else(|| pointer(&wishes.domain, survey).filter(is_free))
        .or_else(|| host_name(&root.read("/etc/hostname").ok()??).filter(own).filter(is_free))
        .or_else(|| survey.machine.clone().filter(|_| root.is_machine()).filter(own))
        .filter(is_free)
        .or_else(|| Some(plain).filter(is_free))
        .or_else(|| machine().filter(is_free))
        .unwrap_or_else(|| format!("server.{}", wishes.domain));
    let question = said!(
        "The full name of this server, which its address should point back to",
        "El nombre completo de este servidor, al que debe apuntar el registro inverso de su \
         dirección"
    );
    let mut warned = None;
    ask(person, question, &proposed, |answer| {
        let Some(name) = host_name(answer) else {
            return Err(said!(
                "{answer} is not a full host name, as mail.example.com is. The name of this server",
                "{answer} no es un nombre de máquina completo, como mail.example.com. El nombre del \
                 servidor"; answer = answer
            ));
        };
        if !is_free(&name) {
            return Err(said!(
                "{answer} is the relayhost's name, and two servers cannot have one. The name of \
                 this server",
                "{answer} es el nombre del relayhost, y dos servidores no pueden tener el mismo. El \
                 nombre de este servidor"; answer = answer
            ));
        }
        // Whoever says it twice knows why.
        if senders::is_known_outside(&name) || warned.replace(name.clone()).as_ref() == Some(&name)
        {
            return Ok(name);
        }
        let text = if is_private(&name) { UNKNOWN_NAME } else { PROVIDERS_NAME };
        Err(Said::with(text, &[("answer", answer), ("proposed", &proposed)]))
    })
}

// In A-labels, if the hop has one.
fn name_of(hop: &NextHop) -> Option<String> {
    match &hop.host {
        NextHopHost::Mx(name) | NextHopHost::Name(name) => host_name(name),
        NextHopHost::Address(_) => None,
    }
}

const UNKNOWN_NAME: Text = Text::new(
    "{answer} is a name that nobody outside knows, and receivers refuse mail from such a name. The \
     full name of this server, such as {proposed}",
    "{answer} es un nombre que nadie conoce fuera, y los receptores rechazan el correo de un nombre \
     así. El nombre completo del servidor, como {proposed}",
);
const PROVIDERS_NAME: Text = Text::new(
    "{answer} is a name of the hosting company, as machines have of which nobody takes care: \
     receivers distrust it, and no SPF or DKIM of yours can stand there. The full name of this \
     server, such as {proposed}",
    "{answer} es un nombre del proveedor, como el de las máquinas de las que nadie se ocupa: los \
     receptores desconfían de él, y ahí no puede haber SPF ni DKIM suyos. El nombre completo del \
     servidor, como {proposed}",
);

/// The name that an address points back to already, if it is one of the domain's own.
fn pointer(domain: &str, survey: &Survey) -> Option<String> {
    let names = survey.egress.iter().flat_map(|egress| egress.names.iter().flatten());
    names
        .filter_map(|name| host_name(name))
        .find(|name| name != domain && is_at_or_below(name, domain))
}

/// A domain in A-labels, however it was typed: as an address of it, or as the address of
/// its site.
pub fn domain_meant(text: &str) -> Option<String> {
    let text = text.trim();
    let text = text.split_once("://").map_or(text, |(_, rest)| rest);
    let text = text.split(['/', '?', '#']).next().unwrap_or(text);
    let text = text.rsplit_once('@').map_or(text, |(_, domain)| domain);
    dotted_name(text.split(':').next().unwrap_or(text))
}

/// A full host name in A-labels.
pub fn host_name(text: &str) -> Option<String> {
    dotted_name(text).filter(|name| !name.starts_with("localhost."))
}

/// A name of several labels, in A-labels, that can stand in an address: an underscore
/// cannot (RFC 5321 §4.1.2).
pub fn dotted_name(text: &str) -> Option<String> {
    let text = text.trim();
    let domain = Domain::parse(text.strip_suffix('.').unwrap_or(text)).ok()?;
    let name = idna::domain_to_ascii(domain.name()?).ok()?;
    (name.contains('.') && !name.contains('_')).then_some(name)
}

fn domains(
    site: &Site<'_>,
    config: &Config,
    inherited: &[&Inherited],
    person: &mut dyn Person,
) -> Result<Vec<Domain>, Gone> {
    let &Site { wishes, survey, .. } = site;
    if let Some(program) = inherited.iter().find(|program| !program.domains.is_empty()) {
        return Ok(program.domains.clone());
    }
    // Mail for a domain whose mailboxes are elsewhere must never end here.
    let elsewhere = match &survey.exchanges {
        Ok(hosts) => !hosts.is_empty() && !hosts.contains(&config.hostname),
        Err(_) => false,
    };
    let elsewhere = elsewhere || inherited.iter().any(|program| program.nothing_local);
    let question = said!(
        "Are the mailboxes of {domain} on this server?",
        "¿Están en este servidor los buzones de {domain}?"; domain = wishes.domain
    );
    let here = person.confirm(&question, !elsewhere)?;
    let name = if here { &wishes.domain } else { &config.hostname };
    Ok(Domain::parse(name).into_iter().collect())
}

fn ask_relayhost(
    port_25: Option<Port25>,
    own: &str,
    person: &mut dyn Person,
) -> Result<Option<NextHop>, Gone> {
    let question = match port_25 {
        Some(Port25::Refused | Port25::Dropped) => said!(
            "Port 25 is closed on the way out, so mail can only leave through a relayhost. Which \
             one? Such as [smtp.example.net]:587",
            "El puerto 25 de salida está cerrado, así que el correo solo puede salir por un \
             relayhost. ¿Cuál? Por ejemplo [smtp.example.net]:587"
        ),
        _ => said!(
            "A relayhost for all mail, such as [smtp.example.net]:587 (empty: deliver directly)",
            "Un relayhost para todo el correo, como [smtp.example.net]:587 (vacío: entregar \
             directamente)"
        ),
    };
    ask(person, question, "", |answer| match answer {
        "" => Ok(None),
        answer => match NextHop::parse(answer) {
            Ok(hop) if name_of(&hop).as_deref() == Some(own) => Err(said!(
                "{answer} is this server itself. The relayhost",
                "{answer} es este mismo servidor. El relayhost"; answer = answer
            )),
            Ok(hop) => Ok(Some(hop)),
            Err(error) => {
                Err(said_of!("{error}. The relayhost", "{error}. El relayhost"; error = error))
            }
        },
    })
}

// Most relays at port 587 want one.
fn ask_login(relayhost: &NextHop, person: &mut dyn Person) -> Result<Option<Credentials>, Gone> {
    let mut question = said!(
        "The user name that {relayhost} wants from us (empty: none)",
        "El nombre de usuario que pide {relayhost} (vacío: ninguno)"; relayhost = relayhost
    );
    loop {
        let user = person.word(&question, "")?;
        if user.is_empty() {
            return Ok(None);
        }
        let password = person.secret(&said!(
            "The password of {user} there (it is not shown)",
            "La contraseña de {user} ahí (no se muestra)"; user = user
        ))?;
        if !password.is_empty() {
            return Ok(Some(Credentials { user, password }));
        }
        question = said!(
            "That password was empty, and without one nobody logs in. The user name that \
             {relayhost} wants from us (empty: none)",
            "Esa contraseña estaba vacía, y sin ella nadie se identifica. El nombre de usuario que \
             pide {relayhost} (vacío: ninguno)"; relayhost = relayhost
        );
    }
}

// What only one program can say is taken from the first that says it.
fn inherit(config: &mut Config, inherited: &[&Inherited]) {
    fn take<T: Clone>(to: &mut T, from: &Option<T>) {
        if let Some(value) = from {
            to.clone_from(value);
        }
    }
    for program in inherited.iter().rev() {
        config.tls = program.certificate.clone().or(config.tls.take());
        if program.sender != Sender::default() {
            config.sender.clone_from(&program.sender);
        }
        config.delivery.bind_ipv4 = program.bind_ipv4.or(config.delivery.bind_ipv4);
        config.delivery.bind_ipv6 = program.bind_ipv6.or(config.delivery.bind_ipv6);
        take(&mut config.limits.message_size, &program.message_size);
        take(&mut config.local.aliases, &program.aliases);
        let table = &mut config.virtual_addresses;
        table.file = program.virtual_file.clone().or(table.file.take());
        table.domains.extend(program.virtual_domains.iter().cloned());
        take(&mut config.local.mailbox, &program.mailbox);
        take(&mut config.listen.smtp, &program.listen);
        for network in &program.networks {
            if !config.trusted_networks.0.contains(network) {
                config.trusted_networks.0.push(*network);
            }
        }
    }
}
