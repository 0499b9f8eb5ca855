//! `UNION`, `INTERSECT`, `EXCEPT`, `DISTINCT`, duplicates, limits, and renamed columns.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::Sort as SortExpr;
use datafusion::logical_expr::{Aggregate, Expr as DfExpr, JoinType, Limit, LogicalPlan, Sort, Union};
use tidegate_functions::coercion::common_type;
use tidegate_functions::datetime::parse_interval;
use tidegate_functions::types::{is_timestamp, sql_name};

use super::Analyzer;
use super::nodes::{self, Deduplicate, Watermark};
use super::relation::{Attribute, EventTime, EventTimeKind, Relation};
use super::resolve::{Resolver, Typed, logical};
use crate::error::{Error, Result};
use crate::expr::{Expr, SortKey};

impl Analyzer<'_> {
    /// `UNION ALL`: columns by position, of the types that they have in common.
    pub(crate) fn union(&self, left: Relation, right: Relation) -> Result<Relation> {
        let types = self.common_types("UNION", &left, &right)?;
        let (left, right) = (self.cast_columns(left, &types)?, self.cast_columns(right, &types)?);
        // Both sides get the columns of the result, which keep the left names.
        let output: Vec<Attribute> = left
            .columns
            .iter()
            .zip(&right.columns)
            .map(|(l, r)| Attribute {
                event_time: l.event_time.filter(|_| l.event_time == r.event_time),
                ..Attribute::new(&l.name, l.data_type.clone())
            })
            .collect();
        let side = |relation: Relation| -> Result<Arc<LogicalPlan>> {
            let columns = relation.columns.iter().zip(&output).map(|(own, output)| (own.expr(), output.clone())).collect();
            Ok(Arc::new(Relation::project(relation.plan, columns)?.plan))
        };
        let inputs = vec![side(left)?, side(right)?];
        // A union within a union is one union of more inputs.
        let inputs = inputs.into_iter().flat_map(|input| match input.as_ref() {
            LogicalPlan::Union(union) => union.inputs.clone(),
            _ => vec![input],
        });
        let union = Union::try_new_with_loose_types(inputs.collect())?;
        Ok(Relation { plan: LogicalPlan::Union(union), columns: output })
    }

    /// `unionByName`: the right side's columns in the order of the left's; those that are missing become null if allowed.
    pub(crate) fn union_by_name(&self, left: Relation, right: Relation, allow_missing: bool) -> Result<Relation> {
        let named = |relation: &Relation, name: &str| {
            relation.columns.iter().find(|own| own.name.eq_ignore_ascii_case(name)).map(Attribute::exact)
        };
        let fill = |found: Option<Expr>, name: &str, among: &Relation| match found {
            Some(expr) => Ok(expr),
            None if allow_missing => Ok(Expr::Literal(ScalarValue::Null).alias(name)),
            None => Err(unresolved_among(name, &among.columns)),
        };
        let mut names: Vec<String> = left.columns.iter().map(|column| column.name.clone()).collect();
        let extra = right.columns.iter().filter(|own| named(&left, &own.name).is_none()).map(|own| own.name.clone());
        names.extend(extra);
        if !allow_missing && names.len() != right.columns.len() {
            return Err(self.different_columns("UNION", &left, &right));
        }
        let items = |relation: &Relation| {
            names.iter().map(|name| fill(named(relation, name), name, relation)).collect::<Result<Vec<_>>>()
        };
        let (left_items, right_items) = (items(&left)?, items(&right)?);
        let left = self.select(left, super::Select::items(left_items))?;
        let right = self.select(right, super::Select::items(right_items))?;
        self.union(left, right)
    }

    /// `INTERSECT` and `EXCEPT` (of distinct rows): a semi or anti join on all columns, nulls being equal.
    pub(crate) fn intersect_or_except(&self, left: Relation, right: Relation, except: bool) -> Result<Relation> {
        let what = if except { "EXCEPT" } else { "INTERSECT" };
        let types = self.common_types(what, &left, &right)?;
        let (left, right) = (self.cast_columns(left, &types)?, self.cast_columns(right, &types)?.fresh()?);
        let both: Vec<Attribute> = left.columns.iter().chain(&right.columns).cloned().collect();
        let resolver = Resolver::new(self, &both);
        let mut condition = Typed::literal(ScalarValue::Boolean(Some(true)));
        for (l, r) in left.columns.iter().zip(&right.columns) {
            let same = resolver.scalar_call("<=>", vec![Typed::of(l), Typed::of(r)])?;
            condition = logical(datafusion::logical_expr::Operator::And, condition, same);
        }
        let kind = if except { JoinType::LeftAnti } else { JoinType::LeftSemi };
        let left = self.distinct(left)?;
        self.join_on(left, right, kind, Some(condition.expr))
    }

    /// `DISTINCT`: an aggregation by all columns, as in Spark's SQL.
    pub(crate) fn distinct(&self, input: Relation) -> Result<Relation> {
        let keys: Vec<DfExpr> = input.columns.iter().map(Attribute::expr).collect();
        let plan = LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(input.plan), keys, Vec::new())?);
        Ok(Relation { plan, columns: input.columns })
    }

    /// `dropDuplicates`: the first row of each combination of these columns, of all columns if there are none.
    pub(crate) fn deduplicate(&self, input: Relation, columns: Option<&[String]>, within_watermark: bool) -> Result<Relation> {
        let keys = match columns {
            None => input.columns.iter().map(|column| column.id.clone()).collect(),
            Some(names) => names.iter().map(|name| Ok(column_named(&input, name)?.id.clone())).collect::<Result<Vec<_>>>()?,
        };
        let event_time = input.columns.iter().find_map(|column| Some((column.id.clone(), column.event_time?.delay)));
        let plan = nodes::plan(Deduplicate { input: input.plan, keys, event_time, within_watermark });
        Ok(Relation { plan, columns: input.columns })
    }

    /// `withWatermark`.
    pub(crate) fn watermark(&self, input: Relation, column: &str, delay: &str) -> Result<Relation> {
        let interval = parse_interval(delay)?;
        let days = i64::from(interval.months) * 31 + i64::from(interval.days);
        let micros = days.checked_mul(86_400_000_000).and_then(|micros| micros.checked_add(interval.micros));
        let micros = micros.ok_or_else(|| Error::Streaming(format!("The delay threshold ({delay}) is too long.")))?;
        if micros < 0 {
            return Err(Error::Streaming(format!("requirement failed: delay threshold ({delay}) should not be negative.")));
        }
        let resolver = Resolver::new(self, &input.columns);
        let found = resolver.resolve(&Expr::Column {
            parts: column.split('.').map(str::to_owned).collect(),
            at: crate::expr::Position::default(),
        })?;
        let DfExpr::Column(own) = &found.expr else {
            let message = format!(
                "The event time must be a top-level column, but `{column}` is nested. Create a column of it with withColumn."
            );
            return Err(Error::analysis("EVENT_TIME_MUST_BE_TOP_LEVEL_COLUMN", message));
        };
        let is_window = matches!(&found.data_type, DataType::Struct(fields) if fields.len() == 2 && fields[1].name() == "end" && is_timestamp(fields[1].data_type()));
        if !is_timestamp(&found.data_type) && !is_window {
            let message = format!(
                "The event time `{column}` has the invalid type \"{}\", but expected \"TIMESTAMP\".",
                sql_name(&found.data_type)
            );
            return Err(Error::analysis("EVENT_TIME_IS_NOT_ON_TIMESTAMP_TYPE", message));
        }
        let id = own.name.clone();
        let plan = nodes::plan(Watermark { input: input.plan, column: id.clone(), delay: micros });
        let kind = if is_window { EventTimeKind::Window } else { EventTimeKind::Instant };
        // The event time column is this one now.
        let mark = |column: Attribute| {
            let event_time = (column.id == id).then_some(EventTime { kind, delay: micros });
            Attribute { event_time, ..column }
        };
        let columns = input.columns.into_iter().map(mark).collect();
        Ok(Relation { plan, columns })
    }

    /// The rows in the order of these keys, which may name hidden columns.
    pub(crate) fn sort(&self, input: Relation, keys: &[SortKey]) -> Result<Relation> {
        let shown = input.columns.len();
        let input = self.with_hidden(input, &keys.iter().map(|key| &key.expr).collect::<Vec<_>>())?;
        let hidden: Vec<String> = input.columns.iter().skip(shown).map(|column| column.id.clone()).collect();
        let resolver = Resolver::new(self, &input.columns);
        let keys = keys
            .iter()
            .map(|key| Ok(SortExpr::new(resolver.resolve(&key.expr)?.expr, key.ascending, key.nulls_first)))
            .collect::<Result<Vec<_>>>()?;
        let plan = LogicalPlan::Sort(Sort { expr: keys, input: Arc::new(input.plan), fetch: None });
        Relation { plan, columns: input.columns }.without(&hidden)
    }

    /// At most `limit` rows after the first `offset`.
    pub(crate) fn limit(&self, input: Relation, offset: usize, limit: Option<usize>) -> Result<Relation> {
        let number = |n: usize| Box::new(DfExpr::Literal(ScalarValue::Int64(Some(i64::try_from(n).unwrap_or(i64::MAX))), None));
        let plan = LogicalPlan::Limit(Limit {
            skip: (offset > 0).then(|| number(offset)),
            fetch: limit.map(number),
            input: Arc::new(input.plan),
        });
        Ok(Relation { plan, columns: input.columns })
    }

    fn common_types(&self, what: &str, left: &Relation, right: &Relation) -> Result<Vec<DataType>> {
        if left.columns.len() != right.columns.len() {
            return Err(self.different_columns(what, left, right));
        }
        let pair = |(l, r): (&Attribute, &Attribute)| {
            common_type(&l.data_type, &r.data_type).ok_or_else(|| {
                let message = format!(
                    "{what} can only be performed on tables with compatible column types. The column `{}` of the second table is \
                     \"{}\" type which is not compatible with \"{}\" at the same column of the first table.",
                    r.name,
                    sql_name(&r.data_type),
                    sql_name(&l.data_type)
                );
                Error::analysis("INCOMPATIBLE_COLUMN_TYPE", message)
            })
        };
        left.columns.iter().zip(&right.columns).map(pair).collect()
    }

    fn different_columns(&self, what: &str, left: &Relation, right: &Relation) -> Error {
        let (l, r) = (left.columns.len(), right.columns.len());
        let message = format!(
            "{what} can only be performed on inputs with the same number of columns, but the first input has {l} columns and the second input has {r} columns."
        );
        Error::analysis("NUM_COLUMNS_MISMATCH", message)
    }

    fn cast_columns(&self, input: Relation, types: &[DataType]) -> Result<Relation> {
        if input.columns.iter().zip(types).all(|(column, wanted)| column.data_type == *wanted) {
            return Ok(input);
        }
        let resolver = Resolver::new(self, &input.columns);
        let cast = |(column, wanted): (&Attribute, &DataType)| {
            if column.data_type == *wanted {
                return Ok((column.expr(), column.clone()));
            }
            let typed = resolver.cast_to(Typed::of(column), wanted)?;
            Ok((typed.expr, Attribute::new(&column.name, wanted.clone())))
        };
        let columns = input.columns.iter().zip(types).map(cast).collect::<Result<_>>()?;
        Relation::project(input.plan, columns)
    }
}

