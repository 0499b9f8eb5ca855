//! Expressions: names to columns, calls to functions, and the casts that Spark inserts.

use std::cell::RefCell;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::expr::{AggregateFunction, ScalarFunction};
use datafusion::logical_expr::{BinaryExpr, Case, ColumnarValue, Expr as DfExpr, Operator, Volatility};
use tidegate_functions::cast::{CastMode, cast};
use tidegate_functions::coercion::{can_cast_implicitly, common_type, common_type_of};
use tidegate_functions::types::{self, is_float, is_nested, name as type_name, sql_name};
use tidegate_functions::{Arg, Call as TypedCall, Invocation, Resolved, aggregate, generator, higher_order, scalar};

use super::aggregation::Aggregation;
use super::relation::{Attribute, EventTime, quoted};
use super::time::{BatchTime, batch_time};
use super::{Analyzer, lambda};
use crate::error::{Error, Result};
use crate::expr::{Call, Expr, Position};

/// A resolved expression.
#[derive(Debug, Clone)]
pub(crate) struct Typed {
    pub(crate) expr: DfExpr,
    pub(crate) data_type: DataType,
    /// Whether some rows make it fail: then it must not be computed for rows that an earlier condition excludes.
    pub(crate) fallible: bool,
    /// Set for an event time column and what still is one after renaming.
    pub(crate) event_time: Option<EventTime>,
}

impl Typed {
    pub(crate) fn new(expr: DfExpr, data_type: DataType) -> Self {
        Typed { expr, data_type, fallible: false, event_time: None }
    }

    pub(crate) fn literal(value: ScalarValue) -> Self {
        let data_type = value.data_type();
        Typed::new(DfExpr::Literal(value, None), data_type)
    }

    pub(crate) fn of(attribute: &Attribute) -> Self {
        let (expr, data_type) = (attribute.expr(), attribute.data_type.clone());
        Typed { expr, data_type, fallible: false, event_time: attribute.event_time }
    }

    fn fallible(self, fallible: bool) -> Self {
        Typed { fallible, ..self }
    }

    pub(crate) fn as_literal(&self) -> Option<&ScalarValue> {
        match &self.expr {
            DfExpr::Literal(value, _) => Some(value),
            _ => None,
        }
    }
}

/// Functions whose result may be huge: they are never computed while a query is planned.
const NEVER_FOLDED: [&str; 7] = ["repeat", "space", "lpad", "rpad", "sequence", "array_repeat", "raise_error"];

/// Names that are no functions of the library: forms that the analyser makes of others, and window functions of batch queries.
pub(crate) const FORMS: &[&str] = &[
    "and",
    "bigint",
    "binary",
    "boolean",
    "coalesce",
    "cume_dist",
    "curdate",
    "current_date",
    "current_timestamp",
    "date",
    "decimal",
    "dense_rank",
    "double",
    "float",
    "grouping",
    "grouping_id",
    "if",
    "ifnull",
    "int",
    "isnotnull",
    "isnull",
    "lag",
    "lead",
    "localtimestamp",
    "not",
    "now",
    "nth_value",
    "ntile",
    "nullif",
    "nvl",
    "nvl2",
    "or",
    "percent_rank",
    "rank",
    "row_number",
    "session_window",
    "smallint",
    "string",
    "struct",
    "timestamp",
    "tinyint",
    "window",
    "window_time",
];

/// Functions that are called without parentheses too, where no column has their name.
const BARE_FUNCTIONS: [&str; 6] = ["current_date", "current_timestamp", "current_user", "localtimestamp", "session_user", "user"];

/// Functions of windows only.
const WINDOW_FUNCTIONS: [&str; 9] =
    ["cume_dist", "dense_rank", "lag", "lead", "nth_value", "ntile", "percent_rank", "rank", "row_number"];

