//! Postfix: `main.cf`, and the tables that it names.

mod parameters;
mod senders;
mod tables;

use std::path::PathBuf;

use super::{
    Credentials, Inherited, add_networks, authorities, local_domain, name_others, next_hop, text_of,
};
use crate::config::{Mailbox, TlsFiles};
use crate::lang::{Said, Text};
use crate::setup::others::POSTFIX;
use crate::setup::root::Root;
use crate::tls::ServerTls;

use parameters::{Parameters, items, logical_lines};
use tables::Table;

const ENCRYPT: Text = Text::new(
    "Postfix's smtp_tls_security_level = encrypt does not verify certificates, and ours do where \
     TLS is demanded: if the relay's certificate is valid, set delivery.tls = \"required\"",
    "smtp_tls_security_level = encrypt de Postfix no verifica certificados, y aquí exigir TLS \
     supone verificarlos: si el certificado del relay es válido, ponga delivery.tls = \"required\"",
);
const VERIFIED_BY: Text = Text::new(
    "Postfix's {key} = {value} is not taken over: where TLS is demanded, certificates are verified \
     here by the relay's name and the system's authorities. If the relay's certificate is valid, \
     set delivery.tls = \"required\"",
    "{key} = {value} de Postfix no se hereda: donde se exige TLS, los certificados se verifican \
     aquí por el nombre del relay y las autoridades del sistema. Si el certificado del relay es \
     válido, ponga delivery.tls = \"required\"",
);
const STYLE: Text = Text::new(
    "Postfix lets every machine of its own networks send through it ({key} = {value}), which is not \
     taken over: write those networks into trusted_networks",
    "Postfix deja que toda máquina de sus propias redes envíe a través de él ({key} = {value}), lo \
     que no se hereda: escriba esas redes en trusted_networks",
);
const DELIMITER: Text = Text::new(
    "Postfix's {key} = {value} is not taken over: user+tag is the only form that is delivered to \
     user here",
    "{key} = {value} de Postfix no se hereda: usuario+etiqueta es aquí la única forma que se \
     entrega a usuario",
);
const NO_PASSWORD: Text = Text::new(
    "no user and password for {relayhost} were found in {maps}: write them into \
     relayhost_user and relayhost_password_file",
    "no se han encontrado usuario y contraseña para {relayhost} en {maps}: escríbalos en \
     relayhost_user y relayhost_password_file",
);

