//! Traffic for `cargo xtask serve --demo`, in a separate process, since the platform replaces the process of `serve`.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant, SystemTime};

use serde::Deserialize;

use crate::prometheus::Load;
use crate::{Result, command, workspace};

const POLL: Duration = Duration::from_millis(200);
/// Timeout for readiness: the first start loads three million flights.
const READY_WITHIN: Duration = Duration::from_secs(300);
/// Duration of the traffic between two checks of the platform.
const ROUND: Duration = Duration::from_secs(10);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// File with the addresses of the platform, which exists once it is ready
    #[arg(long)]
    addresses: PathBuf,
    /// Copies of the input files
    #[arg(long)]
    datasets: PathBuf,
}

#[derive(Deserialize)]
struct Addresses {
    api: String,
}

/// Starts the traffic for a platform that is about to be started with these arguments. The traffic ends with the
/// platform.
pub(crate) fn start(datasets: &Path, platform: &[String]) -> Result<Child> {
    let this = std::env::current_exe().map_err(|e| format!("cannot find this program: {e}"))?;
    let mut traffic = command::program(this);
    traffic
        .arg("demo-traffic")
        .arg("--addresses")
        .arg(data_dir(platform).join("addresses.json"))
        .arg("--datasets")
        .arg(datasets)
        .stdin(Stdio::null());
    println!("$ {}", command::shown(&traffic));
    traffic
        .spawn()
        .map_err(|e| format!("cannot start the traffic: {e}"))
}

/// Returns the directory from `--data-dir`, its variable, or the platform's default, relative to the checkout.
fn data_dir(platform: &[String]) -> PathBuf {
    let after = |word: &String| word.strip_prefix("--data-dir=").map(PathBuf::from);
    let option = platform.iter().find_map(after).or_else(|| {
        let at = platform.iter().position(|word| word == "--data-dir")?;
        platform.get(at + 1).map(PathBuf::from)
    });
    // an empty variable counts as unset
    let variable = std::env::var_os("KEARNEY_DATA_DIR").filter(|dir| !dir.is_empty());
    let variable = || variable.map(PathBuf::from);
    let dir = option.or_else(variable);
    workspace::root().join(dir.unwrap_or_else(|| PathBuf::from("data")))
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let started = (SystemTime::now(), Instant::now());
    let host = loop {
        if let Some(host) = host(&args.addresses, started.0) {
            break host;
        }
        if started.1.elapsed() > READY_WITHIN {
            return Err("the platform was not ready in time: no traffic".to_owned());
        }
        std::thread::sleep(POLL);
    };
    println!("traffic for {host}");
    let load = Load::new(&host, &args.datasets);
    while TcpStream::connect(&host).is_ok() {
        // the platform may stop in the middle of a round, which is not an error
        let _ = load.run_as_users(Instant::now() + ROUND);
    }
    Ok(())
}

/// Generates the same traffic until a time, for a platform that keeps running: an unexpected response is an error.
pub(crate) fn generate(host: &str, datasets: &Path, until: Instant) -> Result<()> {
    let load = Load::new(host, datasets);
    while Instant::now() < until {
        load.run_as_users(until.min(Instant::now() + ROUND))?;
    }
    Ok(())
}

/// Returns the address in a file that is newer than this.
fn host(file: &Path, since: SystemTime) -> Option<String> {
    let changed = std::fs::metadata(file).ok()?.modified().ok()?;
    let text = (changed >= since).then(|| std::fs::read(file).ok())??;
    let addresses: Addresses = serde_json::from_slice(&text).ok()?;
    Some(addresses.api.trim_start_matches("http://").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_directory_is_that_of_the_platform() {
        let folder = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
            data_dir(&words)
        };
        for words in [
            &["--data-dir", "/a/b"][..],
            &["--port", "0", "--data-dir=/a/b"],
        ] {
            assert_eq!(folder(words), PathBuf::from("/a/b"));
        }
    }
}
