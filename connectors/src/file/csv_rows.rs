//! Rows as CSV, with quotes where they are needed, and values in Spark's forms.
//!
//! What is quoted and how is as uniVocity's writer, which is the one under Spark, does it.

use arrow::array::Array;
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use tidegate_runtime::Result;

use super::csv_options::EXACT_NULL;
use super::forms::TimeTexts;
use super::value_text::{Scalars, Strings};

/// How the CSV files of a sink are written: Spark's options of these names, with its defaults.
///
/// By default a quote in a value is written as `\"`, which is read back with the default of `escape`. Readers that know RFC 4180 only
/// want `escape` to be the quote itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CsvWriteOptions {
    /// Each file begins with a line of names (it does not).
    pub header: bool,
    /// What separates values (a comma): a character or more.
    pub separator: String,
    /// What surrounds a value that would be another one without (a double quote).
    pub quote: u8,
    /// What precedes a quote inside a quoted value (a backslash); the quote itself for RFC 4180.
    pub escape: u8,
    /// What precedes an escape inside a quoted value; if it is not set, an escape does.
    pub char_to_escape_quote_escaping: Option<u8>,
    /// All values are quoted (they are not).
    pub quote_all: bool,
    /// Values with quotes in them are quoted (they are).
    pub escape_quotes: bool,
    /// What stands for null (nothing).
    pub null_value: String,
    /// What stands for an empty text (`""`).
    pub empty_value: String,
    /// Blanks before a text are left out (they are).
    pub ignore_leading_white_space: bool,
    /// Blanks after a text are left out (they are).
    pub ignore_trailing_white_space: bool,
    /// What ends a row (`\n`).
    pub line_separator: String,
    /// A text that is the same as what stands for null is quoted.
    pub(crate) quotes_null_value: bool,
}

impl Default for CsvWriteOptions {
    fn default() -> Self {
        CsvWriteOptions {
            header: false,
            separator: ",".to_owned(),
            quote: b'"',
            escape: b'\\',
            char_to_escape_quote_escaping: None,
            quote_all: false,
            escape_quotes: true,
            null_value: String::new(),
            empty_value: "\"\"".to_owned(),
            ignore_leading_white_space: true,
            ignore_trailing_white_space: true,
            line_separator: "\n".to_owned(),
            quotes_null_value: false,
        }
    }
}

impl CsvWriteOptions {
    /// Values that are read back as they were.
    pub(crate) fn exact() -> Self {
        CsvWriteOptions {
            null_value: EXACT_NULL.to_owned(),
            ignore_leading_white_space: false,
            ignore_trailing_white_space: false,
            quotes_null_value: true,
            ..CsvWriteOptions::default()
        }
    }

    /// Whether what is written so can be read.
    pub(super) fn is_usable(&self) -> bool {
        let is_end = |byte: u8| matches!(byte, b'\r' | b'\n');
        let usable = |byte: u8| byte.is_ascii() && !is_end(byte);
        !self.separator.is_empty()
            && !self.separator.bytes().any(|byte| is_end(byte) || byte == self.quote)
            && usable(self.quote)
            && usable(self.escape)
            && !self.line_separator.is_empty()
    }

