//! `format_string`: Java's `Formatter`.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType,
};
use datafusion::error::{DataFusionError, Result};

use super::columns::{text, texts, try_build};
use super::decimal_text::{decimal_digits, fixed, grouped, java_text, round_half_up, scientific, shortest};
use crate::error::spark_error;
use crate::function::{Call, Invocation, Resolved};
use crate::types::is_nested;

pub(super) fn format_string(call: &Call<'_>) -> Result<Resolved> {
    let mut args = vec![text(call, 0)?];
    for index in 1..call.len() {
        let own = call.data_type(index);
        if is_nested(own) || matches!(own, DataType::Binary | DataType::Duration(_) | DataType::Interval(_)) {
            return Err(DataFusionError::NotImplemented(format!("format_string of {own}")));
        }
        args.push(own.clone());
    }
    // A bad format that is a literal is found out here, as long as nothing but the format is wrong with it.
    let prepared = match call.literal_str(0) {
        Some(format) => match parse(format) {
            Err(error) if crate::error::SparkError::find(&error).is_some() => return Err(error),
            parsed => parsed.ok(),
        },
        None => None,
    };
    let kernel = move |invocation: &Invocation<'_>| {
        let formats = texts(invocation, 0)?;
        let columns = (1..invocation.args.len()).map(|index| invocation.array(index)).collect::<Result<Vec<ArrayRef>>>()?;
        try_build(invocation.rows, |row, out: &mut String| {
            let Some(format) = formats.get(row) else { return Ok(None) };
            let parsed;
            let pieces = match &prepared {
                Some(pieces) => pieces,
                None => {
                    parsed = parse(format)?;
                    &parsed
                }
            };
            for piece in pieces {
                match piece {
                    Piece::Text(text) => out.push_str(text),
                    Piece::Value(spec, index) => {
                        let column = columns.get(*index).ok_or_else(|| illegal(format!("Format specifier '{}'", spec.source)))?;
                        spec.write(&value(column, row)?, out)?;
                    }
                }
            }
            Ok(Some(()))
        })
    };
    Ok(Resolved::new(args, DataType::Utf8, kernel).fallible())
}

fn illegal(message: String) -> DataFusionError {
    DataFusionError::Execution(message)
}

enum Piece {
    Text(String),
    /// How a value is written, and which.
    Value(Spec, usize),
}

#[derive(Default, Clone)]
struct Spec {
    /// As it stands in the format.
    source: String,
    flags: String,
    width: Option<usize>,
    precision: Option<usize>,
    conversion: char,
    upper: bool,
}

fn parse(format: &str) -> Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    let (mut rest, mut ordinary, mut last) = (format, 0, None);
    while let Some(at) = rest.find('%') {
        let (before, spec) = rest.split_at(at);
        pieces.push(Piece::Text(before.to_owned()));
        let body = spec.get(1..).unwrap_or_default();
        let unknown = || illegal("Conversion = '%'".to_owned());
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let (mut at, mut index) = (0, None);
        let leading = digits(body);
        if leading > 0 && body.as_bytes().get(leading) == Some(&b'$') {
            index = body.get(..leading).and_then(|text| text.parse::<usize>().ok());
            if index == Some(0) {
                return Err(spark_error(
                    "INVALID_PARAMETER_VALUE.ZERO_INDEX",
                    "The value of parameter(s) `strfmt` in `format_string` is invalid: expects %1$, %2$ and so on, but got %0$.",
                ));
            }
            at = leading + 1;
        }
        let mut parsed = Spec::default();
        let mut previous = false;
        while let Some(flag) = body.as_bytes().get(at).filter(|byte| b"-#+ 0,(<".contains(byte)) {
            match flag {
                b'<' => previous = true,
                flag => parsed.flags.push(char::from(*flag)),
            }
            at += 1;
        }
        let number = |at: usize| {
            let text = body.get(at..at + digits(body.get(at..).unwrap_or_default())).unwrap_or_default();
            (at + text.len(), text.parse::<usize>().ok())
        };
        (at, parsed.width) = number(at);
        if body.as_bytes().get(at) == Some(&b'.') {
            (at, parsed.precision) = number(at + 1);
            parsed.precision.ok_or_else(unknown)?;
        }
        let conversion = body.get(at..).and_then(|rest| rest.chars().next()).ok_or_else(unknown)?;
        let end = at + conversion.len_utf8();
        parsed.upper = conversion.is_ascii_uppercase();
        parsed.conversion = conversion.to_ascii_lowercase();
        parsed.source = format!("%{}", body.get(..end).unwrap_or_default());
        rest = body.get(end..).unwrap_or_default();
        match (parsed.conversion, parsed.upper) {
            ('n', false) => pieces.push(Piece::Text("\n".to_owned())),
            ('%', _) => {
                let mut text = String::new();
                parsed.pad("%", &mut text)?;
                pieces.push(Piece::Text(text));
            }
            ('b' | 's' | 'c' | 'x' | 'e' | 'g', _) | ('d' | 'o' | 'f', false) => {
                let index = match (index, previous) {
                    (_, true) => last.ok_or_else(|| illegal(format!("Format specifier '{}'", parsed.source)))?,
                    (Some(index), _) => index - 1,
                    (None, _) => {
                        ordinary += 1;
                        ordinary - 1
                    }
                };
                last = Some(index);
                parsed.check()?;
                pieces.push(Piece::Value(parsed, index));
            }
            _ => return Err(illegal(format!("Conversion = '{conversion}'"))),
        }
    }
    pieces.push(Piece::Text(rest.to_owned()));
    Ok(pieces)
}

