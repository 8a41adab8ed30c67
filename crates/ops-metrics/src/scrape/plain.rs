//! Stand-in without the feature `gzip`: no response is compressed.

use bytes::Bytes;
use http::HeaderMap;

use crate::scrape::exposition::Exposition;

pub(crate) enum Zipped {}

pub(crate) fn is_accepted(_: &HeaderMap) -> bool {
    false
}

impl Zipped {
    pub(crate) fn if_accepted(_: bool) -> Option<Self> {
        None
    }

    pub(crate) fn piece(&mut self, _: &mut Exposition) -> (Bytes, bool) {
        match *self {}
    }
}
