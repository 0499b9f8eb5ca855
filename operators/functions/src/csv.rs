//! One record of comma-separated values: `from_csv`, `to_csv`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray, StringBuilder};
use arrow::datatypes::DataType;
use datafusion::error::{DataFusionError, Result};

use crate::datetime::pattern::Pattern;
use crate::error::spark_error;
use crate::function::{Arity, Call, Function, Resolved};
use crate::json::column::Column;
use crate::json::decode::{append_unreadable, corrupt_field, decimal, keep_text, malformed, texts};
use crate::json::encode::plain;
use crate::json::options::{given, unsupported};
use crate::json::{Encoder, Mode, Options, schema_argument, string};
use crate::types::{is_nested, sql_name};

/// The functions of this family.
pub(crate) const FUNCTIONS: &[Function] = &[
    Function { names: &["from_csv"], arity: Arity::between(2, 3), resolve: from_csv },
    Function { names: &["to_csv"], arity: Arity::between(1, 2), resolve: to_csv },
];

/// How records are written.
#[derive(Debug, Clone)]
struct Dialect {
    separator: String,
    quote: char,
    escape: char,
    null: String,
    quote_all: bool,
}

impl Dialect {
    fn of(call: &Call<'_>, index: usize) -> Result<Self> {
        let mut dialect = Dialect { separator: ",".to_owned(), quote: '"', escape: '\\', null: String::new(), quote_all: false };
        for (key, value) in given(call, index)? {
            let char = || value.chars().next().unwrap_or('\0');
            match key.to_ascii_lowercase().as_str() {
                "sep" | "delimiter" => dialect.separator = value.replace("\\t", "\t"),
                "quote" => dialect.quote = char(),
                "escape" => dialect.escape = char(),
                "nullvalue" => dialect.null = value,
                "quoteall" => dialect.quote_all = value.eq_ignore_ascii_case("true"),
                "emptyvalue"
                | "comment"
                | "nanvalue"
                | "positiveinf"
                | "negativeinf"
                | "ignoreleadingwhitespace"
                | "ignoretrailingwhitespace"
                | "chartoescapequoteescaping"
                | "escapequotes"
                | "linesep" => {
                    return Err(unsupported(call, &key));
                }
                _ => {}
            }
        }
        if dialect.separator.is_empty() {
            return Err(spark_error("INVALID_DELIMITER_VALUE.EMPTY_STRING", "Invalid value for delimiter: it can't be empty."));
        }
        Ok(dialect)
    }

    /// The values of a record. A line's end is a character like any other.
    fn split(&self, text: &str) -> Vec<String> {
        let mut values = Vec::new();
        let mut rest = Some(text);
        while let Some(text) = rest {
            let (value, after) = self.quoted(text).unwrap_or_else(|| match text.split_once(&self.separator) {
                Some((value, after)) => (value.to_owned(), Some(after)),
                None => (text.to_owned(), None),
            });
            values.push(value);
            rest = after;
        }
        values
    }

    /// A value in quotes at the front of the text, and what follows its separator; `None` if the quotes don't hold all of it.
    fn quoted<'a>(&self, text: &'a str) -> Option<(String, Option<&'a str>)> {
        let mut chars = text.strip_prefix(self.quote)?.chars();
        let mut value = String::new();
        while let Some(char) = chars.next() {
            let next = chars.clone().next();
            if char == self.escape && (next == Some(self.quote) || (next == Some(self.escape) && self.escape != self.quote)) {
                value.extend(chars.next());
            } else if char == self.quote {
                let rest = chars.as_str();
                let blank = rest.trim_start_matches(' ');
                return match blank.strip_prefix(self.separator.as_str()) {
                    Some(after) => Some((value, Some(after))),
                    None if blank.is_empty() => Some((value, None)),
                    None => None,
                };
            } else {
                value.push(char);
            }
        }
        // A quote that is never closed holds all of the rest.
        Some((value, None))
    }

    fn join(&self, values: &[Option<String>], out: &mut String) {
        for (at, value) in values.iter().enumerate() {
            if at > 0 {
                out.push_str(&self.separator);
            }
            match value {
                Some(value) => self.write(value.trim(), out),
                None => out.push_str(&self.null),
            }
        }
    }

    fn write(&self, value: &str, out: &mut String) {
        let special = value.is_empty() || value.contains(['\n', '\r', self.quote]) || value.contains(&self.separator);
        if !special && !self.quote_all {
            return out.push_str(value);
        }
        out.push(self.quote);
        for char in value.chars() {
            if char == self.quote || char == self.escape {
                out.push(self.escape);
            }
            out.push(char);
        }
        out.push(self.quote);
    }
}