/// Resolves expressions over the columns of one relation.
#[derive(Clone)]
pub(crate) struct Resolver<'a> {
    pub(crate) analyzer: &'a Analyzer<'a>,
    pub(crate) columns: &'a [Attribute],
    /// Expressions that are columns already: windows, generators.
    pub(crate) replaced: &'a [(Expr, Attribute)],
    /// Aliases of the select list so far, which later items may use (lateral column aliases).
    pub(crate) lateral: Vec<(String, Expr)>,
    /// How many of the columns, at the beginning, are parameters of lambdas.
    pub(crate) params: usize,
    /// Set above an aggregation: what is resolved then are its keys and calls.
    pub(crate) aggregation: Option<&'a RefCell<Aggregation>>,
    /// Set where window functions may stand; collects them.
    pub(crate) windows: Option<&'a RefCell<Vec<(DfExpr, Attribute)>>>,
}

impl<'a> Resolver<'a> {
    pub(crate) fn new(analyzer: &'a Analyzer<'a>, columns: &'a [Attribute]) -> Self {
        Resolver { analyzer, columns, replaced: &[], lateral: Vec::new(), params: 0, aggregation: None, windows: None }
    }

    /// Resolves an expression; an error says where in the text it is.
    pub(crate) fn resolve(&self, expr: &Expr) -> Result<Typed> {
        self.resolve_inner(expr).map_err(|error| self.analyzer.locate(error, expr.position()))
    }

    /// Resolves a condition.
    pub(crate) fn condition(&self, expr: &Expr, clause: &str) -> Result<Typed> {
        let condition = self.resolve(expr)?;
        // Only operators cast what they are given.
        let (name, casts) = match clause {
            "WHERE" | "HAVING" => ("DATATYPE_MISMATCH.FILTER_NOT_BOOLEAN", false),
            "JOIN" => ("JOIN_CONDITION_IS_NOT_BOOLEAN_TYPE", false),
            "FILTER" => ("INVALID_AGGREGATE_FILTER.NOT_BOOLEAN", false),
            "CASE" => ("DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE", false),
            _ => ("DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE", true),
        };
        let fits = match (&condition.data_type, casts) {
            (DataType::Boolean, _) => true,
            (other, true) => can_cast_implicitly(other, &DataType::Boolean),
            (_, false) => false,
        };
        if !fits {
            let message = format!(
                "The condition in {clause} \"{expr}\" has the type \"{}\", it must be \"BOOLEAN\".",
                sql_name(&condition.data_type)
            );
            return Err(self.analyzer.locate(Error::analysis(name, message), expr.position()));
        }
        self.cast_to(condition, &DataType::Boolean)
    }

    fn resolve_inner(&self, expr: &Expr) -> Result<Typed> {
        if let Some((_, attribute)) = self.replaced.iter().find(|(own, _)| own == expr)
            && self.aggregation.is_none()
        {
            return Ok(Typed::of(attribute));
        }
        if let Some(key) = self.grouping_key(expr) {
            return Ok(key);
        }
        match expr {
            Expr::Column { parts, at } => self.column(parts, *at),
            Expr::Exact { id, name } => match self.columns.iter().find(|column| column.id == *id) {
                Some(column) if self.aggregation.is_none() => Ok(Typed::of(column)),
                Some(_) => Err(self.missing_aggregation(std::slice::from_ref(name), Position::default())),
                None => Err(self.unresolved(std::slice::from_ref(name))),
            },
            Expr::Literal(value) => Ok(Typed::literal(value.clone())),
            Expr::Alias { expr, .. } => self.resolve(expr),
            Expr::Cast { expr, to, is_try } => {
                let mode = if *is_try { CastMode::Try } else { CastMode::Ansi };
                self.cast(self.resolve(expr)?, to, mode)
            }
            Expr::Case { operand, branches, otherwise } => self.case(operand.as_deref(), branches, otherwise.as_deref()),
            Expr::Call(call) => self.call(call, expr),
            Expr::Subquery { kind, query } => self.analyzer.subquery(self, kind, query),
            Expr::Lambda { .. } => Err(Error::analysis(
                "INVALID_LAMBDA_FUNCTION_CALL.NON_HIGHER_ORDER_FUNCTION",
                format!("A lambda function should only be used in a higher order function, it is used as \"{expr}\"."),
            )),
            Expr::Star { .. } => Err(Error::analysis("INVALID_USAGE_OF_STAR_OR_REGEX", "Invalid usage of '*' in an expression.")),
        }
    }

