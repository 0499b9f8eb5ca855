//! Bad topologies are refused before anything runs, with all their problems.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use tidegate::operators::Union;
use tidegate::prelude::*;
use tidegate::runtime::testkit::{TestSink, TestSource};
use tidegate::runtime::{Input, TopologyBuilder};

use crate::support::{numbers, word_count, word_schema};

fn source(schema: SchemaRef) -> TestSource {
    TestSource::new(schema, [])
}

fn problems(t: TopologyBuilder) -> Vec<String> {
    match t.build() {
        Err(Error::InvalidTopology { problems }) => problems,
        Err(other) => panic!("{other}"),
        Ok(topology) => panic!("accepted:\n{}", topology.describe()),
    }
}

/// Whether some problem mentions all of these.
fn mentions(problems: &[String], words: &[&str]) -> bool {
    problems.iter().any(|problem| words.iter().all(|word| problem.contains(word)))
}

#[test]
fn all_problems_are_reported_at_once() {
    let mut t = Topology::builder("broken");
    let lines = t.source("lines", source(word_schema()));
    t.source("lines", source(word_schema()));
    t.source("unread", source(word_schema()));
    t.operator("lonely", [] as [Input; 0], Union);
    t.operator("far", ["nowhere"], Union);
    let wide = t.operator("wide", [lines.hash(["colour"])], Union).parallelism(0);
    t.sink("out", [wide.forward()], TestSink::new()).parallelism(2);
    let problems = problems(t);
    for words in [
        &["name lines", "twice"][..],
        &["nothing reads", "unread"],
        &["lonely", "no input"],
        &["far", "nowhere", "does not exist"],
        &["wide", "parallelism 0"],
        &["wide", "colour"],
        &["out", "forward", "equal parallelism"],
    ] {
        assert!(mentions(&problems, words), "no problem mentions {words:?}: {problems:#?}");
    }
}

#[test]
fn a_cycle_is_named() {
    let mut t = Topology::builder("cycle");
    let lines = t.source("lines", source(word_schema()));
    let first = t.operator("first", [Input::from(&lines), Input::named("second")], Union);
    let second = t.operator("second", [first], Union);
    t.sink("out", [second], TestSink::new());
    let problems = problems(t);
    assert!(mentions(&problems, &["cycle", "first", "second"]), "{problems:?}");
}

#[test]
fn schemas_that_dont_match_are_named() {
    let mut t = Topology::builder("schemas");
    let words = t.source("words", source(word_schema()));
    let ints = t.source("ints", source(numbers(1).schema()));
    t.sink("out", [words, ints], TestSink::new());
    let problems = problems(t);
    assert!(mentions(&problems, &["sink out", "words", "word: Utf8", "ints", "n: Int64"]), "{problems:?}");
}

#[test]
fn an_empty_topology_and_sinks_as_inputs_are_refused() {
    let empty = problems(Topology::builder("empty"));
    assert!(mentions(&empty, &["no source"]) && mentions(&empty, &["no sink"]), "{empty:?}");
    let mut t = Topology::builder("sink");
    let words = t.source("words", source(word_schema()));
    t.sink("out", [words], TestSink::new());
    t.sink("behind", ["out"], TestSink::new());
    assert!(mentions(&problems(t), &["behind", "out", "is a sink"]));
}

#[test]
fn a_supplier_that_panics_is_a_problem_like_any_other() {
    struct Panics;
    impl OperatorSupplier for Panics {
        fn output_schema(&self, _inputs: &[SchemaRef]) -> Result<SchemaRef> {
            panic!("no schema today")
        }
        fn supply(&self) -> Result<Box<dyn Operator>> {
            Err(Error::user("none"))
        }
        fn describe(&self) -> String {
            "panics".to_owned()
        }
    }
    let mut t = Topology::builder("panics");
    let words = t.source("words", source(word_schema()));
    let bad = t.operator("bad", [words], Panics);
    t.sink("out", [bad], TestSink::new());
    assert!(mentions(&problems(t), &["bad", "no schema today"]));
}

#[test]
fn describe_shows_nodes_edges_and_state() {
    let topology = word_count("", &source(word_schema()), &TestSink::new(), 2);
    let text = topology.describe();
    for part in ["source s x1 (word: Utf8)", "operator c x2", "<- s hash(word)", "state ", "sink k x1", "<- c rebalance"] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    let dot = topology.describe_dot();
    assert!(dot.starts_with("digraph \"word-count\" {") && dot.contains("\"s\" -> \"c\" [label=\"hash(word)\"]"), "{dot}");
    assert_eq!(Arc::new(dot).matches(" -> ").count(), 2);
}
