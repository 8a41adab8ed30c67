//! Every type of the engine is returned bit for bit.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{panic, slice, thread};

use data_cache::arrow::array::{
    Array, ArrayRef, BinaryViewArray, BooleanArray, Decimal64Array, Decimal128Array,
    DictionaryArray, FixedSizeBinaryArray, Float64Array, Int32Array, Int32Builder, Int64Array,
    LargeListArray, LargeListViewArray, ListArray, ListViewArray, MapBuilder, RecordBatch,
    RecordBatchOptions, RunArray, StringArray, StringBuilder, StringViewArray, StructArray,
    UnionArray, new_null_array,
};
use data_cache::arrow::buffer::{NullBuffer, OffsetBuffer};
use data_cache::arrow::datatypes::{
    ArrowDictionaryKeyType, DataType, Field, Int8Type, Int16Type, Int32Type, Schema, UInt8Type,
    UnionFields,
};
use data_cache::arrow::util::pretty::pretty_format_batches;
use data_cache::testing::set_largest_inline;
use data_cache::{
    Bypass, Cache, CachedEngine, Cancel, Config, Error, Lookup, Params, QueryEngine, Skip, State,
    Stored, Warehouse, params,
};

use crate::forged::mixed;

/// Stores batches and reads them from files only; returns them with the format of the file.
fn round_trip(batches: &[RecordBatch], yaml: &str) -> (Vec<RecordBatch>, String) {
    let (two, one, extension) = round_trips(batches, yaml);
    assert_same(&two, &one, "in one file");
    (two, extension)
}

/// [`round_trip`] with two files, and with one.
fn round_trips(
    batches: &[RecordBatch],
    yaml: &str,
) -> (Vec<RecordBatch>, Vec<RecordBatch>, String) {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open_with(dir.path(), &Config::from_yaml("c", yaml).unwrap()).unwrap();
    set_largest_inline(&cache, 0);
    let stored = cache
        .set("SELECT 1", batches, &Params::new(), None)
        .unwrap();
    assert!(
        matches!(stored, data_cache::Stored::Kept { .. }),
        "{stored:?}"
    );
    let hit = cache.get("SELECT 1", &Params::new()).unwrap();
    let extension = std::fs::read_dir(dir.path().join("v1"))
        .unwrap()
        .flat_map(|part| std::fs::read_dir(part.unwrap().path()).unwrap())
        .map(|file| {
            file.unwrap()
                .path()
                .extension()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        })
        .find(|extension| extension != "json");
    // with one file
    set_largest_inline(&cache, usize::MAX);
    cache
        .set("SELECT 2", batches, &Params::new(), None)
        .unwrap();
    let one = cache.get("SELECT 2", &Params::new()).unwrap();
    (hit.into_batches(), one.into_batches(), extension.unwrap())
}

/// Asserts equality of array data, which compares values by their bytes: NaN equals itself, and -0.0 differs from 0.0.
fn assert_same(before: &[RecordBatch], after: &[RecordBatch], what: &str) {
    let schema = before[0].schema();
    assert_eq!(schema, after[0].schema(), "{what}");
    let rows = |batches: &[RecordBatch]| {
        batches
            .iter()
            .map(RecordBatch::num_rows)
            .collect::<Vec<_>>()
    };
    if before.len() > 1 && rows(before) == rows(after) {
        // concatenated, they may hold more values than a dictionary has keys
        for (before, after) in before.iter().zip(after) {
            assert_same(slice::from_ref(before), slice::from_ref(after), what);
        }
        return;
    }
    let whole = |batches: &[RecordBatch]| {
        data_cache::arrow::compute::concat_batches(&schema, batches).unwrap()
    };
    let (before, after) = (whole(before), whole(after));
    for (name, (a, b)) in schema
        .fields()
        .iter()
        .zip(before.columns().iter().zip(after.columns()))
    {
        assert_eq!(a.to_data(), b.to_data(), "{what}: {name}");
    }
}

const FILES: &str = "query_cache: {memory_mb: 0}";
const IPC: &str = "query_cache: {memory_mb: 0, codec: ipc}";

