//! From columns to Protobuf's bytes, by a plan that was made once for the type and the message. Fields are written in the order of
//! their numbers, entries of maps in their own.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type, TimeUnit, TimestampMicrosecondType};
use datafusion::error::{DataFusionError, Result};
use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, Value as Default};

use super::shape::{declared, is_time, wrapped};
use crate::error::spark_error;
use crate::message::{bytes_of, integer};
use crate::types::{map_types, sql_name};

/// How a struct is written.
#[derive(Debug, Clone)]
pub(super) struct Write {
    fields: Vec<FieldWrite>,
}

#[derive(Debug, Clone)]
struct FieldWrite {
    name: String,
    number: u32,
    column: usize,
    value: Value,
    many: Many,
    /// What stands for null in a field that must be there.
    required: Option<Default>,
    /// Whether zero is written: it says that the field is there.
    presence: bool,
    /// The other fields of which only one is set, if they come later in the struct: the last one counts.
    rivals: Vec<usize>,
}

#[derive(Debug, Clone)]
enum Many {
    One,
    List { packed: bool },
    Map(Value),
}

#[derive(Debug, Clone)]
enum Value {
    /// Never anything but null.
    Null,
    Bool,
    Varint,
    Unsigned32,
    Unsigned64,
    ZigZag,
    Fixed32,
    Fixed64,
    Float,
    Double,
    Bytes,
    EnumName(EnumDescriptor),
    EnumNumber(EnumDescriptor),
    Message(Write),
    Group(Write),
    Timestamp,
    Duration,
    Wrapper(Box<Value>),
}

/// How values of a type are written as a message.
///
/// # Errors
/// `UNABLE_TO_CONVERT_TO_PROTOBUF_MESSAGE_TYPE` with the reason, when they don't fit each other.
pub(super) fn of(message: &MessageDescriptor, data_type: &DataType) -> Result<Write> {
    structure(message, data_type, "").map_err(|error| {
        spark_error(
            "UNABLE_TO_CONVERT_TO_PROTOBUF_MESSAGE_TYPE",
            format!("Unable to convert SQL type {} to Protobuf type {}: {error}", sql_name(data_type), message.name()),
        )
    })
}

fn structure(message: &MessageDescriptor, data_type: &DataType, path: &str) -> Result<Write> {
    let DataType::Struct(columns) = data_type else {
        return Err(spark_error("DATATYPE_MISMATCH.TYPE_CHECK_FAILURE_WITH_HINT", "A message is written from a struct."));
    };
    let under = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    let matching = |column: &str| declared(message).filter(|field| field.name().eq_ignore_ascii_case(column)).collect::<Vec<_>>();
    let mut fields: Vec<FieldWrite> = Vec::with_capacity(columns.len());
    let mut oneofs: Vec<Option<String>> = Vec::with_capacity(columns.len());
    for (column, sql) in columns.iter().enumerate() {
        let path = under(sql.name());
        let found = matching(sql.name());
        let [field] = &found[..] else {
            let (condition, reason) = match found.is_empty() {
                true => ("NO_SQL_TYPE_IN_PROTOBUF_SCHEMA", format!("Cannot find {path} in Protobuf schema.")),
                false => ("PROTOBUF_FIELD_MISSING", format!("{} fields of the Protobuf schema are called {path}.", found.len())),
            };
            return Err(spark_error(condition, reason));
        };
        let (value, many) = typed(field, sql.data_type(), &path)?;
        oneofs.push(field.containing_oneof().map(|oneof| oneof.name().to_owned()));
        fields.push(FieldWrite {
            name: path,
            number: field.number(),
            column,
            value,
            many,
            required: field.is_required().then(|| field.default_value()),
            presence: field.supports_presence(),
            rivals: Vec::new(),
        });
    }
    let has = |field: &FieldDescriptor| fields.iter().any(|write| write.number == field.number());
    if let Some(missing) = declared(message).find(|field| field.is_required() && !has(field)) {
        let reason = format!("Found {} in Protobuf schema but there is no match in the SQL schema.", under(missing.name()));
        return Err(spark_error("PROTOBUF_FIELD_MISSING_IN_SQL_SCHEMA", reason));
    }
    for (column, oneof) in oneofs.iter().enumerate().filter(|(_, oneof)| oneof.is_some()) {
        fields[column].rivals = (column + 1..oneofs.len()).filter(|later| oneofs[*later] == *oneof).collect();
    }
    fields.sort_by_key(|field| field.number);
    Ok(Write { fields })
}

