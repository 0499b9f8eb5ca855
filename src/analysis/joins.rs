//! Joins, and subqueries in expressions.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{JoinConstraint, JoinType, NullEquality, ScalarValue};
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::{Expr as DfExpr, Join, LogicalPlan, Operator, Subquery};
use datafusion::sql::sqlparser::ast;
use tidegate_functions::coercion::common_type;

use super::Analyzer;
use super::relation::{Attribute, Relation, quoted};
use super::resolve::{Resolver, Typed, logical};
use super::select::Select;
use crate::error::{Error, Result};
use crate::expr::{Expr, SubqueryKind};

/// How rows are joined. The names are those of `DataFrame::join` and of SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JoinKind {
    Inner,
    Left,
    Right,
    Full,
    Semi,
    Anti,
    Cross,
}

impl JoinKind {
    /// The kind with one of Spark's names: `left_outer`, `leftouter`, `left`, …
    pub(crate) fn parse(name: &str) -> Result<Self> {
        Ok(match name.to_lowercase().replace('_', "").as_str() {
            "inner" => JoinKind::Inner,
            "cross" => JoinKind::Cross,
            "left" | "leftouter" => JoinKind::Left,
            "right" | "rightouter" => JoinKind::Right,
            "full" | "outer" | "fullouter" => JoinKind::Full,
            "semi" | "leftsemi" => JoinKind::Semi,
            "anti" | "leftanti" => JoinKind::Anti,
            _ => {
                let message = format!(
                    "Unsupported join type '{name}'. Supported join types include: 'inner', 'outer', 'full', 'fullouter', 'full_outer', 'leftouter', 'left', 'left_outer', 'rightouter', 'right', 'right_outer', 'leftsemi', 'left_semi', 'semi', 'leftanti', 'left_anti', 'anti', 'cross'."
                );
                return Err(Error::analysis("UNSUPPORTED_JOIN_TYPE", message));
            }
        })
    }

    fn join_type(self) -> JoinType {
        match self {
            JoinKind::Inner | JoinKind::Cross => JoinType::Inner,
            JoinKind::Left => JoinType::Left,
            JoinKind::Right => JoinType::Right,
            JoinKind::Full => JoinType::Full,
            JoinKind::Semi => JoinType::LeftSemi,
            JoinKind::Anti => JoinType::LeftAnti,
        }
    }
}

