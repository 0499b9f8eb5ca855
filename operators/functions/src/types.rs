//! Which Arrow type stands for which Spark type, and how types are written.
//!
//! | Spark | Arrow |
//! | --- | --- |
//! | `boolean`, `tinyint`, `smallint`, `int`, `bigint` | `Boolean`, `Int8`, `Int16`, `Int32`, `Int64` |
//! | `float`, `double`, `decimal(p,s)` | `Float32`, `Float64`, `Decimal128(p, s)` |
//! | `string`, `binary` | `Utf8`, `Binary` |
//! | `date`, `timestamp`, `timestamp_ntz` | `Date32`, `Timestamp(µs, "UTC")`, `Timestamp(µs)` |
//! | `interval day to second`, `interval year to month` | `Duration(µs)`, `Interval(YearMonth)` |
//! | `array<t>`, `map<k,v>`, `struct<…>` | `List`, `Map`, `Struct` as built by [`list`], [`map`] and [`structure`] |
//! | `void` | `Null` |
//!
//! There is one Arrow type for each Spark type, so that rows, state and results never differ in encoding. Everything is nullable
//! but map keys.

use std::sync::Arc;

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Field, FieldRef, Fields, IntervalUnit, TimeUnit};
use datafusion::error::Result;

use crate::error::spark_error;

/// The type of `timestamp`: microseconds of an instant.
pub fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The type of `timestamp_ntz`: microseconds of a wall clock, without a time zone.
pub const TIMESTAMP_NTZ: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// The type of `interval day to second`.
pub const DAY_TIME_INTERVAL: DataType = DataType::Duration(TimeUnit::Microsecond);

/// The type of `interval year to month`: months.
pub const YEAR_MONTH_INTERVAL: DataType = DataType::Interval(IntervalUnit::YearMonth);

/// The field of an array's elements.
pub fn element(data_type: DataType) -> FieldRef {
    Arc::new(Field::new_list_field(data_type, true))
}

/// `array<element>`.
pub fn list(element_type: DataType) -> DataType {
    DataType::List(element(element_type))
}

/// The field of a map's entries.
pub fn entries(key: DataType, value: DataType) -> FieldRef {
    let fields = vec![Field::new("key", key, false), Field::new("value", value, true)];
    Arc::new(Field::new("entries", DataType::Struct(fields.into()), false))
}

/// `map<key,value>`.
pub fn map(key: DataType, value: DataType) -> DataType {
    DataType::Map(entries(key, value), false)
}

/// `struct<name:type,…>`.
pub fn structure(fields: impl IntoIterator<Item = (impl Into<String>, DataType)>) -> DataType {
    DataType::Struct(fields.into_iter().map(|(name, data_type)| Field::new(name, data_type, true)).collect())
}

/// The one Arrow type that stands for the same Spark type as `data_type`; `None` if no Spark type does.
pub fn canonical(data_type: &DataType) -> Option<DataType> {
    Some(match data_type {
        DataType::Null
        | DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Date32
        | DataType::Interval(IntervalUnit::YearMonth) => data_type.clone(),
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Float16 => DataType::Float32,
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s) if *s >= 0 => {
            DataType::Decimal128(*p, *s)
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Date64 => TIMESTAMP_NTZ,
        DataType::Timestamp(_, Some(_)) => timestamp(),
        DataType::Timestamp(_, None) => TIMESTAMP_NTZ,
        DataType::Duration(_) => DAY_TIME_INTERVAL,
        DataType::List(f) | DataType::LargeList(f) | DataType::ListView(f) | DataType::FixedSizeList(f, _) => {
            list(canonical(f.data_type())?)
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => {
                map(canonical(fields[0].data_type())?, canonical(fields[1].data_type())?)
            }
            _ => return None,
        },
        DataType::Struct(fields) => {
            let fields =
                fields.iter().map(|f| Some((f.name().clone(), canonical(f.data_type())?))).collect::<Option<Vec<_>>>()?;
            structure(fields)
        }
        DataType::Dictionary(_, values) => canonical(values)?,
        DataType::RunEndEncoded(_, values) => canonical(values.data_type())?,
        _ => return None,
    })
}

