//! How values that were written by one schema are read by another: Avro's schema resolution, into Spark's types.

use std::collections::HashMap;

use arrow::datatypes::DataType;
use datafusion::error::{DataFusionError, Result};
use serde_json::Value as Json;

use super::decode::Plan;
use super::encode::write_varint;
use super::schema::{Definition, FieldSchema, Kind, Logical, Named, Schema, not_null};
use crate::error::spark_error;
use crate::types::{DAY_TIME_INTERVAL, TIMESTAMP_NTZ, YEAR_MONTH_INTERVAL, list, map, structure, timestamp};

/// The deepest that records may hold themselves: `recursiveFieldMaxDepth`.
pub(super) const MAX_DEPTH: usize = 15;

/// How deep defaults may be nested: a record whose default holds itself has no end.
const DEFAULT_DEPTH: usize = 64;

/// How types are mapped.
#[derive(Debug, Clone)]
pub(super) struct Mapping {
    /// How often a record is expanded in itself; `None`: it must not hold itself.
    pub(super) recursion: Option<usize>,
    /// What the fields of a union begin with if they are named after their types.
    pub(super) stable_prefix: Option<String>,
}

/// How often each record is around the place that is looked at.
type Around = HashMap<usize, usize>;

/// The type that a schema's values are read as.
pub(super) fn data_type(schema: &Schema, mapping: &Mapping) -> Result<DataType> {
    let mapped = Mapper { schema, mapping }.kind(&schema.root, &Around::new())?;
    mapped.ok_or_else(|| incompatible("the schema holds nothing but itself"))
}

/// How to read what `writer` wrote as values of `reader`.
///
/// # Errors
/// When the schemas don't fit each other, or a type can't be one of Spark's.
pub(super) fn plan(writer: &Schema, reader: &Schema, mapping: &Mapping) -> Result<Plan> {
    data_type(reader, mapping)?;
    let resolver = Resolver { writer, reader, mapper: Mapper { schema: reader, mapping } };
    resolver.plan(&writer.root, &reader.root, &Around::new()).map_err(|reason| incompatible(&reason))
}

fn incompatible(reason: &str) -> DataFusionError {
    spark_error("AVRO_INCOMPATIBLE_SCHEMA", format!("The Avro schema can't be used: {reason}."))
}

struct Mapper<'a> {
    schema: &'a Schema,
    mapping: &'a Mapping,
}

