//! Any number of strings from one.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayBuilder, ArrayRef, AsArray, StringArrayType, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use tidegate_runtime::{Error, Operator, OperatorContext, OperatorSupplier, Port, Result, TARGET_BATCH_ROWS};

use crate::output::{column_index, single_input};

/// A batch of strings is complete at this size too, long before its 32-bit offsets are at their end.
const TARGET_BATCH_BYTES: usize = 16 << 20;

type Function = dyn Fn(&str, &mut Strings) + Send + Sync;

/// Makes any number of strings from each string of a column; a null makes none. The output has the made strings as its only
/// column. Made with [`FlatMap::strings`](crate::FlatMap::strings).
///
/// ```
/// use std::sync::Arc;
/// use arrow::array::{ArrayRef, StringArray};
/// use arrow::record_batch::RecordBatch;
/// use tidegate_operators::FlatMap;
/// use tidegate_runtime::testkit::OperatorHarness;
///
/// let words = FlatMap::strings("value", "word", |line, words| words.extend(line.split_whitespace()));
///
/// let strings = |strings: Vec<&str>| Arc::new(StringArray::from(strings)) as ArrayRef;
/// let lines = RecordBatch::try_from_iter([("value", strings(vec!["high tide", "", "low tide"]))])?;
/// let mut task = OperatorHarness::new(&words, &[lines.schema()])?;
/// task.process(0, lines)?;
/// assert_eq!(task.end_epoch()?[0].column(0), &strings(vec!["high", "tide", "low", "tide"]));
/// # Ok::<(), tidegate_runtime::Error>(())
/// ```
#[derive(Clone)]
pub struct FlatMapStrings {
    name: String,
    column: String,
    schema: SchemaRef,
    function: Arc<Function>,
}

impl FlatMapStrings {
    pub(crate) fn new(
        column: impl Into<String>,
        output: impl Into<String>,
        function: impl Fn(&str, &mut Strings) + Send + Sync + 'static,
    ) -> Self {
        let schema = Arc::new(Schema::new(vec![Field::new(output, DataType::Utf8, true)]));
        FlatMapStrings { name: "flat map".to_owned(), column: column.into(), schema, function: Arc::new(function) }
    }

    /// Calls it by this name in descriptions and errors.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }
}

impl OperatorSupplier for FlatMapStrings {
    fn output_schema(&self, inputs: &[SchemaRef]) -> Result<SchemaRef> {
        let input = single_input(&self.name, inputs)?;
        let data_type = input.field(column_index(&self.name, input, &self.column)?).data_type();
        if !data_type.is_string() {
            return Err(not_text(self, data_type));
        }
        Ok(Arc::clone(&self.schema))
    }

    fn supply(&self) -> Result<Box<dyn Operator>> {
        Ok(Box::new(FlatMapStringsTask { map: self.clone(), strings: Strings::default() }))
    }

    fn describe(&self) -> String {
        format!("{}({}) as {}", self.name, self.column, self.schema.field(0).name())
    }
}

fn not_text(map: &FlatMapStrings, data_type: &DataType) -> Error {
    Error::InvalidArgument(format!("{}: column {} is {data_type}, not text", map.name, map.column))
}

impl fmt::Debug for FlatMapStrings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlatMapStrings").field("name", &self.name).field("column", &self.column).finish_non_exhaustive()
    }
}

/// Where the function of a [`FlatMapStrings`] puts the strings that it makes.
#[derive(Debug, Default)]
pub struct Strings {
    builder: StringBuilder,
}

impl Strings {
    /// Adds a string.
    #[inline]
    pub fn push(&mut self, string: &str) {
        self.builder.append_value(string);
    }

    fn is_complete(&self) -> bool {
        self.builder.len() >= TARGET_BATCH_ROWS || self.builder.values_slice().len() >= TARGET_BATCH_BYTES
    }
}

impl<'a> Extend<&'a str> for Strings {
    #[inline]
    fn extend<I: IntoIterator<Item = &'a str>>(&mut self, strings: I) {
        strings.into_iter().for_each(|string| self.push(string));
    }
}

