//! The coordinator: one actor for each query.
//!
//! Its life: `Launch` → *running* (wake → begin epochs → acks → commit) → *draining* or *cancelling* → all tasks have exited →
//! ended, or waiting for a restart. Every handler ends in [`Coordinator::advance`], which does whatever can be done now.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::{Actor, ActorContext, Addr, Arbiter, AsyncContext, Context, Handler, Message, SpawnHandle};
use crossbeam_channel::{Sender, bounded};

use super::messages::{Command, Wake};
use super::run::{Ending, Run};
use super::system;
use crate::coordinator::{Assembly, RestartStrategy, Restarts, RunSettings, assemble};
use crate::error::{Error, Result, catch_panic};
use crate::query::{QueryShared, QueryState};
use crate::source::{Notifier, ReadLimit};
use crate::task::{AckSender, SourceCommand, TaskAck, TaskExit};
use crate::time::Trigger;
use crate::types::RunId;

/// What a query is started with.
pub(crate) struct Launch {
    pub(crate) settings: RunSettings,
    pub(crate) trigger: Trigger,
    pub(crate) restart: RestartStrategy,
    pub(crate) stop_timeout: Duration,
    pub(crate) shared: Arc<QueryShared>,
}

/// A launched query, seen from outside.
pub(crate) struct QueryActor {
    coordinator: Addr<Coordinator>,
    arbiter: Arbiter,
}

/// Starts a query's coordinator on an arbiter of its own and waits until its first run is assembled.
pub(crate) fn launch(launch: Launch) -> Result<QueryActor> {
    let arbiter = system::new_arbiter()?;
    let (launched, result) = bounded(1);
    let coordinator = Coordinator::start_in_arbiter(&arbiter.handle(), |_| Coordinator::new(launch, launched));
    match result.recv() {
        Ok(Ok(())) => Ok(QueryActor { coordinator, arbiter }),
        Ok(Err(error)) => {
            join(arbiter);
            Err(error)
        }
        Err(_) => Err(Error::Protocol("the coordinator is gone".to_owned())),
    }
}

impl QueryActor {
    /// Tells the coordinator something; nothing happens if it has ended.
    pub(crate) fn sender(&self) -> impl Fn(Command) + Send + Sync + 'static {
        let coordinator = self.coordinator.clone();
        move |command| coordinator.do_send(command)
    }

    /// Waits until the coordinator's thread is gone. To be called when the query has ended.
    pub(crate) fn join(self) {
        join(self.arbiter);
    }
}

fn join(arbiter: Arbiter) {
    if arbiter.join().is_err() {
        tracing::error!("the coordinator's thread panicked");
    }
}

/// The actor.
struct Coordinator {
    settings: RunSettings,
    trigger: Trigger,
    restarts: Restarts,
    stop_timeout: Duration,
    shared: Arc<QueryShared>,
    /// Answers `launch`; gone after the first run was assembled.
    launched: Option<Sender<Result<()>>>,
    run: Option<Run>,
    /// The owner has asked for the end: no new epoch begins, and nothing is restarted.
    stop_requested: bool,
    /// Whether the trigger's time has come.
    due: bool,
    /// `Trigger::Once` has had its epoch.
    once_done: bool,
    /// Whether an epoch was committed since the start of the query, in any run.
    committed: bool,
    /// Dropped, and so answered, when there is nothing left to do.
    idle_waiters: Vec<Sender<Infallible>>,
    /// The end was reported, or the query never ran.
    over: bool,
    /// Whether a notification is on its way already.
    notified: Arc<AtomicBool>,
    timer: Option<SpawnHandle>,
    /// By when the run must have ended, if it is ending.
    deadline: Option<SpawnHandle>,
}

/// An acknowledgement, with the run that it is of.
struct RunAck(RunId, TaskAck);

impl Message for RunAck {
    type Result = ();
}

impl Coordinator {
    fn new(launch: Launch, launched: Sender<Result<()>>) -> Self {
        Coordinator {
            settings: launch.settings,
            trigger: launch.trigger,
            restarts: Restarts::new(launch.restart),
            stop_timeout: launch.stop_timeout,
            shared: launch.shared,
            launched: Some(launched),
            run: None,
            stop_requested: false,
            due: true,
            once_done: false,
            committed: false,
            idle_waiters: Vec::new(),
            over: false,
            notified: Arc::new(AtomicBool::new(false)),
            timer: None,
            deadline: None,
        }
    }

