//! Watermarks as a query sees them: which epochs run, and which watermarks they have.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{Int64Type, SchemaRef};
use arrow::record_batch::RecordBatch;
use proptest::prelude::*;

use crate::checkpoint::no_faults;
use crate::testkit::{ManualClock, SinkCall, Step, TestSink, TestSource};
use crate::*;

const DEADLINE: Duration = Duration::from_secs(60);

fn times(times: &[i64]) -> RecordBatch {
    RecordBatch::try_from_iter([("t", Arc::new(Int64Array::from(times.to_vec())) as ArrayRef)]).unwrap()
}

fn rows(at: &[i64]) -> Step {
    Step::Rows(times(at))
}

fn source(steps: impl IntoIterator<Item = Step>) -> TestSource {
    TestSource::new(times(&[]).schema(), steps)
}

/// Passes rows on and reports the numbers in their first column as event times.
#[derive(Clone, Copy)]
struct Reporter {
    declared: bool,
}

impl OperatorSupplier for Reporter {
    fn output_schema(&self, inputs: &[SchemaRef]) -> Result<SchemaRef> {
        Ok(Arc::clone(&inputs[0]))
    }
    fn reports_watermark(&self) -> bool {
        self.declared
    }
    fn supply(&self) -> Result<Box<dyn Operator>> {
        Ok(Box::new(*self))
    }
    fn describe(&self) -> String {
        "reports".to_owned()
    }
}

impl Operator for Reporter {
    fn process(&mut self, _port: Port, batch: RecordBatch, context: &mut OperatorContext<'_>) -> Result<()> {
        // One by one, so that the task has to keep the greatest.
        for at in batch.column(0).as_primitive::<Int64Type>().values() {
            context.report_event_time(Watermark::from_micros(*at));
        }
        context.emit(batch)
    }
}

/// What an epoch looked like from within: its number, the watermark for late rows and its own, and how many rows it had.
type Seen = (u64, Option<i64>, Option<i64>, usize);

/// Notes the epochs; waits for watermarks if it is told to.
#[derive(Clone, Default)]
struct Witness {
    waits: bool,
    seen: Arc<Mutex<Vec<Seen>>>,
    rows: usize,
}

impl Witness {
    fn waiting() -> Self {
        Witness { waits: true, ..Witness::default() }
    }

