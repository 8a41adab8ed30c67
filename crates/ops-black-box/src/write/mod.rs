//! A file that is written to, and what is found in its place.

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

/// The last seconds of this process in a file that outlives it. Cheap to clone.
///
/// Each call that writes copies a few hundred bytes into mapped memory: no system call, no lock, no allocation.
#[derive(Clone)]
pub struct BlackBox {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    ring: Ring,
    place: file::Place,
    group: Option<MemoryGroup>,
    /// Moments of the last backtraces that were taken: of the main thread, and of others.
    main_backtrace_at: AtomicU64,
    backtrace_at: AtomicU64,
    /// Held until the process was shut down in order, or ends.
    lock: File,
}

/// The outcome of [`open`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Opened {
    /// The new black box, or the reason why there is none.
    pub black_box: Result<BlackBox, Error>,
    /// The run before, if it left a black box.
    pub last_run: Option<LastRun>,
}

/// The run before this one.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct LastRun {
    /// Its end and its last records.
    #[serde(flatten)]
    pub reading: Reading,
    /// File that its black box is kept as; the one that it was, if it could not be renamed.
    pub kept: PathBuf,
}

/// Opens a new black box, and reads and keeps the one of the run before.
///
/// A black box of a clean run is kept as `FILE.clean`, those of the last three runs that ended otherwise as `FILE.1` (the newest) to
/// `FILE.3`. A file with one of these names that is no black box stays where it is, as it is, and there is no new one; neither is
/// there if another process writes to it, if the disk has no space for all of it, or if its file system promises none (btrfs, ZFS,
/// bcachefs, NFS, SMB, 9p, Ceph, FUSE). A file of zeros with the size of a black box
/// is what a power loss left of one: it is kept as an unreadable run. The new file is written to the disk once, which may take some
/// milliseconds for each MiB. Before that it blocks the calling thread for up to a second while another process holds the lock, which may
/// be about to end.
pub fn open(config: &Config) -> Opened {
    let mut last_run = None;
    let black_box = make(config, &mut last_run);
    Opened {
        black_box,
        last_run,
    }
}

fn make(config: &Config, last_run: &mut Option<LastRun>) -> Result<BlackBox, Error> {
    let machine = Machine::look();
    let path = config.file();
    let lock = file::lock(&path)?;
    let head = config.head(&machine);
    file::keep_previous(&path, &head.service, &machine, last_run)?;
    let memory = file::allocate(&path, &head)?;
    let place = file::Place::of(&path)?;
    let black_box = BlackBox {
        shared: Arc::new(Shared {
            path,
            ring: Ring::new(memory, head.run),
            place,
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
    /// Returns the file.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Reports whether its file is where it was made: what is written to one that somebody removed or renamed is not found by the next
    /// run. It looks at the disk.
    pub fn is_in_place(&self) -> bool {
        self.shared.place.is_there()
    }

    /// Writes a log line: JSON, without its newline and without secrets.
    #[inline]
    pub fn line(&self, at: SystemTime, json: &[u8]) {
        self.record(Kind::Line, at, json);
    }

    /// Writes a record: JSON, without a newline and without secrets. What is longer than
    /// [`MAX_RECORD_BYTES`](crate::MAX_RECORD_BYTES), or than a quarter of the ring, is cut.
    #[inline]
    pub fn record(&self, kind: Kind, at: SystemTime, json: &[u8]) {
        self.shared.ring.push(kind, nanos(at), json);
    }

    /// Notes that the process is alive, with numbers as JSON, and counts of the kernel: once a second. So a SIGABRT of before was not
    /// its own, but that of a forked child.
    pub fn beat(&self, at: SystemTime, numbers: &[u8]) {
        self.has_not_aborted();
        self.record(Kind::Numbers, at, numbers);
        self.set_kills(Kills::count(self.shared.group.as_ref()));
        self.shared.ring.set(word::BEAT, nanos(at));
    }

    /// Clears the mark of SIGABRT. It is one of a child that was forked, inherited the handler, and aborted before it became another
    /// program.
    fn has_not_aborted(&self) {
        self.shared.ring.set(word::ABORT, 0);
    }

    fn set_kills(&self, kills: Kills) {
        let plus_one = |count: Option<u64>| count.map_or(0, |count| count.saturating_add(1));
        let ring = &self.shared.ring;
        ring.set(word::GROUP_KILLS, plus_one(kills.in_group));
        ring.set(word::MACHINE_KILLS, plus_one(kills.on_machine));
    }

    /// Notes that the process was asked to stop, by a signal or otherwise. The first one counts.
    pub fn stopping(&self, signal: Option<i32>) {
        let ring = &self.shared.ring;
        if ring.get(word::STOP_AT) != 0 {
            return;
        }
        let signal = signal.and_then(|signal| u64::try_from(signal).ok());
        ring.set(word::STOP_SIGNAL, signal.unwrap_or(0));
        ring.set(word::STOP_AT, nanos(SystemTime::now()));
    }

    /// Notes that the process was shut down in order: whatever ends it from here on was no loss, and another black box may take the
    /// place of this one, of the next run or of this process.
    pub fn close(&self) {
        self.end(CLEAN);
        // the end of the process gives it back at the latest
        let _ = self.shared.lock.unlock();
    }

    /// Notes that the process exits without a shutdown, unless it was [closed](Self::close).
    pub fn exiting(&self) {
        if self.shared.ring.get(word::END) == 0 {
            self.end(EXITED);
        }
    }

    fn end(&self, kind: u64) {
        self.has_not_aborted();
        let ring = &self.shared.ring;
        ring.set(word::END_AT, nanos(SystemTime::now()));
        std::sync::atomic::fence(Ordering::Release);
        ring.set(word::END, kind);
    }

    /// Has panics, SIGABRT and the exit of the process noted from here on: once for a black box, from the main thread. SIGABRT and the
    /// exit are noted in the black box for which this was called last.
    ///
    /// A panic is a record before the hook that was there runs, with its message as `redact` returns it (`None` is the message
    /// itself), and a backtrace: of the main thread at most every ten seconds, of the others together likewise, and always of one that nothing
    /// can catch. Both are shortened to what a record of the ring holds. The exit is noted if this was called on the main thread.
    ///
    /// # Errors
    ///
    /// Fails if SIGABRT cannot be watched; the rest is watched all the same.
    pub fn watch_process(
        &self,
        redact: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Result<(), Error> {
        panic::watch(self.clone(), redact);
        watch::exit(self.clone());
        watch::aborts(&self.shared.path)
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