/// The key and value types of a map type.
pub fn map_types(data_type: &DataType) -> Option<(&DataType, &DataType)> {
    let DataType::Map(entries, _) = data_type else { return None };
    let DataType::Struct(fields) = entries.data_type() else { return None };
    Some((fields.first()?.data_type(), fields.get(1)?.data_type()))
}

/// The element type of an array type.
pub fn element_type(data_type: &DataType) -> Option<&DataType> {
    match data_type {
        DataType::List(field) => Some(field.data_type()),
        _ => None,
    }
}

/// Whether it is one of the integer types.
pub fn is_integral(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64)
}

/// Whether it is `float` or `double`.
pub fn is_float(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Float32 | DataType::Float64)
}

/// Whether it is a decimal.
pub fn is_decimal(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Decimal128(_, _))
}

/// Whether it is an integer, a decimal or a floating-point type.
pub fn is_numeric(data_type: &DataType) -> bool {
    is_integral(data_type) || is_float(data_type) || is_decimal(data_type)
}

/// Whether it is `timestamp` or `timestamp_ntz`.
pub fn is_timestamp(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(_, _))
}

/// Whether it is an array, a map or a struct.
pub fn is_nested(data_type: &DataType) -> bool {
    matches!(data_type, DataType::List(_) | DataType::Map(_, _) | DataType::Struct(_))
}

/// The type in Spark's messages: `ARRAY<INT>`.
pub fn sql_name(data_type: &DataType) -> String {
    match data_type {
        DataType::List(field) => format!("ARRAY<{}>", sql_name(field.data_type())),
        DataType::Map(_, _) => {
            let (key, value) = map_types(data_type).unwrap_or((&DataType::Null, &DataType::Null));
            format!("MAP<{}, {}>", sql_name(key), sql_name(value))
        }
        DataType::Struct(fields) => {
            format!("STRUCT<{}>", join(fields, ", ", |f| format!("{}: {}", f.name(), sql_name(f.data_type()))))
        }
        _ => name(data_type).to_uppercase(),
    }
}

/// The type as `printSchema`, `DESCRIBE` and `simpleString` write it: `array<int>`, `struct<a:int,b:string>`.
pub fn name(data_type: &DataType) -> String {
    match data_type {
        DataType::Null => "void".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int8 => "tinyint".to_owned(),
        DataType::Int16 => "smallint".to_owned(),
        DataType::Int32 => "int".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Float32 => "float".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::Utf8 => "string".to_owned(),
        DataType::Binary => "binary".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Timestamp(_, Some(_)) => "timestamp".to_owned(),
        DataType::Timestamp(_, None) => "timestamp_ntz".to_owned(),
        DataType::Duration(_) => "interval day to second".to_owned(),
        DataType::Interval(IntervalUnit::YearMonth) => "interval year to month".to_owned(),
        DataType::Interval(_) => "interval".to_owned(),
        DataType::List(field) => format!("array<{}>", name(field.data_type())),
        DataType::Map(_, _) => {
            let (key, value) = map_types(data_type).unwrap_or((&DataType::Null, &DataType::Null));
            format!("map<{},{}>", name(key), name(value))
        }
        DataType::Struct(fields) => format!("struct<{}>", join(fields, ",", |f| format!("{}:{}", f.name(), name(f.data_type())))),
        other => other.to_string().to_lowercase(),
    }
}

fn join(fields: &Fields, separator: &str, one: impl Fn(&FieldRef) -> String) -> String {
    fields.iter().map(one).collect::<Vec<_>>().join(separator)
}

