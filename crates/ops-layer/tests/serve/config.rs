//! One file for all parts, named by `OPS_CONFIG`.

use rustix::process::Signal;

use crate::client::{get, request};
use crate::process::Start;

/// Creates a file, and a service that reads it.
fn with(text: &str) -> (tempfile::NamedTempFile, Start) {
    let file = tempfile::Builder::new()
        .prefix("ops")
        .suffix(".yaml")
        .tempfile()
        .unwrap();
    std::fs::write(file.path(), text).unwrap();
    let start = Start::new("serve").env("OPS_CONFIG", file.path().to_str().unwrap());
    (file, start)
}

#[test]
fn an_unknown_key_is_refused_with_file_line_and_the_keys_that_are_known() {
    for (text, line, key, known) in [
        (
            "log:\n  level: info\n  shade: on\n",
            3,
            "shade",
            "`console_context`",
        ),
        (
            "trace:\n  sampling: 0.1\n",
            2,
            "sampling",
            "`sampling_ratio`",
        ),
        ("metrics:\n  max: 5\n", 2, "max", "`series_max`"),
        ("secrets:\n  file: a.yaml\n", 2, "file", "`catalog`"),
        #[cfg(feature = "cache")]
        ("cache:\n  max_size_mb: 5\n", 2, "max_size_mb", "`file`"),
        ("\nlogs: {}\n", 2, "logs", "`log`"),
        ("logs: {}\n", 1, "logs", "`log`"),
        ("{\"logs\": {}}", 1, "logs", "`log`"),
    ] {
        let (file, start) = with(text);
        let reason = start.refused();
        assert!(reason.contains(file.path().to_str().unwrap()), "{reason}");
        assert!(
            reason.contains(&format!("unknown field `{key}`")),
            "{reason}"
        );
        assert!(reason.contains(&format!("line {line}")), "{reason}");
        assert!(reason.contains(known), "{reason}");
    }
    let (_file, start) = with("log: { level: loud }\n");
    let reason = start.refused();
    assert!(
        reason.contains("loud") && reason.contains("line 1"),
        "{reason}"
    );
    let (_file, start) = with("log: {}\ntrace:\n  keep_slow: true\n  sampling_ratio: -1\n");
    let reason = start.refused();
    let expected = "trace.sampling_ratio: sampling ratio -1 is not a number from 0 to 1 at line 4";
    assert!(reason.contains(expected), "{reason}");
    for (text, key, line) in [
        (
            "metrics:\n  created_samples: true\n  series_max: 0\n",
            "metrics.series_max",
            3,
        ),
        (
            "log:\n  level: info\n\n  sample_traces: 2\n",
            "log.sample_traces",
            4,
        ),
        #[cfg(feature = "secrets")]
        (
            "secrets:\n  aws: off\n  ttl_seconds: 0\n",
            "secrets.ttl_seconds",
            3,
        ),
    ] {
        let (file, start) = with(text);
        let reason = start.refused();
        for part in [
            file.path().to_str().unwrap(),
            key,
            &format!(" at line {line} "),
        ] {
            assert!(reason.contains(part), "{part}: {reason}");
        }
    }
    let (_file, start) = with("log: {}\ntrace: {}\n\nlog:\n  level: debug\n");
    let reason = start.refused();
    assert!(reason.contains("line 4: duplicate field `log`"), "{reason}");
    // the error concerns no line
    let (_file, start) = with("log: {}\n---\ntrace: {}\n");
    let reason = start.refused();
    assert!(reason.contains("more than one document"), "{reason}");
    assert!(!reason.contains("line 1"), "{reason}");
    let missing = Start::new("serve").env("OPS_CONFIG", "nowhere/ops.yaml");
    let reason = missing.refused();
    assert!(
        reason.contains("OPS_CONFIG: cannot read nowhere/ops.yaml"),
        "{reason}"
    );
}

