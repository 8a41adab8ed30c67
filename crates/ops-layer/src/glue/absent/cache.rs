use std::time::Duration;

use crate::findings::snapshot::{Cache as Seen, Queries, Shared};
use crate::{Config, Error};

pub(crate) use super::left_out::LeftOut as Settings;

#[derive(Debug)]
pub(crate) struct Part;

impl Part {
    #[expect(clippy::unnecessary_wraps, reason = "the interface of the part")]
    pub(crate) fn start(_: &Config, _: &super::secrets::Part) -> Result<Self, Error> {
        Ok(Self)
    }

    #[expect(clippy::unused_self, reason = "the interface of the part")]
    pub(crate) fn look(&self) -> (Option<Seen>, Option<Queries>) {
        (None, None)
    }

    #[expect(clippy::unused_self, reason = "the interface of the part")]
    pub(crate) fn look_at_shared(&self) -> Option<Shared> {
        None
    }

    pub(crate) fn publish(&self) {}

    #[expect(clippy::unused_async, reason = "the interface of the part")]
    pub(crate) async fn flush(&self, _: Duration) {}
}
