//! Intervals: from text, from literals of SQL, from numbers.

use arrow::datatypes::{DataType, Decimal128Type, DurationMicrosecondType, Int32Type, IntervalYearMonthType};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};

use super::calendar::{MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND};
use super::columns::{build, number, values};
use crate::error::spark_error;
use crate::function::{Call, Invocation, Resolved};
use crate::types::{DAY_TIME_INTERVAL, YEAR_MONTH_INTERVAL};

/// An interval whose months, days and time are kept apart, since months and days vary in length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Interval {
    /// Months, years included.
    pub months: i32,
    /// Days, weeks included.
    pub days: i32,
    /// Microseconds of what is shorter than a day; may be more than a day.
    pub micros: i64,
}

impl Interval {
    /// Its microseconds where a day has 24 hours; `None` if it has months or is too long.
    pub fn to_micros(&self) -> Option<i64> {
        let days = i64::from(self.days).checked_mul(MICROS_PER_DAY)?;
        if self.months == 0 { days.checked_add(self.micros) } else { None }
    }
}

/// Reads an interval as Spark writes delays and durations: `10 seconds`, `interval 1 day -2 hours`, `1.5 seconds`.
///
/// # Errors
/// `CANNOT_PARSE_INTERVAL`.
pub fn parse_interval(text: &str) -> Result<Interval> {
    read(text).map(|(interval, _)| interval).map_err(|_| {
        spark_error(
            "CANNOT_PARSE_INTERVAL",
            format!(
                "Unable to parse '{text}'. Please ensure that the value provided is in a valid format for defining an interval. You can \
                 reference the documentation for the correct format. If the issue persists, please double check that the input value is \
                 not null or empty and try again."
            ),
        )
    })
}

/// Reads an interval literal of SQL: `INTERVAL '1-2' YEAR TO MONTH`, `INTERVAL '90' MINUTE` (any unit of time, also in the plural),
/// or without units `INTERVAL '1 day 2 hours'`, where `from` is `None`. It gives an interval of months or one of microseconds.
///
/// # Errors
/// `INVALID_INTERVAL_FORMAT.*` or `INTERVAL_ARITHMETIC_OVERFLOW.WITHOUT_SUGGESTION`.
pub fn parse_interval_literal(text: &str, from: Option<&str>, to: Option<&str>) -> Result<ScalarValue> {
    match (from, to) {
        (Some(from), Some(to)) => from_to(text, &from.to_uppercase(), &to.to_uppercase()),
        // The text that Spark puts together, and shows in errors.
        (Some(unit), None) => in_units(&format!(" {text} {}", unit.to_uppercase())),
        (None, _) => in_units(text),
    }
}

fn in_units(text: &str) -> Result<ScalarValue> {
    let (interval, kinds) = read(text).map_err(|refusal| refusal.into_error(text))?;
    match (kinds.year_month, kinds.day_time) {
        (true, true) => Err(invalid(text, "MIXED_UNITS", "Cannot mix year-month and day-time fields.")),
        (true, false) => Ok(ScalarValue::IntervalYearMonth(Some(interval.months))),
        _ => interval.to_micros().map(day_time).ok_or_else(overflow),
    }
}

fn day_time(micros: i64) -> ScalarValue {
    ScalarValue::DurationMicrosecond(Some(micros))
}

fn invalid(text: &str, condition: &str, reason: &str) -> DataFusionError {
    spark_error(
        format!("INVALID_INTERVAL_FORMAT.{condition}"),
        format!(
            "Error parsing '{text}' to interval. Please ensure that the value provided is in a valid format for defining an interval. \
             You can reference the documentation for the correct format. {reason}"
        ),
    )
}

fn overflow() -> DataFusionError {
    spark_error(
        "INTERVAL_ARITHMETIC_OVERFLOW.WITHOUT_SUGGESTION",
        "Integer overflow while operating with intervals. Try devising appropriate values for the interval parameters.",
    )
}

/// Why a text is no interval.
#[derive(Debug)]
enum Refusal {
    Empty,
    MissingNumber,
    MissingUnit(String),
    Number(String),
    Precision(String),
    Unit(String),
    Fraction(String),
    TooLarge,
}

