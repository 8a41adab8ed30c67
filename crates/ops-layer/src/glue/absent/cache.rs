use std::time::Duration;

use crate::{Config, Error};

#[derive(Debug)]
pub(crate) struct Part;

impl Part {
    #[expect(clippy::unnecessary_wraps, reason = "the interface of the part")]
    pub(crate) fn start(_: &Config) -> Result<Self, Error> {
        Ok(Self)
    }

    pub(crate) fn publish(&self) {}

    #[expect(clippy::unused_async, reason = "the interface of the part")]
    pub(crate) async fn flush(&self, _: Duration) {}
}
