//! JSON text and values.
//!
//! A text is parsed into a `document`; a `path` looks for parts of it, `decode` reads it by a type, `schema` infers a type
//! from it, and `encode` writes values as text.

pub(crate) mod column;
pub(crate) mod decode;
mod document;
pub(crate) mod encode;
mod infer;
pub(crate) mod options;
mod path;
mod schema;
mod write;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int32Array, ListBuilder, NullArray, StringArray, StringBuilder, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::DataType;
use datafusion::error::Result;

pub use decode::decode_json;
pub use encode::{Encoder, encode_json};
pub use infer::JsonInference;
pub use options::{Mode, Options};
pub use schema::{InferenceRules, IsTimestamp};

use crate::datetime::pattern::Pattern;
use crate::error::spark_error;
use crate::function::{Arity, Call, Function, Invocation, Resolved};
use crate::types::{element, list, map_types, parse, parse_schema, sql_name, structure};
use decode::texts;
use document::{Kind, Parsed, Parser, Syntax, Value};
use encode::can_encode;
use path::Path;
use schema::Inferred;
use write::{Astral, Generator};

/// The functions of this family.
pub(crate) const FUNCTIONS: &[Function] = &[
    Function { names: &["get_json_object"], arity: Arity::exactly(2), resolve: get_json_object },
    Function { names: &["json_array_length"], arity: Arity::exactly(1), resolve: json_array_length },
    Function { names: &["json_object_keys"], arity: Arity::exactly(1), resolve: json_object_keys },
    Function { names: &["from_json"], arity: Arity::between(2, 3), resolve: from_json },
    Function { names: &["to_json"], arity: Arity::between(1, 2), resolve: to_json },
    Function { names: &["schema_of_json"], arity: Arity::between(1, 2), resolve: schema_of_json },
];

/// `json_tuple(json, name, …)` gives several rows' worth of columns, as generators do: an array of one struct.
pub(crate) const JSON_TUPLE: Function =
    Function { names: &["json_tuple"], arity: Arity { min: 2, max: usize::MAX }, resolve: json_tuple };

/// An argument that must be a string already: numbers are not cast for these functions.
pub(crate) fn string(call: &Call<'_>, index: usize) -> Result<DataType> {
    match call.data_type(index) {
        DataType::Utf8 | DataType::Null => Ok(DataType::Utf8),
        _ => Err(call.unexpected_type(index, "the \"STRING\" type")),
    }
}

/// Hands the parsed value of each text to `take`; `None` for null and for what is no JSON.
fn each_value(invocation: &Invocation<'_>, mut take: impl FnMut(usize, Option<Value<'_>>)) -> Result<()> {
    let texts = texts(&invocation.array(0)?)?;
    let mut parser = Parser::new(Syntax::QUERY);
    for (row, text) in texts.iter().enumerate() {
        take(row, text.and_then(|text| parser.value(text)));
    }
    Ok(())
}

fn get_json_object(call: &Call<'_>) -> Result<Resolved> {
    let args = vec![string(call, 0)?, string(call, 1)?];
    let fixed = call.literal_str(1).map(Path::parse);
    Ok(Resolved::new(args, DataType::Utf8, move |invocation| match &fixed {
        Some(path) => find(invocation, |_, value, out| path.as_ref().is_some_and(|path| path.evaluate(value, out))),
        None => {
            let paths = texts(&invocation.array(1)?)?;
            let path = |row: usize| if paths.is_null(row) { None } else { Path::parse(paths.value(row)) };
            find(invocation, |row, value, out| path(row).is_some_and(|path| path.evaluate(value, out)))
        }
    }))
}

fn find(invocation: &Invocation<'_>, mut evaluate: impl FnMut(usize, Value<'_>, &mut Generator) -> bool) -> Result<ArrayRef> {
    let mut found = StringBuilder::new();
    let mut out = Generator::new(Astral::Escaped);
    each_value(invocation, |row, value| {
        out.clear();
        match value.is_some_and(|value| evaluate(row, value, &mut out)) {
            true => found.append_value(&out.out),
            false => found.append_null(),
        }
    })?;
    Ok(Arc::new(found.finish()))
}

fn json_array_length(call: &Call<'_>) -> Result<Resolved> {
    Ok(Resolved::new(vec![string(call, 0)?], DataType::Int32, |invocation| {
        let mut lengths = Vec::with_capacity(invocation.rows);
        each_value(invocation, |_, value| {
            let array = value.filter(|value| value.kind() == Kind::Array);
            lengths.push(array.map(|array| array.elements().count() as i32));
        })?;
        Ok(Arc::new(Int32Array::from(lengths)))
    }))
}

