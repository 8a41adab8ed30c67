use std::cell::{Cell, RefCell};
use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CharEscape, Formatter};

use crate::escape;
use crate::redact::deny::DenyList;
use crate::redact::{REDACTED, documents};
use crate::render::raw::{Raw, is_number_beyond, is_scalar};
use crate::render::scalars::{MAX_VALUE_BYTES, text};

/// Maximum depth of objects and lists: readers accept 127 levels,
/// including the line itself. It also stops a value that contains itself.
const MAX_DEPTH: usize = 120;

/// Formatter for nested values as compact JSON, in which denied keys have no value.
pub(crate) struct Nested<'a>(&'a RefCell<State<'a>>);

struct State<'a> {
    deny: &'a DenyList,
    hidden: &'a Cell<bool>,
    /// Keys down to the current value, separated by dots.
    path: Vec<u8>,
    /// Start of the last key in the path.
    key_start: usize,
    in_key: bool,
    containers: Vec<Container>,
    /// Number of open containers around the hidden value.
    hidden_at: usize,
    /// First text of a list within a list, or text under `name`
    /// or `key` of an object, which may be the key of a pair.
    first: Vec<u8>,
}

/// Open object or list.
enum Container {
    Object {
        /// Length of the path to the object.
        path: usize,
        /// Set while the value under `name` or `key` is written.
        in_name: bool,
        name_is_denied: bool,
    },
    List {
        index: usize,
        /// Set for a list that is an element of a list, such as a header as key and value.
        within_list: bool,
        first_is_denied: bool,
    },
}

/// Result of writing a nested value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    Whole,
    TooLong,
    Failed,
}

/// Writer of the JSON: discards hidden values, and stops at the maximum length of a value.
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

impl State<'_> {
    fn open(&mut self, container: Container) -> io::Result<()> {
        if self.containers.len() == MAX_DEPTH {
            return Err(io::Error::other("nested too deeply"));
        }
        self.containers.push(container);
        Ok(())
    }

    fn hide(&mut self) {
        self.hidden.set(true);
        self.hidden_at = self.containers.len();
    }

    fn end_value(&mut self) {
        if self.hidden.get() && self.hidden_at == self.containers.len() {
            self.hidden.set(false);
        }
    }

    /// Returns `true` if the current text may be the key of a pair.
    fn may_be_key_of_pair(&self) -> bool {
        matches!(
            self.containers.last(),
            Some(
                Container::List {
                    index: 0,
                    within_list: true,
                    ..
                } | Container::Object { in_name: true, .. }
            )
        )
    }

    fn collect(&mut self, text: &[u8]) {
        if self.in_key {
            self.path.extend_from_slice(text);
        } else if self.may_be_key_of_pair() {
            self.first.extend_from_slice(text);
        }
    }
}

