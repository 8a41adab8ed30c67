//! `kearney-platform secrets`: where secrets come from, for the runbook. Values are never shown.

use ops_layer::secrets;

use crate::args;
use crate::configs::Configs;

#[expect(
    clippy::print_stdout,
    reason = "the answer of a command goes to stdout"
)]
pub fn run(command: args::Secrets) -> Result<(), String> {
    match command {
        args::Secrets::Source { name, config_dir } => {
            let secrets = open(config_dir.as_deref())?;
            let source = secrets.get(&name).source_blocking();
            println!(
                "{name}: {}",
                source.map_err(|error| error.to_string())?.as_str()
            );
        }
        args::Secrets::Report { config_dir } => {
            let secrets = open(config_dir.as_deref())?;
            let validated = secrets.validate_blocking();
            let report = secrets.report();
            let text = serde_json::to_string_pretty(&report).map_err(|error| error.to_string())?;
            println!("{text}");
            validated.map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

fn open(config_dir: Option<&std::path::Path>) -> Result<secrets::Secrets, String> {
    let configs = Configs::read(config_dir)?;
    secrets::Config::from_env()
        .map(|config| config.catalogue_text(configs.secrets.text))
        .and_then(secrets::Secrets::new)
        .map_err(|error| format!("{}: {error}", configs.secrets.name))
}
