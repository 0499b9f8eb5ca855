//! Errors and panics in users' code: the query fails with the root cause, its threads are gone, others go on, and a restart gives
//! the exact result.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use tidegate::operators::KeyedAggregate;
use tidegate::prelude::*;
use tidegate::runtime::testkit::{SinkCall, Step, TestSink, TestSource};

use crate::support::{committed, end_of, expected, script, task_threads, word_count, word_schema, words};

const TEXTS: [&str; 3] = ["a b a", "b c", "a a c"];

/// Where a faulty operator fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Open,
    Process,
    EndEpoch,
    Close,
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    Error,
    Panic,
}

/// Passes rows on, and fails at one place for the first `times` times that it comes there in epoch 1 (or before any).
#[derive(Clone)]
struct Faulty {
    place: Place,
    fault: Fault,
    times: Arc<AtomicUsize>,
}

impl Faulty {
    fn new(place: Place, fault: Fault, times: usize) -> Self {
        Faulty { place, fault, times: Arc::new(AtomicUsize::new(times)) }
    }

    fn at(&self, place: Place, epoch: Option<EpochInfo>) -> Result<()> {
        let here = place == self.place && epoch.is_none_or(|e| e.epoch == Epoch::new(1));
        if here && self.times.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            match self.fault {
                Fault::Error => return Err(Error::user(format!("no luck at {place:?}"))),
                Fault::Panic => panic!("no luck at {place:?}"),
            }
        }
        Ok(())
    }
}

impl OperatorSupplier for Faulty {
    fn output_schema(&self, inputs: &[SchemaRef]) -> Result<SchemaRef> {
        Ok(Arc::clone(&inputs[0]))
    }
    fn supply(&self) -> Result<Box<dyn Operator>> {
        Ok(Box::new(self.clone()))
    }
    fn describe(&self) -> String {
        "fails".to_owned()
    }
}

impl Operator for Faulty {
    fn open(&mut self, _context: &mut OperatorContext<'_>) -> Result<()> {
        self.at(Place::Open, None)
    }
    fn process(&mut self, _port: Port, batch: RecordBatch, context: &mut OperatorContext<'_>) -> Result<()> {
        self.at(Place::Process, Some(context.epoch()?))?;
        context.emit(batch)
    }
    fn end_epoch(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        self.at(Place::EndEpoch, Some(context.epoch()?))
    }
    fn close(&mut self) -> Result<()> {
        self.at(Place::Close, None)
    }
}

fn faulty_count(prefix: &str, source: &TestSource, faulty: &Faulty, sink: &TestSink) -> Topology {
    let mut t = Topology::builder("faulty");
    let words = t.source(format!("{prefix}s"), source.clone());
    let passed = t.operator(format!("{prefix}f"), [words], faulty.clone());
    let counts =
        t.operator(format!("{prefix}c"), [passed.hash(["word"])], KeyedAggregate::new(["word"]).count("count")).parallelism(2);
    t.sink(format!("{prefix}k"), [counts], sink.clone());
    t.build().unwrap()
}

