use super::dependency::Dependency;
use crate::Admin;

#[derive(Debug, serde::Serialize)]
pub(crate) enum Part {}

pub(super) fn collect(_: &Admin) -> Option<Part> {
    None
}

pub(super) fn sources(_: &Part) -> Vec<Dependency> {
    Vec::new()
}
