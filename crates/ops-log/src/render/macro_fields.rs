//! Fields of an event as passed by the macros: values of common types are written
//! directly into the line, others through `slog::Value`, errors with their causes.

use std::error::Error;
use std::fmt;

use slog::Record;

use crate::render::line::Line;
use crate::render::serialize::Chain;
use crate::render::static_key::StaticKey;

/// Fields in call order.
pub trait FieldList {
    /// Writes the fields.
    fn write(&self, line: &mut Line<'_>, record: &Record<'_>);
}

/// No fields.
impl FieldList for () {
    #[inline(always)]
    fn write(&self, _: &mut Line<'_>, _: &Record<'_>) {}
}

/// One field, followed by the others.
pub struct List<V, Rest>(pub &'static StaticKey, pub V, pub Rest);

impl<V: FieldValue, Rest: FieldList> FieldList for List<V, Rest> {
    #[inline(always)]
    fn write(&self, line: &mut Line<'_>, record: &Record<'_>) {
        self.1.put(self.0, line, record);
        self.2.write(line, record);
    }
}

/// Value of a field, with the way to write it.
pub trait FieldValue {
    /// Writes the field.
    fn put(&self, key: &'static StaticKey, line: &mut Line<'_>, record: &Record<'_>);
}

/// Value whose kind is selected by autoref: `(&&&&AutorefValue(&value)).encode_kind()` is `BacktracedValue`
/// for errors with a backtrace, `Native` for common types, else `SlogValue`, else `ErrorValue`.
pub struct AutorefValue<'a, T: ?Sized>(pub &'a T);

/// Value of a common type.
pub struct Native<'a, T: ?Sized>(&'a T);

/// Value of any type supported by slog.
pub struct SlogValue<'a, T: ?Sized>(&'a T);

/// Error, written with the chain of its causes.
pub struct ErrorValue<'a, T>(&'a T);

/// Text that is formatted when the line is written.
pub struct Formatted<'a>(pub fmt::Arguments<'a>);

/// Selection of common types.
pub trait ViaNative<'a> {
    /// Type of the value.
    type Target: ?Sized;
    /// Wraps the value.
    fn encode_kind(&self) -> Native<'a, Self::Target>;
}

impl<'a, T: Common + ?Sized> ViaNative<'a> for &&AutorefValue<'a, T> {
    type Target = T;

    #[inline(always)]
    fn encode_kind(&self) -> Native<'a, T> {
        Native(self.0)
    }
}

/// Selection of types supported by slog.
pub trait ViaSlog<'a> {
    /// Type of the value.
    type Target: ?Sized;
    /// Wraps the value.
    fn encode_kind(&self) -> SlogValue<'a, Self::Target>;
}

impl<'a, T: slog::Value + ?Sized> ViaSlog<'a> for &AutorefValue<'a, T> {
    type Target = T;

    #[inline(always)]
    fn encode_kind(&self) -> SlogValue<'a, T> {
        SlogValue(self.0)
    }
}

/// Selection of errors.
pub trait ViaError<'a> {
    /// Type of the value.
    type Target;
    /// Wraps the value.
    fn encode_kind(&self) -> ErrorValue<'a, Self::Target>;
}

impl<'a, T: Error> ViaError<'a> for AutorefValue<'a, T> {
    type Target = T;

    #[inline(always)]
    fn encode_kind(&self) -> ErrorValue<'a, T> {
        ErrorValue(self.0)
    }
}

impl<T: Common + ?Sized> FieldValue for Native<'_, T> {
    #[inline(always)]
    fn put(&self, key: &'static StaticKey, line: &mut Line<'_>, _: &Record<'_>) {
        self.0.put(key, line);
    }
}

impl<T: slog::Value + ?Sized> FieldValue for SlogValue<'_, T> {
    fn put(&self, key: &'static StaticKey, line: &mut Line<'_>, record: &Record<'_>) {
        let _ = self.0.serialize(record, slog::Key::from(key.name()), line);
    }
}

impl<T: Error> FieldValue for ErrorValue<'_, T> {
    fn put(&self, key: &'static StaticKey, line: &mut Line<'_>, _: &Record<'_>) {
        line.put_arguments(key, &format_args!("{}", Chain(self.0)));
    }
}

impl FieldValue for Formatted<'_> {
    #[inline(always)]
    fn put(&self, key: &'static StaticKey, line: &mut Line<'_>, _: &Record<'_>) {
        line.put_arguments(key, &self.0);
    }
}

/// Type that is written directly.
pub trait Common {
    /// Writes the field.
    fn put(&self, key: &'static StaticKey, line: &mut Line<'_>);
}

macro_rules! common {
    ($($kind:ty => $put:ident as $as:ty;)+) => {$(
        impl Common for $kind {
            #[inline(always)]
            fn put(&self, key: &'static StaticKey, line: &mut Line<'_>) {
                line.$put(key, <$as>::from(*self));
            }
        }
    )+};
}

common! {
    bool => put_bool as bool;
    u8 => put_u64 as u64;
    u16 => put_u64 as u64;
    u32 => put_u64 as u64;
    u64 => put_u64 as u64;
    i8 => put_i64 as i64;
    i16 => put_i64 as i64;
    i32 => put_i64 as i64;
    i64 => put_i64 as i64;
    f64 => put_f64 as f64;
}

impl Common for usize {
    #[inline(always)]
    fn put(&self, key: &'static StaticKey, line: &mut Line<'_>) {
        // no target has more than 64 bits
        line.put_u64(key, *self as u64);
    }
}

impl Common for str {
    #[inline(always)]
    fn put(&self, key: &'static StaticKey, line: &mut Line<'_>) {
        line.put_text(key, self);
    }
}

impl Common for String {
    #[inline(always)]
    fn put(&self, key: &'static StaticKey, line: &mut Line<'_>) {
        line.put_text(key, self);
    }
}

impl<T: Common + ?Sized> Common for &T {
    #[inline(always)]
    fn put(&self, key: &'static StaticKey, line: &mut Line<'_>) {
        (**self).put(key, line);
    }
}
