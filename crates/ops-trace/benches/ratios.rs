//! Cost of a span compared with the raw SDK and fastrace, and of the observer for a request.
//!
//! Spans are created in rounds. Between the rounds, unmeasured, the export threads drain the queue: otherwise a full
//! queue would be measured, which is cheaper than a working one. The measurement is the processor time of the thread
//! that creates the spans: on a busy machine the export thread, or another process, runs in between.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

#[path = "foreign/mod.rs"]
mod foreign;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Extensions, HeaderValue, Request, Response, request, response};
use cpu_time::ThreadTime;
use dev::ratio::{Blocks, median};
use opentelemetry::trace::{SpanBuilder, TraceContextExt, Tracer as _, TracerProvider as _};
use opentelemetry::{Context as OtelContext, KeyValue};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider, SpanData,
    SpanExporter,
};
use ops_http::{Observe, ObserveLayer, Outcome, Route};
use ops_trace::http::ServerSpans;
use ops_trace::{Config, Tracer, span};
use tower::{Layer, Service};

/// Spans of one round: more than a batch, so that the export thread is woken as in production.
const ROUND: usize = 1024;
const ROUNDS: usize = 501;
/// A response is this text, repeated.
const BODY: &str = "user";
const BODY_REPEATS: usize = 256;
/// Requests of one round over a connection.
const REQUESTS: usize = 64;

fn main() {
    let mut ratios = dev::ratio::Ratios::from_args();
    sampled(&mut ratios);
    unsampled(&mut ratios);
    disabled();
    foreign::measure(&mut ratios);
    observer("sampled", 1.0);
    observer("not sampled", 0.0);
    keeping(&mut ratios);
    ratios.finish();
}

/// Accepts spans and drops them.
#[derive(Debug)]
struct Nowhere;

impl SpanExporter for Nowhere {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        drop(batch);
        Ok(())
    }
}

fn raw(ratio: f64) -> SdkTracerProvider {
    let batches = BatchConfigBuilder::default().with_max_queue_size(4096);
    let queue = BatchSpanProcessor::builder(Nowhere).with_batch_config(batches.build());
    SdkTracerProvider::builder()
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(
            ratio,
        ))))
        .with_span_processor(queue.build())
        .build()
}

/// Returns a tracer with queue limiter, attribute limits and ring
/// as usual; only the network is omitted, as for the raw SDK.
fn ours(ratio: f64) -> Tracer {
    let config = Config::new("bench").sampling_ratio(ratio).queue_spans(4096);
    Tracer::new(config.environment([("OTEL_TRACES_EXPORTER", "none")])).unwrap()
}

fn raw_span(tracer: &SdkTracer) {
    let builder = SpanBuilder::from_name("query_database").with_attributes([
        KeyValue::new("table", "users"),
        KeyValue::new("operation", "SELECT"),
        KeyValue::new("row_count", 3),
    ]);
    let context = OtelContext::current_with_span(tracer.build(builder));
    let _entered = context.clone().attach();
    context.span().end();
}

fn our_span(tracer: &Tracer) {
    span!(tracer: tracer, "query_database", table = "users", operation = "SELECT", row_count = 3)
        .in_scope(|_| {});
}

struct NoReporter;

impl fastrace::collector::Reporter for NoReporter {
    fn report(&mut self, spans: Vec<fastrace::collector::SpanRecord>) {
        drop(spans);
    }
}

fn fastrace_span() {
    let context = fastrace::collector::SpanContext::random();
    let root = fastrace::Span::root("query_database", context).with_properties(|| {
        [
            ("table", "users"),
            ("operation", "SELECT"),
            ("row_count", "3"),
        ]
    });
    let _entered = root.set_local_parent();
}

