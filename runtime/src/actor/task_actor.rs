//! The shell around a task's thread.

use std::thread::JoinHandle;

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Recipient};
use crossbeam_channel::Sender;

use crate::coordinator::TaskPlan;
use crate::error::{Error, catch_panic};
use crate::task::{SourceCommand, TaskExit, thread};
use crate::types::RunId;

/// One task of a query. It starts the task's thread, passes control on to it, and reports its end.
pub(super) struct TaskActor {
    run: RunId,
    plan: Option<TaskPlan>,
    commands: Option<Sender<SourceCommand>>,
    coordinator: Recipient<TaskExit>,
    /// The query's span, which the task's is in.
    query: tracing::Span,
    thread: Option<JoinHandle<()>>,
}

impl TaskActor {
    pub(super) fn new(run: RunId, plan: TaskPlan, coordinator: Recipient<TaskExit>, query: tracing::Span) -> Self {
        TaskActor { run, commands: plan.commands.clone(), plan: Some(plan), coordinator, query, thread: None }
    }
}

impl Actor for TaskActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let Some(plan) = self.plan.take() else { return };
        let (me, parent) = (ctx.address(), self.query.clone());
        let TaskPlan { task, thread: name, body, open_epoch, commands: _, metrics: _ } = plan;
        let (run, id) = (self.run, task.clone());
        let spawned = thread::spawn(&name, move || {
            let result = {
                let _task = tracing::info_span!(parent: &parent, "task", operator = %id.node, subtask = id.subtask).entered();
                // The body is gone, and its channel ends with it, before anyone hears of its end. Dropping the payload or the
                // body of a user's task may panic once more: that is part of the same end.
                catch_panic(body)
            };
            me.do_send(TaskExit { run, task: id, epoch: open_epoch.get(), result });
        });
        match spawned {
            Ok(thread) => self.thread = Some(thread),
            Err(error) => ctx.notify(TaskExit { run: self.run, task, epoch: None, result: Err(error) }),
        }
    }
}

impl Handler<SourceCommand> for TaskActor {
    type Result = ();

    fn handle(&mut self, command: SourceCommand, _ctx: &mut Self::Context) {
        // A task that has ended takes no commands; its exit is on its way.
        if let Some(commands) = &self.commands
            && commands.send(command).is_err()
        {
            tracing::debug!("command for a task that has ended");
        }
    }
}

impl Handler<TaskExit> for TaskActor {
    type Result = ();

    fn handle(&mut self, mut exit: TaskExit, ctx: &mut Self::Context) {
        // The message was the thread's last act, so this does not wait.
        let joined = self.thread.take().map_or(Ok(()), JoinHandle::join);
        if joined.is_err() && exit.result.is_ok() {
            exit.result = Err(Error::Panicked { message: "while the task's thread ended".to_owned() });
        }
        self.coordinator.do_send(exit);
        ctx.stop();
    }
}
