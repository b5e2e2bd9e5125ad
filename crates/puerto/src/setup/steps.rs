//! What is still to do when the files are written: commands for the machine, words
//! for the hosting company, and what to look at next.

use std::path::Path;

use puerto_smtp::Domain;

use super::hands::Offer;
use super::names;
use super::report::Step;
use super::root::Root;
use super::service::{SOCKET, UNIT};
use super::takeover::Inherited;
use super::world::{Survey, World};
use crate::config::Config;
use crate::lang::{Said, Text};
use crate::survey::address::is_public;

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
const QUEUED: Text = Text::new(
    "Messages that wait in {program}'s queue: {count}. Only {program} can send them; to look at \
     them, and to have it try now:",
    "Mensajes que esperan en la cola de {program}: {count}. Solo {program} puede enviarlos; para \
     verlos y para que lo intente ahora:",
);
const HELD: Text = Text::new(
    "Stop {program}, which listens on port {port}: this server cannot start while it does. It is:",
    "Pare {program}, que escucha en el puerto {port}: este servidor no puede arrancar mientras \
     lo haga. Es:",
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
const KEEP: Text = Text::new(
    "Keep the names `sendmail`, `mailq` and `newaliases` for this server when a package that is \
     installed later brings a mail server along:",
    "Reserve los nombres `sendmail`, `mailq` y `newaliases` para este servidor cuando un paquete \
     que se instale después traiga consigo un servidor de correo:",
);
const MANUAL: Text = Text::new("Install the manual pages:", "Instale las páginas del manual:");
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
const STOP_NOW: Text = Text::new("Stop {program} now?", "¿Parar {program} ahora?");
const STOP_WAITING: Text = Text::new(
    "Stop {program} now? Messages that wait in its queue stay there: {count}",
    "¿Parar {program} ahora? Los mensajes que esperan en su cola se quedan ahí: {count}",
);
const SENDMAIL_NOW: Text = Text::new(
    "Let `sendmail` lead to this server now? The other program's is kept beside it",
    "¿Hacer ahora que `sendmail` lleve a este servidor? El del otro programa se guarda al lado",
);
const KEEP_NOW: Text = Text::new("Keep these names now?", "¿Reservar ahora estos nombres?");
const MANUAL_NOW: Text =
    Text::new("Install the manual pages now?", "¿Instalar ahora las páginas del manual?");
const START_NOW: Text = Text::new(
    "Start the service now, and each time the machine starts?",
    "¿Arrancar el servicio ahora y cada vez que arranque la máquina?",
);
const RELOAD_NOW: Text = Text::new(
    "Let the running service take up what was written?",
    "¿Hacer que el servicio en marcha tome lo que se ha escrito?",
);

/// Where the manual pages of programs go that are no package.
pub(super) const MANUAL_FOLDER: &str = "/usr/local/share/man/man1";

/// How things stand when the files are written.
pub(super) struct Situation<'a> {
    pub(super) root: &'a Root,
    pub(super) world: &'a dyn World,
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
    let mut todo = Todo::default();
    let own = if config_file == Path::new(crate::config::DEFAULT_FILE) {
        "puerto".to_owned()
    } else {
        format!("puerto --config {}", quoted(config_file))
    };
    if !root.has(program) {
        let running = std::env::current_exe().unwrap_or_else(|_| "puerto".into());
        let (from, to) = (quoted(&running), quoted(program));
        todo.add(INSTALL, &[], vec![format!("install -m 755 {from} {to}")], first(INSTALL_NOW));
    }
    let systemd = !root.is_machine() || root.has("/run/systemd/system");
    let user = root.read("/etc/passwd").ok().flatten().unwrap_or_default();
    let has = |line: &str| line.starts_with(&format!("{}:", config.user));
    if !config.user.is_empty() && !user.lines().any(has) {
        todo.add(USER, &[], make_user(config, systemd), first(USER_NOW));
    }
    stop_others(config, situation, programs, systemd, &mut todo);
    let commands = names::take(root, program);
    if !commands.is_empty() {
        let question = Said::plain(SENDMAIL_NOW);
        todo.add(SENDMAIL, &[], commands, unproposed(question, false));
    }
    let commands = names::keep(root, program);
    if !commands.is_empty() {
        todo.add(KEEP, &[], commands, proposed(KEEP_NOW));
    }
    if !root.has(Path::new(MANUAL_FOLDER).join("puerto.1")) {
        let command = format!("{} man {MANUAL_FOLDER}", quoted(program));
        todo.add(MANUAL, &[], vec![command], proposed(MANUAL_NOW));
    }
    if !published {
        todo.add(PUBLISH, &[("domain", domain)], vec![format!("{own} dns {domain}")], None);
    }
    for address in unnamed(config, survey) {
        let values = [("address", address.as_str()), ("hostname", &config.hostname)];
        todo.add(POINTER, &values, Vec::new(), None);
    }
    if let Some((text, commands, offer)) = service(config, situation, systemd, &own) {
        todo.add(text, &[], commands, offer);
    }
    todo.add(CHECK, &[], vec![format!("{own} check {domain}")], None);
    todo.0
}

