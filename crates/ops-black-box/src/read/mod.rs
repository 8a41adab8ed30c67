//! Reading of a file: its records, and how the run ended.

pub(crate) mod ending;
mod record;

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::Serialize;

pub use ending::{Ending, EndingKind};
pub(crate) use record::BacktraceText;
pub use record::{PanicReport, Record};

use crate::Error;
use crate::format::head::{Head, word as number};
use crate::format::scan::{FoundRecord, Ring, Scanned};
use crate::format::{HEAD_BYTES, Kind, MAX_RING_BYTES, word};
use crate::machine::{Machine, duration_nanos};
use ending::Marks;

/// Content of a black box.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Reading {
    /// Service that wrote the black box.
    pub service: String,
    /// Process id of the run.
    pub process: u64,
    /// Start of the run; in JSON in milliseconds since 1970, like all times here.
    #[serde(serialize_with = "record::as_millis")]
    pub started: SystemTime,
    /// Last proven sign of life, by the clock of the process: its last record or heartbeat.
    #[serde(serialize_with = "record::as_millis")]
    pub last_seen: SystemTime,
    /// Boot id of the machine on which the process ran.
    pub boot_id: String,
    /// End of the run.
    pub ending: Ending,
    /// Panic that ended the run, or else the newest panic in the ring.
    pub panic: Option<PanicReport>,
    /// Whole records, oldest first.
    pub records: Vec<Record>,
    /// Number of older whole records that were left out: beyond the newest
    /// million (2^20), or removed by [`keep_last`](Self::keep_last).
    pub left_out: usize,
    /// Number of gaps between the records, because a record was torn or is being written.
    pub torn: usize,
    /// Number of bytes missing because the file was truncated.
    pub missing_bytes: u64,
}

/// Reads a black box of a dead or running process, from this machine or another one.
///
/// If the process left no mark of its end and no later start has judged it, boot id and
/// kernel counters are compared with those of this machine, but only if the boot id in
/// the file is the current one: otherwise the file may come from another machine.
///
/// # Errors
///
/// Fails if the file cannot be read, or is not a black box of a known version.
pub fn read(path: impl AsRef<Path>) -> Result<Reading, Error> {
    let path = path.as_ref();
    let raw = Raw::read(path)?;
    let machine = Machine::current();
    if machine.boot == Some(raw.head.boot) {
        return raw.reading_here(&machine);
    }
    raw.reading(None, None)
}

/// Reads a black box of this machine, which may have been rebooted since.
///
/// # Errors
///
/// Fails like [`read`].
pub fn read_here(path: impl AsRef<Path>) -> Result<Reading, Error> {
    Raw::read(path.as_ref())?.reading_here(&Machine::current())
}

/// Returns `true` if a process has this black box open for writing.
fn is_running(path: &Path) -> bool {
    let lock = File::open(crate::config::with_suffix(path, "lock"));
    lock.is_ok_and(|lock| {
        matches!(
            lock.try_lock_shared(),
            Err(std::fs::TryLockError::WouldBlock)
        )
    })
}

/// Valid head, and the file that starts with it.
pub(crate) struct Raw<'a> {
    path: &'a Path,
    head: Head,
    /// Head and ring, as far as the file has them.
    bytes: Vec<u8>,
}

