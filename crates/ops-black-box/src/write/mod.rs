//! Writing a black box, and the file of the previous run at its path.

mod file;
mod memory;
mod panic;
mod ring;
mod space;
mod watch;

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use crate::format::{CLEAN, EXITED, Kind, word};
use crate::machine::{Kills, Machine, MemoryGroup, nanos};
use crate::{Config, Error, Reading};
use ring::Ring;

/// The last seconds of this process in a file that survives it. Cheap to clone.
///
/// Each write copies a few hundred bytes into mapped memory: no system call, no lock, no allocation.
#[derive(Clone)]
pub struct BlackBox {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    ring: Ring,
    location: file::FileLocation,
    group: Option<MemoryGroup>,
    /// Times of the last captured backtraces: of the main thread, and of all other threads.
    main_backtrace_at: AtomicU64,
    backtrace_at: AtomicU64,
    /// Held until the process was shut down cleanly, or ends.
    lock: File,
}

/// Result of [`open`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Opened {
    /// The new black box, or the reason why it could not be created.
    pub black_box: Result<BlackBox, Error>,
    /// Previous run, if it left a black box.
    pub last_run: Option<LastRun>,
}

/// Previous run of the service.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct LastRun {
    /// Its end and its last records.
    #[serde(flatten)]
    pub reading: Reading,
    /// File under which its black box is kept; the original path if it could not be renamed.
    pub kept: PathBuf,
}

/// Opens a new black box, and reads and keeps the one of the previous run.
///
/// The black box of a clean run is kept as `FILE.clean`; those of the last three
/// runs that ended otherwise are kept as `FILE.1` (the newest) to `FILE.3`.
///
/// A file with one of these names that is not a black box is left unchanged, and then there is no new
/// black box. The same applies if another process writes to the file, if the disk has no space for all
/// of it, or if its file system guarantees none (btrfs, ZFS, bcachefs, NFS, SMB, 9p, Ceph, FUSE). A file
/// of zeros with the size of a black box is the result of a power loss: it is kept as an unreadable run.
///
/// The new file is synced to the disk once, which may take some milliseconds for each MiB. Before that,
/// the call blocks for up to a second while another process, which may be about to end, holds the lock.
pub fn open(config: &Config) -> Opened {
    let mut last_run = None;
    let black_box = create(config, &mut last_run);
    Opened {
        black_box,
        last_run,
    }
}

fn create(config: &Config, last_run: &mut Option<LastRun>) -> Result<BlackBox, Error> {
    let machine = Machine::current();
    let path = config.file();
    let lock = file::lock(&path)?;
    let head = config.head(&machine);
    file::keep_previous(&path, &head.service, &machine, last_run)?;
    let memory = file::allocate(&path, &head)?;
    let location = file::FileLocation::of(&path)?;
    let black_box = BlackBox {
        shared: Arc::new(Shared {
            path,
            ring: Ring::new(memory, head.run),
            location,
            group: MemoryGroup::find(Path::new("/")),
            main_backtrace_at: AtomicU64::new(0),
            backtrace_at: AtomicU64::new(0),
            lock,
        }),
    };
    black_box.set_kills(machine.kills);
    Ok(black_box)
}

impl BlackBox {
    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Returns `true` if the file is still where it was created: records in a
    /// removed or renamed file are not found by the next run. Accesses the disk.
    pub fn is_in_place(&self) -> bool {
        self.shared.location.is_in_place()
    }

    /// Writes a log line: JSON, without its newline and without secrets.
    #[inline]
    pub fn line(&self, at: SystemTime, json: &[u8]) {
        self.record(Kind::Line, at, json);
    }

    /// Writes a record: JSON, without a newline and without secrets. It is cut at
    /// [`MAX_RECORD_BYTES`](crate::MAX_RECORD_BYTES) or a quarter of the ring, whichever is less.
    #[inline]
    pub fn record(&self, kind: Kind, at: SystemTime, json: &[u8]) {
        self.shared.ring.push(kind, nanos(at), json);
    }

    /// Records a heartbeat with numbers as JSON and the kernel's counts of OOM kills; to be called once
    /// a second. Clears the mark of an earlier SIGABRT, which must have been that of a forked child.
    pub fn beat(&self, at: SystemTime, numbers: &[u8]) {
        self.clear_abort_mark();
        self.record(Kind::Numbers, at, numbers);
        self.set_kills(Kills::count(self.shared.group.as_ref()));
        self.shared.ring.set(word::BEAT, nanos(at));
    }

    /// Clears the mark of SIGABRT: it was set by a forked child that
    /// inherited the handler and aborted before it executed another program.
    fn clear_abort_mark(&self) {
        self.shared.ring.set(word::ABORT, 0);
    }

    fn set_kills(&self, kills: Kills) {
        let plus_one = |count: Option<u64>| count.map_or(0, |count| count.saturating_add(1));
        let ring = &self.shared.ring;
        ring.set(word::GROUP_KILLS, plus_one(kills.in_group));
        ring.set(word::MACHINE_KILLS, plus_one(kills.on_machine));
    }

    /// Records that the process was asked to stop, by a signal or otherwise. Only the first call counts.
    pub fn stopping(&self, signal: Option<i32>) {
        let ring = &self.shared.ring;
        if ring.get(word::STOP_AT) != 0 {
            return;
        }
        let signal = signal.and_then(|signal| u64::try_from(signal).ok());
        ring.set(word::STOP_SIGNAL, signal.unwrap_or(0));
        ring.set(word::STOP_AT, nanos(SystemTime::now()));
    }

    /// Records a clean shutdown: if the process ends in any other way than SIGABRT from now on, the run still counts
    /// as clean. Releases the lock, so that the next run, or this process, can open a new black box at the same path.
    pub fn close(&self) {
        self.end(CLEAN);
        // released at the end of the process at the latest
        let _ = self.shared.lock.unlock();
    }

    /// Records an exit without a shutdown, unless [closed](Self::close) was called before.
    pub fn exiting(&self) {
        if self.shared.ring.get(word::END) == 0 {
            self.end(EXITED);
        }
    }

    fn end(&self, kind: u64) {
        self.clear_abort_mark();
        let ring = &self.shared.ring;
        ring.set(word::END_AT, nanos(SystemTime::now()));
        std::sync::atomic::fence(Ordering::Release);
        ring.set(word::END, kind);
    }

    /// Records panics, SIGABRT and the exit of the process from now on. Call it once per black box, from
    /// the main thread. SIGABRT and the exit are recorded in the black box for which this was called last.
    ///
    /// A panic is recorded before the previous hook runs: its message as returned by `redact` (`None`
    /// leaves it unchanged), and a backtrace, at most every ten seconds for the main thread, likewise
    /// for all other threads together, and always for a panic that cannot be caught. Both are cut to
    /// the size of a record. The exit is recorded only if this was called on the main thread.
    ///
    /// # Errors
    ///
    /// Fails if SIGABRT cannot be watched; panics and the exit are still watched.
    pub fn watch_process(
        &self,
        redact: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Result<(), Error> {
        panic::watch(self.clone(), redact);
        watch::watch_exit(self.clone());
        watch::watch_aborts(&self.shared.path)
            .map_err(|error| Error::io(&self.shared.path, "watch for SIGABRT", error))
    }
}

impl fmt::Debug for BlackBox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlackBox")
            .field("path", &self.shared.path)
            .finish_non_exhaustive()
    }
}
