//! Log lines of this crate about outputs.

use std::io;
use std::time::SystemTime;

use crate::redact::scrub::Scrub;
use crate::render::console;
use crate::render::head::{LineFormat, RecordMeta};
use crate::render::line::Line;
use crate::render::line_buffers::{LineBuffers, Style};
use crate::render::losses::Counters;
use crate::render::scalars::integer;

/// Failure of an output, to be reported once.
pub(crate) struct OutputFailure {
    pub(crate) event: &'static str,
    pub(crate) error: io::Error,
}

impl OutputFailure {
    pub(crate) fn new(event: &'static str, error: io::Error) -> Self {
        Self { event, error }
    }
}

/// Form and time of lines of this crate.
#[derive(Clone, Copy)]
pub(crate) struct Notices<'a> {
    pub(crate) format: &'a LineFormat,
    pub(crate) service: &'a str,
    pub(crate) at: SystemTime,
}

impl Notices<'_> {
    /// Returns a warning that an output failed.
    pub(crate) fn failed(
        &self,
        output: &str,
        failure: &OutputFailure,
        style: Option<Style>,
    ) -> Vec<u8> {
        self.line(failure.event, style, &mut |line| {
            line.field("output", |line| line.text(output));
            line.field("error", |line| line.text(&failure.error.to_string()));
        })
    }

    /// Returns a warning that lines are missing before this one.
    pub(crate) fn lost(&self, output: &str, lines: u64, style: Option<Style>) -> Vec<u8> {
        self.line("log_lines_lost", style, &mut |line| {
            line.field("output", |line| line.text(output));
            line.field("lines", |line| integer(lines, line.json()));
        })
    }

    fn line(
        &self,
        event: &str,
        style: Option<Style>,
        fill: &mut dyn FnMut(&mut Line<'_>),
    ) -> Vec<u8> {
        let (mut buffers, counters) = (LineBuffers::new(), Counters::new());
        let meta = RecordMeta::own_warning(&event);
        let mut line = Line::begin(&mut buffers, self.format, &counters, self.at, &meta);
        line.fill(fill);
        let event_span = line.end();
        if let Some(style) = style {
            console::render(&mut buffers, &event_span, meta.level, self.service, style);
        }
        scrub(&mut buffers, self.format);
        match style {
            Some(style) => buffers.console_rendering(style).to_vec(),
            None => buffers.json().to_vec(),
        }
    }
}

/// Removes secrets from each form of the line.
#[inline]
pub(crate) fn scrub(buffers: &mut LineBuffers, format: &LineFormat) {
    if Scrub::may_be_needed(buffers.has_url) {
        scrub_all(buffers, format);
    }
}

#[inline(never)]
fn scrub_all(buffers: &mut LineBuffers, format: &LineFormat) {
    let Some(scrub) = Scrub::needed(&buffers.fields.json, buffers.has_url, &format.deny) else {
        return;
    };
    scrub.json(&mut buffers.fields.json, &mut buffers.spare);
    for rendering in &mut buffers.console_renderings {
        if rendering.fresh {
            scrub.text(&mut rendering.text, rendering.head);
        }
    }
}