impl Refusal {
    fn into_error(self, text: &str) -> DataFusionError {
        let (condition, reason) = match self {
            Refusal::Empty => ("INPUT_IS_EMPTY", "Interval string cannot be empty.".to_owned()),
            Refusal::MissingNumber => ("MISSING_NUMBER", "Expect a number after a sign.".to_owned()),
            Refusal::MissingUnit(word) => ("MISSING_UNIT", format!("Expect a unit name after <word> but hit EOL: {word}.")),
            Refusal::Number(word) => ("UNRECOGNIZED_NUMBER", format!("Unrecognized number {word}.")),
            Refusal::Precision(word) => {
                ("INVALID_PRECISION", format!("Interval can only support nanosecond precision, {word} is out of range."))
            }
            Refusal::Unit(word) => ("INVALID_UNIT", format!("Invalid unit {word}.")),
            Refusal::Fraction(word) => ("INVALID_FRACTION", format!("{word} cannot have fractional part.")),
            Refusal::TooLarge => ("ARITHMETIC_EXCEPTION", format!("Uncaught arithmetic exception while parsing '{text}'.")),
        };
        invalid(text, condition, &reason)
    }
}

/// Which kinds of units an interval was written in.
#[derive(Debug, Clone, Copy, Default)]
struct Kinds {
    year_month: bool,
    day_time: bool,
}

/// `[interval] ([+-] number unit)+`: a sign may stand apart from its number; only seconds have a fraction.
fn read(text: &str) -> Result<(Interval, Kinds), Refusal> {
    let lower = text.trim_matches(|letter: char| letter <= ' ').to_lowercase();
    if lower.is_empty() {
        return Err(Refusal::Empty);
    }
    let mut words = lower.split_whitespace().peekable();
    words.next_if_eq(&"interval");
    if words.peek().is_none() {
        return Err(Refusal::Empty);
    }
    let (mut interval, mut kinds) = (Interval::default(), Kinds::default());
    while let Some(word) = words.next() {
        let (negative, unsigned) = match (word.strip_prefix('-'), word.strip_prefix('+')) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => (false, word),
        };
        let number = if unsigned.is_empty() { words.next().ok_or(Refusal::MissingNumber)? } else { unsigned };
        let (whole, fraction) = number.split_once('.').map_or((number, None), |(whole, fraction)| (whole, Some(fraction)));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !fraction.is_none_or(digits) || number.is_empty() || number == "." {
            return Err(Refusal::Number(word.to_owned()));
        }
        if fraction.is_some_and(|fraction| fraction.len() > 9) {
            return Err(Refusal::Precision(word.to_owned()));
        }
        let unit = words.next().ok_or_else(|| Refusal::MissingUnit(word.to_owned()))?;
        let value: i64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| Refusal::TooLarge)? };
        let value = if negative { -value } else { value };
        let unit = unit.strip_suffix('s').unwrap_or(unit);
        if fraction.is_some() && unit != "second" && !unit.is_empty() {
            return Err(Refusal::Fraction(unit.to_owned()));
        }
        add(&mut interval, &mut kinds, value, unit).ok_or(Refusal::TooLarge)??;
        if let Some(fraction) = fraction {
            let nanos: i64 = format!("{fraction:0<9}").parse().map_err(|_| Refusal::TooLarge)?;
            let micros = if negative { -(nanos / 1_000) } else { nanos / 1_000 };
            interval.micros = interval.micros.checked_add(micros).ok_or(Refusal::TooLarge)?;
        }
    }
    Ok((interval, kinds))
}

