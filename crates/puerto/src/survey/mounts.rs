//! What a folder lies on, and whether the disk that the queue lives on is there: below the
//! point where it is not mounted there is an empty folder, in which a second queue would
//! begin.

use std::path::{Path, PathBuf};

/// The mount point above a folder that the system is told to mount, and that is not.
pub fn missing(folder: &Path) -> Option<PathBuf> {
    let folder = std::fs::canonicalize(folder).ok()?;
    let wanted = std::fs::read_to_string("/etc/fstab").ok()?;
    let mounted = std::fs::read_to_string("/proc/self/mounts").ok()?;
    missing_of(&folder, &wanted, &mounted)
}

/// A file system that is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where.
    pub point: PathBuf,
    /// What kind: `ext4`, `tmpfs`, `nfs4`.
    pub kind: String,
    /// Nothing can be written on it.
    pub is_read_only: bool,
}

/// What the folder, or the nearest above it that is there, lies on.
pub fn of(folder: &Path) -> Option<Mount> {
    let folder = folder.ancestors().find_map(|folder| std::fs::canonicalize(folder).ok())?;
    of_folder(&folder, &std::fs::read_to_string("/proc/self/mounts").ok()?)
}

// What is mounted later over the same point, or higher up, hides what was there.
fn of_folder(folder: &Path, mounted: &str) -> Option<Mount> {
    let mounts = mounted.lines().filter_map(|line| {
        let point = point(line).filter(|point| folder.starts_with(point))?;
        let kind = line.split_whitespace().nth(2)?.to_owned();
        Some(Mount { point, kind, is_read_only: options(line).any(|option| option == "ro") })
    });
    mounts.max_by_key(|mount| mount.point.components().count())
}

fn missing_of(folder: &Path, wanted: &str, mounted: &str) -> Option<PathBuf> {
    let mounted: Vec<PathBuf> = mounted.lines().filter_map(point).collect();
    wanted
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .filter(|line| !options(line).any(|option| option == "noauto"))
        .filter_map(point)
        .filter(|point| folder.starts_with(point) && point.parent().is_some())
        .find(|point| !mounted.contains(point))
}

// Both files have the same fields: what, where, kind, options.
fn point(line: &str) -> Option<PathBuf> {
    let path = line.split_whitespace().nth(1)?;
    let path = [(r"\040", " "), (r"\011", "\t"), (r"\012", "\n"), (r"\134", r"\")]
        .into_iter()
        .fold(path.to_owned(), |path, (written, meant)| path.replace(written, meant));
    path.starts_with('/').then(|| PathBuf::from(path).components().collect())
}

fn options(line: &str) -> impl Iterator<Item = &str> {
    line.split_whitespace().nth(3).unwrap_or_default().split(',')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_lies_on_the_nearest_of_what_is_mounted_and_there_on_the_last() {
        let mounted = "/dev/vda1 / ext4 rw 0 0\ntmpfs /var tmpfs rw 0 0\n\
                       overlay /var overlay ro,relatime 0 0\nserver:/q /var/lib/pq nfs4 rw 0 0\n";
        let of = |folder| of_folder(Path::new(folder), mounted).map(|mount| mount.kind);
        assert_eq!(of("/var/lib/puerto").as_deref(), Some("overlay"));
        assert_eq!(of("/var/lib/pq/puerto").as_deref(), Some("nfs4"));
        assert_eq!(of("/srv").as_deref(), Some("ext4"));
        let var = of_folder(Path::new("/var"), mounted).unwrap();
        assert!(var.is_read_only && var.point == Path::new("/var"));
        assert_eq!(of_folder(Path::new("/srv"), ""), None);
    }

    #[test]
    fn a_disk_that_is_to_be_mounted_and_is_not_is_missing() {
        let fstab = "# comment /var/lib none\nUUID=1 / ext4 defaults 0 1\nUUID=2 none swap sw 0 0\n\
             UUID=3 /srv/mail\\040queue/ xfs defaults 0 2\n\
             UUID=4 /srv/seldom ext4 noauto,user 0 0\nUUID=5 /srv ext4 defaults 0 2";
        let root = "/dev/vda1 / ext4 rw 0 0\n/dev/vda5 /srv ext4 rw 0 0\n";
        let both = format!("{root}/dev/vdb /srv/mail\\040queue xfs rw 0 0\n");
        let of = |folder, mounted| missing_of(Path::new(folder), fstab, mounted);
        let queue = Some(PathBuf::from("/srv/mail queue"));
        assert_eq!(of("/srv/mail queue/puerto", root), queue);
        assert_eq!(of("/srv/mail queue", root), queue);
        assert_eq!(of("/srv/mail queue/puerto", &both), None);
        assert_eq!(of("/srv/seldom/puerto", root), None);
        assert_eq!(of("/srv/mail queues/puerto", root), None);
        assert_eq!(of("/var/lib/puerto", root), None);
        assert_eq!(of("/srv/x", "/dev/vda1 / ext4 rw 0 0"), Some(PathBuf::from("/srv")));
        assert_eq!(of("/var/lib/puerto", ""), None);
    }
}