/// Parameters that have no counterpart or are too free to be translated by a machine,
/// with what to do instead.
const NOT_TAKEN: &[(&str, Text)] = &[
    ("transport_maps", ROUTES),
    ("sender_dependent_relayhost_maps", ROUTES),
    ("sender_dependent_default_transport_maps", ROUTES),
    ("default_transport", ROUTES),
    ("smtp_tls_policy_maps", ROUTES),
    ("relay_domains", RELAYED),
    ("virtual_alias_maps", ALIASES),
    ("virtual_alias_domains", ALIASES),
    ("virtual_mailbox_domains", LMTP),
    ("mailbox_transport", LMTP),
    ("virtual_transport", LMTP),
    ("mailbox_command", LMTP),
    ("recipient_canonical_maps", REWRITE),
    ("local_header_rewrite_clients", REWRITTEN_FOR),
    ("remote_header_rewrite_domain", REWRITTEN_FOR),
    ("multi_instance_directories", INSTANCES),
    ("header_checks", FILTER),
    ("body_checks", FILTER),
    ("content_filter", FILTER),
    ("always_bcc", COPIES),
    ("sender_bcc_maps", COPIES),
    ("recipient_bcc_maps", COPIES),
];
const ROUTES: Text = Text::new(
    "Postfix's {key} = {value} is not taken over: write a [[route]] for each of its lines",
    "{key} = {value} de Postfix no se hereda: escriba una [[route]] por cada línea",
);
const RELAYED: Text = Text::new(
    "Postfix's {key} = {value} is not taken over: this server takes no mail from strangers for \
     domains of other servers",
    "{key} = {value} de Postfix no se hereda: este servidor no acepta de desconocidos correo para \
     dominios de otros servidores",
);
const ALIASES: Text = Text::new(
    "Postfix's {key} = {value} is not taken over: write its local names into the aliases file",
    "{key} = {value} de Postfix no se hereda: escriba sus nombres locales en el fichero de alias",
);
const LMTP: Text = Text::new(
    "Postfix's {key} = {value} is not taken over: where another program keeps the mailboxes, set \
     local.mailbox = \"lmtp:ADDRESS\"",
    "{key} = {value} de Postfix no se hereda: si otro programa guarda los buzones, ponga \
     local.mailbox = \"lmtp:DIRECCIÓN\"",
);
const REWRITE: Text = Text::new(
    "Postfix's {key} = {value} is not taken over: recipients stay as they are written; where one is \
     another, write it into the aliases file",
    "{key} = {value} de Postfix no se hereda: los destinatarios se quedan como están escritos; si \
     alguno es otro, escríbalo en el fichero de alias",
);
const REWRITTEN_FOR: Text = Text::new(
    "Postfix's {key} = {value} is not taken over: here, senders are completed and mapped in the mail \
     of this machine's programs, of users who log in and of trusted_networks, unless another host \
     has signed it, and in nobody else's",
    "{key} = {value} de Postfix no se hereda: aquí los remitentes se completan y traducen en el \
     correo de los programas de esta máquina, de los usuarios que se identifican y de \
     trusted_networks, salvo que otra máquina lo haya firmado, y en el de nadie más",
);
const INSTANCES: Text = Text::new(
    "Postfix runs several instances here ({key} = {value}), and only that of /etc/postfix is taken \
     over: see what the others do",
    "Aquí hay varias instancias de Postfix ({key} = {value}) y solo se hereda la de /etc/postfix: \
     vea qué hacen las demás",
);
const COMMENT: Text = Text::new(
    "Postfix's {key} = {value}: what stands behind # is part of the value there, not a comment; see \
     what is meant",
    "{key} = {value} de Postfix: lo que va tras # forma allí parte del valor, no es un comentario; \
     vea qué se quiere decir",
);
const DOTS: Text = Text::new(
    "Postfix's {key} = {value} is not taken over: a host without a domain in an address stays as it \
     is written",
    "{key} = {value} de Postfix no se hereda: una máquina sin dominio en una dirección se queda como \
     está escrita",
);
const FILTER: Text = Text::new(
    "Postfix's {key} = {value} is not taken over: contents are not filtered here",
    "{key} = {value} de Postfix no se hereda: aquí no se filtra el contenido",
);
const SEVERAL: Text = Text::new(
    "Postfix's {key} = {value} names several relays: the first is taken over",
    "{key} = {value} de Postfix nombra varios relays: se hereda el primero",
);
const EXCEPT: Text = Text::new(
    "Postfix's {key} = {value} leaves some out, so it is not taken over: write those that are to \
     send through this server into trusted_networks",
    "{key} = {value} de Postfix excluye algunas, así que no se hereda: escriba en \
     trusted_networks las que deban enviar por este servidor",
);
const COPIES: Text = Text::new(
    "Postfix's {key} = {value} is not taken over: no copies are made here",
    "{key} = {value} de Postfix no se hereda: aquí no se hacen copias",
);
const SUBMISSION: Text = Text::new(
    "Postfix's master.cf takes mail from users at the service {service}: if they are to send \
     through this server, set listen.submission or listen.submissions",
    "master.cf de Postfix acepta correo de los usuarios en el servicio {service}: si van a enviar \
     por este servidor, ponga listen.submission o listen.submissions",
);
const SIZE: Text = Text::new(
    "Postfix's {key} = {value} is not taken over: messages have a limit here, 50 MiB unless \
     limits.message_size says another",
    "{key} = {value} de Postfix no se hereda: aquí los mensajes tienen un límite, 50 MiB si \
     limits.message_size no dice otro",
);
const CERTIFICATE: Text = Text::new(
    "Postfix's certificate is not taken over: {error}",
    "El certificado de Postfix no se hereda: {error}",
);
const DOMAINS: Text = Text::new(
    "Postfix's {key} names {value}, which is not taken over: write the domains that it lists into \
     `domains`",
    "{key} de Postfix nombra {value}, que no se hereda: escriba en `domains` los dominios que \
     contiene",
);

