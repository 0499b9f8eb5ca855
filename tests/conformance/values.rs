//! The values of case files as Arrow columns, and back.

use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::*;
use serde_json::{Map, Value, json};

type Fallible<T> = Result<T, String>;

/// Rows as a batch with this schema.
pub(crate) fn batch(schema: &SchemaRef, rows: &[Vec<Value>]) -> Fallible<RecordBatch> {
    let column = |(index, field): (usize, &FieldRef)| {
        let values: Vec<&Value> = rows.iter().map(|row| row.get(index).unwrap_or(&Value::Null)).collect();
        array(field.data_type(), &values)
    };
    let columns = schema.fields().iter().enumerate().map(column).collect::<Fallible<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).map_err(|error| error.to_string())
}

fn array(data_type: &DataType, values: &[&Value]) -> Fallible<ArrayRef> {
    fn integers<T: ArrowPrimitiveType>(values: &[&Value]) -> Fallible<PrimitiveArray<T>>
    where
        T::Native: TryFrom<i64>,
    {
        let one = |value: &&Value| match value {
            Value::Null => Ok(None),
            other => {
                other.as_i64().and_then(|n| T::Native::try_from(n).ok()).map(Some).ok_or_else(|| format!("no integer: {other}"))
            }
        };
        values.iter().map(one).collect()
    }
    let texts = || -> Fallible<Vec<Option<&str>>> {
        let one = |value: &&'_ Value| -> Fallible<Option<String>> {
            match value {
                Value::Null => Ok(None),
                other => other.as_str().map(|text| Some(text.to_owned())).ok_or_else(|| format!("no string: {other}")),
            }
        };
        values.iter().try_for_each(|value| one(value).map(drop))?;
        Ok(values.iter().map(|value| value.as_str()).collect())
    };
    Ok(match data_type {
        DataType::Boolean => Arc::new(BooleanArray::from_iter(values.iter().map(|value| value.as_bool()))),
        DataType::Int8 => Arc::new(integers::<Int8Type>(values)?),
        DataType::Int16 => Arc::new(integers::<Int16Type>(values)?),
        DataType::Int32 => Arc::new(integers::<Int32Type>(values)?),
        DataType::Int64 => Arc::new(integers::<Int64Type>(values)?),
        DataType::Float32 => Arc::new(Float32Array::from_iter(values.iter().map(|value| double(value).map(|n| n as f32)))),
        DataType::Float64 => Arc::new(Float64Array::from_iter(values.iter().map(|value| double(value)))),
        DataType::Utf8 => Arc::new(StringArray::from_iter(texts()?)),
        DataType::Binary => {
            let bytes = texts()?.into_iter().map(|text| text.map(unhex).transpose()).collect::<Fallible<Vec<_>>>()?;
            Arc::new(BinaryArray::from_iter(bytes))
        }
        DataType::Decimal128(_, _) | DataType::Date32 | DataType::Timestamp(_, _) => {
            let strings = StringArray::from_iter(texts()?);
            arrow::compute::cast(&strings, data_type).map_err(|error| error.to_string())?
        }
        DataType::List(field) => {
            let lists: Vec<Option<&Vec<Value>>> = values.iter().map(|value| value.as_array()).collect();
            let lengths = lists.iter().map(|list| list.map_or(0, Vec::len));
            let items: Vec<&Value> = lists.iter().flatten().flat_map(|list| list.iter()).collect();
            let child = array(field.data_type(), &items)?;
            Arc::new(ListArray::new(Arc::clone(field), OffsetBuffer::from_lengths(lengths), child, nulls(values)))
        }
        DataType::Map(field, sorted) => {
            let DataType::Struct(parts) = field.data_type() else { return Err("a map without entries".to_owned()) };
            let maps: Vec<Option<&Vec<Value>>> = values.iter().map(|value| value.as_array()).collect();
            let lengths = maps.iter().map(|map| map.map_or(0, Vec::len));
            let pairs: Vec<&Value> = maps.iter().flatten().flat_map(|map| map.iter()).collect();
            let part = |index: usize| pairs.iter().map(|pair| &pair[index]).collect::<Vec<&Value>>();
            let columns = vec![array(parts[0].data_type(), &part(0))?, array(parts[1].data_type(), &part(1))?];
            let entries = StructArray::new(parts.clone(), columns, None);
            Arc::new(MapArray::new(Arc::clone(field), OffsetBuffer::from_lengths(lengths), entries, nulls(values), *sorted))
        }
        DataType::Struct(fields) => {
            let column = |field: &FieldRef| {
                let inner: Vec<&Value> = values.iter().map(|value| value.get(field.name()).unwrap_or(&Value::Null)).collect();
                array(field.data_type(), &inner)
            };
            let columns = fields.iter().map(column).collect::<Fallible<Vec<_>>>()?;
            Arc::new(
                StructArray::try_new_with_length(fields.clone(), columns, nulls(values), values.len())
                    .map_err(|e| e.to_string())?,
            )
        }
        other => return Err(format!("no values of type {other} in cases")),
    })
}

