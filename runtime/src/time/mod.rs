//! Time: the wall clock that epochs are stamped with, and the triggers that start them.

mod clock;
mod trigger;

pub use clock::{Clock, SystemClock};
pub use trigger::Trigger;
