//! Events of other crates. They go through the global pipeline, and are separated by capturing.

use std::sync::Once;

use ops_log::{CapturedLine, Config, Filter, Level, capture_logs};

/// Sets the global configuration, which all tests of this binary share.
pub(crate) fn init() {
    static INIT: Once = Once::new();
    INIT.call_once(|| {
        let guard = ops_log::init(Config::new().stdout(false).service_name("it")).unwrap();
        std::mem::forget(guard);
    });
}

fn captured(work: impl FnOnce()) -> Vec<CapturedLine> {
    init();
    capture_logs(work)
}

#[test]
fn a_tracing_event_is_a_line_with_its_spans_fields() {
    let lines = captured(|| {
        let outer = tracing::info_span!(
            "outer",
            user = "ada",
            shared = 1,
            late = tracing::field::Empty
        );
        let _outer = outer.enter();
        outer.record("late", 2.5);
        let inner = tracing::info_span!("inner", shared = 2, on = true);
        let _inner = inner.enter();
        tracing::warn!(target: "my_db", rows = 3_u64, on = false, name = ?"x", err = %"e", "slow {}", "query");
    });
    let line = &lines[0];
    assert_eq!(
        (line.level, line.logger.as_str(), line.event.as_str()),
        (Level::Warning, "my_db", "slow query")
    );
    assert!(
        line.json.ends_with(
            r#","user":"ada","late":2.5,"shared":2,"rows":3,"on":false,"name":"\"x\"","err":"e"}"#
        ),
        "{}",
        line.json
    );
}

#[test]
fn a_value_that_logs_while_a_span_records_it_stops_nobody() {
    struct Logs;
    impl std::fmt::Debug for Logs {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            tracing::info!("nested");
            f.write_str("logged")
        }
    }
    let (done, is_done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let lines = captured(|| {
            let span = tracing::info_span!("job", user = tracing::field::Empty, n = 1);
            let _span = span.enter();
            span.record("user", tracing::field::debug(&Logs));
            tracing::info!("after");
        });
        done.send(lines).unwrap();
    });
    let lines = is_done
        .recv_timeout(std::time::Duration::from_secs(60))
        .unwrap();
    let events: Vec<_> = lines.iter().map(|line| line.event.as_str()).collect();
    assert_eq!(events, ["nested", "after"]);
    let after = &lines[1].json;
    assert!(after.ends_with(r#","n":1,"user":"logged"}"#), "{after}");
}

#[test]
fn a_crate_of_the_application_is_not_taken_for_one_that_is_noisy() {
    let lines = captured(|| {
        tracing::info!(target: "tower_control::valves", "ours");
        tracing::info!(target: "hyperspace", "ours");
        tracing::info!(target: "tower::buffer", "theirs");
        tracing::info!(target: "tower_http::trace", "theirs");
        tracing::info!(target: "tokio", "theirs");
    });
    let events: Vec<_> = lines.iter().map(|line| line.event.as_str()).collect();
    assert_eq!(events, ["ours", "ours"]);
}

#[test]
fn a_tracing_event_without_a_message_is_named_by_its_place() {
    let lines = captured(|| tracing::info!(n = 1));
    assert!(lines[0].event.starts_with("event "), "{}", lines[0].event);
}

#[test]
fn a_log_record_is_a_line_with_its_pairs_and_not_printed_twice() {
    let lines = captured(
        || log::info!(target: "legacy", n = 1, text = "a b", ok = true; "hello {}", "log"),
    );
    assert_eq!(lines.len(), 1);
    assert_eq!(
        (lines[0].logger.as_str(), lines[0].event.as_str()),
        ("legacy", "hello log")
    );
    assert!(
        lines[0].json.ends_with(r#","n":1,"text":"a b","ok":true}"#),
        "{}",
        lines[0].json
    );
}

#[test]
fn a_value_that_panics_in_a_bridge_costs_itself_only() {
    struct Panics;
    impl std::fmt::Debug for Panics {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            panic!("in Debug")
        }
    }
    let lines = captured(|| {
        let _span = tracing::info_span!("s", bad = ?Panics).entered();
        tracing::info!(worse = ?Panics, after = 1, "traced");
    });
    assert!(
        lines[0]
            .json
            .ends_with(r#","bad":"<panic in fmt>","worse":"<panic in fmt>","after":1}"#),
        "{}",
        lines[0].json
    );
}

#[test]
fn levels_of_targets_hold_for_tracing_and_noisy_ones_are_capped() {
    // a separate subscriber shows what passes without capturing
    use tracing_subscriber::layer::SubscriberExt;
    init();
    let subscriber = tracing_subscriber::registry().with(ops_log::tracing_layer());
    let before = ops_log::stats().written;
    let marked = |event: &str| {
        ops_log::recent(200)
            .iter()
            .filter(|line| line.contains(event))
            .count()
    };
    tracing::subscriber::with_default(subscriber, || {
        tracing::debug!(target: "app::db", "bridge_level_no");
        tracing::info!(target: "app::db", "bridge_level_yes");
        tracing::info!(target: "hyper::client", "bridge_level_noise");
        tracing::warn!(target: "hyper::client", "bridge_level_warning");
        tracing::error!(target: "opentelemetry_sdk", "bridge_level_noise");
    });
    assert!(ops_log::stats().written >= before + 2);
    assert_eq!(marked("bridge_level_no\""), 0);
    assert_eq!(marked("bridge_level_noise"), 0);
    assert_eq!(marked("bridge_level_yes"), 1);
    assert_eq!(marked("bridge_level_warning"), 1);
}

#[test]
fn a_filter_can_open_a_noisy_target() {
    let filter: Filter = "info,hyper=debug".parse().unwrap();
    assert_eq!(filter.to_string(), "info,hyper=debug");
}

#[test]
fn a_panic_is_a_critical_line_with_its_place() {
    let lines = captured(|| {
        let _ = std::panic::catch_unwind(|| panic!("deliberate {}", 1));
    });
    let line = &lines[0];
    assert_eq!(
        (line.level, line.event.as_str()),
        (Level::Critical, "panic")
    );
    assert_eq!(line["message"], "deliberate 1");
    assert!(
        line["location"].to_string().contains("bridges.rs:"),
        "{}",
        line.json
    );
}

#[test]
fn a_spans_fields_are_written_as_an_events_are() {
    #[derive(Debug)]
    struct Cause;
    impl std::fmt::Display for Cause {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("disk gone")
        }
    }
    impl std::error::Error for Cause {}
    #[derive(Debug)]
    struct Failed(Cause);
    impl std::fmt::Display for Failed {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("cannot save")
        }
    }
    impl std::error::Error for Failed {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }
    let failed = Failed(Cause);
    let error = &failed as &dyn std::error::Error;
    let lines = captured(|| {
        let _span = tracing::info_span!(
            "s",
            small = 5_u128,
            wide = u128::MAX,
            low = i128::MIN,
            error
        )
        .entered();
        tracing::info!(
            small = 5_u128,
            wide = u128::MAX,
            low = i128::MIN,
            error,
            "in_event"
        );
        tracing::info!("in_span");
    });
    let fields = r#","small":5,"wide":340282366920938463463374607431768211455,"low":-170141183460469231731687303715884105728,"error":"cannot save: disk gone"}"#;
    for line in &lines {
        assert!(line.json.ends_with(fields), "{}", line.json);
    }
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[1]["wide"].to_string(), u128::MAX.to_string());
}

