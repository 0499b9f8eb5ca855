//! Calls of functions: arguments, the casts that Spark inserts, and results that are known already.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{ColumnarValue, Expr as DfExpr, Operator, Volatility};
use tidegate_functions::cast::CastMode;
use tidegate_functions::coercion::common_type;
use tidegate_functions::types::{self, is_float, is_nested};
use tidegate_functions::{Arg, Call as TypedCall, Invocation, Resolved, generator, higher_order, scalar};

use super::aggregates::ordered_list;
use super::{Resolver, Typed, binary};
use crate::analysis::lambda;
use crate::analysis::relation::visible_name;
use crate::error::{Error, Result};
use crate::expr::{Call, Expr, literal_sql};

/// Functions whose result may be huge: they are never computed while a query is planned.
const NEVER_FOLDED: [&str; 7] = ["repeat", "space", "lpad", "rpad", "sequence", "array_repeat", "raise_error"];

/// Functions of windows only.
const WINDOW_FUNCTIONS: [&str; 9] =
    ["cume_dist", "dense_rank", "lag", "lead", "nth_value", "ntile", "percent_rank", "rank", "row_number"];

impl Resolver<'_> {
    pub(super) fn call(&self, call: &Call, expr: &Expr) -> Result<Typed> {
        if let Some(special) = self.special(call)? {
            return Ok(special);
        }
        if call.over.is_some() {
            return self.analyzer.window_function(self, call, expr);
        }
        if matches!(call.name.as_str(), "listagg" | "string_agg") && !call.within.is_empty() {
            return self.resolve(&ordered_list(call)?);
        }
        if self.is_aggregate(expr) {
            return self.aggregate_call(call, expr);
        }
        if call.args.iter().any(|arg| matches!(arg, Expr::Lambda { .. }))
            && let Some(function) = higher_order(&call.name)
        {
            return lambda::resolve(self, function, call);
        }
        if generator(&call.name).is_some() {
            return Err(Error::analysis(
                "UNSUPPORTED_GENERATOR.NESTED_IN_EXPRESSIONS",
                format!("The generator is not supported: nested in expressions \"{expr}\"."),
            ));
        }
        if let Some(udf) = self.analyzer.context.user_function(&call.name) {
            let args = self.resolve_all(&call.args)?;
            return self.user_call(&udf, args);
        }
        let name = typed_name(&call.name, &call.args);
        if call.distinct || call.filter.is_some() {
            let what = if call.distinct { "DISTINCT" } else { "FILTER" };
            let message = format!("Invalid SQL syntax: The function `{name}` does not support {what}.");
            return Err(Error::analysis("INVALID_SQL_SYNTAX.FUNCTION_WITH_UNSUPPORTED_SYNTAX", message));
        }
        if scalar(name).is_none() {
            if WINDOW_FUNCTIONS.contains(&name) {
                let message = format!("Window function \"{expr}\" requires an OVER clause.");
                return Err(Error::analysis("WINDOW_FUNCTION_WITHOUT_OVER_CLAUSE", message));
            }
            if let Some(function) = higher_order(name) {
                function.arity.check(name, call.args.len())?;
                let message = format!("Cannot resolve \"{expr}\" due to data type mismatch: a lambda function is required.");
                return Err(Error::analysis("DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE", message));
            }
            return Err(unresolved_routine(&call.name));
        }
        let mut args =
            call.args.iter().enumerate().map(|(index, arg)| self.argument(name, index, arg)).collect::<Result<Vec<_>>>()?;
        if matches!(name, "try_add" | "try_subtract" | "try_multiply" | "try_divide" | "try_mod")
            && let [left, right] = args.as_slice()
            && let Some(common) = common_type(&left.data_type, &right.data_type).filter(types::is_numeric)
        {
            // Text that is no number is no error here either.
            let read = |arg: Typed| match arg.data_type {
                DataType::Utf8 => self.cast(arg, &common, CastMode::Try),
                _ => Ok(arg),
            };
            args = args.into_iter().map(read).collect::<Result<_>>()?;
        }
        self.scalar_call_as(name, args, &call.args)
    }

    /// An argument; a bare word where a function takes a unit (`timestampadd(HOUR, …)`) is that word.
    fn argument(&self, function: &str, index: usize, arg: &Expr) -> Result<Typed> {
        let takes_unit = matches!(function, "timestampadd" | "timestampdiff" | "date_add" | "dateadd" | "datediff" | "date_diff");
        match arg {
            Expr::Column { parts, .. }
                if takes_unit && index == 0 && parts.len() == 1 && self.lookup(parts, self.columns)?.is_none() =>
            {
                Ok(Typed::literal(ScalarValue::from(parts[0].as_str())))
            }
            other => self.resolve(other),
        }
    }

    /// A call of a scalar function of the library with resolved arguments.
    pub(crate) fn scalar_call(&self, name: &str, args: Vec<Typed>) -> Result<Typed> {
        self.scalar_call_as(name, args, &[])
    }

    fn scalar_call_as(&self, name: &str, args: Vec<Typed>, written: &[Expr]) -> Result<Typed> {
        if let Some(plain) = self.plain_comparison(name, &args)? {
            return Ok(plain);
        }
        let function = scalar(name).ok_or_else(|| unresolved_routine(name))?;
        function.arity.check(name, args.len())?;
        let mut described = describe(&args, written);
        if is_arithmetic(name) {
            // An integer has the digits that it is written with, but only one that is written: 1 + 1 has those of any int.
            for (arg, _) in described.iter_mut().zip(written).filter(|(_, written)| !matches!(written, Expr::Literal(_))) {
                arg.literal = arg.literal.take().filter(|_| !types::is_integral(&arg.data_type));
            }
        }
        let call = TypedCall { name, args: &described, settings: &self.analyzer.context.settings };
        let resolved = (function.resolve)(&call)?;
        self.apply(name, resolved, args)
    }

    /// A comparison of values that Arrow orders as Spark does, as DataFusion's own expression: it can be pushed into file formats.
    fn plain_comparison(&self, name: &str, args: &[Typed]) -> Result<Option<Typed>> {
        let op = match name {
            "=" | "==" => Operator::Eq,
            "<>" | "!=" => Operator::NotEq,
            "<" => Operator::Lt,
            "<=" => Operator::LtEq,
            ">" => Operator::Gt,
            ">=" => Operator::GtEq,
            "<=>" => Operator::IsNotDistinctFrom,
            _ => return Ok(None),
        };
        let [left, right] = args else { return Ok(None) };
        let Some(common) = common_type(&left.data_type, &right.data_type) else { return Ok(None) };
        if is_float(&common) || is_nested(&common) || common == DataType::Null || matches!(common, DataType::Interval(_)) {
            return Ok(None);
        }
        let fallible = left.fallible || right.fallible;
        let (left, right) = (self.cast_to(left.clone(), &common)?, self.cast_to(right.clone(), &common)?);
        let fallible = fallible || left.fallible || right.fallible;
        Ok(Some(Typed::new(binary(left.expr, op, right.expr), DataType::Boolean).fallible(fallible)))
    }

    /// Applies a resolved function, computing it now if all its arguments are known.
    pub(crate) fn apply(&self, name: &str, resolved: Resolved, args: Vec<Typed>) -> Result<Typed> {
        let described = describe(&args, &[]);
        let args = self.cast_all(args, &resolved.args)?;
        if resolved.volatility == Volatility::Immutable
            && !NEVER_FOLDED.contains(&name)
            && let Some(literals) = args.iter().map(|arg| arg.as_literal().cloned()).collect::<Option<Vec<_>>>()
        {
            let values: Vec<ColumnarValue> = literals.into_iter().map(ColumnarValue::Scalar).collect();
            // What fails is left as it is: it must fail when rows are there, and not for rows that a condition excludes.
            if let Ok(array) = (resolved.kernel)(&Invocation { args: &values, rows: 1 }) {
                return Ok(Typed::literal(ScalarValue::try_from_array(&array, 0)?));
            }
        }
        let fallible = resolved.fallible || args.iter().any(|arg| arg.fallible);
        let data_type = resolved.returns.clone();
        let call = TypedCall { name, args: &described, settings: &self.analyzer.context.settings };
        let udf = Arc::new(resolved.into_udf(&call));
        let expr = DfExpr::ScalarFunction(ScalarFunction::new_udf(udf, args.into_iter().map(|arg| arg.expr).collect()));
        Ok(Typed::new(expr, data_type).fallible(fallible))
    }

    fn user_call(&self, udf: &Arc<datafusion::logical_expr::ScalarUDF>, args: Vec<Typed>) -> Result<Typed> {
        let types: Vec<DataType> = args.iter().map(|arg| arg.data_type.clone()).collect();
        let wanted = udf.signature().type_signature.clone();
        let args = match wanted {
            datafusion::logical_expr::TypeSignature::Exact(wanted) if wanted.len() == args.len() => {
                self.cast_all(args, &wanted)?
            }
            datafusion::logical_expr::TypeSignature::Exact(wanted) => {
                let (name, wanted, given) = (udf.name(), wanted.len(), args.len());
                return Err(Error::analysis(
                    "WRONG_NUM_ARGS.WITHOUT_SUGGESTION",
                    format!("The `{name}` requires {wanted} parameters but the actual number is {given}."),
                ));
            }
            _ => args,
        };
        let data_type = udf.return_type(&types)?;
        let expr =
            DfExpr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(udf), args.into_iter().map(|arg| arg.expr).collect()));
        Ok(Typed::new(expr, data_type).fallible(true))
    }
}

