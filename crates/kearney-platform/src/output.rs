//! Answers of commands on standard output, and what else they say on standard error.

use std::io::{ErrorKind, Write};

use serde::Serialize;

use crate::error::{Error, Kind, Result};

/// Writes a line to standard error, without what [`redacted`] takes out. One that cannot be written, such as to a full disk, changes
/// nothing else.
pub fn tell(line: &str) {
    let line = redacted(line.to_owned());
    let _ = writeln!(std::io::stderr(), "kearney-platform: {line}");
}

/// Takes out what `secrets` has registered, and credentials in URLs.
pub fn redacted(text: String) -> String {
    ops_layer::log::redacted(&text).unwrap_or(text)
}

/// Ends the program with what is wrong with its arguments, which may have credentials in them.
pub fn refuse(error: &clap::Error) -> ! {
    let text = error.render().to_string();
    let Some(text) = ops_layer::log::redacted(&text) else {
        error.exit() // in color, or with the help
    };
    let _ = write!(std::io::stderr(), "{text}");
    std::process::exit(error.exit_code())
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
