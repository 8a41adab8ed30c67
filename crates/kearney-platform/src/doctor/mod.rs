//! `kearney-platform doctor`: reports what is wrong with a platform, running or not, and the checks that showed it.
//!
//! Exit codes, as in the README: 0 without findings (or only of severity `info`), 3 for warnings, 4 for critical
//! findings.

mod admin;
mod answers;
mod black_box;
mod bundle;
mod collector;
mod combined;
mod data;
mod found;
mod options;
mod secrets;
mod settings;
mod text;

use std::process::ExitCode;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use answers::{Answers, Diagnosis};
use found::{Found, Severity};
pub use options::Doctor;

use crate::error::{Error, Kind, Result, chain};
use crate::output::{print_result, print_to_stderr, redacted};

/// Time limit for all probes; a probe that takes longer becomes a finding.
const ALL_WITHIN: Duration = Duration::from_secs(20);

/// Runs the command, and returns its exit code.
pub fn run(options: &Doctor) -> ExitCode {
    match examine(options) {
        Ok(code) => code,
        Err(error) => fail(&chain(&error)),
    }
}

fn examine(options: &Doctor) -> Result<ExitCode> {
    let started = Instant::now();
    let answers = run_probes(options, started);
    let findings = found::ordered(combined::adjusted_findings(&answers));
    let severity = findings.iter().map(|finding| finding.severity).max();
    let diagnosis = Diagnosis {
        findings,
        tried: answers.tried,
        took_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    };
    let text = match options.json {
        true => {
            let json = serde_json::to_string_pretty(&diagnosis);
            let failed = |error| {
                Error::new(Kind::File, "cannot serialize the result as JSON").because(error)
            };
            json.map_err(failed)? + "\n"
        }
        false => text::render(&diagnosis),
    };
    if let Some(path) = &options.bundle {
        let state = answers.state.as_ref();
        bundle::write(path, options, &diagnosis, state, answers.metrics.as_deref()).map_err(
            |error| Error::new(Kind::File, format!("--bundle {}", path.display())).because(error),
        )?;
    }
    print_result(&redacted(text))?;
    Ok(match severity {
        Some(Severity::Critical) => ExitCode::from(4),
        Some(Severity::Warning) => ExitCode::from(3),
        _ => ExitCode::SUCCESS,
    })
}

type Probe = fn(&Doctor) -> Answers;

/// Runs all probes in parallel, each on its own thread.
fn run_probes(options: &Doctor, started: Instant) -> Answers {
    const PROBES: [(&str, Probe); 5] = [
        ("process", admin::ask),
        ("secrets", secrets::ask),
        ("collector", collector::ask),
        ("data", data::ask),
        ("black box", black_box::ask),
    ];
    let (send, answered) = channel();
    for (name, probe) in PROBES {
        let (send, options) = (send.clone(), options.clone());
        // a probe that panics sends no result, which is a finding
        let thread = move || drop(send.send((name, probe(&options))));
        drop(
            std::thread::Builder::new()
                .name(name.to_owned())
                .spawn(thread),
        );
    }
    drop(send);
    let mut by_name: Vec<(&str, Answers)> = Vec::new();
    loop {
        let left = ALL_WITHIN.saturating_sub(started.elapsed());
        match answered.recv_timeout(left) {
            Ok(answers) => by_name.push(answers),
            Err(_) => break,
        }
    }
    let mut all = Answers::default();
    for (name, _) in PROBES {
        match by_name.iter().position(|(known, _)| *known == name) {
            Some(at) => {
                let (_, answers) = by_name.swap_remove(at);
                all.findings.extend(answers.findings);
                all.tried.extend(answers.tried);
                all.state = all.state.or(answers.state);
                all.is_page_presumed |= answers.is_page_presumed;
                all.metrics = all.metrics.or(answers.metrics);
                all.last_error = all.last_error.or(answers.last_error);
            }
            None => {
                all.note(name, format!("probe {name}"), "timed out");
                let seconds = ALL_WITHIN.as_secs();
                all.find([Found::new("probe_hung", Severity::Warning)
                    .seen(format!("probe {name} did not finish within {seconds} s"))
                    .means("Its findings are unknown.")
                    .action(
                        "Check what it depends on; a hung mount or network is the usual cause.",
                    )]);
            }
        }
    }
    all
}

fn fail(why: &str) -> ExitCode {
    print_to_stderr(why);
    ExitCode::FAILURE
}
