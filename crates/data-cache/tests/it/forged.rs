//! Forged Arrow streams with valid digests. A stream that arrow's own decoder rejects is a miss.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use data_cache::arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Decimal128Array, FixedSizeBinaryArray, Int64Array,
    LargeStringArray, RecordBatch, StringArray,
};
use data_cache::arrow::buffer::Buffer;
use data_cache::arrow::datatypes::{DataType, Field, Schema, UnionFields, UnionMode};
use data_cache::arrow::error::ArrowError;
use data_cache::arrow::ipc::reader::StreamDecoder;
use data_cache::arrow::ipc::writer::StreamWriter;
use data_cache::testing::{TempDir, set_largest_inline};
use data_cache::{Cache, Config, Params};

use crate::batches::{Random, is_full};
use crate::faults::{files, forge};

const SQL: &str = "SELECT * FROM t";
const ROWS: usize = 24;

/// Strings with characters of one to four bytes, some nulls, and types with other layouts.
pub(crate) fn mixed() -> RecordBatch {
    let words = ["", "a", "äöü", "日本", "🦀🦀", "plain", "ß", "x"];
    let text = |step: usize| {
        let rows = (0..ROWS).map(move |row| (row % 5 != step).then_some(words[(row * step) % 8]));
        rows.collect::<Vec<_>>()
    };
    let bytes = text(3).into_iter().map(|word| word.map(str::as_bytes));
    let columns: [(&str, ArrayRef); 8] = [
        ("text", Arc::new(StringArray::from(text(1)))),
        ("large", Arc::new(LargeStringArray::from(text(2)))),
        (
            "ascii",
            Arc::new(StringArray::from_iter_values(
                (0..24).map(|n| n.to_string()),
            )),
        ),
        ("bytes", Arc::new(bytes.collect::<BinaryArray>())),
        ("number", Arc::new(Int64Array::from_iter_values(0..24))),
        (
            "truth",
            Arc::new(
                (0..24)
                    .map(|n| (n % 7 > 0).then_some(n % 2 == 0))
                    .collect::<BooleanArray>(),
            ),
        ),
        (
            "decimal",
            Arc::new(Decimal128Array::from_iter_values(-12..12)),
        ),
        (
            "fixed",
            Arc::new(FixedSizeBinaryArray::try_from_iter((0..24u8).map(|n| [n; 3])).unwrap()),
        ),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)))
        .unwrap()
}

/// Decodes a stream with arrow's decoder, which checks everything; `None` if it panics.
fn read_by_arrow(stream: &[u8]) -> Option<Result<Vec<RecordBatch>, ArrowError>> {
    let read = || {
        let (mut decoder, mut rest) = (StreamDecoder::new(), Buffer::from(stream));
        let mut batches = Vec::new();
        while !rest.is_empty() {
            batches.extend(decoder.decode(&mut rest)?);
        }
        decoder.finish().map(|()| batches)
    };
    catch_unwind(AssertUnwindSafe(read)).ok()
}

fn written_by_arrow(schema: &Schema, batches: &[RecordBatch]) -> Vec<u8> {
    let mut writer = StreamWriter::try_new(Vec::new(), schema).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.into_inner().unwrap()
}

fn rows(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}

/// A cache with files only and one entry in IPC, whose data is replaced by a forger who can seal the metadata again.
struct Forger {
    cache: Cache,
    data: PathBuf,
    metadata: PathBuf,
    sealed: Vec<u8>,
    _dir: TempDir,
}

