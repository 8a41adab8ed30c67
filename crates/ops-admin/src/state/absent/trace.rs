#[cfg(feature = "metrics")]
use std::collections::HashMap;
#[cfg(feature = "metrics")]
use std::time::Duration;

use super::dependency::Dependency;
use crate::Admin;

#[derive(Debug, serde::Serialize)]
pub(crate) enum Part {}

#[cfg(feature = "metrics")]
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) enum Slowest {}

pub(crate) fn collect(_: &Admin) -> Option<Part> {
    None
}

#[cfg(feature = "metrics")]
pub(crate) fn slowest(_: Duration) -> HashMap<(String, String), Slowest> {
    HashMap::new()
}

pub(super) fn collector(_: &Part) -> Option<Dependency> {
    None
}
