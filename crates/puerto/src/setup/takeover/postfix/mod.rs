//! Postfix: `main.cf`, and the tables that it names.

mod parameters;
mod senders;
mod tables;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use puerto_smtp::Domain;

use super::{Credentials, Inherited, RELAYED, SEVERAL, local_domain};
use crate::config::{Mailbox, TlsFiles};
use crate::lang::{Said, Text, said, said_of};
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
const VERIFIED_BY: Text = not_taken!(
    "where TLS is demanded, certificates are verified here by the relay's name and the system's \
     authorities. If the relay's certificate is valid, set delivery.tls = \"required\"",
    "donde se exige TLS, los certificados se verifican aquí por el nombre del relay y las \
     autoridades del sistema. Si el certificado del relay es válido, ponga delivery.tls = \"required\""
);
const STYLE: Text = Text::new(
    "Postfix lets every machine of its own networks send through it ({key} = {value}), which is not \
     taken over: write those networks into trusted_networks",
    "Postfix deja que toda máquina de sus propias redes envíe a través de él ({key} = {value}), lo \
     que no se hereda: escriba esas redes en trusted_networks",
);
const DELIMITER: Text = not_taken!(
    "user+tag is the only form that is delivered to user here",
    "usuario+etiqueta es aquí la única forma que se entrega a usuario"
);
const ALIASES: Text = not_taken!(
    "write its local names into the aliases file",
    "escriba sus nombres locales en el fichero de alias"
);
const VIRTUAL: Text = not_taken!(
    "write its addresses into `map` of [virtual], or into a file for `virtual.file`",
    "escriba sus direcciones en `map` de [virtual] o en un fichero para `virtual.file`"
);
const VIRTUAL_DOMAINS: Text = not_taken!(
    "write the domains that it lists into `virtual.domains`",
    "escriba en `virtual.domains` los dominios que contiene"
);
const COMMENT: Text = Text::new(
    "Postfix's {key} = {value}: what stands behind # is part of the value there, not a comment; see \
     what is meant",
    "{key} = {value} de Postfix: lo que va tras # forma allí parte del valor, no es un comentario; \
     vea qué se quiere decir",
);
const DOTS: Text = not_taken!(
    "a host without a domain in an address stays as it is written",
    "una máquina sin dominio en una dirección se queda como está escrita"
);
const SIZE: Text = not_taken!(
    "messages have a limit here, 50 MiB unless limits.message_size says another",
    "aquí los mensajes tienen un límite, 50 MiB si limits.message_size no dice otro"
);
const DOMAINS: Text = Text::new(
    "Postfix's {key} names {value}, which is not taken over: write the domains that it lists into \
     `domains`",
    "{key} de Postfix nombra {value}, que no se hereda: escriba en `domains` los dominios que \
     contiene",
);

/// Parameters that have no counterpart or are too free to be translated by a machine,
/// with what to do instead.
const NOT_TAKEN: &[(&str, Text)] = &[
    (
        "transport_maps sender_dependent_relayhost_maps sender_dependent_default_transport_maps \
         default_transport smtp_tls_policy_maps",
        not_taken!(
            "write a [[route]] for each of its lines",
            "escriba una [[route]] por cada línea"
        ),
    ),
    ("relay_domains", RELAYED),
    (
        "virtual_mailbox_domains mailbox_transport virtual_transport mailbox_command",
        not_taken!(
            "where another program keeps the mailboxes, set local.mailbox = \"lmtp:ADDRESS\"",
            "si otro programa guarda los buzones, ponga local.mailbox = \"lmtp:DIRECCIÓN\""
        ),
    ),
    (
        "recipient_canonical_maps",
        not_taken!(
            "recipients stay as they are written; where one is another, write it into the aliases file",
            "los destinatarios se quedan como están escritos; si alguno es otro, escríbalo en el \
             fichero de alias"
        ),
    ),
    (
        "local_header_rewrite_clients remote_header_rewrite_domain",
        not_taken!(
            "here, senders are completed and mapped in the mail of this machine's programs, of \
             users who log in and of trusted_networks, unless another host has signed it, and in \
             nobody else's",
            "aquí los remitentes se completan y traducen en el correo de los programas de esta \
             máquina, de los usuarios que se identifican y de trusted_networks, salvo que otra \
             máquina lo haya firmado, y en el de nadie más"
        ),
    ),
    (
        "multi_instance_directories",
        Text::new(
            "Postfix runs several instances here ({key} = {value}), and only that of /etc/postfix \
             is taken over: see what the others do",
            "Aquí hay varias instancias de Postfix ({key} = {value}) y solo se hereda la de \
             /etc/postfix: vea qué hacen las demás",
        ),
    ),
    (
        "header_checks body_checks content_filter",
        not_taken!("contents are not filtered here", "aquí no se filtra el contenido"),
    ),
    (
        "always_bcc sender_bcc_maps recipient_bcc_maps",
        not_taken!("no copies are made here", "aquí no se hacen copias"),
    ),
];

