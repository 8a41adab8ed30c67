//! Service that the tests start. Its limits come from the environment.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::Request;
use axum::routing::{Route, get, post};
use axum::{Extension, Router};
use ops_layer::{Config, Health, Service, StopSignal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::ServiceExt;
use tower::util::MapRequest;
use tower_layer::layer_fn;

/// Variable that makes this test the service.
pub(crate) const ROLE: &str = "OPS_SERVE_TEST_ROLE";
/// Size of a stack in bytes, for `RUST_MIN_STACK`: more than `/threads` leaves.
pub(crate) const LARGE_STACK: &str = "1073741824";
/// Number of bytes that `/threads` leaves.
const ROOM: u64 = 512 << 20;
/// Size of `/large` in bytes.
pub(crate) const LARGE: usize = 4 << 20;

static HEALTH: AtomicU8 = AtomicU8::new(0);

fn router() -> Router {
    Router::new()
        .route("/hello", get(|| async { "hello\n" }))
        .route("/large", get(|| async { vec![b'x'; LARGE] }))
        .route("/panic", get(panics))
        .route("/panic_with_login", get(panics_with_login))
        .route("/slow", get(slow))
        .route("/block", get(block))
        .route("/in_background", get(in_background))
        .route("/descriptors", get(take_descriptors))
        .route("/threads", get(take_threads))
        .route("/switch", get(switch))
        .route("/chunks", get(chunks))
        .route("/served", get(served).layer(layer_fn(counted)))
        .route(
            "/length",
            post(|body: Bytes| async move { body.len().to_string() }),
        )
        .route("/test", post(crate::w3c::call_back))
        .route("/health/{state}", post(set_health))
}

async fn panics() -> &'static str {
    panic!("on purpose")
}

/// Panics with a login in the message, as `unwrap` does for an error that contains one.
async fn panics_with_login() -> &'static str {
    panic!("no login: {:?}", Login::default())
}

#[derive(Debug)]
#[expect(dead_code, reason = "shown by Debug")]
struct Login {
    user: &'static str,
    password: &'static str,
}

impl Default for Login {
    fn default() -> Self {
        Self {
            user: "ada",
            password: "correct-horse-battery",
        }
    }
}

async fn slow() -> &'static str {
    let time = number("SLOW_MS").unwrap_or(Duration::from_millis(300));
    tokio::time::sleep(time).await;
    "slow\n"
}

/// Blocks a worker of the runtime, which no handler should do.
async fn block() -> &'static str {
    std::thread::sleep(number("BLOCK_MS").unwrap());
    "blocked\n"
}

/// Leaves blocking work running, as a query without a limit does.
async fn in_background() -> &'static str {
    let blocked = number("BLOCK_MS").unwrap();
    tokio::task::spawn_blocking(move || std::thread::sleep(blocked));
    "begun\n"
}

/// Opens files until none can be opened, and keeps them; for a
/// second, to take descriptors that are open only briefly, too.
async fn take_descriptors() -> &'static str {
    let mut kept = Vec::new();
    for _ in 0..100 {
        kept.extend(std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    std::mem::forget(kept);
    "taken\n"
}

async fn take_threads() -> &'static str {
    leave_no_thread();
    "taken\n"
}

/// Leaves the process no room for the stack of another thread,
/// which is [`LARGE_STACK`], but enough for everything else.
fn leave_no_thread() {
    // a thread that starts or ends meanwhile takes or frees the room of its stack
    let is_none_left = (0..10).any(|_| {
        let size = limit_memory();
        std::thread::Builder::new().spawn(|| ()).is_err() && virtual_memory() < size + ROOM
    });
    assert!(is_none_left, "set RUST_MIN_STACK");
}

/// Limits the process to its current size plus [`ROOM`]; returns the current size.
fn limit_memory() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let size = virtual_memory();
    let limit = Rlimit {
        current: Some(size + ROOM),
        maximum: getrlimit(Resource::As).maximum,
    };
    setrlimit(Resource::As, limit).unwrap();
    size
}

/// Returns the size of the process's address space in bytes.
fn virtual_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
    let size = size.unwrap().trim_end_matches("kB").trim();
    let size: u64 = size.parse().unwrap();
    size << 10
}

