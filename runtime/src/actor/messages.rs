//! What actors tell one another.

use actix::Message;
use crossbeam_channel::Sender;

use crate::task::{SourceCommand, TaskAck, TaskExit};

impl Message for SourceCommand {
    type Result = ();
}

impl Message for TaskAck {
    type Result = ();
}

impl Message for TaskExit {
    type Result = ();
}

/// What the query's owner asks of the coordinator.
#[derive(Debug)]
pub(crate) enum Command {
    /// Finish the epochs that are planned, then end.
    Stop,
    /// End now; what is not committed is run again at the next start.
    Cancel,
    /// Answer, by dropping the sender, when everything that was there at this moment is committed.
    AwaitIdle(Sender<std::convert::Infallible>),
}

impl Message for Command {
    type Result = ();
}

/// A source has new input, or a timer says that it is time to look.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wake {
    Notified,
    Timer,
}

impl Message for Wake {
    type Result = ();
}
