//! Last lines of a start: the addresses of the platform.

use std::io::Write;

use ops_layer::Ops;
use ops_layer::trace::last_export_ok;

use crate::addresses::Addresses;
use crate::configs::Configs;
use crate::platform::Platform;

/// Prints the block to stderr, since stdout is for log lines.
pub fn print(platform: &Platform, configs: &Configs, addresses: &Addresses, ops: &Ops) {
    let text = text(platform, configs, addresses, ops);
    // a closed terminal does not stop the platform
    let _ = std::io::stderr().write_all(text.as_bytes());
}

fn text(platform: &Platform, configs: &Configs, addresses: &Addresses, ops: &Ops) -> String {
    let Addresses { api, admin } = addresses;
    let admin = match admin {
        Some(admin) => format!("{admin}/"),
        None => "off".to_owned(),
    };
    let mut lines = vec![
        String::new(),
        format!("  API        {api}/"),
        format!("  metrics    {api}/metrics"),
        format!("  admin      {admin}"),
    ];
    for dataset in platform.registry.datasets() {
        lines.push(format!(
            "  data       {}: {} rows, {}",
            dataset.name, dataset.rows, dataset.source
        ));
    }
    if let Some(cluster) = platform.cluster() {
        lines.push(format!(
            "  engine     {} for flights and airports",
            cluster.address()
        ));
    }
    lines.push(format!("  data dir   {}", platform.data_dir.display()));
    lines.push(format!(
        "  config     {}, {}",
        configs.secrets, configs.cache
    ));
    for secret in ops.secrets().report().secrets {
        lines.push(format!(
            "  secret     {} from {}",
            secret.name,
            secret.source.as_str()
        ));
    }
    lines.push(format!("  collector  {}", collector()));
    lines.push("  stop       Ctrl-C".to_owned());
    lines.push(String::new());
    lines.join("\n") + "\n"
}

fn collector() -> &'static str {
    match last_export_ok() {
        Some(true) => "responds",
        Some(false) => "does not respond: spans are dropped and counted; nothing else is affected",
        None => "not contacted yet: known after the first export; each change is logged once",
    }
}
