use std::time::Duration;

use super::{
    Set, all, cache, collector, disk, export, failing, failing_at, log, metrics, queries, secrets,
    shared,
};
use crate::findings::snapshot::{BlackBox, Ended, History, Overflow, Snapshot};

/// Change of a snapshot, evaluations that it lasts, and the findings in order with a part of what the first one says.
pub(super) fn rows() -> Vec<(&'static str, Set, u64, Vec<&'static str>, &'static str)> {
    let beat = |waiting: Option<u64>, longest: u64| -> Set {
        Box::new(move |snapshot: &mut Snapshot| {
            snapshot.heartbeat.waiting = waiting.map(Duration::from_millis);
            snapshot.heartbeat.longest = Duration::from_millis(longest);
        })
    };
    let mib = 1_u64 << 20;
    vec![
        (
            "collector 401",
            collector("http_4xx", Some(401)),
            1,
            vec!["collector_credentials", "spans_dropped"],
            "credentials (401)",
        ),
        (
            "collector 403",
            collector("http_4xx", Some(403)),
            1,
            vec!["collector_credentials", "spans_dropped"],
            "credentials (403)",
        ),
        (
            "collector 404",
            collector("http_4xx", Some(404)),
            1,
            vec!["collector_refusing", "spans_dropped"],
            "the answer",
        ),
        (
            "collector hung",
            collector("timeout", None),
            1,
            vec!["collector_hung", "spans_dropped"],
            "for 20 s",
        ),
        (
            "collector away",
            collector("refused", None),
            1,
            vec!["collector_unreachable", "spans_dropped"],
            "cannot be reached",
        ),
        (
            "collector with an old certificate",
            all(vec![
                collector("other", None),
                export(|export| {
                    export.failure = "io: invalid peer certificate: Expired".to_owned()
                }),
            ]),
            1,
            vec!["collector_certificate", "spans_dropped"],
            "a certificate that is not accepted for 20 s: io: invalid peer certificate",
        ),
        (
            "something else at the collector's port",
            collector("other", None),
            1,
            vec!["collector_refusing", "spans_dropped"],
            "does not answer as a collector does",
        ),
        (
            "one slow export",
            export(|export| export.last_duration = Some(Duration::from_secs(3))),
            1,
            vec![],
            "",
        ),
        (
            "slow exports",
            export(|export| export.last_duration = Some(Duration::from_secs(3))),
            2,
            vec!["collector_slow"],
            "3.0 s",
        ),
        (
            "queue full",
            export(|export| export.queue_full = 7),
            1,
            vec!["spans_dropped"],
            "queue full 7",
        ),
        (
            "partial success",
            export(|export| export.rejected = 7),
            1,
            vec!["spans_rejected"],
            "rejected 7",
        ),
        (
            "AWS denied",
            failing("access_denied", true),
            1,
            vec!["aws_denied"],
            "api_key: the answer of AWS",
        ),
        (
            "AWS throttled",
            failing("throttled", true),
            1,
            vec!["aws_throttled"],
            "AWS throttles requests",
        ),
        (
            "AWS throttled, nothing there",
            failing("throttled", false),
            1,
            vec!["aws_throttled", "required_secret_missing"],
            "",
        ),
        (
            "AWS unreachable",
            failing("transient", true),
            1,
            vec!["aws_unreachable"],
            "",
        ),
        (
            "AWS credentials",
            failing("unauthenticated", true),
            1,
            vec!["aws_credentials"],
            "",
        ),
        (
            "another store denies",
            failing_at("vault", "access_denied", true),
            1,
            vec!["secret_source_failing"],
            "vault fails for api_key: access_denied: its answer",
        ),
        (
            "a value of another form",
            failing_at("aws_ssm", "malformed", true),
            1,
            vec!["secret_source_failing"],
            "aws_ssm fails for api_key: malformed: its answer",
        ),
        (
            "a store is wrongly configured, nothing there",
            failing_at("vault", "config", false),
            1,
            vec!["secret_source_failing", "required_secret_missing"],
            "",
        ),
        (
            "required secret missing",
            secrets(|secret| secret.is_present = false),
            1,
            vec!["required_secret_missing"],
            "API_KEY",
        ),
        (
            "not asked yet",
            secrets(|secret| (secret.is_present, secret.is_asked) = (false, false)),
            1,
            vec![],
            "",
        ),
        (
            "default in production",
            secrets(|secret| secret.is_default = true),
            1,
            vec!["default_in_production"],
            "api_key",
        ),
        (
            "default in development",
            Box::new(|snapshot| {
                snapshot.is_production = false;
                snapshot.secrets.as_mut().unwrap().known[0].is_default = true;
            }),
            1,
            vec![],
            "",
        ),
        (
            "default of a setting",
            secrets(|secret| {
                (secret.is_default, secret.is_required, secret.is_sensitive) = (true, false, false)
            }),
            1,
            vec![],
            "",
        ),
        (
            "secret past its time",
            secrets(|secret| (secret.is_stale, secret.age) = (true, Some(900))),
            1,
            vec!["secret_stale"],
            "900 s old",
        ),
        (
            "old values served",
            Box::new(|snapshot| snapshot.secrets.as_mut().unwrap().stale_served = 3),
            1,
            vec!["secret_stale"],
            "3 calls",
        ),
        (
            "disk full",
            disk(100 << 30, 10 * mib, 9),
            1,
            vec!["disk_full"],
            "10 MiB of 102400 MiB",
        ),
        (
            "small disk with room",
            disk(8 * mib, 4 * mib, 9),
            1,
            vec![],
            "",
        ),
        (
            "small disk full",
            disk(8 * mib, 100, 9),
            1,
            vec!["disk_full"],
            "",
        ),
        (
            "no inodes",
            disk(100 << 30, 50 << 30, 0),
            1,
            vec!["disk_full"],
            "no inode is free",
        ),
        (
            "disk nearly full",
            disk(20 << 30, 900 * mib, 9),
            1,
            vec!["disk_nearly_full"],
            "900 MiB",
        ),
        (
            "large disk with some left",
            disk(1 << 40, 3 << 30, 9),
            1,
            vec![],
            "",
        ),
        (
            "log not writable",
            log("Permission denied (os error 13)", 5),
            1,
            vec!["log_file_not_writable", "log_lines_dropped"],
            "logs/app.log: Permission",
        ),
        (
            "log lines dropped",
            log("", 5),
            1,
            vec!["log_lines_dropped"],
            "5 lines were dropped by stdout in",
        ),
        (
            "disk full below log and cache",
            all(vec![
                disk(100 << 30, 0, 9),
                log("No space left on device (os error 28)", 5),
                cache(|cache, _| cache.is_paused = true),
            ]),
            1,
            vec![
                "disk_full",
                "log_file_not_writable",
                "log_lines_dropped",
                "cache_writes_paused",
            ],
            "",
        ),
        (
            "another disk full",
            all(vec![
                disk(100 << 30, 0, 9),
                log("Permission denied (os error 13)", 0),
            ]),
            1,
            vec!["disk_full", "log_file_not_writable"],
            "",
        ),
        (
            "bucket away",
            shared(|shared| {
                shared.failed = 3;
                shared.open_since = Some(std::time::SystemTime::UNIX_EPOCH);
            }),
            1,
            vec!["shared_store_unreachable"],
            "3 lookups failed",
        ),
        (
            "no key for the bucket",
            shared(|shared| shared.missing_key = Some("api_key".to_owned())),
            1,
            vec!["shared_store_unreachable"],
            "the source of the key",
        ),
        (
            "bucket without conditions",
            shared(|shared| shared.is_unconditional = true),
            1,
            vec!["shared_store_unconditional"],
            "ignores conditions",
        ),
        (
            "cache writes paused",
            cache(|cache, _| cache.is_paused = true),
            1,
            vec!["cache_writes_paused"],
            "",
        ),
        (
            "cache collapsed",
            cache(|cache, n| (cache.hits, cache.misses) = (54_000, 6_000 + n * 100)),
            6,
            vec!["cache_hit_collapsed"],
            "3000 lookups hit in the last 30 s, 90 %",
        ),
        (
            "few lookups",
            cache(|cache, n| (cache.hits, cache.misses) = (54_000, 6_000 + n)),
            8,
            vec![],
            "",
        ),
        (
            "duckdb fails",
            queries(|queries| queries.failed = 100),
            1,
            vec!["duckdb_failing"],
            "100 of",
        ),
        (
            "a query fails",
            queries(|queries| queries.failed = 4),
            1,
            vec![],
            "",
        ),
        (
            "duckdb is slow",
            queries(|queries| queries.slow = 100),
            1,
            vec!["duckdb_slow"],
            "100 of",
        ),
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
            "they do again",
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
            "errors of panics",
            metrics(|metrics| (metrics.server_errors, metrics.panics) = (600.0, 600.0)),
            1,
            vec!["panics", "requests_failing"],
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
                let (how, kept) = ("SIGABRT ended it".to_owned(), "app.box.1".to_owned());
                let ended = Some(Ended { how, at, kept });
                snapshot.black_box = Some(BlackBox { ended, off: None });
            }),
            1,
            vec!["last_run_crashed"],
            "last seen 615 s ago: SIGABRT ended it",
        ),
        (
            "a crash long ago",
            Box::new(|snapshot| {
                let (how, kept) = ("SIGABRT ended it".to_owned(), "app.box.1".to_owned());
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
            "1 files of the history cannot be read: logs/a.parquet: EOF",
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
