//! Directories that stand for values: `key=value`, as Hive and Spark lay tables out.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use tidegate_runtime::Result;

use super::inference::instants;
use super::{json_rows, scalars};

/// The directory of null.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// How values are written in names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Naming {
    /// As Hive and Spark do: null and the empty text have one directory.
    #[default]
    Hive,
    /// So that each value is read back as it was.
    Exact,
}

/// Whether a directory is a partition.
pub(crate) fn is_partition(name: &str) -> bool {
    name.find('=').is_some_and(|at| at > 0)
}

/// The column and the value of a directory; a value of `None` is null. `None` for a directory that is no partition.
pub(crate) fn parse(name: &str) -> Option<(String, Option<String>)> {
    let (key, value) = name.split_once('=').filter(|(key, _)| !key.is_empty())?;
    Some((unescape(key), (value != NULL).then(|| unescape(value))))
}

/// The directory of a value.
pub(crate) fn directory(key: &str, value: Option<&str>, naming: Naming) -> String {
    let value = match (value, naming) {
        (None, _) | (Some(""), Naming::Hive) => NULL.to_owned(),
        (Some(NULL), Naming::Exact) => format!("%{:02X}{}", b'_', NULL.get(1..).unwrap_or_default()),
        (Some(value), _) => escape(value),
    };
    format!("{}={value}", escape(key))
}

/// Writes what a directory's name can't have as `%` and two digits: the characters that Hive escapes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        let is_special = character < '\u{20}' || character == '\u{7F}' || "\"#%'*/:=?\\{[]^".contains(character);
        if is_special { escaped.push_str(&format!("%{:02X}", u32::from(character))) } else { escaped.push(character) }
    }
    escaped
}

fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let digits = if *first == b'%' { tail.first_chunk::<2>() } else { None };
        let code = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        // Only ASCII is escaped: a larger code would be half a character.
        match code.filter(u8::is_ascii) {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The type of a partition column by its values, as Spark infers it; text if `infer` is off.
pub(crate) fn infer<'a>(values: impl IntoIterator<Item = Option<&'a str>>, infer: bool) -> DataType {
    let types = values.into_iter().flatten().map(|value| if infer { type_of(value) } else { DataType::Utf8 });
    types.reduce(wider).unwrap_or(DataType::Utf8)
}

/// The type of one value.
pub(crate) fn type_of(value: &str) -> DataType {
    number_type(value).unwrap_or_else(|| time_type(value).unwrap_or(DataType::Utf8))
}

/// The type of a number; `None` for other text.
pub(crate) fn number_type(value: &str) -> Option<DataType> {
    let bytes = value.as_bytes();
    let whole = scalars::integer(bytes);
    if whole.is_some_and(|whole| i32::try_from(whole).is_ok()) {
        Some(DataType::Int32)
    } else if whole.is_some() {
        Some(DataType::Int64)
    } else if let Some(digits) = whole_digits(bytes) {
        Some(decimal(digits))
    } else {
        let is_double =
            scalars::java_float::<f64>(bytes).is_some() || matches!(value, "NaN" | "Infinity" | "-Infinity" | "+Infinity");
        is_double.then_some(DataType::Float64)
    }
}

/// The type of a date or time in the usual form; `None` for other text.
pub(crate) fn time_type(value: &str) -> Option<DataType> {
    let bytes = value.as_bytes();
    if bytes.len() == 10 && scalars::date(bytes).is_some() {
        Some(DataType::Date32)
    } else if bytes.len() > 10 && scalars::instant(bytes).is_some() {
        Some(instants())
    } else {
        None
    }
}

/// How many digits a whole number has that may be written with an exponent; `None` if it is none, or one of more than 38.
fn whole_digits(text: &[u8]) -> Option<usize> {
    let digits = text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+")).unwrap_or(text);
    let (mantissa, exponent) = match digits.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(at) => (digits.get(..at)?, std::str::from_utf8(digits.get(at + 1..)?).ok()?.parse::<i64>().ok()?),
        None => (digits, 0),
    };
    let point = mantissa.iter().position(|byte| *byte == b'.');
    let fraction = point.map_or(0, |at| mantissa.len() - at - 1);
    let is_number = mantissa.iter().enumerate().all(|(at, byte)| byte.is_ascii_digit() || Some(at) == point);
    // Java's scale, which is not above zero for a whole number.
    let scale = (fraction as i64).checked_sub(exponent)?;
    let significant = mantissa.iter().filter(|byte| byte.is_ascii_digit()).skip_while(|byte| **byte == b'0').count().max(1);
    let digits = significant.checked_add(usize::try_from(-scale).ok()?)?;
    (is_number && mantissa.len() > usize::from(point.is_some()) && digits <= 38).then_some(digits)
}

/// A decimal of so many digits.
fn decimal(digits: usize) -> DataType {
    DataType::Decimal128(u8::try_from(digits).unwrap_or(38).min(38), 0)
}

