//! A disk in memory that does what disks do at the worst moment.
//!
//! It keeps apart what a process sees and what is durable. When the power is cut,
//! each sector of 512 octets that was not synced survives or not, whatever the order
//! in which they were written, and so does each change of a name in a directory that
//! was not synced. A sync that fails loses what it could not write, and the next one
//! on the same file succeeds as if nothing had happened, as kernels do. All of this is
//! decided by one seed: the same seed and the same calls make the same history.
//!
//! Test code, public so that other crates can test against it.

#![allow(clippy::indexing_slicing)]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{Disk, File, Lock};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The operation fails with this error, once.
    Fail(io::ErrorKind),
    /// This operation and all that follow and would change something fail.
    FailForEver(io::ErrorKind),
    /// The power is cut in the middle of the operation.
    PowerCut,
}

/// What goes wrong once, at any call whether it changes something or not, and passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passing {
    /// The call fails with this error of the system (`errno`).
    Fails(i32),
    /// If the call reads, fewer octets come than there are.
    Short,
}

/// The disk. Clones are the same disk.
#[derive(Clone)]
pub struct SimulatedDisk {
    world: Arc<Mutex<World>>,
    /// The only time between two restarts at which this handle works.
    epoch: Option<u64>,
}

struct World {
    random: Random,
    /// Operations so far that could change something.
    operations: u64,
    fault: Option<(u64, Effect)>,
    /// Calls so far of any kind.
    calls: u64,
    passing: Option<(u64, Passing)>,
    /// Files that cannot be read from some place on, and the error; place 0: not opened.
    unreadable: HashMap<PathBuf, (u64, i32)>,
    powered: bool,
    /// Counts the restarts, so that files that were open before are known.
    epoch: u64,
    nodes: HashMap<u64, Node>,
    next_node: u64,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    pending_names: Vec<NameChange>,
    locks: HashSet<PathBuf>,
    capacity: u64,
    read_only: bool,
    synced_after_failure: bool,
}

#[derive(Default, Clone)]
struct Node {
    seen: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<(usize, Vec<u8>)>,
    sync_failed: bool,
}

#[derive(Clone)]
enum NameChange {
    Create(PathBuf, u64),
    Rename(PathBuf, PathBuf, u64),
    Remove(PathBuf, u64),
}

/// Numbers that look random and depend on a seed alone.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A sequence of its own for each seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03 | 1)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }

    /// True once in `bound` times.
    pub fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}

const SECTOR: usize = 512;

impl SimulatedDisk {
    /// An empty disk.
    pub fn new(seed: u64) -> Self {
        let world = World {
            random: Random::new(seed),
            operations: 0,
            fault: None,
            calls: 0,
            passing: None,
            unreadable: HashMap::new(),
            powered: true,
            epoch: 0,
            nodes: HashMap::new(),
            next_node: 0,
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            pending_names: Vec::new(),
            locks: HashSet::new(),
            capacity: 1 << 40,
            read_only: false,
            synced_after_failure: false,
        };
        Self { world: Arc::new(Mutex::new(world)), epoch: None }
    }

    /// A handle that works until the next restart, as everything does that a process
    /// has.
    pub fn attach(&self) -> Self {
        Self { world: Arc::clone(&self.world), epoch: Some(self.world().epoch) }
    }

    /// How many operations so far could have changed something.
    pub fn operations(&self) -> u64 {
        self.world().operations
    }

    /// Lets something go wrong at the operation of this number; `None`: nothing.
    pub fn set_fault(&self, fault: Option<(u64, Effect)>) {
        self.world().fault = fault;
    }

    /// How many calls of any kind there were so far.
    pub fn calls(&self) -> u64 {
        self.world().calls
    }

    /// Lets something go wrong once, at the call of this number.
    pub fn set_passing_fault(&self, fault: Option<(u64, Passing)>) {
        self.world().passing = fault;
    }

    /// From now on a file cannot be read from this place on, for this error (`errno`); from
    /// place 0 on it cannot even be opened. `None`: it can again.
    pub fn set_unreadable(&self, path: &Path, trouble: Option<(u64, i32)>) {
        let mut world = self.world();
        match trouble {
            Some(trouble) => world.unreadable.insert(path.to_owned(), trouble),
            None => world.unreadable.remove(path),
        };
    }

