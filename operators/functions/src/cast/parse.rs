//! Text to numbers, booleans and intervals.

use std::sync::LazyLock;

use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::{
    DataType, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    IntervalYearMonthType,
};
use datafusion::error::{DataFusionError, Result};
use regex::Regex;

use super::number::{fits, power};
use super::{CastMode, decimal_out_of_range, malformed, text_to_primitive, with_type};
use crate::error::spark_error;

/// The text without blanks and control characters at its ends.
pub fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c <= ' ' || c == '\u{7f}')
}

/// Reads `true`, `t`, `yes`, `y`, `1` and their opposites, in any case.
pub fn boolean(text: &str) -> Option<bool> {
    let text = trim(text);
    let is = |word: &&str| word.eq_ignore_ascii_case(text);
    if ["true", "t", "yes", "y", "1"].iter().any(is) {
        Some(true)
    } else if ["false", "f", "no", "n", "0"].iter().any(is) {
        Some(false)
    } else {
        None
    }
}

/// Casts texts to a type of numbers.
pub(super) fn numbers(values: &StringArray, to: &DataType, mode: CastMode) -> Result<ArrayRef> {
    let error = |text: &str| malformed(text, to);
    match to {
        DataType::Int8 => text_to_primitive::<Int8Type>(values, mode, |text| trim(text).parse().ok(), error),
        DataType::Int16 => text_to_primitive::<Int16Type>(values, mode, |text| trim(text).parse().ok(), error),
        DataType::Int32 => text_to_primitive::<Int32Type>(values, mode, |text| trim(text).parse().ok(), error),
        DataType::Int64 => text_to_primitive::<Int64Type>(values, mode, |text| trim(text).parse().ok(), error),
        DataType::Float32 => text_to_primitive::<Float32Type>(values, mode, float, error),
        DataType::Float64 => text_to_primitive::<Float64Type>(values, mode, double, error),
        DataType::Decimal128(precision, scale) => {
            let (precision, scale) = (*precision, *scale);
            let one = |text: &str| DecimalText::parse(text)?.to_decimal(precision, scale);
            let error = |text: &str| match DecimalText::parse(text) {
                None => malformed(text, to),
                Some(number) if number.whole_digits() > 38 => spark_error(
                    "NUMERIC_OUT_OF_SUPPORTED_RANGE",
                    format!("The value {text} cannot be interpreted as a numeric since it has more than 38 digits."),
                ),
                Some(_) => decimal_out_of_range(trim(text), precision, scale),
            };
            Ok(with_type::<Decimal128Type>(&text_to_primitive::<Decimal128Type>(values, mode, one, error)?, to))
        }
        _ => Err(DataFusionError::Internal(format!("text to {to}"))),
    }
}

/// Reads a `double` as Java's `Double.parseDouble` does, and `inf`, `infinity` and `nan` in any case.
pub fn double(text: &str) -> Option<f64> {
    special(text).or_else(|| decimal_float(text)?.parse().ok()).or_else(|| hex_float(text))
}

/// Reads a `float`, as [`double`] does.
pub fn float(text: &str) -> Option<f32> {
    let special = || special(text).map(|value| value as f32);
    special().or_else(|| decimal_float(text)?.parse().ok()).or_else(|| hex_float(text).map(|value| value as f32))
}

fn special(text: &str) -> Option<f64> {
    let text = trim(text);
    if !text.ends_with(['y', 'Y', 'f', 'F', 'n', 'N']) {
        return None;
    }
    let word = text.strip_prefix(['+', '-']).unwrap_or(text);
    let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
    if word.eq_ignore_ascii_case("infinity") || word.eq_ignore_ascii_case("inf") {
        return Some(sign * f64::INFINITY);
    }
    (text.eq_ignore_ascii_case("nan") || word == "NaN").then_some(f64::NAN)
}

