//! Spark's types, casts and functions over Arrow arrays.
//!
//! This is the one place that knows how Spark computes. The query layer resolves names and types with it; what it gives back are
//! DataFusion functions, so that DataFusion's optimiser and executors and Tidegate's streaming operators run the same code.
//!
//! - [`types`]: which Arrow type stands for which Spark type, and how it is written;
//! - [`coercion`]: which casts Spark inserts by itself;
//! - [`function`]: the contract of a scalar function: what it takes, what it gives, and its kernel;
//! - [`cast`], and one module for each family of functions;
//! - [`mod@generator`]: functions that give several rows for one;
//! - [`mod@aggregate`]: aggregate functions, whose state can be stored and merged;
//! - [`error`]: Spark's error conditions.
//!
//! Semantics are those of Spark 4 with its default settings: ANSI mode is on. All columns are nullable. A kernel is given arrays of
//! exactly the types that it asked for and gives an array of exactly the type that it promised.

pub mod aggregate;
pub mod coercion;
pub mod error;
pub mod function;
pub mod types;

pub mod arithmetic;
pub mod array;
pub mod avro;
pub mod cast;
pub mod comparison;
pub mod conditional;
pub mod csv;
pub mod datetime;
pub mod generator;
pub mod hash;
pub mod higher_order;
pub mod json;
pub mod map;
pub mod math;
pub mod misc;
pub mod protobuf;
pub mod regex;
pub mod string;
pub mod structs;
pub mod time_window;

mod message;
mod registry;

pub use aggregate::depends_on_order;
pub use error::{SparkError, spark_error};
pub use function::{Arg, Arity, Call, Function, Invocation, Kernel, Resolved, Settings};
pub use registry::{aggregate, generator, higher_order, names, scalar};
