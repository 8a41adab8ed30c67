use super::listen::{At, Socket};
use super::readiness::Readiness;
use super::settings::Settings;
use crate::{Error, Ops};

pub(super) const MAX_CONNECTIONS: usize = 0;
pub(super) const SPARE_DESCRIPTORS: usize = 0;

/// Sections of the service on the admin page.
#[derive(Default)]
pub(super) struct Sections;

/// Stand-in for the admin page, which is compiled out.
#[derive(Debug)]
pub(super) struct AdminThread;

impl AdminThread {
    #[expect(clippy::unnecessary_wraps, reason = "the interface of the part")]
    pub(super) fn start(
        _: Socket,
        _: Option<At>,
        _: &Ops,
        _: &Settings,
        _: Readiness,
        _: Sections,
    ) -> Result<Self, Error> {
        Ok(Self)
    }

    #[expect(clippy::unused_async, reason = "the interface of the part")]
    pub(super) async fn end(self) {}
}
