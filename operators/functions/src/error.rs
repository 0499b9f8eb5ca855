//! Spark's error conditions: a name that programs can match, and a sentence for people.

use datafusion::error::DataFusionError;

/// An error with Spark's name for it.
///
/// It travels through DataFusion as [`DataFusionError::External`]; [`SparkError::find`] gets it back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("[{condition}] {message}")]
pub struct SparkError {
    /// Spark's error condition, such as `DIVIDE_BY_ZERO` or `DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE`.
    pub condition: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl SparkError {
    /// The first error of this kind in a chain of causes.
    pub fn find<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a SparkError> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(found) = error.downcast_ref::<SparkError>() {
                return Some(found);
            }
            // An `External` error hides its own type behind `source`, a shared one behind an `Arc`.
            if let Some(DataFusionError::External(inner)) = error.downcast_ref::<DataFusionError>()
                && let Some(found) = SparkError::find(inner.as_ref())
            {
                return Some(found);
            }
            cause = error.source();
        }
        None
    }
}

/// An error with Spark's condition, as a function returns it.
pub fn spark_error(condition: impl Into<String>, message: impl Into<String>) -> DataFusionError {
    DataFusionError::External(Box::new(SparkError { condition: condition.into(), message: message.into() }))
}