impl Analyzer<'_> {
    /// A join with a condition, which may name hidden columns of the sides; without one, of every row with every row.
    pub(crate) fn join(&self, left: Relation, right: Relation, kind: JoinKind, on: Option<&Expr>) -> Result<Relation> {
        let shown = (left.columns.len(), right.columns.len());
        let (left, right) = match on {
            Some(on) => self.both_with_hidden(left, right, on)?,
            None => (left, right),
        };
        let before = right.columns.clone();
        let right = distinct_from(&left, right)?;
        let both: Vec<Attribute> = left.columns.iter().chain(&right.columns).cloned().collect();
        let renewed =
            |id: &str| before.iter().position(|own| own.id == id).map(|at| &right.columns[at]).filter(|own| own.id != id);
        let on = on
            .map(|on| of_both_sides(on, &|id| renewed(id).filter(|_| left.columns.iter().any(|own| own.id == id))))
            .transpose()?;
        let condition = on.map(|on| Resolver::new(self, &both).condition(&on, "JOIN")).transpose()?;
        let own = |columns: &[Attribute], shown: usize| columns.iter().skip(shown).map(|own| own.id.clone()).collect::<Vec<_>>();
        let hidden = [own(&left.columns, shown.0), own(&right.columns, shown.1)].concat();
        let joined = self.join_on(left, right, kind.join_type(), condition.map(|condition| condition.expr))?;
        joined.without(&hidden)
    }

    /// A join by columns that both sides have: they come first in the result, and once.
    pub(crate) fn join_using(&self, left: Relation, right: Relation, kind: JoinKind, names: &[String]) -> Result<Relation> {
        let right = distinct_from(&left, right)?;
        let side = |relation: &Relation, which: &str, name: &String| {
            relation.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name)).cloned().ok_or_else(|| {
                let names: Vec<&str> = relation.columns.iter().map(|column| column.name.as_str()).collect();
                let message = format!(
                    "USING column `{name}` cannot be resolved on the {which} side of the join. The {which}-side columns: [{}].",
                    names.join(", ")
                );
                Error::analysis("UNRESOLVED_USING_COLUMN_FOR_JOIN", message)
            })
        };
        let keys = names
            .iter()
            .map(|name| Ok((side(&left, "left", name)?, side(&right, "right", name)?)))
            .collect::<Result<Vec<_>>>()?;
        let both: Vec<Attribute> = left.columns.iter().chain(&right.columns).cloned().collect();
        let resolver = Resolver::new(self, &both);
        let mut condition = Typed::literal(ScalarValue::Boolean(Some(true)));
        for (l, r) in &keys {
            let same = resolver.scalar_call("=", vec![Typed::of(l), Typed::of(r)])?;
            condition = if condition.as_literal().is_some() { same } else { logical(Operator::And, condition, same) };
        }
        let joined = self.join_on(left.clone(), right.clone(), kind.join_type(), Some(condition.expr))?;
        let is_key = |column: &Attribute| keys.iter().any(|(l, r)| l.id == column.id || r.id == column.id);
        let others = |relation: &Relation| relation.columns.iter().filter(|column| !is_key(column)).cloned().collect::<Vec<_>>();
        // Where a side may be missing, the other side has the key.
        let resolver = Resolver::new(self, &joined.columns);
        let mut columns = Vec::new();
        for (l, r) in &keys {
            columns.push(match kind {
                JoinKind::Right => (r.expr(), r.clone()),
                JoinKind::Full => {
                    let typed = resolver.resolve(&Expr::call("coalesce", vec![l.exact(), r.exact()]))?;
                    (typed.expr, Attribute::new(&l.name, typed.data_type))
                }
                _ => (l.expr(), l.clone()),
            });
        }
        let one_sided = matches!(kind, JoinKind::Semi | JoinKind::Anti);
        let rest = others(&left).into_iter().chain(if one_sided { Vec::new() } else { others(&right) });
        columns.extend(rest.map(|column| (column.expr(), column)));
        Relation::project(joined.plan, columns)
    }

    /// `NATURAL JOIN`: by all columns of the same names.
    pub(crate) fn join_natural(&self, left: Relation, right: Relation, kind: JoinKind) -> Result<Relation> {
        let common = |column: &&Attribute| right.columns.iter().any(|own| own.name.eq_ignore_ascii_case(&column.name));
        let names: Vec<String> = left.columns.iter().filter(common).map(|column| column.name.clone()).collect();
        if names.is_empty() { self.join(left, right, kind, None) } else { self.join_using(left, right, kind, &names) }
    }

    pub(super) fn join_on(
        &self,
        left: Relation,
        right: Relation,
        join_type: JoinType,
        filter: Option<DfExpr>,
    ) -> Result<Relation> {
        let columns = match join_type {
            JoinType::LeftSemi | JoinType::LeftAnti => left.columns.clone(),
            _ => left.columns.iter().chain(&right.columns).cloned().collect(),
        };
        let join = Join::try_new(
            Arc::new(left.plan),
            Arc::new(right.plan),
            Vec::new(),
            filter,
            join_type,
            JoinConstraint::On,
            NullEquality::NullEqualsNothing,
            false,
        )?;
        Ok(Relation { plan: LogicalPlan::Join(join), columns })
    }

    /// A subquery in an expression. Only static tables may be in it.
    pub(super) fn subquery(&self, resolver: &Resolver<'_>, kind: &SubqueryKind, query: &ast::Query) -> Result<Typed> {
        let inside = self.inside(resolver.columns);
        let mut relation = inside.query(query)?;
        if relation.is_streaming() {
            let message = "Invalid subquery: Streaming query is not allowed in subquery expressions. Join the streams instead.";
            return Err(Error::analysis("INVALID_SUBQUERY_EXPRESSION.STREAMING_QUERY", message));
        }
        let one_column = |relation: &Relation| match relation.columns.as_slice() {
            [column] => Ok(column.clone()),
            columns => {
                let message = format!("Scalar subquery must return only one column, but got {}.", columns.len());
                Err(Error::analysis("INVALID_SUBQUERY_EXPRESSION.SCALAR_SUBQUERY_RETURN_MORE_THAN_ONE_OUTPUT_COLUMN", message))
            }
        };
        // DataFusion joins with subqueries of conditions; where a value is computed, the subquery has to be one.
        let is_value = |relation: &Relation| resolver.windows.is_some() && relation.plan.all_out_ref_exprs().is_empty();
        let boolean = |expr: DfExpr| Typed::new(expr, DataType::Boolean);
        Ok(match kind {
            SubqueryKind::Scalar => {
                let column = one_column(&relation)?;
                Typed::new(DfExpr::ScalarSubquery(subquery(relation.plan)), column.data_type)
            }
            SubqueryKind::Exists { negated } if is_value(&relation) => {
                let first = self.limit(relation, 0, Some(1))?;
                let count = self.select(first, Select::items(vec![Expr::call("count", vec![Expr::int(1)])]))?;
                let count = Typed::new(DfExpr::ScalarSubquery(subquery(count.plan)), DataType::Int64);
                let sign = if *negated { "=" } else { ">" };
                resolver.scalar_call(sign, vec![count, Typed::literal(ScalarValue::Int64(Some(0)))])?
            }
            SubqueryKind::Exists { negated } => boolean(DfExpr::Exists(Exists::new(subquery(relation.plan), *negated))),
            SubqueryKind::In { expr, negated } => {
                let value = resolver.resolve(expr)?;
                let column = one_column(&relation)?;
                let common = common_type(&value.data_type, &column.data_type).ok_or_else(|| {
                    Error::analysis(
                        "DATATYPE_MISMATCH.IN_SUBQUERY_DATA_TYPE_MISMATCH",
                        format!("The data type of \"{expr}\" and of the subquery's column can't be compared."),
                    )
                })?;
                let value = resolver.cast_to(value, &common)?;
                if column.data_type != common {
                    let typed = Resolver::new(self, &relation.columns).cast_to(Typed::of(&column), &common)?;
                    relation =
                        Relation::project(relation.plan.clone(), vec![(typed.expr, Attribute::new(&column.name, common))])?;
                }
                if is_value(&relation) {
                    let found = self.in_list(resolver, value, relation)?;
                    return Ok(boolean(if *negated { DfExpr::Not(Box::new(found)) } else { found }));
                }
                boolean(DfExpr::InSubquery(InSubquery::new(Box::new(value.expr), subquery(relation.plan), *negated)))
            }
        })
    }
}