#[test]
fn the_file_is_below_the_environment_and_that_below_the_program() {
    let text = "log: { level: error }\n";
    let (_file, start) = with(text);
    let (status, log) = start.serve().stop();
    assert!(status.success());
    assert_eq!(log, "", "only errors are written");

    let (_file, start) = with(text);
    let (_, log) = start.env("OPS_LOG_LEVEL", "info").serve().stop();
    assert!(log.contains("listening"), "{log}");

    let (_file, start) = with(text);
    let (_, log) = start.env("LOG_IN_CODE", "1").serve().stop();
    assert!(log.contains("listening"), "{log}");
    let mut lines = log.lines();
    let ignored = lines.find(|line| line.contains("config_section_ignored"));
    assert!(ignored.unwrap().contains(r#""section":"log""#), "{log}");
}

#[test]
fn traces_and_metrics_are_configured_by_the_file_unless_the_environment_says_otherwise() {
    let text = "trace: { sampling_ratio: 0 }\nmetrics: { series_max: 1 }\n";
    let flushed = |start: Start| {
        let service = start.serve();
        assert_eq!(get(service.api, "/hello").status, 200);
        assert_eq!(get(service.api, "/slow").status, 200);
        let metrics = get(service.api, "/metrics").body;
        let (_, log) = service.stop();
        let mut lines = log.lines();
        let line = lines.find(|line| line.contains("spans_flushed")).unwrap();
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        (metrics, line["dropped"].as_u64().unwrap())
    };
    let (_file, start) = with(text);
    let (metrics, spans) = flushed(start);
    // nothing listens at the collector's address in these tests: each sampled span is dropped
    assert_eq!(spans, 0);
    assert!(
        metrics.contains("http_requests_total{route=\"other\""),
        "{metrics}"
    );
    let (_file, start) = with(text);
    let start = start.env("OTEL_TRACES_SAMPLER", "always_on");
    let (_, spans) = flushed(start);
    assert_eq!(spans, 2);
}

#[test]
#[cfg(all(feature = "cache", feature = "secrets"))]
fn the_file_points_to_the_files_of_secrets_and_cache() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let pointing = format!(
        "secrets: {{ catalog: {} }}\ncache: {{ file: {}, dir: {} }}\n",
        at("secrets.yaml"),
        at("cache.yaml"),
        at("entries"),
    );
    let (_file, start) = with(&pointing);
    let reason = start.refused();
    assert!(
        reason.contains("cache.file: cannot read ") && reason.contains("cache.yaml"),
        "{reason}"
    );

    let right = "query_cache:\n  max_size_mb: 5\n";
    std::fs::write(at("cache.yaml"), right).unwrap();
    let (_file, start) = with(&pointing);
    let reason = start.refused();
    assert!(reason.contains("cannot start secrets"), "{reason}");

    std::fs::write(at("secrets.yaml"), "secrets: {}\n").unwrap();
    std::fs::write(at("cache.yaml"), "query_cache:\n  max_size: 5\n").unwrap();
    let (_file, start) = with(&pointing);
    let reason = start.refused();
    assert!(
        reason.contains("cache.yaml") && reason.contains("max_size"),
        "{reason}"
    );

    std::fs::write(at("cache.yaml"), right).unwrap();
    let (_file, start) = with(&pointing);
    let service = start.serve();
    assert_eq!(get(service.api, "/hello").status, 200);
    assert!(folder.path().join("entries").is_dir());
    assert!(service.stop().0.success());
}

#[test]
#[cfg(feature = "cache")]
fn a_blank_directory_counts_as_unset() {
    for (variable, text) in [
        (" ", ""),
        ("\r", "cache: { dir: ' ' }"),
        ("", "cache: { dir: '' }"),
    ] {
        let (_file, start) = with(text);
        let service = start.env("OPS_CACHE_DIR", variable).serve();
        assert!(service.has("data/cache"), "{variable:?} {text}");
        assert!(
            !service.has(" ") && !service.has("\r"),
            "{variable:?} {text}"
        );
        assert!(service.stop().0.success());
    }
}

#[test]
fn baggage_under_the_keys_that_are_named_is_on_the_lines_of_a_request_and_of_its_handler() {
    let (_file, start) = with("trace: { baggage_fields: [tenant, password] }\n");
    let service = start
        .env("OTEL_PROPAGATORS", "tracecontext,baggage")
        .env("OTEL_TRACES_EXPORTER", "none")
        .serve();
    let baggage = "baggage: tenant=acme%20%221%22,password=hunter2,other=no\r\n";
    let panics = request(service.api, "GET", "/panic", baggage, b"");
    assert_eq!(panics.status, 500);
    let (_, log) = service.stop();
    let lines: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &serde_json::Value| !line["request_id"].is_null())
        .collect();
    // the panic of the handler, and the access line
    assert_eq!(lines.len(), 2, "{log}");
    for line in &lines {
        assert_eq!(line["tenant"], "acme \"1\"");
        assert!(
            line["password"].is_string() && line["other"].is_null(),
            "{line}"
        );
    }
    assert!(!log.contains("hunter2"), "{log}");
}

