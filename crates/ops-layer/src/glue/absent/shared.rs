use data_cache::{Cache, Config as Settings};

use super::secrets;
use crate::findings::snapshot::Shared as Seen;
use crate::{Config, Error};

/// The bucket that machines share results through: there is none, and a file that names one was refused as it was read.
#[derive(Debug)]
pub(crate) struct Bucket;

impl Bucket {
    #[expect(clippy::unnecessary_wraps, reason = "the interface of the part")]
    pub(crate) fn join(
        _: &Cache,
        _: &Settings,
        _: &Config,
        _: &secrets::Part,
    ) -> Result<Self, Error> {
        Ok(Self)
    }

    #[expect(clippy::unused_self, reason = "the interface of the part")]
    pub(crate) fn look(&self, _: &Cache) -> Option<Seen> {
        None
    }
}
