use crate::escape;

/// Longer lines are kept up to here.
pub const MAX_RECENT_BYTES: usize = 8 * 1024;

/// Initial capacity of a buffer; most lines fit.
const USUAL_BYTES: usize = 512;

/// Those of the newest lines that some threads wrote; their buffers are used again.
#[derive(Debug)]
pub(crate) struct Ring {
    /// In the order of their numbers, from `next` on and round.
    slots: Vec<Slot>,
    next: usize,
}

#[derive(Debug)]
struct Slot {
    number: u64,
    line: Vec<u8>,
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
        }
    }

    /// Keeps a line without its newline. What is left in its buffer is an older line, or nothing.
    #[inline(always)]
    pub(crate) fn push(&mut self, number: u64, line: &mut Vec<u8>, capacity: usize) {
        let slot = self.slot(number, capacity);
        slot.number = number;
        if line.len() <= MAX_RECENT_BYTES && line.capacity() <= 2 * MAX_RECENT_BYTES {
            // the buffers change places: nothing is copied
            std::mem::swap(&mut slot.line, line);
            if slot.line.last() == Some(&b'\n') {
                slot.line.pop();
            }
        } else {
            let whole = line.strip_suffix(b"\n").unwrap_or(line);
            slot.line.clear();
            // one byte more tells that it is longer
            slot.line
                .extend_from_slice(&whole[..whole.len().min(MAX_RECENT_BYTES + 1)]);
        }
    }

    /// The slot of the oldest line if that is none of the newest any more, otherwise another one.
    #[inline(always)]
    fn slot(&mut self, number: u64, capacity: usize) -> &mut Slot {
        let gone = number.saturating_sub(capacity as u64);
        let oldest = if self.next < self.slots.len() {
            self.next
        } else {
            0
        };
        let at = match self.slots.get(oldest) {
            Some(slot) if slot.number <= gone => oldest,
            _ => self.add_slot(),
        };
        self.next = at + 1;
        &mut self.slots[at]
    }

    #[cold]
    fn add_slot(&mut self) -> usize {
        let slot = Slot {
            number: 0,
            line: Vec::with_capacity(USUAL_BYTES),
        };
        self.slots.insert(self.next, slot);
        self.next
    }

    /// Removes the lines up to the one with this number.
    pub(crate) fn remove_up_to(&mut self, number: u64) {
        self.slots.rotate_left(self.next);
        self.slots.retain(|slot| slot.number > number);
        self.next = self.slots.len();
    }

    /// The lines after the one with this number, each with its own.
    pub(crate) fn after(&self, number: u64) -> impl Iterator<Item = (u64, &[u8])> {
        let fresh = self.slots.iter().filter(move |slot| slot.number > number);
        fresh.map(|slot| (slot.number, &slot.line[..]))
    }
}

/// A line that was kept, as text.
pub(crate) fn text(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    if line.len() <= MAX_RECENT_BYTES {
        text.into_owned()
    } else {
        format!("{}…", escape::cut(&text, MAX_RECENT_BYTES - 4))
    }
}
