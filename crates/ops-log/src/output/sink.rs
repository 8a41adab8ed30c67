//! Writing to a single output.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock, RwLockWriteGuard};

use crate::output::closing::Closings;
use crate::output::direct::{Direct, WriteOutcome};
use crate::output::health::OutputHealth;
use crate::output::log_file;
use crate::output::notice::{Notices, OutputFailure};
use crate::output::rotation::Rotation;
use crate::output::stream;
use crate::output::writer::Writer;
use crate::output::{Output, Place};
use crate::render::callback::caught;
use crate::render::line_buffers::Style;
use crate::{Filter, JsonForm, Level};

/// Output for lines in one form.
pub(crate) struct Sink {
    /// `None` for JSON.
    pub(crate) style: Option<Style>,
    /// Form of JSON lines, if it is not the default.
    form: Option<JsonForm>,
    /// `None` for the filter of the configuration.
    pub(crate) filter: Option<Filter>,
    /// Threads share this lock to write to a file while there is no failure.
    target: Arc<RwLock<Target>>,
    /// Way to bypass the lock, if there is one.
    direct: Option<Direct>,
    name: String,
    is_file: bool,
    is_given: bool,
}

pub(crate) struct Target {
    writer: Writer,
    /// Set if the last line was written only in part: the next one starts on a new line.
    torn: bool,
    /// Buffer for a line in another form.
    formed: Vec<u8>,
    /// Number of lines not accepted since the last `log_lines_lost`.
    lost: u64,
    /// Set from a failure until a line is written, so that it is reported once.
    is_failing: bool,
    /// Reason of the last failure.
    failure: Option<String>,
    /// Total number of lines not accepted.
    total_lost: u64,
    /// Set if the file is to be reopened at the next line.
    reopen: bool,
}

impl Sink {
    pub(crate) fn open(output: &Output, rotation: Rotation, form: &JsonForm) -> io::Result<Self> {
        let blocking = output.blocking;
        let (target, terminal) = match &output.place {
            Place::Stdout => Target::standard(stream::stdout(), blocking),
            Place::Stderr => Target::standard(stream::stderr(), blocking),
            Place::File(path) => {
                let rotation = output.rotation.unwrap_or(rotation);
                (Target::file(path, rotation, blocking)?, false)
            }
            Place::Given(target) => {
                let form = JsonForm::new();
                return Ok(Self::to(Arc::clone(target), None, false, output, &form));
            }
        };
        let direct = Direct::of(&target.writer);
        let target = Arc::new(RwLock::new(target));
        Ok(Self::to(target, direct, terminal, output, form))
    }

