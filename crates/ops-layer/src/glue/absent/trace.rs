use std::time::Duration;

use crate::findings::example::{Example, TraceKind};
use crate::findings::snapshot::{Export, SlowRoute};
use crate::{Config, Error};

pub(crate) use super::carried::Carried;
pub(crate) use super::left_out::LeftOut as Settings;
pub(crate) use super::unobserved::{Unobserved as ClientObserver, Unobserved as Observer};

pub(crate) fn overruled(settings: &Settings) -> Vec<(&'static str, String)> {
    match *settings {}
}

pub(crate) fn beneath_environment(settings: Settings) -> Settings {
    settings
}

#[derive(Debug)]
pub(crate) struct Trace {
    #[cfg(all(feature = "admin", feature = "serve"))]
    pub(crate) unusable: [(&'static str, String); 0],
}

pub(crate) fn service_name(program: &str) -> String {
    program.to_owned()
}

pub(crate) fn follow_tracing() {}

impl Trace {
    #[expect(clippy::unnecessary_wraps, reason = "the interface of the part")]
    pub(crate) fn start(_: &Config) -> Result<Self, Error> {
        Ok(Self {
            #[cfg(all(feature = "admin", feature = "serve"))]
            unusable: [],
        })
    }

    #[expect(clippy::unused_self, reason = "the interface of the part")]
    pub(crate) fn look(&self) -> Option<Export> {
        None
    }

    #[expect(clippy::unused_async, reason = "the interface of the part")]
    pub(crate) async fn shutdown(&self, _: Duration) {}
}

pub(crate) fn example(_: TraceKind, _: Option<&str>, _: Option<&str>) -> Option<Example> {
    None
}

pub(crate) fn look_for_queries(_: &mut [SlowRoute]) {}

pub(crate) fn client_observer() -> ClientObserver {
    ClientObserver
}

pub(crate) fn observer() -> Observer {
    Observer
}

#[cfg(feature = "black-box")]
pub(crate) fn each_end(_: impl Fn(std::time::SystemTime, &[u8]) + Send + Sync + 'static) {}

pub(crate) fn forget_hooks() {}

#[cfg(feature = "history")]
pub(crate) fn spans_to(_: &ops_history::History) {}

pub(crate) fn publish() {}

pub(crate) fn with_context<F>(future: F) -> F {
    future
}

pub(crate) fn carry<W>(work: W) -> W {
    work
}
