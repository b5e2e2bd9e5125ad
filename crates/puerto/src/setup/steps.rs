//! What is still to do when the files are written: commands for the machine, words
//! for the hosting company, and what to look at next.

use std::path::{Path, PathBuf};

use puerto_smtp::Domain;

use super::files::{destination, link_of};
use super::hands::Offer;
use super::report::Step;
use super::root::Root;
use super::service::{SOCKET, UNIT};
use super::takeover::Inherited;
use super::world::Survey;
use crate::config::Config;
use crate::dnsplan::egress::is_private;
use crate::lang::{Said, Text};

/// The names by which programs call a mail server.
pub(super) const COMMANDS: [&str; 4] =
    ["/usr/sbin/sendmail", "/usr/lib/sendmail", "/usr/bin/mailq", "/usr/bin/newaliases"];

const INSTALL: Text = Text::new(
    "Put the program where the service looks for it:",
    "Ponga el programa donde el servicio lo busca:",
);
const USER: Text = Text::new(
    "Make the user and the folders that the service works with:",
    "Cree el usuario y las carpetas con los que trabaja el servicio:",
);
const STOP: Text = Text::new(
    "Stop {program}, whose work this server does from now on:",
    "Pare {program}, cuyo trabajo hace este servidor a partir de ahora:",
);
const START: Text = Text::new("Start the service:", "Arranque el servicio:");
const RELOAD: Text = Text::new(
    "The service runs; let it read its configuration and keys again:",
    "El servicio está en marcha; haga que vuelva a leer su configuración y sus claves:",
);
const SENDMAIL: Text = Text::new(
    "`sendmail` and its like belong to another program; so that programs send through this \
     server:",
    "`sendmail` y sus compañeros son de otro programa; para que los programas envíen por este \
     servidor:",
);
const PUBLISH: Text = Text::new(
    "Publish the DNS records above in the panel of whoever manages {domain}. To see them again, \
     merged with what exists:",
    "Publique los registros DNS de arriba en el panel de quien gestiona {domain}. Para volver a \
     verlos, combinados con los que ya existen:",
);
const POINTER: Text = Text::new(
    "Ask the hosting company of {address} to set its reverse DNS (PTR) to {hostname}, and see \
     that {hostname} has the address {address}",
    "Pida al proveedor de {address} que ponga su DNS inverso (PTR) a {hostname}, y compruebe \
     que {hostname} tiene la dirección {address}",
);
const CHECK: Text = Text::new(
    "When the records answer, check everything as the receivers do:",
    "Cuando los registros respondan, compruébelo todo como lo hacen los receptores:",
);

const INSTALL_NOW: Text = Text::new("Install the program now?", "¿Instalar el programa ahora?");
const USER_NOW: Text = Text::new(
    "Make the user and the folders of the service now?",
    "¿Crear ahora el usuario y las carpetas del servicio?",
);
const STOP_NOW: Text = Text::new(
    "Stop {program} now? Mail that waits in its queue stays there (`mailq` shows it first)",
    "¿Parar {program} ahora? El correo que espera en su cola se queda ahí (`mailq` lo muestra)",
);
const SENDMAIL_NOW: Text = Text::new(
    "Let `sendmail` lead to this server now? The other program's is kept beside it",
    "¿Hacer ahora que `sendmail` lleve a este servidor? El del otro programa se guarda al lado",
);
const START_NOW: Text = Text::new(
    "Start the service now, and each time the machine starts?",
    "¿Arrancar el servicio ahora y cada vez que arranque la máquina?",
);
const RELOAD_NOW: Text = Text::new(
    "Let the running service take up what was written?",
    "¿Hacer que el servicio en marcha tome lo que se ha escrito?",
);

/// How things stand when the files are written.
pub(super) struct Situation<'a> {
    pub(super) root: &'a Root,
    pub(super) program: &'a Path,
    pub(super) config_file: &'a Path,
    pub(super) survey: &'a Survey,
    /// Everything is in the DNS.
    pub(super) published: bool,
    /// The files that were written now.
    pub(super) written: Vec<&'a Path>,
}

