//! Apache Kafka, as a source and as a sink; behind the feature `kafka`.
//!
//! | module | what it knows |
//! | --- | --- |
//! | `client` | the `kafka.*` options, clients made of them, errors without secrets |
//! | `options` | the connectors' own options |
//! | `offsets` | positions in partitions: Spark's JSON form, limits, lag |
//! | `cluster` | what partitions there are and how far they reach |
//! | `source`, `planner`, `batch` | which ranges of offsets an epoch has |
//! | `reader`, `rows` | the records of a range, as columns |
//! | `sink`, `records` | columns, as records |
//! | `transaction` | one transaction for each epoch, which also holds the epoch's number |

mod client;
mod cluster;
mod offsets;
mod options;
mod planner;
mod reader;
mod records;
mod rows;
mod sink;
mod source;
mod transaction;

pub use sink::KafkaSink;
pub use source::KafkaSource;
