//! Journal of entries stored and removed by all processes, so that the directory need not be listed to know its
//! contents. It serves statistics and eviction; which entries may be served is decided without it. A journal that is
//! torn, lost or from another directory is rebuilt.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use parking_lot::Mutex;
use twox_hash::XxHash3_128;

use super::file::{open_regular, open_shared};
use super::shared::DirectoryState;
use super::{Disk, Exclusive, Generation};
use crate::failpoint::Step;
use crate::key::Key;

const MAGIC: &[u8; 8] = b"dcjournl";
/// Size of a key in bytes.
const KEY: usize = 32;
/// Number of integers of a put, before its texts.
const NUMBERS: usize = 5;
/// Bytes before the first record: magic and id.
const HEADER: u64 = 16;
/// Bytes of a record before its content: length and digest.
const FRAME: usize = 12;
/// Maximum size of a record in bytes; a longer one is invalid.
const MAX_RECORD: usize = 4 << 20;
/// A journal is rewritten once it exceeds twice its size after the last rewrite by this many bytes.
const MAX_GROWTH: u64 = 1 << 20;

/// An entry as recorded in the journal.
pub(crate) struct Listed {
    pub(crate) label: Arc<str>,
    pub(crate) tables: Arc<[String]>,
    pub(crate) created_at: u64,
    pub(crate) ttl_seconds: u64,
    pub(crate) compute_ms: u64,
    pub(crate) generation: u64,
    /// Bytes of the blocks of its files.
    pub(crate) bytes: u64,
}

/// Returns table names that an entry and its index share; all empty lists share one allocation.
pub(crate) fn shared_tables(tables: Vec<String>) -> Arc<[String]> {
    match tables.is_empty() {
        true => Arc::default(),
        false => tables.into(),
    }
}

/// A change of the directory's contents.
pub(crate) enum Change {
    Put(Key, Listed),
    Remove(Key),
}

/// The part of the journal that this process has read.
#[derive(Clone, Copy, Default)]
struct Position {
    id: u64,
    offset: u64,
    /// Length of the journal when it was last rewritten.
    base: u64,
}

#[derive(Default)]
pub(super) struct Journal(Mutex<Position>);

/// Changes since the last read.
pub(crate) struct Tail<'a> {
    /// Verified records.
    records: &'a [u8],
    /// `true` if the changes are the whole journal.
    pub(crate) is_whole: bool,
    /// Invalidation count that may have caused removals among the changes.
    pub(crate) generation: Generation,
}

impl<'a> Tail<'a> {
    /// Returns the contents of the records, oldest first.
    fn contents(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut rest = self.records;
        std::iter::from_fn(move || {
            let (_, content, after) = split_record(rest)?;
            rest = after;
            Some(content)
        })
    }

    /// Number of changes.
    pub(crate) fn len(&self) -> usize {
        self.contents().count()
    }

    /// Returns the changes of the selected keys, oldest first. They are decoded
    /// one by one: together they would take more memory than the index.
    pub(crate) fn changes(&self, is_meant: impl Fn(&Key) -> bool) -> impl Iterator<Item = Change> {
        let mut last = Names::default();
        self.contents()
            .filter(move |content| key_of(content).is_some_and(|key| is_meant(&key)))
            .map_while(move |content| decode(content, &mut last))
    }
}

impl Disk {
    /// Calls `apply` with the changes since the last read, before any
    /// other thread reads further; `None` if there is no valid journal.
    pub(crate) fn follow<R>(&self, apply: impl FnOnce(Tail<'_>) -> R) -> Option<R> {
        let mut position = self.journal.0.lock();
        let state = self.state().filter(|state| state.journal_len > 0)?;
        let is_same = position.id == state.journal_id && position.offset <= state.journal_len;
        let from = match is_same {
            true => position.offset,
            false => HEADER,
        };
        let records = match is_same && from == state.journal_len {
            true => Vec::new(),
            false => self.records(&state, from)?,
        };
        if !is_same {
            position.base = state.journal_len;
        }
        position.id = state.journal_id;
        position.offset = state.journal_len;
        Some(apply(Tail {
            records: &records,
            is_whole: !is_same,
            generation: state.generation,
        }))
    }

    /// Reads the records from an offset on; `None` unless all of them are intact.
    fn records(&self, state: &DirectoryState, from: u64) -> Option<Vec<u8>> {
        let (mut file, length) = open_regular(&self.journal_path()).ok()??;
        if length < state.journal_len {
            return None;
        }
        let mut header = [0; HEADER as usize];
        file.read_exact(&mut header).ok()?;
        if header != header_of(state.journal_id) {
            return None;
        }
        file.seek(SeekFrom::Start(from)).ok()?;
        let expected = state.journal_len - from;
        let mut bytes = Vec::with_capacity(usize::try_from(expected).ok()?);
        file.take(expected).read_to_end(&mut bytes).ok()?;
        if bytes.len() as u64 != expected {
            return None;
        }
        let seed = seed(state);
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (digest, content, after) = split_record(rest)?;
            if digest_of(seed, content) != digest || !is_readable(content) {
                return None;
            }
            rest = after;
        }
        Some(bytes)
    }