fn typed(field: &FieldDescriptor, data_type: &DataType, path: &str) -> Result<(Value, Many)> {
    if *data_type == DataType::Null {
        return Ok((Value::Null, Many::One));
    }
    match (field.kind(), data_type) {
        (Kind::Message(entry), DataType::Map(_, _)) if field.is_map() => {
            let Some((key, value)) = map_types(data_type) else { return Err(mismatch(field, data_type, path)) };
            let key = one(&entry.map_entry_key_field(), key, path)?;
            let value = one(&entry.map_entry_value_field(), value, path)?;
            Ok((value, Many::Map(key)))
        }
        (_, DataType::List(element)) if field.is_list() => {
            Ok((one(field, element.data_type(), path)?, Many::List { packed: field.is_packed() }))
        }
        _ if field.is_list() || field.is_map() => Err(mismatch(field, data_type, path)),
        _ => Ok((one(field, data_type, path)?, Many::One)),
    }
}

fn mismatch(field: &FieldDescriptor, data_type: &DataType, path: &str) -> DataFusionError {
    spark_error(
        "CANNOT_CONVERT_SQL_TYPE_TO_PROTOBUF_FIELD_TYPE",
        format!(
            "Cannot convert SQL {path} to Protobuf {} because schema is incompatible (protobufType = {:?}, sqlType = {}).",
            field.full_name(),
            field.kind(),
            sql_name(data_type)
        ),
    )
}

fn one(field: &FieldDescriptor, data_type: &DataType, path: &str) -> Result<Value> {
    let is_int =
        matches!(data_type, DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Date32 | DataType::Interval(_));
    let is_long = matches!(data_type, DataType::Int64 | DataType::Duration(TimeUnit::Microsecond));
    Ok(match (field.kind(), data_type) {
        (Kind::Bool, DataType::Boolean) => Value::Bool,
        (Kind::Int32, _) if is_int => Value::Varint,
        (Kind::Uint32, _) if is_int => Value::Unsigned32,
        (Kind::Uint32, DataType::Int64) => Value::Unsigned32,
        (Kind::Sint32, _) if is_int => Value::ZigZag,
        (Kind::Fixed32 | Kind::Sfixed32, _) if is_int => Value::Fixed32,
        (Kind::Int64 | Kind::Uint64, _) if is_long => Value::Varint,
        (Kind::Uint64, DataType::Decimal128(20, 0)) => Value::Unsigned64,
        (Kind::Sint64, _) if is_long => Value::ZigZag,
        (Kind::Fixed64 | Kind::Sfixed64, _) if is_long => Value::Fixed64,
        (Kind::Float, DataType::Float32) => Value::Float,
        (Kind::Double, DataType::Float64) => Value::Double,
        (Kind::String, DataType::Utf8) | (Kind::Bytes, DataType::Binary) => Value::Bytes,
        (Kind::Enum(descriptor), DataType::Utf8) => Value::EnumName(descriptor),
        (Kind::Enum(descriptor), _) if is_int => Value::EnumNumber(descriptor),
        (Kind::Message(message), DataType::Timestamp(_, Some(_))) if is_time(&message, "Timestamp") => Value::Timestamp,
        (Kind::Message(message), DataType::Duration(_)) if is_time(&message, "Duration") => Value::Duration,
        (Kind::Message(message), DataType::Struct(_)) => {
            let write = structure(&message, data_type, path)?;
            if field.is_group() { Value::Group(write) } else { Value::Message(write) }
        }
        (Kind::Message(message), _) => match wrapped(&message) {
            Some(inner) => Value::Wrapper(Box::new(one(&inner, data_type, path)?)),
            None => return Err(mismatch(field, data_type, path)),
        },
        _ => return Err(mismatch(field, data_type, path)),
    })
}

impl Write {
    /// Appends the struct of a row.
    ///
    /// # Errors
    /// When a value doesn't fit its field.
    pub(super) fn message(&self, values: &ArrayRef, row: usize, out: &mut Vec<u8>) -> Result<()> {
        let columns = values.as_struct();
        self.fields.iter().try_for_each(|field| {
            let is_set = |column: usize| columns.column(column).is_valid(row);
            match field.rivals.iter().any(|later| is_set(*later)) {
                true => Ok(()),
                false => field.write(columns.column(field.column), row, out),
            }
        })
    }
}

