//! Context: code that keeps it, code that loses it, spans of the `tracing` crate,
//! and exemplars that lead to traces, in one process with one operations layer.

#![expect(clippy::unwrap_used, reason = "tests")]

mod exemplars;
mod foreign;
mod ways;

use std::sync::LazyLock;

use ops_layer::{Config, Ops};

/// The operations layer of this process. It is never shut down: the process ends with the tests.
pub(crate) static OPS: LazyLock<Ops> = LazyLock::new(|| {
    let config = Config::new("context");
    #[cfg(feature = "cache")]
    let config = config.cache_dir(concat!(env!("CARGO_TARGET_TMPDIR"), "/context"));
    ops_layer::init(config).unwrap()
});