/// A value to be written.
enum Value<'a> {
    Null,
    /// A number and its size in bits.
    Int(i64, u32),
    /// A number and how Java writes it.
    Float(f64, String),
    Bool(bool),
    Text(&'a str),
    Decimal(String),
}

fn value(column: &ArrayRef, row: usize) -> Result<Value<'_>> {
    if column.is_null(row) {
        return Ok(Value::Null);
    }
    Ok(match column.data_type() {
        DataType::Null => Value::Null,
        DataType::Boolean => Value::Bool(column.as_boolean().value(row)),
        DataType::Int8 => Value::Int(column.as_primitive::<Int8Type>().value(row).into(), 8),
        DataType::Int16 => Value::Int(column.as_primitive::<Int16Type>().value(row).into(), 16),
        DataType::Int32 => Value::Int(column.as_primitive::<Int32Type>().value(row).into(), 32),
        DataType::Int64 => Value::Int(column.as_primitive::<Int64Type>().value(row), 64),
        // Dates and timestamps are the numbers that they are stored as.
        DataType::Date32 => Value::Int(column.as_primitive::<Date32Type>().value(row).into(), 32),
        DataType::Timestamp(_, _) => Value::Int(column.as_primitive::<TimestampMicrosecondType>().value(row), 64),
        DataType::Float32 => {
            let value = column.as_primitive::<Float32Type>().value(row);
            Value::Float(value.into(), float_text(value.into(), format!("{value:e}")))
        }
        DataType::Float64 => {
            let value = column.as_primitive::<Float64Type>().value(row);
            Value::Float(value, float_text(value, format!("{value:e}")))
        }
        DataType::Decimal128(_, scale) => {
            let value = column.as_primitive::<Decimal128Type>().value(row);
            let (whole, fraction) = decimal_digits(value, *scale);
            let point = if fraction.is_empty() { "" } else { "." };
            Value::Decimal(format!("{}{whole}{point}{fraction}", if value < 0 { "-" } else { "" }))
        }
        DataType::Utf8 => Value::Text(column.as_string::<i32>().value(row)),
        other => return Err(DataFusionError::NotImplemented(format!("format_string of {other}"))),
    })
}

fn float_text(value: f64, scientific: String) -> String {
    if value.is_finite() { java_text(&scientific) } else { special(value).to_owned() }
}

fn special(value: f64) -> &'static str {
    match value {
        _ if value.is_nan() => "NaN",
        _ if value > 0.0 => "Infinity",
        _ => "-Infinity",
    }
}

impl Spec {
    fn has(&self, flag: char) -> bool {
        self.flags.contains(flag)
    }

    fn check(&self) -> Result<()> {
        let allowed = match self.conversion {
            's' | 'b' | 'c' => "-",
            'd' => "-+ 0,(",
            'x' | 'o' => "-#0",
            'e' => "-#+ 0(",
            _ => "-#+ 0,(",
        };
        if self.width.is_none() && (self.has('-') || self.has('0')) && allowed.contains('0') {
            return Err(illegal(self.source.clone()));
        }
        match self.flags.chars().find(|flag| !allowed.contains(*flag)) {
            Some(flag) => Err(illegal(format!("Conversion = {}, Flags = {flag}", self.conversion))),
            None => Ok(()),
        }
    }

