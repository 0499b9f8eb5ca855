//! Forms that are no plain functions: conditions, `CASE` and its like, literals with a type, structures.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Case, Expr as DfExpr, Operator};
use tidegate_functions::cast::CastMode;
use tidegate_functions::coercion::{common_type, common_type_of};
use tidegate_functions::scalar;
use tidegate_functions::types::{self, name as type_name, sql_name};

use super::calls::unresolved_routine;
use super::{Resolver, Typed, logical};
use crate::analysis::relation::{EventTime, EventTimeKind};
use crate::error::{Error, Result};
use crate::expr::{Call, Expr};

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

impl Resolver<'_> {
    pub(super) fn special(&self, call: &Call) -> Result<Option<Typed>> {
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

    pub(super) fn case(&self, operand: Option<&Expr>, branches: &[(Expr, Expr)], otherwise: Option<&Expr>) -> Result<Typed> {
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
        let instant = |event_time| EventTime { kind: EventTimeKind::Instant, ..event_time };
        Ok(Typed { event_time: event_time.map(instant), ..typed })
    }
}