/// What is taken over, or read for it.
const READ: [&str; 36] = [
    "myhostname",
    "mydomain",
    "myorigin",
    "mydestination",
    "relayhost",
    "mynetworks",
    "mynetworks_style",
    "smtp_sasl_auth_enable",
    "smtp_sasl_password_maps",
    "smtp_tls_security_level",
    "smtp_tls_wrappermode",
    "smtp_use_tls",
    "smtp_enforce_tls",
    "smtp_tls_CAfile",
    "smtp_tls_CApath",
    "smtpd_tls_cert_file",
    "smtpd_tls_key_file",
    "message_size_limit",
    "home_mailbox",
    "alias_maps",
    "alias_database",
    "inet_interfaces",
    "inet_protocols",
    "smtp_bind_address",
    "smtp_bind_address6",
    "recipient_delimiter",
    "append_dot_mydomain",
    "append_at_myorigin",
    "sender_canonical_maps",
    "sender_canonical_classes",
    "canonical_maps",
    "canonical_classes",
    "smtp_generic_maps",
    "masquerade_domains",
    "masquerade_classes",
    "masquerade_exceptions",
];

/// What is about Postfix's own folders, files and manners, or is done here without a word
/// by whatever is written there.
const OF_ITS_OWN: [&str; 40] = [
    "biff",
    "bounce_queue_lifetime",
    "command_directory",
    "compatibility_level",
    "daemon_directory",
    "data_directory",
    "debug_peer_level",
    "debug_peer_list",
    "debugger_command",
    "default_process_limit",
    "disable_vrfy_command",
    "html_directory",
    "mail_name",
    "mail_owner",
    "mailbox_size_limit",
    "maillog_file",
    "mailq_path",
    "manpage_directory",
    "meta_directory",
    "multi_instance_enable",
    "multi_instance_name",
    "multi_instance_wrapper",
    "newaliases_path",
    "queue_directory",
    "readme_directory",
    "sample_directory",
    "sendmail_path",
    "setgid_group",
    "shlib_directory",
    "smtp_sasl_mechanism_filter",
    "smtp_sasl_security_options",
    "smtp_sasl_tls_security_options",
    "smtp_tls_loglevel",
    "smtp_tls_note_starttls_offer",
    "smtp_tls_session_cache_database",
    "smtpd_banner",
    "smtpd_relay_restrictions",
    "smtputf8_enable",
    "strict_rfc821_envelopes",
    "unknown_local_recipient_reject_code",
];

/// The bounds that a message can have with us.
const MESSAGE_SIZES: std::ops::RangeInclusive<u64> = 1024..=1 << 40;

/// Reads Postfix's configuration, if there is one.
pub(super) fn read(root: &Root) -> Option<Inherited> {
    let mut found = Inherited::of("Postfix");
    if !root.has("/etc/postfix/main.cf") {
        return None;
    }
    found.service = Some(POSTFIX);
    let text = text_of(root, "/etc/postfix/main.cf", &mut found).unwrap_or_default();
    let machine = root.read("/etc/hostname").ok().flatten().unwrap_or_default();
    let main = Parameters::parse(&text, machine.trim());
    found.hostname_of("Postfix", "myhostname", main.get("myhostname").as_deref());
    for (key, value) in main.commented() {
        found.left.push(left(key, value, COMMENT));
    }
    domains(&main, &mut found);
    senders::read(root, &main, &mut found);
    if let Some(relayhosts) = main.get("relayhost") {
        relay(root, &main, &relayhosts, &mut found);
    }
    tls(root, &main, &mut found);
    // Before level 2 the machine's own networks are its clients.
    let level = main.get("compatibility_level").unwrap_or_default();
    let is_old = level.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0) < 2;
    let old = (is_old && !is_for_this_machine(&main)).then(|| "subnet".to_owned());
    let style = main.get("mynetworks_style").or(old).filter(|style| style != "host");
    if let Some(networks) = main.get("mynetworks") {
        if items(&networks).any(|item| item.starts_with('!')) {
            // Without what it leaves out, the rest would let more in than it says.
            found.left.push(left("mynetworks", &networks, EXCEPT));
        } else {
            add_networks("mynetworks", items(&networks), &mut found);
        }
    } else if let Some(style) = style {
        found.left.push(left("mynetworks_style", &style, STYLE));
    }
    limits_and_mailboxes(&main, &mut found);
    addresses(&main, &mut found);
    services(root, &mut found);
    for (key, advice) in NOT_TAKEN {
        // Debian's own file names the first of these with what is everybody's default.
        if let Some(value) = main.get(key).filter(|value| value != "smtp") {
            found.left.push(left(key, &value, *advice));
        }
    }
    name_others(main.unread(), &mut found);
    Some(found)
}

