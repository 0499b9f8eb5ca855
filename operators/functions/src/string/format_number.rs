//! `format_number`: Java's `DecimalFormat`.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type};
use datafusion::error::{DataFusionError, Result};

use super::columns::{ints, texts, try_build};
use super::decimal_text::{decimal_rounded, grouped};
use crate::function::{Call, Invocation, Resolved};
use crate::types::{is_decimal, is_float, is_integral};

pub(super) fn format_number(call: &Call<'_>) -> Result<Resolved> {
    let value = match call.data_type(0) {
        own if is_integral(own) => DataType::Int64,
        own if is_float(own) => DataType::Float64,
        own if is_decimal(own) => own.clone(),
        DataType::Null => DataType::Int64,
        _ => return Err(call.unexpected_type(0, "the \"NUMERIC\" type")),
    };
    let (format, prepared) = match call.data_type(1) {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Null => (DataType::Int32, None),
        DataType::Utf8 => (DataType::Utf8, call.literal_str(1).and_then(|pattern| Format::parse(pattern).ok())),
        _ => return Err(call.unexpected_type(1, "the (\"INT\" or \"STRING\") type")),
    };
    let by_places = format == DataType::Int32;
    let kernel = move |invocation: &Invocation<'_>| {
        let values = invocation.array(0)?;
        if by_places {
            let places = ints(invocation, 1)?;
            return try_build(invocation.rows, |row, out: &mut String| {
                let Some(places) = places.get(row).and_then(|places| usize::try_from(places).ok()) else { return Ok(None) };
                Format::with_places(places).write(&values, row, out)
            });
        }
        let patterns = texts(invocation, 1)?;
        try_build(invocation.rows, |row, out: &mut String| match (&prepared, patterns.get(row)) {
            (_, None) => Ok(None),
            (Some(format), _) => format.write(&values, row, out),
            (None, Some(pattern)) => Format::parse(pattern)?.write(&values, row, out),
        })
    };
    Ok(Resolved::new(vec![value, format], DataType::Utf8, kernel).fallible())
}

/// What a pattern says.
#[derive(Debug, Clone, Default)]
struct Format {
    prefix: String,
    suffix: String,
    /// Prefix and suffix of negative numbers, if they have their own.
    negative: Option<(String, String)>,
    group: usize,
    min_whole: usize,
    min_fraction: usize,
    max_fraction: usize,
    percent: bool,
}

impl Format {
    fn with_places(places: usize) -> Format {
        Format { group: 3, min_whole: 1, min_fraction: places, max_fraction: places, ..Format::default() }
    }

