//! The rows that are written and read: each type, at its extremes, empty and null at each level.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int8Array,
    Int16Array, Int32Array, Int64Array, ListArray, MapArray, RecordBatch, StringArray, StructArray, TimestampMicrosecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, Fields, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType,
};

/// What a format can say of times.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Times {
    /// Microseconds from the year 1 to the year 9999.
    Micros,
    /// Milliseconds of the same years.
    Millis,
    /// Microseconds of the years that nanoseconds in 64 bits reach, 1677 to 2262, but for the last second before 1970.
    OfNanos,
    /// Microseconds from 1970 on, whole seconds before.
    WholeBefore1970,
}

impl Times {
    fn micros(self) -> ArrayRef {
        let [first, last, before, some] = match self {
            Times::Micros => [-62_135_596_800_000_000, 253_402_300_799_999_999, -1_000, 1_711_846_800_123_456],
            Times::Millis => [-62_135_596_800_000_000, 253_402_300_799_999_000, -1_000, 1_711_846_800_123_000],
            Times::OfNanos => [-9_000_000_000_000_001, 9_000_000_000_000_001, -1_000_001, 1_711_846_800_123_456],
            Times::WholeBefore1970 => [-62_135_596_800_000_000, 253_402_300_799_999_999, -1_000_000, 1_711_846_800_123_456],
        };
        Arc::new(TimestampMicrosecondArray::from(vec![Some(some), Some(first), Some(last), Some(0), Some(before), None]))
    }

    fn instants(self) -> ArrayRef {
        Arc::new(self.micros().as_primitive::<TimestampMicrosecondType>().clone().with_timezone("UTC"))
    }
}

fn decimals(precision: u8, scale: i8) -> ArrayRef {
    let most = 10_i128.pow(u32::from(precision)) - 1;
    let values = Decimal128Array::from(vec![Some(123), Some(-most), Some(most), Some(0), Some(-1), None]);
    Arc::new(values.with_precision_and_scale(precision, scale).unwrap())
}

/// The lists of these lengths, null for `None`, of the items.
fn list(items: &ArrayRef, lengths: &[Option<usize>]) -> ArrayRef {
    let offsets = OffsetBuffer::from_lengths(lengths.iter().map(|length| length.unwrap_or(0)));
    let valid = NullBuffer::from_iter(lengths.iter().map(Option::is_some));
    let field = Arc::new(Field::new("item", items.data_type().clone(), true));
    Arc::new(ListArray::new(field, offsets, Arc::clone(items), Some(valid)))
}

fn map(keys: &[&str], values: &ArrayRef, lengths: &[Option<usize>]) -> ArrayRef {
    let offsets = OffsetBuffer::from_lengths(lengths.iter().map(|length| length.unwrap_or(0)));
    let valid = NullBuffer::from_iter(lengths.iter().map(Option::is_some));
    let keys: ArrayRef = Arc::new(StringArray::from(keys.to_vec()));
    let fields =
        Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", values.data_type().clone(), true)]);
    let entries = StructArray::new(fields.clone(), vec![keys, Arc::clone(values)], None);
    let entry = Arc::new(Field::new("entries", DataType::Struct(fields), false));
    Arc::new(MapArray::new(entry, offsets, entries, Some(valid), false))
}

fn structure(columns: &[(&str, ArrayRef)], valid: &[bool]) -> ArrayRef {
    let fields: Fields = columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
    let columns = columns.iter().map(|(_, column)| Arc::clone(column)).collect();
    Arc::new(StructArray::new(fields, columns, Some(NullBuffer::from_iter(valid.iter().copied()))))
}

/// All columns, six rows.
pub(crate) fn all(times: Times) -> RecordBatch {
    let texts = ["x", "", "é\"\\',;\n\r\n\t🌊\u{FEFF}", " two  words ", "null", "-"].map(Some);
    let texts: ArrayRef = Arc::new(StringArray::from([&texts[..5], &[None]].concat()));
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(i64::MIN), Some(i64::MAX), Some(0), None, Some(9)]));
    let binary = [&b"hi"[..], b"", b"\0\xFF\x80", &[0; 300], b"\xC3\x28"].map(Some);
    let lengths = [Some(2), Some(1), Some(0), Some(3), None, Some(0)];
    let deep: ArrayRef = list(&numbers, &lengths);
    let pairs = structure(&[("x", Arc::clone(&numbers)), ("s", Arc::clone(&texts))], &[true, true, false, true, true, true]);
    let keys = ["a", "b", "", "é🌊", "k", "l"];
    let doubles = [1.5, f64::MIN, f64::MAX, -0.0, f64::NAN].map(Some);
    let floats = [1.5, f32::MIN, f32::MAX, -0.0, f32::NAN].map(Some);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("bool", Arc::new(BooleanArray::from(vec![Some(true), Some(false), Some(true), Some(false), Some(true), None]))),
        ("byte", Arc::new(Int8Array::from(vec![Some(1), Some(i8::MIN), Some(i8::MAX), Some(0), Some(-1), None]))),
        ("short", Arc::new(Int16Array::from(vec![Some(1), Some(i16::MIN), Some(i16::MAX), Some(0), Some(-1), None]))),
        ("int", Arc::new(Int32Array::from(vec![Some(1), Some(i32::MIN), Some(i32::MAX), Some(0), Some(-1), None]))),
        ("long", Arc::new(Int64Array::from(vec![Some(1), Some(i64::MIN), Some(i64::MAX), Some(0), Some(-1), None]))),
        ("float", Arc::new(Float32Array::from([&floats[..], &[None]].concat()))),
        ("double", Arc::new(Float64Array::from([&doubles[..], &[None]].concat()))),
        (
            "infinite",
            Arc::new(Float64Array::from(
                [f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE, 5e-324, 0.1 + 0.2, 1e22].map(Some).to_vec(),
            )),
        ),
        ("small", decimals(9, 2)),
        ("middle", decimals(18, 4)),
        ("large", decimals(38, 18)),
        ("text", Arc::clone(&texts)),
        ("binary", Arc::new(BinaryArray::from([&binary[..], &[None]].concat()))),
        ("day", Arc::new(Date32Array::from(vec![Some(19_000), Some(-719_162), Some(2_932_896), Some(0), Some(-1), None]))),
        ("instant", times.instants()),
        ("clock", times.micros()),
        ("longs", list(&numbers, &lengths)),
        ("strings", list(&texts, &[Some(0), None, Some(1), Some(4), Some(1), Some(0)])),
        ("map", map(&keys, &numbers, &[Some(2), Some(0), None, Some(1), Some(0), Some(3)])),
        ("struct", Arc::clone(&pairs)),
        ("structs", list(&pairs, &lengths)),
        ("map_of_lists", map(&keys, &deep, &[Some(1), Some(0), Some(4), None, Some(1), Some(0)])),
        ("nest", {
            let valid = [true, true, true, false, true, true];
            structure(
                &[("inner", structure(&[("longs", deep), ("instant", times.instants())], &valid))],
                &[true, false, true, true, true, true],
            )
        }),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