// Several are tried one after the other.
fn relay(root: &Root, main: &Parameters, written: &str, found: &mut Inherited) {
    let mut hops = items(written);
    let Some(first) = hops.next() else { return };
    if hops.next().is_some() {
        found.left.push(left("relayhost", written, SEVERAL));
    }
    let hop = match first.parse::<std::net::IpAddr>() {
        Ok(_) => format!("[{first}]"),
        Err(_) => first.to_owned(),
    };
    next_hop("relayhost", &hop, main.says_yes("smtp_tls_wrappermode"), found);
    login(root, main, first, found);
}

fn left(key: &str, value: &str, advice: Text) -> Said {
    Said::with(advice, &[("key", key), ("value", value)])
}

fn domains(main: &Parameters, found: &mut Inherited) {
    // Postfix's own default, where nothing is set.
    let unset = !main.has("mydestination");
    let destinations = if unset { main.get("myhostname") } else { main.get("mydestination") };
    let destinations = destinations.unwrap_or_default();
    for item in items(&destinations) {
        if item.contains(['/', ':', '=', '!', '#', '$']) {
            found.left.push(left("mydestination", item, DOMAINS));
        } else if let Some(domain) = local_domain(item)
            && !found.domains.contains(&domain)
        {
            found.domains.push(domain);
        }
    }
    found.nothing_local = !unset && found.domains.is_empty();
    for key in ["append_dot_mydomain", "append_at_myorigin"] {
        // The one is no by default, the other yes.
        let odd = if key == "append_dot_mydomain" { "yes" } else { "no" };
        if let Some(value) = main.get(key).filter(|value| value.eq_ignore_ascii_case(odd)) {
            found.left.push(left(key, &value, DOTS));
        }
    }
}

fn login(root: &Root, main: &Parameters, relayhost: &str, found: &mut Inherited) {
    let Some(maps) = main.get("smtp_sasl_password_maps") else { return };
    if !main.says_yes("smtp_sasl_auth_enable") {
        return;
    }
    let host = relayhost.trim_start_matches('[');
    let host = host.split([']', ':']).next().unwrap_or(host).to_owned();
    for map in items(&maps) {
        let rows = match tables::read(root, map, found) {
            Table::Rows(rows) => rows,
            Table::All(value) => vec![(relayhost.to_owned(), value)],
            Table::Patterns(_) | Table::Unknown => continue,
        };
        let row = |wanted: &str| {
            let row = rows.iter().find(|(key, _)| key.eq_ignore_ascii_case(wanted));
            row.and_then(|(_, value)| credentials(value))
        };
        let value = row(relayhost).or_else(|| row(&host)).or_else(|| row(&format!("[{host}]")));
        found.login = found.login.take().or(value);
    }
    if found.login.is_none() {
        found.left.push(Said::with(NO_PASSWORD, &[("relayhost", relayhost), ("maps", &maps)]));
    }
}

fn credentials(value: &str) -> Option<Credentials> {
    let (user, password) = value.split_once(':')?;
    let filled = !user.is_empty() && !password.is_empty();
    filled.then(|| Credentials { user: user.to_owned(), password: password.to_owned() })
}

