//! Writing, reading and removing one entry.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use bytes::Bytes;
use twox_hash::XxHash3_128;

use super::file::{fill, open_regular};
use super::journal;
use super::metadata::NoMetadata;
use super::{Decoded, Disk, Encoded, Exclusive, Listed, Metadata};
use crate::failpoint::Step;
use crate::key::{Key, hex};

/// Number of attempts of a reader that loses races against writers.
const READ_ATTEMPTS: usize = 3;

/// An entry whose bytes are all verified.
pub(crate) struct Found {
    pub(crate) metadata: Metadata,
    pub(crate) decoded: Decoded,
}

/// Reason why an entry cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadProblem {
    Absent,
    Damaged,
    /// Larger than the `max_size_mb` of this process: a process with a larger limit wrote it.
    TooLarge,
    Io,
}

/// Selects the entry of a key to be removed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Which<'a> {
    Any,
    /// The entry with this id.
    Id(&'a str),
    /// An entry that was computed before the invalidation count reached this.
    Before(u64),
}

/// An entry that is complete except for its commit.
pub(crate) struct Staged {
    metadata_file: std::path::PathBuf,
}

impl Disk {
    /// Writes the data under its final name and the metadata to a temporary file, or a small entry into one temporary
    /// file, so that only [`commit`](Self::commit) is left.
    pub(crate) fn stage(
        &self,
        metadata: &mut Metadata,
        encoded: &Encoded,
    ) -> Result<Staged, io::Error> {
        self.repair(&metadata.key)?;
        metadata.codec = encoded.format;
        metadata.data_len = encoded.bytes.len() as u64;
        metadata.data_xxh3 = digest(&encoded.bytes);
        metadata.is_inline = encoded.bytes.len() <= self.max_inline_bytes();
        let json = metadata.to_json().map_err(io::Error::other)?;
        metadata.file_len = json.len() as u64;
        if metadata.is_inline {
            return self.stage_inline(metadata, json, &encoded.bytes);
        }
        let halfway = || self.failpoints.at(Step::DataHalfWritten);
        let temporary = self.write_temporary(&encoded.bytes, halfway)?;
        let data = self.data_path(metadata);
        let staged = self.stage_metadata(&temporary, &data, &json);
        if staged.is_err() {
            let _ = fs::remove_file(&temporary);
            let _ = fs::remove_file(&data);
        }
        staged
    }

    fn stage_inline(
        &self,
        metadata: &mut Metadata,
        mut json: Vec<u8>,
        data: &[u8],
    ) -> io::Result<Staged> {
        json.push(b'\n');
        json.extend_from_slice(data);
        metadata.file_len = json.len() as u64;
        let halfway = || self.failpoints.at(Step::DataHalfWritten);
        let metadata_file = self.write_temporary(&json, halfway)?;
        let written = self.failpoints.at(Step::DataWritten);
        if let Err(error) = written.and_then(|()| self.failpoints.at(Step::MetadataWritten)) {
            let _ = fs::remove_file(&metadata_file);
            return Err(error);
        }
        Ok(Staged { metadata_file })
    }

    fn stage_metadata(
        &self,
        temporary: &Path,
        data: &Path,
        json: &[u8],
    ) -> Result<Staged, io::Error> {
        self.failpoints.at(Step::DataWritten)?;
        fs::rename(temporary, data)?;
        self.failpoints.at(Step::DataNamed)?;
        let metadata_file = self.write_temporary(json, || Ok(()))?;
        if let Err(error) = self.failpoints.at(Step::MetadataWritten) {
            let _ = fs::remove_file(&metadata_file);
            return Err(error);
        }
        Ok(Staged { metadata_file })
    }

    /// Makes a staged entry the current one of its key, and removes the `old` one that it replaces.
    pub(crate) fn commit(
        &self,
        staged: &Staged,
        metadata: &Metadata,
        old: Option<&Metadata>,
        exclusive: &Exclusive,
    ) -> io::Result<()> {
        let path = self.metadata_path(&metadata.key);
        journal::begin(exclusive)?;
        fs::rename(&staged.metadata_file, &path)?;
        if let Some(parent) = path.parent() {
            self.sync(&fs::File::open(parent)?)?;
        }
        let _ = self.failpoints.at(Step::Committed);
        // if this fails, the journal is no longer trusted
        let listed = Listed {
            label: metadata.label.as_str().into(),
            tables: metadata.tables.clone().into(),
            created_at: metadata.created_at,
            ttl_seconds: metadata.ttl_seconds,
            compute_ms: metadata.compute_ms,
            generation: metadata.generation,
            bytes: metadata.blocks(),
        };
        let _ = self.record_put(&metadata.key, &listed, exclusive);
        if let Some(old) = old.filter(|old| old.entry_id != metadata.entry_id) {
            self.remove_data(old);
            let _ = self.failpoints.at(Step::OldDataRemoved);
        }
        Ok(())
    }

    /// Discards a staged entry.
    pub(crate) fn abandon(&self, staged: &Staged, metadata: &Metadata) {
        let _ = fs::remove_file(&staged.metadata_file);
        self.remove_data(metadata);
    }

    fn remove_data(&self, metadata: &Metadata) {
        if !metadata.is_inline {
            let _ = fs::remove_file(self.data_path(metadata));
        }
    }

