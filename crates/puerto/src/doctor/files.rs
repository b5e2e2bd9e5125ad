//! Who may change what the server lives from. Whether the server may read it, and others may
//! not, is looked at with the configuration, which names it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User, geteuid};

use super::{Machine, Section, word};
use crate::config::{Config, Inhabitant};
use crate::finding::{Finding, kinds};
use crate::lang::{Text, said};
use crate::rights::Place;

kinds! {
    NOT_ROOTS = "file.owner" Warning:
        "{subject} belongs to {owner}, who can change what the server does",
        "{subject} pertenece a {owner}, que puede cambiar lo que hace el servidor",
        "chown root {file}", "chown root {file}";
    WRITABLE = "file.writable" Warning:
        "others than its owner may change it (mode {mode})",
        "puede cambiarlo alguien más que su dueño (modo {mode})",
        "chmod go-w {file}", "chmod go-w {file}";
    ON_THE_WAY = "file.way" Warning:
        "{owner} can put another file in its place, by {folder}",
        "{owner} puede poner otro fichero en su lugar, por {folder}",
        "chown root {quoted} && chmod go-w {quoted}", "chown root {quoted} && chmod go-w {quoted}";
    FOLDER_OWNER = "folder.owner" Error:
        "it belongs to {owner}; the server, which works as {user}, cannot write there",
        "pertenece a {owner}; el servidor, que trabaja como {user}, no puede escribir ahí",
        "chown {user}: {file}", "chown {user}: {file}";
    FOLDER_OPEN = "folder.open" Warning:
        "others can look into the queue (mode {mode})",
        "otros pueden mirar en la cola (modo {mode})",
        "chmod 0700 {file}", "chmod 0700 {file}";
    LEFT_BY_ANOTHER = "queue.owner" Error:
        "{count} files in it do not belong to {user}, {example} among them: a command was run as \
         another user",
        "hay en ella {count} ficheros que no son de {user}, entre ellos {example}: se ejecutó una \
         orden como otro usuario",
        "chown -R {user}: {file}", "chown -R {user}: {file}";
}

/// Files of a queue that are looked at; beyond that those that were tell enough.
const AT_MOST: usize = 100_000;

pub(super) fn look(machine: &Machine<'_>) -> Section {
    let config = machine.config;
    let mut section = Section::new("files", Text::new("files and rights", "ficheros y permisos"));
    let found = &mut section.findings;
    for file in named(machine) {
        changeable(&file, found);
    }
    state(config, machine.is_root, found);
    section.seen = said!(
        "{file}, {state}", "{file}, {state}";
        file = machine.file.display(), state = config.state_dir.display()
    );
    section
}

/// What says how mail is handled.
fn named(machine: &Machine<'_>) -> Vec<PathBuf> {
    let config = machine.config;
    let lists = config.relay_recipients.iter().filter_map(|who| match who {
        Inhabitant::File(file) => Some(file),
        Inhabitant::Listed(_) => None,
    });
    let files = std::iter::once(&config.local.aliases).chain(&config.virtual_addresses.file);
    let all = files.chain(lists).map(PathBuf::as_path).chain([machine.file]);
    all.filter(|file| file.exists()).map(Path::to_owned).collect()
}

fn about(finding: Finding, path: &Path) -> Finding {
    let finding = finding.put("file", word(path.display())).put("subject", path.display());
    Finding { subject: Some(path.display().to_string()), ..finding }
}

fn mode(metadata: &Metadata) -> String {
    format!("{:04o}", metadata.mode() & 0o7777)
}

fn owner(uid: u32) -> String {
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    user.map_or_else(|| format!("uid {uid}"), |user| user.name)
}

/// Whether nobody but root, or whoever asks, can change a file.
fn changeable(path: &Path, found: &mut Vec<Finding>) {
    let Ok(metadata) = path.metadata() else { return };
    let is_ours = |uid: u32| uid == 0 || uid == geteuid().as_raw();
    if !is_ours(metadata.uid()) {
        found.push(about(NOT_ROOTS.put("owner", owner(metadata.uid())), path));
    }
    if metadata.mode() & 0o022 != 0 {
        found.push(about(WRITABLE.put("mode", mode(&metadata)), path));
    }
    if let Ok(place) = Place::of(path)
        && let Err(distrust) = place.is_safe()
    {
        let folder = distrust.path.display().to_string();
        let finding = match distrust.owner {
            Some(uid) => ON_THE_WAY.put("owner", owner(uid.as_raw())),
            None => {
                let seen = Text::new(
                    "anybody who may write in {folder} can put another file in its place",
                    "cualquiera que pueda escribir en {folder} puede poner otro fichero en su lugar",
                );
                Finding { seen: seen.into(), ..Finding::from(ON_THE_WAY) }
            }
        };
        found.push(about(finding.put("quoted", word(&folder)).put("folder", folder), path));
    }
}

/// The folder that the daemon alone writes, and what is in it.
fn state(config: &Config, is_root: bool, found: &mut Vec<Finding>) {
    let folder = &config.state_dir;
    let Ok(metadata) = folder.metadata() else { return };
    let named = User::from_name(&config.user).ok().flatten().filter(|_| !config.user.is_empty());
    // Where nobody else is named, whoever starts the daemon owns it.
    let Some(user) = named.filter(|_| is_root || metadata.uid() != geteuid().as_raw()) else {
        return;
    };
    let uid = user.uid.as_raw();
    let user = &user.name;
    let its = |finding: Finding| about(finding.put("user", user), folder);
    if metadata.uid() != uid {
        found.push(its(FOLDER_OWNER.put("owner", owner(metadata.uid()))));
    }
    if metadata.mode() & 0o077 != 0 {
        found.push(its(FOLDER_OPEN.put("mode", mode(&metadata))));
    }
    let (count, example) = foreign(folder, uid);
    if let Some(example) = example {
        let left = LEFT_BY_ANOTHER.put("count", count).put("example", example.display());
        found.push(its(left));
    }
}

// What lies below the folder and belongs to another user: how many, and one of them.
fn foreign(folder: &Path, uid: u32) -> (usize, Option<PathBuf>) {
    let (mut folders, mut seen) = (vec![folder.to_owned()], 0);
    let (mut count, mut example) = (0, None);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            seen += 1;
            if metadata.uid() != uid {
                count += 1;
                example.get_or_insert_with(|| entry.path());
            }
            if metadata.is_dir() {
                folders.push(entry.path());
            }
            if seen >= AT_MOST {
                return (count, example);
            }
        }
    }
    (count, example)
}