/// Switches to a protocol in which nothing is sent.
async fn switch(mut request: axum::extract::Request) -> axum::response::Response {
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let _upgraded = upgrade.await;
        std::future::pending::<()>().await;
    });
    axum::response::Response::builder()
        .status(101)
        .header("connection", "upgrade")
        .header("upgrade", "silence")
        .body(axum::body::Body::empty())
        .unwrap()
}

/// Adds the number of requests that this layer has passed on, as a limit counts them.
fn counted(route: Route) -> MapRequest<Route, impl FnMut(Request) -> Request + Clone> {
    let count = Arc::<AtomicUsize>::default();
    route.map_request(move |mut request: Request| {
        let number = count.fetch_add(1, Ordering::SeqCst) + 1;
        request.extensions_mut().insert(number);
        request
    })
}

async fn served(Extension(number): Extension<usize>) -> String {
    number.to_string()
}

/// Sends as many chunks as the client takes.
async fn chunks() -> axum::body::Body {
    let chunk = || Ok::<_, std::convert::Infallible>(Bytes::from_static(&[b'x'; 1000]));
    axum::body::Body::from_stream(futures_util::stream::repeat_with(chunk))
}

/// Uses up processor time.
#[inline(never)]
fn spin_for_the_profile() {
    let mut number = 1_u64;
    loop {
        number = std::hint::black_box(
            number
                .wrapping_mul(6_364_136_223_846_793_005)
                .rotate_left(7),
        );
    }
}

async fn set_health(axum::extract::Path(state): axum::extract::Path<u8>) {
    HEALTH.store(state, Ordering::SeqCst);
}

async fn warehouse() -> Health {
    match HEALTH.load(Ordering::SeqCst) {
        0 => Health::Ready,
        1 => Health::degraded("one replica is left"),
        2 => Health::failed("no replica is left"),
        3 => panic!("on purpose"),
        6 => Health::failed(format!("no login: {:?}", Login::default())),
        5 => late_once().await,
        _ => std::future::pending().await,
    }
}

/// Fails at first, then once more for a call that began before one that passes, and after that one has passed.
async fn late_once() -> Health {
    static ASKED: AtomicU8 = AtomicU8::new(0);
    static PASSED: tokio::sync::Notify = tokio::sync::Notify::const_new();
    match ASKED.fetch_add(1, Ordering::SeqCst) {
        0 => return Health::failed("no replica is there yet"),
        1 => {
            PASSED.notified().await;
            // the result that passed is processed meanwhile
            tokio::time::sleep(Duration::from_millis(20)).await;
            return Health::failed("no replica was there");
        }
        2 => PASSED.notify_one(),
        _ => {
            ASKED.store(3, Ordering::SeqCst);
            tracing::info!("asked_again");
        }
    }
    Health::Ready
}

fn number(name: &str) -> Option<Duration> {
    let text = std::env::var(name).ok()?;
    Some(Duration::from_millis(text.parse().unwrap()))
}

fn configured(mut service: Service) -> Service {
    type Set = fn(Service, Duration) -> Service;
    let settings: [(&str, Set); 5] = [
        ("HEAD_MS", Service::head_timeout),
        ("IDLE_MS", Service::idle_timeout),
        ("WRITE_MS", Service::write_timeout),
        ("BODY_MS", Service::body_timeout),
        ("TIMEOUT_MS", Service::timeout),
    ];
    for (name, set) in settings {
        if let Some(value) = number(name) {
            service = set(service, value);
        }
    }
    let count = |name: &str| Some(std::env::var(name).ok()?.parse::<usize>().unwrap());
    if let Some(max) = count("MAX_IN_FLIGHT") {
        service = service.max_in_flight(max);
    }
    if std::env::var_os("WITHOUT_ADMIN").is_some() {
        service = service.without_admin();
    }
    if std::env::var_os("FOREVER").is_some() {
        let setters: [Set; 7] = [
            Service::head_timeout,
            Service::idle_timeout,
            Service::write_timeout,
            Service::body_timeout,
            Service::timeout,
            Service::grace,
            Service::shutdown_budget,
        ];
        service = setters
            .iter()
            .fold(service, |service, set| set(service, Duration::MAX));
    }
    if let Some(max) = count("MAX_CONNECTIONS") {
        service = service.max_connections(max);
    }
    service
}

