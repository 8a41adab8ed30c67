//! Lines selected by time, field and trace; lines for which the selection cannot be evaluated are counted.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ops_log::Level;
use ops_log::reader::{Selection, Sieve, StoredLine, TraceId, parse_instant};
use proptest::prelude::*;

use crate::sample_time;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn at(text: &str) -> SystemTime {
    parse_instant(text).unwrap()
}

/// Returns a line with this timestamp, given in JSON.
fn written_at(timestamp: &str) -> String {
    format!(r#"{{"timestamp":{timestamp},"level":"info","event":"e"}}"#)
}

#[test]
fn instants_of_any_offset_and_precision_are_read() {
    let right = sample_time();
    for text in [
        "2025-01-15T10:30:00.123Z",
        "2025-01-15t10:30:00.12300z",
        " 2025-01-15 12:30:00.123+02:00",
        "2025-01-14T23:00:00.123-11:30",
        "2025-01-15T10:30:00.123-00:00",
        "2025-01-15T10:30:00.1230000009Z",
    ] {
        assert_eq!(at(text), right, "{text}");
    }
    let second = UNIX_EPOCH + Duration::from_secs(1_736_937_000);
    assert_eq!(at("2025-01-15T10:30:00Z"), second);
    assert_eq!(
        at("2025-01-15T10:30:00.000000001Z"),
        second + Duration::from_nanos(1)
    );
    assert_eq!(at("2025-01-15"), at("2025-01-15T00:00:00Z"));
    assert_eq!(
        at("1969-12-31T23:59:58.5Z"),
        UNIX_EPOCH - Duration::from_millis(1500)
    );
    assert_eq!(
        at("2024-02-29"),
        UNIX_EPOCH + Duration::from_hours(19_782 * 24)
    );
    assert_eq!(
        at("0000-02-29T00:00:00Z") + Duration::from_hours(24),
        at("0000-03-01")
    );
    // a leap second
    assert_eq!(at("2016-12-31T23:59:60.7Z"), at("2017-01-01"));
    assert_eq!(at("2017-01-01T01:59:60+02:00"), at("2017-01-01"));
}

#[test]
fn what_is_no_instant_is_refused_with_an_example() {
    for text in [
        "",
        "yesterday",
        "2025-01-15T10:30:00",
        "2025-01-15T10:30Z",
        "2025-01-15T10:30:60Z",
        "2025-01-15T24:00:00Z",
        "2025-01-15T10:60:00Z",
        "2025-02-29",
        "2100-02-29",
        "2025-13-01",
        "2025-00-01",
        "2025-01-32",
        "2025-1-15",
        "2025-01-15Z",
        "2025-01-15T10:30:00.Z",
        "2025-01-15T10:30:00,123Z",
        "2025-01-15T10:30:00+0200",
        "2025-01-15T10:30:00+24:00",
        "2025-01-15T10:30:00ZZ",
        "+025-01-15T10:30:00Z",
        "２025-01-15",
    ] {
        let error = parse_instant(text).unwrap_err().to_string();
        assert!(
            error.contains(&format!("{text:?}")) && error.contains("2025-01-15T10:30:00Z"),
            "{error}"
        );
    }
}

proptest! {
    #[test]
    fn every_instant_that_is_written_is_read(millis in 0_u64..253_402_300_800_000) {
        let instant = UNIX_EPOCH + Duration::from_millis(millis);
        let (seconds, fraction) = (millis / 1000, millis % 1000);
        // written with another time format
        let line = StoredLine::parse(&written_at(&format!("{seconds}.{fraction:03}"))).unwrap();
        prop_assert_eq!(parse_instant(line.timestamp()), Ok(instant));
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,40}|[0-9TZ:.+-]{0,40}|2025-01-15T10:30:00[0-9Z.:+-]{0,12}") {
        let _ = parse_instant(&text);
    }
}

#[test]
fn time_is_compared_as_instants_and_not_as_text() {
    let seconds = written_at("\"2025-01-15T10:30:00Z\"");
    let millis = written_at("\"2025-01-15T10:30:00.123Z\"");
    let micros = written_at("\"2025-01-15T10:30:00.123456Z\"");
    let elsewhere = written_at("\"2025-01-15T12:30:00+02:00\"");
    let of = |text: &str| StoredLine::parse(text).unwrap();
    let since = Selection::new().since(at("2025-01-15T10:30:00.123Z"));
    let until = Selection::new().until(at("2025-01-15T10:30:00.123Z"));
    for (line, is_since) in [
        (&seconds, false),
        (&millis, true),
        (&micros, true),
        (&elsewhere, false),
    ] {
        assert_eq!(since.matches(&of(line)), is_since, "{line}");
        assert_eq!(until.matches(&of(line)), !is_since, "{line}");
    }
    // shown in UTC, like all others
    assert_eq!(
        of(&elsewhere).to_string(),
        "2025-01-15 10:30:00 [info     ] e"
    );
    assert_eq!(of(&elsewhere).instant(), Some(at("2025-01-15T10:30:00Z")));
    // numbers, as written with other time formats
    for number in ["1736937000123", "1736937000.123"] {
        let line = of(&written_at(number));
        assert_eq!(line.instant(), Some(sample_time()), "{number}");
    }
    let second = of(&written_at("1736937000"));
    assert_eq!(second.to_string(), "2025-01-15 10:30:00 [info     ] e");
}