    /// Assembles a run and starts its tasks.
    fn start_run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let id = RunId::random();
        let coordinator = ctx.address();
        let acks: AckSender = {
            let coordinator = coordinator.clone();
            Arc::new(move |ack| coordinator.do_send(RunAck(id, ack)))
        };
        let notifier = self.notifier(coordinator.clone());
        let Assembly { mut driver, tasks, guard } = assemble(&self.settings, id, acks, &notifier)?;
        if self.trigger == Trigger::AvailableNow {
            driver.freeze()?;
        }
        if self.committed {
            driver.resume();
        }
        let measured = tasks.iter().filter(|plan| plan.is_of_topology());
        let metrics = measured.map(|plan| (plan.task.clone(), Arc::clone(&plan.metrics))).collect();
        self.shared.run_started(driver.query_id(), id, metrics, driver.watermark_report());
        let mut run =
            Run { id, driver, guard: Some(guard), sources: BTreeMap::new(), running: BTreeSet::new(), ending: Ending::No };
        let control = system::control()?;
        let span = self.shared.span();
        for plan in tasks {
            run.start_task(plan, &control, coordinator.clone().recipient(), &span);
        }
        tracing::info!(parent: &span, tasks = run.running.len(), "run started");
        self.run = Some(run);
        Ok(())
    }

    /// Sources call it from any thread, as often as they like; at most one message is on its way at a time.
    fn notifier(&self, coordinator: Addr<Coordinator>) -> Notifier {
        let notified = Arc::clone(&self.notified);
        Notifier::new(move || {
            if !notified.swap(true, Ordering::SeqCst) {
                coordinator.do_send(Wake::Notified);
            }
        })
    }

    /// Commits what is complete, begins what can begin, ends what is to end.
    ///
    /// A panic on the way is a failure of the query like an error: the actor must live to end it.
    fn advance(&mut self, ctx: &mut Context<Self>) {
        if let Err(error) = catch_panic(|| self.try_advance(ctx)) {
            self.cancel(Some(error), ctx);
        }
    }

    fn try_advance(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        loop {
            let Some(run) = self.run.as_mut().filter(|run| matches!(run.ending, Ending::No)) else { return Ok(()) };
            while let Some(progress) = run.driver.commit_next()? {
                self.restarts.after_commit();
                self.committed = true;
                self.shared.committed(progress, run.driver.watermark_report());
                self.due |= self.trigger.is_continual();
            }
            let once_over = self.once_done && !run.driver.is_replaying() && !run.driver.owes_epoch();
            if self.stop_requested || once_over {
                if run.driver.is_quiet() {
                    self.drain(ctx);
                }
                return Ok(());
            }
            // Logged epochs, and callers who wait, don't wait for the trigger.
            let due = self.due || run.driver.is_replaying() || !self.idle_waiters.is_empty();
            if !run.driver.has_room() || !due {
                return Ok(());
            }
            self.due = false;
            if !self.begin_epoch(ctx)? {
                return Ok(());
            }
        }
    }

    /// Begins an epoch if there is anything to do; says whether it did.
    fn begin_epoch(&mut self, ctx: &mut Context<Self>) -> Result<bool> {
        let Some(run) = self.run.as_mut() else { return Ok(false) };
        let (replaying, once) = (run.driver.is_replaying(), self.trigger == Trigger::Once);
        let limit = match once {
            // What follows the one epoch is for the watermark alone.
            true if self.once_done => None,
            true => Some(ReadLimit::All),
            false => Some(ReadLimit::Configured),
        };
        // Asked first: a source may get its last rows and finish while it is asked what it has.
        let finished = run.driver.is_finished();
        match run.driver.begin(limit)? {
            Some(start) => {
                run.send(start)?;
                self.once_done |= once && !replaying;
                self.due |= self.trigger.is_continual();
                self.schedule(ctx);
                Ok(true)
            }
            None => {
                if run.driver.is_quiet() {
                    self.idle_waiters.clear();
                    let bounded = match self.trigger {
                        Trigger::AvailableNow | Trigger::Once => true,
                        Trigger::ProcessingTime(_) => finished,
                    };
                    if bounded {
                        self.drain(ctx);
                        return Ok(false);
                    }
                }
                self.schedule(ctx);
                Ok(false)
            }
        }
    }

    /// Sets when to look for input next. With an interval: at its next multiple. Without: at once after an epoch, and when idle
    /// as soon as a source notifies or, for sources that can't and for inputs that fall idle, after a time.
    fn schedule(&mut self, ctx: &mut Context<Self>) {
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        let Some(run) = &self.run else { return };
        let wait = match self.trigger.next_tick(self.settings.clock.now_ms()) {
            Some(tick) => Some(tick),
            // The commit of what is in flight comes first.
            None if !run.driver.is_quiet() => None,
            None => run.driver.look_again_in(),
        };
        self.timer = wait.map(|wait| ctx.notify_later(Wake::Timer, wait));
    }

    /// Ends the run in good order: every task ends when its inputs have.
    fn drain(&mut self, ctx: &mut Context<Self>) {
        let Some(run) = &mut self.run else { return };
        run.ending = Ending::Draining;
        run.sources.values().for_each(|source| source.do_send(SourceCommand::Drain));
        self.expect_end(ctx);
    }

    /// Ends the run now, because of `failure` or on request. Of several failures the likeliest root cause is kept.
    fn cancel(&mut self, failure: Option<Error>, ctx: &mut Context<Self>) {
        let Some(run) = &mut self.run else { return };
        run.fail(failure);
        if run.guard.take().is_some() {
            self.expect_end(ctx);
        }
        self.finish_if_over(ctx);
    }

    /// If the run does not end in time: a stop or drain turns into a cancel, a cancel gives up on the tasks. Each has its full time.
    fn expect_end(&mut self, ctx: &mut Context<Self>) {
        if let Some(earlier) = self.deadline.take() {
            ctx.cancel_future(earlier);
        }
        let deadline = ctx.run_later(self.stop_timeout, |this, ctx| {
            this.deadline = None;
            let Some(run) = &this.run else { return };
            match run.ending {
                Ending::Cancelling(_) => this.give_up(ctx),
                Ending::No | Ending::Draining if this.stop_requested => this.cancel(None, ctx),
                // Nobody asked for this end: that it takes so long is a failure, named after the tasks that hold it up.
                Ending::No | Ending::Draining => {
                    let stuck = run.stuck(this.stop_timeout);
                    this.cancel(Some(stuck), ctx);
                }
            }
        });
        self.deadline = Some(deadline);
    }

    /// Tasks are stuck in code that is not ours. Their threads can't be killed; they are left behind, by name.
    fn give_up(&mut self, ctx: &mut Context<Self>) {
        let Some(run) = &mut self.run else { return };
        let stuck = run.stuck(self.stop_timeout);
        tracing::error!(error = %stuck, "gave up waiting");
        run.running.clear();
        // The failure that set off the cancel says more than that a task is stuck, but a restart beside stuck threads is no option.
        run.fail(Some(stuck));
        self.stop_requested = true;
        self.finish_if_over(ctx);
    }

    fn task_exited(&mut self, exit: TaskExit, ctx: &mut Context<Self>) {
        // A task that was given up may end while a later run is under way.
        let Some(run) = self.run.as_mut().filter(|run| run.id == exit.run) else { return };
        run.running.remove(&exit.task);
        let TaskExit { run: _, task, epoch, result } = exit;
        match result {
            Ok(()) if matches!(run.ending, Ending::No) => {
                let cause = Box::new(Error::Protocol("the task ended by itself".to_owned()));
                self.cancel(Some(Error::Task { task, epoch, cause }), ctx);
            }
            Ok(()) => self.finish_if_over(ctx),
            Err(cause) => self.cancel(Some(Error::Task { task, epoch, cause: Box::new(cause) }), ctx),
        }
    }

    fn finish_if_over(&mut self, ctx: &mut Context<Self>) {
        let Some(run) = self.run.take_if(|run| run.running.is_empty()) else { return };
        if let Some(deadline) = self.deadline.take() {
            ctx.cancel_future(deadline);
        }
        match run.finish(self.stop_requested) {
            None => self.end(None, ctx),
            Some(error) => self.restart_or_end(error, ctx),
        }
    }

    /// A run has failed, or could not be started again.
    fn restart_or_end(&mut self, error: Error, ctx: &mut Context<Self>) {
        let delay = if self.stop_requested || !error.is_retryable() { None } else { self.restarts.after_failure() };
        match delay {
            Some(delay) => self.restart_later(&error, delay, ctx),
            None => self.end(Some(error), ctx),
        }
    }

    /// A stop meanwhile ends the actor, and this wait with it.
    fn restart_later(&mut self, error: &Error, delay: Duration, ctx: &mut Context<Self>) {
        tracing::warn!(parent: &self.shared.span(), %error, ?delay, "run failed; it will be restarted");
        self.shared.set_state(QueryState::Restarting);
        ctx.run_later(delay, |this, ctx| match catch_panic(|| this.start_run(ctx)) {
            Ok(()) => this.begin_running(ctx),
            Err(error) => this.restart_or_end(error, ctx),
        });
    }

    fn begin_running(&mut self, ctx: &mut Context<Self>) {
        self.shared.set_state(QueryState::Running);
        self.due = true;
        self.advance(ctx);
    }

    fn end(&mut self, error: Option<Error>, ctx: &mut Context<Self>) {
        self.over = true;
        self.shared.ended(error);
        self.idle_waiters.clear();
        ctx.stop();
        Arbiter::current().stop();
    }
}