#[test]
fn a_failing_operator_fails_the_query_and_a_restart_is_exact() {
    let bystander_source = TestSource::new(word_schema(), []);
    let bystander_sink = TestSink::new();
    let bystander = Query::new(word_count("fb", &bystander_source, &bystander_sink, 1)).start().unwrap();
    for place in [Place::Open, Place::Process, Place::EndEpoch, Place::Close] {
        for fault in [Fault::Error, Fault::Panic] {
            let (source, sink) = (TestSource::new(word_schema(), script(&TEXTS)), TestSink::new());
            let faulty = Faulty::new(place, fault, 1);
            let checkpoint = tempfile::tempdir().unwrap();
            let start = || Query::new(faulty_count("fo", &source, &faulty, &sink)).checkpoint(checkpoint.path()).start().unwrap();

            let error = end_of(&start()).unwrap_or_else(|| panic!("{place:?} {fault:?}: no failure"));
            let text = error.to_string();
            assert!(text.contains("task fof.0") && text.contains(&format!("no luck at {place:?}")), "{text}");
            assert_eq!(text.contains("in epoch 1"), matches!(place, Place::Process | Place::EndEpoch), "{text}");
            assert_eq!(text.contains("panicked"), matches!(fault, Fault::Panic), "{text}");
            assert_eq!(task_threads("fo"), 0, "{place:?} {fault:?}");

            assert!(end_of(&start()).is_none());
            assert_eq!(committed(&sink), expected(&TEXTS), "{place:?} {fault:?}");
        }
    }
    bystander_source.push(Step::Rows(words("x")));
    bystander.process_all_available().unwrap();
    assert_eq!(committed(&bystander_sink), expected(&["x"]));
    bystander.stop().unwrap();
}

#[test]
fn a_failing_source_is_the_cause() {
    let steps = vec![Step::Rows(words("a b a")), Step::Rows(words("b c")), Step::Abort, Step::Rows(words("a a c")), Step::End];
    let (source, sink) = (TestSource::new(word_schema(), steps).steps_per_epoch(2), TestSink::new());
    let checkpoint = tempfile::tempdir().unwrap();
    let start = || Query::new(word_count("fs", &source, &sink, 2)).checkpoint(checkpoint.path()).start().unwrap();
    let error = end_of(&start()).unwrap();
    assert!(error.to_string().contains("task fss.0") && error.to_string().contains("aborts"), "{error}");
    assert_eq!(task_threads("fs"), 0);
    assert!(end_of(&start()).is_none());
    // The abort is an epoch of its own, which was planned, and stays as planned.
    assert_eq!(committed(&sink), expected(&["a b a b c", "", "a a c"]));
}

#[test]
fn a_failing_sink_is_the_cause_and_gets_every_epoch_once() {
    for fault in [Fault::Error, Fault::Panic] {
        for call in [
            SinkCall::Write(Epoch::new(1)),
            SinkCall::Stage(Epoch::new(1)),
            SinkCall::BeforeCommit(Epoch::new(1)),
            SinkCall::AfterCommit(Epoch::new(1)),
        ] {
            let (source, sink) = (TestSource::new(word_schema(), script(&TEXTS)), TestSink::new());
            let times = AtomicUsize::new(1);
            let hooked = sink.clone().with_hook(move |now| {
                if now == call && times.swap(0, Ordering::SeqCst) == 1 {
                    match fault {
                        Fault::Error => return Err(Error::user("the sink is full")),
                        Fault::Panic => panic!("the sink is full"),
                    }
                }
                Ok(())
            });
            let checkpoint = tempfile::tempdir().unwrap();
            let start = || Query::new(word_count("fk", &source, &hooked, 2)).checkpoint(checkpoint.path()).start().unwrap();
            let error = end_of(&start()).unwrap_or_else(|| panic!("{call:?}: no failure")).to_string();
            assert!(error.contains("the sink is full") && error.contains("fkk") && error.contains("in epoch 1"), "{error}");
            assert_eq!(task_threads("fk"), 0);
            assert!(end_of(&start()).is_none());
            assert_eq!(committed(&sink), expected(&TEXTS), "{call:?} {fault:?}");
        }
    }
}

#[test]
fn a_restart_strategy_brings_the_query_back() {
    for strategy in [
        RestartStrategy::FixedDelay { attempts: 3, delay: Duration::from_millis(1) },
        RestartStrategy::Exponential { initial: Duration::from_millis(1), max: Duration::from_millis(4) },
    ] {
        let (source, sink) = (TestSource::new(word_schema(), script(&TEXTS)), TestSink::new());
        let faulty = Faulty::new(Place::Process, Fault::Panic, 3);
        let query = Query::new(faulty_count("fr", &source, &faulty, &sink)).restart(strategy).start().unwrap();
        assert!(end_of(&query).is_none());
        assert_eq!(committed(&sink), expected(&TEXTS));
    }
}

