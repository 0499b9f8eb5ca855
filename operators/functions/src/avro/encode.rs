//! From columns to Avro's bytes, by a plan that was made once for the type and the schema.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Decimal128Type, Fields, Float32Type, Float64Type, IntervalUnit, TimeUnit, TimestampMicrosecondType,
};
use datafusion::error::{DataFusionError, Result};

use super::resolve::widened;
use super::schema::{Definition, FieldSchema, Kind, Logical, Schema, bytes_of, is_name, not_null};
use crate::error::spark_error;
use crate::message::{bytes_of as bytes, integer};
use crate::types::{map_types, sql_name};

/// How a value is written.
#[derive(Debug, Clone)]
pub(super) enum Write {
    Null,
    Boolean,
    /// An integer of any width, a date or an interval.
    Integer,
    /// Microseconds, divided by this.
    Time(i64),
    Float,
    Double,
    /// Text or bytes, with the length before them.
    Bytes,
    /// Bytes of this length.
    Fixed(usize),
    /// A decimal; of so many bytes, or as few as it takes.
    Decimal(Option<usize>),
    /// The number of each symbol.
    Enum(HashMap<String, i64>),
    Array(Box<Write>),
    Map(Box<Write>),
    /// The columns in the order of the schema's fields, and the schema's names.
    Record(Vec<(String, Field)>),
    /// One branch for values and perhaps one for null.
    Union {
        null: Option<i64>,
        value: i64,
        write: Box<Write>,
    },
    /// A struct with a field for each of these branches, of which one is not null.
    Members {
        null: Option<i64>,
        branches: Vec<(i64, Write)>,
    },
}

/// What is written for a field of a record.
#[derive(Debug, Clone)]
pub(super) enum Field {
    /// The value of this column.
    Column(usize, Write),
    /// Null, which is this branch of the schema's union: there is no such column.
    Absent(i64),
}

fn incompatible(reason: &str) -> DataFusionError {
    spark_error("AVRO_INCOMPATIBLE_SCHEMA", format!("The value can't be written as Avro: {reason}."))
}

/// How to write values of a type by a schema.
///
/// # Errors
/// When they don't fit each other; the message says where.
pub(super) fn by_schema(schema: &Schema, data_type: &DataType) -> Result<Write> {
    Matcher { schema }.kind(&schema.root, data_type, "")
}

/// How to write values of a type by the schema that Spark makes for it.
///
/// # Errors
/// When Avro has nothing for a type, or a field's name is none in Avro.
pub(super) fn by_type(data_type: &DataType, nullable: bool) -> Result<Write> {
    let inner = |data_type| by_type(data_type, true).map(Box::new);
    let write = match data_type {
        DataType::Null => return Ok(Write::Null),
        DataType::Decimal128(precision, _) => Write::Decimal(Some(bytes_of(*precision))),
        DataType::List(items) => Write::Array(inner(items.data_type())?),
        DataType::Map(_, _) => match map_types(data_type) {
            Some((DataType::Utf8, values)) => Write::Map(inner(values)?),
            _ => return Err(incompatible("the keys of a map must be strings")),
        },
        DataType::Struct(fields) => {
            let mut writes = Vec::with_capacity(fields.len());
            for (at, field) in fields.iter().enumerate() {
                if !is_name(field.name()) {
                    return Err(incompatible(&format!("'{}' is no name in Avro; give the field another one", field.name())));
                }
                writes.push((field.name().clone(), Field::Column(at, by_type(field.data_type(), true)?)));
            }
            Write::Record(writes)
        }
        other => scalar(other).ok_or_else(|| incompatible(&format!("there is no Avro type for {}", sql_name(other))))?,
    };
    Ok(match nullable {
        true => Write::Union { null: Some(1), value: 0, write: Box::new(write) },
        false => write,
    })
}

