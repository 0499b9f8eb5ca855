//! Tests of the checkpoint as a whole.

mod damage;
#[cfg(feature = "failpoints")]
mod faults;
mod growth;
mod lifecycle;
pub(super) mod support;
