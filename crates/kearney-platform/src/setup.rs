//! Initialization shared by `serve` and `orchestrate`.

use ops_layer::{Ops, StopSignal};

use crate::args::Work;
use crate::configs::Configs;
use crate::domain_metrics;
use crate::error::{Error, Kind, Result};
use crate::files::{self, DataDir};

pub fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::new(Kind::Service, "cannot start the runtime").because(error))
}

/// Listens for SIGTERM and Ctrl-C.
pub fn signals() -> Result<StopSignal> {
    StopSignal::listen()
        .map_err(|error| Error::new(Kind::Service, "cannot install signal handlers").because(error))
}

/// Starts the operations layer under this name. Without `has_lines` the log goes only to its file.
pub fn init(
    service: &str,
    work: &Work,
    data: &DataDir,
    configs: &Configs,
    has_lines: bool,
) -> Result<Ops> {
    let cache = data.path().join("cache");
    files::refuse_link(&cache).map_err(|error| {
        Error::new(Kind::Cache, format!("cannot open {}", cache.display())).because(error)
    })?;
    let mut config = ops_layer::Config::new(service)
        .logger(service.trim_start_matches("kearney-platform-"))
        .stdout(has_lines)
        .build_info(
            env!("CARGO_PKG_VERSION"),
            env!("KEARNEY_GIT_SHA"),
            env!("KEARNEY_RUSTC"),
        )
        .secrets_yaml(configs.secrets.to_string(), &configs.secrets.text)
        .cache_yaml(configs.cache.to_string(), &configs.cache.text)
        .cache_dir(cache);
    if let Some(path) = work.log_file.path() {
        config = config.log_file(path);
    }
    let ops = ops_layer::init(config)
        .map_err(|error| Error::new(Kind::Config, "cannot start the platform").because(error))?;
    ops_layer::metrics::register(domain_metrics::DOMAIN);
    ops_layer::metrics::add_sparkline("orchestrator_queue_depth", || {
        Some(domain_metrics::orchestrator_queue_depth().get())
    });
    crate::rules::add(&ops);
    Ok(ops)
}
