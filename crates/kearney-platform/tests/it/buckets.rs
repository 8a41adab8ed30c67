//! Commands over a history in a bucket. Runs with `OPS_TEST_FULL=1`: moto takes seconds to start.

use std::time::{Duration, SystemTime};

use ops_layer::history::{Config, History};
use serde_json::json;

use crate::history::{run, sql, text};
use crate::moto::Moto;
use crate::served::Home;

#[test]
fn a_bucket_is_asked_together_with_directories_and_every_line_counts_once() {
    if std::env::var_os("OPS_TEST_FULL").is_none_or(|on| on != "1") {
        return;
    }
    let Some(moto) = Moto::start() else {
        return;
    };
    let mut home = Home::new();
    moto.use_in(&mut home);
    moto.bucket("telemetry");
    let temporary = home.path("tmp");
    std::fs::create_dir(&temporary).unwrap();
    home.set("TMPDIR", temporary.to_str().unwrap().to_owned().leak());
    for (dir, from, to) in [("one", 0, 40), ("two", 40, 70)] {
        let history = History::open(Config::new(home.path(dir), "shop")).unwrap();
        for n in from..to {
            let line = format!(r#"{{"event":"counted","n":{n}}}"#);
            history.line(SystemTime::now(), line.as_bytes());
        }
        assert!(history.close(Duration::from_secs(10)));
    }
    let bucket = "s3://telemetry/shop";
    let exported = run(&home, &["history", "export", bucket, "--dir", "one"]);
    let printed = text(&exported);
    assert!(
        printed.starts_with("s3://telemetry/shop: copied 1 "),
        "{printed}"
    );
    let counted = "SELECT count(*), count(DISTINCT attributes ->> '$.n') FROM logs";
    for dirs in [&[bucket, "two"][..], &["one", bucket, "two"]] {
        assert_eq!(sql(&home, dirs, counted), json!([[70, 70]]), "{dirs:?}");
    }
    // the limit applies to both prefixes together
    let other = "s3://telemetry/other";
    let exported = run(&home, &["history", "export", other, "--dir", "two"]);
    let printed = text(&exported) + &text(&run(&home, &["sql", counted, "--dir", bucket]));
    let copied = printed
        .lines()
        .filter_map(|line| line.split_once("copied 1 files, "));
    let bytes = copied.map(|(_, bytes)| bytes.trim_end_matches(" bytes").parse::<u64>().unwrap());
    let bytes = (bytes.sum::<u64>() - 1).to_string();
    let both = [
        "sql",
        counted,
        "--dir",
        bucket,
        "--dir",
        other,
        "--s3-bytes",
        &bytes,
    ];
    let printed = text(&run(&home, &both));
    assert!(
        printed.contains("s3://telemetry/shop, s3://telemetry/other: 2 files"),
        "{printed}"
    );
    assert_eq!(sql(&home, &[bucket, other], counted), json!([[70, 70]]));
    let stats = run(&home, &["history", "stats", "--dir", bucket]);
    assert!(
        text(&stats).contains("logs           1           40"),
        "{}",
        text(&stats)
    );
    let none = ["sql", counted, "--dir", bucket, "--until", "2025-01-01"];
    assert!(text(&run(&home, &none)).contains("copied 0 files"));
    for (arguments, why) in [
        (
            vec!["sql", counted, "--dir", bucket, "--s3-bytes", "10"],
            "at most 10 bytes",
        ),
        (
            vec!["sql", counted, "--dir", "s3://nowhere/shop"],
            "s3://nowhere/shop",
        ),
        (
            vec!["sql", counted, "--dir", "s3://telemetry/empty"],
            "no history files",
        ),
        (
            vec!["history", "prune", "--older-than", "1h", "--dir", bucket],
            "accepts only local directories",
        ),
    ] {
        let refused = run(&home, &arguments);
        let printed = text(&refused);
        assert!(
            !refused.status.success() && printed.contains(why),
            "{printed}"
        );
    }
    let copies = std::fs::read_dir(&temporary).unwrap();
    assert_eq!(copies.count(), 0, "copies are removed");
}

#[test]
fn a_bucket_without_credentials_is_an_error_that_names_them() {
    let mut home = Home::new();
    // the service that provides the role of a machine
    home.set("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1");
    let refused = run(
        &home,
        &["sql", "--dir", "s3://telemetry/shop", "SELECT 1 FROM logs"],
    );
    assert_eq!(refused.status.code(), Some(1));
    let printed = String::from_utf8_lossy(&refused.stderr);
    assert!(
        printed.contains("AWS_ACCESS_KEY_ID is not set"),
        "{printed}"
    );
}