fn from_csv(call: &Call<'_>) -> Result<Resolved> {
    let text = string(call, 0)?;
    let target = schema_argument(call, 1)?;
    let DataType::Struct(fields) = target.clone() else {
        let message = format!(
            "The input schema is not a valid schema string. The input expression should be evaluated to struct type, but got \"{}\".",
            sql_name(&target)
        );
        return Err(spark_error("INVALID_SCHEMA.NON_STRUCT_TYPE", message));
    };
    let readable = |data_type: &DataType| !is_nested(data_type) && Column::new(data_type).is_some();
    if let Some(field) = fields.iter().find(|field| !readable(field.data_type())) {
        return Err(spark_error("UNSUPPORTED_DATATYPE", format!("Unsupported data type \"{}\".", sql_name(field.data_type()))));
    }
    let (options, dialect) = (Options::of(call, 2, Pattern::to_parse)?, Dialect::of(call, 2)?);
    let fail_fast = options.mode == Mode::FailFast;
    let args = std::iter::once(text).chain(call.args.iter().skip(1).map(|arg| arg.data_type.clone())).collect();
    let resolved = Resolved::new(args, target.clone(), move |invocation| {
        decode(&texts(&invocation.array(0)?)?, &target, &options, &dialect)
    });
    Ok(if fail_fast { resolved.fallible() } else { resolved })
}

fn decode(records: &StringArray, target: &DataType, options: &Options, dialect: &Dialect) -> Result<ArrayRef> {
    let mut column = Column::new(target).ok_or_else(|| DataFusionError::Internal(format!("no column of {target}")))?;
    let corrupt = corrupt_field(target, options);
    for record in records {
        let (Some(record), Column::Struct(columns, valid)) = (record, &mut column) else {
            column.push_null();
            continue;
        };
        if record.is_empty() {
            append_unreadable(&mut column);
            continue;
        }
        let row = valid.len();
        let values = dialect.split(record);
        let mut whole = values.len() == columns.len() - usize::from(corrupt.is_some());
        let mut values = values.into_iter();
        for (place, column) in columns.iter_mut().enumerate().filter(|(place, _)| Some(*place) != corrupt) {
            let read = values
                .next()
                .filter(|value| !value.is_empty() && *value != dialect.null)
                .map(|value| read(&value, column, options));
            if read != Some(Some(())) {
                whole &= read.is_none();
                column.push_null();
            }
            debug_assert_eq!(column.len(), row + 1, "column {place}");
        }
        valid.push(true);
        if !whole && options.mode == Mode::FailFast {
            return Err(malformed(record));
        }
        if let Some(index) = corrupt {
            columns.iter_mut().skip(index).take(1).for_each(Column::push_null);
            if !whole {
                keep_text(columns, row, index, record);
            }
        }
    }
    column.finish(target)
}

