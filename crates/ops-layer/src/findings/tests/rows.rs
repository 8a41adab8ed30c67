use std::time::Duration;

use super::{
    Row, Snapshot, all, answers, cache, collector, disk, export, failing, failing_at, log,
    nothing_to_send, queries, secrets, shared,
};

/// Returns the rows about collector, secrets, disks, cache and engine.
pub(super) fn rows() -> Vec<Row> {
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
            "collector away, as far as is known",
            all(vec![collector("refused", None), nothing_to_send()]),
            20,
            vec!["collector_unreachable"],
            "the answer; no sampled span has ended for a minute, so the export was not retried",
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
            "presents an invalid certificate, failing for 20 s: io: invalid peer certificate",
        ),
        (
            "the proxy on the way to the collector away",
            answers(
                "refused",
                "cannot connect (io: Connection refused (os error 111)): check that the proxy in HTTPS_PROXY is reachable",
            ),
            1,
            vec!["collector_unreachable"],
            "cannot be reached through the proxy",
        ),
        (
            "a collector that wants a certificate",
            answers(
                "other",
                "io: received fatal alert: CertificateRequired: set OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE to a \
                 certificate that the collector accepts",
            ),
            1,
            vec!["collector_certificate"],
            "requires one",
        ),
        (
            "something else at the collector's port",
            collector("other", None),
            1,
            vec!["collector_refusing", "spans_dropped"],
            "sends no valid OTLP response",
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
            "a slow export of long ago",
            all(vec![
                export(|export| export.last_duration = Some(Duration::from_secs(3))),
                nothing_to_send(),
            ]),
            20,
            vec![],
            "",
        ),
        (
            "slow exports of many spans of long ago",
            all(vec![
                export(|export| {
                    export.last_duration = Some(Duration::from_secs(3));
                    export.queued = 512;
                }),
                nothing_to_send(),
            ]),
            20,
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
            "no inodes are free",
        ),
        (
            "disk nearly full",
            disk(20 << 30, 900 * mib, 9),
            1,
            vec!["disk_nearly_full"],
            "900 MiB",
        ),
        (
            "inodes nearly gone",
            Box::new(|snapshot| {
                snapshot.disks[0].free_files = Some(60_000);
                snapshot.disks[0].files = Some(6_553_600);
            }),
            1,
            vec!["disk_nearly_full"],
            "free in /var/lib/app, and 60000 of 6553600 inodes",
        ),
        (
            "few inodes of few",
            Box::new(|snapshot| {
                snapshot.disks[0].free_files = Some(60_000);
                snapshot.disks[0].files = Some(100_000);
            }),
            1,
            vec![],
            "",
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
            "log not writable, as far as is known",
            all(vec![
                log("Permission denied (os error 13)", 5),
                Box::new(|snapshot: &mut Snapshot| {
                    snapshot.log.as_mut().unwrap().written = 6_000;
                }),
            ]),
            20,
            vec!["log_file_not_writable"],
            "(os error 13); no line was logged for a minute, so the write was not retried",
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
            "the source of the shared bucket's key",
        ),
        (
            "bucket without conditions",
            shared(|shared| shared.is_unconditional = true),
            1,
            vec!["shared_store_unconditional"],
            "ignores conditional writes",
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
    ]
}