fn sampled(ratios: &mut dev::ratio::Ratios) {
    let (provider, tracer) = (raw(1.0), ours(1.0));
    let raw_tracer = provider.tracer("bench");
    fastrace::set_reporter(NoReporter, fastrace::collector::Config::default());
    let [ours, raw, mut fast] = rounds([
        (&mut || our_span(&tracer), &mut || tracer.flush()),
        (&mut || raw_span(&raw_tracer), &mut || {
            drop(provider.force_flush())
        }),
        (&mut fastrace_span, &mut fastrace::flush),
    ]);
    let dropped = tracer.stats().dropped_queue_full;
    ratios.exactly(
        "spans that the bench lost to a full queue",
        0,
        dropped as usize,
    );
    ratios.judge(
        "span with 3 attributes, sampled, limiter and ring on",
        1.0,
        "the raw SDK",
        blocks(&ours, &raw),
    );
    println!("the same with fastrace: {:.1} ns", median(&mut fast));
}

fn unsampled(ratios: &mut dev::ratio::Ratios) {
    let (provider, tracer) = (raw(0.0), ours(0.0));
    let raw_tracer = provider.tracer("bench");
    let [ours, raw] = rounds([
        (&mut || our_span(&tracer), &mut || {}),
        (&mut || raw_span(&raw_tracer), &mut || {}),
    ]);
    ratios.judge(
        "span with 3 attributes, unsampled",
        0.6,
        "the raw SDK",
        blocks(&ours, &raw),
    );
}

fn disabled() {
    let config = Config::new("bench").environment([("OTEL_SDK_DISABLED", "true")]);
    let tracer = Tracer::new(config).unwrap();
    let before_init = || {
        span!(
            "query_database",
            table = "users",
            operation = "SELECT",
            row_count = 3
        )
        .in_scope(|_| {});
    };
    let [mut disabled, mut before] = rounds([
        (&mut || our_span(&tracer), &mut || {}),
        (&mut || before_init(), &mut || {}),
    ]);
    let (disabled, before) = (median(&mut disabled), median(&mut before));
    println!(
        "span with 3 attributes, disabled: {disabled:.1} ns, before init: {before:.1} ns (goal <= 30)"
    );
}

/// Observer that does nothing.
#[derive(Clone)]
struct Nobody;

impl Observe for Nobody {
    type Scope = ();
    type Entered<'a> = ();

    fn start(&self, _: &mut request::Parts) {}
    fn enter<'a>(&'a self, (): &'a mut ()) {}
    fn response(&self, (): &mut (), _: &mut response::Parts) {}
    fn end(&self, (): (), _: &Outcome) {}
}

fn observer(name: &str, ratio: f64) {
    let tracer = ours(ratio);
    let spans = ServerSpans::new()
        .handle(tracer.handle())
        .peer(|_: &Extensions| None);
    let answer = || tower::service_fn(|_: Request<Body>| std::future::ready(Ok(user())));
    let mut observed = ObserveLayer::new(spans).layer(answer());
    let mut alone = ObserveLayer::new(Nobody).layer(answer());
    let [mut with, mut without] = rounds([
        (&mut || request_to(&mut observed), &mut || tracer.flush()),
        (&mut || request_to(&mut alone), &mut || {}),
    ]);
    let mut adds: Vec<f64> = with.iter().zip(&without).map(|(a, b)| a - b).collect();
    let (with, without) = (median(&mut with), median(&mut without));
    println!(
        "request, {name}, observed: {with:.1} ns, by nobody: {without:.1} ns, the observer adds {:.1} ns (goal <= 1200)",
        median(&mut adds)
    );
}

/// Measures requests over a connection, one in a hundred sampled, each
/// with three spans: with a decision at the end of each trace and without.
fn keeping(ratios: &mut dev::ratio::Ratios) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut servers = ["errors,slow", "none"].map(|keep| {
        let config = Config::new("bench").sampling_ratio(0.01).queue_spans(4096);
        let variables = [("OTEL_TRACES_EXPORTER", "none"), ("OPS_TRACE_KEEP", keep)];
        let tracer = Tracer::new(config.environment(variables)).unwrap();
        let client = runtime.block_on(connect(&tracer));
        (tracer, client)
    });
    let [(keeps, with), (drops, without)] = &mut servers;
    let [with, without] = rounds_of(
        REQUESTS,
        [
            (&mut || runtime.block_on(exchange(with)), &mut || {
                keeps.flush()
            }),
            (&mut || runtime.block_on(exchange(without)), &mut || {
                drops.flush()
            }),
        ],
    );
    ratios.judge(
        "request with 4 spans, 1 % sampled, failed and slow ones kept",
        1.15,
        "none kept",
        blocks(&with, &without),
    );
}