impl<'a> Raw<'a> {
    pub(crate) fn read(path: &'a Path) -> Result<Self, Error> {
        let mut options = OpenOptions::new();
        options.read(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            // opening a pipe without a writer must not block
            options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32);
        }
        let opened = options.open(path);
        let file = opened.map_err(|error| Error::io(path, "open the file", error))?;
        Self::from_file(path, &file)
    }

    pub(crate) fn from_file(path: &'a Path, file: &File) -> Result<Self, Error> {
        let failed = |error| Error::io(path, "read the file", error);
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(Error::foreign(path, "not a regular file"));
        }
        let mut bytes = Vec::new();
        let mut start = file.take(HEAD_BYTES as u64);
        start.read_to_end(&mut bytes).map_err(failed)?;
        let head = Head::parse(&bytes).map_err(|reason| Error::foreign(path, reason))?;
        // the head names at most `MAX_RING_BYTES`
        let ring = head.ring_bytes.min(MAX_RING_BYTES);
        file.take(ring).read_to_end(&mut bytes).map_err(failed)?;
        Ok(Self { path, head, bytes })
    }

    fn reading_here(self, machine: &Machine) -> Result<Reading, Error> {
        if is_running(self.path) {
            let mut reading = self.reading(None, None)?;
            reading.ending = Ending::running();
            return Ok(reading);
        }
        self.reading(Some(machine), None)
    }

    /// Judges the end by the marks in the file and, if given, by the machine on which it was written.
    /// With a time and a number, only the last records are returned, see [`Reading::keep_last`].
    pub(crate) fn reading(
        self,
        machine: Option<&Machine>,
        limits: Option<(Duration, usize)>,
    ) -> Result<Reading, Error> {
        let head = self.head;
        let ring = Ring {
            bytes: &self.bytes[HEAD_BYTES..],
            size: head.ring_bytes as usize,
        };
        let scanned = ring.scan(head.run);
        let mut scanned = scanned.map_err(|reason| Error::foreign(self.path, reason))?;
        let number = |at: usize| number(&self.bytes, at * 8);
        // a record was started and not finished
        let unfinished = number(word::NEXT) > scanned.end && scanned.end > 0;
        let panics = panics(&scanned, ring);
        // the clock may have been set back: the last record is the newest, whatever its time
        let last = scanned.records.last().map(|record| record.at);
        let beat = number(word::BEAT).max(head.started);
        let last_seen = match last {
            Some(last) if number(word::NEXT) == scanned.end => last,
            // later records were torn, or are missing
            last => beat.max(last.unwrap_or(0)),
        };
        let marks = Marks::of(&self.bytes, &head, last_seen);
        let ending = match Ending::verdict(&self.bytes) {
            Some(ending) => ending,
            None => marks.judge(&panics, machine),
        };
        let mut panic = marks.fatal(&panics).or(panics.last()).cloned();
        if let Some(panic) = &mut panic {
            let mut traces = newest_of(Kind::Backtrace, &scanned, ring);
            panic.backtrace = traces.find_map(|record| record.backtrace(panic.nanos));
        }
        let mut left_out = scanned.left_out;
        if let Some((time, most)) = limits {
            left_out += keep_last(&mut scanned.records, |record| record.at, time, most);
        }
        let records = scanned.records.iter();
        let records = records.map(|found| Record::of(found, ring)).collect();
        let boot_id: String = head.boot.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Reading {
            service: head.service,
            process: head.process,
            started: record::system_time(head.started),
            last_seen: record::system_time(last_seen),
            boot_id,
            ending,
            panic,
            records,
            left_out,
            torn: scanned.torn + usize::from(unfinished),
            missing_bytes: ring.size.saturating_sub(ring.bytes.len()) as u64,
        })
    }
}

impl Reading {
    /// Returns the reading of a run that left only a file of zeros.
    #[cfg(unix)]
    pub(crate) fn lost(service: &str, modified: SystemTime) -> Self {
        Self {
            service: service.to_owned(),
            process: 0,
            started: modified,
            last_seen: modified,
            boot_id: "0".repeat(32),
            ending: Ending::lost(),
            panic: None,
            records: Vec::new(),
            left_out: 0,
            torn: 0,
            missing_bytes: 0,
        }
    }

    /// Keeps the records within `time` before the last one, and at most `most`
    /// of them. Records written before the clock was set back count as recent.
    pub fn keep_last(&mut self, time: Duration, most: usize) {
        self.left_out += keep_last(&mut self.records, |record| record.nanos, time, most);
    }
}

/// Keeps the last records, and returns the number of removed ones.
fn keep_last<T>(
    records: &mut Vec<T>,
    nanos: impl Fn(&T) -> u64,
    time: Duration,
    most: usize,
) -> usize {
    let all = records.len();
    let least = records.last().map_or(0, &nanos);
    let least = least.saturating_sub(duration_nanos(time));
    records.retain(|record| nanos(record) >= least);
    let older = records.len().saturating_sub(most);
    records.drain(..older);
    all - records.len()
}

fn newest_of<'a>(
    kind: Kind,
    scanned: &'a Scanned,
    ring: Ring<'a>,
) -> impl Iterator<Item = Record> + 'a {
    let newest = scanned.records.iter().rev();
    let newest = newest.filter(move |found: &&FoundRecord| found.kind == kind);
    newest.map(move |found| Record::of(found, ring))
}

/// Returns the panics that may have ended the run, oldest first: the newest of
/// all, the newest of the main thread, and the newest that cannot be caught.
fn panics(scanned: &Scanned, ring: Ring<'_>) -> Vec<PanicReport> {
    let mut panics: Vec<PanicReport> = Vec::new();
    for record in newest_of(Kind::Panic, scanned, ring) {
        let Some(panic) = record.panic() else {
            continue;
        };
        let is_first_of_main = panic.is_main && !panics.iter().any(|panic| panic.is_main);
        let is_first_to_abort = panic.aborts && !panics.iter().any(|panic| panic.aborts);
        if panics.is_empty() || is_first_of_main || is_first_to_abort {
            panics.push(panic);
        }
    }
    panics.reverse();
    panics
}
