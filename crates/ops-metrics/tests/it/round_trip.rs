//! Arbitrary catalogs, label values, help texts and facade names: the reference parsers accept both expositions, and
//! the values are preserved. Refusals are counted.

use std::collections::{BTreeMap, BTreeSet};

use ops_metrics::testing::Registry;
use ops_metrics::{Family, Kind, LabelDefinition, MetricDefinition};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config as RunnerConfig, RngAlgorithm, TestRng, TestRunner};

use crate::parsers::{Parsed, Parsers};
use crate::promtool;

/// A metric and the values recorded for it.
#[derive(Clone, Debug)]
struct Recorded {
    /// True if declared like in `define!`, false if recorded through the facade.
    declared: bool,
    kind: Kind,
    name: String,
    help: String,
    labels: Vec<(String, String)>,
    value: f64,
}

/// Generates problematic names often: those of samples of other metrics, and of built-in metrics.
fn declared_name() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "a", "x", "jobs", "seconds", "bytes", "count", "sum", "bucket", "created", "total", "info",
    ]);
    prop::collection::vec(part, 1..4).prop_map(|parts| parts.join("_"))
}

fn facade_name() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => declared_name(),
        1 => declared_name().prop_map(|name| name.replace('_', ".")),
        1 => Just("http.requests.total".to_owned()),
        1 => Just("http_requests_total".to_owned()),
        1 => "[a-zA-Z0-9_:.\\- é\n\"{}]{0,12}",
        1 => any::<String>(),
    ]
}

fn label_name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(vec!["a", "b", "c", "status"]).prop_map(str::to_owned),
        1 => prop::sample::select(vec!["le", "quantile", "__name__", "a.b", "0", ""]).prop_map(str::to_owned),
        1 => any::<String>(),
    ]
}

fn label_value() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[a-z/{}]{1,8}",
        2 => r#"[\\"\n\r\t ,={}#a-zé🦀]{0,12}"#,
        2 => any::<String>(),
        1 => "[aü]{200,300}",
    ]
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        (0_u32..1000).prop_map(f64::from),
        0.0..1e18,
        prop::num::f64::POSITIVE | prop::num::f64::SUBNORMAL,
    ]
}

