//! A source that follows a script.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;

use crate::error::{Error, Result};
use crate::source::{
    Notifier, Offset, OffsetRange, ReadLimit, Source, SourceContext, SourceOutput, SourceReader, SourceSupplier, Split,
};

/// One step of a script.
#[derive(Debug, Clone)]
pub enum Step {
    /// Gives these rows.
    Rows(RecordBatch),
    /// Fails the query when it is read, the first time only: what comes before it in its epoch has gone out by then.
    Abort,
    /// Has nothing more until [`TestSource::resume`].
    Pause,
    /// Ends the input.
    End,
}

/// A replayable source that gives the rows of a script. Clones share the script and what has happened to it, so a test can extend
/// it while the query runs, and start the query again.
///
/// Each epoch takes the rows up to its limit, or up to the next pause; an epoch with an abort ends with it.
#[derive(Clone, Debug)]
pub struct TestSource {
    schema: SchemaRef,
    rows_per_epoch: usize,
    script: Arc<Mutex<Script>>,
}

#[derive(Debug, Default)]
struct Script {
    steps: Vec<Step>,
    /// Steps that have happened and won't again: aborts that fired, pauses that were resumed.
    done: Vec<usize>,
    frozen: bool,
    notifier: Option<Notifier>,
}

impl TestSource {
    /// A source of this script, one [`Step::Rows`] in each epoch.
    pub fn new(schema: SchemaRef, steps: impl IntoIterator<Item = Step>) -> Self {
        let script = Script { steps: steps.into_iter().collect(), ..Script::default() };
        TestSource { schema, rows_per_epoch: 1, script: Arc::new(Mutex::new(script)) }
    }

    /// Takes up to this many [`Step::Rows`] in each epoch.
    #[must_use]
    pub fn steps_per_epoch(self, steps: usize) -> Self {
        TestSource { rows_per_epoch: steps, ..self }
    }

    /// Adds a step to the end of the script.
    pub fn push(&self, step: Step) {
        self.change(|script| script.steps.push(step));
    }

    /// Passes the first pause that has not been passed.
    pub fn resume(&self) {
        self.change(|script| {
            let paused = (0..script.steps.len()).find(|&at| matches!(script.steps[at], Step::Pause) && !script.is_done(at));
            script.done.extend(paused);
        });
    }

    fn change(&self, change: impl FnOnce(&mut Script)) {
        let mut script = self.script();
        change(&mut script);
        let notifier = script.notifier.clone();
        drop(script);
        if let Some(notifier) = notifier {
            notifier.notify();
        }
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Script {
    fn is_done(&self, step: usize) -> bool {
        self.done.contains(&step)
    }

    /// Where an epoch of at most `limit` row steps ends that starts at `from`; `None` if it would have nothing to do.
    fn end_of_epoch(&self, from: usize, limit: usize) -> Option<usize> {
        let (mut rows, mut at) = (0, from);
        while at < self.steps.len() && rows < limit {
            match &self.steps[at] {
                Step::Rows(_) => rows += 1,
                Step::Abort if !self.is_done(at) => return Some(at + 1),
                Step::Pause if !self.is_done(at) => break,
                Step::End => break,
                Step::Abort | Step::Pause => {}
            }
            at += 1;
        }
        (rows > 0).then_some(at)
    }
}

impl SourceSupplier for TestSource {
    fn schema(&self) -> Result<SchemaRef> {
        Ok(Arc::clone(&self.schema))
    }

    fn supply(&self) -> Result<Box<dyn Source>> {
        Ok(Box::new(self.clone()))
    }

    fn describe(&self) -> String {
        "a script".to_owned()
    }
}

impl Source for TestSource {
    fn open(&mut self, context: SourceContext) -> Result<()> {
        let mut script = self.script();
        script.notifier = Some(context.notifier);
        script.frozen = false;
        Ok(())
    }

    fn latest_offset(&mut self, from: Option<&Offset>, limit: ReadLimit) -> Result<Option<Offset>> {
        let from = from.map_or(Ok(0), Offset::decode)?;
        let limit = match limit {
            ReadLimit::Configured => self.rows_per_epoch,
            ReadLimit::All => usize::MAX,
        };
        self.script().end_of_epoch(from, limit).map(|end| Offset::encode(&end)).transpose()
    }

    fn splits(&mut self, range: &OffsetRange) -> Result<Vec<Split>> {
        let start: usize = range.start.as_ref().map_or(Ok(0), Offset::decode)?;
        (start..range.end.decode()?).map(|step| Split::encode(&step)).collect()
    }

    fn reader(&mut self, _subtask: usize) -> Result<Box<dyn SourceReader>> {
        Ok(Box::new(self.clone()))
    }

    fn freeze(&mut self) -> Result<()> {
        self.script().frozen = true;
        Ok(())
    }

    fn is_finished(&self) -> bool {
        let script = self.script();
        let paused = (0..script.steps.len()).any(|at| matches!(script.steps[at], Step::Pause) && !script.is_done(at));
        let ends = script.steps.iter().any(|step| matches!(step, Step::End));
        script.frozen || (ends && !paused)
    }
}

impl SourceReader for TestSource {
    fn read(&mut self, split: &Split, out: &mut SourceOutput<'_>) -> Result<()> {
        let at: usize = split.decode()?;
        let step = {
            let mut script = self.script();
            let step = script.steps.get(at).cloned();
            if let (Some(Step::Abort), false) = (&step, script.is_done(at)) {
                script.done.push(at);
                return Err(Error::user("the script aborts here"));
            }
            step
        };
        match step {
            Some(Step::Rows(batch)) => out.emit(batch),
            Some(Step::Abort | Step::Pause | Step::End) => Ok(()),
            None => Err(Error::SourceDataLoss(format!("the script has no step {at}"))),
        }
    }
}
