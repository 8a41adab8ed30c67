//! Debug lines for two seconds: `cargo run --release -p ops-log --example change_level`.

use std::thread::sleep;
use std::time::{Duration, Instant};

use ops_log::{Config, Level};

fn main() -> Result<(), ops_log::Error> {
    let _log = ops_log::init(Config::new().service_name("api"))?;
    ops_log::debug!("not_shown", when = "before");
    ops_log::set_level(
        "",
        Level::Debug,
        Duration::from_secs(2),
        "ada",
        "looking for a fault",
    )?;
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(3) {
        ops_log::debug!("tick", after_ms = started.elapsed().as_millis() as u64);
        sleep(Duration::from_millis(500));
    }
    ops_log::info!("done");
    Ok(())
}
