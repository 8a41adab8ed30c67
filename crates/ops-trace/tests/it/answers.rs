//! Responses of collectors, and of servers that are not collectors.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};

use ops_trace::testing::{Answer, Collector};
use ops_trace::{Tracer, span};

use crate::lines::lines_about;
use crate::{SOON, assert_balanced, config, flush_all};

fn one_batch(tracer: &Tracer) {
    drop(span!(tracer: tracer, "a"));
    flush_all(tracer);
}

/// Creates a tracer whose export timeout is longer than any response takes.
fn patient(endpoint: &str) -> Tracer {
    Tracer::new(config(endpoint).export_timeout(SOON)).unwrap()
}

/// Returns a response with this head and body.
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
    // the collector's clock is an hour behind: its `Date` is used
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
        // more than a `u64` can hold
        raw(503, "retry-after: 18446744073709551616\r\n", ""),
        raw(429, &format!("retry-after: {}\r\n", "9".repeat(100)), ""),
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
    // longer than the export timeout, so that the next batch is the next attempt
    collector.answer_next(Answer::StatusRetryAfter(503, 4));
    let tracer = Tracer::new(config(&collector.endpoint())).unwrap();
    let asked = Instant::now();
    one_batch(&tracer);
    while tracer.stats().exported == 0 {
        assert!(asked.elapsed() < SOON);
        one_batch(&tracer);
        std::thread::park_timeout(Duration::from_millis(1));
    }
    let waited = asked.elapsed();
    assert!(waited >= Duration::from_secs(4), "{waited:?}");
    assert_eq!(collector.requests(), 2);
    assert_balanced(&tracer.stats());
}

#[test]
fn an_invalid_retry_after_is_ignored() {
    // in parallel, because each pauses between its retries
    std::thread::scope(|scope| {
        for header in [
            "retry-after: soon\r\n",
            "retry-after: -1\r\n",
            "retry-after: +30\r\n",
            "retry-after: 30.5\r\n",
            "retry-after:\r\n",
        ] {
            scope.spawn(move || {
                let collector = Collector::start().unwrap();
                collector.answer(raw(503, header, ""));
                let tracer = patient(&collector.endpoint());
                one_batch(&tracer);
                assert_eq!(collector.requests(), 4, "{header}: three retries");
                one_batch(&tracer);
                assert_eq!(collector.requests(), 8, "{header}: the next batch is tried");
            });
        }
    });
}

#[test]
fn a_retry_after_in_the_past_neither_opens_nor_closes_the_breaker() {
    let past = httpdate::fmt_http_date(SystemTime::now() - Duration::from_secs(60));
    for header in ["retry-after: 0\r\n", &format!("retry-after: {past}\r\n")] {
        let collector = Collector::start().unwrap();
        collector.answer(raw(503, header, ""));
        let config = config(&collector.endpoint()).export_timeout(Duration::from_millis(50));
        // no probe happens in between
        let tracer = Tracer::new(config.probe_after(2 * SOON)).unwrap();
        for _ in 0..5 {
            one_batch(&tracer);
        }
        let stats = tracer.stats();
        assert_balanced(&stats);
        assert_eq!(
            (stats.dropped_export_failed, stats.dropped_circuit_open),
            (3, 2),
            "{header}: {stats:?}"
        );
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
        let tracer = patient(&collector.endpoint());
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
        assert!(
            failing[0].contains("the response is not OTLP"),
            "{lines:#?}"
        );
        assert!(failing[0].contains(cause), "{lines:#?}");
    }
}

#[test]
fn a_success_that_breaks_off_is_not_sent_again() {
    let collector = Collector::start().unwrap();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\n";
    // fewer bytes than announced, then the end
    collector.answer(Answer::Raw(format!(
        "{head}content-length: 100\r\nconnection: close\r\n\r\nabc"
    )));
    let tracer = patient(&collector.endpoint());
    one_batch(&tracer);
    assert_eq!(collector.requests(), 1);
    assert_eq!(tracer.stats().export_failures, 1);
}