/// What is taken over, or read for it.
const READ: &str = "myhostname mydomain myorigin mydestination relayhost mynetworks \
    fallback_relay smtp_fallback_relay \
    mynetworks_style smtp_sasl_auth_enable smtp_sasl_password_maps smtp_tls_security_level \
    smtp_tls_wrappermode smtp_use_tls smtp_enforce_tls smtp_tls_CAfile smtp_tls_CApath \
    smtpd_tls_cert_file smtpd_tls_key_file message_size_limit home_mailbox alias_maps \
    alias_database inet_interfaces inet_protocols smtp_bind_address smtp_bind_address6 \
    recipient_delimiter append_dot_mydomain append_at_myorigin sender_canonical_maps \
    sender_canonical_classes canonical_maps canonical_classes smtp_generic_maps \
    masquerade_domains masquerade_classes masquerade_exceptions virtual_alias_maps \
    virtual_alias_domains";

/// What is about Postfix's own folders, files and manners, or is done here without a word
/// by whatever is written there.
const OF_ITS_OWN: &str = "biff bounce_queue_lifetime command_directory compatibility_level \
    daemon_directory data_directory debug_peer_level debug_peer_list debugger_command \
    default_process_limit disable_vrfy_command html_directory mail_name mail_owner \
    mailbox_size_limit maillog_file mailq_path manpage_directory meta_directory \
    multi_instance_enable multi_instance_name multi_instance_wrapper newaliases_path \
    queue_directory readme_directory sample_directory sendmail_path setgid_group \
    shlib_directory smtp_sasl_mechanism_filter smtp_sasl_security_options \
    smtp_sasl_tls_security_options smtp_tls_loglevel smtp_tls_note_starttls_offer \
    smtp_tls_session_cache_database smtpd_banner smtpd_relay_restrictions smtputf8_enable \
    strict_rfc821_envelopes unknown_local_recipient_reject_code";

/// The bounds that a message can have with us.
const MESSAGE_SIZES: std::ops::RangeInclusive<u64> = 1024..=1 << 40;

/// Reads Postfix's configuration, if there is one.
pub(super) fn read(root: &Root) -> Option<Inherited> {
    let (mut found, text) = Inherited::of("Postfix", root, "/etc/postfix/main.cf")?;
    found.service = Some(POSTFIX);
    let machine = root.read("/etc/hostname").ok().flatten().unwrap_or_default();
    let main = Parameters::parse(&text, machine.trim());
    found.hostname_of("myhostname", main.get("myhostname").as_deref());
    for (key, value) in main.commented() {
        found.note(COMMENT, key, value);
    }
    domains(&main, &mut found);
    senders::read(root, &main, &mut found);
    if let Some(relayhosts) = main.get("relayhost") {
        relay(root, &main, &relayhosts, &mut found);
    }
    // The newer name holds where both are written.
    for key in ["fallback_relay", "smtp_fallback_relay"] {
        if let Some(relays) = main.get(key) {
            rescue(root, &main, (key, &relays), &mut found);
        }
    }
    tls(root, &main, &mut found);
    // Before level 2 the machine's own networks are its clients.
    let level = main.get("compatibility_level").unwrap_or_default();
    let is_old = level.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0) < 2;
    let old = (is_old && !is_for_this_machine(&main)).then(|| "subnet".to_owned());
    let style = main.get("mynetworks_style").or(old).filter(|style| style != "host");
    if let Some(networks) = main.get("mynetworks") {
        found.add_networks(root, "mynetworks", items(&networks));
    } else if let Some(style) = style {
        found.note(STYLE, "mynetworks_style", &style);
    }
    limits_and_mailboxes(&main, &mut found);
    other_addresses(root, &main, &mut found);
    addresses(&main, &mut found);
    services(root, &mut found);
    for (keys, advice) in NOT_TAKEN {
        for key in keys.split(' ') {
            // Debian's own file names the first of these with what is everybody's default.
            if let Some(value) = main.get(key).filter(|value| value != "smtp") {
                found.note(*advice, key, &value);
            }
        }
    }
    found.name_others(main.unread().into_iter(), "");
    Some(found)
}

