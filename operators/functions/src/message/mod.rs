//! What messages of every format have in common: what becomes of broken ones, and the header of schema registries.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BinaryBuilder};
use arrow::datatypes::{
    DataType, Date32Type, DurationMicrosecondType, Field, Int8Type, Int16Type, Int32Type, Int64Type, IntervalYearMonthType,
};
use datafusion::error::{DataFusionError, Result};

use crate::error::spark_error;
use crate::function::{Call, Invocation};
use crate::json::Mode;
use crate::json::column::Column;
use crate::json::decode::append_unreadable;
use crate::types::{map_types, sql_name};

/// Why a message can't be read.
#[derive(Debug)]
pub(crate) struct Malformed(pub(crate) String);

/// What reading gives.
pub(crate) type Read<T> = std::result::Result<T, Malformed>;

/// The error for a message that can't be read.
pub(crate) fn malformed<T>(reason: impl Into<String>) -> Read<T> {
    Err(Malformed(reason.into()))
}

/// Takes so many bytes from the front of what is left of a message.
pub(crate) fn take<'a>(rest: &mut &'a [u8], len: usize) -> Read<&'a [u8]> {
    let Some((bytes, after)) = rest.split_at_checked(len) else {
        return malformed(format!("it ends before the {len} bytes of a value"));
    };
    *rest = after;
    Ok(bytes)
}

/// [`take`] of the bytes of a number.
pub(crate) fn take_array<const N: usize>(rest: &mut &[u8]) -> Read<[u8; N]> {
    take(rest, N)?.try_into().map_err(|_| Malformed("a number has too few bytes".to_owned()))
}

/// A format of messages, for errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Avro,
    #[cfg(feature = "protobuf")]
    Protobuf,
}

impl Format {
    fn malformed(self, reason: &Malformed) -> DataFusionError {
        // Spark has a name for it in one of the two.
        let (condition, what) = match self {
            Format::Avro => {
                ("MALFORMED_RECORD_IN_PARSING.WITHOUT_SUGGESTION", "Malformed Avro records are detected in record parsing")
            }
            #[cfg(feature = "protobuf")]
            Format::Protobuf => {
                ("MALFORMED_PROTOBUF_MESSAGE", "Malformed Protobuf messages are detected in message deserialization")
            }
        };
        let advice =
            "Parse Mode: FAILFAST. To process malformed messages as null result, try setting the option 'mode' as 'PERMISSIVE'.";
        spark_error(condition, format!("{what}: {}. {advice}", reason.0))
    }
}

/// Reads each message into a column of this type: null for null; for one that can't be read an error, or, if the mode allows it, null
/// in each field of a struct and null for any other type.
pub(crate) fn read_all(
    format: Format,
    messages: &ArrayRef,
    target: &DataType,
    mode: Mode,
    read: impl Fn(&[u8], &mut Column) -> Read<()>,
) -> Result<ArrayRef> {
    let stored = storage(target);
    let mut column = Column::new(&stored).ok_or_else(|| {
        spark_error("UNSUPPORTED_DATATYPE", format!("Unsupported data type \"{}\" for messages.", sql_name(target)))
    })?;
    for message in binary(messages)?.iter() {
        let Some(message) = message else {
            column.push_null();
            continue;
        };
        let len = column.len();
        if let Err(reason) = read(message, &mut column) {
            if mode == Mode::FailFast {
                return Err(format.malformed(&reason));
            }
            column.truncate(len);
            append_unreadable(&mut column);
        }
    }
    let values = column.finish(&stored)?;
    match stored == *target {
        true => Ok(values),
        false => Ok(arrow::compute::cast(&values, target)?),
    }
}

/// Writes each value as a message, null as null.
pub(crate) fn write_all(values: &ArrayRef, write: impl Fn(&ArrayRef, usize, &mut Vec<u8>) -> Result<()>) -> Result<ArrayRef> {
    let (mut messages, mut message) = (BinaryBuilder::new(), Vec::new());
    for row in 0..values.len() {
        if values.is_null(row) || values.data_type() == &DataType::Null {
            messages.append_null();
            continue;
        }
        message.clear();
        write(values, row, &mut message)?;
        messages.append_value(&message);
    }
    Ok(Arc::new(messages.finish()))
}

fn binary(messages: &ArrayRef) -> Result<BinaryArray> {
    match messages.as_binary_opt::<i32>() {
        Some(messages) => Ok(messages.clone()),
        None => Ok(BinaryArray::new_null(messages.len())),
    }
}

