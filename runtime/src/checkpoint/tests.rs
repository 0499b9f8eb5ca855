//! Tests of the checkpoint as a whole.

mod support;

mod lifecycle;
