use crate::findings::snapshot::Metrics as Seen;
use crate::{Config, Error};

pub(crate) use super::left_out::LeftOut as Settings;
pub(crate) use super::unobserved::{Unobserved as ClientObserver, Unobserved as Observer};

#[expect(clippy::unnecessary_wraps, reason = "the interface of the part")]
pub(crate) fn start(_: &Config) -> Result<(), Error> {
    Ok(())
}

pub(crate) fn client_observer() -> ClientObserver {
    ClientObserver
}

pub(crate) fn look() -> Option<Seen> {
    None
}

#[cfg(feature = "black-box")]
pub(crate) fn newest() -> std::collections::BTreeMap<&'static str, f64> {
    std::collections::BTreeMap::new()
}

#[cfg(feature = "history")]
pub(crate) fn sample_to(_: &ops_history::History, _: std::time::SystemTime) {}

pub(crate) fn observer() -> Observer {
    Observer
}

pub(crate) fn before_scrape(_: impl Fn() + Send + Sync + 'static) {}

pub(crate) fn before_tick(_: impl Fn() + Send + Sync + 'static) {}
