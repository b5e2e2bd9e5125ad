//! The members of a backup and its manifest, written as they come and read twice: first all
//! of it is compared with the manifest, then it is used.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use nix::unistd::{Gid, Group, Uid, User};
use puerto_spool::parcel;
use serde::{Deserialize, Serialize};

use super::tar::{Member, padding, put_end, put_header, put_padding, take_header};
use super::{BackupError, Places};
use crate::config::Config;
use crate::lang::{Said, said, said_of};
use crate::rights;

/// The format that this program writes; it reads no later one.
const FORMAT: u32 = 1;
const MANIFEST: &str = "manifest.json";
const FILES: &str = "files";
const QUEUE: &str = "queue/";
const ENTRY: &str = ".entry";
const CONTENT: &str = ".eml";
/// Octets of a file of the machine at most; the largest are the history's, of 16 MiB.
const LARGEST_FILE: u64 = 256 << 20;
/// Octets of a manifest at most.
const LARGEST_MANIFEST: u64 = 64 << 20;
/// Octets of a message's entry at most.
const LARGEST_ENTRY: u64 = 64 << 20;
const PIECE: usize = 256 * 1024;

/// What a backup holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The format.
    pub format: u32,
    /// The program's version.
    pub version: String,
    /// When it was begun, as in RFC 3339.
    pub created: String,
    /// The server's name.
    pub hostname: String,
    /// The configuration's file.
    pub config: PathBuf,
    /// The files, in their order.
    pub files: Vec<FileEntry>,
    /// The folders that they are in.
    pub folders: Vec<Folder>,
    /// The mail that waited; `None`: a database has it.
    pub queue: Option<Queue>,
}

/// A file of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Where it was.
    pub path: PathBuf,
    /// Its octets.
    pub size: u64,
    /// Their SHA-256, in hexadecimal.
    pub sha256: String,
    /// Its permission bits.
    pub mode: u32,
    /// Its owner's name.
    pub owner: String,
    /// Its group's name.
    pub group: String,
}

/// A folder of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Folder {
    /// Where it was.
    pub path: PathBuf,
    /// Its permission bits.
    pub mode: u32,
    /// Its owner's name.
    pub owner: String,
    /// Its group's name.
    pub group: String,
}

/// The mail that waited.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// Messages.
    pub messages: u64,
    /// Octets of their content.
    pub octets: u64,
    /// The SHA-256 of all members, one behind the other, in hexadecimal.
    pub sha256: String,
    /// What is paused, held or sent another way, as the store keeps it.
    #[serde(default)]
    pub orders: Vec<String>,
}

fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn damaged(what: Said) -> BackupError {
    BackupError::Damaged(what)
}

/// The name of a user or group, or its number where it has none.
fn names(uid: u32, gid: u32) -> (String, String) {
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    let group = Group::from_gid(Gid::from_raw(gid)).ok().flatten();
    let number = |number: u32| number.to_string();
    (user.map_or_else(|| number(uid), |u| u.name), group.map_or_else(|| number(gid), |g| g.name))
}

/// Writes a backup.
pub struct Writer<W> {
    out: W,
    at: u64,
    manifest: Manifest,
    queue: Context,
}

impl<W: Write> Writer<W> {
    /// Begins one, at a time in seconds since 1970.
    pub fn new(out: W, at: u64, manifest: Manifest) -> Self {
        let manifest = Manifest { format: FORMAT, ..manifest };
        Self { out, at, manifest, queue: Context::new(&SHA256) }
    }

    /// Adds a file of the machine, and notes the folders that it is in.
    pub fn file(&mut self, path: &Path) -> Result<(), BackupError> {
        let failed = |error| BackupError::File(path.to_owned(), error);
        let file = rights::open_to_read(path, None).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        let size = metadata.len();
        if size > LARGEST_FILE {
            return Err(failed(io::ErrorKind::FileTooLarge.into()));
        }
        // What is added meanwhile is not part of it.
        let mut octets = Vec::new();
        file.take(size).read_to_end(&mut octets).map_err(failed)?;
        let name = format!("{FILES}{}", path.display());
        let size = octets.len() as u64;
        put_header(&mut self.out, &Member { name, size }, self.at).map_err(failed)?;
        self.out.write_all(&octets)?;
        put_padding(&mut self.out, size)?;
        let (owner, group) = names(metadata.uid(), metadata.gid());
        let sha256 = hexadecimal(aws_lc_rs::digest::digest(&SHA256, &octets).as_ref());
        let mode = metadata.mode() & 0o777;
        self.manifest.files.push(FileEntry {
            path: path.to_owned(),
            size,
            sha256,
            mode,
            owner,
            group,
        });
        for folder in path.ancestors().skip(1) {
            self.folder(folder);
        }
        Ok(())
    }

