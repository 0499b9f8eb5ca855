//! Spark's types for Protobuf's.

use std::collections::HashMap;

use arrow::datatypes::DataType;
use datafusion::error::Result;
use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, Syntax, Value};

use crate::error::spark_error;
use crate::message::{flag, invalid_option, number};
use crate::types::{DAY_TIME_INTERVAL, list, map, structure, timestamp};

/// The deepest that messages may hold themselves: `recursive.fields.max.depth`.
const MAX_DEPTH: i64 = 10;

/// How types are mapped and values are read.
#[derive(Debug, Clone, Default)]
pub(super) struct Mapping {
    recursion: Option<usize>,
    emit_defaults: bool,
    enums_as_ints: bool,
    upcast: bool,
    unwrap: bool,
    keep_empty: bool,
}

impl Mapping {
    pub(super) fn of(options: &[(String, String)]) -> Result<Self> {
        let depth: Option<i64> = number(options, "recursive.fields.max.depth")?;
        if let Some(depth) = depth.filter(|depth| *depth > MAX_DEPTH) {
            let reason = format!("{depth} is more than the {MAX_DEPTH} that it can be");
            return Err(invalid_option("recursive.fields.max.depth", &reason));
        }
        if flag(options, "convert.any.fields.to.json")? {
            return Err(invalid_option("convert.any.fields.to.json", "it is not supported"));
        }
        Ok(Mapping {
            recursion: depth.and_then(|depth| usize::try_from(depth).ok()).filter(|depth| *depth > 0),
            emit_defaults: flag(options, "emit.default.values")?,
            enums_as_ints: flag(options, "enums.as.ints")?,
            upcast: flag(options, "upcast.unsigned.ints")?,
            unwrap: flag(options, "unwrap.primitive.wrapper.types")?,
            keep_empty: flag(options, "retain.empty.message.types")?,
        })
    }
}

/// The fields of a message that become columns.
#[derive(Debug, Clone)]
pub(super) struct MessageShape {
    pub(super) fields: Vec<FieldShape>,
    /// The field of each number.
    pub(super) by_number: HashMap<u32, usize>,
    /// The number of a field that must be there and is no column: it is in a message that is left out.
    pub(super) required: Vec<(u32, String)>,
    /// Whether there is only a column that holds the place of none.
    pub(super) is_empty: bool,
}

/// A field.
#[derive(Debug, Clone)]
pub(super) struct FieldShape {
    pub(super) name: String,
    pub(super) shape: Shape,
    pub(super) many: Many,
    pub(super) required: bool,
    /// Whether zero is a value like any other, and not the same as none.
    pub(super) presence: bool,
    /// Of the fields of which one is set, as a number.
    pub(super) oneof: Option<String>,
    /// What is read if nothing was written.
    pub(super) default: Option<Value>,
}

/// How many values a field has.
#[derive(Debug, Clone)]
pub(super) enum Many {
    One,
    List,
    /// The type of its keys.
    Map(Shape),
}

/// A value.
#[derive(Debug, Clone)]
pub(super) enum Shape {
    Bool,
    /// `int32`, `int64`.
    Varint,
    /// `sint32`, `sint64`.
    ZigZag,
    /// `uint32`, or `uint64`, read as wide as they are.
    Unsigned,
    Fixed32,
    Fixed64,
    Float,
    Double,
    Text,
    Bytes,
    Enum(EnumDescriptor),
    Message(MessageShape),
    Group(MessageShape),
    Timestamp,
    Duration,
    /// A message with this value as its field 1.
    Wrapper(Box<Shape>),
}

/// The type of a message and how it is read.
pub(super) fn of(message: &MessageDescriptor, mapping: &Mapping) -> Result<(DataType, MessageShape)> {
    let around = HashMap::from([(message.full_name().to_owned(), 1)]);
    let (data_type, shape) = fields(message, mapping, &around)?;
    match data_type {
        DataType::Struct(fields) if fields.is_empty() => Ok(placeholder(shape, mapping.keep_empty)),
        data_type => Ok((data_type, shape)),
    }
}

