//! The files that `rules` generates: promtool accepts them, and
//! their test cases pass, and fail for changed rules and queries.

use std::process::Command;

use ops_metrics::{CATALOG, Family, Rules, Slo, rules};

use crate::cases::tested;
use crate::promtool::promtool;

ops_metrics::define! {
    /// Metrics of a shop.
    pub(crate) catalog SHOP;
    /// Jobs done.
    counter shop_jobs_total { queue: &'static str, outcome: &'static str = ["done", "failed", "lost", "skipped"] }
    /// Jobs whose result was wrong.
    counter shop_jobs_wrong_total { queue: &'static str }
    /// Time a job took.
    histogram shop_job_time = "shop_job_seconds" { queue: &'static str } buckets [0.1, 1.0, 10.0, 60.0]
    /// Jobs that wait.
    gauge shop_jobs_waiting { queue: &'static str = ["mail", "report"] }
    /// Bytes that were sent.
    counter shop_sent_bytes_total {}
    /// Time that workers were busy.
    seconds shop_busy_seconds_total {}
}

ops_metrics::slo! {
    /// Objectives of a shop.
    pub(crate) slos OBJECTIVES;
    /// Jobs succeed.
    JobsSucceed: 99.5 % of shop_jobs_total fails { outcome: "failed|lost" } and shop_jobs_wrong_total
        ignores { queue: "test.*|trial" }
        annotations {
            runbook_url: "https://example.com/jobs",
            dashboard_url: "https://example.com/d/jobs?job={{ $labels.job }}&from={{$labels.job}}",
        };
    /// Mails are sent
    MailsSent: 90.0 % of shop_jobs_total fails { outcome: "failed", queue: "mail" };
    /// Jobs are done within 10 s
    JobsQuick: 95.0 % of shop_job_time within 10.0 ignores { queue: "batch" };
}

fn shop() -> Rules {
    rules("shop", SHOP, OBJECTIVES).unwrap()
}

/// Writes the files of rules into a new directory, and returns it with the names of the test cases.
fn written(rules: &Rules) -> (tempfile::TempDir, Vec<String>) {
    let directory = tempfile::tempdir().unwrap();
    let files = rules.write_to(directory.path()).unwrap();
    let names = files
        .iter()
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned());
    let tests = names.filter(|name| name.contains(".tests_")).collect();
    (directory, tests)
}

/// Checks the rules of one objective, or of all with `OPS_TEST_FULL=1`.
#[test]
fn promtool_takes_the_rules_and_their_cases_pass() {
    let Some(promtool) = promtool() else { return };
    let full = std::env::var_os("OPS_TEST_FULL").is_some();
    let objectives = if full { OBJECTIVES } else { &OBJECTIVES[..1] };
    let of_shop = rules("shop", SHOP, objectives).unwrap();
    // the built-in catalog has no objectives
    for made in [of_shop, rules("built-in", CATALOG, &[]).unwrap()] {
        let (directory, tests) = written(&made);
        assert_eq!(tests.len(), 4);
        let rules = tests[0].replace(".tests_1m.", ".rules.");
        let checked = Command::new(&promtool)
            .current_dir(directory.path())
            .args(["check", "rules", &rules])
            .output()
            .unwrap();
        assert!(checked.status.success(), "{checked:?}");
        if let Err(logged) = tested(&promtool, directory.path(), &tests) {
            panic!("{logged}");
        }
    }
}

#[test]
fn each_query_of_the_dashboard_has_a_case() {
    let dashboard: serde_json::Value = serde_json::from_str(&shop().dashboard()).unwrap();
    let [(_, cases), ..] = &shop().tests("shop.rules.yml")[..] else {
        panic!("no cases");
    };
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels
        .iter()
        .filter_map(|panel| panel["targets"].as_array());
    let mut queries = 0;
    for target in targets.flatten() {
        let expr = target["expr"].as_str().unwrap();
        let expr = expr
            .replace("$__rate_interval", "5m")
            .replace("$job", "shop");
        let expr = expr.replace("$instance", "shop-.");
        assert!(cases.contains(&format!("abs(({expr}) / ")), "{expr}");
        queries += 1;
    }
    assert!(queries > 20, "{queries}");
}

ops_metrics::define! {
    /// Metrics of a spooler.
    catalog SPOOLER;
    /// Files that were sent.
    counter shop_files_total {
        folder: &'static str = ["C:\\spool", "the \"old\"\none"],
        outcome: &'static str = ["sent", "failed"],
    }
    /// Files that wait.
    gauge shop_files_waiting { folder: &'static str = ["C:\\spool", "the \"old\"\none"] }
}

ops_metrics::slo! {
    /// Objectives whose texts look like templates.
    slos OF_BRACES;
    /// {{name}} of {{ $labels.job }} and {{$labels.job}} are {{{ "sent" }}} {{
    BracesSent: 99.0 % of shop_files_total fails { outcome: "failed" };
}

#[test]
fn the_text_of_an_objective_is_no_template() {
    let made = rules("braces", &[], OF_BRACES).unwrap();
    let Some(promtool) = promtool() else { return };
    let (directory, tests) = written(&made);
    let text = std::fs::read_to_string(directory.path().join(&tests[0])).unwrap();
    let expanded = r#"{{name}} of shop and shop are {{{ "sent" }}} {{: the 30-day error budget"#;
    assert!(text.contains(expanded), "{text}");
    if let Err(logged) = tested(&promtool, directory.path(), &tests[..1]) {
        panic!("{logged}");
    }
}

#[test]
fn label_values_and_annotations_may_have_any_characters() {
    const STEPS: &str = "1. the folder is full: remove what's old\n2. restart";
    ops_metrics::slo! {
        /// Files.
        slos FILES;
        /// Files are sent
        FilesSent: 99.0 % of shop_files_total fails { outcome: "failed" }
            annotations { steps: "1. the folder is full: remove what's old\n2. restart" };
    }
    let made = rules("spooler", SPOOLER, FILES).unwrap();
    let read: serde_yaml::Value = serde_yaml::from_str(&made.rules()).unwrap();
    let all = read["groups"][0]["rules"].as_sequence().unwrap();
    let steps: Vec<_> = all
        .iter()
        .filter_map(|rule| rule["annotations"]["steps"].as_str())
        .collect();
    assert_eq!(steps, [STEPS; 4]);
    let Some(promtool) = promtool() else { return };
    let (directory, tests) = written(&made);
    if let Err(logged) = tested(&promtool, directory.path(), &tests[..1]) {
        panic!("{logged}");
    }
}

ops_metrics::define! {
    /// Metrics of calls to a peer.
    catalog PEER;
    /// Calls of the peer.
    counter peer_calls_total { error: &'static str = ["", "timeout"] }
    /// Calls that wait for the peer.
    gauge peer_calls_waiting { kind: &'static str = ["read"], region: &'static str = ["", "north"] }
}

#[test]
fn label_values_may_be_empty() {
    let made = rules("peer", PEER, &[]).unwrap();
    let Some(promtool) = promtool() else { return };
    let (directory, tests) = written(&made);
    if let Err(logged) = tested(&promtool, directory.path(), &tests) {
        panic!("{logged}");
    }
}

#[test]
fn what_cannot_be_found_is_refused_with_what_is_accepted() {
    ops_metrics::slo! {
        /// Labels.
        slos LABELS;
        /// No such label
        Label: 99.0 % of shop_jobs_total fails { status: "5.." };
        /// No such value
        Value: 99.0 % of shop_jobs_total fails { outcome: "faild" };
        /// No other value
        All: 99.0 % of shop_jobs_total fails { outcome: ".*" };
        /// A group
        Group: 99.0 % of shop_jobs_total fails { queue: "(a|b)" };
        /// No such bucket
        Bucket: 99.0 % of shop_job_time within 0.25;
        /// No histogram
        Histogram: 99.0 % of shop_jobs_waiting within 1.0;
        /// No counter
        Counter: 99.0 % of shop_jobs_waiting fails { queue: "mail" };
        /// The other counter has no such label
        Ignored: 99.0 % of shop_jobs_wrong_total fails { queue: "a" } and shop_sent_bytes_total ignores { queue: "b" };
        /// A label twice
        Twice: 99.0 % of shop_jobs_total fails { outcome: "failed", queue: "mail", outcome: "lost" };
        /// All events as failures
        Itself: 99.0 % of shop_jobs_total fails { outcome: "failed" } and shop_jobs_total;
    }
    for (slo, part) in LABELS.iter().zip([
        "shop_jobs_total has no label status; its labels are: queue, outcome",
        r#"its values are: ["done", "failed", "lost", "skipped"]"#,
        "matches every value of outcome",
        "expected values separated by |",
        "no bucket that ends at 0.25; expected one of [0.1, 1.0, 10.0, 60.0]",
        "shop_jobs_waiting is not a histogram",
        "shop_jobs_waiting is neither a counter nor a histogram",
        "shop_sent_bytes_total has no label queue",
        "the label outcome twice; expected one pattern",
        "shop_jobs_total is repeated after `and`",
    ]) {
        let error = rules("a", &[], std::slice::from_ref(slo))
            .unwrap_err()
            .to_string();
        assert!(error.contains(part), "{error}");
    }
    let twice = [OBJECTIVES[0], OBJECTIVES[0]];
    let error = |name: &str, slos: &[Slo]| {
        rules(name, &[] as &[fn() -> &'static Family], slos)
            .unwrap_err()
            .to_string()
    };
    assert!(error("a", &twice).contains("duplicate objective JobsSucceed"));
    assert!(error("../a", &[]).contains("characters of a-z, 0-9 and -"));
    // Grafana accepts no longer uid
    assert!(rules(&"a".repeat(40), &[], &[]).is_ok());
    assert!(error(&"a".repeat(41), &[]).contains("expected 1 to 40"));
}

#[test]
fn an_annotation_that_an_alert_would_have_twice_is_refused() {
    let fails = &[("outcome", "failed")];
    let check = |annotations| {
        let slo = Slo::new("Jobs", "Jobs succeed", 99.0, shop_jobs_total::family).fails(fails);
        std::panic::catch_unwind(|| slo.annotations(annotations).check().name())
            .map_err(|panic| *panic.downcast::<&str>().unwrap())
    };
    let own = "must not be named summary or description";
    for (annotations, refused) in [
        (&[("summary", "a")], own),
        (&[("a", "a"), ("description", "b")], own),
        (
            &[("a", "a"), ("b", "b"), ("a", "c")],
            "must not have an annotation twice",
        ),
    ] as [(&'static [_], _); 3]
    {
        let why = check(annotations).unwrap_err();
        assert!(why.contains(refused), "{why}");
    }
    let taken = check(&[("summary_url", "a"), ("descriptio", "b"), ("a", "c")]);
    assert_eq!(taken, Ok("Jobs"));
}

#[test]
fn a_budget_that_cannot_be_spent_so_fast_has_no_such_alert() {
    let text = shop().rules();
    assert!(text.contains("alert: JobsQuickBurnFast"));
    // 14.4 times 10 % is more than all events
    assert!(!text.contains("alert: MailsSentBurnFast"));
    assert!(text.contains("alert: MailsSentBurnSlow"));
    assert!(text.contains(r#"shop_job_seconds_bucket{queue!~"batch",le=~"10|10[.]0"}"#));
}

ops_metrics::define! {
    /// Metrics of calls whose outcome is a label of a histogram only.
    catalog CALLS;
    /// Time a call took.
    histogram call_seconds { method: &'static str, error_type: &'static str = ["", "timeout", "refused"] } buckets [0.1, 1.0]
}

ops_metrics::slo! {
    /// Objectives of calls.
    slos OF_CALLS;
    /// Calls succeed
    CallsSucceed: 99.5 % of call_seconds fails { error_type: ".+" } ignores { method: "Check" };
}

#[test]
fn observations_of_a_histogram_fail_by_their_labels() {
    let made = rules("calls", CALLS, OF_CALLS).unwrap();
    let bad = r#"rate(call_seconds_count{method!~"Check",error_type=~".+"}[5m])"#;
    assert!(made.rules().contains(bad), "{}", made.rules());
    let Some(promtool) = promtool() else { return };
    let (directory, tests) = written(&made);
    let tests = &tests[..1];
    if let Err(logged) = tested(&promtool, directory.path(), tests) {
        panic!("{logged}");
    }
    // counting the sum instead gives another share
    let file = directory.path().join("calls.rules.yml");
    let wrong = made
        .rules()
        .replace("call_seconds_count{", "call_seconds_sum{");
    std::fs::write(file, wrong).unwrap();
    assert!(tested(&promtool, directory.path(), tests).is_err());
}

ops_metrics::define! {
    /// Metrics of batches, with labels that Prometheus adds to each series.
    catalog BATCHES;
    /// Batches done.
    counter batches_total { job: &'static str, outcome: &'static str = ["done", "failed"] }
    /// Time a batch took.
    histogram batch_seconds { instance: &'static str } buckets [1.0, 60.0]
    /// Batches that wait.
    gauge batches_waiting { instance: &'static str }
}

ops_metrics::slo! {
    /// Objectives of batches.
    slos OF_BATCHES;
    /// Batches of the night succeed
    BatchesSucceed: 99.5 % of batches_total fails { job: "night.*", outcome: "failed" };
    /// Batches are done within a minute
    BatchesQuick: 95.0 % of batch_seconds within 60.0 ignores { instance: "test" };
}

#[test]
fn labels_that_prometheus_has_too_are_found_as_it_stores_them() {
    let made = rules("batches", BATCHES, OF_BATCHES).unwrap();
    let text = made.rules();
    for matchers in [
        r#"batches_total{exported_job=~"night.*",outcome=~"failed"}"#,
        r#"batch_seconds_count{exported_instance!~"test"}"#,
    ] {
        assert!(text.contains(matchers), "{matchers}: {text}");
    }
    assert!(
        made.dashboard()
            .contains("sum by (exported_job) (rate(batches_total{")
    );
    let Some(promtool) = promtool() else { return };
    // the cases of both would take too long
    let made = rules("batches", BATCHES, &OF_BATCHES[..1]).unwrap();
    let (directory, tests) = written(&made);
    if let Err(logged) = tested(&promtool, directory.path(), &tests[..1]) {
        panic!("{logged}");
    }
}

ops_metrics::define! {
    /// Metrics of imports, whose labels have names to which Prometheus renames other labels.
    catalog IMPORTS;
    /// Imports done.
    counter imports_total { job: &'static str, exported_job: &'static str, outcome: &'static str = ["done", "failed"] }
}

ops_metrics::slo! {
    /// Objectives of imports.
    slos OF_IMPORTS;
    /// Imports succeed
    ImportsSucceed: 99.5 % of imports_total fails { job: "night.*", outcome: "failed" } ignores { exported_job: "test" };
}

#[test]
fn a_label_job_is_found_beside_a_label_exported_job() {
    let made = rules("imports", IMPORTS, OF_IMPORTS).unwrap();
    let text = made.rules();
    let matchers =
        r#"imports_total{exported_job!~"test",exported_exported_job=~"night.*",outcome=~"failed"}"#;
    assert!(text.contains(matchers), "{text}");
    let legend = "sum by (exported_exported_job) (rate(imports_total{";
    assert!(made.dashboard().contains(legend), "{}", made.dashboard());
    let Some(promtool) = promtool() else { return };
    let (directory, tests) = written(&made);
    if let Err(logged) = tested(&promtool, directory.path(), &tests[..1]) {
        panic!("{logged}");
    }
}

ops_metrics::define! {
    /// Metrics of transfers, whose sizes differ widely.
    catalog TRANSFERS;
    /// Bytes of a transfer.
    histogram transfer_bytes { kind: &'static str } buckets [1000.0, 1_000_000.0, 1_234_567.5, 1e21]
    /// Time between two bytes.
    histogram transfer_gap_seconds { kind: &'static str } buckets [0.000_01, 0.000_05, 0.0001, 1.0]
}

ops_metrics::slo! {
    /// Objectives of transfers, one for each form of a bound.
    slos OF_TRANSFERS;
    /// Transfers are small
    TransfersSmall: 95.0 % of transfer_bytes within 1_000_000.0;
    /// Transfers are not large
    TransfersNotLarge: 95.0 % of transfer_bytes within 1_234_567.5;
    /// Transfers are finite
    TransfersFinite: 95.0 % of transfer_bytes within 1e21;
    /// Transfers are tiny
    TransfersTiny: 95.0 % of transfer_bytes within 1000.0;
    /// Bytes come together
    BytesTogether: 95.0 % of transfer_gap_seconds within 0.000_05;
    /// Bytes come soon
    BytesSoon: 95.0 % of transfer_gap_seconds within 0.0001;
}

/// Each bound as it is scraped, as Prometheus 3 stores it, and the matcher for both.
const BOUNDS: [(&str, &str, &str); 6] = [
    ("1000000", "1e+06", r#"le=~"1000000|1e[+]06""#),
    (
        "1234567.5",
        "1.2345675e+06",
        r#"le=~"1234567[.]5|1[.]2345675e[+]06""#,
    ),
    (
        "1000000000000000000000",
        "1e+21",
        r#"le=~"1000000000000000000000|1e[+]21""#,
    ),
    ("1000", "1000.0", r#"le=~"1000|1000[.]0""#),
    ("0.00005", "5e-05", r#"le=~"0[.]00005|5e-05""#),
    ("0.0001", "0.0001", r#"le="0.0001""#),
];

#[test]
fn a_bound_is_found_as_it_is_scraped_and_as_prometheus_3_stores_it() {
    let made = rules("transfers", TRANSFERS, OF_TRANSFERS).unwrap();
    for (_, _, matcher) in BOUNDS {
        assert!(
            made.rules().contains(matcher),
            "{matcher}: {}",
            made.rules()
        );
    }
    if std::env::var_os("OPS_TEST_FULL").is_none() {
        return; // promtool takes a minute for the cases
    }
    let Some(promtool) = promtool() else { return };
    let (directory, tests) = written(&made);
    let tests = &tests[..1];
    if let Err(logged) = tested(&promtool, directory.path(), tests) {
        panic!("as it is scraped: {logged}");
    }
    let file = directory.path().join(&tests[0]);
    let mut text = std::fs::read_to_string(&file).unwrap();
    let mut changed = 0;
    for (scraped, stored, _) in BOUNDS {
        let (from, to) = (format!("le=\"{scraped}\""), format!("le=\"{stored}\""));
        changed += text.matches(&from).count();
        text = text.replace(&from, &to);
    }
    assert!(changed > 0, "{text}");
    std::fs::write(&file, text).unwrap();
    if let Err(logged) = tested(&promtool, directory.path(), tests) {
        panic!("as Prometheus 3 stores it: {logged}");
    }
}