#[test]
fn a_batch_whose_response_cannot_be_read_is_not_sent_again() {
    let large = format!("x-large: {}\r\n", "x".repeat(200_000));
    let many = "x-many: 1\r\n".repeat(500);
    for (headers, cause) in [
        (large.as_str(), "header is too big"),
        (many.as_str(), "too many headers"),
        ("content-length: 5\r\n", "content-length"),
    ] {
        let collector = Collector::start().unwrap();
        collector.answer(raw(200, headers, ""));
        let tracer = patient(&collector.endpoint());
        one_batch(&tracer);
        assert_eq!(collector.requests(), 1, "{cause}");
        assert_eq!(tracer.stats().failures.other, 1, "{cause}");
        let failure = tracer.export_health().last_failure.unwrap();
        assert!(failure.contains(cause), "{failure}");
    }
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

#[test]
fn the_cause_of_a_refusal_has_the_collectors_message() {
    let (text, protobuf) = (
        "content-type: text/plain; charset=utf-8\r\n",
        "content-type: application/x-protobuf\r\n",
    );
    let long = format!("{} end", "x".repeat(5000));
    // a message, and a detail longer than the part that is read
    let detailed = format!("\x12\x03old\x1a\u{80}\x01{long}");
    for (answer, cause) in [
        (
            raw(
                400,
                text,
                "Client sent an HTTP request\nto an HTTPS server.\n",
            ),
            "http status 400 (Client sent an HTTP request to an HTTPS server.)",
        ),
        (
            // a `google.rpc.Status`: code 3, message, and a detail
            raw(400, protobuf, "\x08\x03\x12\x0ano tenant!\x1a\x00"),
            "http status 400 (no tenant!)",
        ),
        (raw(400, protobuf, &detailed), "http status 400 (old)"),
        (
            raw(
                413,
                "content-type: application/json\r\n",
                r#"{"code":8,"message":"too large for k3y-of-tests"}"#,
            ),
            r#"http status 413 ({"code":8,"message":"too large for ***"})"#,
        ),
        (
            raw(404, text, " \r\n"),
            "http status 404: check the path of the endpoint",
        ),
        (
            raw(404, text, "no route"),
            "http status 404 (no route): check the path of the endpoint",
        ),
        // the body may repeat a part of the wrong credential
        (
            raw(401, text, "no such key: k3y-of-"),
            "http status 401: check the credentials in OTEL_EXPORTER_OTLP_HEADERS",
        ),
        (raw(400, protobuf, "<html>"), "http status 400"),
        (
            raw(400, "content-type: text/html\r\n", "<html>"),
            "http status 400",
        ),
        (raw(400, "", "?"), "http status 400"),
    ] {
        let collector = Collector::start().unwrap();
        collector.answer(answer);
        let config = config(&collector.endpoint()).export_timeout(SOON);
        let config =
            config.environment([("OTEL_EXPORTER_OTLP_HEADERS", "api-key=Key%20k3y-of-tests")]);
        let tracer = Tracer::new(config).unwrap();
        one_batch(&tracer);
        let failure = tracer.export_health().last_failure.unwrap();
        assert_eq!(failure, cause);
        assert_eq!(collector.requests(), 1, "{cause}");
    }
    let collector = Collector::start().unwrap();
    collector.answer(raw(400, text, &long));
    let tracer = patient(&collector.endpoint());
    one_batch(&tracer);
    let failure = tracer.export_health().last_failure.unwrap();
    assert!(
        failure.len() < 300 && failure.contains("xxx...(truncated)"),
        "{failure}"
    );
}

#[test]
fn the_cause_of_a_refusal_has_no_part_of_a_credential() {
    for (headers, echoed, shown) in [
        // one value is the prefix of another one
        (
            "x-tenant=tenant-1,authorization=Bearer tenant-1.Zx81secret",
            "bad header Bearer tenant-1.Zx81secret of tenant-1",
            "bad header Bearer *** of ***",
        ),
        ("api-key=p%C3%A4sswort1", "no key pässwort1", "no key ***"),
        (
            "authorization=Bearer k3y-of-tests",
            "missing Bearer token",
            "missing Bearer token",
        ),
        // a part of a value, and an escaped value
        (
            "authorization=ApiKey tests:k3y-0f-tests",
            "bad key k3y-0f-tests",
            "bad key ***",
        ),
        (
            "api-key=k3y0ftests+more0fit",
            "bad key k3y0ftests\\u002Bmore0fit",
            "bad key ***\\u002B***",
        ),
    ] {
        let collector = Collector::start().unwrap();
        collector.answer(raw(400, "content-type: text/plain\r\n", echoed));
        let config = config(&collector.endpoint()).export_timeout(SOON);
        let config = config.environment([("OTEL_EXPORTER_OTLP_HEADERS", headers)]);
        let tracer = Tracer::new(config).unwrap();
        one_batch(&tracer);
        let failure = tracer.export_health().last_failure.unwrap();
        assert_eq!(failure, format!("http status 400 ({shown})"));
    }
}

#[test]
fn a_message_that_comes_with_a_success_has_no_part_of_a_credential() {
    lines_about("nothing yet");
    for rejected in [0, 1] {
        let collector = Collector::start().unwrap();
        let message = "quota of Key k3y-of-tests is used up".to_owned();
        collector.answer(Answer::PartialSuccess(rejected, message));
        let config = config(&collector.endpoint());
        let config =
            config.environment([("OTEL_EXPORTER_OTLP_HEADERS", "api-key=Key%20k3y-of-tests")]);
        let tracer = Tracer::new(config).unwrap();
        one_batch(&tracer);
        let lines = lines_about(&format!("{}/", collector.endpoint()));
        let said = lines
            .iter()
            .any(|line| line.contains("quota of Key *** is used up"));
        assert!(said, "{lines:#?}");
        assert!(!lines.concat().contains("k3y-of-tests"), "{lines:#?}");
    }
}

/// Responds to each request with this head, and leaves the connection open.
fn without_end(head: &'static str) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let counted = Arc::clone(&counted);
            std::thread::spawn(move || {
                let mut stream = stream.unwrap();
                let mut bytes = [0; 64 * 1024];
                // a request of one span arrives in one part or two
                if stream.read(&mut bytes).unwrap_or(0) > 0 {
                    counted.fetch_add(1, Relaxed);
                    let _ = stream.write_all(head.as_bytes());
                }
                while stream.read(&mut bytes).unwrap_or(0) > 0 {}
            });
        }
    });
    (endpoint, requests)
}

