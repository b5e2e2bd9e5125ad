//! The declarations: every key of the file once, with its section, default, what is
//! accepted, a sentence for the sample, how it is read and how it is shown. The
//! parser, `puerto config sample` and `puerto config show` all follow these lists.

use super::value::{self, Node, Read, store};
use puerto_smtp::Verp;

use super::source::USUAL_PLAN;
use super::{
    Config, Downgrade, LogFormat, LogTarget, Mailbox, NextHop, OriginHeader, Otherwise, PolicyMode,
    Route, Source, TlsLevel,
};
use crate::lang::{Language, Text};

/// What a key is when the file does not name it.
#[derive(Debug, Clone, Copy)]
pub(super) enum KeyDefault {
    /// This, as the file would write it.
    Written(&'static str),
    /// Found out when the program starts; an example, and where it comes from.
    Computed(&'static str, Text),
}

/// One key: `D` is what it is read into, `C` what it is shown from.
pub(super) struct Key<D: 'static, C: 'static> {
    /// The section it stands in; empty for those before the first.
    pub(super) section: &'static str,
    /// Its name.
    pub(super) name: &'static str,
    /// What it is without being named.
    pub(super) default: KeyDefault,
    /// What may stand there, for errors.
    pub(super) accepts: Text,
    /// What it is for, for the sample.
    pub(super) doc: Text,
    /// Reads it.
    pub(super) set: fn(&mut D, &Node<'_>) -> Read<()>,
    /// Shows it as the file would write it.
    pub(super) show: fn(&C) -> String,
}

impl<D, C> Key<D, C> {
    /// The key with its section, as errors name it.
    pub(super) fn path(&self) -> String {
        match self.section {
            "" => self.name.to_owned(),
            section => format!("{section}.{}", self.name),
        }
    }
}

/// A configuration while it is read: what is checked against other keys stays as it
/// was written until all are known.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) config: Config,
    pub(super) routes: Vec<RouteDraft>,
    pub(super) sources: Vec<SourceDraft>,
    pub(super) hostname: Option<String>,
    pub(super) domains: Option<Vec<puerto_smtp::Domain>>,
    pub(super) relayhost_user: Option<String>,
    pub(super) relayhost_password_file: Option<std::path::PathBuf>,
    pub(super) certificate: Option<std::path::PathBuf>,
    pub(super) key: Option<std::path::PathBuf>,
    pub(super) policy_mx: Option<Vec<String>>,
    pub(super) acme_names: Option<Vec<String>>,
    pub(super) acme_listen: Option<Vec<std::net::SocketAddr>>,
    pub(super) helo: Option<String>,
    pub(super) node: Option<String>,
    pub(super) pickup_directory: Option<Option<std::path::PathBuf>>,
    pub(super) rescue_user: Option<String>,
    pub(super) rescue_password_file: Option<std::path::PathBuf>,
}

/// A route while it is read.
#[derive(Default)]
pub(super) struct RouteDraft {
    pub(super) to: Option<String>,
    pub(super) from: Option<String>,
    pub(super) via: Option<NextHop>,
    pub(super) user: Option<String>,
    pub(super) password_file: Option<std::path::PathBuf>,
    pub(super) tls: Option<TlsLevel>,
    pub(super) verp: Option<Verp>,
}

/// A source while it is read.
#[derive(Default)]
pub(super) struct SourceDraft {
    pub(super) name: Option<String>,
    pub(super) ipv4: Option<std::net::Ipv4Addr>,
    pub(super) ipv6: Option<std::net::Ipv6Addr>,
    pub(super) helo: Option<String>,
    pub(super) weight: Option<usize>,
    pub(super) from: Vec<String>,
    pub(super) accounts: Vec<String>,
    pub(super) begins: Option<Option<jiff::civil::Date>>,
    pub(super) plan: Option<Vec<u32>>,
}

/// The sections in the order of the sample, with a sentence for each.
pub(super) const SECTIONS: &[(&str, Text)] = &[
    (
        "",
        Text::new(
            "Buen Puerto's configuration. Every line that is commented out shows its default.",
            "Configuración de Buen Puerto. Cada línea comentada muestra su valor por defecto.",
        ),
    ),
    (
        "listen",
        Text::new(
            "Where mail is taken in: addresses with ports; [] switches a listener off.",
            "Dónde se recibe el correo: direcciones con puerto; [] cierra ese puerto.",
        ),
    ),
    (
        "tls",
        Text::new(
            "Our certificate: with it, STARTTLS is offered.",
            "Nuestro certificado: con él se ofrece STARTTLS.",
        ),
    ),
    (
        "acme",
        Text::new(
            "A certificate that the server gets and renews by itself (ACME), from Let's Encrypt or another authority.",
            "Un certificado que el servidor obtiene y renueva por sí mismo (ACME), de Let's Encrypt o de otra autoridad.",
        ),
    ),
    (
        "mta_sts",
        Text::new(
            "What senders are asked to demand of TLS towards this server (MTA-STS): the policy, served at https://mta-sts.DOMAIN for each of our domains.",
            "Qué TLS se pide a los remitentes que exijan hacia este servidor (MTA-STS): la política, servida en https://mta-sts.DOMINIO para cada dominio nuestro.",
        ),
    ),
    ("dns", Text::new("Which DNS servers are asked.", "A qué servidores DNS se pregunta.")),
    ("dkim", Text::new("Signing.", "Firma.")),
    ("accounts", Text::new("Who may log in.", "Quién puede identificarse.")),
    ("delivery", Text::new("How mail leaves.", "Cómo sale el correo.")),
    (
        "rescue",
        Text::new(
            "A relay for mail that receivers do not take from this server's own address: refused for its reputation, its range, a list or its missing name, or port 25 is closed here. Never for what is about the recipient or the message.",
            "Un relay para el correo que los receptores no aceptan de la dirección de este servidor: rechazado por su reputación, su rango, una lista o porque le falta nombre, o si el puerto 25 está cerrado aquí. Nunca por el destinatario ni por el mensaje.",
        ),
    ),
    (
        "queue",
        Text::new(
            "When mail is tried again and when it is given up.",
            "Cuándo se reintenta el correo y cuándo se desiste.",
        ),
    ),
    (
        "store",
        Text::new(
            "One queue for several nodes, in PostgreSQL; without it, the queue is in state_dir.",
            "Una sola cola para varios nodos, en PostgreSQL; sin ella, la cola está en state_dir.",
        ),
    ),
    (
        "history",
        Text::new(
            "What `puerto why` tells of mail that is gone: what the log has, too, and no content.",
            "Lo que `puerto why` cuenta del correo que ya no está: lo que también dice el registro, \
             y nada del contenido.",
        ),
    ),
    (
        "local",
        Text::new(
            "How the users of this machine get their mail.",
            "Cómo reciben su correo los usuarios de esta máquina.",
        ),
    ),
    (
        "pickup",
        Text::new(
            "How programs of this machine hand mail over.",
            "Cómo entregan correo los programas de esta máquina.",
        ),
    ),
    (
        "virtual",
        Text::new(
            "Addresses that stand for others, in domains of ours.",
            "Direcciones que equivalen a otras, en dominios nuestros.",
        ),
    ),
    (
        "srs",
        Text::new(
            "Under which senders mail is sent on to other addresses.",
            "Con qué remitentes se reenvía el correo a otras direcciones.",
        ),
    ),
    (
        "sender",
        Text::new(
            "Under which addresses the senders of this machine are known elsewhere.",
            "Con qué direcciones se conoce fuera a los remitentes de esta máquina.",
        ),
    ),
    (
        "caps",
        Text::new(
            "How much one account, user or client may send; what comes beyond is taken and held, and postmaster told.",
            "Cuánto puede enviar una cuenta, un usuario o un cliente; lo que llega de más se acepta y se retiene, y se avisa a postmaster.",
        ),
    ),
    ("limits", Text::new("Bounds for clients.", "Límites para los clientes.")),
];

const PATH: Text = Text::new(
    "a path from the root, such as \"/etc/puerto/secret\"",
    "una ruta absoluta, como \"/etc/puerto/secret\"",
);
const OPTIONAL_PATH: Text =
    Text::new("a path from the root, or \"\" for none", "una ruta absoluta, o \"\" si no hay");
const ADDRESSES: Text = Text::new(
    "a list of addresses with ports, such as [\"0.0.0.0:25\", \"[::]:25\"]",
    "una lista de direcciones con puerto, como [\"0.0.0.0:25\", \"[::]:25\"]",
);
const DURATION: Text = Text::new(
    "a whole number with a unit: \"30s\", \"5m\", \"4h\", \"5d\"",
    "un número entero con unidad: \"30s\", \"5m\", \"4h\", \"5d\"",
);
const NAMED_IN: Text = Text::new(
    "a list of \"alias\", \"include\" and \"forward\"",
    "una lista de \"alias\", \"include\" y \"forward\"",
);
const COUNT: Text = Text::new("a whole number of at least 1", "un número entero mayor que 0");
const CAPS: Text = Text::same(
    "{ \"*\" = [\"200 messages/hour\", \"1000 messages/day\", \"100 recipients/hour\"] }",
);
const MAY_USE: Text = Text::new(
    "a table such as { ana = [\"sales@example.com\", \"@shop.example.com\"], \"*\" = [\"ours\"] }",
    "una tabla como { ana = [\"ventas@example.com\", \"@tienda.example.com\"], \"*\" = [\"ours\"] }",
);
const TLS: Text = Text::new(
    "\"opportunistic\", \"required\" or \"none\"",
    "\"opportunistic\", \"required\" o \"none\"",
);
const NEXT_HOP: Text = Text::new(
    "\"mail.example.org\", \"[mail.example.org]:587\", \"[192.0.2.1]\", \
     \"smtps://[mail.example.org]\", or \"\" for none",
    "\"mail.example.org\", \"[mail.example.org]:587\", \"[192.0.2.1]\", \
     \"smtps://[mail.example.org]\", o \"\" si no hay",
);

macro_rules! keys {
    ($($section:literal $name:literal = $default:expr; $accepts:expr; $doc:expr;
       $set:expr; $show:expr;)*) => {
        &[$(Key { section: $section, name: $name, default: $default, accepts: $accepts,
                  doc: $doc, set: $set, show: $show }),*]
    };
}

use KeyDefault::{Computed, Written};

/// The keys outside routes.
#[rustfmt::skip]
pub(super) const KEYS: &[Key<Draft, Config>] = keys! {
    "" "hostname" = Computed("\"mail.example.com\"", Text::new("the machine's full name", "el nombre completo de la máquina"));
        Text::new("a host name, such as \"mail.example.com\"", "un nombre de máquina, como \"mail.example.com\"");
        Text::new("The name in HELO and in trace fields. It should have an address that points back to it.", "El nombre en HELO y en los campos de traza. Su dirección debería apuntar de vuelta a él.");
        |d, v| store(&mut d.hostname, value::host_name(v).map(Some));
        |c| quote(&c.hostname);
    "" "domains" = Computed("[\"example.com\"]", Text::new("/etc/mailname, else hostname", "/etc/mailname o, si falta, hostname"));
        Text::new("a list of domain names, such as [\"example.com\"]", "una lista de nombres de dominio, como [\"example.com\"]");
        Text::new("Domains whose users live on this server. The first completes bare names.", "Dominios cuyos usuarios están en este servidor. El primero completa los nombres sin dominio.");
        |d, v| store(&mut d.domains, value::list(v, value::domain).map(Some));
        |c| array(&c.domains, |domain| quote(domain));
    "" "origin" = Written("\"\"");
        Text::new("a domain name, such as \"example.com\", or \"\" for the first of domains", "un nombre de dominio, como \"example.com\", o \"\" para el primero de domains");
        Text::new("The domain that completes senders without one, as Postfix's myorigin: where the mailboxes of this machine's users are, if that is elsewhere.", "El dominio que completa los remitentes que no lo llevan, como myorigin en Postfix: donde están los buzones de los usuarios de esta máquina, si están en otra parte.");
        |d, v| store(&mut d.config.origin, value::optional(v, value::domain));
        |c| optional(c.origin.as_ref());
    "" "relayhost" = Written("\"\""); NEXT_HOP;
        Text::new("Where all mail goes that has no route of its own; \"\": to its recipients' MX.", "Adónde va todo el correo que no tiene ruta propia; \"\": al MX de cada destinatario.");
        |d, v| store(&mut d.config.relayhost, value::optional(v, value::next_hop));
        |c| optional(c.relayhost.as_ref());
    "" "relayhost_user" = Written("\"\""); Text::new("a user name, or \"\" for none", "un nombre de usuario, o \"\" si no hay");
        Text::new("AUTH to the relayhost, over TLS only; with relayhost_password_file. Unless tls is \"required\", a certificate that does not verify is taken at the first login, and from then on its key alone.", "AUTH ante el relayhost, solo con TLS; junto con relayhost_password_file. Si tls no es \"required\", un certificado que no se puede verificar se acepta la primera vez, y desde entonces solo su clave.");
        |d, v| store(&mut d.relayhost_user, value::optional(v, value::text));
        |c| optional(c.relayhost_login.as_ref().map(|login| &login.user));
    "" "relayhost_password_file" = Written("\"\""); OPTIONAL_PATH;
        Text::new("The file that holds the password and nothing else.", "El fichero que contiene la contraseña y nada más.");
        |d, v| store(&mut d.relayhost_password_file, value::optional(v, value::path));
        |c| optional(c.relayhost_login.as_ref().map(|login| login.password_file.display()));
    "" "trusted_networks" = Written("[\"127.0.0.0/8\", \"::1/128\"]");
        Text::new("a list of networks, such as [\"127.0.0.0/8\", \"2001:db8::/32\"]", "una lista de redes, como [\"127.0.0.0/8\", \"2001:db8::/32\"]");
        Text::new("Who may relay without AUTH. The whole Internet is refused.", "Quién puede enviar a cualquier destino sin AUTH. Internet entero no se admite.");
        |d, v| store(&mut d.config.trusted_networks.0, value::list(v, value::network));
        |c| array(&c.trusted_networks.0, |network| quote(network));
    "" "relay_domains" = Written("[]"); Text::new("a list of domains, such as [\"example.net\", \"*.example.org\"]", "una lista de dominios, como [\"example.net\", \"*.example.org\"]");
        Text::new("Domains of others whose mail is taken from everybody and handed on, by a route or to their MX: a backup MX, or a relay in front of other servers. *. stands for the subdomains too.", "Dominios ajenos cuyo correo se recibe de cualquiera y se pasa adelante, por una ruta o a su MX: un MX de respaldo, o un relay delante de otros servidores. *. incluye los subdominios.");
        |d, v| store(&mut d.config.relay_domains, value::list(v, value::route_to));
        |c| array(&c.relay_domains, |domain| quote(domain));
    "" "relay_recipients" = Written("[]"); Text::new("a list of addresses, @domains and paths of files, such as [\"ana@example.net\", \"@example.org\", \"/etc/puerto/relay_recipients\"]", "una lista de direcciones, @dominios y rutas de ficheros, como [\"ana@example.net\", \"@example.org\", \"/etc/puerto/relay_recipients\"]");
        Text::new("Who lives in relay_domains; []: their next hop is asked, and what it says is remembered. Mail for others is refused, so that nobody gets notices about mail that he has not sent.", "Quién vive en relay_domains; []: se le pregunta al siguiente servidor y se recuerda la respuesta. El correo para los demás se rechaza, para que nadie reciba avisos de correo que no envió.");
        |d, v| store(&mut d.config.relay_recipients, value::list(v, value::inhabitant));
        |c| array(&c.relay_recipients, |who| quote(who));
    "" "state_dir" = Written("\"/var/lib/puerto\""); PATH;
        Text::new("Where the queue is kept.", "Dónde se guarda la cola.");
        |d, v| store(&mut d.config.state_dir, value::path(v));
        |c| quote(c.state_dir.display());
    "" "run_dir" = Written("\"/run/puerto\""); PATH;
        Text::new("Where the local sockets are.", "Dónde están los sockets locales.");
        |d, v| store(&mut d.config.run_dir, value::path(v));
        |c| quote(c.run_dir.display());
    "" "user" = Written("\"puerto\""); Text::new("the name of a system user, or \"\"", "el nombre de un usuario del sistema, o \"\"");
        Text::new("Whom the daemon becomes when it is started as root; \"\": it stays who it is.", "En qué usuario se convierte el servidor si lo inicia root; \"\": en ninguno.");
        |d, v| store(&mut d.config.user, value::text(v));
        |c| quote(&c.user);
    "" "language" = Written("\"en\""); Text::new("\"en\" or \"es\"", "\"en\" o \"es\"");
        Text::new("The language of notifications to senders, in their part for people: en or es.", "El idioma de los avisos a los remitentes, en su parte para personas: en o es.");
        |d, v| store(&mut d.config.language, value::language(v));
        |c| quote(match c.language { Language::English => "en", Language::Spanish => "es" });
    "" "postmaster" = Written("\"\""); Text::new("an address such as \"postmaster@example.com\", or \"\" for nobody", "una dirección como \"postmaster@example.com\", o \"\" si nadie");
        Text::new("Who is told of notifications that could not be delivered; \"\": nobody, the log has them.", "A quién se avisa de las notificaciones que no se han podido entregar; \"\": a nadie, quedan en el registro.");
        |d, v| store(&mut d.config.postmaster, value::optional(v, value::sender_address));
        |c| optional(c.postmaster.as_ref());
    "" "log" = Written("\"postfix\""); Text::new("\"postfix\", \"json\" or \"text\"", "\"postfix\", \"json\" o \"text\"");
        Text::new("The form of the mail log: as Postfix writes it, JSON lines, or for people.", "La forma del registro de correo: la de Postfix, líneas JSON o texto para personas.");
        |d, v| store(&mut d.config.log, value::log_format(v));
        |c| quote(match c.log {
            LogFormat::Postfix => "postfix", LogFormat::Json => "json", LogFormat::Text => "text" });
    "" "log_to" = Written("\"auto\""); Text::new("\"auto\", \"stderr\", \"syslog\" or a file's path", "\"auto\", \"stderr\", \"syslog\" o la ruta de un fichero");
        Text::new("Where the mail log goes; auto: the journal under systemd, else stderr.", "Adónde va el registro de correo; auto: al journal si hay systemd; si no, a stderr.");
        |d, v| store(&mut d.config.log_to, value::log_target(v));
        |c| match &c.log_to {
            LogTarget::Auto => quote("auto"), LogTarget::Stderr => quote("stderr"),
            LogTarget::Syslog => quote("syslog"), LogTarget::File(path) => quote(path.display()) };

    "listen" "smtp" = Written("[\"0.0.0.0:25\", \"[::]:25\"]"); ADDRESSES;
        Text::new("Port 25: from trusted networks, and for our own domains from everywhere.", "Puerto 25: desde las redes de confianza y, para nuestros dominios, desde cualquier sitio.");
        |d, v| store(&mut d.config.listen.smtp, value::list(v, value::socket_address));
        |c| array(&c.listen.smtp, |address| quote(address));
    "listen" "submission" = Written("[]"); ADDRESSES;
        Text::new("Port 587: STARTTLS, then AUTH. It needs a certificate.", "Puerto 587: STARTTLS y después AUTH. Exige un certificado.");
        |d, v| store(&mut d.config.listen.submission, value::list(v, value::socket_address));
        |c| array(&c.listen.submission, |address| quote(address));
    "listen" "submissions" = Written("[]"); ADDRESSES;
        Text::new("Port 465: TLS from the first byte, then AUTH. It needs a certificate.", "Puerto 465: TLS desde el primer octeto y después AUTH. Exige un certificado.");
        |d, v| store(&mut d.config.listen.submissions, value::list(v, value::socket_address));
        |c| array(&c.listen.submissions, |address| quote(address));

    "tls" "certificate" = Written("\"\""); OPTIONAL_PATH;
        Text::new("The certificate chain in PEM form, ours first.", "La cadena de certificados en formato PEM, el nuestro primero.");
        |d, v| store(&mut d.certificate, value::optional(v, value::path));
        |c| optional(c.tls.as_ref().map(|files| files.certificate.display()));
    "tls" "key" = Written("\"\""); OPTIONAL_PATH;
        Text::new("Its private key in PEM form.", "Su clave privada en formato PEM.");
        |d, v| store(&mut d.key, value::optional(v, value::path));
        |c| optional(c.tls.as_ref().map(|files| files.key.display()));

    "acme" "directory" = Written("\"\""); Text::new("an address such as \"https://acme-v02.api.letsencrypt.org/directory\", or \"\" for none", "una dirección como \"https://acme-v02.api.letsencrypt.org/directory\", o \"\" si ninguna");
        Text::new("The authority's directory; \"\": no authority is asked for anything.", "El directorio de la autoridad; con \"\" no se pide nada a ninguna.");
        |d, v| store(&mut d.config.acme.directory, value::optional(v, value::https_url));
        |c| optional(c.acme.directory.as_ref());
    "acme" "accept_terms" = Written("false"); Text::new("true or false", "true o false");
        Text::new("true says that you have read and accept the authority's terms; nothing is asked for before. Let's Encrypt's are at https://letsencrypt.org/repository/.", "true dice que ha leído y acepta las condiciones de la autoridad; antes no se pide nada. Las de Let's Encrypt están en https://letsencrypt.org/repository/.");
        |d, v| store(&mut d.config.acme.accept_terms, value::flag(v));
        |c| c.acme.accept_terms.to_string();
    "acme" "contact" = Written("\"\""); Text::new("an address such as \"postmaster@example.com\", or \"\" for nobody", "una dirección como \"postmaster@example.com\", o \"\" si nadie");
        Text::new("Whom the authority may write to.", "A quién puede escribir la autoridad.");
        |d, v| store(&mut d.config.acme.contact, value::optional(v, value::sender_address));
        |c| optional(c.acme.contact.as_ref());
    "acme" "challenge" = Written("\"http-01\""); Text::new("\"http-01\", \"tls-alpn-01\" or \"dns-01\"", "\"http-01\", \"tls-alpn-01\" o \"dns-01\"");
        Text::new("How the authority sees that the names are ours: a page on port 80, a certificate on port 443, or a record in the DNS by dynamic update.", "Cómo ve la autoridad que los nombres son nuestros: una página en el puerto 80, un certificado en el 443 o un registro en el DNS por actualización dinámica.");
        |d, v| store(&mut d.config.acme.challenge, value::challenge(v));
        |c| quote(c.acme.challenge.name());
    "acme" "names" = Computed("[\"mail.example.com\"]", Text::new("hostname, and mta-sts.DOMAIN where a policy is served", "hostname, y mta-sts.DOMINIO donde se sirve una política"));
        Text::new("a list of host names, such as [\"mail.example.com\"]", "una lista de nombres de máquina, como [\"mail.example.com\"]");
        Text::new("The names that the certificate is for.", "Los nombres para los que vale el certificado.");
        |d, v| store(&mut d.acme_names, value::list(v, value::host_name).map(Some));
        |c| array(&c.acme.names, |name| quote(name));
    "acme" "listen" = Computed("[\"0.0.0.0:80\", \"[::]:80\"]", Text::new("port 80 for http-01, port 443 for tls-alpn-01", "el puerto 80 con http-01 y el 443 con tls-alpn-01")); ADDRESSES;
        Text::new("Where challenges are answered, and nothing else. Behind a web server that passes /.well-known/acme-challenge/ on: an address of its own, such as [\"127.0.0.1:8080\"].", "Dónde se responde a las comprobaciones, y a nada más. Detrás de un servidor web que reenvíe /.well-known/acme-challenge/, una dirección propia, como [\"127.0.0.1:8080\"].");
        |d, v| store(&mut d.acme_listen, value::list(v, value::socket_address).map(Some));
        |c| array(&c.acme.listen, |address| quote(address));
    "acme" "dns_server" = Written("\"\""); Text::new("an address such as \"127.0.0.1\" or \"192.0.2.53:5353\", or \"\" for none", "una dirección como \"127.0.0.1\" o \"192.0.2.53:5353\", o \"\" si ninguna");
        Text::new("For dns-01: the name server that takes updates (RFC 2136).", "Para dns-01: el servidor DNS que admite actualizaciones (RFC 2136).");
        |d, v| store(&mut d.config.acme.dns_server, value::optional(v, value::dns_server));
        |c| optional(c.acme.dns_server.as_ref());
    "acme" "dns_key" = Written("\"\""); OPTIONAL_PATH;
        Text::new("For dns-01: the key that updates are signed with, as tsig-keygen writes it.", "Para dns-01: la clave con que se firman las actualizaciones, tal como la escribe tsig-keygen.");
        |d, v| store(&mut d.config.acme.dns_key, value::optional(v, value::path));
        |c| optional(c.acme.dns_key.as_ref().map(|path| path.display()));

    "mta_sts" "mode" = Written("\"\""); Text::new("\"testing\", \"enforce\", \"none\", or \"\" for no policy", "\"testing\", \"enforce\", \"none\", o \"\" si no hay política");
        Text::new("What the policy demands; begin with testing. To give it up: none, for as long as max_age, and then \"\". It needs a certificate for mta-sts.DOMAIN, which [acme] gets.", "Qué exige la política; empiece por testing. Para abandonarla: none, durante max_age, y después \"\". Necesita un certificado de mta-sts.DOMINIO, que obtiene [acme].");
        |d, v| store(&mut d.config.mta_sts.mode, value::optional(v, value::policy_mode));
        |c| optional(c.mta_sts.mode.map(PolicyMode::name));
    "mta_sts" "mx" = Computed("[\"mail.example.com\"]", Text::new("hostname", "hostname"));
        Text::new("a list of hosts, such as [\"mail.example.com\"]", "una lista de máquinas, como [\"mail.example.com\"]");
        Text::new("Every MX host of our domains; senders deliver to no other.", "Todos los MX de nuestros dominios; los remitentes no entregan en ningún otro.");
        |d, v| store(&mut d.policy_mx, value::list(v, value::host_name).map(Some));
        |c| array(&c.mta_sts.mx, |host| quote(host));
    "mta_sts" "max_age" = Written("\"7d\""); DURATION;
        Text::new("For how long senders keep the policy.", "Cuánto tiempo guardan la política los remitentes.");
        |d, v| store(&mut d.config.mta_sts.max_age, value::duration(v));
        |c| quote(value::show_duration(c.mta_sts.max_age));
    "mta_sts" "listen" = Written("[\"0.0.0.0:443\", \"[::]:443\"]"); ADDRESSES;
        Text::new("Where the policy is served over HTTPS, if there is one.", "Dónde se sirve la política por HTTPS, si la hay.");
        |d, v| store(&mut d.config.mta_sts.listen, value::list(v, value::socket_address));
        |c| array(&c.mta_sts.listen, |address| quote(address));

    "dns" "servers" = Written("[]");
        Text::new("a list of addresses, such as [\"127.0.0.1\"] or [\"127.0.0.1:5353\"]", "una lista de direcciones, como [\"127.0.0.1\"] o [\"127.0.0.1:5353\"]");
        Text::new("DNS servers; []: those that the system uses.", "Servidores DNS; []: los que usa el sistema.");
        |d, v| store(&mut d.config.dns_servers, value::list(v, value::dns_server));
        |c| array(&c.dns_servers, |server| quote(server));
    "dns" "trust_ad" = Written("false"); Text::new("true or false", "true o false");
        Text::new("Whether the way to these servers is as safe as this machine, so that their word on DNSSEC counts; that of servers on loopback always does. DANE rests on it.", "Si el camino hasta esos servidores es tan seguro como esta máquina y vale lo que digan de DNSSEC; lo que dicen los de loopback vale siempre. En eso se apoya DANE.");
        |d, v| store(&mut d.config.dns.trust_ad, value::flag(v));
        |c| c.dns.trust_ad.to_string();
    "dns" "signed_name" = Written("\".\""); Text::new("a domain whose NS records are signed, or \"\" for none", "un dominio con los registros NS firmados, o \"\" si ninguno");
        Text::new("A signed name by which it is seen whether the server validates DNSSEC; \"\": it is not looked.", "Un nombre firmado con el que se ve si el servidor valida DNSSEC; con \"\" no se mira.");
        |d, v| store(&mut d.config.dns.signed_name, value::text(v));
        |c| quote(&c.dns.signed_name);
    "dns" "bogus_name" = Written("\"dnssec-failed.org\""); Text::new("a host with wrong signatures, or \"\" for none", "una máquina con firmas incorrectas, o \"\" si ninguna");
        Text::new("A name with wrong signatures: a server that gives its address does not validate, whatever it says; \"\": it is not asked.", "Un nombre con firmas incorrectas: el servidor que da su dirección no valida, diga lo que diga; con \"\" no se pregunta.");
        |d, v| store(&mut d.config.dns.bogus_name, value::text(v));
        |c| quote(&c.dns.bogus_name);

    "dkim" "directory" = Written("\"/etc/puerto/dkim\""); PATH;
        Text::new("DIRECTORY/DOMAIN/SELECTOR.pem: every key there signs for its domain.", "CARPETA/DOMINIO/SELECTOR.pem: cada clave que haya ahí firma por su dominio.");
        |d, v| store(&mut d.config.dkim_directory, value::path(v));
        |c| quote(c.dkim_directory.display());

    "accounts" "file" = Written("\"/etc/puerto/accounts\""); PATH;
        Text::new("The accounts and what their passwords are checked by; `puerto user` writes it.", "Las cuentas y aquello con que se comprueban sus contraseñas; lo escribe `puerto user`.");
        |d, v| store(&mut d.config.accounts.file, value::path(v));
        |c| quote(c.accounts.file.display());
    "accounts" "dovecot" = Written("\"\""); OPTIONAL_PATH;
        Text::new("Dovecot's authentication socket, asked instead of the file: its users log in with PLAIN and LOGIN.", "El socket de autenticación de Dovecot, al que se pregunta en lugar del fichero: sus usuarios se identifican con PLAIN y LOGIN.");
        |d, v| store(&mut d.config.accounts.dovecot, value::optional(v, value::path));
        |c| optional(c.accounts.dovecot.as_ref().map(|path| path.display()));
    "accounts" "channel_binding" = Written("true"); Text::new("true or false", "true o false");
        Text::new("Whether SCRAM-SHA-256-PLUS is offered, which binds a login to its TLS connection. Programs that choose it and cannot do it, as Debian's mutt, fail until it is false, or until they are told another mechanism.", "Si se ofrece SCRAM-SHA-256-PLUS, que ata la identificación a su conexión TLS. Los programas que lo eligen sin saber hacerlo, como el mutt de Debian, fallan mientras no sea false o no se les indique otro mecanismo.");
        |d, v| store(&mut d.config.accounts.channel_binding, value::flag(v));
        |c| c.accounts.channel_binding.to_string();

    "delivery" "port" = Written("25"); Text::new("a port from 1 to 65535", "un puerto del 1 al 65535");
        Text::new("The port of MX hosts.", "El puerto de los servidores MX.");
        |d, v| store(&mut d.config.delivery.port, value::port(v));
        |c| c.delivery.port.to_string();
    "delivery" "connect_timeout" = Written("\"30s\""); DURATION;
        Text::new("How long one connection may take to open.", "Cuánto puede tardar en abrirse una conexión.");
        |d, v| store(&mut d.config.delivery.connect_timeout, value::duration(v));
        |c| quote(value::show_duration(c.delivery.connect_timeout));
    "delivery" "tls" = Written("\"opportunistic\""); TLS;
        Text::new("TLS towards other servers; a route may differ. Required means verified, too.", "TLS hacia otros servidores; una ruta puede tener el suyo. `required` exige además verificarlo.");
        |d, v| store(&mut d.config.delivery.tls, value::tls_level(v));
        |c| tls_level(c.delivery.tls);
    "delivery" "dane" = Written("true"); Text::new("true or false", "true o false");
        Text::new("Obey the TLSA records of hosts (DANE), where the resolver validates DNSSEC; tls = \"none\" in a route is the way around those of one domain.", "Obedece los registros TLSA de las máquinas (DANE) si el resolutor valida DNSSEC; tls = \"none\" en una ruta evita los de un dominio.");
        |d, v| store(&mut d.config.delivery.dane, value::flag(v));
        |c| c.delivery.dane.to_string();
    "delivery" "mta_sts" = Written("true"); Text::new("true or false", "true o false");
        Text::new("Obey the MTA-STS policies of domains; tls = \"none\" in a route is the way around that of one domain.", "Obedece las políticas MTA-STS de los dominios; tls = \"none\" en una ruta evita la de un dominio.");
        |d, v| store(&mut d.config.delivery.mta_sts, value::flag(v));
        |c| c.delivery.mta_sts.to_string();
    "delivery" "downgrade" = Written("\"tell\""); Text::same("\"tell\", \"refuse\"");
        Text::new("A host that spoke TLS before and does not now: the log and `puerto why` tell, or the mail waits.", "Una máquina que hablaba antes TLS y ahora no: el registro y `puerto why` lo dicen, o el correo espera.");
        |d, v| store(&mut d.config.delivery.downgrade, value::downgrade(v));
        |c| downgrade(c.delivery.downgrade);
    "delivery" "tls_reports" = Written("true"); Text::new("true or false", "true o false");
        Text::new("Tell domains that ask for it, once a day, how TLS towards them went (TLS-RPT).", "Informa una vez al día a los dominios que lo piden de cómo fue TLS hacia ellos (TLS-RPT).");
        |d, v| store(&mut d.config.delivery.tls_reports, value::flag(v));
        |c| c.delivery.tls_reports.to_string();
    "delivery" "bind_ipv4" = Written("\"\""); Text::new("an IPv4 address of this machine, or \"\"", "una dirección IPv4 de esta máquina, o \"\"");
        Text::new("The IPv4 address to send from.", "La dirección IPv4 desde la que se envía.");
        |d, v| store(&mut d.config.delivery.bind_ipv4, value::optional(v, value::address));
        |c| optional(c.delivery.bind_ipv4);
    "delivery" "bind_ipv6" = Written("\"\""); Text::new("an IPv6 address of this machine, or \"\"", "una dirección IPv6 de esta máquina, o \"\"");
        Text::new("The IPv6 address to send from.", "La dirección IPv6 desde la que se envía.");
        |d, v| store(&mut d.config.delivery.bind_ipv6, value::optional(v, value::address));
        |c| optional(c.delivery.bind_ipv6);
    "delivery" "helo" = Computed("\"mail.example.com\"", Text::same("hostname"));
        Text::new("a host name, or \"\" for hostname", "un nombre de máquina, o \"\" para usar hostname");
        Text::new("The name in EHLO when sending.", "El nombre en EHLO al enviar.");
        |d, v| store(&mut d.helo, value::optional(v, value::host_name));
        |c| quote(&c.delivery.helo);
    "delivery" "concurrency" = Written("20"); COUNT;
        Text::new("Connections to one destination at most.", "Cuántas conexiones a un mismo destino, como mucho.");
        |d, v| store(&mut d.config.delivery.concurrency, value::count(v, 10_000));
        |c| c.delivery.concurrency.to_string();
    "delivery" "rate" = Written("\"\""); super::profiles::RATE;
        Text::new("Messages to one destination in a time, spread evenly; \"\": as many as it takes. A provider's file may say less.", "Mensajes a un mismo destino en un tiempo, repartidos por igual; con \"\", los que admita. El fichero de un proveedor puede decir menos.");
        |d, v| store(&mut d.config.delivery.rate, value::optional(v, value::rate));
        |c| optional(c.delivery.rate.map(value::show_rate));
    "delivery" "rate_in_all" = Written("\"\""); super::profiles::RATE;
        Text::new("Messages to all other servers together in a time, spread evenly; \"\": as many as they take. With several nodes, of all nodes.", "Mensajes a todos los demás servidores juntos en un tiempo, repartidos por igual; con \"\", los que admitan. Con varios nodos, entre todos.");
        |d, v| store(&mut d.config.delivery.rate_in_all, value::optional(v, value::rate));
        |c| optional(c.delivery.rate_in_all.map(value::show_rate));
    "delivery" "providers" = Written("\"/etc/puerto/providers\""); PATH;
        Text::new("A folder with NAME.toml for each provider of which you know more than we do: connections, rates, what its replies call for.", "Una carpeta con NOMBRE.toml por cada proveedor del que sepa más que nosotros: conexiones, ritmos, qué piden sus respuestas.");
        |d, v| store(&mut d.config.delivery.providers, value::path(v));
        |c| quote(c.delivery.providers.display());
    "delivery" "allow_private" = Written("false"); Text::new("true or false", "true o false");
        Text::new("Deliver by MX to loopback and private addresses, as the lab and tests need it.", "Entrega por MX también en loopback y en direcciones privadas, como necesitan el laboratorio y las pruebas.");
        |d, v| store(&mut d.config.delivery.allow_private, value::flag(v));
        |c| c.delivery.allow_private.to_string();

    "rescue" "via" = Written("\"\""); NEXT_HOP;
        Text::new("The relay, written as relayhost is; \"\": what is refused is returned.", "El relay, escrito como relayhost; \"\": lo rechazado se devuelve.");
        |d, v| store(&mut d.config.rescue.via, value::optional(v, value::next_hop));
        |c| optional(c.rescue.via.as_ref());
    "rescue" "user" = Written("\"\""); Text::new("a user name, or \"\" for none", "un nombre de usuario, o \"\" si no hay");
        Text::new("AUTH to it, with password_file.", "AUTH ante él, junto con password_file.");
        |d, v| store(&mut d.rescue_user, value::optional(v, value::text));
        |c| optional(c.rescue.login.as_ref().map(|login| &login.user));
    "rescue" "password_file" = Written("\"\""); OPTIONAL_PATH;
        Text::new("The file that holds the password and nothing else.", "El fichero que contiene la contraseña y nada más.");
        |d, v| store(&mut d.rescue_password_file, value::optional(v, value::path));
        |c| optional(c.rescue.login.as_ref().map(|login| login.password_file.display()));
    "rescue" "tls" = Written("\"required\""); TLS;
        Text::new("TLS towards it. With less than \"required\", mail whose receiver demands TLS does not go this way.", "TLS hacia él. Con menos que \"required\", el correo cuyo receptor exige TLS no va por aquí.");
        |d, v| store(&mut d.config.rescue.tls, value::tls_level(v));
        |c| tls_level(c.rescue.tls);

    "queue" "retry" = Written("[\"5m\", \"10m\", \"20m\", \"40m\", \"1h\", \"2h\", \"3h\", \"4h\"]");
        Text::new("a list of durations, such as [\"5m\", \"1h\"]; the last repeats", "una lista de duraciones, como [\"5m\", \"1h\"]; la última se repite");
        Text::new("Waits between attempts; the last repeats.", "Esperas entre intentos; la última se repite.");
        |d, v| store(&mut d.config.queue.retry, value::list(v, value::duration));
        |c| array(&c.queue.retry, |span| quote(value::show_duration(*span)));
    "queue" "expire" = Written("\"5d\""); DURATION;
        Text::new("The age at which a message is returned to its sender.", "La edad con que un mensaje se devuelve a su remitente.");
        |d, v| store(&mut d.config.queue.expire, value::duration(v));
        |c| quote(value::show_duration(c.queue.expire));
    "queue" "warn_after" = Written("\"4h\""); DURATION;
        Text::new("The age at which the sender is told of a delay; \"0s\": never.", "La edad con que se avisa del retraso al remitente; \"0s\": nunca.");
        |d, v| store(&mut d.config.queue.warn_after, value::duration(v));
        |c| quote(value::show_duration(c.queue.warn_after));

    "queue" "bulk" = Written("[]");
        Text::new("a list of accounts, addresses and @domains, such as [\"newsletter\", \"@news.example.com\"]", "una lista de cuentas, direcciones y @dominios, como [\"boletin\", \"@news.example.com\"]");
        Text::new("Whose mail goes to many: all other mail goes before it. What says of itself that it is a list's or a newsletter's (List-Id, List-Unsubscribe, Precedence: bulk) does so by itself.", "De quién es el correo que va a muchos: el resto sale antes. Lo que dice de sí mismo que es de una lista o un boletín (List-Id, List-Unsubscribe, Precedence: bulk) ya lo hace solo.");
        |d, v| store(&mut d.config.queue.bulk, value::list(v, value::text));
        |c| array(&c.queue.bulk, |name| quote(name));
    "queue" "bulk_recipients" = Written("50"); COUNT;
        Text::new("A message with more recipients goes to many, too.", "Un mensaje con más destinatarios también va a muchos.");
        |d, v| store(&mut d.config.queue.bulk_recipients, value::count(v, 1_000_000));
        |c| c.queue.bulk_recipients.to_string();

    "store" "url" = Written("\"\"");
        Text::new("a database, such as \"postgres://puerto@db1.example.com,db2.example.com/puerto\", or \"\" for none", "una base de datos, como \"postgres://puerto@db1.example.com,db2.example.com/puerto\", o \"\" si no hay");
        Text::new("The database that holds the queue of all nodes.", "La base de datos con la cola de todos los nodos.");
        |d, v| store(&mut d.config.store.url, value::optional(v, value::database));
        |c| optional(c.store.url.as_ref());
    "store" "password_file" = Written("\"\""); OPTIONAL_PATH;
        Text::new("The file that holds its password and nothing else.", "El fichero que contiene su contraseña y nada más.");
        |d, v| store(&mut d.config.store.password_file, value::optional(v, value::path));
        |c| optional(c.store.password_file.as_ref().map(|file| file.display()));
    "store" "node" = Computed("\"mail.example.com\"", Text::same("hostname"));
        Text::new("a name that no other node has, or \"\" for hostname", "un nombre que no tenga ningún otro nodo, o \"\" para usar hostname");
        Text::new("This node's name in the cluster.", "El nombre de este nodo en el clúster.");
        |d, v| store(&mut d.node, value::optional(v, value::node));
        |c| quote(&c.store.node);

    "history" "keep" = Written("\"14d\"");
        Text::new("a duration, such as \"14d\", or \"0\" to keep nothing", "una duración, como \"14d\", o \"0\" para no guardar nada");
        Text::new("For how long it is kept; \"0\" switches it off and removes what there is.", "Cuánto tiempo se guarda; \"0\" lo desactiva y borra lo que haya.");
        |d, v| store(&mut d.config.history.keep, value::keep(v));
        |c| quote(match c.history.keep.as_secs() { 0 => "0".to_owned(), _ => value::show_duration(c.history.keep) });
    "history" "size" = Written("\"256MiB\"");
        Text::new("a size, such as \"256MiB\"", "un tamaño, como \"256MiB\"");
        Text::new("What it may take up in state_dir, or in the database of [store]; the oldest goes first.", "Lo que puede ocupar en state_dir, o en la base de datos de [store]; lo más antiguo se borra primero.");
        |d, v| store(&mut d.config.history.size, value::size(v));
        |c| quote(value::show_size(c.history.size));

    "local" "mailbox" = Written("\"mbox\"");
        Text::new("\"mbox\", \"maildir\", or \"lmtp:\" with a socket's path or HOST:PORT", "\"mbox\", \"maildir\" o \"lmtp:\" con la ruta de un socket o MÁQUINA:PUERTO");
        Text::new("mbox: /var/mail/USER; maildir: ~/Maildir/; lmtp: a server takes it, such as Dovecot.", "mbox: /var/mail/USUARIO; maildir: ~/Maildir/; lmtp: lo recoge un servidor, como Dovecot.");
        |d, v| store(&mut d.config.local.mailbox, value::mailbox(v));
        |c| match &c.local.mailbox {
            Mailbox::Mbox => quote("mbox"), Mailbox::Maildir => quote("maildir"),
            Mailbox::Lmtp(address) => quote(format_args!("lmtp:{address}")) };
    "local" "mailbox_size" = Written("\"1GiB\"");
        Text::new("a size, such as \"1GiB\", or 0 for no limit", "un tamaño, como \"1GiB\", o 0 para no limitarlo");
        Text::new("What one user's mbox or Maildir may hold; mail beyond it waits.", "Lo que puede contener el buzón de un usuario; el correo que no cabe espera.");
        |d, v| store(&mut d.config.local.mailbox_size, value::size(v));
        |c| quote(value::show_size(c.local.mailbox_size));
    "local" "aliases" = Written("\"/etc/aliases\""); PATH;
        Text::new("Other names for local users, in the usual form: `name: user, other@example.com`.", "Otros nombres de los usuarios locales, en la forma habitual: `nombre: usuario, otro@example.com`.");
        |d, v| store(&mut d.config.local.aliases, value::path(v));
        |c| quote(c.local.aliases.display());

    "local" "recipient_delimiter" = Written("\"+\""); Text::new("one or more characters, such as \"+\" or \"+-\", or \"\" for none", "uno o más caracteres, como \"+\" o \"+-\", o \"\" si ninguno");
        Text::new("What parts a user's name from an extension: mail to user+anything is the user's.", "Lo que separa el nombre de un usuario de una extensión: el correo a usuario+loquesea es del usuario.");
        |d, v| store(&mut d.config.local.recipient_delimiter, value::delimiter(v));
        |c| quote(&c.local.recipient_delimiter);
    "local" "postmaster" = Written("\"root\""); Text::new("a user of this machine or an address", "un usuario de esta máquina o una dirección");
        Text::new("Who gets the mail to postmaster where no alias says so.", "Quién recibe el correo a postmaster si ningún alias lo dice.");
        |d, v| store(&mut d.config.local.postmaster, value::destination(v).map(Some));
        |c| optional(c.local.postmaster.as_ref());

    "local" "allow_commands" = Written("[]"); NAMED_IN;
        Text::new("Where a target may be \"|command\", which gets the mail on its standard input: in aliases, in the lists that they include, in ~/.forward. It is run as the owner of the file that names it.", "Dónde puede ser un destino \"|orden\", que recibe el correo por su entrada estándar: en los alias, en las listas que incluyen, en ~/.forward. Se ejecuta como el dueño del fichero que la nombra.");
        |d, v| store(&mut d.config.local.allow_commands, value::list(v, value::named_in));
        |c| array(&c.local.allow_commands, |place| quote(place));
    "local" "allow_files" = Written("[]"); NAMED_IN;
        Text::new("Where a target may be /a/file that the mail is appended to, or /a/maildir/.", "Dónde puede ser un destino /un/fichero al que se añade el correo, o /un/maildir/.");
        |d, v| store(&mut d.config.local.allow_files, value::list(v, value::named_in));
        |c| array(&c.local.allow_files, |place| quote(place));
    "local" "default_user" = Written("\"nobody\""); Text::new("a system user without rights, such as \"nobody\"", "un usuario del sistema sin privilegios, como \"nobody\"");
        Text::new("Who runs the commands and writes the files that root's files name; never root.", "Quién ejecuta las órdenes y escribe los ficheros que nombran los ficheros de root; nunca root.");
        |d, v| store(&mut d.config.local.default_user, value::unprivileged(v));
        |c| quote(&c.local.default_user);
    "local" "command_timeout" = Written("\"5m\""); DURATION;
        Text::new("How long a command may take; then it is ended, and the mail waits. At most an hour.", "Cuánto puede tardar una orden; después se termina y el correo espera. Como mucho una hora.");
        |d, v| store(&mut d.config.local.command_timeout, value::duration(v));
        |c| quote(value::show_duration(c.local.command_timeout));

    "virtual" "domains" = Written("[]"); Text::new("a list of domain names, such as [\"example.org\"]", "una lista de nombres de dominio, como [\"example.org\"]");
        Text::new("Domains of ours without users of this machine: only the addresses of the table and of its file exist there.", "Dominios nuestros sin usuarios de esta máquina: en ellos solo existen las direcciones de la tabla y de su fichero.");
        |d, v| store(&mut d.config.virtual_addresses.domains, value::list(v, value::domain));
        |c| array(&c.virtual_addresses.domains, |domain| quote(domain));
    "virtual" "map" = Written("{}"); Text::new("a table such as { \"info@example.org\" = \"ana, luis@example.net\", \"@example.org\" = \"ana\", \"@old.example.com\" = \"@example.com\" }", "una tabla como { \"info@example.org\" = \"ana, luis@example.net\", \"@example.org\" = \"ana\", \"@old.example.com\" = \"@example.com\" }");
        Text::new("Addresses that stand for others: first the address, then the address without its extension, then @domain for all the rest. A target @domain keeps the part before the @.", "Direcciones que equivalen a otras: primero la dirección, luego la dirección sin su extensión y después @dominio para todas las demás. Un destino @dominio conserva lo que va delante de la @.");
        |d, v| store(&mut d.config.virtual_addresses.map, value::virtual_map(v));
        |c| table(&c.virtual_addresses.map);
    "virtual" "file" = Written("\"\""); OPTIONAL_PATH;
        Text::new("More of them in a file of Postfix's form: `address target, target` on each line. Changes hold at once.", "Más de ellas en un fichero con la forma de Postfix: `dirección destino, destino` en cada línea. Los cambios valen de inmediato.");
        |d, v| store(&mut d.config.virtual_addresses.file, value::optional(v, value::path));
        |c| optional(c.virtual_addresses.file.as_ref().map(|path| path.display()));

    "pickup" "directory" = Computed("\"/var/lib/puerto-drop\"", Text::new("state_dir with -drop behind it", "state_dir con -drop detrás")); OPTIONAL_PATH;
        Text::new("Where sendmail leaves mail while the server does not run, in a folder for each user.", "Dónde deja sendmail el correo mientras el servidor no está en marcha, en una carpeta para cada usuario.");
        |d, v| store(&mut d.pickup_directory, value::optional(v, value::path).map(Some));
        |c| optional(c.pickup.directory.as_ref().map(|path| path.display()));
    "pickup" "header" = Written("\"local\"");
        Text::new("\"none\", \"local\" or \"all\"", "\"none\", \"local\" o \"all\"");
        Text::new("Which mail names in its header the program that it came from: none, what stays on this machine, or all.", "Qué correo nombra en su cabecera el programa del que viene: ninguno, el que se queda en esta máquina o todo.");
        |d, v| store(&mut d.config.pickup.header, value::origin_header(v));
        |c| quote(match c.pickup.header {
            OriginHeader::None => "none", OriginHeader::Local => "local", OriginHeader::All => "all" });

    "srs" "domain" = Written("\"\""); Text::new("a domain of ours, such as \"example.com\", or \"\" for none", "un dominio nuestro, como \"example.com\", o \"\" si ninguno");
        Text::new("Mail that is sent on to another address leaves with a sender in this domain, whose SPF record names this server; what comes back for it goes to the first sender. \"\": it keeps its sender, and receivers that judge by SPF alone refuse it.", "El correo que se reenvía a otra dirección sale con un remitente de este dominio, cuyo registro SPF nombra este servidor; lo que vuelve para él va al primer remitente. \"\": conserva su remitente, y lo rechazan los receptores que solo miran SPF.");
        |d, v| store(&mut d.config.srs.domain, value::optional(v, value::domain));
        |c| optional(c.srs.domain.as_ref());
    "srs" "secret_file" = Written("\"\""); OPTIONAL_PATH;
        Text::new("The secret that these senders are made with; \"\": srs.secret in state_dir, which is made when it is missing. Servers that answer for one domain share it.", "El secreto con que se hacen esos remitentes; \"\": srs.secret en state_dir, que se crea si falta. Los servidores que atienden un mismo dominio lo comparten.");
        |d, v| store(&mut d.config.srs.secret_file, value::optional(v, value::path));
        |c| optional(c.srs.secret_file.as_ref().map(|path| path.display()));

    "sender" "always" = Written("\"\""); Text::new("an address, or \"\" for none", "una dirección, o \"\" si no hay");
        Text::new("The one address that all mail is sent from, for a relay that takes no other. The author stays in Reply-To.", "La única dirección desde la que sale todo el correo, para un relay que no admite otra. El autor queda en Reply-To.");
        |d, v| store(&mut d.config.sender.always, value::optional(v, value::only_sender));
        |c| optional(c.sender.always.as_ref());
    "sender" "map" = Written("{}"); Text::new("a table such as { root = \"admin@example.com\", \"@web.example.com\" = \"@example.com\" }", "una tabla como { root = \"admin@example.com\", \"@web.example.com\" = \"@example.com\" }");
        Text::new("Senders that are known elsewhere under another address: users of this machine, addresses or whole domains.", "Remitentes que fuera se conocen por otra dirección: usuarios de esta máquina, direcciones o dominios enteros.");
        |d, v| store(&mut d.config.sender.map, value::sender_map(v));
        |c| table(&c.sender.map);
    "sender" "masquerade" = Written("[]"); Text::new("a list of domains, such as [\"!lists.example.com\", \"example.com\"]", "una lista de dominios, como [\"!lists.example.com\", \"example.com\"]");
        Text::new("Domains whose hosts do not show: user@host.example.com is sent from user@example.com. ! excepts a host; the first that matches counts.", "Dominios cuyas máquinas no se muestran: usuario@maquina.example.com sale como usuario@example.com. Con ! se exceptúa una máquina; vale el primero que coincida.");
        |d, v| store(&mut d.config.sender.masquerade, value::list(v, value::masquerade));
        |c| array(&c.sender.masquerade, |domain| quote(domain));
    "sender" "masquerade_except" = Written("[]"); Text::new("a list of user names, such as [\"root\"]", "una lista de nombres de usuario, como [\"root\"]");
        Text::new("Users whose host shows all the same.", "Usuarios cuya máquina se muestra de todos modos.");
        |d, v| store(&mut d.config.sender.masquerade_except, value::list(v, value::local_part));
        |c| array(&c.sender.masquerade_except, |local_part| quote(local_part));
    "sender" "otherwise" = Written("\"auto\""); Text::new("\"auto\", \"reject\" or \"rewrite\"", "\"auto\", \"reject\" o \"rewrite\"");
        Text::new("What becomes of mail from an address that whoever sends it may not use: reject: it is refused, and told why; rewrite: it is sent from an own address, the original in X-Original-From; auto: rewritten if a program of this machine wrote it, else refused.", "Qué pasa con el correo de una dirección que quien lo envía no puede usar: reject: se rechaza explicando por qué; rewrite: sale con una dirección propia y la original en X-Original-From; auto: se reescribe si lo escribió un programa de esta máquina; si no, se rechaza.");
        |d, v| store(&mut d.config.sender.otherwise, value::otherwise(v));
        |c| quote(match c.sender.otherwise {
            Otherwise::Auto => "auto", Otherwise::Reject => "reject", Otherwise::Rewrite => "rewrite" });
    "sender" "foreign" = Written("[]"); Text::new("a list of domains, such as [\"example.net\", \"*.example.org\"], or [\"*\"]", "una lista de dominios, como [\"example.net\", \"*.example.org\"], o [\"*\"]");
        Text::new("Domains that are not ours and may be sent from all the same. Receivers refuse such mail by DMARC unless it is signed for them or their SPF names this server.", "Dominios que no son nuestros y desde los que se puede enviar de todos modos. Los receptores rechazan ese correo por DMARC, salvo que lleve su firma o su SPF incluya este servidor.");
        |d, v| store(&mut d.config.sender.foreign, value::list(v, value::foreign));
        |c| array(&c.sender.foreign, |domain| quote(domain));
    "sender" "users" = Written("{}"); MAY_USE;
        Text::new("Addresses that local users may send from beside their own, USER@ each of our domains; root and services may use any of our domains.", "Direcciones desde las que los usuarios locales pueden enviar además de las suyas, USUARIO@ cada dominio nuestro; root y los servicios pueden usar todos nuestros dominios.");
        |d, v| store(&mut d.config.sender.users, value::named_addresses(v));
        |c| lists(&c.sender.users);
    "sender" "accounts" = Written("{}"); MAY_USE;
        Text::new("The same of accounts that log in: for Dovecot's users; `puerto user` notes those of its own.", "Lo mismo para las cuentas que se identifican: para los usuarios de Dovecot; `puerto user` anota las de las suyas.");
        |d, v| store(&mut d.config.sender.accounts, value::named_addresses(v));
        |c| lists(&c.sender.accounts);
    "sender" "networks" = Written("{}"); Text::new("a table such as { \"192.0.2.0/24\" = [\"ours\", \"@example.org\"] }", "una tabla como { \"192.0.2.0/24\" = [\"ours\", \"@example.org\"] }");
        Text::new("What clients of trusted networks may send from, the first network that they are in. Of those that none names, programs of this machine may use our domains, and other hosts any: they have users of their own.", "Desde qué direcciones pueden enviar los clientes de las redes de confianza; vale la primera red en que estén. De los que no nombra ninguna, los programas de esta máquina pueden usar nuestros dominios, y las demás máquinas cualquiera: tienen usuarios propios.");
        |d, v| store(&mut d.config.sender.networks, value::networks_addresses(v));
        |c| lists(&c.sender.networks);

    "caps" "accounts" = Written("{}"); CAPS;
        Text::new("Caps of each account that logs in; \"*\" is every one that is not named. Recipients are those that it has not sent to before.", "Topes de cada cuenta que se identifica; \"*\" es cualquiera que no se nombre. Los destinatarios son aquellos a los que no ha enviado antes.");
        |d, v| store(&mut d.config.caps.accounts, value::named_caps(v));
        |c| lists(&c.caps.accounts);
    "caps" "users" = Written("{}"); CAPS;
        Text::new("The same of users of this machine, such as www-data.", "Lo mismo para los usuarios de esta máquina, como www-data.");
        |d, v| store(&mut d.config.caps.users, value::named_caps(v));
        |c| lists(&c.caps.users);
    "caps" "clients" = Written("{}"); Text::new("a table such as { \"10.0.0.0/8\" = [\"500 messages/hour\"] }", "una tabla como { \"10.0.0.0/8\" = [\"500 messages/hour\"] }");
        Text::new("The same of each client that may send anywhere, by the first network that it is in.", "Lo mismo para cada cliente que puede enviar a cualquier destino, según la primera red en que esté.");
        |d, v| store(&mut d.config.caps.clients, value::networks_caps(v));
        |c| lists(&c.caps.clients);

    "limits" "message_size" = Written("\"50MiB\"");
        Text::new("a size, such as \"50MiB\", \"500KB\" or a number of octets", "un tamaño, como \"50MiB\" o \"500KB\", o un número de octetos");
        Text::new("The largest message that is taken.", "El mayor mensaje que se acepta.");
        |d, v| store(&mut d.config.limits.message_size, value::size(v));
        |c| quote(value::show_size(c.limits.message_size));
    "limits" "recipients" = Written("1000"); COUNT;
        Text::new("Recipients of one message.", "Destinatarios de un mensaje.");
        |d, v| store(&mut d.config.limits.recipients, value::count(v, 1_000_000));
        |c| c.limits.recipients.to_string();
    "limits" "recipients_from_strangers" = Written("100"); COUNT;
        Text::new("The same for mail from outside the trusted networks.", "Lo mismo para el correo que llega de fuera de las redes de confianza.");
        |d, v| store(&mut d.config.limits.recipients_from_strangers, value::count(v, 1_000_000));
        |c| c.limits.recipients_from_strangers.to_string();
    "limits" "connections" = Written("1000"); COUNT;
        Text::new("Clients connected at the same time; a fifth of the places is kept for trusted networks and this machine's users.", "Clientes conectados a la vez; una quinta parte se reserva para las redes de confianza y los usuarios de esta máquina.");
        |d, v| store(&mut d.config.limits.connections, value::count(v, 1_000_000));
        |c| c.limits.connections.to_string();
    "limits" "connections_from_one_client" = Written("50"); COUNT;
        Text::new("Of these, from one address or one IPv6 /64; twice as many from a /56, four times from a /48.", "De ellos, desde una misma dirección o un mismo /64 de IPv6; el doble desde un /56 y el cuádruple desde un /48.");
        |d, v| store(&mut d.config.limits.connections_from_one_client, value::count(v, 1_000_000));
        |c| c.limits.connections_from_one_client.to_string();
};

/// The keys of a route.
#[rustfmt::skip]
pub(super) const ROUTE_KEYS: &[Key<RouteDraft, Route>] = keys! {
    "route" "to" = Computed("\"example.net\"", Text::new("all recipients", "todos los destinatarios"));
        Text::new("a domain, such as \"example.net\", or \"*.example.net\" for its subdomains too", "un dominio, como \"example.net\", o \"*.example.net\" para incluir sus subdominios");
        Text::new("The recipient's domain; \"*.example.net\": its subdomains too.", "El dominio del destinatario; \"*.example.net\": también sus subdominios.");
        |d, v| store(&mut d.to, value::optional(v, value::route_to));
        |r| optional(r.to.as_ref());
    "route" "from" = Computed("\"@shop.example.com\"", Text::new("all senders", "todos los remitentes"));
        Text::new("an address, or a domain such as \"@example.com\"", "una dirección, o un dominio como \"@example.com\"");
        Text::new("The sender: an address, or @ and a domain.", "El remitente: una dirección, o @ y un dominio.");
        |d, v| store(&mut d.from, value::optional(v, value::route_from));
        |r| optional(r.from.as_ref());
    "route" "via" = Computed("\"[relay.example.net]:587\"", Text::new("the recipient's MX", "el MX del destinatario")); NEXT_HOP;
        Text::new("Where it goes, written as relayhost is.", "Adónde va, escrito como relayhost.");
        |d, v| store(&mut d.via, value::optional(v, value::next_hop));
        |r| optional(r.via.as_ref());
    "route" "user" = Written("\"\""); Text::new("a user name, or \"\" for none", "un nombre de usuario, o \"\" si no hay");
        Text::new("AUTH to it, with password_file.", "AUTH ante él, junto con password_file.");
        |d, v| store(&mut d.user, value::optional(v, value::text));
        |r| optional(r.login.as_ref().map(|login| &login.user));
    "route" "password_file" = Written("\"\""); OPTIONAL_PATH;
        Text::new("The file that holds the password and nothing else.", "El fichero que contiene la contraseña y nada más.");
        |d, v| store(&mut d.password_file, value::optional(v, value::path));
        |r| optional(r.login.as_ref().map(|login| login.password_file.display()));
    "route" "tls" = Computed("\"required\"", Text::new("as in [delivery]", "lo que diga [delivery]")); TLS;
        Text::new("TLS towards it.", "TLS hacia él.");
        |d, v| store(&mut d.tls, value::tls_level(v).map(Some));
        |r| tls_level(r.tls);
    "route" "verp" = Written("\"\""); Text::new("two of - = +, such as \"+=\", or \"\" for none", "dos de - = +, como \"+=\", o \"\" si no hay");
        Text::new("Names each recipient in the envelope sender of our own users' mail, so that a bounce tells whom it is about: with \"+=\", bounce+user=example.net@example.com.", "Nombra a cada destinatario en el remitente del sobre del correo de nuestros usuarios, para que un rebote diga de quién trata: con \"+=\", rebotes+usuario=example.net@example.com.");
        |d, v| store(&mut d.verp, value::optional(v, value::verp));
        |r| optional(r.verp);
};

/// The keys of a source.
#[rustfmt::skip]
pub(super) const SOURCE_KEYS: &[Key<SourceDraft, Source>] = keys! {
    "source" "name" = Computed("\"news-1\"", Text::new("none: it must be given", "ninguno: hay que darlo"));
        Text::new("a name of letters, digits, - and _, such as \"news-1\"", "un nombre de letras, cifras, - y _, como \"boletin-1\"");
        Text::new("What it is called in the log, in `puerto top` and beside the destinations.", "Cómo se llama en el registro, en `puerto top` y junto a los destinos.");
        |d, v| store(&mut d.name, value::source_name(v).map(Some));
        |s| quote(&s.name);
    "source" "ipv4" = Computed("\"192.0.2.10\"", Text::new("none", "ninguna")); Text::new("an IPv4 address of this machine, or \"\" for none", "una dirección IPv4 de esta máquina, o \"\" si ninguna");
        Text::new("Its IPv4 address; without one nothing leaves by IPv4 from it.", "Su dirección IPv4; sin ella no sale nada por IPv4 desde aquí.");
        |d, v| store(&mut d.ipv4, value::optional(v, value::address));
        |s| optional(s.ipv4);
    "source" "ipv6" = Written("\"\""); Text::new("an IPv6 address of this machine, or \"\" for none", "una dirección IPv6 de esta máquina, o \"\" si ninguna");
        Text::new("Its IPv6 address, likewise.", "Su dirección IPv6, del mismo modo.");
        |d, v| store(&mut d.ipv6, value::optional(v, value::address));
        |s| optional(s.ipv6);
    "source" "helo" = Computed("\"out1.example.com\"", Text::new("helo of [delivery]", "helo de [delivery]"));
        Text::new("a host name, such as \"out1.example.com\"", "un nombre de máquina, como \"out1.example.com\"");
        Text::new("The name in EHLO: the one that the addresses' reverse record names.", "El nombre en EHLO: el que dice el registro inverso de sus direcciones.");
        |d, v| store(&mut d.helo, value::host_name(v).map(Some));
        |s| quote(&s.helo);
    "source" "weight" = Written("1"); COUNT;
        Text::new("How much of the mail it gets beside others that may carry it.", "Cuánto correo recibe junto a otras que pueden llevarlo.");
        |d, v| store(&mut d.weight, value::count(v, 1000).map(Some));
        |s| s.weight.to_string();
    "source" "from" = Written("[]"); Text::new("a list of addresses and domains such as [\"@news.example.com\"]", "una lista de direcciones y dominios como [\"@boletin.example.com\"]");
        Text::new("Whose mail it carries, by the envelope's sender. With neither this nor accounts: all that no other source is named for.", "De quién es el correo que lleva, según el remitente del sobre. Sin esto ni accounts: todo el que no tiene otra fuente con su nombre.");
        |d, v| store(&mut d.from, value::list(v, value::route_from));
        |s| array(&s.from, |from| quote(from));
    "source" "accounts" = Written("[]"); Text::new("a list of names, such as [\"shop\"]", "una lista de nombres, como [\"tienda\"]");
        Text::new("The same by the account that handed it over.", "Lo mismo según la cuenta que lo entregó.");
        |d, v| store(&mut d.accounts, value::list(v, value::text));
        |s| array(&s.accounts, |account| quote(account));
    "source" "begins" = Written("\"\""); Text::new("a day, such as \"2026-12-31\", or \"\" for long ago", "un día, como \"2026-12-31\", o \"\" si hace mucho");
        Text::new("The day (UTC) on which it begins to send, where it is new: from then on each provider gets no more than the plan says.", "El día (UTC) en que empieza a enviar, si es nueva: desde entonces cada proveedor no recibe más de lo que dice el plan.");
        |d, v| store(&mut d.begins, value::optional(v, value::day).map(Some));
        |s| optional(s.begins);
    "source" "plan" = Written(USUAL_PLAN); Text::new("a list of whole numbers of at least 1", "una lista de números enteros mayores que 0");
        Text::new("Messages to one provider on the first day, the second and so on; after the last, any number.", "Mensajes a un mismo proveedor el primer día, el segundo, etc.; después del último, cualquier número.");
        |d, v| store(&mut d.plan, value::list(v, value::per_day).map(Some));
        |s| array(&s.plan, |count| count.to_string());
};

pub(super) fn quote(text: impl std::fmt::Display) -> String {
    toml::Value::String(text.to_string()).to_string()
}

fn optional(text: Option<impl std::fmt::Display>) -> String {
    text.map_or_else(|| quote(""), quote)
}

pub(super) fn array<T>(items: &[T], write: fn(&T) -> String) -> String {
    let items: Vec<String> = items.iter().map(write).collect();
    format!("[{}]", items.join(", "))
}

fn table<K: std::fmt::Display, V: std::fmt::Display>(entries: &[(K, V)]) -> String {
    let entry = |(key, value): &(K, V)| format!("{} = {}", quote(key), quote(value));
    let entries: Vec<String> = entries.iter().map(entry).collect();
    match entries.as_slice() {
        [] => "{}".to_owned(),
        entries => format!("{{ {} }}", entries.join(", ")),
    }
}

fn lists<K: std::fmt::Display, V: std::fmt::Display>(entries: &[(K, Vec<V>)]) -> String {
    let list = |list: &[V]| list.iter().map(quote).collect::<Vec<_>>().join(", ");
    let entry = |(key, values): &(K, Vec<V>)| format!("{} = [{}]", quote(key), list(values));
    let entries: Vec<String> = entries.iter().map(entry).collect();
    match entries.as_slice() {
        [] => "{}".to_owned(),
        entries => format!("{{ {} }}", entries.join(", ")),
    }
}

fn downgrade(downgrade: Downgrade) -> String {
    quote(match downgrade {
        Downgrade::Tell => "tell",
        Downgrade::Refuse => "refuse",
    })
}

fn tls_level(level: TlsLevel) -> String {
    quote(match level {
        TlsLevel::Opportunistic => "opportunistic",
        TlsLevel::Required => "required",
        TlsLevel::None => "none",
    })
}
