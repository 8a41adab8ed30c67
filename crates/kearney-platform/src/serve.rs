//! `kearney-platform serve`, from start to stop.

use std::error::Error;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ops_layer::{Health, Ops, StopSignal};

use crate::addresses::Addresses;
use crate::args::Serve;
use crate::configs::Configs;
use crate::data_dir::DataDir;
use crate::datasets::Source;
use crate::failure::{Failure, chain};
use crate::platform::Platform;
use crate::registry::Registry;
use crate::{domain_metrics, routes, start_block, warehouse};

/// Limit of the check of the warehouse, which reads a flag.
const CHECKED_WITHIN: Duration = Duration::from_secs(1);

pub fn run(options: Serve) -> Result<(), Failure> {
    let configs = Configs::read(options.config_dir.as_deref())?;
    let source = Source::choose(options.datasets.as_deref())?;
    let data = DataDir::take(&options.data_dir)?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new("cannot start the runtime", error))?
        .block_on(serve(options, &data, configs, source))
}

async fn serve(
    options: Serve,
    data: &DataDir,
    configs: Configs,
    source: Source,
) -> Result<(), Failure> {
    let stop =
        StopSignal::listen().map_err(|error| Failure::new("cannot watch for signals", error))?;
    let ops = init(&options, data.path(), &configs)?;
    let registry = Registry::open(data.path())?;
    let platform = Arc::new(Platform::new(registry, ops.secrets().clone()));
    ops_layer::spawn(report_missing_secrets(ops.secrets().clone()));
    ops_layer::spawn({
        let (platform, stop) = (platform.clone(), stop.clone());
        async move {
            stop.wait().await;
            platform.drain();
        }
    });

    let checked = platform.clone();
    let loading = Loading {
        platform: platform.clone(),
        configs,
        source,
        ops: ops.clone(),
        data_dir: data.path().to_owned(),
        stop: stop.clone(),
        failed: Arc::default(),
    };
    let failed = loading.failed.clone();
    let router = routes::router(platform).layer(ops.http_cache());
    let mut service = ops
        .serve(router)
        .host(options.host)
        .port(options.port)
        .grace(Duration::from_secs(options.grace_seconds))
        .stop(stop)
        .check(
            "warehouse",
            move || std::future::ready(health(&checked)),
            CHECKED_WITHIN,
        )
        .on_listening(|bound| {
            ops_layer::spawn(loading.run(Addresses::of(bound)));
        });
    if let Some(port) = options.admin_port {
        service = service.admin_addr((Ipv4Addr::LOCALHOST, port).into());
    }
    let served = service.await;
    Addresses::remove(data.path());
    served.map_err(|error| Failure::new(at_fault(&options, &error), error))?;
    let failed = failed.lock().unwrap_or_else(PoisonError::into_inner).take();
    failed.map_or(Ok(()), Err)
}

fn init(options: &Serve, data_dir: &Path, configs: &Configs) -> Result<Ops, Failure> {
    let mut config = ops_layer::Config::new("kearney-platform-api")
        .logger("api")
        .build_info(
            env!("CARGO_PKG_VERSION"),
            env!("KEARNEY_GIT_SHA"),
            env!("KEARNEY_RUSTC"),
        )
        .secrets_yaml(configs.secrets.to_string(), &configs.secrets.text)
        .cache_yaml(configs.cache.to_string(), &configs.cache.text)
        .cache_dir(data_dir.join("cache"));
    if let Some(path) = options.log_file() {
        config = config.log_file(path);
    }
    let ops = ops_layer::init(config)
        .map_err(|error| Failure::new("the platform does not start", error))?;
    ops_layer::metrics::register(domain_metrics::DOMAIN);
    ops_layer::metrics::add_sparkline("orchestrator_queue_depth", || {
        Some(domain_metrics::orchestrator_queue_depth().get())
    });
    Ok(ops)
}

/// The options that a service refused to start with; a variable that is at fault is named by the error itself.
fn at_fault(options: &Serve, error: &ops_layer::Error) -> String {
    let mut causes = std::iter::successors(error.source(), |&cause| cause.source());
    let is_refused_by_system = causes.any(|cause| cause.is::<std::io::Error>());
    match (error.part(), options.admin_port) {
        ("admin", Some(port)) if is_refused_by_system => format!("--admin-port {port}"),
        ("serve", _) if is_refused_by_system => {
            format!("--host {} --port {}", options.host, options.port)
        }
        _ => "the platform does not start".to_owned(),
    }
}

fn health(platform: &Platform) -> Health {
    match platform.not_ready() {
        None => Health::Ready,
        Some(reason) => Health::failed(reason),
    }
}

/// Reports at the start what would fail a request later. It may take a while, if a source does not answer.
async fn report_missing_secrets(secrets: ops_layer::secrets::Secrets) {
    if let Err(error) = secrets.validate().await {
        ops_layer::log::error!("required_secrets_missing", error = %error);
    }
}

/// The load of the warehouse, which readiness waits for.
struct Loading {
    platform: Arc<Platform>,
    configs: Configs,
    source: Source,
    ops: Ops,
    data_dir: std::path::PathBuf,
    stop: StopSignal,
    failed: Arc<Mutex<Option<Failure>>>,
}

impl Loading {
    /// Loads, tells where to look, or stops the platform.
    async fn run(self, addresses: Addresses) {
        let loaded = self
            .load()
            .await
            .and_then(|()| Ok(addresses.write(&self.data_dir)?));
        match loaded {
            Ok(()) => {
                ops_layer::log::info!("ready", version = env!("CARGO_PKG_VERSION"));
                start_block::print(
                    &self.platform,
                    &self.configs,
                    &addresses,
                    &self.ops,
                    &self.data_dir,
                );
            }
            // a stop during the load is no failure
            Err(_) if self.stop.is_raised() => {}
            Err(failure) => {
                ops_layer::log::error!("start_failed", error = chain(&failure));
                *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
                self.stop.stop();
            }
        }
    }

    async fn load(&self) -> Result<(), Failure> {
        let (platform, source) = (self.platform.clone(), self.source.clone());
        let (data_dir, cache) = (self.data_dir.clone(), self.ops.cache().clone());
        let opened = ops_layer::spawn_blocking(move || {
            warehouse::open(&data_dir, &source, cache, &|| platform.is_draining())
        })
        .await
        .map_err(|error| Failure::new("the load of the warehouse ended", error))?;
        let result =
            opened.and_then(|(warehouse, datasets)| self.platform.loaded(warehouse, datasets));
        if let Err(reason) = &result {
            self.platform.load_failed(reason);
        }
        Ok(result?)
    }
}
