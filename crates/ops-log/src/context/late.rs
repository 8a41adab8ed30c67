//! Lines of a request that are written only if it fails or is slow.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::Level;
use crate::level::late_lines::{LateLines, MAX_LATE_BYTES, MAX_LATE_REQUEST_BYTES};
use crate::render::line_buffers::RenderedLine;

/// Size of the lines kept by all requests of a pipeline, and counts of earlier ones.
#[derive(Debug, Default)]
pub(crate) struct LateTotals {
    bytes: AtomicUsize,
    pub(crate) written: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) cut: AtomicU64,
}

/// Lines of one request, oldest first. Lines left when it is dropped count as dropped.
#[derive(Debug)]
pub(crate) struct LateBuffer {
    pub(crate) rule: Arc<LateLines>,
    pub(crate) totals: Arc<LateTotals>,
    /// Cleared when the request ends.
    is_open: AtomicBool,
    /// Set when its lines are written, so that the following lines of the request are written too.
    is_written: AtomicBool,
    kept: Mutex<KeptLines>,
}

#[derive(Debug, Default)]
struct KeptLines {
    lines: VecDeque<RenderedLine>,
    bytes: usize,
    cut: u64,
}

impl LateBuffer {
    pub(crate) fn new(rule: Arc<LateLines>, totals: &Arc<LateTotals>) -> Self {
        Self {
            rule,
            totals: Arc::clone(totals),
            is_open: AtomicBool::new(true),
            is_written: AtomicBool::new(false),
            kept: Mutex::default(),
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Relaxed)
    }

    pub(crate) fn is_written(&self) -> bool {
        self.is_written.load(Ordering::Relaxed)
    }

    /// Returns `true` if a line of this level is kept, by its target and an optional second name.
    pub(crate) fn wants(&self, level: Level, target: &str, other: Option<&str>) -> bool {
        let filter = self.rule.filter.as_ref();
        self.is_open() && filter.is_some_and(|filter| filter.passes(level, target, other))
    }

    /// Keeps a line, in place of older ones if necessary; it is cut if there is still no room.
    pub(crate) fn keep(&self, line: RenderedLine) {
        let size = line.bytes();
        let mut kept = self.kept.lock();
        if !self.is_open() {
            self.totals.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let has_room = |kept: &KeptLines| kept.bytes + size <= MAX_LATE_REQUEST_BYTES;
        while !has_room(&kept) && self.cut_oldest(&mut kept) {}
        while !self.reserve(size) {
            if !self.cut_oldest(&mut kept) {
                return self.count_cut(&mut kept);
            }
        }
        if !has_room(&kept) {
            self.totals.bytes.fetch_sub(size, Ordering::Relaxed);
            return self.count_cut(&mut kept);
        }
        kept.bytes += size;
        kept.lines.push_back(line);
    }

    fn reserve(&self, size: usize) -> bool {
        let room = |bytes: usize| Some(bytes + size).filter(|sum| *sum <= MAX_LATE_BYTES);
        let bytes = &self.totals.bytes;
        bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, room)
            .is_ok()
    }

    fn cut_oldest(&self, kept: &mut KeptLines) -> bool {
        let Some(oldest) = kept.lines.pop_front() else {
            return false;
        };
        kept.bytes -= oldest.bytes();
        self.totals
            .bytes
            .fetch_sub(oldest.bytes(), Ordering::Relaxed);
        self.count_cut(kept);
        true
    }

    fn count_cut(&self, kept: &mut KeptLines) {
        kept.cut += 1;
        self.totals.cut.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends the request and returns its lines to be written, and the number of cut ones. No more lines are kept.
    pub(crate) fn take(&self) -> (VecDeque<RenderedLine>, u64) {
        self.is_written.store(true, Ordering::Relaxed);
        self.close()
    }

    fn close(&self) -> (VecDeque<RenderedLine>, u64) {
        let mut kept = self.kept.lock();
        self.is_open.store(false, Ordering::Relaxed);
        let kept = std::mem::take(&mut *kept);
        self.totals.bytes.fetch_sub(kept.bytes, Ordering::Relaxed);
        (kept.lines, kept.cut)
    }

    /// Ends a request and drops its lines.
    pub(crate) fn discard(&self) {
        let (lines, _) = self.close();
        let count = lines.len() as u64;
        self.totals.dropped.fetch_add(count, Ordering::Relaxed);
    }
}

impl Drop for LateBuffer {
    fn drop(&mut self) {
        self.discard();
    }
}
