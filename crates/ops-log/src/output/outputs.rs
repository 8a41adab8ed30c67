use std::io;
use std::time::Duration;

use crate::output::drained::{self, Drained};
use crate::output::hangup::Hangup;
use crate::output::sink::Sink;
use crate::redact;
use crate::render::console;
use crate::render::head::Layout;
use crate::render::scratch::Scratch;
use crate::{Level, Output};

/// Everyone who takes the lines of a configuration.
pub(crate) struct Outputs {
    sinks: Vec<Sink>,
    drain: Option<Drained>,
    hangup: Hangup,
}

impl Outputs {
    /// Opens them all; the error comes with the output that it is about.
    pub(crate) fn open<'a>(
        outputs: impl Iterator<Item = &'a Output>,
        drain: Option<Drained>,
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
        scratch: &mut Scratch,
        layout: &Layout,
        level: Level,
        logger: &str,
    ) -> bool {
        if self.hangup.happened() {
            self.reopen();
        }
        // lines for people are made of the parts, whose places a scrubbed line has lost
        for style in self.sinks.iter().filter_map(|sink| sink.style) {
            console::render(scratch, layout, level, logger, style);
        }
        scrub(scratch);
        let mut taken = true;
        for sink in &self.sinks {
            taken &= match sink.style {
                None => sink.write(scratch.json()),
                Some(style) => sink.write(scratch.shown(style)),
            };
        }
        if let Some(Drained(drain)) = &self.drain {
            taken &= drained::log(drain.as_ref(), scratch.json(), level);
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
        if let Some(Drained(drain)) = &self.drain {
            flushed &= !matches!(drain.flush(), Err(error) if !matches!(error, slog::FlushError::NotSupported));
        }
        flushed
    }
}

/// Takes the values out that nobody may read, in each form of the line.
pub(crate) fn scrub(scratch: &mut Scratch) {
    if redact::is_active() {
        redact::scrub_json(&mut scratch.fields.json, &mut scratch.spare);
        for shown in &mut scratch.shown {
            redact::scrub_text(&mut shown.text, &mut scratch.spare);
        }
    }
}
