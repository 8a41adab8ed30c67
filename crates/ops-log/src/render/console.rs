//! Console lines, made from the JSON of the line: text that was escaped there cannot move the cursor here.

use crate::Level;
use crate::render::head::EventSpan;
use crate::render::line_buffers::{ConsoleRendering, LineBuffers, Style, visible};

const RESET: &[u8] = b"\x1b[0m";
const BOLD: &[u8] = b"\x1b[1m";
const DIM: &[u8] = b"\x1b[2m";
const CYAN: &[u8] = b"\x1b[36m";
const MAGENTA: &[u8] = b"\x1b[35m";
const BLUE: &[u8] = b"\x1b[34m";

struct Painter<'a> {
    out: &'a mut Vec<u8>,
    color: bool,
}

impl Painter<'_> {
    fn painted(&mut self, color: &[u8], write: impl FnOnce(&mut Vec<u8>)) {
        if self.color {
            self.out.extend_from_slice(color);
        }
        write(self.out);
        if self.color {
            self.out.extend_from_slice(RESET);
        }
    }
}

/// Renders `2025-01-15 10:30:00 [info     ] event  key=value key=value`.
pub(crate) fn render(
    buffers: &mut LineBuffers,
    event_span: &EventSpan,
    level: Level,
    logger: &str,
    style: Style,
) {
    let known = buffers
        .console_renderings
        .iter()
        .position(|rendering| rendering.style == style);
    let at = known.unwrap_or_else(|| {
        buffers.console_renderings.push(ConsoleRendering {
            style,
            text: Vec::new(),
            fresh: false,
            head: 0,
        });
        buffers.console_renderings.len() - 1
    });
    if std::mem::replace(&mut buffers.console_renderings[at].fresh, true) {
        return;
    }
    let mut out = std::mem::take(&mut buffers.console_renderings[at].text);
    out.clear();
    let json = buffers.json();
    let parts = Parts {
        // {"timestamp":"2025-01-15T10:30:00
        timestamp: &json[14..33],
        level: Ok(level),
        event: &json[event_span.event.0..event_span.event.1],
        logger: if style.context { logger } else { "" },
    };
    let head = line(
        &mut out,
        style.color,
        &parts,
        visible(buffers, style.context),
    );
    out.push(b'\n');
    buffers.console_renderings[at].head = head;
    buffers.console_renderings[at].text = out;
}

/// Parts of a line before its fields, escaped as in JSON except for the logger.
pub(crate) struct Parts<'a> {
    /// Time to the second.
    pub(crate) timestamp: &'a [u8],
    /// `Err` has the escaped text of an unknown level.
    pub(crate) level: Result<Level, &'a [u8]>,
    pub(crate) event: &'a [u8],
    /// Left out if empty.
    pub(crate) logger: &'a str,
}

/// Writes a line without its newline; returns the position of the event.
pub(crate) fn line<'a>(
    out: &mut Vec<u8>,
    color: bool,
    parts: &Parts<'_>,
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) -> usize {
    let mut painter = Painter { out, color };
    painter.painted(DIM, |out| match parts.timestamp.split_at_checked(10) {
        Some((date, [b'T', time @ ..])) => {
            out.extend_from_slice(date);
            out.push(b' ');
            out.extend_from_slice(time);
        }
        _ => out.extend_from_slice(parts.timestamp),
    });
    painter.out.extend_from_slice(b" [");
    match parts.level {
        Ok(level) => painter.painted(level_color(level), |out| {
            out.extend_from_slice(format!("{level:<9}").as_bytes());
        }),
        Err(text) => {
            let text = String::from_utf8_lossy(text);
            painter
                .out
                .extend_from_slice(format!("{text:<9}").as_bytes());
        }
    }
    painter.out.extend_from_slice(b"] ");
    let head = painter.out.len();
    painter.painted(BOLD, |out| plain(parts.event, out));
    if !parts.logger.is_empty() {
        painter.out.extend_from_slice(b" [");
        painter.painted(BLUE, |out| crate::escape::json(parts.logger, out));
        painter.out.push(b']');
    }
    for (index, (key, value)) in fields.enumerate() {
        painter
            .out
            .extend_from_slice(if index == 0 { b"  " } else { b" " });
        painter.painted(CYAN, |out| word(key, out));
        painter.out.push(b'=');
        painter.painted(MAGENTA, |out| match value {
            [b'"', inner @ .., b'"'] => word(inner, out),
            other => out.extend_from_slice(other),
        });
    }
    head
}

fn level_color(level: Level) -> &'static [u8] {
    match level {
        Level::Critical | Level::Error => b"\x1b[31m\x1b[1m",
        Level::Warning => b"\x1b[33m\x1b[1m",
        Level::Info | Level::Debug => b"\x1b[32m\x1b[1m",
        Level::Trace => b"\x1b[1m",
    }
}

/// Writes a plain word without quotes, anything else as a JSON string.
fn word(escaped: &[u8], out: &mut Vec<u8>) {
    let special = |byte: &u8| *byte <= b' ' || matches!(byte, b'"' | b'\'' | b'=' | b'\\' | 0x7f);
    if escaped.is_empty() || escaped.iter().any(special) {
        out.push(b'"');
        out.extend_from_slice(escaped);
        out.push(b'"');
    } else {
        out.extend_from_slice(escaped);
    }
}

/// Writes the text of an event unescaped, unless a part of it must stay escaped.
fn plain(escaped: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    let mut rest = escaped;
    while let [first, tail @ ..] = rest {
        rest = match (first, tail) {
            (b'\\', [next @ (b'"' | b'\\'), tail @ ..]) => {
                out.push(*next);
                tail
            }
            (b'\\', _) => {
                out.truncate(start);
                return out.extend_from_slice(escaped);
            }
            _ => {
                out.push(*first);
                tail
            }
        };
    }
}