#[test]
#[ignore = "the service that the other tests start"]
fn service() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    if let Ok(health) = std::env::var("HEALTH") {
        HEALTH.store(health.parse().unwrap(), Ordering::SeqCst);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    #[cfg(feature = "secrets")]
    if std::env::var_os("FAILS_FIRST").is_some() {
        let wrong = Config::new("child").log_file("app.log");
        let refused = ops_layer::init(wrong.secrets_yaml("embedded", "secrets: ["));
        assert_eq!(refused.unwrap_err().part(), "secrets");
    }
    #[cfg(all(feature = "secrets", feature = "cache"))]
    if std::env::var_os("FAILS_LATE").is_some() {
        std::fs::write("file", "no directory").unwrap();
        let wrong = Config::new("child").log_file("app.log").cache_dir("file");
        assert_eq!(ops_layer::init(wrong).unwrap_err().part(), "cache");
    }
    let mut config = Config::new("child").log_file("app.log");
    if std::env::var_os("LOG_IN_CODE").is_some() {
        config = config.log(ops_layer::log::Config::new());
    }
    #[cfg(all(feature = "log", feature = "trace", feature = "secrets"))]
    if std::env::var_os("PARTS_IN_CODE").is_some() {
        let log = ops_layer::log::Config::from_env()
            .level(ops_layer::log::Level::Info)
            .json(true)
            .json_form(ops_layer::log::JsonForm::gcp());
        let trace = ops_layer::trace::Config::new("child")
            .sampling_ratio(0.25)
            .endpoint("http://127.0.0.1:9");
        let secrets = ops_layer::secrets::Config::from_env().unwrap();
        let secrets = secrets.region("eu-central-1");
        config = config.log(log).trace(trace).secrets(secrets);
    }
    #[cfg(feature = "secrets")]
    if std::env::var_os("SECRETS_IN_CODE").is_some() {
        config = config.secrets_yaml("embedded", "secrets: {}\n");
    }
    #[cfg(feature = "cache")]
    if std::env::var_os("CACHE_IN_CODE").is_some() {
        config = config
            .cache(ops_layer::cache::Config::default())
            .cache_yaml("unused.yaml", "");
    }
    #[cfg(feature = "history")]
    if std::env::var_os("HISTORY_BYTES_IN_CODE").is_some() {
        config = config.history_bytes(64 << 20);
    }
    let ops = match ops_layer::init(config) {
        Ok(ops) => ops,
        Err(error) => {
            println!("\nrefused {error:?}");
            std::process::exit(1);
        }
    };
    if std::env::var_os("TERMINATED_EARLY").is_some() {
        let this = rustix::process::getpid();
        rustix::process::kill_process(this, rustix::process::Signal::TERM).unwrap();
    }
    if role == "twice" {
        let second = ops_layer::init(Config::new("second").log_file("second.log"));
        ops_layer::log::info!("still_logging");
        println!("\nrefused {:?}", second.unwrap_err());
        println!("{}", std::fs::read_to_string("app.log").unwrap());
        return;
    }
    if role == "dropped" {
        let dropped = dropped(ops);
        let dropped = async { tokio::time::timeout(Duration::from_secs(30), dropped).await };
        runtime.block_on(dropped).unwrap();
        return;
    }
    if role == "job" {
        let code = match std::env::var("JOB").as_deref() {
            Ok("panics at once") => runtime.block_on(ops.run(panics_at_once)),
            _ => runtime.block_on(ops.run(job)),
        };
        let failed = format!("{code:?}") != format!("{:?}", std::process::ExitCode::SUCCESS);
        std::process::exit(i32::from(failed));
    }
    if std::env::var_os("SPIN").is_some() {
        std::thread::spawn(spin_for_the_profile);
    }
    #[cfg(feature = "grpc")]
    let serve = |ops: ops_layer::Ops| match std::env::var_os("GRPC") {
        Some(_) => {
            let _ = crate::grpc::OPS.set(ops.clone());
            let calls = axum::routing::get(crate::grpc::call);
            let router = router().route("/call/{port}/{method}/{code}", calls);
            ops.serve(router).grpc(crate::grpc::Calls)
        }
        None => ops.serve(router()),
    };
    #[cfg(not(feature = "grpc"))]
    let serve = |ops: ops_layer::Ops| ops.serve(router());
    #[cfg(all(feature = "cache", feature = "testing"))]
    if std::env::var_os("CACHE_HANGS").is_some() {
        runtime.spawn(write_to_a_disk_that_hangs(ops.cache().clone()));
    }
    let in_background = std::env::var("BACKGROUND").ok();
    let beside = std::env::var_os("BESIDE").map(|_| ops.clone());
    let service = match in_background {
        Some(how) => {
            let stop = StopSignal::listen().unwrap();
            serve(ops)
                .stop(stop.clone())
                .background(background(stop, how))
        }
        None => serve(ops),
    };
    let service = configured(service)
        .check("warehouse", warehouse, Duration::from_millis(200))
        .on_listening(|addresses| {
            if let Some(ops) = beside {
                tokio::spawn(refused_beside(ops, addresses.api.port()));
            }
            let nowhere = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
            let admin = addresses.admin.unwrap_or(nowhere);
            println!("\naddresses {} {admin}", addresses.api);
            assert!(std::env::var_os("LISTENING_PANICS").is_none(), "on purpose");
        });
    if std::env::var_os("WITHOUT_THREADS").is_some() {
        leave_no_thread();
    }
    if let Err(error) = runtime.block_on(service.into_future()) {
        println!("\nrefused {error:?}");
        std::process::exit(1);
    }
}

