//! The hash of keys (stub, being written).
use crate::error::Result;
use arrow::array::ArrayRef;

/// The name under which the hash function is pinned in checkpoints.
pub const HASH_NAME: &str = "tidegate-1";

/// Hashes the rows of `columns` into `hashes` (cleared first, then one hash for each of `rows` rows).
///
/// # Errors
/// When a column's type can't be a key.
pub fn hash_columns(_columns: &[ArrayRef], rows: usize, hashes: &mut Vec<u64>) -> Result<()> {
    hashes.clear();
    hashes.resize(rows, 0);
    Ok(())
}