    /// The key of the aggregation that the expression is, if it is one.
    pub(super) fn grouping_key(&self, expr: &Expr) -> Option<Typed> {
        let aggregation = self.aggregation?;
        if matches!(expr, Expr::Literal(_)) || expr.any(&|part| self.is_aggregate(part)) {
            return None;
        }
        let below = Resolver { aggregation: None, windows: None, ..self.clone() };
        let resolved = below.resolve_inner(expr).ok()?;
        aggregation.borrow().key(&resolved.expr).map(Typed::of)
    }

    /// Whether the expression itself is a call of an aggregate function (not of a window function).
    pub(crate) fn is_aggregate(&self, expr: &Expr) -> bool {
        match expr {
            Expr::Call(call) => {
                call.over.is_none()
                    && (aggregate(&call.name).is_some() || matches!(call.name.as_str(), "grouping" | "grouping_id"))
            }
            _ => false,
        }
    }

    fn column(&self, parts: &[String], at: Position) -> Result<Typed> {
        if let Some(found) = self.lookup(parts, self.columns)? {
            return match self.aggregation {
                None => Ok(found),
                // The parameter of a lambda is no column of the input.
                Some(_) if self.is_parameter(&found.expr) => Ok(found),
                Some(aggregation) => {
                    let above = aggregation.borrow().above(&found.expr);
                    above.map(|expr| Typed { expr, ..found }).ok_or_else(|| self.missing_aggregation(parts, at))
                }
            };
        }
        if let [name] = parts
            && let Some((_, expr)) = self.lateral.iter().rev().find(|(own, _)| own.eq_ignore_ascii_case(name))
        {
            let before = Resolver { lateral: Vec::new(), ..self.clone() };
            return Resolver {
                lateral: self.lateral.iter().take_while(|(own, _)| !own.eq_ignore_ascii_case(name)).cloned().collect(),
                ..before
            }
            .resolve(expr);
        }
        for outer in self.analyzer.outer.iter().rev() {
            if let Some(found) = self.lookup(parts, outer)? {
                return Ok(outer_reference(found));
            }
        }
        if let [name] = parts
            && let Some(function) = BARE_FUNCTIONS.iter().find(|own| own.eq_ignore_ascii_case(name))
        {
            return self.resolve(&Expr::call(*function, Vec::new()));
        }
        Err(self.unresolved(parts))
    }

    fn is_parameter(&self, expr: &DfExpr) -> bool {
        let params = self.columns.get(..self.params).unwrap_or_default();
        expr.column_refs().into_iter().all(|column| params.iter().any(|param| param.id == column.name))
    }

    /// Whether a name stands for no column.
    pub(super) fn is_unknown(&self, parts: &[String]) -> bool {
        matches!(self.lookup(parts, self.columns), Ok(None))
    }

    /// The column, or the field of a column, that the parts of a name stand for.
    fn lookup(&self, parts: &[String], columns: &[Attribute]) -> Result<Option<Typed>> {
        found(parts, columns)?.map(|(column, fields)| self.fields(Typed::of(column), fields)).transpose()
    }