    /// Whether the power is on.
    pub fn is_powered(&self) -> bool {
        self.world().powered
    }

    /// Cuts the power if it is on, decides what survived and switches it on again.
    /// Files that are open fail from now on.
    pub fn restart(&self) {
        let mut world = self.world();
        let world = &mut *world;
        let mood = world.random.below(4);
        for node in world.nodes.values_mut() {
            node.lose_power(&mut world.random, mood);
        }
        for change in std::mem::take(&mut world.pending_names) {
            if survives(&mut world.random, mood) {
                apply_name(&mut world.durable_names, &change);
            }
        }
        world.names = world.durable_names.clone();
        let named: HashSet<u64> = world.names.values().copied().collect();
        world.nodes.retain(|node, _| named.contains(node));
        world.locks.clear();
        world.powered = true;
        world.fault = None;
        world.passing = None;
        world.epoch += 1;
    }

    /// Ends the process but not the machine: nothing is lost, but files that were open
    /// fail from now on.
    pub fn restart_process(&self) {
        let mut world = self.world();
        // The next one cannot know of a sync that failed before its time.
        world.nodes.values_mut().for_each(|node| node.sync_failed = false);
        world.locks.clear();
        world.fault = None;
        world.passing = None;
        world.epoch += 1;
    }

    /// Octets that fit on the disk.
    pub fn set_capacity(&self, capacity: u64) {
        self.world().capacity = capacity;
    }

    /// Octets in all files.
    pub fn used(&self) -> u64 {
        self.world().used()
    }

    /// From now on nothing can be changed, or everything again.
    pub fn set_read_only(&self, read_only: bool) {
        self.world().read_only = read_only;
    }

    /// Whether a file was synced again after a sync of it had failed.
    pub fn was_synced_after_failure(&self) -> bool {
        self.world().synced_after_failure
    }

    /// All files and what a process sees in them.
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let world = self.world();
        world
            .names
            .iter()
            .filter_map(|(path, node)| Some((path.clone(), world.nodes.get(node)?.seen.clone())))
            .collect()
    }

    /// Puts a durable file there, in place of one of that name.
    pub fn put(&self, path: &Path, octets: Vec<u8>) {
        let mut world = self.world();
        let node = world.next_node;
        world.next_node += 1;
        let content = Node { seen: octets.clone(), durable: octets, ..Node::default() };
        world.nodes.insert(node, content);
        world.names.insert(path.to_owned(), node);
        world.durable_names.insert(path.to_owned(), node);
    }

    /// Takes a file away for good.
    pub fn erase(&self, path: &Path) {
        let mut world = self.world();
        world.names.remove(path);
        world.durable_names.remove(path);
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn live_world(&self) -> io::Result<MutexGuard<'_, World>> {
        let world = self.world();
        if self.epoch.is_some_and(|epoch| epoch != world.epoch) {
            return Err(io::Error::other("the process has ended"));
        }
        world.check_power()?;
        Ok(world)
    }
}

fn survives(random: &mut Random, mood: u64) -> bool {
    match mood {
        0 => false,
        1 => true,
        _ => random.one_in(2),
    }
}

fn apply_name(names: &mut BTreeMap<PathBuf, u64>, change: &NameChange) {
    match change {
        NameChange::Create(path, node) => {
            names.insert(path.clone(), *node);
        }
        NameChange::Rename(from, to, node) => {
            if names.get(from) == Some(node) {
                names.remove(from);
            }
            names.insert(to.clone(), *node);
        }
        NameChange::Remove(path, node) => {
            if names.get(path) == Some(node) {
                names.remove(path);
            }
        }
    }
}

impl Node {
    fn write(octets: &mut Vec<u8>, offset: usize, new: &[u8]) {
        if octets.len() < offset + new.len() {
            octets.resize(offset + new.len(), 0);
        }
        octets[offset..offset + new.len()].copy_from_slice(new);
    }