fn nulls(values: &[&Value]) -> Option<NullBuffer> {
    Some(NullBuffer::from_iter(values.iter().map(|value| !value.is_null())))
}

/// A number, or the text of one that JSON has not.
pub(crate) fn double(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn unhex(text: &str) -> Fallible<Vec<u8>> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).map_err(|error| error.to_string());
    (0..text.len()).step_by(2).map(digit).collect()
}

/// The rows of a batch as case files write them.
pub(crate) fn rows(batch: &RecordBatch) -> Vec<Vec<Value>> {
    (0..batch.num_rows()).map(|row| batch.columns().iter().map(|column| value(column, row)).collect()).collect()
}

fn value(column: &ArrayRef, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    match column.data_type() {
        DataType::Null => Value::Null,
        DataType::Boolean => json!(column.as_boolean().value(row)),
        DataType::Int8 => json!(column.as_primitive::<Int8Type>().value(row)),
        DataType::Int16 => json!(column.as_primitive::<Int16Type>().value(row)),
        DataType::Int32 => json!(column.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => json!(column.as_primitive::<Int64Type>().value(row)),
        DataType::Float32 => floating(f64::from(column.as_primitive::<Float32Type>().value(row))),
        DataType::Float64 => floating(column.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => json!(column.as_string::<i32>().value(row)),
        DataType::Binary => {
            json!(column.as_binary::<i32>().value(row).iter().map(|byte| format!("{byte:02x}")).collect::<String>())
        }
        DataType::Decimal128(_, _) => json!(column.as_primitive::<Decimal128Type>().value_as_string(row)),
        DataType::Date32 => {
            let days = column.as_primitive::<Date32Type>().value(row);
            json!(
                Date32Type::to_naive_date_opt(days).map_or_else(|| days.to_string(), |date| date.format("%Y-%m-%d").to_string())
            )
        }
        DataType::Timestamp(_, zone) => {
            let micros = column.as_primitive::<TimestampMicrosecondType>().value(row);
            let zone = if zone.is_some() { "Z" } else { "" };
            let text =
                chrono::DateTime::from_timestamp_micros(micros).map(|time| time.format("%Y-%m-%dT%H:%M:%S%.6f").to_string());
            json!(format!("{}{zone}", text.unwrap_or_else(|| micros.to_string())))
        }
        DataType::List(_) => {
            let list = column.as_list::<i32>().value(row);
            Value::Array((0..list.len()).map(|item| value(&list, item)).collect())
        }
        DataType::Map(_, _) => {
            let entries = column.as_map().value(row);
            let (keys, values) = (entries.column(0), entries.column(1));
            Value::Array((0..entries.len()).map(|entry| json!([value(keys, entry), value(values, entry)])).collect())
        }
        DataType::Struct(fields) => {
            let structs = column.as_struct();
            let pairs = fields.iter().zip(structs.columns()).map(|(field, column)| (field.name().clone(), value(column, row)));
            Value::Object(Map::from_iter(pairs))
        }
        other => json!(format!("a value of type {other}")),
    }
}

fn floating(number: f64) -> Value {
    match number {
        _ if number.is_nan() => json!("NaN"),
        f64::INFINITY => json!("Infinity"),
        f64::NEG_INFINITY => json!("-Infinity"),
        other => json!(other),
    }
}
