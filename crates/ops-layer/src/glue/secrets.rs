use ops_secrets::Secrets;

use crate::{Config, Error};

/// Secrets, which `get_secret` asks too, and whose values no log line and no span attribute carries.
#[derive(Debug)]
pub(crate) struct Part(pub(crate) Secrets);

impl Part {
    pub(crate) fn start(config: &Config) -> Result<Self, Error> {
        let failed = |error| Error::new("secrets", error);
        let mut settings = ops_secrets::Config::from_env().map_err(failed)?;
        if let Some(document) = &config.secrets_yaml {
            settings = settings
                .catalog_text(document.text.as_str())
                .catalog_name(document.name.as_str());
        }
        let secrets = ops_secrets::init(settings).map_err(failed)?.clone();
        #[cfg(feature = "log")]
        secrets.on_resolved_batch(|batch| {
            for resolved in batch {
                let value = resolved.secret.expose();
                if resolved.retired {
                    ops_log::unredact(value);
                } else {
                    ops_log::redact(value);
                }
            }
        });
        Ok(Self(secrets))
    }

    pub(crate) fn publish(&self) {
        #[cfg(feature = "metrics")]
        self.0.publish_metrics();
    }
}
