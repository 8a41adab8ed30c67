#[derive(Debug, serde::Serialize)]
pub(crate) enum Part {}

#[derive(Debug, serde::Serialize)]
pub(crate) enum Newest {}

pub(crate) fn collect() -> Option<Part> {
    None
}

pub(crate) fn newest() -> Option<Newest> {
    None
}
