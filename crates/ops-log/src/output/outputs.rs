use std::io;
use std::time::Duration;

use crate::output::hangup::Hangup;
use crate::output::sink::Sink;
use crate::output::slog_output::{self, SlogOutput};
use crate::redact;
use crate::render::console;
use crate::render::head::EventSpan;
use crate::render::line_buffers::LineBuffers;
use crate::{Level, Output};

/// Everyone who takes the lines of a configuration.
pub(crate) struct Outputs {
    sinks: Vec<Sink>,
    drain: Option<SlogOutput>,
    hangup: Hangup,
}

impl Outputs {
    /// Opens them all; the error comes with the output that it is about.
    pub(crate) fn open<'a>(
        outputs: impl Iterator<Item = &'a Output>,
        drain: Option<SlogOutput>,
    ) -> Result<Self, (&'a Output, io::Error)> {
        let sinks = outputs
            .map(|output| Sink::open(output).map_err(|error| (output, error)))
            .collect::<Result<Vec<_>, _>>()?;
        let hangup = Hangup::watch(sinks.iter().any(Sink::is_file));
        Ok(Self {
            sinks,
            drain,
            hangup,
        })
    }

    /// Hands a rendered line to everyone; true where all of them took it.
    pub(crate) fn deliver(
        &self,
        buffers: &mut LineBuffers,
        event_span: &EventSpan,
        level: Level,
        logger: &str,
    ) -> bool {
        if self.hangup.happened() {
            self.reopen();
        }
        // lines for people are made of the parts of the line, whose places a scrubbed line has lost
        for style in self.sinks.iter().filter_map(|sink| sink.style) {
            console::render(buffers, event_span, level, logger, style);
        }
        scrub(buffers);
        let mut taken = true;
        for sink in &self.sinks {
            taken &= match sink.style {
                None => sink.write(buffers.json()),
                Some(style) => sink.write(buffers.console_rendering(style)),
            };
        }
        if let Some(SlogOutput(drain)) = &self.drain {
            taken &= slog_output::log(drain.as_ref(), buffers.json(), level);
        }
        taken
    }

    #[cold]
    fn reopen(&self) {
        for sink in &self.sinks {
            // where that fails lines go on to the old file, and the next line says so
            let _ = sink.reopen();
        }
    }

    pub(crate) fn flush(&self, budget: Duration) -> bool {
        let started = std::time::Instant::now();
        let mut flushed = true;
        for sink in &self.sinks {
            flushed &= sink.flush(budget.saturating_sub(started.elapsed()));
        }
        if let Some(SlogOutput(drain)) = &self.drain {
            flushed &= !matches!(drain.flush(), Err(error) if !matches!(error, slog::FlushError::NotSupported));
        }
        flushed
    }
}

/// Takes the values out that nobody may read, in each form of the line.
pub(crate) fn scrub(buffers: &mut LineBuffers) {
    if redact::is_active() {
        redact::scrub_json(&mut buffers.fields.json, &mut buffers.spare);
        for rendering in &mut buffers.console_renderings {
            redact::scrub_text(&mut rendering.text, &mut buffers.spare);
        }
    }
}
