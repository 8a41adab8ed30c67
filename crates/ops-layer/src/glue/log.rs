use crate::{Config, Error};

/// Logging: for people on the terminal, and as JSON in a file where one is named.
pub(crate) fn log(config: &Config) -> Result<ops_log::LogGuard, Error> {
    let logger = config.logger.as_deref().unwrap_or(&config.service_name);
    let mut settings = ops_log::Config::from_env().service_name(logger);
    if let Some(path) = &config.log_file {
        settings = settings.file(path);
    }
    ops_log::init(settings).map_err(|error| Error::new("log", error))
}
