//! Which files belong to a server: those that its configuration names, and what the daemon
//! remembers in its state directory. The queue is none of them: its files change at every
//! moment and are taken message by message.

use std::path::{Component, Path, PathBuf};

use crate::config::{Config, Inhabitant};

/// What in the state directory is not taken: the queue itself, what is still arriving, and
/// the journal of a copy that was broken off.
const NOT_TAKEN: [&str; 4] = ["spool", "drafts", "copy-to-segments", "copy-to-postgres"];
/// Files of one tree at most; no server comes near.
const AT_MOST: usize = 100_000;

/// Where the files of a server are.
#[derive(Debug)]
pub struct Places {
    files: Vec<PathBuf>,
    trees: Vec<PathBuf>,
    state: PathBuf,
}

impl Places {
    /// Those of a configuration, which is in `file`.
    pub fn of(config: &Config, file: &Path) -> Self {
        let mut files = vec![file.to_owned()];
        let lists = config.relay_recipients.iter().filter_map(|who| match who {
            Inhabitant::File(file) => Some(file),
            Inhabitant::Listed(_) => None,
        });
        let passwords = config.relays().filter_map(|relay| Some(&relay.login?.password_file));
        let named = [&config.accounts.file, &config.local.aliases].into_iter();
        files.extend(
            named
                .chain(&config.virtual_addresses.file)
                .chain(&config.srs.secret_file)
                .chain(&config.store.password_file)
                .chain(lists)
                .chain(passwords)
                .cloned(),
        );
        let tls = config.tls.iter().flat_map(|files| [&files.certificate, &files.key]);
        files.extend(tls.filter(|file| !is_link(file)).cloned());
        files.sort();
        files.dedup();
        let state = config.state_dir.clone();
        let providers = config.delivery.providers.clone();
        let trees = vec![config.dkim_directory.clone(), providers, state.clone()];
        Self { files, trees, state }
    }

    /// Whether a path is one of theirs.
    pub fn hold(&self, path: &Path) -> bool {
        let is_plain =
            path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
        let is_listed = self.files.iter().any(|file| file == path);
        let is_below = self.trees.iter().any(|tree| path.starts_with(tree) && path != tree);
        is_plain && path.is_absolute() && (is_listed || is_below && !self.is_queue(path))
    }

    /// Those that are there: regular files, no links.
    pub fn found(&self) -> Vec<PathBuf> {
        let is_file = |path: &PathBuf| path.symlink_metadata().is_ok_and(|found| found.is_file());
        // The aliases file and others may be reached through a link; the file is meant.
        let mut all: Vec<PathBuf> =
            self.files.iter().filter(|file| file.is_file()).cloned().collect();
        for tree in &self.trees {
            let mut folders = vec![tree.clone()];
            while let Some(folder) = folders.pop() {
                let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
                for path in entries.map(|entry| entry.path()).filter(|path| !self.is_queue(path)) {
                    match path.symlink_metadata() {
                        Ok(found) if found.is_dir() => folders.push(path),
                        Ok(_) if is_file(&path) && all.len() < AT_MOST => all.push(path),
                        _ => {}
                    }
                }
            }
        }
        all.sort();
        all.dedup();
        all
    }

    fn is_queue(&self, path: &Path) -> bool {
        let below = path.strip_prefix(&self.state).ok();
        let first = below.and_then(|below| below.components().next());
        first.is_some_and(|first| NOT_TAKEN.iter().any(|name| first.as_os_str() == *name))
    }
}

/// Files of the configuration that are links, as those of certbot: whoever keeps them brings
/// them back.
pub fn kept_by_others(config: &Config) -> Vec<PathBuf> {
    let tls = config.tls.iter().flat_map(|files| [&files.certificate, &files.key]);
    tls.filter(|file| is_link(file)).cloned().collect()
}

fn is_link(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| found.is_symlink())
}
