use std::borrow::Cow;
use std::fmt;

use serde_json::value::RawValue;

/// A field's value, as it is bound or captured.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// Nothing: `null`.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number without a sign.
    UInt(u64),
    /// A number; what is not finite is written as `null`.
    Float(f64),
    /// Text.
    Text(String),
    /// A list, an object, or a number beyond 64 bits, as JSON.
    Json(Json),
}

/// A list, an object, or a number beyond 64 bits, as JSON text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json(Box<str>);

impl Json {
    /// The JSON text.
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

/// A number of 32 bits keeps its digits: 0.1 is no 0.10000000149011612.
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
        /// A number beyond 64 bits keeps its digits.
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

/// As the text of a line shows it, without quotes.
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

/// From what a line says; the order of an object's keys is kept.
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

    /// Reads a number of JSON; one that no type of numbers holds keeps its digits.
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