impl<'a> Nested<'a> {
    /// Writes the value of this key, or else the reason why it is missing.
    pub(crate) fn write(
        value: &(impl Serialize + ?Sized),
        key: &[u8],
        deny: &DenyList,
        out: &mut Vec<u8>,
    ) -> Written {
        let start = out.len();
        let (hidden, full) = (Cell::new(false), Cell::new(false));
        let state = RefCell::new(State {
            deny,
            hidden: &hidden,
            path: key.to_vec(),
            key_start: 0,
            in_key: false,
            containers: Vec::new(),
            hidden_at: 0,
            first: Vec::new(),
        });
        let capped = Capped {
            end: start + MAX_VALUE_BYTES,
            full: &full,
            hidden: &hidden,
            out,
        };
        let mut serializer = serde_json::Serializer::with_formatter(capped, Nested(&state));
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

    /// Same as [`write`](Self::write), and hides values under denied keys in texts that are JSON documents.
    pub(crate) fn write_hidden(
        value: &(impl Serialize + ?Sized),
        key: &[u8],
        deny: &DenyList,
        out: &mut Vec<u8>,
    ) -> Written {
        let start = out.len();
        let written = Self::write(value, key, deny, out);
        if written == Written::Whole && documents::may_have_denied_within(&out[start..], deny) {
            hide_within(out, start, deny);
        }
        written
    }
}

/// Hides denied values in JSON documents within the texts of the nested JSON from `start` on.
#[cold]
fn hide_within(out: &mut Vec<u8>, start: usize, deny: &DenyList) {
    let written = std::str::from_utf8(&out[start..]);
    if let Ok(Some(hidden)) = written.map(|json| documents::hidden_within(json, deny)) {
        out.truncate(start);
        out.extend_from_slice(hidden.as_bytes());
    }
}

impl Formatter for Nested<'_> {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        self.0.borrow_mut().collect(fragment.as_bytes());
        let mut escaped = Vec::new();
        escape::json(fragment, &mut escaped);
        writer.write_all(&escaped)
    }

    fn write_char_escape<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        char_escape: CharEscape,
    ) -> io::Result<()> {
        let byte = match char_escape {
            CharEscape::Quote => b'"',
            CharEscape::ReverseSolidus => b'\\',
            CharEscape::Solidus => b'/',
            CharEscape::LineFeed => b'\n',
            CharEscape::CarriageReturn => b'\r',
            CharEscape::Tab => b'\t',
            CharEscape::Backspace => 8,
            CharEscape::FormFeed => 12,
            CharEscape::AsciiControl(byte) => byte,
        };
        self.0.borrow_mut().collect(&[byte]);
        let mut escaped = Vec::new();
        escape::json(char::from(byte).encode_utf8(&mut [0; 4]), &mut escaped);
        writer.write_all(&escaped)
    }

    /// Writes a number of any length, which serde_json passes as text.
    fn write_number_str<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        value: &str,
    ) -> io::Result<()> {
        if is_scalar(value) {
            return writer.write_all(value.as_bytes());
        }
        if is_number_beyond(value) {
            return write!(writer, "\"{value}\"");
        }
        Err(io::Error::other("not a number"))
    }

    /// Parses raw JSON and writes it like any other value.
    fn write_raw_fragment<W: ?Sized + Write>(
        &mut self,
        mut writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let fragment = fragment.trim_ascii();
        if is_scalar(fragment) {
            return writer.write_all(fragment.as_bytes());
        }
        let writer: &mut dyn Write = &mut writer;
        let mut serializer = serde_json::Serializer::with_formatter(writer, Nested(self.0));
        Raw::new(fragment)
            .serialize(&mut serializer)
            .map_err(io::Error::from)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        let state = &mut *self.0.borrow_mut();
        let path = state.path.len();
        state.open(Container::Object {
            path,
            in_name: false,
            name_is_denied: false,
        })?;
        writer.write_all(b"{")
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        let state = &mut *self.0.borrow_mut();
        if let Some(Container::Object { path, .. }) = state.containers.pop() {
            state.path.truncate(path);
        }
        writer.write_all(b"}")
    }

    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        let state = &mut *self.0.borrow_mut();
        let within_list = matches!(state.containers.last(), Some(Container::List { .. }));
        state.first.clear();
        state.open(Container::List {
            index: 0,
            within_list,
            first_is_denied: false,
        })?;
        writer.write_all(b"[")
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.borrow_mut().containers.pop();
        writer.write_all(b"]")
    }

    fn begin_array_value<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if !first {
            writer.write_all(b",")?;
        }
        let state = &mut *self.0.borrow_mut();
        let is_value_of_pair = matches!(
            state.containers.last(),
            Some(Container::List {
                index: 1,
                first_is_denied: true,
                ..
            })
        );
        if is_value_of_pair && !state.hidden.get() {
            write!(writer, "\"{REDACTED}\"")?;
            state.hide();
        }
        Ok(())
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        let state = &mut *self.0.borrow_mut();
        state.end_value();
        let denied = state.may_be_key_of_pair() && state.deny.has(&state.first);
        if let Some(Container::List {
            index,
            first_is_denied,
            ..
        }) = state.containers.last_mut()
        {
            *index += 1;
            *first_is_denied |= denied;
        }
        Ok(())
    }

    fn begin_object_key<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        let state = &mut *self.0.borrow_mut();
        if let Some(Container::Object { path, .. }) = state.containers.last() {
            state.path.truncate(*path);
        }
        if !state.path.is_empty() {
            state.path.push(b'.');
        }
        state.key_start = state.path.len();
        state.in_key = true;
        if first {
            Ok(())
        } else {
            writer.write_all(b",")
        }
    }

    fn end_object_key<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.0.borrow_mut().in_key = false;
        Ok(())
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b":")?;
        let state = &mut *self.0.borrow_mut();
        let key = &state.path[state.key_start..];
        let is = |word: &str| key.eq_ignore_ascii_case(word.as_bytes());
        let is_value_of_pair = match state.containers.last_mut() {
            Some(Container::Object {
                in_name,
                name_is_denied,
                ..
            }) => {
                *in_name = is("name") || is("key");
                *name_is_denied && is("value")
            }
            _ => false,
        };
        state.first.clear();
        if !state.hidden.get() && (is_value_of_pair || state.deny.has_within(key, &state.path)) {
            write!(writer, "\"{REDACTED}\"")?;
            state.hide();
        }
        Ok(())
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        let state = &mut *self.0.borrow_mut();
        state.end_value();
        if let Some(Container::Object {
            in_name: in_name @ true,
            name_is_denied,
            ..
        }) = state.containers.last_mut()
        {
            *in_name = false;
            *name_is_denied |= state.deny.has(&state.first);
        }
        Ok(())
    }
}
