//! Named fail points: the places where a test makes the runtime crash, fail or panic.
//!
//! They exist only in debug builds with the feature `failpoints`; in any other build [`hit`] is an empty inline function.
//! A point is switched on with the `fail` crate, from a test (`fail::cfg`) or by the variable `FAILPOINTS` of a child process
//! that calls `enable_from_env`:
//!
//! | action | effect |
//! | --- | --- |
//! | `return(exit)` | the process ends at once, as by `kill -9`: nothing is flushed, no destructor runs |
//! | `return(error)` | [`Error::Injected`](crate::Error::Injected) |
//! | `return(enospc)`, `return(eio)` | the system's "no space left on device" or "input/output error" |
//! | `panic` | a panic |
//! | `3*off->return(exit)` | any of them at the fourth hit |

use crate::error::Result;

/// Marks a place where a test can inject a failure.
#[cfg(not(all(feature = "failpoints", debug_assertions)))]
#[inline(always)]
pub fn hit(_name: &'static str) -> Result<()> {
    Ok(())
}

/// Marks a place where a test can inject a failure.
#[cfg(all(feature = "failpoints", debug_assertions))]
pub fn hit(name: &'static str) -> Result<()> {
    use crate::error::Error;
    let io = |kind| Err(Error::Io { action: "write (fail point)", path: name.into(), source: std::io::Error::from(kind) });
    let injected = fail::eval(name, |argument| argument.unwrap_or_default());
    match injected.as_deref() {
        None => Ok(()),
        // `abort` skips every destructor and buffer, like a kill from outside.
        Some("exit") => std::process::abort(),
        Some("enospc") => io(std::io::ErrorKind::StorageFull),
        Some("eio") => io(std::io::ErrorKind::Other),
        Some(_) => Err(Error::Injected(name.to_owned())),
    }
}

/// Switches on the fail points that the environment variable `FAILPOINTS` names, for the life of the process.
#[cfg(all(feature = "failpoints", debug_assertions))]
pub fn enable_from_env() {
    // The scenario lasts as long as the process: dropping it would clear the points again.
    std::mem::forget(fail::FailScenario::setup());
}
