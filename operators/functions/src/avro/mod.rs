//! Avro messages and values: `from_avro`, `to_avro`.
//!
//! A message is one value as Avro writes it, without the header of a file; the schema is an argument. A `schema` is parsed,
//! `resolve` makes a plan of how to read what was written by one schema as another, `decode` follows it from bytes to columns, and
//! `encode` goes the other way. Nothing is built in between: values go straight from bytes to columns and back.

mod decode;
mod encode;
mod resolve;
mod schema;

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::error::Result;

use crate::function::{Arity, Call, Function, Resolved};
use crate::json::options::given;
use crate::message::{
    Format, Header, argument_types, bytes, flag, invalid_option, is_never_null, mode, number, option, read_all, values,
    write_all, wrong_argument,
};
use decode::Decoder;
use resolve::{MAX_DEPTH, Mapping};
use schema::Schema;

/// The functions of this family.
pub(crate) const FUNCTIONS: &[Function] = &[
    Function { names: &["from_avro"], arity: Arity::between(2, 3), resolve: from_avro },
    Function { names: &["to_avro"], arity: Arity::between(1, 3), resolve: to_avro },
];

const JSON_SCHEMA: &str = "a constant string containing the JSON representation of the schema";

fn schema_argument(call: &Call<'_>, index: usize) -> Result<Schema> {
    match call.literal_str(index) {
        Some(text) => Schema::parse(text),
        None => Err(wrong_argument(call, "second", JSON_SCHEMA)),
    }
}

fn mapping(options: &[(String, String)]) -> Result<Mapping> {
    let depth: Option<i64> = number(options, "recursiveFieldMaxDepth")?;
    let recursion = match depth {
        Some(depth) if depth > MAX_DEPTH as i64 => {
            return Err(invalid_option("recursiveFieldMaxDepth", &format!("it can be {MAX_DEPTH} at most")));
        }
        depth => depth.and_then(|depth| usize::try_from(depth).ok()).filter(|depth| *depth > 0),
    };
    let stable = flag(options, "enableStableIdentifiersForUnionType")?;
    let prefix = option(options, "stableIdentifierPrefixForUnionType").unwrap_or("member_");
    Ok(Mapping { recursion, stable_prefix: stable.then(|| prefix.to_owned()) })
}

/// Before 1582 dates of the old calendar were another number of days; they are not converted.
fn refuse_old_calendar(options: &[(String, String)]) -> Result<()> {
    match option(options, "datetimeRebaseMode") {
        Some(mode) if mode.eq_ignore_ascii_case("LEGACY") => {
            Err(invalid_option("datetimeRebaseMode", "dates of the Julian calendar are not converted"))
        }
        _ => Ok(()),
    }
}

fn from_avro(call: &Call<'_>) -> Result<Resolved> {
    let first = bytes(call, 0)?;
    let writer = schema_argument(call, 1)?;
    let options = given(call, 2)?;
    refuse_old_calendar(&options)?;
    let (mapping, header, mode) = (mapping(&options)?, Header::of(&options)?, mode(call, &options)?);
    let reader = option(&options, "avroSchema").map(Schema::parse).transpose()?.unwrap_or_else(|| writer.clone());
    let target = resolve::data_type(&reader, &mapping)?;
    let decoder = Decoder { plan: resolve::plan(&writer, &reader, &mapping)?, writer: Arc::new(writer) };
    let resolved = Resolved::new(argument_types(call, first), target.clone(), move |invocation| {
        read_all(Format::Avro, &values(invocation)?, &target, mode, |message, column| {
            let message = header.map_or(Ok(message), |header| header.strip(message))?;
            decoder.read(message, column)
        })
    });
    Ok(resolved.fallible())
}

fn to_avro(call: &Call<'_>) -> Result<Resolved> {
    let is_given = call.args.get(1).is_some_and(|schema| schema.literal.as_ref().is_none_or(|literal| !literal.is_null()));
    let write = match is_given {
        true => encode::by_schema(&schema_argument(call, 1)?, call.data_type(0))?,
        false => encode::by_type(call.data_type(0), !is_never_null(call, 0))?,
    };
    let header = Header::to_write(&given(call, 2)?)?;
    let resolved = Resolved::new(argument_types(call, call.data_type(0).clone()), DataType::Binary, move |invocation| {
        write_all(&values(invocation)?, |values, row, out| {
            if let Some(header) = header {
                header.write(out);
            }
            write.value(values, row, out)
        })
    });
    Ok(resolved.fallible())
}

#[cfg(test)]
mod tests;
