//! Aggregate functions, whose state can be stored and merged.
//!
//! Each is a DataFusion [`AggregateUDF`], so that batch queries run them as they are. For streams there is a stronger contract:
//! an accumulator's exported state (`state`), imported into a new accumulator (`merge_batch`), gives the same result as if all rows had
//! gone through one accumulator, whatever the cut; and the state's types are fixed by the types of the arguments.

use std::fmt;

use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::AggregateUDF;

use crate::function::{Arity, Call};

/// An aggregate function, before it is resolved for a call.
#[derive(Clone, Copy)]
pub struct AggregateFunction {
    /// Its name and other names, in lower case.
    pub names: &'static [&'static str],
    /// How many arguments it takes; checked before `resolve` is called.
    pub arity: Arity,
    /// Chooses types and accumulator.
    pub resolve: fn(&Call<'_>) -> Result<ResolvedAggregate>,
}

/// An aggregate function resolved for the types of one call.
#[derive(Debug, Clone)]
pub struct ResolvedAggregate {
    /// The types that the arguments have to be cast to. May be fewer than the call's: then the others were literals that the
    /// function has taken in.
    pub args: Vec<DataType>,
    /// The type of the result.
    pub returns: DataType,
    /// What computes it, from arguments of these types.
    pub udaf: AggregateUDF,
}

impl fmt::Debug for AggregateFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AggregateFunction").field("names", &self.names).field("arity", &self.arity).finish_non_exhaustive()
    }
}

/// All aggregate functions.
pub(crate) const FUNCTIONS: &[AggregateFunction] = &[];