impl Analyzer<'_> {
    /// The column of this name whatever else has it, or a field of one: also if it is hidden.
    pub(crate) fn exact_column(&self, input: &Relation, name: &str) -> Result<Expr> {
        let known = column_named(input, name);
        if let Ok(column) = &known {
            return Ok(column.exact());
        }
        let written = crate::column::named(name);
        let Expr::Column { parts, .. } = &written else { return known.map(Attribute::exact) };
        let with_hidden = self.with_hidden(input.clone(), &[&written])?;
        let Some((column, fields)) = Resolver::new(self, &with_hidden.columns).find(parts)? else {
            return known.map(Attribute::exact);
        };
        let value = fields.iter().fold(column.exact(), |value, field| Expr::call(".", vec![value, Expr::string(field)]));
        Ok(match fields.last() {
            Some(field) => value.alias(field),
            None => value,
        })
    }
}

/// The column of this name, as `drop`, `dropDuplicates` and their like look for it.
pub(crate) fn column_named<'r>(input: &'r Relation, name: &str) -> Result<&'r Attribute> {
    input
        .columns
        .iter()
        .find(|column| column.name.eq_ignore_ascii_case(name))
        .ok_or_else(|| unresolved_among(name, &input.columns))
}

fn unresolved_among(name: &str, columns: &[Attribute]) -> Error {
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let message = format!("Cannot resolve column name \"{name}\" among ({}).", names.join(", "));
    Error::analysis("UNRESOLVED_COLUMN_AMONG_FIELD_NAMES", message)
}
