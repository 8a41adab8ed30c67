use ureq::config::ConfigBuilder;
use ureq::tls::TlsConfig;
use ureq::typestate::AgentScope;

use super::{files, proxy};
use crate::config::environment::{Environment, Warning};
use crate::config::signal::Signal;

/// Client settings of an `https` endpoint. Plain `http` uses no proxy: such a collector is in the same network.
#[derive(Debug)]
pub(crate) struct Tls {
    config: TlsConfig,
    proxy: Option<ureq::Proxy>,
}

impl Tls {
    pub(crate) fn read(
        env: &Environment,
        signal: &Signal,
        url: &str,
        warnings: &mut Vec<Warning>,
    ) -> Self {
        match url.parse::<http::Uri>() {
            Ok(uri) if uri.scheme_str() == Some("https") => Self {
                config: files::certificates_of(env, signal, warnings),
                proxy: proxy::proxy(env, &uri, warnings),
            },
            _ => Self {
                config: TlsConfig::default(),
                proxy: None,
            },
        }
    }

    /// Reports whether the collector is reached through a proxy.
    pub(crate) fn is_proxied(&self) -> bool {
        self.proxy.is_some()
    }

    pub(crate) fn configure(&self, client: ConfigBuilder<AgentScope>) -> ConfigBuilder<AgentScope> {
        client
            .tls_config(self.config.clone())
            .proxy(self.proxy.clone())
    }
}
