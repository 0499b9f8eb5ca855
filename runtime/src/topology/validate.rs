//! From drafts to a checked graph: every rule adds its problems to one list.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};

use super::builder::Draft;
use super::graph::{InputEdge, Node, NodeKind, Topology};
use crate::edge::Exchange;
use crate::error::{Error, Result, catch_panic};
use crate::state::{KEY_GROUPS, TableSpec};
use crate::types::NodeId;

/// Names that begin with this are the runtime's own.
pub(crate) const RESERVED_PREFIX: &str = "tidegate:";

/// Checks the drafts and puts them in topological order.
pub(super) fn validate(name: &str, drafts: &[Draft]) -> Result<Topology> {
    let mut problems = Vec::new();
    let by_name = check_names(drafts, &mut problems);
    check_nodes(drafts, &by_name, &mut problems);
    let order = topological_order(drafts, &by_name, &mut problems);
    let nodes = Resolver { drafts, by_name: &by_name, problems: &mut problems }.nodes(&order);
    if problems.is_empty() {
        Ok(Topology { name: Arc::from(name), nodes: nodes.into() })
    } else {
        Err(Error::InvalidTopology { problems })
    }
}

fn check_names<'a>(drafts: &'a [Draft], problems: &mut Vec<String>) -> HashMap<&'a str, usize> {
    let mut by_name = HashMap::new();
    for (index, draft) in drafts.iter().enumerate() {
        if draft.name.trim().is_empty() || draft.name.chars().any(char::is_control) {
            problems.push(format!("{} number {index} has the name {:?}: give it a visible one", draft.kind.role(), draft.name));
        }
        if draft.name.starts_with(RESERVED_PREFIX) {
            problems.push(format!(
                "{} {}: names that begin with {RESERVED_PREFIX} are the runtime's own",
                draft.kind.role(),
                draft.name
            ));
        }
        if by_name.insert(draft.name.as_str(), index).is_some() {
            problems.push(format!("the name {} is given twice: names identify state in checkpoints", draft.name));
        }
    }
    by_name
}

/// What can be said of each node without its neighbours' schemas.
fn check_nodes(drafts: &[Draft], by_name: &HashMap<&str, usize>, problems: &mut Vec<String>) {
    for role in ["source", "sink"] {
        if !drafts.iter().any(|draft| draft.kind.role() == role) {
            problems.push(format!("there is no {role}"));
        }
    }
    for draft in drafts {
        let (role, name) = (draft.kind.role(), &draft.name);
        if !(1..=usize::from(KEY_GROUPS)).contains(&draft.parallelism) {
            problems.push(format!("{role} {name} has parallelism {}: it must be from 1 to {KEY_GROUPS}", draft.parallelism));
        }
        if role != "source" && draft.inputs.is_empty() {
            problems.push(format!("{role} {name} has no input"));
        }
        if role != "sink" && !drafts.iter().any(|other| other.inputs.iter().any(|input| input.node == *name)) {
            problems.push(format!("nothing reads {role} {name}"));
        }
        for input in &draft.inputs {
            check_input(
                draft,
                input.exchange.as_ref(),
                by_name.get(input.node.as_str()).map(|&i| &drafts[i]),
                &input.node,
                problems,
            );
        }
    }
}

fn check_input(draft: &Draft, exchange: Option<&Exchange>, from: Option<&Draft>, from_name: &str, problems: &mut Vec<String>) {
    let (role, name) = (draft.kind.role(), &draft.name);
    let Some(from) = from else {
        problems.push(format!("{role} {name} reads {from_name}, which does not exist"));
        return;
    };
    if matches!(from.kind, NodeKind::Sink(_)) {
        problems.push(format!("{role} {name} reads {from_name}, which is a sink"));
    }
    if exchange == Some(&Exchange::Forward) && from.parallelism != draft.parallelism {
        problems.push(format!(
            "{role} {name} (parallelism {}) reads {from_name} (parallelism {}) by forward, which needs equal parallelism",
            draft.parallelism, from.parallelism
        ));
    }
}

/// The drafts' indices with every producer before its consumers. What is left over is on a cycle, or behind one.
fn topological_order(drafts: &[Draft], by_name: &HashMap<&str, usize>, problems: &mut Vec<String>) -> Vec<usize> {
    let mut order: Vec<usize> = Vec::with_capacity(drafts.len());
    let mut placed = vec![false; drafts.len()];
    loop {
        let ready = (0..drafts.len()).find(|&i| {
            let placed_or_unknown = |name: &str| by_name.get(name).is_none_or(|&from| placed[from]);
            !placed[i] && drafts[i].inputs.iter().all(|input| placed_or_unknown(&input.node))
        });
        match ready {
            Some(next) => {
                placed[next] = true;
                order.push(next);
            }
            None => break,
        }
    }
    if order.len() < drafts.len() {
        let left: Vec<&str> = (0..drafts.len()).filter(|&i| !placed[i]).map(|i| drafts[i].name.as_str()).collect();
        problems.push(format!("there is a cycle; these nodes are on it or behind it: {}", left.join(", ")));
    }
    order
}