    fn folder(&mut self, path: &Path) {
        let is_known = self.manifest.folders.iter().any(|known| known.path == path);
        let Ok(metadata) = path.metadata() else { return };
        if !is_known && path.parent().is_some() {
            let (owner, group) = names(metadata.uid(), metadata.gid());
            let mode = metadata.mode() & 0o777;
            self.manifest.folders.push(Folder { path: path.to_owned(), mode, owner, group });
        }
    }

    /// Adds a message that waits: its entry, then its content of so many octets.
    pub fn message(
        &mut self,
        id: &str,
        entry: &[u8],
        size: u64,
        content: &mut dyn Read,
    ) -> Result<(), BackupError> {
        self.of_queue(format!("{QUEUE}{id}{ENTRY}"), entry.len() as u64, &mut &entry[..])?;
        self.of_queue(format!("{QUEUE}{id}{CONTENT}"), size, content)?;
        let queue = self.manifest.queue.get_or_insert_default();
        queue.messages += 1;
        queue.octets += size;
        Ok(())
    }

    /// Adds a message of a store that is at rest.
    pub fn stored(
        &mut self,
        entry: &puerto_spool::Entry,
        now: puerto_spool::Timestamp,
        (size, content): (u64, &mut dyn Read),
    ) -> Result<(), BackupError> {
        let octets = parcel::pack(entry, now).map_err(BackupError::Queue)?;
        self.message(&entry.id.to_string(), &octets, size, content)
    }