#[test]
fn every_type_of_the_engine_round_trips() {
    let engine = Warehouse::in_memory().unwrap();
    let names = engine
        .query("SELECT * FROM test_all_types() LIMIT 0", &params! {})
        .unwrap()[0]
        .schema();
    let (mut parquet, mut ipc, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for field in names.fields() {
        let sql = format!("SELECT \"{}\" FROM test_all_types()", field.name());
        let Ok(batches) = engine.query(&sql, &params! {}) else {
            refused.push(field.name().clone());
            continue;
        };
        let (after, format) = round_trip(&batches, FILES);
        assert_same(&batches, &after, field.name());
        let (after, _) = round_trip(&batches, IPC);
        assert_same(&batches, &after, field.name());
        match format.as_str() {
            "parquet" => parquet.push(field.name().clone()),
            _ => ipc.push(field.name().clone()),
        }
    }
    println!("parquet: {parquet:?}\nipc: {ipc:?}\nrefused by the driver: {refused:?}");
    assert!(parquet.len() >= 40, "{parquet:?}");
    for name in ["union", "interval"] {
        assert!(ipc.iter().any(|found| found == name), "{ipc:?}");
    }
    assert!(refused.len() <= 2, "{refused:?}");
}

#[test]
fn odd_shapes_round_trip() {
    let engine = Warehouse::in_memory().unwrap();
    for sql in [
        "SELECT 1 AS a, 2 AS a",
        "SELECT []",
        "SELECT NULL",
        "SELECT 1 WHERE false",
        "SELECT 'x'::ENUM('x', 'y') WHERE false",
        "SELECT [{'a': union_value(n := 1)}]",
        "SELECT {'a': INTERVAL 1 MONTH, 'b': [[NULL, 1], NULL, []]}",
        "SELECT MAP {'a': [1, 2]}",
        "SELECT 170141183460469231731687303715884105727::HUGEINT AS a UNION ALL SELECT -170141183460469231731687303715884105727",
        "SELECT 0.1::DECIMAL(38, 38), 12.34::DECIMAL(4, 2)",
        "SELECT TIMESTAMPTZ '2024-01-01 00:00:00+05', TIMETZ '12:00:00+05'",
        "SELECT range::INT AS a, repeat('x', (range % 50)::INT) AS b FROM range(200000)",
        "SELECT CASE WHEN range % 3 = 0 THEN NULL ELSE range END AS a FROM range(5000)",
    ] {
        let batches = engine
            .query(sql, &params! {})
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        for yaml in [FILES, IPC] {
            let (after, _) = round_trip(&batches, yaml);
            assert_same(&batches, &after, sql);
        }
    }
}

#[test]
fn parts_of_batches_round_trip() {
    let whole = mixed();
    for batches in [
        vec![whole.clone()],
        vec![whole.slice(3, 10)],
        vec![whole.slice(0, 0)],
        vec![whole.slice(23, 1), whole.slice(5, 0), whole.slice(1, 7)],
    ] {
        for yaml in [FILES, IPC] {
            let (after, _) = round_trip(&batches, yaml);
            assert_same(&batches, &after, &format!("{batches:?}"));
        }
    }
}

#[test]
fn dictionaries_round_trip_however_many_values_they_hold() {
    let of = |values: std::ops::Range<i32>| {
        let texts = values.map(|n| format!("value {n}"));
        texts.collect::<Vec<_>>()
    };
    fn batch<K: ArrowDictionaryKeyType>(texts: &[String]) -> RecordBatch {
        let texts = texts.iter().map(String::as_str);
        let column: DictionaryArray<K> = texts.collect();
        RecordBatch::try_from_iter([("d", Arc::new(column) as ArrayRef)]).unwrap()
    }
    for batches in [
        vec![batch::<Int8Type>(&of(0..127))],
        vec![batch::<Int8Type>(&of(0..128))],
        vec![
            batch::<Int8Type>(&of(0..100)),
            batch::<Int8Type>(&of(50..150)),
        ],
        vec![batch::<UInt8Type>(&of(0..256))],
        vec![batch::<Int16Type>(&of(0..32_768))],
        vec![batch::<Int32Type>(&of(0..1000))],
    ] {
        for yaml in [FILES, IPC] {
            let (after, _) = round_trip(&batches, yaml);
            assert_same(&batches, &after, "dictionaries");
        }
    }
    let (_, extension) = round_trip(&[batch::<Int8Type>(&of(0..100))], FILES);
    assert_eq!(extension, "parquet");
}

#[test]
fn what_parquet_does_not_read_back_round_trips() {
    let flags = Arc::new(BooleanArray::from(vec![true, false]));
    let flags = DictionaryArray::<Int32Type>::try_new(vec![1, 0, 1].into(), flags).unwrap();
    let nothing = new_null_array(&DataType::FixedSizeBinary(0), 3);
    let keys = Int32Array::from(vec![1, 0, 1]);
    let ids = FixedSizeBinaryArray::from(vec![b"id 1", b"id 2"]);
    let ids = DictionaryArray::<Int32Type>::try_new(keys.clone(), Arc::new(ids)).unwrap();
    let nulls = DictionaryArray::<Int32Type>::try_new(keys, new_null_array(&DataType::Null, 2));
    // arrow does not enforce the precision of decimals, and Parquet writes only as many bytes as it requires
    let amounts = [3_000_000_000, -5, 2].map(Some).to_vec();
    let sums = Decimal128Array::from(
        amounts
            .iter()
            .map(|n| n.map(i128::from))
            .collect::<Vec<_>>(),
    );
    let sums = sums.with_precision_and_scale(9, 2).unwrap();
    let cents = Decimal64Array::from(amounts).with_precision_and_scale(9, 2);
    let columns: [(&str, ArrayRef); 6] = [
        ("booleans", Arc::new(flags)),
        ("no bytes", nothing),
        ("ids", Arc::new(ids)),
        ("nulls", Arc::new(nulls.unwrap())),
        ("sums", Arc::new(sums)),
        ("cents", Arc::new(cents.unwrap())),
    ];
    for column in columns {
        let batches =
            [RecordBatch::try_from_iter_with_nullable([(column.0, column.1, true)]).unwrap()];
        let (after, _) = round_trip(&batches, FILES);
        assert_same(&batches, &after, column.0);
    }
}

#[test]
fn no_writer_panics_over_dictionaries_of_views() {
    let here = thread::current().id();
    let panics = Arc::new(AtomicUsize::new(0));
    let (counted, before) = (panics.clone(), panic::take_hook());
    panic::set_hook(Box::new(move |info| {
        let is_here = thread::current().id() == here;
        counted.fetch_add(usize::from(is_here), Ordering::SeqCst);
        before(info);
    }));
    let texts = StringViewArray::from(vec!["a", "a text that is longer than a view"]);
    let bytes = BinaryViewArray::from(vec![b"a".as_slice(), b"bytes that are longer than a view"]);
    let values: [ArrayRef; 2] = [Arc::new(texts), Arc::new(bytes)];
    for values in values {
        let keys = Int32Array::from(vec![Some(1), None, Some(0)]);
        let column = DictionaryArray::<Int32Type>::try_new(keys, values).unwrap();
        let batches = [RecordBatch::try_from_iter([("c", Arc::new(column) as _)]).unwrap()];
        let (after, _) = round_trip(&batches, FILES);
        assert_same(&batches, &after, "views");
    }
    assert_eq!(panics.load(Ordering::SeqCst), 0);
}

#[test]
fn slices_that_the_stream_writer_encodes_wrongly_round_trip() {
    let ends = Int32Array::from(vec![2, 3, 5]);
    let runs = RunArray::<Int32Type>::try_new(&ends, &StringArray::from(vec!["a", "b", "a"]));
    let kinds = [
        (0, Arc::new(Field::new("n", DataType::Int32, true))),
        (1, Arc::new(Field::new("t", DataType::Utf8, true))),
    ];
    let kinds: UnionFields = kinds.into_iter().collect();
    let numbers: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 3]));
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["x", "y", "z"]));
    let unions = UnionArray::try_new(
        kinds,
        vec![0, 1, 0, 1, 1, 0].into(),
        Some(vec![0, 0, 1, 1, 2, 2].into()),
        vec![numbers, texts],
    );
    let unions = unions.unwrap();
    let item = Arc::new(Field::new("item", unions.data_type().clone(), true));
    let lengths = OffsetBuffer::from_lengths([2, 0, 1, 2, 1]);
    let lists = ListArray::new(item, lengths, Arc::new(unions), None);
    let shown = |batches: &[RecordBatch]| pretty_format_batches(batches).unwrap().to_string();
    for column in [Arc::new(runs.unwrap()) as ArrayRef, Arc::new(lists)] {
        let batch = RecordBatch::try_from_iter_with_nullable([("c", column, true)]).unwrap();
        for batches in [
            vec![batch.slice(2, 2)],
            vec![batch.slice(1, 1), batch.slice(0, 0), batch.slice(2, 3)],
            vec![batch.slice(0, 0)],
        ] {
            for yaml in [FILES, IPC] {
                let (two, one, _) = round_trips(&batches, yaml);
                for after in [two, one] {
                    assert_eq!(after[0].schema(), batch.schema());
                    assert_eq!(shown(&after), shown(&batches));
                }
            }
        }
    }
}

