//! Rate limits: suppressed lines are counted, and the next line has their number.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ops_log::reader::StoredLine;
use ops_log::{
    Config, Level, MAX_LIMITED_EVENTS, Output, Pipeline, RateLimit, crit, error, info, warn,
};
use parking_lot::Mutex;

use crate::{Written, sample_time};

/// Clock that is set by hand.
#[derive(Clone)]
struct ManualClock(Arc<Mutex<SystemTime>>);

impl ManualClock {
    fn forward(&self, millis: u64) {
        *self.0.lock() += Duration::from_millis(millis);
    }

    fn back(&self, millis: u64) {
        *self.0.lock() -= Duration::from_millis(millis);
    }
}

fn limited(config: impl FnOnce(Config) -> Config) -> (Pipeline, Written, ManualClock) {
    let (written, hand) = (
        Written::default(),
        ManualClock(Arc::new(Mutex::new(sample_time()))),
    );
    let clock = hand.clone();
    let base = Config::new()
        .stdout(false)
        .level(Level::Debug)
        .clock(move || *clock.0.lock())
        .output(Output::writer(written.clone()).json(true));
    (Pipeline::new(config(base)).unwrap(), written, hand)
}

fn suppressed(written: &Written) -> Vec<Option<String>> {
    let parsed = |line: &String| StoredLine::parse(line).unwrap().field("suppressed");
    written.lines().iter().map(parsed).collect()
}

#[test]
fn an_event_over_its_limit_is_counted_and_the_next_line_says_so() {
    let (pipeline, written, hand) = limited(|config| config.rate_limit(RateLimit::new(10, 3)));
    let log = pipeline.root();
    for number in 0..8 {
        info!(log, "busy", number = number);
    }
    info!(log, "other");
    warn!(log, "busy");
    assert_eq!(suppressed(&written), [None, None, None, None, None]);
    hand.forward(100);
    info!(log, "busy");
    info!(log, "busy");
    hand.forward(10_000);
    for _ in 0..4 {
        info!(log, "busy");
    }
    let some = |count: &str| Some(count.to_owned());
    assert_eq!(
        suppressed(&written)[5..],
        [some("5"), some("1"), None, None]
    );
    let stats = pipeline.stats();
    assert_eq!((stats.written, stats.dropped, stats.suppressed), (9, 0, 7));
}

#[test]
fn a_field_that_is_named_suppressed_stays_beside_the_count() {
    let (pipeline, written, hand) = limited(|config| config.rate_limit(RateLimit::new(1, 1)));
    for round in 0..3 {
        info!(pipeline.root(), "busy", suppressed = 100 + round);
    }
    hand.forward(1_000);
    info!(pipeline.root(), "busy", suppressed = 103);
    let line = written.last();
    let end = r#","suppressed":103,"suppressed_":2}"#;
    assert!(line.trim_end().ends_with(end), "{line}");
}

#[test]
fn a_target_is_limited_with_all_of_its_events() {
    let (pipeline, written, hand) =
        limited(|config| config.target_rate_limit("db", RateLimit::new(1, 2)));
    let (db, pool, dbx) = (
        pipeline.logger("db"),
        pipeline.logger("db::pool"),
        pipeline.logger("dbx"),
    );
    info!(db, "one");
    info!(pool, "two");
    info!(db, "three");
    error!(pool, "four");
    crit!(db, "five");
    for _ in 0..9 {
        info!(dbx, "free");
    }
    hand.forward(1_000);
    info!(pool, "six");
    assert_eq!(written.lines().len(), 2 + 1 + 9 + 1);
    assert_eq!(suppressed(&written).pop().unwrap().as_deref(), Some("2"));
}

#[test]
fn with_both_limits_no_missing_line_is_forgotten() {
    let (pipeline, written, hand) = limited(|config| {
        config
            .rate_limit(RateLimit::new(1, 1))
            .target_rate_limit("db", RateLimit::new(10, 1))
    });
    let db = pipeline.logger("db");
    info!(db, "one");
    info!(db, "two");
    hand.forward(100);
    info!(db, "one");
    hand.forward(5_000);
    info!(db, "one");
    hand.forward(5_000);
    info!(db, "two");
    let missing = suppressed(&written).into_iter().flatten();
    let missing: u64 = missing.map(|count| count.parse::<u64>().unwrap()).sum();
    assert_eq!(missing, pipeline.stats().suppressed);
    assert_eq!(missing, 2);
}

