//! Typed, named parameters.

use std::collections::BTreeMap;

/// The value of one parameter. `1`, `1.0`, `true` and `"1"` are four different values.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// SQL NULL.
    Null,
    /// BOOLEAN.
    Bool(bool),
    /// INTEGER.
    Int32(i32),
    /// BIGINT.
    Int64(i64),
    /// DOUBLE.
    Double(f64),
    /// VARCHAR.
    Text(String),
    /// BLOB.
    Blob(Vec<u8>),
}

macro_rules! from {
    ($($from:ty => $variant:ident),*) => {$(
        impl From<$from> for Value {
            fn from(value: $from) -> Self {
                Self::$variant(value.into())
            }
        }
    )*};
}
from!(bool => Bool, i32 => Int32, i64 => Int64, u32 => Int64, f64 => Double, &str => Text, String => Text, &String => Text, Vec<u8> => Blob);

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl Value {
    /// The bytes that stand for this value in a key: a tag, then the value.
    pub(crate) fn key_bytes(&self) -> (u8, Vec<u8>) {
        match self {
            Self::Null => (0, Vec::new()),
            Self::Bool(value) => (1, vec![u8::from(*value)]),
            Self::Int32(value) => (2, value.to_le_bytes().into()),
            Self::Int64(value) => (3, value.to_le_bytes().into()),
            Self::Double(value) if value.is_nan() => (4, f64::NAN.to_bits().to_le_bytes().into()),
            Self::Double(value) => (4, value.to_bits().to_le_bytes().into()),
            Self::Text(value) => (5, value.as_bytes().into()),
            Self::Blob(value) => (6, value.clone()),
        }
    }
}

/// Named parameters, sorted by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Params(pub(crate) BTreeMap<String, Value>);

impl Params {
    /// No parameters.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the parameter that SQL calls `$name`.
    #[must_use]
    pub fn set(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }
}

/// Parameters by name.
///
/// ```
/// use data_cache::{Params, params};
/// assert_eq!(params! { o: "SFO" }, Params::new().set("o", "SFO"));
/// ```
#[macro_export]
macro_rules! params {
    ($($name:ident : $value:expr),* $(,)?) => {
        $crate::Params::new()$(.set(stringify!($name), $value))*
    };
}