/// List views whose values are in another order, repeated or missing, and large lists of maps.
fn list_views_and_maps() -> Vec<ArrayRef> {
    let numbers: ArrayRef = Arc::new(Int32Array::from(vec![0, 1, 2, 3, 4, 5]));
    let texts = StringViewArray::from_iter_values((0..6).map(|n| format!("text {n}, not inline")));
    let mut maps = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    for n in 0..6 {
        for key in 0..n % 3 {
            maps.keys().append_value(format!("key {key}"));
            maps.values().append_option((n != 4).then_some(n));
        }
        maps.append(n != 2).unwrap();
    }
    let maps: ArrayRef = Arc::new(maps.finish());
    let nulls = || Some(NullBuffer::from(vec![true, true, false, true, true]));
    let mut columns: Vec<ArrayRef> = Vec::new();
    for values in [numbers, Arc::new(texts), maps] {
        let item = Arc::new(Field::new("item", values.data_type().clone(), true));
        let (offsets, sizes) = (vec![4, 0, 2, 1, 6], vec![2, 3, 1, 0, 0]);
        let views = ListViewArray::try_new(
            item.clone(),
            offsets.into(),
            sizes.into(),
            values.clone(),
            nulls(),
        );
        columns.push(Arc::new(views.unwrap()));
        let (offsets, sizes) = (vec![3, 1, 0, 0, 5], vec![3, 3, 6, 2, 1]);
        let large = LargeListViewArray::try_new(
            item.clone(),
            offsets.into(),
            sizes.into(),
            values.clone(),
            nulls(),
        );
        columns.push(Arc::new(large.unwrap()));
        let lengths = OffsetBuffer::<i64>::from_lengths([1, 2, 0, 0, 3]);
        columns.push(Arc::new(LargeListArray::new(
            item,
            lengths,
            values,
            nulls(),
        )));
    }
    columns
}

