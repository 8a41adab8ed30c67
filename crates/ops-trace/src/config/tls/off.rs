use std::io;

use ureq::config::ConfigBuilder;
use ureq::typestate::AgentScope;

use crate::config::environment::{Environment, Warning};
use crate::config::signal::Signal;

/// Stand-in without TLS, which uses no proxy either.
#[derive(Debug)]
pub(crate) struct Tls;

impl Tls {
    pub(crate) fn read(_: &Environment, _: &Signal, _: &str, _: &mut Vec<Warning>) -> Self {
        Self
    }

    pub(crate) fn is_proxied(&self) -> bool {
        false
    }

    pub(crate) fn configure(&self, client: ConfigBuilder<AgentScope>) -> ConfigBuilder<AgentScope> {
        client.proxy(None)
    }
}

pub(crate) fn hint(_: &io::Error) -> &'static str {
    ""
}
