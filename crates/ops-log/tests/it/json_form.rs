//! JSON lines with the key names of other systems, and read back.

use std::collections::BTreeMap;

use ops_log::reader::{Selection, StoredLine};
use ops_log::{
    Backtraced, Config, JsonForm, Level, Output, Pipeline, TimeForm, crit, debug, error, info,
    trace, warn,
};
use proptest::prelude::*;
use serde_json::Value;

use crate::{Written, sample_time};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// Returns a pipeline, with its output in the default form and in another one.
fn both(form: JsonForm) -> (Pipeline, Written, Written) {
    let (ours, theirs) = (Written::default(), Written::default());
    let config = Config::new()
        .stdout(false)
        .service_name("api")
        .clock(sample_time)
        .call_site(true)
        .output(Output::writer(ours.clone()).json(true))
        .output(Output::writer(theirs.clone()).json_form(form));
    (Pipeline::new(config).unwrap(), ours, theirs)
}

fn presets() -> [(&'static str, JsonForm); 3] {
    [
        ("ecs", JsonForm::ecs()),
        ("gcp", JsonForm::gcp().project("my-project")),
        ("datadog", JsonForm::datadog()),
    ]
}

/// Returns a line in this form, without the line number of its call.
fn line_of(form: JsonForm) -> String {
    let (pipeline, _, theirs) = both(form);
    let log = pipeline.logger("db").bind("request_id", "req-1");
    let cause = std::io::Error::other("disk full");
    error!(
        log,
        "save_failed",
        trace_id = TRACE,
        error = &cause,
        error_type = "io",
        rows = 3
    );
    let line = theirs.last();
    let (before, behind) = line.rsplit_once(&line_number(&line)).unwrap();
    format!("{before}N{behind}")
}

fn line_number(line: &str) -> String {
    let line = StoredLine::parse(line).unwrap();
    let location = line.field("location").unwrap();
    location.rsplit(':').next().unwrap().to_owned()
}

#[test]
fn each_preset_has_the_names_of_its_vendor() {
    let file = file!();
    assert_eq!(
        line_of(JsonForm::ecs()),
        format!(
            "{{\"@timestamp\":\"2025-01-15T10:30:00.123Z\",\"log.level\":\"error\",\"message\":\"save_failed\",\
             \"ecs.version\":\"8.11.0\",\"service.name\":\"api\",\"log.logger\":\"db\",\"http.request.id\":\"req-1\",\
             \"trace.id\":\"{TRACE}\",\"error.message\":\"disk full\",\"error.type\":\"io\",\"rows\":3,\
             \"log.origin.file.name\":\"{file}\",\"log.origin.file.line\":N}}\n"
        )
    );
    assert_eq!(
        line_of(JsonForm::gcp().project("my-project")),
        format!(
            "{{\"time\":\"2025-01-15T10:30:00.123Z\",\"severity\":\"ERROR\",\"message\":\"save_failed\",\
             \"serviceContext\":{{\"service\":\"api\"}},\"logger\":\"db\",\"request_id\":\"req-1\",\
             \"logging.googleapis.com/trace\":\"projects/my-project/traces/{TRACE}\",\"error\":\"disk full\",\
             \"error_type\":\"io\",\"rows\":3,\
             \"logging.googleapis.com/sourceLocation\":{{\"file\":\"{file}\",\"line\":\"N\"}}}}\n"
        )
    );
    assert_eq!(
        line_of(JsonForm::datadog()),
        format!(
            "{{\"timestamp\":\"2025-01-15T10:30:00.123Z\",\"status\":\"error\",\"message\":\"save_failed\",\
             \"service\":\"api\",\"logger.name\":\"db\",\"http.request_id\":\"req-1\",\"trace_id\":\"{TRACE}\",\
             \"error.message\":\"disk full\",\"error.kind\":\"io\",\"rows\":3,\"location\":\"{file}:N\"}}\n"
        )
    );
    assert!(line_of(JsonForm::gcp()).contains(&format!("/trace\":\"{TRACE}\"")));
}

#[test]
fn the_levels_have_the_names_of_the_vendor() {
    for (name, form) in presets() {
        let theirs = Written::default();
        let config = Config::new().stdout(false).level(Level::Trace);
        let output = Output::writer(theirs.clone()).json_form(form);
        let pipeline = Pipeline::new(config.output(output)).unwrap();
        let log = pipeline.root();
        trace!(log, "x");
        debug!(log, "x");
        info!(log, "x");
        warn!(log, "x");
        error!(log, "x");
        crit!(log, "x");
        let key = match name {
            "ecs" => "log.level",
            "gcp" => "severity",
            _ => "status",
        };
        let lines = theirs.lines();
        let level = |line: &String| serde_json::from_str::<Value>(line).unwrap()[key].clone();
        let levels: Vec<_> = lines.iter().map(level).collect();
        let expected = match name {
            "gcp" => ["DEBUG", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"],
            _ => ["trace", "debug", "info", "warning", "error", "critical"],
        };
        assert_eq!(levels, expected, "{name}");
    }
}

#[test]
fn access_lines_never_use_keys_with_another_vendor_meaning() {
    let (pipeline, _, theirs) = both(JsonForm::datadog());
    let log = pipeline.root();
    info!(
        log,
        "request_completed",
        method = "GET",
        path = "/a",
        status = 500_u16
    );
    let line: Value = serde_json::from_str(&theirs.last()).unwrap();
    assert_eq!(line["status"], "info", "the status of a log, not of HTTP");
    assert_eq!(line["http.status_code"], 500);
    assert_eq!(
        (&line["http.method"], &line["http.url_details.path"]),
        (&"GET".into(), &"/a".into())
    );
    info!(
        log,
        "order_changed",
        status = "paid",
        date = "today",
        level = "x"
    );
    let line: Value = serde_json::from_str(&theirs.last()).unwrap();
    assert_eq!(
        (&line["status"], &line["status_"]),
        (&"info".into(), &"paid".into())
    );
    assert_eq!(
        (&line["date"], &line["date_"]),
        (&Value::Null, &"today".into())
    );
    let (pipeline, _, theirs) = both(JsonForm::ecs());
    info!(
        pipeline.root(),
        "order_changed",
        status = "paid",
        service = "billing"
    );
    let line: Value = serde_json::from_str(&theirs.last()).unwrap();
    assert_eq!(
        (&line["status"], &line["service_"]),
        (&"paid".into(), &"billing".into())
    );
}

#[test]
fn a_preset_line_is_read_back_as_the_default_line() {
    for (name, form) in presets() {
        let (pipeline, ours, theirs) = both(form);
        let log = pipeline.logger("db");
        let cause = std::io::Error::other("disk full");
        error!(
            log,
            "save_failed",
            trace_id = TRACE,
            request_id = "req-1",
            error = &cause
        );
        info!(
            log,
            "request_completed",
            method = "GET",
            path = "/a",
            status = 404_u16
        );
        warn!(
            log,
            "odd \"text\"\n",
            message = "m",
            service = "s",
            status = "x",
            severity = 1,
            time = "t"
        );
        for (ours, theirs) in ours.lines().iter().zip(theirs.lines()) {
            let read = StoredLine::parse(&theirs).unwrap();
            assert_eq!(
                read.to_string(),
                StoredLine::parse(ours).unwrap().to_string(),
                "{name}"
            );
            assert!(Selection::new().level(Level::Info).matches(&read));
        }
        let first = StoredLine::parse(&theirs.lines()[0]).unwrap();
        let selection = Selection::new()
            .field("trace_id", TRACE)
            .field("request_id", "req-1");
        assert!(selection.since(sample_time()).matches(&first), "{name}");
        // recent lines, and so the admin page, have the default names for all outputs
        let recent = pipeline.recent(3).concat();
        assert!(recent.contains("\"event\":\"save_failed\"") && recent.contains(TRACE));
    }
}

#[test]
fn keys_and_time_can_be_ones_own() {
    let form = |time| {
        JsonForm::new()
            .timestamp_key("ts")
            .level_key("lvl")
            .logger_key("name")
            .event_key("msg")
            .time(time)
    };
    for (time, instant) in [
        (TimeForm::Rfc3339, "\"2025-01-15T10:30:00.123Z\""),
        (TimeForm::UnixMillis, "1736937000123"),
        (TimeForm::UnixSeconds, "1736937000.123"),
    ] {
        let (pipeline, ours, theirs) = both(form(time));
        info!(
            pipeline.logger("db"),
            "saved",
            rows = 3,
            msg = "taken",
            event = "x"
        );
        let start = format!(
            "{{\"ts\":{instant},\"lvl\":\"info\",\"name\":\"db\",\"msg\":\"saved\",\"rows\":3,\"msg_\":\"taken\",\"event_\":\"x\","
        );
        assert!(theirs.last().starts_with(&start), "{}", theirs.last());
        let read = StoredLine::parse_with(&theirs.last(), &form(time)).unwrap();
        let expected = StoredLine::parse(&ours.last()).unwrap();
        assert_eq!(read.to_string(), expected.to_string());
        assert_eq!(read.timestamp(), "2025-01-15T10:30:00.123Z");
    }
    let twice = JsonForm::new().level_key("event");
    let error = Pipeline::new(Config::new().stdout(false).json_form(twice)).unwrap_err();
    assert!(
        error.to_string().contains("duplicate key \"event\""),
        "{error}"
    );
    for (form, key) in [
        (JsonForm::datadog().logger_key("service"), "service"),
        (JsonForm::ecs().event_key("error.message"), "error.message"),
        (JsonForm::ecs().timestamp_key("ecs.version"), "ecs.version"),
    ] {
        let config = Config::new().stdout(false).json_form(form);
        let error = Pipeline::new(config).unwrap_err().to_string();
        let reported = format!("duplicate key {key:?}");
        assert!(error.contains(&reported), "{error}");
    }
    // a key with another meaning for the vendor may be intended
    let meant = Config::new()
        .stdout(false)
        .json_form(JsonForm::datadog().level_key("level"));
    assert!(Pipeline::new(meant).is_ok());
}

#[test]
fn a_field_that_means_something_else_to_the_vendor_has_another_name() {
    for (form, names) in [
        (
            JsonForm::ecs(),
            ["user", "host", "client", "file", "labels"],
        ),
        (
            JsonForm::datadog(),
            ["host", "hostname", "msg", "ddsource", "log"],
        ),
    ] {
        let (pipeline, ours, theirs) = both(form.clone());
        let log = names
            .into_iter()
            .fold(pipeline.root(), |log, name| log.bind(name, "x"));
        info!(log, "saved");
        for name in names {
            let renamed = format!(r#","{name}_":"x""#);
            assert!(theirs.last().contains(&renamed), "{}", theirs.last());
        }
        let read = StoredLine::parse_with(&theirs.last(), &form).unwrap();
        let expected = StoredLine::parse(&ours.last()).unwrap();
        assert_eq!(read.to_string(), expected.to_string());
    }
}

#[test]
fn files_have_the_form_of_the_configuration_and_writers_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.log");
    let writer = Written::default();
    let yaml = format!("format: ecs\nstdout: false\nfile: {}\n", path.display());
    let config: Config = serde_yaml::from_str(&yaml).unwrap();
    let config = config.output(Output::writer(writer.clone()).json(true));
    let pipeline = Pipeline::new(config).unwrap();
    info!(pipeline.root(), "started");
    let written = std::fs::read_to_string(path).unwrap();
    assert!(written.starts_with("{\"@timestamp\":"), "{written}");
    assert!(writer.last().starts_with("{\"timestamp\":"));
    assert!(
        "elastic"
            .parse::<JsonForm>()
            .unwrap_err()
            .to_string()
            .contains("expected json, ecs")
    );
}

#[test]
fn the_call_site_is_written_by_switch_and_ones_own_location_stays() {
    let (pipeline, ours, _) = both(JsonForm::new());
    info!(pipeline.root(), "started");
    let line = line!() - 1;
    let expected = format!("{}:{line}", file!());
    let read = StoredLine::parse(&ours.last()).unwrap();
    assert_eq!(read.field("location"), Some(expected));
    info!(pipeline.root(), "started", location = "Berlin");
    let read = StoredLine::parse(&ours.last()).unwrap();
    assert_eq!(read.field("location").as_deref(), Some("Berlin"));
    let (pipeline, written) = crate::json();
    info!(pipeline.root(), "started");
    assert_eq!(
        crate::rest(&written.last()),
        "}",
        "off unless it is switched on"
    );
}

#[test]
fn a_notice_about_an_output_has_its_form_too() {
    struct Full(bool);
    impl std::io::Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            if std::mem::replace(&mut self.0, false) {
                return Err(std::io::Error::other("full"));
            }
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let other = Written::default();
    let config = Config::new()
        .stdout(false)
        .output(Output::writer(Full(true)).json(true))
        .output(Output::writer(other.clone()).json_form(JsonForm::gcp()));
    let pipeline = Pipeline::new(config).unwrap();
    info!(pipeline.root(), "started");
    let notice = other
        .lines()
        .into_iter()
        .find(|line| line.contains("log_output_failed"));
    let notice: Value = serde_json::from_str(&notice.unwrap()).unwrap();
    assert_eq!(
        (&notice["severity"], &notice["message"]),
        (&"WARNING".into(), &"log_output_failed".into())
    );
}

#[derive(Debug)]
struct Traced(std::backtrace::Backtrace);

impl std::fmt::Display for Traced {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("save failed")
    }
}

impl std::error::Error for Traced {}

impl Backtraced for Traced {
    fn backtrace(&self) -> Option<&std::backtrace::Backtrace> {
        Some(&self.0)
    }
}

#[test]
fn an_error_with_a_backtrace_is_written_with_it() {
    let (pipeline, ours, theirs) = both(JsonForm::ecs());
    let log = pipeline.root();
    let traced = Traced(std::backtrace::Backtrace::force_capture());
    error!(log, "not_saved", error = &traced, rows = 3);
    let line: BTreeMap<String, Value> = serde_json::from_str(&ours.last()).unwrap();
    assert_eq!(
        (&line["error"], &line["rows"]),
        (&"save failed".into(), &3.into())
    );
    assert!(
        line["backtrace"]
            .as_str()
            .unwrap()
            .contains("an_error_with_a_backtrace")
    );
    let line: Value = serde_json::from_str(&theirs.last()).unwrap();
    assert_eq!(line["error.message"], "save failed");
    assert!(
        line["error.stack_trace"]
            .as_str()
            .unwrap()
            .contains("an_error_with_a_backtrace")
    );
    let untraced = Traced(std::backtrace::Backtrace::disabled());
    error!(log, "not_saved", error = &untraced);
    assert!(!ours.last().contains("backtrace"));
    error!(log, "not_saved", where_from = &traced.0);
    assert!(ours.last().contains("\"where_from\":\""));
}

#[test]
fn an_error_of_anyhow_is_written_with_its_causes_and_its_backtrace() {
    let (pipeline, ours, _) = both(JsonForm::new());
    let error = anyhow::Error::from(std::io::Error::other("disk full")).context("not saved");
    error!(pipeline.root(), "failed", error = &error);
    assert!(ours.last().contains("\"error\":\"not saved: disk full\""));
    let is_captured = error.backtrace().status() == std::backtrace::BacktraceStatus::Captured;
    assert_eq!(ours.last().contains("\"backtrace\":\""), is_captured);
}

/// Keys with a meaning in some form, and keys without.
const KEYS: [&str; 24] = [
    "a",
    "message",
    "status",
    "status_",
    "severity",
    "level",
    "time",
    "error",
    "error.message",
    "error.kind",
    "error_type",
    "trace_id",
    "trace.id",
    "service",
    "service.name",
    "logger.name",
    "log",
    "ecs.version",
    "location",
    "http.request.id",
    "request_id",
    "@timestamp",
    "date",
    "é\"\n",
];

/// Lines of other programs have file and line in any order, or only one of them.
#[test]
fn a_call_site_is_read_even_if_it_is_incomplete() {
    let head = r#""@timestamp":"2025-01-15T10:30:00.123Z","log.level":"info","message":"m","ecs.version":"8.11.0""#;
    let (file, number) = (
        r#""log.origin.file.name":"a.rs""#,
        r#""log.origin.file.line":12"#,
    );
    for (place, expected) in [
        (format!("{file},{number}"), "a.rs:12"),
        (format!(r#"{number},"a":1,{file}"#), "a.rs:12"),
        (file.to_owned(), "a.rs"),
        (number.to_owned(), "12"),
    ] {
        let line = StoredLine::parse(&format!("{{{head},{place}}}")).unwrap();
        assert_eq!(line.field("location").as_deref(), Some(expected), "{place}");
    }
}

/// A caller's field is not a call site, unless it looks like one.
#[test]
fn a_field_that_is_named_location_is_one_json_value() {
    for (name, form) in presets() {
        for text in [
            ":00",
            "a:07",
            "a:",
            ":",
            "a:+1",
            "a:99999999999999999999",
            "a:0",
            "a.rs:7",
        ] {
            let (pipeline, _, theirs) = both(form.clone());
            let fields = [("location", ops_log::Value::from(text))];
            pipeline.root().log(Level::Info, "saved", &fields);
            let line: Value = serde_json::from_str(&theirs.last()).unwrap();
            let file = text.rsplit_once(':').unwrap().0;
            let reported = line.to_string();
            assert!(
                reported.contains(text) || (!file.is_empty() && reported.contains(file)),
                "{name}: {reported}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_fields_make_one_json_object_without_a_key_twice(
        fields in prop::collection::vec((0..KEYS.len(), "[a-z\"\\\\:0-9é\n]{0,9}", any::<bool>()), 0..12),
        event in prop::sample::select(vec!["saved", "request_completed", "x\"y"]),
    ) {
        for (name, form) in presets() {
            let (pipeline, ours, theirs) = both(form);
            let fields: Vec<_> = fields.iter().map(|(key, text, is_text)| {
                let value = if *is_text { text.as_str().into() } else { ops_log::Value::from(text.len() as u64) };
                (KEYS[*key], value)
            }).collect();
            pipeline.root().log(Level::Info, event, &fields);
            let line = theirs.last();
            prop_assert_eq!(line.matches('\n').count(), 1);
            let line: Members = serde_json::from_str(&line).unwrap();
            let ours: Members = serde_json::from_str(&ours.last()).unwrap();
            let mut keys: Vec<_> = line.0.iter().map(|(key, _)| key.clone()).collect();
            keys.sort();
            let count = keys.len();
            keys.dedup();
            prop_assert_eq!(keys.len(), count, "{}: {:?}", name, line.0);
            // no value is lost
            for (_, value) in ours.0.iter().skip(4).filter(|(_, value)| value.as_str().is_some_and(|text| !text.contains(':'))) {
                let kept = line.0.iter().any(|(_, other)| other == value || other.as_str().is_some_and(|text| text.ends_with(value.as_str().unwrap())));
                prop_assert!(kept, "{}: {} in {:?}", name, value, line.0);
            }
        }
    }
}

struct Members(Vec<(String, Value)>);

impl<'de> serde::Deserialize<'de> for Members {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> serde::de::Visitor<'de> for All {
            type Value = Members;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(All)
    }
}
