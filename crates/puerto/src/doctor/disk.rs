//! The disk below the queue: whether it is there, lasts, can be written, and has room.

use rustix::fs::statvfs;

use super::{Section, word};
use crate::config::Config;
use crate::finding::{Finding, kinds};
use crate::lang::{Text, octets, said};
use crate::survey::mounts::{self, Mount};

const MOVE: (&str, &str) = (
    "stop the server, move {folder} to a disk, name it as `state_dir`, start again",
    "pare el servidor, lleve {folder} a un disco, indíquelo en `state_dir` y arranque de nuevo",
);

kinds! {
    NOT_MOUNTED = "disk.not-mounted" Error:
        "/etc/fstab has {point} mounted below it, and it is not: the queue may be there",
        "según /etc/fstab, {point} debe estar montado y no lo está: la cola puede estar ahí",
        "mount {point}", "mount {point}";
    IN_MEMORY = "disk.memory" Error:
        "{folder} is in memory ({kind}): mail that waits is lost when the machine is switched off",
        "{folder} está en memoria ({kind}): el correo en espera se pierde al apagar la máquina",
        "", "";
    IN_LAYER = "disk.layer" Warning:
        "{folder} is in a container's own layer ({kind}): mail that waits goes with the container",
        "{folder} está en la capa propia de un contenedor ({kind}): el correo en espera se va con él",
        "", "";
    ON_NETWORK = "disk.network" Warning:
        "{folder} is on the network ({kind}): what was acknowledged is as safe as that server's \
         word, and mail stops while it does",
        "{folder} está en la red ({kind}): lo aceptado está tan seguro como la palabra de ese \
         servidor, y el correo se para cuando se para él",
        "", "";
    READ_ONLY = "disk.read-only" Error:
        "nothing can be written at {point}, where the queue is",
        "no se puede escribir en {point}, donde está la cola",
        "mount -o remount,rw {point}", "mount -o remount,rw {point}";
    FULL = "disk.full" Error:
        "{free} are free, so no new mail is taken: the queue leaves {reserve} of its disk alone",
        "quedan {free}, así que no se acepta correo nuevo: la cola respeta {reserve} de su disco",
        "make room at {point}: `du -xh {point} | sort -h | tail` shows what is large",
        "haga sitio en {point}: `du -xh {point} | sort -h | tail` muestra lo que ocupa mucho";
    NEARLY_FULL = "disk.nearly-full" Warning:
        "{free} are free; below {reserve} no new mail is taken",
        "quedan {free}; por debajo de {reserve} no se acepta correo nuevo",
        "make room at {point}: `du -xh {point} | sort -h | tail` shows what is large",
        "haga sitio en {point}: `du -xh {point} | sort -h | tail` muestra lo que ocupa mucho";
    FEW_INODES = "disk.inodes" Warning:
        "only {count} more files can be made there, and a large message is a file",
        "solo caben {count} ficheros más, y un mensaje grande es un fichero",
        "find what has many small files: du -x --inodes {point} | sort -n | tail",
        "busque qué tiene muchos ficheros pequeños: du -x --inodes {point} | sort -n | tail";
}

/// Kinds of file systems that end with the machine's power.
const MEMORY: [&str; 2] = ["tmpfs", "ramfs"];
/// Those that end with a container.
const LAYERS: [&str; 3] = ["overlay", "aufs", "fuse.fuse-overlayfs"];
/// Those that another machine keeps.
const NETWORKS: [&str; 11] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "9p",
    "ceph",
    "fuse.ceph",
    "fuse.sshfs",
    "fuse.glusterfs",
    "afs",
];
/// Files that a busy server may make before anybody looks again.
const FEW: u64 = 1000;

pub(super) fn look(config: &Config, reserve: u64) -> Section {
    let mut section = Section::new("disk", Text::new("disk of the queue", "disco de la cola"));
    if config.store.url.is_some() {
        section.seen = said!("the database's", "el de la base de datos");
    }
    let folder = &config.state_dir;
    if let Some(point) = mounts::missing(folder) {
        section.findings.push(NOT_MOUNTED.put("point", word(point.display())));
        return section;
    }
    let Some(mount) = mounts::of(folder) else { return section };
    section.findings.extend(
        kind(config, &mount)
            .into_iter()
            .chain(mount.is_read_only.then(|| READ_ONLY.put("point", word(mount.point.display())))),
    );
    if let Ok(room) = statvfs(&mount.point) {
        let block = room.f_frsize.max(1);
        let room = Room {
            free: room.f_bavail.saturating_mul(block),
            all: room.f_blocks.saturating_mul(block),
            files: (room.f_files > 0).then_some(room.f_favail),
        };
        section.findings.extend(scarce(&mount, &room, reserve));
        if config.store.url.is_none() {
            section.seen = said!(
                "{free} of {all} free, {kind}", "libres {free} de {all}, {kind}";
                free = octets(room.free), all = octets(room.all), kind = mount.kind
            );
        }
    }
    section
}

/// What a disk has left.
pub(super) struct Room {
    pub(super) free: u64,
    pub(super) all: u64,
    /// Files that can still be made; `None` where they are not counted.
    pub(super) files: Option<u64>,
}

fn kind(config: &Config, mount: &Mount) -> Option<Finding> {
    let is = |kinds: &[&str]| kinds.contains(&mount.kind.as_str());
    // Where a database has the queue, what is kept here can be found again.
    let kind = match config.store.url {
        Some(_) => return None,
        None if is(&MEMORY) => IN_MEMORY,
        None if is(&LAYERS) => IN_LAYER,
        None if is(&NETWORKS) => ON_NETWORK,
        None => return None,
    };
    let remedy = Text::new(MOVE.0, MOVE.1).into();
    let finding = Finding { remedy, ..Finding::from(kind) };
    Some(finding.put("folder", config.state_dir.display()).put("kind", &mount.kind))
}

pub(super) fn scarce(mount: &Mount, room: &Room, reserve: u64) -> Vec<Finding> {
    let mut found = Vec::new();
    let size = match room.free {
        _ if mount.is_read_only => None,
        free if free < reserve => Some(FULL),
        free if free < reserve.saturating_mul(4) => Some(NEARLY_FULL),
        _ => None,
    };
    found.extend(
        size.map(|kind| kind.put("free", octets(room.free)).put("reserve", octets(reserve))),
    );
    if let Some(count) = room.files.filter(|count| *count < FEW) {
        found.push(FEW_INODES.put("count", count));
    }
    let put = |finding: Finding| finding.put("point", word(mount.point.display()));
    found.into_iter().map(put).collect()
}
