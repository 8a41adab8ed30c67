//! Stand-in without metrics and log lines.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry_sdk::Resource;

use crate::Error;
use crate::config::resolved::Resolved;
use crate::export::closing::Closing;

#[derive(Debug, Default)]
pub(crate) struct Signals;

impl Signals {
    pub(crate) fn start(_: &Resolved, _: &Resource, _: &Arc<Closing>) -> Result<Self, Error> {
        Ok(Self)
    }

    pub(crate) fn close(&self) {}

    pub(crate) fn stop(&self, _: Duration) {}

    #[cfg(feature = "metrics")]
    pub(crate) fn stats(&self) -> impl Iterator<Item = (&'static str, crate::SignalStats)> {
        std::iter::empty()
    }
}
