//! `kearney-platform black-box`: the last seconds of a process, from its black box file.

use std::fmt::Write;
use std::io::IsTerminal;
use std::time::{Duration, SystemTime};

use ops_layer::black_box::{Kind as RecordKind, PanicReport, Reading, Record, read};
use ops_layer::log::reader::{StoredLine, escaped};

use crate::args;
use crate::error::{Error, Kind, Result};
use crate::output::{print_json, print_result};

pub fn run(options: &args::BlackBox) -> Result<()> {
    let mut reading = read(&options.file)
        .map_err(|error| Error::new(Kind::File, "cannot read the black box").because(error))?;
    reading.keep_last(options.last, usize::MAX);
    if options.json {
        return print_json(&reading);
    }
    let color = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    print_result(&shown(&reading, color))
}

fn shown(reading: &Reading, color: bool) -> String {
    let mut text = String::new();
    let mut fact = |name: &str, value: &str| {
        // writing to a string does not fail
        let _ = writeln!(text, "{name:<10} {}", escaped(value));
    };
    let ran = reading.last_seen.duration_since(reading.started);
    let ran = Duration::from_secs(ran.unwrap_or_default().as_secs());
    let process = reading.process;
    fact(
        "service",
        &format!("{}, process {process}", reading.service),
    );
    fact("started", &instant(reading.started));
    let last_seen = instant(reading.last_seen);
    let ran = humantime::format_duration(ran);
    fact("last seen", &format!("{last_seen}, after {ran}"));
    let ending = &reading.ending;
    fact("end", &format!("{}: {}", ending.kind, ending.how));
    fact("boot id", &reading.boot_id);
    if reading.missing_bytes > 0 {
        let missing = reading.missing_bytes;
        fact(
            "truncated",
            &format!("{missing} bytes and the records in them are missing"),
        );
    }
    if reading.torn > 0 {
        let torn = reading.torn;
        fact(
            "torn",
            &format!("{torn} records were being written when the process died"),
        );
    }
    if let Some(panic) = &reading.panic {
        show_panic(&mut text, panic);
    }
    let (count, older) = (reading.records.len(), reading.left_out);
    let _ = writeln!(
        text,
        "\n{count} records; {older} older records are in the file (--last)"
    );
    for record in &reading.records {
        text.push_str(&line(record, color));
        text.push('\n');
    }
    text
}

fn show_panic(text: &mut String, panic: &PanicReport) {
    let thread = panic.thread.as_deref().unwrap_or("<unnamed>");
    let location = panic.location.as_deref().unwrap_or("<unknown location>");
    let _ = writeln!(
        text,
        "\nthread {} panicked at {}:\n{}",
        escaped(thread),
        escaped(location),
        escaped(&panic.message)
    );
    for frame in panic.backtrace.iter().flat_map(|trace| trace.lines()) {
        let _ = writeln!(text, "{}", escaped(frame));
    }
}

fn instant(at: SystemTime) -> String {
    humantime::format_rfc3339_millis(at).to_string()
}

/// Formats a record as a line.
fn line(record: &Record, color: bool) -> String {
    if record.kind == RecordKind::Line
        && let Ok(line) = StoredLine::parse(&record.text)
    {
        return line.console(color);
    }
    let at = instant(record.at).replace('T', " ");
    let at = at.get(..19).unwrap_or(&at);
    let kind = record.kind.as_str();
    format!("{at} [{kind:<9}] {}", escaped(&record.text))
}
