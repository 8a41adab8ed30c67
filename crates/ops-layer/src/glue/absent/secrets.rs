use crate::findings::snapshot::Secrets as Seen;
use crate::{Config, Error};

pub(crate) use super::left_out::LeftOut as Settings;

pub(crate) fn overruled(settings: &Settings) -> Vec<(&'static str, String)> {
    match *settings {}
}

pub(crate) fn beneath_environment(settings: Settings) -> Result<Settings, Error> {
    match settings {}
}

#[derive(Debug)]
pub(crate) struct Part;

impl Part {
    #[expect(clippy::unnecessary_wraps, reason = "the interface of the part")]
    pub(crate) fn start(_: &Config) -> Result<Self, Error> {
        Ok(Self)
    }

    #[cfg(feature = "shared")]
    #[expect(clippy::unused_self, reason = "the interface of the part")]
    pub(crate) fn value(&self, name: &str) -> Result<Option<String>, Error> {
        let message = format!(
            "secret {name}: this program is built without the feature `secrets` of ops-layer"
        );
        Err(Error::new("cache", message))
    }

    #[expect(clippy::unused_self, reason = "the interface of the part")]
    pub(crate) fn reads(&self, _: &str) -> bool {
        false
    }

    #[expect(clippy::unused_self, reason = "the interface of the part")]
    pub(crate) fn look(&self) -> Option<Seen> {
        None
    }

    pub(crate) fn publish(&self) {}
}