fn json_object_keys(call: &Call<'_>) -> Result<Resolved> {
    Ok(Resolved::new(vec![string(call, 0)?], list(DataType::Utf8), |invocation| {
        let mut keys = ListBuilder::new(StringBuilder::new()).with_field(element(DataType::Utf8));
        each_value(invocation, |_, value| {
            let object = value.filter(|value| value.kind() == Kind::Object);
            for (key, _) in object.into_iter().flat_map(Value::fields) {
                keys.values().append_option(key.string());
            }
            keys.append(object.is_some());
        })?;
        Ok(Arc::new(keys.finish()))
    }))
}

fn json_tuple(call: &Call<'_>) -> Result<Resolved> {
    if call.args.iter().any(|arg| arg.data_type != DataType::Utf8) {
        return Err(spark_error(
            "DATATYPE_MISMATCH.NON_STRING_TYPE",
            format!(
                "Cannot resolve \"{}\" due to data type mismatch: all arguments of the function `json_tuple` must be strings.",
                call.sql()
            ),
        ));
    }
    let columns = call.len() - 1;
    let row = structure((0..columns).map(|column| (format!("c{column}"), DataType::Utf8)));
    Ok(Resolved::new(vec![DataType::Utf8; call.len()], list(row.clone()), move |invocation| {
        let names = (1..=columns).map(|arg| texts(&invocation.array(arg)?)).collect::<Result<Vec<_>>>()?;
        let mut found: Vec<StringBuilder> = names.iter().map(|_| StringBuilder::new()).collect();
        let mut out = Generator::new(Astral::Escaped);
        each_value(invocation, |row, value| tuple(row, value, &names, &mut found, &mut out))?;
        let DataType::Struct(fields) = &row else { return Ok(Arc::new(NullArray::new(invocation.rows))) };
        let arrays = found.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef).collect();
        let rows = StructArray::try_new(fields.clone(), arrays, None)?;
        let ends = OffsetBuffer::from_lengths(std::iter::repeat_n(1, invocation.rows));
        Ok(Arc::new(arrow::array::ListArray::try_new(element(row.clone()), ends, Arc::new(rows), None)?))
    }))
}

/// Adds to each column the last field of its name that is not null.
fn tuple(row: usize, value: Option<Value<'_>>, names: &[StringArray], found: &mut [StringBuilder], out: &mut Generator) {
    let mut values: Vec<Option<Value<'_>>> = vec![None; names.len()];
    for (key, field) in value.into_iter().flat_map(Value::fields).filter(|(_, field)| field.kind() != Kind::Null) {
        for (names, slot) in names.iter().zip(&mut values) {
            if names.is_valid(row) && key.is(names.value(row)) {
                *slot = Some(field);
            }
        }
    }
    let texts: Vec<Option<String>> = values.into_iter().map(|value| value.map(|value| text_of(value, out))).collect();
    for (column, text) in found.iter_mut().zip(texts) {
        // Half of a surrogate pair makes the text as a whole unreadable.
        column.append_option(text.filter(|_| !out.torn));
    }
    out.torn = false;
}

fn text_of(value: Value<'_>, out: &mut Generator) -> String {
    let torn = out.torn;
    out.clear();
    match value.kind() {
        Kind::Text | Kind::Escaped => out.raw(value),
        _ => out.copy(value),
    }
    out.torn |= torn;
    std::mem::take(&mut out.out)
}

fn from_json(call: &Call<'_>) -> Result<Resolved> {
    let text = string(call, 0)?;
    let target = schema_argument(call, 1)?;
    let options = Options::of(call, 2, Pattern::to_parse)?;
    check_target(call, &target, &options)?;
    let fail_fast = options.mode == Mode::FailFast;
    let mut args = vec![text, call.data_type(1).clone()];
    args.extend(call.args.get(2).map(|arg| arg.data_type.clone()));
    let (returns, target) = (target.clone(), target);
    let resolved = Resolved::new(args, returns, move |invocation| decode_json(&texts(&invocation.array(0)?)?, &target, &options));
    Ok(if fail_fast { resolved.fallible() } else { resolved })
}

/// The type that a literal argument names: `a INT, b STRING`, `ARRAY<INT>`.
pub(crate) fn schema_argument(call: &Call<'_>, index: usize) -> Result<DataType> {
    let Some(text) = call.literal_str(index) else {
        let message = format!(
            "The input schema \"{}\" is not a valid schema string. The input expression must be string literal and not null.",
            call.args[index].sql
        );
        return Err(spark_error("INVALID_SCHEMA.NON_STRING_LITERAL", message));
    };
    match parse(text) {
        Ok(data_type) => Ok(data_type),
        Err(_) => parse_schema(text).map(DataType::Struct),
    }
}

