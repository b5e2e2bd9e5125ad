//! Who listens where we should, and another mail server that is in the way or will be.

use std::path::Path;

use super::service::{Unit, restart_with_sockets};
use super::{Daemon, Machine, Section};
use crate::finding::{Finding, kinds};
use crate::lang::{Said, Text, said};
use crate::setup::{Root, Service, mail_servers, overlap};
use crate::survey::processes;

kinds! {
    TAKEN = "port.taken" Error:
        "{program} listens there, and the server cannot",
        "{program} escucha ahí, y el servidor no puede hacerlo",
        "stop that program, or give `[listen]` other addresses; then restart the server",
        "pare ese programa o ponga otras direcciones en `[listen]`; después reinicie el servidor";
    HELD = "port.held" Error:
        "a program listens there that this machine does not show (a container's, or another user's), \
         and the server cannot",
        "ahí escucha un programa que esta máquina no muestra (de un contenedor o de otro usuario), y el \
         servidor no puede hacerlo",
        "stop that program where it runs, or give `[listen]` other addresses; then restart the server",
        "pare ese programa donde se ejecute o ponga otras direcciones en `[listen]`; después reinicie \
         el servidor";
    SILENT = "port.silent" Error:
        "the server runs, and nothing listens there",
        "el servidor está en marcha y nadie escucha ahí",
        "{restart}", "{restart}";
    RIVAL = "port.rival" Warning:
        "{unit} is another mail server of this machine, runs or starts with it, and would take the \
         port",
        "{unit} es otro servidor de correo de esta máquina, en marcha o que arranca con ella, y \
         ocuparía el puerto",
        "", "";
}

pub(super) fn look(machine: &Machine<'_>, unit: Option<&Unit>) -> Section {
    let mut section = Section::new("ports", Text::new("ports", "puertos"));
    let listen = &machine.config.listen;
    let (root, restart) = (Root::new("/"), restart_with_sockets(machine.file, unit));
    let servers = mail_servers(&root);
    let mut ports: Vec<u16> = listen.all().map(std::net::SocketAddr::port).collect();
    ports.sort_unstable();
    ports.dedup();
    for &address in listen.all() {
        let port = address.port();
        let holders = processes::listening(address);
        let is_held = holders.iter().any(|program| is_ours(program, machine.program));
        let stranger = holders
            .iter()
            .find(|program| !is_ours(program, machine.program) && !processes::is_manager(program));
        let runs = matches!(machine.daemon, Daemon::Runs(_));
        let found = match (stranger, processes::is_listened_on(address)) {
            (Some(program), _) if !is_held => Some(taken(&root, &servers, program, &restart)),
            (_, false) if runs => Some(SILENT.put("restart", &restart)),
            // Root is shown every program, but those of others' process namespaces.
            (None, true) if !runs && machine.is_root && holders.is_empty() => Some(HELD.into()),
            _ => None,
        };
        let found = found.map(|finding| of_port(finding, port));
        section.findings.extend(found.filter(|one| !section.findings.contains(one)));
    }
    section.findings.extend(overlap(&root, machine.config));
    let running = processes::running();
    let told = section.findings.iter().any(|finding| finding.id == TAKEN.id);
    if let Some(rival) = servers.iter().find(|server| server.at_work(&root, &running))
        && listen.all().any(|address| address.port() == 25)
        && !told
    {
        let remedy = stop(&root, rival, &restart);
        section.findings.push(Finding { remedy, ..RIVAL.put("unit", rival.unit) });
    }
    let ports: Vec<_> = ports.iter().map(u16::to_string).collect();
    section.seen = match ports.as_slice() {
        [] => {
            said!("none; programs of this machine alone", "ninguno; solo programas de esta máquina")
        }
        ports => Said::words(ports.join(", ")),
    };
    section
}

fn of_port(finding: Finding, port: u16) -> Finding {
    Finding { subject: Some(format!("tcp/{port}")), ..finding }
}

fn is_ours(program: &Path, ours: &Path) -> bool {
    program == ours || program.file_name().is_some_and(|name| name == "puerto")
}

fn taken(root: &Root, servers: &[Service], program: &Path, restart: &str) -> Finding {
    let finding = TAKEN.put("program", program.display());
    match servers.iter().find(|server| server.is_daemon(program)) {
        Some(server) => Finding { remedy: stop(root, server, restart), ..finding },
        None => finding,
    }
}

// What waits there leaves only by that server: it is not stopped over that.
fn stop(root: &Root, server: &Service, restart: &str) -> Said {
    let command = format!("systemctl disable --now {} && {}", server.unit, restart);
    let [show, empty] = server.queue_commands;
    match server.waiting(root) {
        0 => Said::words(command),
        count => said!(
            "{count} messages wait in its queue, which nobody else sends: {empty}, until {show} shows \
             none; then: {command}",
            "hay {count} mensajes en su cola, que nadie más envía: {empty}, hasta que {show} no \
             muestre ninguno; después: {command}";
            count = count, empty = empty, show = show, command = command
        ),
    }
}
