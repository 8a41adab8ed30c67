//! A collector that does not work as it should: nothing is lost without being counted, and little is logged.

use std::time::{Duration, Instant};

use ops_trace::testing::{Answer, Collector};
use ops_trace::{Failures, Tracer, span};

use crate::lines::{lines_about, lines_of_libraries};
use crate::{SOON, assert_balanced, closed, config, flush_all};

fn batch(tracer: &Tracer) {
    for _ in 0..10 {
        drop(span!(tracer: tracer, "a"));
    }
    flush_all(tracer);
}

#[test]
fn each_failure_has_its_kind_opens_the_circuit_and_is_one_line() {
    let table: [(Option<Answer>, Kind, &str); 10] = [
        (
            None,
            |f| f.refused,
            "check that a collector is listening there",
        ),
        (Some(Answer::Hang), |f| f.timeout, "no response within"),
        (
            Some(Answer::AcceptAfter(SOON)),
            |f| f.timeout,
            "no response within",
        ),
        (Some(Answer::Status(503)), |f| f.http_5xx, "http status 503"),
        (Some(Answer::Status(500)), |f| f.http_5xx, "http status 500"),
        (
            Some(Answer::Status(404)),
            |f| f.http_4xx,
            "check the path of the endpoint",
        ),
        (
            Some(Answer::Status(401)),
            |f| f.http_4xx,
            "check the credentials",
        ),
        (
            Some(Answer::StatusRetryAfter(429, 30)),
            |f| f.http_4xx,
            "http status 429",
        ),
        (
            Some(Answer::Status(301)),
            |f| f.other,
            "redirects are not followed",
        ),
        (Some(Answer::Reset), |f| f.other, ""),
    ];
    lines_about("nothing yet");
    std::thread::scope(|scope| {
        for (answer, kind, cause) in table {
            scope.spawn(move || fails(answer, kind, cause));
        }
    });
    assert!(
        lines_of_libraries().is_empty(),
        "{:#?}",
        lines_of_libraries()
    );
}

type Kind = fn(&Failures) -> u64;

fn fails(answer: Option<Answer>, kind: Kind, cause: &str) {
    let (collector, (refused, _held)) = (Collector::start().unwrap(), closed());
    let endpoint = match &answer {
        Some(answer) => {
            collector.answer(answer.clone());
            collector.endpoint()
        }
        None => refused,
    };
    let slow = matches!(answer, Some(Answer::Hang | Answer::AcceptAfter(_)));
    // shorter than the pause that one of them asks for
    let timeout = Duration::from_millis(if slow { 60 } else { 20_000 });
    let config = config(&endpoint).export_timeout(timeout);
    // no probe happens in between
    let tracer = Tracer::new(config.probe_after(2 * SOON)).unwrap();
    for _ in 0..8 {
        batch(&tracer);
    }
    let stats = tracer.stats();
    assert_balanced(&stats);
    let (failed, open) = (stats.dropped_export_failed, stats.dropped_circuit_open);
    // one batch is enough if the collector asks for a pause
    let batches = if matches!(answer, Some(Answer::StatusRetryAfter(..))) {
        1
    } else {
        3
    };
    let expected = (10 * batches, 80 - 10 * batches);
    assert_eq!((failed, open), expected, "{answer:?}: {stats:?}");
    assert_eq!(kind(&stats.failures), batches, "{answer:?}: {stats:?}");
    assert_eq!(stats.export_failures, batches);
    assert_eq!(tracer.last_export_ok(), Some(false));
    assert_eq!(
        tracer.recent().recent.len(),
        50,
        "they can still be looked at here"
    );

    let reported: Vec<_> = lines_about(&format!("{endpoint}/"))
        .into_iter()
        .filter(|line| !line.contains("tracer_initialized"))
        .collect();
    assert_eq!(reported.len(), 1, "{answer:?}: {reported:#?}");
    assert!(
        reported[0].starts_with("WARN ops_trace trace_export_failing"),
        "{}",
        reported[0]
    );
    assert!(reported[0].contains(cause), "{}", reported[0]);

    drop(span!(tracer: tracer, "last"));
    let started = Instant::now();
    let stats = tracer.shutdown_blocking(SOON);
    assert!(started.elapsed() < SOON / 2, "it waits for nothing");
    assert_balanced(&stats);
    assert_eq!(
        (stats.dropped_shutdown, stats.export_failures),
        (1, batches),
        "it is known to be away: {stats:?}"
    );
}

