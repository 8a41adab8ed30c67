//! Runs of promtool, each of which checks many mutants.

use std::path::Path;
use std::sync::Arc;

use serde_yaml::{Mapping, Value};

use super::change::Kind;
use crate::cases::tested;

/// A rule or query with one change, or unchanged.
pub(super) struct Mutant {
    pub(super) kind: Kind,
    pub(super) what: String,
    /// Suffix of its name in rules and cases, so that one run of promtool checks many mutants.
    pub(super) mark: String,
    pub(super) form: Form,
}

pub(super) enum Form {
    /// The rule with this name.
    Rule(String, Mapping),
    /// The replacement for the query at this index of a case.
    Query(usize, String),
}

/// A case, the rules that it needs, and the mutants that it checks.
pub(super) struct Run {
    pub(super) rules: Vec<Value>,
    /// A file with only this case.
    pub(super) file: Value,
    pub(super) mutants: Vec<Arc<Mutant>>,
}

impl Run {
    /// Returns the marks of the mutants for which the case fails.
    pub(super) fn noticed(&self, promtool: &Path, mutants: &[Arc<Mutant>]) -> Vec<String> {
        if mutants.is_empty() {
            return Vec::new();
        }
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &Value| {
            let text = serde_yaml::to_string(content).unwrap();
            std::fs::write(directory.path().join(name), text).unwrap();
        };
        write("shop.rules.yml", &self.rules(mutants));
        write("case.yml", &self.case(mutants));
        let logged = tested(promtool, directory.path(), &["case.yml".to_owned()]).unwrap_err();
        let marks = |mutants: &[Arc<Mutant>]| mutants.iter().map(|one| one.mark.clone()).collect();
        if logged.contains(AT_THE_END) {
            let mut marks: Vec<String> = marks(mutants);
            marks.retain(|mark| logged.contains(mark));
            return marks;
        }
        // one of them is not a valid rule, or cannot be evaluated
        let (some, others) = mutants.split_at(mutants.len() / 2);
        if some.is_empty() {
            return marks(others);
        }
        [self.noticed(promtool, some), self.noticed(promtool, others)].concat()
    }

    fn rules(&self, mutants: &[Arc<Mutant>]) -> Value {
        let mut rules = self.rules.clone();
        for mutant in mutants {
            let Form::Rule(_, rule) = &mutant.form else {
                continue;
            };
            let mut rule = Value::Mapping(rule.clone());
            let key = if rule["alert"].is_string() {
                "alert"
            } else {
                "record"
            };
            rule[key] = format!("{}{}", name_of(&rule), mutant.mark).into();
            rules.push(rule);
        }
        let mut file = yaml("groups: [{ name: changed }]");
        file["groups"][0]["rules"] = Value::Sequence(rules);
        file
    }

    /// Returns the case, with queries for each of the mutants.
    fn case(&self, mutants: &[Arc<Mutant>]) -> Value {
        let mut file = self.file.clone();
        let case = &mut file["tests"][0];
        let none = Vec::new();
        let mut alerts = Vec::new();
        for alert in case["alert_rule_test"].as_sequence().unwrap_or(&none) {
            for mutant in mutants {
                if let Form::Rule(name, _) = &mutant.form {
                    let mut alert = alert.clone();
                    alert["alertname"] = format!("{name}{}", mutant.mark).into();
                    alerts.push(alert);
                }
            }
        }
        let mut queries = vec![yaml(AT_THE_END_QUERY)];
        let all = case["promql_expr_test"].as_sequence().unwrap_or(&none);
        for (at, query) in all.iter().enumerate() {
            let expr = query["expr"].as_str().unwrap();
            for mutant in mutants {
                let expr = match &mutant.form {
                    Form::Rule(name, _) if expr.contains(name) => {
                        expr.replace(name, &format!("{name}{}", mutant.mark))
                    }
                    Form::Query(of, changed) if *of == at => format!("{changed} # {}", mutant.mark),
                    _ => continue,
                };
                let mut query = query.clone();
                query["expr"] = expr.into();
                queries.push(query);
            }
        }
        case["alert_rule_test"] = Value::Sequence(alerts);
        case["promql_expr_test"] = Value::Sequence(queries);
        file["rule_files"] = yaml("[shop.rules.yml]");
        file
    }
}

/// A query that always fails, after all rules were evaluated.
const AT_THE_END: &str = "absent(never)";
const AT_THE_END_QUERY: &str = "{ expr: absent(never), eval_time: 0m, exp_samples: [] }";

pub(super) fn yaml(text: &str) -> Value {
    serde_yaml::from_str(text).unwrap()
}

pub(super) fn name_of(rule: &Value) -> &str {
    let mut names = ["record", "alert"]
        .iter()
        .filter_map(|key| rule[*key].as_str());
    names.next().unwrap()
}
