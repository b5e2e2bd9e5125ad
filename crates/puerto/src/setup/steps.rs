//! What is still to do when the files are written: commands for the machine, words
//! for the hosting company, and what to look at next.

use std::path::Path;

use puerto_smtp::Domain;

use super::files::{destination, link_of};
use super::report::Step;
use super::root::Root;
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

/// What is still to do.
pub(super) fn steps(
    domain: &str,
    config: &Config,
    place: (&Root, &Path, &Path),
    (survey, published): (&Survey, bool),
    programs: &[Inherited],
) -> Vec<Step> {
    let (root, program, config_file) = place;
    let mut steps = Vec::new();
    let mut add = |text: Text, values: &[(&'static str, &str)], commands: Vec<String>| {
        steps.push(Step { what: Said::with(text, values), commands });
    };
    let own = if config_file == Path::new(crate::config::DEFAULT_FILE) {
        "puerto".to_owned()
    } else {
        format!("puerto --config {}", config_file.display())
    };
    if !root.has(program) {
        let running = std::env::current_exe().unwrap_or_else(|_| "puerto".into());
        let command = format!("install -m 755 {} {}", running.display(), program.display());
        add(INSTALL, &[], vec![command]);
    }
    let systemd = !root.is_machine() || root.has("/run/systemd/system");
    let user = root.read("/etc/passwd").ok().flatten().unwrap_or_default();
    if !user.lines().any(|line| line.starts_with(&format!("{}:", config.user))) {
        add(USER, &[], make_user(config, systemd));
    }
    let running = root.is_machine() && root.at(config.run_dir.join("control")).exists();
    for other in programs {
        if let Some(service) = other.service.filter(|service| enabled(root, service)) {
            let command = if systemd {
                format!("systemctl disable --now {service}")
            } else {
                format!("service {service} stop")
            };
            add(STOP, &[("program", other.program)], vec![command]);
        }
    }
    let names = COMMANDS.iter().filter_map(|path| take_name(root, Path::new(path), program));
    let commands: Vec<String> = names.flatten().collect();
    if !commands.is_empty() {
        add(SENDMAIL, &[], commands);
    }
    if !published {
        add(PUBLISH, &[("domain", domain)], vec![format!("{own} dns {domain}")]);
    }
    if config.relayhost.is_none() {
        for egress in survey.egress.iter().filter(|egress| !is_private(egress.address)) {
            let right = |names: &Vec<String>| names.contains(&config.hostname);
            if !egress.names.as_ref().is_ok_and(right) {
                let address = egress.address.to_string();
                add(POINTER, &[("address", &address), ("hostname", &config.hostname)], Vec::new());
            }
        }
    }
    let (text, commands) = match (running, systemd) {
        (true, true) => (RELOAD, vec!["systemctl reload puerto".to_owned()]),
        (true, false) => (RELOAD, vec!["pkill -HUP -x puerto".to_owned()]),
        (false, true) => {
            let commands = ["systemctl daemon-reload", "systemctl enable --now puerto"];
            (START, commands.map(str::to_owned).to_vec())
        }
        (false, false) => (START, vec![format!("{own} serve")]),
    };
    add(text, &[], commands);
    add(CHECK, &[], vec![format!("{own} check {domain}")]);
    steps
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
    // /usr/lib/sendmail is most often a link to the other.
    let follows = path == Path::new("/usr/lib/sendmail") && link_of(root, path).is_some();
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