fn is_arithmetic(name: &str) -> bool {
    let tolerant = ["try_add", "try_subtract", "try_multiply", "try_divide", "try_mod"];
    ["+", "-", "*", "/", "%", "div", "mod", "pmod"].contains(&name) || tolerant.contains(&name)
}

/// The function that a name with these arguments stands for: some names are two functions.
fn typed_name<'n>(name: &'n str, args: &[Expr]) -> &'n str {
    match (name, args.len()) {
        ("dateadd" | "date_add", 3) => "timestampadd",
        ("datediff" | "date_diff", 3) => "timestampdiff",
        ("==", 2) => "=",
        ("!=", 2) => "<>",
        _ => name,
    }
}

/// What a function is told of its arguments.
pub(crate) fn describe(args: &[Typed], written: &[Expr]) -> Vec<Arg> {
    let sql = |index: usize, arg: &Typed| match (written.get(index), &arg.expr) {
        (Some(expr), _) => expr.to_string(),
        (None, DfExpr::Column(column)) => visible_name(&column.name).to_owned(),
        (None, DfExpr::Literal(value, _)) => literal_sql(value),
        (None, other) => other.to_string(),
    };
    args.iter()
        .enumerate()
        .map(|(index, arg)| Arg { data_type: arg.data_type.clone(), literal: arg.as_literal().cloned(), sql: sql(index, arg) })
        .collect()
}

pub(crate) fn unresolved_routine(name: &str) -> Error {
    Error::analysis(
        "UNRESOLVED_ROUTINE",
        format!(
            "Cannot resolve routine `{name}` on search path [`system`.`builtin`, `system`.`session`, `spark_catalog`.`default`]."
        ),
    )
}