/// Reads a value into a column; `None` if it doesn't fit.
fn read(text: &str, column: &mut Column, options: &Options) -> Option<()> {
    match column {
        Column::Boolean(flat) if text.eq_ignore_ascii_case("true") => flat.push(Some(true)),
        Column::Boolean(flat) if text.eq_ignore_ascii_case("false") => flat.push(Some(false)),
        Column::Byte(flat) => flat.push(Some(text.parse().ok()?)),
        Column::Short(flat) => flat.push(Some(text.parse().ok()?)),
        Column::Int(flat) => flat.push(Some(text.parse().ok()?)),
        Column::Long(flat) => flat.push(Some(text.parse().ok()?)),
        Column::Float(flat) => flat.push(Some(number(text)? as f32)),
        Column::Double(flat) => flat.push(Some(number(text)?)),
        Column::Decimal(flat, precision, scale) => flat.push(Some(decimal(&text.replace(',', ""), *precision, *scale)?)),
        Column::Text(bytes) | Column::Binary(bytes) => bytes.push(Some(text.as_bytes())),
        Column::Date(flat) => flat.push(Some(options.date(text)?)),
        Column::Timestamp(flat) => flat.push(Some(options.timestamp(text)?)),
        Column::TimestampNtz(flat) => flat.push(Some(options.timestamp_ntz(text)?)),
        _ => return None,
    }
    Some(())
}

/// A floating-point number as Java reads it, or one of the names that Spark gives to infinity.
fn number(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Inf" | "Infinity" | "+Infinity" => Some(f64::INFINITY),
        "-Inf" | "-Infinity" => Some(f64::NEG_INFINITY),
        _ => {
            let digits = text.trim().strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(text.trim());
            let plain = digits.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E'));
            digits.parse().ok().filter(|_| plain)
        }
    }
}

fn to_csv(call: &Call<'_>) -> Result<Resolved> {
    let (options, dialect) = (Options::of(call, 1, Pattern::to_format)?, Dialect::of(call, 1)?);
    let data_type = call.data_type(0);
    let writable = match data_type {
        DataType::Struct(fields) => fields.iter().all(|field| !is_nested(field.data_type())),
        other => other == &DataType::Null,
    };
    if !writable {
        return Err(spark_error(
            "DATATYPE_MISMATCH.UNSUPPORTED_INPUT_TYPE",
            format!(
                "Cannot resolve \"{}\" due to data type mismatch: The input of `to_csv` can't be \"{}\" type data.",
                call.sql(),
                sql_name(data_type)
            ),
        ));
    }
    let encoder = Encoder::new(&options)?;
    let args = call.args.iter().map(|arg| arg.data_type.clone()).collect();
    Ok(Resolved::new(args, DataType::Utf8, move |invocation| encode(&invocation.array(0)?, &dialect, &encoder)))
}

fn encode(rows: &ArrayRef, dialect: &Dialect, encoder: &Encoder) -> Result<ArrayRef> {
    let (mut texts, mut text) = (StringBuilder::new(), String::new());
    for row in 0..rows.len() {
        let columns = rows.as_struct_opt().filter(|rows| rows.is_valid(row)).map(|rows| rows.columns()).unwrap_or_default();
        let values = columns.iter().map(|column| value(column, row, encoder)).collect::<Result<Vec<_>>>()?;
        text.clear();
        dialect.join(&values, &mut text);
        // A record of nothing at all is none.
        texts.append_option((!text.is_empty()).then_some(text.as_str()));
    }
    Ok(Arc::new(texts.finish()))
}