impl FieldWrite {
    fn write(&self, values: &ArrayRef, row: usize, out: &mut Vec<u8>) -> Result<()> {
        if values.is_null(row) || matches!(self.value, Value::Null) {
            return match &self.required {
                Some(default) => self.default(default, out),
                None => Ok(()),
            };
        }
        match &self.many {
            Many::One => {
                let start = out.len();
                self.value.tag(self.number, out);
                let payload = out.len();
                self.value.write(values, row, self, out)?;
                // Every value's zero is written as zeros, and nothing else is.
                if !self.presence && out[payload..].iter().all(|byte| *byte == 0) {
                    out.truncate(start);
                }
            }
            Many::List { packed } => {
                let elements = values.as_list::<i32>().value(row);
                if elements.null_count() > 0 {
                    return Err(null_inside(&self.name));
                }
                if *packed && !elements.is_empty() {
                    let mut inner = Vec::new();
                    (0..elements.len()).try_for_each(|at| self.value.write(&elements, at, self, &mut inner))?;
                    tag(self.number, 2, out);
                    prefixed(&inner, out);
                } else {
                    for at in 0..elements.len() {
                        self.value.tag(self.number, out);
                        self.value.write(&elements, at, self, out)?;
                    }
                }
            }
            Many::Map(key) => {
                let entries = values.as_map().value(row);
                let (keys, values) = (entries.column(0), entries.column(1));
                for at in 0..keys.len() {
                    let mut entry = Vec::new();
                    key.tag(1, &mut entry);
                    key.write(keys, at, self, &mut entry)?;
                    // A null is the value's zero, as in Spark.
                    if values.is_valid(at) {
                        self.value.tag(2, &mut entry);
                        self.value.write(values, at, self, &mut entry)?;
                    }
                    tag(self.number, 2, out);
                    prefixed(&entry, out);
                }
            }
        }
        Ok(())
    }

    fn default(&self, default: &Default, out: &mut Vec<u8>) -> Result<()> {
        self.value.tag(self.number, out);
        match (&self.value, default) {
            (_, Default::Bool(bit)) => out.push(u8::from(*bit)),
            (Value::ZigZag, Default::I32(number)) => varint(zigzag(i64::from(*number)), out),
            (Value::ZigZag, Default::I64(number)) => varint(zigzag(*number), out),
            (Value::Fixed32, Default::I32(number)) => out.extend_from_slice(&number.to_le_bytes()),
            (Value::Fixed32, Default::U32(number)) => out.extend_from_slice(&number.to_le_bytes()),
            (Value::Fixed64, Default::I64(number)) => out.extend_from_slice(&number.to_le_bytes()),
            (Value::Fixed64, Default::U64(number)) => out.extend_from_slice(&number.to_le_bytes()),
            (_, Default::I32(number) | Default::EnumNumber(number)) => varint(i64::from(*number) as u64, out),
            (_, Default::I64(number)) => varint(*number as u64, out),
            (_, Default::U32(number)) => varint(u64::from(*number), out),
            (_, Default::U64(number)) => varint(*number, out),
            (_, Default::F32(number)) => out.extend_from_slice(&number.to_le_bytes()),
            (_, Default::F64(number)) => out.extend_from_slice(&number.to_le_bytes()),
            (_, Default::String(text)) => prefixed(text.as_bytes(), out),
            (_, Default::Bytes(bytes)) => prefixed(bytes, out),
            _ => return Err(null_inside(&self.name)),
        }
        Ok(())
    }
}

fn null_inside(path: &str) -> DataFusionError {
    spark_error(
        "UNABLE_TO_CONVERT_TO_PROTOBUF_MESSAGE_TYPE",
        format!("{path} is or holds null, which Protobuf can't write there."),
    )
}

impl Value {
    fn tag(&self, number: u32, out: &mut Vec<u8>) {
        let wire = match self {
            Value::Fixed64 | Value::Double => 1,
            Value::Fixed32 | Value::Float => 5,
            Value::Group(_) => 3,
            Value::Bytes | Value::Message(_) | Value::Timestamp | Value::Duration | Value::Wrapper(_) => 2,
            _ => 0,
        };
        tag(number, wire, out);
    }

