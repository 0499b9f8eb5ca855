//! From a resolved plan to a topology of actors.
//!
//! ```text
//! Relation ─► rules (what can't be answered incrementally is refused) ─► optimize ─► lower ─► Topology
//! ```
//!
//! Stateless nodes are chained: one pipeline, one actor, until data has to change hands. Aggregations are computed in part before
//! the exchange; static tables are read by DataFusion and joined where the stream's rows are.

mod aggregate;
mod chain;
mod event_time;
mod join_bounds;
mod join_keys;
mod joins;
mod late;
mod lower;
pub(crate) mod optimize;
mod panes;
pub(crate) mod rules;
mod static_tables;
mod steps;

pub(crate) use chain::MappedSource;
pub(crate) use late::late_schema;
pub(crate) use lower::{Lowering, lower};
pub(crate) use steps::PlannedStep;

/// Which rows of its result a streaming query gives with each epoch. The names and rules are those of the Structured Streaming
/// guide, section "Output Modes".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum OutputMode {
    /// Rows that are new and final.
    #[default]
    Append,
    /// Rows that changed.
    Update,
    /// All rows.
    Complete,
}

impl std::fmt::Display for OutputMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            OutputMode::Append => "append",
            OutputMode::Update => "update",
            OutputMode::Complete => "complete",
        })
    }
}

impl std::str::FromStr for OutputMode {
    type Err = crate::Error;

    fn from_str(text: &str) -> crate::Result<Self> {
        match text.to_lowercase().as_str() {
            "append" => Ok(OutputMode::Append),
            "update" => Ok(OutputMode::Update),
            "complete" => Ok(OutputMode::Complete),
            _ => Err(crate::Error::analysis(
                "STREAMING_OUTPUT_MODE.INVALID",
                format!("Invalid streaming output mode: {text}. Accepted output modes are 'Append', 'Complete', 'Update'."),
            )),
        }
    }
}