    /// Reads an entry. Data is decoded only after its length and digest are verified.
    pub(crate) fn read(&self, key: &Key) -> Result<Found, ReadProblem> {
        for _ in 0..READ_ATTEMPTS {
            let found = self.metadata_and_inline(key);
            let (metadata, inline) = found.map_err(|problem| match problem {
                NoMetadata::Absent => ReadProblem::Absent,
                NoMetadata::Damaged => ReadProblem::Damaged,
                NoMetadata::Denied | NoMetadata::Unknown(_) => ReadProblem::Io,
            })?;
            if metadata.is_inline {
                let data = intact(inline.into(), &metadata)?;
                return self.decode(metadata, data);
            }
            match self.read_data(&metadata) {
                // replaced or removed since the metadata was read
                Err(ReadProblem::Absent) => {}
                Err(problem) => return Err(problem),
                Ok(data) => return self.decode(metadata, data),
            }
        }
        match self.metadata(key) {
            Ok(_) => Err(ReadProblem::Damaged),
            Err(NoMetadata::Denied | NoMetadata::Unknown(_)) => Err(ReadProblem::Io),
            Err(_) => Err(ReadProblem::Absent),
        }
    }

    fn read_data(&self, metadata: &Metadata) -> Result<Bytes, ReadProblem> {
        let path = self.data_path(metadata);
        let problem = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => ReadProblem::Absent,
            _ => ReadProblem::Io,
        };
        let found = open_regular(&path).map_err(problem)?;
        let (file, length) = found.ok_or(ReadProblem::Damaged)?;
        if length != metadata.data_len {
            return Err(ReadProblem::Damaged);
        }
        if self.is_too_large(metadata) {
            return Err(ReadProblem::TooLarge);
        }
        let length = usize::try_from(length).map_err(|_| ReadProblem::Damaged)?;
        let mut data = self.buffers.take(length);
        fill(&mut data, &file).map_err(problem)?;
        intact(self.buffers.lend(data), metadata)
    }

    /// Returns `true` if the data is larger than this process may store; it is then not read.
    pub(crate) fn is_too_large(&self, metadata: &Metadata) -> bool {
        !metadata.is_inline && metadata.data_len > self.max_entry_bytes
    }

    fn decode(&self, metadata: Metadata, data: Bytes) -> Result<Found, ReadProblem> {
        match Decoded::from_bytes(metadata.codec, data, &self.schemas) {
            Ok(decoded) if decoded.rows() == Some(metadata.rows) => Ok(Found { metadata, decoded }),
            _ => Err(ReadProblem::Damaged),
        }
    }

    /// Removes an entry: metadata first, so that no reader is directed to removed data. A damaged or unreadable entry
    /// always matches `which`. Returns `true` if an entry was removed.
    pub(crate) fn remove(
        &self,
        key: &Key,
        which: Which<'_>,
        exclusive: &Exclusive,
    ) -> io::Result<bool> {
        let metadata = self.metadata(key);
        let is_meant = match (&metadata, which) {
            (Err(NoMetadata::Absent), _) => false,
            (Err(NoMetadata::Damaged | NoMetadata::Denied), _) | (_, Which::Any) => true,
            (Err(NoMetadata::Unknown(code)), _) => return Err(io::Error::from_raw_os_error(*code)),
            (Ok(metadata), Which::Id(id)) => metadata.entry_id == id,
            (Ok(metadata), Which::Before(count)) => metadata.generation < count,
        };
        if !is_meant {
            return Ok(false);
        }
        self.failpoints.at(Step::RemovalBegun)?;
        // a full disk must not prevent the removal
        let _ = journal::begin(exclusive);
        match fs::remove_file(self.metadata_path(key)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let _ = self.record_removal(key, exclusive);
        self.failpoints.at(Step::MetadataRemoved)?;
        if let Ok(metadata) = metadata {
            self.remove_data(&metadata);
        }
        Ok(true)
    }
}

impl Disk {
    /// Waits until the removal of these entries is on disk, so that none
    /// reappears after a power cut. Returns at once unless files are durable.
    pub(crate) fn sync_removed(&self, keys: &[Key]) -> io::Result<()> {
        if !self.is_durable() || keys.is_empty() {
            return Ok(());
        }
        self.failpoints.at(Step::Synced)?;
        let paths: Vec<_> = keys.iter().map(|key| self.metadata_path(key)).collect();
        let folders: BTreeSet<&Path> = paths.iter().filter_map(|path| path.parent()).collect();
        folders
            .into_iter()
            .try_for_each(|folder| self.sync_folder(folder))
    }
}

/// Returns the data if its length and digest match.
fn intact(data: Bytes, metadata: &Metadata) -> Result<Bytes, ReadProblem> {
    match data.len() as u64 == metadata.data_len && digest(&data) == metadata.data_xxh3 {
        true => Ok(data),
        false => Err(ReadProblem::Damaged),
    }
}

/// Digests data with XXH3, 128 bits: it must detect bit rot and torn writes, where SHA-256 is no better and several
/// times slower. An attacker who forges a file can forge its digest as well.
fn digest(bytes: &[u8]) -> String {
    hex(&XxHash3_128::oneshot(bytes).to_be_bytes())
}
