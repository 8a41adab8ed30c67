use std::sync::mpsc;
use std::time::Duration;

use ops_log::{Config, Filter, LateLines, Level, Output, Pipeline, debug, info, trace, warn};

use crate::{Written, json, pipeline, rest};

#[test]
fn every_slog_level_prints_under_the_overviews_name_and_parses_back() {
    let names = ["critical", "error", "warning", "info", "debug", "trace"];
    for (number, name) in (1..).zip(names) {
        let level = Level::from(slog::Level::from_usize(number).unwrap());
        assert_eq!(level.as_str(), name);
        assert_eq!(name.to_uppercase().parse::<Level>().unwrap(), level);
        assert_eq!(level.slog().as_usize(), number);
    }
}

#[test]
fn console_padding_is_nine_wide() {
    assert_eq!(format!("[{:<9}]", Level::Info), "[info     ]");
}

#[test]
fn an_unknown_level_is_refused_with_the_accepted_names() {
    let error = "loud\n".parse::<Level>().unwrap_err().to_string();
    assert!(
        error.starts_with(r#"unknown log level "loud\n": expected trace"#),
        "{error}"
    );
}

#[test]
fn filters_read_rust_logs_syntax_and_print_it_back() {
    let filter: Filter = " warn, a::b=debug,a=off, c ,a::b=info".parse().unwrap();
    assert_eq!(filter.to_string(), "warning,a::b=info,a=off,c=trace");
    let foreign = [
        "\"info\"",
        "'info'",
        "info;a=debug",
        "a=debug|b=info",
        "a:debug",
        "a::b: off",
    ];
    let wrong = ["a=loud", "=info", "a[span]=info", "info,a/regex", "a b"];
    for wrong in wrong.into_iter().chain(foreign) {
        let error = wrong.parse::<Filter>().unwrap_err().to_string();
        assert!(
            error.contains("unknown directive") && error.contains("target=level"),
            "{error}"
        );
    }
    let own: Filter = "a:b,a::debug,http.client".parse().unwrap();
    assert_eq!(
        own.to_string(),
        "info,http.client=trace,a::debug=trace,a:b=trace"
    );
    assert_eq!("".parse::<Filter>().unwrap(), Filter::new(Level::Info));
}

#[test]
fn the_longest_target_decides_by_logger_name_or_module() {
    let filter = "error,db=info,db::pool=trace,it::level=debug,net=off"
        .parse()
        .unwrap();
    let (pipeline, written) = pipeline(|config| config.filter(filter), true);
    let [db, pool, other, net] = ["db", "db::pool", "x", "net"].map(|name| pipeline.logger(name));
    debug!(db, "no");
    info!(db, "1");
    trace!(pool, "2");
    // this module's level applies to loggers without a level of their own
    debug!(other, "3");
    trace!(other, "no");
    ops_log::crit!(net, "no");
    debug!(pipeline.root(), "4");
    let events: Vec<_> = written
        .lines()
        .iter()
        .map(|line| line.split("\"event\":\"").nth(1).unwrap()[..1].to_owned())
        .collect();
    assert_eq!(events, ["1", "2", "3", "4"]);
}

#[test]
fn the_service_name_is_a_target_too() {
    let (pipeline, written) = pipeline(
        |config| config.filter("error,api=debug".parse().unwrap()),
        true,
    );
    debug!(pipeline.root(), "root");
    debug!(pipeline.logger("db"), "other");
    assert_eq!(written.lines().len(), 1);
}

/// Writer that sends each line to a waiting test.
struct ChannelWriter(mpsc::Sender<String>);

impl std::io::Write for ChannelWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let _ = self.0.send(String::from_utf8_lossy(bytes).into_owned());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn channel_pipeline() -> (Pipeline, mpsc::Receiver<String>) {
    let (sender, lines) = mpsc::channel();
    let output = Output::writer(ChannelWriter(sender)).json(true);
    let pipeline = Pipeline::new(
        Config::new()
            .stdout(false)
            .level(Level::Error)
            .output(output),
    )
    .unwrap();
    (pipeline, lines)
}

#[test]
fn a_changed_level_reverts_by_itself_and_both_changes_are_lines() {
    let (pipeline, lines) = channel_pipeline();
    let log = pipeline.logger("db");
    debug!(log, "before");
    pipeline
        .set_level(
            "db",
            Level::Debug,
            Duration::from_millis(30),
            "ada",
            "slow queries",
        )
        .unwrap();
    let changed = lines.recv().unwrap();
    assert_eq!(
        rest(&changed),
        r#","target":"db","from":"error","to":"debug","ttl_seconds":0.03,"who":"ada","why":"slow queries"}"#
    );
    assert!(
        changed.contains(r#""level":"warning","logger":"ops_log","event":"log_level_changed""#),
        "{changed}"
    );
    let reverted = lines.recv_timeout(Duration::from_secs(60)).unwrap();
    assert_eq!(
        rest(&reverted),
        r#","target":"db","from":"debug","to":"error","who":"ada","why":"slow queries"}"#
    );
    debug!(log, "after");
    ops_log::error!(log, "last");
    assert!(
        lines.recv().unwrap().contains("\"last\""),
        "no debug line before or after"
    );
    assert_eq!(pipeline.levels().len(), 1);
}

#[test]
fn a_second_change_of_a_target_replaces_the_first_and_the_default_is_a_quarter_of_an_hour() {
    let (pipeline, lines) = channel_pipeline();
    pipeline
        .set_level("", Level::Debug, None, "ada", "first")
        .unwrap();
    pipeline
        .set_level(
            "",
            Level::Trace,
            Duration::from_secs(1_000_000),
            "bob",
            "second",
        )
        .unwrap();
    let first = lines.recv().unwrap();
    assert!(
        first.contains(r#""target":"*","from":"error","to":"debug","ttl_seconds":900.0"#),
        "{first}"
    );
    let second = lines.recv().unwrap();
    assert!(
        second.contains(r#""from":"debug","to":"trace","ttl_seconds":86400.0"#),
        "{second}"
    );
    let rules = pipeline.levels();
    assert_eq!((rules.len(), rules[0].level), (1, Some(Level::Trace)));
    let temporary = rules[0].temporary.as_ref().unwrap();
    assert_eq!(
        (temporary.who.as_str(), temporary.why.as_str()),
        ("bob", "second")
    );
    assert!(temporary.remaining > Duration::from_secs(80_000));
    pipeline
        .set_level("", Level::Info, Duration::ZERO, "eve", "at once")
        .unwrap();
    lines.recv().unwrap();
    assert!(
        lines
            .recv_timeout(Duration::from_secs(60))
            .unwrap()
            .contains(r#""from":"info","to":"error""#)
    );
}

#[test]
fn the_65th_changed_target_is_refused_until_one_reverts_and_the_others_hold() {
    let (pipeline, lines) = channel_pipeline();
    let hour = Duration::from_secs(3600);
    let change = |target: &str, level| pipeline.set_level(target, level, hour, "ada", "load");
    for number in 0..ops_log::MAX_LEVEL_CHANGES {
        change(&format!("t{number:02}"), Level::Debug).unwrap();
    }
    let refused = change("one::more", Level::Debug).unwrap_err();
    assert!(matches!(refused, ops_log::Error::TooManyChanges));
    let text = refused.to_string();
    assert!(
        text.contains("at most 64 targets") && text.contains("until one of them reverts"),
        "{text}"
    );
    // a changed target may be changed again
    change("t07", Level::Trace).unwrap();
    let rules = pipeline.levels();
    assert_eq!(rules.len(), 1 + ops_log::MAX_LEVEL_CHANGES);
    assert!(rules.iter().all(|rule| rule.target != "one::more"));
    let again = rules.iter().find(|rule| rule.target == "t07").unwrap();
    assert_eq!(again.level, Some(Level::Trace));
    // each change was logged, except for the refused one
    assert_eq!(lines.try_iter().count(), ops_log::MAX_LEVEL_CHANGES + 1);
    pipeline
        .set_level("t00", Level::Debug, Duration::ZERO, "ada", "make room")
        .unwrap();
    let reverted = |line: &String| line.contains("log_level_reverted");
    let within = Duration::from_secs(60);
    while !reverted(&lines.recv_timeout(within).unwrap()) {}
    change("one::more", Level::Debug).unwrap();
}

#[test]
fn changes_cover_configured_levels_of_their_target_and_leave_the_others() {
    let filter = "warn,a=info,a::b=debug,c=off".parse().unwrap();
    let (pipeline, _) = pipeline(|config| config.filter(filter), true);
    for (target, level) in [
        ("a", Level::Trace),
        ("", Level::Error),
        ("d::e", Level::Debug),
    ] {
        pipeline.set_level(target, level, None, "ada", "x").unwrap();
    }
    let rules = pipeline.levels().into_iter();
    let rules: Vec<_> = rules.map(|rule| (rule.target, rule.level)).collect();
    let expected = [
        ("", Some(Level::Error)),
        ("a::b", Some(Level::Debug)),
        ("d::e", Some(Level::Debug)),
        ("a", Some(Level::Trace)),
        ("c", None),
    ];
    assert_eq!(
        rules,
        expected.map(|(target, level)| (target.to_owned(), level))
    );
}

#[test]
fn a_target_with_hyphens_is_the_one_with_underscores() {
    let filter = "info,my-crate=info".parse().unwrap();
    let (pipeline, written) = pipeline(|config| config.filter(filter), true);
    let logger = pipeline.logger("my_crate::db");
    debug!(logger, "before");
    pipeline
        .set_level("my_crate", Level::Debug, None, "ada", "x")
        .unwrap();
    debug!(logger, "after");
    pipeline
        .set_level("my-crate", Level::Trace, None, "ada", "x")
        .unwrap();
    let rules = pipeline.levels().into_iter();
    let rules: Vec<_> = rules.map(|rule| (rule.target, rule.level)).collect();
    let expected = [("", Some(Level::Info)), ("my-crate", Some(Level::Trace))];
    assert_eq!(
        rules,
        expected.map(|(target, level)| (target.to_owned(), level))
    );
    assert!(pipeline.revert_level("my_crate"));
    let lines = written.lines().concat();
    assert!(
        !lines.contains("before") && lines.contains("after"),
        "{lines}"
    );
    let filter: Filter = "my-crate=warn,my_crate=debug".parse().unwrap();
    assert_eq!(filter.to_string(), "info,my_crate=debug");
}

#[test]
fn a_change_is_taken_back_before_its_time() {
    let (pipeline, lines) = channel_pipeline();
    pipeline
        .set_level("db", Level::Debug, None, "ada", "looking")
        .unwrap();
    lines.recv().unwrap();
    assert!(!pipeline.revert_level("other"), "nothing was changed there");
    assert!(pipeline.revert_level("db"));
    let reverted = lines.recv_timeout(Duration::from_secs(60)).unwrap();
    assert!(
        reverted.contains(r#""event":"log_level_reverted""#)
            && reverted.contains(r#""to":"error""#),
        "{reverted}"
    );
    assert!(
        pipeline
            .levels()
            .iter()
            .all(|rule| rule.temporary.is_none())
    );
}

#[test]
fn a_second_configuration_is_followed_by_loggers_that_exist() {
    let (pipeline, written) = json();
    let log = pipeline.logger("db").bind("a", 1);
    info!(log, "one");
    let second = crate::Written::default();
    let output = Output::writer(second.clone());
    pipeline
        .configure(
            Config::new()
                .stdout(false)
                .level(Level::Warning)
                .clock(crate::sample_time)
                .output(output.color(false).context(true)),
        )
        .unwrap();
    info!(log, "two");
    warn!(log, "three", b = 2);
    assert_eq!(written.lines().len(), 1);
    assert_eq!(
        second.last(),
        "2025-01-15 10:30:00 [warning  ] three [db]  a=1 b=2\n"
    );
    let refused = Config::new()
        .stdout(false)
        .file("/proc/no such directory/app.log");
    let error = pipeline.configure(refused).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot append to the log file /proc/no such directory/app.log"
    );
    let cause = std::error::Error::source(&error).unwrap();
    assert!(cause.is::<std::io::Error>(), "{cause}");
    warn!(log, "four");
    assert_eq!(second.lines().len(), 2, "the configuration before stays");
}

#[test]
fn values_of_disabled_lines_are_not_evaluated() {
    let (pipeline, _) = json();
    debug!(
        pipeline.root(),
        "never",
        value = {
            panic!("evaluated");
            #[expect(unreachable_code)]
            1
        }
    );
}

#[test]
fn a_directive_that_is_a_slip_of_the_pen_is_refused_with_the_level_that_was_meant() {
    for (wrong, hint) in [
        ("5", "expected a level"),
        ("debg", "did you mean debug?"),
        ("inof", "did you mean info?"),
        ("warnign", "did you mean warning?"),
        ("err", "did you mean error?"),
        ("warn/foo", "filters by message are not supported"),
        ("info,db=debug/a,b", "\"/a,b\""),
        (
            "none",
            "did you mean off? For a target of that name, write none=trace",
        ),
        ("ALL", "did you mean trace?"),
        ("verbose", "did you mean debug?"),
        ("my_crate::*=debug", "expected a level"),
        ("*", "expected a level"),
        ("!hyper", "expected a level"),
        ("my_crate>debug", "expected a level"),
        ("warp", "For a target of that name, write warp=trace"),
        ("db=5", "expected a level"),
        ("2fa", "for a target of that name, write 2fa=trace"),
        // unexpanded variables
        ("$LEVEL", "expected a level"),
        ("${LEVEL:-info}", "expected a level"),
        ("%LEVEL%=debug", "expected a level"),
        (
            "db[span]=info",
            "filters by span or field are not supported",
        ),
    ] {
        let error = wrong.parse::<Filter>().unwrap_err().to_string();
        assert!(
            error.contains("unknown directive") && error.contains(hint),
            "{wrong}: {error}"
        );
        assert!(
            !wrong.contains('$') || error.ends_with("by commas"),
            "{error}"
        );
    }
    for (text, printed) in [
        ("warp=trace", "info,warp=trace"),
        ("2fa=trace", "info,2fa=trace"),
        ("none=trace,verbose=off", "info,verbose=off,none=trace"),
        ("hyper", "info,hyper=trace"),
        ("my_crate::debg", "info,my_crate::debg=trace"),
        (" info , db = debug ", "info,db=debug"),
        ("OFF,db=Warn", "off,db=warning"),
    ] {
        assert_eq!(
            text.parse::<Filter>().unwrap().to_string(),
            printed,
            "{text}"
        );
    }
}

#[test]
fn a_package_name_stands_for_its_modules() {
    let filter = "error,my-crate=debug,other_crate=info,a-b::c_d=trace"
        .parse()
        .unwrap();
    let (pipeline, written) = pipeline(|config| config.filter(filter), true);
    debug!(pipeline.logger("my_crate::db"), "1");
    debug!(pipeline.logger("my-crate"), "2");
    info!(pipeline.logger("other-crate"), "3");
    trace!(pipeline.logger("a_b::c-d"), "4");
    debug!(pipeline.logger("my.crate"), "no");
    assert_eq!(written.lines().len(), 4, "{:?}", written.lines());
}

#[test]
fn each_output_may_have_levels_of_its_own() {
    let (people, file, rest) = (
        crate::Written::default(),
        crate::Written::default(),
        crate::Written::default(),
    );
    let to = |written: &crate::Written| Output::writer(written.clone()).json(true);
    let pipeline = Pipeline::new(
        Config::new()
            .stdout(false)
            .filter("warn,db=info".parse().unwrap())
            .output(to(&people).level(Level::Error))
            .output(to(&file).filter("debug,noisy=off,it::level=trace".parse().unwrap()))
            .output(to(&rest)),
    )
    .unwrap();
    let (db, noisy, other) = (
        pipeline.logger("db"),
        pipeline.logger("noisy"),
        pipeline.logger("x"),
    );
    trace!(db, "1");
    debug!(db, "2");
    info!(db, "3");
    ops_log::error!(noisy, "4");
    warn!(other, "5");
    trace!(pipeline.root(), "6");
    pipeline.root().log(Level::Debug, "7", &[]);
    let events = |written: &crate::Written| -> String {
        let lines = written.lines();
        let event = |line: &String| line.split("\"event\":\"").nth(1).unwrap()[..1].to_owned();
        lines.iter().map(event).collect()
    };
    assert_eq!(events(&people), "4");
    // this module's level applies to loggers without a level of their own
    assert_eq!(events(&file), "123567");
    assert_eq!(events(&rest), "345");
    assert_eq!(pipeline.stats().dropped, 0);
    // a temporary change applies to outputs without their own levels, and is logged to all
    pipeline
        .set_level("db", Level::Trace, None, "ada", "looking")
        .unwrap();
    trace!(db, "8");
    assert_eq!(events(&people), "4l");
    assert_eq!(events(&rest), "345l8");
}

#[test]
fn a_change_that_ends_with_its_configuration_is_a_line_of_the_next_one() {
    let (pipeline, _) = json();
    pipeline
        .set_level("db", Level::Debug, None, "ada", "slow queries")
        .unwrap();
    pipeline
        .set_late_lines(LateLines::new(Level::Debug), None, "eve", "failures")
        .unwrap();
    let written = Written::default();
    let output = Output::writer(written.clone()).json(true);
    let config = Config::new().stdout(false).level(Level::Error);
    pipeline.configure(config.output(output)).unwrap();
    let lines = written.lines();
    let [level, late] = &lines[..] else {
        panic!("{lines:?}")
    };
    assert!(level.contains(r#""event":"log_level_reverted","target":"db","from":"debug","to":"error","who":"ada","why":"slow queries"}"#), "{level}");
    assert!(late.contains(r#""event":"late_lines_reverted","from":"debug > 1000ms","to":"off","who":"eve","why":"failures"}"#), "{late}");
    assert!(
        pipeline
            .levels()
            .iter()
            .all(|rule| rule.temporary.is_none())
    );
}