/// What is still to do.
pub(super) fn steps(
    domain: &str,
    config: &Config,
    situation: &Situation<'_>,
    programs: &[Inherited],
) -> Vec<Step> {
    let &Situation { root, program, config_file, survey, published, .. } = situation;
    let mut steps = Vec::new();
    let mut add = |text: Text, values: &[(&'static str, &str)], commands: Vec<String>, offer| {
        steps.push(Step { what: Said::with(text, values), commands, done: false, offer });
    };
    let own = if config_file == Path::new(crate::config::DEFAULT_FILE) {
        "puerto".to_owned()
    } else {
        format!("puerto --config {}", config_file.display())
    };
    if !root.has(program) {
        let running = std::env::current_exe().unwrap_or_else(|_| "puerto".into());
        let (from, to) = (quoted(&running), quoted(program));
        add(INSTALL, &[], vec![format!("install -m 755 {from} {to}")], first(INSTALL_NOW));
    }
    let systemd = !root.is_machine() || root.has("/run/systemd/system");
    let user = root.read("/etc/passwd").ok().flatten().unwrap_or_default();
    if !user.lines().any(|line| line.starts_with(&format!("{}:", config.user))) {
        add(USER, &[], make_user(config, systemd), first(USER_NOW));
    }
    for other in programs {
        if let Some(service) = other.service.filter(|service| enabled(root, service)) {
            let command = if systemd {
                format!("systemctl disable --now {service}")
            } else {
                format!("service {service} stop")
            };
            let values = [("program", other.program)];
            add(STOP, &values, vec![command], unproposed(Said::with(STOP_NOW, &values), true));
        }
    }
    let names = COMMANDS.iter().filter_map(|path| take_name(root, Path::new(path), program));
    let commands: Vec<String> = names.flatten().collect();
    if !commands.is_empty() {
        add(SENDMAIL, &[], commands, unproposed(Said::with(SENDMAIL_NOW, &[]), false));
    }
    if !published {
        add(PUBLISH, &[("domain", domain)], vec![format!("{own} dns {domain}")], None);
    }
    for address in unnamed(config, survey) {
        add(POINTER, &[("address", &address), ("hostname", &config.hostname)], Vec::new(), None);
    }
    if let Some((text, commands, offer)) = service(config, situation, systemd, &own) {
        add(text, &[], commands, offer);
    }
    add(CHECK, &[], vec![format!("{own} check {domain}")], None);
    steps
}

/// The addresses that others see, without the PTR that they need.
fn unnamed(config: &Config, survey: &Survey) -> Vec<String> {
    // Behind a relayhost nobody sees them.
    let seen = survey.egress.iter().filter(|_| config.relayhost.is_none());
    let seen = seen.filter(|egress| !is_private(egress.address));
    let right = |names: &Vec<String>| names.contains(&config.hostname);
    let unnamed = seen.filter(|egress| !egress.names.as_ref().is_ok_and(right));
    unnamed.map(|egress| egress.address.to_string()).collect()
}

/// What the service needs: to be started, or to take up what was written.
fn service(
    config: &Config,
    situation: &Situation<'_>,
    systemd: bool,
    own: &str,
) -> Option<(Text, Vec<String>, Option<Offer>)> {
    let Situation { root, written, .. } = situation;
    let commands = |all: &[&str]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
    if !root.is_machine() || !root.at(config.run_dir.join("control")).exists() {
        let start = ["systemctl daemon-reload", "systemctl enable --now puerto"];
        return Some(match systemd {
            true => (START, commands(&start), last(START_NOW)),
            // Nobody here would start it again, so it is left to whoever does.
            false => (START, vec![format!("{own} serve")], None),
        });
    }
    let units = [UNIT, SOCKET].map(Path::new);
    let commands = match systemd {
        _ if written.is_empty() => return None,
        true if written.iter().any(|path| units.contains(path)) => commands(&[
            "systemctl daemon-reload",
            "systemctl enable puerto",
            "systemctl stop puerto.socket puerto.service",
            "systemctl start puerto",
        ]),
        true => commands(&["systemctl reload puerto"]),
        false => commands(&["pkill -HUP -x puerto"]),
    };
    Some((RELOAD, commands, last(RELOAD_NOW)))
}

fn first(question: Text) -> Option<Offer> {
    let question = Said::with(question, &[]);
    Some(Offer { question, proposed: true, first: true, last: false })
}

fn last(question: Text) -> Option<Offer> {
    let question = Said::with(question, &[]);
    Some(Offer { question, proposed: true, first: false, last: true })
}

fn unproposed(question: Said, first: bool) -> Option<Offer> {
    Some(Offer { question, proposed: false, first, last: false })
}

/// A path as the shell reads it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

fn make_user(config: &Config, systemd: bool) -> Vec<String> {
    if systemd {
        return vec![
            "systemd-sysusers puerto.conf".to_owned(),
            "systemd-tmpfiles --create puerto.conf".to_owned(),
        ];
    }
    let Config { user, dkim_directory, state_dir, .. } = config;
    let mut commands = vec![
        format!(
            "useradd --system --home-dir {} --shell /usr/sbin/nologin {user}",
            state_dir.display()
        ),
        format!("chgrp -R {user} {}", dkim_directory.display()),
    ];
    if let Some(login) = &config.relayhost_login {
        commands.push(format!("chgrp {user} {}", login.password_file.display()));
    }
    commands
}

/// Whether another service starts with the machine, as far as its unit tells. One
/// without a unit of its own is taken to.
fn enabled(root: &Root, service: &str) -> bool {
    let unit = format!("{service}.service");
    let own = ["/usr/lib/systemd/system", "/lib/systemd/system"];
    let has_unit = own.iter().any(|folder| root.has(Path::new(folder).join(&unit)));
    let link = Path::new("/etc/systemd/system/multi-user.target.wants").join(&unit);
    !has_unit || root.has(link)
}

/// How a name that belongs to another program becomes ours; none if it is ours.
fn take_name(root: &Root, path: &Path, program: &Path) -> Option<Vec<String>> {
    let end = destination(root, path);
    // Most often the others are links to the first, and go where it goes.
    let names = COMMANDS.map(PathBuf::from);
    let follows = link_of(root, path).is_some_and(|next| names.contains(&next));
    if !root.has(path) || end == program || follows {
        return None;
    }
    let (path, ours) = (path.display(), program.display());
    let alternative = link_of(root, Path::new(&path.to_string()))
        .filter(|link| link.starts_with("/etc/alternatives"))
        .and_then(|link| link.file_name().map(|name| name.to_string_lossy().into_owned()));
    if let Some(name) = alternative {
        return Some(vec![
            format!("update-alternatives --install {path} {name} {ours} 100"),
            format!("update-alternatives --set {name} {ours}"),
        ]);
    }
    let aside = if root.has("/usr/bin/dpkg-divert") {
        format!("dpkg-divert --local --rename --divert {path}.other --add {path}")
    } else {
        format!("mv {path} {path}.other")
    };
    Some(vec![aside, format!("ln -s {ours} {path}")])
}

/// Whether a domain is one that this server has mailboxes of.
pub(super) fn is_local(config: &Config, domain: &str) -> bool {
    let domain = Domain::parse(domain).ok();
    config.domains.iter().any(|known| Some(known) == domain.as_ref())
}
