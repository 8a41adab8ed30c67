//! Answers of commands on standard output, and what else they say on standard error.

use std::io::{ErrorKind, Write};

use serde::Serialize;

use crate::error::{Error, Kind, Result};

/// Writes a line to standard error. One that cannot be written, such as to a full disk, changes nothing else.
pub fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "kearney-platform: {line}");
}

/// Writes what a command has to say. A reader that has seen enough and left is no failure.
pub fn answer(text: &str) -> Result<()> {
    answer_unless_left(text).map(|_| ())
}

/// The same; `false` if the reader left.
pub fn answer_unless_left(text: &str) -> Result<bool> {
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

/// The same as JSON.
pub fn answer_json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value);
    let text =
        text.map_err(|error| Error::new(Kind::File, "cannot be shown as JSON").because(error))?;
    answer(&format!("{text}\n"))
}