/// The text that is left of a decimal number without the suffix that Java allows, if Rust reads the rest alike.
fn decimal_float(text: &str) -> Option<&str> {
    let text = trim(text);
    let text = text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text);
    let plain = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E'));
    (plain && text.bytes().any(|b| b.is_ascii_digit())).then_some(text)
}

/// Reads `0x1.8p1`. At most 60 bits of it are looked at, which rounds right for numbers written with fewer digits.
fn hex_float(text: &str) -> Option<f64> {
    let text = trim(text).to_ascii_lowercase();
    let text = text.strip_suffix(['d', 'f']).filter(|rest| rest.contains('p')).unwrap_or(&text);
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (digits, exponent) = unsigned.strip_prefix("0x")?.split_once('p')?;
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let (mut value, mut shift) = (0_u64, exponent.parse::<i32>().ok()?);
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    for (n, digit) in whole.chars().chain(fraction.chars()).enumerate() {
        let digit = u64::from(digit.to_digit(16)?);
        if value < 1 << 56 {
            value = value << 4 | digit;
            shift = shift.saturating_sub(if n >= whole.len() { 4 } else { 0 });
        } else {
            shift = shift.saturating_add(if n < whole.len() { 4 } else { 0 });
        }
    }
    let value = value as f64 * f64::from(shift).exp2();
    Some(if text.starts_with('-') { -value } else { value })
}

/// The digits of a number in decimal notation: `0.digits × 10^exponent`.
#[derive(Debug)]
pub(super) struct DecimalText<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

impl<'a> DecimalText<'a> {
    /// Reads what Java's `BigDecimal` takes: `-1.5e3`.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let text = trim(text);
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if whole.len() + fraction.len() == 0 || !digits(whole) || !digits(fraction) {
            return None;
        }
        let (whole, fraction) = (whole.as_bytes(), fraction.as_bytes());
        Some(DecimalText { negative: text.starts_with('-'), whole, fraction, exponent: i64::from(exponent) })
    }

    /// Where the first digit that isn't zero stands, and how many digits are before the point then.
    fn start(&self) -> (usize, i64) {
        let digits = self.whole.iter().chain(self.fraction);
        let zeros = digits.take_while(|digit| **digit == b'0').count();
        (zeros, self.whole.len() as i64 + self.exponent - zeros as i64)
    }

    fn whole_digits(&self) -> i64 {
        let (zeros, whole) = self.start();
        if zeros == self.whole.len() + self.fraction.len() { 0 } else { whole }
    }

    /// As a decimal, rounded half up; `None` if it doesn't fit.
    fn to_decimal(&self, precision: u8, scale: i8) -> Option<i128> {
        let (zeros, whole) = self.start();
        let wanted = whole + i64::from(scale);
        let mut digits = self.whole.iter().chain(self.fraction).skip(zeros).map(|digit| i128::from(digit - b'0'));
        let available = (self.whole.len() + self.fraction.len() - zeros) as i64;
        if available == 0 || wanted < 0 {
            return Some(0);
        }
        if wanted > 38 {
            return None;
        }
        let mut value = digits.by_ref().take(wanted as usize).fold(0, |value, digit| value * 10 + digit);
        value *= power((wanted - available).max(0) as u32);
        value += i128::from(digits.next().is_some_and(|digit| digit >= 5));
        fits(if self.negative { -value } else { value }, precision)
    }
}

static DAY_TIME: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let value =
        r"(?P<sign>[+-])?(?P<day>\d+) (?P<hour>\d{1,2}):(?P<minute>\d{1,2}):(?P<second>\d{1,2})(?:\.(?P<fraction>\d{1,9}))?";
    interval_pattern(value, "day to second")
});

static YEAR_MONTH: LazyLock<Option<Regex>> =
    LazyLock::new(|| interval_pattern(r"(?P<sign>[+-])?(?P<year>\d+)-(?P<month>\d+)", "year to month"));