#[test]
fn a_switch_that_is_neither_true_nor_false_is_refused_with_what_is_accepted() {
    let logged = |value: &str| {
        let service = Start::new("serve")
            .env("OPS_METRICS_SEMANTIC_NAMES", value)
            .serve();
        service.signal(Signal::TERM);
        let (status, log) = service.ended();
        assert!(status.success(), "{status}: {log}");
        let lines = log.lines().filter(|line| line.contains("variable_refused"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let refused = logged("yes");
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(refused[0].contains("OPS_METRICS_SEMANTIC_NAMES"));
    assert!(refused[0].contains("true, false"), "{refused:?}");
    for right in ["FALSE", " ", "true\r"] {
        assert_eq!(logged(right), [""; 0], "{right:?}");
    }
}

#[test]
fn a_file_that_is_no_mapping_is_refused_with_what_it_is_to_be() {
    for text in ["null\n", "- log\n", "log\n"] {
        let (_file, start) = with(text);
        let reason = start.refused();
        assert!(
            reason.contains("is not a mapping with the sections log, trace"),
            "{reason}"
        );
    }
}

#[test]
fn a_section_that_is_no_mapping_is_refused_with_its_keys() {
    for (text, line, keys) in [
        ("log: debug\n", 1, "level, file and"),
        ("trace: off\n", 1, "endpoint, sampling_ratio and"),
        ("metrics: [1]\n", 1, "series_max and"),
        ("log: {}\nsecrets: secrets.yaml\n", 2, "catalog and"),
        #[cfg(feature = "cache")]
        ("cache: data/cache\n", 1, "file and dir"),
        #[cfg(feature = "black-box")]
        ("black_box: off\n", 1, "file and bytes"),
        #[cfg(feature = "history")]
        ("history: /var/lib/history\n", 1, "dir, bytes and hours"),
    ] {
        let (_file, start) = with(text);
        let reason = start.refused();
        assert!(reason.contains(&format!("expected {keys}")), "{reason}");
        assert!(reason.contains(&format!("line {line}")), "{reason}");
    }
    let (_file, start) = with("log\n  level: info\n");
    let reason = start.refused();
    let keys = "expected a mapping with the sections log, trace";
    assert!(reason.contains(keys), "{reason}");
}

#[test]
fn a_file_that_is_no_utf8_is_refused_with_the_line() {
    let (file, start) = with("");
    std::fs::write(file.path(), b"log: {}\n# caf\xe9\n").unwrap();
    let reason = start.refused();
    assert!(reason.contains(": line 2 is not valid UTF-8"), "{reason}");
    assert!(reason.contains(file.path().to_str().unwrap()), "{reason}");
}

#[test]
fn an_empty_section_counts_as_unset() {
    let sections = ["log", "trace", "metrics", "secrets", "cache", "black_box"];
    for nothing in ["", " ~", " null"] {
        let text = sections.map(|section| format!("{section}:{nothing}\n"));
        let (_file, start) = with(&text.concat());
        assert!(start.serve().stop().0.success(), "{nothing:?}");
    }
}

#[test]
fn a_file_of_comments_alone_is_none_also_with_the_mark_of_an_editor_before_them() {
    for text in ["", "# log: {}\n", "\u{feff}# log: {}\r\n"] {
        let (_file, start) = with(text);
        assert!(start.serve().stop().0.success(), "{text:?}");
    }
}

#[test]
#[cfg(feature = "secrets")]
fn a_catalog_of_the_file_that_the_program_overrules_is_reported() {
    let (_file, start) = with("secrets: { catalog: nowhere.yaml }\n");
    let service = start.env("SECRETS_IN_CODE", "1").serve();
    let (status, log) = service.stop();
    assert!(status.success(), "{status}");
    let ignored = log
        .lines()
        .find(|line| line.contains("config_section_ignored"));
    let ignored: serde_json::Value = serde_json::from_str(ignored.unwrap()).unwrap();
    assert_eq!(ignored["section"], "secrets: catalog");
}

#[test]
#[cfg(not(any(feature = "black-box", feature = "cache", feature = "history")))]
fn settings_of_a_part_that_is_left_out_are_reported() {
    for (text, section, feature) in [
        (
            "log: {}\nblack_box: { file: b }\n",
            "black_box",
            "black-box",
        ),
        ("cache: { dir: c }\n", "cache", "cache"),
        ("history: { dir: h }\n", "history", "history"),
    ] {
        let (_file, start) = with(text);
        let reason = start.refused();
        let expected = format!("{section}: this program is built without the feature `{feature}`");
        assert!(reason.contains(&expected), "{reason}");
    }
    let (_file, start) = with("history:\n");
    let start = start.env("OPS_HISTORY_DIR", "h").env("OPS_CACHE_DIR", "c");
    let (status, log) = start.env("OPS_BLACK_BOX", "off").serve().stop();
    assert!(status.success(), "{status}");
    let lines = log.lines().filter(|line| line.contains("variable_ignored"));
    let lines = lines.map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let ignored: Vec<_> = lines.map(|line| line["variable"].clone()).collect();
    assert_eq!(ignored, ["OPS_HISTORY_DIR", "OPS_CACHE_DIR"]);
}

#[test]
fn a_name_of_the_service_in_the_file_is_ignored_with_a_line() {
    let (_file, start) = with("log: { service_name: a }\ntrace: { service_name: b }\n");
    let (status, log) = start.serve().stop();
    assert!(status.success(), "{status}");
    let lines = log
        .lines()
        .filter(|line| line.contains("config_section_ignored"));
    let lines = lines.map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let sections: Vec<_> = lines.map(|line| line["section"].clone()).collect();
    assert_eq!(sections, ["log: service_name", "trace: service_name"]);
}

#[test]
#[cfg(feature = "secrets")]
fn a_wrong_catalog_names_the_part_and_the_place_once() {
    let catalog = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    std::fs::write(catalog.path(), "secrets:\n  a:\n    envvar: A\n").unwrap();
    let path = catalog.path().to_str().unwrap();
    let start = Start::new("serve").env("OPS_SECRETS_FILE", path);
    let reason = start.refused();
    assert!(reason.contains("cannot start secrets: "), "{reason}");
    for once in [path, "envvar", "line 3"] {
        assert_eq!(reason.matches(once).count(), 1, "{once}: {reason}");
    }
}

#[test]
fn a_second_init_is_refused_and_what_runs_goes_on_as_it_was() {
    let (status, logged) = Start::new("twice").output();
    assert!(status.success(), "{logged}");
    let reason = logged.lines().find(|line| line.starts_with("refused "));
    assert!(
        reason.is_some_and(|reason| reason.contains("already started in this process")),
        "{logged}"
    );
    let still = logged
        .lines()
        .find(|line| line.contains("still_logging") && line.starts_with('{'));
    let still: serde_json::Value = serde_json::from_str(still.unwrap()).unwrap();
    assert_eq!(still["logger"], "child");
}

#[test]
fn addresses_take_letters_of_any_case_and_the_page_has_their_origin() {
    let service = Start::new("serve")
        .env("HOST", "LocalHost")
        .env("OPS_ADMIN_ADDR", "LOCALHOST:0")
        .env("OPS_CACHE_DIR", "entries")
        .env("OTEL_RESOURCE_ATTRIBUTES", "a=b, service.name=renamed")
        .serve();
    let state: serde_json::Value =
        serde_json::from_str(&get(service.admin, "/api/state").body).unwrap();
    let settings = state["configuration"].as_array().unwrap();
    let source = |name: &str| {
        let named = settings.iter().find(|setting| setting["name"] == name);
        named.unwrap_or_else(|| panic!("{name}: {state:#}"))["source"].clone()
    };
    assert_eq!(source("OPS_CACHE_DIR"), "environment");
    let grace = |setting: &&serde_json::Value| setting["name"] == "grace period";
    assert_eq!(settings.iter().find(grace).unwrap()["value"], "0s");
    if cfg!(feature = "trace") {
        assert_eq!(state["service"], "renamed");
        assert_eq!(
            source("service name"),
            "environment: OTEL_RESOURCE_ATTRIBUTES"
        );
    }
    let off = Start::new("serve").env("OPS_ADMIN_ADDR", "OFF").serve();
    assert_eq!(off.admin.port(), 0, "none");
    let wrong = Start::new("serve").env("HOST", "[::1").refused();
    assert!(wrong.contains("HOST"), "{wrong}");
}

#[test]
fn the_page_has_what_was_set_in_the_environment_and_no_header_of_an_exporter() {
    let set = [
        ("OPS_LOG_RATE_LIMIT", "10/s x 50"),
        ("OPS_LOG_LATE_LINES", "off"),
        ("OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "500"),
        ("OTEL_LOGS_EXPORTER", "none"),
        ("OTEL_METRICS_EXPORTER", "none"),
        ("OTEL_PROPAGATORS", "tracecontext,b3"),
        ("OTEL_BLRP_SCHEDULE_DELAY", "500"),
        ("OTEL_SPAN_EVENT_COUNT_LIMIT", "7"),
        ("AWS_ENDPOINT_URL_SSM", "http://127.0.0.1:1"),
        ("no_proxy", "localhost"),
        ("NO_PROXY", "another.example"),
    ];
    let start = Start::new("serve").env("OTEL_EXPORTER_OTLP_HEADERS", "authorization=hush");
    let start = set
        .iter()
        .fold(start, |start, (name, value)| start.env(name, value));
    let service = start.serve();
    let state = get(service.admin, "/api/state").body;
    assert!(!state.contains("hush"), "{state}");
    let state: serde_json::Value = serde_json::from_str(&state).unwrap();
    let settings = state["configuration"].as_array().unwrap();
    for (name, value) in set {
        let shown = settings.iter().find(|setting| setting["name"] == name);
        let shown = shown.unwrap_or_else(|| panic!("{name}: {state:#}"));
        assert_eq!(
            (&shown["value"], &shown["source"]),
            (&value.into(), &"environment".into())
        );
    }
}

#[test]
fn the_page_shows_urls_without_user_and_query() {
    for (name, value, shown) in [
        (
            "HTTPS_PROXY",
            "user:hush@proxy:3128",
            "[REDACTED]@proxy:3128",
        ),
        (
            "ALL_PROXY",
            "http://user:hu#sh@proxy:3128",
            "http://[REDACTED]",
        ),
        (
            "https_proxy",
            "http://user:hush@proxy:3128",
            "http://[REDACTED]@proxy:3128",
        ),
        (
            "AWS_ENDPOINT_URL",
            "http://127.0.0.1:1/?key=hush",
            "http://127.0.0.1:1/?[REDACTED]",
        ),
    ] {
        let service = Start::new("serve").env(name, value).serve();
        let state = get(service.admin, "/api/state").body;
        assert!(!state.contains("hush"), "{name}: {state}");
        let state: serde_json::Value = serde_json::from_str(&state).unwrap();
        let mut settings = state["configuration"].as_array().unwrap().iter();
        let setting = settings.find(|setting| setting["name"] == name);
        assert_eq!(setting.unwrap()["value"], shown);
    }
}

#[test]
#[cfg(feature = "secrets")]
fn the_page_says_that_code_has_the_catalog_of_secrets() {
    let service = Start::new("serve")
        .env("SECRETS_IN_CODE", "1")
        .env("OPS_SECRETS_FILE", "unused.yaml")
        .serve();
    let state = get(service.admin, "/api/state").body;
    let state: serde_json::Value = serde_json::from_str(&state).unwrap();
    let mut settings = state["configuration"].as_array().unwrap().iter();
    let file = settings.find(|setting| setting["name"] == "OPS_SECRETS_FILE");
    let file = file.unwrap();
    assert_eq!(file["source"], "environment, overridden by code");
    assert_eq!(file["value"], "embedded");
}

#[test]
#[cfg(all(feature = "log", feature = "trace", feature = "secrets"))]
fn the_page_has_what_holds_in_place_of_variables_that_code_overrules() {
    let set = [
        ("OPS_LOG_LEVEL", "error", Some("info")),
        ("OPS_LOG_FORMAT", "datadog", Some("gcp")),
        ("OPS_LOG_ROTATION", "1MiB x 2", None),
        ("RUST_LOG", "hyper=warning", None),
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio", None),
        ("OTEL_TRACES_SAMPLER_ARG", "0.75", Some("0.25")),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "http://127.0.0.1:1",
            Some("http://127.0.0.1:9/v1/traces"),
        ),
        ("OTEL_BSP_SCHEDULE_DELAY", "500", None),
        ("OPS_SECRETS_AWS", "Off", None),
        // other clients use it unchanged
        ("AWS_REGION", "us-east-1", None),
    ];
    let start = Start::new("serve").env("PARTS_IN_CODE", "1");
    shows_what_is_used(start, &set, "environment, overridden by code");
}

/// Variable, its value, and the value that is used instead.
#[cfg(feature = "trace")]
type Set = (&'static str, &'static str, Option<&'static str>);

/// Checks the page of a service with these variables.
#[cfg(feature = "trace")]
fn shows_what_is_used(start: Start, set: &[Set], source: &str) {
    let start = set
        .iter()
        .fold(start, |start, (name, asked, _)| start.env(name, asked));
    let service = start.serve();
    let state = get(service.admin, "/api/state").body;
    let state: serde_json::Value = serde_json::from_str(&state).unwrap();
    let settings = state["configuration"].as_array().unwrap();
    for (name, asked, used) in set {
        let shown = settings.iter().find(|setting| setting["name"] == *name);
        let shown = shown.unwrap_or_else(|| panic!("{name}: {state:#}"));
        let right = match used {
            Some(used) => (*used, source),
            None => (*asked, "environment"),
        };
        assert_eq!(
            (&shown["value"], &shown["source"]),
            (&right.0.into(), &right.1.into()),
            "{name}"
        );
    }
}

#[test]
#[cfg(feature = "trace")]
fn the_page_has_what_is_used_in_place_of_variables_that_cannot_be_used() {
    let set = [
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio", None),
        ("OTEL_TRACES_SAMPLER_ARG", "5", Some("1")),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "many", Some("2048")),
        ("OTEL_PROPAGATORS", "tracecontext", None),
        ("OTEL_SDK_DISABLED", "yes", Some("false")),
    ];
    shows_what_is_used(Start::new("serve"), &set, "environment, invalid");
}

#[test]
#[cfg(feature = "cache")]
fn the_page_says_that_code_configured_the_cache() {
    for (start, source) in [
        (Start::new("serve"), "default"),
        (Start::new("serve").env("CACHE_IN_CODE", "1"), "code"),
    ] {
        let service = start.serve();
        let state = get(service.admin, "/api/state").body;
        let state: serde_json::Value = serde_json::from_str(&state).unwrap();
        let mut settings = state["configuration"].as_array().unwrap().iter();
        let cache = settings.find(|setting| setting["name"] == "query cache");
        assert_eq!(cache.unwrap()["source"], source);
    }
}

#[test]
#[cfg(feature = "history")]
fn keys_of_a_section_that_code_leaves_open_are_not_said_to_be_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("kept");
    for (bytes, ignored) in [("", &[][..]), (", bytes: 2000000", &["history: bytes"])] {
        let text = format!("history: {{ dir: {}{bytes} }}\n", dir.display());
        let (_file, start) = with(&text);
        let (_, log) = start.env("HISTORY_BYTES_IN_CODE", "1").serve().stop();
        let lines = log
            .lines()
            .filter(|line| line.contains("config_section_ignored"));
        let lines = lines.map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let sections: Vec<_> = lines.map(|line| line["section"].clone()).collect();
        assert_eq!(sections, ignored, "{log}");
        assert!(dir.join("logs").is_dir(), "the file says where it is");
    }
}

#[test]
#[cfg(all(feature = "black-box", feature = "history"))]
fn out_of_range_numbers_in_the_file_are_refused_with_line_and_limit() {
    for (text, key, expected, line) in [
        (
            "history: { hours: 0 }\n",
            "history.hours: invalid value: integer `0`",
            "at least 1",
            1,
        ),
        (
            "history:\n  dir: off\n  bytes: 1000\n",
            "history.bytes: invalid value: integer `1000`",
            "at least 1048576",
            3,
        ),
        (
            "\nblack_box:\n  file: off\n  bytes: 10\n",
            "black_box.bytes: invalid value: integer `10`",
            "between 65536 and 268435456",
            4,
        ),
        (
            "black_box: { bytes: 99999999999 }\n",
            "black_box.bytes: invalid value: integer `99999999999`",
            "between 65536 and 268435456",
            1,
        ),
        (
            "black_box: { bytes: -1 }\n",
            "black_box.bytes: invalid type: integer `-1`",
            "between 65536 and 268435456",
            1,
        ),
    ] {
        let (_file, start) = with(text);
        let reason = start.refused();
        for part in [key, expected, &format!(" at line {line} ")] {
            assert!(reason.contains(part), "{part}: {reason}");
        }
    }
    let at_the_limits = "history: { hours: 1, bytes: 1048576 }\nblack_box: { bytes: 65536 }\n";
    let (_file, start) = with(at_the_limits);
    assert!(start.serve().stop().0.success());
}

#[test]
#[cfg(feature = "secrets")]
fn a_misspelled_variable_is_a_line_with_the_one_that_is_meant_and_one_of_the_program_is_none() {
    let catalog = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    let text = "secrets:\n  a: { env_var: OPS_GRACE_SECONDZ }\n";
    std::fs::write(catalog.path(), text).unwrap();
    let (_, log) = Start::new("serve")
        .env("OPS_SECRETS_FILE", catalog.path().to_str().unwrap())
        .env("OPS_GRACE_SECONDZ", "hush")
        .env("OPS_LOG_LEVLE", "hush")
        .env("OPS_SHUTDOWN_SECOND", "hush")
        .env("OPS_ENVS", "")
        .env("OPS_TEAM", "hush")
        .serve()
        .stop();
    let lines = log.lines().filter(|line| line.contains("variable_ignored"));
    let lines = lines.map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let mut logged: Vec<_> = lines
        .map(|line| (line["variable"].clone(), line["hint"].clone()))
        .collect();
    logged.sort_by_key(|(variable, _)| variable.to_string());
    let right = [
        ("OPS_LOG_LEVLE", "did you mean OPS_LOG_LEVEL?"),
        ("OPS_SHUTDOWN_SECOND", "did you mean OPS_SHUTDOWN_SECONDS?"),
    ];
    let right = right.map(|(variable, hint)| (variable.into(), hint.into()));
    assert_eq!(logged, right, "{log}");
    assert!(!log.contains("hush"), "{log}");
}

#[test]
#[cfg(all(feature = "black-box", feature = "history"))]
fn off_or_an_empty_place_in_the_file_is_none_as_it_is_in_the_environment() {
    let start = Start::new("serve").env("OPS_HISTORY_DIR", " ");
    let service = start.env("OPS_BLACK_BOX", "off\r").serve();
    for name in [" ", "off\r"] {
        assert!(!service.has(name), "{name:?}");
    }
    for place in ["''", "Off", "' off '", "' '"] {
        let of_both = [
            format!("history: {{ dir: {place} }}"),
            format!("black_box: {{ file: {place} }}"),
        ];
        for text in of_both {
            let (_file, start) = with(&text);
            let service = start.serve();
            for name in ["logs", "Off", " off ", " "] {
                assert!(!service.has(name), "{text}: {name}");
            }
            let (_, log) = service.stop();
            assert!(!log.contains("black_box_off"), "{log}");
        }
    }
}
