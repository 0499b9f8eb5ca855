//! The operators of Tidegate: what happens to rows between a source and a sink.
//!
//! One operator, one file. Each is an [`OperatorSupplier`](tidegate_runtime::OperatorSupplier) that a topology is built with:
//!
//! | operator | what it does | state |
//! | --- | --- | --- |
//! | [`MapBatches`] | a function of a batch | none |
//! | [`Filter`] | keeps the rows that a predicate is true for | none |
//! | [`FlatMap`] | any number of batches from one; [`FlatMap::strings`] splits text | none |
//! | [`Watermark`] | reports how far event time has come | none |
//! | [`Union`] | the rows of several inputs | none |
//! | [`Pipeline`] | a chain of filters, projections and explodes | none |
//! | [`PartialAggregate`] | makes one row of states for each key of an epoch | none |
//! | [`StatefulAggregate`] | any aggregate by any key, over all epochs | one row for each key |
//! | [`SessionAggregate`] | the same by sessions, which grow and merge | the sessions of each key |
//! | [`LateRows`] | the rows that come too late for another operator | none |
//! | [`StreamJoin`] | pairs of the rows of two streams | the rows of both that may still be matched |
//! | [`StaticJoin`] | pairs of a stream's rows with rows that are all there | none |
//! | [`Sort`] | the rows of an epoch in order | none |
//! | [`EpochLimit`], [`Limit`] | the first rows of each epoch, of all epochs | none, a count |
//! | [`Deduplicate`] | the first row of each key | one row for each key |
//! | [`KeyedAggregate`] | counts and sums by key, over all epochs | one row for each key |
//!
//! All of them gather small outputs into batches of about [`TARGET_BATCH_ROWS`](tidegate_runtime::TARGET_BATCH_ROWS) rows, and give
//! what they have gathered at the end of the epoch.

mod aggregate;
mod deduplicate;
mod event_time;
mod expressions;
mod filter;
mod flat_map;
mod flat_map_strings;
mod groups;
mod keyed_aggregate;
mod late_rows;
mod limit;
mod map_batches;
mod output;
mod pipeline;
mod sort;
mod static_join;
mod stream_join;
#[cfg(test)]
mod testing;
mod union;
mod watermark;

pub use aggregate::{
    AggregateCall, AggregateEmit, AggregateInput, AggregateSpec, PartialAggregate, SessionAggregate, SessionEmit,
    StatefulAggregate,
};
pub use deduplicate::Deduplicate;
pub use event_time::{EventTime, EventTimeKind};
pub use filter::Filter;
pub use flat_map::FlatMap;
pub use flat_map_strings::{FlatMapStrings, Strings};
pub use keyed_aggregate::{Emit, KeyedAggregate};
pub use late_rows::LateRows;
pub use limit::{EpochLimit, Limit};
pub use map_batches::MapBatches;
pub use pipeline::{Pipeline, Step, Steps};
pub use sort::{Sort, SortKey};
pub use static_join::{BuildTable, StaticJoin, StaticJoinKind};
pub use stream_join::{JoinSide, RemoveWhen, StreamJoin, StreamJoinKind};
pub use union::Union;
pub use watermark::Watermark;
