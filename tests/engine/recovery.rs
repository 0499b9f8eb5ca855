//! What a checkpoint gives back: at any parallelism, with several epochs in flight, only to the topology that wrote it.

use proptest::prelude::*;
use tidegate::operators::KeyedAggregate;
use tidegate::prelude::*;
use tidegate::runtime::testkit::{Step, TestSink, TestSource};

use crate::support::{committed, end_of, expected, script, word_count, word_schema, words};

#[test]
fn state_is_restored_at_another_parallelism() {
    let texts = ["a b c d e f g h", "a c e g i k", "b d f h j l", "a b c d e f g h i j k l", "z"];
    let (source, sink) = (TestSource::new(word_schema(), []), TestSink::new());
    let checkpoint = tempfile::tempdir().unwrap();
    for (text, parallelism) in texts.iter().zip([2, 1, 3, 5, 2]) {
        let query = Query::new(word_count("rp", &source, &sink, parallelism)).checkpoint(checkpoint.path()).start().unwrap();
        source.push(Step::Rows(words(text)));
        query.process_all_available().unwrap();
        query.stop().unwrap();
    }
    assert_eq!(committed(&sink), expected(&texts));
}

#[test]
fn a_checkpoint_of_another_topology_is_refused() {
    let checkpoint = tempfile::tempdir().unwrap();
    let (source, sink) = (TestSource::new(word_schema(), script(&["a"])), TestSink::new());
    let query = Query::new(word_count("rt", &source, &sink, 1)).checkpoint(checkpoint.path()).start().unwrap();
    assert!(end_of(&query).is_none());

    let mut t = Topology::builder("other");
    let words = t.source("rts", source.clone());
    let counts = t.operator("rtc", [words.hash(["word"])], KeyedAggregate::new(["word"]).count("n").count("m"));
    t.sink("elsewhere", [counts], sink.clone());
    let refused = Query::new(t.build().unwrap()).checkpoint(checkpoint.path()).start().unwrap_err();
    let text = refused.to_string();
    assert!(matches!(refused, Error::CheckpointMismatch { .. }), "{text}");
    assert!(text.contains("rtc") && text.contains("rtk") && text.contains("elsewhere"), "{text}");
}

#[test]
fn a_checkpoint_in_use_is_refused_and_its_owner_goes_on() {
    let checkpoint = tempfile::tempdir().unwrap();
    let (source, sink) = (TestSource::new(word_schema(), []), TestSink::new());
    let start = || Query::new(word_count("ru", &source, &sink, 1)).checkpoint(checkpoint.path()).start();
    let owner = start().unwrap();
    let refused = start().unwrap_err();
    assert!(matches!(refused, Error::CheckpointLocked { .. }), "{refused}");
    assert!(refused.to_string().contains("CONCURRENT_STREAM_LOG_UPDATE"), "{refused}");
    source.push(Step::Rows(words("a")));
    owner.process_all_available().unwrap();
    owner.stop().unwrap();
    assert_eq!(committed(&sink), expected(&["a"]));
}

#[test]
fn a_sink_that_knows_other_epochs_is_refused() {
    let texts = ["a", "b", "c"];
    let (source, sink) = (TestSource::new(word_schema(), script(&texts)), TestSink::new());
    let old = tempfile::tempdir().unwrap();
    let query = Query::new(word_count("rs", &source, &sink, 1)).checkpoint(old.path()).start().unwrap();
    assert!(end_of(&query).is_none());
    // The sink is ahead of a new checkpoint …
    let new = tempfile::tempdir().unwrap();
    let ahead = Query::new(word_count("rs", &source, &sink, 1)).checkpoint(new.path()).start().unwrap_err();
    assert!(matches!(ahead, Error::SinkMismatch { .. }) && ahead.to_string().contains("has epoch 2"), "{ahead}");
    // … and an empty sink is behind the old one.
    let behind = Query::new(word_count("rs", &source, &TestSink::new(), 1)).checkpoint(old.path()).start().unwrap_err();
    assert!(matches!(behind, Error::SinkMismatch { .. }) && behind.to_string().contains("no record"), "{behind}");
}

#[test]
fn a_checkpoint_that_can_not_be_made_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let (source, sink) = (TestSource::new(word_schema(), []), TestSink::new());
    let below_a_file = file.path().join("checkpoint");
    let error = Query::new(word_count("rn", &source, &sink, 1)).checkpoint(&below_a_file).start().unwrap_err();
    assert!(error.to_string().contains(&*below_a_file.to_string_lossy()), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// However the input is cut into epochs, at whatever parallelism and overlap, with failures anywhere and restarts: the output
    /// is that of the naive twin.
    #[test]
    fn any_cut_any_parallelism_any_failure_gives_the_twin_s_result(
        texts in prop::collection::vec("[a-f]( [a-f]){0,12}", 1..10),
        aborts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        parallelism in prop::collection::vec(1usize..5, 6),
        in_flight in 1usize..4,
    ) {
        let mut steps: Vec<Step> = texts.iter().map(|text| Step::Rows(words(text))).collect();
        for abort in &aborts {
            steps.insert(abort.index(steps.len() + 1), Step::Abort);
        }
        steps.push(Step::End);
        let (source, sink) = (TestSource::new(word_schema(), steps), TestSink::new());
        let checkpoint = tempfile::tempdir().unwrap();
        for tasks in parallelism {
            let query = Query::new(word_count("ra", &source, &sink, tasks)).checkpoint(checkpoint.path());
            let query = query.max_epochs_in_flight(in_flight).start().unwrap();
            if end_of(&query).is_none() {
                break;
            }
        }
        // An abort is an epoch of its own, without rows: leave those out, and number the others.
        let epochs: Vec<_> = committed(&sink).into_values().filter(|rows| !rows.is_empty()).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        prop_assert_eq!(epochs, expected(&texts).into_values().collect::<Vec<_>>());
    }
}
