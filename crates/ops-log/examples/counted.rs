//! Writes lines to standard output and tells on standard error what became of them: `counted LINES BYTES`.

use ops_log::{Config, stats};

#[expect(clippy::print_stderr, reason = "that is what it is for")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let lines: u64 = arguments
        .next()
        .ok_or("usage: counted LINES BYTES")?
        .parse()?;
    let text = "x".repeat(
        arguments
            .next()
            .ok_or("usage: counted LINES BYTES")?
            .parse()?,
    );
    let log = ops_log::init(Config::new().json(true))?;
    for number in 0..lines {
        ops_log::info!("counted", number = number, text = &text);
    }
    drop(log);
    let stats = stats();
    eprintln!("{} {}", stats.written, stats.dropped);
    Ok(())
}
