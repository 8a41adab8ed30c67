use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::record::{Record, Span};
use super::stats::Offered;
use crate::config::{MAX_LINE_BYTES, QUEUE_BYTES};

/// Maximum number of waiting spans and samples.
const MAX_RECORDS: usize = 32 * 1024;
/// Maximum number of waiting lines, in addition to [`QUEUE_BYTES`].
const MAX_LINES: usize = 128 * 1024;
/// Bytes added per line for bookkeeping, so that empty lines are limited too.
const LINE_BYTES: usize = 16;

/// Records that wait for the writer. Offering one blocks only while another one is copied.
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    wake: Condvar,
}

/// Records offered since the writer last took them.
#[derive(Default)]
pub(super) struct Waiting {
    /// Lines, concatenated.
    pub(super) text: Vec<u8>,
    /// Timestamp of each line in microseconds, and the end of its text.
    pub(super) lines: Vec<(i64, usize)>,
    pub(super) records: Vec<Record>,
    record_bytes: usize,
    pub(super) offered: Offered,
    /// Number of the last flush requested.
    pub(super) flush: u64,
    pub(super) is_closed: bool,
}

impl Waiting {
    fn bytes(&self) -> usize {
        self.text.len() + self.lines.len() * LINE_BYTES + self.record_bytes
    }

    fn is_half_full(&self) -> bool {
        self.bytes() > QUEUE_BYTES / 2
            || self.lines.len() > MAX_LINES / 2
            || self.records.len() > MAX_RECORDS / 2
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.records.is_empty()
    }

    fn clear(&mut self) {
        self.text.clear();
        self.lines.clear();
        self.records.clear();
        self.record_bytes = 0;
    }
}

impl Queue {
    pub(super) fn new() -> Self {
        Self {
            waiting: Mutex::default(),
            wake: Condvar::new(),
        }
    }

    fn locked(&self) -> MutexGuard<'_, Waiting> {
        // no code panics while it is locked
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn line(&self, at: i64, json: &[u8]) {
        let mut waiting = self.locked();
        waiting.offered.lines.offered += 1;
        if json.len() > MAX_LINE_BYTES {
            waiting.offered.lines.too_long += 1;
        } else if waiting.is_closed {
            waiting.offered.lines.closed += 1;
        } else if waiting.lines.len() >= MAX_LINES
            || waiting.bytes() + json.len() + LINE_BYTES > QUEUE_BYTES
        {
            waiting.offered.lines.queue_full += 1;
        } else {
            waiting.text.extend_from_slice(json);
            let end = waiting.text.len();
            waiting.lines.push((at, end));
            self.wake_if_half_full(waiting);
        }
    }

    pub(super) fn record(&self, record: Record) {
        let mut waiting = self.locked();
        let bytes = record.bytes();
        let is_closed = waiting.is_closed;
        let is_full = waiting.records.len() >= MAX_RECORDS || waiting.bytes() + bytes > QUEUE_BYTES;
        let counts = match record {
            Record::Span(_) => &mut waiting.offered.spans,
            Record::Sample(_) => &mut waiting.offered.samples,
        };
        counts.offered += 1;
        if is_closed {
            counts.closed += 1;
        } else if is_full {
            counts.queue_full += 1;
        } else {
            waiting.record_bytes += bytes;
            waiting.records.push(record);
            self.wake_if_half_full(waiting);
        }
    }

    pub(super) fn span(&self, span: Span) {
        self.record(Record::Span(span));
    }

    fn wake_if_half_full(&self, waiting: MutexGuard<'_, Waiting>) {
        let wake = waiting.is_half_full();
        drop(waiting);
        if wake {
            self.wake.notify_one();
        }
    }

    pub(super) fn offered(&self) -> Offered {
        self.locked().offered
    }

    /// Requests a flush and returns its number.
    pub(super) fn request_flush(&self, close: bool) -> u64 {
        let mut waiting = self.locked();
        waiting.flush += 1;
        waiting.is_closed |= close;
        let flush = waiting.flush;
        drop(waiting);
        self.wake.notify_one();
        flush
    }

    /// Waits until the queue is half full, a flush is requested or `patience` is over, and swaps the waiting records
    /// with `taken`, whose buffers are reused.
    pub(super) fn take(&self, patience: Duration, taken: &mut Waiting) {
        taken.clear();
        let mut waiting = self.locked();
        if !waiting.is_half_full() && waiting.flush == taken.flush && !waiting.is_closed {
            let waited = self.wake.wait_timeout(waiting, patience);
            waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        std::mem::swap(&mut *waiting, taken);
        waiting.flush = taken.flush;
        waiting.is_closed = taken.is_closed;
        waiting.offered = taken.offered;
    }
}