#[test]
fn a_restart_strategy_gives_up_with_the_last_cause() {
    let (source, sink) = (TestSource::new(word_schema(), script(&TEXTS)), TestSink::new());
    let faulty = Faulty::new(Place::Process, Fault::Error, 10);
    let twice = RestartStrategy::FixedDelay { attempts: 2, delay: Duration::ZERO };
    let query = Query::new(faulty_count("fg", &source, &faulty, &sink)).restart(twice).start().unwrap();
    assert!(end_of(&query).unwrap().to_string().contains("no luck at Process"));
    assert_eq!(faulty.times.load(Ordering::SeqCst), 7, "one run and two restarts");
    assert_eq!(committed(&sink), expected(&TEXTS[..1]));
}

#[test]
fn rows_at_a_task_that_does_not_own_their_key_are_refused() {
    let (source, sink) = (TestSource::new(word_schema(), script(&["a b c d e f g h i j k l m n o p"])), TestSink::new());
    let mut t = Topology::builder("unkeyed");
    let words = t.source("fus", source);
    let counts = t.operator("fuc", [words.rebalance()], KeyedAggregate::new(["word"]).count("count")).parallelism(2);
    t.sink("fuk", [counts], sink);
    let query = Query::new(t.build().unwrap()).start().unwrap();
    let error = end_of(&query).unwrap().to_string();
    assert!(error.contains("fuc") && error.contains("exchanged"), "{error}");
}

#[test]
fn once_has_its_epoch_also_after_a_restart() {
    let (source, sink) = (TestSource::new(word_schema(), script(&TEXTS)), TestSink::new());
    let failed = AtomicUsize::new(0);
    let hooked = sink.clone().with_hook(move |call| match call {
        SinkCall::Stage(_) if failed.fetch_add(1, Ordering::SeqCst) == 0 => Err(Error::user("not yet")),
        _ => Ok(()),
    });
    let twice = RestartStrategy::FixedDelay { attempts: 1, delay: Duration::ZERO };
    let query = Query::new(word_count("fn", &source, &hooked, 1)).trigger(Trigger::Once).restart(twice).start().unwrap();
    assert!(end_of(&query).is_none());
    assert_eq!(committed(&sink), expected(&[&TEXTS.join(" ")]));
}

#[test]
fn a_stop_does_not_wait_for_a_restart() {
    let (source, sink) = (TestSource::new(word_schema(), script(&TEXTS)), TestSink::new());
    let faulty = Faulty::new(Place::Open, Fault::Error, 1);
    let tomorrow = RestartStrategy::FixedDelay { attempts: 1, delay: Duration::from_secs(86_400) };
    let query = Query::new(faulty_count("fw", &source, &faulty, &sink)).restart(tomorrow).start().unwrap();
    while query.state() != QueryState::Restarting {
        std::thread::yield_now();
    }
    query.stop().unwrap();
    assert_eq!(query.state(), QueryState::Stopped);
}

#[test]
fn a_sink_s_own_code_can_ask_its_query_to_stop() {
    let source = TestSource::new(word_schema(), TEXTS.map(|text| Step::Rows(words(text))));
    let sink = TestSink::new();
    let own: Arc<std::sync::OnceLock<QueryHandle>> = Arc::default();
    let asked = Arc::clone(&own);
    let hooked = sink.clone().with_hook(move |call| match (call, asked.get()) {
        (SinkCall::BeforeCommit(_), Some(query)) => query.stop().map_err(Error::user),
        _ => Ok(()),
    });
    let query = Query::new(word_count("fx", &source, &hooked, 1)).start().unwrap();
    own.set(query.clone()).unwrap();
    source.push(Step::Rows(words("one more")));
    assert!(end_of(&query).is_none());
}
