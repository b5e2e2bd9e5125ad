//! A bound on the address space (`prlimit --as`, `ulimit -v`, `LimitAS=`): the server
//! fits into it, instead of mapping what it never uses and being ended for that.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use tokio::runtime::Builder;

/// The C library keeps an arena for each of some threads, and reserves 64 MiB for each
/// arena; this tells it to keep few. It is read only when a process begins.
const ARENAS: &str = "MALLOC_ARENA_MAX";
/// Where there is a bound, threads have stacks of so many octets.
const STACK: usize = 1 << 20;
/// Threads that wait for disks and users' files may take this part of what is allowed.
const PART_FOR_THREADS: u64 = 8;

fn bound() -> Option<u64> {
    let (soft, _) = getrlimit(Resource::RLIMIT_AS).ok()?;
    (soft != RLIM_INFINITY).then_some(soft)
}

/// Begins the program anew with few arenas if its address space is bounded. Returns if
/// there is no need, or if it cannot be done. To be called before anything else.
pub fn fit_arenas() {
    if bound().is_none() || std::env::var_os(ARENAS).is_some() {
        return;
    }
    let mut arguments = std::env::args_os();
    let Some(name) = arguments.next() else { return };
    let mut again = Command::new("/proc/self/exe");
    // If it fails, the server runs as it is.
    let _ = again.arg0(name).args(arguments).env(ARENAS, "1").exec();
}

/// Lets a runtime have no more threads, and no larger stacks, than fit.
pub fn fit_threads(runtime: &mut Builder) {
    if let Some(bound) = bound() {
        let threads = bound / PART_FOR_THREADS / STACK as u64;
        let threads = usize::try_from(threads.clamp(4, 512)).unwrap_or(4);
        runtime.thread_stack_size(STACK).max_blocking_threads(threads);
    }
}
