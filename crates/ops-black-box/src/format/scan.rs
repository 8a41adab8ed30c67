use std::borrow::Cow;

use super::head::word;
use super::{Kind, MAX_RECORD_BYTES, RECORD_HEAD_BYTES, begin_checksum, record_bytes};

/// Whole record, whose text is still in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FoundRecord {
    pub(crate) position: u64,
    pub(crate) kind: Kind,
    /// Nanoseconds since 1970.
    pub(crate) at: u64,
    /// Offset of the text in the ring.
    text_offset: usize,
    length: usize,
}

/// Whole records of a ring, oldest first, and the gaps between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scanned {
    pub(crate) records: Vec<FoundRecord>,
    /// Number of gaps between the oldest and the newest record: torn records.
    pub(crate) torn: usize,
    /// Position after the newest record.
    pub(crate) end: u64,
    /// Number of records older than the oldest one here, left out because there were more than [`MAX_RECORDS`].
    pub(crate) left_out: usize,
}

/// Maximum number of bytes checked in total, per byte of the ring, so that a forged file cannot keep a reader busy.
const MAX_CHECKS_PER_BYTE: usize = 16;
/// Maximum number of records returned, the newest ones: the empty
/// records of a large ring would take more memory than the file.
pub(crate) const MAX_RECORDS: usize = 1 << 20;

/// Bytes of a ring, as far as the file has them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ring<'a> {
    pub(crate) bytes: &'a [u8],
    /// Size of the ring in a file that was not truncated.
    pub(crate) size: usize,
}

impl Ring<'_> {
    /// Finds the records. The error is the reason why the ring is not valid.
    pub(crate) fn scan(self, run: u64) -> Result<Scanned, String> {
        let mut budget = self.bytes.len().saturating_mul(MAX_CHECKS_PER_BYTE);
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
                    "too many invalid records in the ring: the file is damaged or forged".into(),
                );
            }
            if records.len() == 2 * MAX_RECORDS {
                left_out += keep_newest(&mut records);
            }
        }
        left_out += keep_newest(&mut records);
        let end_of = |record: &FoundRecord| record.position + record_bytes(record.length) as u64;
        let end = records.iter().map(end_of).max().unwrap_or(0);
        // a writer that fell behind by a whole lap wrote over newer records
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

    /// Returns the record that starts here, if it is whole.
    fn record(self, at: usize, run: u64, budget: &mut usize) -> Option<FoundRecord> {
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
        let found = FoundRecord {
            position,
            kind,
            at: time,
            text_offset: (at + RECORD_HEAD_BYTES) % self.size,
            length,
        };
        let (straight, wrapped) = self.parts(&found)?;
        let mut checksum = begin_checksum(run, position, time, length_and_kind);
        checksum.update(straight);
        checksum.update(wrapped);
        (checksum.finalize() == (second >> 32) as u32).then_some(found)
    }

    /// Returns the text of a record in two parts, up to the end of the
    /// ring and from its start; `None` if the file lacks a part of it.
    fn parts(&self, record: &FoundRecord) -> Option<(&[u8], &[u8])> {
        let straight = record.length.min(self.size - record.text_offset);
        let wrapped = self.bytes.get(..record.length - straight)?;
        Some((
            self.bytes
                .get(record.text_offset..record.text_offset + straight)?,
            wrapped,
        ))
    }

    /// Returns the text of a record found in this ring.
    pub(crate) fn text(&self, record: &FoundRecord) -> Cow<'_, [u8]> {
        match self.parts(record) {
            Some((straight, [])) => Cow::Borrowed(straight),
            Some((straight, wrapped)) => Cow::Owned([straight, wrapped].concat()),
            None => Cow::Borrowed(&[]),
        }
    }
}

/// Sorts the records, removes the oldest ones beyond [`MAX_RECORDS`], and returns how many it removed.
fn keep_newest(records: &mut Vec<FoundRecord>) -> usize {
    records.sort_unstable_by_key(|record| record.position);
    let older = records.len().saturating_sub(MAX_RECORDS);
    records.drain(..older);
    older
}
