//! Rules and queries with one change: the test cases generated with them detect it.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ops_metrics::rules;
use serde_yaml::Value;

use self::change::{Kind, changed_rules, with_control};
use self::run::{Form, Mutant, Run, name_of, yaml};
use crate::promtool::promtool;
use crate::rules::{OBJECTIVES, SHOP};

mod change;
mod run;

/// Returns each case as a separate file.
fn single(files: &[(String, String)]) -> Vec<Value> {
    let of_file = |(_, text): &(String, String)| {
        let file = yaml(text);
        let cases = file["tests"].as_sequence().unwrap().clone();
        cases.into_iter().map(move |case| {
            let mut file = file.clone();
            file["tests"] = Value::Sequence(vec![case]);
            file
        })
    };
    files.iter().flat_map(of_file).collect()
}

fn title(file: &Value) -> &str {
    file["tests"][0]["name"].as_str().unwrap()
}

/// Creates mutants and runs of the selected rules and queries.
struct Maker {
    /// Selects each nth rule or query.
    every: usize,
    /// Text that the name has to contain.
    only: String,
    seen: usize,
    mutants: Vec<Arc<Mutant>>,
    runs: Vec<Run>,
}

impl Maker {
    fn is_wanted(&mut self, name: &str) -> bool {
        self.seen += 1;
        self.seen.is_multiple_of(self.every) && name.contains(&self.only)
    }

    fn add(&mut self, kind: Kind, what: String, form: Form) -> Arc<Mutant> {
        let mark = format!("_c{:04}", self.mutants.len());
        let mutant = Arc::new(Mutant {
            kind,
            what,
            mark,
            form,
        });
        self.mutants.push(Arc::clone(&mutant));
        mutant
    }

    fn of_rules(&mut self, slo: usize) {
        let slo = &OBJECTIVES[slo..=slo];
        let made = rules("shop", &[], slo).unwrap();
        let original = yaml(&made.rules());
        let rules = original["groups"][0]["rules"].as_sequence().unwrap();
        let mut mutants = Vec::new();
        for rule in rules {
            let name = name_of(rule);
            if !self.is_wanted(name) {
                continue;
            }
            let of_rule = changed_rules(rule).into_iter().map(|(kind, changed)| {
                let what = format!("{name}: {}", serde_yaml::to_string(&changed).unwrap());
                self.add(kind, what, Form::Rule(name.to_owned(), changed))
            });
            mutants.extend(of_rule);
        }
        let recordings = rules.iter().filter(|rule| rule["record"].is_string());
        let recordings: Vec<Value> = recordings.cloned().collect();
        for mut file in single(&made.tests("shop.rules.yml")) {
            let title = title(&file).to_owned();
            let is_of_alerts = !title.starts_with(&format!("{}: recorded", slo[0].name()));
            let judged = mutants.iter().filter(|mutant| match &mutant.form {
                Form::Rule(name, _) if is_of_alerts => title.starts_with(&format!("{name}: ")),
                Form::Rule(name, _) => {
                    let mut queries = file["tests"][0]["promql_expr_test"]
                        .as_sequence()
                        .unwrap()
                        .iter();
                    queries.any(|query| query["expr"].as_str().unwrap().contains(name))
                }
                Form::Query(..) => false,
            });
            let judged: Vec<_> = judged.cloned().collect();
            if !is_of_alerts {
                // rules are queried once, at the end
                let queries = file["tests"][0]["promql_expr_test"].as_sequence().unwrap();
                let time = queries[0]["eval_time"].clone();
                assert!(
                    queries.iter().all(|query| query["eval_time"] == time),
                    "{title}"
                );
                file["evaluation_interval"] = time;
            }
            self.runs.push(Run {
                rules: if is_of_alerts {
                    recordings.clone()
                } else {
                    Vec::new()
                },
                file,
                mutants: judged,
            });
        }
    }

    /// Creates the changes of each query of a dashboard, which its cases contain.
    fn of_queries(&mut self) {
        let made = rules("shop", SHOP, OBJECTIVES).unwrap();
        for file in single(&made.tests("shop.rules.yml")) {
            let title = title(&file).to_owned();
            if !title.starts_with("panel ") {
                continue;
            }
            let mut mutants = Vec::new();
            let queries = file["tests"][0]["promql_expr_test"].as_sequence().unwrap();
            for (at, query) in queries.iter().enumerate() {
                let expr = query["expr"].as_str().unwrap();
                if !self.is_wanted(&title) {
                    continue;
                }
                let (inner, outer) = expr
                    .strip_prefix("abs((")
                    .unwrap()
                    .rsplit_once(") / ")
                    .unwrap();
                for (kind, changed) in with_control(inner) {
                    let whole = format!("abs(({changed}) / {outer}");
                    let what = format!("{title}: {changed}");
                    mutants.push(self.add(kind, what, Form::Query(at, whole)));
                }
            }
            self.runs.push(Run {
                rules: Vec::new(),
                file,
                mutants,
            });
        }
    }
}

/// Returns the marks of all mutants that fail a case. Each core runs one
/// promtool after the other, because promtool hardly uses more than one.
fn noticed(promtool: &Path, runs: &[Run]) -> BTreeSet<String> {
    let next = AtomicUsize::new(0);
    let one_after_the_other = || {
        let mut found = Vec::new();
        while let Some(run) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
            found.extend(run.noticed(promtool, &run.mutants));
        }
        found
    };
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores)
            .map(|_| scope.spawn(one_after_the_other))
            .collect();
        let found = threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap());
        found.collect()
    })
}

/// Checks the changes of each 11th rule or query, or of all with `OPS_TEST_FULL=1`,
/// restricted to names that contain the text of `OPS_TEST_MUTANTS`.
#[test]
fn of_changed_rules_and_queries_at_least_19_of_20_fail_a_case() {
    let Some(promtool) = promtool() else { return };
    let full = std::env::var_os("OPS_TEST_FULL").is_some();
    let only = std::env::var("OPS_TEST_MUTANTS").unwrap_or_default();
    let mut maker = Maker {
        every: if full { 1 } else { 11 },
        only,
        seen: 0,
        mutants: Vec::new(),
        runs: Vec::new(),
    };
    (0..OBJECTIVES.len()).for_each(|slo| maker.of_rules(slo));
    maker.of_queries();
    let noticed = noticed(&promtool, &maker.runs);
    let of_kind = |kind: Kind| {
        let mutants = maker.mutants.iter().filter(move |one| one.kind == kind);
        mutants.partition::<Vec<_>, _>(|one| noticed.contains(&one.mark))
    };
    let logged = |mutants: &[&Arc<Mutant>]| {
        let texts: Vec<&str> = mutants.iter().map(|one| one.what.as_str()).collect();
        format!("{texts:#?}")
    };
    let (wrong, right) = of_kind(Kind::Control);
    assert!(!right.is_empty() && wrong.is_empty(), "{}", logged(&wrong));
    let (wrong, same) = of_kind(Kind::Same);
    assert!(
        wrong.is_empty(),
        "no case can notice these, but: {}",
        logged(&wrong)
    );
    let (failed, alive) = of_kind(Kind::Changed);
    let (noticed, all) = (failed.len(), failed.len() + alive.len());
    let logged = format!(
        "{noticed} of {all} changes fail a case, besides {} that change no result; not these: {}",
        same.len(),
        logged(&alive)
    );
    writeln!(std::io::stdout(), "{logged}").unwrap();
    assert!(
        all > if full { 1000 } else { 10 } && noticed * 20 >= all * 19,
        "{logged}"
    );
}
