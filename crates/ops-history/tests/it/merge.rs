//! A merged file has every row of its sources, in the order of a stable sort by time.

use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};

use ops_history::sql::{Limits, query};
use ops_history::{History, Sample, SampleValue};
use serde_json::{Value, json};

use crate::day::Noise;
use crate::{LONG, Place, assert_adds_up, at, is_full, wait_for};

/// Rows with their timestamps in microseconds, in the order in which they were offered.
type Rows = Vec<(u64, Value)>;

fn moment(micros: u64) -> SystemTime {
    at(0) + Duration::from_micros(micros)
}

/// Offers a line with some of the columns, and returns its row.
fn line(history: &History, noise: &mut Noise, micros: u64, n: usize) -> Value {
    let mut text = format!(r#"{{"n":{n}"#);
    let mut row = json!({ "attributes": text.clone() + "}" });
    let mut put = |noise: &mut Noise, field: &str, column: &str, value: Value| {
        if noise.next().is_multiple_of(3) {
            row[column] = Value::Null;
        } else {
            write!(text, ",\"{field}\":{value}").unwrap();
            row[column] = value;
        }
    };
    let id = format!("{:016x}{:016x}", noise.next(), noise.next());
    let request = format!("req-{micros:x}-{n}");
    let few = noise.next() % 50;
    put(
        noise,
        "level",
        "severity_text",
        json!(["info", "error"][n % 2]),
    );
    put(noise, "trace_id", "trace_id", json!(id));
    put(noise, "request_id", "request_id", json!(request));
    put(noise, "error_type", "error_type", json!(format!("e{few}")));
    history.line(moment(micros), (text + "}").as_bytes());
    row
}

fn sample(history: &History, noise: &mut Noise, micros: u64, n: usize) -> Value {
    let (value, row) = match noise.next() % 2 {
        0 => (
            SampleValue::Gauge(n as f64),
            json!({"value": n as f64, "count": null}),
        ),
        _ => {
            let value = SampleValue::Histogram {
                bounds: vec![0.5],
                counts: vec![n as u64, 1],
                sum: 0.5,
            };
            (value, json!({"value": null, "count": n + 1}))
        }
    };
    history.sample(Sample {
        at: moment(micros),
        name: "a",
        unit: "",
        attributes: String::new(),
        value,
    });
    row
}

/// Asserts that the only file of a table has these rows in this order, sorted by time.
fn assert_is_sorted(place: &Place, table: &str, columns: &str, mut rows: Rows) {
    rows.sort_by_key(|(micros, _)| *micros);
    let file = place.first_file(table).canonicalize().unwrap();
    let sql = format!(
        "SELECT epoch_us(timestamp), {columns} FROM read_parquet('{}')",
        file.display()
    );
    let mut limits = Limits::default();
    limits.rows = 1_000_000;
    let answer = query(&[place.dir()], &sql, &limits).unwrap();
    assert_eq!(answer.rows.len(), rows.len());
    let start = at(0)
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_micros() as u64;
    for (found, (micros, row)) in answer.rows.iter().zip(&rows) {
        assert_eq!(found[0], (start + micros).to_string(), "{row}");
        for (cell, column) in found.iter().zip(&answer.columns).skip(1) {
            let cell: Value = serde_json::from_str(cell).unwrap();
            assert_eq!(cell, row[column], "{column} of {row}");
        }
    }
}

/// Returns the number of row groups of a file.
fn row_groups(path: &Path) -> usize {
    let file = std::fs::File::open(path).unwrap();
    let reader = parquet::file::reader::SerializedFileReader::new(file).unwrap();
    parquet::file::reader::FileReader::metadata(&reader).num_row_groups()
}

/// Writes one file per pair of row count and time overlap with the file before, and waits for the merge.
fn merged(seed: u64, files: &[(usize, u64)]) -> usize {
    let place = Place::new();
    let history = place.open();
    let mut noise = Noise(seed);
    let (mut lines, mut samples) = (Rows::new(), Rows::new());
    let mut start = 1_000_000;
    for (rows, overlap) in files {
        start -= overlap;
        for _ in 0..*rows {
            let micros = start + noise.next() % (2 * *rows as u64);
            let row = line(&history, &mut noise, micros, lines.len());
            lines.push((micros, row));
            if noise.next().is_multiple_of(100) {
                let row = sample(&history, &mut noise, micros, samples.len());
                samples.push((micros, row));
            }
        }
        start += 2 * *rows as u64;
        assert!(history.flush(LONG));
    }
    assert!(history.close(LONG));
    assert_adds_up(&history.stats());
    drop(history);
    let next = place.open();
    wait_for("the merge", || {
        place.names("logs").len() == 1 && place.names("metrics").len() <= 1
    });
    assert!(next.close(LONG));
    let columns =
        "severity_text, lower(hex(trace_id)) AS trace_id, request_id, error_type, attributes";
    assert_is_sorted(&place, "logs", columns, lines);
    if !samples.is_empty() {
        assert_is_sorted(&place, "metrics", "value, count", samples);
    }
    row_groups(&place.first_file("logs"))
}

#[test]
fn files_of_random_rows_and_times_become_one_in_the_order_of_a_sort() {
    for seed in 1..if is_full() { 200 } else { 5 } {
        let mut noise = Noise(seed);
        let files: Vec<_> = (0..2 + noise.next() % 12)
            .map(|_| {
                let rows = match noise.next() % 5 {
                    0 => 12_288 + noise.next() % 800,
                    _ => 1 + noise.next() % 300,
                };
                let overlap = [0, 0, noise.next() % 30, noise.next() % 2000];
                (rows as usize, overlap[(noise.next() % 4) as usize])
            })
            .collect();
        merged(seed, &files);
    }
}

#[test]
fn large_files_that_follow_each_other_are_copied_and_those_that_overlap_are_sorted() {
    assert_eq!(merged(1, &[(12_288, 0), (12_300, 0), (12_288, 0)]), 3);
    assert_eq!(merged(2, &[(12_288, 0), (12_300, 500), (12_288, 0)]), 2);
    assert_eq!(merged(3, &[(100, 0), (100, 0), (100, 150)]), 1);
}
