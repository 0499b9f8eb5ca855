//! Casts between any two types, and how values are written as text.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::error::{DataFusionError, Result};

use crate::function::{Resolved, Settings};

/// What a cast does with a value that the target type can't hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CastMode {
    /// It fails, with Spark's error condition: `CAST`.
    Ansi,
    /// It gives null: `TRY_CAST`.
    Try,
}

/// The cast of one type to another, as a function of one argument.
///
/// # Errors
/// `DATATYPE_MISMATCH.CAST_WITHOUT_SUGGESTION` when Spark has no cast between the two.
pub fn cast(from: &DataType, to: &DataType, mode: CastMode, settings: &Settings) -> Result<Resolved> {
    let (target, settings) = (to.clone(), *settings);
    let kernel = move |invocation: &crate::function::Invocation<'_>| cast_array(&invocation.array(0)?, &target, mode, &settings);
    Ok(Resolved::new(vec![from.clone()], to.clone(), kernel))
}

/// Casts an array.
///
/// # Errors
/// In [`CastMode::Ansi`], when a value can't be cast.
pub fn cast_array(values: &ArrayRef, to: &DataType, _mode: CastMode, _settings: &Settings) -> Result<ArrayRef> {
    if values.data_type() == to {
        return Ok(Arc::clone(values));
    }
    Err(DataFusionError::NotImplemented("casts".to_owned()))
}
