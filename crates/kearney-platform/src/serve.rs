//! `kearney-platform serve`, from start to shutdown.

use std::error::Error as StdError;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ops_layer::{Health, Ops, StopSignal};

use crate::addresses::Addresses;
use crate::args::Serve;
use crate::cluster::Cluster;
use crate::configs::Configs;
use crate::datasets::Source;
use crate::error::{Error, Kind, Result, chain};
use crate::execution::{self, Progress, Signals};
use crate::files::DataDir;
use crate::isochrone::Isochrones;
use crate::orchestrator::{Job, Record};
use crate::platform::Platform;
use crate::{admin_jobs, routes, rules, setup, start_block, warehouse};

/// Time limit of the warehouse check, which only reads a flag.
const CHECKED_WITHIN: Duration = Duration::from_secs(1);

/// Time limit for writing the lines of a failed start.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

pub fn run(options: Serve) -> Result<()> {
    let configs = Configs::read(options.work.config_dir.as_deref())?;
    let source = Source::choose(&options.work)?;
    let data = DataDir::lock(&options.work.data_dir)?;
    // a platform that was killed leaves its addresses behind
    Addresses::remove(data.path());
    setup::runtime()?.block_on(serve(options, &data, configs, source))
}

async fn serve(options: Serve, data: &DataDir, configs: Configs, source: Source) -> Result<()> {
    let stop = setup::signals()?;
    let ops = setup::init("kearney-platform-api", &options.work, data, &configs, true)?;
    let platform = match open(&options, data, source, &stop, &ops).await {
        Ok(platform) => platform,
        Err(error) => {
            // a start that fails is not a crash; its lines are kept
            ops.refuse(&error, FLUSH_TIMEOUT).await;
            return Err(error);
        }
    };
    ops_layer::spawn(report_missing_secrets(ops.secrets().clone()));

    let (checked, listed, failing) = (platform.clone(), platform.clone(), platform.clone());
    rules::add_data_dir(&ops, data);
    rules::add_runs(&ops, move |wanted| {
        failing.queue.runs().page(None, 1, wanted).0.pop()
    });
    let loading = Loading {
        platform: platform.clone(),
        configs,
        ops: ops.clone(),
        stop: stop.clone(),
        failed: Arc::default(),
    };
    let failed = loading.failed.clone();
    let (listening, bound) = tokio::sync::oneshot::channel();
    let router = routes::router(platform).layer(ops.http_cache());
    let mut service = ops
        .serve(router)
        .stop(stop)
        .check(
            "warehouse",
            move || std::future::ready(health(&checked)),
            CHECKED_WITHIN,
        )
        .jobs(admin_jobs::TITLE, move || {
            admin_jobs::list(listed.queue.runs())
        })
        .on_listening(|bound| {
            // received below
            let _ = listening.send(Addresses::of(bound));
        })
        .background(async move {
            if let Ok(addresses) = bound.await {
                loading.run(addresses).await;
            }
        });
    if options.given.host {
        service = service.host(options.host);
    }
    if options.given.port {
        service = service.port(options.port);
    }
    if options.given.grace_seconds {
        service = service.grace(Duration::from_secs(options.grace_seconds));
    }
    if let Some(port) = options.admin_port {
        service = service.admin_addr((Ipv4Addr::LOCALHOST, port).into());
    }
    let is_owner = data.ownership_check();
    let served = service.await;
    // after the directory was removed, the file may belong to another platform
    if is_owner() {
        Addresses::remove(data.path());
    }
    served.map_err(|error| {
        Error::new(Kind::Service, failed_option(&options, &error)).because(error)
    })?;
    let failed = failed.lock().unwrap_or_else(PoisonError::into_inner).take();
    failed.map_or(Ok(()), Err)
}