/// The type with plain numbers for intervals, which columns are filled with.
fn storage(data_type: &DataType) -> DataType {
    let of = |field: &Arc<Field>| Arc::new(field.as_ref().clone().with_data_type(storage(field.data_type())));
    match data_type {
        DataType::Duration(_) => DataType::Int64,
        DataType::Interval(_) => DataType::Int32,
        DataType::List(field) => DataType::List(of(field)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(of).collect()),
        DataType::Map(_, _) => match map_types(data_type) {
            Some((key, value)) => crate::types::map(key.clone(), storage(value)),
            None => data_type.clone(),
        },
        other => other.clone(),
    }
}

/// An argument that must be bytes.
pub(crate) fn bytes(call: &Call<'_>, index: usize) -> Result<DataType> {
    match call.data_type(index) {
        DataType::Binary | DataType::Null => Ok(DataType::Binary),
        _ => Err(call.unexpected_type(index, "the \"BINARY\" type")),
    }
}

/// The error for an argument that is not what it must be, in Spark's words for these functions.
pub(crate) fn wrong_argument(call: &Call<'_>, ordinal: &str, what: &str) -> DataFusionError {
    spark_error(
        "DATATYPE_MISMATCH.TYPE_CHECK_FAILURE_WITH_HINT",
        format!(
            "Cannot resolve \"{}\" due to data type mismatch: The {ordinal} argument of the {} SQL function must be {what}.",
            call.sql(),
            call.name.to_uppercase()
        ),
    )
}

/// The types of all arguments, the first as `first`: the others are literals that have been looked at.
pub(crate) fn argument_types(call: &Call<'_>, first: DataType) -> Vec<DataType> {
    std::iter::once(first).chain(call.args.iter().skip(1).map(|arg| arg.data_type.clone())).collect()
}

/// The header that serializers of Confluent's schema registry put before a message: a zero byte and the schema's number in four bytes,
/// the highest first. The registry itself is not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// The number that is written, and the only one that is read if it is given.
    schema_id: Option<u32>,
}

impl Header {
    /// The header that options ask for: `schemaRegistry.wireFormat`, `schemaRegistry.schemaId`.
    ///
    /// # Errors
    /// `INVALID_OPTIONS`, when a value can't be used.
    pub(crate) fn of(options: &[(String, String)]) -> Result<Option<Self>> {
        let wanted = flag(options, "schemaRegistry.wireFormat")?;
        let schema_id = number(options, "schemaRegistry.schemaId")?;
        match (wanted, schema_id) {
            (true, schema_id) => Ok(Some(Header { schema_id })),
            (false, None) => Ok(None),
            (false, Some(_)) => {
                Err(invalid_option("schemaRegistry.schemaId", "it needs the option 'schemaRegistry.wireFormat' to be true"))
            }
        }
    }

    /// The same, for what writes: it needs the number.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub(crate) fn to_write(options: &[(String, String)]) -> Result<Option<Self>> {
        match Header::of(options)? {
            Some(Header { schema_id: None }) => Err(invalid_option(
                "schemaRegistry.wireFormat",
                "to write the header, 'schemaRegistry.schemaId' must say which number the schema has in the registry",
            )),
            header => Ok(header),
        }
    }

    /// What follows the header.
    pub(crate) fn strip(self, message: &[u8]) -> Read<&[u8]> {
        let Some(([magic, id @ ..], rest)) = message.split_first_chunk::<5>() else {
            return malformed("it is shorter than the header of a schema registry");
        };
        let id = u32::from_be_bytes(*id);
        match (*magic, self.schema_id) {
            (0, Some(expected)) if expected != id => malformed(format!("its schema is number {id}, and not {expected}")),
            (0, _) => Ok(rest),
            (magic, _) => malformed(format!("its first byte is {magic}, and not the 0 of a schema registry's header")),
        }
    }

    pub(crate) fn write(self, out: &mut Vec<u8>) {
        out.push(0);
        out.extend_from_slice(&self.schema_id.unwrap_or_default().to_be_bytes());
    }
}

/// The value of an option; names count without regard to case.
pub(crate) fn option<'a>(options: &'a [(String, String)], name: &str) -> Option<&'a str> {
    options.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// An option that is true or false, which it is if it is not given.