fn tls(root: &Root, main: &Parameters, found: &mut Inherited) {
    match main.get("smtp_tls_security_level").as_deref() {
        Some("verify" | "secure") => found.tls_required = true,
        Some("encrypt") => found.left.push(Said::with(ENCRYPT, &[])),
        Some(level @ ("fingerprint" | "dane-only" | "dane")) => {
            found.left.push(left("smtp_tls_security_level", level, VERIFIED_BY));
        }
        _ if main.says_yes("smtp_enforce_tls") => found.left.push(Said::with(ENCRYPT, &[])),
        _ => {}
    }
    for key in ["smtp_tls_CAfile", "smtp_tls_CApath"] {
        authorities(main.get(key).as_deref(), found);
    }
    let (Some(certificate), Some(key)) =
        (main.get("smtpd_tls_cert_file"), main.get("smtpd_tls_key_file"))
    else {
        return;
    };
    let there = TlsFiles { certificate: root.at(&certificate), key: root.at(&key) };
    if !there.certificate.is_file() && !there.key.is_file() {
        return;
    }
    // With files that it cannot use the daemon would not start.
    match ServerTls::load(Some(&there)) {
        Ok(_) => {
            found.certificate = Some(TlsFiles { certificate: certificate.into(), key: key.into() });
        }
        Err(error) => {
            found.left.push(Said::of_parts(CERTIFICATE, &[("error", &error.said())]));
        }
    }
}

fn limits_and_mailboxes(main: &Parameters, found: &mut Inherited) {
    // Postfix: 0 is no limit.
    if let Some(written) = main.get("message_size_limit") {
        let size = written.parse().ok();
        found.message_size = size.filter(|size| MESSAGE_SIZES.contains(size));
        if found.message_size.is_none() {
            found.left.push(left("message_size_limit", &written, SIZE));
        }
    }
    if main.get("home_mailbox").is_some_and(|value| value.ends_with('/')) {
        found.mailbox = Some(Mailbox::Maildir);
    }
    if let Some(delimiter) = main.get("recipient_delimiter").filter(|set| set != "+") {
        found.left.push(left("recipient_delimiter", &delimiter, DELIMITER));
    }
    let Some(maps) = main.get("alias_maps") else { return };
    for map in items(&maps) {
        match tables::source(map) {
            Some(path) if found.aliases.is_none() => found.aliases = Some(PathBuf::from(path)),
            _ => found.left.push(left("alias_maps", map, ALIASES)),
        }
    }
}

fn is_for_this_machine(main: &Parameters) -> bool {
    let Some(list) = main.get("inet_interfaces") else { return false };
    matches!(&*list, "loopback-only" | "localhost")
        || interfaces(&list).is_some_and(|all| all.iter().all(|one| one.ip().is_loopback()))
}

fn addresses(main: &Parameters, found: &mut Inherited) {
    if is_for_this_machine(main) {
        found.listen = Some(super::loopback());
    } else if let Some(addresses) = main.get("inet_interfaces").as_deref().and_then(interfaces) {
        found.listen = Some(addresses);
    } else if main.get("inet_protocols").as_deref() == Some("ipv4") {
        found.listen = Some(vec![(std::net::Ipv4Addr::UNSPECIFIED, 25).into()]);
    }
    let address = |key| main.get(key).and_then(|value| value.trim_matches(['[', ']']).parse().ok());
    found.bind_ipv4 = match address("smtp_bind_address") {
        Some(std::net::IpAddr::V4(address)) if !address.is_unspecified() => Some(address),
        _ => None,
    };
    found.bind_ipv6 = match address("smtp_bind_address6") {
        Some(std::net::IpAddr::V6(address)) if !address.is_unspecified() => Some(address),
        _ => None,
    };
}

// What listens besides port 25, when its line is not a comment.
fn services(root: &Root, found: &mut Inherited) {
    let text = text_of(root, "/etc/postfix/master.cf", found).unwrap_or_default();
    let lines = logical_lines(&text);
    let names = lines.iter().filter_map(|line| {
        let mut fields = line.split_whitespace();
        let (name, kind) = (fields.next()?, fields.next()?);
        let port = name.rsplit(':').next()?;
        let known = matches!(port, "submission" | "submissions" | "smtps" | "587" | "465");
        (kind == "inet" && known).then_some(name)
    });
    let names = names.collect::<Vec<_>>().join(", ");
    if !names.is_empty() {
        found.left.push(Said::with(SUBMISSION, &[("service", &names)]));
    }
}

// Addresses alone: what is behind a name or `all` may be another tomorrow.
fn interfaces(list: &str) -> Option<Vec<std::net::SocketAddr>> {
    let address = |item: &str| {
        let address: std::net::IpAddr = item.trim_matches(['[', ']']).parse().ok()?;
        Some(std::net::SocketAddr::new(address, 25))
    };
    items(list).map(address).collect()
}
