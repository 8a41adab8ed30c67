//! Counts of lines, and the newest lines. Each thread uses a part that it
//! rarely shares, so that threads that log do not wait for each other.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use parking_lot::{Mutex, MutexGuard};

use crate::pipeline::ring::{RecentLines, Ring, text};
use crate::pipeline::stats::Counts;
use crate::{Level, RECENT_LINES};

/// Number of parts; a power of two. If there are more threads, they share parts.
const PARTS: usize = 16;

/// Value on its own cache lines: processors fetch two of 64 bytes together.
#[derive(Debug)]
#[repr(align(128))]
struct Apart<T>(T);

/// Counts and newest lines of a pipeline.
#[derive(Debug)]
pub(crate) struct LineLog {
    parts: [Apart<Mutex<Part>>; PARTS],
    /// Number of the newest kept line. It is incremented under the lock of
    /// a part, so a thread that holds all parts sees all lines up to it.
    last: Apart<AtomicU64>,
    /// Number of lines that are kept; changed only while all parts are locked.
    capacity: AtomicUsize,
}

#[derive(Debug)]
struct Part {
    counts: Counts,
    recent: Ring,
}

impl LineLog {
    pub(crate) const fn new() -> Self {
        Self {
            parts: [const { Apart(Mutex::new(Part::new())) }; PARTS],
            last: Apart(AtomicU64::new(0)),
            capacity: AtomicUsize::new(RECENT_LINES),
        }
    }

    #[inline(always)]
    fn part(&self, thread: usize) -> MutexGuard<'_, Part> {
        self.parts[thread % PARTS].0.lock()
    }

    /// Counts a line that was passed to the outputs, and keeps it and then our warnings about outputs.
    #[inline(always)]
    pub(crate) fn note(
        &self,
        thread: usize,
        level: Level,
        taken: bool,
        line: &mut Vec<u8>,
        warnings: &mut Vec<Vec<u8>>,
    ) {
        let mut part = self.part(thread);
        part.counts.count(level, taken);
        let capacity = self.capacity.load(Relaxed);
        if capacity == 0 {
            return warnings.clear();
        }
        part.recent.push(self.next(), line, capacity);
        if !warnings.is_empty() {
            self.keep_all(&mut part.recent, warnings, capacity);
        }
    }

    #[cold]
    fn keep_all(&self, recent: &mut Ring, lines: &mut Vec<Vec<u8>>, capacity: usize) {
        for mut line in lines.drain(..) {
            recent.push(self.next(), &mut line, capacity);
        }
    }

    #[inline(always)]
    fn next(&self) -> u64 {
        self.last.0.fetch_add(1, Relaxed) + 1
    }

    /// Counts a line without keeping it.
    pub(crate) fn count(&self, thread: usize, level: Level, taken: bool) {
        self.part(thread).counts.count(level, taken);
    }

    pub(crate) fn count_unsampled(&self, thread: usize) {
        self.part(thread).counts.unsampled += 1;
    }

    pub(crate) fn count_suppressed(&self, thread: usize) {
        self.part(thread).counts.suppressed += 1;
    }

    fn all(&self) -> [MutexGuard<'_, Part>; PARTS] {
        self.parts.each_ref().map(|part| part.0.lock())
    }

    /// Returns a consistent snapshot of the counts of all threads.
    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts::new();
        for part in self.all() {
            counts.add(&part.counts);
        }
        counts
    }

    /// Sets the number of lines to keep, and discards the oldest ones beyond it.
    pub(crate) fn resize(&self, capacity: usize) {
        let mut parts = self.all();
        self.capacity.store(capacity, Relaxed);
        let gone = self.last.0.load(Relaxed).saturating_sub(capacity as u64);
        for part in &mut parts {
            part.recent.remove_up_to(gone);
        }
    }

    /// Returns the newest lines, oldest first.
    pub(crate) fn newest(&self, lines: usize) -> Vec<String> {
        self.fresh(|last| last.saturating_sub(lines as u64)).lines
    }

    /// Returns the lines after the one with this number, as far as they are kept.
    pub(crate) fn after(&self, number: u64) -> RecentLines {
        self.fresh(|_| number)
    }

    fn fresh(&self, after: impl FnOnce(u64) -> u64) -> RecentLines {
        let parts = self.all();
        let (last, capacity) = (self.last.0.load(Relaxed), self.capacity.load(Relaxed));
        let after = after(last).max(last.saturating_sub(capacity as u64));
        let kept = parts.iter().flat_map(|part| part.recent.after(after));
        let mut kept: Vec<_> = kept.collect();
        kept.sort_unstable_by_key(|(number, _)| *number);
        RecentLines {
            last,
            lines: kept.iter().map(|(_, line)| text(line)).collect(),
        }
    }
}

impl Part {
    const fn new() -> Self {
        Self {
            counts: Counts::new(),
            recent: Ring::new(),
        }
    }
}