impl Analyzer<'_> {
    /// `value IN (subquery)` as a value: the subquery's values are collected once.
    fn in_list(&self, resolver: &Resolver<'_>, value: Typed, relation: Relation) -> Result<DfExpr> {
        let Some(column) = relation.columns.first().map(Attribute::exact) else {
            return Err(Error::analysis("DATATYPE_MISMATCH.IN_SUBQUERY_LENGTH_MISMATCH", "The subquery has no column."));
        };
        let fields = vec![
            Expr::string("list"),
            Expr::call("collect_list", vec![column]),
            Expr::string("rows"),
            Expr::call("count", vec![Expr::int(1)]),
        ];
        let collected = self.select(relation, Select::items(vec![Expr::call("named_struct", fields)]))?;
        let Some(data_type) = collected.columns.first().map(|column| column.data_type.clone()) else {
            return Err(Error::unsupported("a subquery without columns"));
        };
        let collected = Typed::new(DfExpr::ScalarSubquery(subquery(collected.plan)), data_type);
        let field = |name: &str| resolver.scalar_call(".", vec![collected.clone(), Typed::literal(ScalarValue::from(name))]);
        let (list, rows, zero) = (field("list")?, field("rows")?, Typed::literal(ScalarValue::Int64(Some(0))));
        let is_empty = resolver.scalar_call("=", vec![rows.clone(), zero])?;
        let is_found = resolver.scalar_call("array_contains", vec![list.clone(), value.clone()])?;
        // Nulls are counted, but not collected.
        let has_null = resolver.scalar_call("<", vec![resolver.scalar_call("size", vec![list])?, rows])?;
        let boolean = |value: Option<bool>| Box::new(DfExpr::Literal(ScalarValue::Boolean(value), None));
        let branches = vec![
            (Box::new(is_empty.expr), boolean(Some(false))),
            (Box::new(DfExpr::IsNull(Box::new(value.expr))), boolean(None)),
            (Box::new(is_found.expr), boolean(Some(true))),
            (Box::new(has_null.expr), boolean(None)),
        ];
        Ok(DfExpr::Case(datafusion::logical_expr::Case::new(None, branches, Some(boolean(Some(false))))))
    }
}

