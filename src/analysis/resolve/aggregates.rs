//! Calls of aggregate functions.

use std::cell::RefCell;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr as DfExpr;
use datafusion::logical_expr::expr::AggregateFunction;
use tidegate_functions::{Call as TypedCall, aggregate};

use super::calls::{describe, unresolved_routine};
use super::{Resolver, Typed};
use crate::analysis::aggregation::Aggregation;
use crate::analysis::relation::{Attribute, quoted};
use crate::error::{Error, Result};
use crate::expr::{Call, Expr, Position};

impl Resolver<'_> {
    pub(super) fn aggregate_call(&self, call: &Call, expr: &Expr) -> Result<Typed> {
        let Some(aggregation) = self.aggregation else {
            return Err(Error::analysis(
                "INVALID_WHERE_CONDITION",
                format!(
                    "The WHERE condition \"{expr}\" contains invalid expressions: {expr}. Rewrite the query to avoid window functions, \
                     aggregate functions, and generator functions in the WHERE clause."
                ),
            ));
        };
        if matches!(call.name.as_str(), "grouping" | "grouping_id") {
            return self.grouping(call, aggregation);
        }
        let below = Resolver { aggregation: None, windows: None, ..self.clone() };
        if call.args.iter().any(|arg| arg.any(&|part| self.is_aggregate(part))) {
            return Err(Error::analysis(
                "NESTED_AGGREGATE_FUNCTION",
                "It is not allowed to use an aggregate function in the argument of another aggregate function. Please use the inner \
                 aggregate function in a sub-query.",
            ));
        }
        let (udaf, args, data_type) = below.aggregate_parts(call)?;
        let filter = call.filter.as_deref().map(|filter| below.condition(filter, "FILTER")).transpose()?;
        let args = args.into_iter().map(|arg| arg.expr).collect();
        let filter = filter.map(|filter| Box::new(filter.expr));
        let function = AggregateFunction::new_udf(udaf, args, call.distinct, filter, Vec::new(), None);
        let attribute =
            aggregation.borrow_mut().call(DfExpr::AggregateFunction(function), || Attribute::new(expr.to_string(), data_type));
        Ok(Typed::of(&attribute))
    }

    /// The function and its arguments, cast as it wants them.
    pub(crate) fn aggregate_parts(
        &self,
        call: &Call,
    ) -> Result<(Arc<datafusion::logical_expr::AggregateUDF>, Vec<Typed>, DataType)> {
        let function = aggregate(&call.name).ok_or_else(|| unresolved_routine(&call.name))?;
        let mut written: Vec<Expr> = call.args.clone();
        if call.name == "count"
            && let [Expr::Star { qualifier, .. }] = written.as_slice()
            && !qualifier.is_empty()
        {
            let message = format!("count({}.*) is not allowed. Use count(*) or expand the columns.", quoted(qualifier));
            return Err(Error::analysis("INVALID_USAGE_OF_STAR_WITH_TABLE_IDENTIFIER_IN_COUNT", message));
        }
        if call.name == "count" && matches!(written.as_slice(), [Expr::Star { .. }]) {
            written = vec![Expr::int(1)];
        }
        if let [key] = call.within.as_slice() {
            // percentile_cont(0.5) WITHIN GROUP (ORDER BY v): the column first, then the fraction.
            written.insert(0, key.expr.clone());
            if !key.ascending {
                written.push(Expr::Literal(ScalarValue::Boolean(Some(true))));
            }
        }
        if call.ignore_nulls {
            written.push(Expr::Literal(ScalarValue::Boolean(Some(true))));
        }
        if matches!(call.name.as_str(), "percentile_cont" | "percentile_disc") && call.within.is_empty() {
            let message =
                format!("Invalid function `{}` with WITHIN GROUP. WITHIN GROUP is required for the function.", call.name);
            return Err(Error::analysis("INVALID_WITHIN_GROUP_EXPRESSION.WITHIN_GROUP_MISSING", message));
        }
        function.arity.check(&call.name, written.len())?;
        let args = self.resolve_all(&written)?;
        let described = describe(&args, &written);
        let resolved =
            (function.resolve)(&TypedCall { name: &call.name, args: &described, settings: &self.analyzer.context.settings })?;
        let args = args.into_iter().take(resolved.args.len()).collect();
        Ok((Arc::new(resolved.udaf), self.cast_all(args, &resolved.args)?, resolved.returns))
    }

    /// `grouping(a)`: whether the row is a total over `a`; `grouping_id(a, b)`: these bits of several columns.
    fn grouping(&self, call: &Call, aggregation: &RefCell<Aggregation>) -> Result<Typed> {
        let below = Resolver { aggregation: None, windows: None, ..self.clone() };
        let columns = below.resolve_all(&call.args)?;
        let aggregation = aggregation.borrow();
        let not_grouped = || {
            Error::analysis(
                "UNSUPPORTED_GROUPING_EXPRESSION",
                "grouping()/grouping_id() can only be used with GroupingSets/Cube/Rollup.",
            )
        };
        let id = aggregation.grouping_id.as_ref().ok_or_else(not_grouped)?;
        let count = aggregation.keys.len() - 1;
        if call.name == "grouping_id" && columns.is_empty() {
            return Ok(Typed::of(id));
        }
        let bit = |column: &Typed| -> Result<Typed> {
            let index = aggregation.key_index(&column.expr).ok_or_else(|| {
                Error::analysis(
                    "GROUPING_COLUMN_MISMATCH",
                    format!("Column of grouping ({}) can't be found in grouping columns.", call.args[0]),
                )
            })?;
            let shift = Typed::literal(ScalarValue::Int32(Some((count - 1 - index) as i32)));
            let shifted = self.scalar_call("shiftright", vec![Typed::of(id), shift])?;
            self.scalar_call("&", vec![shifted, Typed::literal(ScalarValue::Int64(Some(1)))])
        };
        if call.name == "grouping" {
            let [column] = columns.as_slice() else { return Err(not_grouped()) };
            return self.cast_to(bit(column)?, &DataType::Int8);
        }
        let zero = Typed::literal(ScalarValue::Int64(Some(0)));
        columns.iter().try_fold(zero, |bits, column| {
            let bits = self.scalar_call("shiftleft", vec![bits, Typed::literal(ScalarValue::Int32(Some(1)))])?;
            self.scalar_call("|", vec![bits, bit(column)?])
        })
    }
}

