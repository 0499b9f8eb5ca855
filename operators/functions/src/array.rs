//! Functions of arrays.

use crate::function::Function;

/// The functions of this family.
pub(crate) const FUNCTIONS: &[Function] = &[];
