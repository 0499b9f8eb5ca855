//! A query as a graph: sources, operators and sinks by name, and the exchanges between them.
//!
//! `Topology::builder` collects names and suppliers → `validate` checks them and reports every problem at once → `Topology`, a
//! graph in topological order that can be started any number of times → `Topology::describe`.

mod builder;
mod describe;
mod graph;
mod validate;

pub use builder::{Input, SinkHandle, Stream, TopologyBuilder};
pub use graph::Topology;
pub(crate) use graph::{Node, NodeKind};
pub(crate) use validate::{RESERVED_PREFIX, schema_text};