#[test]
fn a_host_that_is_not_found_is_a_refusal_that_says_so() {
    // longer than a name may be, so that no server is queried
    let endpoint = format!("http://{}.invalid:4318", "a".repeat(64));
    let tracer = Tracer::new(config(&endpoint)).unwrap();
    batch(&tracer);
    let (failures, health) = (tracer.stats().failures, tracer.export_health());
    assert_eq!((failures.refused, failures.other), (1, 0), "{health:?}");
    assert_eq!(health.last_kind, Some("refused"));
    let cause = health.last_failure.unwrap();
    assert!(
        cause.starts_with("cannot connect (io: failed to lookup address"),
        "{cause}"
    );
    assert!(
        cause.ends_with("): check the host of the endpoint"),
        "{cause}"
    );
}

#[tokio::test]
async fn a_network_that_loses_what_is_sent_is_no_collector_that_hangs() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    // the kernel answers no further connection until one of these is accepted
    let connect = || std::net::TcpStream::connect_timeout(&address, Duration::from_millis(100));
    let waiting: Vec<_> = std::iter::repeat_with(connect)
        .map_while(Result::ok)
        .collect();
    let config = config(&format!("http://{address}")).export_timeout(Duration::from_secs(2));
    let tracer = Tracer::new(config).unwrap();
    batch(&tracer);
    let health = tracer.export_health();
    assert_eq!(health.last_kind, Some("refused"), "{health:?}");
    let cause = health.last_failure.unwrap();
    assert_eq!(
        cause,
        "cannot connect (timeout: connect): check that a collector is listening there"
    );
    drop((waiting, listener));
}

#[test]
fn an_outage_is_one_line_when_it_begins_and_one_when_it_ends() {
    lines_about("nothing yet");
    let collector = Collector::start().unwrap();
    let config = config(&collector.endpoint()).probe_after(Duration::from_millis(100));
    let tracer = Tracer::new(config.export_timeout(SOON)).unwrap();
    batch(&tracer);
    // a status without retries, which would prolong the outage
    collector.answer(Answer::Status(500));
    for _ in 0..20 {
        batch(&tracer);
    }
    collector.answer(Answer::Accept);
    let started = Instant::now();
    while tracer.last_export_ok() != Some(true) {
        assert!(started.elapsed() < SOON);
        batch(&tracer);
    }
    batch(&tracer);
    let stats = tracer.shutdown_blocking(SOON);
    assert_balanced(&stats);
    assert_eq!(stats.exported as usize, collector.spans().len());
    let lines = lines_about(&collector.endpoint());
    let names: Vec<_> = lines
        .iter()
        .map(|line| line.split(' ').nth(2).unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "tracer_initialized",
            "trace_export_failing",
            "trace_export_recovered"
        ],
        "{lines:#?}"
    );
    assert!(
        lines[2].contains("outage_ms=") && lines[2].contains("dropped="),
        "{}",
        lines[2]
    );
}

#[test]
fn a_collector_that_is_away_for_a_moment_loses_nothing() {
    for answer in [
        Answer::Status(503),
        Answer::Status(502),
        Answer::Status(429),
        Answer::Reset,
    ] {
        let collector = Collector::start().unwrap();
        collector.answer_next(answer.clone());
        let tracer = Tracer::new(config(&collector.endpoint()).export_timeout(SOON)).unwrap();
        drop(span!(tracer: tracer, "a"));
        flush_all(&tracer);
        let stats = tracer.stats();
        assert_eq!(
            (stats.exported, stats.export_failures),
            (1, 0),
            "{answer:?}: {stats:?}"
        );
        assert_eq!(collector.requests(), 2, "{answer:?}");
    }
}

#[test]
fn retry_after_is_kept_and_what_cannot_succeed_is_not_tried_again() {
    let collector = Collector::start().unwrap();
    collector.answer_next(Answer::StatusRetryAfter(429, 1));
    let tracer = Tracer::new(config(&collector.endpoint()).export_timeout(SOON)).unwrap();
    drop(span!(tracer: tracer, "a"));
    let asked = Instant::now();
    flush_all(&tracer);
    let waited = asked.elapsed();
    assert!(waited >= Duration::from_secs(1), "{waited:?}");
    assert_eq!((tracer.stats().exported, collector.requests()), (1, 2));
    collector.answer(Answer::Status(400));
    batch(&tracer);
    assert_eq!(collector.requests(), 3);
    assert_eq!(tracer.stats().dropped_export_failed, 10);
}

