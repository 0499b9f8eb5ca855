//! Arithmetic: operators and their `try_` forms, with ANSI overflow checks and decimal precision.

use crate::function::Function;

/// The functions of this family.
pub(crate) const FUNCTIONS: &[Function] = &[];
