use std::borrow::Cow;
use std::fmt;

use serde_json::value::RawValue;

/// Value of a field, bound or captured.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// No value: `null`.
    Null,
    /// True or false.
    Bool(bool),
    /// Integer.
    Int(i64),
    /// Unsigned integer.
    UInt(u64),
    /// Floating-point number; written as `null` if it is not finite.
    Float(f64),
    /// Text.
    Text(String),
    /// List, object, or number beyond 64 bits, as JSON.
    Json(Json),
}

/// List, object, or number beyond 64 bits, as JSON text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json(Box<str>);

impl Json {
    /// Returns the JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! from {
    ($($kind:ty => $variant:ident),+ $(,)?) => {$(
        impl From<$kind> for Value {
            fn from(value: $kind) -> Self {
                Self::$variant(value.into())
            }
        }
    )+};
}

from!(bool => Bool, i8 => Int, i16 => Int, i32 => Int, i64 => Int, u8 => UInt, u16 => UInt, u32 => UInt,
    u64 => UInt, f64 => Float, &str => Text, String => Text, &String => Text, char => Text,
    Cow<'_, str> => Text, Box<str> => Text);

/// Keeps the digits of a 32-bit number: 0.1 does not become 0.10000000149011612.
impl From<f32> for Value {
    fn from(value: f32) -> Self {
        let digits = value.to_string().parse();
        Self::Float(digits.unwrap_or_else(|_| value.into()))
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Self::UInt(value as u64)
    }
}

impl From<isize> for Value {
    fn from(value: isize) -> Self {
        Self::Int(value as i64)
    }
}

macro_rules! from_wide {
    ($($kind:ty),+) => {$(
        /// Keeps the digits of a number beyond 64 bits.
        impl From<$kind> for Value {
            fn from(value: $kind) -> Self {
                if let Ok(value) = value.try_into() {
                    Self::UInt(value)
                } else if let Ok(value) = value.try_into() {
                    Self::Int(value)
                } else {
                    Self::Json(Json(value.to_string().into()))
                }
            }
        }
    )+};
}

from_wide!(i128, u128);

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// Formats the value as in a console line, without quotes.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::UInt(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value:?}"),
            Self::Text(text) => f.write_str(text),
            Self::Json(json) => f.write_str(&json.0),
        }
    }
}

impl PartialEq<&str> for Value {
    fn eq(&self, other: &&str) -> bool {
        matches!(self, Self::Text(text) if text == other)
    }
}

impl PartialEq<i64> for Value {
    fn eq(&self, other: &i64) -> bool {
        match self {
            Self::Int(value) => value == other,
            Self::UInt(value) => i64::try_from(*value).is_ok_and(|value| value == *other),
            _ => false,
        }
    }
}

impl PartialEq<bool> for Value {
    fn eq(&self, other: &bool) -> bool {
        matches!(self, Self::Bool(value) if value == other)
    }
}

impl slog::Value for Value {
    fn serialize(
        &self,
        record: &slog::Record<'_>,
        key: slog::Key,
        serializer: &mut dyn slog::Serializer,
    ) -> slog::Result {
        match self {
            Self::Null => serializer.emit_none(key),
            Self::Bool(value) => serializer.emit_bool(key, *value),
            Self::Int(value) => serializer.emit_i64(key, *value),
            Self::UInt(value) => serializer.emit_u64(key, *value),
            Self::Float(value) => serializer.emit_f64(key, *value),
            Self::Text(text) => serializer.emit_str(key, text),
            Self::Json(json) => match serde_json::from_str::<serde_json::Value>(&json.0) {
                Ok(value) => slog::Value::serialize(&slog::Serde(value), record, key, serializer),
                Err(_) => serializer.emit_str(key, &json.0),
            },
        }
    }
}

/// Parses a value of a line; the order of an object's keys is kept.
impl<'de> serde::Deserialize<'de> for Value {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw: &RawValue = serde::Deserialize::deserialize(deserializer)?;
        Self::from_json(raw.get()).map_err(serde::de::Error::custom)
    }
}

impl Value {
    fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        Ok(match text.as_bytes().first() {
            Some(b'"') => Self::Text(serde_json::from_str(text)?),
            Some(b'{' | b'[') => Self::Json(Json(text.into())),
            Some(b't' | b'f') => Self::Bool(serde_json::from_str(text)?),
            Some(b'n') => Self::Null,
            _ => Self::number(text),
        })
    }

    /// Parses a JSON number; a number out of range for all types keeps its digits.
    fn number(text: &str) -> Self {
        if let Ok(number) = text.parse() {
            return Self::UInt(number);
        }
        if let Ok(number) = text.parse() {
            return Self::Int(number);
        }
        let is_whole = text
            .bytes()
            .all(|byte| byte == b'-' || byte.is_ascii_digit());
        let float = serde_json::from_str(text).ok().filter(|_| !is_whole);
        float.map_or_else(|| Self::Json(Json(text.into())), Self::Float)
    }
}
