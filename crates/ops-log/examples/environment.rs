//! A program whose logging is configured by the environment: `OPS_LOG_FORMAT=json RUST_LOG=environment=debug`.

#[expect(clippy::print_stderr, reason = "there is no log yet to tell it to")]
fn main() -> std::process::ExitCode {
    let _log = match ops_log::init(ops_log::Config::from_env().service_name("api")) {
        Ok(log) => log,
        Err(error) => {
            eprintln!("{error}");
            return std::process::ExitCode::FAILURE;
        }
    };
    ops_log::info!("started", port = 8000);
    ops_log::debug!("details", workers = 2);
    ops_log::warn!(ops_log::get_logger("db"), "slow", rows = 3);
    std::process::ExitCode::SUCCESS
}