async fn connect(tracer: &Tracer) -> tokio::net::TcpStream {
    let handle = tracer.handle();
    let spans = ServerSpans::new()
        .handle(tracer.handle())
        .peer(|_: &Extensions| None);
    let work = move || {
        for name in ["authorize", "query_database", "render"] {
            span!(tracer: handle, name, table = "users", operation = "SELECT", row_count = 3)
                .in_scope(|_| {});
        }
        BODY.repeat(BODY_REPEATS)
    };
    let app = axum::Router::new()
        .route("/users/{id}", axum::routing::get(|| async move { work() }))
        .layer(ObserveLayer::new(spans));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    tokio::net::TcpStream::connect(address).await.unwrap()
}

async fn exchange(connection: &mut tokio::net::TcpStream) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let request = b"GET /users/7?page=2 HTTP/1.1\r\nhost: shop.example:8443\r\n\r\n";
    connection.write_all(request).await.unwrap();
    let (mut answer, mut read) = ([0; 4096], 0);
    let is_whole = |answer: &[u8]| {
        let head = answer.windows(4).position(|end| end == b"\r\n\r\n");
        head.is_some_and(|head| answer.len() == head + 4 + BODY.len() * BODY_REPEATS)
    };
    while !is_whole(&answer[..read]) {
        read += connection.read(&mut answer[read..]).await.unwrap();
    }
}

fn user() -> Response<Body> {
    let mut response = Response::new(Body::from("user"));
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, text);
    response
}

/// Sends a request and reads the response to its end: if it were dropped before, it would have failed.
fn request_to<S, B>(service: &mut S)
where
    S: Service<Request<Body>, Response = Response<B>, Error = std::convert::Infallible>,
    B: http_body::Body,
{
    let mut request = Request::get("/users/7?page=2")
        .header("host", "shop.example:8443")
        .body(Body::empty())
        .unwrap();
    request.extensions_mut().insert(Route::new("/users/{id}"));
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(answer) = pin!(service.call(request)).poll(&mut cx) else {
        unreachable!("it answers at once");
    };
    let mut body = pin!(answer.unwrap().into_body());
    while let Poll::Ready(Some(frame)) = body.as_mut().poll_frame(&mut cx) {
        drop(frame);
    }
}

type Work<'a> = (&'a mut dyn FnMut(), &'a mut dyn FnMut());

/// Returns the nanoseconds of each round, alternating between the works; the pause after each round is not measured.
fn rounds<const N: usize>(works: [Work<'_>; N]) -> [Vec<f64>; N] {
    rounds_of(ROUND, works)
}

fn rounds_of<const N: usize>(calls: usize, mut works: [Work<'_>; N]) -> [Vec<f64>; N] {
    let mut samples = [(); N].map(|()| Vec::with_capacity(ROUNDS));
    for round in 0..=ROUNDS {
        for ((work, pause), samples) in works.iter_mut().zip(&mut samples) {
            let started = ThreadTime::now();
            for _ in 0..calls {
                work();
            }
            let nanos = started.elapsed().as_secs_f64() * 1e9 / calls as f64;
            pause();
            if round > 0 {
                samples.push(nanos); // the first round warms up
            }
        }
    }
    samples
}

/// Returns the rounds of this crate and of the raw SDK, alternating.
fn blocks(ours: &[f64], theirs: &[f64]) -> Blocks {
    let mut blocks = Blocks::default();
    for (ours, theirs) in ours.iter().zip(theirs) {
        blocks.push(*ours, *theirs);
    }
    blocks
}
