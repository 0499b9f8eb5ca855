//! A topology as text for people and as Graphviz dot.

use std::fmt::Write;

use super::graph::{Node, NodeKind, Topology};
use super::validate::schema_text;
use crate::state::TableSpec;

impl Topology {
    /// One line for each node: role, name, parallelism, columns, inputs with their exchange, what it does, its state tables.
    pub fn describe(&self) -> String {
        let mut text = format!("topology {}\n", self.name());
        for node in self.nodes() {
            // Writing into a string can't fail.
            writeln!(text, "  {}", self.describe_node(node)).unwrap_or_default();
        }
        text
    }

    /// The graph in Graphviz' dot language: `dot -Tsvg`.
    pub fn describe_dot(&self) -> String {
        let mut dot = format!("digraph {} {{\n  rankdir=LR;\n", quoted(self.name()));
        for node in self.nodes() {
            let label = format!("{}\n{} x{}\n{}", node.id, node.kind.role(), node.parallelism, what(node));
            writeln!(dot, "  {} [shape={}, label={}];", quoted(node.id.as_str()), shape(node), quoted(&label))
                .unwrap_or_default();
        }
        for node in self.nodes() {
            for input in &node.inputs {
                let (from, to) = (quoted(self.nodes()[input.from].id.as_str()), quoted(node.id.as_str()));
                writeln!(dot, "  {from} -> {to} [label={}];", quoted(&input.exchange.to_string())).unwrap_or_default();
            }
        }
        dot.push_str("}\n");
        dot
    }

    fn describe_node(&self, node: &Node) -> String {
        let mut line = format!("{} {} x{} ({})", node.kind.role(), node.id, node.parallelism, schema_text(&node.schema));
        for (at, input) in node.inputs.iter().enumerate() {
            let separator = if at == 0 { " <-" } else { "," };
            write!(line, "{separator} {} {}", self.nodes()[input.from].id, input.exchange).unwrap_or_default();
        }
        write!(line, ": {}", what(node)).unwrap_or_default();
        if let NodeKind::Operator(_, tables) = &node.kind {
            tables.iter().for_each(|table| write!(line, "; state {}", describe_table(table)).unwrap_or_default());
        }
        line
    }
}

fn what(node: &Node) -> String {
    match &node.kind {
        NodeKind::Source(supplier) if supplier.is_replayable() => supplier.describe(),
        NodeKind::Source(supplier) => format!("{} (can't be replayed)", supplier.describe()),
        NodeKind::Operator(supplier, _) => supplier.describe(),
        NodeKind::Sink(supplier) => supplier.describe(),
    }
}

fn describe_table(table: &TableSpec) -> String {
    format!("{} ({}) -> ({})", table.name(), schema_text(table.keys()), schema_text(table.values()))
}

fn shape(node: &Node) -> &'static str {
    match node.kind {
        NodeKind::Source(_) => "cds",
        NodeKind::Operator(..) => "box",
        NodeKind::Sink(_) => "cylinder",
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}