fn relay(root: &Root, main: &Parameters, written: &str, found: &mut Inherited) {
    let Some(first) = first_of("relayhost", written, found) else { return };
    found.relay("relayhost", &in_brackets(first), main.says_yes("smtp_tls_wrappermode"));
    found.login = login(root, main, (first, NO_LOGIN), found);
}

// What is tried where the direct way fails; Postfix asks it behind a relayhost, too.
fn rescue(root: &Root, main: &Parameters, (key, written): (&str, &str), found: &mut Inherited) {
    if found.relayhost.is_some() {
        return found.note(FALLBACK_OF_RELAY, key, written);
    }
    let Some(first) = first_of(key, written, found) else { return };
    let is_implicit = main.says_yes("smtp_tls_wrappermode");
    let Some(hop) = found.next_hop(key, &in_brackets(first), is_implicit) else { return };
    found.note(FALLBACK, key, written);
    let login = login(root, main, (first, NO_RESCUE_LOGIN), found);
    found.rescue = Some((hop, login));
}

// Several are tried one after the other.
fn first_of<'a>(key: &str, written: &'a str, found: &mut Inherited) -> Option<&'a str> {
    let mut hops = items(written);
    let first = hops.next()?;
    if hops.next().is_some() {
        found.note(SEVERAL, key, written);
    }
    Some(first)
}

fn in_brackets(hop: &str) -> String {
    if hop.parse::<IpAddr>().is_ok() { format!("[{hop}]") } else { hop.to_owned() }
}

fn domains(main: &Parameters, found: &mut Inherited) {
    // Postfix's own default, where nothing is set.
    let unset = !main.has("mydestination");
    let destinations = if unset { main.get("myhostname") } else { main.get("mydestination") };
    let destinations = destinations.unwrap_or_default();
    for item in items(&destinations) {
        match item.contains(['/', ':', '=', '!', '#', '$']) {
            true => found.note(DOMAINS, "mydestination", item),
            false => found.add_domain(local_domain(item)),
        }
    }
    found.nothing_local = !unset && found.domains.is_empty();
    // The one is no by default, the other yes.
    for (key, odd) in [("append_dot_mydomain", "yes"), ("append_at_myorigin", "no")] {
        if let Some(value) = main.get(key).filter(|value| value.eq_ignore_ascii_case(odd)) {
            found.note(DOTS, key, &value);
        }
    }
}

fn login(
    root: &Root,
    main: &Parameters,
    (relayhost, without): (&str, Text),
    found: &mut Inherited,
) -> Option<Credentials> {
    let maps = main.get("smtp_sasl_password_maps")?;
    if !main.says_yes("smtp_sasl_auth_enable") {
        return None;
    }
    let mut login = None;
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
        login = login.or(value);
    }
    if login.is_none() {
        found.left.push(Said::with(without, &[("relay", relayhost), ("maps", &maps)]));
    }
    login
}

const NO_LOGIN: Text = Text::new(
    "no user and password for {relay} were found in {maps}: write them into relayhost_user and \
     relayhost_password_file",
    "no se han encontrado usuario y contraseña para {relay} en {maps}: escríbalos en \
     relayhost_user y relayhost_password_file",
);
const NO_RESCUE_LOGIN: Text = Text::new(
    "no user and password for {relay} were found in {maps}: if it wants some, write them into \
     `user` and `password_file` below [rescue]",
    "no se han encontrado usuario y contraseña para {relay} en {maps}: si los pide, escríbalos en \
     `user` y `password_file` bajo [rescue]",
);
const FALLBACK: Text = Text::new(
    "{program}'s {key} = {value} is taken over as [rescue]. It gets what receivers refuse for this \
     server's address, and everything while port 25 is closed; not what waits for another reason, \
     such as greylisting, which {program} sends there. TLS is demanded there, unless rescue.tls \
     says less",
    "{key} = {value} de {program} se hereda como [rescue]. Recibe lo que los receptores rechazan \
     por la dirección de este servidor, y todo mientras el puerto 25 esté cerrado; no lo que espera \
     por otra razón, como el greylisting, que {program} envía ahí. Se le exige TLS, salvo que \
     rescue.tls diga menos",
);
const FALLBACK_OF_RELAY: Text = not_taken!(
    "mail for a relayhost waits for it, and nothing else is tried",
    "el correo para un relayhost espera por él y no se intenta otra cosa"
);