/// Adds so many units; `None` if that is too much.
fn add(interval: &mut Interval, kinds: &mut Kinds, value: i64, unit: &str) -> Option<Result<(), Refusal>> {
    let int = |value: i64| i32::try_from(value).ok();
    match unit {
        "year" | "month" => {
            let months = int(if unit == "year" { value.checked_mul(12)? } else { value })?;
            interval.months = interval.months.checked_add(months)?;
            kinds.year_month = true;
        }
        "week" | "day" => {
            let days = int(if unit == "week" { value.checked_mul(7)? } else { value })?;
            interval.days = interval.days.checked_add(days)?;
            kinds.day_time = true;
        }
        _ => {
            let size = match unit {
                "hour" => MICROS_PER_HOUR,
                "minute" => MICROS_PER_MINUTE,
                "second" => MICROS_PER_SECOND,
                "millisecond" => 1_000,
                "microsecond" => 1,
                _ => return Some(Err(Refusal::Unit(unit.to_owned()))),
            };
            interval.micros = interval.micros.checked_add(value.checked_mul(size)?)?;
            kinds.day_time = true;
        }
    }
    Some(Ok(()))
}

/// The units of day-time literals, from the longest, and how many of each there are in the next one.
const DAY_TIME: [(&str, i64, i64); 4] = [
    ("DAY", MICROS_PER_DAY, i64::MAX),
    ("HOUR", MICROS_PER_HOUR, 24),
    ("MINUTE", MICROS_PER_MINUTE, 60),
    ("SECOND", MICROS_PER_SECOND, 60),
];

fn from_to(text: &str, from: &str, to: &str) -> Result<ScalarValue> {
    let place = |unit: &str| DAY_TIME.iter().position(|(name, _, _)| *name == unit);
    match (from, to, place(from), place(to)) {
        ("YEAR", "MONTH", _, _) => year_to_month(text).ok_or_else(|| unmatched(text, from, to, "year-month", "[+|-]y-m")),
        (_, _, Some(first), Some(last)) if first < last => {
            let format = ["[+|-]d", "h", "m", "s.n"].get(first..=last).unwrap_or_default().join(":").replacen("d:", "d ", 1);
            let units = DAY_TIME.get(first..=last).unwrap_or_default();
            match day_to_second(text, units).ok_or_else(|| unmatched(text, from, to, "day-time", &format))? {
                Some(micros) => Ok(day_time(micros)),
                None => {
                    Err(invalid(text, "ARITHMETIC_EXCEPTION", &format!("Uncaught arithmetic exception while parsing '{text}'.")))
                }
            }
        }
        _ => Err(spark_error(
            "INVALID_INTERVAL_FORMAT.UNSUPPORTED_FROM_TO_EXPRESSION",
            format!("Error parsing '{text}' to interval. Cannot support (interval '{text}' {from} to {to}) expression."),
        )),
    }
}

fn unmatched(text: &str, from: &str, to: &str, kind: &str, format: &str) -> DataFusionError {
    let (from, to) = (from.to_lowercase(), to.to_lowercase());
    let reason = format!("Interval string does not match {kind} format of `{format}` when cast to INTERVAL {from} to {to}.");
    invalid(text, "UNMATCHED_FORMAT_STRING", &reason)
}

fn signed(text: &str) -> (i64, &str) {
    let text = text.trim();
    match (text.strip_prefix('-'), text.strip_prefix('+')) {
        (Some(rest), _) => (-1, rest),
        (None, Some(rest)) => (1, rest),
        (None, None) => (1, text),
    }
}

