use std::time::Duration;

use super::{Row, Set, all, failing, metrics};
use crate::findings::snapshot::{BlackBox, Ended, History, Overflow, SlowRoute, Snapshot};

fn slow_route(usual: f64) -> Set {
    metrics(move |metrics| {
        metrics.slow_routes = vec![SlowRoute {
            route: "GET /orders".to_owned(),
            requests: 240,
            p95: 2.3,
            usual,
            usual_p95: 2.3,
            waits_for_queries: None,
        }];
    })
}

/// Sets a route whose requests all fail, and this number of panics.
pub(super) fn one_route(failed: f64, panics: f64) -> Set {
    metrics(move |metrics| {
        (metrics.server_errors, metrics.panics) = (failed, panics);
        metrics.errors_by_route = vec![("GET /orders".to_owned(), failed)];
        metrics.requests_by_route = vec![("GET /orders".to_owned(), failed)];
    })
}

/// Returns the rows about the process, its requests and the previous run.
pub(super) fn process_rows() -> Vec<Row> {
    let beat = |waiting: Option<u64>, longest: u64| -> Set {
        Box::new(move |snapshot: &mut Snapshot| {
            snapshot.heartbeat.waiting = waiting.map(Duration::from_millis);
            snapshot.heartbeat.longest = Duration::from_millis(longest);
        })
    };
    vec![
        (
            "workers blocked",
            beat(Some(8_200), 0),
            1,
            vec!["workers_blocked"],
            "none of the 4 workers of the runtime has run a new task for 8.2 s",
        ),
        (
            "workers were blocked",
            beat(None, 3_000),
            1,
            vec!["workers_blocked"],
            "they have recovered",
        ),
        ("a busy moment", beat(Some(900), 1_500), 4, vec![], ""),
        (
            "throttled",
            metrics(|metrics| metrics.throttled_periods = Some(400.0)),
            1,
            vec!["cpu_throttled"],
            "2.00 cores",
        ),
        (
            "throttled and blocked",
            all(vec![
                beat(Some(4_000), 0),
                metrics(|metrics| metrics.throttled_periods = Some(400.0)),
            ]),
            1,
            vec!["cpu_throttled", "workers_blocked"],
            "",
        ),
        (
            "memory",
            metrics(|metrics| metrics.memory = Some(950e6)),
            1,
            vec!["memory_near_limit"],
            "95 %",
        ),
        (
            "no memory limit",
            metrics(|metrics| (metrics.memory, metrics.memory_limit) = (Some(950e9), None)),
            1,
            vec![],
            "",
        ),
        (
            "killed",
            metrics(|metrics| metrics.oom_kills = Some(2.0)),
            1,
            vec!["oom_kills"],
            "2 processes",
        ),
        (
            "descriptors",
            metrics(|metrics| metrics.open_fds = Some(850.0)),
            1,
            vec!["descriptors_low"],
            "850 of 1024",
        ),
        (
            "panic",
            metrics(|metrics| metrics.panics = 1.0),
            1,
            vec!["panics"],
            "1 panics",
        ),
        (
            "errors",
            metrics(|metrics| metrics.server_errors = 600.0),
            1,
            vec!["requests_failing"],
            "600 of",
        ),
        (
            "one route fails among many",
            metrics(|metrics| {
                let failed = 12.0;
                metrics.server_errors = failed;
                metrics.errors_by_route = vec![("GET /orders".to_owned(), failed)];
                metrics.requests_by_route = vec![("GET /orders".to_owned(), failed)];
            }),
            1,
            vec!["requests_failing"],
            "12 of 12 requests of GET /orders failed (5xx, aborted response or gRPC error) in the last minute",
        ),
        (
            "one route fails among many, and is asked seldom",
            metrics(|metrics| {
                metrics.server_errors = 6.0;
                metrics.errors_by_route = vec![("GET /orders".to_owned(), 6.0)];
                metrics.requests_by_route = vec![("GET /orders".to_owned(), 7.0)];
            }),
            1,
            vec!["requests_failing"],
            "6 of 7 requests of GET /orders failed (5xx, aborted response or gRPC error) in the last 5 minutes",
        ),
        (
            "one route fails now and then",
            metrics(|metrics| {
                metrics.server_errors = 12.0;
                metrics.errors_by_route = vec![("GET /orders".to_owned(), 12.0)];
                metrics.requests_by_route = vec![("GET /orders".to_owned(), 30.0)];
            }),
            1,
            vec![],
            "",
        ),
        (
            "one route fails with a panic each",
            one_route(6.0, 6.0),
            1,
            vec!["panics", "requests_failing"],
            "6 panics",
        ),
        (
            "errors of panics",
            metrics(|metrics| (metrics.server_errors, metrics.panics) = (600.0, 600.0)),
            1,
            vec!["panics", "requests_failing"],
            "",
        ),
        (
            "a slow route",
            slow_route(0.04),
            13,
            vec!["requests_slow"],
            "95 % of 240 requests of GET /orders in the last 5 minutes were answered within 2.3 s, half of those in the last hour within 0.04 s",
        ),
        (
            "a route that is slow for a moment",
            slow_route(0.04),
            9,
            vec![],
            "",
        ),
        (
            "a long poll",
            slow_route(2.2),
            13,
            vec!["requests_usually_slow"],
            "within 2.20 s",
        ),
        (
            "a slow route of a process that is throttled",
            all(vec![
                slow_route(0.04),
                metrics(|metrics| metrics.throttled_periods = Some(400.0)),
            ]),
            13,
            vec!["cpu_throttled", "requests_slow"],
            "",
        ),
        (
            "overflow",
            metrics(|metrics| {
                metrics.overflows = vec![Overflow {
                    metric: "http_requests_total",
                    label: "route",
                    count: 9,
                    example: "/x".to_owned(),
                }]
            }),
            1,
            vec!["cardinality_overflow"],
            "label route of http_requests_total",
        ),
        (
            "a crash",
            Box::new(|snapshot| {
                let at = snapshot.wall - Duration::from_secs(615);
                let (how, kept) = (
                    "it was terminated by SIGABRT".to_owned(),
                    "app.box.1".to_owned(),
                );
                let ended = Some(Ended { how, at, kept });
                snapshot.black_box = Some(BlackBox { ended, off: None });
            }),
            1,
            vec!["last_run_crashed"],
            "last seen 615 s ago: it was terminated by SIGABRT",
        ),
        (
            "a crash long ago",
            Box::new(|snapshot| {
                let (how, kept) = (
                    "it was terminated by SIGABRT".to_owned(),
                    "app.box.1".to_owned(),
                );
                let at = snapshot.wall;
                snapshot.wall += Duration::from_secs(3600);
                snapshot.at += Duration::from_secs(3600);
                let ended = Some(Ended { how, at, kept });
                snapshot.black_box = Some(BlackBox { ended, off: None });
            }),
            1,
            vec![],
            "",
        ),
        (
            "no black box",
            Box::new(|snapshot| {
                let off = Some("app.box: the file is empty".to_owned());
                snapshot.black_box = Some(BlackBox { ended: None, off });
            }),
            1,
            vec!["black_box_off"],
            "app.box: the file is empty",
        ),
        (
            "no history",
            Box::new(|snapshot| {
                let stopped = Some("history: another process writes to this history".to_owned());
                snapshot.history = Some(History {
                    stopped,
                    ..History::default()
                });
            }),
            1,
            vec!["history_stopped"],
            "another process writes to this history",
        ),
        (
            "a history that is not tidied",
            Box::new(|snapshot| {
                let untidy = Some("logs/a.parquet: cannot remove the file".to_owned());
                snapshot.history = Some(History {
                    untidy,
                    ..History::default()
                });
            }),
            1,
            vec!["history_untidy"],
            "cannot remove the file",
        ),
        (
            "a history that drops",
            Box::new(|snapshot| {
                snapshot.history = Some(History {
                    dropped: 7,
                    written: snapshot.at.as_secs() * 100,
                    ..History::default()
                });
            }),
            1,
            vec!["history_dropping"],
            "7 lines, spans and samples were dropped in the last minute",
        ),
        (
            "a history with a torn file",
            Box::new(|snapshot| {
                snapshot.history = Some(History {
                    unreadable: vec!["logs/a.parquet: EOF".to_owned()],
                    ..History::default()
                });
            }),
            1,
            vec!["history_files_unreadable"],
            "1 history files cannot be read: logs/a.parquet: EOF",
        ),
        (
            "clock",
            Box::new(|snapshot| snapshot.wall += Duration::from_secs(3600)),
            1,
            vec!["clock_stepped"],
            "forward by 3600.0 s",
        ),
        (
            "clock back",
            Box::new(|snapshot| snapshot.wall -= Duration::from_secs(60)),
            2,
            vec!["clock_stepped"],
            "back by 60.0 s",
        ),
        (
            "clock and AWS",
            all(vec![
                Box::new(|snapshot: &mut Snapshot| snapshot.wall += Duration::from_secs(3600)),
                failing("unauthenticated", true),
            ]),
            1,
            vec!["clock_stepped", "aws_credentials"],
            "",
        ),
    ]
}
