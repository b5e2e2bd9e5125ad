//! Everything that a setup did to a machine, undone: the service, the names, the files of
//! other programs' folders. What would be missed stays: the configuration, the keys and the
//! queue, of which it is only said how they are removed.

use std::path::Path;

use super::hands::{self, Step};
use super::others::{EXIM, EXIM_ELSEWHERE, POSTFIX};
use super::person::Person;
use super::root::Root;
use super::service::{SOCKET, SYSUSERS, TMPFILES, UNIT, has_package};
use super::steps::MANUAL_FOLDER;
use super::world::World;
use super::{certificate, names};
use crate::config::Config;
use crate::finding::Finding;
use crate::lang::said;

/// What was undone, what could not be and what is left to do.
#[derive(Debug)]
pub struct Undone {
    /// The steps; those that were done are marked.
    pub steps: Vec<Step>,
    /// The commands that failed.
    pub problems: Vec<Finding>,
}

/// Undoes. On the machine itself the commands are run, each after its question to the
/// person; with nobody to ask they are only told.
pub fn undo(
    config: &Config,
    (program, config_file): (&Path, &Path),
    root: &Root,
    world: &dyn World,
    person: Option<&mut dyn Person>,
) -> Undone {
    let mut steps = Vec::new();
    let packaged = has_package(root, program);
    if packaged || root.has(UNIT) || root.has(SOCKET) {
        let what = said!(
            "Stop the service. Mail that waits in its queue stays there:",
            "Pare el servicio. El correo que espera en su cola se queda ahí:"
        );
        let question = said!("Stop the service now?", "¿Parar ahora el servicio?");
        let stop = "systemctl disable --now puerto.socket puerto.service";
        steps.push(Step::new(what, [stop]).proposed(question));
    }
    let given_back = if packaged { Vec::new() } else { names::give_back(root, program) };
    if !given_back.is_empty() {
        let what = said!(
            "Give `sendmail`, `mailq` and `newaliases` back to whoever had them:",
            "Devuelva `sendmail`, `mailq` y `newaliases` a quien los tuviera:"
        );
        let question = said!("Give the names back now?", "¿Devolver ahora los nombres?");
        steps.push(Step::new(what, given_back).proposed(question));
    }
    steps.extend(files(root));
    steps.extend(others(root, world));
    let folder = config_file.parent().unwrap_or(config_file).display();
    // With programs' mail that no server has taken yet.
    let left = config.pickup.directory.as_ref().filter(|left| root.has(left));
    let left = left.map(|left| format!(" {}", left.display())).unwrap_or_default();
    let mut commands = vec![format!("rm -r {folder} {}{left}", config.state_dir.display())];
    if packaged {
        commands.push("apt-get purge puerto".to_owned());
    } else if !config.user.is_empty() {
        commands.push(format!("userdel {}", config.user));
    }
    let what = said!(
        "The configuration, the keys and the queue were kept, with all mail that has not left yet. \
         Once none of it is wanted any more:",
        "Se han conservado la configuración, las claves y la cola, con todo el correo que aún no \
         ha salido. Cuando nada de ello haga falta:"
    );
    steps.push(Step::new(what, commands));
    let problems = match person.filter(|_| root.is_machine()) {
        Some(person) => hands::carry_out(&mut steps, world, person),
        None => Vec::new(),
    };
    Undone { steps, problems }
}

fn files(root: &Root) -> Option<Step> {
    let manual = format!("{MANUAL_FOLDER}/puerto*.1");
    let mut files = vec![UNIT, SOCKET, SYSUSERS, TMPFILES, certificate::HOOK];
    files.retain(|path| root.has(path));
    if root.has(Path::new(MANUAL_FOLDER).join("puerto.1")) {
        files.push(&manual);
    }
    let mut commands = vec![format!("rm -f {}", files.join(" "))];
    if root.has("/run/systemd/system") {
        commands.push("systemctl daemon-reload".to_owned());
    }
    let what = said!(
        "Remove the files that are neither configuration nor mail:",
        "Borre los ficheros que no son ni configuración ni correo:"
    );
    let question = said!("Remove these files now?", "¿Borrar ahora estos ficheros?");
    (!files.is_empty()).then(|| Step::new(what, commands).proposed(question))
}

/// The mail servers that may have been stopped for ours.
fn others(root: &Root, world: &dyn World) -> Vec<Step> {
    let mut steps = Vec::new();
    for (name, service) in [("Postfix", POSTFIX), ("Exim", EXIM), ("Exim", EXIM_ELSEWHERE)] {
        let elsewhere = service.unit == EXIM_ELSEWHERE.unit && EXIM.is_installed(root);
        let running = if root.is_machine() { world.running() } else { Vec::new() };
        if service.is_installed(root) && !elsewhere && !service.at_work(root, &running) {
            let what = said!(
                "Start {program} again, if it is to send this machine's mail:",
                "Vuelva a arrancar {program}, si ha de enviar el correo de esta máquina:";
                program = name
            );
            let question =
                said!("Start {program} now?", "¿Arrancar {program} ahora?"; program = name);
            let command = format!("systemctl enable --now {}", service.unit);
            steps.push(Step::new(what, [command]).offered(question));
        }
    }
    steps
}