impl Drop for Coordinator {
    /// Whatever ends the actor, nobody waits for the query for ever.
    fn drop(&mut self) {
        if !self.over {
            self.run = None;
            Arbiter::current().stop();
            self.shared.ended(Some(Error::Protocol("the coordinator ended before the query".to_owned())));
        }
    }
}

impl Actor for Coordinator {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let started = catch_panic(|| self.start_run(ctx));
        let failed = started.is_err();
        if failed {
            self.over = true;
            ctx.stop();
            Arbiter::current().stop();
        }
        if let Some(launched) = self.launched.take()
            && launched.send(started).is_err()
        {
            tracing::debug!("nobody waits for the launch");
        }
        if !failed {
            self.begin_running(ctx);
        }
    }
}

impl Handler<Wake> for Coordinator {
    type Result = ();

    fn handle(&mut self, wake: Wake, ctx: &mut Self::Context) {
        match wake {
            // Cleared before looking, so that what comes while looking is not missed.
            Wake::Notified => {
                self.notified.store(false, Ordering::SeqCst);
                self.due |= self.trigger.is_continual();
            }
            Wake::Timer => {
                self.timer = None;
                self.due = true;
            }
        }
        self.advance(ctx);
    }
}

impl Handler<RunAck> for Coordinator {
    type Result = ();

