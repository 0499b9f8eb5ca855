//! One run of a query: the tasks that are alive, and how they come to their end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use actix::{Actor, Addr, Recipient};

use super::task_actor::TaskActor;
use crate::coordinator::{EpochDriver, EpochStart, TaskPlan};
use crate::edge::CancelGuard;
use crate::error::{Error, Result, catch_panic};
use crate::task::{SourceCommand, TaskExit};
use crate::types::{RunId, TaskId};

/// The run that is under way.
pub(super) struct Run {
    pub(super) id: RunId,
    pub(super) driver: EpochDriver,
    /// Taken, and dropped, to cancel.
    pub(super) guard: Option<CancelGuard>,
    pub(super) sources: BTreeMap<TaskId, Addr<TaskActor>>,
    pub(super) running: BTreeSet<TaskId>,
    pub(super) ending: Ending,
}

/// How a run comes to its end.
pub(super) enum Ending {
    /// It does not.
    No,
    /// Its sources were told that no epoch follows.
    Draining,
    /// Its tasks were cancelled, because of this failure or, without one, on request.
    Cancelling(Option<Error>),
}

impl Run {
    /// Starts a task on the control arbiter; its end goes to `coordinator`.
    pub(super) fn start_task(
        &mut self,
        plan: TaskPlan,
        control: &actix::ArbiterHandle,
        coordinator: Recipient<TaskExit>,
        span: &tracing::Span,
    ) {
        let (run, task, is_source) = (self.id, plan.task.clone(), plan.commands.is_some());
        let span = span.clone();
        let actor = TaskActor::start_in_arbiter(control, move |_| TaskActor::new(run, plan, coordinator, span));
        self.running.insert(task.clone());
        if is_source {
            self.sources.insert(task, actor);
        }
    }

    /// It is to be cancelled, because of `failure` or on request. Of several failures the likeliest root cause is kept.
    pub(super) fn fail(&mut self, failure: Option<Error>) {
        let cause = match std::mem::replace(&mut self.ending, Ending::No) {
            Ending::Cancelling(known) => likelier(known, failure),
            Ending::No | Ending::Draining => failure,
        };
        self.ending = Ending::Cancelling(cause);
    }

    /// That its tasks did not end in time.
    pub(super) fn stuck(&self, timeout: Duration) -> Error {
        Error::StopTimeout { timeout, tasks: self.running.iter().map(TaskId::to_string).collect() }
    }

    /// Sends an epoch's splits to all tasks of all sources.
    pub(super) fn send(&self, start: EpochStart) -> Result<()> {
        let EpochStart { info, splits } = start;
        for (task, splits) in splits {
            match self.sources.get(&task) {
                Some(source) => source.do_send(SourceCommand::RunEpoch { epoch: info, splits }),
                None => return Err(Error::Protocol(format!("there is no source task {task}"))),
            }
        }
        Ok(())
    }

    /// All tasks have ended: closes what the run held, and gives the failure, if it ended by one.
    pub(super) fn finish(self, requested: bool) -> Option<Error> {
        let Run { mut driver, ending, .. } = self;
        let failure = match ending {
            Ending::Draining => driver.close().err(),
            // Of a cancel on request, tasks report that they were cancelled or that their neighbours are gone: no failures.
            Ending::Cancelling(failure) => failure.filter(|error| !(requested && error.rank() <= Error::PeerGone.rank())),
            Ending::No => None,
        };
        // Sources and sinks are users' code, to their last breath.
        let dropped = catch_panic(move || {
            drop(driver);
            Ok(())
        });
        likelier(failure, dropped.err())
    }
}

/// The likelier root cause of two.
fn likelier(first: Option<Error>, second: Option<Error>) -> Option<Error> {
    match (first, second) {
        (Some(first), Some(second)) => Some(if second.rank() > first.rank() { second } else { first }),
        (first, second) => first.or(second),
    }
}