/// Spark has no structs without fields: a column that is null holds the place.
fn placeholder(shape: MessageShape, wanted: bool) -> (DataType, MessageShape) {
    match wanted {
        true => {
            let data_type = structure([("__dummy_field_in_empty_struct", DataType::Utf8)]);
            (data_type, MessageShape { is_empty: true, ..shape })
        }
        false => (structure([("", DataType::Null); 0]), shape),
    }
}

/// How often each message is around the place that is looked at.
type Around = HashMap<String, usize>;

/// The fields of a message, in the order in which they are declared.
pub(super) fn declared(message: &MessageDescriptor) -> impl Iterator<Item = FieldDescriptor> {
    message.descriptor_proto().field.iter().filter_map(|field| message.get_field_by_name(field.name()))
}

fn fields(message: &MessageDescriptor, mapping: &Mapping, around: &Around) -> Result<(DataType, MessageShape)> {
    let (mut types, mut shapes, mut by_number, mut required) = (Vec::new(), Vec::new(), HashMap::new(), Vec::new());
    for field in declared(message) {
        let Some((data_type, shape, many)) = typed(&field, mapping, around)? else {
            if field.is_required() {
                required.push((field.number(), field.name().to_owned()));
            }
            continue;
        };
        by_number.insert(field.number(), shapes.len());
        types.push((field.name().to_owned(), data_type));
        shapes.push(FieldShape {
            name: field.name().to_owned(),
            shape,
            many,
            required: field.is_required(),
            presence: field.supports_presence(),
            oneof: field.containing_oneof().map(|oneof| oneof.name().to_owned()),
            default: default(&field, mapping),
        });
    }
    Ok((structure(types), MessageShape { fields: shapes, by_number, required, is_empty: false }))
}

/// What is read for a field that was not written: what its own declaration says (proto2), or zero for a field that can't say whether
/// it was, if that is wanted.
fn default(field: &FieldDescriptor, mapping: &Mapping) -> Option<Value> {
    let is_declared = field.field_descriptor_proto().default_value.is_some();
    let is_zero = mapping.emit_defaults && !field.supports_presence();
    (!field.is_list() && !field.is_map() && (is_declared || is_zero)).then(|| field.default_value())
}

/// The type of a field's column; `None` for what is left out because it is a message in itself too often, or has no fields.
fn typed(field: &FieldDescriptor, mapping: &Mapping, around: &Around) -> Result<Option<(DataType, Shape, Many)>> {
    if field.is_map()
        && let Kind::Message(entry) = field.kind()
    {
        let key = value(&entry.map_entry_key_field(), mapping, around)?;
        let value = value(&entry.map_entry_value_field(), mapping, around)?;
        return Ok(match (key, value) {
            (Some((key_type, key)), Some((value_type, value))) => Some((map(key_type, value_type), value, Many::Map(key))),
            _ => None,
        });
    }
    let one = value(field, mapping, around)?;
    Ok(one.map(|(data_type, shape)| match field.is_list() {
        true => (list(data_type), shape, Many::List),
        false => (data_type, shape, Many::One),
    }))
}

