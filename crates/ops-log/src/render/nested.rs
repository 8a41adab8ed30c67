use std::cell::Cell;
use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CharEscape, Formatter};

use crate::escape;
use crate::redact::REDACTED;
use crate::redact::deny::DenyList;
use crate::render::scalars::{MAX_VALUE_BYTES, text};

/// Nested values as compact JSON, in which denied keys have no value.
pub(crate) struct Nested<'a> {
    deny: &'a DenyList,
    hidden: &'a Cell<bool>,
    key: Vec<u8>,
    in_key: bool,
    depth: usize,
    hidden_at: usize,
}

/// Outcome of writing a nested value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    Whole,
    TooLong,
    Failed,
}

/// Writer of the JSON: discards a value that is hidden, and stops at the longest value.
struct Capped<'a> {
    out: &'a mut Vec<u8>,
    end: usize,
    full: &'a Cell<bool>,
    hidden: &'a Cell<bool>,
}

impl Write for Capped<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.hidden.get() {
            if self.out.len() + bytes.len() > self.end {
                self.full.set(true);
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            self.out.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> Nested<'a> {
    /// Writes the value, or a text in its place that says why it is not there.
    pub(crate) fn write(
        value: &(impl Serialize + ?Sized),
        deny: &'a DenyList,
        out: &mut Vec<u8>,
    ) -> Written {
        let start = out.len();
        let (hidden, full) = (Cell::new(false), Cell::new(false));
        let formatter = Nested {
            deny,
            hidden: &hidden,
            key: Vec::new(),
            in_key: false,
            depth: 0,
            hidden_at: 0,
        };
        let capped = Capped {
            end: start + MAX_VALUE_BYTES,
            full: &full,
            hidden: &hidden,
            out,
        };
        let mut serializer = serde_json::Serializer::with_formatter(capped, formatter);
        let Err(error) = value.serialize(&mut serializer) else {
            return Written::Whole;
        };
        out.truncate(start);
        if full.get() {
            text(&format!("[over {MAX_VALUE_BYTES} bytes]"), out);
            return Written::TooLong;
        }
        text(&format!("<error: {error}>"), out);
        Written::Failed
    }

    fn close<W: ?Sized + Write>(&mut self, writer: &mut W, end: &[u8]) -> io::Result<()> {
        self.depth -= 1;
        writer.write_all(end)
    }

    fn open<W: ?Sized + Write>(&mut self, writer: &mut W, begin: &[u8]) -> io::Result<()> {
        self.depth += 1;
        writer.write_all(begin)
    }
}

impl Formatter for Nested<'_> {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        if self.in_key {
            self.key.extend_from_slice(fragment.as_bytes());
        }
        let mut escaped = Vec::new();
        escape::json(fragment, &mut escaped);
        writer.write_all(&escaped)
    }

    fn write_char_escape<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        char_escape: CharEscape,
    ) -> io::Result<()> {
        let mut escaped = Vec::new();
        match char_escape {
            CharEscape::Quote => escaped.extend_from_slice(b"\\\""),
            CharEscape::ReverseSolidus => escaped.extend_from_slice(b"\\\\"),
            CharEscape::Solidus => escaped.push(b'/'),
            CharEscape::LineFeed => escaped.extend_from_slice(b"\\n"),
            CharEscape::CarriageReturn => escaped.extend_from_slice(b"\\r"),
            CharEscape::Tab => escaped.extend_from_slice(b"\\t"),
            CharEscape::Backspace => escape::unicode(8, &mut escaped),
            CharEscape::FormFeed => escape::unicode(12, &mut escaped),
            CharEscape::AsciiControl(byte) => escape::unicode(byte.into(), &mut escaped),
        }
        writer.write_all(&escaped)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open(writer, b"{")
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close(writer, b"}")
    }

    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open(writer, b"[")
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close(writer, b"]")
    }

    fn begin_object_key<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.key.clear();
        self.in_key = true;
        if first {
            Ok(())
        } else {
            writer.write_all(b",")
        }
    }

    fn end_object_key<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.in_key = false;
        Ok(())
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b":")?;
        if !self.hidden.get() && self.deny.has(&self.key) {
            write!(writer, "\"{REDACTED}\"")?;
            self.hidden.set(true);
            self.hidden_at = self.depth;
        }
        Ok(())
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        if self.hidden.get() && self.hidden_at == self.depth {
            self.hidden.set(false);
        }
        Ok(())
    }
}
