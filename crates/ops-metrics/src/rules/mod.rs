//! Files for Prometheus and Grafana, made of a catalog and its objectives.

mod alert_cases;
mod burn;
mod case;
mod cases;
mod dashboard;
mod dashboard_cases;
mod panel;
mod pattern;
mod query;
mod ratio_cases;
mod slo;
mod threshold_cases;
mod traffic;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::rules::burn::{Alert, KEEP_MINUTES};
use crate::rules::query::{JOB_TEMPLATES, quoted};
use crate::rules::slo::Objective;
use crate::series::family::Family;

pub use crate::rules::slo::Slo;

/// Maximum length of a name: Grafana takes no dashboard whose `uid` is longer.
const NAME_MAX: usize = 40;

/// Files that [`rules`](rules()) made.
#[derive(Debug)]
pub struct Rules {
    name: String,
    catalog: Vec<&'static Family>,
    objectives: Vec<Objective>,
}

/// Makes recording rules and burn-rate alerts of objectives, a dashboard of them and of a catalog, and test cases for
/// promtool. `name` is that of the files, of the group of rules and of the dashboard, of at most 40 `a-z`, `0-9` and `-`.
///
/// Each objective has alerts of four speeds, `…BurnFast` and `…BurnSlow` as a page, `…BurnDay` and `…BurnThreeDays` as a
/// ticket: the share of bad events is 14.4, 6, 3 or once the budget in 1 hour, 6 hours, 1 day or 3 days, and in a twelfth of
/// that time. None fires for 100 events or fewer; a speed at which all events would be bad has no alert. Jobs are
/// judged each by itself. Labels of a metric that are named `job` or `instance` are looked for as `exported_job` and
/// `exported_instance`, as Prometheus stores them with `honor_labels: false`, its default.
///
/// # Errors
///
/// [`Error::Slo`] if the name is another, two objectives have the same one, a metric is of another type, a label or its values are
/// not known, a pattern is another regular expression, or a threshold is no bucket.
pub fn rules(
    name: &str,
    catalog: &[fn() -> &'static Family],
    slos: &[Slo],
) -> Result<Rules, Error> {
    let fits = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '-';
    if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(fits) {
        let why = format!(
            "{name:?} is no name of files and of a dashboard; accepted: a-z, 0-9 and -, at most {NAME_MAX} of them"
        );
        return Err(Error::Slo(why));
    }
    let objectives = slos
        .iter()
        .map(Objective::of)
        .collect::<Result<Vec<_>, _>>()?;
    for (at, objective) in objectives.iter().enumerate() {
        let before = objectives.iter().take(at);
        if before
            .into_iter()
            .any(|known| known.snake == objective.snake)
        {
            return Err(Error::Slo(format!("{} is there twice", objective.name)));
        }
    }
    Ok(Rules {
        name: name.to_owned(),
        catalog: catalog.iter().map(|family| family()).collect(),
        objectives,
    })
}

impl Rules {
    /// Returns the recording rules and alerts, as a rule file of Prometheus 2.42 or newer.
    pub fn rules(&self) -> String {
        let mut text = format!("groups:\n  - name: {}\n    rules:\n", self.name);
        for objective in &self.objectives {
            for one in burn::recordings(objective) {
                // writing to a String does not fail
                let _ = writeln!(
                    text,
                    "      - record: {}\n        expr: {}",
                    one.record,
                    quoted(&one.expr)
                );
            }
        }
        for objective in &self.objectives {
            for one in burn::alerts(objective) {
                text += &alert(&one);
            }
        }
        if self.objectives.is_empty() {
            text = format!("groups:\n  - name: {}\n    rules: []\n", self.name);
        }
        text
    }

    /// Returns the dashboard, for Grafana 10 or newer.
    pub fn dashboard(&self) -> String {
        dashboard::of(&self.name, &self.objectives, &self.catalog)
    }

    /// Returns the names and contents of the files of test cases, for `promtool test rules`; `rule_file` is the path from them to
    /// the rules. Each file has steps of its own, since a case that looks back for days would take minutes with short ones.
    pub fn tests(&self, rule_file: &str) -> Vec<(String, String)> {
        let files = cases::of(rule_file, &self.objectives, &self.catalog).into_iter();
        files
            .map(|(step, content)| (format!("{}.tests_{step}m.yml", self.name), content))
            .collect()
    }

    /// Writes all files into a directory, and returns their paths.
    ///
    /// # Errors
    ///
    /// Fails with the error of the operating system if a file cannot be written.
    pub fn write_to(&self, directory: &Path) -> std::io::Result<Vec<PathBuf>> {
        let rule_file = format!("{}.rules.yml", self.name);
        let tests = self.tests(&rule_file);
        let dashboard = (format!("{}.dashboard.json", self.name), self.dashboard());
        let files = [(rule_file, self.rules()), dashboard];
        let write = |(name, content): (String, String)| {
            let path = directory.join(name);
            std::fs::write(&path, content).map(|()| path)
        };
        files.into_iter().chain(tests).map(write).collect()
    }
}

/// Returns the template of Prometheus that is expanded to this text, in which the job is the only action.
fn template(text: &str) -> String {
    let mut parts = text.split("{{");
    let mut template = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let is_job = JOB_TEMPLATES.iter().any(|job| {
            job.strip_prefix("{{")
                .is_some_and(|job| part.starts_with(job))
        });
        template += if is_job { "{{" } else { r#"{{"{{"}}"# };
        template += part;
    }
    template
}

fn alert(alert: &Alert) -> String {
    let [before, after] = &alert.description;
    let description = format!("{before}{{{{ $value | humanizePercentage }}}}{after}");
    let mut text = format!(
        "      - alert: {}\n        expr: {}\n        for: {}m\n",
        alert.name,
        quoted(&alert.expr),
        alert.burn.hold_minutes
    );
    if alert.burn.is_page() {
        let _ = writeln!(text, "        keep_firing_for: {KEEP_MINUTES}m");
    }
    let _ = write!(
        text,
        "        labels:\n          severity: {}\n        annotations:\n          summary: {}\n          description: {}\n",
        alert.burn.severity,
        quoted(&template(&alert.summary)),
        quoted(&description)
    );
    for (name, annotation) in alert.annotations {
        let _ = writeln!(text, "          {name}: {}", quoted(annotation));
    }
    text
}