/// The same with other text.
pub(crate) fn with_texts(rows: &RecordBatch, change: impl Fn(&str) -> String) -> RecordBatch {
    let mut columns = rows.columns().to_vec();
    for column in columns.iter_mut().filter(|column| *column.data_type() == DataType::Utf8) {
        *column = Arc::new(column.as_string::<i32>().iter().map(|text| text.map(&change)).collect::<StringArray>());
    }
    RecordBatch::try_new(rows.schema(), columns).unwrap()
}

/// Those columns that do (or do not) have one of the names.
pub(crate) fn chosen(rows: &RecordBatch, names: &[&str], are_chosen: bool) -> RecordBatch {
    let schema = rows.schema();
    let indices = (0..rows.num_columns()).filter(|index| names.contains(&schema.field(*index).name().as_str()) == are_chosen);
    rows.project(&indices.collect::<Vec<_>>()).unwrap()
}

pub(crate) const NESTED: [&str; 7] = ["longs", "strings", "map", "struct", "structs", "map_of_lists", "nest"];

/// A line for each value, the same that `others.py` makes.
pub(crate) fn lines(batches: &[RecordBatch]) -> Vec<String> {
    let mut by_column: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for batch in batches {
        for (index, column) in batch.columns().iter().enumerate() {
            by_column.entry(index).or_default().extend((0..column.len()).map(|row| canonical(column, row)));
        }
    }
    let Some(schema) = batches.first().map(RecordBatch::schema) else { return Vec::new() };
    let line = |index: usize, row: usize, text: String| format!("{}[{row}] = {text}", schema.field(index).name());
    let columns = by_column.into_iter();
    columns
        .flat_map(|(index, texts)| {
            texts.into_iter().enumerate().map(move |(row, text)| line(index, row, text)).collect::<Vec<_>>()
        })
        .collect()
}

fn canonical(column: &dyn Array, row: usize) -> String {
    if column.is_null(row) {
        return "null".to_owned();
    }
    let joined = |items: &ArrayRef| (0..items.len()).map(|item| canonical(items, item)).collect::<Vec<_>>().join(",");
    match column.data_type() {
        DataType::Boolean => column.as_boolean().value(row).to_string(),
        DataType::Int8 => column.as_primitive::<Int8Type>().value(row).to_string(),
        DataType::Int16 => column.as_primitive::<Int16Type>().value(row).to_string(),
        DataType::Int32 => column.as_primitive::<Int32Type>().value(row).to_string(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Float32 => match column.as_primitive::<Float32Type>().value(row) {
            number if number.is_nan() => "NaN".to_owned(),
            number => format!("f32:{:x}", number.to_bits()),
        },
        DataType::Float64 => match column.as_primitive::<Float64Type>().value(row) {
            number if number.is_nan() => "NaN".to_owned(),
            number => format!("f64:{:x}", number.to_bits()),
        },
        DataType::Decimal128(_, scale) => format!("{}e-{scale}", column.as_primitive::<Decimal128Type>().value(row)),
        DataType::Utf8 => serde_json::to_string(column.as_string::<i32>().value(row)).unwrap(),
        DataType::Binary => {
            let bytes = column.as_binary::<i32>().value(row);
            format!("x'{}'", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
        }
        DataType::Date32 => format!("day:{}", column.as_primitive::<Date32Type>().value(row)),
        DataType::Timestamp(_, zone) => {
            let kind = if zone.is_some() { "instant" } else { "clock" };
            format!("{kind}:{}", column.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        DataType::List(_) => format!("[{}]", joined(&column.as_list::<i32>().value(row))),
        DataType::Map(..) => {
            let entries = column.as_map().value(row);
            let entry = |entry| format!("{}=>{}", canonical(entries.column(0), entry), canonical(entries.column(1), entry));
            format!("{{{}}}", (0..entries.len()).map(entry).collect::<Vec<_>>().join(","))
        }
        DataType::Struct(fields) => {
            let fields = fields.iter().zip(column.as_struct().columns());
            let fields = fields.map(|(field, column)| format!("{}:{}", field.name(), canonical(column, row)));
            format!("({})", fields.collect::<Vec<_>>().join(","))
        }
        other => panic!("no text for {other}"),
    }
}
