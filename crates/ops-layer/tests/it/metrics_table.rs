//! `docs/metrics.md` has one row for each metric that any part emits: the catalog's rows come from ops-metrics, the
//! others from here. `OPS_TEST_UPDATE=1 cargo test -p ops-layer --features full table` writes them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use crate::OPS;

const HEADING: &str = "\n## What the parts count themselves\n";

/// Returns type, labels and help by name, as in the exposition.
fn exposed(exposition: &str) -> BTreeMap<String, (String, Vec<String>, String)> {
    let mut found = BTreeMap::new();
    let mut help = "";
    for line in exposition.lines() {
        if let Some(text) = line.strip_prefix("# HELP ") {
            help = text.split_once(' ').map_or("", |(_, help)| help);
        } else if let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|text| text.split_once(' '))
        {
            found.insert(
                name.to_owned(),
                (kind.to_owned(), labels(exposition, name), help.to_owned()),
            );
            help = "";
        }
    }
    found
}

fn labels(exposition: &str, name: &str) -> Vec<String> {
    let of_metric = |line: &&str| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with(['{', ' ']))
    };
    let Some(line) = exposition.lines().find(of_metric) else {
        return Vec::new();
    };
    let Some((_, pairs)) = line.split_once('{') else {
        return Vec::new();
    };
    let pairs = pairs.rsplit_once('}').unwrap().0.split("\",");
    pairs
        .filter_map(|pair| pair.split_once("=\""))
        .map(|(label, _)| label.to_owned())
        .collect()
}

/// Returns the unit from the suffix of the name, without `_total`, as in the catalog's rows.
fn unit(name: &str) -> &str {
    let name = name.strip_suffix("_total").unwrap_or(name);
    let mut units = ["seconds", "bytes"].into_iter();
    units.rfind(|unit| name.ends_with(unit)).unwrap_or("")
}

#[test]
fn every_metric_that_a_part_emits_is_in_the_table_with_its_type_labels_and_help() {
    OPS.publish_metrics();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    let page = std::fs::read_to_string(&file).unwrap();
    let catalog = page.split(HEADING).next().unwrap();
    let exposed = exposed(&ops_layer::metrics::render().unwrap());

    let mut table = format!(
        "{HEADING}\nTotals that a crate keeps and `ops-layer` publishes before each scrape, generated from what they emit\n\
         (`OPS_TEST_UPDATE=1 cargo test -p ops-layer --features full table` writes it).\n\n\
         | metric | type | unit | labels | meaning |\n|---|---|---|---|---|\n"
    );
    for (name, (kind, labels, help)) in &exposed {
        // metrics of exports by OTLP have values and labels only while
        // something is exported: the page describes them in a paragraph
        if catalog.contains(&format!("| `{name}` | {kind} |")) || name.starts_with("otlp_") {
            assert!(catalog.contains(&format!("`{name}`")), "{name}");
            continue;
        }
        assert!(!help.is_empty(), "{name} has no help");
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        writeln!(
            table,
            "| `{name}` | {kind} | {} | {} | {help} |",
            unit(name),
            labels.join(", ")
        )
        .unwrap();
    }
    let expected = format!("{catalog}{table}");
    if std::env::var_os("OPS_TEST_UPDATE").is_some() {
        std::fs::write(&file, &expected).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        expected,
        "run it with OPS_TEST_UPDATE=1"
    );
}

#[test]
fn what_a_part_counted_is_what_is_scraped() {
    OPS.publish_metrics();
    let value = |exposition: &str, series: &str| -> f64 {
        let line = exposition.lines().find(|line| {
            line.strip_prefix(series)
                .is_some_and(|rest| rest.starts_with(' '))
        });
        line.unwrap_or_else(|| panic!("no {series} in {exposition}"))
            .rsplit(' ')
            .next()
            .unwrap()
            .parse()
            .unwrap()
    };
    let before = ops_layer::log::stats().written;
    ops_layer::log::info!("counted_once");
    OPS.publish_metrics();
    let exposition = ops_layer::metrics::render().unwrap();
    let after = ops_layer::log::stats().written;
    // other tests of this process log at the same time
    let scraped = value(&exposition, "log_lines_written_total");
    assert!(
        scraped > before as f64 && scraped <= after as f64,
        "{before} {scraped} {after}"
    );
    for (series, counted) in [
        (
            "cache_hits_total{cache_type=\"query\"}",
            OPS.cache().get_stats().hits,
        ),
        (
            "cache_misses_total{cache_type=\"query\"}",
            OPS.cache().get_stats().misses,
        ),
        (
            "trace_spans_rejected_total",
            ops_layer::trace::stats().rejected,
        ),
    ] {
        assert_eq!(value(&exposition, series), counted as f64, "{series}");
    }
}
