use std::time::Duration;

use ops_history::{ErrorKind, History, QUEUE_BYTES, Sample, SampleValue, Span};
use serde_json::json;

use crate::{LONG, Place, ask, assert_adds_up, at, number, numbers, rows, value, wait_for};

#[test]
fn a_line_comes_back_with_its_columns_and_the_rest_as_json() {
    let place = Place::new();
    let history = place.open();
    let line = br#"{"timestamp":"2026-11-20T10:00:01Z","level":"error","event":"request_completed","logger":"shop","request_id":"req-1","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","method":"GET","path":"/a\"b","route":"/{x}","status":503,"latency_ms":45,"client":"acme","nested":{"a":[1]}}"#;
    history.line(at(1), line);
    // types that differ from those of the columns, and an event that is not a request
    history.line(
        at(2),
        br#"{"level":"info","event":"other","status":"up","trace_id":"short","path":7}"#,
    );
    assert!(history.close(LONG));
    let answer = ask(
        &[place.dir()],
        "SELECT * EXCLUDE (trace_id_bytes, span_id_bytes, service_instance_id) FROM logs ORDER BY timestamp",
    );
    let rows: Vec<serde_json::Map<_, _>> = rows(&answer)
        .iter()
        .map(|row| {
            answer
                .columns
                .iter()
                .cloned()
                .zip(row.iter().cloned())
                .collect()
        })
        .collect();
    let expected = json!({
        "timestamp": "2026-11-20 10:00:01", "severity_text": "error", "severity_number": 17, "body": "request_completed",
        "scope_name": "shop", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": null, "request_id": "req-1",
        "http_request_method": "GET", "url_path": "/a\"b", "http_route": "/{x}", "http_response_status_code": 503,
        "duration_us": 45000, "duration_ms": 45.0, "error_type": null,
        "attributes": "{\"client\":\"acme\",\"nested\":{\"a\":[1]}}", "service_name": "shop", "run": 1,
    });
    assert_eq!(json!(rows[0]), expected);
    assert_eq!(
        rows[1]["attributes"],
        json!("{\"status\":\"up\",\"trace_id\":\"short\",\"path\":7}")
    );
    assert_eq!(rows[1]["http_response_status_code"], json!(null));
    assert_eq!(
        value(&[place.dir()], "SELECT count(*) FROM requests"),
        json!(1)
    );
}

