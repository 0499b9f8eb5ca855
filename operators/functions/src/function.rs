//! The contract of a scalar function: what it takes, what it gives, and its kernel.
//!
//! A [`Function`] is looked up by name and *resolved* for the types of one call: it says which types it wants its arguments cast to,
//! which type it gives, and hands out a [`Kernel`], which may hold what was prepared once (a compiled pattern, a time zone).
//! [`Resolved::into_udf`] wraps that as a DataFusion function.

use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;
use chrono_tz::Tz;
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use crate::coercion::can_cast_implicitly;
use crate::error::spark_error;
use crate::types::sql_name;

/// What a session sets for all of its expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Settings {
    /// The session's time zone: used when a timestamp is cast to or from text, a date or a `timestamp_ntz`, and for its fields.
    pub time_zone: Tz,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { time_zone: Tz::UTC }
    }
}

/// One argument of a call, as the analyser knows it.
#[derive(Debug, Clone)]
pub struct Arg {
    /// Its type.
    pub data_type: DataType,
    /// Its value, if it is a literal.
    pub literal: Option<ScalarValue>,
    /// Its text in SQL, for messages.
    pub sql: String,
}

/// A call that is to be resolved.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The function's name as the user wrote it, in lower case.
    pub name: &'a str,
    /// The arguments.
    pub args: &'a [Arg],
    /// The session's settings.
    pub settings: &'a Settings,
}

impl Call<'_> {
    /// How many arguments there are.
    pub fn len(&self) -> usize {
        self.args.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.args.is_empty()
    }

    /// The type of argument `index`.
    pub fn data_type(&self, index: usize) -> &DataType {
        &self.args[index].data_type
    }

    /// The value of argument `index`, if it is a literal that is not null.
    pub fn literal(&self, index: usize) -> Option<&ScalarValue> {
        self.args.get(index)?.literal.as_ref().filter(|value| !value.is_null())
    }

    /// The text of argument `index`, if it is a literal string.
    pub fn literal_str(&self, index: usize) -> Option<&str> {
        match self.literal(index)? {
            ScalarValue::Utf8(Some(text)) => Some(text),
            _ => None,
        }
    }

    /// The value of argument `index`, if it is a literal integer of any width.
    pub fn literal_int(&self, index: usize) -> Option<i64> {
        match self.literal(index)? {
            ScalarValue::Int8(Some(value)) => Some(i64::from(*value)),
            ScalarValue::Int16(Some(value)) => Some(i64::from(*value)),
            ScalarValue::Int32(Some(value)) => Some(i64::from(*value)),
            ScalarValue::Int64(Some(value)) => Some(*value),
            _ => None,
        }
    }

    /// The call's text in SQL: `name(arg, arg)`.
    pub fn sql(&self) -> String {
        let args: Vec<&str> = self.args.iter().map(|arg| arg.sql.as_str()).collect();
        format!("{}({})", self.name, args.join(", "))
    }

    /// `target`, if Spark casts argument `index` to it by itself.
    ///
    /// # Errors
    /// `DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE`, if it doesn't.
    pub fn coerce(&self, index: usize, target: &DataType) -> Result<DataType> {
        if can_cast_implicitly(self.data_type(index), target) {
            Ok(target.clone())
        } else {
            Err(self.unexpected_type(index, &format!("the \"{}\" type", sql_name(target))))
        }
    }

    /// The error for an argument of the wrong type; `required` completes "parameter requires …".
    pub fn unexpected_type(&self, index: usize, required: &str) -> DataFusionError {
        let ordinal = ["first", "second", "third", "fourth", "fifth", "sixth"].get(index).copied().unwrap_or("last");
        let (sql, arg) = (self.sql(), &self.args[index]);
        spark_error(
            "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE",
            format!(
                "Cannot resolve \"{sql}\" due to data type mismatch: The {ordinal} parameter requires {required}, however \"{}\" has \
                 the type \"{}\".",
                arg.sql,
                sql_name(&arg.data_type)
            ),
        )
    }

    /// The error for an argument that must be a literal.
    pub fn not_foldable(&self, index: usize) -> DataFusionError {
        spark_error(
            "DATATYPE_MISMATCH.NON_FOLDABLE_INPUT",
            format!(
                "Cannot resolve \"{}\" due to data type mismatch: the input \"{}\" should be a literal, however it is not.",
                self.sql(),
                self.args[index].sql
            ),
        )
    }
}

/// How many arguments a function takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arity {
    /// At least this many.
    pub min: usize,
    /// At most this many; `usize::MAX` for any number.
    pub max: usize,
}

impl Arity {
    /// Exactly `n`.
    pub const fn exactly(n: usize) -> Self {
        Arity { min: n, max: n }
    }

    /// From `min` to `max`.
    pub const fn between(min: usize, max: usize) -> Self {
        Arity { min, max }
    }

    /// `min` or more.
    pub const fn at_least(min: usize) -> Self {
        Arity { min, max: usize::MAX }
    }

    /// Checks a call's number of arguments.
    ///
    /// # Errors
    /// `WRONG_NUM_ARGS.WITHOUT_SUGGESTION`.
    pub fn check(&self, name: &str, args: usize) -> Result<()> {
        if (self.min..=self.max).contains(&args) {
            return Ok(());
        }
        let wanted = match (self.min, self.max) {
            (min, max) if min == max => min.to_string(),
            (min, usize::MAX) => format!("at least {min}"),
            (min, max) => format!("[{}]", (min..=max).map(|n| n.to_string()).collect::<Vec<_>>().join(", ")),
        };
        Err(spark_error(
            "WRONG_NUM_ARGS.WITHOUT_SUGGESTION",
            format!("The `{name}` requires {wanted} parameters but the actual number is {args}."),
        ))
    }
}

