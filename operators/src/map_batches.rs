//! A function of a batch.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use tidegate_runtime::{EpochInfo, Operator, OperatorContext, OperatorSupplier, Port, Result};

use crate::output::{Gathered, conform, single_input};

type Function = dyn Fn(&RecordBatch, EpochInfo) -> Result<RecordBatch> + Send + Sync;

/// Gives, for each batch, the batch that a function makes of it.
///
/// The function may be called from several threads and must depend on nothing but its arguments: after a restart an epoch is run
/// again and has to give the same rows. Times and random seeds therefore come from the epoch ([`MapBatches::with_epoch`]).
///
/// ```
/// use std::sync::Arc;
/// use arrow::array::{ArrayRef, AsArray, Int64Array};
/// use arrow::datatypes::{DataType, Field, Int64Type, Schema};
/// use arrow::record_batch::RecordBatch;
/// use tidegate_operators::MapBatches;
/// use tidegate_runtime::testkit::OperatorHarness;
///
/// let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
/// let output = schema.clone();
/// let double = MapBatches::new(schema.clone(), move |batch| {
///     let n: Int64Array = batch.column(0).as_primitive::<Int64Type>().unary(|n| n * 2);
///     Ok(RecordBatch::try_new(output.clone(), vec![Arc::new(n)])?)
/// });
/// let mut task = OperatorHarness::new(&double, &[schema.clone()])?;
/// task.process(0, RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(vec![1, 2]))])?)?;
/// let doubled: ArrayRef = Arc::new(Int64Array::from(vec![2, 4]));
/// assert_eq!(task.end_epoch()?[0].column(0), &doubled);
/// # Ok::<(), tidegate_runtime::Error>(())
/// ```
#[derive(Clone)]
pub struct MapBatches {
    name: String,
    schema: SchemaRef,
    function: Arc<Function>,
}

impl MapBatches {
    /// Applies a function whose output has the columns of `schema`.
    pub fn new(schema: SchemaRef, function: impl Fn(&RecordBatch) -> Result<RecordBatch> + Send + Sync + 'static) -> Self {
        Self::with_epoch(schema, move |batch, _| function(batch))
    }

    /// Applies a function of the batch and its epoch.
    pub fn with_epoch(
        schema: SchemaRef,
        function: impl Fn(&RecordBatch, EpochInfo) -> Result<RecordBatch> + Send + Sync + 'static,
    ) -> Self {
        MapBatches { name: "map batches".to_owned(), schema, function: Arc::new(function) }
    }

    /// Calls it by this name in descriptions and errors.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }
}

impl OperatorSupplier for MapBatches {
    fn output_schema(&self, inputs: &[SchemaRef]) -> Result<SchemaRef> {
        single_input(&self.name, inputs)?;
        Ok(Arc::clone(&self.schema))
    }

    fn supply(&self) -> Result<Box<dyn Operator>> {
        Ok(Box::new(MapTask { map: self.clone(), output: Gathered::new(&self.schema) }))
    }

    fn describe(&self) -> String {
        self.name.clone()
    }
}

impl fmt::Debug for MapBatches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapBatches").field("name", &self.name).field("schema", &self.schema).finish_non_exhaustive()
    }
}

struct MapTask {
    map: MapBatches,
    output: Gathered,
}

impl Operator for MapTask {
    fn process(&mut self, _port: Port, batch: RecordBatch, context: &mut OperatorContext<'_>) -> Result<()> {
        let mapped = (self.map.function)(&batch, context.epoch()?)?;
        self.output.push(conform(&self.map.name, &self.map.schema, mapped)?, context)
    }

    fn end_epoch(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        self.output.flush(context)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};
    use tidegate_runtime::testkit::OperatorHarness;
    use tidegate_runtime::{Epoch, TARGET_BATCH_ROWS, Watermark};

    use super::*;

    fn schema(data_type: DataType, nullable: bool) -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("n", data_type, nullable)]))
    }

    fn ints(rows: usize) -> RecordBatch {
        RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from_iter_values(0..rows as i64)) as ArrayRef)]).unwrap()
    }

    fn run(map: &MapBatches) -> Result<Vec<RecordBatch>> {
        let mut task = OperatorHarness::new(map, &[ints(1).schema()])?;
        task.process(0, ints(1))?;
        task.end_epoch()
    }

    #[test]
    fn an_output_that_is_not_as_declared_is_refused_by_name() {
        let map = MapBatches::new(schema(DataType::Utf8, true), |batch| Ok(batch.clone())).named("enrich");
        let error = run(&map).unwrap_err().to_string();
        assert_eq!(error, "enrich: output column n is declared as Utf8 and was given as Int64");
        let none = MapBatches::new(Arc::new(Schema::empty()), |batch| Ok(batch.clone()));
        assert_eq!(run(&none).unwrap_err().to_string(), "map batches: declared 0 output columns and gave 1");
        let nulls: ArrayRef = Arc::new(StringArray::from(vec![None::<&str>]));
        let map = MapBatches::new(schema(DataType::Utf8, false), move |_| {
            Ok(RecordBatch::try_from_iter([("n", ArrayRef::clone(&nulls))])?)
        });
        assert!(run(&map).unwrap_err().to_string().starts_with("map batches: "));
    }

    #[test]
    fn the_epoch_is_given() {
        let map = MapBatches::with_epoch(schema(DataType::Int64, true), |batch, epoch| {
            let number: ArrayRef = Arc::new(Int64Array::from(vec![epoch.trigger_time_ms; batch.num_rows()]));
            Ok(RecordBatch::try_from_iter([("anything", number)])?)
        });
        let mut task = OperatorHarness::new(&map, &[ints(1).schema()]).unwrap();
        let watermark = Some(Watermark::from_micros(1));
        task.set_epoch(EpochInfo { epoch: Epoch::new(3), trigger_time_ms: 77, watermark, late_watermark: None });
        task.process(0, ints(1)).unwrap();
        let batch = task.end_epoch().unwrap().remove(0);
        assert_eq!(batch.column(0).as_ref(), &Int64Array::from(vec![77]));
        assert_eq!(batch.schema().field(0).name(), "n");
    }

    #[test]
    fn small_batches_are_gathered() {
        let map = MapBatches::new(schema(DataType::Int64, true), |batch| Ok(batch.clone()));
        let mut task = OperatorHarness::new(&map, &[ints(1).schema()]).unwrap();
        (0..TARGET_BATCH_ROWS / 8 + 1).for_each(|_| task.process(0, ints(8)).unwrap());
        let sizes: Vec<usize> = task.end_epoch().unwrap().iter().map(RecordBatch::num_rows).collect();
        assert_eq!(sizes, [TARGET_BATCH_ROWS, 8]);
        assert!(task.end_epoch().unwrap().is_empty());
    }

    #[test]
    fn rows_without_columns_are_counted() {
        let empty = || RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &row_count(3)).unwrap();
        let map = MapBatches::new(Arc::new(Schema::empty()), move |_| Ok(empty()));
        assert_eq!(run(&map).unwrap()[0].num_rows(), 3);
    }

    fn row_count(rows: usize) -> arrow::record_batch::RecordBatchOptions {
        arrow::record_batch::RecordBatchOptions::new().with_row_count(Some(rows))
    }
}