/// `listagg(v, ',') WITHIN GROUP (ORDER BY k)`: the values are collected with their keys, sorted, and joined.
pub(super) fn ordered_list(call: &Call) -> Result<Expr> {
    let ([value, separator @ ..], [key]) = (call.args.as_slice(), call.within.as_slice()) else {
        return Err(Error::unsupported(format!("{} is ordered by one expression only", call.name)));
    };
    if key.nulls_first != key.ascending {
        return Err(Error::unsupported(format!("{} with NULLS FIRST or NULLS LAST", call.name)));
    }
    let text = Expr::Cast { expr: Box::new(value.clone()), to: DataType::Utf8, is_try: false };
    let pair = Expr::call("named_struct", vec![Expr::string("k"), key.expr.clone(), Expr::string("v"), text]);
    let present = Expr::call("isnotnull", vec![value.clone()]);
    let filter = match &call.filter {
        Some(filter) => Expr::call("and", vec![present, filter.as_ref().clone()]),
        None => present,
    };
    let collected = Expr::Call(Call {
        name: "collect_list".to_owned(),
        args: vec![pair],
        distinct: call.distinct,
        filter: Some(Box::new(filter)),
        at: call.at,
        ..Call::default()
    });
    let ascending = Expr::Literal(ScalarValue::Boolean(Some(key.ascending)));
    let sorted = Expr::call("sort_array", vec![collected.clone(), ascending]);
    let body = Box::new(Expr::Column { parts: vec!["pair".to_owned(), "v".to_owned()], at: Position::default() });
    let values = Expr::call("transform", vec![sorted, Expr::Lambda { params: vec!["pair".to_owned()], body }]);
    let separator = match separator {
        [separator] if !matches!(separator, Expr::Literal(value) if value.is_null()) => separator.clone(),
        _ => Expr::string(""),
    };
    let joined = Expr::call("array_join", vec![values, separator]);
    let empty = Expr::call("=", vec![Expr::call("size", vec![collected]), Expr::int(0)]);
    Ok(Expr::call("if", vec![empty, Expr::Literal(ScalarValue::Null), joined]))
}
