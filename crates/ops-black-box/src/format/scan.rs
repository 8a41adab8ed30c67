use super::head::word;
use super::{Kind, MAX_RECORD_BYTES, RECORD_HEAD_BYTES, begin_checksum, record_bytes};

/// A whole record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) position: u64,
    pub(crate) kind: Kind,
    /// Nanoseconds since 1970.
    pub(crate) at: u64,
    pub(crate) text: Vec<u8>,
}

/// Whole records of a ring, oldest first, and what lies between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scanned {
    pub(crate) records: Vec<Found>,
    /// Places between the oldest and the newest record that hold none: records that were torn.
    pub(crate) torn: usize,
    /// Position behind the newest record.
    pub(crate) end: u64,
}

/// Bytes that are checked altogether, for each byte of the ring: a forged file does not keep a reader busy.
const WORK: usize = 16;

/// Finds the records of a ring whose bytes these are; what a truncated file lacks is zeros. The error is the reason why it is none.
pub(crate) fn scan(ring: &[u8], run: u64) -> Result<Scanned, String> {
    let mut budget = ring.len().saturating_mul(WORK);
    let mut records = Vec::new();
    let mut at = 0;
    while at + 8 <= ring.len() {
        match record(ring, at, run, &mut budget) {
            Some(found) => {
                at += record_bytes(found.text.len());
                records.push(found);
            }
            None => at += 8,
        }
        if budget == 0 {
            return Err("the ring is full of broken records: the file is damaged or forged".into());
        }
    }
    records.sort_by_key(|record| record.position);
    let end_of = |record: &Found| record.position + record_bytes(record.text.len()) as u64;
    let end = records.iter().map(end_of).max().unwrap_or(0);
    // a writer that was overtaken by a whole lap wrote over newer ones
    records.retain(|record| record.position + ring.len() as u64 >= end);
    let pairs = records.windows(2);
    let torn = pairs.filter(|pair| end_of(&pair[0]) != pair[1].position);
    Ok(Scanned {
        torn: torn.count(),
        records,
        end,
    })
}

/// Returns the record that begins here, if it is whole.
fn record(ring: &[u8], at: usize, run: u64, budget: &mut usize) -> Option<Found> {
    let position = word(ring, at);
    if position % ring.len() as u64 != at as u64 || position > u64::MAX / 2 {
        return None;
    }
    let second = word(ring, (at + 8) % ring.len());
    let length_and_kind = second as u32;
    let kind = Kind::from_byte((length_and_kind >> 24) as u8)?;
    let length = (length_and_kind & 0x00ff_ffff) as usize;
    if length > MAX_RECORD_BYTES || record_bytes(length) > ring.len() {
        return None;
    }
    *budget = budget.saturating_sub(length + RECORD_HEAD_BYTES);
    let time = word(ring, (at + 16) % ring.len());
    let begin = (at + RECORD_HEAD_BYTES) % ring.len();
    let straight = &ring[begin..ring.len().min(begin + length)];
    let wrapped = &ring[..length - straight.len()];
    let mut checksum = begin_checksum(run, position, time, length_and_kind);
    checksum.update(straight);
    checksum.update(wrapped);
    (checksum.finalize() == (second >> 32) as u32).then(|| Found {
        position,
        kind,
        at: time,
        text: [straight, wrapped].concat(),
    })
}