    pub(super) fn record_put(
        &self,
        key: &Key,
        listed: &Listed,
        exclusive: &Exclusive,
    ) -> io::Result<()> {
        self.append(&encode_put(key, listed), exclusive)
    }

    pub(super) fn record_removal(&self, key: &Key, exclusive: &Exclusive) -> io::Result<()> {
        self.append(&encode_removal(key), exclusive)
    }

    fn append(&self, content: &[u8], exclusive: &Exclusive) -> io::Result<()> {
        let mut state = exclusive.state()?;
        if state.journal_len > 0 {
            let mut file = open_shared(&self.journal_path())?;
            file.seek(SeekFrom::Start(state.journal_len))?;
            let record = framed(content, seed(&state))?;
            file.write_all(&record)?;
            self.failpoints.at(Step::Journaled)?;
            let before = state.journal_len;
            state.journal_len += record.len() as u64;
            let mut position = self.journal.0.lock();
            if (position.id, position.offset) == (state.journal_id, before) {
                position.offset = state.journal_len;
            }
        }
        state.is_writing = false;
        exclusive.write(state)
    }

    /// Returns `true` if the journal should be rewritten because most of it is outdated.
    pub(crate) fn is_journal_long(&self) -> bool {
        let position = *self.journal.0.lock();
        position.offset > position.base.saturating_mul(2) + MAX_GROWTH
    }

    /// Rewrites the journal from all entries.
    pub(crate) fn write_journal(
        &self,
        entries: impl Iterator<Item = (Key, Listed)>,
        exclusive: &Exclusive,
    ) -> io::Result<()> {
        let mut state = exclusive.state()?;
        state.journal_id = super::unique_number();
        let mut bytes = header_of(state.journal_id).to_vec();
        for (key, entry) in entries {
            bytes.extend(framed(&encode_put(&key, &entry), seed(&state))?);
        }
        let temporary = self.write_temporary(&bytes, || Ok(()))?;
        // until the state is written, its length is not that of the new file: readers do not trust the journal
        std::fs::rename(&temporary, self.journal_path())?;
        self.failpoints.at(Step::JournalRenamed)?;
        state.journal_len = bytes.len() as u64;
        state.is_writing = false;
        exclusive.write(state)?;
        *self.journal.0.lock() = Position {
            id: state.journal_id,
            offset: state.journal_len,
            base: state.journal_len,
        };
        Ok(())
    }
}

fn header_of(id: u64) -> [u8; HEADER as usize] {
    let mut header = [0; HEADER as usize];
    header[..8].copy_from_slice(MAGIC);
    header[8..].copy_from_slice(&id.to_le_bytes());
    header
}

/// Returns the seed of record digests: records of another directory, or of an earlier journal, do not match.
fn seed(state: &DirectoryState) -> u64 {
    digest_of(state.journal_id, &state.generation.lineage())
}

/// Half of a 128-bit digest.
fn digest_of(seed: u64, bytes: &[u8]) -> u64 {
    let digest = XxHash3_128::oneshot_with_seed(seed, bytes);
    u64::try_from(digest >> 64).unwrap_or_default()
}

fn framed(content: &[u8], seed: u64) -> io::Result<Vec<u8>> {
    let length = u32::try_from(content.len()).map_err(io::Error::other)?;
    let mut record = Vec::with_capacity(FRAME + content.len());
    record.extend(length.to_le_bytes());
    record.extend(digest_of(seed, content).to_le_bytes());
    record.extend(content);
    Ok(record)
}

