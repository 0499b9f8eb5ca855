//! The rows of several inputs.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use tidegate_runtime::{Error, Operator, OperatorContext, OperatorSupplier, Port, Result};

use crate::output::{Gathered, conform, gathered_like};

/// Passes on the rows of all its inputs, which have the same columns. The order of the rows of different inputs is not defined.
///
/// ```
/// use std::sync::Arc;
/// use arrow::array::{ArrayRef, Int64Array};
/// use arrow::record_batch::RecordBatch;
/// use tidegate_operators::Union;
/// use tidegate_runtime::testkit::OperatorHarness;
///
/// let numbers = |numbers: Vec<i64>| Arc::new(Int64Array::from(numbers)) as ArrayRef;
/// let batch = |n| RecordBatch::try_from_iter([("n", numbers(n))]);
/// let mut task = OperatorHarness::new(&Union, &[batch(vec![])?.schema(), batch(vec![])?.schema()])?;
/// task.process(0, batch(vec![1, 2])?)?;
/// task.process(1, batch(vec![3])?)?;
/// assert_eq!(task.end_epoch()?[0].column(0), &numbers(vec![1, 2, 3]));
/// # Ok::<(), tidegate_runtime::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Union;

impl OperatorSupplier for Union {
    fn output_schema(&self, inputs: &[SchemaRef]) -> Result<SchemaRef> {
        let [first, others @ ..] = inputs else { return Err(Error::InvalidArgument("union has no input".to_owned())) };
        others.iter().zip(1..).try_for_each(|(other, port)| check_same(first, other, port))?;
        Ok(nullable(first))
    }

    fn supply(&self) -> Result<Box<dyn Operator>> {
        Ok(Box::new(UnionTask { output: None }))
    }

    fn describe(&self) -> String {
        "union".to_owned()
    }
}

/// One input may have nulls where another has none: the output may have them everywhere.
fn nullable(schema: &Schema) -> SchemaRef {
    Arc::new(Schema::new(schema.fields().iter().map(|f| Field::new(f.name(), f.data_type().clone(), true)).collect::<Vec<_>>()))
}

fn check_same(first: &Schema, other: &Schema, port: usize) -> Result<()> {
    let (expected, given) = (first.fields().len(), other.fields().len());
    if expected != given {
        return Err(Error::InvalidArgument(format!("union: input 0 has {expected} columns and input {port} has {given}")));
    }
    for (a, b) in first.fields().iter().zip(other.fields()) {
        if a.name() != b.name() || a.data_type() != b.data_type() {
            return Err(Error::InvalidArgument(format!(
                "union: the column {} {} of input 0 is {} {} in input {port}",
                a.name(),
                a.data_type(),
                b.name(),
                b.data_type()
            )));
        }
    }
    Ok(())
}

struct UnionTask {
    output: Option<Gathered>,
}

impl Operator for UnionTask {
    fn process(&mut self, _port: Port, batch: RecordBatch, context: &mut OperatorContext<'_>) -> Result<()> {
        let output = match &mut self.output {
            Some(output) => output,
            none => gathered_like(none, &nullable(batch.schema_ref())),
        };
        let schema = Arc::clone(output.schema());
        output.push(conform("union", &schema, batch)?, context)
    }

    fn end_epoch(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        self.output.as_mut().map_or(Ok(()), |output| output.flush(context))
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::DataType;

    use super::*;

    fn schema(fields: &[(&str, DataType, bool)]) -> SchemaRef {
        Arc::new(Schema::new(fields.iter().map(|(n, t, null)| Field::new(*n, t.clone(), *null)).collect::<Vec<_>>()))
    }

    #[test]
    fn inputs_that_differ_are_refused_by_column() {
        let a = schema(&[("n", DataType::Int64, false)]);
        let same = schema(&[("n", DataType::Int64, true)]);
        assert_eq!(Union.output_schema(&[Arc::clone(&a), Arc::clone(&same)]).unwrap(), same);
        let error = |other| Union.output_schema(&[Arc::clone(&a), Arc::clone(&a), other]).unwrap_err().to_string();
        assert_eq!(error(schema(&[("n", DataType::Utf8, true)])), "union: the column n Int64 of input 0 is n Utf8 in input 2");
        assert_eq!(error(schema(&[])), "union: input 0 has 1 columns and input 2 has 0");
        assert!(Union.output_schema(&[]).is_err());
    }
}
