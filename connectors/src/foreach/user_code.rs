//! Calls of code that is not ours.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tidegate_runtime::BoxError;

/// Runs user code; a panic in it becomes an error.
pub(crate) fn guarded<T>(call: impl FnOnce() -> Result<T, BoxError>) -> Result<T, BoxError> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|payload| {
        let message = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let message = message.or_else(|| payload.downcast_ref::<String>().cloned());
        // The drop of a user's payload might panic once more, and nothing would catch that.
        std::mem::forget(payload);
        Err(format!("panicked: {}", message.unwrap_or_else(|| "a value that is not text".to_owned())).into())
    })
}

/// An error of user code, with Spark's name for it.
#[derive(Debug)]
pub(crate) struct UserCodeError {
    /// Spark's error condition.
    pub(crate) condition: &'static str,
    pub(crate) sink: &'static str,
    pub(crate) cause: BoxError,
}

impl fmt::Display for UserCodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let UserCodeError { condition, sink, cause } = self;
        write!(f, "[{condition}] An error occurred in the user provided function in {sink} sink. Reason: {cause}")
    }
}

impl std::error::Error for UserCodeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.cause.as_ref())
    }
}
