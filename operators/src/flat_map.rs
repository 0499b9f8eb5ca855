//! Any number of batches from one.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use tidegate_runtime::{Operator, OperatorContext, OperatorSupplier, Port, Result};

use crate::flat_map_strings::{FlatMapStrings, Strings};
use crate::output::{Gathered, conform, single_input};

type Sink<'a> = dyn FnMut(RecordBatch) -> Result<()> + 'a;
type Function = dyn Fn(&RecordBatch, &mut Sink<'_>) -> Result<()> + Send + Sync;

/// Gives, for each batch, the batches that a function makes of it.
///
/// As with [`MapBatches`](crate::MapBatches), the function must depend on nothing but its argument. An iterator that it gives is
/// drawn from batch by batch, so that a large output need never be in memory at once.
///
/// ```
/// use std::sync::Arc;
/// use arrow::array::{ArrayRef, Int64Array};
/// use arrow::record_batch::RecordBatch;
/// use tidegate_operators::FlatMap;
/// use tidegate_runtime::testkit::OperatorHarness;
///
/// let numbers = |numbers: Vec<i64>| Arc::new(Int64Array::from(numbers)) as ArrayRef;
/// let batch = RecordBatch::try_from_iter([("n", numbers(vec![1, 2]))])?;
/// let twice = FlatMap::new(batch.schema(), |batch| Ok(vec![batch.clone(), batch.clone()]));
/// let mut task = OperatorHarness::new(&twice, &[batch.schema()])?;
/// task.process(0, batch)?;
/// assert_eq!(task.end_epoch()?[0].column(0), &numbers(vec![1, 2, 1, 2]));
/// # Ok::<(), tidegate_runtime::Error>(())
/// ```
#[derive(Clone)]
pub struct FlatMap {
    name: String,
    schema: SchemaRef,
    function: Arc<Function>,
}

impl FlatMap {
    /// Applies a function whose outputs have the columns of `schema`.
    pub fn new<B>(schema: SchemaRef, function: impl Fn(&RecordBatch) -> Result<B> + Send + Sync + 'static) -> Self
    where
        B: IntoIterator<Item = RecordBatch>,
    {
        let function = move |batch: &RecordBatch, sink: &mut Sink<'_>| function(batch)?.into_iter().try_for_each(sink);
        FlatMap { name: "flat map".to_owned(), schema, function: Arc::new(function) }
    }

    /// Makes any number of strings from each string of a column: see [`FlatMapStrings`].
    pub fn strings(
        column: impl Into<String>,
        output: impl Into<String>,
        function: impl Fn(&str, &mut Strings) + Send + Sync + 'static,
    ) -> FlatMapStrings {
        FlatMapStrings::new(column, output, function)
    }

    /// Calls it by this name in descriptions and errors.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }
}

impl OperatorSupplier for FlatMap {
    fn output_schema(&self, inputs: &[SchemaRef]) -> Result<SchemaRef> {
        single_input(&self.name, inputs)?;
        Ok(Arc::clone(&self.schema))
    }

    fn supply(&self) -> Result<Box<dyn Operator>> {
        Ok(Box::new(FlatMapTask { map: self.clone(), output: Gathered::new(&self.schema) }))
    }

    fn describe(&self) -> String {
        self.name.clone()
    }
}

impl fmt::Debug for FlatMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlatMap").field("name", &self.name).field("schema", &self.schema).finish_non_exhaustive()
    }
}

struct FlatMapTask {
    map: FlatMap,
    output: Gathered,
}

impl Operator for FlatMapTask {
    fn process(&mut self, _port: Port, batch: RecordBatch, context: &mut OperatorContext<'_>) -> Result<()> {
        let FlatMapTask { map, output } = self;
        (map.function)(&batch, &mut |made| output.push(conform(&map.name, &map.schema, made)?, context))
    }

    fn end_epoch(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        self.output.flush(context)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array};
    use arrow::datatypes::Schema;
    use tidegate_runtime::TARGET_BATCH_ROWS;
    use tidegate_runtime::testkit::OperatorHarness;

    use super::*;

    fn ints(rows: usize) -> RecordBatch {
        RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from_iter_values(0..rows as i64)) as ArrayRef)]).unwrap()
    }

    #[test]
    fn outputs_are_gathered_and_empty_ones_vanish() {
        let map = FlatMap::new(ints(0).schema(), |batch| {
            let batch = batch.clone();
            Ok((0..3).map(move |n| if n == 1 { batch.slice(0, 0) } else { batch.clone() }))
        });
        let mut task = OperatorHarness::new(&map, &[ints(0).schema()]).unwrap();
        (0..3).for_each(|_| task.process(0, ints(2_000)).unwrap());
        let sizes: Vec<usize> = task.end_epoch().unwrap().iter().map(RecordBatch::num_rows).collect();
        assert_eq!(sizes, [TARGET_BATCH_ROWS, 12_000 - TARGET_BATCH_ROWS]);
    }

    #[test]
    fn an_output_that_is_not_as_declared_is_refused_by_name() {
        let map = FlatMap::new(Arc::new(Schema::empty()), |batch| Ok([batch.clone()])).named("explode");
        let mut task = OperatorHarness::new(&map, &[ints(0).schema()]).unwrap();
        let error = task.process(0, ints(1)).unwrap_err().to_string();
        assert_eq!(error, "explode: declared 0 output columns and gave 1");
    }
}
