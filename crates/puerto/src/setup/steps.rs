//! What is still to do when the files are written: commands for the machine, words
//! for the hosting company, and what to look at next.

use std::path::Path;

use super::Site;
use super::hands::Step;
use super::names;
use super::others::Service;
use super::root::Root;
use super::service::{SOCKET, UNIT, has_package};
use super::takeover::Inherited;
use crate::config::Config;
use crate::lang::{Said, said, shell_word};
use crate::receive::SUBMIT_SOCKET;
use crate::survey::address::is_public;

/// Where the manual pages of programs go that are no package.
pub(super) const MANUAL_FOLDER: &str = "/usr/local/share/man/man1";

/// How things stand when the files are written.
pub(super) struct Situation<'a> {
    pub(super) site: Site<'a>,
    pub(super) config: &'a Config,
    pub(super) programs: &'a [Inherited],
    /// Everything is in the DNS.
    pub(super) published: bool,
    /// The files that were written now.
    pub(super) written: Vec<&'a Path>,
}

impl Situation<'_> {
    /// What is still to do.
    pub(super) fn steps(&self) -> Vec<Step> {
        let Site { wishes, root, .. } = self.site;
        let (domain, program) = (&wishes.domain, &wishes.program);
        let own = Config::command(&wishes.config_file);
        let mut todo = Vec::new();
        todo.extend(install(root, program));
        todo.extend(self.user());
        self.stop_others(&mut todo);
        todo.extend(names(root, program));
        let packaged = has_package(root, program);
        if !packaged && !root.has(Path::new(MANUAL_FOLDER).join("puerto.1")) {
            let command = format!("{} man {MANUAL_FOLDER}", shell_word(program));
            let what = said!("Install the manual pages:", "Instale las páginas del manual:");
            todo.push(Step::new(what, [command]).proposed(said!(
                "Install the manual pages now?",
                "¿Instalar ahora las páginas del manual?"
            )));
        }
        if !self.published {
            let what = said!(
                "Publish the DNS records above in the panel of whoever manages {domain}. To see \
                 them again, merged with what exists:",
                "Publique los registros DNS de arriba en el panel de quien gestiona {domain}. Para \
                 volver a verlos, combinados con los que ya existen:";
                domain = domain
            );
            todo.push(Step::new(what, [format!("{own} dns {domain}")]));
        }
        todo.extend(self.pointers());
        todo.extend(self.service(&own));
        let what = said!(
            "When the records answer, check everything as the receivers do:",
            "Cuando los registros respondan, compruébelo todo como lo hacen los receptores:"
        );
        todo.push(Step::new(what, [format!("{own} check {domain}")]));
        todo
    }

    fn has_systemd(&self) -> bool {
        !self.site.root.is_machine() || self.site.root.has("/run/systemd/system")
    }

    fn user(&self) -> Option<Step> {
        let Config { user, dkim_directory, state_dir, .. } = self.config;
        let systemd = self.has_systemd();
        let known = self.site.root.read("/etc/passwd").ok().flatten().unwrap_or_default();
        if user.is_empty() || known.lines().any(|line| line.starts_with(&format!("{user}:"))) {
            return None;
        }
        let what = said!(
            "Make the user and the folders that the service works with:",
            "Cree el usuario y las carpetas con los que trabaja el servicio:"
        );
        let mut commands: Vec<String> = match systemd {
            true => ["systemd-sysusers puerto.conf", "systemd-tmpfiles --create puerto.conf"]
                .map(str::to_owned)
                .into(),
            false => vec![
                format!(
                    "useradd --system --home-dir {} --shell /usr/sbin/nologin {user}",
                    state_dir.display()
                ),
                format!("chgrp -R {user} {}", dkim_directory.display()),
            ],
        };
        let logins = self.config.relays().filter_map(|relay| relay.login).filter(|_| !systemd);
        commands
            .extend(logins.map(|login| format!("chgrp {user} {}", login.password_file.display())));
        let question = said!(
            "Make the user and the folders of the service now?",
            "¿Crear ahora el usuario y las carpetas del servicio?"
        );
        Some(Step::new(what, commands).proposed(question).first(true))
    }

    /// Other programs that do this one's work now, or hold its ports.
    fn stop_others(&self, todo: &mut Vec<Step>) {
        let Site { root, world, .. } = self.site;
        // What runs here says nothing of a machine that a folder stands for.
        let running = if root.is_machine() { world.running() } else { Vec::new() };
        for (name, service) in self.programs.iter().filter_map(|p| Some((p.program, p.service?))) {
            let waiting = service.waiting(root);
            if waiting > 0 && service.is_installed(root) {
                let what = said!(
                    "Messages that wait in {program}'s queue: {count}. Only {program} can send them; \
                     to look at them, and to have it try now:",
                    "Mensajes que esperan en la cola de {program}: {count}. Solo {program} puede \
                     enviarlos; para verlos y para que lo intente ahora:";
                    program = name, count = waiting
                );
                todo.push(Step::new(what, service.queue_commands));
            } else if waiting > 0 {
                todo.push(Step::new(stranded(name, service, waiting), [""; 0]));
            }
            if !service.at_work(root, &running) {
                continue;
            }
            let command = match self.has_systemd() {
                true => format!("systemctl disable --now {}", service.unit),
                false => format!("service {} stop", service.unit),
            };
            let question = match waiting {
                0 => said!("Stop {program} now?", "¿Parar {program} ahora?"; program = name),
                _ => said!(
                    "Stop {program} now? Messages that wait in its queue stay there: {count}",
                    "¿Parar {program} ahora? Los mensajes que esperan en su cola se quedan ahí: {count}";
                    program = name, count = waiting
                ),
            };
            let what = said!(
                "Stop {program}, whose work this server does from now on:",
                "Pare {program}, cuyo trabajo hace este servidor a partir de ahora:"; program = name
            );
            todo.push(Step::new(what, [command]).offered(question).first(service.listens()));
        }
        for (port, holder) in self.strangers() {
            let what = said!(
                "Stop {program}, which listens on port {port}: this server cannot start while it does. \
                 It is:",
                "Pare {program}, que escucha en el puerto {port}: este servidor no puede arrancar \
                 mientras lo haga. Es:";
                program = holder, port = port
            );
            todo.push(Step::new(what, [format!("ss -ltnp 'sport = :{port}'")]).first(true));
        }
    }

    /// Programs that hold our ports and are none of those that are known, with the ports.
    fn strangers(&self) -> Vec<(String, String)> {
        if !self.site.root.is_machine() || self.runs() {
            return Vec::new();
        }
        let known = |path: &Path| {
            // systemd holds the ports of the service that it is to start.
            path.ends_with("systemd")
                || self
                    .programs
                    .iter()
                    .any(|p| p.service.is_some_and(|service| service.is_daemon(path)))
        };
        let mut out = Vec::new();
        for address in self.config.listen.all() {
            let holder = self.site.world.holders(*address).into_iter().find(|path| !known(path));
            out.extend(holder.map(|path| (address.port().to_string(), path.display().to_string())));
        }
        // At both address families most often.
        out.dedup();
        out
    }

    /// For each address that others see, the reverse name that it lacks.
    fn pointers(&self) -> impl Iterator<Item = Step> {
        let (config, survey) = (self.config, self.site.survey);
        // Behind a relayhost nobody sees them.
        let seen = survey.egress.iter().filter(|_| config.relayhost.is_none());
        let seen = seen.filter(|egress| is_public(egress.address));
        let right = |names: &Vec<String>| names.contains(&config.hostname);
        let unnamed = seen.filter(move |egress| !egress.names.as_ref().is_ok_and(right));
        unnamed.map(|egress| {
            let what = said!(
                "Ask the hosting company of {address} to set its reverse DNS (PTR) to {hostname}, and \
                 see that {hostname} has the address {address}",
                "Pida al proveedor de {address} que ponga su DNS inverso (PTR) a {hostname}, y \
                 compruebe que {hostname} tiene la dirección {address}";
                address = egress.address, hostname = config.hostname
            );
            Step::new(what, [""; 0])
        })
    }

    /// Whether the daemon answers: its socket outlives one that was killed.
    fn runs(&self) -> bool {
        let root = self.site.root;
        let socket = root.at(self.config.run_dir.join("control"));
        root.is_machine() && std::os::unix::net::UnixStream::connect(socket).is_ok()
    }

    /// What the service needs: to be started, or to take up what was written.
    fn service(&self, own: &str) -> Option<Step> {
        let (systemd, written) = (self.has_systemd(), &self.written);
        if !self.runs() {
            let what = said!("Start the service:", "Arranque el servicio:");
            if !systemd {
                // Nobody here would start it again, so it is left to whoever does.
                return Some(Step::new(what, [format!("{own} serve")]));
            }
            // A unit that holds the addresses it had goes on doing so until it is stopped.
            let is_held = written.contains(&Path::new(SOCKET))
                && self.site.root.has(self.config.run_dir.join(SUBMIT_SOCKET));
            let stop = is_held.then_some("systemctl stop puerto.socket puerto.service");
            let commands = ["systemctl daemon-reload"].into_iter().chain(stop);
            let commands = commands.chain(["systemctl enable --now puerto"]);
            let question = said!(
                "Start the service now, and each time the machine starts?",
                "¿Arrancar el servicio ahora y cada vez que arranque la máquina?"
            );
            return Some(Step::new(what, commands).proposed(question).last());
        }
        let units = [UNIT, SOCKET].map(Path::new);
        let commands: &[&str] = match systemd {
            _ if written.is_empty() => return None,
            true if written.iter().any(|path| units.contains(path)) => &[
                "systemctl daemon-reload",
                "systemctl enable puerto",
                "systemctl stop puerto.socket puerto.service",
                "systemctl start puerto",
            ],
            true => &["systemctl reload puerto"],
            false => &["pkill -HUP -x puerto"],
        };
        let what = said!(
            "The service runs; let it read its configuration and keys again:",
            "El servicio está en marcha; haga que vuelva a leer su configuración y sus claves:"
        );
        let question = said!(
            "Let the running service take up what was written?",
            "¿Hacer que el servicio en marcha tome lo que se ha escrito?"
        );
        Some(Step::new(what, commands.iter().copied()).proposed(question).last())
    }
}

