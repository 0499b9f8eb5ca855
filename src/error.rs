//! What can go wrong above the runtime: text that can't be parsed, queries that can't be answered.

use std::sync::Arc;

use datafusion::error::DataFusionError;
use tidegate_functions::SparkError;
use tidegate_runtime::QueryError;

use crate::expr::Position;

/// The result of a call of the query layer.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the query layer. Cheap to clone: a `DataFrame` keeps the first one until its result is asked for.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The query can't be answered: it is refused before anything runs.
    #[error("[{condition}] {message}{place}")]
    Analysis {
        /// Spark's error condition, such as `UNRESOLVED_COLUMN.WITH_SUGGESTION`; `UNSUPPORTED_FEATURE` where Spark has none.
        condition: String,
        /// What is wrong and what to do.
        message: String,
        /// Where in the SQL text, with the line and a mark under the place; empty if unknown.
        place: String,
    },
    /// Streaming rules refuse the query, and Spark has no condition for it.
    #[error("{0}")]
    Streaming(String),
    /// The runtime refused or failed.
    #[error(transparent)]
    Runtime(#[from] Arc<tidegate_runtime::Error>),
    /// A query failed.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// DataFusion failed while it planned or ran a batch query.
    #[error("{0}")]
    Batch(Arc<DataFusionError>),
}

impl Error {
    pub(crate) fn analysis(condition: &str, message: impl Into<String>) -> Self {
        Error::Analysis { condition: condition.to_owned(), message: message.into(), place: String::new() }
    }

    /// An analysis error of something that Spark could do and this engine can't.
    pub(crate) fn unsupported(what: impl std::fmt::Display) -> Self {
        Error::analysis("UNSUPPORTED_FEATURE", what.to_string())
    }

    /// Text that is not SQL: `near` is the word where it stops making sense.
    pub(crate) fn syntax(sql: &str, near: String, at: Option<(u64, u64)>) -> Self {
        let (line, column) = at.unwrap_or_default();
        let message = format!("Syntax error at or near '{near}'.");
        Error::analysis("PARSE_SYNTAX_ERROR", message).located(sql, Position { line, column })
    }

    /// The same error, with its place in the text.
    pub(crate) fn located(self, sql: &str, at: Position) -> Self {
        match self {
            Error::Analysis { condition, message, place } if place.is_empty() && at.line > 0 => {
                Error::Analysis { condition, message, place: show_place(sql, at) }
            }
            other => other,
        }
    }

    /// Spark's name for the error, where it has one: `DIVIDE_BY_ZERO`, `UNRESOLVED_COLUMN.WITH_SUGGESTION`.
    ///
    /// ```
    /// let session = tidegate::Session::builder().build()?;
    /// let error = session.sql("SELECT 1 / 0 AS x").and_then(|df| df.collect()).unwrap_err();
    /// assert_eq!(error.condition().as_deref(), Some("DIVIDE_BY_ZERO"));
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    pub fn condition(&self) -> Option<String> {
        match self {
            Error::Analysis { condition, .. } => Some(condition.clone()),
            other => SparkError::find(other).map(|error| error.condition.clone()),
        }
    }
}

impl From<tidegate_runtime::Error> for Error {
    fn from(error: tidegate_runtime::Error) -> Self {
        Error::Runtime(Arc::new(error))
    }
}

/// What can't happen.
impl From<std::convert::Infallible> for Error {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

impl From<DataFusionError> for Error {
    fn from(error: DataFusionError) -> Self {
        match SparkError::find(&error) {
            Some(SparkError { condition, message }) => Error::analysis(condition, message.clone()),
            None => Error::Batch(Arc::new(error)),
        }
    }
}

impl From<arrow::error::ArrowError> for Error {
    fn from(error: arrow::error::ArrowError) -> Self {
        Error::from(DataFusionError::from(error))
    }
}

/// The place in words as Spark gives it (columns from zero), then the line with a mark.
fn show_place(sql: &str, at: Position) -> String {
    let line = usize::try_from(at.line.saturating_sub(1)).ok().and_then(|line| sql.lines().nth(line)).unwrap_or_default();
    let column = at.column.saturating_sub(1);
    let indent = usize::try_from(column).unwrap_or_default().min(line.chars().count());
    format!(" (line {}, pos {column})\n\n{line}\n{}^", at.line, " ".repeat(indent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_condition_of_a_failed_query_is_found() {
        let cause = tidegate_runtime::Error::user(tidegate_functions::spark_error("DIVIDE_BY_ZERO", "no"));
        let mut chain: Vec<String> = Vec::new();
        let error = Error::Query(QueryError { name: "q".into(), id: "i".into(), run: "r".into(), cause: Arc::new(cause) });
        let mut next: Option<&(dyn std::error::Error + 'static)> = Some(&error);
        while let Some(own) = next {
            chain.push(own.to_string());
            next = own.source();
        }
        assert_eq!(error.condition().as_deref(), Some("DIVIDE_BY_ZERO"), "{chain:?}");
    }
}
