//! `SELECT`: projection, aggregation, generators, order; the same for SQL and for `DataFrame`s.

use std::cell::RefCell;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::Sort as SortExpr;
use datafusion::logical_expr::{Aggregate, Expr as DfExpr, Filter, LogicalPlan, Sort, Window};
use tidegate_functions::types::element_type;
use tidegate_functions::{aggregate, generator};

use super::Analyzer;
use super::aggregation::Aggregation;
use super::nodes::{self, Expand, Generate, SessionAggregate};
use super::relation::{Attribute, Relation};
use super::resolve::{Resolver, Typed};
use super::windows::{WindowCalls, generator_call};
use crate::error::{Error, Result};
use crate::expr::{Call, Expr, SortKey};

/// What the rows of a `SELECT` are grouped by.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Grouping {
    /// Not at all, unless there is an aggregate function: then all rows are one group.
    None,
    /// By every item that is no aggregate.
    All,
    /// By the keys; with sets, once for each set of keys (as numbers of keys).
    Keys { keys: Vec<Expr>, sets: Option<Vec<Vec<usize>>> },
}

/// The parts of a `SELECT`, over a relation that is already filtered.
#[derive(Debug, Clone)]
pub(crate) struct Select {
    pub(crate) items: Vec<Expr>,
    pub(crate) grouping: Grouping,
    pub(crate) having: Option<Expr>,
    pub(crate) order_by: Vec<SortKey>,
    pub(crate) distinct: bool,
}

impl Select {
    pub(crate) fn items(items: Vec<Expr>) -> Self {
        Select { items, grouping: Grouping::None, having: None, order_by: Vec::new(), distinct: false }
    }
}