async fn open(
    options: &Serve,
    data: &DataDir,
    source: Source,
    stop: &StopSignal,
    ops: &Ops,
) -> Result<Arc<Platform>> {
    let isochrones = Isochrones::new(options.work.mapbox_url.clone());
    let cluster = match &options.engine {
        Some(address) => Some(Cluster::open(address, ops).await?),
        None => None,
    };
    Platform::open(data, ops, source, isochrones, stop.clone(), cluster)
}

/// Returns the option that prevented the start; an invalid variable is named by the error itself.
fn failed_option(options: &Serve, error: &ops_layer::Error) -> String {
    // an unreadable token file is an I/O error as well
    let is_address = error
        .source()
        .is_some_and(|cause| cause.to_string().contains("cannot listen on"));
    match (error.part(), options.admin_port) {
        ("admin", Some(port)) if is_address => format!("--admin-port {port}"),
        ("serve", _) if is_address => {
            format!("--host {} --port {}", options.host, options.port)
        }
        _ => "cannot start the platform".to_owned(),
    }
}

fn health(platform: &Platform) -> Health {
    match platform.not_ready() {
        None => Health::Ready,
        Some(reason) => Health::failed(reason),
    }
}

/// Logs missing required secrets at the start, before a request fails. Takes a while if a source does not respond.
async fn report_missing_secrets(secrets: ops_layer::secrets::Secrets) {
    if let Err(error) = secrets.validate().await {
        ops_layer::log::error!("required_secrets_missing", error = %error);
    }
}

/// Loading of the warehouse, which readiness waits for.
struct Loading {
    platform: Arc<Platform>,
    configs: Configs,
    ops: Ops,
    stop: StopSignal,
    failed: Arc<Mutex<Option<Error>>>,
}

impl Loading {
    /// Loads the warehouse, prints the start block and executes runs; on failure stops the platform.
    async fn run(self, addresses: Addresses) {
        let data_dir = &self.platform.data_dir;
        match self.load().await {
            Ok(()) => {
                // not fatal: on a full disk the platform serves too
                if let Err(error) = addresses.write(data_dir) {
                    ops_layer::log::warn!("addresses_not_written", error = chain(&error));
                }
                ops_layer::log::info!("ready", version = env!("CARGO_PKG_VERSION"));
                start_block::print(&self.platform, &self.configs, &addresses, &self.ops);
                execution::work(self.platform.clone(), self.stop.clone()).await;
            }
            // a stop during the load is not a failure
            Err(_) if self.stop.is_raised() => {}
            Err(error) => {
                ops_layer::log::error!("start_failed", error = chain(&error));
                *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                self.stop.stop();
            }
        }
    }

    async fn load(&self) -> Result<()> {
        let opened = {
            let platform = self.platform.clone();
            execution::blocking(move || {
                let found = warehouse::open_current(&platform.data_dir, &platform.source)?;
                let Some(found) = found else { return Ok(false) };
                platform.set_warehouse(found);
                platform.register_tables()?;
                Ok(true)
            })
        };
        let loaded = match opened.await {
            Ok(true) => Ok(()),
            Ok(false) => self.first_load().await,
            Err(error) => Err(error),
        };
        if let Err(error) = &loaded {
            self.platform.load_failed(&chain(error));
        }
        loaded
    }

    /// Loads in a regular run.
    async fn first_load(&self) -> Result<()> {
        let signals = Signals {
            cancel: StopSignal::manual(),
            stopping: self.stop.clone(),
        };
        let record = Record::new(Job::Load, None);
        let platform = self.platform.clone();
        let run = execution::execute(platform, record, signals, None, Progress::none());
        let ended = ops_layer::spawn(run).await;
        let failed = |message: &str| {
            Error::new(
                Kind::Warehouse,
                format!("cannot load the warehouse: {message}"),
            )
        };
        let record = ended.map_err(|error| failed("the run ended unexpectedly").because(error))?;
        match record.error {
            Some(why) => Err(failed(&why)),
            None => Ok(()),
        }
    }
}