/// A number of digits alone, of at most `max` digits.
fn plain(text: &str, max: usize) -> Option<i64> {
    let sound = (1..=max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    sound.then(|| text.parse().ok()).flatten()
}

fn year_to_month(text: &str) -> Option<ScalarValue> {
    let (sign, rest) = signed(text);
    let (years, months) = rest.split_once('-')?;
    let (years, months) = (plain(years, 10)?, plain(months, 2).filter(|months| *months < 12)?);
    let total = i32::try_from(sign * (years * 12 + months)).ok()?;
    Some(ScalarValue::IntervalYearMonth(Some(total)))
}

/// The outer `None`: another format; the inner one: too long.
fn day_to_second(text: &str, units: &[(&str, i64, i64)]) -> Option<Option<i64>> {
    let (sign, mut rest) = signed(text);
    let mut total = Some(0_i64);
    for (index, (unit, size, modulus)) in units.iter().enumerate() {
        let separator = if *unit == "DAY" { ' ' } else { ':' };
        let (part, after) = if index + 1 == units.len() { (rest, "") } else { rest.split_once(separator)? };
        rest = after;
        let (whole, fraction) = match part.split_once('.') {
            Some((whole, fraction)) if *unit == "SECOND" => (whole, plain(fraction, 9).map(|_| fraction)?),
            _ => (part, ""),
        };
        // Only the first number may exceed what the next longer unit holds.
        let value = if index == 0 { plain(whole, 18)? } else { plain(whole, 2).filter(|value| value < modulus)? };
        let nanos: i64 = format!("{fraction:0<9}").parse().ok()?;
        let micros = sign * (nanos / 1_000);
        total = total.and_then(|total| total.checked_add((sign * value).checked_mul(*size)?)?.checked_add(micros));
    }
    Some(total)
}

/// `make_dt_interval([days[, hours[, minutes[, seconds]]]])`.
pub(super) fn make_dt_interval(call: &Call<'_>) -> Result<Resolved> {
    let wanted = |index| if index == 3 { DataType::Decimal128(18, 6) } else { DataType::Int32 };
    let args = (0..call.len()).map(|index| number(call, index, wanted(index))).collect::<Result<Vec<_>>>()?;
    let kernel = |invocation: &Invocation<'_>| {
        let count = invocation.args.len();
        let whole = (0..count.min(3)).map(|index| values::<Int32Type>(invocation, index)).collect::<Result<Vec<_>>>()?;
        let seconds = if count > 3 { Some(values::<Decimal128Type>(invocation, 3)?) } else { None };
        build::<DurationMicrosecondType>(invocation, &DAY_TIME_INTERVAL, |row| {
            let mut total = 0_i64;
            for (values, (_, size, _)) in whole.iter().zip(DAY_TIME) {
                let Some(value) = values.get(row) else { return Ok(None) };
                total = i64::from(value).checked_mul(size).and_then(|part| total.checked_add(part)).ok_or_else(overflow)?;
            }
            if let Some(seconds) = &seconds {
                let Some(micros) = seconds.get(row) else { return Ok(None) };
                total = i64::try_from(micros).ok().and_then(|part| total.checked_add(part)).ok_or_else(overflow)?;
            }
            Ok(Some(total))
        })
    };
    Ok(Resolved::new(args, DAY_TIME_INTERVAL, kernel).fallible())
}