/// The package of ours, or somebody, has removed another mail server before its mail was gone.
fn stranded(program: &str, service: Service, waiting: usize) -> Said {
    said!(
        "Messages that wait in {program}'s queue, below {folder}: {count}. {program} is not \
         installed any more, and only it can send them: install it again, let it send them, then \
         install this server again",
        "Mensajes que esperan en la cola de {program}, bajo {folder}: {count}. {program} ya no está \
         instalado y solo él puede enviarlos: vuelva a instalarlo, deje que los envíe y después \
         vuelva a instalar este servidor";
        program = program, count = waiting, folder = service.queue_folder()
    )
}

/// The command that puts the program that runs where others look for it; none if one is there.
pub fn install_command(root: &Root, program: &Path) -> Option<String> {
    let running = std::env::current_exe().unwrap_or_else(|_| "puerto".into());
    let command = || format!("install -m 755 {} {}", shell_word(&running), shell_word(program));
    (!root.has(program)).then(command)
}

fn install(root: &Root, program: &Path) -> Option<Step> {
    let command = install_command(root, program)?;
    let what = said!(
        "Put the program where the service looks for it:",
        "Ponga el programa donde el servicio lo busca:"
    );
    let question = said!("Install the program now?", "¿Instalar el programa ahora?");
    Some(Step::new(what, [command]).proposed(question).first(true))
}