/// Reads a type as SQL writes it: `decimal(10,2)`, `ARRAY<STRUCT<a: INT>>`.
///
/// # Errors
/// `PARSE_SYNTAX_ERROR` or `UNSUPPORTED_DATATYPE`.
pub fn parse(text: &str) -> Result<DataType> {
    let mut parser = Parser { text, rest: text };
    let data_type = parser.data_type()?;
    parser.end()?;
    Ok(data_type)
}

/// Reads the columns of a schema as SQL writes them: `a INT, b ARRAY<STRING>`; also a bare struct type.
///
/// # Errors
/// As [`parse`].
pub fn parse_schema(text: &str) -> Result<Fields> {
    if text.trim_start().to_ascii_lowercase().starts_with("struct<")
        && let DataType::Struct(fields) = parse(text)?
    {
        return Ok(fields);
    }
    let mut parser = Parser { text, rest: text };
    let fields = parser.fields(None)?;
    parser.end()?;
    Ok(fields.into())
}

/// A reader of types, over what is left of the text.
struct Parser<'a> {
    text: &'a str,
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn skip(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn eat(&mut self, token: char) -> bool {
        self.skip();
        let found = self.rest.strip_prefix(token);
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }

    fn expect(&mut self, token: char) -> Result<()> {
        if self.eat(token) { Ok(()) } else { Err(self.error()) }
    }

    fn word(&mut self) -> Result<&'a str> {
        self.skip();
        let end = self.rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(self.rest.len());
        if end == 0 {
            return Err(self.error());
        }
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        Ok(word)
    }

    /// Takes the next word if it is this one.
    fn keyword(&mut self, keyword: &str) -> bool {
        let before = self.rest;
        let found = self.word().is_ok_and(|word| word.eq_ignore_ascii_case(keyword));
        if !found {
            self.rest = before;
        }
        found
    }

    fn identifier(&mut self) -> Result<String> {
        if !self.eat('`') {
            return self.word().map(str::to_owned);
        }
        let mut name = String::new();
        loop {
            let end = self.rest.find('`').ok_or_else(|| self.error())?;
            name.push_str(&self.rest[..end]);
            self.rest = &self.rest[end + 1..];
            match self.rest.strip_prefix('`') {
                Some(rest) => self.rest = rest,
                None => return Ok(name),
            }
            name.push('`');
        }
    }

    fn number(&mut self) -> Result<u8> {
        self.word()?.parse().map_err(|_| self.error())
    }

    fn data_type(&mut self) -> Result<DataType> {
        let word = self.word()?.to_ascii_lowercase();
        Ok(match word.as_str() {
            "void" | "null" => DataType::Null,
            "boolean" | "bool" => DataType::Boolean,
            "tinyint" | "byte" => DataType::Int8,
            "smallint" | "short" => DataType::Int16,
            "int" | "integer" => DataType::Int32,
            "bigint" | "long" => DataType::Int64,
            "float" | "real" => DataType::Float32,
            "double" => DataType::Float64,
            "decimal" | "dec" | "numeric" => self.decimal()?,
            "string" => DataType::Utf8,
            "varchar" | "char" => {
                self.expect('(')?;
                self.word()?;
                self.expect(')')?;
                DataType::Utf8
            }
            "binary" => DataType::Binary,
            "date" => DataType::Date32,
            "timestamp" | "timestamp_ltz" => timestamp(),
            "timestamp_ntz" => TIMESTAMP_NTZ,
            "interval" => self.interval()?,
            "array" => {
                self.expect('<')?;
                let element = self.data_type()?;
                self.expect('>')?;
                list(element)
            }
            "map" => {
                self.expect('<')?;
                let key = self.data_type()?;
                self.expect(',')?;
                let value = self.data_type()?;
                self.expect('>')?;
                map(key, value)
            }
            "struct" => {
                self.expect('<')?;
                let fields = self.fields(Some('>'))?;
                self.expect('>')?;
                DataType::Struct(fields.into())
            }
            _ => return Err(spark_error("UNSUPPORTED_DATATYPE", format!("Unsupported data type \"{}\".", word.to_uppercase()))),
        })
    }

    fn decimal(&mut self) -> Result<DataType> {
        let (mut precision, mut scale) = (10, 0);
        if self.eat('(') {
            precision = self.number()?;
            if self.eat(',') {
                scale = self.number()?;
            }
            self.expect(')')?;
        }
        if precision > DECIMAL128_MAX_PRECISION || precision == 0 || scale > precision {
            return Err(spark_error(
                "DECIMAL_PRECISION_EXCEEDS_MAX_PRECISION",
                format!(
                    "Decimal precision {precision} with scale {scale} is not allowed: the greatest precision is 38, and the scale can't exceed it."
                ),
            ));
        }
        Ok(DataType::Decimal128(precision, scale as i8))
    }

    fn interval(&mut self) -> Result<DataType> {
        let start = self.word()?.to_ascii_lowercase();
        if self.keyword("to") {
            self.word()?;
        }
        match start.as_str() {
            "year" | "month" => Ok(YEAR_MONTH_INTERVAL),
            "day" | "hour" | "minute" | "second" => Ok(DAY_TIME_INTERVAL),
            _ => Err(self.error()),
        }
    }

    fn fields(&mut self, end: Option<char>) -> Result<Vec<Field>> {
        let mut fields = Vec::new();
        loop {
            self.skip();
            if end.map_or(self.rest.is_empty(), |end| self.rest.starts_with(end)) {
                return Ok(fields);
            }
            if !fields.is_empty() {
                self.expect(',')?;
            }
            let name = self.identifier()?;
            self.eat(':');
            fields.push(Field::new(name, self.data_type()?, true));
            if self.keyword("not") && !self.keyword("null") {
                return Err(self.error());
            }
            if self.keyword("comment") {
                self.expect('\'')?;
                let end = self.rest.find('\'').ok_or_else(|| self.error())?;
                self.rest = &self.rest[end + 1..];
            }
        }
    }

    fn end(&mut self) -> Result<()> {
        self.skip();
        if self.rest.is_empty() { Ok(()) } else { Err(self.error()) }
    }

    fn error(&self) -> datafusion::error::DataFusionError {
        let at = self.text.len() - self.rest.len();
        let near = self.rest.split_whitespace().next().unwrap_or("end of input");
        spark_error("PARSE_SYNTAX_ERROR", format!("Syntax error at or near '{near}' in the type \"{}\" (pos {at})", self.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_as_they_are_written() {
        for text in [
            "boolean",
            "decimal(10,2)",
            "timestamp_ntz",
            "array<map<string,array<int>>>",
            "struct<a:int,b:struct<c:array<double>>>",
            "interval day to second",
            "interval year to month",
        ] {
            assert_eq!(name(&parse(text).unwrap()), text);
        }
        assert_eq!(sql_name(&parse("struct<a: int, `b c`: array<string>>").unwrap()), "STRUCT<a: INT, b c: ARRAY<STRING>>");
        let fields = parse_schema("a INT, `x``y` ARRAY<STRUCT<c: STRING>> NOT NULL COMMENT 'why'").unwrap();
        assert_eq!((fields.len(), fields[1].name().as_str()), (2, "x`y"));
    }

    #[test]
    fn bad_types_are_named() {
        for text in ["", "array<int", "decimal(39,2)", "int int", "struct<a>", "frob", "array<>"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn canonical_types_are_their_own() {
        let view = DataType::List(Arc::new(Field::new("x", DataType::Utf8View, false)));
        assert_eq!(canonical(&view), Some(list(DataType::Utf8)));
        let own = parse("map<string,struct<a:array<decimal(5,1)>>>").unwrap();
        assert_eq!(canonical(&own), Some(own.clone()));
    }
}
