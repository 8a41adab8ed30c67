//! Places that take lines.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock, RwLockWriteGuard};

use crate::output::closing::Closings;
use crate::output::direct::{Direct, Passed};
use crate::output::health::OutputHealth;
use crate::output::log_file;
use crate::output::notice::{Letterhead, Trouble};
use crate::output::rotation::Rotation;
use crate::output::stream;
use crate::output::writer::Writer;
use crate::output::{Output, Place};
use crate::render::callback::caught;
use crate::render::line_buffers::Style;
use crate::{Filter, JsonForm, Level};

/// A place that takes lines in one format.
pub(crate) struct Sink {
    /// `None` is JSON.
    pub(crate) style: Option<Style>,
    /// Form of JSON lines, if it is not ours.
    form: Option<JsonForm>,
    /// The filter of the configuration applies if it has none of its own.
    pub(crate) filter: Option<Filter>,
    /// Threads share the lock for lines to a file with which nothing is wrong.
    target: Arc<RwLock<Target>>,
    /// The way past the lock, if there is one.
    direct: Option<Direct>,
    name: String,
    is_file: bool,
    is_given: bool,
}

pub(crate) struct Target {
    writer: Writer,
    /// The last line was written in part only: the next one begins on a line of its own.
    torn: bool,
    /// A line in another form.
    formed: Vec<u8>,
    /// Number of lines that it did not take since the last `log_lines_lost`.
    lost: u64,
    /// Set from a failure on until a line is written: it was said once.
    is_failing: bool,
    /// Reason of that failure.
    failure: Option<String>,
    /// Number of lines that it did not take, in all.
    lost_in_all: u64,
    /// Set when the file is to be opened again at the next line.
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
        let form = Some(form).filter(|form| output.json && !form.is_ours());
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
            // a line in another form is made within the lock
            direct: direct.filter(|_| form.is_none()),
            name,
            is_file,
            is_given: matches!(output.place, Place::Given(_)),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Writes one line, and returns whether it was written as a whole; `None` if this is closed. What is wrong for the first
    /// time is added.
    #[inline]
    pub(crate) fn write(
        &self,
        line: &[u8],
        level: Level,
        letterhead: &Letterhead<'_>,
        troubles: &mut Vec<Trouble>,
    ) -> Option<bool> {
        let passed = match &self.direct {
            Some(direct) => direct.write(line),
            None if self.is_file && self.form.is_none() => self.target.read().write_beside(line),
            None => {
                return self.write_to(&mut self.target.write(), line, level, letterhead, troubles);
            }
        };
        match passed {
            Passed::Whole => Some(true),
            passed => self.write_alone(passed, line, level, letterhead, troubles),
        }
    }

    /// Writes a line under the lock alone.
    #[inline(never)]
    fn write_alone(
        &self,
        passed: Passed,
        line: &[u8],
        level: Level,
        letterhead: &Letterhead<'_>,
        troubles: &mut Vec<Trouble>,
    ) -> Option<bool> {
        let mut target = self.alone();
        target.torn |= self.direct.is_some() && passed == Passed::Torn;
        let is_written = self.write_to(&mut target, line, level, letterhead, troubles)?;
        if let Some(direct) = &self.direct
            && is_written
            && target.is_clear()
        {
            direct.clear();
        }
        Some(is_written)
    }