    fn to(
        target: Arc<RwLock<Target>>,
        direct: Option<Direct>,
        terminal: bool,
        output: &Output,
        form: &JsonForm,
    ) -> Self {
        let form = output.form.as_ref().unwrap_or(form);
        let form = Some(form).filter(|form| output.json && !form.is_default());
        let style = (!output.json).then(|| Style {
            color: output.color.unwrap_or_else(|| color_wanted(terminal)),
            context: output.context,
        });
        let (name, is_file) = match &output.place {
            Place::Stdout => ("stdout".to_owned(), false),
            Place::Stderr => ("stderr".to_owned(), false),
            Place::File(path) => (path.display().to_string(), true),
            Place::Given(_) => ("writer".to_owned(), false),
        };
        Self {
            style,
            form: form.cloned(),
            filter: output.filter.clone(),
            target,
            // a line in another form is created under the lock
            direct: direct.filter(|_| form.is_none()),
            name,
            is_file,
            is_given: matches!(output.place, Place::Given(_)),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Writes a line, and returns `true` if it was written as a whole;
    /// `None` if the output is closed. New failures are added to `failures`.
    #[inline]
    pub(crate) fn write(
        &self,
        line: &[u8],
        level: Level,
        notices: &Notices<'_>,
        failures: &mut Vec<OutputFailure>,
    ) -> Option<bool> {
        let outcome = match &self.direct {
            Some(direct) => direct.write(line),
            None if self.is_file && self.form.is_none() => self.target.read().write_beside(line),
            None => {
                return self.write_to(&mut self.target.write(), line, level, notices, failures);
            }
        };
        match outcome {
            WriteOutcome::Whole => Some(true),
            outcome => self.write_alone(outcome, line, level, notices, failures),
        }
    }

    /// Writes a line under the exclusive lock.
    #[inline(never)]
    fn write_alone(
        &self,
        outcome: WriteOutcome,
        line: &[u8],
        level: Level,
        notices: &Notices<'_>,
        failures: &mut Vec<OutputFailure>,
    ) -> Option<bool> {
        let mut target = self.alone();
        target.torn |= self.direct.is_some() && outcome == WriteOutcome::Torn;
        let is_written = self.write_to(&mut target, line, level, notices, failures)?;
        if let Some(direct) = &self.direct
            && is_written
            && target.is_clear()
        {
            direct.clear();
        }
        Some(is_written)
    }

    /// Returns the exclusive lock, after checking for lines that were written in part.
    fn alone(&self) -> RwLockWriteGuard<'_, Target> {
        let mut target = self.target.write();
        target.settle_torn();
        target
    }

    #[inline]
    fn write_to(
        &self,
        target: &mut Target,
        line: &[u8],
        level: Level,
        notices: &Notices<'_>,
        failures: &mut Vec<OutputFailure>,
    ) -> Option<bool> {
        if matches!(target.writer, Writer::Closed) {
            return None;
        }
        if target.lost > 0
            && let Err(error) = self.report_lost(target, level, notices, failures)
        {
            target.count_lost(error, failures);
            return Some(false);
        }
        Some(match &self.form {
            None => target.write(line, level, failures),
            Some(form) => {
                let write = |target: &mut Target, line: &[u8]| target.write(line, level, failures);
                target.formed(form, line, notices, write)
            }
        })
    }

    /// Returns `true` if this can be closed: its target has no other owner, and cannot get one.
    pub(crate) fn can_be_closed(&self) -> bool {
        Arc::strong_count(&self.target) == 1
    }

    /// Accepts no more lines, and releases the target as soon as a pending line is written.
    pub(crate) fn close(&self, closings: &Arc<Closings>) {
        if let Some(target) = self.target.try_write() {
            return Target::close(target);
        }
        // the writer itself may have called this: waiting for its lock here would deadlock
        let target = Arc::clone(&self.target);
        closings.later(move || Target::close(target.write()));
    }

    /// Writes a line of this crate, which is not counted; returns `true` if it was written.
    pub(crate) fn write_notice(&self, line: &[u8], notices: &Notices<'_>) -> bool {
        let mut target = self.alone();
        let write = |target: &mut Target, line: &[u8]| {
            !target.is_failing && target.write_whole(line, Level::Warning).is_ok()
        };
        match &self.form {
            None => write(&mut target, line),
            Some(form) => target.formed(form, line, notices, write),
        }
    }

    /// Reports the number of missing lines; fails if that line is not accepted.
    #[cold]
    fn report_lost(
        &self,
        target: &mut Target,
        level: Level,
        notices: &Notices<'_>,
        failures: &mut Vec<OutputFailure>,
    ) -> io::Result<()> {
        let notice = notices.lost(&self.name, target.lost, self.style);
        let mut write = |target: &mut Target, notice: &[u8]| {
            target.prepare(notice.len(), failures);
            target.write_whole(notice, level)
        };
        match &self.form {
            None => write(target, &notice),
            Some(form) => target.formed(form, &notice, notices, write),
        }?;
        target.lost = 0;
        Ok(())
    }

    /// Returns the state; `None` if it is busy with a line that is not read.
    pub(crate) fn health(&self) -> Option<OutputHealth> {
        let target = self.target.try_write_for(Duration::from_millis(50))?;
        let of_file = match &target.writer {
            Writer::File(file) => file.problem().map(str::to_owned),
            _ => None,
        };
        let failure = target.failure.clone().filter(|_| target.is_failing);
        Some(OutputHealth {
            name: self.name.clone(),
            is_file: self.is_file,
            problem: failure.or(of_file),
            lost: target.total_lost,
        })
    }

    pub(crate) fn is_file(&self) -> bool {
        self.is_file
    }

    pub(crate) fn runs_application_code(&self) -> bool {
        self.is_given
    }

    /// Reopens the file of this name before the next line: after a rotation it is another file.
    pub(crate) fn reopen(&self) {
        self.target.write().reopen = true;
    }

    /// Waits for pending lines, and reports how many were lost; returns `false` on timeout.
    pub(crate) fn flush(&self, budget: Duration, notices: &Notices<'_>) -> bool {
        let started = Instant::now();
        let Some(mut target) = self.target.try_write_for(budget) else {
            return false;
        };
        target.settle_torn();
        if target.lost > 0 {
            if let Writer::Stream(stream) = &mut target.writer {
                stream
                    .stall_budget
                    .grant(budget.saturating_sub(started.elapsed()));
            }
            // if it fails, the lines stay counted as lost
            let _ = self.report_lost(&mut target, Level::Error, notices, &mut Vec::new());
        }
        match &mut target.writer {
            Writer::Given(writer) => caught(|| writer.get_mut().flush().is_ok()).unwrap_or(false),
            _ => true,
        }
    }
}

impl Target {
    /// Returns a target for a writer of the application.
    pub(crate) fn given(writer: Box<dyn Write + Send>) -> Self {
        Self::new(Writer::Given(Mutex::new(writer)))
    }

