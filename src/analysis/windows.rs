//! Windows of event time as columns, and window functions of batch queries.

use std::cell::RefCell;

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::expr::{Sort, WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::{Cast, Expr as DfExpr, WindowFrame, WindowFrameBound, WindowFrameUnits, WindowFunctionDefinition};
use datafusion::sql::sqlparser::ast;
use tidegate_functions::aggregate;
use tidegate_functions::time_window::{WindowSpec, gap_micros, session, session_gap, window_type};
use tidegate_functions::types::{DAY_TIME_INTERVAL, is_timestamp, sql_name, timestamp};

use super::Analyzer;
use super::nodes::{self, Generate};
use super::relation::{Attribute, EventTime, EventTimeKind, Relation};
use super::resolve::{Resolver, Typed, describe, unresolved_routine};
use crate::error::{Error, Result};
use crate::expr::{Call, Expr, Over, SortKey};

/// The calls of `window` and `session_window` in some expressions, each once.
fn time_windows(exprs: &[&Expr]) -> Vec<Expr> {
    let mut found: Vec<Expr> = Vec::new();
    fn collect(expr: &Expr, found: &mut Vec<Expr>) {
        match expr {
            Expr::Call(call) if call.over.is_none() && matches!(call.name.as_str(), "window" | "session_window") => {
                if !found.contains(expr) {
                    found.push(expr.clone());
                }
            }
            other => other.children().into_iter().for_each(|child| collect(child, found)),
        }
    }
    exprs.iter().for_each(|expr| collect(expr, &mut found));
    found
}

impl Analyzer<'_> {
    /// Adds the time window that the expressions use as a column, and says which expression it stands for.
    pub(super) fn with_time_windows(&self, input: Relation, exprs: &[&Expr]) -> Result<(Relation, Vec<(Expr, Attribute)>)> {
        let found = time_windows(exprs);
        let Some(first) = found.first() else { return Ok((input, Vec::new())) };
        if found.len() > 1 {
            let message = "Multiple time/session window expressions would result in a cartesian product of rows, therefore they are \
                           currently not supported.";
            return Err(Error::Streaming(message.to_owned()));
        }
        let Expr::Call(call) = first else { return Ok((input, Vec::new())) };
        let added = if call.name == "session_window" { self.session_window(input, call) } else { self.time_window(input, call) };
        let (relation, attribute) = added.map_err(|error| self.locate(error, call.at))?;
        Ok((relation, vec![(first.clone(), attribute)]))
    }

    fn time_window(&self, input: Relation, call: &Call) -> Result<(Relation, Attribute)> {
        let (time, parameters) = match call.args.as_slice() {
            [time, parameters @ ..] if (1..=3).contains(&parameters.len()) => (time, parameters),
            args => {
                let message = format!("The `window` requires [2, 3, 4] parameters but the actual number is {}.", args.len());
                return Err(Error::analysis("WRONG_NUM_ARGS.WITHOUT_SUGGESTION", message));
            }
        };
        let resolver = Resolver::new(self, &input.columns);
        let (time, event_time) = self.window_input(&resolver, time)?;
        let micros =
            parameters.iter().map(|parameter| window_micros(&resolver.resolve(parameter)?)).collect::<Result<Vec<_>>>()?;
        let length = micros.first().copied().unwrap_or_default();
        let (slide, offset) = (micros.get(1).copied().unwrap_or(length), micros.get(2).copied().unwrap_or_default());
        let spec = WindowSpec::new(length, slide, offset)?;

        let mut attribute = Attribute::new("window", window_type(&time.data_type));
        attribute.event_time = event_time.map(|event_time| EventTime { kind: EventTimeKind::Window, ..event_time });
        let present = DfExpr::IsNotNull(Box::new(time.expr.clone()));
        let resolved = spec.resolve(&time.data_type);
        let windows = resolver.apply(&spec.name(), resolved, vec![time])?;
        let filtered = self.filtered(input, present)?;
        let mut columns = filtered.columns;
        let relation = if spec.is_tumbling() {
            let mut exprs: Vec<(DfExpr, Attribute)> = columns.iter().map(|column| (column.expr(), column.clone())).collect();
            exprs.push((windows.expr, attribute.clone()));
            Relation::project(filtered.plan, exprs)?
        } else {
            // Generators give structs: the window is the only field.
            let generator = generator_call(&Resolver::new(self, &columns), "explode", vec![windows], &[])?;
            let fields = vec![(attribute.id.clone(), attribute.data_type.clone())];
            let plan = nodes::plan(Generate::new(filtered.plan, generator.expr, false, fields)?);
            columns.push(attribute.clone());
            Relation { plan, columns }
        };
        Ok((relation, attribute))
    }

    /// Adds the session that each row begins; the aggregation merges those that touch.
    fn session_window(&self, input: Relation, call: &Call) -> Result<(Relation, Attribute)> {
        let [time, gap] = call.args.as_slice() else {
            let message = format!("The `session_window` requires 2 parameters but the actual number is {}.", call.args.len());
            return Err(Error::analysis("WRONG_NUM_ARGS.WITHOUT_SUGGESTION", message));
        };
        let resolver = Resolver::new(self, &input.columns);
        let (time, event_time) = self.window_input(&resolver, time)?;
        let gap = resolver.resolve(gap)?;
        let gap = match (gap.as_literal(), &gap.data_type) {
            (Some(ScalarValue::Utf8(Some(text))), _) => Typed::literal(ScalarValue::DurationMicrosecond(Some(gap_micros(text)?))),
            (_, DataType::Utf8) => resolver.apply("session_gap", session_gap(), vec![gap])?,
            (_, own) if *own == DAY_TIME_INTERVAL => gap,
            (_, other) => {
                let message =
                    format!("The gap of a session window must be an interval, it has the type \"{}\".", sql_name(other));
                return Err(Error::analysis("DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE", message));
            }
        };
        let mut attribute = Attribute::new("session_window", window_type(&time.data_type));
        attribute.event_time = event_time.map(|event_time| EventTime { kind: EventTimeKind::Window, ..event_time });
        let session = resolver.apply("session_window", session(&time.data_type), vec![time, gap])?;
        let mut columns: Vec<(DfExpr, Attribute)> = input.columns.iter().map(|column| (column.expr(), column.clone())).collect();
        columns.push((session.expr, attribute.clone()));
        let relation = Relation::project(input.plan, columns)?;
        // Rows without a time are in no session, nor are those whose gap is not positive.
        let above = Resolver::new(self, &relation.columns);
        let part = |name: &str| above.scalar_call(".", vec![Typed::of(&attribute), Typed::literal(ScalarValue::from(name))]);
        let condition = above.scalar_call(">", vec![part("end")?, part("start")?])?;
        Ok((self.filtered(relation, condition.expr)?, attribute))
    }

    /// The time of a window: a timestamp, or what another window ends with.
    fn window_input(&self, resolver: &Resolver<'_>, time: &Expr) -> Result<(Typed, Option<EventTime>)> {
        let typed = resolver.resolve(time)?;
        let event_time = typed.event_time;
        match &typed.data_type {
            data_type if is_timestamp(data_type) => Ok((typed, event_time)),
            DataType::Struct(fields) if fields.len() == 2 && fields[0].name() == "start" && fields[1].name() == "end" => {
                let time = resolver.resolve(&Expr::call("window_time", vec![time.clone()]))?;
                Ok((time, event_time))
            }
            _ => Ok((resolver.cast_to(typed, &timestamp())?, None)),
        }
    }

    /// A call with `OVER`: only batch queries have them, as the streaming rules say.
    pub(super) fn window_function(&self, resolver: &Resolver<'_>, call: &Call, written: &Expr) -> Result<Typed> {
        let Some(windows) = resolver.windows else {
            let message =
                format!("It is not allowed to use window functions inside WHERE, GROUP BY or another function: \"{written}\".");
            return Err(Error::analysis("WINDOW_FUNCTION_NOT_ALLOWED_IN_CLAUSE", message));
        };
        let Some(over) = &call.over else { return Err(unresolved_routine(&call.name)) };
        if let Some(name) = &over.name {
            return Err(super::query::undefined_window(name.clone()));
        }
        let partition_by = over.partition_by.iter().map(|expr| Ok(resolver.resolve(expr)?.expr)).collect::<Result<Vec<_>>>()?;
        let order_by = self.sort_exprs(resolver, &over.order_by)?;
        let window_frame = match &over.frame {
            Some(frame) => self.frame(resolver, over, frame)?,
            None => WindowFrame::new((!order_by.is_empty()).then_some(false)),
        };
        let (fun, args, data_type) =
            if aggregate(&call.name).is_some() && !matches!(call.name.as_str(), "first_value" | "last_value") {
                let (udaf, args, data_type) = resolver.aggregate_parts(call)?;
                (WindowFunctionDefinition::AggregateUDF(udaf), args, data_type)
            } else {
                let registry = datafusion::execution::context::SessionContext::new();
                let udwf = registry.state().udwf(&call.name).map_err(|_| unresolved_routine(&call.name))?;
                // Ranks take their order from the window alone.
                let is_rank = matches!(call.name.as_str(), "rank" | "dense_rank" | "percent_rank");
                let args = if is_rank { Vec::new() } else { resolver.resolve_all(&call.args)? };
                let data_type = match call.name.as_str() {
                    "percent_rank" | "cume_dist" => DataType::Float64,
                    "lag" | "lead" | "nth_value" | "first_value" | "last_value" => {
                        args.first().map(|arg| arg.data_type.clone()).ok_or_else(|| unresolved_routine(&call.name))?
                    }
                    _ => DataType::UInt64,
                };
                (WindowFunctionDefinition::WindowUDF(udwf), args, data_type)
            };
        let filter = call.filter.as_deref().map(|filter| resolver.condition(filter, "FILTER")).transpose()?;
        let params = WindowFunctionParams {
            args: args.into_iter().map(|arg| arg.expr).collect(),
            partition_by,
            order_by,
            window_frame,
            filter: filter.map(|filter| Box::new(filter.expr)),
            null_treatment: call.ignore_nulls.then_some(datafusion::logical_expr::expr::NullTreatment::IgnoreNulls),
            distinct: call.distinct,
        };
        let expr = DfExpr::WindowFunction(Box::new(WindowFunction { fun, params }));
        let attribute = Attribute::new(written.to_string(), data_type);
        windows.borrow_mut().push((expr, attribute.clone()));
        // Numbers of rows are ints to Spark.
        match attribute.data_type {
            DataType::UInt64 => {
                let int = DfExpr::Cast(Cast::new(Box::new(attribute.expr()), DataType::Int32));
                Ok(Typed::new(int, DataType::Int32))
            }
            _ => Ok(Typed::of(&attribute)),
        }
    }

    /// A frame. What a range is wide is of the type of what the rows are ordered by.
    fn frame(&self, resolver: &Resolver<'_>, over: &Over, frame: &ast::WindowFrame) -> Result<WindowFrame> {
        let written = WindowFrame::try_from(frame.clone())?;
        let (WindowFrameUnits::Range, [key]) = (written.units, over.order_by.as_slice()) else { return Ok(written) };
        let data_type = resolver.resolve(&key.expr)?.data_type;
        let bound = |bound: &WindowFrameBound| -> Result<WindowFrameBound> {
            let typed = |width: &ScalarValue| {
                let unfit =
                    |_| Error::unsupported(format!("a range of {width} over a column of the type {}", sql_name(&data_type)));
                if width.is_null() { Ok(width.clone()) } else { width.cast_to(&data_type).map_err(unfit) }
            };
            Ok(match bound {
                WindowFrameBound::Preceding(width) => WindowFrameBound::Preceding(typed(width)?),
                WindowFrameBound::Following(width) => WindowFrameBound::Following(typed(width)?),
                WindowFrameBound::CurrentRow => WindowFrameBound::CurrentRow,
            })
        };
        Ok(WindowFrame::new_bounds(written.units, bound(&written.start_bound)?, bound(&written.end_bound)?))
    }

    /// Sort keys as DataFusion has them. Floats are sorted with `-0.0` and `0.0` as equals.
    pub(super) fn sort_exprs(&self, resolver: &Resolver<'_>, keys: &[SortKey]) -> Result<Vec<Sort>> {
        keys.iter().map(|key| Ok(Sort::new(resolver.resolve(&key.expr)?.expr, key.ascending, key.nulls_first))).collect()
    }
}

