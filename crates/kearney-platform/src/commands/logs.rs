//! `kearney-platform logs`: JSON lines of files or of standard input, selected, and printed for people.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ops_layer::log::reader::{Selection, StoredLine, Tail, escaped, with_rotated};

use crate::args;
use crate::error::{Error, Kind, Result};
use crate::output::answer;

/// Standard input, as a file.
const STDIN: &str = "/dev/stdin";
/// Bytes that are printed at once.
const PIECE: usize = 64 * 1024;
/// Time between two looks at files that are followed.
const PAUSE: Duration = Duration::from_millis(200);

pub fn run(options: &args::Logs) -> Result<()> {
    let printer = Printer {
        selection: selection(options),
        json: options.json,
        color: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
    };
    let mut tails = Vec::new();
    for file in files(options) {
        let failed = |error| {
            let what = format!("cannot read the log file {}", file.display());
            Error::new(Kind::File, what).because(error)
        };
        let mut tail = Tail::open(&file).map_err(failed)?;
        printer.print(&mut tail)?;
        if options.follow {
            tails.push(tail);
        } else if let Some(rest) = tail.finish() {
            answer(&printer.shown(&rest))?;
        }
    }
    if !options.follow {
        return Ok(());
    }
    loop {
        for tail in &mut tails {
            printer.print(tail)?;
        }
        std::thread::sleep(PAUSE);
    }
}

/// Files to read. What a file was rotated to comes first, unless it is followed: then its end is of interest.
fn files(options: &args::Logs) -> Vec<PathBuf> {
    let each = options.files.iter().flat_map(|file| {
        if file == Path::new("-") {
            vec![STDIN.into()]
        } else if options.follow {
            vec![file.clone()]
        } else {
            with_rotated(file)
        }
    });
    each.collect()
}

fn selection(options: &args::Logs) -> Selection {
    let mut selection = Selection::new();
    if let Some(level) = options.level {
        selection = selection.level(level);
    }
    let named = [
        ("trace_id", &options.trace_id),
        ("request_id", &options.request_id),
    ];
    for (key, value) in named {
        if let Some(value) = value {
            selection = selection.field(key, value);
        }
    }
    for (key, value) in &options.field {
        selection = selection.field(key, value);
    }
    if let Some(text) = &options.text {
        selection = selection.text(text);
    }
    if let Some(since) = options.since {
        selection = selection.since(since);
    }
    if let Some(until) = options.until {
        selection = selection.until(until);
    }
    selection
}

struct Printer {
    selection: Selection,
    json: bool,
    color: bool,
}

impl Printer {
    /// Prints what is there.
    fn print(&self, tail: &mut Tail) -> Result<()> {
        let mut text = String::new();
        let next = |tail: &mut Tail| {
            let line = tail.next_line();
            line.map_err(|error| Error::new(Kind::File, "cannot read the log").because(error))
        };
        while let Some(line) = next(tail)? {
            text.push_str(&self.shown(&line));
            if text.len() >= PIECE {
                answer(&std::mem::take(&mut text))?;
            }
        }
        answer(&text)
    }

    /// A line with its newline; nothing if it is not wanted. Text that is not JSON, such as a stack trace, is shown as it is.
    fn shown(&self, line: &str) -> String {
        match StoredLine::parse(line) {
            Ok(stored) if !self.selection.matches(&stored) => String::new(),
            Ok(_) if self.json => format!("{line}\n"),
            Ok(stored) => format!("{}\n", stored.console(self.color)),
            Err(_) if self.json || !self.selection.matches_text(line) => String::new(),
            Err(_) => format!("{}\n", escaped(line)),
        }
    }
}