pub(crate) fn flag(options: &[(String, String)], name: &str) -> Result<bool> {
    let Some(value) = option(options, name) else { return Ok(false) };
    value.to_ascii_lowercase().parse().map_err(|_| invalid_option(name, "it must be true or false"))
}

/// An option that is a number.
pub(crate) fn number<T: std::str::FromStr>(options: &[(String, String)], name: &str) -> Result<Option<T>> {
    let Some(value) = option(options, name) else { return Ok(None) };
    value.trim().parse().map(Some).map_err(|_| invalid_option(name, &format!("{value} is no number that it can be")))
}

/// The mode of a reader, which fails if nothing else is said.
pub(crate) fn mode(call: &Call<'_>, options: &[(String, String)]) -> Result<Mode> {
    option(options, "mode").map_or(Ok(Mode::FailFast), |name| crate::json::options::mode(call, name))
}

/// The error for an option's value.
pub(crate) fn invalid_option(name: &str, reason: &str) -> DataFusionError {
    spark_error("INVALID_OPTIONS", format!("The option '{name}' can't be used: {reason}."))
}

/// The first argument of an invocation.
pub(crate) fn values(invocation: &Invocation<'_>) -> Result<ArrayRef> {
    invocation.array(0)
}

/// An integer of any width, a date or an interval.
pub(crate) fn integer(values: &ArrayRef, row: usize) -> i64 {
    match values.data_type() {
        DataType::Int8 => i64::from(values.as_primitive::<Int8Type>().value(row)),
        DataType::Int16 => i64::from(values.as_primitive::<Int16Type>().value(row)),
        DataType::Int32 => i64::from(values.as_primitive::<Int32Type>().value(row)),
        DataType::Date32 => i64::from(values.as_primitive::<Date32Type>().value(row)),
        DataType::Interval(_) => i64::from(values.as_primitive::<IntervalYearMonthType>().value(row)),
        DataType::Duration(_) => values.as_primitive::<DurationMicrosecondType>().value(row),
        _ => values.as_primitive::<Int64Type>().value(row),
    }
}

/// A string or bytes.
pub(crate) fn bytes_of(values: &ArrayRef, row: usize) -> &[u8] {
    match values.data_type() {
        DataType::Utf8 => values.as_string::<i32>().value(row).as_bytes(),
        _ => values.as_binary::<i32>().value(row),
    }
}

/// Whether a call's argument is never null: a literal, or a struct that the query itself makes. Spark writes no union with null then.
pub(crate) fn is_never_null(call: &Call<'_>, index: usize) -> bool {
    let Some(arg) = call.args.get(index) else { return false };
    let is_made = ["struct(", "named_struct("].iter().any(|made| arg.sql.to_ascii_lowercase().starts_with(made));
    call.literal(index).is_some() || (is_made && matches!(arg.data_type, DataType::Struct(_)))
}

#[cfg(test)]
pub(crate) mod testing;

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_header_is_written_and_stripped() {
        let given = options(&[("SCHEMAREGISTRY.wireFormat", "TRUE"), ("schemaRegistry.schemaId", "258")]);
        let header = Header::to_write(&given).unwrap().unwrap();
        let mut message = Vec::new();
        header.write(&mut message);
        message.push(7);
        assert_eq!(message, [0, 0, 0, 1, 2, 7]);
        assert_eq!(header.strip(&message).unwrap(), [7]);
        let any = Header::of(&given[..1]).unwrap().unwrap();
        assert_eq!(any.strip(&[0, 9, 9, 9, 9, 7]).unwrap(), [7]);
        for (bytes, reason) in [(&[0, 0, 0, 1][..], "shorter"), (&[1, 0, 0, 1, 2], "first byte is 1"), (&[0; 5], "number 0")] {
            assert!(header.strip(bytes).unwrap_err().0.contains(reason));
        }
    }

    #[test]
    fn options_that_say_too_little_are_refused() {
        let wire = ("schemaRegistry.wireFormat", "true");
        assert!(Header::to_write(&options(&[wire])).is_err());
        assert!(Header::of(&options(&[("schemaRegistry.schemaId", "1")])).is_err());
        assert!(Header::of(&options(&[wire, ("schemaRegistry.schemaId", "-1")])).is_err());
        assert!(Header::of(&options(&[("schemaRegistry.wireFormat", "yes")])).is_err());
        assert_eq!(Header::of(&[]).unwrap(), None);
    }
}