struct FlatMapStringsTask {
    map: FlatMapStrings,
    strings: Strings,
}

impl FlatMapStringsTask {
    fn split<'a>(&mut self, lines: impl StringArrayType<'a>, context: &mut OperatorContext<'_>) -> Result<()> {
        for line in lines.iter().flatten() {
            (self.map.function)(line, &mut self.strings);
            if self.strings.is_complete() {
                self.emit(context)?;
            }
        }
        Ok(())
    }

    fn emit(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        let strings: ArrayRef = Arc::new(self.strings.builder.finish());
        let batch = RecordBatch::try_new(Arc::clone(&self.map.schema), vec![strings])?;
        // One line may have made many more strings than a batch should have.
        let starts = (0..batch.num_rows()).step_by(TARGET_BATCH_ROWS);
        starts
            .map(|start| batch.slice(start, TARGET_BATCH_ROWS.min(batch.num_rows() - start)))
            .try_for_each(|part| context.emit(part))
    }
}

impl Operator for FlatMapStringsTask {
    fn process(&mut self, _port: Port, batch: RecordBatch, context: &mut OperatorContext<'_>) -> Result<()> {
        let column = batch.column(column_index(&self.map.name, batch.schema_ref(), &self.map.column)?);
        if let Some(lines) = column.as_string_opt::<i32>() {
            self.split(lines, context)
        } else if let Some(lines) = column.as_string_opt::<i64>() {
            self.split(lines, context)
        } else if let Some(lines) = column.as_string_view_opt() {
            self.split(lines, context)
        } else {
            Err(not_text(&self.map, column.data_type()))
        }
    }

    fn end_epoch(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        self.emit(context)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringArray};
    use arrow::compute::cast;
    use tidegate_runtime::testkit::OperatorHarness;

    use super::*;

    fn batch(column: ArrayRef) -> RecordBatch {
        RecordBatch::try_from_iter([("other", Arc::clone(&column)), ("value", column)]).unwrap()
    }

    fn words() -> FlatMapStrings {
        FlatMapStrings::new("value", "word", |line, words| words.extend(line.split_whitespace())).named("split")
    }

    #[test]
    fn every_encoding_of_text_is_split_and_null_makes_nothing() {
        let lines: ArrayRef = Arc::new(StringArray::from(vec![Some("a  b"), None, Some("")]));
        for data_type in [DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View] {
            let lines = batch(cast(&lines, &data_type).unwrap());
            let mut task = OperatorHarness::new(&words(), &[lines.schema()]).unwrap();
            task.process(0, lines).unwrap();
            let out = task.end_epoch().unwrap();
            assert_eq!(out[0].column(0).as_ref(), &StringArray::from(vec!["a", "b"]));
            assert_eq!(out[0].schema(), words().output_schema(&[batch(Arc::clone(&out[0].columns()[0])).schema()]).unwrap());
        }
    }

    #[test]
    fn batches_are_of_the_usual_size() {
        let long = "x ".repeat(3 * TARGET_BATCH_ROWS);
        let lines = batch(Arc::new(StringArray::from(vec!["a b c", &long, "d"])));
        let mut task = OperatorHarness::new(&words(), &[lines.schema()]).unwrap();
        task.process(0, lines).unwrap();
        let sizes: Vec<usize> = task.end_epoch().unwrap().iter().map(RecordBatch::num_rows).collect();
        assert_eq!(sizes, [TARGET_BATCH_ROWS, TARGET_BATCH_ROWS, TARGET_BATCH_ROWS, 3, 1]);
    }

    #[test]
    fn a_column_that_is_missing_or_not_text_is_refused() {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        let error = |schema| words().output_schema(&[schema]).unwrap_err().to_string();
        assert_eq!(error(batch(Arc::clone(&numbers)).schema()), "split: column value is Int64, not text");
        let other = RecordBatch::try_from_iter([("other", numbers)]).unwrap();
        assert_eq!(error(other.schema()), "split: there is no column value; the input has other");
    }
}
