//! The same event by structlog, with json and with orjson: `cargo xtask bench --package ops-log --peers`.
//!
//! Both write to memory, with a timestamp and two fields of context; they take turns in blocks, on the processor's time
//! of the thread, and the median of the blocks' ratios counts. With `--check` a ratio that is missed by 25 % is a failure.

use std::env;
use std::error::Error;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use ops_log::{Config, Logger, Output, Pipeline};

const BLOCKS: usize = 31;
const LINES: u32 = 20_000;

/// A Python process that logs a block whenever it is asked.
struct Structlog {
    child: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Structlog {
    fn start(python: &Path, renderer: &str) -> Result<Self, Box<dyn Error>> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("structlog_lines.py");
        let mut child = Command::new(python)
            .arg(script)
            .arg(renderer)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}: run `cargo xtask setup`", python.display()))?;
        Ok(Self {
            ask: child.stdin.take().ok_or("no stdin")?,
            answers: BufReader::new(child.stdout.take().ok_or("no stdout")?),
            child,
        })
    }

    /// Nanoseconds for a line.
    fn block(&mut self) -> Result<f64, Box<dyn Error>> {
        writeln!(self.ask)?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        Ok(answer.trim().parse()?)
    }
}

impl Drop for Structlog {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Nanoseconds for a line of ours.
fn block(log: &Logger) -> f64 {
    let started = processor_seconds();
    for _ in 0..LINES {
        ops_log::info!(
            log,
            "request_completed",
            method = "GET",
            path = "/api/registry/models",
            status = 200_u16,
            latency_ms = 45_u64,
            user_id = 456_u64,
            cached = false,
            bytes = 18_324_u64,
            ratio = 0.75,
            region = "eu-central-1",
            agent = "k6/1.1.0"
        );
    }
    (processor_seconds() - started) * 1e9 / f64::from(LINES)
}

/// What this thread spent: on a busy machine others run in between.
fn processor_seconds() -> f64 {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9
}

/// Takes everything and keeps the newest megabyte at most.
struct Memory(Vec<u8>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() > 1 << 20 {
            self.0.clear();
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn median(samples: &mut [f64]) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

fn compare(python: &Path, renderer: &str, times: f64) -> Result<bool, Box<dyn Error>> {
    let output = Output::writer(Memory(Vec::with_capacity(2 << 20))).json(true);
    let pipeline = Pipeline::new(Config::new().stdout(false).output(output))?;
    let log = pipeline.logger("api");
    ops_log::bind_context!(
        request_id = "req-abc123",
        trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    );
    let mut structlog = Structlog::start(python, renderer)?;
    block(&log);
    let mut samples: [Vec<f64>; 3] = Default::default();
    for _ in 0..BLOCKS {
        let (ours, theirs) = (block(&log), structlog.block()?);
        for (samples, sample) in samples.iter_mut().zip([ours, theirs, ours / theirs]) {
            samples.push(sample);
        }
    }
    let [ours, theirs, ratio] = samples.each_mut().map(|samples| median(samples));
    let goal = 1.0 / times;
    let verdict = if ratio <= goal { "met" } else { "missed" };
    println!(
        "10 fields, JSON: {ours:.0} ns, structlog with {renderer} {theirs:.0} ns, ratio 1/{:.1} (goal <= 1/{times}: {verdict})",
        1.0 / ratio
    );
    Ok(ratio <= goal * 1.25)
}

fn main() -> Result<(), Box<dyn Error>> {
    let tools = env::var_os("OPS_TOOLS").map_or_else(|| PathBuf::from(".tools"), PathBuf::from);
    let python = tools.join("peers/bin/python");
    let met = [
        compare(&python, "json", 40.0)?,
        compare(&python, "orjson", 25.0)?,
    ];
    if env::args().any(|argument| argument == "--check") && met.contains(&false) {
        return Err("a ratio was missed by more than 25 %".into());
    }
    Ok(())
}