impl Analyzer<'_> {
    /// The rows for which a condition is true.
    pub(crate) fn filter(&self, input: Relation, condition: &Expr) -> Result<Relation> {
        let shown = input.columns.len();
        let input = self.with_hidden(input, &[condition])?;
        let hidden: Vec<String> = input.columns.iter().skip(shown).map(|column| column.id.clone()).collect();
        let (input, replaced) = self.with_time_windows(input, &[condition])?;
        let resolver = Resolver { replaced: &replaced, ..Resolver::new(self, &input.columns) };
        let condition = resolver.condition(condition, "WHERE")?;
        self.filtered(input, condition.expr)?.without(&hidden)
    }

    pub(super) fn filtered(&self, input: Relation, condition: DfExpr) -> Result<Relation> {
        let plan = LogicalPlan::Filter(Filter::try_new(condition, Arc::new(input.plan))?);
        Ok(Relation { plan, columns: input.columns })
    }

    /// A `SELECT` over `input`.
    pub(crate) fn select(&self, input: Relation, select: Select) -> Result<Relation> {
        let items = self.expand_stars(&input, &select.items)?;
        let used: Vec<&Expr> = {
            let keys: &[Expr] = match &select.grouping {
                Grouping::Keys { keys, .. } => keys,
                Grouping::None | Grouping::All => &[],
            };
            items.iter().chain(keys).chain(&select.having).chain(select.order_by.iter().map(|key| &key.expr)).collect()
        };
        let input = self.with_hidden(input, &used)?;
        let (input, windows) = self.with_time_windows(input, &used)?;
        let select = Select { items, ..select };
        let probe = Resolver::new(self, &input.columns);
        let has_aggregate = |expr: &Expr| expr.any(&|part| probe.is_aggregate(part));
        let aggregates = select.grouping != Grouping::None
            || select.items.iter().any(has_aggregate)
            || select.having.as_ref().is_some_and(has_aggregate);
        if aggregates {
            self.select_groups(input, &windows, select)
        } else if let Some(having) = select.having.clone() {
            let is_column = |expr: &Expr| expr.any(&|part| matches!(part, Expr::Column { .. } | Expr::Exact { .. }));
            if select.items.iter().any(is_column) {
                return Err(missing_group_by());
            }
            // HAVING without groups or aggregates filters the result of the select list.
            let projected = self.select_rows(input, &windows, Select { having: None, ..select })?;
            self.filter(projected, &having)
        } else {
            self.select_rows(input, &windows, select)
        }
    }

    fn select_rows(&self, input: Relation, windows: &[(Expr, Attribute)], select: Select) -> Result<Relation> {
        let (input, items) = self.with_generator(input, &select.items)?;
        let calls = WindowCalls::default();
        let resolver = Resolver { replaced: windows, windows: Some(&calls), ..Resolver::new(self, &input.columns) };
        let projected = self.project_items(&resolver, &items, &select)?;
        self.finish(input.plan.clone(), &calls, projected, select.distinct)
    }

    fn select_groups(&self, input: Relation, windows: &[(Expr, Attribute)], select: Select) -> Result<Relation> {
        let below = Resolver { replaced: windows, ..Resolver::new(self, &input.columns) };
        let (keys, sets) = self.grouping_keys(&below, &select)?;
        let keys: Vec<(DfExpr, Attribute)> =
            keys.into_iter().map(|(name, key)| self.key_attribute(&input, name, key)).collect::<Result<_>>()?;
        let mut aggregation = Aggregation { keys, ..Aggregation::default() };
        let mut plan = input.plan.clone();
        let mut key_exprs: Vec<DfExpr> = aggregation.keys.iter().map(|(expr, _)| expr.clone()).collect();
        let is_session = |attribute: &Attribute| {
            let call = |expr: &Expr| matches!(expr, Expr::Call(call) if call.name == "session_window");
            windows.iter().any(|(expr, own)| own.id == attribute.id && call(expr))
        };
        if let Some(sets) = sets {
            if aggregation.keys.iter().any(|(_, attribute)| is_session(attribute)) {
                return Err(Error::unsupported("session_window in grouping sets, ROLLUP or CUBE"));
            }
            (plan, key_exprs) = self.expand_sets(&input, &mut aggregation, &sets)?;
        }
        let aggregation = RefCell::new(aggregation);
        let calls = WindowCalls::default();
        let resolver = Resolver {
            replaced: windows,
            aggregation: Some(&aggregation),
            windows: Some(&calls),
            ..Resolver::new(self, &input.columns)
        };
        // HAVING knows the aliases of the select list.
        let alias = |item: &Expr| match item {
            Expr::Alias { expr, names } if names.len() == 1 => Some((names[0].clone(), expr.as_ref().clone())),
            _ => None,
        };
        let lateral = select.items.iter().filter_map(alias).collect();
        let aliased = Resolver { lateral, windows: None, ..resolver.clone() };
        let having = select.having.as_ref().map(|having| {
            // A column of the input that is no key is nothing here: its name is an alias, if there is one.
            let mut having = having.clone();
            replace_columns(
                &mut having,
                &|part| resolver.is_aggregate(part) || resolver.grouping_key(part).is_some(),
                &|column| {
                    let Expr::Column { parts, .. } = column else { return None };
                    let [name] = parts.as_slice() else { return None };
                    let (_, item) = aliased.lateral.iter().rev().find(|(own, _)| own.eq_ignore_ascii_case(name))?;
                    resolver.resolve(column).is_err().then(|| item.clone())
                },
            );
            aliased.condition(&having, "HAVING")
        });
        let having = having.transpose()?;
        let projected = self.project_items(&resolver, &select.items, &select)?;

        let Aggregation { keys, calls: aggregates, .. } = aggregation.into_inner();
        let named = |(expr, attribute): (DfExpr, &Attribute)| {
            if expr == attribute.expr() { expr } else { expr.alias(attribute.id.clone()) }
        };
        let group_exprs = key_exprs.into_iter().zip(keys.iter().map(|(_, attribute)| attribute)).map(named).collect();
        let call_exprs = aggregates.iter().map(|(expr, attribute)| expr.clone().alias(attribute.id.clone())).collect();
        let aggregate = Aggregate::try_new(Arc::new(plan), group_exprs, call_exprs)?;
        plan = match keys.iter().position(|(_, attribute)| is_session(attribute)) {
            Some(session) if input.is_streaming() => nodes::plan(SessionAggregate { aggregate, session }),
            Some(session) => self.merged_sessions(&aggregate, session)?,
            None => LogicalPlan::Aggregate(aggregate),
        };
        if let Some(having) = having {
            plan = LogicalPlan::Filter(Filter::try_new(having.expr, Arc::new(plan))?);
        }
        self.finish(plan, &calls, projected, select.distinct)
    }

    /// A key as a column above the aggregation; a key that is a column already stays that column.
    fn key_attribute(&self, input: &Relation, name: String, key: Typed) -> Result<(DfExpr, Attribute)> {
        if matches!(key.data_type, DataType::Map(_, _)) {
            let message = format!("The expression \"{name}\" of the type \"MAP\" can't be grouped by.");
            return Err(Error::analysis("GROUP_EXPRESSION_TYPE_IS_NOT_ORDERABLE", message));
        }
        if let DfExpr::Column(column) = &key.expr
            && let Some(attribute) = input.columns.iter().find(|attribute| attribute.id == column.name)
        {
            return Ok((key.expr.clone(), attribute.clone()));
        }
        let mut attribute = Attribute::new(name, key.data_type);
        attribute.event_time = key.event_time;
        Ok((key.expr, attribute))
    }

    /// The keys: columns and expressions of the input, aliases and numbers of items.
    fn grouping_keys(&self, below: &Resolver<'_>, select: &Select) -> Result<(Vec<(String, Typed)>, KeySets)> {
        let by_name = |expr: &Expr| (expr.result_name(), expr.unaliased().clone());
        let (keys, sets) = match &select.grouping {
            Grouping::None => (Vec::new(), None),
            Grouping::All => {
                let plain = select.items.iter().filter(|item| !item.any(&|part| below.is_aggregate(part)));
                (plain.map(by_name).collect(), None)
            }
            Grouping::Keys { keys, sets } => {
                let keys = keys.iter().map(|key| self.grouping_expr(below, select, key)).collect::<Result<Vec<_>>>()?;
                (keys, sets.clone())
            }
        };
        // Each key has a bit in a row's grouping id.
        if sets.is_some() && keys.len() > 64 {
            let message = format!("Grouping sets size cannot be greater than 64: there are {} keys.", keys.len());
            return Err(Error::analysis("GROUPING_SIZE_LIMIT_EXCEEDED", message));
        }
        let resolve = |(name, key): (String, Expr)| {
            if key.any(&|part| below.is_aggregate(part)) {
                let message = format!("Aggregate functions are not allowed in GROUP BY, but found \"{key}\".");
                return Err(self.locate(Error::analysis("GROUP_BY_AGGREGATE", message), key.position()));
            }
            Ok((name, below.resolve(&key)?))
        };
        Ok((keys.into_iter().map(resolve).collect::<Result<_>>()?, sets))
    }

    fn grouping_expr(&self, below: &Resolver<'_>, select: &Select, key: &Expr) -> Result<(String, Expr)> {
        if let Expr::Literal(ScalarValue::Int32(Some(number))) = key {
            let item = usize::try_from(*number).ok().and_then(|number| select.items.get(number.checked_sub(1)?));
            return item.map(|item| (item.result_name(), item.unaliased().clone())).ok_or_else(|| {
                let message =
                    format!("GROUP BY position {number} is not in select list (valid range is [1, {}]).", select.items.len());
                Error::analysis("GROUP_BY_POS_OUT_OF_RANGE", message)
            });
        }
        if let Expr::Column { parts, .. } = key
            && let [name] = parts.as_slice()
            && below.resolve(key).is_err()
            && let Some(item) = select
                .items
                .iter()
                .find(|item| matches!(item, Expr::Alias { names, .. } if names.len() == 1 && names[0].eq_ignore_ascii_case(name)))
        {
            return Ok((item.result_name(), item.unaliased().clone()));
        }
        Ok((key.result_name(), key.clone()))
    }

    /// Grouping sets: every row once for each set, with nulls in place of the keys that are not in it, and the set's number.
    fn expand_sets(
        &self,
        input: &Relation,
        aggregation: &mut Aggregation,
        sets: &[Vec<usize>],
    ) -> Result<(LogicalPlan, Vec<DfExpr>)> {
        let keys = std::mem::take(&mut aggregation.keys);
        let id = Attribute::new("spark_grouping_id", DataType::Int64);
        // Above the expansion a key is a new column: the original is still there for the arguments of aggregates.
        let above: Vec<(DfExpr, Attribute)> = keys
            .iter()
            .map(|(expr, attribute)| {
                let mut fresh = Attribute::new(&attribute.name, attribute.data_type.clone());
                fresh.qualifier.clone_from(&attribute.qualifier);
                (expr.clone(), fresh)
            })
            .collect();
        let projection = |set: &Vec<usize>| -> Result<Vec<DfExpr>> {
            let mut exprs: Vec<DfExpr> = input.columns.iter().map(Attribute::expr).collect();
            let mut bits = 0i64;
            for (index, (expr, attribute)) in keys.iter().enumerate() {
                let present = set.contains(&index);
                bits = bits << 1 | i64::from(!present);
                exprs.push(if present {
                    expr.clone()
                } else {
                    DfExpr::Literal(ScalarValue::try_from(&attribute.data_type)?, None)
                });
            }
            exprs.push(DfExpr::Literal(ScalarValue::Int64(Some(bits)), None));
            Ok(exprs)
        };
        let projections = sets.iter().map(projection).collect::<Result<Vec<_>>>()?;
        let columns = input.columns.iter().chain(above.iter().map(|(_, attribute)| attribute)).chain([&id]);
        let fields = columns.map(|column| (column.id.clone(), column.data_type.clone())).collect();
        let plan = nodes::plan(Expand::new(input.plan.clone(), projections, fields)?);
        aggregation.keys = above;
        aggregation.keys.push((id.expr(), id.clone()));
        aggregation.grouping_id = Some(id);
        let exprs = aggregation.keys.iter().map(|(_, attribute)| attribute.expr()).collect();
        Ok((plan, exprs))
    }

    // ---- projection

    fn project_items(&self, resolver: &Resolver<'_>, items: &[Expr], select: &Select) -> Result<Projected> {
        let mut scope = resolver.clone();
        let mut columns = Vec::with_capacity(items.len());
        for item in items {
            let typed = scope.resolve(item)?;
            columns.push((typed.expr.clone(), self.item_attribute(resolver, item, &typed)));
            if let Expr::Alias { expr, names } = item
                && let [name] = names.as_slice()
            {
                scope.lateral.push((name.clone(), expr.as_ref().clone()));
            }
        }
        let visible = columns.len();
        let output: Vec<Attribute> = columns.iter().map(|(_, attribute)| attribute.clone()).collect();
        let mut order = Vec::new();
        for key in &select.order_by {
            let expr = self.order_expr(&scope, &output, &mut columns, key, select.distinct)?;
            order.push(SortExpr::new(expr, key.ascending, key.nulls_first));
        }
        Ok(Projected { columns, visible, order })
    }

    fn item_attribute(&self, resolver: &Resolver<'_>, item: &Expr, typed: &Typed) -> Attribute {
        let name = resolver.result_name(item);
        let known = || {
            let DfExpr::Column(column) = &typed.expr else { return None };
            let of_aggregation = resolver.aggregation.and_then(|aggregation| {
                let aggregation = aggregation.borrow();
                aggregation.keys.iter().map(|(_, attribute)| attribute).find(|attribute| attribute.id == column.name).cloned()
            });
            of_aggregation.or_else(|| resolver.columns.iter().find(|attribute| attribute.id == column.name).cloned())
        };
        match (known(), item) {
            // A column keeps its identity and its qualifier, as long as it is not renamed.
            (Some(attribute), Expr::Column { .. } | Expr::Exact { .. }) => Attribute { name, ..attribute },
            (Some(attribute), _) => {
                let fresh = Attribute::new(name, attribute.data_type);
                Attribute { event_time: attribute.event_time, ..fresh }
            }
            (None, _) => {
                let fresh = Attribute::new(name, typed.data_type.clone());
                Attribute { event_time: typed.event_time, ..fresh }
            }
        }
    }

    /// What to sort by: a column of the result, its number, or an expression below the result, which is computed beside it.
    fn order_expr(
        &self,
        below: &Resolver<'_>,
        output: &[Attribute],
        columns: &mut Vec<(DfExpr, Attribute)>,
        key: &SortKey,
        distinct: bool,
    ) -> Result<DfExpr> {
        if let Expr::Literal(ScalarValue::Int32(Some(number))) = &key.expr {
            let column = usize::try_from(*number).ok().and_then(|number| output.get(number.checked_sub(1)?));
            return column.map(Attribute::expr).ok_or_else(|| {
                let message = format!("ORDER BY position {number} is not in select list (valid range is [1, {}]).", output.len());
                Error::analysis("ORDER_BY_POS_OUT_OF_RANGE", message)
            });
        }
        let above = Resolver::new(self, output);
        if let Ok(found) = above.resolve(&key.expr) {
            return sort_value(found);
        }
        let typed = below.resolve(&key.expr)?;
        // The expression may be one of the result's.
        if let Some((_, attribute)) = columns.iter().find(|(expr, _)| *expr == typed.expr) {
            return sort_value(Typed::of(attribute));
        }
        if distinct {
            return above.resolve(&key.expr).map(|typed| typed.expr);
        }
        let attribute = Attribute::new("sort key", typed.data_type.clone());
        let value = sort_value(Typed::of(&attribute))?;
        columns.push((typed.expr, attribute));
        Ok(value)
    }

    /// The projection, the window functions below it, the order, and DISTINCT.
    fn finish(&self, mut plan: LogicalPlan, calls: &WindowCalls, projected: Projected, distinct: bool) -> Result<Relation> {
        // One node computes the functions of one window: those that are over the same rows in the same order.
        let mut windows: Vec<Vec<&(DfExpr, Attribute)>> = Vec::new();
        let calls = calls.borrow();
        for call in calls.iter() {
            match windows.iter_mut().find(|window| same_window(&window[0].0, &call.0)) {
                Some(window) => window.push(call),
                None => windows.push(vec![call]),
            }
        }
        for window in windows {
            // DataFusion names a window's column by its expression: a projection gives it its identity.
            let bare: Vec<DfExpr> = window.iter().map(|(expr, _)| expr.clone()).collect();
            let input = Arc::new(plan);
            let windowed = LogicalPlan::Window(Window::try_new(bare, Arc::clone(&input))?);
            let mut columns: Vec<DfExpr> = input.schema().columns().into_iter().map(DfExpr::Column).collect();
            let given = windowed.schema().columns();
            let own = given.into_iter().skip(columns.len());
            columns.extend(own.zip(&window).map(|(column, (_, attribute))| DfExpr::Column(column).alias(attribute.id.clone())));
            plan = LogicalPlan::Projection(datafusion::logical_expr::Projection::try_new(columns, Arc::new(windowed))?);
        }
        let Projected { columns, visible, order } = projected;
        let output: Vec<Attribute> = columns.iter().take(visible).map(|(_, attribute)| attribute.clone()).collect();
        let has_hidden = columns.len() > visible;
        let mut relation = Relation::project(plan, dedup_identities(columns))?;
        let output: Vec<Attribute> = relation.columns.iter().take(visible).zip(output).map(|(own, _)| own.clone()).collect();
        if distinct {
            relation = self.distinct(relation)?;
        }
        if !order.is_empty() {
            let input = Arc::new(relation.plan);
            relation.plan = LogicalPlan::Sort(Sort { expr: order, input, fetch: None });
        }
        if has_hidden { relation.keep(output) } else { Ok(relation) }
    }

    // ---- stars and generators

    /// The items with `*` and `t.*` replaced by the columns that they stand for.
    pub(crate) fn expand_stars(&self, input: &Relation, items: &[Expr]) -> Result<Vec<Expr>> {
        let mut expanded = Vec::with_capacity(items.len());
        for item in items {
            match item {
                Expr::Star { qualifier, except, replace } => expanded.extend(self.star(input, qualifier, except, replace)?),
                Expr::Call(call)
                    if call.name == "struct"
                        || call.args.iter().any(|arg| matches!(arg, Expr::Star { .. })) && !is_count(call) =>
                {
                    let args = self.expand_stars(input, &call.args)?;
                    expanded.push(Expr::Call(Call { args, ..call.clone() }));
                }
                other => expanded.push(other.clone()),
            }
        }
        Ok(expanded)
    }

    fn star(&self, input: &Relation, qualifier: &[String], except: &[String], replace: &[(String, Expr)]) -> Result<Vec<Expr>> {
        let all = match qualifier {
            [] => input.columns.iter().map(exact).collect::<Vec<_>>(),
            [name]
                if input
                    .columns
                    .iter()
                    .any(|column| column.qualifier.last().is_some_and(|own| own.eq_ignore_ascii_case(name))) =>
            {
                let own = |column: &&Attribute| column.qualifier.last().is_some_and(|own| own.eq_ignore_ascii_case(name));
                input.columns.iter().filter(own).map(exact).collect()
            }
            path => {
                // The fields of a struct.
                let whole = Expr::Column { parts: path.to_vec(), at: crate::expr::Position::default() };
                let input = self.with_hidden(input.clone(), &[&whole])?;
                let typed = Resolver::new(self, &input.columns).resolve(&whole)?;
                let DataType::Struct(fields) = typed.data_type else {
                    let message = format!("Cannot resolve \"{}.*\" given input columns.", path.join("."));
                    return Err(Error::analysis("CANNOT_RESOLVE_STAR_EXPAND", message));
                };
                let field = |name: &String| {
                    let value = Expr::call(".", vec![whole.clone(), Expr::string(name)]);
                    (name.clone(), value.alias(name))
                };
                fields.iter().map(|own| field(own.name())).collect()
            }
        };
        for name in except {
            if !all.iter().any(|(own, _)| own.eq_ignore_ascii_case(name)) {
                return Err(Resolver::new(self, &input.columns).unresolved(std::slice::from_ref(name)));
            }
        }
        let kept = all.into_iter().filter(|(name, _)| !except.iter().any(|own| own.eq_ignore_ascii_case(name)));
        Ok(kept
            .map(|(name, expr)| match replace.iter().find(|(own, _)| own.eq_ignore_ascii_case(&name)) {
                Some((_, replacement)) => replacement.clone().alias(name),
                None => expr,
            })
            .collect())
    }

    /// The input with the rows that a generator among the items makes, and the items with its columns in its place.
    fn with_generator(&self, input: Relation, items: &[Expr]) -> Result<(Relation, Vec<Expr>)> {
        let is_generator = |item: &Expr| matches!(item.unaliased(), Expr::Call(call) if call.over.is_none() && generator_name(&call.name).is_some());
        let found: Vec<usize> = (0..items.len()).filter(|index| is_generator(&items[*index])).collect();
        let at = match found.as_slice() {
            [] => return Ok((input, items.to_vec())),
            [at] => *at,
            _ => {
                let message = "The generator is not supported: only one generator allowed per SELECT clause.";
                return Err(Error::analysis("UNSUPPORTED_GENERATOR.MULTI_GENERATOR", message));
            }
        };
        let (Expr::Call(call), names) = (match &items[at] {
            Expr::Alias { expr, names } => (expr.unaliased(), names.clone()),
            other => (other, Vec::new()),
        }) else {
            return Err(Error::analysis("UNSUPPORTED_GENERATOR", "The generator is not supported."));
        };
        let outer = call.name.ends_with("_outer");
        let (relation, generated) = self.generate(input, call, outer, &names, &[])?;
        let mut replaced_items = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            if index != at {
                replaced_items.push(item.clone());
                continue;
            }
            for attribute in &generated {
                replaced_items.push(attribute.exact());
            }
        }
        Ok((relation, replaced_items))
    }

    /// The input with the rows and columns that a generator makes: `LATERAL VIEW`.
    pub(crate) fn generate(
        &self,
        input: Relation,
        call: &Call,
        outer: bool,
        names: &[String],
        qualifier: &[String],
    ) -> Result<(Relation, Vec<Attribute>)> {
        let resolver = Resolver::new(self, &input.columns);
        let args = resolver.resolve_all(&call.args)?;
        let typed = generator_call(&resolver, &call.name, args, &call.args).map_err(|error| self.locate(error, call.at))?;
        let Some(DataType::Struct(fields)) = element_type(&typed.data_type) else {
            return Err(self.locate(Error::analysis("NOT_A_TABLE_FUNCTION", format!("{} is no generator.", call.name)), call.at));
        };
        if !names.is_empty() && names.len() != fields.len() {
            let message = format!(
                "The number of aliases supplied in the AS clause does not match the number of columns output by the UDTF. Expected {} \
                 aliases, but got \"{}\".",
                fields.len(),
                names.join(", ")
            );
            return Err(self.locate(Error::analysis("UDTF_ALIAS_NUMBER_MISMATCH", message), call.at));
        }
        let attribute = |(index, field): (usize, &arrow::datatypes::FieldRef)| {
            let name = names.get(index).unwrap_or_else(|| field.name());
            Attribute { qualifier: qualifier.to_vec(), ..Attribute::new(name, field.data_type().clone()) }
        };
        let generated: Vec<Attribute> = fields.iter().enumerate().map(attribute).collect();
        let fields = generated.iter().map(|own| (own.id.clone(), own.data_type.clone())).collect();
        let plan = nodes::plan(Generate::new(input.plan, typed.expr, outer, fields)?);
        let columns = input.columns.into_iter().chain(generated.iter().cloned()).collect();
        Ok((Relation { plan, columns }, generated))
    }
}

