//! Writes lines to standard output and reports on standard error how many were written and dropped:
//! `counted LINES BYTES [blocking|late|FILE]`. `blocking` waits for a reader that stalls; `late` reports when all
//! lines are logged, before it flushes; anything else is a file that gets the lines instead, from four threads.

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
    let file = Some(&mode).filter(|mode| !matches!(mode.as_str(), "" | "blocking" | "late"));
    let config = Config::new().json(true).blocking(mode == "blocking");
    let log = ops_log::init(match file {
        Some(file) => config.stdout(false).file(file),
        None => config,
    })?;
    let threads: u64 = if file.is_some() { 4 } else { 1 };
    std::thread::scope(|scope| {
        for first in 0..threads {
            let text = &text;
            scope.spawn(move || {
                for number in (first..lines).step_by(threads as usize) {
                    ops_log::info!("counted", number = number, text = text);
                }
            });
        }
    });
    if mode == "late" {
        eprintln!("logged");
        log.flush(std::time::Duration::from_secs(60));
    }
    drop(log);
    let stats = stats();
    eprintln!("{} {}", stats.written, stats.dropped);
    Ok(())
}