#[test]
fn a_clock_that_is_set_back_gives_no_lines_away() {
    let (pipeline, written, hand) = limited(|config| config.rate_limit(RateLimit::new(1, 1)));
    info!(pipeline.root(), "busy");
    hand.back(60_000);
    info!(pipeline.root(), "busy");
    hand.forward(999);
    info!(pipeline.root(), "busy");
    assert_eq!(written.lines().len(), 1);
    hand.forward(1);
    info!(pipeline.root(), "busy");
    assert_eq!(written.lines().len(), 2);
}

#[test]
fn memory_is_bounded_and_what_finds_no_room_is_written() {
    let (pipeline, written, hand) = limited(|config| config.rate_limit(RateLimit::new(1, 1)));
    let loggers: Vec<_> = (0..MAX_LIMITED_EVENTS)
        .map(|number| pipeline.logger(&format!("l{number}")))
        .collect();
    for log in &loggers {
        info!(log, "busy");
    }
    let late = pipeline.logger("late");
    info!(late, "busy");
    info!(late, "busy");
    assert_eq!(written.lines().len(), MAX_LIMITED_EVENTS + 2);
    // refilled buckets make room
    hand.forward(3_000);
    info!(late, "busy");
    info!(late, "busy");
    assert_eq!(written.lines().len(), MAX_LIMITED_EVENTS + 3);
}

#[test]
fn no_room_is_made_of_the_bucket_of_a_slower_limit() {
    let (pipeline, written, hand) = limited(|config| {
        config
            .rate_limit(RateLimit::new(1_000, 1_000))
            .target_rate_limit("db", RateLimit::new(1, 60))
    });
    let db = pipeline.logger("db");
    for _ in 0..60 {
        info!(db, "asked");
    }
    for number in 0..MAX_LIMITED_EVENTS {
        info!(pipeline.logger(&format!("l{number}")), "busy");
    }
    hand.forward(3_000);
    info!(pipeline.logger("late"), "busy");
    let before = written.lines().len();
    for _ in 0..60 {
        info!(db, "asked");
    }
    assert_eq!(written.lines().len(), before + 3);
}

#[test]
fn a_limit_is_text_too() {
    for text in ["10/s x 50", "1/s x 1", "off"] {
        assert_eq!(text.parse::<RateLimit>().unwrap().to_string(), text);
    }
    assert_eq!(
        " 5/s X7 ".parse::<RateLimit>().unwrap(),
        RateLimit::new(5, 7)
    );
    for text in [
        "", "10", "10 x 5", "0/s x 5", "5/s x 0", "-1/s x 5", "1/m x 5", "1/s x",
    ] {
        let error = text.parse::<RateLimit>().unwrap_err().to_string();
        assert!(
            error.contains(&format!("{text:?}")) && error.contains("10/s x 50"),
            "{error}"
        );
    }
    let yaml = "rate_limit: 10/s x 50\ntarget_rate_limits:\n  hyper: 1/s x 5\n";
    assert!(serde_yaml::from_str::<Config>(yaml).is_ok());
    let error = serde_yaml::from_str::<Config>("level: info\nrate_limit: often\n").unwrap_err();
    assert!(error.to_string().contains("line 2"), "{error}");
}

#[test]
fn of_the_targets_in_a_file_the_first_one_counts_and_dashes_are_underscores() {
    let yaml = "target_rate_limits:\n  db::pool: 1/s x 1\n  db: 1/s x 5\n  my-crate: 1/s x 2\n";
    let file: Config = serde_yaml::from_str(yaml).unwrap();
    let written = Written::default();
    let output = Output::writer(written.clone()).json(true);
    let config = file.stdout(false).clock(sample_time).output(output);
    let pipeline = Pipeline::new(config).unwrap();
    let taken = |logger: &str| {
        let before = written.lines().len();
        for _ in 0..10 {
            info!(pipeline.logger(logger), "busy");
        }
        written.lines().len() - before
    };
    assert_eq!(taken("db::pool"), 1);
    assert_eq!(taken("db::other"), 5);
    assert_eq!(taken("my_crate::module"), 2);
    assert_eq!(taken("my_crate_too"), 10);
    assert_eq!(taken("ü"), 10, "shorter than a target, and no ASCII");
}