/// Starts another service on the port of the running one.
async fn refused_beside(ops: ops_layer::Ops, port: u16) {
    let second = ops.serve(router()).port(port).without_admin();
    let refused = second.into_future().await.unwrap_err();
    tracing::info!(%refused, "refused_beside");
}

/// Makes the cache write an entry that never gets to its file.
#[cfg(all(feature = "cache", feature = "testing"))]
async fn write_to_a_disk_that_hangs(cache: ops_layer::cache::Cache) {
    use ops_layer::cache::arrow::array::RecordBatch;
    use ops_layer::cache::arrow::datatypes::{DataType, Field, Schema};
    ops_layer::cache::testing::on_step(&cache, |_| {
        loop {
            std::thread::park();
        }
    });
    let schema = Schema::new(vec![Field::new("id", DataType::Int64, false)]);
    let rows = [RecordBatch::new_empty(schema.into())];
    let params = ops_layer::cache::Params::new();
    let written = cache.set_async("SELECT 1", &rows, &params, None);
    let _ = written.await;
}

/// Takes a while to end, as work that must complete does.
async fn background(stop: StopSignal, how: String) {
    stop.wait().await;
    if how == "hangs" {
        std::future::pending().await
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    tracing::info!("background_ended");
}

/// Drops the futures of a service and of a job while they run, and waits until their resources are free.
async fn dropped(ops: ops_layer::Ops) {
    let (send, listening) = tokio::sync::oneshot::channel();
    let service = ops.clone().serve(router()).on_listening(|addresses| {
        let _ = send.send(addresses.api);
    });
    let serving = tokio::spawn(service.into_future());
    let api = listening.await.unwrap();
    let mut open = tokio::net::TcpStream::connect(api).await.unwrap();
    let asked = b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n";
    open.write_all(asked).await.unwrap();
    assert_eq!(open.read_u8().await.unwrap(), b'H');
    serving.abort();
    let mut rest = Vec::new();
    open.read_to_end(&mut rest).await.unwrap();
    while std::net::TcpListener::bind(api).is_err() {
        tokio::task::yield_now().await;
    }
    let (begun, is_begun) = tokio::sync::oneshot::channel();
    let (held, is_dropped) = tokio::sync::oneshot::channel::<()>();
    let working = ops.run(move |_| async move {
        let _held = held;
        let _ = begun.send(());
        std::future::pending::<Result<(), std::io::Error>>().await
    });
    let working = tokio::spawn(working);
    is_begun.await.unwrap();
    working.abort();
    assert!(is_dropped.await.is_err());
    println!("\nworking");
}

/// Panics before there is any work to wait for.
fn panics_at_once(_: StopSignal) -> std::future::Ready<Result<(), std::io::Error>> {
    println!("\nworking");
    panic!("on purpose")
}

/// Error that panics when it is formatted.
#[derive(Debug)]
struct WithoutWords;

impl std::fmt::Display for WithoutWords {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        panic!("on purpose")
    }
}

impl std::error::Error for WithoutWords {}

async fn job(stop: StopSignal) -> Result<(), std::io::Error> {
    println!("\nworking");
    stop.wait().await;
    match std::env::var("JOB").as_deref() {
        Ok("fails") => Err(std::io::Error::other("the queue is gone")),
        Ok("fails without words") => Err(std::io::Error::other(WithoutWords)),
        Ok("panics") => panic!("on purpose"),
        Ok("hangs") => std::future::pending().await,
        _ => Ok(()),
    }
}