    /// The lock for one alone, after a look at lines that were written in part.
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
        letterhead: &Letterhead<'_>,
        troubles: &mut Vec<Trouble>,
    ) -> Option<bool> {
        if matches!(target.writer, Writer::Closed) {
            return None;
        }
        if target.lost > 0
            && let Err(error) = self.report_lost(target, level, letterhead, troubles)
        {
            target.count_lost(error, troubles);
            return Some(false);
        }
        Some(match &self.form {
            None => target.write(line, level, troubles),
            Some(form) => {
                let write = |target: &mut Target, line: &[u8]| target.write(line, level, troubles);
                target.formed(form, line, letterhead, write)
            }
        })
    }

    /// Reports whether this can be closed: nobody else has its target, and nobody can get it.
    pub(crate) fn can_be_closed(&self) -> bool {
        Arc::strong_count(&self.target) == 1
    }

    /// Takes no line from here on, and lets go of the place where they went, as soon as a line is written that is on its way there.
    pub(crate) fn close(&self, closings: &Arc<Closings>) {
        if let Some(target) = self.target.try_write() {
            return Target::close(target);
        }
        // the writer itself may have called this: waiting for its lock here would never end
        let target = Arc::clone(&self.target);
        closings.later(move || Target::close(target.write()));
    }

    /// Writes a line of our own, which nobody counts; returns whether it was written.
    pub(crate) fn write_notice(&self, line: &[u8], letterhead: &Letterhead<'_>) -> bool {
        let mut target = self.alone();
        let write = |target: &mut Target, line: &[u8]| {
            !target.is_failing && target.write_whole(line, Level::Warning).is_ok()
        };
        match &self.form {
            None => write(&mut target, line),
            Some(form) => target.formed(form, line, letterhead, write),
        }
    }

    /// Says how many lines are missing; fails if not even that is taken.
    #[cold]
    fn report_lost(
        &self,
        target: &mut Target,
        level: Level,
        letterhead: &Letterhead<'_>,
        troubles: &mut Vec<Trouble>,
    ) -> io::Result<()> {
        let notice = letterhead.lost(&self.name, target.lost, self.style);
        let mut write = |target: &mut Target, notice: &[u8]| {
            target.prepare(notice.len(), troubles);
            target.write_whole(notice, level)
        };
        match &self.form {
            None => write(target, &notice),
            Some(form) => target.formed(form, &notice, letterhead, write),
        }?;
        target.lost = 0;
        Ok(())
    }

    /// Returns its state; `None` if it is busy with a line that nobody reads.
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
            lost: target.lost_in_all,
        })
    }

    pub(crate) fn is_file(&self) -> bool {
        self.is_file
    }

    pub(crate) fn runs_code_of_others(&self) -> bool {
        self.is_given
    }

    /// Opens the file of this name again before the next line: after a rotation it is another one.
    pub(crate) fn reopen(&self) {
        self.target.write().reopen = true;
    }

    /// Waits for lines that are on their way, and says how many were lost; false on timeout.
    pub(crate) fn flush(&self, budget: Duration, letterhead: &Letterhead<'_>) -> bool {
        let started = Instant::now();
        let Some(mut target) = self.target.try_write_for(budget) else {
            return false;
        };
        target.settle_torn();
        if target.lost > 0 {
            if let Writer::Stream(stream) = &mut target.writer {
                stream
                    .patience
                    .grant(budget.saturating_sub(started.elapsed()));
            }
            // what stays lost is in its state
            let _ = self.report_lost(&mut target, Level::Error, letterhead, &mut Vec::new());
        }
        match &mut target.writer {
            Writer::Given(writer) => caught(|| writer.get_mut().flush().is_ok()).unwrap_or(false),
            _ => true,
        }
    }
}

impl Target {
    /// Whatever the application gave.
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
            // what a killed process left of its last line stays on a line of its own
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
            lost_in_all: 0,
            reopen: false,
        }
    }

    fn close(mut target: RwLockWriteGuard<'_, Self>) {
        let writer = std::mem::replace(&mut target.writer, Writer::Closed);
        drop(target);
        // a writer of the application may log at its end, or panic
        caught(|| drop(writer));
    }

    /// Reports whether nothing is wrong that the next line has to know of.
    fn is_clear(&self) -> bool {
        !self.torn && !self.is_failing && self.lost == 0
    }

    /// Writes a line while other threads write theirs, if nothing is wrong.
    #[inline]
    fn write_beside(&self, line: &[u8]) -> Passed {
        match &self.writer {
            Writer::File(file) if self.is_clear() && !self.reopen && !file.is_torn() => {
                file.write_beside(line)
            }
            _ => Passed::Not,
        }
    }

    /// Looks at lines that were written in part beside those of other threads, before anything else is written. If the file ends with
    /// a line, one came right after such a part: it is no line of its own, and so is lost, whoever wrote it. There may be more of them.
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
                self.lost_in_all += 1;
            }
            _ => self.torn = true,
        }
    }

    /// Writes a line in another form than ours.
    #[cold]
    fn formed<R>(
        &mut self,
        form: &JsonForm,
        line: &[u8],
        letterhead: &Letterhead<'_>,
        write: impl FnOnce(&mut Self, &[u8]) -> R,
    ) -> R {
        let mut formed = std::mem::take(&mut self.formed);
        formed.clear();
        form.write(line, letterhead.service, &mut formed);
        let result = write(self, &formed);
        self.formed = formed;
        result
    }

    #[inline]
    fn write(&mut self, line: &[u8], level: Level, troubles: &mut Vec<Trouble>) -> bool {
        self.prepare(line.len(), troubles);
        match self.write_whole(line, level) {
            Ok(()) => {
                self.is_failing = false;
                true
            }
            Err(error) => {
                self.count_lost(error, troubles);
                false
            }
        }
    }

    #[cold]
    fn count_lost(&mut self, error: io::Error, troubles: &mut Vec<Trouble>) {
        self.lost += 1;
        self.lost_in_all += 1;
        if std::mem::replace(&mut self.is_failing, true) {
            return;
        }
        self.failure = Some(error.to_string());
        if is_worth_a_warning(&error) {
            troubles.push(Trouble::new("log_output_failed", error));
        }
    }

    #[inline]
    fn prepare(&mut self, line: usize, troubles: &mut Vec<Trouble>) {
        if let Writer::File(file) = &mut self.writer {
            let asked = std::mem::take(&mut self.reopen);
            let before = file.identity();
            troubles.extend(file.prepare(line, asked));
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

/// A reader that stalls gets the number of lines later, and one that went away wants none.
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