#[test]
fn a_refusal_is_tried_again_though_its_body_has_no_end() {
    for (head, cause) in [
        (
            "HTTP/1.1 503 test\r\ncontent-type: text/plain\r\n\r\noverloaded",
            "http status 503",
        ),
        (
            "HTTP/1.1 503 test\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n",
            "http status 503",
        ),
        // with a length, and a shorter body
        (
            "HTTP/1.1 503 test\r\ncontent-type: text/plain\r\ncontent-length: 100\r\n\r\noverloaded",
            "http status 503 (overloaded)",
        ),
    ] {
        let (endpoint, requests) = without_end(head);
        let tracer = patient(&endpoint);
        one_batch(&tracer);
        assert_eq!(requests.load(Relaxed), 4, "three retries");
        let failure = tracer.export_health().last_failure.unwrap();
        assert_eq!(failure, cause);
    }
}

#[test]
fn an_answer_whose_body_has_no_end_ends_without_a_timeout() {
    for head in [
        "HTTP/1.1 400 test\r\ncontent-type: text/plain\r\ncontent-length: 100\r\n\r\nbroken",
        "HTTP/1.1 200 test\r\ncontent-type: application/x-protobuf\r\ncontent-length: 100\r\n\r\n",
    ] {
        let (endpoint, requests) = without_end(head);
        let config = config(&endpoint).environment([("OTEL_EXPORTER_OTLP_TIMEOUT", "0")]);
        let tracer = Tracer::new(config).unwrap();
        one_batch(&tracer);
        assert_eq!(requests.load(Relaxed), 1);
        assert_eq!(tracer.stats().export_failures, 1);
    }
}
