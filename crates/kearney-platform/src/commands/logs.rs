//! `kearney-platform logs`: selects JSON lines from files or standard input and prints them in readable form.

mod input;

use std::collections::HashSet;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use ops_layer::log::reader::{
    LeftOut, Lines, MAX_STORED_LINE_BYTES, Selection, Sieve, Tail, Taken, escaped, with_rotated,
};

use self::input::Source;
use crate::args;
use crate::error::{Error, Kind, Result, chain};
use crate::output::{print_to_stderr, print_unless_closed};

/// Bytes printed at once.
const PIECE: usize = 64 * 1024;
/// Interval between two reads of followed files; lines written and removed by rotation within one interval are lost.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Interval between two notes about skipped lines while following files.
const NOTE_INTERVAL: Duration = Duration::from_secs(10);

/// Reads all readable files. Each unreadable one is reported, and makes the command fail.
pub fn run(options: &args::Logs) -> ExitCode {
    let mut printer = Printer::new(options);
    let ended = files(options).and_then(|files| match options.follow {
        true => follow(&mut printer, files),
        false => read(&mut printer, &files),
    });
    printer.note();
    if let Err(error) = ended {
        printer.fail(&error);
    }
    if printer.failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn files(options: &args::Logs) -> Result<Vec<PathBuf>> {
    if !options.files.is_empty() {
        return Ok(options.files.clone());
    }
    let file = options.log_file.path().map(Path::to_owned);
    let file = file.ok_or_else(|| {
        let none = "no log file is configured (--log-file, KEARNEY_LOG_FILE); pass a file, or - for standard input";
        Error::new(Kind::Config, none)
    })?;
    Ok(vec![file])
}

/// Reads each file after its rotated files. All regular files are opened before the first one is read, as they may be
/// rotated meanwhile; a file named twice is read once.
fn read(printer: &mut Printer, files: &[PathBuf]) -> Result<()> {
    let (mut all, mut seen) = (Vec::new(), HashSet::new());
    for file in files {
        let names = match input::is_stdin(file) {
            true => vec![file.clone()],
            false => with_rotated(file),
        };
        // newest first: a file renamed meanwhile is seen twice rather than missed
        let is_regular = |name: &Path| std::fs::metadata(name).is_ok_and(|found| found.is_file());
        let opened = names.into_iter().rev().map(|name| {
            // opening a pipe blocks until it has a writer
            let input = is_regular(&name).then(|| input::open(&name));
            (input, name)
        });
        let mut opened: Vec<_> = opened.collect();
        opened.retain(|(input, _)| {
            let input = input.as_ref().and_then(|input| input.as_ref().ok());
            let inode = input.and_then(|input| input.inode);
            inode.is_none_or(|inode| seen.insert(inode))
        });
        all.extend(opened.into_iter().rev());
    }
    for (input, file) in all {
        let mut lines = match input.unwrap_or_else(|| input::open(&file)) {
            Ok(input) => Lines::new(input.bytes),
            Err(error) => {
                printer.fail(&unreadable(&file, error));
                continue;
            }
        };
        let ended = printer.print(&mut lines);
        printer.cut += lines.cut_lines();
        match ended {
            Ok(()) => {}
            Err(StopReason::OutputClosed) => break,
            Err(StopReason::Input(error)) => printer.fail(&unreadable(&file, error)),
            Err(StopReason::Output(error)) => return Err(error),
        }
    }
    Ok(())
}

/// A followed file.
struct Followed {
    file: PathBuf,
    tail: Tail,
    gaps: u64,
    cut: u64,
}

/// Follows the files: regular ones until Ctrl-C, pipes until they end.
fn follow(printer: &mut Printer, files: Vec<PathBuf>) -> Result<()> {
    let mut all = Vec::new();
    for file in files {
        match input::open_to_follow(&file) {
            Ok(tail) => all.push(Followed {
                file,
                tail,
                gaps: 0,
                cut: 0,
            }),
            Err(error) => printer.fail(&unreadable(&file, error)),
        }
    }
    let mut noted = None::<Instant>;
    while !all.is_empty() {
        let mut going_on = Vec::new();
        for mut followed in all {
            match print_new_lines(printer, &mut followed) {
                Ok(true) => going_on.push(followed),
                Ok(false) => {}
                Err(StopReason::OutputClosed) => return Ok(()),
                Err(StopReason::Input(error)) => printer.fail(&unreadable(&followed.file, error)),
                Err(StopReason::Output(error)) => return Err(error),
            }
        }
        all = going_on;
        if noted.is_none_or(|noted| noted.elapsed() >= NOTE_INTERVAL) && printer.note() {
            noted = Some(Instant::now());
        }
        if !all.is_empty() {
            std::thread::sleep(POLL_INTERVAL);
        }
    }
    Ok(())
}

/// Prints new lines; returns `false` if no more can come.
fn print_new_lines(printer: &mut Printer, followed: &mut Followed) -> Result<bool, StopReason> {
    let Followed {
        file,
        tail,
        gaps,
        cut,
    } = followed;
    let printed = printer.print(tail);
    let is_gap = std::mem::replace(gaps, tail.gaps()) < *gaps;
    if is_gap {
        print_to_stderr(&format!(
            "lines of {} may be missing: rotation or truncation removed them before they were read",
            file.display()
        ));
    }
    printed?;
    let can_grow = tail.can_grow().map_err(StopReason::Input)?;
    if !can_grow && let Some(rest) = tail.finish() {
        let shown = printer.shown(&rest);
        printer.write(&shown)?;
    }
    let cuts = tail.cut_lines();
    printer.cut += cuts - std::mem::replace(cut, cuts);
    Ok(can_grow)
}

fn unreadable(file: &Path, error: io::Error) -> Error {
    let attempted = format!("cannot read the log file {}", file.display());
    Error::new(Kind::File, attempted).because(error)
}

fn selection(options: &args::Logs) -> Selection {
    let mut selection = Selection::new();
    if let Some(level) = options.level {
        selection = selection.level(level);
    }
    if let Some(id) = &options.trace_id {
        selection = selection.trace(id.clone());
    }
    if let Some(id) = &options.request_id {
        selection = selection.field("request_id", id);
    }
    for pair in &options.field {
        selection = selection.pair(pair);
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

/// Reason why reading of a file stopped.
enum StopReason {
    Input(io::Error),
    Output(Error),
    /// The reader of the output closed it.
    OutputClosed,
}

struct Printer {
    sieve: Sieve,
    json: bool,
    color: bool,
    /// Number of lines that were too long.
    cut: u64,
    noted: (LeftOut, u64),
    failed: bool,
}

impl Printer {
    fn new(options: &args::Logs) -> Self {
        Self {
            sieve: Sieve::new(selection(options)).json_only(options.json),
            json: options.json,
            color: io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
            cut: 0,
            noted: (LeftOut::default(), 0),
            failed: false,
        }
    }

    fn fail(&mut self, error: &Error) {
        self.failed = true;
        print_to_stderr(&chain(error));
    }

    /// Prints the available lines, and flushes them before it waits for more.
    fn print(&mut self, source: &mut impl Source) -> Result<(), StopReason> {
        let mut text = String::new();
        loop {
            let line = source.next_line();
            if let Ok(Some(line)) = &line {
                text.push_str(&self.shown(line));
                if source.has_line() && text.len() < PIECE {
                    continue;
                }
            }
            self.write(&std::mem::take(&mut text))?;
            if line.map_err(StopReason::Input)?.is_none() {
                return Ok(());
            }
        }
    }

    fn write(&self, text: &str) -> Result<(), StopReason> {
        match print_unless_closed(text).map_err(StopReason::Output)? {
            true => Ok(()),
            false => Err(StopReason::OutputClosed),
        }
    }

    /// Formats a line, with its newline; empty if it is not selected. Text that is not JSON, such as a stack trace, is
    /// printed escaped.
    fn shown(&mut self, line: &str) -> String {
        match self.sieve.take(line) {
            None => String::new(),
            Some(Taken::Line(_)) if self.json => format!("{line}\n"),
            Some(Taken::Line(stored)) => format!("{}\n", stored.console(self.color)),
            Some(_) => format!("{}\n", escaped(line)),
        }
    }

    /// Prints a note about skipped and truncated lines; returns `false` if there are no new ones.
    fn note(&mut self) -> bool {
        let now = (self.sieve.left_out(), self.cut);
        if std::mem::replace(&mut self.noted, now) == now {
            return false;
        }
        let (left_out, cut) = now;
        let left_out = left_out.to_string();
        if !left_out.is_empty() {
            print_to_stderr(&format!("skipped: {left_out}"));
        }
        if cut > 0 {
            let mib = MAX_STORED_LINE_BYTES / 1024 / 1024;
            print_to_stderr(&format!("lines truncated to {mib} MiB: {cut}"));
        }
        true
    }
}
