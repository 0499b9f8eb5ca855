//! Rows as CSV: quoted as RFC 4180 says, where it is needed, with values in Spark's forms.

use arrow::array::Array;
use arrow::buffer::NullBuffer;
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use tidegate_runtime::Result;

use super::format::CsvFormat;
use super::value_text::{Scalars, Strings};

impl CsvFormat {
    /// Appends each row as a record; before them a record of the columns' names, if rows are the `first` of a file with a header.
    pub(super) fn encode(&self, batch: &RecordBatch, first: bool, out: &mut Vec<u8>) -> Result<()> {
        if self.header && first {
            let names = batch.schema_ref().fields().iter().map(|field| field.name().as_bytes());
            self.record(names, out, |name, out| {
                self.push_text(name, out);
                Ok(())
            })?;
        }
        let mut null = Vec::new();
        self.push_text(self.null_value.as_bytes(), &mut null);
        let columns = batch.columns().iter().map(|column| Column::of(column.as_ref(), self)).collect::<Result<Vec<_>>>()?;
        for row in 0..batch.num_rows() {
            self.record(columns.iter(), out, |column, out| {
                if column.is_null(row) {
                    out.extend_from_slice(&null);
                    return Ok(());
                }
                self.push_value(&column.values, row, out)
            })?;
        }
        Ok(())
    }

    /// Appends a record of fields. One that would be an empty line, which readers skip, is an empty value in quotes.
    fn record<T>(
        &self,
        fields: impl Iterator<Item = T>,
        out: &mut Vec<u8>,
        push: impl Fn(T, &mut Vec<u8>) -> Result<()>,
    ) -> Result<()> {
        let from = out.len();
        for (index, field) in fields.enumerate() {
            if index > 0 {
                out.push(self.delimiter);
            }
            push(field, out)?;
        }
        if out.len() == from {
            out.extend_from_slice(b"\"\"");
        }
        out.push(b'\n');
        Ok(())
    }

    fn push_value(&self, values: &Values<'_>, row: usize, out: &mut Vec<u8>) -> Result<()> {
        match values {
            Values::Strings(strings, is_plain) => match strings.value(row) {
                // As Spark does it, which tells it from null.
                b"" => out.extend_from_slice(b"\"\""),
                text if *is_plain => out.extend_from_slice(text),
                text => self.push_text(text, out),
            },
            Values::Scalars(scalars, is_plain) if *is_plain => scalars.write(row, out),
            Values::Scalars(scalars, _) => {
                let mut text = Vec::new();
                scalars.write(row, &mut text);
                self.push_text(&text, out);
            }
            Values::Other(formatter) => self.push_text(formatter.value(row).try_to_string()?.as_bytes(), out),
        }
        Ok(())
    }

    /// In quotes if it would not be one value otherwise.
    fn push_text(&self, text: &[u8], out: &mut Vec<u8>) {
        if !text.iter().any(|byte| self.is_quoted(*byte)) {
            return out.extend_from_slice(text);
        }
        out.push(b'"');
        for (index, part) in text.split(|byte| *byte == b'"').enumerate() {
            if index > 0 {
                out.extend_from_slice(b"\"\"");
            }
            out.extend_from_slice(part);
        }
        out.push(b'"');
    }

    /// Whether a value with this character must be in quotes.
    fn is_quoted(&self, byte: u8) -> bool {
        byte == self.delimiter || matches!(byte, b'"' | b'\n' | b'\r')
    }
}

/// A column whose type was looked at.
struct Column<'a> {
    nulls: Option<&'a NullBuffer>,
    values: Values<'a>,
}