fn subquery(plan: LogicalPlan) -> Subquery {
    let outer_ref_columns = plan.all_out_ref_exprs();
    Subquery { subquery: Arc::new(plan), outer_ref_columns, spans: datafusion::common::Spans::new() }
}

/// The right side of a join with identities of its own where it shares some with the left: a relation joined with itself.
fn distinct_from(left: &Relation, right: Relation) -> Result<Relation> {
    let shared = right.columns.iter().any(|column| left.columns.iter().any(|own| own.id == column.id));
    if shared { right.fresh() } else { Ok(right) }
}

/// A join's condition with columns that both sides have, as one was made of the other: `a.col("k").eq(b.col("k"))` compares the two
/// sides, as in Spark; of anything else it can't be known which side is meant. `renewed` gives such a column of the right side.
fn of_both_sides<'a>(on: &Expr, renewed: &dyn Fn(&str) -> Option<&'a Attribute>) -> Result<Expr> {
    let mut on = on.clone();
    compare_sides(&mut on, renewed)?;
    Ok(on)
}

fn compare_sides<'a>(on: &mut Expr, renewed: &dyn Fn(&str) -> Option<&'a Attribute>) -> Result<()> {
    if let Expr::Call(call) = on
        && matches!(call.name.as_str(), "=" | "==" | "<=>")
        && let [Expr::Exact { id, .. }, right @ Expr::Exact { .. }] = call.args.as_mut_slice()
        && matches!(right, Expr::Exact { id: other, .. } if other == id)
        && let Some(column) = renewed(id)
    {
        *right = column.exact();
        return Ok(());
    }
    if let Expr::Exact { id, name } = on
        && renewed(id).is_some()
    {
        let message = format!(
            "Column \"{name}\" is ambiguous. It's because you joined several DataFrame together, and some of these DataFrames are the \
             same. This column points to one of the DataFrames but it is unknown which one. Please alias the DataFrames with different \
             names via `DataFrame::alias` before joining them, and specify the column using qualified name, e.g. \
             `df.alias(\"a\").join(df.alias(\"b\"), col(\"a.id\").gt(col(\"b.id\")))`."
        );
        return Err(Error::analysis("AMBIGUOUS_COLUMN_REFERENCE", message));
    }
    on.children_mut().into_iter().try_for_each(|part| compare_sides(part, renewed))
}

/// A table that no catalog knows.
pub(crate) fn table_not_found(name: &[String]) -> Error {
    let message = format!(
        "The table or view {} cannot be found. Verify the spelling and correctness of the schema and catalog. If you did not qualify \
         the name with a schema, verify the current_schema() output, or qualify the name with the correct schema and catalog.",
        quoted(name)
    );
    Error::analysis("TABLE_OR_VIEW_NOT_FOUND", message)
}