/// A scalar function, before it is resolved for a call.
#[derive(Clone, Copy)]
pub struct Function {
    /// Its name and other names, in lower case.
    pub names: &'static [&'static str],
    /// How many arguments it takes; checked before `resolve` is called.
    pub arity: Arity,
    /// Chooses types and kernel.
    pub resolve: fn(&Call<'_>) -> Result<Resolved>,
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function").field("names", &self.names).field("arity", &self.arity).finish_non_exhaustive()
    }
}

/// The arguments that a kernel computes with, of exactly the types that it asked for.
#[derive(Debug, Clone, Copy)]
pub struct Invocation<'a> {
    /// The arguments: arrays of `rows` values, or one value for all rows.
    pub args: &'a [ColumnarValue],
    /// How many rows there are.
    pub rows: usize,
}

impl Invocation<'_> {
    /// Argument `index` as an array of all rows.
    ///
    /// # Errors
    /// When a scalar can't be repeated.
    pub fn array(&self, index: usize) -> Result<ArrayRef> {
        self.args[index].to_array(self.rows)
    }

    /// Argument `index`, if it is one value for all rows.
    pub fn scalar(&self, index: usize) -> Option<&ScalarValue> {
        match &self.args[index] {
            ColumnarValue::Scalar(value) => Some(value),
            ColumnarValue::Array(_) => None,
        }
    }
}

/// Computes a call's values: an array of [`Invocation::rows`] values of the promised type.
pub type Kernel = Arc<dyn Fn(&Invocation<'_>) -> Result<ArrayRef> + Send + Sync>;

/// A function resolved for the types of one call.
#[derive(Clone)]
pub struct Resolved {
    /// The types that the arguments have to be cast to.
    pub args: Vec<DataType>,
    /// The type of the result.
    pub returns: DataType,
    /// What computes it.
    pub kernel: Kernel,
    /// Whether it gives the same for the same arguments.
    pub volatility: Volatility,
    /// Whether some arguments make it fail: then it must not run for rows that an earlier condition excludes.
    pub fallible: bool,
}

impl Resolved {
    /// A deterministic function that never fails.
    pub fn new(
        args: Vec<DataType>,
        returns: DataType,
        kernel: impl Fn(&Invocation<'_>) -> Result<ArrayRef> + Send + Sync + 'static,
    ) -> Self {
        Resolved { args, returns, kernel: Arc::new(kernel), volatility: Volatility::Immutable, fallible: false }
    }

    /// The same, for a function that some arguments make fail.
    #[must_use]
    pub fn fallible(self) -> Self {
        Resolved { fallible: true, ..self }
    }

    /// The same, for a function that gives another value at every call.
    #[must_use]
    pub fn volatile(self) -> Self {
        Resolved { volatility: Volatility::Volatile, ..self }
    }

    /// As a DataFusion function. `call` is what it was resolved for: two calls with the same name, types and literals are equal.
    pub fn into_udf(self, call: &Call<'_>) -> ScalarUDF {
        let literals = call.args.iter().map(|arg| arg.literal.clone()).collect();
        let time_zone = call.settings.time_zone;
        let signature = Signature::exact(self.args.clone(), self.volatility);
        ScalarUDF::new_from_impl(SparkFunction { name: call.name.to_owned(), literals, time_zone, signature, resolved: self })
    }
}

impl fmt::Debug for Resolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolved").field("args", &self.args).field("returns", &self.returns).finish_non_exhaustive()
    }
}

/// A resolved function under DataFusion's trait.
#[derive(Debug)]
pub struct SparkFunction {
    name: String,
    literals: Vec<Option<ScalarValue>>,
    time_zone: Tz,
    signature: Signature,
    resolved: Resolved,
}

impl SparkFunction {
    /// Whether some arguments make it fail.
    pub fn is_fallible(&self) -> bool {
        self.resolved.fallible
    }

    fn identity(&self) -> (&str, &[DataType], &DataType, &[Option<ScalarValue>], Tz) {
        (&self.name, &self.resolved.args, &self.resolved.returns, &self.literals, self.time_zone)
    }
}

impl PartialEq for SparkFunction {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for SparkFunction {}

impl Hash for SparkFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
        self.resolved.args.hash(state);
        self.resolved.returns.hash(state);
        self.literals.hash(state);
    }
}

impl ScalarUDFImpl for SparkFunction {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[DataType]) -> Result<DataType> {
        Ok(self.resolved.returns.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = self.resolved.volatility != Volatility::Volatile
            && args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let values = (self.resolved.kernel)(&Invocation { args: &args.args, rows })?;
        if values.data_type() != &self.resolved.returns || values.len() != rows {
            let (promised, given) = (&self.resolved.returns, values.data_type());
            return Err(DataFusionError::Internal(format!(
                "{}: promised {rows} rows of {promised}, gave {} of {given}",
                self.name,
                values.len()
            )));
        }
        if constant {
            ScalarValue::try_from_array(&values, 0).map(ColumnarValue::Scalar)
        } else {
            Ok(ColumnarValue::Array(values))
        }
    }
}

/// Whether some arguments make `udf` fail. A function that is not ours, a closure, may do anything.
pub fn is_fallible(udf: &ScalarUDF) -> bool {
    let implementation: &dyn Any = udf.inner().as_ref();
    implementation.downcast_ref::<SparkFunction>().is_none_or(SparkFunction::is_fallible)
}