    fn of_queue(
        &mut self,
        name: String,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<(), BackupError> {
        self.queue.update(name.as_bytes());
        put_header(&mut self.out, &Member { name, size }, self.at)?;
        let mut content = content.take(size);
        let (mut piece, mut written) = (vec![0; PIECE], 0);
        loop {
            let count = content.read(&mut piece)?;
            let octets = piece.get(..count).unwrap_or_default();
            if octets.is_empty() {
                break;
            }
            self.queue.update(octets);
            self.out.write_all(octets)?;
            written += count as u64;
        }
        if written < size {
            return Err(BackupError::Io(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(put_padding(&mut self.out, size)?)
    }

    /// Notes that the mail that waits was looked at: it is in the backup, be it none. With it,
    /// what was ordered.
    pub fn with_queue(&mut self, orders: Vec<String>) {
        self.manifest.queue.get_or_insert_default().orders = orders;
    }

    /// Ends it. Nothing is durable yet.
    pub fn finish(mut self) -> Result<(Manifest, W), BackupError> {
        if let Some(queue) = &mut self.manifest.queue {
            queue.sha256 = hexadecimal(self.queue.finish().as_ref());
        }
        let text = serde_json::to_vec_pretty(&self.manifest).map_err(io::Error::from)?;
        let size = text.len() as u64;
        put_header(&mut self.out, &Member { name: MANIFEST.to_owned(), size }, self.at)?;
        self.out.write_all(&text)?;
        put_padding(&mut self.out, size)?;
        put_end(&mut self.out)?;
        self.out.flush()?;
        Ok((self.manifest, self.out))
    }
}

/// A backup that was compared with its manifest and is whole.
pub struct Archive {
    file: File,
    /// What it holds.
    pub manifest: Manifest,
    /// The configuration that it holds.
    pub config: Config,
    files: Vec<(FileEntry, u64)>,
}

/// What was met while one is compared.
struct Met {
    files: Vec<(String, u64, String, u64)>,
    queue: Context,
    counted: Queue,
    entry: Option<String>,
}

impl Archive {
    /// Reads all of it; `progress` hears how many octets were read, and of how many.
    pub fn open(mut file: File, mut progress: impl FnMut(u64, u64)) -> Result<Self, BackupError> {
        let all = file.metadata()?.len();
        file.seek(SeekFrom::Start(0))?;
        let mut from = Counted { from: BufReader::with_capacity(PIECE, &file), at: 0 };
        let counted = Queue::default();
        let mut met = Met { files: Vec::new(), queue: Context::new(&SHA256), counted, entry: None };
        let manifest = loop {
            progress(from.at, all);
            let member = take_header(&mut from)?.ok_or(BackupError::Cut)?;
            if member.name == MANIFEST {
                break manifest(&mut from, &member)?;
            }
            met.take(&mut from, &member)?;
            skip(&mut from, padding(member.size) as u64)?;
        };
        let compared = met.compare(&manifest)?;
        let mut archive = Self { file, manifest, config: Config::default(), files: compared };
        archive.config = archive.configuration()?;
        archive.within_places()?;
        Ok(archive)
    }

    /// The octets of a file that it holds.
    pub fn octets(&mut self, entry: &FileEntry) -> Result<Vec<u8>, BackupError> {
        let found = self.files.iter().find(|(file, _)| file.path == entry.path);
        let Some((_, at)) = found else { return Err(BackupError::Cut) };
        self.file.seek(SeekFrom::Start(*at))?;
        let mut octets = vec![0; usize::try_from(entry.size).unwrap_or_default()];
        self.file.read_exact(&mut octets)?;
        Ok(octets)
    }

    /// Goes through the messages: each as it stood, and its content.
    pub fn messages(&mut self) -> Result<Reader<'_>, BackupError> {
        self.file.seek(SeekFrom::Start(0))?;
        Ok(Reader { from: BufReader::with_capacity(PIECE, &self.file) })
    }

    fn configuration(&mut self) -> Result<Config, BackupError> {
        let path = self.manifest.config.clone();
        let entry = self.manifest.files.iter().find(|file| file.path == path).cloned();
        let name = path.display().to_string();
        // A server of defaults alone has no such file.
        let octets = entry.map_or_else(|| Ok(Vec::new()), |entry| self.octets(&entry))?;
        Config::parse(&String::from_utf8_lossy(&octets), &name).map_err(|errors| {
            let why = Said::of_both(|language| errors.render(false, None, language));
            damaged(said_of!(
                "its configuration has errors: {why}", "su configuración tiene errores: {why}";
                why = why
            ))
        })
    }

    // Nothing is written elsewhere, whatever an archive says.
    fn within_places(&self) -> Result<(), BackupError> {
        let places = Places::of(&self.config, &self.manifest.config);
        match self.manifest.files.iter().find(|file| !places.hold(&file.path)) {
            None => Ok(()),
            Some(file) => Err(damaged(said!(
                "its configuration names no file {path}",
                "su configuración no nombra ningún fichero {path}"; path = file.path.display()
            ))),
        }
    }
}

impl Met {
    fn take(&mut self, from: &mut Counted<impl Read>, member: &Member) -> Result<(), BackupError> {
        let name = &member.name;
        if let Some(path) = name.strip_prefix(FILES).filter(|path| path.starts_with('/')) {
            if member.size > LARGEST_FILE {
                return Err(too_large(name));
            }
            let (at, mut sum) = (from.at, Context::new(&SHA256));
            pass(from, member.size, |octets| sum.update(octets))?;
            let sum = hexadecimal(sum.finish().as_ref());
            self.files.push((path.to_owned(), member.size, sum, at));
            return Ok(());
        }
        let id = name.strip_prefix(QUEUE).ok_or_else(|| stranger(name))?;
        self.queue.update(name.as_bytes());
        match (id.strip_suffix(ENTRY), id.strip_suffix(CONTENT), self.entry.take()) {
            (Some(id), _, None) => {
                if member.size > LARGEST_ENTRY {
                    return Err(too_large(name));
                }
                let mut octets = Vec::new();
                pass(from, member.size, |piece| octets.extend_from_slice(piece))?;
                self.queue.update(&octets);
                let entry = read_entry(&octets, name)?;
                if id.parse::<puerto_spool::MessageId>().ok() != Some(entry.id) {
                    return Err(stranger(name));
                }
                self.entry = Some(id.to_owned());
            }
            (_, Some(id), Some(entry)) if *id == entry => {
                let queue = &mut self.queue;
                pass(from, member.size, |octets| queue.update(octets))?;
                self.counted.messages += 1;
                self.counted.octets += member.size;
            }
            _ => return Err(stranger(name)),
        }
        Ok(())
    }

    fn compare(self, manifest: &Manifest) -> Result<Vec<(FileEntry, u64)>, BackupError> {
        let differs =
            || damaged(said!("its checksums differ", "no coinciden las sumas de control"));
        if self.files.len() != manifest.files.len() || self.entry.is_some() {
            return Err(differs());
        }
        let mut compared = Vec::new();
        for ((path, size, sum, at), said) in self.files.into_iter().zip(&manifest.files) {
            if Path::new(&path) != said.path || size != said.size || sum != said.sha256 {
                return Err(differs());
            }
            compared.push((said.clone(), at));
        }
        let sha256 = hexadecimal(self.queue.finish().as_ref());
        let orders = manifest.queue.as_ref().map(|queue| queue.orders.clone()).unwrap_or_default();
        let counted = Queue { sha256, orders, ..self.counted };
        match &manifest.queue {
            None if counted.messages == 0 => Ok(compared),
            Some(queue) if *queue == counted => Ok(compared),
            _ => Err(differs()),
        }
    }
}

/// Goes through the messages of a backup.
pub struct Reader<'a> {
    from: BufReader<&'a File>,
}

impl Reader<'_> {
    /// The next message; `take` gets it as it stood and its content. `None` at the end.
    pub fn next<T>(
        &mut self,
        take: impl FnOnce(puerto_spool::Entry, &mut dyn Read) -> T,
    ) -> Result<Option<T>, BackupError> {
        loop {
            let Some(member) = take_header(&mut self.from)? else { return Ok(None) };
            // What may stand behind it was compared with nothing.
            if member.name == MANIFEST {
                return Ok(None);
            }
            let rest = padding(member.size) as u64;
            if !(member.name.starts_with(QUEUE) && member.name.ends_with(ENTRY)) {
                skip(&mut self.from, member.size + rest)?;
                continue;
            }
            let mut octets = vec![0; usize::try_from(member.size).unwrap_or_default()];
            self.from.read_exact(&mut octets)?;
            skip(&mut self.from, rest)?;
            let entry = read_entry(&octets, &member.name)?;
            let content = take_header(&mut self.from)?.ok_or(BackupError::Cut)?;
            let mut limited = (&mut self.from).take(content.size);
            let taken = take(entry, &mut limited);
            let left = limited.limit();
            skip(&mut self.from, left + padding(content.size) as u64)?;
            return Ok(Some(taken));
        }
    }
}

fn read_entry(octets: &[u8], name: &str) -> Result<puerto_spool::Entry, BackupError> {
    parcel::unpack(octets).map_err(|error| match error {
        parcel::NotAMessage::Later => BackupError::Later,
        parcel::NotAMessage::Damaged => damaged(said!(
            "{name} is no message", "{name} no es un mensaje"; name = name
        )),
    })
}

fn stranger(name: &str) -> BackupError {
    damaged(said!("it holds {name}", "contiene {name}"; name = name))
}

fn too_large(name: &str) -> BackupError {
    damaged(said!("{name} is too large", "{name} es demasiado grande"; name = name))
}

fn manifest(from: &mut impl Read, member: &Member) -> Result<Manifest, BackupError> {
    if member.size > LARGEST_MANIFEST {
        return Err(too_large(&member.name));
    }
    let mut octets = Vec::new();
    pass(from, member.size, |piece| octets.extend_from_slice(piece))?;
    let unread = || damaged(said!("its manifest cannot be read", "no se puede leer su manifiesto"));
    let value: serde_json::Value = serde_json::from_slice(&octets).map_err(|_| unread())?;
    let format = value.get("format").and_then(serde_json::Value::as_u64);
    if format.is_some_and(|format| format > u64::from(FORMAT)) {
        return Err(BackupError::Later);
    }
    serde_json::from_value(value).map_err(|_| unread())
}

/// Hands on so many octets, piece by piece.
fn pass(from: &mut impl Read, size: u64, mut each: impl FnMut(&[u8])) -> Result<(), BackupError> {
    let mut from = from.take(size);
    let mut piece = vec![0; PIECE];
    let mut passed = 0;
    loop {
        let count = from.read(&mut piece)?;
        match piece.get(..count).unwrap_or_default() {
            [] if passed < size => return Err(BackupError::Cut),
            [] => return Ok(()),
            octets => each(octets),
        }
        passed += count as u64;
    }
}

fn skip(from: &mut impl Read, octets: u64) -> Result<(), BackupError> {
    pass(from, octets, |_| {})
}

/// Counts what is read.
struct Counted<R> {
    from: R,
    at: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.at += count as u64;
        Ok(count)
    }
}
