//! The checked graph.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use super::builder::TopologyBuilder;
use crate::edge::Exchange;
use crate::operator::OperatorSupplier;
use crate::sink::SinkSupplier;
use crate::source::SourceSupplier;
use crate::state::TableSpec;
use crate::types::NodeId;

/// A checked graph of sources, operators and sinks. It holds suppliers, not running things: it can be started again and again,
/// and is cheap to clone.
#[derive(Clone)]
pub struct Topology {
    pub(super) name: Arc<str>,
    pub(super) nodes: Arc<[Node]>,
}

/// One node, with everything that validation found out about it.
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) parallelism: usize,
    pub(crate) kind: NodeKind,
    pub(crate) inputs: Vec<InputEdge>,
    /// The columns that it emits; for a sink, those that it takes.
    pub(crate) schema: SchemaRef,
}

/// What a node does.
#[derive(Clone)]
pub(crate) enum NodeKind {
    /// Reads rows.
    Source(Arc<dyn SourceSupplier>),
    /// Transforms rows, with these state tables.
    Operator(Arc<dyn OperatorSupplier>, Vec<TableSpec>),
    /// Writes rows.
    Sink(Arc<dyn SinkSupplier>),
}

/// Where one port of a node gets its rows.
#[derive(Debug, Clone)]
pub(crate) struct InputEdge {
    /// The producer's index among the nodes, less than the consumer's.
    pub(crate) from: usize,
    pub(crate) exchange: Exchange,
}

impl Topology {
    /// Starts a new topology. The name is shown in logs and progress.
    pub fn builder(name: impl Into<String>) -> TopologyBuilder {
        TopologyBuilder::new(name.into())
    }

    /// The topology's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The nodes; each one's inputs come before it.
    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The sources that a node's rows come from.
    pub(crate) fn sources_of(&self, node: &NodeId) -> Vec<NodeId> {
        let mut upstream: Vec<usize> = self.nodes.iter().position(|own| own.id == *node).into_iter().collect();
        let mut sources = BTreeSet::new();
        while let Some(own) = upstream.pop().and_then(|index| self.nodes.get(index)) {
            if matches!(own.kind, NodeKind::Source(_)) {
                sources.insert(own.id.clone());
            }
            upstream.extend(own.inputs.iter().map(|input| input.from));
        }
        sources.into_iter().collect()
    }

    /// The edges that leave a node, as the consumer's index and the port that they feed.
    pub(crate) fn consumers(&self, node: usize) -> impl Iterator<Item = (usize, usize, &Exchange)> {
        self.nodes.iter().enumerate().flat_map(move |(consumer, n)| {
            let feeds = n.inputs.iter().enumerate().filter(move |(_, input)| input.from == node);
            feeds.map(move |(port, input)| (consumer, port, &input.exchange))
        })
    }
}

impl NodeKind {
    /// "source", "operator" or "sink".
    pub(crate) fn role(&self) -> &'static str {
        match self {
            NodeKind::Source(_) => "source",
            NodeKind::Operator(..) => "operator",
            NodeKind::Sink(_) => "sink",
        }
    }
}

impl fmt::Debug for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}