#[test]
fn an_unpaired_surrogate_does_not_prevent_queries() {
    let place = Place::new();
    let history = place.open();
    for value in [
        r#""\ud83d""#,
        r#"{"a":["\uDE00x"]}"#,
        r#""\ud83d\u0041""#,
        r#""\ud83d\ude00""#,
        r#""\\ud83d\n\u00e9""#,
        r#"{"a":"\u00e9","n":1e999}"#,
    ] {
        let line =
            format!(r#"{{"level":"error","event":"failed","value":{value},"error":"full"}}"#);
        history.line(at(1), line.as_bytes());
    }
    assert!(history.close(LONG));
    let dirs = [place.dir()];
    let sql =
        "SELECT attributes ->> '$.value' AS value, attributes ->> '$.error' AS error FROM logs";
    assert_eq!(
        json!(rows(&ask(&dirs, sql))),
        json!([
            [r#""\ud83d""#, "full"],
            [r#"{"a":["\uDE00x"]}"#, "full"],
            [r#""\ud83d\u0041""#, "full"],
            ["\u{1f600}", "full"],
            ["\\ud83d\n\u{e9}", "full"],
            ["{\"a\":\"\u{e9}\",\"n\":1e999}", "full"],
        ])
    );
}

#[test]
fn counts_that_no_number_holds_stop_nothing() {
    let place = Place::new();
    let history = place.open();
    for counts in [vec![u64::MAX, 1], vec![2, 3]] {
        let bounds = vec![0.5];
        history.sample(Sample {
            at: at(2),
            name: "b_seconds",
            unit: "s",
            attributes: String::new(),
            value: SampleValue::Histogram {
                bounds,
                counts,
                sum: 1.0,
            },
        });
    }
    assert!(history.close(LONG));
    let counts = ask(&[place.dir()], "SELECT count FROM metrics");
    assert_eq!(rows(&counts), [[json!(null)], [json!(5)]]);
}

#[test]
fn spans_and_samples_come_back() {
    let place = Place::new();
    let history = place.open();
    history.span(Span {
        start: at(1),
        duration: Duration::from_micros(1500),
        name: "GET /{x}".to_owned(),
        kind: "server",
        trace_id: [7; 16],
        span_id: [8; 8],
        parent_span_id: None,
        is_error: true,
    });
    for (name, value) in [
        ("a_total", SampleValue::Sum(3.5)),
        (
            "b_seconds",
            SampleValue::Histogram {
                bounds: vec![0.5, 1.0],
                counts: vec![1, 2, 4],
                sum: 9.25,
            },
        ),
    ] {
        history.sample(Sample {
            at: at(2),
            name,
            unit: "s",
            attributes: r#"{"route":"/"}"#.to_owned(),
            value,
        });
    }
    assert!(history.close(LONG));
    let dirs = [place.dir()];
    let span = ask(
        &dirs,
        "SELECT name, kind, duration_ms, trace_id, span_id, parent_span_id, status_code FROM spans",
    );
    let trace = "07".repeat(16);
    let expected = [
        json!("GET /{x}"),
        json!("server"),
        json!(1.5),
        json!(trace),
        json!("08".repeat(8)),
        json!(null),
        json!("error"),
    ];
    assert_eq!(rows(&span), [expected]);
    let samples = ask(
        &dirs,
        "SELECT name, type, unit, attributes, value, count, sum, explicit_bounds, bucket_counts FROM metrics ORDER BY name",
    );
    assert_eq!(
        json!(rows(&samples)),
        json!([
            [
                "a_total",
                "sum",
                "s",
                "{\"route\":\"/\"}",
                3.5,
                null,
                null,
                null,
                null
            ],
            [
                "b_seconds",
                "histogram",
                "s",
                "{\"route\":\"/\"}",
                null,
                7,
                9.25,
                "[0.5,1]",
                "[1,2,4]"
            ],
        ])
    );
    let stats = history.stats();
    assert_eq!((stats.spans.written, stats.samples.written), (1, 2));
    assert_adds_up(&stats);
}

#[test]
fn every_line_is_written_or_counted_as_dropped() {
    let place = Place::new();
    let history = place.open();
    history.line(at(0), b"no json");
    history.line(at(0), b"[1]");
    history.line(at(0), &vec![b' '; 300 * 1024]);
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let history = history.clone();
            std::thread::spawn(move || {
                for n in 0..20_000 {
                    number(&history, n / 100, thread * 20_000 + n);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_adds_up(&history.stats());
    assert!(history.close(LONG));
    number(&history, 0, 0);
    let stats = history.stats();
    assert_adds_up(&stats);
    let counts = stats.lines;
    assert_eq!(counts.offered, 80_004);
    assert_eq!(
        (
            counts.unreadable,
            counts.too_long,
            counts.closed,
            counts.waiting()
        ),
        (2, 1, 1, 0)
    );
    let found = numbers(&[place.dir()]);
    assert_eq!(found.len() as u64, counts.written);
    assert_eq!(counts.written + counts.queue_full, 80_000);
    assert!(found.is_sorted_by(|a, b| a < b), "a line is there twice");
}

#[test]
fn a_queue_without_room_drops_and_counts() {
    let place = Place::new();
    let (hold, held) = std::sync::mpsc::sync_channel::<()>(0);
    let held = std::sync::Mutex::new(held);
    // the writer blocks in its first file
    let history = History::open(place.config().on_step(move |step| {
        if step == ops_history::Step::Created {
            // fails once the sender is gone, so that it no longer blocks
            let _ = held.lock().unwrap().recv();
        }
        Ok(())
    }));
    let history = history.unwrap();
    number(&history, 0, 0);
    let asking = history.clone();
    let flush = std::thread::spawn(move || asking.flush(LONG));
    wait_for("the writer", || !place.names("logs").is_empty());
    let long = format!(r#"{{"event":"long","text":"{}"}}"#, "x".repeat(100_000));
    let offered = 1000;
    for _ in 0..offered {
        history.line(at(1), long.as_bytes());
    }
    let room = (QUEUE_BYTES / (long.len() + 16)) as u64;
    assert_eq!(history.stats().lines.queue_full, offered - room);
    drop(hold);
    assert!(flush.join().unwrap());
    assert!(history.close(LONG));
    let stats = history.stats();
    assert_eq!((stats.lines.written, stats.lines.waiting()), (room + 1, 0));
    assert_eq!(
        value(&[place.dir()], "SELECT count(*) FROM logs"),
        json!(room + 1)
    );
}

#[test]
fn rows_of_a_file_are_of_one_hour_and_sorted() {
    let place = Place::new();
    let history = place.open();
    for n in 0..100 {
        number(&history, (n * 37) % 100 * 100, n);
    }
    assert!(history.close(LONG));
    let names = place.names("logs");
    let hours: Vec<_> = names.iter().map(|name| &name[..13]).collect();
    assert_eq!(hours, ["2026-11-20T10", "2026-11-20T11", "2026-11-20T12"]);
    // plain files: any reader gets the rows in order
    let sql = format!(
        "SELECT count(*) FROM (SELECT timestamp < lag(timestamp) OVER () AS back FROM read_parquet('{}')) WHERE back",
        place.first_file("logs").canonicalize().unwrap().display()
    );
    assert_eq!(value(&[place.dir()], &sql), json!(0));
    assert_eq!(numbers(&[place.dir()]), (0..100).collect::<Vec<_>>());
}

#[test]
fn a_second_writer_is_refused_and_the_first_one_goes_on() {
    let place = Place::new();
    let first = place.open();
    let refused = History::open(place.config()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Locked);
    number(&first, 0, 1);
    assert!(first.close(LONG));
    assert_eq!(numbers(&[place.dir()]), [1]);
    // a remaining handle does not hold the lock
    let second = place.open();
    drop(first);
    assert_eq!(second.run(), 2);
}

#[test]
fn small_files_become_one_with_each_row_once() {
    let place = Place::new();
    let history = place.open();
    for n in 0..16 {
        // newest first: files overlap in time
        number(&history, 100 - n, n);
        assert!(history.flush(LONG));
    }
    wait_for("the merge", || place.names("logs").len() == 1);
    let name = &place.names("logs")[0];
    assert!(name.ends_with("_00000001-00000016.parquet"), "{name}");
    assert_eq!(numbers(&[place.dir()]), (0..16).collect::<Vec<_>>());
    number(&history, 200, 16);
    assert!(history.close(LONG));
    drop(history);
    // the next run merges what is left of this one
    let next = place.open();
    wait_for("the merge", || place.names("logs").len() == 1);
    assert!(next.close(LONG));
    assert_eq!(numbers(&[place.dir()]), (0..17).collect::<Vec<_>>());
    let merged = ask(&[place.dir()], "SELECT run, timestamp FROM logs");
    assert!(
        merged
            .rows
            .is_sorted_by(|a, b| a[1].as_str() <= b[1].as_str())
    );
    assert!(rows(&merged).iter().all(|row| row[0] == json!(1)));
}

#[test]
fn a_directory_that_somebody_removed_is_made_again_and_locked_again() {
    let place = Place::new();
    let history = History::open(place.config().retry_after(Duration::ZERO)).unwrap();
    number(&history, 0, 0);
    assert!(history.flush(LONG));
    std::fs::remove_dir_all(place.dir()).unwrap();
    number(&history, 1, 1);
    assert!(history.flush(LONG));
    assert_eq!(history.stats().stopped, None);
    assert_eq!(numbers(&[place.dir()]), [1]);
    let second = History::open(place.config()).unwrap_err();
    assert_eq!(second.kind(), ErrorKind::Locked, "{second:?}");

    // another process that locks the directory first is not disturbed until it ends
    std::fs::remove_dir_all(place.dir()).unwrap();
    let other = place.open();
    number(&history, 2, 2);
    assert!(history.flush(LONG));
    let stopped = history.stats().stopped.unwrap();
    assert!(stopped.contains("another process writes"), "{stopped}");
    assert!(other.close(LONG));
    drop(other);
    number(&history, 3, 3);
    assert!(history.close(LONG));
    let stats = history.stats();
    assert_eq!(stats.stopped, None);
    assert_adds_up(&stats);
    assert_eq!(numbers(&[place.dir()]), [3]);
}

#[test]
fn a_run_whose_directory_another_process_had_meanwhile_has_a_number_of_its_own() {
    let place = Place::new();
    let history = History::open(place.config().retry_after(Duration::ZERO)).unwrap();
    for n in 0..2 {
        number(&history, n, n);
        assert!(history.flush(LONG));
    }
    std::fs::remove_dir_all(place.dir()).unwrap();
    let other = place.open();
    number(&other, 2, 2);
    assert!(other.close(LONG));
    drop(other);
    number(&history, 3, 3);
    assert!(history.flush(LONG));
    number(&history, 4, 4);
    assert_eq!((history.run(), history.stats().run), (2, 2));
    assert!(history.close(LONG));
    drop(history);
    let runs = ask(
        &[place.dir()],
        "SELECT run, (attributes ->> '$.n')::BIGINT FROM logs ORDER BY ALL",
    );
    assert_eq!(json!(rows(&runs)), json!([[1, 2], [2, 3], [2, 4]]));
    assert_eq!(place.open().run(), 3);
}

#[test]
fn a_run_whose_lock_alone_was_removed_keeps_its_number() {
    let place = Place::new();
    for n in 0..2 {
        let history = place.open();
        assert_eq!(history.run(), n + 1);
        number(&history, n, n);
        assert!(history.flush(LONG));
        std::fs::remove_file(place.dir().join("writer.lock")).unwrap();
        number(&history, n, n + 2);
        assert!(history.close(LONG));
        assert_eq!(history.run(), n + 1);
    }
}