impl Mapper<'_> {
    /// The type of a schema's values; `None` for what is left out because it is a record in itself too often.
    fn kind(&self, kind: &Kind, around: &Around) -> Result<Option<DataType>> {
        Ok(Some(match kind {
            Kind::Null => DataType::Null,
            Kind::Boolean => DataType::Boolean,
            Kind::Int(logical) => match logical {
                Logical::Date => DataType::Date32,
                Logical::Interval => YEAR_MONTH_INTERVAL,
                _ => DataType::Int32,
            },
            Kind::Long(logical) => match logical {
                Logical::TimestampMillis | Logical::TimestampMicros => timestamp(),
                Logical::LocalTimestampMillis | Logical::LocalTimestampMicros => TIMESTAMP_NTZ,
                Logical::Interval => DAY_TIME_INTERVAL,
                _ => DataType::Int64,
            },
            Kind::Float => DataType::Float32,
            Kind::Double => DataType::Float64,
            Kind::Bytes(logical) => bytes(*logical),
            Kind::Text => DataType::Utf8,
            Kind::Array(items) => return Ok(self.kind(items, around)?.map(list)),
            Kind::Map(values) => return Ok(self.kind(values, around)?.map(|values| map(DataType::Utf8, values))),
            Kind::Union(branches) => return self.union(branches, around),
            Kind::Named(place) => match &self.schema.named(*place).definition {
                Definition::Enum { .. } => DataType::Utf8,
                Definition::Fixed { logical, .. } => bytes(*logical),
                Definition::Record(fields) => return self.record(*place, fields, around),
            },
        }))
    }

    fn record(&self, place: usize, fields: &[FieldSchema], around: &Around) -> Result<Option<DataType>> {
        let Some(inside) = self.enter(place, around)? else { return Ok(None) };
        let mut mapped = Vec::with_capacity(fields.len());
        for field in fields {
            if let Some(data_type) = self.kind(&field.kind, &inside)? {
                mapped.push((field.name.clone(), data_type));
            }
        }
        Ok(Some(structure(mapped)))
    }

    /// What is around a record's fields; `None` if the record is left out.
    fn enter(&self, place: usize, around: &Around) -> Result<Option<Around>> {
        let depth = around.get(&place).copied().unwrap_or(0);
        match self.mapping.recursion {
            None if depth > 0 => Err(incompatible(&format!(
                "the record {} holds itself; set the option 'recursiveFieldMaxDepth' to 1 to {MAX_DEPTH}",
                self.schema.named(place).name
            ))),
            Some(max) if depth > 0 && depth >= max => Ok(None),
            _ => {
                let mut inside = around.clone();
                inside.insert(place, depth + 1);
                Ok(Some(inside))
            }
        }
    }

    fn union(&self, branches: &[Kind], around: &Around) -> Result<Option<DataType>> {
        let branches = not_null(branches);
        match branches[..] {
            [] => return Ok(Some(DataType::Null)),
            [one] => return self.kind(one, around),
            [one, other] if let Some(data_type) = widened(one, other) => return Ok(Some(data_type)),
            _ => {}
        }
        let mut members: Vec<(String, DataType)> = Vec::with_capacity(branches.len());
        for (at, branch) in branches.into_iter().enumerate() {
            let Some(data_type) = self.kind(branch, around)? else { continue };
            let name = self.member(at, branch);
            if members.iter().any(|(other, _)| other.eq_ignore_ascii_case(&name)) {
                return Err(incompatible(&format!("a union has two types called {}", self.schema.name_of(branch))));
            }
            members.push((name, data_type));
        }
        Ok(Some(structure(members)))
    }

    fn member(&self, at: usize, branch: &Kind) -> String {
        match &self.mapping.stable_prefix {
            Some(prefix) => format!("{prefix}{}", self.schema.name_of(branch)),
            None => format!("member{at}"),
        }
    }
}

fn bytes(logical: Logical) -> DataType {
    match logical {
        Logical::Decimal(precision, scale) => DataType::Decimal128(precision, scale),
        _ => DataType::Binary,
    }
}

/// The type of a union of two numbers that one of them takes.
pub(super) fn widened(one: &Kind, other: &Kind) -> Option<DataType> {
    match (one, other) {
        (Kind::Int(_), Kind::Long(_)) | (Kind::Long(_), Kind::Int(_)) => Some(DataType::Int64),
        (Kind::Float, Kind::Double) | (Kind::Double, Kind::Float) => Some(DataType::Float64),
        _ => None,
    }
}

struct Resolver<'a> {
    writer: &'a Schema,
    reader: &'a Schema,
    mapper: Mapper<'a>,
}

/// Why a value can't be read, in words.
type Planned = std::result::Result<Plan, String>;