    fn standard(stream: Option<(File, bool)>, blocking: bool) -> (Self, bool) {
        let (writer, terminal) = Writer::standard(stream, blocking);
        (Self::new(writer), terminal)
    }

    /// Opens a path: a file, or a pipe or device of that name.
    fn file(path: &Path, rotation: Rotation, blocking: bool) -> io::Result<Self> {
        let mut target = Self::new(Writer::open(path, rotation, blocking)?);
        if matches!(target.writer, Writer::File(_)) {
            // the rest of a killed process's last line stays on its own line
            target.torn = log_file::ends_within_a_line(path).unwrap_or(false);
        }
        Ok(target)
    }

    fn new(writer: Writer) -> Self {
        Self {
            writer,
            torn: false,
            formed: Vec::new(),
            lost: 0,
            is_failing: false,
            failure: None,
            total_lost: 0,
            reopen: false,
        }
    }

    fn close(mut target: RwLockWriteGuard<'_, Self>) {
        let writer = std::mem::replace(&mut target.writer, Writer::Closed);
        drop(target);
        // a writer of the application may log or panic in its `Drop`
        caught(|| drop(writer));
    }

    /// Returns `true` if there is no failure that affects the next line.
    fn is_clear(&self) -> bool {
        !self.torn && !self.is_failing && self.lost == 0
    }

    /// Writes a line while other threads write theirs, if there is no failure.
    #[inline]
    fn write_beside(&self, line: &[u8]) -> WriteOutcome {
        match &self.writer {
            Writer::File(file) if self.is_clear() && !self.reopen && !file.is_torn() => {
                file.write_beside(line)
            }
            _ => WriteOutcome::NotWritten,
        }
    }

    /// Checks, before anything else is written, if lines were written in part beside those of other
    /// threads. If the file ends with a whole line, that line directly follows a part: it is not on
    /// its own line, and so is lost, whichever thread wrote it. There may be several of them.
    #[inline]
    fn settle_torn(&mut self) {
        if let Writer::File(file) = &mut self.writer
            && file.take_torn()
        {
            self.settle();
        }
    }

    #[cold]
    fn settle(&mut self) {
        match &self.writer {
            Writer::File(file) if !file.ends_within_a_line() => {
                self.lost += 1;
                self.total_lost += 1;
            }
            _ => self.torn = true,
        }
    }

    /// Writes a line in a form other than the default.
    #[cold]
    fn formed<R>(
        &mut self,
        form: &JsonForm,
        line: &[u8],
        notices: &Notices<'_>,
        write: impl FnOnce(&mut Self, &[u8]) -> R,
    ) -> R {
        let mut formed = std::mem::take(&mut self.formed);
        formed.clear();
        form.write(line, notices.service, &mut formed);
        let result = write(self, &formed);
        self.formed = formed;
        result
    }

    #[inline]
    fn write(&mut self, line: &[u8], level: Level, failures: &mut Vec<OutputFailure>) -> bool {
        self.prepare(line.len(), failures);
        match self.write_whole(line, level) {
            Ok(()) => {
                self.is_failing = false;
                true
            }
            Err(error) => {
                self.count_lost(error, failures);
                false
            }
        }
    }

    #[cold]
    fn count_lost(&mut self, error: io::Error, failures: &mut Vec<OutputFailure>) {
        self.lost += 1;
        self.total_lost += 1;
        if std::mem::replace(&mut self.is_failing, true) {
            return;
        }
        self.failure = Some(error.to_string());
        if is_worth_a_warning(&error) {
            failures.push(OutputFailure::new("log_output_failed", error));
        }
    }

    #[inline]
    fn prepare(&mut self, line: usize, failures: &mut Vec<OutputFailure>) {
        if let Writer::File(file) = &mut self.writer {
            let asked = std::mem::take(&mut self.reopen);
            let before = file.identity();
            failures.extend(file.prepare(line, asked));
            if self.torn && file.identity() != before {
                self.torn = file.ends_within_a_line();
            }
        }
    }

    #[inline]
    fn write_whole(&mut self, line: &[u8], level: Level) -> io::Result<()> {
        if self.torn {
            self.writer
                .write_all(b"\n", level)
                .map_err(|failed| failed.error)?;
            self.torn = false;
        }
        self.writer.write_all(line, level).map_err(|failed| {
            self.torn = failed.written > 0;
            failed.error
        })
    }
}

/// Returns `false` for a reader that stalls, which gets the number of lines later, and for one that went away.
fn is_worth_a_warning(error: &io::Error) -> bool {
    !matches!(
        error.kind(),
        io::ErrorKind::TimedOut | io::ErrorKind::BrokenPipe | io::ErrorKind::NotConnected
    )
}

fn color_wanted(terminal: bool) -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !set("NO_COLOR") && (set("FORCE_COLOR") || terminal)
}
