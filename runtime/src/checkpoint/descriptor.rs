//! What must be the same for a checkpoint to be continued.

use std::collections::BTreeMap;

use arrow::datatypes::Schema;

use super::codec::{Decode, Encode};
use crate::state::TableSpec;

/// A topology as far as a checkpoint depends on it: a checkpoint is continued only by a topology without a difference.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct TopologyDescriptor {
    /// Every source, with its columns as text.
    pub(crate) sources: Vec<(String, String)>,
    /// Every sink, with its columns as text.
    pub(crate) sinks: Vec<(String, String)>,
    /// Every node that has state.
    pub(crate) stateful: Vec<StatefulNode>,
}

/// A node that has state.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct StatefulNode {
    /// Its name.
    pub(crate) node: String,
    /// How each of its inputs is dealt to its tasks, for instance `hash(word)`.
    pub(crate) inputs: Vec<String>,
    /// Its tables.
    pub(crate) tables: Vec<TableDescriptor>,
}

/// A state table.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct TableDescriptor {
    /// Its name.
    pub(crate) name: String,
    /// The names and types of its key columns.
    pub(crate) keys: Vec<(String, String)>,
    /// The names and types of its value columns.
    pub(crate) values: Vec<(String, String)>,
    /// How many of the key columns decide the key group.
    pub(crate) group_columns: u32,
}

impl TopologyDescriptor {
    /// One sentence for each way in which this topology differs from the `logged` one. The order of nodes and tables is not a
    /// difference.
    pub(crate) fn differences(&self, logged: &Self) -> Vec<String> {
        let mut found = Vec::new();
        compare("source", &by_name(&self.sources), &by_name(&logged.sources), &mut found, columns_differ);
        compare("sink", &by_name(&self.sinks), &by_name(&logged.sinks), &mut found, columns_differ);
        compare("stateful operator", &by_node(&self.stateful), &by_node(&logged.stateful), &mut found, |what, now, then| {
            now.differences(what, then)
        });
        found
    }
}

impl StatefulNode {
    fn differences(&self, what: &str, logged: &Self) -> Vec<String> {
        let mut found = Vec::new();
        if self.inputs != logged.inputs {
            found.push(format!(
                "{what} takes its inputs by [{}], before by [{}]",
                self.inputs.join(", "),
                logged.inputs.join(", ")
            ));
        }
        let kind = format!("{what}: state table");
        compare(&kind, &by_table(&self.tables), &by_table(&logged.tables), &mut found, |what, now, then| {
            now.differences(then).into_iter().map(|difference| format!("{what} {difference}")).collect()
        });
        found
    }
}

impl TableDescriptor {
    /// What describes `spec`.
    pub(crate) fn of(spec: &TableSpec) -> Self {
        TableDescriptor {
            name: spec.name().to_owned(),
            keys: columns(spec.keys()),
            values: columns(spec.values()),
            group_columns: u32::try_from(spec.group_columns()).unwrap_or(u32::MAX),
        }
    }

    /// One predicate for each way in which this table differs from the `logged` one.
    pub(crate) fn differences(&self, logged: &Self) -> Vec<String> {
        let mut found = Vec::new();
        if self.keys != logged.keys {
            found.push(format!("has the key columns ({}), before ({})", list(&self.keys), list(&logged.keys)));
        }
        if self.values != logged.values {
            found.push(format!("has the value columns ({}), before ({})", list(&self.values), list(&logged.values)));
        }
        if self.group_columns != logged.group_columns {
            let (now, then) = (self.group_columns, logged.group_columns);
            found.push(format!("is dealt to tasks by the first {now} key columns, before by the first {then}"));
        }
        found
    }
}

fn columns(schema: &Schema) -> Vec<(String, String)> {
    schema.fields().iter().map(|field| (field.name().clone(), field.data_type().to_string())).collect()
}

fn list(columns: &[(String, String)]) -> String {
    columns.iter().map(|(name, kind)| format!("{name} {kind}")).collect::<Vec<_>>().join(", ")
}

fn columns_differ(what: &str, now: &&str, then: &&str) -> Vec<String> {
    if now == then { Vec::new() } else { vec![format!("{what} has the columns {now}, before {then}")] }
}

fn by_name(nodes: &[(String, String)]) -> BTreeMap<&str, &str> {
    nodes.iter().map(|(name, columns)| (name.as_str(), columns.as_str())).collect()
}

fn by_node(nodes: &[StatefulNode]) -> BTreeMap<&str, &StatefulNode> {
    nodes.iter().map(|node| (node.node.as_str(), node)).collect()
}

fn by_table(tables: &[TableDescriptor]) -> BTreeMap<&str, &TableDescriptor> {
    tables.iter().map(|table| (table.name.as_str(), table)).collect()
}

fn compare<T>(
    kind: &str,
    now: &BTreeMap<&str, T>,
    then: &BTreeMap<&str, T>,
    found: &mut Vec<String>,
    differences: impl Fn(&str, &T, &T) -> Vec<String>,
) {
    for (name, new) in now {
        match then.get(name) {
            None => found.push(format!("{kind} {name} is new")),
            Some(old) => found.extend(differences(&format!("{kind} {name}"), new, old)),
        }
    }
    let gone = then.keys().filter(|name| !now.contains_key(*name));
    found.extend(gone.map(|name| format!("{kind} {name} is missing")));
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::DataType;

    fn table(value: DataType) -> TableDescriptor {
        TableDescriptor::of(&TableSpec::new("counts", [("word", DataType::Utf8)], [("n", value)]).unwrap())
    }

    fn topology() -> TopologyDescriptor {
        TopologyDescriptor {
            sources: vec![("a".into(), "x Int64".into()), ("b".into(), "y Utf8".into())],
            sinks: vec![("out".into(), "n Int64".into())],
            stateful: vec![StatefulNode {
                node: "count".into(),
                inputs: vec!["hash(word)".into()],
                tables: vec![table(DataType::Int64)],
            }],
        }
    }

    #[test]
    fn order_is_no_difference() {
        let mut other = topology();
        other.sources.reverse();
        assert_eq!(topology().differences(&other), Vec::<String>::new());
    }

    #[test]
    fn every_difference_is_a_sentence() {
        let mut now = topology();
        now.sources[0] = ("c".into(), "x Int64".into());
        now.sinks[0].1 = "n Utf8".into();
        now.stateful[0].inputs = vec!["rebalance".into()];
        now.stateful[0].tables[0] = table(DataType::Int32);
        now.stateful[0].tables[0].group_columns = 0;
        assert_eq!(
            now.differences(&topology()),
            [
                "source c is new",
                "source a is missing",
                "sink out has the columns n Utf8, before n Int64",
                "stateful operator count takes its inputs by [rebalance], before by [hash(word)]",
                "stateful operator count: state table counts has the value columns (n Int32), before (n Int64)",
                "stateful operator count: state table counts is dealt to tasks by the first 0 key columns, before by the first 1",
            ]
        );
    }
}
