//! Answers of collectors, and of servers that are none.

use std::time::{Duration, Instant, SystemTime};

use ops_trace::testing::{Answer, Collector};
use ops_trace::{Tracer, span};

use crate::lines::lines_about;
use crate::{SOON, assert_balanced, config};

fn one_batch(tracer: &Tracer) {
    drop(span!(tracer: tracer, "a"));
    tracer.flush();
}

/// An answer with this head and body.
fn raw(status: u16, headers: &str, body: &str) -> Answer {
    let length = body.len();
    Answer::Raw(format!(
        "HTTP/1.1 {status} test\r\n{headers}connection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    ))
}

fn date_in(seconds: u64) -> String {
    httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(seconds))
}

#[test]
fn retry_after_in_both_forms_holds_back_the_next_batches_too() {
    // the collector's clock is an hour behind: it tells the time itself
    let (behind, until) = (
        SystemTime::now() - Duration::from_secs(3600),
        SystemTime::now() - Duration::from_secs(3570),
    );
    let by_its_clock = format!(
        "date: {}\r\nretry-after: {}\r\n",
        httpdate::fmt_http_date(behind),
        httpdate::fmt_http_date(until)
    );
    for answer in [
        raw(503, "retry-after: 30\r\n", ""),
        raw(429, &format!("retry-after: {}\r\n", date_in(30)), ""),
        raw(503, &by_its_clock, ""),
        raw(503, "retry-after: 30\r\n", &"x".repeat(8 * 1024 * 1024)),
        raw(503, "retry-after: 18446744073709551615\r\n", ""),
    ] {
        let collector = Collector::start().unwrap();
        collector.answer(answer.clone());
        let tracer = Tracer::new(config(&collector.endpoint())).unwrap();
        for _ in 0..5 {
            one_batch(&tracer);
        }
        let stats = tracer.shutdown_blocking(SOON);
        assert_balanced(&stats);
        assert_eq!(collector.requests(), 1, "{answer:?}");
        assert_eq!(stats.dropped_export_failed, 1, "{stats:?}");
        assert_eq!(stats.dropped_circuit_open, 4, "{stats:?}");
    }
}

#[test]
fn the_next_attempt_is_made_when_the_collector_asked_for_it() {
    let collector = Collector::start().unwrap();
    collector.answer(Answer::StatusRetryAfter(503, 1));
    let config = config(&collector.endpoint()).export_timeout(Duration::from_millis(500));
    let tracer = Tracer::new(config).unwrap();
    let asked = Instant::now();
    one_batch(&tracer);
    collector.answer(Answer::Accept);
    while tracer.stats().exported == 0 {
        assert!(asked.elapsed() < SOON);
        one_batch(&tracer);
        std::thread::yield_now();
    }
    let waited = asked.elapsed();
    assert!(waited >= Duration::from_millis(990), "{waited:?}");
    assert_eq!(collector.requests(), 2);
    assert_balanced(&tracer.stats());
}

#[test]
fn a_retry_after_that_is_none_is_ignored() {
    for header in [
        "retry-after: soon\r\n",
        "retry-after: -1\r\n",
        "retry-after:\r\n",
    ] {
        let collector = Collector::start().unwrap();
        collector.answer(raw(503, header, ""));
        let tracer = Tracer::new(config(&collector.endpoint())).unwrap();
        one_batch(&tracer);
        assert_eq!(collector.requests(), 4, "{header}: three retries");
        one_batch(&tracer);
        assert_eq!(collector.requests(), 8, "{header}: the next batch is tried");
    }
}

#[test]
fn an_answer_that_is_not_otlp_is_a_failure_that_says_so_and_is_not_sent_again() {
    lines_about("nothing yet");
    let html = "<!doctype html><title>Please log in</title>";
    let long = "x".repeat(8 * 1024 * 1024);
    for (answer, cause) in [
        (
            raw(200, "content-type: text/html; charset=utf-8\r\n", html),
            "http status 200 with content-type `text/html",
        ),
        (raw(200, "", html), "http status 200 with content-type ``"),
        (
            raw(200, "content-type: application/x-protobuf\r\n", html),
            "not OTLP",
        ),
        (
            raw(202, "content-type: application/json\r\n", "{}"),
            "http status 202 with content-type `application/json`",
        ),
        (
            raw(200, "content-type: application/x-protobuf\r\n", &long),
            "more than 4194304 bytes",
        ),
    ] {
        let collector = Collector::start().unwrap();
        collector.answer(answer);
        let tracer = Tracer::new(config(&collector.endpoint())).unwrap();
        for _ in 0..3 {
            one_batch(&tracer);
        }
        assert_eq!(collector.requests(), 3, "{cause}");
        let stats = tracer.stats();
        assert_balanced(&stats);
        assert_eq!((stats.exported, stats.failures.other), (0, 3), "{cause}");
        let lines = lines_about(&format!("{}/", collector.endpoint()));
        let failing: Vec<_> = lines
            .iter()
            .filter(|line| line.contains("trace_export_failing"))
            .collect();
        assert_eq!(failing.len(), 1, "{lines:#?}");
        assert!(failing[0].contains("the answer is not OTLP"), "{lines:#?}");
        assert!(failing[0].contains(cause), "{lines:#?}");
    }
}

#[test]
fn a_success_that_breaks_off_is_not_sent_again() {
    let collector = Collector::start().unwrap();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\n";
    // fewer bytes than announced, and the end
    collector.answer(Answer::Raw(format!(
        "{head}content-length: 100\r\nconnection: close\r\n\r\nabc"
    )));
    let tracer = Tracer::new(config(&collector.endpoint())).unwrap();
    one_batch(&tracer);
    assert_eq!(collector.requests(), 1);
    assert_eq!(tracer.stats().export_failures, 1);
}

#[test]
fn an_empty_success_is_one_whatever_its_type() {
    for headers in [
        "",
        "content-type: text/plain\r\n",
        "content-type: application/json\r\n",
    ] {
        let collector = Collector::start().unwrap();
        collector.answer(raw(200, headers, ""));
        let tracer = Tracer::new(config(&collector.endpoint())).unwrap();
        one_batch(&tracer);
        assert_eq!(tracer.stats().exported, 1, "{headers}");
    }
}

#[test]
fn a_message_that_comes_with_a_success_is_logged_once() {
    lines_about("nothing yet");
    let collector = Collector::start().unwrap();
    let tracer = Tracer::new(config(&collector.endpoint())).unwrap();
    for message in ["old SDK", "old SDK", "other", &"x".repeat(100_000)] {
        collector.answer(Answer::PartialSuccess(0, message.to_owned()));
        one_batch(&tracer);
    }
    let stats = tracer.stats();
    assert_eq!(
        (stats.exported, stats.rejected, stats.partial_successes),
        (4, 0, 0)
    );
    let lines = lines_about(&format!("{}/", collector.endpoint()));
    let warnings: Vec<_> = lines
        .iter()
        .filter(|line| line.contains("trace_collector_warning"))
        .collect();
    assert_eq!(warnings.len(), 3, "{lines:#?}");
    assert!(warnings[0].contains("old SDK") && warnings[1].contains("other"));
    assert!(warnings[2].len() < 2000, "a message is cut");
}