enum Values<'a> {
    /// And whether no value must be in quotes.
    Strings(Strings<'a>, bool),
    Scalars(Scalars<'a>, bool),
    /// As Arrow shows them.
    Other(ArrayFormatter<'a>),
}

impl<'a> Column<'a> {
    fn of(array: &'a dyn Array, format: &'a CsvFormat) -> Result<Self> {
        let values = if let Some(strings) = Strings::of(array) {
            Values::Strings(strings, strings.none_has(|byte| format.is_quoted(byte)))
        } else if let Some(scalars) = Scalars::of(array) {
            // The others are in no such value.
            let is_plain = !format.delimiter.is_ascii_alphanumeric() && !b"+-.:".contains(&format.delimiter);
            Values::Scalars(scalars, is_plain)
        } else {
            let options = FormatOptions::new().with_null(&format.null_value);
            Values::Other(ArrayFormatter::try_new(array, &options)?)
        };
        Ok(Column { nulls: array.nulls(), values })
    }

    fn is_null(&self, row: usize) -> bool {
        self.nulls.is_some_and(|nulls| nulls.is_null(row))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int8Array, Int64Array,
        LargeStringArray, NullArray, StringArray, StringViewArray, Time32SecondArray, TimestampMicrosecondArray,
        TimestampNanosecondArray, UInt64Array,
    };
    use arrow::csv::WriterBuilder;
    use proptest::collection::vec;
    use proptest::option::weighted;
    use proptest::prelude::*;

    use super::*;
    use crate::file::round_trip_tests::write;
    use crate::file::sources_tests::batches;
    use crate::file::{CsvOptions, FileSink, FileSource};
    use crate::instants::in_utc;

    /// What Arrow's writer makes of the rows.
    fn twin(format: &CsvFormat, batch: &RecordBatch) -> Vec<u8> {
        let mut out = Vec::new();
        let builder = WriterBuilder::new()
            .with_header(format.header)
            .with_delimiter(format.delimiter)
            .with_null(format.null_value.clone())
            .with_timestamp_tz_format("%Y-%m-%dT%H:%M:%S%.3fZ".to_owned())
            .with_timestamp_format("%Y-%m-%dT%H:%M:%S%.3f".to_owned());
        builder.build(&mut out).write(&in_utc(batch).unwrap()).unwrap();
        out
    }

    fn ours(format: &CsvFormat, batch: &RecordBatch) -> Vec<u8> {
        let mut out = Vec::new();
        format.encode(batch, true, &mut out).unwrap();
        out
    }

    /// Of each row some values.
    #[derive(Debug, Clone)]
    struct Row {
        text: Option<String>,
        number: Option<i64>,
        float: Option<f64>,
        micros: Option<i64>,
        flag: Option<bool>,
    }

    fn text() -> impl Strategy<Value = String> {
        let telling = vec(proptest::sample::select(vec!["\"", ",", "\n", "\r", ";", "a", "é", " ", "\\", "0", "-"]), 0..12);
        let texts = prop_oneof![telling.prop_map(|parts| parts.concat()), "[a-z]{0,20}", any::<String>()];
        texts.prop_filter("Arrow writes empty text as null", |text| !text.is_empty())
    }

    fn row() -> impl Strategy<Value = Row> {
        // The range in which Java and Arrow write floats without an exponent.
        let float =
            prop_oneof![(1e-3..1e7), (-1e7..-1e-3), Just(0.0), Just(-0.0), (-999_999..999_999).prop_map(|n| f64::from(n) / 8.0)];
        // The years of four digits.
        let micros = -62_135_596_800_000_000_i64..253_402_300_800_000_000;
        (
            weighted(0.9, text()),
            weighted(0.9, any::<i64>()),
            weighted(0.9, float),
            weighted(0.9, micros),
            weighted(0.9, any::<bool>()),
        )
            .prop_map(|(text, number, float, micros, flag)| Row { text, number, float, micros, flag })
    }

    fn batch(rows: &[Row]) -> RecordBatch {
        let texts = || rows.iter().map(|row| row.text.as_deref());
        let numbers = || rows.iter().map(|row| row.number);
        let floats = || rows.iter().map(|row| row.float.filter(|float| *float == 0.0 || float.abs() >= 1e-3));
        let micros = || rows.iter().map(|row| row.micros);
        let days = micros().map(|micros| Some(micros?.div_euclid(86_400_000_000) as i32));
        let decimals = numbers().map(|number| number.map(i128::from)).collect::<Decimal128Array>();
        let nanos = micros().map(|micros| micros.map(|micros| micros % 9_000_000_000_000_000 * 1_000));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(texts().collect::<StringArray>()),
            Arc::new(texts().collect::<LargeStringArray>()),
            Arc::new(texts().collect::<StringViewArray>()),
            Arc::new(numbers().collect::<Int64Array>()),
            Arc::new(numbers().map(|n| n.map(|n| n as i8)).collect::<Int8Array>()),
            Arc::new(numbers().map(|n| n.map(|n| n as u64)).collect::<UInt64Array>()),
            Arc::new(floats().collect::<Float64Array>()),
            Arc::new(floats().map(|f| f.map(|f| f as f32)).collect::<Float32Array>()),
            Arc::new(decimals.with_precision_and_scale(38, 4).unwrap()),
            Arc::new(rows.iter().map(|row| row.flag).collect::<BooleanArray>()),
            Arc::new(days.collect::<Date32Array>()),
            Arc::new(micros().collect::<TimestampMicrosecondArray>()),
            Arc::new(micros().collect::<TimestampMicrosecondArray>().with_timezone("UTC")),
            Arc::new(nanos.collect::<TimestampNanosecondArray>()),
            Arc::new(numbers().map(|n| n.map(|n| n.rem_euclid(86_400) as i32)).collect::<Time32SecondArray>()),
            Arc::new(NullArray::new(rows.len())),
        ];
        RecordBatch::try_from_iter_with_nullable(
            columns.into_iter().enumerate().map(|(n, column)| (format!("c{n}"), column, true)),
        )
        .unwrap()
    }

    proptest! {
        #[test]
        fn the_same_bytes_as_arrows_writer(
            rows in vec(row(), 0..12),
            cut in 0_usize..4,
            delimiter in proptest::sample::select(b",;\t|-.:0TZ e".to_vec()),
            null_value in proptest::sample::select(vec!["", "NULL", "a,b", "\"", "-"]),
            header in any::<bool>(),
        ) {
            let format = CsvFormat { header, delimiter, null_value: null_value.to_owned() };
            let batch = batch(&rows);
            // Of slices only a part counts.
            let batch = batch.slice(cut.min(rows.len()), rows.len() - cut.min(rows.len()));
            let (expected, found) = (twin(&format, &batch), ours(&format, &batch));
            prop_assert_eq!(String::from_utf8_lossy(&found), String::from_utf8_lossy(&expected));
            let one = batch.project(&[0]).unwrap();
            prop_assert_eq!(ours(&format, &one), twin(&format, &one), "one column");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
        #[test]
        fn what_is_written_is_read_back(rows in vec(row(), 1..12), empty in 0_usize..12) {
            let mut rows = rows;
            for row in &mut rows {
                // Ends of lines are those of Unix, and a text can't be that of null.
                row.text = row.text.take().map(|text| text.replace(['\r', 'N'], ""));
            }
            if let Some(row) = rows.get_mut(empty) {
                row.text = Some(String::new());
            }
            let batch = batch(&rows).project(&[0, 3, 6, 9, 10]).unwrap();
            let directory = tempfile::tempdir().unwrap();
            let sink = FileSink::csv(directory.path()).null_value("NULL");
            write(&sink, std::slice::from_ref(&batch));
            let options = CsvOptions { null_value: "NULL".to_owned(), escape: Some(b'"'), multi_line: true, ..CsvOptions::default() };
            let source = FileSource::csv(directory.path(), batch.schema()).csv_options(options).header(true);
            prop_assert_eq!(batches(&source).unwrap(), vec![batch]);
        }
    }

    #[test]
    fn numbers_are_spelled_as_in_java() {
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![1e7, 0.000_1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY]));
        let decimals = Decimal128Array::from(vec![1, 10, 100, 1_000, -10_000]).with_precision_and_scale(38, 10).unwrap();
        let batch = RecordBatch::try_from_iter([("f", floats), ("d", Arc::new(decimals) as ArrayRef)]).unwrap();
        let format = CsvFormat { header: false, delimiter: b',', null_value: String::new() };
        let expected = "1.0E7,1E-10\n1.0E-4,1.0E-9\nNaN,1.00E-8\nInfinity,1.000E-7\n-Infinity,-0.0000010000\n";
        assert_eq!(String::from_utf8(ours(&format, &batch)).unwrap(), expected);
    }
}