/// A call of a generator: an array of structs.
pub(super) fn generator_call(resolver: &Resolver<'_>, name: &str, args: Vec<Typed>, written: &[Expr]) -> Result<Typed> {
    let inner = name.strip_suffix("_outer").unwrap_or(name);
    let function = tidegate_functions::generator(inner).ok_or_else(|| unresolved_routine(name))?;
    function.arity.check(name, args.len())?;
    let described = describe(&args, written);
    let call = tidegate_functions::Call { name: inner, args: &described, settings: &resolver.analyzer.context.settings };
    let resolved = (function.resolve)(&call)?;
    resolver.apply(inner, resolved, args)
}

/// The microseconds of a window's length: a string like `10 minutes`, or an interval.
fn window_micros(parameter: &Typed) -> Result<i64> {
    let not_literal = || Error::analysis("DATATYPE_MISMATCH.NON_FOLDABLE_INPUT", "The window's lengths must be literals.");
    match parameter.as_literal().ok_or_else(not_literal)? {
        ScalarValue::Utf8(Some(text)) => Ok(gap_micros(text)?),
        ScalarValue::DurationMicrosecond(Some(micros)) => Ok(*micros),
        ScalarValue::IntervalYearMonth(_) => {
            Err(Error::analysis("_LEGACY_ERROR_TEMP_3231", "Intervals greater than a month is not supported."))
        }
        _ => Err(not_literal()),
    }
}

/// Kept together: what a projection above windows and window functions needs.
pub(super) type WindowCalls = RefCell<Vec<(DfExpr, Attribute)>>;
