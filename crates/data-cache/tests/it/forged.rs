//! Arrow streams that somebody forged: what arrow's own reader refuses is a miss, and what it reads is read alike.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use data_cache::arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Decimal128Array, FixedSizeBinaryArray, Int64Array,
    LargeStringArray, RecordBatch, StringArray,
};
use data_cache::arrow::buffer::Buffer;
use data_cache::arrow::error::ArrowError;
use data_cache::arrow::ipc::reader::StreamDecoder;
use data_cache::{Cache, Config, Params};

use crate::batches::{Random, is_full};
use crate::faults::{files, forge};

const SQL: &str = "SELECT * FROM t";
const ROWS: usize = 24;

/// Strings with characters of one to four bytes, some rows without a value, and types of other layouts.
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

/// What arrow's decoder, which checks everything, makes of a stream; `None` where it panics.
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

fn rows(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}

#[test]
fn a_forged_stream_is_read_as_arrow_reads_it_or_is_a_miss() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::from_yaml("c", "query_cache: {memory_mb: 0, codec: ipc}").unwrap();
    let cache = Cache::open_with(dir.path(), &config).unwrap();
    cache.set(SQL, &[mixed()], &Params::new(), None).unwrap();
    let (data, metadata) = files(dir.path());
    let (honest, sealed) = (fs::read(&data).unwrap(), fs::read(&metadata).unwrap());
    let mut random = Random(0x1bc5);
    let (mut read, mut refused) = (0, 0);
    for round in 0..if is_full() { 100_000 } else { 2_000 } {
        let mut forged = honest.clone();
        for _ in 0..=random.below(3) {
            let at = random.below(forged.len());
            forged[at] = match random.below(3) {
                0 => u8::try_from(random.below(256)).unwrap(),
                1 => forged[at] ^ (1 << random.below(8)),
                _ => forged[at].wrapping_add(1),
            };
        }
        fs::write(&data, &forged).unwrap();
        fs::write(&metadata, &sealed).unwrap();
        let digest = twox_hash::XxHash3_128::oneshot(&forged);
        forge(&metadata, "data_xxh3", format!("{digest:032x}").into());
        let ours = cache.get(SQL, &Params::new());
        for column in ours
            .iter()
            .flat_map(|hit| hit.batches())
            .flat_map(RecordBatch::columns)
        {
            column.to_data().validate_full().unwrap();
        }
        match (ours, read_by_arrow(&forged)) {
            (Some(ours), Some(Ok(theirs))) => {
                assert!(ours.batches() == theirs, "round {round}");
                read += 1;
            }
            (None, Some(Ok(theirs))) => assert_ne!(rows(&theirs), ROWS, "round {round}"),
            (Some(_), Some(Err(error))) => panic!("round {round}: arrow says {error}"),
            (None, Some(Err(_))) => refused += 1,
            // it does so where buffers overlap or are not aligned
            (_, None) => {}
        }
    }
    println!("{read} read, {refused} refused");
    assert!(
        read > 200 && refused > 200,
        "{read} read, {refused} refused"
    );
}
