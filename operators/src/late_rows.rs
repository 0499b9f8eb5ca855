//! Rows that come too late for an operator, with the watermark that judges them.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray, StructArray};
use arrow::compute::{cast, filter, filter_record_batch, not};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use datafusion::physical_expr::PhysicalExpr;
use tidegate_runtime::{Error, Operator, OperatorContext, OperatorSupplier, Port, Result};

use crate::event_time::{EventTimeKind, after, micros};
use crate::expressions::{batch_of, evaluate};
use crate::output::{Gathered, single_input};

const NAME: &str = "late rows";

/// Passes on the rows that another operator with the same input drops because the watermark has passed them.
///
/// The output has the columns `operator` (its name), `watermark` and `event_time` (timestamps: the event time is not after the
/// watermark), and `row`, a struct of the input's columns.
///
/// ```
/// use std::sync::Arc;
/// use arrow::array::{ArrayRef, AsArray, TimestampMicrosecondArray};
/// use arrow::datatypes::TimestampMicrosecondType;
/// use arrow::record_batch::RecordBatch;
/// use datafusion::physical_expr::expressions::Column;
/// use tidegate_operators::LateRows;
/// use tidegate_runtime::Watermark;
/// use tidegate_runtime::testkit::OperatorHarness;
///
/// let times = TimestampMicrosecondArray::from(vec![40, 90]);
/// let batch = RecordBatch::try_from_iter([("ts", Arc::new(times) as ArrayRef)])?;
/// let late = LateRows::new("aggregate", Arc::new(Column::new("ts", 0)), ["ts"]);
/// let mut task = OperatorHarness::new(&late, &[batch.schema()])?;
/// task.set_watermarks(Watermark::from_micros(50), Watermark::from_micros(50));
/// task.process(0, batch)?;
/// let given = task.end_epoch()?;
/// assert_eq!(given[0].column(2).as_primitive::<TimestampMicrosecondType>().values(), &[40]);
/// # Ok::<(), tidegate_runtime::Error>(())
/// ```
#[derive(Clone)]
pub struct LateRows {
    operator: String,
    event_time: Arc<dyn PhysicalExpr>,
    names: Vec<String>,
    lag_micros: i64,
}

impl LateRows {
    /// The rows that are late for an operator, by an event time over the input's columns; these get the names in the struct.
    pub fn new(
        operator: impl Into<String>,
        event_time: Arc<dyn PhysicalExpr>,
        names: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        let names = names.into_iter().map(Into::into).collect();
        LateRows { operator: operator.into(), event_time, names, lag_micros: 0 }
    }

    /// How far the rows stay behind the query's watermark, in microseconds: what a join has held back comes late.
    #[must_use]
    pub fn lag(mut self, micros: i64) -> Self {
        self.lag_micros = micros;
        self
    }
}

impl OperatorSupplier for LateRows {
    fn output_schema(&self, inputs: &[SchemaRef]) -> Result<SchemaRef> {
        let input = single_input(NAME, inputs)?;
        if self.names.len() != input.fields().len() {
            let (names, columns) = (self.names.len(), input.fields().len());
            return Err(Error::InvalidArgument(format!("{NAME}: {names} names for {columns} columns")));
        }
        let data_type = self.event_time.data_type(input).map_err(Error::user)?;
        if EventTimeKind::of(&data_type).is_none() {
            return Err(Error::InvalidArgument(format!("{NAME}: {} is no event time but {data_type}", self.event_time)));
        }
        let named = |(name, field): (&String, &Arc<Field>)| field.as_ref().clone().with_name(name);
        let row = self.names.iter().zip(input.fields()).map(named).collect();
        Ok(Arc::new(Schema::new(vec![
            Field::new("operator", DataType::Utf8, true),
            Field::new("watermark", time_type(), true),
            Field::new("event_time", time_type(), true),
            Field::new("row", DataType::Struct(row), true),
        ])))
    }

    fn supply(&self) -> Result<Box<dyn Operator>> {
        Ok(Box::new(LateTask { late: self.clone(), output: None }))
    }

    fn describe(&self) -> String {
        format!("{NAME} of {}", self.operator)
    }
}

impl fmt::Debug for LateRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LateRows").field("operator", &self.operator).finish_non_exhaustive()
    }
}

fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

struct LateTask {
    late: LateRows,
    output: Option<Gathered>,
}

impl Operator for LateTask {
    fn process(&mut self, _port: Port, batch: RecordBatch, context: &mut OperatorContext<'_>) -> Result<()> {
        let Some(watermark) = context.epoch()?.late_watermark else { return Ok(()) };
        let own = micros(&evaluate(&self.late.event_time, &batch)?)?;
        let times = own.unary(|time: i64| time.saturating_add(self.late.lag_micros));
        let Some(in_time) = after(&times, watermark) else { return Ok(()) };
        let is_late = not(&in_time)?;
        if self.output.is_none() {
            self.output = Some(Gathered::new(&self.late.output_schema(&[batch.schema()])?));
        }
        let Some(output) = &mut self.output else { return Ok(()) };
        let (rows, own) = (filter_record_batch(&batch, &is_late)?, filter(&own, &is_late)?);
        let count = rows.num_rows();
        let DataType::Struct(fields) = output.schema().field(3).data_type().clone() else {
            return Err(Error::Protocol(format!("{NAME}: the row is no struct")));
        };
        let judged: ArrayRef = Arc::new(Int64Array::from(vec![watermark.micros(); count]));
        let row = StructArray::try_new_with_length(fields, rows.columns().to_vec(), None, count)?;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(std::iter::repeat_n(&self.late.operator, count))),
            cast(&judged, &time_type())?,
            cast(&own, &time_type())?,
            Arc::new(row),
        ];
        let schema = Arc::clone(output.schema());
        output.push(batch_of(NAME, &schema, columns, count)?, context)
    }

    fn end_epoch(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        self.output.as_mut().map_or(Ok(()), |output| output.flush(context))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;
    use tidegate_runtime::Watermark;
    use tidegate_runtime::testkit::OperatorHarness;

    use super::*;
    use crate::testing::*;

    #[test]
    fn it_gives_what_is_not_after_the_late_watermark() {
        let rows = batch(vec![("n", ints((0..4).map(Some))), ("t", times(vec![Some(10), None, Some(50), Some(51)]))]);
        let late = LateRows::new("aggregate", column("t", 1), ["n", "t"]);
        let numbers = |lag: i64, watermark: i64| -> Vec<i64> {
            let mut task = OperatorHarness::new(&late.clone().lag(lag), &[rows.schema()]).unwrap();
            task.set_watermarks(Watermark::from_micros(watermark), Watermark::from_micros(999));
            task.process(0, rows.clone()).unwrap();
            let given = task.end_epoch().unwrap();
            given.iter().flat_map(|b| b.column(3).as_struct().column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
        };
        assert_eq!([numbers(0, 9), numbers(0, 10), numbers(0, 50), numbers(5, 50)], [vec![], vec![0_i64], vec![0, 2], vec![0]]);
    }

    #[test]
    fn what_is_no_event_time_is_refused() {
        let schema = batch(vec![("n", ints([]))]).schema();
        let message = |late: LateRows| late.output_schema(&[Arc::clone(&schema)]).unwrap_err().to_string();
        assert!(message(LateRows::new("aggregate", column("n", 0), ["n"])).contains("no event time"));
        assert!(message(LateRows::new("aggregate", column("n", 0), ["n", "m"])).contains("2 names for 1 columns"));
    }
}
