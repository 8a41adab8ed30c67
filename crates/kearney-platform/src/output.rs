//! Results of commands on standard output, and other messages on standard error.

use std::io::{ErrorKind, Write};

use ops_layer::log::reader::escaped;
use serde::Serialize;

use crate::error::{Error, Kind, Result};

/// Writes a line to standard error after redacting it. A failure to write, such as to a full disk, is ignored.
pub fn print_to_stderr(line: &str) {
    let line = redacted(line.to_owned());
    // a message may contain text from elsewhere, such as control characters
    let lines: Vec<_> = line.lines().map(escaped).collect();
    let _ = writeln!(std::io::stderr(), "kearney-platform: {}", lines.join("\n"));
}

/// Redacts registered secrets and credentials in URLs.
pub fn redacted(text: String) -> String {
    ops_layer::log::redacted(&text).unwrap_or(text)
}

/// Exits with an error about the arguments, which are redacted as they may contain credentials.
pub fn exit_with_usage_error(error: &clap::Error) -> ! {
    let text = error.render().to_string();
    let Some(text) = ops_layer::log::redacted(&text) else {
        error.exit() // in color, or with the help
    };
    let _ = write!(std::io::stderr(), "{text}");
    std::process::exit(error.exit_code())
}

/// Writes the result of a command. A reader that closed the pipe is not an error.
pub fn print_result(text: &str) -> Result<()> {
    print_unless_closed(text).map(|_| ())
}

/// Writes the result as [`print_result`] does; returns `false` if the reader closed the pipe.
pub fn print_unless_closed(text: &str) -> Result<bool> {
    let mut stdout = std::io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Error::new(Kind::File, "cannot write to stdout").because(error)),
    }
}

/// Writes the result as JSON.
pub fn print_json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value);
    let text = text.map_err(|error| {
        Error::new(Kind::File, "cannot serialize the result as JSON").because(error)
    })?;
    print_result(&format!("{text}\n"))
}
