//! Names and suppliers, collected before they are checked.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use super::graph::{NodeKind, Topology};
use super::validate::validate;
use crate::edge::Exchange;
use crate::error::Result;
use crate::operator::OperatorSupplier;
use crate::sink::SinkSupplier;
use crate::source::SourceSupplier;

/// Collects the nodes of a topology. Nothing is checked before [`build`](TopologyBuilder::build), which reports all problems.
pub struct TopologyBuilder {
    name: String,
    parallelism: usize,
    drafts: Drafts,
}

/// A node as it was declared. Handles change it until the topology is built.
pub(super) struct Draft {
    pub(super) name: String,
    pub(super) parallelism: usize,
    pub(super) kind: NodeKind,
    pub(super) inputs: Vec<Input>,
}

type Drafts = Rc<RefCell<Vec<Draft>>>;

/// The rows that a source or operator emits, to be named as the input of others.
#[derive(Clone)]
pub struct Stream {
    drafts: Drafts,
    index: usize,
}

/// A sink of a topology that is being built.
pub struct SinkHandle {
    drafts: Drafts,
    index: usize,
}

/// One input of an operator or sink: whose rows, and how they are dealt to its tasks.
#[derive(Debug, Clone)]
pub struct Input {
    pub(super) node: String,
    /// `None`: forward where the parallelism is the same, else rebalance.
    pub(super) exchange: Option<Exchange>,
}

impl TopologyBuilder {
    pub(super) fn new(name: String) -> Self {
        TopologyBuilder { name, parallelism: 1, drafts: Drafts::default() }
    }

    /// The parallelism of the nodes declared from now on that don't set their own. One, if never set.
    #[must_use]
    pub fn default_parallelism(mut self, tasks: usize) -> Self {
        self.parallelism = tasks;
        self
    }

    /// Adds a source. Its name is what checkpoints know it by: keep it when the topology changes.
    pub fn source(&mut self, name: impl Into<String>, supplier: impl SourceSupplier + 'static) -> Stream {
        self.stream(name.into(), NodeKind::Source(Arc::new(supplier)), Vec::new())
    }

    /// Adds an operator that takes the rows of `inputs`, the first at port 0. Its name is what checkpoints know its state by.
    ///
    /// An input is a [`Stream`], one with an exchange (`words.hash(["word"])`), or the name of a node that may be declared later.
    pub fn operator<I: Into<Input>>(
        &mut self,
        name: impl Into<String>,
        inputs: impl IntoIterator<Item = I>,
        supplier: impl OperatorSupplier + 'static,
    ) -> Stream {
        // The state tables are asked for when the input schemas are known.
        let kind = NodeKind::Operator(Arc::new(supplier), Vec::new());
        self.stream(name.into(), kind, inputs.into_iter().map(Into::into).collect())
    }

    /// Adds a sink that takes the rows of `inputs`, all of one schema.
    pub fn sink<I: Into<Input>>(
        &mut self,
        name: impl Into<String>,
        inputs: impl IntoIterator<Item = I>,
        supplier: impl SinkSupplier + 'static,
    ) -> SinkHandle {
        let kind = NodeKind::Sink(Arc::new(supplier));
        let Stream { drafts, index } = self.stream(name.into(), kind, inputs.into_iter().map(Into::into).collect());
        SinkHandle { drafts, index }
    }

    /// Checks everything.
    ///
    /// # Errors
    /// [`Error::InvalidTopology`](crate::Error::InvalidTopology) with every problem found: names that are empty, twice or unknown,
    /// inputs that are missing, cycles, nodes that nothing reads, schemas and exchanges that don't fit.
    pub fn build(self) -> Result<Topology> {
        validate(&self.name, &self.drafts.borrow())
    }

    fn stream(&mut self, name: String, kind: NodeKind, inputs: Vec<Input>) -> Stream {
        let mut drafts = self.drafts.borrow_mut();
        drafts.push(Draft { name, parallelism: self.parallelism, kind, inputs });
        Stream { drafts: Rc::clone(&self.drafts), index: drafts.len() - 1 }
    }
}

impl Stream {
    /// Sets how many tasks the node has.
    #[must_use]
    pub fn parallelism(self, tasks: usize) -> Self {
        self.drafts.borrow_mut()[self.index].parallelism = tasks;
        self
    }

    /// Its rows, dealt by the key group of these columns.
    pub fn hash<C: Into<String>>(&self, columns: impl IntoIterator<Item = C>) -> Input {
        Input::from(self).hash(columns)
    }

    /// Its rows, all of them to every task.
    pub fn broadcast(&self) -> Input {
        Input::from(self).broadcast()
    }

    /// Its rows, batch by batch to the tasks in turn.
    pub fn rebalance(&self) -> Input {
        Input::from(self).rebalance()
    }

    /// Its rows, from task *i* to task *i*.
    pub fn forward(&self) -> Input {
        Input::from(self).forward()
    }
}

impl SinkHandle {
    /// Sets how many tasks the sink has.
    pub fn parallelism(self, tasks: usize) -> Self {
        self.drafts.borrow_mut()[self.index].parallelism = tasks;
        self
    }
}

impl Input {
    /// The rows of the node with this name, which may be declared later.
    pub fn named(node: impl Into<String>) -> Self {
        Input { node: node.into(), exchange: None }
    }

    /// Deals the rows by the key group of these columns; with none, all rows go to one task.
    #[must_use]
    pub fn hash<C: Into<String>>(self, columns: impl IntoIterator<Item = C>) -> Self {
        let columns = columns.into_iter().map(Into::into).collect();
        Input { exchange: Some(Exchange::Hash(columns)), ..self }
    }

    /// Gives all rows to every task.
    #[must_use]
    pub fn broadcast(self) -> Self {
        Input { exchange: Some(Exchange::Broadcast), ..self }
    }

    /// Deals the rows batch by batch in turn.
    #[must_use]
    pub fn rebalance(self) -> Self {
        Input { exchange: Some(Exchange::Rebalance), ..self }
    }

    /// Passes the rows of task *i* to task *i*.
    #[must_use]
    pub fn forward(self) -> Self {
        Input { exchange: Some(Exchange::Forward), ..self }
    }
}

impl From<&Stream> for Input {
    fn from(stream: &Stream) -> Self {
        Input::named(&stream.drafts.borrow()[stream.index].name)
    }
}

impl From<Stream> for Input {
    fn from(stream: Stream) -> Self {
        Input::from(&stream)
    }
}

impl From<&str> for Input {
    fn from(node: &str) -> Self {
        Input::named(node)
    }
}

impl fmt::Debug for TopologyBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes: Vec<String> = self.drafts.borrow().iter().map(|draft| draft.name.clone()).collect();
        f.debug_struct("TopologyBuilder").field("name", &self.name).field("nodes", &nodes).finish_non_exhaustive()
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stream").field(&self.drafts.borrow()[self.index].name).finish()
    }
}

impl fmt::Debug for SinkHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SinkHandle").field(&self.drafts.borrow()[self.index].name).finish()
    }
}
