use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::memory::Memory;
use crate::format::{
    HEAD_BYTES, Kind, MAX_RECORD_BYTES, begin_checksum, length_and_kind, record_bytes, word,
};

/// Mapped file as a ring of records.
#[derive(Debug)]
pub(crate) struct Ring {
    memory: Memory,
    run: u64,
    max_text_bytes: usize,
}

const HEAD_WORDS: usize = HEAD_BYTES / 8;

impl Ring {
    pub(crate) fn new(memory: Memory, run: u64) -> Self {
        let bytes = (memory.words().len() - HEAD_WORDS) * 8;
        Self {
            memory,
            run,
            // so that one record leaves room for others
            max_text_bytes: MAX_RECORD_BYTES.min(bytes / 4),
        }
    }

    /// Writes a record. Threads synchronize only to reserve space,
    /// by one atomic addition; each then writes to its own space.
    ///
    /// The order in which the words of a record arrive does not
    /// matter: a reader ignores it until the checksum is right.
    pub(crate) fn push(&self, kind: Kind, at: u64, text: &[u8]) {
        let text = &text[..text.len().min(self.max_text_bytes)];
        let words = self.memory.words();
        let (head, ring) = words.split_at(HEAD_WORDS);
        let size = record_bytes(text.len());
        let position = reserve(&head[word::NEXT], size as u64);
        let length_and_kind = length_and_kind(text.len(), kind as u8);
        let mut checksum = begin_checksum(self.run, position, at, length_and_kind);
        checksum.update(text);
        let second = u64::from(length_and_kind) | u64::from(checksum.finalize()) << 32;
        // the number of words in the ring is a power of two
        let first = (position / 8) as usize & (ring.len() - 1);
        let size = size / 8;
        let straight = &ring[first..ring.len().min(first + size)];
        let wrapped = &ring[..size - straight.len()];
        let (whole, rest) = text.as_chunks::<8>();
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        if let ([place, second_place, time_place, places @ ..], []) = (straight, wrapped) {
            put(place, position);
            put(second_place, second);
            put(time_place, at);
            for (place, bytes) in places.iter().zip(whole) {
                put_bytes(place, *bytes);
            }
            if let Some(place) = places.get(whole.len()) {
                put_bytes(place, last);
            }
            return;
        }
        let head = [position, second, at].map(u64::to_le_bytes);
        let all = head.iter().chain(whole).chain(std::iter::once(&last));
        for (place, bytes) in straight.iter().chain(wrapped).zip(all) {
            put_bytes(place, *bytes);
        }
    }

    /// Returns the maximum length of a text that is not cut, in bytes.
    pub(crate) fn max_text_bytes(&self) -> usize {
        self.max_text_bytes
    }

    /// Sets a word of the head.
    pub(crate) fn set(&self, word: usize, value: u64) {
        put(&self.memory.words()[word], value);
    }

    pub(crate) fn get(&self, word: usize) -> u64 {
        u64::from_le(self.memory.words()[word].load(Relaxed))
    }
}

/// Reserves this many bytes, and returns the position where they start.
fn reserve(next: &AtomicU64, bytes: u64) -> u64 {
    if cfg!(target_endian = "little") {
        return next.fetch_add(bytes, Relaxed);
    }
    let add = |before| Some(u64::from_le(before).wrapping_add(bytes).to_le());
    match next.fetch_update(Relaxed, Relaxed, add) {
        Ok(before) | Err(before) => u64::from_le(before),
    }
}

#[inline]
fn put(place: &AtomicU64, number: u64) {
    place.store(number.to_le(), Relaxed);
}

#[inline]
fn put_bytes(place: &AtomicU64, bytes: [u8; 8]) {
    place.store(u64::from_ne_bytes(bytes), Relaxed);
}