impl Resolver<'_> {
    fn plan(&self, written: &Kind, read: &Kind, around: &Around) -> Planned {
        if let Kind::Union(branches) = written {
            // A branch that can't be read only matters for values that are of it.
            let plans = branches.iter().map(|branch| self.plan(branch, read, around).unwrap_or_else(Plan::Fail)).collect();
            return Ok(Plan::Union(plans));
        }
        if let Kind::Union(branches) = read {
            return self.branch(written, branches, around);
        }
        let mismatch = || {
            let (written, read) = (self.writer.name_of(written), self.reader.name_of(read));
            format!("what was written as {written} can't be read as {read}")
        };
        Ok(match (written, read) {
            (Kind::Null, Kind::Null) => Plan::Null,
            (Kind::Boolean, Kind::Boolean) => Plan::Boolean,
            (Kind::Int(_), Kind::Int(_) | Kind::Float | Kind::Double) => Plan::Int(1),
            (Kind::Int(_), Kind::Long(logical)) => Plan::Int(factor(*logical)),
            (Kind::Long(_), Kind::Long(logical)) => Plan::Long(factor(*logical)),
            (Kind::Long(_), Kind::Float | Kind::Double) => Plan::Long(1),
            (Kind::Float, Kind::Float | Kind::Double) => Plan::Float,
            (Kind::Double, Kind::Double) => Plan::Double,
            (Kind::Bytes(_) | Kind::Text, Kind::Bytes(_) | Kind::Text) => Plan::Bytes,
            (Kind::Array(written), Kind::Array(read)) => Plan::Array(Box::new(self.plan(written, read, around)?)),
            (Kind::Map(written), Kind::Map(read)) => Plan::Map(Box::new(self.plan(written, read, around)?)),
            (Kind::Named(written), Kind::Named(read)) => {
                let (from, to) = (self.writer.named(*written), self.reader.named(*read));
                match (&from.definition, &to.definition) {
                    (Definition::Record(written), Definition::Record(fields)) => self.record(written, *read, fields, around)?,
                    (Definition::Enum { symbols, .. }, Definition::Enum { symbols: known, default }) if is_called(from, to) => {
                        let symbol = |symbol: &String| match known.contains(symbol) {
                            true => Some(symbol.clone()),
                            false => default.clone(),
                        };
                        Plan::Enum(symbols.iter().map(symbol).collect())
                    }
                    (Definition::Fixed { size, .. }, Definition::Fixed { size: read, .. })
                        if size == read && is_called(from, to) =>
                    {
                        Plan::Fixed(*size)
                    }
                    _ => return Err(mismatch()),
                }
            }
            _ => return Err(mismatch()),
        })
    }

    /// A value that is no union in a union: the branch of its own type if there is one, else the first that can take it.
    fn branch(&self, written: &Kind, branches: &[Kind], around: &Around) -> Planned {
        let is_own = |branch: &Kind| match (written, branch) {
            (Kind::Named(written), Kind::Named(read)) => is_called(self.writer.named(*written), self.reader.named(*read)),
            (written, read) => std::mem::discriminant(written) == std::mem::discriminant(read),
        };
        let (own, others): (Vec<&Kind>, Vec<&Kind>) = branches.iter().partition(|branch| is_own(branch));
        let mut reason = String::from("it is empty");
        for branch in own.into_iter().chain(others) {
            match self.plan(written, branch, around) {
                Ok(plan) => return self.member(plan, branch, branches, around),
                Err(other) => reason = other,
            }
        }
        Err(format!("no type of a union takes a value: {reason}"))
    }

    /// Puts a value where the union has it: at its place if that is a struct of the union's types.
    fn member(&self, plan: Plan, branch: &Kind, branches: &[Kind], around: &Around) -> Planned {
        let types = not_null(branches);
        let is_plain = match types[..] {
            [] | [_] => true,
            [one, other] => widened(one, other).is_some(),
            _ => false,
        };
        if *branch == Kind::Null || is_plain {
            return Ok(plan);
        }
        let mut slot = 0;
        for other in types {
            let is_there = self.mapper.kind(other, around).map_err(|error| error.to_string())?.is_some();
            if other == branch {
                return Ok(Plan::Member(is_there.then_some(slot), Box::new(plan)));
            }
            slot += usize::from(is_there);
        }
        Ok(plan)
    }

    fn record(&self, written: &[FieldSchema], place: usize, fields: &[FieldSchema], around: &Around) -> Planned {
        let entered = self.mapper.enter(place, around).map_err(|error| error.to_string())?;
        let Some(inside) = entered else {
            // It is left out of what holds it, but what was written must be passed over.
            return Ok(Plan::Skip(written.iter().map(|field| field.kind.clone()).collect()));
        };
        // The struct's field that each of the reader's fields is, without those that are left out.
        let (mut slots, mut count) = (Vec::with_capacity(fields.len()), 0);
        for field in fields {
            let is_there = self.mapper.kind(&field.kind, &inside).map_err(|error| error.to_string())?.is_some();
            slots.push(is_there.then_some(count));
            count += usize::from(is_there);
        }
        let (mut steps, mut found) = (Vec::with_capacity(written.len()), vec![false; fields.len()]);
        for field in written {
            let own = fields.iter().position(|read| read.name == field.name);
            let at = own.or_else(|| fields.iter().position(|read| read.aliases.contains(&field.name)));
            let at = at.filter(|at| !std::mem::replace(&mut found[*at], true));
            steps.push(match at.and_then(|at| Some((slots[at]?, at))) {
                Some((slot, at)) => {
                    let plan = self.plan(&field.kind, &fields[at].kind, &inside);
                    (Some(slot), plan.map_err(|reason| format!("field '{}': {reason}", field.name))?)
                }
                None => (None, Plan::Skip(vec![field.kind.clone()])),
            });
        }
        let mut defaults = Vec::new();
        for (at, field) in fields.iter().enumerate().filter(|(at, _)| !found[*at]) {
            let Some(slot) = slots[at] else { continue };
            let Some(default) = &field.default else {
                return Err(format!("the field '{}' was not written and has no default", field.name));
            };
            let mut bytes = Vec::new();
            encode_default(self.reader, &field.kind, default, DEFAULT_DEPTH, &mut bytes)
                .ok_or_else(|| format!("the default of the field '{}' does not fit its type", field.name))?;
            let itself = Resolver { writer: self.reader, reader: self.reader, mapper: Mapper { ..self.mapper } };
            defaults.push((slot, bytes, itself.plan(&field.kind, &field.kind, &inside)?));
        }
        Ok(Plan::Record { steps, defaults })
    }
}

