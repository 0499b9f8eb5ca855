//! Avro schemas: from their JSON to what is read and written by them.
//!
//! Named types are in a table and referred to by their place in it, so that a record may hold itself.

use std::collections::HashMap;

use datafusion::error::{DataFusionError, Result};
use serde_json::{Map as Object, Value as Json};

use crate::error::spark_error;

/// A schema: what is at its top, and the named types that it is made of.
#[derive(Debug, Clone)]
pub(super) struct Schema {
    pub(super) root: Kind,
    pub(super) named: Vec<Named>,
}

/// A type.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Null,
    Boolean,
    Int(Logical),
    Long(Logical),
    Float,
    Double,
    Bytes(Logical),
    Text,
    Array(Box<Kind>),
    Map(Box<Kind>),
    Union(Vec<Kind>),
    /// The type at this place of the table.
    Named(usize),
}

/// What a type stands for: the logical types that Spark knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Logical {
    None,
    Date,
    TimestampMillis,
    TimestampMicros,
    LocalTimestampMillis,
    LocalTimestampMicros,
    Decimal(u8, i8),
    /// Spark's own: an interval of months in an `int`, of microseconds in a `long`.
    Interval,
}

/// A type with a name.
#[derive(Debug, Clone)]
pub(super) struct Named {
    /// With its namespace.
    pub(super) name: String,
    pub(super) aliases: Vec<String>,
    pub(super) definition: Definition,
}

impl Named {
    /// The name without its namespace.
    pub(super) fn short(&self) -> &str {
        short(&self.name)
    }
}

fn short(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// What a name stands for.
#[derive(Debug, Clone)]
pub(super) enum Definition {
    Record(Vec<FieldSchema>),
    Enum { symbols: Vec<String>, default: Option<String> },
    Fixed { size: usize, logical: Logical },
}

/// A field of a record.
#[derive(Debug, Clone)]
pub(super) struct FieldSchema {
    pub(super) name: String,
    pub(super) aliases: Vec<String>,
    pub(super) kind: Kind,
    pub(super) default: Option<Json>,
}

impl Schema {
    /// Reads a schema.
    ///
    /// # Errors
    /// `INVALID_SCHEMA.PARSE_ERROR`, which says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let json: Json = serde_json::from_str(text).map_err(|error| invalid(&format!("it is not JSON: {error}")))?;
        let mut parser = Parser { named: Vec::new(), places: HashMap::new() };
        let root = parser.kind(&json, "")?;
        Ok(Schema { root, named: parser.named })
    }

    pub(super) fn named(&self, place: usize) -> &Named {
        &self.named[place]
    }

    /// The type's name as Avro writes it, without a namespace.
    pub(super) fn name_of(&self, kind: &Kind) -> &str {
        match kind {
            Kind::Null => "null",
            Kind::Boolean => "boolean",
            Kind::Int(_) => "int",
            Kind::Long(_) => "long",
            Kind::Float => "float",
            Kind::Double => "double",
            Kind::Bytes(_) => "bytes",
            Kind::Text => "string",
            Kind::Array(_) => "array",
            Kind::Map(_) => "map",
            Kind::Union(_) => "union",
            Kind::Named(place) => self.named(*place).short(),
        }
    }
}

/// The branches of a union that are not null.
pub(super) fn not_null(branches: &[Kind]) -> Vec<&Kind> {
    branches.iter().filter(|branch| **branch != Kind::Null).collect()
}

fn invalid(reason: &str) -> DataFusionError {
    spark_error("INVALID_SCHEMA.PARSE_ERROR", format!("The Avro schema can't be used: {reason}."))
}

struct Parser {
    named: Vec<Named>,
    /// Of the types' full names in the table.
    places: HashMap<String, usize>,
}