    /// The column that a name stands for, and what of the name are fields of it.
    pub(super) fn find<'n>(&self, parts: &'n [String]) -> Result<Option<(&'a Attribute, &'n [String])>> {
        found(parts, self.columns)
    }

    /// The name of an expression as a column of a result: columns in it have no qualifier.
    pub(crate) fn result_name(&self, expr: &Expr) -> String {
        let is_qualified = |part: &Expr| matches!(part, Expr::Column { parts, .. } if parts.len() > 1);
        if matches!(expr, Expr::Alias { .. } | Expr::Column { .. }) || !expr.any(&is_qualified) {
            return expr.result_name();
        }
        let mut plain = expr.clone();
        plain.rename_columns(&|parts| {
            let qualifiers = (1..parts.len()).rev().find(|qualifiers| {
                let (qualifier, rest) = parts.split_at(*qualifiers);
                self.columns
                    .iter()
                    .any(|column| column.name.eq_ignore_ascii_case(&rest[0]) && ends_with(&column.qualifier, qualifier))
            });
            parts.drain(..qualifiers.unwrap_or(0));
        });
        plain.result_name()
    }

    fn fields(&self, value: Typed, fields: &[String]) -> Result<Typed> {
        fields
            .iter()
            .try_fold(value, |value, field| self.scalar_call(".", vec![value, Typed::literal(ScalarValue::from(field.as_str()))]))
    }

    pub(super) fn unresolved(&self, parts: &[String]) -> Error {
        let wanted = parts.last().cloned().unwrap_or_default();
        let mut known: Vec<&Attribute> = self.columns.iter().collect();
        known.sort_by_key(|column| distance(&column.name.to_lowercase(), &wanted.to_lowercase()));
        let known: Vec<String> = known.into_iter().take(5).map(Attribute::quoted).collect();
        let what = format!("A column, variable, or function parameter with name {} cannot be resolved.", quoted(parts));
        match known.is_empty() {
            true => Error::analysis("UNRESOLVED_COLUMN.WITHOUT_SUGGESTION", what),
            false => Error::analysis(
                "UNRESOLVED_COLUMN.WITH_SUGGESTION",
                format!("{what} Did you mean one of the following? [{}].", known.join(", ")),
            ),
        }
    }

    fn missing_aggregation(&self, parts: &[String], at: Position) -> Error {
        if self.aggregation.is_some_and(|aggregation| aggregation.borrow().keys.is_empty()) {
            return self.analyzer.locate(super::select::missing_group_by(), at);
        }
        let message = format!(
            "The non-aggregating expression \"{}\" is based on columns which are not participating in the GROUP BY clause. Add the \
             columns or the expression to the GROUP BY, aggregate the expression, or use \"any_value({})\" if you do not care which \
             of the values within a group is returned.",
            parts.join("."),
            parts.join(".")
        );
        self.analyzer.locate(Error::analysis("MISSING_AGGREGATION", message), at)
    }

    // ---- casts

    /// A cast that the user wrote.
    pub(crate) fn cast(&self, value: Typed, to: &DataType, mode: CastMode) -> Result<Typed> {
        if &value.data_type == to {
            return Ok(value);
        }
        let resolved = cast(&value.data_type, to, mode, &self.analyzer.context.settings)?;
        let name = if mode == CastMode::Try { "try_cast" } else { "cast" };
        self.apply(name, resolved, vec![value])
    }

    /// A cast that Spark inserts.
    pub(crate) fn cast_to(&self, value: Typed, to: &DataType) -> Result<Typed> {
        match value.as_literal() {
            Some(null) if null.is_null() && &value.data_type != to => Ok(Typed::literal(ScalarValue::try_from(to)?)),
            _ => self.cast(value, to, CastMode::Ansi),
        }
    }

    fn cast_all(&self, values: Vec<Typed>, to: &[DataType]) -> Result<Vec<Typed>> {
        values.into_iter().zip(to).map(|(value, to)| self.cast_to(value, to)).collect()
    }

    // ---- calls

    fn call(&self, call: &Call, expr: &Expr) -> Result<Typed> {
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

    pub(crate) fn resolve_all(&self, args: &[Expr]) -> Result<Vec<Typed>> {
        args.iter().map(|arg| self.resolve(arg)).collect()
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

    fn aggregate_call(&self, call: &Call, expr: &Expr) -> Result<Typed> {
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

    // ---- forms that are no plain functions

    fn special(&self, call: &Call) -> Result<Option<Typed>> {
        let args = call.args.as_slice();
        Ok(Some(match (call.name.as_str(), args) {
            ("typed literal", [cast]) => self.typed_literal(cast)?,
            ("and", [left, right]) => self.logical(Operator::And, left, right)?,
            ("or", [left, right]) => self.logical(Operator::Or, left, right)?,
            ("not", [value]) => {
                let value = self.condition(value, "NOT")?;
                let fallible = value.fallible;
                Typed::new(DfExpr::Not(Box::new(value.expr)), DataType::Boolean).fallible(fallible)
            }
            ("isnull", [value]) => self.test(value, DfExpr::IsNull)?,
            ("isnotnull", [value]) => self.test(value, DfExpr::IsNotNull)?,
            ("istrue", [value]) => self.boolean_test(value, DfExpr::IsTrue)?,
            ("isfalse", [value]) => self.boolean_test(value, DfExpr::IsFalse)?,
            ("coalesce", [_, ..]) | ("ifnull" | "nvl", [_, _]) => self.coalesce(args)?,
            ("nvl2", [value, then, otherwise]) => {
                let when = Expr::call("isnotnull", vec![value.clone()]);
                self.case(None, &[(when, then.clone())], Some(otherwise))?
            }
            ("nullif", [left, right]) => {
                let when = Expr::call("=", vec![left.clone(), right.clone()]);
                self.case(None, &[(when, Expr::Literal(ScalarValue::Null))], Some(left))?
            }
            ("if", [when, then, otherwise]) => {
                let when = match when {
                    Expr::Literal(ScalarValue::Null) => Expr::Literal(ScalarValue::Boolean(None)),
                    other => other.clone(),
                };
                self.case(None, &[(when, then.clone())], Some(otherwise))?
            }
            ("decode", [value, pairs @ ..]) if pairs.len() > 1 => {
                let same = |key: &Expr| Expr::call("<=>", vec![value.clone(), key.clone()]);
                let (pairs, otherwise) = pairs.as_chunks::<2>();
                let branches: Vec<(Expr, Expr)> = pairs.iter().map(|[key, result]| (same(key), result.clone())).collect();
                self.case(None, &branches, otherwise.first())?
            }
            ("between", [value, low, high]) => {
                let (low, high) = (vec![value.clone(), low.clone()], vec![value.clone(), high.clone()]);
                self.logical(Operator::And, &Expr::call(">=", low), &Expr::call("<=", high))?
            }
            ("current_timestamp" | "now", []) => self.analyzer.now(),
            ("current_date" | "curdate", []) => self.cast_to(self.analyzer.now(), &DataType::Date32)?,
            ("localtimestamp", []) => self.cast_to(self.analyzer.now(), &types::TIMESTAMP_NTZ)?,
            ("unix_timestamp", []) => self.scalar_call("unix_timestamp", vec![self.analyzer.now()])?,
            ("struct", args) => self.structure(args)?,
            ("typeof", [value]) => {
                let value = self.resolve(value)?;
                Typed::literal(ScalarValue::from(type_name(&value.data_type)))
            }
            ("window_time", [window]) => self.window_time(window)?,
            (
                "date" | "timestamp" | "string" | "int" | "bigint" | "double" | "float" | "boolean" | "binary" | "smallint"
                | "tinyint" | "decimal",
                [value],
            ) if scalar(&call.name).is_none() => self.cast(self.resolve(value)?, &types::parse(&call.name)?, CastMode::Ansi)?,
            _ => return Ok(None),
        }))
    }

    /// A literal like `DATE'2024-01-31'`: bad text is an error at once.
    fn typed_literal(&self, cast: &Expr) -> Result<Typed> {
        let typed = self.resolve(cast)?;
        match (typed.as_literal(), cast) {
            (None, Expr::Cast { expr, to, .. }) => Err(Error::analysis(
                "INVALID_TYPED_LITERAL",
                format!("The value of the typed literal \"{}\" is invalid: '{expr}'.", sql_name(to)),
            )),
            _ => Ok(typed),
        }
    }

    fn test(&self, value: &Expr, make: fn(Box<DfExpr>) -> DfExpr) -> Result<Typed> {
        let value = self.resolve(value)?;
        let fallible = value.fallible;
        Ok(Typed::new(make(Box::new(value.expr)), DataType::Boolean).fallible(fallible))
    }

    fn boolean_test(&self, value: &Expr, make: fn(Box<DfExpr>) -> DfExpr) -> Result<Typed> {
        let value = self.condition(value, "IS")?;
        let fallible = value.fallible;
        Ok(Typed::new(make(Box::new(value.expr)), DataType::Boolean).fallible(fallible))
    }

    /// `AND` and `OR`: the planner sees to it that the right side is not computed where the left one decides.
    fn logical(&self, op: Operator, left: &Expr, right: &Expr) -> Result<Typed> {
        let clause = if op == Operator::And { "AND" } else { "OR" };
        let types = [self.resolve(left)?.data_type, self.resolve(right)?.data_type];
        let fits = |data_type: &DataType| matches!(data_type, DataType::Boolean | DataType::Null | DataType::Utf8);
        if !types.iter().all(fits) || types.iter().all(|own| *own == DataType::Utf8) {
            let [l, r] = &types;
            let (name, what) = match common_type(l, r) {
                Some(common) if *l != DataType::Null && *r != DataType::Null => {
                    ("BINARY_OP_WRONG_TYPE", format!("requires the \"BOOLEAN\" type, not \"{}\"", sql_name(&common)))
                }
                _ => ("BINARY_OP_DIFF_TYPES", format!("has incompatible types (\"{}\" and \"{}\")", sql_name(l), sql_name(r))),
            };
            let message =
                format!("Cannot resolve \"({left} {clause} {right})\" due to data type mismatch: the binary operator {what}.");
            return Err(Error::analysis(&format!("DATATYPE_MISMATCH.{name}"), message));
        }
        let (left, right) = (self.condition(left, clause)?, self.condition(right, clause)?);
        Ok(logical(op, left, right))
    }

    fn coalesce(&self, args: &[Expr]) -> Result<Typed> {
        let Some((last, first)) = args.split_last() else { return Err(unresolved_routine("coalesce")) };
        if first.is_empty() {
            return self.resolve(last);
        }
        let branches: Vec<(Expr, Expr)> =
            first.iter().map(|arg| (Expr::call("isnotnull", vec![arg.clone()]), arg.clone())).collect();
        self.case(None, &branches, Some(last))
    }

    fn case(&self, operand: Option<&Expr>, branches: &[(Expr, Expr)], otherwise: Option<&Expr>) -> Result<Typed> {
        let condition = |when: &Expr| match operand {
            Some(operand) => self.condition(&Expr::call("=", vec![operand.clone(), when.clone()]), "CASE"),
            None => self.condition(when, "CASE"),
        };
        let conditions = branches.iter().map(|(when, _)| condition(when)).collect::<Result<Vec<_>>>()?;
        let mut values = branches.iter().map(|(_, then)| self.resolve(then)).collect::<Result<Vec<_>>>()?;
        values.extend(otherwise.map(|otherwise| self.resolve(otherwise)).transpose()?);
        let common = common_type_of(values.iter().map(|value| &value.data_type)).ok_or_else(|| {
            let found: Vec<String> = values.iter().map(|value| format!("\"{}\"", sql_name(&value.data_type))).collect();
            Error::analysis(
                "DATATYPE_MISMATCH.DATA_DIFF_TYPES",
                format!("The input to CASE WHEN should all be the same type, but it's [{}].", found.join(", ")),
            )
        })?;
        let fallible = conditions.iter().chain(&values).any(|part| part.fallible);
        let mut values = values.into_iter().map(|value| self.cast_to(value, &common)).collect::<Result<Vec<_>>>()?;
        let fallible = fallible || values.iter().any(|value| value.fallible);
        let otherwise = otherwise.and_then(|_| values.pop()).map(|value| Box::new(value.expr));
        let branches =
            conditions.into_iter().zip(values).map(|(when, then)| (Box::new(when.expr), Box::new(then.expr))).collect();
        Ok(Typed::new(DfExpr::Case(Case::new(None, branches, otherwise)), common).fallible(fallible))
    }

    /// `struct(a, b + 1 AS c, 2)`: the names are those of the arguments, or `col3` for what has none.
    fn structure(&self, args: &[Expr]) -> Result<Typed> {
        let mut named = Vec::new();
        for (index, arg) in args.iter().enumerate() {
            let name = match arg {
                Expr::Alias { names, .. } => names[0].clone(),
                Expr::Column { .. } | Expr::Exact { .. } => arg.result_name(),
                Expr::Call(Call { name, args, .. }) if name == "." => match args.get(1) {
                    Some(Expr::Literal(ScalarValue::Utf8(Some(field)))) => field.clone(),
                    _ => arg.result_name(),
                },
                Expr::Star { .. } => {
                    for column in self.columns {
                        named.extend([Typed::literal(ScalarValue::from(column.name.as_str())), Typed::of(column)]);
                    }
                    continue;
                }
                _ => format!("col{}", index + 1),
            };
            named.extend([Typed::literal(ScalarValue::from(name)), self.resolve(arg)?]);
        }
        self.scalar_call("named_struct", named)
    }

    /// The time that stands for a window: one microsecond before its end.
    fn window_time(&self, window: &Expr) -> Result<Typed> {
        let written = window;
        let window = self.resolve(window)?;
        let event_time = window.event_time;
        let time = match &window.data_type {
            DataType::Struct(fields)
                if fields.len() == 2 && fields[1].name() == "end" && types::is_timestamp(fields[1].data_type()) =>
            {
                fields[1].data_type().clone()
            }
            other => {
                let message = format!(
                    "The window_time function needs a window column, \"{written}\" has the type \"{}\".",
                    sql_name(other)
                );
                return Err(Error::analysis("DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE", message));
            }
        };
        let typed = self.apply("window_time", tidegate_functions::time_window::window_time(&time), vec![window])?;
        let instant = |event_time| EventTime { kind: super::relation::EventTimeKind::Instant, ..event_time };
        Ok(Typed { event_time: event_time.map(instant), ..typed })
    }
}

/// `listagg(v, ',') WITHIN GROUP (ORDER BY k)`: the values are collected with their keys, sorted, and joined.
fn ordered_list(call: &Call) -> Result<Expr> {
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
        (None, DfExpr::Column(column)) => super::relation::visible_name(&column.name).to_owned(),
        (None, DfExpr::Literal(value, _)) => crate::expr::literal_sql(value),
        (None, other) => other.to_string(),
    };
    args.iter()
        .enumerate()
        .map(|(index, arg)| Arg { data_type: arg.data_type.clone(), literal: arg.as_literal().cloned(), sql: sql(index, arg) })
        .collect()
}

/// `left AND right` or `left OR right`.
pub(crate) fn logical(op: Operator, left: Typed, right: Typed) -> Typed {
    let fallible = left.fallible || right.fallible;
    Typed::new(binary(left.expr, op, right.expr), DataType::Boolean).fallible(fallible)
}

pub(crate) fn binary(left: DfExpr, op: Operator, right: DfExpr) -> DfExpr {
    DfExpr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}

fn outer_reference(found: Typed) -> Typed {
    let expr = match found.expr {
        DfExpr::Column(column) => {
            let Column { name, .. } = &column;
            DfExpr::OuterReferenceColumn(Arc::new(Field::new(name, found.data_type.clone(), true)), column)
        }
        other => other,
    };
    Typed { expr, ..found }
}

pub(crate) fn unresolved_routine(name: &str) -> Error {
    Error::analysis(
        "UNRESOLVED_ROUTINE",
        format!(
            "Cannot resolve routine `{name}` on search path [`system`.`builtin`, `system`.`session`, `spark_catalog`.`default`]."
        ),
    )
}

/// The one column that a name stands for, and the parts of the name that are fields of it.
fn found<'c, 'n>(parts: &'n [String], columns: &'c [Attribute]) -> Result<Option<(&'c Attribute, &'n [String])>> {
    for qualifiers in (0..parts.len()).rev() {
        let (qualifier, rest) = parts.split_at(qualifiers);
        let Some((name, fields)) = rest.split_first() else { continue };
        let matches = |column: &&Attribute| column.name.eq_ignore_ascii_case(name) && ends_with(&column.qualifier, qualifier);
        let mut named: Vec<&Attribute> = columns.iter().filter(matches).collect();
        named.dedup_by(|a, b| a.id == b.id);
        match named.as_slice() {
            [] => {}
            [one] => return Ok(Some((one, fields))),
            many => {
                let candidates = many.iter().map(|column| column.quoted()).collect::<Vec<_>>().join(", ");
                let message = format!("Reference {} is ambiguous, could be: [{candidates}].", quoted(parts));
                return Err(Error::analysis("AMBIGUOUS_REFERENCE", message));
            }
        }
    }
    Ok(None)
}

/// Whether a qualifier ends with these parts.
fn ends_with(qualifier: &[String], parts: &[String]) -> bool {
    qualifier.len() >= parts.len()
        && qualifier[qualifier.len() - parts.len()..].iter().zip(parts).all(|(own, part)| own.eq_ignore_ascii_case(part))
}

/// The edit distance of two names.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, r) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(l != *r);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

impl Analyzer<'_> {
    /// The time of the epoch, or of the batch query.
    pub(crate) fn now(&self) -> Typed {
        Typed::new(batch_time(), BatchTime::data_type())
    }
}
