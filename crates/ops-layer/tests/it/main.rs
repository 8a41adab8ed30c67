//! What only the umbrella can show: the crates at work together, in one process with one operations layer.

#![expect(clippy::panic, clippy::unwrap_used, reason = "tests")]

mod carry;
mod metrics_table;

use std::sync::LazyLock;

use ops_layer::{Config, Ops};

/// The operations layer of this process. It is never shut down: the process ends with the tests.
pub(crate) static OPS: LazyLock<Ops> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap().keep();
    let config = Config::new("it")
        .log_file(folder.join("app.log"))
        .cache_dir(folder.join("cache"));
    ops_layer::init(config).unwrap()
});