#[derive(Default)]
pub(super) struct Todo(pub(super) Vec<Step>);

impl Todo {
    pub(super) fn add(
        &mut self,
        text: Text,
        values: &[(&'static str, &str)],
        commands: Vec<String>,
        offer: Option<Offer>,
    ) {
        self.0.push(Step { what: Said::with(text, values), commands, done: false, offer });
    }
}

/// Other programs that do this one's work now, or hold its ports.
fn stop_others(
    config: &Config,
    situation: &Situation<'_>,
    programs: &[Inherited],
    systemd: bool,
    todo: &mut Todo,
) {
    let Situation { root, world, .. } = situation;
    // What runs here says nothing of a machine that a folder stands for.
    let running = if root.is_machine() { world.running() } else { Vec::new() };
    let services = programs.iter().filter_map(|p| Some((p.program, p.service?)));
    for (name, service) in services {
        let waiting = service.waiting(root);
        let count = waiting.to_string();
        let values = [("program", name), ("count", count.as_str())];
        if waiting > 0 && service.is_installed(root) {
            todo.add(QUEUED, &values, service.queue_commands().map(str::to_owned).into(), None);
        }
        if !service.at_work(root, &running) {
            continue;
        }
        let command = match systemd {
            true => format!("systemctl disable --now {}", service.unit),
            false => format!("service {} stop", service.unit),
        };
        let question = if waiting > 0 { STOP_WAITING } else { STOP_NOW };
        let offer = unproposed(Said::with(question, &values), service.listens());
        todo.add(STOP, &values, vec![command], offer);
    }
    for (port, holder) in strangers(config, situation, programs) {
        let command = format!("ss -ltnp 'sport = :{port}'");
        let offer = Offer { question: None, proposed: false, first: true, last: false };
        todo.add(HELD, &[("port", &port), ("program", &holder)], vec![command], Some(offer));
    }
}

/// The addresses that others see, without the PTR that they need.
fn unnamed(config: &Config, survey: &Survey) -> Vec<String> {
    // Behind a relayhost nobody sees them.
    let seen = survey.egress.iter().filter(|_| config.relayhost.is_none());
    let seen = seen.filter(|egress| is_public(egress.address));
    let right = |names: &Vec<String>| names.contains(&config.hostname);
    let unnamed = seen.filter(|egress| !egress.names.as_ref().is_ok_and(right));
    unnamed.map(|egress| egress.address.to_string()).collect()
}

/// Programs that hold our ports and are none of those that are known, with the ports.
fn strangers(
    config: &Config,
    situation: &Situation<'_>,
    programs: &[Inherited],
) -> Vec<(String, String)> {
    let Situation { root, world, .. } = situation;
    if !root.is_machine() || runs(root, config) {
        return Vec::new();
    }
    let listen = &config.listen;
    let addresses = listen.smtp.iter().chain(&listen.submission).chain(&listen.submissions);
    let known = |path: &Path| {
        // systemd holds the ports of the service that it is to start.
        path.ends_with("systemd")
            || programs.iter().any(|p| p.service.is_some_and(|service| service.is_daemon(path)))
    };
    let mut out = Vec::new();
    for address in addresses {
        let holder = world.holders(*address).into_iter().find(|path| !known(path));
        out.extend(holder.map(|path| (address.port().to_string(), path.display().to_string())));
    }
    // At both address families most often.
    out.dedup();
    out
}

/// Whether the daemon answers: its socket outlives one that was killed.
fn runs(root: &Root, config: &Config) -> bool {
    let socket = root.at(config.run_dir.join("control"));
    root.is_machine() && std::os::unix::net::UnixStream::connect(socket).is_ok()
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
    if !runs(root, config) {
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
    let question = Some(Said::plain(question));
    Some(Offer { question, proposed: true, first: true, last: false })
}

pub(super) fn proposed(question: Text) -> Option<Offer> {
    let question = Some(Said::plain(question));
    Some(Offer { question, proposed: true, first: false, last: false })
}

fn last(question: Text) -> Option<Offer> {
    let question = Some(Said::plain(question));
    Some(Offer { question, proposed: true, first: false, last: true })
}

pub(super) fn unproposed(question: Said, first: bool) -> Option<Offer> {
    Some(Offer { question: Some(question), proposed: false, first, last: false })
}

/// A path as the shell reads it.
pub(super) fn quoted(path: &Path) -> String {
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

/// Whether a domain is one that this server has mailboxes of.
pub(super) fn is_local(config: &Config, domain: &str) -> bool {
    let domain = Domain::parse(domain).ok();
    config.domains.iter().any(|known| Some(known) == domain.as_ref())
}