fn recorded() -> impl Strategy<Value = Recorded> {
    let kind = prop::sample::select(vec![Kind::Counter, Kind::Gauge, Kind::Histogram]);
    let help = prop_oneof!["[ -~]{0,20}", r#"[\\"\na-z]{0,12}"#, any::<String>()];
    (any::<bool>(), kind).prop_flat_map(move |(declared, kind)| {
        let name = if declared {
            declared_name().boxed()
        } else {
            facade_name().boxed()
        };
        let labels = prop::collection::vec((label_name(), label_value()), 0..4);
        (name, help.clone(), labels, number()).prop_map(move |(name, help, labels, value)| {
            let mut recorded = Recorded {
                declared,
                kind,
                name,
                help,
                labels,
                value: if kind == Kind::Counter {
                    value.trunc()
                } else {
                    value
                },
            };
            if declared {
                recorded.declare();
            }
            recorded
        })
    })
}

impl Recorded {
    /// Changes the parts that `define!` would not compile.
    fn declare(&mut self) {
        let ends = self.name.ends_with("_total");
        if self.kind == Kind::Counter && !ends {
            self.name += "_total";
        } else if self.kind == Kind::Histogram && ends {
            self.name += "_seconds";
        }
        let mut seen = BTreeSet::new();
        self.labels.retain(|(name, _)| {
            let first = name.starts_with(|char: char| char.is_ascii_lowercase());
            let rest =
                |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '_';
            let reserved = ["le", "quantile"].contains(&name.as_str());
            first && name.chars().all(rest) && !reserved && seen.insert(name.clone())
        });
    }

    fn record(&self) {
        if self.declared {
            let labels = self.labels.iter().map(|(name, _)| LabelDefinition {
                name: name.clone().leak(),
                values: &[],
            });
            let family = Box::leak(Box::new(Family::new(MetricDefinition {
                name: self.name.clone().leak(),
                kind: self.kind,
                help: self.help.clone().leak(),
                at_start: true,
                labels: labels.collect::<Vec<_>>().leak(),
                buckets: MetricDefinition::BUCKETS,
            })));
            let values: Vec<&str> = self
                .labels
                .iter()
                .map(|(_, value)| value.as_str())
                .collect();
            match self.kind {
                Kind::Counter => family.counter(&values).add(self.value as u64),
                Kind::Gauge => family.gauge(&values).set(self.value),
                _ => family.histogram(&values).observe(self.value),
            }
        } else {
            let labels = self.labels.iter();
            let labels: Vec<metrics::Label> = labels
                .map(|(name, value)| metrics::Label::new(name.clone(), value.clone()))
                .collect();
            let (name, help) = (self.name.clone(), self.help.clone());
            match self.kind {
                Kind::Counter => {
                    metrics::describe_counter!(name.clone(), help);
                    metrics::counter!(name, labels).increment(self.value as u64);
                }
                Kind::Gauge => {
                    metrics::describe_gauge!(name.clone(), help);
                    metrics::gauge!(name, labels).set(self.value);
                }
                _ => {
                    metrics::describe_histogram!(name.clone(), help);
                    metrics::histogram!(name, labels).record(self.value);
                }
            }
        }
    }

    /// Returns the name in the form that Prometheus accepts.
    fn rendered_name(&self) -> String {
        cleaned(&self.name, true)
    }

    /// Returns the labels in the form that Prometheus accepts, if the guard admits them.
    fn rendered_labels(&self) -> BTreeMap<String, String> {
        let mut labels = BTreeMap::new();
        for (name, value) in &self.labels {
            if value.is_empty() && !self.declared {
                continue;
            }
            let mut name = cleaned(name, false);
            if name.starts_with("__") || ["le", "quantile"].contains(&name.as_str()) {
                name = format!("exported_{}", name.trim_start_matches('_'));
            }
            let fits = (1..=256).contains(&value.len());
            let value = if fits { value.as_str() } else { "other" };
            if !name.is_empty() && name.len() <= 256 {
                labels.entry(name).or_insert_with(|| value.to_owned());
            }
        }
        labels
    }
}

fn cleaned(name: &str, colons: bool) -> String {
    let chars = name.char_indices().map(|(at, char)| match char {
        'a'..='z' | 'A'..='Z' | '_' => char,
        '0'..='9' if at > 0 => char,
        ':' if colons => char,
        _ => '_',
    });
    chars.collect()
}

/// Returns the expected value of a series after all recordings.
fn expected(all: &[&Recorded]) -> f64 {
    match all[0].kind {
        Kind::Counter => {
            all.iter()
                .fold(0_u64, |sum, one| sum.wrapping_add(one.value as u64)) as f64
        }
        Kind::Gauge => all[all.len() - 1].value,
        _ => all.len() as f64,
    }
}

/// Returns the sum of the values recorded by the facade and the first declaration for one series.
fn together(case: &[Recorded], of: &Recorded) -> f64 {
    let labels = of.rendered_labels();
    let mut declared = 0;
    let all = case.iter().filter(|one| {
        let same = one.kind == of.kind && one.name == of.name && one.rendered_labels() == labels;
        declared += u32::from(same && one.declared);
        same && (!one.declared || declared == 1)
    });
    expected(&all.collect::<Vec<_>>())
}

/// Finds the values, or the counted refusal of each.
fn survived(case: &[Recorded], parsed: &Parsed) -> Result<(), String> {
    let mut series: BTreeMap<_, Vec<&Recorded>> = BTreeMap::new();
    for one in case {
        let key = (
            one.declared,
            one.kind.as_str(),
            one.name.as_str(),
            one.rendered_labels(),
        );
        series.entry(key).or_default().push(one);
    }
    for ((declared, _, name, labels), all) in series {
        let suffix = if all[0].kind == Kind::Histogram {
            "_count"
        } else {
            ""
        };
        let sample = (format!("{}{suffix}", all[0].rendered_name()), labels);
        let found = parsed.samples.get(&sample).copied();
        let wanted = expected(&all);
        // each declaration is a separate family; the first one owns the name
        let first = if declared {
            expected(&all[..1])
        } else {
            wanted
        };
        // values that the facade records under the name of a declared metric belong to that metric
        let together = together(case, all[0]);
        if found.is_some_and(|found| [wanted, first, together].contains(&found)) {
            continue;
        }
        let metric: String = name.chars().take(256).collect();
        let refused = parsed.samples.iter().any(|((known, labels), count)| {
            known == "ops_metrics_rejected_total"
                && *count > 0.0
                && labels.get("metric").is_some_and(|known| {
                    *known == metric || (metric.is_empty() && known == "other")
                })
        });
        if !refused {
            return Err(format!(
                "{sample:?} is {found:?}, not {wanted}, and nothing says why"
            ));
        }
    }
    Ok(())
}

/// Returns names and labels as they are written.
fn series(exposition: &str) -> BTreeSet<&str> {
    let lines = exposition.split('\n');
    let samples = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    samples
        .map(|line| line.rsplit_once(' ').unwrap().0)
        .collect()
}

/// Number of cases for one process of promtool: starting it takes longer than its work.
const BATCH: usize = 100;

/// Returns the exposition with a prefix before each metric's name, so that many expositions can be joined.
fn prefixed(exposition: &str, number: usize) -> String {
    let lines = exposition.split('\n').filter(|line| !line.is_empty());
    let lines = lines.map(|line| {
        let comment = ["# HELP ", "# TYPE "]
            .iter()
            .find(|start| line.starts_with(**start));
        let (start, rest) = line.split_at(comment.map_or(0, |start| start.len()));
        format!("{start}case{number}_{rest}\n")
    });
    lines.collect()
}

/// Fails for the first case whose exposition promtool does not parse.
fn check_by_promtool(cases: &[(Vec<Recorded>, String)]) {
    let all = cases.iter().enumerate();
    let all: String = all
        .map(|(number, (_, text))| prefixed(text, number))
        .collect();
    let errors = |text: &str| -> Vec<String> {
        let said = promtool::check_metrics(text).unwrap_or_default();
        said.into_iter()
            .filter(|line| line.contains("error"))
            .collect()
    };
    let of_all = errors(&all);
    if of_all.is_empty() {
        return;
    }
    for (case, text) in cases {
        let errors = errors(text);
        assert!(errors.is_empty(), "{errors:?} of {case:#?}");
    }
    assert!(
        of_all.is_empty(),
        "{of_all:?} of {} cases together",
        cases.len()
    );
}

#[test]
fn a_batch_with_one_exposition_that_promtool_does_not_parse_fails() {
    if promtool::promtool().is_none() {
        return;
    }
    let good = "# HELP a A.\n# TYPE a gauge\na 1\n".to_owned();
    let bad = "# HELP b B.\n# TYPE b gauge\nb{c=\"d} 1\n".to_owned();
    let cases = [(Vec::new(), good.clone()), (Vec::new(), good.clone())];
    check_by_promtool(&cases);
    let cases = [(Vec::new(), good), (Vec::new(), bad)];
    let failed = std::panic::catch_unwind(|| check_by_promtool(&cases));
    assert!(failed.is_err());
}

/// Checks a case, and returns its exposition for promtool.
#[expect(clippy::panic, reason = "tests")]
fn check(case: &[Recorded], parsers: &mut Parsers) -> String {
    let registry = Registry::new();
    registry.run(|| case.iter().for_each(Recorded::record));
    // the first render creates the series about the rendering
    registry.render();
    let (text, open_metrics) = (registry.render(), registry.render_open_metrics());
    let shown = |error: String| panic!("{error}\nof {case:#?}");
    let of_text = parsers.parse("text", &text).unwrap_or_else(shown);
    let of_open = parsers
        .parse("openmetrics", &open_metrics)
        .unwrap_or_else(shown);
    for parsed in [&of_text, &of_open] {
        if let Err(what) = survived(case, parsed) {
            panic!("{what}\nof {case:#?}");
        }
    }
    let (one, other) = (series(&text), series(&open_metrics));
    let different: Vec<_> = one.symmetric_difference(&other).collect();
    assert!(different.is_empty(), "{different:?} of {case:#?}");
    text
}

#[test]
fn whatever_is_recorded_both_formats_are_valid_and_the_values_survive() {
    let Some(mut parsers) = Parsers::start() else {
        return;
    };
    let cases = if std::env::var_os("OPS_TEST_FULL").is_some() {
        10_000
    } else {
        60
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(RunnerConfig::default(), rng);
    let strategy = prop::collection::vec(recorded(), 1..12);
    let mut batch = Vec::with_capacity(BATCH);
    for number in 1..=cases {
        let case = strategy.new_tree(&mut runner).unwrap().current();
        let text = check(&case, &mut parsers);
        batch.push((case, text));
        if batch.len() == BATCH || number == cases {
            check_by_promtool(&batch);
            batch.clear();
        }
    }
}

#[test]
fn a_counter_keeps_its_name_in_open_metrics_even_if_it_cannot_keep_its_type() {
    let Some(mut parsers) = Parsers::start() else {
        return;
    };
    let registry = Registry::new();
    registry.run(|| {
        metrics::counter!("without_suffix").increment(1);
        metrics::counter!("plain_total").increment(2);
        metrics::counter!("taken_total").increment(3);
        metrics::gauge!("taken").set(4.0);
        metrics::counter!("made_total").increment(5);
        metrics::counter!("made_created_total").increment(6);
        metrics::gauge!("registry_total").set(7.0);
    });
    let parsed = parsers
        .parse("openmetrics", &registry.render_open_metrics())
        .unwrap();
    let kind = |name: &str| parsed.families[name][0].as_str();
    assert_eq!(kind("without_suffix"), "unknown");
    assert_eq!(kind("plain"), "counter");
    assert_eq!(kind("taken_total"), "unknown");
    assert_eq!(kind("taken"), "gauge");
    assert_eq!(kind("made_total"), "unknown");
    assert_eq!(kind("made_created"), "counter");
    assert_eq!(kind("registry_total"), "gauge");
    for (name, count) in [
        ("without_suffix", 1.0),
        ("taken_total", 3.0),
        ("made_created_total", 6.0),
    ] {
        assert_eq!(parsed.samples[&(name.to_owned(), BTreeMap::new())], count);
    }
    assert_eq!(parsed.families["process_cpu_seconds"][2], "seconds");
    assert_eq!(parsed.families["cache_size_bytes"][2], "bytes");
}

#[test]
fn creation_times_are_in_open_metrics_if_they_are_switched_on_and_nowhere_else() {
    let count = |registry: &Registry| {
        registry.run(|| {
            metrics::counter!("plain_total", "of" => "a").increment(2);
            metrics::counter!("taken_total").increment(3);
            metrics::gauge!("taken").set(4.0);
            metrics::gauge!("waiting_seconds_created").set(5.0);
            metrics::histogram!("waiting_seconds").record(0.1);
            metrics::histogram!("took_seconds").record(0.1);
        });
    };
    let off = Registry::new();
    count(&off);
    let created = |text: &str| {
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let names = samples.filter_map(|line| line.split(['{', ' ']).next());
        names.filter(|name| name.ends_with("_created")).count()
    };
    // the gauge with that name
    assert_eq!(created(&off.render_open_metrics()), 1);

    let before = since_1970();
    let on = Registry::with(&ops_metrics::Config::new().created_samples(true)).unwrap();
    count(&on);
    let after = since_1970();
    assert_eq!(created(&on.render()), 1, "the text format has none");
    let text = on.render_open_metrics();
    let value = |series: &str| {
        let mut lines = text.lines().filter_map(|line| line.strip_prefix(series));
        let value = lines.next()?.trim().parse::<f64>().unwrap();
        assert!(lines.next().is_none(), "{series} is there twice");
        Some(value)
    };
    for series in ["plain_created{of=\"a\"} ", "took_seconds_created "] {
        let at = value(series).unwrap_or_else(|| panic!("{series} is not in {text}"));
        assert!(before <= at && at <= after, "{before} {at} {after}");
    }
    // types without creation times, and a name that another metric has
    assert_eq!(value("taken_total_created "), None);
    assert_eq!(value("taken_created "), None);
    assert_eq!(value("waiting_seconds_created "), Some(5.0));
    if let Some(mut parsers) = Parsers::start() {
        parsers.parse("openmetrics", &text).unwrap();
        let of_off = off.render_open_metrics();
        parsers.parse("openmetrics", &of_off).unwrap();
    }
}

fn since_1970() -> f64 {
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    now.as_millis() as f64 / 1000.0
}