fn scalar(data_type: &DataType) -> Option<Write> {
    Some(match data_type {
        DataType::Boolean => Write::Boolean,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Date32 => Write::Integer,
        DataType::Duration(TimeUnit::Microsecond) | DataType::Interval(IntervalUnit::YearMonth) => Write::Integer,
        DataType::Timestamp(TimeUnit::Microsecond, _) => Write::Time(1),
        DataType::Float32 => Write::Float,
        DataType::Float64 => Write::Double,
        DataType::Utf8 | DataType::Binary => Write::Bytes,
        _ => return None,
    })
}

struct Matcher<'a> {
    schema: &'a Schema,
}

impl Matcher<'_> {
    fn kind(&self, kind: &Kind, data_type: &DataType, path: &str) -> Result<Write> {
        let mismatch = || {
            let place = if path.is_empty() { String::new() } else { format!(" at field '{path}'") };
            incompatible(&format!("{} does not fit the schema's {}{place}", sql_name(data_type), self.schema.name_of(kind)))
        };
        Ok(match (kind, data_type) {
            (Kind::Null, DataType::Null) => Write::Null,
            (Kind::Union(branches), _) => self.union(branches, data_type, path)?,
            (Kind::Boolean, DataType::Boolean) => Write::Boolean,
            (Kind::Int(_), DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Date32 | DataType::Interval(_)) => {
                Write::Integer
            }
            (Kind::Long(_), DataType::Int64 | DataType::Duration(_)) => Write::Integer,
            // A plain long is of milliseconds, as in Spark.
            (Kind::Long(Logical::None | Logical::TimestampMillis), DataType::Timestamp(_, Some(_)))
            | (Kind::Long(Logical::None | Logical::LocalTimestampMillis), DataType::Timestamp(_, None)) => Write::Time(1_000),
            (Kind::Long(Logical::TimestampMicros), DataType::Timestamp(_, Some(_)))
            | (Kind::Long(Logical::LocalTimestampMicros), DataType::Timestamp(_, None)) => Write::Time(1),
            (Kind::Float, DataType::Float32) => Write::Float,
            (Kind::Double, DataType::Float64) => Write::Double,
            (Kind::Bytes(Logical::Decimal(p, s)), DataType::Decimal128(precision, scale)) if (p, s) == (precision, scale) => {
                Write::Decimal(None)
            }
            (Kind::Bytes(_), DataType::Binary) | (Kind::Text, DataType::Utf8) => Write::Bytes,
            (Kind::Array(items), DataType::List(field)) => {
                Write::Array(Box::new(self.kind(items, field.data_type(), &under(path, "element"))?))
            }
            (Kind::Map(kind), DataType::Map(_, _)) => match map_types(data_type) {
                Some((DataType::Utf8, value)) => Write::Map(Box::new(self.kind(kind, value, &under(path, "value"))?)),
                _ => return Err(mismatch()),
            },
            (Kind::Named(place), _) => match (&self.schema.named(*place).definition, data_type) {
                (Definition::Record(fields), DataType::Struct(columns)) => self.record(fields, columns, path)?,
                (Definition::Enum { symbols, .. }, DataType::Utf8) => Write::Enum(symbols.iter().cloned().zip(0..).collect()),
                (Definition::Fixed { size, logical: Logical::Decimal(p, s) }, DataType::Decimal128(precision, scale))
                    if (p, s) == (precision, scale) =>
                {
                    Write::Decimal(Some(*size))
                }
                (Definition::Fixed { size, .. }, DataType::Binary) => Write::Fixed(*size),
                _ => return Err(mismatch()),
            },
            _ => return Err(mismatch()),
        })
    }

    fn record(&self, fields: &[FieldSchema], columns: &Fields, path: &str) -> Result<Write> {
        let is_called = |name: &str, field: &FieldSchema| field.name.eq_ignore_ascii_case(name);
        if let Some(extra) = columns.iter().find(|column| !fields.iter().any(|field| is_called(column.name(), field))) {
            return Err(incompatible(&format!("the schema has no field '{}'", under(path, extra.name()))));
        }
        let mut writes = Vec::with_capacity(fields.len());
        for field in fields {
            let path = under(path, &field.name);
            let found = columns.iter().enumerate().filter(|(_, column)| is_called(column.name(), field)).collect::<Vec<_>>();
            let write = match found[..] {
                [(at, column)] => Field::Column(at, self.kind(&field.kind, column.data_type(), &path)?),
                [] => match null_branch(&field.kind) {
                    Some(null) => Field::Absent(null),
                    None => return Err(incompatible(&format!("the field '{path}' is missing, and it can't be null"))),
                },
                _ => return Err(incompatible(&format!("there are several fields '{path}'"))),
            };
            writes.push((field.name.clone(), write));
        }
        Ok(Write::Record(writes))
    }

    fn union(&self, branches: &[Kind], data_type: &DataType, path: &str) -> Result<Write> {
        let number = |kind: &Kind| branches.iter().position(|branch| branch == kind).unwrap_or_default() as i64;
        let null = branches.iter().position(|branch| *branch == Kind::Null).map(|at| at as i64);
        let types = not_null(branches);
        match (&types[..], data_type) {
            ([], DataType::Null) => Ok(Write::Union { null, value: 0, write: Box::new(Write::Null) }),
            ([one], _) => {
                let write = Box::new(self.kind(one, data_type, path)?);
                Ok(Write::Union { null, value: number(one), write })
            }
            ([one, other], DataType::Int64 | DataType::Float64) if widened(one, other).as_ref() == Some(data_type) => {
                let wide = if matches!(one, Kind::Long(_) | Kind::Double) { one } else { other };
                let write = Box::new(self.kind(wide, data_type, path)?);
                Ok(Write::Union { null, value: number(wide), write })
            }
            (types, DataType::Struct(members)) => {
                let names = (0..types.len()).map(|at| format!("member{at}"));
                if !members.iter().map(|member| member.name().clone()).eq(names) {
                    return Err(incompatible(&format!(
                        "the struct for the union '{path}' must have the fields member0 to member{}",
                        types.len().saturating_sub(1)
                    )));
                }
                let write = |(kind, member): (&&Kind, &std::sync::Arc<arrow::datatypes::Field>)| {
                    Ok((number(kind), self.kind(kind, member.data_type(), &under(path, member.name()))?))
                };
                Ok(Write::Members { null, branches: types.iter().zip(members).map(write).collect::<Result<_>>()? })
            }
            _ => Err(incompatible(&format!("{} does not fit the union at '{path}'", sql_name(data_type)))),
        }
    }
}