/// `make_ym_interval([years[, months]])`.
pub(super) fn make_ym_interval(call: &Call<'_>) -> Result<Resolved> {
    let args = (0..call.len()).map(|index| number(call, index, DataType::Int32)).collect::<Result<Vec<_>>>()?;
    let kernel = |invocation: &Invocation<'_>| {
        let parts = (0..invocation.args.len()).map(|index| values::<Int32Type>(invocation, index)).collect::<Result<Vec<_>>>()?;
        build::<IntervalYearMonthType>(invocation, &YEAR_MONTH_INTERVAL, |row| {
            let mut total = 0_i64;
            for (values, size) in parts.iter().zip([12, 1]) {
                let Some(value) = values.get(row) else { return Ok(None) };
                total += i64::from(value) * size;
            }
            i32::try_from(total).map(Some).map_err(|_| overflow())
        })
    };
    Ok(Resolved::new(args, YEAR_MONTH_INTERVAL, kernel).fallible())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::SparkError;

    #[test]
    fn intervals_are_read_as_spark_reads_them() {
        const SECOND: i64 = MICROS_PER_SECOND;
        for (text, months, days, micros) in [
            ("10 seconds", 0, 0, 10 * SECOND),
            ("1 minute 30 seconds", 0, 0, 90 * SECOND),
            ("interval 2 hours", 0, 0, 7200 * SECOND),
            ("INTERVAL 1 DAY", 0, 1, 0),
            ("-1 day", 0, -1, 0),
            ("1.5 seconds", 0, 0, 1_500_000),
            ("-.5 seconds", 0, 0, -500_000),
            ("1. seconds", 0, 0, SECOND),
            ("1 day -2 hours", 0, 1, -7200 * SECOND),
            ("- 3 days", 0, -3, 0),
            ("+3 months", 3, 0, 0),
            ("1 month 1 month", 2, 0, 0),
            ("1\tday", 0, 1, 0),
            ("  5   MINUTES  ", 0, 0, 300 * SECOND),
            ("1 years 2 months 3 weeks 4 days 5 hours 6 minutes 7 seconds 8 milliseconds 9 microseconds", 14, 25, 18_367_008_009),
        ] {
            assert_eq!(parse_interval(text).unwrap(), Interval { months, days, micros }, "{text}");
        }
    }

    #[test]
    fn other_texts_are_no_intervals() {
        for text in [
            "soon",
            "",
            "1",
            "second",
            "1 foo",
            "1.5 days",
            "1day",
            "1 quarter",
            "interval",
            "interval 1",
            "1 day,",
            "1 hr",
            "1 ms",
            "intervals 1 day",
            "interval1 day",
            "1.1234567890 seconds",
            "9999999999 days",
            "99999999999999999999 seconds",
            "178956971 years",
            "- - 1 day",
            ". seconds",
            "1 days s",
        ] {
            let error = parse_interval(text).expect_err(text);
            assert_eq!(SparkError::find(&error).unwrap().condition, "CANNOT_PARSE_INTERVAL", "{text}");
        }
    }

    #[test]
    fn literals_are_typed_by_their_units() {
        let micros = |text, from, to| match parse_interval_literal(text, from, to) {
            Ok(ScalarValue::DurationMicrosecond(Some(micros))) => micros,
            other => panic!("{text}: {other:?}"),
        };
        let (day, hour, minute, second) = (Some("DAY"), Some("HOUR"), Some("minute"), Some("SECOND"));
        let all = MICROS_PER_DAY + 2 * MICROS_PER_HOUR + 3 * MICROS_PER_MINUTE + 4 * MICROS_PER_SECOND;
        assert_eq!(micros("1 02:03:04.5", day, second), all + 500_000);
        assert_eq!(micros("-1 2:3:4", day, second), -all);
        assert_eq!(micros("1 02:03:04.1234567", day, second), all + 123_456);
        assert_eq!(micros("1 02", day, hour), MICROS_PER_DAY + 2 * MICROS_PER_HOUR);
        assert_eq!(micros("25:00", hour, minute), 25 * MICROS_PER_HOUR);
        assert_eq!(micros("99:59", minute, second), 100 * MICROS_PER_MINUTE - MICROS_PER_SECOND);
        assert_eq!(micros("90", minute, None), 90 * MICROS_PER_MINUTE);
        assert_eq!(micros("1.123456789", second, None), 1_123_456);
        assert_eq!(micros("1", Some("WEEK"), None), 7 * MICROS_PER_DAY);
        assert_eq!(micros("-5", Some("MILLISECONDS"), None), -5_000);
        assert_eq!(micros("1 day 2 hours", None, None), 26 * MICROS_PER_HOUR);
        let months = |text, from, to| match parse_interval_literal(text, from, to) {
            Ok(ScalarValue::IntervalYearMonth(Some(months))) => months,
            other => panic!("{text}: {other:?}"),
        };
        let (year, month) = (Some("YEAR"), Some("MONTH"));
        assert_eq!(months("1-2", year, month), 14);
        assert_eq!(months(" -1-2 ", year, month), -14);
        assert_eq!(months("0", year, None), 0);
        assert_eq!(months("1 month 2 years", None, None), 25);
        for (text, from, to) in [
            ("1-13", year, month),
            ("1 24:00:00", day, second),
            ("1 02:60:00", day, second),
            ("1 -2:03:04", day, second),
            ("1-2", day, second),
            ("1000 25", day, hour),
            ("1", hour, day),
            ("1", day, day),
            ("x", day, None),
            ("1.5", day, None),
            ("", day, None),
            ("1", Some("QUARTER"), None),
            ("106751992", day, None),
            ("178956971", year, None),
            ("1 month 1 day", None, None),
        ] {
            assert!(parse_interval_literal(text, from, to).is_err(), "{text}");
        }
    }
}
