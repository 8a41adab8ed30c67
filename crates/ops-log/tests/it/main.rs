//! The crate through its public API.
#![expect(clippy::panic, clippy::unwrap_used, reason = "tests")]

mod bridges;
mod callbacks;
mod capture;
mod config;
mod context;
mod documents;
mod http;
mod json_form;
mod labels;
mod late_lines;
mod level;
mod line;
mod notations;
mod output;
mod pairs;
mod property;
mod rate_limit;
mod reader;
mod reader_follow;
mod reader_input;
mod reader_select;
mod reconfigure;
mod redact;
mod rotation;
mod secrecy;
mod slog_drains;
mod tap;
mod threads;
mod trace_ids;
mod values;
mod words;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ops_log::{Config, Output, Pipeline};
use parking_lot::Mutex;

/// Returns 2025-01-15T10:30:00.123Z.
fn sample_time() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_736_937_000_123)
}

/// Captured output, one entry for each call of `write`.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<Vec<u8>>>>);

impl std::io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().push(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Written {
    fn lines(&self) -> Vec<String> {
        let lines = self.0.lock();
        lines
            .iter()
            .map(|line| String::from_utf8(line.clone()).unwrap())
            .collect()
    }

    fn last(&self) -> String {
        self.lines().pop().unwrap_or_default()
    }
}

/// Returns a pipeline that writes to memory, with the sample time as its clock.
fn pipeline(config: impl FnOnce(Config) -> Config, json: bool) -> (Pipeline, Written) {
    let written = Written::default();
    let output = Output::writer(written.clone()).json(json).color(false);
    let base = Config::new()
        .stdout(false)
        .service_name("api")
        .clock(sample_time)
        .output(output);
    (Pipeline::new(config(base)).unwrap(), written)
}

fn json() -> (Pipeline, Written) {
    pipeline(|config| config, true)
}

/// Returns a line without its timestamp, level, logger and event.
fn rest(line: &str) -> &str {
    let event = line.find(",\"event\":\"").unwrap() + 10;
    let end = line[event..].find('"').unwrap();
    line[event + end + 1..].trim_end()
}
