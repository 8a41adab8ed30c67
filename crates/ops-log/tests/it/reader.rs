//! Lines read back: all written lines are read, no line of
//! another program moves the cursor, no rotation loses a line.

use std::fs::{self, File};
use std::io::Write as _;
use std::time::{Duration, SystemTime};

use ops_log::reader::{MAX_STORED_LINE_BYTES, Selection, StoredLine, Tail, escaped, with_rotated};
use ops_log::{Config, Level, Output, Pipeline, Rotation, error, info};

use crate::{Written, sample_time};

#[test]
fn a_stored_line_looks_like_the_line_for_people() {
    let (json, console) = (Written::default(), Written::default());
    let config = Config::new()
        .stdout(false)
        .service_name("api")
        .clock(sample_time)
        .output(Output::writer(json.clone()).json(true))
        .output(Output::writer(console.clone()).json(false).color(false));
    let pipeline = Pipeline::new(config).unwrap();
    let log = pipeline.logger("db");
    info!(
        log,
        "say \"hi\"",
        table = "a b",
        empty = "",
        path = "C:\\x",
        n = -3,
        f = 0.5,
        none = None::<u8>
    );
    error!(log, "two\nlines \u{1b}[31m", raw = ?[1, 2], nested = slog_value());
    for (json, console) in json.lines().iter().zip(console.lines()) {
        let line = StoredLine::parse(json).unwrap();
        // outputs without context omit the logger
        let shown = line.to_string().replacen(" [db]", "", 1);
        assert_eq!(format!("{shown}\n"), console.replacen(" [db]", "", 1));
    }
}

fn slog_value() -> ops_log::Value {
    ops_log::Value::from("[not json]")
}

#[test]
fn a_line_of_another_program_moves_no_cursor() {
    let text = "{\"level\":\"notice\",\"event\":\"a\u{9b}31m\",\"k\u{202e}\":\"\\u001b[2J\",\"deep\":[{\"x\":\"\u{7f}\"}, 1e3]}";
    let line = StoredLine::parse(text).unwrap();
    assert_eq!(line.level(), None);
    let shown = line.console(false);
    assert!(shown.contains(" [notice   ] "), "{shown}");
    assert!(
        !shown.chars().any(|c| c.is_control() || c == '\u{202e}'),
        "{shown:?}"
    );
    assert!(
        shown.contains("\\u001b[2J") && shown.contains("1e3"),
        "{shown}"
    );
    assert_eq!(
        escaped("at \"x\"\tC:\\y \u{1b}[0m"),
        "at \"x\"\tC:\\y \\u001b[0m"
    );
}

#[test]
fn what_is_no_object_is_an_error_that_says_where() {
    for text in ["", "half a line", "{\"event\":\"cut", "[1]", "{} {}"] {
        let error = StoredLine::parse(text).unwrap_err();
        assert_eq!(error.to_string(), "not a JSON object");
        assert!(std::error::Error::source(&error).is_some());
    }
}

#[test]
fn a_selection_takes_lines_that_meet_every_condition() {
    let text = r#"{"timestamp":"2025-01-15T10:30:00.123Z","level":"warning","logger":"db","event":"slow","trace_id":"4bf9","status":503,"note":"über"}"#;
    let line = StoredLine::parse(text).unwrap();
    let second = Duration::from_secs(1);
    let any = Selection::new;
    let taken = [
        any(),
        any().level(Level::Info),
        any().level(Level::Warning).field("trace_id", "4bf9"),
        any().field("status", "503"),
        any().text("über"),
        any().text("note"),
        any().since(sample_time()),
        any().until(sample_time() + Duration::from_millis(1)),
        any()
            .since(sample_time() - second)
            .until(sample_time() + second),
    ];
    for selection in &taken {
        assert!(selection.matches(&line), "{selection:?}");
    }
    let left = [
        any().level(Level::Error),
        any().field("trace_id", "4bf"),
        any().field("missing", ""),
        any().text("Über"),
        any().since(sample_time() + Duration::from_millis(1)),
        any().until(sample_time()),
    ];
    for selection in &left {
        assert!(!selection.matches(&line), "{selection:?}");
    }
    assert!(any().text("trace").matches_text("a stack trace"));
    assert!(
        !any()
            .since(SystemTime::UNIX_EPOCH)
            .matches_text("a stack trace")
    );
}

#[test]
fn no_line_is_lost_by_rotations_however_many_there_were() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.log");
    let config = Config::new().stdout(false).output(
        Output::file(&path)
            .json(true)
            .rotation(Rotation::new(600, 40)),
    );
    let pipeline = Pipeline::new(config).unwrap();
    let log = pipeline.root();
    let mut tail = Tail::open(&path).unwrap();
    let mut read = Vec::new();
    for burst in 0..30_u64 {
        for number in 0..=burst {
            info!(log, "line", number = burst * 100 + number);
        }
        if burst % 3 == 0 {
            while let Some(line) = tail.next_line().unwrap() {
                read.push(StoredLine::parse(&line).unwrap().field("number").unwrap());
            }
        }
    }
    while let Some(line) = tail.next_line().unwrap() {
        read.push(StoredLine::parse(&line).unwrap().field("number").unwrap());
    }
    let written: Vec<String> = (0..30_u64)
        .flat_map(|burst| (0..=burst).map(move |number| (burst * 100 + number).to_string()))
        .collect();
    assert_eq!(read, written);
    assert!(with_rotated(&path).len() > 30);
    assert_eq!(with_rotated(&path).last(), Some(&path));
}

#[test]
fn half_a_line_waits_for_its_newline_and_a_shorter_file_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.log");
    let mut file = File::create(&path).unwrap();
    let mut tail = Tail::open(&path).unwrap();
    write!(file, "one\r\ntw").unwrap();
    assert_eq!(tail.next_line().unwrap().as_deref(), Some("one"));
    assert_eq!(tail.next_line().unwrap(), None);
    writeln!(file, "o").unwrap();
    assert_eq!(tail.next_line().unwrap().as_deref(), Some("two"));
    fs::write(&path, "new\nrest").unwrap();
    assert_eq!(tail.next_line().unwrap().as_deref(), Some("new"));
    assert_eq!(tail.finish().as_deref(), Some("rest"));
    assert_eq!(tail.finish(), None);
    fs::remove_file(&path).unwrap();
    assert_eq!(tail.next_line().unwrap(), None);
    fs::write(&path, "after\n").unwrap();
    assert_eq!(tail.next_line().unwrap().as_deref(), Some("after"));
    assert!(Tail::open(folder.path().join("none.log")).is_err());
}

#[test]
fn a_line_without_end_takes_bounded_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.log");
    let mut text = vec![b'x'; 3 * MAX_STORED_LINE_BYTES];
    text.extend_from_slice(b"\nnext\n");
    fs::write(&path, text).unwrap();
    let mut tail = Tail::open(&path).unwrap();
    assert_eq!(
        tail.next_line().unwrap().unwrap().len(),
        MAX_STORED_LINE_BYTES
    );
    assert_eq!(tail.next_line().unwrap().as_deref(), Some("next"));
}