#[test]
fn a_line_whose_time_cannot_be_read_is_left_out_by_time_and_counted() {
    let unreadable = [
        "null",
        "\"\"",
        "true",
        "{}",
        "\"2025-01-15 10:30:00,123\"",
        "\"Wed Jan 15 10:30:00.123456 2025\"",
        "99999999999999999999",
    ];
    for selection in [
        Selection::new().since(UNIX_EPOCH),
        Selection::new().until(at("9999-12-31")),
    ] {
        let mut sieve = Sieve::new(selection);
        for timestamp in unreadable {
            assert!(sieve.take(&written_at(timestamp)).is_none(), "{timestamp}");
        }
        assert!(sieve.take(r#"{"event":"e"}"#).is_none());
        assert!(
            sieve
                .take(&written_at("\"2025-01-15T10:30:00Z\""))
                .is_some()
        );
        assert_eq!(sieve.left_out().to_string(), "8 lines without a valid time");
    }
    // shown as written
    let shown = |timestamp| {
        StoredLine::parse(&written_at(timestamp))
            .unwrap()
            .to_string()
    };
    assert_eq!(shown("null"), " [info     ] e");
    assert_eq!(
        shown("\"Wed Jan 15 10:30:00.123456 2025\""),
        "Wed Jan 15 10:30:00.123456 2025 [info     ] e"
    );
    assert_eq!(
        shown("\"1960-01-15T10:30:00Z\""),
        "1960-01-15 10:30:00Z [info     ] e"
    );
}

#[test]
fn lines_that_cannot_be_judged_are_counted_once_and_others_are_not() {
    let mut sieve = Sieve::new(Selection::new().level(Level::Error).text("disk"));
    let lines = [
        r#"{"level":"error","event":"disk full"}"#,
        r#"{"level":"error","event":"other"}"#,
        r#"{"level":"info","event":"disk full"}"#,
        r#"{"level":"ERR","event":"disk full"}"#,
        r#"{"event":"disk full"}"#,
        r#"{"level":"ERR","event":"other"}"#,
        r#"{"level":"error","event":"disk fu"#,
        "a stack trace without the word",
        " ",
    ];
    let taken = lines.iter().filter(|line| sieve.take(line).is_some());
    assert_eq!(taken.count(), 1);
    assert_eq!(
        sieve.left_out().to_string(),
        "1 line that is not JSON, 2 lines without a known level"
    );
    let mut all = Sieve::new(Selection::new());
    assert!(lines.iter().all(|line| all.take(line).is_some()));
    assert_eq!(all.left_out().to_string(), "");
    let mut json = Sieve::new(Selection::new()).json_only(true);
    let taken = lines.iter().filter(|line| json.take(line).is_some());
    assert_eq!(taken.count(), 6);
    // a blank line is not a loss
    assert_eq!(json.left_out().not_json, 2);
}

#[test]
fn parts_of_the_line_are_fields_too() {
    let ours = r#"{"timestamp":"2025-01-15T10:30:00.123Z","level":"warning","logger":"api","event":"request_completed","a=b":"c=d","n":1}"#;
    let gcp = r#"{"time":"2025-01-15T10:30:00.123Z","severity":"WARNING","logger":"api","message":"request_completed","a=b":"c=d","n":1}"#;
    for text in [ours, gcp] {
        let line = StoredLine::parse(text).unwrap();
        assert_eq!(line.field("level").as_deref(), Some("warning"));
        for pair in [
            "event=request_completed",
            "level=warning",
            "level=WARN",
            "logger=api",
            "timestamp=2025-01-15T10:30:00.123Z",
            "a=b=c=d",
            "n=1",
        ] {
            assert!(Selection::new().pair(pair).matches(&line), "{pair}");
        }
        for pair in [
            "event=request",
            "level=error",
            "level=nonsense",
            "a=b",
            "a=b=c",
            "n=",
            "logger=",
            "n",
        ] {
            assert!(!Selection::new().pair(pair).matches(&line), "{pair}");
        }
    }
    let foreign = StoredLine::parse(r#"{"level":"notice","event":"e"}"#).unwrap();
    assert!(Selection::new().field("level", "notice").matches(&foreign));
}

#[test]
fn a_trace_is_asked_for_in_capitals_or_by_its_header() {
    let line = format!(r#"{{"event":"e","trace_id":"{TRACE}"}}"#);
    let capitals = format!(r#"{{"event":"e","trace_id":"{}"}}"#, TRACE.to_uppercase());
    for asked in [
        TRACE.to_owned(),
        TRACE.to_uppercase(),
        format!("00-{TRACE}-00f067aa0ba902b7-01"),
        format!(" 00-{}-00F067AA0BA902B7-01\n", TRACE.to_uppercase()),
        format!("cc-{TRACE}-00f067aa0ba902b7-01-later"),
    ] {
        let id: TraceId = asked.parse().unwrap();
        assert_eq!(id.as_str(), TRACE);
        for line in [&line, &capitals] {
            let line = StoredLine::parse(line).unwrap();
            assert!(Selection::new().trace(id.clone()).matches(&line), "{asked}");
        }
    }
    let other: TraceId = "1".repeat(32).parse().unwrap();
    let line = StoredLine::parse(&line).unwrap();
    assert!(!Selection::new().trace(other).matches(&line));
    for text in [
        "",
        "nonsense",
        "4bf9",
        &"0".repeat(32),
        &format!("00-{TRACE}"),
        &format!("00-{TRACE}-01"),
        &format!("{TRACE}0"),
        &"é".repeat(16),
    ] {
        let error = text.parse::<TraceId>().unwrap_err().to_string();
        assert!(error.contains("32 hexadecimal digits"), "{error}");
    }
}