    fn write(&self, value: &Value<'_>, out: &mut String) -> Result<()> {
        let mismatch = || {
            let class = match value {
                Value::Int(_, 8) => "java.lang.Byte",
                Value::Int(_, 16) => "java.lang.Short",
                Value::Int(_, 32) => "java.lang.Integer",
                Value::Int(_, _) => "java.lang.Long",
                Value::Float(_, _) => "java.lang.Double",
                Value::Bool(_) => "java.lang.Boolean",
                Value::Decimal(_) => "org.apache.spark.sql.types.Decimal",
                Value::Null | Value::Text(_) => "org.apache.spark.unsafe.types.UTF8String",
            };
            illegal(format!("{} != {class}", self.conversion))
        };
        match (self.conversion, value) {
            ('b', Value::Null) => self.text("false", out),
            ('b', Value::Bool(value)) => self.text(if *value { "true" } else { "false" }, out),
            ('b', _) => self.text("true", out),
            (_, Value::Null) => self.text("null", out),
            ('s', Value::Text(text)) => self.text(text, out),
            ('s', Value::Int(value, _)) => self.text(&value.to_string(), out),
            ('s', Value::Float(_, text) | Value::Decimal(text)) => self.text(text, out),
            ('s', Value::Bool(value)) => self.text(if *value { "true" } else { "false" }, out),
            ('c', Value::Int(value, bits)) if *bits <= 32 => {
                let c = u32::try_from(*value).ok().and_then(char::from_u32);
                let c = c.ok_or_else(|| illegal(format!("Code point = 0x{value:x}")))?;
                self.text(c.encode_utf8(&mut [0; 4]), out)
            }
            ('d', Value::Int(value, _)) => self.number(*value < 0, &value.unsigned_abs().to_string(), out),
            ('x' | 'o', Value::Int(value, bits)) => {
                let unsigned = *value as u64 & (u64::MAX >> (64 - bits));
                let (prefix, digits) =
                    if self.conversion == 'x' { ("0x", format!("{unsigned:x}")) } else { ("0", format!("{unsigned:o}")) };
                let prefix = if self.has('#') { prefix } else { "" };
                self.filled(prefix, &digits, "", out)
            }
            ('e' | 'f' | 'g', Value::Float(value, _)) => self.float(*value, out),
            _ => Err(mismatch()),
        }
    }

    fn float(&self, value: f64, out: &mut String) -> Result<()> {
        if !value.is_finite() {
            return self.pad(special(value), out);
        }
        let precision = self.precision.unwrap_or(6);
        if precision > 1 << 20 {
            return Err(DataFusionError::ResourcesExhausted(format!("{} wants too many digits", self.source)));
        }
        let digits = match self.conversion {
            'f' => fixed(value, precision),
            'e' => scientific(value, precision),
            _ => general(value, precision.max(1)),
        };
        self.number(value.is_sign_negative(), &digits, out)
    }

    /// A signed number: its digits with grouping, sign and zeros.
    fn number(&self, negative: bool, digits: &str, out: &mut String) -> Result<()> {
        let (whole, rest) = digits.split_at(digits.find(['.', 'e']).unwrap_or(digits.len()));
        let digits = if self.has(',') { grouped(whole, 3) + rest } else { digits.to_owned() };
        let (prefix, suffix) = match negative {
            true if self.has('(') => ("(", ")"),
            true => ("-", ""),
            false if self.has('+') => ("+", ""),
            false if self.has(' ') => (" ", ""),
            false => ("", ""),
        };
        self.filled(prefix, &digits, suffix, out)
    }

    fn filled(&self, prefix: &str, digits: &str, suffix: &str, out: &mut String) -> Result<()> {
        let size = prefix.len() + digits.len() + suffix.len();
        let zeros = if self.has('0') { self.width.unwrap_or(0).saturating_sub(size) } else { 0 };
        super::columns::to_offset(zeros)?;
        self.pad(&format!("{prefix}{}{digits}{suffix}", "0".repeat(zeros)), out)
    }

    /// Text, which a precision cuts.
    fn text(&self, text: &str, out: &mut String) -> Result<()> {
        let cut = self.precision.and_then(|precision| text.char_indices().nth(precision)).map_or(text.len(), |(at, _)| at);
        self.pad(text.get(..cut).unwrap_or_default(), out)
    }

    fn pad(&self, text: &str, out: &mut String) -> Result<()> {
        let upper;
        let text = if self.upper {
            upper = text.to_uppercase();
            &upper
        } else {
            text
        };
        let missing = self.width.unwrap_or(0).saturating_sub(text.chars().count());
        super::columns::to_offset(out.len().saturating_add(missing))?;
        let spaces = " ".repeat(missing);
        let (before, after) = if self.has('-') { ("", spaces.as_str()) } else { (spaces.as_str(), "") };
        for part in [before, text, after] {
            out.push_str(part);
        }
        Ok(())
    }
}

/// `%g`: fixed for numbers from 0.0001 to as many digits as are wanted, else scientific.
fn general(value: f64, precision: usize) -> String {
    if value == 0.0 {
        return fixed(value, precision - 1);
    }
    let (mut digits, mut exponent) = shortest(&format!("{:e}", value.abs()));
    if round_half_up(&mut digits, precision as i32) {
        exponent += 1;
    }
    match usize::try_from(precision as i32 - 1 - exponent) {
        Ok(fraction) if exponent >= -4 => fixed(value, fraction),
        _ => scientific(value, precision - 1),
    }
}