fn names(root: &Root, program: &Path) -> impl Iterator<Item = Step> {
    let taken = names::take(root, program);
    let take = (!taken.is_empty()).then(|| {
        let what = said!(
            "`sendmail` and its like belong to another program; so that programs send through \
             this server:",
            "`sendmail` y sus compañeros son de otro programa; para que los programas envíen por \
             este servidor:"
        );
        Step::new(what, taken).offered(said!(
            "Let `sendmail` lead to this server now? The other program's is kept beside it",
            "¿Hacer ahora que `sendmail` lleve a este servidor? El del otro programa se guarda al \
             lado"
        ))
    });
    // Another mail server and this one's package cannot be there together.
    let packaged = has_package(root, program);
    let kept = if packaged { Vec::new() } else { names::keep(root, program) };
    let keep = (!kept.is_empty()).then(|| {
        let what = said!(
            "Keep the names `sendmail`, `mailq` and `newaliases` for this server when a package \
             that is installed later brings a mail server along:",
            "Reserve los nombres `sendmail`, `mailq` y `newaliases` para este servidor cuando un \
             paquete que se instale después traiga consigo un servidor de correo:"
        );
        let question = said!("Keep these names now?", "¿Reservar ahora estos nombres?");
        Step::new(what, kept).proposed(question)
    });
    take.into_iter().chain(keep)
}
