//! Tidegate: Structured Streaming for Rust, as an embedded, actor-based dataflow runtime.
//!
//! This crate is the front door. Today it offers the runtime's level: a [`Topology`](prelude::Topology) of sources, operators and
//! sinks, run by a [`Query`](prelude::Query) with exactly-once epochs.
//!
//! - [`runtime`]: topologies, the traits of sources, operators and sinks, state, checkpoints;
//! - [`operators`]: map, filter, flat-map, union, keyed aggregates;
//! - [`connectors`]: sources and sinks.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]

mod analysis;
mod error;
mod expr;
mod sql;

pub use error::{Error, Result};
pub use tidegate_connectors as connectors;
pub use tidegate_operators as operators;
pub use tidegate_runtime as runtime;

/// What almost every program with a topology needs.
pub mod prelude {
    pub use tidegate_runtime::{
        Epoch, EpochInfo, Error, Operator, OperatorContext, OperatorSupplier, Port, Query, QueryError, QueryHandle, QueryState,
        RestartStrategy, Result, Sink, SinkSupplier, SinkWriter, Source, SourceReader, SourceSupplier, Topology, Trigger,
    };
}