/// Follows the schemas through the graph.
struct Resolver<'a> {
    drafts: &'a [Draft],
    by_name: &'a HashMap<&'a str, usize>,
    problems: &'a mut Vec<String>,
}

impl Resolver<'_> {
    /// The nodes in `order`. A node whose schema can't be known (a problem was reported) is left out, and so are those behind it.
    fn nodes(&mut self, order: &[usize]) -> Vec<Node> {
        let mut nodes: Vec<Node> = Vec::with_capacity(order.len());
        let mut placed_at: HashMap<usize, usize> = HashMap::new();
        for &index in order {
            let draft = &self.drafts[index];
            let edges: Option<Vec<InputEdge>> = draft
                .inputs
                .iter()
                .map(|input| {
                    let from = *placed_at.get(self.by_name.get(input.node.as_str())?)?;
                    let same = nodes[from].parallelism == draft.parallelism;
                    let default = if same { Exchange::Forward } else { Exchange::Rebalance };
                    Some(InputEdge { from, exchange: input.exchange.clone().unwrap_or(default) })
                })
                .collect();
            let Some(inputs) = edges else { continue };
            let schemas: Vec<SchemaRef> = inputs.iter().map(|edge| Arc::clone(&nodes[edge.from].schema)).collect();
            self.check_hash_columns(draft, &inputs, &schemas);
            if let Some((kind, schema)) = self.resolve(draft, &schemas) {
                placed_at.insert(index, nodes.len());
                nodes.push(Node { id: NodeId::new(&draft.name), parallelism: draft.parallelism, kind, inputs, schema });
            }
        }
        nodes
    }

    fn check_hash_columns(&mut self, draft: &Draft, inputs: &[InputEdge], schemas: &[SchemaRef]) {
        for (port, (edge, schema)) in inputs.iter().zip(schemas).enumerate() {
            let Exchange::Hash(columns) = &edge.exchange else { continue };
            for column in columns.iter().filter(|column| schema.index_of(column).is_err()) {
                self.problems.push(format!(
                    "{} {} exchanges {} by column {column}, which has only: {}",
                    draft.kind.role(),
                    draft.name,
                    draft.inputs[port].node,
                    column_names(schema)
                ));
            }
        }
    }

    /// Asks the supplier for the node's schema and state. Suppliers are users' code: a panic is a problem like any other.
    fn resolve(&mut self, draft: &Draft, inputs: &[SchemaRef]) -> Option<(NodeKind, SchemaRef)> {
        if inputs.is_empty() && !matches!(draft.kind, NodeKind::Source(_)) {
            return None; // reported already
        }
        let resolved = catch_panic(|| match &draft.kind {
            NodeKind::Source(supplier) => Ok((draft.kind.clone(), supplier.schema()?)),
            NodeKind::Operator(supplier, _) => {
                let schema = supplier.output_schema(inputs)?;
                let tables = supplier.state(inputs)?;
                check_tables(&tables)?;
                Ok((NodeKind::Operator(Arc::clone(supplier), tables), schema))
            }
            NodeKind::Sink(supplier) => {
                check_same_schemas(draft, inputs)?;
                supplier.check_input(&inputs[0])?;
                Ok((draft.kind.clone(), Arc::clone(&inputs[0])))
            }
        });
        resolved.map_err(|error| self.problems.push(format!("{} {}: {error}", draft.kind.role(), draft.name))).ok()
    }
}

fn check_tables(tables: &[TableSpec]) -> Result<()> {
    let mut names: Vec<&str> = tables.iter().map(TableSpec::name).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Error::InvalidArgument(format!("it declares two state tables {}", pair[0]))),
        None => Ok(()),
    }
}

fn check_same_schemas(draft: &Draft, inputs: &[SchemaRef]) -> Result<()> {
    let types = |schema: &Schema| schema.fields().iter().map(|f| (f.name().clone(), f.data_type().clone())).collect::<Vec<_>>();
    for (port, schema) in inputs.iter().enumerate().skip(1) {
        if types(schema) != types(&inputs[0]) {
            return Err(Error::InvalidArgument(format!(
                "its inputs don't have the same columns: {} has ({}), {} has ({})",
                draft.inputs[0].node,
                schema_text(&inputs[0]),
                draft.inputs[port].node,
                schema_text(schema)
            )));
        }
    }
    Ok(())
}

fn column_names(schema: &Schema) -> String {
    schema.fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>().join(", ")
}

/// Columns and types, as shown to people and compared in checkpoints.
pub(crate) fn schema_text(schema: &Schema) -> String {
    schema.fields().iter().map(|f| format!("{}: {}", f.name(), f.data_type())).collect::<Vec<_>>().join(", ")
}