impl Parser {
    fn kind(&mut self, json: &Json, namespace: &str) -> Result<Kind> {
        match json {
            Json::String(name) => self.by_name(name, namespace),
            Json::Array(branches) => self.union(branches, namespace),
            Json::Object(object) => match object.get("type") {
                Some(Json::String(name)) => self.object(name, object, namespace),
                Some(nested) => self.kind(nested, namespace),
                None => Err(invalid("a type has no attribute 'type'")),
            },
            other => Err(invalid(&format!("{other} is no type"))),
        }
    }

    fn by_name(&self, name: &str, namespace: &str) -> Result<Kind> {
        if let Some(kind) = primitive(name, Logical::None) {
            return Ok(kind);
        }
        let place = self.places.get(&full(name, namespace)).or_else(|| self.places.get(name));
        place.map(|place| Kind::Named(*place)).ok_or_else(|| invalid(&format!("there is no type '{name}'")))
    }

    fn union(&mut self, branches: &[Json], namespace: &str) -> Result<Kind> {
        let kinds = branches.iter().map(|branch| self.kind(branch, namespace)).collect::<Result<Vec<_>>>()?;
        for (at, kind) in kinds.iter().enumerate() {
            if matches!(kind, Kind::Union(_)) {
                return Err(invalid("a union is directly in a union"));
            }
            let same = |other: &Kind| match (kind, other) {
                (Kind::Named(one), Kind::Named(other)) => one == other,
                (one, other) => std::mem::discriminant(one) == std::mem::discriminant(other),
            };
            if kinds[..at].iter().any(same) {
                return Err(invalid("a union has a type twice"));
            }
        }
        Ok(Kind::Union(kinds))
    }

    fn object(&mut self, name: &str, object: &Object<String, Json>, namespace: &str) -> Result<Kind> {
        let part = |attribute: &str| {
            object.get(attribute).ok_or_else(|| invalid(&format!("a type '{name}' has no attribute '{attribute}'")))
        };
        match name {
            "array" => Ok(Kind::Array(Box::new(self.kind(part("items")?, namespace)?))),
            "map" => Ok(Kind::Map(Box::new(self.kind(part("values")?, namespace)?))),
            "record" | "error" => self.record(object, part("fields")?, namespace),
            "enum" => self.enumeration(object, part("symbols")?, namespace),
            "fixed" => {
                let size = part("size")?.as_u64().and_then(|size| i32::try_from(size).ok());
                let size = size.ok_or_else(|| invalid("the size of a fixed type is no number of bytes"))? as usize;
                let logical = decimal(object).filter(|logical| fits(*logical, size)).unwrap_or(Logical::None);
                let place = self.define(object, namespace, Definition::Fixed { size, logical })?;
                Ok(Kind::Named(place))
            }
            name => match primitive(name, logical(object, name)) {
                Some(kind) => Ok(kind),
                None => self.by_name(name, namespace),
            },
        }
    }

    /// Puts a type into the table.
    fn define(&mut self, object: &Object<String, Json>, namespace: &str, definition: Definition) -> Result<usize> {
        let name = string(object, "name").ok_or_else(|| invalid("a named type has no name"))?;
        let namespace = string(object, "namespace").unwrap_or(namespace);
        let name = full(name, namespace);
        if !name.split('.').all(is_name) {
            return Err(invalid(&format!("'{name}' is no name")));
        }
        let own = namespace_of(&name).to_owned();
        let aliases = strings(object, "aliases").into_iter().map(|alias| full(&alias, &own)).collect();
        let place = self.named.len();
        if primitive(&name, Logical::None).is_some() || self.places.insert(name.clone(), place).is_some() {
            return Err(invalid(&format!("the name '{name}' is taken")));
        }
        self.named.push(Named { name, aliases, definition });
        Ok(place)
    }

