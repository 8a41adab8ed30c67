//! Entries as files: data under a unique name first, then the metadata file renamed into place.

use std::fs;
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema};
use arrow::ipc::{reader::StreamReader, writer::StreamWriter};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Metadata larger than this is not ours.
const MAX_METADATA_BYTES: u64 = 1 << 20;
/// Leftovers of a dead writer younger than this may belong to a living one.
const ORPHAN_AGE: Duration = Duration::from_secs(3600);

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) format: u32,
    pub(crate) key: String,
    pub(crate) entry_id: String,
    pub(crate) sql: String,
    pub(crate) created_at: u64,
    pub(crate) ttl_seconds: u64,
    pub(crate) codec: String,
    pub(crate) data_len: u64,
    pub(crate) data_sha256: String,
    pub(crate) rows: usize,
}

pub(crate) enum Lookup {
    Absent,
    Corrupt,
    Found(Metadata, Vec<RecordBatch>),
}

pub(crate) struct Disk {
    dir: PathBuf,
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_hex(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// An id that no other process or moment gives out.
pub(crate) fn unique_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{:x}{:08x}{next:08x}", now.as_nanos(), std::process::id())
}

impl Disk {
    pub(crate) fn open(dir: PathBuf) -> std::io::Result<Self> {
        let format = dir.join("FORMAT");
        let foreign = !format.exists()
            && dir
                .read_dir()
                .is_ok_and(|mut entries| entries.next().is_some());
        if foreign {
            return Err(std::io::Error::other("the directory holds something else"));
        }
        for part in ["v1", "tmp"] {
            fs::create_dir_all(dir.join(part))?;
        }
        fs::write(format, "data-cache 1\n")?;
        let disk = Self { dir };
        disk.sweep();
        Ok(disk)
    }

    fn metadata_path(&self, key: &str) -> PathBuf {
        self.dir.join("v1").join(format!("{key}.json"))
    }

    fn data_path(&self, metadata: &Metadata) -> PathBuf {
        self.dir
            .join("v1")
            .join(format!("{}.{}.data", metadata.key, metadata.entry_id))
    }

    pub(crate) fn write(
        &self,
        mut metadata: Metadata,
        batches: &[RecordBatch],
    ) -> Result<Metadata, String> {
        let (codec, data) = encode(batches)?;
        metadata.codec = codec.to_owned();
        metadata.data_len = data.len() as u64;
        metadata.data_sha256 = hex(&Sha256::digest(&data));
        let old = self.metadata(&metadata.key);
        self.place(&data, &self.data_path(&metadata))
            .map_err(|error| error.to_string())?;
        let text = serde_json::to_vec(&metadata).map_err(|error| error.to_string())?;
        let committed = self.place(&text, &self.metadata_path(&metadata.key));
        if let Err(error) = committed {
            let _ = fs::remove_file(self.data_path(&metadata));
            return Err(error.to_string());
        }
        if let Some(old) = old {
            let _ = fs::remove_file(self.data_path(&old));
        }
        Ok(metadata)
    }

    fn place(&self, bytes: &[u8], path: &Path) -> std::io::Result<()> {
        let temporary = self.dir.join("tmp").join(unique_id());
        let written = fs::File::create_new(&temporary).and_then(|mut file| file.write_all(bytes));
        let placed = written.and_then(|()| fs::rename(&temporary, path));
        if placed.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        placed
    }

    fn metadata(&self, key: &str) -> Option<Metadata> {
        let mut text = Vec::new();
        let file = fs::File::open(self.metadata_path(key)).ok()?;
        file.take(MAX_METADATA_BYTES).read_to_end(&mut text).ok()?;
        let metadata: Metadata = serde_json::from_slice(&text).ok()?;
        (metadata.format == 1 && metadata.key == key && is_hex(&metadata.entry_id))
            .then_some(metadata)
    }

    /// Reads an entry whose every byte is accounted for. Nothing reaches a decoder before the digest agrees.
    pub(crate) fn read(&self, key: &str) -> Lookup {
        if !self.metadata_path(key).exists() {
            return Lookup::Absent;
        }
        let Some(metadata) = self.metadata(key) else {
            return Lookup::Corrupt;
        };
        let path = self.data_path(&metadata);
        let regular = fs::symlink_metadata(&path)
            .is_ok_and(|found| found.is_file() && found.len() == metadata.data_len);
        if !regular {
            return Lookup::Corrupt;
        }
        let Ok(data) = fs::read(path) else {
            return Lookup::Absent;
        };
        if hex(&Sha256::digest(&data)) != metadata.data_sha256 {
            return Lookup::Corrupt;
        }
        match std::panic::catch_unwind(|| decode(&metadata.codec, data)) {
            Ok(Ok(batches))
                if batches.iter().map(RecordBatch::num_rows).sum::<usize>() == metadata.rows =>
            {
                Lookup::Found(metadata, batches)
            }
            _ => Lookup::Corrupt,
        }
    }

