//! What belongs to no family.

use std::sync::Arc;

use arrow::array::{Int32Array, Int64Array, StringArray};
use arrow::datatypes::DataType;
use datafusion::error::Result;

use crate::error::spark_error;
use crate::function::{Arity, Call, Function, Resolved};
use crate::types;

/// The functions of this family.
pub(crate) const FUNCTIONS: &[Function] = &[
    Function { names: &["current_user", "user", "session_user"], arity: Arity::exactly(0), resolve: |_| constant(&user()) },
    Function { names: &["current_catalog"], arity: Arity::exactly(0), resolve: |_| constant("spark_catalog") },
    Function { names: &["current_database", "current_schema"], arity: Arity::exactly(0), resolve: |_| constant("default") },
    Function { names: &["version"], arity: Arity::exactly(0), resolve: |_| constant(VERSION) },
    Function { names: &["typeof"], arity: Arity::exactly(1), resolve: type_of },
    Function { names: &["uuid"], arity: Arity::between(0, 1), resolve: uuid },
    Function { names: &["monotonically_increasing_id"], arity: Arity::exactly(0), resolve: monotonically_increasing_id },
    Function { names: &["spark_partition_id"], arity: Arity::exactly(0), resolve: spark_partition_id },
    Function { names: &["input_file_name"], arity: Arity::exactly(0), resolve: |_| constant("") },
    Function { names: &["input_file_block_start", "input_file_block_length"], arity: Arity::exactly(0), resolve: no_block },
    Function { names: &["reflect", "java_method", "try_reflect"], arity: Arity::at_least(2), resolve: no_java },
];

/// The version of Spark whose semantics these are, and what computes them.
const VERSION: &str = concat!("4.3.0 tidegate-", env!("CARGO_PKG_VERSION"));

/// The user who runs this process.
fn user() -> String {
    let named = ["USER", "LOGNAME", "USERNAME"].into_iter().find_map(|variable| std::env::var(variable).ok());
    named.filter(|name| !name.is_empty()).unwrap_or_else(|| "tidegate".to_owned())
}

fn constant(text: &str) -> Result<Resolved> {
    text_for(Vec::new(), text)
}

fn text_for(args: Vec<DataType>, text: &str) -> Result<Resolved> {
    let text = text.to_owned();
    Ok(Resolved::new(args, DataType::Utf8, move |invocation| Ok(Arc::new(StringArray::new_repeated(&text, invocation.rows)))))
}

fn type_of(call: &Call<'_>) -> Result<Resolved> {
    let data_type = call.data_type(0);
    text_for(vec![data_type.clone()], &types::name(data_type))
}

fn uuid(call: &Call<'_>) -> Result<Resolved> {
    if !call.is_empty() {
        return Err(spark_error("UNSUPPORTED_CALL.WITHOUT_SUGGESTION", "`uuid` with a seed is not supported."));
    }
    let fresh = |rows| (0..rows).map(|_| Some(uuid::Uuid::new_v4().to_string())).collect::<StringArray>();
    Ok(Resolved::new(Vec::new(), DataType::Utf8, move |invocation| Ok(Arc::new(fresh(invocation.rows)))).volatile())
}

/// The number of each row in its batch: unique only there, as Spark's is unique only in one run.
fn monotonically_increasing_id(_: &Call<'_>) -> Result<Resolved> {
    let numbers = |rows: usize| Int64Array::from_iter_values(0..rows as i64);
    Ok(Resolved::new(Vec::new(), DataType::Int64, move |invocation| Ok(Arc::new(numbers(invocation.rows)))).volatile())
}

fn spark_partition_id(_: &Call<'_>) -> Result<Resolved> {
    Ok(Resolved::new(Vec::new(), DataType::Int32, |invocation| Ok(Arc::new(Int32Array::from_value(0, invocation.rows))))
        .volatile())
}

/// Rows are of no block of a file that is known.
fn no_block(_: &Call<'_>) -> Result<Resolved> {
    Ok(Resolved::new(Vec::new(), DataType::Int64, |invocation| Ok(Arc::new(Int64Array::from_value(-1, invocation.rows)))))
}

fn no_java(call: &Call<'_>) -> Result<Resolved> {
    let message = format!("Cannot call `{}`: there is no Java here.", call.name);
    Err(spark_error("UNSUPPORTED_CALL.WITHOUT_SUGGESTION", message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, AsArray};
    use datafusion::logical_expr::Volatility;

    use crate::function::{Arg, Invocation, Settings};

    fn resolve(name: &str, args: &[Arg]) -> Resolved {
        let function = FUNCTIONS.iter().find(|function| function.names.contains(&name)).unwrap();
        (function.resolve)(&Call { name, args, settings: &Settings::default() }).unwrap()
    }

    fn run(name: &str, rows: usize) -> ArrayRef {
        (resolve(name, &[]).kernel)(&Invocation { args: &[], rows }).unwrap()
    }

    #[test]
    fn constants() {
        for (name, text) in [("current_catalog", "spark_catalog"), ("current_schema", "default"), ("input_file_name", "")] {
            let values = run(name, 2);
            assert_eq!(values.as_string::<i32>().iter().collect::<Vec<_>>(), [Some(text); 2]);
        }
        assert!(run("version", 1).as_string::<i32>().value(0).starts_with("4.3.0 "));
    }

    #[test]
    fn types_are_named() {
        for name in ["int", "void", "struct<a:int>", "map<int,decimal(2,1)>"] {
            let arg = Arg { data_type: types::parse(name).unwrap(), literal: None, sql: "x".to_owned() };
            let resolved = resolve("typeof", &[arg]);
            let values = (resolved.kernel)(&Invocation { args: &[], rows: 1 }).unwrap();
            assert_eq!(values.as_string::<i32>().value(0), name);
        }
    }

    #[test]
    fn every_row_has_its_own_id() {
        let ids = run("uuid", 2);
        let ids = ids.as_string::<i32>();
        assert!(ids.value(0) != ids.value(1) && ids.value(0).len() == 36);
        assert_eq!(resolve("uuid", &[]).volatility, Volatility::Volatile);
    }
}