/// Grouping sets, as numbers of keys; none for a plain grouping.
type KeySets = Option<Vec<Vec<usize>>>;

/// What rows are sorted by, if it has an order.
fn sort_value(value: Typed) -> Result<DfExpr> {
    if matches!(value.data_type, DataType::Map(_, _)) {
        return Err(Error::analysis("DATATYPE_MISMATCH.INVALID_ORDERING_TYPE", "A \"MAP\" can't be sorted by."));
    }
    Ok(value.expr)
}

fn same_window(left: &DfExpr, right: &DfExpr) -> bool {
    match (left, right) {
        (DfExpr::WindowFunction(left), DfExpr::WindowFunction(right)) => {
            left.params.partition_by == right.params.partition_by && left.params.order_by == right.params.order_by
        }
        _ => false,
    }
}

/// The error of a column beside aggregates, without groups.
pub(super) fn missing_group_by() -> Error {
    let message =
        "The query does not include a GROUP BY clause. Add GROUP BY or turn it into the window functions using OVER clauses.";
    Error::analysis("MISSING_GROUP_BY", message)
}

/// What the select list becomes.
struct Projected {
    /// Visible columns, then those that are only sorted by.
    columns: Vec<(DfExpr, Attribute)>,
    visible: usize,
    order: Vec<SortExpr>,
}

