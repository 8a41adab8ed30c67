//! One event compared with common ways to log it: `cargo bench -p ops-log --bench ratios`. All write JSON with
//! a timestamp to the same memory, under a context of two fields; ops-log also counts and keeps recent lines.
#![expect(
    clippy::unwrap_used,
    reason = "a bench that cannot start has nothing to say"
)]

use std::io::{self, Write};
use std::sync::Mutex;

use dev::ratio::Ratios;
use dev::ten_fields;
use dev::ten_fields::{Memory, TRACE};
use ops_log::{Config, Output, Pipeline};
use slog::{Drain, o};

/// Writer that accepts everything and keeps nothing.
struct Discard;

impl Write for Discard {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // otherwise the compiler removes rendering too
        std::hint::black_box(bytes);
        Ok(bytes.len())
    }

    #[inline]
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn ours(config: impl FnOnce(Config) -> Config) -> Pipeline {
    let config = config(Config::new().stdout(false).service_name("api"));
    Pipeline::new(config).unwrap()
}

fn to_memory(config: Config) -> Config {
    config.output(Output::writer(Memory::new()).json(true))
}

/// The ratio depends on the sink, whose type slog-json knows: its calls are compiled into the renderer.
fn slog_json(sink: impl Write + Send + 'static) -> slog::Logger {
    let drain = slog_json::Json::new(sink).add_default_keys().build();
    let root = slog::Logger::root(Mutex::new(drain.fuse()).fuse(), o!());
    root.new(o!("request_id" => "req-abc123", "trace_id" => TRACE))
}

macro_rules! ten_slog_fields {
    ([$($macro:tt)+], $log:expr) => {
        $($macro)+!($log, "request_completed";
            "method" => "GET", "path" => "/api/registry/models", "status" => 200_u16, "latency_ms" => 45_u64,
            "user_id" => 456_u64, "cached" => false, "bytes" => 18_324_u64, "ratio" => 0.75,
            "region" => "eu-central-1", "agent" => "k6/1.1.0")
    };
}

fn traced() {
    tracing::info!(
        method = "GET",
        path = "/api/registry/models",
        status = 200_u16,
        latency_ms = 45_u64,
        user_id = 456_u64,
        cached = false,
        bytes = 18_324_u64,
        ratio = 0.75,
        region = "eu-central-1",
        agent = "k6/1.1.0",
        "request_completed"
    );
}

fn ten_fields(ratios: &mut Ratios) {
    let pipeline = ours(to_memory);
    let log = pipeline.root();
    let theirs = slog_json(Memory::new());
    ratios.at_most(
        "10 fields, JSON",
        0.5,
        || ten_fields!([ops_log::info], log),
        ("slog-json", || ten_slog_fields!([slog::info], theirs)),
    );
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_writer(Mutex::new(Memory::new()))
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        let span = tracing::info_span!("request", request_id = "req-abc123", trace_id = TRACE);
        let _entered = span.enter();
        ratios.at_most(
            "10 fields, JSON",
            0.15,
            || ten_fields!([ops_log::info], log),
            ("tracing-subscriber's JSON", traced),
        );
    });
}

/// The sink decides: slog-json writes a line in many pieces, each of which costs
/// almost nothing here, while ops-log makes one call to a writer of unknown type.
fn discarded(ratios: &mut Ratios) {
    let pipeline = ours(|config| config.output(Output::writer(Discard).json(true)));
    let log = pipeline.root();
    let theirs = slog_json(Discard);
    ratios.at_most(
        "10 fields, JSON, discarded",
        0.6,
        || ten_fields!([ops_log::info], log),
        ("slog-json into a concrete sink that discards", || {
            ten_slog_fields!([slog::info], theirs);
        }),
    );
}

fn ten_bound_fields(ratios: &mut Ratios) {
    let pipeline = ours(to_memory);
    let log = dev::ten_bound_fields!(pipeline.root());
    let theirs =
        slog_json(Memory::new()).new(o!("request_id" => "req-abc123", "trace_id" => TRACE));
    let theirs = theirs.new(o!(
        "method" => "GET", "path" => "/api/registry/models", "status" => 200_u16, "latency_ms" => 45_u64,
        "user_id" => 456_u64, "cached" => false, "bytes" => 18_324_u64, "ratio" => 0.75,
        "region" => "eu-central-1", "agent" => "k6/1.1.0"));
    ratios.at_most(
        "10 bound fields, JSON",
        0.35,
        || ops_log::info!(log, "request_completed"),
        ("slog-json", || slog::info!(theirs, "request_completed")),
    );
}

fn disabled(ratios: &mut Ratios) {
    let pipeline = ours(to_memory);
    let log = pipeline.root();
    let discard = slog::Logger::root(slog::Discard, o!());
    ratios.at_most(
        "disabled, 10 fields",
        1.5,
        || ten_fields!([ops_log::debug], *std::hint::black_box(&log)),
        ("slog's discard", || {
            ten_slog_fields!([slog::debug], *std::hint::black_box(&discard));
        }),
    );
}

fn without_goal(ratios: &Ratios) {
    let people = ours(|config| config.output(Output::writer(Memory::new()).color(false)));
    let log = people.root();
    ratios.report("10 fields, console", || ten_fields!([ops_log::info], log));
    let json = ours(to_memory);
    let log = json.root();
    ratios.report(
        "10 fields, JSON, a value is registered for redaction",
        || {
            ten_fields!([ops_log::info], log);
        },
    );
    let slog = json.root().slog();
    ops_log::unredact("a registered secret");
    ratios.report("10 fields, JSON, by slog's macro", || {
        ten_slog_fields!([slog::info], slog)
    });
    ratios.report("no fields, JSON", || ops_log::info!(log, "started"));
}

fn main() {
    let mut ratios = Ratios::from_args();
    ops_log::bind_context!(request_id = "req-abc123", trace_id = TRACE);
    ten_fields(&mut ratios);
    ten_bound_fields(&mut ratios);
    if !ratios.is_check() {
        discarded(&mut ratios);
    }
    disabled(&mut ratios);
    ops_log::redact("a registered secret");
    without_goal(&ratios);
    ratios.finish();
}
