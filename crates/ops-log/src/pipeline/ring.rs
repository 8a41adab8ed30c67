use crate::escape;

/// Longer lines are kept up to here.
pub const MAX_RECENT_BYTES: usize = 8 * 1024;

/// Initial capacity of a buffer; most lines fit.
const USUAL_BYTES: usize = 512;

/// The newest lines; their buffers are used again.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    slots: Vec<Vec<u8>>,
    next: usize,
    /// Number of lines so far: that of the newest one.
    last: u64,
}

/// Lines that followed another one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecentLines {
    /// Number of the newest line; the others count down from it. The first line of a process has number 1.
    pub last: u64,
    /// The lines as JSON, oldest first.
    pub lines: Vec<String>,
}

impl Ring {
    pub(crate) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            next: 0,
            last: 0,
        }
    }

    /// Keeps a line without its newline. What is left in its buffer is an older line, or nothing.
    #[inline(always)]
    pub(crate) fn push(&mut self, line: &mut Vec<u8>, capacity: usize) {
        if capacity == 0 {
            return;
        }
        self.last += 1;
        if self.next >= self.slots.len() {
            self.slots.push(Vec::with_capacity(USUAL_BYTES));
        }
        let slot = &mut self.slots[self.next];
        if line.len() <= MAX_RECENT_BYTES && line.capacity() <= 2 * MAX_RECENT_BYTES {
            // the buffers change places: nothing is copied
            std::mem::swap(slot, line);
            if slot.last() == Some(&b'\n') {
                slot.pop();
            }
        } else {
            slot.clear();
            slot.extend_from_slice(&line[..line.len().min(MAX_RECENT_BYTES)]);
        }
        self.next += 1;
        if self.next >= capacity {
            self.next = 0;
        }
    }

    /// Makes room for this many from here on, and keeps the newest of those that are there.
    pub(crate) fn resize(&mut self, capacity: usize) {
        let (newer, older) = self.slots.split_at(self.next.min(self.slots.len()));
        let kept: Vec<Vec<u8>> = older.iter().chain(newer).cloned().collect();
        self.slots = kept[kept.len().saturating_sub(capacity)..].to_vec();
        self.next = if self.slots.len() >= capacity {
            0
        } else {
            self.slots.len()
        };
    }

    /// Returns the lines after the one with this number, as far as they are kept.
    pub(crate) fn after(&self, number: u64) -> RecentLines {
        let fresh = usize::try_from(self.last.saturating_sub(number)).unwrap_or(usize::MAX);
        RecentLines {
            last: self.last,
            lines: self.newest(fresh),
        }
    }

    /// The newest lines, oldest first.
    pub(crate) fn newest(&self, lines: usize) -> Vec<String> {
        let (newer, older) = self.slots.split_at(self.next.min(self.slots.len()));
        let kept: Vec<&Vec<u8>> = older.iter().chain(newer).collect();
        kept[kept.len().saturating_sub(lines)..]
            .iter()
            .map(|line| {
                let text = String::from_utf8_lossy(line);
                if line.len() < MAX_RECENT_BYTES {
                    text.into_owned()
                } else {
                    format!("{}…", escape::cut(&text, MAX_RECENT_BYTES - 4))
                }
            })
            .collect()
    }
}