#[test]
fn rejected_spans_are_counted_and_logged_once() {
    lines_about("nothing yet");
    let collector = Collector::start().unwrap();
    let tracer = Tracer::new(config(&collector.endpoint())).unwrap();
    collector.answer(Answer::PartialSuccess(4, "too old".to_owned()));
    batch(&tracer);
    batch(&tracer);
    collector.answer(Answer::Accept);
    batch(&tracer);
    batch(&tracer);
    let stats = tracer.stats();
    assert_balanced(&stats);
    assert_eq!(
        (stats.exported, stats.rejected, stats.partial_successes),
        (32, 8, 2)
    );
    assert_eq!(collector.spans().len(), 32);
    let lines = lines_about(&collector.endpoint());
    assert_eq!(lines.len(), 3, "{lines:#?}");
    assert!(lines[1].contains("trace_spans_rejected") && lines[1].contains("reason=too old"));
    assert!(
        lines[2].contains("trace_spans_accepted_again"),
        "{}",
        lines[2]
    );
}

#[test]
fn a_full_queue_drops_and_counts_and_never_holds_more() {
    let collector = Collector::start().unwrap();
    collector.answer(Answer::Hang);
    let config = config(&collector.endpoint()).queue_spans(64);
    let tracer = Tracer::new(config.export_delay(Duration::from_secs(60))).unwrap();
    for _ in 0..1000 {
        drop(span!(tracer: tracer, "a"));
    }
    let stats = tracer.stats();
    assert_balanced(&stats);
    assert_eq!(
        (stats.queued, stats.dropped_queue_full),
        (64, 936),
        "{stats:?}"
    );
    let stats = tracer.shutdown_blocking(Duration::from_millis(100));
    assert_balanced(&stats);
    assert_eq!((stats.queued, stats.exported), (0, 0), "{stats:?}");
}

#[test]
fn counts_balance_to_the_span_whatever_the_collector_does_and_whoever_ends_them() {
    let spans = if std::env::var_os("OPS_TEST_FULL").is_some() {
        100_000
    } else {
        5_000
    };
    let collector = Collector::start().unwrap();
    let config = config(&collector.endpoint())
        .queue_spans(256)
        .probe_after(Duration::from_millis(100))
        .export_timeout(Duration::from_millis(60));
    let tracer = Tracer::new(config).unwrap();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..spans {
                        drop(span!(tracer: tracer, "a", n = 1));
                    }
                })
            })
            .collect();
        let answers = [
            Answer::Status(503),
            Answer::Accept,
            Answer::PartialSuccess(3, String::new()),
            Answer::Reset,
            Answer::Hang,
        ];
        for answer in answers.iter().cycle() {
            collector.answer(answer.clone());
            tracer.flush();
            if threads.iter().all(|thread| thread.is_finished()) {
                break;
            }
        }
    });
    let handle = tracer.handle();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..spans {
                drop(span!(tracer: handle, "while it stops"));
            }
        });
        tracer.shutdown_blocking(Duration::from_millis(50));
    });
    let stats = handle.stats();
    assert_balanced(&stats);
    assert_eq!(stats.ended_sampled, 5 * spans);
    assert_eq!(stats.queued, 0);
    // a response after the client's timeout counts as failed here, although the collector has the spans
    assert!(
        collector.spans().len() as u64 >= stats.exported,
        "{stats:?}"
    );
}

#[test]
fn the_last_spans_are_sent_once_more_within_the_budget() {
    for budget in [SOON, Duration::MAX] {
        let collector = Collector::start().unwrap();
        let tracer = Tracer::new(config(&collector.endpoint()).export_timeout(SOON)).unwrap();
        drop(span!(tracer: tracer, "last"));
        collector.answer_next(Answer::Status(503));
        let stats = tracer.shutdown_blocking(budget);
        assert_eq!((stats.exported, stats.dropped()), (1, 0), "{stats:?}");
        assert_eq!(collector.spans().len(), 1);
    }
}
