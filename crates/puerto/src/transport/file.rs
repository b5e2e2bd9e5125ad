//! A file of what is known, which is written a while after something in it has changed: nobody
//! waits for it, and what was not written is found out again.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::rights::{self, Place};

/// Octets that are read.
const LONGEST: u64 = 64 * 1024 * 1024;

/// The file, if there is one. Without it what is known lives as long as the process.
#[derive(Debug)]
pub(super) struct Lagging {
    path: Option<PathBuf>,
    lag: Duration,
    is_due: AtomicBool,
    writing: Mutex<()>,
}

/// What such a file is of.
pub(super) trait Kept: Clone + Send + 'static {
    /// The file.
    fn file(&self) -> &Lagging;
    /// What is to stand in it now.
    fn text(&self) -> io::Result<String>;
}

impl Lagging {
    /// A file that lags behind by so much.
    pub(super) fn new(path: Option<PathBuf>, lag: Duration) -> Self {
        Self { path, lag, is_due: AtomicBool::new(false), writing: Mutex::new(()) }
    }
}

/// Reads such a file; one that is not there is empty.
pub(super) fn read(path: &Path) -> io::Result<String> {
    match rights::read_bounded(path, None, LONGEST) {
        Ok(octets) => Ok(String::from_utf8_lossy(&octets).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error),
    }
}

/// Has the file written soon.
pub(super) fn touch<K: Kept>(kept: &K) {
    let file = kept.file();
    if file.path.is_none() || file.is_due.swap(true, Ordering::Relaxed) {
        return;
    }
    let (kept, lag) = (kept.clone(), file.lag);
    drop(tokio::spawn(async move {
        tokio::time::sleep(lag).await;
        kept.file().is_due.store(false, Ordering::Relaxed);
        let _ = tokio::task::spawn_blocking(move || write(&kept)).await;
    }));
}

/// Writes the file, whole or not at all. It blocks.
pub(super) fn write<K: Kept>(kept: &K) -> io::Result<()> {
    let file = kept.file();
    let Some(path) = &file.path else { return Ok(()) };
    // So that the last to write has the newest.
    let _turn = file.writing.lock().unwrap_or_else(PoisonError::into_inner);
    Place::of(path)?.replace(kept.text()?.as_bytes(), 0o640)
}
