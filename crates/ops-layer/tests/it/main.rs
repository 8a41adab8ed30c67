//! Tests that only ops-layer can have: the crates working together, in one process with one operations layer.

#![expect(clippy::panic, clippy::unwrap_used, reason = "tests")]

mod carry;
#[cfg(feature = "testing")]
mod dialect;
mod free_functions;
mod metrics_table;
mod readme;
mod rules;

use std::sync::LazyLock;

use ops_layer::{Config, Ops};

/// The operations layer of this process. It is never shut down: the process ends with the tests.
pub(crate) static OPS: LazyLock<Ops> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap().keep();
    let secrets = "secrets:\n  greeting:\n    env_var: OPS_LAYER_IT_GREETING\n    default: \"hello from the catalog\"\n";
    let config = Config::new("it")
        .log_file(folder.join("app.log"))
        .secrets(
            ops_layer::secrets::Config::default()
                .catalog_text(secrets)
                .catalog_name("secrets.yaml"),
        )
        .cache_dir(folder.join("cache"));
    ops_layer::init(config).unwrap()
});
