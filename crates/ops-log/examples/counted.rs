//! Writes lines to standard output and says on standard error what became of them: `counted LINES BYTES [blocking|late]`.
//! `blocking` waits for a reader that stalls; `late` says when all lines are logged, before it flushes.

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
    let mode = arguments.next().unwrap_or_default();
    let log = ops_log::init(Config::new().json(true).blocking(mode == "blocking"))?;
    for number in 0..lines {
        ops_log::info!("counted", number = number, text = &text);
    }
    if mode == "late" {
        eprintln!("logged");
        log.flush(std::time::Duration::from_secs(60));
    }
    drop(log);
    let stats = stats();
    eprintln!("{} {}", stats.written, stats.dropped);
    Ok(())
}
