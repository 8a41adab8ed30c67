//! `kearney-platform serve`, from start to stop.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use ops_layer::admin::Admin;
use ops_layer::cache::Cache;
use ops_layer::{Ops, StopSignal};
use tokio::net::TcpListener;
use tower_http::catch_panic::CatchPanicLayer;

use crate::addresses::Addresses;
use crate::args::Serve;
use crate::configs::Configs;
use crate::data_dir::DataDir;
use crate::datasets::Source;
use crate::platform::Platform;
use crate::problem::Problem;
use crate::registry::Registry;
use crate::{domain_metrics, routes, start_block, warehouse};

/// Budget of stopping altogether, the grace period included.
const STOP_BUDGET: Duration = Duration::from_secs(25);

pub fn run(options: Serve) -> Result<(), String> {
    let configs = Configs::read(options.config_dir.as_deref())?;
    let source = Source::choose(options.datasets.as_deref())?;
    let data = DataDir::take(&options.data_dir)?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the runtime: {error}"))?
        .block_on(serve(options, &data, configs, source))
}

async fn serve(
    options: Serve,
    data: &DataDir,
    configs: Configs,
    source: Source,
) -> Result<(), String> {
    let api = listen(options.host, options.port, "--port").await?;
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let admin = listen(loopback, options.admin_port, "--admin-port").await?;
    let addresses = Addresses::of(&api, &admin).map_err(|error| error.to_string())?;

    let ops = ops_layer::init(
        ops_layer::Config::new("kearney-platform-api")
            .logger("api")
            .build_info(
                env!("CARGO_PKG_VERSION"),
                env!("KEARNEY_GIT_SHA"),
                env!("KEARNEY_RUSTC"),
            )
            .log_file(&options.log_file)
            .secrets_yaml(configs.secrets.to_string(), &configs.secrets.text)
            .cache_yaml(configs.cache.to_string(), &configs.cache.text)
            .cache_dir(data.path().join("cache")),
    )
    .map_err(|error| format!("{error:?}"))?;
    ops_layer::metrics::register(domain_metrics::DOMAIN);
    ops_layer::metrics::add_sparkline("orchestrator_queue_depth", || {
        Some(domain_metrics::orchestrator_queue_depth().get())
    });
    let registry = Registry::open(data.path())?;
    let platform = Arc::new(Platform::new(registry, ops.secrets().clone()));
    ops_layer::spawn(tell_missing_secrets(ops.secrets().clone()));

    let stop = StopSignal::listen().map_err(|error| error.to_string())?;
    let closing = StopSignal::manual();
    let servers = (
        ops_layer::spawn(answer(api, app(&ops, &platform), closing.clone())),
        ops_layer::spawn(answer(admin, admin_page(&ops, &platform), closing.clone())),
    );
    let loading = ops_layer::spawn({
        let (platform, configs, data_dir) = (platform.clone(), configs, data.path().to_owned());
        let (cache, addresses, ops) = (ops.cache().clone(), addresses.clone(), ops.clone());
        async move {
            let ready = load(&platform, data_dir.clone(), source, cache).await;
            if ready.is_ok() {
                addresses.write(&data_dir)?;
                ops_layer::log::info!("ready", version = env!("CARGO_PKG_VERSION"));
                start_block::print(&platform, &configs, &addresses, &ops, &data_dir);
            }
            ready
        }
    });

    let result = tokio::select! {
        () = stop.wait() => Ok(()),
        Err(why) = flatten(loading) => Err(why),
    };
    match &result {
        Ok(()) => ops_layer::log::info!("stopping", grace_seconds = options.grace_seconds),
        Err(why) => ops_layer::log::error!("start_failed", error = %why),
    }
    let stopping = Instant::now();
    let left = || STOP_BUDGET.saturating_sub(stopping.elapsed());
    platform.drain();
    if result.is_ok() {
        tokio::time::sleep(Duration::from_secs(options.grace_seconds)).await;
    }
    closing.stop();
    let drained = tokio::time::timeout(left(), async { tokio::join!(servers.0, servers.1) }).await;
    if drained.is_err() {
        ops_layer::log::warn!("requests_cut_off", budget_seconds = STOP_BUDGET.as_secs());
    }
    Addresses::remove(data.path());
    ops.shutdown(left()).await;
    result
}

async fn listen(host: IpAddr, port: u16, option: &str) -> Result<TcpListener, String> {
    TcpListener::bind((host, port)).await.map_err(|error| {
        let hint = match error.kind() {
            std::io::ErrorKind::AddrInUse => "; 0 takes a free port",
            std::io::ErrorKind::AddrNotAvailable => "; --host takes an address of this machine",
            _ => "",
        };
        format!("{option} {port}: cannot listen on {host}:{port}: {error}{hint}")
    })
}

/// Says at the start what would fail a request later. It may take a while, where a source does not answer.
async fn tell_missing_secrets(secrets: ops_layer::secrets::Secrets) {
    if let Err(error) = secrets.validate().await {
        ops_layer::log::error!("required_secrets_missing", error = %error);
    }
}

fn app(ops: &Ops, platform: &Arc<Platform>) -> Router {
    routes::router(platform.clone())
        .layer(CatchPanicLayer::custom(
            |_: Box<dyn std::any::Any + Send>| {
                use axum::response::IntoResponse;
                Problem::new(
                    http::StatusCode::INTERNAL_SERVER_ERROR,
                    "the handler failed",
                )
                .into_response()
            },
        ))
        .layer(ops.http_cache())
        .layer(ops.http())
}

fn admin_page(ops: &Ops, platform: &Arc<Platform>) -> Router {
    let platform = platform.clone();
    Admin::new("kearney-platform-api")
        .readiness(move || std::future::ready(platform.not_ready()))
        .secrets(ops.secrets().clone())
        .cache(ops.cache().clone())
        .router()
}

async fn answer(listener: TcpListener, app: Router, stop: StopSignal) -> Result<(), String> {
    axum::serve(
        listener,
        app.into_make_service_with_connect_info::<SocketAddr>(),
    )
    .with_graceful_shutdown(async move { stop.wait().await })
    .await
    .map_err(|error| error.to_string())
}

/// Opens the warehouse; readiness follows.
async fn load(
    platform: &Arc<Platform>,
    data_dir: PathBuf,
    source: Source,
    cache: Cache,
) -> Result<(), String> {
    let asked = platform.clone();
    let opened = ops_layer::spawn_blocking(move || {
        warehouse::open(&data_dir, &source, cache, &|| asked.is_draining())
    })
    .await;
    let result = opened
        .map_err(|error| error.to_string())
        .and_then(|opened| opened)
        .and_then(|(warehouse, datasets)| platform.loaded(warehouse, datasets));
    if let Err(why) = &result {
        platform.load_failed(why);
    }
    result
}

async fn flatten(task: ops_layer::JoinHandle<Result<(), String>>) -> Result<(), String> {
    task.await.map_err(|error| error.to_string())?
}
