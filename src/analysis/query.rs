//! SQL queries to relations.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::{self, SetExpr, SetOperator, SetQuantifier, TableFactor};

use super::Analyzer;
use super::joins::{JoinKind, table_not_found};
use super::relation::{Attribute, Relation};
use super::resolve::{Resolver, unresolved_routine};
use super::select::{Grouping, Select};
use crate::error::{Error, Result};
use crate::expr::{Expr, Over, Position, SortKey};
use crate::sql::{expression, order_keys, path};

impl Analyzer<'_> {
    /// The relation of a query.
    pub(crate) fn query(&self, query: &ast::Query) -> Result<Relation> {
        let mut scope = Analyzer { context: self.context, sql: self.sql, ctes: self.ctes.clone(), outer: self.outer.clone() };
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            let relation = scope.query(&cte.query)?;
            let relation = renamed(relation, &cte.alias.columns)?.aliased(&cte.alias.name.value);
            scope.ctes.push((cte.alias.name.value.clone(), relation));
        }
        let order_by = match query.order_by.as_ref().map(|order_by| &order_by.kind) {
            None => Vec::new(),
            Some(ast::OrderByKind::Expressions(keys)) => order_keys(keys)?,
            Some(ast::OrderByKind::All(options)) => return scope.ordered_by_all(query, options),
        };
        let relation = scope.set_expr(&query.body, order_by)?;
        scope.limited(relation, query)
    }

    fn ordered_by_all(&self, query: &ast::Query, options: &ast::OrderByOptions) -> Result<Relation> {
        let relation = self.set_expr(&query.body, Vec::new())?;
        let ascending = options.asc.unwrap_or(true);
        let key = |column: &Attribute| SortKey {
            expr: column.exact(),
            ascending,
            nulls_first: options.nulls_first.unwrap_or(ascending),
        };
        let keys: Vec<SortKey> = relation.columns.iter().map(key).collect();
        let relation = self.sort(relation, &keys)?;
        self.limited(relation, query)
    }

    fn limited(&self, relation: Relation, query: &ast::Query) -> Result<Relation> {
        let (limit, offset) = match &query.limit_clause {
            None => (None, None),
            Some(ast::LimitClause::LimitOffset { limit, offset, .. }) => {
                (limit.as_ref(), offset.as_ref().map(|offset| &offset.value))
            }
            Some(ast::LimitClause::OffsetCommaLimit { offset, limit }) => (Some(limit), Some(offset)),
        };
        let count = |expr: Option<&ast::Expr>, clause: &str| -> Result<Option<usize>> {
            let Some(expr) = expr.filter(|expr| expr.to_string().to_lowercase() != "all") else { return Ok(None) };
            let written = expression(expr)?;
            let refused = |condition: &str, rule: String| {
                let message = format!("The limit like expression \"{written}\" is invalid. The {clause} expression must {rule}.");
                Error::analysis(&format!("INVALID_LIMIT_LIKE_EXPRESSION.{condition}"), message)
            };
            if written.any(&|part| matches!(part, Expr::Column { .. })) {
                return Err(refused("IS_UNFOLDABLE", "evaluate to a constant value".to_owned()));
            }
            let typed = Resolver::new(self, &[]).resolve(&written)?;
            let n = match typed.as_literal() {
                Some(ScalarValue::Int8(Some(n))) => i64::from(*n),
                Some(ScalarValue::Int16(Some(n))) => i64::from(*n),
                Some(ScalarValue::Int32(Some(n))) => i64::from(*n),
                Some(value) if value.is_null() => return Err(refused("IS_NULL", "not evaluate to null".to_owned())),
                Some(ScalarValue::Int64(_)) | Some(_) => {
                    let found = tidegate_functions::types::sql_name(&typed.data_type);
                    return Err(refused("DATA_TYPE", format!("be integer type, but got \"{found}\"")));
                }
                None => return Err(refused("IS_UNFOLDABLE", "evaluate to a constant value".to_owned())),
            };
            match usize::try_from(n) {
                Ok(n) => Ok(Some(n)),
                Err(_) => Err(refused("IS_NEGATIVE", format!("be equal to or greater than 0, but got {n}"))),
            }
        };
        let (limit, offset) = (count(limit, "limit")?, count(offset, "offset")?);
        if limit.is_none() && offset.is_none() { Ok(relation) } else { self.limit(relation, offset.unwrap_or(0), limit) }
    }

    fn set_expr(&self, body: &SetExpr, order_by: Vec<SortKey>) -> Result<Relation> {
        match body {
            SetExpr::Select(select) => self.select_query(select, order_by),
            SetExpr::Query(query) => self.sorted(self.query(query)?, &order_by),
            SetExpr::SetOperation { left, op, set_quantifier, right } => {
                let (left, right) = (self.set_expr(left, Vec::new())?, self.set_expr(right, Vec::new())?);
                let combined = self.set_operation(left, right, *op, *set_quantifier)?;
                self.sorted(combined, &order_by)
            }
            SetExpr::Values(values) => self.sorted(self.values(values)?, &order_by),
            SetExpr::Table(table) => {
                let name: Vec<String> = table.schema_name.iter().chain(&table.table_name).cloned().collect();
                self.sorted(self.table(&name, Position::default())?, &order_by)
            }
            other => Err(Error::unsupported(format!("the statement {other} is no query"))),
        }
    }

    fn sorted(&self, relation: Relation, keys: &[SortKey]) -> Result<Relation> {
        if keys.is_empty() {
            return Ok(relation);
        }
        let items = relation.columns.iter().map(Attribute::exact).collect();
        self.select(relation, Select { order_by: keys.to_vec(), ..Select::items(items) })
    }

    fn set_operation(&self, left: Relation, right: Relation, op: SetOperator, quantifier: SetQuantifier) -> Result<Relation> {
        let all = matches!(quantifier, SetQuantifier::All | SetQuantifier::AllByName);
        let by_name = matches!(quantifier, SetQuantifier::ByName | SetQuantifier::AllByName | SetQuantifier::DistinctByName);
        match op {
            SetOperator::Union => {
                let union = if by_name { self.union_by_name(left, right, false)? } else { self.union(left, right)? };
                if all { Ok(union) } else { self.distinct(union) }
            }
            SetOperator::Except | SetOperator::Intersect | SetOperator::Minus if all => {
                Err(Error::unsupported(format!("{op} ALL is not supported, {op} of distinct rows is")))
            }
            SetOperator::Except | SetOperator::Minus => self.intersect_or_except(left, right, true),
            SetOperator::Intersect => self.intersect_or_except(left, right, false),
        }
    }

    fn values(&self, values: &ast::Values) -> Result<Relation> {
        let resolver = Resolver::new(self, &[]);
        let rows = values
            .rows
            .iter()
            .map(|row| row.content.iter().map(|expr| resolver.resolve(&expression(expr)?)).collect::<Result<Vec<_>>>())
            .collect::<Result<Vec<_>>>()?;
        let width = rows.first().map_or(0, Vec::len);
        if rows.iter().any(|row| row.len() != width) {
            return Err(Error::analysis(
                "INVALID_INLINE_TABLE.NUM_COLUMNS_MISMATCH",
                format!("Invalid inline table: expected {width} columns in every row."),
            ));
        }
        let types = (0..width)
            .map(|column| {
                tidegate_functions::coercion::common_type_of(rows.iter().map(|row| &row[column].data_type)).ok_or_else(|| {
                    Error::analysis(
                        "INVALID_INLINE_TABLE.INCOMPATIBLE_TYPES_IN_INLINE_TABLE",
                        "Invalid inline table: incompatible types found in a column.",
                    )
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let columns: Vec<Attribute> =
            types.iter().enumerate().map(|(n, own)| Attribute::new(format!("col{}", n + 1), own.clone())).collect();
        let row = |row: Vec<super::Typed>| {
            let cast = |(value, column): (super::Typed, &Attribute)| Ok(resolver.cast_to(value, &column.data_type)?.expr);
            row.into_iter().zip(&columns).map(cast).collect::<Result<Vec<_>>>()
        };
        let rows = rows.into_iter().map(row).collect::<Result<Vec<_>>>()?;
        let plan = LogicalPlanBuilder::values(rows)?.build()?;
        let given = plan.schema().columns();
        let columns = given.into_iter().map(datafusion::logical_expr::Expr::Column).zip(columns).collect();
        Relation::project(plan, columns)
    }

    // ---- SELECT

    fn select_query(&self, select: &ast::Select, order_by: Vec<SortKey>) -> Result<Relation> {
        if select.qualify.is_some()
            || !select.cluster_by.is_empty()
            || !select.distribute_by.is_empty()
            || !select.sort_by.is_empty()
        {
            return Err(Error::unsupported("QUALIFY, CLUSTER BY, DISTRIBUTE BY and SORT BY are not supported"));
        }
        let mut input = self.from(&select.from)?;
        for view in &select.lateral_views {
            input = self.lateral_view(input, view)?;
        }
        if let Some(condition) = &select.selection {
            input = self.filter(input, &expression(condition)?)?;
        }
        let mut items = select.projection.iter().map(select_item).collect::<Result<Vec<_>>>()?;
        let mut order_by = order_by;
        if !select.named_window.is_empty() {
            let windows = named_windows(&select.named_window)?;
            for expr in items.iter_mut().chain(order_by.iter_mut().map(|key| &mut key.expr)) {
                expr.define_windows(&windows).map_err(undefined_window)?;
            }
        }
        let grouping = grouping(&select.group_by)?;
        let having = select.having.as_ref().map(expression).transpose()?;
        let distinct = match &select.distinct {
            None | Some(ast::Distinct::All) => false,
            Some(ast::Distinct::Distinct) => true,
            Some(ast::Distinct::On(_)) => return Err(Error::unsupported("DISTINCT ON is not supported: use dropDuplicates")),
        };
        self.select(input, Select { items, grouping, having, order_by, distinct })
    }

    fn from(&self, from: &[ast::TableWithJoins]) -> Result<Relation> {
        let mut tables = from.iter();
        let Some(first) = tables.next() else {
            let schema = std::sync::Arc::new(datafusion::common::DFSchema::empty());
            let plan = LogicalPlan::EmptyRelation(datafusion::logical_expr::EmptyRelation { produce_one_row: true, schema });
            return Ok(Relation { plan, columns: Vec::new() });
        };
        tables.try_fold(self.table_with_joins(first)?, |left, right| match lateral_generator(&right.relation)? {
            Some(generator) => {
                let left = self.lateral(left, &generator)?;
                right.joins.iter().try_fold(left, |left, join| self.joined(left, join))
            }
            None => self.join(left, self.table_with_joins(right)?, JoinKind::Cross, None),
        })
    }

    fn table_with_joins(&self, table: &ast::TableWithJoins) -> Result<Relation> {
        table.joins.iter().try_fold(self.table_factor(&table.relation)?, |left, join| self.joined(left, join))
    }

    fn joined(&self, left: Relation, join: &ast::Join) -> Result<Relation> {
        use ast::JoinOperator as Op;
        if let Some(generator) = lateral_generator(&join.relation)? {
            // A left join keeps no more rows than an inner one, as in Spark.
            match &join.join_operator {
                Op::Join(ast::JoinConstraint::None) | Op::Inner(ast::JoinConstraint::None) | Op::CrossJoin(_) => {}
                Op::Left(ast::JoinConstraint::None) | Op::LeftOuter(ast::JoinConstraint::None) => {}
                other => return Err(Error::unsupported(format!("the join {other:?} with a lateral function is not supported"))),
            };
            return self.lateral(left, &generator);
        }
        let right = self.table_factor(&join.relation)?;
        let (kind, constraint) = match &join.join_operator {
            Op::Join(constraint) | Op::Inner(constraint) => (JoinKind::Inner, constraint),
            Op::Left(constraint) | Op::LeftOuter(constraint) => (JoinKind::Left, constraint),
            Op::Right(constraint) | Op::RightOuter(constraint) => (JoinKind::Right, constraint),
            Op::FullOuter(constraint) => (JoinKind::Full, constraint),
            Op::CrossJoin(constraint) => (JoinKind::Cross, constraint),
            Op::Semi(constraint) | Op::LeftSemi(constraint) => (JoinKind::Semi, constraint),
            Op::Anti(constraint) | Op::LeftAnti(constraint) => (JoinKind::Anti, constraint),
            other => return Err(Error::unsupported(format!("the join {other:?} is not supported"))),
        };
        match constraint {
            ast::JoinConstraint::On(condition) => self.join(left, right, kind, Some(&expression(condition)?)),
            ast::JoinConstraint::Using(names) => {
                let names: Vec<String> = names.iter().map(|name| path(name).pop().unwrap_or_default()).collect();
                self.join_using(left, right, kind, &names)
            }
            ast::JoinConstraint::Natural => self.join_natural(left, right, kind),
            ast::JoinConstraint::None => self.join(left, right, kind, None),
        }
    }

    fn table_factor(&self, factor: &TableFactor) -> Result<Relation> {
        match factor {
            TableFactor::Table { name, alias, args: None, sample, .. } => {
                let parts = path(name);
                let at = name.0.first().and_then(|part| part.as_ident()).map(Position::of).unwrap_or_default();
                let relation = self.table(&parts, at)?;
                let relation = relation.aliased(parts.last().map_or("", String::as_str));
                self.sampled(with_alias(relation, alias.as_ref())?, sample.is_some())
            }
            TableFactor::Table { name, alias, args: Some(args), .. } => {
                self.table_function(&path(name), &args.args, alias.as_ref())
            }
            TableFactor::Function { name, args, alias, .. } => self.table_function(&path(name), args, alias.as_ref()),
            TableFactor::Derived { lateral: false, subquery, alias, sample } => {
                let mut relation = self.query(subquery)?;
                // The columns of a subquery have no qualifier but its alias.
                relation.columns.iter_mut().for_each(|column| column.qualifier.clear());
                self.sampled(with_alias(relation, alias.as_ref())?, sample.is_some())
            }
            TableFactor::NestedJoin { table_with_joins, alias } => {
                with_alias(self.table_with_joins(table_with_joins)?, alias.as_ref())
            }
            other => Err(Error::unsupported(format!("{other} is not supported in FROM"))),
        }
    }

    fn sampled(&self, relation: Relation, sample: bool) -> Result<Relation> {
        match (sample, relation.is_streaming()) {
            (false, _) => Ok(relation),
            (true, true) => Err(Error::Streaming("Sampling is not supported on streaming DataFrames/Datasets".to_owned())),
            (true, false) => Err(Error::unsupported("TABLESAMPLE is not supported: use DataFrame::sample")),
        }
    }

    /// A table-valued function: `range`, or a generator.
    fn table_function(&self, name: &[String], args: &[ast::FunctionArg], alias: Option<&ast::TableAlias>) -> Result<Relation> {
        let args = function_args(args)?;
        let name = name.join(".").to_lowercase();
        let call = match (name.as_str(), args.as_slice()) {
            ("stream", [Expr::Column { parts, at }]) => return with_alias(self.table(parts, *at)?, alias),
            ("range", args @ ([_] | [_, _] | [_, _, _] | [_, _, _, _])) => {
                let long = |expr: &Expr| Expr::Cast { expr: Box::new(expr.clone()), to: DataType::Int64, is_try: false };
                let (start, end) = match args {
                    [end] => (long(&Expr::int(0)), long(end)),
                    [start, end, ..] => (long(start), long(end)),
                    [] => return Err(unresolved_routine("range")),
                };
                let step = args.get(2).map_or_else(|| long(&Expr::int(1)), long);
                // `sequence` has its end in it, a range has not.
                let forward = Expr::call(">", vec![step.clone(), Expr::int(0)]);
                let one = Expr::call("if", vec![forward.clone(), Expr::int(1), Expr::int(-1)]);
                let last = Expr::call("-", vec![end.clone(), one]);
                let sequence = Expr::call("sequence", vec![start.clone(), last, step]);
                let empty = Expr::Cast {
                    expr: Box::new(Expr::call("array", Vec::new())),
                    to: tidegate_functions::types::list(DataType::Int64),
                    is_try: false,
                };
                let ascends = Expr::call("<", vec![start.clone(), end.clone()]);
                let when = Expr::call("if", vec![forward, ascends, Expr::call(">", vec![start, end])]);
                crate::expr::Call {
                    name: "explode".to_owned(),
                    args: vec![Expr::call("if", vec![when, sequence, empty])],
                    ..Default::default()
                }
            }
            _ => crate::expr::Call { name: name.clone(), args, ..Default::default() },
        };
        let names: Vec<String> = if name == "range" { vec!["id".to_owned()] } else { Vec::new() };
        if tidegate_functions::generator(call.name.trim_end_matches("_outer")).is_none() {
            return Err(Error::analysis(
                "UNRESOLVABLE_TABLE_VALUED_FUNCTION",
                format!("Could not resolve `{name}` to a table-valued function."),
            ));
        }
        let one = self.from(&[])?;
        let outer = call.name.ends_with("_outer");
        let (relation, _) = self.generate(one, &call, outer, &names, &[])?;
        with_alias(relation, alias)
    }

    /// A common table expression, a view or a table.
    fn table(&self, name: &[String], at: Position) -> Result<Relation> {
        if let [name] = name
            && let Some((_, relation)) = self.ctes.iter().rev().find(|(own, _)| own.eq_ignore_ascii_case(name))
        {
            return relation.clone().fresh();
        }
        let found = self.context.tables.table(name)?.ok_or_else(|| self.locate(table_not_found(name), at))?;
        found.fresh()
    }

    /// The rows that a generator makes of each row of the input: `FROM t, LATERAL explode(t.xs) AS e(x)`.
    fn lateral(&self, input: Relation, (call, alias): &LateralGenerator) -> Result<Relation> {
        let outer = call.name.ends_with("_outer");
        let names: Vec<String> = alias.iter().flat_map(|alias| &alias.columns).map(|column| column.name.value.clone()).collect();
        let qualifier: Vec<String> = alias.iter().map(|alias| alias.name.value.clone()).collect();
        Ok(self.generate(input, call, outer, &names, &qualifier)?.0)
    }

    fn lateral_view(&self, input: Relation, view: &ast::LateralView) -> Result<Relation> {
        let Expr::Call(call) = expression(&view.lateral_view)? else {
            return Err(Error::analysis("PARSE_SYNTAX_ERROR", "LATERAL VIEW needs a generator, such as explode"));
        };
        let names: Vec<String> = view.lateral_col_alias.iter().map(|ident| ident.value.clone()).collect();
        let outer = view.outer || call.name.ends_with("_outer");
        let (relation, _) = self.generate(input, &call, outer, &names, &path(&view.lateral_view_name))?;
        Ok(relation)
    }
}

/// A generator of a `FROM` clause, and its alias.
type LateralGenerator = (crate::expr::Call, Option<ast::TableAlias>);

/// The generator, if the table is one that sees the tables before it.
fn lateral_generator(factor: &TableFactor) -> Result<Option<LateralGenerator>> {
    let TableFactor::Function { lateral: true, name, args, alias, .. } = factor else { return Ok(None) };
    let name = path(name).join(".").to_lowercase();
    if tidegate_functions::generator(name.trim_end_matches("_outer")).is_none() {
        return Ok(None);
    }
    let args = function_args(args)?;
    Ok(Some((crate::expr::Call { name, args, ..Default::default() }, alias.clone())))
}

fn function_args(args: &[ast::FunctionArg]) -> Result<Vec<Expr>> {
    args.iter()
        .map(|arg| match arg {
            ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) => expression(expr),
            other => Err(Error::unsupported(format!("the argument {other}"))),
        })
        .collect()
}

fn with_alias(relation: Relation, alias: Option<&ast::TableAlias>) -> Result<Relation> {
    match alias {
        None => Ok(relation),
        Some(alias) => Ok(renamed(relation, &alias.columns)?.aliased(&alias.name.value)),
    }
}

fn renamed(mut relation: Relation, names: &[ast::TableAliasColumnDef]) -> Result<Relation> {
    if names.is_empty() {
        return Ok(relation);
    }
    if names.len() != relation.columns.len() {
        let (given, wanted) = (names.len(), relation.columns.len());
        let message = format!(
            "Number of column aliases does not match number of columns. Number of column aliases: {given}; number of columns: {wanted}."
        );
        return Err(Error::analysis("ASSIGNMENT_ARITY_MISMATCH", message));
    }
    for (column, name) in relation.columns.iter_mut().zip(names) {
        column.name.clone_from(&name.name.value);
    }
    Ok(relation)
}

/// One item of a select list.
pub(crate) fn select_item(item: &ast::SelectItem) -> Result<Expr> {
    use ast::SelectItemQualifiedWildcardKind as Kind;
    Ok(match item {
        ast::SelectItem::UnnamedExpr(expr) => expression(expr)?,
        ast::SelectItem::ExprWithAlias { expr, alias } => expression(expr)?.alias(&alias.value),
        ast::SelectItem::ExprWithAliases { expr, aliases } => {
            Expr::Alias { expr: Box::new(expression(expr)?), names: aliases.iter().map(|alias| alias.value.clone()).collect() }
        }
        ast::SelectItem::Wildcard(options) => star(Vec::new(), options)?,
        ast::SelectItem::QualifiedWildcard(Kind::ObjectName(name), options) => star(path(name), options)?,
        ast::SelectItem::QualifiedWildcard(Kind::Expr(expr), _) => {
            return Err(Error::unsupported(format!("{expr}.* is not supported")));
        }
    })
}

fn star(qualifier: Vec<String>, options: &ast::WildcardAdditionalOptions) -> Result<Expr> {
    let mut except: Vec<String> = Vec::new();
    if let Some(excepted) = &options.opt_except {
        except.extend(
            std::iter::once(&excepted.first_element).chain(&excepted.additional_elements).map(|ident| ident.value.clone()),
        );
    }
    match &options.opt_exclude {
        Some(ast::ExcludeSelectItem::Single(name)) => except.extend(path(name).pop()),
        Some(ast::ExcludeSelectItem::Multiple(names)) => except.extend(names.iter().filter_map(|name| path(name).pop())),
        None => {}
    }
    let mut replace = Vec::new();
    for element in options.opt_replace.iter().flat_map(|replaced| &replaced.items) {
        replace.push((element.column_name.value.clone(), expression(&element.expr)?));
    }
    Ok(Expr::Star { qualifier, except, replace })
}

/// The windows of the `WINDOW` clause.
fn named_windows(defined: &[ast::NamedWindowDefinition]) -> Result<Vec<(String, Over)>> {
    let mut windows: Vec<(String, Over)> = Vec::with_capacity(defined.len());
    for ast::NamedWindowDefinition(name, window) in defined {
        let over = match window {
            ast::NamedWindowExpr::WindowSpec(spec) => crate::sql::window(spec)?,
            ast::NamedWindowExpr::NamedWindow(other) => {
                let known = windows.iter().find(|(own, _)| own.eq_ignore_ascii_case(&other.value));
                known.map(|(_, over)| over.clone()).ok_or_else(|| undefined_window(other.value.clone()))?
            }
        };
        windows.push((name.value.clone(), over));
    }
    Ok(windows)
}

pub(super) fn undefined_window(name: String) -> Error {
    let message = format!("Window specification is not defined in the WINDOW clause for `{name}`.");
    Error::analysis("MISSING_WINDOW_SPECIFICATION", message)
}

/// GROUP BY with all its forms; grouping sets as sets of numbers of keys.
fn grouping(group_by: &ast::GroupByExpr) -> Result<Grouping> {
    let (exprs, modifiers) = match group_by {
        ast::GroupByExpr::All(modifiers) if modifiers.is_empty() => return Ok(Grouping::All),
        ast::GroupByExpr::All(_) => return Err(Error::unsupported("GROUP BY ALL with ROLLUP or CUBE")),
        ast::GroupByExpr::Expressions(exprs, modifiers) if exprs.is_empty() && modifiers.is_empty() => return Ok(Grouping::None),
        ast::GroupByExpr::Expressions(exprs, modifiers) => (exprs, modifiers),
    };
    let mut keys: Vec<Expr> = Vec::new();
    // Each part of the clause multiplies the sets.
    let mut sets: Vec<Vec<usize>> = vec![Vec::new()];
    let mut is_plain = true;
    for expr in exprs {
        let part = match expr {
            ast::Expr::GroupingSets(given) => key_sets(&mut keys, given)?,
            ast::Expr::Rollup(given) => rollup(&key_sets(&mut keys, given)?),
            ast::Expr::Cube(given) => cube(&key_sets(&mut keys, given)?)?,
            plain => {
                let number = key_number(&mut keys, plain)?;
                sets.iter_mut().for_each(|set| set.push(number));
                continue;
            }
        };
        is_plain = false;
        sets = sets.iter().flat_map(|set| part.iter().map(move |more| set.iter().chain(more).copied().collect())).collect();
    }
    for modifier in modifiers {
        is_plain = false;
        let single: Vec<Vec<usize>> = (0..keys.len()).map(|key| vec![key]).collect();
        sets = match modifier {
            ast::GroupByWithModifier::Rollup => rollup(&single),
            ast::GroupByWithModifier::Cube => cube(&single)?,
            ast::GroupByWithModifier::GroupingSets(ast::Expr::GroupingSets(given)) => key_sets(&mut keys, given)?,
            other => return Err(Error::unsupported(format!("GROUP BY … {other}"))),
        };
    }
    Ok(Grouping::Keys { keys, sets: (!is_plain).then_some(sets) })
}

fn key_number(keys: &mut Vec<Expr>, expr: &ast::Expr) -> Result<usize> {
    let expr = expression(expr)?;
    Ok(keys.iter().position(|own| *own == expr).unwrap_or_else(|| {
        keys.push(expr);
        keys.len() - 1
    }))
}

fn key_sets(keys: &mut Vec<Expr>, given: &[Vec<ast::Expr>]) -> Result<Vec<Vec<usize>>> {
    given.iter().map(|set| set.iter().map(|expr| key_number(keys, expr)).collect()).collect()
}

/// `(a, b)`, `(a)`, `()`.
pub(crate) fn rollup(parts: &[Vec<usize>]) -> Vec<Vec<usize>> {
    (0..=parts.len()).rev().map(|kept| parts[..kept].concat()).collect()
}

/// Every subset.
///
/// # Errors
/// `GROUPING_SIZE_LIMIT_EXCEEDED` for so many parts that every row would be multiplied beyond reason.
pub(crate) fn cube(parts: &[Vec<usize>]) -> Result<Vec<Vec<usize>>> {
    const MOST: usize = 16;
    if parts.len() > MOST {
        let message = format!("Grouping sets size cannot be greater than {MOST} in a CUBE: it has {}.", parts.len());
        return Err(Error::analysis("GROUPING_SIZE_LIMIT_EXCEEDED", message));
    }
    let subset = |bits: usize| {
        parts.iter().enumerate().filter(move |(n, _)| bits >> n & 1 == 1).flat_map(|(_, part)| part.clone()).collect()
    };
    Ok((0..1usize << parts.len()).rev().map(subset).collect())
}
