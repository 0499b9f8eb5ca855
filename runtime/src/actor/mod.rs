//! The actors, and the only module that knows actix.
//!
//! - [`system`]: the process's control thread, on which an actix `System` runs, whatever the embedding program's `main` is.
//! - [`task_actor`]: the shell around a task's thread. Its mailbox takes control messages only; rows never go by mailbox.
//! - [`run`]: the tasks of one run, and how it ends.
//! - [`coordinator`]: one per query, on an arbiter of its own, so that it may fsync in a handler without delaying any task. It
//!   carries out what `coordinator::EpochDriver` decides.
//!
//! Supervision is ours: actix restarts nothing after a panic. A task's thread reports its own end as a message, the first bad end
//! cancels the run, and the whole topology is built anew.

mod coordinator;
mod messages;
mod run;
mod system;
mod task_actor;

pub(crate) use coordinator::{Launch, QueryActor, launch};
pub(crate) use messages::Command;
