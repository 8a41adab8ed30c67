use std::borrow::Cow;

use super::head::word;
use super::{Kind, MAX_RECORD_BYTES, RECORD_HEAD_BYTES, begin_checksum, record_bytes};

/// A whole record, whose text is in the ring still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) position: u64,
    pub(crate) kind: Kind,
    /// Nanoseconds since 1970.
    pub(crate) at: u64,
    /// Place of the text in the ring.
    begin: usize,
    length: usize,
}

/// Whole records of a ring, oldest first, and what lies between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scanned {
    pub(crate) records: Vec<Found>,
    /// Places between the oldest and the newest record that hold none: records that were torn.
    pub(crate) torn: usize,
    /// Position behind the newest record.
    pub(crate) end: u64,
    /// Records before the oldest one here: there were more than [`MOST`].
    pub(crate) left_out: usize,
}

/// Bytes that are checked altogether, for each byte of the ring: a forged file does not keep a reader busy.
const WORK: usize = 16;
/// Records that are found at most, the newest ones: empty ones of a large ring would take more memory than the file.
pub(crate) const MOST: usize = 1 << 20;

/// The bytes of a ring, as far as the file has them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ring<'a> {
    pub(crate) bytes: &'a [u8],
    /// Bytes that it has if nobody truncated it.
    pub(crate) size: usize,
}

impl Ring<'_> {
    /// Finds the records. The error is the reason why it is none.
    pub(crate) fn scan(self, run: u64) -> Result<Scanned, String> {
        let mut budget = self.bytes.len().saturating_mul(WORK);
        let mut records = Vec::new();
        let mut left_out = 0;
        let mut at = 0;
        while at + 8 <= self.bytes.len() {
            match self.record(at, run, &mut budget) {
                Some(found) => {
                    at += record_bytes(found.length);
                    records.push(found);
                }
                None => at += 8,
            }
            if budget == 0 {
                return Err(
                    "the ring is full of broken records: the file is damaged or forged".into(),
                );
            }
            if records.len() == 2 * MOST {
                left_out += keep_newest(&mut records);
            }
        }
        left_out += keep_newest(&mut records);
        let end_of = |record: &Found| record.position + record_bytes(record.length) as u64;
        let end = records.iter().map(end_of).max().unwrap_or(0);
        // a writer that was overtaken by a whole lap wrote over newer ones
        records.retain(|record| record.position + self.size as u64 >= end);
        let pairs = records.windows(2);
        let torn = pairs.filter(|pair| end_of(&pair[0]) != pair[1].position);
        Ok(Scanned {
            torn: torn.count(),
            records,
            end,
            left_out,
        })
    }

    /// Returns the record that begins here, if it is whole.
    fn record(self, at: usize, run: u64, budget: &mut usize) -> Option<Found> {
        let position = word(self.bytes, at);
        if position % self.size as u64 != at as u64 || position > u64::MAX / 2 {
            return None;
        }
        let second = word(self.bytes, (at + 8) % self.size);
        let length_and_kind = second as u32;
        let kind = Kind::from_byte((length_and_kind >> 24) as u8)?;
        let length = (length_and_kind & 0x00ff_ffff) as usize;
        if length > MAX_RECORD_BYTES || record_bytes(length) > self.size {
            return None;
        }
        *budget = budget.saturating_sub(length + RECORD_HEAD_BYTES);
        let time = word(self.bytes, (at + 16) % self.size);
        let found = Found {
            position,
            kind,
            at: time,
            begin: (at + RECORD_HEAD_BYTES) % self.size,
            length,
        };
        let (straight, wrapped) = self.parts(&found)?;
        let mut checksum = begin_checksum(run, position, time, length_and_kind);
        checksum.update(straight);
        checksum.update(wrapped);
        (checksum.finalize() == (second >> 32) as u32).then_some(found)
    }

    /// Text of a record, up to the end of the ring and from its beginning; `None` if the file lacks a part of it.
    fn parts(&self, of: &Found) -> Option<(&[u8], &[u8])> {
        let straight = of.length.min(self.size - of.begin);
        let wrapped = self.bytes.get(..of.length - straight)?;
        Some((self.bytes.get(of.begin..of.begin + straight)?, wrapped))
    }

    /// Text of a record that was found here.
    pub(crate) fn text(&self, of: &Found) -> Cow<'_, [u8]> {
        match self.parts(of) {
            Some((straight, [])) => Cow::Borrowed(straight),
            Some((straight, wrapped)) => Cow::Owned([straight, wrapped].concat()),
            None => Cow::Borrowed(&[]),
        }
    }
}

/// Sorts records, removes the oldest ones, and returns how many.
fn keep_newest(records: &mut Vec<Found>) -> usize {
    records.sort_unstable_by_key(|record| record.position);
    let older = records.len().saturating_sub(MOST);
    records.drain(..older);
    older
}
