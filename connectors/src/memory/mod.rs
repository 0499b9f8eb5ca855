//! Rows that the program adds, and rows that it reads: for tests, examples and embedding.
//!
//! Both ends are handles. Clones share what they hold, so a program keeps one and gives the other to the query.

mod sink;
mod source;

pub use sink::MemorySink;
pub use source::MemoryStream;