#[test]
fn the_pairs_of_a_log_record_keep_their_types() {
    let lines = captured(|| {
        log::info!(
            none = Option::<u8>::None,
            some = Some(3),
            wide = u128::MAX,
            low = i128::MIN,
            letter = 'x',
            float = 0.5;
            "typed"
        );
    });
    assert!(
        lines[0].json.ends_with(
            r#","none":null,"some":3,"wide":340282366920938463463374607431768211455,"low":-170141183460469231731687303715884105728,"letter":"x","float":0.5}"#
        ),
        "{}",
        lines[0].json
    );
}

#[test]
fn a_long_value_of_a_span_is_cut_once_and_says_how_much_is_missing() {
    let long = "x".repeat(20_000);
    let lines = captured(|| {
        let _span = tracing::info_span!("s", long = ?long).entered();
        tracing::info!("in_span");
    });
    let text = lines[0]["long"].to_string();
    let (kept, missing) = text.split_once("…[truncated ").unwrap();
    let missing: usize = missing.trim_end_matches(']').parse().unwrap();
    assert_eq!(kept.len() + missing, long.len() + 2);
}

#[test]
fn spans_within_each_other_may_have_the_same_fields_however_many_there_are() {
    fn walk(depth: u32, at_the_end: &dyn Fn()) {
        let span = tracing::info_span!("walk", depth, path = "a/b", kind = "folder");
        let _span = span.enter();
        match depth {
            0 => at_the_end(),
            depth => walk(depth - 1, at_the_end),
        }
    }
    for depth in [10, 85, 86, 1000] {
        let lines = captured(|| {
            let _request = tracing::info_span!("request", request_id = "req-1").entered();
            walk(depth, &|| tracing::info!(size = 1, owner = "ada", "found"));
        });
        let fields = r#""event":"found","request_id":"req-1","depth":0,"path":"a/b","kind":"folder","size":1,"owner":"ada"}"#;
        assert!(lines[0].json.ends_with(fields), "{}", lines[0].json);
    }
}

#[test]
fn spans_that_find_no_room_make_none() {
    let lines = captured(|| {
        for n in 0..255 {
            ops_log::bind_context(format!("f{n}"), n);
        }
        let span = || tracing::info_span!("x", f0 = 0, f1 = 0, a = 0, b = 0, c = 0, d = 0, e = 0);
        let _spans = [(); 9].map(|()| span().entered());
        tracing::info!("counted");
        ops_log::clear_context();
    });
    let line: serde_json::Value = serde_json::from_str(&lines[0].json).unwrap();
    let is_bound = |key: &&String| key.len() == 1 || key[1..].parse::<u32>().is_ok();
    let bound = line.as_object().unwrap().keys().filter(is_bound);
    assert_eq!(bound.count(), 253, "{line}");
}
