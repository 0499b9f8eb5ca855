//! Values as text, in Spark's form.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use tidegate_runtime::Result;

use crate::instants::in_utc;

const NULL: &str = "NULL";

/// The rows of a batch as text, each value cut to `width` characters.
pub(crate) fn cells(batch: &RecordBatch, width: Option<usize>) -> Result<Vec<Vec<String>>> {
    let batch = in_utc(batch)?;
    let cell = |column: &dyn Array, row| Ok(cut(escape(&value(column, row)?), width));
    (0..batch.num_rows()).map(|row| batch.columns().iter().map(|column| cell(column, row)).collect()).collect()
}

/// The same with each value as `format` gives it.
pub(crate) fn formatted_cells(
    batch: &RecordBatch,
    width: Option<usize>,
    format: &dyn Fn(&ArrayRef, usize) -> String,
) -> Vec<Vec<String>> {
    let cell = |column: &ArrayRef, row| cut(escape(&format(column, row)), width);
    (0..batch.num_rows()).map(|row| batch.columns().iter().map(|column| cell(column, row)).collect()).collect()
}

/// One value; nested ones as `{a, b}`, `[a, b]` and `{key -> value}`.
#[expect(clippy::wildcard_enum_match_arm, reason = "Arrow's types are many and grow; all but these are simple values")]
fn value(array: &dyn Array, row: usize) -> Result<String> {
    if array.is_null(row) {
        return Ok(NULL.to_owned());
    }
    match array.data_type() {
        DataType::Struct(_) => {
            let fields = array.as_struct().columns().iter().map(|field| value(field, row)).collect::<Result<Vec<_>>>()?;
            Ok(format!("{{{}}}", fields.join(", ")))
        }
        DataType::List(_) => list(&array.as_list::<i32>().value(row)),
        DataType::LargeList(_) => list(&array.as_list::<i64>().value(row)),
        DataType::FixedSizeList(_, _) => list(&array.as_fixed_size_list().value(row)),
        DataType::Map(_, _) => {
            let entries = array.as_map().value(row);
            let entry = |n| Ok(format!("{} -> {}", value(entries.column(0), n)?, value(entries.column(1), n)?));
            let entries = (0..entries.len()).map(entry).collect::<Result<Vec<_>>>()?;
            Ok(format!("{{{}}}", entries.join(", ")))
        }
        DataType::Timestamp(_, _) => Ok(without_trailing_zeros(simple(array, row)?)),
        _ => simple(array, row),
    }
}

fn list(items: &dyn Array) -> Result<String> {
    let items = (0..items.len()).map(|n| value(items, n)).collect::<Result<Vec<_>>>()?;
    Ok(format!("[{}]", items.join(", ")))
}

fn simple(array: &dyn Array, row: usize) -> Result<String> {
    let instant = Some("%Y-%m-%d %H:%M:%S%.9f");
    let options = FormatOptions::new().with_null(NULL).with_timestamp_format(instant).with_timestamp_tz_format(instant);
    Ok(ArrayFormatter::try_new(array, &options)?.value(row).try_to_string()?)
}

/// `12:00:00.500000000` is `12:00:00.5` in Spark.
fn without_trailing_zeros(time: String) -> String {
    time.trim_end_matches('0').strip_suffix('.').map_or_else(|| time.trim_end_matches('0').to_owned(), str::to_owned)
}

/// Characters that would break the table are shown as in source code.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            '\u{C}' => escaped.push_str("\\f"),
            '\u{8}' => escaped.push_str("\\b"),
            '\u{B}' => escaped.push_str("\\v"),
            '\u{7}' => escaped.push_str("\\a"),
            // A terminal would obey it; Spark lets it through.
            '\u{1B}' => escaped.push_str("\\e"),
            other => escaped.push(other),
        }
    }
    escaped
}

fn cut(text: String, width: Option<usize>) -> String {
    match width {
        Some(width) if text.chars().count() > width => match width.checked_sub(3) {
            Some(kept) if kept > 0 => text.chars().take(kept).chain("...".chars()).collect(),
            _ => text.chars().take(width).collect(),
        },
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{BooleanArray, Float64Array, Int64Builder};
    use arrow::array::{ListArray, MapBuilder, StringArray, StringBuilder, StructArray, TimestampMicrosecondArray};
    use arrow::datatypes::{Field, Int64Type, TimeUnit};
    use std::sync::Arc;

    fn shown(column: ArrayRef) -> Vec<String> {
        cells(&RecordBatch::try_from_iter([("c", column)]).unwrap(), None).unwrap().concat()
    }

    #[test]
    fn simple_values_and_instants() {
        assert_eq!(shown(Arc::new(BooleanArray::from(vec![Some(true), None]))), ["true", "NULL"]);
        assert_eq!(shown(Arc::new(Float64Array::from(vec![1.0, -0.5]))), ["1.0", "-0.5"]);
        let micros = vec![1_700_000_000_000_000, 1_700_000_000_500_000, 1_700_000_000_123_456];
        let expected = ["2023-11-14 22:13:20", "2023-11-14 22:13:20.5", "2023-11-14 22:13:20.123456"];
        let times = TimestampMicrosecondArray::from(micros);
        assert_eq!(shown(Arc::new(times.clone())), expected);
        assert_eq!(shown(Arc::new(times.clone().with_timezone("UTC"))), expected);
        assert_eq!(shown(Arc::new(times.with_timezone("Europe/Berlin"))), expected);
    }

    #[test]
    fn nested_values() {
        let list = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None]), None]);
        assert_eq!(shown(Arc::new(list)), ["[1, NULL]", "NULL"]);
        let time: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![600_000_000]).with_timezone("UTC"));
        let field = |name| Arc::new(Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true));
        let window = StructArray::from(vec![(field("start"), Arc::clone(&time)), (field("end"), time)]);
        assert_eq!(shown(Arc::new(window)), ["{1970-01-01 00:10:00, 1970-01-01 00:10:00}"]);
        let mut map = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
        map.keys().append_value("a");
        map.values().append_value(1);
        map.append(true).unwrap();
        assert_eq!(shown(Arc::new(map.finish())), ["{a -> 1}"]);
    }

    #[test]
    fn long_and_unruly_text() {
        assert_eq!(cut("x".repeat(21), Some(20)), format!("{}...", "x".repeat(17)));
        assert_eq!(cut("x".repeat(20), Some(20)), "x".repeat(20));
        assert_eq!(cut("abcdef".into(), Some(3)), "abc");
        assert_eq!(shown(Arc::new(StringArray::from(vec!["a\n\tb\u{1B}[2J"]))), ["a\\n\\tb\\e[2J"]);
    }
}