    /// What was noted since the last call.
    fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl OperatorSupplier for Witness {
    fn output_schema(&self, inputs: &[SchemaRef]) -> Result<SchemaRef> {
        Ok(Arc::clone(&inputs[0]))
    }
    fn needs_watermark_epochs(&self) -> bool {
        self.waits
    }
    fn supply(&self) -> Result<Box<dyn Operator>> {
        Ok(Box::new(self.clone()))
    }
    fn describe(&self) -> String {
        "notes".to_owned()
    }
}

impl Operator for Witness {
    fn process(&mut self, _port: Port, batch: RecordBatch, context: &mut OperatorContext<'_>) -> Result<()> {
        self.rows += batch.num_rows();
        context.count_late(1);
        context.emit(batch)
    }
    fn end_epoch(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        let epoch = context.epoch()?;
        let micros = |watermark: Option<Watermark>| watermark.map(Watermark::micros);
        let seen = (epoch.epoch.number(), micros(epoch.late_watermark), micros(epoch.watermark), std::mem::take(&mut self.rows));
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
        Ok(())
    }
}

/// Each source through a reporter of its own, all to one witness and its sink.
struct Scene {
    sources: Vec<TestSource>,
    reporter: Reporter,
    parallelism: usize,
    witness: Witness,
    sink: TestSink,
    dir: tempfile::TempDir,
}

impl Scene {
    fn new(sources: impl IntoIterator<Item = TestSource>) -> Self {
        Scene {
            sources: sources.into_iter().collect(),
            reporter: Reporter { declared: true },
            parallelism: 1,
            witness: Witness::waiting(),
            sink: TestSink::new(),
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn topology(&self) -> Topology {
        let mut t = Topology::builder("watermarks");
        let mut reported = Vec::new();
        for (number, source) in self.sources.iter().enumerate() {
            let read = t.source(format!("s{number}"), source.clone());
            let reporter = t.operator(format!("r{number}"), [read.rebalance()], self.reporter).parallelism(self.parallelism);
            reported.push(reporter.rebalance());
        }
        let noted = t.operator("w", reported, self.witness.clone()).parallelism(1);
        t.sink("k", [noted], self.sink.clone());
        t.build().unwrap()
    }

    fn query(&self, trigger: Trigger) -> Query {
        Query::new(self.topology()).checkpoint(self.checkpoint()).trigger(trigger)
    }

    fn checkpoint(&self) -> &Path {
        self.dir.path()
    }

    /// A start that takes all there is; what its epochs looked like.
    fn run(&self) -> Vec<Seen> {
        run(self.query(Trigger::AvailableNow)).unwrap();
        self.witness.take()
    }
}

fn run(query: Query) -> Result<Vec<EpochProgress>, QueryError> {
    let query = query.start().unwrap();
    assert!(query.await_termination(Some(DEADLINE))?, "the query did not end");
    Ok(query.recent_progress())
}

/// The epoch whose late and own watermark are these.
fn seen(epoch: u64, late: i64, watermark: i64, rows: usize) -> Seen {
    (epoch, Some(late), Some(watermark), rows)
}

#[test]
fn a_moved_watermark_gets_one_epoch_without_input_in_the_same_run() {
    let _points = no_faults();
    for trigger in [Trigger::AvailableNow, Trigger::Once, Trigger::default(), Trigger::ProcessingTime(Duration::from_millis(5))] {
        let scene = Scene::new([source([rows(&[5, 30, 20]), Step::End])]);
        let progress = run(scene.query(trigger)).unwrap();
        assert_eq!(scene.witness.take(), [seen(0, 0, 0, 3), seen(1, 0, 30, 0)], "{trigger:?}");
        let told: Vec<_> = progress.iter().map(|p| (p.watermark, p.next_watermark, p.late_rows, p.input_rows)).collect();
        let at = |micros| Some(Watermark::from_micros(micros));
        assert_eq!(told, [(at(0), at(30), 1, 3), (at(30), at(30), 0, 0)]);
        assert_eq!(scene.sink.epochs().len(), 2, "sinks get the empty epoch too");
        // A start that finds nothing new runs no epoch.
        assert_eq!((scene.run(), scene.sink.epochs().len()), (vec![], 2));
    }
}

#[test]
fn the_epochs_of_a_run_see_the_watermark_of_those_before() {
    let _points = no_faults();
    let scene = Scene::new([source([rows(&[10]), rows(&[40]), rows(&[20])])]);
    assert_eq!(scene.run(), [seen(0, 0, 0, 1), seen(1, 0, 10, 1), seen(2, 10, 40, 1)], "the last one moved nothing");
    scene.sources[0].push(rows(&[7]));
    assert_eq!(scene.run(), [seen(3, 40, 40, 1)], "it does not go back");
    scene.sources[0].push(rows(&[50]));
    assert_eq!(scene.run(), [seen(4, 40, 40, 1), seen(5, 40, 50, 0)]);
    assert!(scene.run().is_empty());
}

#[test]
fn once_takes_all_input_in_one_epoch_and_none_in_what_follows() {
    let _points = no_faults();
    let mut scene = Scene::new([source([rows(&[10]), rows(&[40])])]);
    let more = scene.sources[0].clone();
    scene.sink = scene.sink.clone().with_hook(move |call| {
        if call == SinkCall::AfterCommit(Epoch::FIRST) {
            more.push(rows(&[99]));
        }
        Ok(())
    });
    run(scene.query(Trigger::Once)).unwrap();
    assert_eq!(scene.witness.take(), [seen(0, 0, 0, 2), seen(1, 0, 40, 0)]);
    run(scene.query(Trigger::Once)).unwrap();
    assert_eq!(scene.witness.take(), [seen(2, 40, 40, 1), seen(3, 40, 99, 0)]);
}

#[test]
fn nobody_who_waits_nothing_that_moves_no_epoch() {
    let _points = no_faults();
    let mut scene = Scene::new([source([rows(&[10])])]);
    scene.witness.waits = false;
    assert_eq!(scene.run(), [seen(0, 0, 0, 1)]);

    let mut scene = Scene::new([source([rows(&[10])])]);
    scene.reporter.declared = false;
    let failure = run(scene.query(Trigger::AvailableNow)).unwrap_err();
    assert!(failure.to_string().contains("its supplier says that it does not"), "{failure}");

    let witness = Witness::waiting();
    let mut t = Topology::builder("no reporter");
    let read = t.source("s", source([rows(&[10]), rows(&[20])]));
    let noted = t.operator("w", [read], witness.clone());
    t.sink("k", [noted], TestSink::new());
    let progress = run(Query::new(t.build().unwrap()).trigger(Trigger::AvailableNow)).unwrap();
    assert_eq!(witness.take(), [(0, None, None, 1), (1, None, None, 1)]);
    assert!(progress.iter().all(|p| p.watermark.is_none() && p.next_watermark.is_none()));
}

#[test]
fn of_two_reporters_the_policy_chooses_and_the_checkpoint_keeps_it() {
    let _points = no_faults();
    for (policy, other, watermark) in
        [(WatermarkPolicy::Min, WatermarkPolicy::Max, 10), (WatermarkPolicy::Max, WatermarkPolicy::Min, 30)]
    {
        let scene = Scene::new([source([rows(&[10])]), source([rows(&[30])])]);
        let query = || scene.query(Trigger::AvailableNow).watermark_policy(policy);
        run(query()).unwrap();
        assert_eq!(scene.witness.take(), [seen(0, 0, 0, 2), seen(1, 0, watermark, 0)]);
        scene.sources[0].push(rows(&[50]));
        scene.sources[1].push(rows(&[70]));
        run(query().watermark_policy(other)).unwrap();
        let moved = if policy == WatermarkPolicy::Min { 50 } else { 70 };
        assert_eq!(scene.witness.take(), [seen(2, watermark, watermark, 2), seen(3, watermark, moved, 0)]);
    }
}

#[test]
fn a_reporter_without_rows_holds_the_least_back_but_not_the_greatest() {
    let _points = no_faults();
    let scene = |policy| {
        let scene = Scene::new([source([rows(&[10])]), source([])]);
        run(scene.query(Trigger::AvailableNow).watermark_policy(policy)).unwrap();
        scene.witness.take()
    };
    assert_eq!(scene(WatermarkPolicy::Min), [seen(0, 0, 0, 1)]);
    assert_eq!(scene(WatermarkPolicy::Max), [seen(0, 0, 0, 1), seen(1, 0, 10, 0)]);
}

#[test]
fn a_new_start_counts_a_silent_reporter_as_it_is_told_to() {
    let _points = no_faults();
    for keep in [false, true] {
        let mut scene = Scene::new([source([rows(&[10])]), source([rows(&[30])])]);
        let start = |scene: &Scene| {
            run(scene.query(Trigger::AvailableNow).keep_event_times(keep)).unwrap();
            scene.witness.take()
        };
        assert_eq!(start(&scene), [seen(0, 0, 0, 2), seen(1, 0, 10, 0)]);
        // Only the first has rows now, and there are more tasks to report them.
        scene.parallelism = 3;
        scene.sources[0].push(rows(&[50]));
        let kept = vec![seen(2, 10, 10, 1), seen(3, 10, 30, 0)];
        assert_eq!(start(&scene), if keep { kept } else { vec![seen(2, 10, 10, 1)] });
        // Then the second alone: it may never jump ahead of what the first has come to.
        scene.parallelism = 2;
        scene.sources[1].push(rows(&[80]));
        let kept = vec![seen(4, 30, 30, 1), seen(5, 30, 50, 0)];
        assert_eq!(start(&scene), if keep { kept } else { vec![seen(3, 10, 10, 1)] });
        assert!(start(&scene).is_empty());
    }
}

fn one_restart() -> RestartStrategy {
    RestartStrategy::FixedDelay { attempts: 1, delay: Duration::ZERO }
}

#[test]
fn a_restart_after_a_failure_goes_on_as_if_there_had_been_none() {
    let _points = no_faults();
    let scene = Scene::new([source([rows(&[10]), Step::Abort, rows(&[50])]), source([rows(&[30])])]);
    run(scene.query(Trigger::AvailableNow).restart(one_restart())).unwrap();
    // What the second source had before the failure counts after it.
    assert_eq!(scene.witness.take(), [seen(0, 0, 0, 2), seen(1, 0, 10, 0), seen(2, 10, 10, 1), seen(3, 10, 30, 0)]);

    let mut scene = Scene::new([source([rows(&[10])])]);
    let failed = AtomicBool::new(false);
    scene.sink = scene.sink.clone().with_hook(move |call| match call {
        SinkCall::AfterCommit(Epoch::FIRST) if !failed.swap(true, SeqCst) => Err(Error::user("before the commit log")),
        _ => Ok(()),
    });
    run(scene.query(Trigger::AvailableNow).restart(one_restart())).unwrap();
    assert_eq!(scene.witness.take(), [seen(0, 0, 0, 1), seen(0, 0, 0, 1), seen(1, 0, 10, 0)]);
}

/// A source that fails once when it is asked what it has after its first rows.
#[derive(Clone)]
struct Flaky(TestSource, Arc<AtomicBool>);

impl SourceSupplier for Flaky {
    fn schema(&self) -> Result<SchemaRef> {
        self.0.schema()
    }
    fn supply(&self) -> Result<Box<dyn Source>> {
        Ok(Box::new(self.clone()))
    }
    fn describe(&self) -> String {
        "fails once".to_owned()
    }
}

impl Source for Flaky {
    fn open(&mut self, context: SourceContext) -> Result<()> {
        self.0.open(context)
    }
    fn latest_offset(&mut self, from: Option<&Offset>, limit: ReadLimit) -> Result<Option<Offset>> {
        if from.is_some() && !self.1.swap(true, SeqCst) {
            return Err(Error::user("no connection"));
        }
        self.0.latest_offset(from, limit)
    }
    fn splits(&mut self, range: &OffsetRange) -> Result<Vec<Split>> {
        self.0.splits(range)
    }
    fn reader(&mut self, subtask: usize) -> Result<Box<dyn SourceReader>> {
        self.0.reader(subtask)
    }
    fn freeze(&mut self) -> Result<()> {
        self.0.freeze()
    }
}

#[test]
fn a_failure_between_two_epochs_does_not_lose_the_one_that_is_owed() {
    let _points = no_faults();
    let witness = Witness::waiting();
    let mut t = Topology::builder("flaky");
    let read = t.source("s", Flaky(source([rows(&[10])]), Arc::default()));
    let reported = t.operator("r", [read], Reporter { declared: true });
    let noted = t.operator("w", [reported], witness.clone());
    t.sink("k", [noted], TestSink::new());
    run(Query::new(t.build().unwrap()).trigger(Trigger::AvailableNow).restart(one_restart())).unwrap();
    assert_eq!(witness.take(), [seen(0, 0, 0, 1), seen(1, 0, 10, 0)]);
}

#[test]
fn a_replayed_epoch_has_the_logged_watermarks() {
    let _points = no_faults();
    let scene = Scene::new([source([rows(&[10]), rows(&[40])])]);
    scene.run();
    // Fails at the epoch without input, and at the two with.
    for (at, steps, replayed) in [(3, vec![rows(&[60]), Step::Abort], seen(3, 40, 40, 1)), (4, vec![], seen(4, 40, 60, 0))] {
        steps.into_iter().for_each(|step| scene.sources[0].push(step));
        let failing = Scene {
            sources: scene.sources.clone(),
            sink: scene.sink.clone().with_hook(move |call| match call {
                SinkCall::Stage(epoch) if epoch.number() == at => Err(Error::user("no space")),
                _ => Ok(()),
            }),
            witness: scene.witness.clone(),
            dir: tempfile::tempdir().unwrap(),
            ..Scene::new([])
        };
        let query = Query::new(failing.topology()).checkpoint(scene.checkpoint()).trigger(Trigger::AvailableNow);
        run(query.clone()).unwrap_err();
        scene.witness.take();
        run(query).unwrap_err();
        assert!(scene.witness.take().iter().all(|seen| *seen == replayed));
    }
    // Replayed in a new start, the epoch without input is there; and moves nothing.
    assert_eq!(scene.run(), [seen(4, 40, 60, 0)]);
    assert!(scene.run().is_empty());
}

#[test]
fn a_new_start_runs_no_epoch_for_a_watermark_that_moved_before() {
    let _points = no_faults();
    let mut scene = Scene::new([source([rows(&[10])])]);
    scene.witness.waits = false;
    scene.run();
    scene.witness.waits = true;
    assert!(scene.run().is_empty(), "what waits, waits for rows");
    scene.sources[0].push(rows(&[20]));
    assert_eq!(scene.run(), [seen(1, 0, 10, 1), seen(2, 10, 20, 0)]);
}

#[test]
fn epochs_that_overlap_have_the_newest_known_watermark() {
    let _points = no_faults();
    let steps = (1..=40).map(|n| rows(&[n * 10]));
    let scene = Scene::new([source(steps)]);
    run(scene.query(Trigger::AvailableNow).max_epochs_in_flight(4)).unwrap();
    let seen_epochs = scene.witness.take();
    let (last, others) = seen_epochs.split_last().unwrap();
    assert_eq!(others.iter().filter(|seen| seen.3 > 0).count(), 40);
    assert_eq!((last.2, last.3), (Some(400), 0), "the end of it is known to the last one, which has no input");
    let mut before = 0;
    for (number, (epoch, late, watermark, rows)) in (0..).zip(&seen_epochs) {
        assert_eq!((*epoch, *late), (number, Some(before)));
        // Never more than what the epochs before have reported, never less than what epochs four back have.
        let (least, most) = (number.saturating_sub(4) as i64 * 10, number as i64 * 10);
        let watermark = watermark.unwrap();
        assert!(*rows == 0 || (least..=most).contains(&watermark), "epoch {epoch} has {watermark}");
        assert!(watermark >= before);
        before = watermark;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Any input, any starts and ends in between: the epochs' watermarks are those of the plain definition, which looks at all rows
    /// of the epochs before.
    #[test]
    fn the_watermarks_do_not_depend_on_where_a_query_is_stopped(
        epochs in prop::collection::vec((prop::collection::vec(0i64..1000, 1..4), any::<bool>()), 1..7),
        parallelism in 1usize..3,
    ) {
        let _points = no_faults();
        let mut scene = Scene::new([source([])]);
        scene.parallelism = parallelism;
        let mut all = Vec::new();
        for (at, stop) in &epochs {
            scene.sources[0].push(rows(at));
            if *stop {
                all.extend(scene.run());
            }
        }
        all.extend(scene.run());
        let (mut inputs, mut model) = (epochs.iter(), BTreeMap::from([(0, (0i64, 0i64))]));
        let mut known = 0;
        for (number, (epoch, late, watermark, rows)) in (0..).zip(&all) {
            let before: (i64, i64) = model.get(&(number - 1)).copied().unwrap_or_default();
            prop_assert_eq!((*epoch as i64, *late, *watermark), (number, Some(before.1), Some(known)));
            model.insert(number, (before.1, known));
            if *rows > 0 {
                let (at, _) = inputs.next().unwrap();
                known = known.max(*at.iter().max().unwrap());
            }
        }
        prop_assert_eq!(inputs.count(), 0);
        prop_assert_eq!(known, all.last().unwrap().2.unwrap(), "the last watermark has had its epoch");
    }
}

#[test]
fn an_idle_input_is_left_out_and_the_report_names_what_holds_the_watermark() {
    let _points = no_faults();
    let scene = Scene::new([source([rows(&[10])]), source([])]);
    let clock = Arc::new(ManualClock::new(0));
    let query =
        scene.query(Trigger::default()).clock(Arc::<ManualClock>::clone(&clock)).idle_after(Some(Duration::from_secs(30)));
    let query = query.start().unwrap();
    query.process_all_available().unwrap();
    assert_eq!(scene.witness.take(), [seen(0, 0, 0, 1)]);
    let report = query.watermarks();
    let holders: Vec<_> = report.holders().flat_map(|input| &input.sources).map(NodeId::as_str).collect();
    assert_eq!((holders, report.watermark), (vec!["s1"], Some(Watermark::ZERO)));
    clock.set(31_000);
    query.process_all_available().unwrap();
    assert_eq!(scene.witness.take(), [seen(1, 0, 10, 0)], "an epoch of its own, for both are idle now");
    scene.sources[1].push(rows(&[4]));
    query.process_all_available().unwrap();
    assert_eq!(scene.witness.take(), [seen(2, 10, 10, 1)], "what comes after all is late");
    query.stop().unwrap();
    assert_eq!(scene.run(), [], "and the next start finds nothing to do");
}
