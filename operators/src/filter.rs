//! The rows that a predicate is true for.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, BooleanArray};
use arrow::compute::prep_null_mask_filter;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use tidegate_runtime::{Error, Operator, OperatorContext, OperatorSupplier, Port, Result};

use crate::output::{Gathered, gathered_like, single_input};

type Predicate = dyn Fn(&RecordBatch) -> Result<BooleanArray> + Send + Sync;

/// Keeps the rows for which the predicate is true, not those for which it is false or null.
///
/// ```
/// use std::sync::Arc;
/// use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array};
/// use arrow::datatypes::Int64Type;
/// use arrow::record_batch::RecordBatch;
/// use tidegate_operators::Filter;
/// use tidegate_runtime::testkit::OperatorHarness;
///
/// let positive = Filter::new(|batch| {
///     Ok(BooleanArray::from_unary(batch.column(0).as_primitive::<Int64Type>(), |n| n > 0))
/// });
/// let numbers = |numbers: Vec<i64>| Arc::new(Int64Array::from(numbers)) as ArrayRef;
/// let batch = RecordBatch::try_from_iter([("n", numbers(vec![1, -2, 3]))])?;
/// let mut task = OperatorHarness::new(&positive, &[batch.schema()])?;
/// task.process(0, batch)?;
/// assert_eq!(task.end_epoch()?[0].column(0), &numbers(vec![1, 3]));
/// # Ok::<(), tidegate_runtime::Error>(())
/// ```
#[derive(Clone)]
pub struct Filter {
    name: String,
    predicate: Arc<Predicate>,
}

impl Filter {
    /// Filters by a predicate that gives one value for each row.
    pub fn new(predicate: impl Fn(&RecordBatch) -> Result<BooleanArray> + Send + Sync + 'static) -> Self {
        Filter { name: "filter".to_owned(), predicate: Arc::new(predicate) }
    }

    /// Calls it by this name in descriptions and errors.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }
}

impl OperatorSupplier for Filter {
    fn output_schema(&self, inputs: &[SchemaRef]) -> Result<SchemaRef> {
        single_input(&self.name, inputs).map(Arc::clone)
    }

    fn supply(&self) -> Result<Box<dyn Operator>> {
        Ok(Box::new(FilterTask { filter: self.clone(), output: None }))
    }

    fn describe(&self) -> String {
        self.name.clone()
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filter").field("name", &self.name).finish_non_exhaustive()
    }
}

struct FilterTask {
    filter: Filter,
    output: Option<Gathered>,
}

impl Operator for FilterTask {
    fn process(&mut self, _port: Port, batch: RecordBatch, context: &mut OperatorContext<'_>) -> Result<()> {
        let mut keep = (self.filter.predicate)(&batch)?;
        if keep.len() != batch.num_rows() {
            let (name, given, rows) = (&self.filter.name, keep.len(), batch.num_rows());
            return Err(Error::InvalidArgument(format!("{name}: the predicate gave {given} values for {rows} rows")));
        }
        if keep.null_count() > 0 {
            keep = prep_null_mask_filter(&keep);
        }
        gathered_like(&mut self.output, batch.schema_ref()).push_filtered(batch, &keep, context)
    }

    fn end_epoch(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        self.output.as_mut().map_or(Ok(()), |output| output.flush(context))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, AsArray, Int64Array};
    use arrow::datatypes::Int64Type;
    use tidegate_runtime::testkit::OperatorHarness;

    use super::*;

    fn batch(values: Vec<Option<i64>>) -> RecordBatch {
        RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(values)) as ArrayRef)]).unwrap()
    }

    #[test]
    fn null_is_not_true() {
        let even = Filter::new(|batch| {
            let numbers = batch.column(0).as_primitive::<Int64Type>();
            Ok(numbers.iter().map(|n| n.map(|n| n % 2 == 0)).collect())
        });
        let mut task = OperatorHarness::new(&even, &[batch(vec![]).schema()]).unwrap();
        task.process(0, batch(vec![Some(1), Some(2), None, Some(4)])).unwrap();
        task.process(0, batch(vec![None, Some(3)])).unwrap();
        task.process(0, batch(vec![Some(6)])).unwrap();
        let out = task.end_epoch().unwrap();
        assert_eq!(out.len(), 1);
        assert_eq!(out[0].columns(), batch(vec![Some(2), Some(4), Some(6)]).columns());
    }

    #[test]
    fn a_predicate_of_another_length_is_refused() {
        let wrong = Filter::new(|_| Ok(BooleanArray::from(vec![true]))).named("is paid");
        let mut task = OperatorHarness::new(&wrong, &[batch(vec![]).schema()]).unwrap();
        let error = task.process(0, batch(vec![Some(1), Some(2)])).unwrap_err().to_string();
        assert_eq!(error, "is paid: the predicate gave 1 values for 2 rows");
        assert!(wrong.output_schema(&[]).unwrap_err().to_string().contains("one input"));
    }
}
