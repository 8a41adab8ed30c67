use crate::findings::snapshot::BlackBox as Seen;

pub(crate) use crate::glue::left_out::LeftOut as Settings;

#[derive(Clone, Debug)]
pub(crate) struct Part;

pub(crate) fn place(_: Option<&Settings>) -> Option<&std::path::Path> {
    None
}

pub(crate) fn covered(_: Option<&Settings>, _: Option<&Settings>) -> Vec<&'static str> {
    Vec::new()
}

pub(crate) fn merged(in_code: Option<Settings>, in_file: Option<Settings>) -> Option<Settings> {
    in_code.or(in_file)
}

impl Part {
    pub(crate) fn start(_: Option<&Settings>, _: &str) -> Self {
        Self
    }

    #[expect(clippy::unused_self, reason = "the interface of the part")]
    pub(crate) fn dir(&self) -> Option<std::path::PathBuf> {
        None
    }

    #[expect(clippy::unused_self, reason = "the interface of the part")]
    pub(crate) fn started(&self) {}

    #[expect(clippy::unused_self, reason = "the interface of the part")]
    pub(crate) fn refused(&self) {}

    #[expect(clippy::unused_self, reason = "the interface of the part")]
    pub(crate) fn look(&self) -> Option<Seen> {
        None
    }

    #[cfg(all(feature = "admin", feature = "serve"))]
    #[expect(clippy::unused_self, reason = "the interface of the part")]
    pub(crate) fn last_run(&self) -> Option<ops_admin::LastRun> {
        None
    }
}

pub(crate) fn stopping(_: Option<i32>) {}

pub(crate) fn exiting() {}

pub(crate) fn close() {}