    /// Appends each row as a record; before them a record of the columns' names, if rows are the `first` of a file with a header.
    pub(super) fn encode(&self, batch: &RecordBatch, first: bool, times: &TimeTexts, out: &mut Vec<u8>) -> Result<()> {
        if self.header && first {
            let names = batch.schema_ref().fields().iter().map(|field| field.name().as_bytes());
            self.record(names, out, |name, out| {
                self.push_text(name, out);
                Ok(())
            })?;
        }
        let mut null = Vec::new();
        self.push_raw(self.null_value.as_bytes(), &mut null);
        let columns = batch.columns().iter().map(|column| Column::of(column.as_ref(), self, times));
        let columns = columns.collect::<Result<Vec<_>>>()?;
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
                out.extend_from_slice(self.separator.as_bytes());
            }
            push(field, out)?;
        }
        if out.len() == from {
            out.extend([self.quote; 2]);
        }
        out.extend_from_slice(self.line_separator.as_bytes());
        Ok(())
    }

    fn push_value(&self, values: &Values<'_>, row: usize, out: &mut Vec<u8>) -> Result<()> {
        match values {
            Values::Strings(strings, is_plain) => {
                let text = strings.value(row);
                if *is_plain && self.is_plain_at_its_ends(text) {
                    out.extend_from_slice(text);
                } else {
                    self.push_text(text, out);
                }
            }
            Values::Scalars(scalars, is_plain) if *is_plain => scalars.write(row, out),
            Values::Scalars(scalars, _) => {
                let mut text = Vec::new();
                scalars.write(row, &mut text);
                self.push_text(&text, out);
            }
            Values::Null => {}
            Values::Other(formatter) => self.push_text(formatter.value(row).try_to_string()?.as_bytes(), out),
        }
        Ok(())
    }

    /// Whether a text without characters that need quotes is written as it is.
    fn is_plain_at_its_ends(&self, text: &[u8]) -> bool {
        match (text.first(), text.last()) {
            (Some(first), Some(last)) => {
                *first > b' ' && *last > b' ' && !self.needs_quotes_at_start(*first) && !self.is_like_null(text)
            }
            _ => false,
        }
    }

    /// A text without the blanks around it, in quotes if it would not be one value otherwise.
    fn push_text(&self, text: &[u8], out: &mut Vec<u8>) {
        let blank = |byte: &&u8| **byte <= b' ';
        let leading = if self.ignore_leading_white_space { text.iter().take_while(blank).count() } else { 0 };
        let text = text.get(leading..).unwrap_or_default();
        // Ends of lines count for that, also those at the end, which are left out.
        let has_marks = self.needs_quotes(text);
        let trailing = if self.ignore_trailing_white_space { text.iter().rev().take_while(blank).count() } else { 0 };
        let text = text.get(..text.len() - trailing).unwrap_or_default();
        if text.is_empty() && !self.quote_all {
            return out.extend_from_slice(self.empty_value.as_bytes());
        }
        let is_quoted = self.quote_all
            || has_marks
            || self.is_like_null(text)
            || text.first().is_some_and(|first| self.needs_quotes_at_start(*first));
        if !is_quoted {
            return out.extend_from_slice(text);
        }
        out.push(self.quote);
        for byte in text {
            if *byte == self.quote {
                out.push(self.escape);
            } else if *byte == self.escape {
                out.push(self.char_to_escape_quote_escaping.unwrap_or(self.escape));
            }
            out.push(*byte);
        }
        out.push(self.quote);
    }

    /// A text that is not looked at.
    fn push_raw(&self, text: &[u8], out: &mut Vec<u8>) {
        out.extend(self.quote_all.then_some(self.quote));
        out.extend_from_slice(text);
        out.extend(self.quote_all.then_some(self.quote));
    }

    /// Whether a value with this character may have to be in quotes.
    fn may_need_quotes(&self, byte: u8) -> bool {
        self.separator.as_bytes().first() == Some(&byte)
            || self.line_separator.as_bytes().first() == Some(&byte)
            || matches!(byte, b'\n' | b'\r')
            || self.escape_quotes && byte == self.quote
    }

    /// Whether a value with such characters has to: a part of a separator is none.
    fn needs_quotes(&self, text: &[u8]) -> bool {
        let is_separator = |byte: u8| self.separator.as_bytes().first() == Some(&byte);
        text.iter().any(|byte| self.may_need_quotes(*byte) && !is_separator(*byte))
            || memchr::memmem::find(text, self.separator.as_bytes()).is_some()
    }

    fn is_like_null(&self, text: &[u8]) -> bool {
        self.quotes_null_value && text == self.null_value.as_bytes()
    }

    /// Whether a value that begins with it must be: a line that begins with `#` may be taken for a comment.
    fn needs_quotes_at_start(&self, byte: u8) -> bool {
        byte == b'#' || byte == self.quote
    }
}

/// A column whose type was looked at.
struct Column<'a> {
    nulls: Option<&'a NullBuffer>,
    values: Values<'a>,
}

