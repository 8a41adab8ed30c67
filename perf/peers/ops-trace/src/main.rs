//! Compares the cost of creating and exporting a span with that of the OpenTelemetry SDK with its batch exporter:
//! `cargo xtask bench --package ops-trace --peers`.
//!
//! Both send over HTTP to one collector, a separate process that discards all data. They alternate in rounds, and
//! export everything at the end of each. Measured are the processor time of all threads of this process, and the part
//! of it outside of the thread that creates the spans, which is the export. With `--check`, missing a ratio by 25 % is
//! a failure.

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::thread;

use cpu_time::{ProcessTime, ThreadTime};
use dev::ratio::{Blocks, Ratios};
use opentelemetry::trace::{SpanBuilder, TraceContextExt, Tracer as _, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use ops_trace::{Config, Tracer, span};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Spans of one round: three batches of either exporter, and fewer than the queue of either holds.
const ROUND: usize = 1536;
const ROUNDS: usize = 101;

fn main() -> Result<()> {
    if std::env::args().nth(1).as_deref() == Some("collector") {
        return collect();
    }
    let mut collector = Command::new(std::env::current_exe()?)
        .arg("collector")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut address = String::new();
    let message = collector.stdout.take().ok_or("no stdout")?;
    BufReader::new(message).read_line(&mut address)?;
    let measured = measure(&format!("http://{}", address.trim()));
    collector.kill()?;
    collector.wait()?;
    measured
}

fn measure(collector: &str) -> Result<()> {
    let provider = raw(collector)?;
    let theirs = provider.tracer("bench");
    let config = Config::new("bench").sampling_ratio(1.0);
    let ours = Tracer::new(config.environment([("OTEL_EXPORTER_OTLP_ENDPOINT", collector)]))?;
    let (mut whole, mut export) = (Blocks::default(), Blocks::default());
    for round in 0..=ROUNDS {
        let our_times = times(|| our_span(&ours), || ours.flush());
        let their_times = times(|| raw_span(&theirs), || drop(provider.force_flush()));
        // the first round opens the connections
        if round > 0 {
            whole.push(our_times.0, their_times.0);
            export.push(our_times.1, their_times.1);
        }
    }
    let mut ratios = Ratios::from_args();
    let stats = ours.stats();
    ratios.exactly(
        "spans that were not sent",
        0,
        (ROUNDS + 1) * ROUND - stats.exported as usize,
    );
    let peer = "the SDK and its batch exporter";
    ratios.judge("span with 3 attributes, made and sent", 1.0, peer, whole);
    ratios.judge("of it the export", 1.1, peer, export);
    ratios.finish();
    Ok(())
}

/// Returns the nanoseconds per span of a round: of all threads, and of all threads except this one.
fn times(work: impl Fn(), flush: impl FnOnce()) -> (f64, f64) {
    let (process, thread) = (ProcessTime::now(), ThreadTime::now());
    (0..ROUND).for_each(|_| work());
    flush();
    let (process, thread) = (process.elapsed(), thread.elapsed());
    let of_each = |time: std::time::Duration| time.as_secs_f64() * 1e9 / ROUND as f64;
    (of_each(process), of_each(process.saturating_sub(thread)))
}

/// Returns the SDK with its defaults, except for the address of the exporter.
fn raw(collector: &str) -> Result<SdkTracerProvider> {
    // reqwest requires a choice although nothing here is encrypted
    let chosen = rustls::crypto::ring::default_provider().install_default();
    chosen.map_err(|_| "cryptography is chosen already")?;
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{collector}/v1/traces"))
        .build()?;
    let provider = SdkTracerProvider::builder();
    Ok(provider.with_batch_exporter(exporter).build())
}

fn raw_span(tracer: &SdkTracer) {
    let builder = SpanBuilder::from_name("query_database").with_attributes([
        KeyValue::new("table", "users"),
        KeyValue::new("operation", "SELECT"),
        KeyValue::new("row_count", 3),
    ]);
    let context = Context::current_with_span(tracer.build(builder));
    let _entered = context.clone().attach();
    context.span().end();
}

fn our_span(tracer: &Tracer) {
    span!(tracer: tracer, "query_database", table = "users", operation = "SELECT", row_count = 3)
        .in_scope(|_| {});
}

/// Prints the address of a collector, which runs until it is killed.
fn collect() -> Result<()> {
    println!("{}", dev::collector::start()?);
    loop {
        thread::park();
    }
}
