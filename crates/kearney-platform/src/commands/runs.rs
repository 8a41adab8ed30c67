//! `kearney-platform runs`: lists past and current runs, also while the platform is running.

use ops_layer::log::reader::escaped;
use serde_json::json;

use crate::args;
use crate::error::{Error, Kind, Result, chain};
use crate::files::DataDir;
use crate::orchestrator::{Record, Runs};
use crate::output::{print_json, print_result, print_to_stderr};

pub fn run(options: &args::Runs) -> Result<()> {
    let dir = &options.data_dir;
    if !dir.is_dir() {
        let message = format!(
            "--data-dir {}: no such directory; set it to the platform's data directory",
            dir.display()
        );
        return Err(Error::new(Kind::File, message));
    }
    let lock = DataDir::lock_unowned(dir);
    let (runs, unreadable) = Runs::read(dir)?;
    if lock.is_some() {
        runs.interrupt_unfinished();
    }
    drop(lock);
    for error in &unreadable {
        print_to_stderr(&chain(error));
    }
    if let Some(id) = options.run_id {
        let missing = || Error::new(Kind::Registry, format!("no such run: {id}"));
        let record = runs.get(id).ok_or_else(missing)?;
        return if options.json {
            print_json(&record)
        } else {
            print_result(&describe(&record))
        };
    }
    let wanted = |record: &Record| options.status.is_none_or(|status| record.status == status);
    let (page, _) = runs.page(None, options.limit, wanted);
    if options.json {
        return print_json(&json!({ "runs": page }));
    }
    if page.is_empty() {
        return print_result("no matching runs\n");
    }
    print_result(&page.iter().map(line).collect::<String>())
}

/// Formats a run as one line: time, id, job, client, status, phase, duration, retries, error.
fn line(record: &Record) -> String {
    let client = record.client.as_ref().map_or("-", |client| client.as_str());
    let phase = record.phase.as_deref().unwrap_or("-");
    let took = record
        .took_ms
        .map_or("-".to_owned(), |ms| format!("{ms}ms"));
    let why = record.error.as_deref().unwrap_or_default();
    let line = format!(
        "{} {} {} {client} {} {phase} {took} retries={} {why}",
        record.requested_at.get(..19).unwrap_or_default(),
        record.run_id,
        record.job.name(),
        record.status.as_str(),
        record.retries,
    );
    // a record comes from a file: its texts may contain line breaks and escape sequences
    one_line(&line) + "\n"
}

fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    escaped(&words.join(" "))
}

/// Formats a run with its phases.
pub fn describe(record: &Record) -> String {
    let mut text = line(record);
    for phase in &record.phases {
        let how = if phase.ok { "done" } else { "failed" };
        let name = one_line(&phase.phase);
        text += &format!("  {name} {how} after {} ms\n", phase.took_ms);
    }
    if let Some(result) = &record.result {
        let file = result.file.as_deref().unwrap_or_default();
        text += &format!(
            "  published {}: {} rows in {}\n",
            one_line(&result.name),
            result.rows,
            one_line(file)
        );
    }
    if let Some(trace) = &record.trace_id {
        text += &format!("  trace {}\n", one_line(trace));
    }
    text
}
