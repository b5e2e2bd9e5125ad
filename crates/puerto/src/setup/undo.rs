//! Everything that a setup did to a machine, undone: the service, the names, the files of
//! other programs' folders. What would be missed stays: the configuration, the keys and the
//! queue, of which it is only said how they are removed.

use std::path::Path;

use super::hands;
use super::others::{EXIM, EXIM_ELSEWHERE, POSTFIX};
use super::person::Person;
use super::report::Step;
use super::root::Root;
use super::service::{SOCKET, SYSUSERS, TMPFILES, UNIT};
use super::steps::{MANUAL_FOLDER, Todo, proposed, unproposed};
use super::world::World;
use super::{certificate, names};
use crate::config::Config;
use crate::lang::{Said, Text};

const STOP: Text = Text::new(
    "Stop the service. Mail that waits in its queue stays there:",
    "Pare el servicio. El correo que espera en su cola se queda ahí:",
);
const STOP_NOW: Text = Text::new("Stop the service now?", "¿Parar ahora el servicio?");
const NAMES: Text = Text::new(
    "Give `sendmail`, `mailq` and `newaliases` back to whoever had them:",
    "Devuelva `sendmail`, `mailq` y `newaliases` a quien los tuviera:",
);
const NAMES_NOW: Text = Text::new("Give the names back now?", "¿Devolver ahora los nombres?");
const FILES: Text = Text::new(
    "Remove the files that are neither configuration nor mail:",
    "Borre los ficheros que no son ni configuración ni correo:",
);
const FILES_NOW: Text = Text::new("Remove these files now?", "¿Borrar ahora estos ficheros?");
const START: Text = Text::new(
    "Start {program} again, if it is to send this machine's mail:",
    "Vuelva a arrancar {program}, si ha de enviar el correo de esta máquina:",
);
const START_NOW: Text = Text::new("Start {program} now?", "¿Arrancar {program} ahora?");
const KEPT: Text = Text::new(
    "The configuration, the keys and the queue were kept, with all mail that has not left yet. Once \
     none of it is wanted any more:",
    "Se han conservado la configuración, las claves y la cola, con todo el correo que aún no ha \
     salido. Cuando nada de ello haga falta:",
);

/// What was undone, what could not be and what is left to do.
#[derive(Debug)]
pub struct Undone {
    /// The steps; those that were done are marked.
    pub steps: Vec<Step>,
    /// What failed.
    pub problems: Vec<Said>,
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
    let mut todo = Todo::default();
    let present = |path: &&&str| root.has(path);
    if root.has(UNIT) || root.has(SOCKET) {
        let stop = vec!["systemctl disable --now puerto.socket puerto.service".to_owned()];
        todo.add(STOP, &[], stop, proposed(STOP_NOW));
    }
    let given_back = names::give_back(root, program);
    if !given_back.is_empty() {
        todo.add(NAMES, &[], given_back, proposed(NAMES_NOW));
    }
    let files = [UNIT, SOCKET, SYSUSERS, TMPFILES, certificate::HOOK];
    let mut files: Vec<&str> = files.iter().filter(present).copied().collect();
    let manual = format!("{MANUAL_FOLDER}/puerto*.1");
    if root.has(Path::new(MANUAL_FOLDER).join("puerto.1")) {
        files.push(&manual);
    }
    if !files.is_empty() {
        let mut commands = vec![format!("rm -f {}", files.join(" "))];
        if root.has("/run/systemd/system") {
            commands.push("systemctl daemon-reload".to_owned());
        }
        todo.add(FILES, &[], commands, proposed(FILES_NOW));
    }
    for (name, service) in [("Postfix", POSTFIX), ("Exim", EXIM), ("Exim", EXIM_ELSEWHERE)] {
        let elsewhere = service.unit == EXIM_ELSEWHERE.unit && EXIM.is_installed(root);
        let idle = |running: Vec<_>| !service.at_work(root, &running);
        let running = if root.is_machine() { world.running() } else { Vec::new() };
        if service.is_installed(root) && !elsewhere && idle(running) {
            let command = format!("systemctl enable --now {}", service.unit);
            let question = Said::with(START_NOW, &[("program", name)]);
            todo.add(START, &[("program", name)], vec![command], unproposed(question, false));
        }
    }
    let folder = config_file.parent().unwrap_or(config_file).display();
    let mut commands = vec![format!("rm -r {folder} {}", config.state_dir.display())];
    if !config.user.is_empty() {
        commands.push(format!("userdel {}", config.user));
    }
    todo.add(KEPT, &[], commands, None);
    let mut steps = todo.0;
    let problems = match person.filter(|_| root.is_machine()) {
        Some(person) => hands::carry_out(&mut steps, world, person),
        None => Vec::new(),
    };
    Undone { steps, problems }
}