    /// Appends a value that is not null, without its tag.
    fn write(&self, values: &ArrayRef, row: usize, field: &FieldWrite, out: &mut Vec<u8>) -> Result<()> {
        match self {
            Value::Null => {}
            Value::Bool => out.push(u8::from(values.as_boolean().value(row))),
            Value::Varint => varint(integer(values, row) as u64, out),
            Value::Unsigned32 => {
                let number = integer(values, row);
                let number = match values.data_type() {
                    DataType::Int64 => u32::try_from(number).map_err(|_| out_of_range(field, number))?,
                    _ => number as u32,
                };
                varint(u64::from(number), out);
            }
            Value::Unsigned64 => {
                let number = values.as_primitive::<Decimal128Type>().value(row);
                varint(u64::try_from(number).map_err(|_| out_of_range(field, number))?, out);
            }
            Value::ZigZag => varint(zigzag(integer(values, row)), out),
            Value::Fixed32 => out.extend_from_slice(&(integer(values, row) as i32).to_le_bytes()),
            Value::Fixed64 => out.extend_from_slice(&integer(values, row).to_le_bytes()),
            Value::Float => out.extend_from_slice(&values.as_primitive::<Float32Type>().value(row).to_le_bytes()),
            Value::Double => out.extend_from_slice(&values.as_primitive::<Float64Type>().value(row).to_le_bytes()),
            Value::Bytes => prefixed(bytes_of(values, row), out),
            Value::EnumName(descriptor) => {
                let name = values.as_string::<i32>().value(row);
                let value = descriptor.get_value_by_name(name).ok_or_else(|| no_value(field, descriptor, name))?;
                varint(i64::from(value.number()) as u64, out);
            }
            Value::EnumNumber(descriptor) => {
                let number = integer(values, row);
                let value = i32::try_from(number).ok().and_then(|number| descriptor.get_value(number));
                value.ok_or_else(|| no_value(field, descriptor, &number.to_string()))?;
                varint(number as u64, out);
            }
            Value::Message(write) => {
                let mut inner = Vec::new();
                write.message(values, row, &mut inner)?;
                prefixed(&inner, out);
            }
            Value::Group(write) => {
                write.message(values, row, out)?;
                tag(field.number, 4, out);
            }
            Value::Timestamp => {
                let micros = values.as_primitive::<TimestampMicrosecondType>().value(row);
                time(micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000), out);
            }
            Value::Duration => {
                // Both parts have the sign.
                let micros = integer(values, row);
                time(micros / 1_000_000, micros % 1_000_000, out);
            }
            Value::Wrapper(value) => {
                let mut inner = Vec::new();
                value.tag(1, &mut inner);
                let payload = inner.len();
                value.write(values, row, field, &mut inner)?;
                if inner[payload..].iter().all(|byte| *byte == 0) {
                    inner.clear();
                }
                prefixed(&inner, out);
            }
        }
        Ok(())
    }
}

fn out_of_range(field: &FieldWrite, number: impl std::fmt::Display) -> DataFusionError {
    spark_error(
        "UNABLE_TO_CONVERT_TO_PROTOBUF_MESSAGE_TYPE",
        format!("{number} is out of the range of the unsigned field {}.", field.name),
    )
}

fn no_value(field: &FieldWrite, descriptor: &EnumDescriptor, value: &str) -> DataFusionError {
    let known: Vec<String> = descriptor.values().map(|value| format!("\"{}\"", value.name())).collect();
    spark_error(
        "CANNOT_CONVERT_SQL_VALUE_TO_PROTOBUF_ENUM_TYPE",
        format!(
            "Cannot convert SQL {} to Protobuf because {value} is not in defined values for enum: {}.",
            field.name,
            known.join(", ")
        ),
    )
}

fn time(seconds: i64, micros: i64, out: &mut Vec<u8>) {
    let mut inner = Vec::new();
    for (number, value) in [(1, seconds), (2, micros * 1_000)] {
        if value != 0 {
            tag(number, 0, &mut inner);
            varint(value as u64, &mut inner);
        }
    }
    prefixed(&inner, out);
}

fn tag(number: u32, wire: u32, out: &mut Vec<u8>) {
    varint(u64::from(number) << 3 | u64::from(wire), out);
}

fn prefixed(bytes: &[u8], out: &mut Vec<u8>) {
    varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

fn varint(mut rest: u64, out: &mut Vec<u8>) {
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Where the message is in its file, as serializers of schema registries write it: the first of a file is a single zero.
pub(super) fn write_index(place: &[i64], out: &mut Vec<u8>) {
    if place == [0] {
        out.push(0);
        return;
    }
    varint(zigzag(place.len() as i64), out);
    place.iter().for_each(|number| varint(zigzag(*number), out));
}
