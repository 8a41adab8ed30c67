//! Writes numbered lines until it is killed: `endless FILE`. After the call for a line returned,
//! its number is written to standard output, so that a reader knows which lines must not be lost.

use std::io::Write;

use ops_log::{Config, Output};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: endless FILE")?;
    let output = Output::file(path).json(true);
    let _log = ops_log::init(Config::new().stdout(false).output(output))?;
    let mut out = std::io::stdout();
    for number in 0_u64.. {
        ops_log::info!("numbered", number = number);
        writeln!(out, "{number}")?;
    }
    Ok(())
}
