//! User code as a sink.
//!
//! [`ForeachSink`] runs it in the tasks, as rows arrive; [`ForeachBatchSink`] runs it once for each epoch, when all rows are there.

mod batch;
mod user_code;
mod writer;

pub use batch::ForeachBatchSink;
pub use writer::{ForeachRow, ForeachSink, ForeachWriter};
