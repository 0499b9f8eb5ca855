//! When rows that wait in a join of two streams can be removed: by the watermark, and by what the join's condition says of the two
//! sides' times.
//!
//! Source of the rules: the guide, "Stream-stream Joins", and Spark's `StreamingJoinHelper`. A condition `l.time >= r.time - 30 seconds`
//! bounds the left side: once no right row before *w* can come, no left row up to *w* - 30 seconds can find a match any more.

use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Join, Operator};

use super::event_time::{EventTimes, event_time_of};
use super::rules::event_times;

/// Spark keeps watermarks in milliseconds: a bound that may be reached holds one longer.
const MILLISECOND: i64 = 1_000;

/// What is known of a join of two streams.
#[derive(Debug)]
pub(crate) struct JoinTimes {
    pub(crate) left: SideTimes,
    pub(crate) right: SideTimes,
    /// The number of the pair of equal keys that is the event time, for both sides: one of the two is.
    pub(crate) key: Option<usize>,
}

/// What is known of one side.
#[derive(Debug)]
pub(crate) struct SideTimes {
    /// The side's event time columns.
    pub(crate) columns: EventTimes,
    /// A row can be removed when its time plus this, in microseconds, is not after the watermark. Not set by keys.
    pub(crate) range: Option<i64>,
}

impl JoinTimes {
    pub(crate) fn of(join: &Join, equalities: &[(Expr, Expr)]) -> Self {
        let (left, right) = (event_times(&join.left), event_times(&join.right));
        // A key of the left side first, as in Spark.
        let key = equalities.iter().position(|(l, _)| event_time_of(l, &left).is_some());
        let key = key.or_else(|| equalities.iter().position(|(_, r)| event_time_of(r, &right).is_some()));
        let parts: Vec<&Expr> = join.filter.iter().flat_map(split_conjunction).collect();
        let range = |own: &EventTimes, other: &EventTimes, join_side: &DFSchema| {
            if own.is_empty() || other.is_empty() {
                return None;
            }
            let both = join.left.schema().join(join.right.schema()).ok()?;
            // The weakest of the bounds, as in Spark.
            parts.iter().filter_map(|part| lower_bound(part, join_side, other, &both)).max()
        };
        let left_range = range(&left, &right, join.left.schema());
        let right_range = range(&right, &left, join.right.schema());
        JoinTimes {
            left: SideTimes { columns: left, range: left_range },
            right: SideTimes { columns: right, range: right_range },
            key,
        }
    }
}

/// What a comparison says of the least time of a side: `x > y - k` gives `k`, as `x + k <= watermark` makes a match impossible.
fn lower_bound(part: &Expr, side: &DFSchema, other: &EventTimes, both: &DFSchema) -> Option<i64> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = part else { return None };
    let (smaller, greater, strict) = match op {
        Operator::Lt => (left, right, true),
        Operator::LtEq => (left, right, false),
        Operator::Gt => (right, left, true),
        Operator::GtEq => (right, left, false),
        _ => return None,
    };
    // greater - smaller > 0
    let mut sum = Sum::default();
    sum.add(greater, 1, both)?;
    sum.add(smaller, -1, both)?;
    let mut own = None;
    let mut others = None;
    for (name, coefficient) in &sum.columns {
        let is_own = side.fields().iter().any(|field| field.name() == name);
        let place = if is_own { &mut own } else { &mut others };
        if place.replace((name, *coefficient)).is_some() {
            return None;
        }
    }
    match (own, others) {
        (Some((_, 1)), Some((name, -1))) if other.contains_key(name) => {
            sum.micros.checked_add(if strict { 0 } else { MILLISECOND })
        }
        _ => None,
    }
}

/// A sum of columns and a constant.
#[derive(Debug, Default)]
struct Sum {
    columns: Vec<(String, i64)>,
    micros: i64,
}

impl Sum {
    fn add(&mut self, expr: &Expr, sign: i64, schema: &DFSchema) -> Option<()> {
        match expr {
            Expr::Column(column) => self.columns.push((column.name.clone(), sign)),
            Expr::Literal(ScalarValue::DurationMicrosecond(Some(micros)), _) => {
                self.micros = self.micros.checked_add(sign.checked_mul(*micros)?)?;
            }
            Expr::Alias(alias) => self.add(&alias.expr, sign, schema)?,
            Expr::ScalarFunction(function) => match (function.func.name(), function.args.as_slice()) {
                ("+", [left, right]) => {
                    self.add(left, sign, schema)?;
                    self.add(right, sign, schema)?;
                }
                ("-", [left, right]) => {
                    self.add(left, sign, schema)?;
                    self.add(right, -sign, schema)?;
                }
                // A cast that changes the value, as to a date, says nothing of the time.
                ("cast", [inner]) if inner.get_type(schema).ok()? == expr.get_type(schema).ok()? => {
                    self.add(inner, sign, schema)?
                }
                _ => return None,
            },
            _ => return None,
        }
        Some(())
    }
}