#[test]
fn list_views_and_large_lists_of_maps_round_trip() {
    let shown = |batches: &[RecordBatch]| pretty_format_batches(batches).unwrap().to_string();
    for column in list_views_and_maps() {
        let what = column.data_type().to_string();
        let batch = RecordBatch::try_from_iter_with_nullable([("c", column, true)]).unwrap();
        for batches in [
            vec![batch.clone()],
            vec![batch.slice(1, 3)],
            vec![batch.slice(4, 1), batch.slice(2, 0), batch.slice(0, 2)],
            vec![batch.slice(0, 0)],
        ] {
            for yaml in [FILES, IPC, "query_cache: {max_size_mb: 0}"] {
                let dir = tempfile::tempdir().unwrap();
                let config = Config::from_yaml("c", yaml).unwrap();
                let cache = Cache::open_with(dir.path(), &config).unwrap();
                for inline in [0, usize::MAX] {
                    set_largest_inline(&cache, inline);
                    let stored = cache.set("SELECT 1", &batches, &Params::new(), None);
                    assert!(
                        matches!(stored, Ok(Stored::Kept { .. })),
                        "{what}: {stored:?}"
                    );
                    let hit = cache.get("SELECT 1", &Params::new()).unwrap();
                    assert_eq!(hit.batches()[0].schema(), batch.schema(), "{what}");
                    assert_eq!(shown(hit.batches()), shown(&batches), "{what}");
                }
            }
        }
    }
}