    fn parse(pattern: &str) -> Result<Format> {
        if pattern.is_empty() {
            return Ok(Format::with_places(0));
        }
        let mut format = Format::default();
        let (mut whole, mut zeros, mut fraction) = (0, 0, None);
        let (mut quoted, mut after_number) = (false, false);
        let mut chars = pattern.chars().peekable();
        let bad = |what: &str| DataFusionError::Execution(format!("{what} in pattern \"{pattern}\""));
        while let Some(c) = chars.next() {
            // What follows the first digit and is no part of the number ends it.
            after_number |= (whole > 0 || fraction.is_some()) && !matches!(c, '#' | '0' | ',' | '.');
            let affix = if after_number { &mut format.suffix } else { &mut format.prefix };
            match c {
                '\'' if chars.next_if_eq(&'\'').is_some() => affix.push('\''),
                '\'' => quoted = !quoted,
                _ if quoted => affix.push(c),
                '#' | '0' | ',' | '.' if !after_number => match (c, &mut fraction) {
                    ('.', Some(_)) => return Err(bad("Multiple decimal separators")),
                    ('.', None) => fraction = Some((0, 0)),
                    (',', Some(_)) => return Err(bad("Malformed pattern")),
                    (',', None) => format.group = usize::MAX,
                    (_, Some((minimum, maximum))) => {
                        *maximum += 1;
                        *minimum += usize::from(c == '0');
                    }
                    (_, None) => {
                        whole += 1;
                        zeros += usize::from(c == '0');
                        if format.group == usize::MAX {
                            format.group = 0;
                        }
                    }
                },
                ';' => {
                    let rest: String = chars.by_ref().collect();
                    let is_number = |c: char| matches!(c, '#' | '0' | ',' | '.');
                    let (start, end) =
                        (rest.find(is_number).unwrap_or(rest.len()), rest.rfind(is_number).map_or(rest.len(), |at| at + 1));
                    let part = |text: Option<&str>| text.unwrap_or_default().replace('\'', "");
                    format.negative = Some((part(rest.get(..start)), part(rest.get(end..))));
                }
                'E' if whole > 0 => return Err(DataFusionError::NotImplemented("format_number with an exponent".to_owned())),
                '%' => {
                    format.percent = true;
                    affix.push('%');
                }
                _ => affix.push(c),
            }
        }
        let places = pattern.split([';', '.', '%']).next().unwrap_or_default();
        format.group = match places.rfind(',') {
            Some(at) => places.get(at..).unwrap_or_default().chars().filter(|c| matches!(c, '#' | '0')).count(),
            None => 0,
        };
        // A point with nothing required before it still gets its zero.
        let implied = fraction.is_some_and(|(_, maximum)| zeros == 0 && whole > 0 && maximum > 0);
        format.min_whole = if implied { 1 } else { zeros };
        (format.min_fraction, format.max_fraction) = fraction.unwrap_or((0, 0));
        Ok(format)
    }

    fn write(&self, values: &ArrayRef, row: usize, out: &mut String) -> Result<Option<()>> {
        if values.is_null(row) {
            return Ok(None);
        }
        super::columns::to_offset(self.max_fraction)?;
        let percent = if self.percent { 100 } else { 1 };
        let (negative, (whole, fraction)) = match values.data_type() {
            DataType::Float64 => {
                let value = values.as_primitive::<Float64Type>().value(row) * f64::from(percent);
                if value.is_nan() {
                    out.push_str("NaN");
                    return Ok(Some(()));
                }
                (value.is_sign_negative(), double_digits(value, self.max_fraction))
            }
            DataType::Decimal128(_, scale) => {
                let value = values.as_primitive::<Decimal128Type>().value(row);
                (value < 0, decimal_rounded(value.saturating_mul(percent.into()), *scale, self.max_fraction))
            }
            _ => {
                let value = i128::from(values.as_primitive::<Int64Type>().value(row));
                (value < 0, decimal_rounded(value * i128::from(percent), 0, self.max_fraction))
            }
        };
        self.assemble(negative, &whole, &fraction, out);
        Ok(Some(()))
    }

    fn assemble(&self, negative: bool, whole: &str, fraction: &str, out: &mut String) {
        let kept = fraction.trim_end_matches('0').len().max(self.min_fraction);
        let fraction = fraction.get(..kept).unwrap_or(fraction);
        let whole = match whole.trim_start_matches('0') {
            "" if self.min_whole == 0 && fraction.is_empty() => "0",
            trimmed => trimmed,
        };
        let whole = format!("{whole:0>width$}", width = self.min_whole);
        match (&self.negative, negative) {
            (Some((prefix, _)), true) => out.push_str(prefix),
            (None, true) => {
                out.push('-');
                out.push_str(&self.prefix);
            }
            (_, false) => out.push_str(&self.prefix),
        }
        out.push_str(&grouped(&whole, self.group));
        if !fraction.is_empty() {
            out.push('.');
            out.push_str(fraction);
        }
        match (&self.negative, negative) {
            (Some((_, suffix)), true) => out.push_str(suffix),
            _ => out.push_str(&self.suffix),
        }
    }
}

/// The digits of the exact value, rounded half to even.
fn double_digits(value: f64, places: usize) -> (String, String) {
    if value.is_infinite() {
        return ("∞".to_owned(), String::new());
    }
    let text = format!("{:.places$}", value.abs());
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    (whole.to_owned(), fraction.to_owned())
}
