use crate::escape;

/// Maximum length of a kept recent line in bytes; longer lines are cut.
pub const MAX_RECENT_BYTES: usize = 8 * 1024;

/// Initial capacity of a line buffer in bytes; most lines fit.
const USUAL_BYTES: usize = 512;

/// Newest lines of some threads; buffers are reused.
#[derive(Debug)]
pub(crate) struct Ring {
    /// Circular, in the order of their numbers starting at `next`.
    slots: Vec<Slot>,
    next: usize,
}

#[derive(Debug)]
struct Slot {
    number: u64,
    line: Vec<u8>,
}

/// Recent lines after a given one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecentLines {
    /// Number of the newest line; the others count down from it. The first line of a process has number 1.
    pub last: u64,
    /// Lines as JSON, oldest first.
    pub lines: Vec<String>,
}

impl Ring {
    pub(crate) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            next: 0,
        }
    }

    /// Keeps a line without its newline. Its buffer is left empty or with an older line.
    #[inline(always)]
    pub(crate) fn push(&mut self, number: u64, line: &mut Vec<u8>, capacity: usize) {
        let slot = self.slot(number, capacity);
        slot.number = number;
        if line.len() <= MAX_RECENT_BYTES && line.capacity() <= 2 * MAX_RECENT_BYTES {
            // swapping the buffers copies nothing
            std::mem::swap(&mut slot.line, line);
            if slot.line.last() == Some(&b'\n') {
                slot.line.pop();
            }
        } else {
            let whole = line.strip_suffix(b"\n").unwrap_or(line);
            slot.line.clear();
            // one byte more than the maximum marks a cut line
            slot.line
                .extend_from_slice(&whole[..whole.len().min(MAX_RECENT_BYTES + 1)]);
        }
    }

    /// Returns the slot of the oldest line if that is no longer among the newest ones, otherwise a new slot.
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

    /// Removes all lines up to this number.
    pub(crate) fn remove_up_to(&mut self, number: u64) {
        self.slots.rotate_left(self.next);
        self.slots.retain(|slot| slot.number > number);
        self.next = self.slots.len();
    }

    /// Returns the lines after this number, each with its own number.
    pub(crate) fn after(&self, number: u64) -> impl Iterator<Item = (u64, &[u8])> {
        let fresh = self.slots.iter().filter(move |slot| slot.number > number);
        fresh.map(|slot| (slot.number, &slot.line[..]))
    }
}

/// Returns a kept line as text.
pub(crate) fn text(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    if line.len() <= MAX_RECENT_BYTES {
        text.into_owned()
    } else {
        format!("{}…", escape::cut(&text, MAX_RECENT_BYTES - 4))
    }
}