/// An engine with one result.
struct Given(Vec<RecordBatch>);

impl QueryEngine for Given {
    fn identity(&self) -> String {
        "given".to_owned()
    }

    fn state(&self, _: &str) -> Result<State, Bypass> {
        let (token, tables) = ("1".to_owned(), Vec::new());
        Ok(State { token, tables })
    }

    fn run(&self, _: &str, _: &Params, _: &Cancel) -> Result<Vec<RecordBatch>, Error> {
        Ok(self.0.clone())
    }
}

#[test]
fn tags_of_list_views_and_large_lists_of_maps_follow_from_their_rows() {
    let tag = |batches: Vec<RecordBatch>| {
        let config = Config::from_yaml("c", "query_cache: {max_size_mb: 0}").unwrap();
        let cache = Cache::open_with("nowhere", &config).unwrap();
        let engine = CachedEngine::new(Given(batches), cache);
        let answer = engine.query("SELECT c FROM t", params! {}).blocking();
        answer.unwrap().etag("json").unwrap()
    };
    for column in list_views_and_maps() {
        let what = column.data_type().to_string();
        let batch = RecordBatch::try_from_iter_with_nullable([("c", column, true)]).unwrap();
        let whole = tag(vec![batch.clone()]);
        let cut = vec![batch.slice(0, 2), batch.slice(2, 0), batch.slice(2, 3)];
        assert_eq!(tag(cut), whole, "{what}");
        // the same rows, with no other values between or after them
        let parts = [batch.slice(0, 3), batch.slice(3, 2)];
        let copied = data_cache::arrow::compute::concat_batches(&batch.schema(), &parts).unwrap();
        assert_eq!(tag(vec![copied]), whole, "{what}");
        let order = vec![batch.slice(1, 4), batch.slice(0, 1)];
        assert_ne!(tag(order), whole, "{what}");
        assert_ne!(tag(vec![batch.slice(0, 4)]), whole, "{what}");
    }
}

#[test]
fn streams_that_no_reader_accepts_are_not_stored() {
    let runs =
        RunArray::<Int32Type>::try_new(&Int32Array::from(vec![2]), &Int64Array::from(vec![7]));
    let runs: ArrayRef = Arc::new(runs.unwrap());
    let item = Arc::new(Field::new("item", runs.data_type().clone(), true));
    for (lengths, is_kept) in [([2, 0], true), ([0, 0], false)] {
        let values = runs.slice(0, lengths[0]);
        let lengths = OffsetBuffer::from_lengths(lengths);
        let lists = ListArray::new(item.clone(), lengths, values, None);
        let batch = RecordBatch::try_from_iter([("c", Arc::new(lists) as ArrayRef)]).unwrap();
        for yaml in [FILES, IPC] {
            let dir = tempfile::tempdir().unwrap();
            let config = Config::from_yaml("c", yaml).unwrap();
            let cache = Cache::open_with(dir.path(), &config).unwrap();
            let batches = slice::from_ref(&batch);
            let stored = cache.set("SELECT 1", batches, &params! {}, None);
            let found = cache.look_up("SELECT 1", &params! {});
            match is_kept {
                true => assert!(matches!(found, Lookup::Hit(_)), "{found:?}"),
                false => assert_eq!(stored.unwrap(), Stored::Skipped(Skip::NoCodec)),
            }
        }
    }
}