/// The type that holds values of both.
#[expect(clippy::wildcard_enum_match_arm, reason = "pairs of other types have text in common only")]
pub(crate) fn wider(one: DataType, other: DataType) -> DataType {
    use DataType as T;
    let rank = |kind: &DataType| match kind {
        T::Int32 => Some(0),
        T::Int64 => Some(1),
        T::Decimal128(..) => Some(2),
        T::Float64 => Some(3),
        _ => None,
    };
    match (&one, &other) {
        (one, other) if one == other => one.clone(),
        (T::Decimal128(left, _), T::Decimal128(right, _)) => decimal((*left).max(*right).into()),
        (T::Decimal128(digits, _), T::Int64) | (T::Int64, T::Decimal128(digits, _)) => decimal((*digits).max(20).into()),
        (T::Date32, T::Timestamp(..)) => other,
        (T::Timestamp(..), T::Date32) => one,
        _ => match (rank(&one), rank(&other)) {
            (Some(left), Some(right)) => {
                if left > right {
                    one
                } else {
                    other
                }
            }
            _ => T::Utf8,
        },
    }
}

/// A value as the text of its directory; `None` is null.
pub(crate) fn text(array: &ArrayRef, row: usize) -> Result<Option<String>> {
    if array.is_null(row) {
        return Ok(None);
    }
    Ok(Some(match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            json_rows::sql_timestamp(array.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        DataType::Float32 | DataType::Float64 => {
            let mut out = Vec::new();
            json_rows::value(array, row, &mut out)?;
            String::from_utf8_lossy(&out).trim_matches('"').to_owned()
        }
        _ => ArrayFormatter::try_new(array, &FormatOptions::new())?.value(row).try_to_string()?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float64Array, StringArray, TimestampMicrosecondArray};
    use std::sync::Arc;

    #[test]
    fn names_are_read_back() {
        for value in ["a", "a/b", "100%", "k=v", "ü\t\"x\"", "%41", "{[^]}", " "] {
            let name = directory("the:key", Some(value), Naming::Hive);
            assert!(!name.contains('/'), "{name}");
            assert_eq!(parse(&name), Some(("the:key".to_owned(), Some(value.to_owned()))), "{name}");
        }
        assert_eq!(directory("k", Some("a/b"), Naming::Hive), "k=a%2Fb");
        assert_eq!(directory("k", None, Naming::Hive), "k=__HIVE_DEFAULT_PARTITION__");
        assert_eq!(directory("k", Some(""), Naming::Hive), "k=__HIVE_DEFAULT_PARTITION__");
        for value in [None, Some(""), Some(NULL), Some("a/b%5F")] {
            let (key, found) = parse(&directory("k", value, Naming::Exact)).unwrap();
            assert_eq!((key.as_str(), found.as_deref()), ("k", value));
        }
        assert_eq!(parse("k=__HIVE_DEFAULT_PARTITION__"), Some(("k".to_owned(), None)));
        assert_eq!(parse("k=%zz%e4%"), Some(("k".to_owned(), Some("%zz%e4%".to_owned()))));
        assert_eq!((parse("=1"), parse("k")), (None, None));
    }

    #[test]
    fn types_as_spark_infers_them() {
        let timestamp = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let cases: Vec<(&[Option<&str>], DataType)> = vec![
            (&[Some("1"), Some("007")], DataType::Int32),
            (&[Some("1"), None, Some("3000000000")], DataType::Int64),
            (&[Some("1"), Some("99999999999999999999")], DataType::Decimal128(20, 0)),
            (&[Some("1"), Some("1.5")], DataType::Float64),
            (&[Some("2024-01-31")], DataType::Date32),
            (&[Some("2024-01-31"), Some("2024-01-31 10:00:00")], timestamp),
            (&[Some("2024-01-31"), Some("1")], DataType::Utf8),
            (&[Some("2024-13-31")], DataType::Utf8),
            (&[Some("true")], DataType::Utf8),
            (&[None], DataType::Utf8),
        ];
        for (values, expected) in cases {
            assert_eq!(infer(values.iter().copied(), true), expected, "{values:?}");
            assert_eq!(infer(values.iter().copied(), false), DataType::Utf8);
        }
    }

    #[test]
    fn values_as_spark_writes_them() {
        let times = TimestampMicrosecondArray::from(vec![0, 1_704_067_200_120_000]).with_timezone("UTC");
        let columns: Vec<(ArrayRef, [Option<&str>; 2])> = vec![
            (Arc::new(times), [Some("1970-01-01 00:00:00"), Some("2024-01-01 00:00:00.12")]),
            (Arc::new(Float64Array::from(vec![1.0, f64::NAN])), [Some("1.0"), Some("NaN")]),
            (Arc::new(StringArray::from(vec![Some("x"), None])), [Some("x"), None]),
        ];
        for (column, expected) in columns {
            let found = [0, 1].map(|row| text(&column, row).unwrap());
            assert_eq!(found.each_ref().map(Option::as_deref), expected);
        }
    }
}
