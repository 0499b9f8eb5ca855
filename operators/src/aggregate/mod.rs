//! Any aggregate by any key, over all epochs, on DataFusion's accumulators.
//!
//! A row's way: [`PartialAggregate`] makes one row with partial states for each key that it sees; an exchange brings the rows of a
//! key together; [`StatefulAggregate`] merges the states of the epoch, and at its end with what is stored for the key. An
//! accumulator lives no longer than an epoch: what is stored is the state that it exports, in plain columns.

mod accumulators;
mod partial;
mod session;
mod stateful;

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use tidegate_runtime::{Error, Result};

pub use self::partial::PartialAggregate;
pub use self::session::{SessionAggregate, SessionEmit};
pub use self::stateful::{AggregateEmit, StatefulAggregate};
use crate::expressions::{evaluate_all, failed};

/// What the rows are that a part of an aggregation is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AggregateInput {
    /// Rows as they are: the expressions of the keys and arguments are computed from them.
    Rows,
    /// What a [`PartialAggregate`] of the same keys and aggregates gives.
    States,
}

/// What is computed for which keys.
#[derive(Debug, Clone)]
pub struct AggregateSpec {
    /// The key columns: how each is computed from a row, and its name and type. Without keys all rows are one group.
    pub keys: Vec<(Arc<dyn PhysicalExpr>, Field)>,
    /// The aggregates; without any the distinct keys are what is computed.
    pub aggregates: Vec<AggregateCall>,
}

/// One aggregate.
#[derive(Debug, Clone)]
pub struct AggregateCall {
    /// The function and its arguments.
    pub expr: Arc<AggregateFunctionExpr>,
    /// Which rows it sees: those for which this is true. The arguments are computed for these only.
    pub filter: Option<Arc<dyn PhysicalExpr>>,
    /// The name of its output column.
    pub output: String,
}

impl AggregateSpec {
    /// The columns of the result: the keys, then the aggregates.
    pub fn output_schema(&self) -> SchemaRef {
        let aggregates = self.aggregates.iter().map(|call| {
            let field = call.expr.field();
            Field::new(&call.output, field.data_type().clone(), true)
        });
        Arc::new(Schema::new(self.key_fields().chain(aggregates).collect::<Vec<_>>()))
    }

    /// The columns of partial results: the keys, then the states of the aggregates.
    ///
    /// # Errors
    /// When an aggregate does not know its state.
    pub fn partial_schema(&self) -> Result<SchemaRef> {
        Ok(Arc::new(Schema::new(self.key_fields().chain(self.state_fields()?.into_iter().flatten()).collect::<Vec<_>>())))
    }

    /// The key columns. A null is a key like any other.
    fn key_fields(&self) -> impl Iterator<Item = Field> + '_ {
        self.keys.iter().map(|(_, field)| field.clone().with_nullable(true))
    }

    /// The state columns of each aggregate. Their names hold the function's, so that a checkpoint of another query is refused even
    /// where the types agree.
    fn state_fields(&self) -> Result<Vec<Vec<Field>>> {
        let of = |(number, call): (usize, &AggregateCall)| {
            let fields = call.expr.state_fields().map_err(failed)?;
            let name = |part| format!("state.{number}.{}.{part}", call.expr.fun().name());
            Ok(fields.iter().enumerate().map(|(part, field)| Field::new(name(part), field.data_type().clone(), true)).collect())
        };
        self.aggregates.iter().enumerate().map(of).collect()
    }

    /// The key columns of a batch.
    fn keys_of(&self, input: AggregateInput, batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
        match input {
            AggregateInput::Rows => evaluate_all(self.keys.iter().map(|(expr, _)| expr), batch),
            AggregateInput::States => Ok(batch.columns().iter().take(self.keys.len()).map(Arc::clone).collect()),
        }
    }

    /// Refuses what can't be partial states, for the operator `name`.
    fn check_input(&self, name: &str, input: AggregateInput, schema: &SchemaRef) -> Result<()> {
        let (expected, given) = (self.partial_schema()?.fields().len(), schema.fields().len());
        if input == AggregateInput::States && given != expected {
            return Err(Error::InvalidArgument(format!("{name}: partial states have {expected} columns, not {given}")));
        }
        Ok(())
    }

    fn describe(&self) -> String {
        let aggregates: Vec<&str> = self.aggregates.iter().map(|call| call.expr.name()).collect();
        let keys: Vec<&str> = self.keys.iter().map(|(_, field)| field.name().as_str()).collect();
        match aggregates.as_slice() {
            [] => format!("distinct ({})", keys.join(", ")),
            _ => format!("{} by ({})", aggregates.join(", "), keys.join(", ")),
        }
    }
}

fn not_open() -> Error {
    Error::Protocol("an operator was used before it was opened".to_owned())
}

#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod session_tests;
#[cfg(test)]
mod tests;