    fn record(&mut self, object: &Object<String, Json>, fields: &Json, namespace: &str) -> Result<Kind> {
        // In the table before its fields, which may be of its type.
        let place = self.define(object, namespace, Definition::Record(Vec::new()))?;
        let own = namespace_of(&self.named[place].name).to_owned();
        let fields = fields.as_array().ok_or_else(|| invalid("the fields of a record are no array"))?;
        let mut read: Vec<FieldSchema> = Vec::with_capacity(fields.len());
        for field in fields {
            let object = field.as_object().ok_or_else(|| invalid("a field is no object"))?;
            let name = string(object, "name").filter(|name| is_name(name)).ok_or_else(|| invalid("a field has no name"))?;
            if read.iter().any(|other| other.name == name) {
                return Err(invalid(&format!("a record has the field '{name}' twice")));
            }
            let kind = object.get("type").ok_or_else(|| invalid(&format!("the field '{name}' has no type")))?;
            let kind = self.kind(kind, &own)?;
            let default = object.get("default").cloned();
            read.push(FieldSchema { name: name.to_owned(), aliases: strings(object, "aliases"), kind, default });
        }
        self.named[place].definition = Definition::Record(read);
        Ok(Kind::Named(place))
    }

    fn enumeration(&mut self, object: &Object<String, Json>, symbols: &Json, namespace: &str) -> Result<Kind> {
        let symbol = |symbol: &Json| symbol.as_str().filter(|symbol| is_name(symbol)).map(str::to_owned);
        let symbols: Option<Vec<String>> = symbols.as_array().and_then(|symbols| symbols.iter().map(symbol).collect());
        let symbols = symbols.ok_or_else(|| invalid("the symbols of an enum are no array of names"))?;
        if symbols.iter().enumerate().any(|(at, symbol)| symbols[..at].contains(symbol)) {
            return Err(invalid("an enum has a symbol twice"));
        }
        let default = string(object, "default").map(str::to_owned);
        if let Some(default) = default.as_ref().filter(|default| !symbols.contains(default)) {
            return Err(invalid(&format!("the default '{default}' is no symbol of its enum")));
        }
        self.define(object, namespace, Definition::Enum { symbols, default }).map(Kind::Named)
    }
}

fn primitive(name: &str, logical: Logical) -> Option<Kind> {
    Some(match name {
        "null" => Kind::Null,
        "boolean" => Kind::Boolean,
        "int" => Kind::Int(logical),
        "long" => Kind::Long(logical),
        "float" => Kind::Float,
        "double" => Kind::Double,
        "bytes" => Kind::Bytes(logical),
        "string" => Kind::Text,
        _ => return None,
    })
}

/// A logical type that doesn't fit its type doesn't count, as Avro says.
fn logical(object: &Object<String, Json>, name: &str) -> Logical {
    match (name, string(object, "logicalType").unwrap_or_default()) {
        ("int", "date") => Logical::Date,
        ("long", "timestamp-millis") => Logical::TimestampMillis,
        ("long", "timestamp-micros") => Logical::TimestampMicros,
        ("long", "local-timestamp-millis") => Logical::LocalTimestampMillis,
        ("long", "local-timestamp-micros") => Logical::LocalTimestampMicros,
        ("bytes", "decimal") => decimal(object).unwrap_or(Logical::None),
        ("int" | "long", _) if object.contains_key("spark.sql.catalyst.type") => Logical::Interval,
        _ => Logical::None,
    }
}

fn decimal(object: &Object<String, Json>) -> Option<Logical> {
    string(object, "logicalType").filter(|logical| *logical == "decimal")?;
    let number = |name: &str| object.get(name).map_or(Some(0), |number| number.as_u64().and_then(|n| u8::try_from(n).ok()));
    let (precision, scale) = (number("precision")?, number("scale")?);
    (1..=38).contains(&precision).then_some(())?;
    (scale <= precision).then_some(Logical::Decimal(precision, scale as i8))
}

/// Whether every number of the decimal fits into so many bytes.
fn fits(logical: Logical, size: usize) -> bool {
    matches!(logical, Logical::Decimal(precision, _) if bytes_of(precision) <= size)
}

/// How many bytes the largest number of so many digits takes.
pub(super) fn bytes_of(precision: u8) -> usize {
    let largest = 10_i128.checked_pow(u32::from(precision)).map_or(i128::MAX, |power| power - 1);
    (128 - largest.leading_zeros() as usize) / 8 + 1
}

