//! What the tests of message formats share.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryArray, MapArray, MapBuilder, StringArray, StringBuilder, StructArray};
use arrow::datatypes::{DataType, Field};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::ColumnarValue;
use serde_json::Value as Json;

use crate::error::SparkError;
use crate::function::{Arg, Call, Invocation, Settings};
use crate::json::{Encoder, Options, decode_json, encode_json};
use crate::types::parse_schema;

/// A part of a recorded case.
pub(crate) fn text<'a>(case: &'a Json, part: &str) -> &'a str {
    case[part].as_str().unwrap_or_default()
}

/// From hexadecimal digits.
pub(crate) fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

pub(crate) fn literal(text: &str) -> ScalarValue {
    ScalarValue::Utf8(Some(text.to_owned()))
}

/// A literal map.
pub(crate) fn options(pairs: &[(&str, &str)]) -> ScalarValue {
    let mut builder = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    for (key, value) in pairs {
        builder.keys().append_value(key);
        builder.values().append_value(value);
    }
    builder.append(true).unwrap();
    let built = builder.finish();
    let DataType::Map(field, _) = crate::types::map(DataType::Utf8, DataType::Utf8) else { unreachable!() };
    let DataType::Struct(fields) = field.data_type().clone() else { unreachable!() };
    let entries = StructArray::new(fields, built.entries().columns().to_vec(), None);
    ScalarValue::Map(Arc::new(MapArray::new(field, built.offsets().clone(), entries, None, false)))
}

pub(crate) fn messages<'a>(messages: impl IntoIterator<Item = &'a [u8]>) -> ArrayRef {
    Arc::new(BinaryArray::from_iter_values(messages))
}

/// A struct of these columns, from JSON.
pub(crate) fn row(columns: &str, value: &str) -> ArrayRef {
    let data_type = DataType::Struct(parse_schema(columns).unwrap());
    decode_json(&StringArray::from(vec![value]), &data_type, &Options::new(&Settings::default())).unwrap()
}

/// Calls a function with an array and literals.
pub(crate) fn call(called: &str, values: &ArrayRef, literals: &[ScalarValue]) -> Result<ArrayRef> {
    call_as(called, "v", values, literals)
}

/// The same with what the array is called in SQL.
pub(crate) fn call_as(called: &str, sql: &str, values: &ArrayRef, literals: &[ScalarValue]) -> Result<ArrayRef> {
    let function = crate::scalar(called).unwrap();
    let column = Arg { data_type: values.data_type().clone(), literal: None, sql: sql.to_owned() };
    let literal = |value: &ScalarValue| Arg { data_type: value.data_type(), literal: Some(value.clone()), sql: "x".to_owned() };
    let args: Vec<Arg> = std::iter::once(column).chain(literals.iter().map(literal)).collect();
    function.arity.check(called, args.len())?;
    let resolved = (function.resolve)(&Call { name: called, args: &args, settings: &Settings::default() })?;
    let columns = std::iter::once(ColumnarValue::Array(Arc::clone(values)));
    let args: Vec<ColumnarValue> = columns.chain(literals.iter().cloned().map(ColumnarValue::Scalar)).collect();
    let result = (resolved.kernel)(&Invocation { args: &args, rows: values.len() })?;
    assert_eq!((result.data_type(), result.len()), (&resolved.returns, values.len()));
    Ok(result)
}

pub(crate) fn condition(error: &DataFusionError) -> String {
    SparkError::find(error).map_or(error.to_string(), |error| error.condition.clone())
}

/// The first value as JSON, nulls shown, in an object as `v`.
pub(crate) fn json(values: &ArrayRef) -> String {
    let field = Field::new("v", values.data_type().clone(), true);
    let row: ArrayRef = Arc::new(StructArray::new(vec![field].into(), vec![Arc::clone(values)], None));
    let mut out = String::new();
    let shown = Options { ignore_null_fields: false, ..Options::new(&Settings::default()) };
    encode_json(&row, 0, &mut out, &Encoder::new(&shown).unwrap()).unwrap();
    out
}

/// Numbers that look random, the same in every run.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new() -> Self {
        Random(42)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 as usize % end
    }

    /// One of some messages, damaged in a few places.
    pub(crate) fn damaged(&mut self, messages: &[Vec<u8>]) -> Vec<u8> {
        let mut message = messages[self.below(messages.len())].clone();
        for _ in 0..1 + self.below(4) {
            let len = message.len();
            match self.below(3) {
                0 => message.truncate(self.below(len + 1)),
                1 if len > 0 => message[self.below(len)] = self.below(256) as u8,
                _ => message.push(self.below(256) as u8),
            }
        }
        message
    }
}