fn value(field: &FieldDescriptor, mapping: &Mapping, around: &Around) -> Result<Option<(DataType, Shape)>> {
    Ok(Some(match field.kind() {
        Kind::Double => (DataType::Float64, Shape::Double),
        Kind::Float => (DataType::Float32, Shape::Float),
        Kind::Int32 => (DataType::Int32, Shape::Varint),
        Kind::Int64 => (DataType::Int64, Shape::Varint),
        Kind::Uint32 if mapping.upcast => (DataType::Int64, Shape::Unsigned),
        Kind::Uint64 if mapping.upcast => (DataType::Decimal128(20, 0), Shape::Unsigned),
        Kind::Uint32 => (DataType::Int32, Shape::Varint),
        Kind::Uint64 => (DataType::Int64, Shape::Varint),
        Kind::Sint32 => (DataType::Int32, Shape::ZigZag),
        Kind::Sint64 => (DataType::Int64, Shape::ZigZag),
        Kind::Fixed32 | Kind::Sfixed32 => (DataType::Int32, Shape::Fixed32),
        Kind::Fixed64 | Kind::Sfixed64 => (DataType::Int64, Shape::Fixed64),
        Kind::Bool => (DataType::Boolean, Shape::Bool),
        Kind::String => (DataType::Utf8, Shape::Text),
        Kind::Bytes => (DataType::Binary, Shape::Bytes),
        Kind::Enum(descriptor) if mapping.enums_as_ints => (DataType::Int32, Shape::Enum(descriptor)),
        Kind::Enum(descriptor) => (DataType::Utf8, Shape::Enum(descriptor)),
        Kind::Message(message) => return nested(field, &message, mapping, around),
    }))
}

fn nested(
    field: &FieldDescriptor,
    message: &MessageDescriptor,
    mapping: &Mapping,
    around: &Around,
) -> Result<Option<(DataType, Shape)>> {
    if is_time(message, "Timestamp") {
        return Ok(Some((timestamp(), Shape::Timestamp)));
    }
    if is_time(message, "Duration") {
        return Ok(Some((DAY_TIME_INTERVAL, Shape::Duration)));
    }
    if let Some(inner) = wrapped(message).filter(|_| mapping.unwrap) {
        let inner = value(&inner, mapping, around)?;
        return Ok(inner.map(|(data_type, shape)| (data_type, Shape::Wrapper(Box::new(shape)))));
    }
    let depth = around.get(message.full_name()).copied().unwrap_or(0);
    match mapping.recursion {
        None if depth > 0 => {
            return Err(spark_error(
                "RECURSIVE_PROTOBUF_SCHEMA",
                format!(
                    "Found recursive reference in Protobuf schema, which can not be processed by default: {}. Try setting the option \
                     `recursive.fields.max.depth` 1 to {MAX_DEPTH}. Going beyond {MAX_DEPTH} levels of recursion is not allowed.",
                    field.full_name()
                ),
            ));
        }
        Some(max) if depth >= max && depth > 0 => return Ok(None),
        _ => {}
    }
    let mut inside = around.clone();
    inside.insert(message.full_name().to_owned(), depth + 1);
    let (data_type, shape) = fields(message, mapping, &inside)?;
    let (data_type, shape) = match &data_type {
        DataType::Struct(fields) if fields.is_empty() && !mapping.keep_empty => return Ok(None),
        DataType::Struct(fields) if fields.is_empty() => placeholder(shape, true),
        _ => (data_type, shape),
    };
    Ok(Some((data_type, if field.is_group() { Shape::Group(shape) } else { Shape::Message(shape) })))
}

/// Whether it is one of the two types of time, which Spark knows by their names and fields.
pub(super) fn is_time(message: &MessageDescriptor, name: &str) -> bool {
    message.name() == name && declared(message).map(|field| field.name().to_owned()).eq(["seconds", "nanos"])
}

/// The value of a wrapper such as `google.protobuf.Int32Value`.
pub(super) fn wrapped(message: &MessageDescriptor) -> Option<FieldDescriptor> {
    const WRAPPERS: [&str; 9] = ["Bool", "Int32", "UInt32", "Int64", "UInt64", "String", "Bytes", "Float", "Double"];
    let kind = message.full_name().strip_prefix("google.protobuf.")?.strip_suffix("Value")?;
    WRAPPERS.contains(&kind).then(|| message.get_field(1)).flatten()
}

/// Whether values that an enum does not name are no values of it.
pub(super) fn is_closed(descriptor: &EnumDescriptor) -> bool {
    descriptor.parent_file().syntax() == Syntax::Proto2
}