    /// Removes an entry: metadata first, so that no reader is sent to data that is gone.
    pub(crate) fn remove(&self, key: &str) {
        let metadata = self.metadata(key);
        let _ = fs::remove_file(self.metadata_path(key));
        if let Some(metadata) = metadata {
            let _ = fs::remove_file(self.data_path(&metadata));
        }
    }

    /// The metadata of every readable entry.
    pub(crate) fn list(&self) -> Vec<Metadata> {
        let entries = fs::read_dir(self.dir.join("v1"))
            .into_iter()
            .flatten()
            .flatten();
        entries
            .filter_map(|entry| self.metadata(entry.file_name().to_str()?.strip_suffix(".json")?))
            .collect()
    }

    fn sweep(&self) {
        let known: std::collections::HashSet<_> = self
            .list()
            .iter()
            .map(|metadata| self.data_path(metadata))
            .collect();
        for part in ["v1", "tmp"] {
            for entry in fs::read_dir(self.dir.join(part))
                .into_iter()
                .flatten()
                .flatten()
            {
                let path = entry.path();
                let old = entry
                    .metadata()
                    .and_then(|found| found.modified())
                    .is_ok_and(|at| at.elapsed().is_ok_and(|age| age > ORPHAN_AGE));
                let leftover = part == "tmp"
                    || path
                        .extension()
                        .is_some_and(|extension| extension == "data");
                if old && leftover && !known.contains(&path) {
                    let _ = fs::remove_file(path);
                }
            }
        }
    }
}

/// Parquet cannot hold unions, intervals, durations of every kind or empty structs.
fn parquet_holds(data_type: &DataType) -> bool {
    match data_type {
        DataType::Union(..) | DataType::Interval(_) | DataType::RunEndEncoded(..) => false,
        DataType::Struct(fields) => {
            !fields.is_empty() && fields.iter().all(|field| parquet_holds(field.data_type()))
        }
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::FixedSizeList(field, _)
        | DataType::Map(field, _) => parquet_holds(field.data_type()),
        DataType::ListView(_) | DataType::LargeListView(_) => false,
        _ => true,
    }
}

fn encode(batches: &[RecordBatch]) -> Result<(&'static str, Vec<u8>), String> {
    let schema = batches.first().ok_or("no batch, so no schema")?.schema();
    if schema
        .fields()
        .iter()
        .all(|field| parquet_holds(field.data_type()))
        && let Some(data) = encode_parquet(&schema, batches)
    {
        return Ok(("parquet", data));
    }
    let mut writer =
        StreamWriter::try_new(Vec::new(), &schema).map_err(|error| error.to_string())?;
    for batch in batches {
        writer.write(batch).map_err(|error| error.to_string())?;
    }
    Ok((
        "ipc",
        writer.into_inner().map_err(|error| error.to_string())?,
    ))
}

/// `None` where Parquet would give back another schema than it was given.
fn encode_parquet(schema: &Arc<Schema>, batches: &[RecordBatch]) -> Option<Vec<u8>> {
    let level = ZstdLevel::try_new(1).ok()?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .build();
    let mut data = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut data, schema.clone(), Some(properties)).ok()?;
    for batch in batches {
        writer.write(batch).ok()?;
    }
    writer.close().ok()?;
    let data = parquet_bytes(data);
    let same = ParquetRecordBatchReaderBuilder::try_new(data.clone())
        .is_ok_and(|reader| reader.schema() == schema);
    same.then(|| data.to_vec())
}

fn parquet_bytes(data: Vec<u8>) -> bytes::Bytes {
    bytes::Bytes::from(data)
}

fn decode(codec: &str, data: Vec<u8>) -> Result<Vec<RecordBatch>, String> {
    let problem = |error: &dyn std::fmt::Display| error.to_string();
    let (schema, mut batches) = match codec {
        "parquet" => {
            let builder = ParquetRecordBatchReaderBuilder::try_new(parquet_bytes(data))
                .map_err(|error| problem(&error))?;
            let schema = builder.schema().clone();
            let reader = builder
                .with_batch_size(65_536)
                .build()
                .map_err(|error| problem(&error))?;
            (
                schema,
                reader
                    .collect::<Result<Vec<_>, _>>()
                    .map_err(|error| problem(&error))?,
            )
        }
        "ipc" => {
            let reader =
                StreamReader::try_new(Cursor::new(data), None).map_err(|error| problem(&error))?;
            (
                reader.schema(),
                reader
                    .collect::<Result<Vec<_>, _>>()
                    .map_err(|error| problem(&error))?,
            )
        }
        _ => return Err(format!("unknown codec {codec}")),
    };
    if batches.is_empty() {
        batches.push(RecordBatch::new_empty(schema));
    }
    Ok(batches)
}
