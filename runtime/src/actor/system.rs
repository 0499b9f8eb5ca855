//! The process's control thread.

use std::sync::{Mutex, PoisonError};

use actix::{Arbiter, System};
use crossbeam_channel::bounded;

use crate::error::{Error, Result};
use crate::task::thread;

/// The control arbiter's handle, once the control thread runs. It stays for the life of the process and costs nothing when idle.
static CONTROL: Mutex<Option<actix::ArbiterHandle>> = Mutex::new(None);

/// The arbiter on which all task actors live; starts the control thread at the first call.
pub(crate) fn control() -> Result<actix::ArbiterHandle> {
    let mut control = CONTROL.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*control {
        return Ok(handle.clone());
    }
    let (started, handle) = bounded(1);
    thread::spawn("tg-control", move || {
        let system = System::new();
        let sent = started.send(system.block_on(async { Arbiter::current() }));
        if let (Ok(()), Err(error)) = (sent, system.run()) {
            tracing::error!(%error, "the control thread ended");
        }
    })?;
    let handle = handle.recv().map_err(|_| control_gone())?;
    *control = Some(handle.clone());
    Ok(handle)
}

/// A new arbiter. It is made on the control thread: actix wants a `System` on the thread that makes one.
pub(crate) fn new_arbiter() -> Result<Arbiter> {
    let (made, arbiter) = bounded(1);
    let asked = control()?.spawn_fn(move || {
        if made.send(Arbiter::new()).is_err() {
            tracing::error!("nobody waits for the new arbiter");
        }
    });
    if !asked {
        return Err(control_gone());
    }
    arbiter.recv().map_err(|_| control_gone())
}

fn control_gone() -> Error {
    Error::Protocol("the control thread is gone".to_owned())
}