fn string<'a>(object: &'a Object<String, Json>, attribute: &str) -> Option<&'a str> {
    object.get(attribute)?.as_str()
}

fn strings(object: &Object<String, Json>, attribute: &str) -> Vec<String> {
    let values = object.get(attribute).and_then(Json::as_array);
    values.into_iter().flatten().filter_map(Json::as_str).map(str::to_owned).collect()
}

fn full(name: &str, namespace: &str) -> String {
    match namespace.is_empty() || name.contains('.') {
        true => name.to_owned(),
        false => format!("{namespace}.{name}"),
    }
}

fn namespace_of(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(namespace, _)| namespace)
}

/// Letters, digits and underscores, and no digit first.
pub(super) fn is_name(name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.chars().all(is_part) && name.chars().next().is_some_and(|first| !first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_their_namespace() {
        let schema = Schema::parse(
            r#"{"type": "record", "name": "a.b.R", "aliases": ["Old", "x.Older"], "fields": [
                {"name": "self", "type": ["null", "R"]},
                {"name": "e", "type": {"type": "enum", "name": "E", "symbols": ["X"]}},
                {"name": "again", "type": "a.b.E"},
                {"name": "f", "type": {"type": "fixed", "name": "F", "namespace": "c", "size": 4}}]}"#,
        )
        .unwrap();
        let names: Vec<&str> = schema.named.iter().map(|named| named.name.as_str()).collect();
        assert_eq!(names, ["a.b.R", "a.b.E", "c.F"]);
        assert_eq!(schema.named[0].aliases, ["a.b.Old", "x.Older"]);
        let Definition::Record(fields) = &schema.named[0].definition else { panic!("no record") };
        assert_eq!(fields[0].kind, Kind::Union(vec![Kind::Null, Kind::Named(0)]));
        assert_eq!(fields[1].kind, fields[2].kind);
    }

    #[test]
    fn logical_types_that_do_not_fit_do_not_count() {
        let kind = |json: &str| Schema::parse(json).unwrap().root;
        assert_eq!(kind(r#"{"type": "int", "logicalType": "date"}"#), Kind::Int(Logical::Date));
        assert_eq!(kind(r#"{"type": "long", "logicalType": "date"}"#), Kind::Long(Logical::None));
        assert_eq!(kind(r#"{"type": "string", "logicalType": "uuid"}"#), Kind::Text);
        let decimal =
            |precision| format!(r#"{{"type": "bytes", "logicalType": "decimal", "precision": {precision}, "scale": 2}}"#);
        assert_eq!(kind(&decimal(38)), Kind::Bytes(Logical::Decimal(38, 2)));
        assert_eq!(kind(&decimal(39)), Kind::Bytes(Logical::None));
        assert_eq!(kind(&decimal(1)), Kind::Bytes(Logical::None));
        assert_eq!([1, 2, 3, 9, 18, 19, 38].map(bytes_of), [1, 1, 2, 4, 8, 9, 16]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (schema, reason) in [
            ("{", "not JSON"),
            ("\"x\"", "no type 'x'"),
            (r#"["int", "int"]"#, "a type twice"),
            (r#"["null", ["int"]]"#, "directly in a union"),
            (r#"{"type": "array"}"#, "no attribute 'items'"),
            (r#"{"type": "record", "name": "1", "fields": []}"#, "'1' is no name"),
            (r#"{"type": "enum", "name": "E", "symbols": ["A", "A"]}"#, "a symbol twice"),
            (r#"{"type": "record", "name": "R", "fields": [{"name": "a"}]}"#, "'a' has no type"),
            (r#"{"type": "fixed", "name": "F", "size": -1}"#, "no number of bytes"),
            ("7", "7 is no type"),
        ] {
            let error = Schema::parse(schema).unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains("INVALID_SCHEMA.PARSE_ERROR"), "{schema}: {error}");
        }
    }
}
