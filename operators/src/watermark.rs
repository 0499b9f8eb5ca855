//! How far event time has come.

use std::sync::Arc;

use arrow::compute::max;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use tidegate_runtime::{Error, Operator, OperatorContext, OperatorSupplier, Port, Result, Watermark as Instant};

use crate::event_time::{EventTimeKind, micros};
use crate::output::single_input;

/// Event times count in whole milliseconds.
const MILLISECOND: i64 = 1_000;

/// Passes rows on as they are, and reports the greatest event time among them, less the delay by which rows may come late.
///
/// The event time is a timestamp, or a window, whose end counts. Rows without one are passed on and report nothing. All rows count
/// that get here, also those that a filter behind this operator drops.
///
/// ```
/// use std::sync::Arc;
/// use arrow::array::{ArrayRef, TimestampMicrosecondArray};
/// use arrow::record_batch::RecordBatch;
/// use tidegate_operators::Watermark;
/// use tidegate_runtime::testkit::OperatorHarness;
///
/// let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![12_345_678, 9_000_000]));
/// let rows = RecordBatch::try_from_iter([("ts", times)])?;
/// let mut task = OperatorHarness::new(&Watermark::new(0, 10_000_000), &[rows.schema()])?;
/// task.process(0, rows.clone())?;
/// assert_eq!(task.end_epoch()?, [rows]);
/// assert_eq!(task.take_reported().map(|watermark| watermark.micros()), Some(2_345_000));
/// # Ok::<(), tidegate_runtime::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermark {
    column: usize,
    delay_micros: i64,
}

impl Watermark {
    /// Of the column with this number.
    pub fn new(column: usize, delay_micros: i64) -> Self {
        Watermark { column, delay_micros }
    }
}

impl OperatorSupplier for Watermark {
    fn output_schema(&self, inputs: &[SchemaRef]) -> Result<SchemaRef> {
        let input = single_input("watermark", inputs)?;
        let column = input.fields().get(self.column);
        if column.and_then(|column| EventTimeKind::of(column.data_type())).is_none() {
            return Err(Error::InvalidArgument(format!("watermark: column {} is no event time: {column:?}", self.column)));
        }
        if self.delay_micros < 0 {
            return Err(Error::InvalidArgument(format!("watermark: the delay is negative: {} µs", self.delay_micros)));
        }
        Ok(Arc::clone(input))
    }

    fn reports_watermark(&self) -> bool {
        true
    }

    fn supply(&self) -> Result<Box<dyn Operator>> {
        Ok(Box::new(*self))
    }

    fn describe(&self) -> String {
        format!("watermark of column {} less {} ms", self.column, self.delay_micros / MILLISECOND)
    }
}

impl Operator for Watermark {
    fn process(&mut self, _port: Port, batch: RecordBatch, context: &mut OperatorContext<'_>) -> Result<()> {
        if let Some(greatest) = max(&micros(batch.column(self.column))?) {
            let whole = greatest.div_euclid(MILLISECOND).saturating_mul(MILLISECOND);
            context.report_event_time(Instant::from_micros(whole.saturating_sub(self.delay_micros)));
        }
        context.emit(batch)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::ArrayRef;
    use tidegate_runtime::testkit::OperatorHarness;

    use super::*;
    use crate::testing::*;

    #[test]
    fn it_reports_the_greatest_time_in_whole_milliseconds_less_the_delay() {
        let cases: [(Vec<ArrayRef>, i64, Option<i64>); 6] = [
            (vec![times(vec![Some(7_999), Some(3_000)]), times(vec![Some(5_500)])], 2_000, Some(5_000)),
            (vec![times(vec![None, Some(1_000), None])], 0, Some(1_000)),
            (vec![times(vec![None, None])], 0, None),
            (vec![times(vec![Some(-1)])], 1_000, Some(-2_000)),
            (vec![times(vec![Some(i64::MIN)])], i64::MAX, Some(i64::MIN)),
            (vec![windows(vec![Some(995), None, Some(20)])], 0, Some(1_000)),
        ];
        for (columns, delay, reported) in cases {
            let batches: Vec<_> = columns.into_iter().map(|column| batch(vec![("t", column)])).collect();
            let mut task = OperatorHarness::new(&Watermark::new(0, delay), &[batches[0].schema()]).unwrap();
            batches.iter().for_each(|batch| task.process(0, batch.clone()).unwrap());
            assert_eq!(task.end_epoch().unwrap(), batches);
            assert_eq!(task.take_reported().map(Instant::micros), reported, "{batches:?}");
        }
    }

    #[test]
    fn what_is_no_event_time_is_refused() {
        let schema = batch(vec![("n", ints([])), ("t", times(vec![]))]).schema();
        let refused = |watermark: Watermark| watermark.output_schema(&[Arc::clone(&schema)]).unwrap_err().to_string();
        assert!(refused(Watermark::new(0, 0)).contains("column 0 is no event time"));
        assert!(refused(Watermark::new(2, 0)).contains("column 2 is no event time"));
        assert!(refused(Watermark::new(1, -1)).contains("the delay is negative"));
        assert!(Watermark::new(1, 0).output_schema(&[Arc::clone(&schema)]).is_ok());
    }
}