/// The value alone, or as a literal of SQL.
fn interval_pattern(value: &str, unit: &str) -> Option<Regex> {
    let named_twice = value.replace("(?P<", "(?P<l_");
    Regex::new(&format!(r"(?i)^(?:{value}|interval\s+(?P<outer>[+-])?'{named_twice}'\s+{})$", unit.replace(' ', r"\s+"))).ok()
}

/// The parts of an interval that matched, `true` for a negative one.
fn interval_parts<const N: usize>(pattern: &Option<Regex>, text: &str, names: [&str; N]) -> Option<(bool, [i64; N])> {
    let found = pattern.as_ref()?.captures(text)?;
    let part = |name: &str| found.name(name).or_else(|| found.name(&format!("l_{name}"))).map(|part| part.as_str());
    let minus = |sign: Option<&str>| sign == Some("-");
    let negative = minus(part("sign")) != minus(found.name("outer").map(|sign| sign.as_str()));
    let mut parts = [0; N];
    for (value, name) in parts.iter_mut().zip(names) {
        *value = match (name, part(name)) {
            ("fraction", Some(digits)) => {
                digits.bytes().chain(std::iter::repeat(b'0')).take(6).fold(0, |n, d| n * 10 + i64::from(d - b'0'))
            }
            (_, Some(digits)) => digits.parse().ok()?,
            (_, None) => 0,
        };
    }
    Some((negative, parts))
}

/// Reads `1 02:03:04.5` or `INTERVAL '1 02:03:04.5' DAY TO SECOND` as microseconds.
pub fn day_time(text: &str) -> Option<i64> {
    let (negative, [day, hour, minute, second, fraction]) =
        interval_parts(&DAY_TIME, trim(text), ["day", "hour", "minute", "second", "fraction"])?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = i128::from(day) * 86_400 + i128::from((hour * 60 + minute) * 60 + second);
    let micros = seconds * 1_000_000 + i128::from(fraction);
    i64::try_from(if negative { -micros } else { micros }).ok()
}

/// Reads `1-2` or `INTERVAL '1-2' YEAR TO MONTH` as months.
pub fn year_month(text: &str) -> Option<i32> {
    let (negative, [year, month]) = interval_parts(&YEAR_MONTH, trim(text), ["year", "month"])?;
    let months = year.checked_mul(12)?.checked_add(month).filter(|_| month < 12)?;
    i32::try_from(if negative { -months } else { months }).ok()
}

/// Casts texts to a type of intervals.
pub(super) fn intervals(values: &StringArray, to: &DataType, mode: CastMode) -> Result<ArrayRef> {
    if let DataType::Duration(_) = to {
        return text_to_primitive::<DurationMicrosecondType>(values, mode, day_time, |text| {
            bad_interval(
                text,
                "UNMATCHED_FORMAT_STRING_WITH_NOTICE",
                "day-time format of `[+|-]d h:m:s.n`, `INTERVAL [+|-]'[+|-]d h:m:s.n' DAY TO SECOND` when cast to interval day \
                 to second",
            )
        });
    }
    text_to_primitive::<IntervalYearMonthType>(values, mode, year_month, |text| {
        let matches = YEAR_MONTH.as_ref().is_some_and(|pattern| pattern.is_match(trim(text)));
        let condition = if matches { "INTERVAL_PARSING" } else { "UNMATCHED_FORMAT_STRING" };
        bad_interval(
            text,
            condition,
            "year-month format of `[+|-]y-m`, `INTERVAL [+|-]'[+|-]y-m' YEAR TO MONTH` when cast to interval year to month",
        )
    })
}

fn bad_interval(text: &str, condition: &str, format: &str) -> DataFusionError {
    spark_error(
        format!("INVALID_INTERVAL_FORMAT.{condition}"),
        format!(
            "Error parsing '{text}' to interval. Please ensure that the value provided is in a valid format for defining an \
             interval. Interval string does not match {format}: {text}."
        ),
    )
}