    /// Some of what was not synced becomes durable, the rest is lost.
    fn scatter(&mut self, random: &mut Random, mood: u64) {
        for (offset, octets) in std::mem::take(&mut self.pending) {
            let mut from = 0;
            while from < octets.len() {
                let border = (offset + from + 1).next_multiple_of(SECTOR) - offset;
                let to = border.min(octets.len());
                if survives(random, mood) {
                    Self::write(&mut self.durable, offset + from, &octets[from..to]);
                }
                from = to;
            }
        }
    }

    fn lose_power(&mut self, random: &mut Random, mood: u64) {
        self.scatter(random, mood);
        self.seen = self.durable.clone();
        self.sync_failed = false;
    }

    /// Only what may still become durable stays in memory, and the length.
    fn forget(&mut self) {
        let length = self.seen.len();
        self.seen = self.durable.clone();
        self.seen.resize(length, 0);
        for (offset, octets) in &self.pending {
            Self::write(&mut self.seen, *offset, octets);
        }
        self.sync_failed = false;
    }

    fn sync(&mut self) {
        for (offset, octets) in std::mem::take(&mut self.pending) {
            Self::write(&mut self.durable, offset, &octets);
        }
    }
}

impl World {
    fn used(&self) -> u64 {
        self.names.values().filter_map(|n| self.nodes.get(n)).map(|n| n.seen.len() as u64).sum()
    }

    fn check_power(&self) -> io::Result<()> {
        if self.powered { Ok(()) } else { Err(io::Error::other("the power is off")) }
    }

    /// Counts a call; says whether it is to read too little.
    fn call(&mut self) -> io::Result<bool> {
        self.calls += 1;
        match self.passing {
            Some((at, Passing::Fails(error))) if at == self.calls => {
                Err(io::Error::from_raw_os_error(error))
            }
            Some((at, Passing::Short)) => Ok(at == self.calls),
            _ => Ok(false),
        }
    }

