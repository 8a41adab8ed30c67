use std::time::Duration;

use crate::findings::snapshot::Log as Seen;
use crate::{Config, Error};

pub(crate) use super::carried::Carried;
pub(crate) use super::left_out::LeftOut as Settings;
pub(crate) use super::unobserved::Unobserved as Observer;

pub(crate) fn overruled(settings: &Settings) -> Vec<(&'static str, String)> {
    match *settings {}
}

pub(crate) fn beneath_environment(settings: Settings) -> Settings {
    settings
}

#[derive(Debug)]
pub(crate) struct Log;

impl Log {
    #[expect(clippy::unnecessary_wraps, reason = "the interface of the part")]
    pub(crate) fn start(_: &Config) -> Result<Self, Error> {
        Ok(Self)
    }

    #[expect(clippy::unused_self, reason = "the interface of the part")]
    pub(crate) fn look(&self) -> Option<Seen> {
        None
    }

    #[expect(clippy::unused_self, reason = "the interface of the part")]
    pub(crate) fn dirs(&self) -> Vec<std::path::PathBuf> {
        Vec::new()
    }

    pub(crate) fn flush(&self, _: Duration) {}
}

pub(crate) fn observer() -> Observer {
    Observer
}

pub(crate) fn scrubbed(text: String) -> String {
    text
}

#[cfg(any(feature = "black-box", feature = "history"))]
pub(crate) fn each_line(_: impl Fn(std::time::SystemTime, &[u8]) + Send + Sync + 'static) {}

pub(crate) fn forget_taps() {}

#[cfg(any(feature = "black-box", all(feature = "history", feature = "trace")))]
pub(crate) fn redacted(_: &str) -> Option<String> {
    None
}

pub(crate) fn publish() {}

pub(crate) fn with_context<F>(future: F) -> F {
    future
}

pub(crate) fn carry<W>(work: W) -> W {
    work
}
