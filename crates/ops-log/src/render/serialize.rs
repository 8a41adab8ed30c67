//! Values of slog, tracing and log, written to a line.

use std::fmt;

use crate::render::line::Line;
use crate::render::scalars::{boolean, float, integer};

macro_rules! emit {
    ($($method:ident $kind:ty => $write:ident;)+) => {$(
        #[inline]
        fn $method(&mut self, key: slog::Key, value: $kind) -> slog::Result {
            self.field(key.as_ref(), |line| $write(value, line.json()));
            Ok(())
        }
    )+};
}

impl slog::Serializer for Line<'_> {
    emit! {
        emit_bool bool => boolean;
        emit_u8 u8 => integer;
        emit_i8 i8 => integer;
        emit_u16 u16 => integer;
        emit_i16 i16 => integer;
        emit_u32 u32 => integer;
        emit_i32 i32 => integer;
        emit_u64 u64 => integer;
        emit_i64 i64 => integer;
        emit_u128 u128 => integer;
        emit_i128 i128 => integer;
        emit_usize usize => integer;
        emit_isize isize => integer;
        emit_f32 f32 => float;
        emit_f64 f64 => float;
    }

    fn emit_char(&mut self, key: slog::Key, value: char) -> slog::Result {
        self.field(key.as_ref(), |line| {
            line.text(value.encode_utf8(&mut [0; 4]));
        });
        Ok(())
    }

    #[inline]
    fn emit_str(&mut self, key: slog::Key, value: &str) -> slog::Result {
        self.field(key.as_ref(), |line| line.text(value));
        Ok(())
    }

    fn emit_unit(&mut self, key: slog::Key) -> slog::Result {
        self.emit_none(key)
    }

    fn emit_none(&mut self, key: slog::Key) -> slog::Result {
        self.field(key.as_ref(), |line| line.json().extend_from_slice(b"null"));
        Ok(())
    }

    fn emit_bytes(&mut self, key: slog::Key, bytes: &[u8], _: slog::BytesKind) -> slog::Result {
        self.field(key.as_ref(), |line| {
            line.arguments(&format_args!("{}", Bytes(bytes)));
        });
        Ok(())
    }

    #[inline]
    fn emit_arguments(&mut self, key: slog::Key, value: &fmt::Arguments<'_>) -> slog::Result {
        self.field(key.as_ref(), |line| line.arguments(value));
        Ok(())
    }

    fn emit_error(
        &mut self,
        key: slog::Key,
        error: &(dyn std::error::Error + 'static),
    ) -> slog::Result {
        self.emit_arguments(key, &format_args!("{}", Chain(error)))
    }

    fn emit_serde(&mut self, key: slog::Key, value: &dyn slog::SerdeValue) -> slog::Result {
        self.field(key.as_ref(), |line| line.nested(value.as_serde()));
        Ok(())
    }
}

/// Bytes that may not be text: invalid UTF-8 is written as `\xNN`.
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Bytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            f.write_str(chunk.valid())?;
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// Fields of a `tracing` event or span; its message is the text of the event, not a field.
pub(crate) struct TracingFields<'a, 'b>(pub(crate) &'a mut Line<'b>);

/// Returns `true` if `tracing-log` added the field to an event made from a `log` record.
fn is_origin(name: &str) -> bool {
    matches!(
        name,
        "log.target" | "log.module_path" | "log.file" | "log.line"
    )
}

impl TracingFields<'_, '_> {
    fn put(&mut self, field: &tracing::field::Field, value: impl FnOnce(&mut Line<'_>)) {
        let name = field.name();
        if name != "message" && !is_origin(name) {
            self.0.field(name.strip_prefix("r#").unwrap_or(name), value);
        }
    }
}

impl tracing::field::Visit for TracingFields<'_, '_> {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
        self.put(field, |line| line.arguments(&format_args!("{value:?}")));
    }

    fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
        self.put(field, |line| line.text(value));
    }

    fn record_i64(&mut self, field: &tracing::field::Field, value: i64) {
        self.put(field, |line| integer(value, line.json()));
    }

    fn record_u64(&mut self, field: &tracing::field::Field, value: u64) {
        self.put(field, |line| integer(value, line.json()));
    }

    fn record_i128(&mut self, field: &tracing::field::Field, value: i128) {
        self.put(field, |line| integer(value, line.json()));
    }

    fn record_u128(&mut self, field: &tracing::field::Field, value: u128) {
        self.put(field, |line| integer(value, line.json()));
    }

    fn record_f64(&mut self, field: &tracing::field::Field, value: f64) {
        self.put(field, |line| float(value, line.json()));
    }

    fn record_bool(&mut self, field: &tracing::field::Field, value: bool) {
        self.put(field, |line| boolean(value, line.json()));
    }

    fn record_error(
        &mut self,
        field: &tracing::field::Field,
        value: &(dyn std::error::Error + 'static),
    ) {
        self.put(field, |line| {
            line.arguments(&format_args!("{}", Chain(value)))
        });
    }
}

/// Maximum number of causes written: an error that is its own cause has infinitely many.
const MAX_CAUSES: usize = 100;

/// Error and its causes.
pub(crate) struct Chain<'a>(pub(crate) &'a dyn std::error::Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        for _ in 0..MAX_CAUSES {
            let Some(error) = cause else { return Ok(()) };
            write!(f, ": {error}")?;
            cause = error.source();
        }
        match cause {
            Some(_) => f.write_str(": …"),
            None => Ok(()),
        }
    }
}

/// Key-value pairs of a `log` record.
pub(crate) struct LogFields<'a, 'b>(pub(crate) &'a mut Line<'b>);

impl<'kvs> log::kv::VisitSource<'kvs> for LogFields<'_, '_> {
    fn visit_pair(
        &mut self,
        key: log::kv::Key<'kvs>,
        value: log::kv::Value<'kvs>,
    ) -> Result<(), log::kv::Error> {
        self.0.field(key.as_str(), |line| {
            let _ = value.visit(LogValue(line));
        });
        Ok(())
    }
}

/// Visitor that writes a value of a `log` record.
struct LogValue<'a, 'b>(&'a mut Line<'b>);

macro_rules! visit {
    ($($method:ident $kind:ty => $write:ident;)+) => {$(
        fn $method(&mut self, value: $kind) -> Result<(), log::kv::Error> {
            $write(value, self.0.json());
            Ok(())
        }
    )+};
}

impl log::kv::VisitValue<'_> for LogValue<'_, '_> {
    visit! {
        visit_u64 u64 => integer;
        visit_i64 i64 => integer;
        visit_u128 u128 => integer;
        visit_i128 i128 => integer;
        visit_f64 f64 => float;
        visit_bool bool => boolean;
    }

    fn visit_any(&mut self, value: log::kv::Value<'_>) -> Result<(), log::kv::Error> {
        self.0.arguments(&format_args!("{value}"));
        Ok(())
    }

    fn visit_null(&mut self) -> Result<(), log::kv::Error> {
        self.0.json().extend_from_slice(b"null");
        Ok(())
    }

    fn visit_str(&mut self, value: &str) -> Result<(), log::kv::Error> {
        self.0.text(value);
        Ok(())
    }

    fn visit_char(&mut self, value: char) -> Result<(), log::kv::Error> {
        self.0.text(value.encode_utf8(&mut [0; 4]));
        Ok(())
    }
}
