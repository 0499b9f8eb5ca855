//! Tidegate: Structured Streaming for Rust, as an embedded, actor-based dataflow runtime.
//!
//! A query over an unbounded table is written as if it were one over a static table, in SQL or with [`DataFrame`]s, and runs
//! incrementally in this process, with exactly-once epochs. The model and the vocabulary are those of Apache Spark's Structured
//! Streaming.
//!
//! - [`Session`]: where queries begin; [`DataFrame`], [`Dataset`], [`Column`] and [`functions`]: how they are written;
//!   [`StreamingQuery`]: how they run;
//! - [`runtime`]: the level below: topologies of your own, the traits of sources, operators and sinks, state, checkpoints;
//! - [`operators`] and [`connectors`]: what topologies are made of.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]

mod analysis;
mod batch;
mod batch_rows;
mod catalog;
mod column;
mod dataframe;
mod dataset;
mod error;
mod expr;
mod files;
pub mod functions;
mod kafka;
mod options;
mod parquet_bounds;
mod parquet_table;
mod partitions;
mod planner;
mod reader;
mod save_mode;
mod session;
mod show;
mod source_table;
mod sql;
mod statements;
mod streams;
mod tables;
mod writer;

pub use column::{Column, Condition, Literal, SortColumn};
pub use dataframe::{DataFrame, GroupedData};
pub use dataset::{Dataset, KeyValue, KeyValueGroups, Row};
pub use error::{Error, Result};
pub use files::Paths;
pub use planner::OutputMode;
pub use reader::{DataFrameReader, DataStreamReader, DeclaredSchema};
pub use save_mode::SaveMode;
pub use session::{Session, SessionBuilder};
pub use streams::{StreamingQuery, StreamingQueryManager};
pub use writer::{DataFrameWriter, DataStreamWriter};

/// The names of all functions that SQL knows, sorted; the user's own are not among them.
///
/// ```
/// assert!(tidegate::function_names().contains(&"date_trunc"));
/// ```
pub fn function_names() -> Vec<&'static str> {
    let mut names: Vec<&str> = tidegate_functions::names().into_iter().chain(analysis::FORMS.iter().copied()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The name of a column's type as SQL writes it: `struct<a:int,b:string>`.
pub use tidegate_functions::types::name as type_name;

pub use tidegate_connectors as connectors;
pub use tidegate_connectors::{ForeachRow, ForeachWriter};
pub use tidegate_operators as operators;
pub use tidegate_runtime as runtime;
pub use tidegate_runtime::{RestartStrategy, Trigger};

/// What almost every program with a topology needs.
pub mod prelude {
    pub use tidegate_runtime::{
        Epoch, EpochInfo, Error, Operator, OperatorContext, OperatorSupplier, Port, Query, QueryError, QueryHandle, QueryState,
        RestartStrategy, Result, Sink, SinkSupplier, SinkWriter, Source, SourceReader, SourceSupplier, Topology, Trigger,
    };
}
