//! Typed parameters.

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
    /// UBIGINT.
    UInt64(u64),
    /// DOUBLE.
    Double(f64),
    /// VARCHAR.
    Text(String),
    /// BLOB.
    Blob(Vec<u8>),
    /// DATE, in days since 1970-01-01.
    Date(i32),
    /// TIMESTAMP, in microseconds since 1970-01-01 00:00, without a time zone.
    Timestamp(i64),
    /// TINYINT.
    Int8(i8),
    /// SMALLINT.
    Int16(i16),
    /// UTINYINT.
    UInt8(u8),
    /// USMALLINT.
    UInt16(u16),
    /// UINTEGER.
    UInt32(u32),
    /// HUGEINT.
    Int128(i128),
    /// FLOAT.
    Float(f32),
    /// TIME, in microseconds since midnight.
    Time(i64),
    /// TIMESTAMP WITH TIME ZONE, in microseconds since 1970-01-01 00:00 UTC. DuckDB's driver has no such parameter:
    /// `Warehouse` binds a text with the offset `+00`, which the engine casts to the type of the other operand. Write
    /// `$name::TIMESTAMPTZ` wherever there is no other operand, or it has another type: a TIMESTAMP would be compared
    /// with the time of day in UTC, whatever `TimeZone` is.
    TimestampTz(i64),
    /// INTERVAL.
    Interval {
        /// Months.
        months: i32,
        /// Days.
        days: i32,
        /// Microseconds.
        micros: i64,
    },
    /// DECIMAL(38, `scale`): `unscaled` × 10^-`scale`.
    Decimal {
        /// The digits.
        unscaled: i128,
        /// Digits after the decimal point, at most 38.
        scale: u8,
    },
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
from!(bool => Bool, i8 => Int8, i16 => Int16, i32 => Int32, i64 => Int64, i128 => Int128, u8 => UInt8, u16 => UInt16, u32 => Int64, u64 => UInt64, f32 => Float, f64 => Double, &str => Text, String => Text, &String => Text, Vec<u8> => Blob);

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        // no target has a usize of more than 64 bits
        Self::UInt64(value as u64)
    }
}

impl From<isize> for Value {
    fn from(value: isize) -> Self {
        Self::Int64(value as i64)
    }
}

impl From<char> for Value {
    fn from(value: char) -> Self {
        Self::Text(value.into())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl Value {
    /// Passes `field` a tag and the bytes that represent this value
    /// in a key. All NaNs are equal; `-0.0` differs from `0.0`.
    pub(crate) fn key_field(&self, field: impl FnOnce(u8, &[u8])) {
        match self {
            Self::Null => field(0, &[]),
            Self::Bool(value) => field(1, &[u8::from(*value)]),
            Self::Int32(value) => field(2, &value.to_le_bytes()),
            Self::Int64(value) => field(3, &value.to_le_bytes()),
            Self::Double(value) => {
                let bits = if value.is_nan() {
                    f64::NAN.to_bits()
                } else {
                    value.to_bits()
                };
                field(4, &bits.to_le_bytes());
            }
            Self::Text(value) => field(5, value.as_bytes()),
            Self::Blob(value) => field(6, value),
            Self::UInt64(value) => field(7, &value.to_le_bytes()),
            Self::Date(value) => field(8, &value.to_le_bytes()),
            Self::Timestamp(value) => field(9, &value.to_le_bytes()),
            Self::Int8(value) => field(10, &value.to_le_bytes()),
            Self::Int16(value) => field(11, &value.to_le_bytes()),
            Self::UInt8(value) => field(12, &value.to_le_bytes()),
            Self::UInt16(value) => field(13, &value.to_le_bytes()),
            Self::UInt32(value) => field(14, &value.to_le_bytes()),
            Self::Int128(value) => field(15, &value.to_le_bytes()),
            Self::Float(value) => {
                let bits = if value.is_nan() {
                    f32::NAN.to_bits()
                } else {
                    value.to_bits()
                };
                field(16, &bits.to_le_bytes());
            }
            Self::Time(value) => field(17, &value.to_le_bytes()),
            Self::TimestampTz(value) => field(18, &value.to_le_bytes()),
            Self::Interval {
                months,
                days,
                micros,
            } => {
                let days = [months.to_le_bytes(), days.to_le_bytes()].concat();
                field(19, &[days.as_slice(), &micros.to_le_bytes()].concat());
            }
            Self::Decimal { unscaled, scale } => {
                field(20, &[&unscaled.to_le_bytes()[..], &[*scale]].concat());
            }
        }
    }
}

/// Named parameters, sorted by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Params(pub(crate) BTreeMap<String, Value>);

impl Params {
    /// Returns an empty set of parameters.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns parameters for `?` or `$1`, `$2`, …, in this order.
    ///
    /// ```
    /// use data_cache::Params;
    /// assert_eq!(Params::positional([1, 2]), Params::new().set("1", 1).set("2", 2));
    /// ```
    pub fn positional<V: Into<Value>>(values: impl IntoIterator<Item = V>) -> Self {
        let numbered = values.into_iter().zip(1_usize..);
        Self(
            numbered
                .map(|(value, at)| (at.to_string(), value.into()))
                .collect(),
        )
    }

    /// Sets the parameter named `$name` in SQL.
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