/// A column that occurs twice gets a new identity the second time.
fn dedup_identities(columns: Vec<(DfExpr, Attribute)>) -> Vec<(DfExpr, Attribute)> {
    let mut seen = std::collections::HashSet::new();
    let renew = |(expr, attribute): (DfExpr, Attribute)| {
        if seen.insert(attribute.id.clone()) {
            return (expr, attribute);
        }
        let id = super::unique_id(&attribute.name);
        (expr, Attribute { id, ..attribute })
    };
    columns.into_iter().map(renew).collect()
}

/// The column by its identity, whatever else has its name.
fn exact(column: &Attribute) -> (String, Expr) {
    (column.name.clone(), column.exact())
}

fn is_count(call: &Call) -> bool {
    call.name == "count" && aggregate("count").is_some()
}

fn generator_name(name: &str) -> Option<&str> {
    let inner = name.strip_suffix("_outer").unwrap_or(name);
    generator(inner).map(|_| inner)
}

/// Puts others in the place of columns, but not in the parts that `keep` is true for.
fn replace_columns(expr: &mut Expr, keep: &dyn Fn(&Expr) -> bool, replace: &dyn Fn(&Expr) -> Option<Expr>) {
    if keep(expr) {
        return;
    }
    match replace(expr) {
        Some(other) => *expr = other,
        None => expr.children_mut().into_iter().for_each(|child| replace_columns(child, keep, replace)),
    }
}
