use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::output::closing::Closings;
use crate::output::hangup::Hangup;
use crate::output::health::OutputHealth;
use crate::output::notice::{Notices, OutputFailure, scrub};
use crate::output::rotation::Rotation;
use crate::output::sink::Sink;
use crate::output::slog_output::{self, SlogOutput};
use crate::output::stream;
use crate::redact;
use crate::render::callback::caught;
use crate::render::console;
use crate::render::head::{EventSpan, LineFormat};
use crate::render::line_buffers::LineBuffers;
use crate::{Filter, JsonForm, Level, Output};

/// All outputs of a configuration.
pub(crate) struct Outputs {
    sinks: Vec<Sink>,
    drain: Option<SlogOutput>,
    hangup: Hangup,
    have_filters: bool,
}

impl Outputs {
    /// Opens all outputs; the error comes with the output that failed.
    pub(crate) fn open<'a>(
        outputs: impl Iterator<Item = &'a Output>,
        drain: Option<SlogOutput>,
        rotation: Rotation,
        form: &JsonForm,
    ) -> Result<Self, (&'a Output, io::Error)> {
        let sinks = outputs
            .map(|output| Sink::open(output, rotation, form).map_err(|error| (output, error)))
            .collect::<Result<Vec<_>, _>>()?;
        let hangup = Hangup::watch(sinks.iter().any(Sink::is_file));
        Ok(Self {
            have_filters: sinks.iter().any(|sink| sink.filter.is_some()),
            sinks,
            drain,
            hangup,
        })
    }

    /// Returns `true` if an output runs code of the application.
    pub(crate) fn run_application_code(&self) -> bool {
        self.drain.is_some() || self.sinks.iter().any(Sink::runs_application_code)
    }

    /// Returns the state of each output; a busy one is left out.
    pub(crate) fn health(&self) -> Vec<OutputHealth> {
        self.sinks.iter().filter_map(Sink::health).collect()
    }

    /// Returns the filters of single outputs.
    pub(crate) fn filters(&self) -> impl Iterator<Item = &Filter> {
        self.sinks.iter().filter_map(|sink| sink.filter.as_ref())
    }

    /// Returns `true` if the outputs can be closed, which requires at most one sink and no drain: then
    /// a line goes to the sink or, once it is closed, to an output of the next configuration.
    pub(crate) fn can_be_closed(&self) -> bool {
        let is_whole = self.drain.is_none() && self.sinks.len() <= 1;
        is_whole && self.sinks.iter().all(Sink::can_be_closed)
    }

    /// Closes the outputs: they accept no more lines.
    pub(crate) fn close(&self, closings: &Arc<Closings>) {
        for sink in &self.sinks {
            sink.close(closings);
        }
    }

    /// Passes a line to every output that wants it, and returns `true` if all of them accepted it;
    /// `None` if they are closed. `is_wanted` is called with the filter of an output, or with
    /// `None` for the filter of the configuration. Warnings about outputs are stored with the line.
    #[inline]
    pub(crate) fn deliver(
        &self,
        buffers: &mut LineBuffers,
        event_span: &EventSpan,
        level: Level,
        logger: &str,
        notices: &Notices<'_>,
        is_wanted: &dyn Fn(Option<&Filter>) -> bool,
    ) -> Option<bool> {
        self.render(buffers, event_span, level, logger, notices.format);
        self.hand_over(buffers, level, notices, is_wanted)
    }

    /// Renders a line in each form that is needed, and redacts all of them.
    #[inline(always)]
    pub(crate) fn render(
        &self,
        buffers: &mut LineBuffers,
        event_span: &EventSpan,
        level: Level,
        logger: &str,
        format: &LineFormat,
    ) {
        // before redaction: console lines are made from positions in the line, which redaction changes
        for style in self.sinks.iter().filter_map(|sink| sink.style) {
            console::render(buffers, event_span, level, logger, style);
        }
        scrub(buffers, format);
    }

    /// Passes on a line that was rendered and redacted before; `None` if the outputs are closed.
    #[inline(always)]
    pub(crate) fn hand_over(
        &self,
        buffers: &mut LineBuffers,
        level: Level,
        notices: &Notices<'_>,
        is_wanted: &dyn Fn(Option<&Filter>) -> bool,
    ) -> Option<bool> {
        if self.hangup.happened() {
            self.reopen();
        }
        let (mut is_whole, mut failures) = (true, Vec::new());
        for (at, sink) in self.sinks.iter().enumerate() {
            if self.have_filters && !is_wanted(sink.filter.as_ref()) {
                continue;
            }
            let line = match sink.style {
                None => buffers.json(),
                Some(style) => buffers.console_rendering(style),
            };
            is_whole &= sink.write(line, level, notices, &mut failures)?;
            if !failures.is_empty() {
                self.warn_of_all(at, &mut failures, notices, &mut buffers.warnings);
            }
        }
        if let Some(SlogOutput(drain)) = &self.drain
            && (!self.have_filters || is_wanted(None))
        {
            let json = buffers.json();
            is_whole &= caught(|| slog_output::log(drain.as_ref(), json, level)).unwrap_or(false);
        }
        Some(is_whole)
    }

    #[cold]
    fn warn_of_all(
        &self,
        at: usize,
        failures: &mut Vec<OutputFailure>,
        notices: &Notices<'_>,
        warnings: &mut Vec<Vec<u8>>,
    ) {
        for failure in failures.drain(..) {
            warnings.push(self.warn(at, &failure, notices));
        }
    }

    /// Reports a failure of an output once: to the other outputs, or to standard error if none accepts it.
    #[cold]
    fn warn(&self, at: usize, failure: &OutputFailure, notices: &Notices<'_>) -> Vec<u8> {
        let name = self.sinks[at].name();
        let mut taken = false;
        for (_, sink) in self
            .sinks
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != at)
        {
            taken |= sink.write_notice(&notices.failed(name, failure, sink.style), notices);
        }
        let json = notices.failed(name, failure, None);
        if !taken && let Some((mut stderr, _)) = stream::stderr() {
            let ready = !stream::may_stall(&stderr)
                || stream::is_writable(&stderr, Duration::ZERO).unwrap_or(false);
            if ready {
                let text = format!("ops_log: {}: {name}: {}\n", failure.event, failure.error);
                let text = redact::redacted(&text).unwrap_or(text);
                // a failure here cannot be reported anywhere
                let _ = stderr.write_all(text.as_bytes());
            }
        }
        json
    }

    #[cold]
    fn reopen(&self) {
        for sink in &self.sinks {
            sink.reopen();
        }
    }

    pub(crate) fn flush(&self, budget: Duration, notices: &Notices<'_>) -> bool {
        let started = Instant::now();
        let mut flushed = true;
        for sink in &self.sinks {
            flushed &= sink.flush(budget.saturating_sub(started.elapsed()), notices);
        }
        if let Some(SlogOutput(drain)) = &self.drain {
            flushed &= caught(|| {
                !matches!(drain.flush(), Err(error) if !matches!(error, slog::FlushError::NotSupported))
            })
            .unwrap_or(false);
        }
        flushed
    }
}