    /// Counts an operation; says whether it is the one during which the power is cut.
    fn begin(&mut self) -> io::Result<bool> {
        self.check_power()?;
        self.operations += 1;
        match self.fault {
            Some((at, Effect::Fail(kind))) if at == self.operations => return Err(kind.into()),
            Some((at, Effect::FailForEver(kind))) if at <= self.operations => {
                return Err(kind.into());
            }
            Some((at, Effect::PowerCut)) if at == self.operations => {
                self.powered = false;
                return Ok(true);
            }
            _ => {}
        }
        if self.read_only {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        Ok(false)
    }

    fn end(&self) -> io::Result<()> {
        self.check_power()
    }

    fn node(&mut self, node: u64) -> io::Result<&mut Node> {
        self.nodes.get_mut(&node).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn change_name(&mut self, change: NameChange) {
        apply_name(&mut self.names, &change);
        self.pending_names.push(change);
    }
}

struct SimulatedFile {
    disk: SimulatedDisk,
    path: PathBuf,
    node: u64,
    epoch: u64,
}

impl SimulatedFile {
    fn world(&self) -> io::Result<MutexGuard<'_, World>> {
        let world = self.disk.world();
        if world.epoch != self.epoch {
            return Err(io::Error::other("the file was opened before a restart"));
        }
        world.check_power()?;
        Ok(world)
    }
}

impl File for SimulatedFile {
    fn len(&self) -> io::Result<u64> {
        let mut world = self.world()?;
        world.call()?;
        Ok(world.node(self.node)?.seen.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut world = self.world()?;
        let short = world.call()?;
        if let Some((place, error)) = world.unreadable.get(&self.path)
            && offset + buffer.len() as u64 > *place
        {
            return Err(io::Error::from_raw_os_error(*error));
        }
        let seen = &world.node(self.node)?.seen;
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(seen.len());
        let count = buffer.len().min(seen.len() - from);
        let count = if short { count / 2 } else { count };
        buffer[..count].copy_from_slice(&seen[from..from + count]);
        Ok(count)
    }

    fn write_at(&self, octets: &[u8], offset: u64) -> io::Result<()> {
        let mut world = self.world()?;
        world.call()?;
        world.begin()?;
        let room = world.capacity.saturating_sub(world.used());
        let node = world.node(self.node)?;
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let growth = (offset + octets.len()).saturating_sub(node.seen.len()) as u64;
        if growth > room {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Node::write(&mut node.seen, offset, octets);
        node.pending.push((offset, octets.to_vec()));
        world.end()
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut world = self.world()?;
        let begun = world.call().and_then(|_| world.begin());
        let world = &mut *world;
        let node =
            world.nodes.get_mut(&self.node).ok_or(io::Error::from(io::ErrorKind::NotFound))?;
        match begun {
            Ok(false) => {
                world.synced_after_failure |= node.sync_failed;
                node.sync();
                Ok(())
            }
            Ok(true) => {
                // It may have come to its end before the power went.
                if world.random.one_in(2) {
                    node.sync();
                }
                Err(io::Error::other("the power is off"))
            }
            Err(error) => {
                if world.powered && !node.pending.is_empty() {
                    node.sync_failed = true;
                    let mood = world.random.below(4);
                    node.scatter(&mut world.random, mood);
                }
                Err(error)
            }
        }
    }

    fn forget(&self) {
        if let Ok(mut world) = self.world()
            && let Ok(node) = world.node(self.node)
        {
            node.forget();
        }
    }
}

struct SimulatedLock {
    disk: SimulatedDisk,
    path: PathBuf,
    epoch: u64,
}

impl Lock for SimulatedLock {}

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        let mut world = self.disk.world();
        if world.epoch == self.epoch {
            world.locks.remove(&self.path);
        }
    }
}

impl Disk for SimulatedDisk {
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        self.live_world()?.call().map(drop)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut world = self.live_world()?;
        world.call()?;
        world.begin()?;
        if world.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let node = world.next_node;
        world.next_node += 1;
        world.nodes.insert(node, Node::default());
        world.change_name(NameChange::Create(path.to_owned(), node));
        world.end()?;
        let path = path.to_owned();
        Ok(Arc::new(SimulatedFile { disk: self.clone(), path, node, epoch: world.epoch }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut world = self.live_world()?;
        world.call()?;
        if let Some((0, error)) = world.unreadable.get(path) {
            return Err(io::Error::from_raw_os_error(*error));
        }
        let node = *world.names.get(path).ok_or(io::Error::from(io::ErrorKind::NotFound))?;
        let path = path.to_owned();
        Ok(Arc::new(SimulatedFile { disk: self.clone(), path, node, epoch: world.epoch }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.live_world()?;
        world.call()?;
        world.begin()?;
        let node = *world.names.get(from).ok_or(io::Error::from(io::ErrorKind::NotFound))?;
        world.change_name(NameChange::Rename(from.to_owned(), to.to_owned(), node));
        world.end()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = self.live_world()?;
        world.call()?;
        let node = *world.names.get(path).ok_or(io::Error::from(io::ErrorKind::NotFound))?;
        world.begin()?;
        world.change_name(NameChange::Remove(path.to_owned(), node));
        world.end()
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let mut world = self.live_world()?;
        world.call()?;
        let inside = world.names.keys().filter(|path| path.parent() == Some(directory));
        Ok(inside.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    fn sync_dir(&self, directory: &Path) -> io::Result<()> {
        let mut world = self.live_world()?;
        world.call()?;
        let cut = world.begin()?;
        if cut && world.random.one_in(2) {
            return world.end();
        }
        let world = &mut *world;
        world.pending_names.retain(|change| {
            let (NameChange::Create(path, _)
            | NameChange::Rename(_, path, _)
            | NameChange::Remove(path, _)) = change;
            let here = path.parent() == Some(directory);
            if here {
                apply_name(&mut world.durable_names, change);
            }
            !here
        });
        world.end()
    }

    fn free_space(&self, _: &Path) -> io::Result<u64> {
        let mut world = self.live_world()?;
        world.call()?;
        Ok(world.capacity.saturating_sub(world.used()))
    }

    fn total_space(&self, _: &Path) -> io::Result<u64> {
        Ok(self.live_world()?.capacity)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        let mut world = self.live_world()?;
        world.call()?;
        if !world.locks.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(SimulatedLock {
            disk: self.clone(),
            path: path.to_owned(),
            epoch: world.epoch,
        }))
    }
}
