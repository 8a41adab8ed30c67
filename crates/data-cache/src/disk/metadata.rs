//! Metadata of an entry, as JSON beside its data.

use std::io;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::codec::Format;
use super::file::{fill, open_regular};
use super::{Disk, MAX_INLINE_BYTES};
use crate::key::{Key, hex};

/// Maximum size of metadata in bytes; longer metadata is invalid.
const MAX_BYTES: usize = 1 << 20;
/// Version of the layout.
const FORMAT: u32 = 1;

/// Metadata of one entry.
#[derive(Clone, Debug)]
pub(crate) struct Metadata {
    pub(crate) key: Key,
    pub(crate) entry_id: String,
    /// Normalized SQL, or `fn:module::name`.
    pub(crate) label: String,
    /// Tables that it is known to depend on, in lower case.
    pub(crate) tables: Vec<String>,
    /// Seconds since 1970.
    pub(crate) created_at: u64,
    pub(crate) ttl_seconds: u64,
    pub(crate) codec: Format,
    pub(crate) data_len: u64,
    pub(crate) data_xxh3: String,
    pub(crate) rows: u64,
    pub(crate) compute_ms: u64,
    /// Invalidation count before it was computed.
    pub(crate) generation: u64,
    /// `true` if the data follows the metadata in its file.
    pub(crate) is_inline: bool,
    /// Size of the metadata file in bytes, including inline data; 0 before it is written.
    pub(crate) file_len: u64,
}

#[derive(Serialize, Deserialize)]
struct Written {
    format: u32,
    key: String,
    entry_id: String,
    sql: String,
    #[serde(default)]
    tables: Vec<String>,
    created_at: u64,
    ttl_seconds: u64,
    codec: Format,
    data_len: u64,
    data_xxh3: String,
    rows: u64,
    #[serde(default)]
    compute_ms: u64,
    #[serde(default)]
    generation: u64,
    #[serde(default)]
    inline: bool,
}

/// Reason why metadata is unavailable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoMetadata {
    Absent,
    Damaged,
    /// The file may not be opened, such as one of another user; it may be removed nevertheless.
    Denied,
    /// The file cannot be opened at the moment, for example without
    /// a free file descriptor: the error code of the system.
    Unknown(i32),
}

impl Metadata {
    /// Bytes of the blocks that the entry occupies in most file systems; 0 before it is written.
    pub(crate) fn blocks(&self) -> u64 {
        const BLOCK: u64 = 4096;
        let data = if self.is_inline { 0 } else { self.data_len };
        match self.file_len {
            0 => 0,
            length => length.next_multiple_of(BLOCK) + data.next_multiple_of(BLOCK),
        }
    }

    pub(super) fn to_json(&self) -> Result<Vec<u8>, String> {
        let written = Written {
            format: FORMAT,
            key: self.key.to_string(),
            entry_id: self.entry_id.clone(),
            sql: self.label.clone(),
            tables: self.tables.clone(),
            created_at: self.created_at,
            ttl_seconds: self.ttl_seconds,
            codec: self.codec,
            data_len: self.data_len,
            data_xxh3: self.data_xxh3.clone(),
            rows: self.rows,
            compute_ms: self.compute_ms,
            generation: self.generation,
            inline: self.is_inline,
        };
        let json = serde_json::to_vec(&written).map_err(|error| error.to_string())?;
        if json.len() >= MAX_BYTES - 128 {
            return Err("its SQL text is too long to be stored".to_owned());
        }
        Ok(seal(json))
    }

    fn from_json(text: &[u8], key: &Key, file_len: u64) -> Option<Self> {
        let written: Written = serde_json::from_slice(text).ok()?;
        let id_is_ours = !written.entry_id.is_empty()
            && written.entry_id.len() <= 64
            && written
                .entry_id
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let is_valid =
            written.format == FORMAT && Key::from_hex(&written.key)? == *key && id_is_ours;
        is_valid.then_some(Self {
            key: *key,
            entry_id: written.entry_id,
            label: written.sql,
            tables: written.tables,
            created_at: written.created_at,
            ttl_seconds: written.ttl_seconds,
            codec: written.codec,
            data_len: written.data_len,
            data_xxh3: written.data_xxh3,
            rows: written.rows,
            compute_ms: written.compute_ms,
            generation: written.generation,
            is_inline: written.inline,
            file_len,
        })
    }
}

impl Disk {
    /// Returns the metadata of a key if all of its bytes are intact.
    pub(crate) fn metadata(&self, key: &Key) -> Result<Metadata, NoMetadata> {
        self.metadata_and_inline(key).map(|(metadata, _)| metadata)
    }

    /// Returns the metadata and the bytes that follow it: the data of a small entry, not verified yet.
    pub(super) fn metadata_and_inline(&self, key: &Key) -> Result<(Metadata, Vec<u8>), NoMetadata> {
        let path = self.metadata_path(key);
        let found = open_regular(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => NoMetadata::Absent,
            io::ErrorKind::PermissionDenied => NoMetadata::Denied,
            _ => error
                .raw_os_error()
                .map_or(NoMetadata::Damaged, NoMetadata::Unknown),
        })?;
        let (file, file_len) = found.ok_or(NoMetadata::Damaged)?;
        let length = match usize::try_from(file_len) {
            Ok(length) if length <= MAX_BYTES + MAX_INLINE_BYTES => length,
            _ => return Err(NoMetadata::Damaged),
        };
        let mut text = Vec::with_capacity(length);
        fill(&mut text, &file).map_err(|_| NoMetadata::Damaged)?;
        let (json, data) = split(&text);
        let metadata = unseal(json)
            .and_then(|json| Metadata::from_json(&json, key, file_len))
            .filter(|metadata| metadata.is_inline == data.is_some())
            .ok_or(NoMetadata::Damaged)?;
        Ok((metadata, data.unwrap_or_default().to_vec()))
    }
}

/// Splits off the first line.
fn split(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&text[..at], text.get(at + 1..)),
        None => (text, None),
    }
}

const SEAL: &[u8] = br#","seal":""#;

/// Appends a digest of the object as its last member, so that a flipped bit in `created_at` or `sql` is detected.
fn seal(mut json: Vec<u8>) -> Vec<u8> {
    let digest = hex(&Sha256::digest(&json));
    json.pop();
    json.extend_from_slice(SEAL);
    json.extend_from_slice(digest.as_bytes());
    json.extend_from_slice(b"\"}");
    json
}

/// Returns the object as it was before [`seal`]; `None` if the digest does not match.
fn unseal(text: &[u8]) -> Option<Vec<u8>> {
    let rest = text.strip_suffix(b"\"}")?;
    let (rest, digest) = rest.split_at_checked(rest.len().checked_sub(64)?)?;
    let mut json = rest.strip_suffix(SEAL)?.to_vec();
    json.push(b'}');
    (hex(&Sha256::digest(&json)).as_bytes() == digest).then_some(json)
}
