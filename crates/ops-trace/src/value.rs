use crate::limits::{MAX_TEXT_BYTES, cut};

/// The value of an attribute. Text beyond 4,096 bytes is cut; a float that is no number becomes text.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// Text.
    Text(String),
}

impl Value {
    pub(crate) fn into_otel(self) -> opentelemetry::Value {
        match self {
            Self::Bool(b) => b.into(),
            Self::Int(i) => i.into(),
            Self::Float(f) if f.is_finite() => f.into(),
            Self::Float(f) => f.to_string().into(),
            Self::Text(text) => cut(text, MAX_TEXT_BYTES).into(),
        }
    }
}

macro_rules! value_from {
    ($($from:ty => |$v:ident| $to:expr;)+) => {$(
        impl From<$from> for Value {
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
    u64 => |v| i64::try_from(v).map_or_else(|_| Self::Text(v.to_string()), Self::Int);
    usize => |v| i64::try_from(v).map_or_else(|_| Self::Text(v.to_string()), Self::Int);
    f32 => |v| Self::Float(v.into());
    f64 => |v| Self::Float(v);
    &str => |v| Self::Text(v.to_owned());
    String => |v| Self::Text(v);
    &String => |v| Self::Text(v.clone());
    std::borrow::Cow<'_, str> => |v| Self::Text(v.into_owned());
}