fn credentials(value: &str) -> Option<Credentials> {
    let (user, password) = value.split_once(':')?;
    let filled = !user.is_empty() && !password.is_empty();
    filled.then(|| Credentials::of(user, password))
}

fn tls(root: &Root, main: &Parameters, found: &mut Inherited) {
    match main.get("smtp_tls_security_level").as_deref() {
        Some("verify" | "secure") => found.tls_required = true,
        Some(level @ ("fingerprint" | "dane-only" | "dane")) => {
            found.note(VERIFIED_BY, "smtp_tls_security_level", level);
        }
        level if level == Some("encrypt") || main.says_yes("smtp_enforce_tls") => {
            found.note(ENCRYPT, "", "");
        }
        _ => {}
    }
    for key in ["smtp_tls_CAfile", "smtp_tls_CApath"] {
        found.authorities(main.get(key).as_deref());
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
        Err(error) => found.left.push(said_of!(
            "Postfix's certificate is not taken over: {error}",
            "El certificado de Postfix no se hereda: {error}"; error = error.said()
        )),
    }
}

fn limits_and_mailboxes(main: &Parameters, found: &mut Inherited) {
    // Postfix: 0 is no limit.
    if let Some(written) = main.get("message_size_limit") {
        let size = written.parse().ok();
        found.message_size = size.filter(|size| MESSAGE_SIZES.contains(size));
        if found.message_size.is_none() {
            found.note(SIZE, "message_size_limit", &written);
        }
    }
    if main.get("home_mailbox").is_some_and(|value| value.ends_with('/')) {
        found.mailbox = Some(Mailbox::Maildir);
    }
    if let Some(delimiter) = main.get("recipient_delimiter").filter(|set| set != "+") {
        found.note(DELIMITER, "recipient_delimiter", &delimiter);
    }
    let Some(maps) = main.get("alias_maps") else { return };
    for map in items(&maps) {
        match tables::source(map) {
            Some(path) if found.aliases.is_none() => found.aliases = Some(PathBuf::from(path)),
            _ => found.note(ALIASES, "alias_maps", map),
        }
    }
}

// A file of such a table is read as it is; the domains that it names itself are its own.
fn other_addresses(root: &Root, main: &Parameters, found: &mut Inherited) {
    let maps = main.get("virtual_alias_maps").unwrap_or_default();
    for map in items(&maps) {
        match tables::source(map).filter(|path| root.has(path)) {
            Some(path) if found.virtual_file.is_none() => {
                found.virtual_file = Some(PathBuf::from(path));
            }
            _ => found.note(VIRTUAL, "virtual_alias_maps", map),
        }
    }
    let domains = main.get("virtual_alias_domains").unwrap_or_default();
    // Where it names the same table, its domains are in there.
    for item in items(&domains).filter(|item| !items(&maps).any(|map| map == *item)) {
        match Domain::parse(item) {
            Ok(domain) if !item.contains(['/', ':', '$']) => found.virtual_domains.push(domain),
            _ => found.note(VIRTUAL_DOMAINS, "virtual_alias_domains", item),
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
        found.listen = Some(vec![(Ipv4Addr::UNSPECIFIED, 25).into()]);
    }
    for key in ["smtp_bind_address", "smtp_bind_address6"] {
        let address = main.get(key).and_then(|value| value.trim_matches(['[', ']']).parse().ok());
        match address.filter(|address: &IpAddr| !address.is_unspecified()) {
            Some(IpAddr::V4(address)) if key == "smtp_bind_address" => {
                found.bind_ipv4 = Some(address);
            }
            Some(IpAddr::V6(address)) if key != "smtp_bind_address" => {
                found.bind_ipv6 = Some(address);
            }
            _ => {}
        }
    }
}

// What listens besides port 25, when its line is not a comment.
fn services(root: &Root, found: &mut Inherited) {
    let text = found.text_of(root, "/etc/postfix/master.cf").unwrap_or_default();
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
        found.left.push(said!(
            "Postfix's master.cf takes mail from users at the service {service}: if they are to \
             send through this server, set listen.submission or listen.submissions",
            "master.cf de Postfix acepta correo de los usuarios en el servicio {service}: si van a \
             enviar por este servidor, ponga listen.submission o listen.submissions";
            service = names
        ));
    }
}

// Addresses alone: what is behind a name or `all` may be another tomorrow.
fn interfaces(list: &str) -> Option<Vec<SocketAddr>> {
    let address = |item: &str| item.trim_matches(['[', ']']).parse().ok();
    items(list).map(|item| Some(SocketAddr::new(address(item)?, 25))).collect()
}
