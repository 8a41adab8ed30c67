//! Binding of parameters, as the one row that a prepared statement takes.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
    Int8Array, Int16Array, Int32Array, Int64Array, IntervalMonthDayNanoArray, NullArray,
    RecordBatch, StringArray, Time64MicrosecondArray, TimestampMicrosecondArray, UInt8Array,
    UInt16Array, UInt32Array, UInt64Array, new_null_array,
};
use arrow::datatypes::{DataType, Field, IntervalMonthDayNano, Schema};

use super::fault::Fault;
use crate::params::{Params, Value};

/// Maximum number of digits of a decimal number.
const MAX_DIGITS: u8 = 38;

/// Returns one row with a column per parameter, in the order that the server expects. `expected` is empty if the server
/// does not describe its parameters; they must be positional then.
pub(super) fn batch(params: &Params, expected: &Schema) -> Result<RecordBatch, Fault> {
    let columns = match expected.fields().is_empty() {
        true => positional(params)?,
        false => as_expected(params, expected)?,
    };
    let mut fields = Vec::new();
    let mut arrays = Vec::new();
    for (name, value, wanted) in columns {
        let array = array(value, wanted)
            .map_err(|what| Fault::input(format!("parameter {name}: {what}")))?;
        fields.push(Field::new(name, array.data_type().clone(), true));
        arrays.push(array);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
        .map_err(|error| Fault::input(format!("parameters: {error}")))
}

type Column<'a> = (String, &'a Value, Option<&'a DataType>);

fn positional(params: &Params) -> Result<Vec<Column<'_>>, Fault> {
    let count = params.0.len();
    let columns = (1..=count).map(|at| {
        let name = at.to_string();
        params.0.get(&name).map(|value| (name, value, None))
    });
    columns.collect::<Option<Vec<_>>>().ok_or_else(|| {
        let names: Vec<_> = params.0.keys().collect();
        Fault::input(format!(
            "the server does not name its parameters: pass them by position, 1 to {count} (Params::positional); got {names:?}"
        ))
    })
}

/// Matches parameters by name if the server uses the caller's name, else by position.
fn as_expected<'a>(params: &'a Params, expected: &'a Schema) -> Result<Vec<Column<'a>>, Fault> {
    let mut used = BTreeSet::new();
    let mut columns = Vec::new();
    for (at, field) in expected.fields().iter().enumerate() {
        let name = field.name().trim_start_matches(['$', ':', '@']);
        let position = (at + 1).to_string();
        let found = params
            .0
            .get_key_value(name)
            .or_else(|| params.0.get_key_value(&position));
        let Some((key, value)) = found else {
            return Err(Fault::input(format!(
                "no value for parameter {position} ({:?})",
                field.name()
            )));
        };
        used.insert(key);
        columns.push((field.name().clone(), value, Some(field.data_type())));
    }
    let surplus: Vec<_> = params
        .0
        .keys()
        .filter(|name| !used.contains(name))
        .collect();
    match surplus.is_empty() {
        true => Ok(columns),
        false => Err(Fault::input(format!(
            "the statement has {} parameters; unknown names: {surplus:?}",
            columns.len()
        ))),
    }
}

/// Returns the value as an array of its own type; NULL has the type given by the server.
fn array(value: &Value, wanted: Option<&DataType>) -> Result<ArrayRef, String> {
    Ok(match value {
        Value::Null => match wanted {
            Some(wanted) => new_null_array(wanted, 1),
            None => Arc::new(NullArray::new(1)),
        },
        Value::Bool(value) => Arc::new(BooleanArray::from(vec![*value])),
        Value::Int8(value) => Arc::new(Int8Array::from(vec![*value])),
        Value::Int16(value) => Arc::new(Int16Array::from(vec![*value])),
        Value::Int32(value) => Arc::new(Int32Array::from(vec![*value])),
        Value::Int64(value) => Arc::new(Int64Array::from(vec![*value])),
        Value::Int128(value) => decimal(*value, 0)?,
        Value::UInt8(value) => Arc::new(UInt8Array::from(vec![*value])),
        Value::UInt16(value) => Arc::new(UInt16Array::from(vec![*value])),
        Value::UInt32(value) => Arc::new(UInt32Array::from(vec![*value])),
        Value::UInt64(value) => Arc::new(UInt64Array::from(vec![*value])),
        Value::Float(value) => Arc::new(Float32Array::from(vec![*value])),
        Value::Double(value) => Arc::new(Float64Array::from(vec![*value])),
        Value::Text(value) => Arc::new(StringArray::from(vec![value.as_str()])),
        Value::Blob(value) => Arc::new(BinaryArray::from_vec(vec![value.as_slice()])),
        Value::Date(days) => Arc::new(Date32Array::from(vec![*days])),
        Value::Time(micros) => Arc::new(Time64MicrosecondArray::from(vec![*micros])),
        Value::Timestamp(micros) => Arc::new(TimestampMicrosecondArray::from(vec![*micros])),
        Value::TimestampTz(micros) => {
            Arc::new(TimestampMicrosecondArray::from(vec![*micros]).with_timezone("UTC"))
        }
        Value::Interval {
            months,
            days,
            micros,
        } => {
            let nanos = micros
                .checked_mul(1000)
                .ok_or("out of range for an interval in nanoseconds")?;
            let interval = IntervalMonthDayNano::new(*months, *days, nanos);
            Arc::new(IntervalMonthDayNanoArray::from(vec![interval]))
        }
        Value::Decimal { unscaled, scale } => decimal(*unscaled, *scale)?,
    })
}

fn decimal(unscaled: i128, scale: u8) -> Result<ArrayRef, String> {
    let refused = || format!("out of range for DECIMAL({MAX_DIGITS}, {scale})");
    let scale_of = i8::try_from(scale).map_err(|_| refused())?;
    let array = Decimal128Array::from(vec![unscaled])
        .with_precision_and_scale(MAX_DIGITS, scale_of)
        .map_err(|_| refused())?;
    array
        .validate_decimal_precision(MAX_DIGITS)
        .map_err(|_| refused())?;
    Ok(Arc::new(array))
}
