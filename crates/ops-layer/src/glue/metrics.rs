use crate::{Config, Error, Ops};

/// Metrics, with the build that runs.
pub(crate) fn metrics(config: &Config) -> Result<(), Error> {
    let mut settings = ops_metrics::Config::new();
    if let Some([version, revision, compiler]) = config.build {
        settings = settings.build_info(version, revision, compiler);
    }
    ops_metrics::install(settings).map_err(|error| Error::new("metrics", error))
}

/// Before each scrape every part tells what it counted.
pub(crate) fn publish(ops: &Ops) {
    let ops = ops.clone();
    ops_metrics::before_scrape(move || ops.publish_metrics());
}