fn invalid_schema(call: &Call<'_>, data_type: &DataType) -> datafusion::error::DataFusionError {
    spark_error(
        "DATATYPE_MISMATCH.INVALID_JSON_SCHEMA",
        format!(
            "Cannot resolve \"{}\" due to data type mismatch: Input schema \"{}\" must be a struct, an array, a map or a variant.",
            call.sql(),
            sql_name(data_type)
        ),
    )
}

fn check_target(call: &Call<'_>, target: &DataType, options: &Options) -> Result<()> {
    match target {
        DataType::List(_) | DataType::Map(_, _) => {}
        DataType::Struct(fields) => {
            let corrupt = fields.iter().find(|field| *field.name() == options.corrupt_record);
            if let Some(field) = corrupt.filter(|field| field.data_type() != &DataType::Utf8) {
                let message = format!(
                    "The column `{}` for corrupt records must have the nullable STRING type, but got \"{}\".",
                    field.name(),
                    sql_name(field.data_type())
                );
                return Err(spark_error("INVALID_CORRUPT_RECORD_TYPE", message));
            }
        }
        _ => return Err(invalid_schema(call, target)),
    }
    check_keys(call, target)?;
    column::Column::new(target).map(|_| ()).ok_or_else(|| decode::unsupported(target))
}

/// Keys of objects are strings.
fn check_keys(call: &Call<'_>, data_type: &DataType) -> Result<()> {
    match data_type {
        DataType::List(field) => check_keys(call, field.data_type()),
        DataType::Struct(fields) => fields.iter().try_for_each(|field| check_keys(call, field.data_type())),
        DataType::Map(_, _) => match map_types(data_type) {
            Some((DataType::Utf8, value)) => check_keys(call, value),
            _ => Err(spark_error(
                "DATATYPE_MISMATCH.INVALID_JSON_MAP_KEY_TYPE",
                format!(
                    "Cannot resolve \"{}\" due to data type mismatch: Input schema \"{}\" can only contain STRING as a key type for a MAP.",
                    call.sql(),
                    sql_name(data_type)
                ),
            )),
        },
        _ => Ok(()),
    }
}

fn to_json(call: &Call<'_>) -> Result<Resolved> {
    let encoder = Encoder::new(&Options::of(call, 1, Pattern::to_format)?)?;
    let data_type = call.data_type(0);
    match data_type {
        DataType::List(_) | DataType::Map(_, _) | DataType::Struct(_) | DataType::Null if can_encode(data_type) => {}
        _ => return Err(invalid_schema(call, data_type)),
    }
    let args = call.args.iter().map(|arg| arg.data_type.clone()).collect();
    Ok(Resolved::new(args, DataType::Utf8, move |invocation| {
        let values = invocation.array(0)?;
        let (mut texts, mut text) = (StringBuilder::new(), String::new());
        for row in 0..values.len() {
            if values.is_null(row) || values.data_type() == &DataType::Null {
                texts.append_null();
                continue;
            }
            text.clear();
            encode_json(&values, row, &mut text, &encoder)?;
            texts.append_value(&text);
        }
        Ok(Arc::new(texts.finish()))
    }))
}

fn schema_of_json(call: &Call<'_>) -> Result<Resolved> {
    string(call, 0)?;
    let _checked = Options::of(call, 1, Pattern::to_parse)?;
    if call.data_type(0) == &DataType::Null || call.args[0].literal.as_ref().is_some_and(|value| value.is_null()) {
        return Err(spark_error(
            "DATATYPE_MISMATCH.UNEXPECTED_NULL",
            format!("Cannot resolve \"{}\" due to data type mismatch: The json must not be null.", call.sql()),
        ));
    }
    let text = call.literal_str(0).ok_or_else(|| call.not_foldable(0))?;
    let schema = match Parser::new(Syntax::RECORD).parse(text) {
        Parsed::Value(value) => Inferred::of(value, &InferenceRules::default()).sql(),
        Parsed::Empty => Inferred::Nothing.sql(),
        Parsed::Broken => {
            return Err(spark_error("MALFORMED_RECORD_IN_PARSING.WITHOUT_SUGGESTION", format!("The text {text} is no JSON.")));
        }
    };
    let args = call.args.iter().map(|arg| arg.data_type.clone()).collect();
    Ok(Resolved::new(args, DataType::Utf8, move |invocation| Ok(Arc::new(StringArray::new_repeated(&schema, invocation.rows)))))
}

#[cfg(test)]
mod tests;