fn is_called(written: &Named, read: &Named) -> bool {
    written.short() == read.short() || read.aliases.contains(&written.name)
}

/// What a number is multiplied with to be in microseconds.
fn factor(logical: Logical) -> i64 {
    match logical {
        Logical::TimestampMillis | Logical::LocalTimestampMillis => 1_000,
        _ => 1,
    }
}

/// Writes the default of a field as Avro writes values; `None` if it doesn't fit the type.
fn encode_default(schema: &Schema, kind: &Kind, json: &Json, depth: usize, out: &mut Vec<u8>) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    let bytes = |out: &mut Vec<u8>| {
        let bytes = json.as_str()?.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect::<Option<Vec<u8>>>()?;
        out.extend_from_slice(&bytes);
        Some(bytes.len())
    };
    match kind {
        Kind::Null => json.as_null()?,
        Kind::Boolean => out.push(u8::from(json.as_bool()?)),
        Kind::Int(_) => write_varint(i64::from(i32::try_from(json.as_i64()?).ok()?), out),
        Kind::Long(_) => write_varint(json.as_i64()?, out),
        Kind::Float => out.extend_from_slice(&(json.as_f64()? as f32).to_le_bytes()),
        Kind::Double => out.extend_from_slice(&json.as_f64()?.to_le_bytes()),
        Kind::Bytes(_) => {
            let mut value = Vec::new();
            let len = bytes(&mut value)?;
            write_varint(len as i64, out);
            out.append(&mut value);
        }
        Kind::Text => {
            let text = json.as_str()?;
            write_varint(text.len() as i64, out);
            out.extend_from_slice(text.as_bytes());
        }
        Kind::Array(items) => {
            let values = json.as_array()?;
            if !values.is_empty() {
                write_varint(values.len() as i64, out);
            }
            values.iter().try_for_each(|value| encode_default(schema, items, value, depth, out))?;
            out.push(0);
        }
        Kind::Map(kind) => {
            let values = json.as_object()?;
            if !values.is_empty() {
                write_varint(values.len() as i64, out);
            }
            for (key, value) in values {
                write_varint(key.len() as i64, out);
                out.extend_from_slice(key.as_bytes());
                encode_default(schema, kind, value, depth, out)?;
            }
            out.push(0);
        }
        Kind::Union(branches) => {
            // The first that fits: older versions of Avro only allow the first one.
            let start = out.len();
            let fits = |(at, branch): (usize, &Kind)| {
                out.truncate(start);
                write_varint(at as i64, out);
                encode_default(schema, branch, json, depth, out)
            };
            branches.iter().enumerate().find_map(fits)?;
        }
        Kind::Named(place) => match &schema.named(*place).definition {
            Definition::Enum { symbols, .. } => {
                let symbol = json.as_str()?;
                write_varint(symbols.iter().position(|known| known == symbol)? as i64, out);
            }
            Definition::Fixed { size, .. } => {
                (bytes(out)? == *size).then_some(())?;
            }
            Definition::Record(fields) => {
                let values = json.as_object()?;
                for field in fields {
                    let value = values.get(&field.name).or(field.default.as_ref())?;
                    encode_default(schema, &field.kind, value, depth, out)?;
                }
            }
        },
    }
    Some(())
}
