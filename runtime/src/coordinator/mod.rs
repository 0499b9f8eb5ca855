//! The coordinator's decisions, without actors, threads or timers: those are `actor`'s.
//!
//! `EpochTracker` knows which task acknowledged which epoch. `EpochDriver` plans epochs, logs them, and commits those that are
//! complete; `WatermarkTracker` says which watermark they have. `assemble` turns a topology and a checkpoint into the driver and the tasks of one run.

mod assemble;
mod driver;
mod restart;
mod tracker;
mod watermark_report;
#[cfg(test)]
mod watermark_tests;
mod watermarks;

pub(crate) use assemble::{Assembly, RunSettings, TaskPlan, assemble};
pub(crate) use driver::{EpochDriver, EpochStart};
pub use restart::RestartStrategy;
pub(crate) use restart::Restarts;
pub use watermark_report::{EpochStamp, TaskEventTime, WatermarkInput, WatermarkReport};
pub use watermarks::WatermarkPolicy;
