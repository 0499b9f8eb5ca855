//! What operators share about their output: it is checked against the declared columns, and gathered into batches of the usual size.

use std::sync::Arc;

use arrow::array::BooleanArray;
use arrow::compute::BatchCoalescer;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use tidegate_runtime::{Error, OperatorContext, Result, TARGET_BATCH_ROWS};

/// Gathers the batches of one epoch.
#[derive(Debug)]
pub(crate) struct Gathered {
    schema: SchemaRef,
    coalescer: BatchCoalescer,
}

impl Gathered {
    /// Gathers batches with these columns.
    pub(crate) fn new(schema: &SchemaRef) -> Self {
        // A batch of a good size is passed on as it is when nothing is waiting before it: copying it would gain nothing.
        let coalescer = BatchCoalescer::new(Arc::clone(schema), TARGET_BATCH_ROWS)
            .with_biggest_coalesce_batch_size(Some(TARGET_BATCH_ROWS / 2));
        Gathered { schema: Arc::clone(schema), coalescer }
    }

    /// The columns.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Adds a batch and emits what is complete.
    pub(crate) fn push(&mut self, batch: RecordBatch, context: &mut OperatorContext<'_>) -> Result<()> {
        if batch.num_columns() == 0 {
            // Nothing to gather, and the coalescer can't count the rows of no columns.
            return context.emit(batch);
        }
        self.coalescer.push_batch(batch)?;
        self.emit_complete(context)
    }

    /// Adds the rows of a batch that the filter is true for, and emits what is complete.
    pub(crate) fn push_filtered(
        &mut self,
        batch: RecordBatch,
        filter: &BooleanArray,
        context: &mut OperatorContext<'_>,
    ) -> Result<()> {
        if filter.true_count() == batch.num_rows() {
            return self.push(batch, context);
        }
        if batch.num_columns() == 0 {
            return context.emit(batch.slice(0, filter.true_count()));
        }
        self.coalescer.push_batch_with_filter(batch, filter)?;
        self.emit_complete(context)
    }

    /// Emits all that is left: at the end of an epoch.
    pub(crate) fn flush(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        self.coalescer.finish_buffered_batch()?;
        self.emit_complete(context)
    }

    fn emit_complete(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        while let Some(batch) = self.coalescer.next_completed_batch() {
            context.emit(batch)?;
        }
        Ok(())
    }
}

/// The gathered output of an operator that gives the columns it is given: they are known with the first batch.
pub(crate) fn gathered_like<'a>(gathered: &'a mut Option<Gathered>, schema: &SchemaRef) -> &'a mut Gathered {
    gathered.get_or_insert_with(|| Gathered::new(schema))
}

/// Gives a batch the schema that `operator` declared.
///
/// # Errors
/// When the number of columns or a type differs, or a column that was declared without nulls has one.
pub(crate) fn conform(operator: &str, schema: &SchemaRef, batch: RecordBatch) -> Result<RecordBatch> {
    if Arc::ptr_eq(schema, batch.schema_ref()) {
        return Ok(batch);
    }
    if batch.num_columns() != schema.fields().len() {
        let (declared, given) = (schema.fields().len(), batch.num_columns());
        return Err(Error::InvalidArgument(format!("{operator}: declared {declared} output columns and gave {given}")));
    }
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        if field.data_type() != column.data_type() {
            let (name, declared, given) = (field.name(), field.data_type(), column.data_type());
            let message = format!("{operator}: output column {name} is declared as {declared} and was given as {given}");
            return Err(Error::InvalidArgument(message));
        }
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), batch.columns().to_vec(), &options)
        .map_err(|error| Error::InvalidArgument(format!("{operator}: {error}")))
}

/// The only input of an operator that has one.
///
/// # Errors
/// When it was given several.
pub(crate) fn single_input<'a>(operator: &str, inputs: &'a [SchemaRef]) -> Result<&'a SchemaRef> {
    match inputs {
        [input] => Ok(input),
        _ => Err(Error::InvalidArgument(format!("{operator} takes one input, it was given {}", inputs.len()))),
    }
}

/// The number of the column with this name.
///
/// # Errors
/// When there is none; the message lists those that there are.
pub(crate) fn column_index(operator: &str, schema: &Schema, name: &str) -> Result<usize> {
    schema.fields().iter().position(|field| field.name() == name).ok_or_else(|| {
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        Error::InvalidArgument(format!("{operator}: there is no column {name}; the input has {}", names.join(", ")))
    })
}