/// Splits records into digest and content of the first one, and the rest.
fn split_record(records: &[u8]) -> Option<(u64, &[u8], &[u8])> {
    let length = usize::try_from(u32::from_le_bytes(*records.first_chunk()?)).ok()?;
    if length > MAX_RECORD {
        return None;
    }
    let digest = u64::from_le_bytes(*records.get(4..)?.first_chunk()?);
    let (content, after) = records.get(FRAME..)?.split_at_checked(length)?;
    Some((digest, content, after))
}

fn encode_removal(key: &Key) -> Vec<u8> {
    let mut bytes = vec![b'-'];
    bytes.extend(key.bytes());
    bytes
}

fn encode_put(key: &Key, entry: &Listed) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(128 + entry.label.len());
    bytes.push(b'+');
    bytes.extend(key.bytes());
    for number in [
        entry.created_at,
        entry.ttl_seconds,
        entry.compute_ms,
        entry.generation,
        entry.bytes,
    ] {
        bytes.extend(number.to_le_bytes());
    }
    let texts = entry.tables.iter().map(String::as_str);
    for text in std::iter::once(&*entry.label).chain(texts) {
        bytes.extend((text.len() as u64).to_le_bytes());
        bytes.extend(text.as_bytes());
    }
    bytes
}

/// Returns `true` if [`decode`] can decode the content.
fn is_readable(content: &[u8]) -> bool {
    let Some((kind, rest)) = content.split_first() else {
        return false;
    };
    let Some((_, mut rest)) = rest.split_first_chunk::<KEY>() else {
        return false;
    };
    if *kind != b'+' {
        return *kind == b'-' && rest.is_empty();
    }
    let has_numbers = (0..NUMBERS).all(|_| take_number(&mut rest).is_some());
    let has_label = has_numbers && take_text(&mut rest).is_some();
    while has_label && !rest.is_empty() {
        if take_text(&mut rest).is_none() {
            return false;
        }
    }
    has_label
}

/// Tables of the previous record, encoded and decoded: those of the next one are mostly the same.
#[derive(Default)]
struct Names<'a> {
    written: &'a [u8],
    tables: Arc<[String]>,
}

fn key_of(content: &[u8]) -> Option<Key> {
    let key = content.get(1..)?.first_chunk()?;
    Some(Key::from_bytes(*key))
}

fn decode<'a>(content: &'a [u8], last: &mut Names<'a>) -> Option<Change> {
    let (kind, rest) = content.split_first()?;
    let (key, mut rest) = rest.split_first_chunk::<KEY>()?;
    let key = Key::from_bytes(*key);
    if *kind != b'+' {
        return (*kind == b'-' && rest.is_empty()).then_some(Change::Remove(key));
    }
    let mut numbers = [0; NUMBERS];
    for number in &mut numbers {
        *number = take_number(&mut rest)?;
    }
    let label = take_text(&mut rest)?;
    if last.written != rest {
        let (written, mut tables) = (rest, Vec::new());
        while !rest.is_empty() {
            tables.push(take_text(&mut rest)?.to_owned());
        }
        let tables = shared_tables(tables);
        *last = Names { written, tables };
    }
    let [created_at, ttl_seconds, compute_ms, generation, bytes] = numbers;
    let entry = Listed {
        label: label.into(),
        tables: last.tables.clone(),
        created_at,
        ttl_seconds,
        compute_ms,
        generation,
        bytes,
    };
    Some(Change::Put(key, entry))
}

fn take_number(rest: &mut &[u8]) -> Option<u64> {
    let (number, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(u64::from_le_bytes(*number))
}

fn take_text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let length = usize::try_from(take_number(rest)?).ok()?;
    let (text, after) = rest.split_at_checked(length)?;
    *rest = after;
    std::str::from_utf8(text).ok()
}

/// Marks the state before files change; if a process dies in between, the journal is not trusted.
pub(super) fn begin(exclusive: &Exclusive) -> io::Result<()> {
    let mut state = exclusive.state()?;
    state.is_writing = true;
    exclusive.write(state)
}
