//! Comparisons, as Spark orders values.

use crate::function::Function;

/// The functions of this family.
pub(crate) const FUNCTIONS: &[Function] = &[];