enum Values<'a> {
    /// And whether no value has a character that must be in quotes.
    Strings(Strings<'a>, bool),
    Scalars(Scalars<'a>, bool),
    Null,
    /// As Arrow shows them.
    Other(ArrayFormatter<'a>),
}

impl<'a> Column<'a> {
    fn of(array: &'a dyn Array, format: &'a CsvWriteOptions, times: &'a TimeTexts) -> Result<Self> {
        let values = if let Some(strings) = Strings::of(array) {
            let is_plain = !format.quote_all && strings.none_has(|byte| format.may_need_quotes(byte));
            Values::Strings(strings, is_plain)
        } else if let Some(scalars) = Scalars::of(array, times) {
            // The others are in no such value.
            let in_values = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.:".contains(&byte);
            let marks = format.separator.bytes().take(1).chain([format.quote]);
            Values::Scalars(scalars, !format.quote_all && !scalars.has_form() && !marks.into_iter().any(in_values))
        } else if *array.data_type() == DataType::Null {
            Values::Null
        } else {
            let options = FormatOptions::new().with_null(&format.null_value);
            Values::Other(ArrayFormatter::try_new(array, &options)?)
        };
        Ok(Column { nulls: array.nulls(), values })
    }

    fn is_null(&self, row: usize) -> bool {
        matches!(self.values, Values::Null) || self.nulls.is_some_and(|nulls| nulls.is_null(row))
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

    /// Nothing but what RFC 4180 knows.
    fn by_rfc_4180() -> CsvWriteOptions {
        let (ignore_leading_white_space, ignore_trailing_white_space) = (false, false);
        CsvWriteOptions { escape: b'"', ignore_leading_white_space, ignore_trailing_white_space, ..CsvWriteOptions::default() }
    }

    /// What Arrow's writer makes of the rows.
    fn twin(format: &CsvWriteOptions, batch: &RecordBatch) -> Vec<u8> {
        let mut out = Vec::new();
        let builder = WriterBuilder::new()
            .with_header(format.header)
            .with_delimiter(format.separator.as_bytes()[0])
            .with_null(format.null_value.clone())
            .with_timestamp_tz_format("%Y-%m-%dT%H:%M:%S%.3fZ".to_owned())
            .with_timestamp_format("%Y-%m-%dT%H:%M:%S%.3f".to_owned());
        builder.build(&mut out).write(&in_utc(batch).unwrap()).unwrap();
        out
    }

    fn ours(format: &CsvWriteOptions, batch: &RecordBatch) -> Vec<u8> {
        let mut out = Vec::new();
        format.encode(batch, true, &TimeTexts::default(), &mut out).unwrap();
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
        // Arrow writes empty text as null, and takes no `#` for a comment.
        texts.prop_filter("an end of its own", |text| !text.is_empty() && !text.starts_with('#'))
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
            null_value in proptest::sample::select(vec!["", "NULL", "?"]),
            header in any::<bool>(),
        ) {
            let format = CsvWriteOptions {
                header,
                separator: char::from(delimiter).to_string(),
                null_value: null_value.to_owned(),
                ..by_rfc_4180()
            };
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
            let usual = CsvWriteOptions { ignore_leading_white_space: false, ignore_trailing_white_space: false, ..CsvWriteOptions::default() };
            for format in [usual, by_rfc_4180()] {
                let directory = tempfile::tempdir().unwrap();
                let escape = Some(format.escape);
                let sink = FileSink::csv(directory.path()).csv_options(CsvWriteOptions { null_value: "NULL".to_owned(), header: true, ..format });
                write(&sink, std::slice::from_ref(&batch));
                let options = CsvOptions { null_value: "NULL".to_owned(), escape, multi_line: true, ..CsvOptions::default() };
                let source = FileSource::csv(directory.path(), batch.schema()).csv_options(options).header(true);
                prop_assert_eq!(batches(&source).unwrap(), vec![batch.clone()]);
            }
        }
    }

    #[test]
    fn numbers_are_spelled_as_in_java() {
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![1e7, 0.000_1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY]));
        let decimals = Decimal128Array::from(vec![1, 10, 100, 1_000, -10_000]).with_precision_and_scale(38, 10).unwrap();
        let batch = RecordBatch::try_from_iter([("f", floats), ("d", Arc::new(decimals) as ArrayRef)]).unwrap();
        let format = CsvWriteOptions::default();
        let expected = "1.0E7,1E-10\n1.0E-4,1.0E-9\nNaN,1.00E-8\nInfinity,1.000E-7\n-Infinity,-0.0000010000\n";
        assert_eq!(String::from_utf8(ours(&format, &batch)).unwrap(), expected);
    }
}