    fn handle(&mut self, RunAck(run, ack): RunAck, ctx: &mut Self::Context) {
        let Some(current) = self.run.as_mut().filter(|current| current.id == run) else { return };
        match current.driver.ack(ack) {
            Ok(()) => self.advance(ctx),
            Err(error) => self.cancel(Some(error), ctx),
        }
    }
}

impl Handler<TaskExit> for Coordinator {
    type Result = ();

    fn handle(&mut self, exit: TaskExit, ctx: &mut Self::Context) {
        self.task_exited(exit, ctx);
    }
}

impl Handler<Command> for Coordinator {
    type Result = ();

    fn handle(&mut self, command: Command, ctx: &mut Self::Context) {
        match command {
            Command::Stop | Command::Cancel if self.over => {}
            // Between two runs: there is nothing to end but the wait.
            Command::Stop | Command::Cancel if self.run.is_none() => self.end(None, ctx),
            Command::Stop => {
                // A repeated stop does not put off the deadline of the first.
                if !std::mem::replace(&mut self.stop_requested, true) {
                    self.expect_end(ctx);
                }
                self.advance(ctx);
            }
            Command::Cancel => {
                self.stop_requested = true;
                self.cancel(None, ctx);
            }
            Command::AwaitIdle(waiter) => {
                self.idle_waiters.push(waiter);
                self.advance(ctx);
            }
        }
    }
}