fn value(column: &ArrayRef, row: usize, encoder: &Encoder) -> Result<Option<String>> {
    if column.is_null(row) || column.data_type() == &DataType::Null {
        return Ok(None);
    }
    let mut text = String::new();
    match column.data_type() {
        DataType::Date32 | DataType::Timestamp(_, _) => encoder.moment(column, row, &mut text),
        DataType::Binary => {
            let bytes: Vec<String> = column.as_binary::<i32>().value(row).iter().map(|byte| format!("{byte:02X}")).collect();
            text = format!("[{}]", bytes.join(" "));
        }
        _ => plain(column, row, &mut text)?,
    }
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::function::Settings;
    use crate::types::parse_schema;
    use arrow::util::display::array_value_to_string;

    fn dialect() -> Dialect {
        Dialect { separator: ",".to_owned(), quote: '"', escape: '\\', null: String::new(), quote_all: false }
    }

    fn read(record: &str, schema: &str) -> ArrayRef {
        let target = DataType::Struct(parse_schema(schema).unwrap());
        decode(&StringArray::from(vec![record]), &target, &Options::new(&Settings::default()), &dialect()).unwrap()
    }

    #[test]
    fn records_are_read() {
        for (record, schema, row) in [
            ("1,x,2.5", "a INT, b STRING, c DOUBLE", "{a: 1, b: x, c: 2.5}"),
            ("1", "a INT, b STRING", "{a: 1, b: }"),
            ("1,2,3", "a INT", "{a: 1}"),
            ("x,y", "a INT, b STRING", "{a: , b: y}"),
            ("", "a INT, b STRING", "{a: , b: }"),
            (r#""a,b",c"#, "a STRING, b STRING", "{a: a,b, b: c}"),
            (r#""a""b","c\"d""#, "a STRING, b STRING", r#"{a: "a""b", b: c"d}"#),
            (r#""a" ,b"#, "a STRING, b STRING", "{a: a, b: b}"),
            (r#""a"x,b"#, "a STRING, b STRING", r#"{a: "a"x, b: b}"#),
            (r#""a\\b",c\n"#, "a STRING, b STRING", r"{a: a\b, b: c\n}"),
            (r#""abc"#, "a STRING, b STRING", "{a: abc, b: }"),
            ("a\nb,c", "a STRING, b STRING", "{a: a\nb, b: c}"),
            (" 1 , x ", "a INT, b STRING", "{a: , b:  x }"),
            ("true,TRUE,t,1", "a BOOLEAN, b BOOLEAN, c BOOLEAN, d BOOLEAN", "{a: true, b: true, c: , d: }"),
            ("128,1.0,+5,-0", "a TINYINT, b INT, c INT, d INT", "{a: , b: , c: 5, d: 0}"),
            ("NaN,Inf,nan,1f", "a DOUBLE, b DOUBLE, c DOUBLE, d DOUBLE", "{a: NaN, b: inf, c: , d: 1.0}"),
            (r#"1.235,"1,234.5",x"#, "a DECIMAL(5,2), b DECIMAL(10,2), c DECIMAL(5,2)", "{a: 1.24, b: 1234.50, c: }"),
        ] {
            assert_eq!(array_value_to_string(&read(record, schema), 0).unwrap(), row, "{record}");
        }
    }

    #[test]
    fn what_is_written() {
        for (value, text) in [
            ("x,y", r#""x,y""#),
            (r#"q"r"#, r#""q\"r""#),
            ("", r#""""#),
            (" sp ", "sp"),
            (" ", r#""""#),
            ("a\nb", "\"a\nb\""),
            (r"\", r"\"),
            (r#"a\b""#, r#""a\\b\"""#),
            ("it's#-", "it's#-"),
        ] {
            let mut out = String::new();
            dialect().join(&[Some(value.to_owned())], &mut out);
            assert_eq!(out, text);
        }
        let row =
            read("1,,2024-01-01,2024-01-01 01:02:03.5,1.50,x", "a INT, b INT, c DATE, d TIMESTAMP, e DECIMAL(5,2), f BINARY");
        let texts = encode(&row, &dialect(), &Encoder::new(&Options::new(&Settings::default())).unwrap()).unwrap();
        assert_eq!(texts.as_string::<i32>().value(0), "1,,2024-01-01,2024-01-01T01:02:03.500Z,1.50,[78]");
        let nothing =
            encode(&read("", "a INT"), &dialect(), &Encoder::new(&Options::new(&Settings::default())).unwrap()).unwrap();
        assert!(nothing.is_null(0));
    }
}
