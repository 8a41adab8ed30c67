use std::borrow::Cow;

use crate::limits::{MAX_TEXT_BYTES, cut};

/// Value of an attribute. Text above 4,096 bytes is cut; a float that is not finite becomes text.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// Text; a `&'static str` is not copied.
    Text(Cow<'static, str>),
}

impl Value {
    // so that a constant costs nothing at run time
    #[inline(always)]
    pub(crate) fn into_otel(self) -> opentelemetry::Value {
        match self {
            Self::Bool(b) => b.into(),
            Self::Int(i) => i.into(),
            Self::Float(f) if f.is_finite() => f.into(),
            Self::Float(f) => as_text(f),
            Self::Text(Cow::Borrowed(text)) if text.len() <= MAX_TEXT_BYTES => text.into(),
            Self::Text(text) => owned(text),
        }
    }
}

fn as_text(number: f64) -> opentelemetry::Value {
    number.to_string().into()
}

fn owned(text: Cow<'static, str>) -> opentelemetry::Value {
    cut(text.into_owned(), MAX_TEXT_BYTES).into()
}

macro_rules! value_from {
    ($($from:ty => |$v:ident| $to:expr;)+) => {$(
        impl From<$from> for Value {
            #[inline]
            fn from($v: $from) -> Self {
                $to
            }
        }
    )+};
}

value_from! {
    bool => |v| Self::Bool(v);
    i32 => |v| Self::Int(v.into());
    u8 => |v| Self::Int(v.into());
    u16 => |v| Self::Int(v.into());
    u32 => |v| Self::Int(v.into());
    i64 => |v| Self::Int(v);
    u64 => |v| i64::try_from(v).map_or_else(|_| Self::Text(v.to_string().into()), Self::Int);
    usize => |v| i64::try_from(v).map_or_else(|_| Self::Text(v.to_string().into()), Self::Int);
    f32 => |v| Self::Float(v.into());
    f64 => |v| Self::Float(v);
    &str => |v| Self::Text(v.to_owned().into());
    String => |v| Self::Text(v.into());
    &String => |v| Self::Text(v.clone().into());
    Cow<'_, str> => |v| Self::Text(v.into_owned().into());
}

/// Literals in source code, whose text [`span!`](crate::span!) does not copy.
#[doc(hidden)]
pub trait Literal {
    fn value(self) -> Value;
}

impl Literal for &'static str {
    #[inline]
    fn value(self) -> Value {
        Value::Text(Cow::Borrowed(self))
    }
}

macro_rules! literal {
    ($($kind:ty)+) => {$(
        impl Literal for $kind {
            #[inline]
            fn value(self) -> Value {
                self.into()
            }
        }
    )+};
}

literal! { bool i32 u8 u16 u32 i64 u64 usize f32 f64 }