#[test]
fn types_within_each_other_are_read_or_not_kept_in_a_file_however_many_they_are() {
    let within = |value: ArrayRef, level: usize| -> ArrayRef {
        let item = Arc::new(Field::new("item", value.data_type().clone(), true));
        match level % 2 {
            0 => {
                let lengths = OffsetBuffer::from_lengths([1]);
                Arc::new(ListArray::new(item, lengths, value, None))
            }
            _ => Arc::new(StructArray::new(vec![item].into(), vec![value], None)),
        }
    };
    let number: ArrayRef = Arc::new(Int64Array::from(vec![7]));
    let mut kept = 0;
    for levels in [50, 57, 58, 59, 60, 61, 62, 63, 64, 200] {
        let column = (0..levels).fold(number.clone(), within);
        let batch = RecordBatch::try_from_iter([("c", column)]).unwrap();
        let batches = slice::from_ref(&batch);
        for yaml in [FILES, IPC] {
            let dir = tempfile::tempdir().unwrap();
            let config = Config::from_yaml("c", yaml).unwrap();
            let cache = Cache::open_with(dir.path(), &config).unwrap();
            let stored = cache.set("SELECT 1", batches, &params! {}, None).unwrap();
            match cache.look_up("SELECT 1", &params! {}) {
                Lookup::Hit(hit) => {
                    kept += 1;
                    assert_same(batches, hit.batches(), "levels");
                }
                _ => assert_eq!(stored, Stored::Skipped(Skip::NoCodec), "{levels}"),
            }
        }
    }
    assert!(kept >= 6, "{kept}");
}

#[test]
fn the_metadata_of_a_schema_round_trips() {
    let of = |text: &str| [("geo".to_owned(), text.to_owned())].into();
    let batch = RecordBatch::try_from_iter([("f", Arc::new(Float64Array::from(vec![1.5])) as _)]);
    let batch = batch.unwrap();
    let field = batch.schema().field(0).clone().with_metadata(of("field"));
    let schema = Arc::new(Schema::new_with_metadata(vec![field], of("schema")));
    let batch = RecordBatch::try_new(schema.clone(), batch.columns().to_vec()).unwrap();
    for batches in [
        vec![batch.clone()],
        vec![batch.clone(), batch.slice(0, 0)],
        vec![batch.slice(0, 0)],
    ] {
        for (yaml, extension) in [(FILES, "parquet"), (IPC, "arrow")] {
            let (after, found) = round_trip(&batches, yaml);
            assert_eq!(found, extension);
            assert!(
                after.iter().all(|batch| batch.schema() == schema),
                "{after:?}"
            );
            assert_same(&batches, &after, "metadata");
        }
    }
}

#[test]
fn batches_without_columns_keep_their_row_count() {
    let rows = |count| {
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let schema = Arc::new(Schema::empty());
        RecordBatch::try_new_with_options(schema, Vec::new(), &options).unwrap()
    };
    for batches in [vec![rows(3)], vec![rows(70_000), rows(2)], vec![rows(0)]] {
        for yaml in [FILES, IPC] {
            let (after, extension) = round_trip(&batches, yaml);
            assert_eq!(extension, "arrow");
            let count = |batches: &[RecordBatch]| -> usize {
                batches.iter().map(RecordBatch::num_rows).sum()
            };
            assert_eq!(count(&after), count(&batches));
        }
    }
}

#[test]
fn floats_keep_every_bit() {
    let bits = [
        0x7ff8_0000_0000_0001,
        0xfff8_0000_0000_0000,
        0x7ff0_0000_0000_0001,
        0x8000_0000_0000_0000,
        0,
        0x7ff0_0000_0000_0000,
        1,
    ];
    let column = Float64Array::from(bits.map(f64::from_bits).to_vec());
    let batch = RecordBatch::try_from_iter([("f", std::sync::Arc::new(column) as _)]).unwrap();
    for yaml in [FILES, IPC] {
        let (after, _) = round_trip(slice::from_ref(&batch), yaml);
        let column = after[0]
            .column(0)
            .as_any()
            .downcast_ref::<Float64Array>()
            .unwrap();
        let found: Vec<_> = column
            .values()
            .iter()
            .map(|value| value.to_bits())
            .collect();
        assert_eq!(found, bits);
    }
}