impl Forger {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let config = Config::from_yaml("c", "query_cache: {memory_mb: 0, codec: ipc}").unwrap();
        let cache = Cache::open_with(dir.path(), &config).unwrap();
        set_largest_inline(&cache, 0);
        cache.set(SQL, &[mixed()], &Params::new(), None).unwrap();
        let (data, metadata) = files(dir.path());
        Self {
            sealed: fs::read(&metadata).unwrap(),
            _dir: dir,
            cache,
            data,
            metadata,
        }
    }

    fn read(&self, stream: &[u8], rows: usize) -> Option<Vec<RecordBatch>> {
        fs::write(&self.data, stream).unwrap();
        fs::write(&self.metadata, &self.sealed).unwrap();
        let digest = twox_hash::XxHash3_128::oneshot(stream);
        forge(&self.metadata, "data_xxh3", format!("{digest:032x}").into());
        forge(&self.metadata, "data_len", stream.len().into());
        forge(&self.metadata, "rows", rows.into());
        let hit = self.cache.get(SQL, &Params::new())?;
        for column in hit.batches().iter().flat_map(RecordBatch::columns) {
            column.to_data().validate_full().unwrap();
        }
        Some(hit.into_batches())
    }
}

#[test]
fn what_is_read_of_a_forged_stream_is_valid_and_what_arrow_reads() {
    let forger = Forger::new();
    let honest = fs::read(&forger.data).unwrap();
    let mut random = Random(0x1bc5);
    let (mut read, mut refused, mut stricter, mut kinder) = (0, 0, 0, 0);
    for round in 0..if is_full() { 100_000 } else { 1_000 } {
        let mut forged = honest.clone();
        for _ in 0..=random.below(3) {
            let at = random.below(forged.len());
            forged[at] = match random.below(3) {
                0 => u8::try_from(random.below(256)).unwrap(),
                1 => forged[at] ^ (1 << random.below(8)),
                _ => forged[at].wrapping_add(1),
            };
        }
        match (forger.read(&forged, ROWS), read_by_arrow(&forged)) {
            (Some(ours), Some(Ok(theirs))) => {
                assert!(ours == theirs, "round {round}");
                read += 1;
            }
            (Some(_), Some(Err(error))) => panic!("round {round}: arrow says {error}"),
            // it panics on bytes after the last offset that are too few for another one
            (Some(_), None) => kinder += 1,
            (None, Some(Ok(theirs))) if rows(&theirs) == ROWS => stricter += 1,
            (None, _) => refused += 1,
        }
    }
    println!(
        "{read} read alike, {refused} refused, {stricter} more by us alone, {kinder} by arrow alone"
    );
    assert!(read > 100 && refused > 100 && (stricter + kinder) * 50 < read);
}

#[test]
fn a_stream_of_another_shape_is_whole_or_a_miss() {
    let forger = Forger::new();
    let batch = mixed();
    let honest = written_by_arrow(&batch.schema(), std::slice::from_ref(&batch));
    assert_eq!(forger.read(&honest, ROWS), Some(vec![batch.clone()]));
    for length in (0..honest.len() - 16)
        .step_by(37)
        .chain(honest.len() - 16..honest.len())
    {
        assert_eq!(forger.read(&honest[..length], ROWS), None, "{length}");
    }
    assert_eq!(forger.read(&[&honest[..], &[0]].concat(), ROWS), None);
    assert_eq!(forger.read(&[&honest[..], &honest].concat(), ROWS), None);

    let parts = [batch.slice(0, 0), batch.slice(5, 1), batch.clone()];
    let several = written_by_arrow(&batch.schema(), &parts);
    assert_eq!(forger.read(&several, ROWS + 1), Some(parts.to_vec()));
    assert_eq!(forger.read(&several, ROWS), None);

    let none = written_by_arrow(&batch.schema(), &[]);
    let empty = RecordBatch::new_empty(batch.schema());
    assert_eq!(forger.read(&none, 0), Some(vec![empty]));
    // no array can be made of these
    for data_type in [
        DataType::FixedSizeBinary(-1),
        DataType::Union(UnionFields::empty(), UnionMode::Sparse),
    ] {
        let schema = Schema::new(vec![Field::new("a", data_type, true)]);
        assert_eq!(forger.read(&written_by_arrow(&schema, &[]), 0), None);
    }
}
