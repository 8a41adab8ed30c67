//! Application code that runs while a line is written, and panics.

use std::cell::RefCell;
use std::io::{self, Write};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ops_log::{Config, Output, Pipeline, info};

use crate::{Written, json, pipeline, rest};

thread_local! {
    static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
}

/// Logs when its thread ends.
struct Last(Pipeline);

impl Drop for Last {
    fn drop(&mut self) {
        info!(self.0.root(), "thread_ends");
    }
}

#[test]
fn a_reader_of_trace_ids_that_panics_costs_the_ids_only() {
    crate::trace_ids::set_source();
    let (pipeline, written) = json();
    crate::trace_ids::PANICS.set(true);
    info!(pipeline.root(), "asked", n = 1);
    crate::trace_ids::PANICS.set(false);
    assert_eq!(rest(&written.last()), r#","n":1}"#);
}

#[test]
fn a_line_of_a_thread_that_ends_is_written_although_the_reader_finds_nothing_any_more() {
    crate::trace_ids::set_source();
    let (pipeline, written) = json();
    std::thread::spawn(move || {
        // destroyed in the order of first use, with the last line first or last: both are tested
        LAST.with_borrow_mut(|last| *last = Some(Last(pipeline.clone())));
        crate::trace_ids::NEEDS_STORAGE.set(true);
        crate::trace_ids::STORAGE.with_borrow(|storage| assert!(storage.is_some()));
        info!(pipeline.root(), "running");
    })
    .join()
    .unwrap();
    let lines = written.lines().concat();
    assert!(
        lines.contains("running") && lines.contains("thread_ends"),
        "{lines}"
    );
}

#[test]
fn a_clock_that_panics_is_ignored() {
    let (pipeline, written) = pipeline(|config| config.clock(|| panic!("no time")), true);
    info!(pipeline.root(), "timed", n = 1);
    assert_eq!(rest(&written.last()), r#","n":1}"#);
    assert!(!written.last().contains("1970"));
}

#[test]
fn a_writer_that_panics_loses_its_line_and_the_others_get_theirs() {
    struct Panics;

    impl std::io::Write for Panics {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            panic!("in write")
        }

        fn flush(&mut self) -> std::io::Result<()> {
            panic!("in flush")
        }
    }

    let written = Written::default();
    let config = Config::new()
        .stdout(false)
        .output(Output::writer(Panics))
        .output(Output::writer(written.clone()).json(true));
    let pipeline = Pipeline::new(config).unwrap();
    info!(pipeline.root(), "first");
    info!(pipeline.root(), "second");
    let lines = written.lines().concat();
    assert!(
        lines.contains("\"first\"") && lines.contains("\"second\""),
        "{lines}"
    );
    assert_eq!(lines.matches("log_output_failed").count(), 1, "{lines}");
    assert_eq!(pipeline.stats().dropped, 2);
    assert!(!pipeline.flush(std::time::Duration::from_secs(1)));
}

/// Logs while it is flushed, and while it writes after a failure.
struct Chatty {
    pipeline: Arc<OnceLock<Pipeline>>,
    is_full: Arc<AtomicBool>,
}

impl Chatty {
    fn log(&self) {
        if let Some(pipeline) = self.pipeline.get() {
            info!(pipeline.root(), "from_the_writer");
        }
    }
}

impl Write for Chatty {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.log();
        match self.is_full.load(Ordering::Relaxed) {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(line.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.log();
        Ok(())
    }
}

#[test]
fn a_writer_that_logs_while_it_is_flushed_stops_nobody() {
    for is_full in [false, true] {
        let is_full = Arc::new(AtomicBool::new(is_full));
        let writer = Chatty {
            pipeline: Arc::default(),
            is_full: is_full.clone(),
        };
        let known = writer.pipeline.clone();
        let config = Config::new().stdout(false).output(Output::writer(writer));
        let pipeline = known.get_or_init(|| Pipeline::new(config).unwrap()).clone();
        info!(pipeline.root(), "asked");
        is_full.store(false, Ordering::Relaxed);
        let (done, flushed) = std::sync::mpsc::channel();
        std::thread::spawn(move || done.send(pipeline.flush(Duration::from_secs(20))));
        assert_eq!(flushed.recv_timeout(Duration::from_secs(60)), Ok(true));
    }
}

#[test]
fn a_process_whose_clock_reader_and_writer_panic_within_a_panic_goes_on() {
    let output = Command::new(crate::output::example("hostile"))
        .output()
        .unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{:?} {out} {err}", output.status);
    assert!(
        out.contains(r#""event":"panic","message":"deliberate""#),
        "{out}"
    );
    assert!(out.contains(r#""event":"goes_on""#), "{out}");
    assert!(
        out.contains(r#""message":"with [REDACTED] within""#),
        "{out}"
    );
    assert!(err.contains("with [REDACTED] within"), "{err}");
    assert!(
        err.contains(r#"no login: Login { password: "[REDACTED]" }"#),
        "{err}"
    );
    for secret in ["registered-secret", "hunter2"] {
        assert!(!format!("{out}{err}").contains(secret), "{out} {err}");
    }
}
