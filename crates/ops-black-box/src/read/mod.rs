//! A file as it is found: its records, and how the run ended.

pub(crate) mod ending;
mod record;

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::Serialize;

pub use ending::{Ending, EndingKind};
pub(crate) use record::Backtrace as BacktraceText;
pub use record::{PanicReport, Record};

use crate::Error;
use crate::format::head::{Head, word as number};
use crate::format::scan::{Found, Ring, Scanned};
use crate::format::{HEAD_BYTES, Kind, MAX_RING_BYTES, word};
use crate::machine::{Machine, duration_nanos};
use ending::Marks;

/// Content of a black box.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Reading {
    /// Service that wrote it.
    pub service: String,
    /// Its process id.
    pub process: u64,
    /// Its start, in milliseconds since 1970 in JSON, as all times here.
    #[serde(serialize_with = "record::as_millis")]
    pub started: SystemTime,
    /// Last moment at which it was alive for certain, by its clock: its last record or heartbeat.
    #[serde(serialize_with = "record::as_millis")]
    pub last_seen: SystemTime,
    /// Boot id of the machine that it ran on.
    pub boot_id: String,
    /// End of the run.
    pub ending: Ending,
    /// Panic that ended the run, otherwise the newest one in the ring.
    pub panic: Option<PanicReport>,
    /// Whole records, oldest first.
    pub records: Vec<Record>,
    /// Whole records that are older and were left out: of more than a million, or by [`keep_last`](Self::keep_last).
    pub left_out: usize,
    /// Places between the records that hold none, because a record was torn or is being written.
    pub torn: usize,
    /// Bytes that the file lacks, because somebody truncated it.
    pub missing_bytes: u64,
}

/// Reads a black box, of a process that is dead or of one that runs, of this machine or of another one.
///
/// If its process left no mark of its end and no later start has judged it, boot id and counters of the kernel are compared with those
/// of this machine, but only while it has the boot id of the file: it may be another one.
///
/// # Errors
///
/// Fails if the file cannot be read, or is no black box of a version that is known.
pub fn read(path: impl AsRef<Path>) -> Result<Reading, Error> {
    let path = path.as_ref();
    let raw = Raw::read(path)?;
    let machine = Machine::look();
    if machine.boot == Some(raw.head.boot) {
        return raw.reading_here(&machine);
    }
    raw.reading(None, None)
}

/// Reads a black box of this machine, which may have been booted since.
///
/// # Errors
///
/// Fails as [`read`] does.
pub fn read_here(path: impl AsRef<Path>) -> Result<Reading, Error> {
    Raw::read(path.as_ref())?.reading_here(&Machine::look())
}

/// Reports whether a process has this black box open for writing.
fn is_running(path: &Path) -> bool {
    let lock = File::open(crate::config::beside(path, "lock"));
    lock.is_ok_and(|lock| {
        matches!(
            lock.try_lock_shared(),
            Err(std::fs::TryLockError::WouldBlock)
        )
    })
}

/// A head that is right, and the file that it begins.
pub(crate) struct Raw<'a> {
    path: &'a Path,
    head: Head,
    /// Bytes that the file has.
    bytes: Vec<u8>,
}

impl<'a> Raw<'a> {
    pub(crate) fn read(path: &'a Path) -> Result<Self, Error> {
        let mut options = OpenOptions::new();
        options.read(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            // a pipe without a writer would be waited for
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
            return Err(Error::foreign(path, "it is no file"));
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

    /// Judges the end by the marks in the file, and by the machine if it is the one that the file was written on. With a time and a
    /// number only the last records are made, see [`Reading::keep_last`].
    pub(crate) fn reading(
        self,
        machine: Option<&Machine>,
        last_ones: Option<(Duration, usize)>,
    ) -> Result<Reading, Error> {
        let head = self.head;
        let ring = Ring {
            bytes: &self.bytes[HEAD_BYTES..],
            size: head.ring_bytes as usize,
        };
        let scanned = ring.scan(head.run);
        let mut scanned = scanned.map_err(|reason| Error::foreign(self.path, reason))?;
        let number = |at: usize| number(&self.bytes, at * 8);
        // a record that was begun and not ended
        let unfinished = number(word::NEXT) > scanned.end && scanned.end > 0;
        let panics = panics(&scanned, ring);
        // the clock may have been set back: the last record is the newest one, whatever its time
        let last = scanned.records.last().map(|record| record.at);
        let beat = number(word::BEAT).max(head.started);
        let last_seen = match last {
            Some(last) if number(word::NEXT) == scanned.end => last,
            // later ones were torn, or are missing
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
        if let Some((time, most)) = last_ones {
            left_out += keep_last(&mut scanned.records, |record| record.at, time, most);
        }
        let records = scanned.records.iter();
        let records = records.map(|found| Record::of(found, ring)).collect();
        let boot_id: String = head.boot.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Reading {
            service: head.service,
            process: head.process,
            started: record::moment(head.started),
            last_seen: record::moment(last_seen),
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
    /// A run of which only a file of zeros is left.
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

    /// Keeps the records of this time before the last one, and at most so many of them. Those from before the clock was set back
    /// count as recent.
    pub fn keep_last(&mut self, time: Duration, most: usize) {
        self.left_out += keep_last(&mut self.records, |record| record.nanos, time, most);
    }
}

/// Keeps the last records, and returns how many it removed.
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
    let newest = newest.filter(move |found: &&Found| found.kind == kind);
    newest.map(move |found| Record::of(found, ring))
}

/// Panics that may have ended the run, oldest first: the newest one, that of the main thread, and that which nothing can catch.
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