fn null_branch(kind: &Kind) -> Option<i64> {
    match kind {
        Kind::Union(branches) => branches.iter().position(|branch| *branch == Kind::Null).map(|at| at as i64),
        _ => None,
    }
}

fn under(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

impl Write {
    /// Appends the value of a row, which is of the type that the plan was made for.
    ///
    /// # Errors
    /// `AVRO_CANNOT_WRITE_NULL_FIELD`; or when a value doesn't fit the schema.
    pub(super) fn value(&self, values: &ArrayRef, row: usize, out: &mut Vec<u8>) -> Result<()> {
        if values.is_null(row) {
            return match self {
                Write::Null => Ok(()),
                Write::Union { null: Some(null), .. } | Write::Members { null: Some(null), .. } => {
                    write_varint(*null, out);
                    Ok(())
                }
                _ => Err(null_value("a value")),
            };
        }
        match self {
            Write::Null => {}
            Write::Boolean => out.push(u8::from(values.as_boolean().value(row))),
            Write::Integer => write_varint(integer(values, row), out),
            Write::Time(divisor) => {
                write_varint(values.as_primitive::<TimestampMicrosecondType>().value(row).div_euclid(*divisor), out);
            }
            Write::Float => out.extend_from_slice(&values.as_primitive::<Float32Type>().value(row).to_le_bytes()),
            Write::Double => out.extend_from_slice(&values.as_primitive::<Float64Type>().value(row).to_le_bytes()),
            Write::Bytes => {
                let bytes = bytes(values, row);
                write_varint(bytes.len() as i64, out);
                out.extend_from_slice(bytes);
            }
            Write::Fixed(size) => {
                let bytes = bytes(values, row);
                if bytes.len() != *size {
                    return Err(incompatible(&format!("{} bytes do not fit a fixed type of {size} bytes", bytes.len())));
                }
                out.extend_from_slice(bytes);
            }
            Write::Decimal(size) => decimal(values.as_primitive::<Decimal128Type>().value(row), *size, out)?,
            Write::Enum(symbols) => {
                let symbol = values.as_string::<i32>().value(row);
                let Some(number) = symbols.get(symbol) else {
                    return Err(incompatible(&format!("\"{symbol}\" is no symbol of the schema's enum")));
                };
                write_varint(*number, out);
            }
            Write::Array(items) => {
                let elements = values.as_list::<i32>().value(row);
                if !elements.is_empty() {
                    write_varint(elements.len() as i64, out);
                }
                (0..elements.len()).try_for_each(|at| items.value(&elements, at, out))?;
                out.push(0);
            }
            Write::Map(write) => {
                let entries = values.as_map().value(row);
                let (keys, values) = (entries.column(0), entries.column(1));
                if !keys.is_empty() {
                    write_varint(keys.len() as i64, out);
                }
                for at in 0..keys.len() {
                    Write::Bytes.value(keys, at, out)?;
                    write.value(values, at, out)?;
                }
                out.push(0);
            }
            Write::Record(fields) => {
                let columns = values.as_struct();
                for (name, field) in fields {
                    match field {
                        Field::Absent(null) => write_varint(*null, out),
                        Field::Column(at, write) if columns.column(*at).is_null(row) && !write.takes_null() => {
                            return Err(null_value(&format!("the field `{name}`")));
                        }
                        Field::Column(at, write) => write.value(columns.column(*at), row, out)?,
                    }
                }
            }
            Write::Union { value, write, .. } => {
                write_varint(*value, out);
                write.value(values, row, out)?;
            }
            Write::Members { null, branches } => {
                let columns = values.as_struct();
                let mut set = branches.iter().enumerate().filter(|(at, _)| columns.column(*at).is_valid(row));
                match (set.next(), null) {
                    (Some((at, (number, write))), _) => {
                        write_varint(*number, out);
                        write.value(columns.column(at), row, out)?;
                    }
                    (None, Some(null)) => write_varint(*null, out),
                    (None, None) => return Err(null_value("a union")),
                }
            }
        }
        Ok(())
    }

    fn takes_null(&self) -> bool {
        matches!(self, Write::Null | Write::Union { null: Some(_), .. } | Write::Members { null: Some(_), .. })
    }
}

fn null_value(what: &str) -> DataFusionError {
    spark_error(
        "AVRO_CANNOT_WRITE_NULL_FIELD",
        format!(
            "Cannot write null value for {what} defined as non-null Avro data type. To allow null value, specify its Avro schema as a union \
             type with \"null\" using the argument jsonFormatSchema."
        ),
    )
}

/// In two's complement, the highest byte first; in as few bytes as it takes, if their number is not fixed.
fn decimal(number: i128, size: Option<usize>, out: &mut Vec<u8>) -> Result<()> {
    let bytes = number.to_be_bytes();
    let fill = if number < 0 { 0xff } else { 0 };
    let is_sign = |at: usize| bytes[at] == fill && (bytes[at + 1] ^ fill) & 0x80 == 0;
    let first = (0..15).find(|at| !is_sign(*at)).unwrap_or(15);
    let least = &bytes[first..];
    match size {
        Some(size) if size < least.len() => {
            return Err(incompatible(&format!("a decimal of {} bytes does not fit into {size}", least.len())));
        }
        Some(size) => out.resize(out.len() + size - least.len(), fill),
        None => write_varint(least.len() as i64, out),
    }
    out.extend_from_slice(least);
    Ok(())
}

/// A number as Avro writes it: the lowest bits first, the sign in the lowest.
pub(super) fn write_varint(number: i64, out: &mut Vec<u8>) {
    let mut rest = ((number << 1) ^ (number >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}
