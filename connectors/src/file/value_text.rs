//! Values as text in Spark's forms, appended to bytes: what CSV and JSON files share.
//!
//! What a column's type says is looked at once for a batch, not for each value.

use arrow::array::{
    Array, AsArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int8Array, Int16Array, Int32Array,
    Int64Array, LargeStringArray, StringArray, StringViewArray, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};
use arrow::datatypes::{
    DataType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};

use super::forms::{TimeTexts, ValueForm};

const MICROS_OF_DAY: i64 = 86_400_000_000;

/// A column of text.
#[derive(Debug, Clone, Copy)]
pub(super) enum Strings<'a> {
    Utf8(&'a StringArray),
    Large(&'a LargeStringArray),
    View(&'a StringViewArray),
}

impl<'a> Strings<'a> {
    /// `None` for columns of other types.
    #[expect(clippy::wildcard_enum_match_arm, reason = "Arrow's types are many and grow; these are the ones of text")]
    pub(super) fn of(array: &'a dyn Array) -> Option<Self> {
        Some(match array.data_type() {
            DataType::Utf8 => Strings::Utf8(array.as_string()),
            DataType::LargeUtf8 => Strings::Large(array.as_string()),
            DataType::Utf8View => Strings::View(array.as_string_view()),
            _ => return None,
        })
    }

    /// The text of a row that is not null.
    pub(super) fn value(self, row: usize) -> &'a [u8] {
        match self {
            Strings::Utf8(array) => array.value(row).as_bytes(),
            Strings::Large(array) => array.value(row).as_bytes(),
            Strings::View(array) => array.value(row).as_bytes(),
        }
    }

    /// Whether no row has such a byte. Where this is not easily told, it says no.
    pub(super) fn none_has(self, is_searched: impl Fn(u8) -> bool) -> bool {
        // Without an end at the first one found, many bytes are looked at at once.
        let none = |bytes: &[u8]| !bytes.iter().fold(false, |found, byte| found | is_searched(*byte));
        let between = |bytes: &[u8], first: Option<usize>, last: Option<usize>| match (first, last) {
            (Some(first), Some(last)) => bytes.get(first..last).is_some_and(none),
            _ => false,
        };
        match self {
            Strings::Utf8(array) => {
                let offset = |offset: Option<&i32>| usize::try_from(*offset?).ok();
                let offsets = array.value_offsets();
                between(array.value_data(), offset(offsets.first()), offset(offsets.last()))
            }
            Strings::Large(array) => {
                let offset = |offset: Option<&i64>| usize::try_from(*offset?).ok();
                let offsets = array.value_offsets();
                between(array.value_data(), offset(offsets.first()), offset(offsets.last()))
            }
            Strings::View(_) => false,
        }
    }
}

/// A column of values whose text, if it has no form of its own, has letters, digits and `+-.:` only.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scalars<'a> {
    Boolean(&'a BooleanArray),
    Int8(&'a Int8Array),
    Int16(&'a Int16Array),
    Int32(&'a Int32Array),
    Int64(&'a Int64Array),
    UInt8(&'a UInt8Array),
    UInt16(&'a UInt16Array),
    UInt32(&'a UInt32Array),
    UInt64(&'a UInt64Array),
    Float32(&'a Float32Array),
    Float64(&'a Float64Array),
    Decimal128(&'a Decimal128Array, i8),
    Date32(&'a Date32Array, Option<&'a ValueForm>),
    Timestamp(Times<'a>),
}

/// A column of times.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times<'a> {
    values: &'a [i64],
    unit: TimeUnit,
    /// The `Z` of instants comes last.
    zone: &'static str,
    form: Option<&'a ValueForm>,
    /// To the microsecond.
    precise: bool,
}

impl Times<'_> {
    /// The microseconds since 1970-01-01 of a row.
    pub(super) fn micros(&self, row: usize) -> i64 {
        self.values.get(row).map_or(0, |value| micros(*value, self.unit))
    }

    fn write(&self, row: usize, out: &mut Vec<u8>) {
        if let Some(form) = self.form {
            return form.write(self.micros(row), out);
        }
        timestamp(self.micros(row), self.precise, out);
        out.extend_from_slice(self.zone.as_bytes());
    }
}

impl<'a> Scalars<'a> {
    /// `None` for columns of other types.
    #[expect(clippy::wildcard_enum_match_arm, reason = "Arrow's types are many and grow; these are the ones of Spark")]
    pub(super) fn of(array: &'a dyn Array, times: &'a TimeTexts) -> Option<Self> {
        Some(match array.data_type() {
            DataType::Boolean => Scalars::Boolean(array.as_boolean()),
            DataType::Int8 => Scalars::Int8(array.as_primitive()),
            DataType::Int16 => Scalars::Int16(array.as_primitive()),
            DataType::Int32 => Scalars::Int32(array.as_primitive()),
            DataType::Int64 => Scalars::Int64(array.as_primitive()),
            DataType::UInt8 => Scalars::UInt8(array.as_primitive()),
            DataType::UInt16 => Scalars::UInt16(array.as_primitive()),
            DataType::UInt32 => Scalars::UInt32(array.as_primitive()),
            DataType::UInt64 => Scalars::UInt64(array.as_primitive()),
            DataType::Float32 => Scalars::Float32(array.as_primitive()),
            DataType::Float64 => Scalars::Float64(array.as_primitive()),
            DataType::Decimal128(_, scale) => Scalars::Decimal128(array.as_primitive(), *scale),
            DataType::Date32 => Scalars::Date32(array.as_primitive(), times.date.as_ref()),
            DataType::Timestamp(unit, zone) => {
                let values: &[i64] = match unit {
                    TimeUnit::Second => array.as_primitive::<TimestampSecondType>().values(),
                    TimeUnit::Millisecond => array.as_primitive::<TimestampMillisecondType>().values(),
                    TimeUnit::Microsecond => array.as_primitive::<TimestampMicrosecondType>().values(),
                    TimeUnit::Nanosecond => array.as_primitive::<TimestampNanosecondType>().values(),
                };
                let (zone, form) = match zone {
                    Some(_) => ("Z", times.timestamp.as_ref()),
                    None => ("", times.timestamp_ntz.as_ref()),
                };
                Scalars::Timestamp(Times { values, unit: *unit, zone, form, precise: times.precise })
            }
            _ => return None,
        })
    }

    /// The text of a row that is not null.
    pub(super) fn write(&self, row: usize, out: &mut Vec<u8>) {
        match self {
            Scalars::Boolean(array) => out.extend_from_slice(if array.value(row) { b"true" } else { b"false" }),
            Scalars::Int8(array) => integer(array.value(row), out),
            Scalars::Int16(array) => integer(array.value(row), out),
            Scalars::Int32(array) => integer(array.value(row), out),
            Scalars::Int64(array) => integer(array.value(row), out),
            Scalars::UInt8(array) => integer(array.value(row), out),
            Scalars::UInt16(array) => integer(array.value(row), out),
            Scalars::UInt32(array) => integer(array.value(row), out),
            Scalars::UInt64(array) => integer(array.value(row), out),
            Scalars::Float32(array) => float(array.value(row), array.value(row).into(), out),
            Scalars::Float64(array) => float(array.value(row), array.value(row), out),
            Scalars::Decimal128(array, scale) => decimal(array.value(row), *scale, out),
            Scalars::Date32(array, None) => date(array.value(row).into(), out),
            Scalars::Date32(array, Some(form)) => form.write(array.value(row).into(), out),
            Scalars::Timestamp(times) => times.write(row, out),
        }
    }

    /// Whether its values are written in a form of their own.
    pub(super) fn has_form(&self) -> bool {
        matches!(self, Scalars::Date32(_, Some(_)) | Scalars::Timestamp(Times { form: Some(_), .. }))
    }

    /// Whether the text of a row is a number or a truth value in JSON.
    pub(super) fn is_bare_in_json(&self, row: usize) -> bool {
        match self {
            Scalars::Float32(array) => array.value(row).is_finite(),
            Scalars::Float64(array) => array.value(row).is_finite(),
            Scalars::Date32(..) | Scalars::Timestamp(_) => false,
            Scalars::Boolean(_)
            | Scalars::Int8(_)
            | Scalars::Int16(_)
            | Scalars::Int32(_)
            | Scalars::Int64(_)
            | Scalars::UInt8(_)
            | Scalars::UInt16(_)
            | Scalars::UInt32(_)
            | Scalars::UInt64(_)
            | Scalars::Decimal128(..) => true,
        }
    }
}

/// A number of microseconds.
fn micros(value: i64, unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => value.saturating_mul(1_000_000),
        TimeUnit::Millisecond => value.saturating_mul(1_000),
        TimeUnit::Microsecond => value,
        TimeUnit::Nanosecond => value.div_euclid(1_000),
    }
}

pub(super) fn integer(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// A float as Java writes it: the fewest digits that tell it from its neighbours, with an exponent below 0.001 and from 10 000 000 on.
fn float(value: impl zmij::Float, as_double: f64, out: &mut Vec<u8>) {
    if as_double.is_nan() {
        return out.extend_from_slice(b"NaN");
    }
    if as_double.is_infinite() {
        return out.extend_from_slice(if as_double > 0.0 { b"Infinity" } else { b"-Infinity" });
    }
    let mut buffer = zmij::Buffer::new();
    let shortest = buffer.format_finite(value);
    if as_double == 0.0 || (1e-3..1e7).contains(&as_double.abs()) {
        out.extend_from_slice(shortest.as_bytes());
    } else {
        with_exponent(shortest, out);
    }
}

/// A number that is not 0, such as `0.00012` or `1.5e+300`, with an exponent: `1.2E-4`, `1.5E300`.
fn with_exponent(number: &str, out: &mut Vec<u8>) {
    let number = number.strip_prefix('-').inspect(|_| out.push(b'-')).unwrap_or(number);
    let (mantissa, exponent) = number.split_once('e').unwrap_or((number, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits = whole.bytes().chain(fraction.bytes()).skip_while(|digit| *digit == b'0');
    out.push(digits.next().unwrap_or(b'0'));
    out.push(b'.');
    let from = out.len();
    out.extend(digits);
    while out.len() > from + 1 && out.last() == Some(&b'0') {
        out.pop();
    }
    if out.len() == from {
        out.push(b'0');
    }
    out.push(b'E');
    let exponent: i64 = exponent.parse().unwrap_or_default();
    let whole = whole.trim_start_matches('0').len() as i64;
    let zeros = (fraction.len() - fraction.trim_start_matches('0').len()) as i64;
    integer(exponent + if whole > 0 { whole - 1 } else { -1 - zeros }, out);
}

/// A decimal as Java's `BigDecimal` writes it: with an exponent if it is very small.
pub(super) fn decimal(unscaled: i128, scale: i8, out: &mut Vec<u8>) {
    if unscaled < 0 {
        out.push(b'-');
    }
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(unscaled.unsigned_abs());
    let adjusted = digits.len() as i64 - 1 - i64::from(scale);
    if scale == 0 {
        return out.extend_from_slice(digits.as_bytes());
    }
    if scale < 0 || adjusted < -6 {
        let (whole, fraction) = digits.split_at(1);
        out.extend_from_slice(whole.as_bytes());
        if !fraction.is_empty() {
            out.push(b'.');
            out.extend_from_slice(fraction.as_bytes());
        }
        out.push(b'E');
        if adjusted > 0 {
            out.push(b'+');
        }
        return integer(adjusted, out);
    }
    let scale = usize::from(scale.unsigned_abs());
    let (whole, fraction) = digits.split_at(digits.len().saturating_sub(scale));
    out.extend_from_slice(if whole.is_empty() { b"0" } else { whole.as_bytes() });
    out.push(b'.');
    out.extend(std::iter::repeat_n(b'0', scale - fraction.len()));
    out.extend_from_slice(fraction.as_bytes());
}

/// A date by its days since 1970-01-01.
pub(super) fn date(days: i64, out: &mut Vec<u8>) {
    let (year, month, day) = civil(days);
    if !(0..10_000).contains(&year) {
        out.push(if year < 0 { b'-' } else { b'+' });
        let magnitude = year.unsigned_abs();
        out.extend(std::iter::repeat_n(b'0', 3_usize.saturating_sub(magnitude.checked_ilog10().unwrap_or(0) as usize)));
        integer(magnitude, out);
        let ([m1, m2], [d1, d2]) = (two(month), two(day));
        return out.extend_from_slice(&[b'-', m1, m2, b'-', d1, d2]);
    }
    let ([c1, c2], [y1, y2], [m1, m2], [d1, d2]) = (two(year / 100), two(year % 100), two(month), two(day));
    out.extend_from_slice(&[c1, c2, y1, y2, b'-', m1, m2, b'-', d1, d2]);
}

/// `2024-01-31T12:00:00.000`, cut to milliseconds if it is not to be precise.
fn timestamp(micros: i64, precise: bool, out: &mut Vec<u8>) {
    let (days, of_day) = (micros.div_euclid(MICROS_OF_DAY), micros.rem_euclid(MICROS_OF_DAY));
    date(days, out);
    let (millis, seconds) = (of_day / 1_000 % 1_000, of_day / 1_000_000);
    let ([h1, h2], [m1, m2], [s1, s2]) = (two(seconds / 3_600), two(seconds / 60 % 60), two(seconds % 60));
    let (tenth, [f1, f2]) = (b'0' + (millis / 100) as u8, two(millis % 100));
    out.extend_from_slice(&[b'T', h1, h2, b':', m1, m2, b':', s1, s2, b'.', tenth, f1, f2]);
    if precise {
        let rest = of_day % 1_000;
        let [r1, r2] = two(rest % 100);
        out.extend_from_slice(&[b'0' + (rest / 100) as u8, r1, r2]);
    }
}

/// A timestamp as a cast to text writes it: `2024-01-31 12:00:00.5`, in UTC.
pub(crate) fn sql_timestamp(micros: i64) -> String {
    let (days, of_day) = (micros.div_euclid(MICROS_OF_DAY), micros.rem_euclid(MICROS_OF_DAY));
    let (fraction, seconds) = (of_day % 1_000_000, of_day / 1_000_000);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let fraction = if fraction == 0 { String::new() } else { format!(".{fraction:06}") };
    let mut day = Vec::new();
    date(days, &mut day);
    let day = String::from_utf8_lossy(&day);
    format!("{day} {hour:02}:{minute:02}:{second:02}{}", fraction.trim_end_matches('0'))
}

/// The digits of a number below 100.
fn two(number: i64) -> [u8; 2] {
    [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8]
}

/// Year, month and day of a number of days since 1970-01-01.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::scalars;
    use proptest::prelude::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn double(value: f64) -> String {
        text(|out| float(value, value, out))
    }

    #[test]
    fn floats_and_decimals_as_javas() {
        let floats = [
            (1.0, "1.0"),
            (100.0, "100.0"),
            (1e7, "1.0E7"),
            (9_999_999.0, "9999999.0"),
            (12_345_678.9, "1.23456789E7"),
            (0.001, "0.001"),
            (0.000_1, "1.0E-4"),
            (123_456.789, "123456.789"),
            (-0.0, "-0.0"),
            (0.0, "0.0"),
            (0.000_999, "9.99E-4"),
            (9_999_999.999, "9999999.999"),
            (f64::MAX, "1.7976931348623157E308"),
            (-f64::MIN_POSITIVE, "-2.2250738585072014E-308"),
            (5e-324, "5.0E-324"),
            (1e22, "1.0E22"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (float, expected) in floats {
            assert_eq!(double(float), expected);
        }
        assert_eq!(text(|out| float(0.1_f32, 0.1, out)), "0.1");
        assert_eq!(text(|out| float(16_777_216_f32, 16_777_216.0, out)), "1.6777216E7");
        let decimals =
            [(1_000, 10, "1.000E-7"), (0, 10, "0E-10"), (1, 6, "0.000001"), (-15, 1, "-1.5"), (7, 0, "7"), (12, -2, "1.2E+3")];
        for (unscaled, scale, expected) in decimals {
            assert_eq!(text(|out| decimal(unscaled, scale, out)), expected);
        }
    }

    #[test]
    fn dates_are_read_back() {
        for days in (-800_000..3_000_000).step_by(37) {
            let text = text(|out| date(days, out));
            assert_eq!(scalars::date(text.as_bytes()).map(i64::from), Some(days), "{text}");
        }
        assert_eq!(text(|out| date(3_674_196, out)), "+12029-08-10");
        assert_eq!(text(|out| date(-719_529, out)), "-0001-12-31");
        assert_eq!(text(|out| timestamp(-1, false, out)), "1969-12-31T23:59:59.999");
        assert_eq!(text(|out| timestamp(-1, true, out)), "1969-12-31T23:59:59.999999");
    }

    proptest! {
        /// Java's form, made from the standard library's.
        #[test]
        fn any_float(bits in any::<u64>(), small in any::<i32>()) {
            for value in [f64::from_bits(bits), f64::from(small) / 1_000.0, f64::from(small) * 1e-9] {
                let expected = match value.abs() {
                    magnitude if !magnitude.is_finite() => format!("{value}").replace("inf", "Infinity"),
                    magnitude if magnitude == 0.0 || (1e-3..1e7).contains(&magnitude) => format!("{value:?}"),
                    _ => {
                        let scientific = format!("{value:e}").replace('e', "E");
                        if scientific.contains('.') { scientific } else { scientific.replace('E', ".0E") }
                    }
                };
                // Of two numbers of so few digits that are equally near, one may have the last digit of the other's neighbour.
                let found = double(value);
                let marks = |text: &str| ["-", ".", "E", "N", "I"].map(|mark| text.find(mark));
                prop_assert_eq!((found.len(), marks(&found)), (expected.len(), marks(&expected)), "{} {}", found, expected);
                prop_assert!(value.is_nan() || found.parse() == Ok(value), "{}", found);
            }
        }
    }
}
