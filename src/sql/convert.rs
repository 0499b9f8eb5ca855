//! sqlparser's syntax tree to unresolved expressions.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::{self, BinaryOperator, UnaryOperator, Value};
use tidegate_functions::datetime::parse_interval_literal;
use tidegate_functions::types::{self, parse as parse_type};

use crate::error::{Error, Result};
use crate::expr::{Call, Expr, Over, Position, SortKey, SubqueryKind};

/// The parts of a name.
pub(crate) fn path(name: &ast::ObjectName) -> Vec<String> {
    name.0.iter().map(|part| part.as_ident().map_or_else(|| part.to_string(), |ident| ident.value.clone())).collect()
}

/// The unresolved form of an expression.
pub(crate) fn expression(expr: &ast::Expr) -> Result<Expr> {
    use ast::Expr as Sql;
    let call = |name: &str, args: Vec<&ast::Expr>| -> Result<Expr> {
        Ok(Expr::call(name, args.into_iter().map(expression).collect::<Result<_>>()?))
    };
    let negate = |expr: Expr, negated: bool| if negated { Expr::call("not", vec![expr]) } else { expr };
    let expr_kind = expr;
    Ok(match expr {
        Sql::Identifier(ident) => Expr::Column { parts: vec![ident.value.clone()], at: Position::of(ident) },
        Sql::CompoundIdentifier(idents) => Expr::Column {
            parts: idents.iter().map(|ident| ident.value.clone()).collect(),
            at: idents.first().map(Position::of).unwrap_or_default(),
        },
        Sql::CompoundFieldAccess { root, access_chain } => access(expression(root)?, access_chain)?,
        Sql::Nested(inner) => expression(inner)?,
        Sql::Value(value) => literal(&value.value)?,
        Sql::TypedString(typed) => typed_string(typed)?,
        Sql::Prefixed { prefix, value } => prefixed(prefix, value)?,
        Sql::Interval(interval) => interval_literal(interval)?,
        Sql::IsNull(e) => call("isnull", vec![e])?,
        Sql::IsNotNull(e) => call("isnotnull", vec![e])?,
        Sql::IsTrue(e) => call("istrue", vec![e])?,
        Sql::IsNotTrue(e) => negate(call("istrue", vec![e])?, true),
        Sql::IsFalse(e) => call("isfalse", vec![e])?,
        Sql::IsNotFalse(e) => negate(call("isfalse", vec![e])?, true),
        Sql::IsUnknown(e) => call("isnull", vec![e])?,
        Sql::IsNotUnknown(e) => call("isnotnull", vec![e])?,
        Sql::IsDistinctFrom(l, r) => negate(call("<=>", vec![l, r])?, true),
        Sql::IsNotDistinctFrom(l, r) => call("<=>", vec![l, r])?,
        Sql::InList { expr, list, negated } => {
            negate(call("in", std::iter::once(expr.as_ref()).chain(list).collect())?, *negated)
        }
        Sql::InSubquery { expr, subquery, negated } => Expr::Subquery {
            kind: SubqueryKind::In { expr: Box::new(expression(expr)?), negated: *negated },
            query: Arc::new(subquery.as_ref().clone()),
        },
        Sql::Exists { subquery, negated } => {
            Expr::Subquery { kind: SubqueryKind::Exists { negated: *negated }, query: Arc::new(subquery.as_ref().clone()) }
        }
        Sql::Subquery(query) => Expr::Subquery { kind: SubqueryKind::Scalar, query: Arc::new(query.as_ref().clone()) },
        Sql::Between { expr, negated, low, high } => negate(call("between", vec![expr, low, high])?, *negated),
        Sql::BinaryOp { left, op, right } => binary(left, op, right)?,
        Sql::UnaryOp { op, expr } => unary(op, expr)?,
        Sql::Like { negated, any, expr, pattern, .. } | Sql::ILike { negated, any, expr, pattern, .. }
            if quantified(*any, pattern).is_some() =>
        {
            let name = if matches!(expr_kind, Sql::Like { .. }) { "like" } else { "ilike" };
            let Some((join, patterns)) = quantified(*any, pattern) else {
                return Err(Error::unsupported("LIKE without patterns"));
            };
            let tests = patterns
                .into_iter()
                .map(|pattern| Ok(negate(like(name, expr, pattern, None)?, *negated)))
                .collect::<Result<Vec<_>>>()?;
            tests
                .into_iter()
                .reduce(|left, right| Expr::call(join, vec![left, right]))
                .unwrap_or(Expr::Literal(ScalarValue::Null))
        }
        Sql::Like { negated, any: false, expr, pattern, escape_char } => {
            negate(like("like", expr, pattern, escape_char.as_ref())?, *negated)
        }
        Sql::ILike { negated, any: false, expr, pattern, escape_char } => {
            negate(like("ilike", expr, pattern, escape_char.as_ref())?, *negated)
        }
        Sql::RLike { negated, expr, pattern, .. } => negate(call("rlike", vec![expr, pattern])?, *negated),
        Sql::Cast { kind, expr, data_type, .. } => Expr::Cast {
            expr: Box::new(expression(expr)?),
            to: type_of(data_type)?,
            is_try: matches!(kind, ast::CastKind::TryCast | ast::CastKind::SafeCast),
        },
        Sql::Extract { field, expr, .. } => Expr::call("extract", vec![Expr::string(field.to_string()), expression(expr)?]),
        Sql::Ceil { expr, field } => rounding("ceil", expr, field)?,
        Sql::Floor { expr, field } => rounding("floor", expr, field)?,
        Sql::Position { expr, r#in } => call("locate", vec![expr, r#in])?,
        Sql::Substring { expr, substring_from, substring_for, shorthand, special } => {
            if substring_from.is_none() && substring_for.is_none() {
                let message = "The `substring` requires [2, 3] parameters but the actual number is 1.";
                return Err(Error::analysis("WRONG_NUM_ARGS.WITHOUT_SUGGESTION", message));
            }
            let from = substring_from.as_deref().map_or_else(|| Ok(Expr::int(1)), expression)?;
            let mut args = vec![expression(expr)?, from];
            args.extend(substring_for.as_deref().map(expression).transpose()?);
            Expr::call(if *shorthand && *special { "substr" } else { "substring" }, args)
        }
        Sql::Trim { trim_where, trim_what, expr, trim_characters } => {
            let name = match trim_where {
                None | Some(ast::TrimWhereField::Both) => "trim",
                Some(ast::TrimWhereField::Leading) => "ltrim",
                Some(ast::TrimWhereField::Trailing) => "rtrim",
            };
            let what = trim_what.as_deref().or_else(|| trim_characters.as_ref()?.first());
            call(name, what.into_iter().chain([expr.as_ref()]).collect())?
        }
        Sql::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
            let length = overlay_for.as_deref();
            call("overlay", [expr.as_ref(), overlay_what, overlay_from].into_iter().chain(length).collect())?
        }
        Sql::Function(function) => function_call(function)?,
        Sql::Case { operand, conditions, else_result, .. } => Expr::Case {
            operand: operand.as_deref().map(expression).transpose()?.map(Box::new),
            branches: conditions
                .iter()
                .map(|branch| Ok((expression(&branch.condition)?, expression(&branch.result)?)))
                .collect::<Result<_>>()?,
            otherwise: else_result.as_deref().map(expression).transpose()?.map(Box::new),
        },
        Sql::Lambda(lambda) => {
            let params = match &lambda.params {
                ast::OneOrManyWithParens::One(param) => vec![param.name.value.clone()],
                ast::OneOrManyWithParens::Many(params) => params.iter().map(|param| param.name.value.clone()).collect(),
            };
            Expr::Lambda { params, body: Box::new(expression(&lambda.body)?) }
        }
        Sql::Tuple(values) => {
            let field = |(index, value): (usize, &ast::Expr)| Ok([Expr::string(format!("col{}", index + 1)), expression(value)?]);
            let fields = values.iter().enumerate().map(field).collect::<Result<Vec<_>>>()?;
            Expr::call("named_struct", fields.into_iter().flatten().collect())
        }
        Sql::Struct { values, .. } => {
            let field = |value: &ast::Expr| match value {
                Sql::Named { expr, name } => Ok(expression(expr)?.alias(name.value.clone())),
                other => expression(other),
            };
            Expr::call("struct", values.iter().map(field).collect::<Result<_>>()?)
        }
        Sql::Named { expr, name } => expression(expr)?.alias(name.value.clone()),
        Sql::Array(array) => call("array", array.elem.iter().collect())?,
        Sql::Wildcard(_) => Expr::Star { qualifier: Vec::new(), except: Vec::new(), replace: Vec::new() },
        Sql::QualifiedWildcard(name, _) => Expr::Star { qualifier: path(name), except: Vec::new(), replace: Vec::new() },
        other => return Err(Error::analysis("PARSE_SYNTAX_ERROR", format!("the expression {other} is not supported"))),
    })
}

/// The type of a cast. Nested types come as names in back-quotes.
/// The type that a cast or a column is declared with.
pub(crate) fn type_of(data_type: &ast::DataType) -> Result<DataType> {
    let text = match data_type {
        ast::DataType::Custom(name, _) if name.0.len() == 1 => path(name).concat(),
        other => other.to_string(),
    };
    Ok(parse_type(&text)?)
}

/// How the tests of `LIKE ANY (…)` and `LIKE ALL (…)` are joined, and the patterns.
fn quantified(any: bool, pattern: &ast::Expr) -> Option<(&'static str, Vec<&ast::Expr>)> {
    let patterns = |function: &'_ ast::Function| match &function.args {
        ast::FunctionArguments::List(list) => list.args.len(),
        _ => 0,
    };
    match pattern {
        ast::Expr::Tuple(patterns) if any => Some(("or", patterns.iter().collect())),
        pattern if any => Some(("or", vec![pattern])),
        ast::Expr::Function(function) if patterns(function) > 0 => {
            let join = match path(&function.name).concat().to_lowercase().as_str() {
                "all" => "and",
                "some" | "any" => "or",
                _ => return None,
            };
            let ast::FunctionArguments::List(list) = &function.args else { return None };
            let pattern = |arg| match arg {
                &ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(ref pattern)) => Some(pattern),
                _ => None,
            };
            Some((join, list.args.iter().map(pattern).collect::<Option<_>>()?))
        }
        _ => None,
    }
}

/// `like` with its optional escape character.
fn like(name: &str, expr: &ast::Expr, pattern: &ast::Expr, escape: Option<&ast::ValueWithSpan>) -> Result<Expr> {
    let mut args = vec![expression(expr)?, expression(pattern)?];
    args.extend(escape.map(|escape| literal(&escape.value)).transpose()?);
    Ok(Expr::call(name, args))
}

fn rounding(name: &str, expr: &ast::Expr, field: &ast::CeilFloorKind) -> Result<Expr> {
    let mut args = vec![expression(expr)?];
    match field {
        ast::CeilFloorKind::DateTimeField(ast::DateTimeField::NoDateTime) => {}
        ast::CeilFloorKind::DateTimeField(field) => return Err(Error::unsupported(format!("{name} to {field}"))),
        ast::CeilFloorKind::Scale(scale) => args.push(literal(&scale.value)?),
    }
    Ok(Expr::call(name, args))
}

fn access(root: Expr, chain: &[ast::AccessExpr]) -> Result<Expr> {
    chain.iter().try_fold(root, |value, step| match step {
        ast::AccessExpr::Dot(ast::Expr::Identifier(field)) => Ok(field_of(value, &field.value)),
        ast::AccessExpr::Subscript(ast::Subscript::Index { index }) => Ok(Expr::call("[]", vec![value, expression(index)?])),
        other => Err(Error::analysis("PARSE_SYNTAX_ERROR", format!("the access {other} is not supported"))),
    })
}

/// A field of a struct; of a column, a longer path, whose first parts may still be a qualifier.
fn field_of(value: Expr, field: &str) -> Expr {
    match value {
        Expr::Column { mut parts, at } => {
            parts.push(field.to_owned());
            Expr::Column { parts, at }
        }
        other => Expr::call(".", vec![other, Expr::string(field)]),
    }
}

fn binary(left: &ast::Expr, op: &BinaryOperator, right: &ast::Expr) -> Result<Expr> {
    let name = match op {
        BinaryOperator::Plus => "+",
        BinaryOperator::Minus => "-",
        BinaryOperator::Multiply => "*",
        BinaryOperator::Divide => "/",
        BinaryOperator::Modulo => "%",
        BinaryOperator::MyIntegerDivide => "div",
        BinaryOperator::Eq => "=",
        BinaryOperator::NotEq => "<>",
        BinaryOperator::Lt => "<",
        BinaryOperator::LtEq => "<=",
        BinaryOperator::Gt => ">",
        BinaryOperator::GtEq => ">=",
        BinaryOperator::Spaceship => "<=>",
        BinaryOperator::And => "and",
        BinaryOperator::Or => "or",
        BinaryOperator::StringConcat => "||",
        BinaryOperator::BitwiseAnd => "&",
        BinaryOperator::BitwiseOr => "|",
        BinaryOperator::BitwiseXor | BinaryOperator::PGBitwiseXor => "^",
        BinaryOperator::PGBitwiseShiftLeft => "<<",
        BinaryOperator::PGBitwiseShiftRight => ">>",
        BinaryOperator::Custom(op) => op,
        other => return Err(Error::analysis("PARSE_SYNTAX_ERROR", format!("Syntax error at or near '{other}'"))),
    };
    Ok(Expr::call(name, vec![expression(left)?, expression(right)?]))
}

fn unary(op: &UnaryOperator, expr: &ast::Expr) -> Result<Expr> {
    if let (UnaryOperator::Minus, ast::Expr::Value(value)) = (op, expr)
        && let Value::Number(text, long) = &value.value
    {
        // The sign belongs to the number: -9223372036854775808 is a bigint.
        return number(&format!("-{text}"), *long);
    }
    let name = match op {
        UnaryOperator::Not | UnaryOperator::BangNot => "not",
        UnaryOperator::Minus => "negative",
        UnaryOperator::Plus => "positive",
        UnaryOperator::BitwiseNot => "~",
        other => return Err(Error::analysis("PARSE_SYNTAX_ERROR", format!("Syntax error at or near '{other}'"))),
    };
    Ok(Expr::call(name, vec![expression(expr)?]))
}

fn literal(value: &Value) -> Result<Expr> {
    Ok(match value {
        Value::Number(text, long) => number(text, *long)?,
        Value::SingleQuotedString(text)
        | Value::DoubleQuotedString(text)
        | Value::SingleQuotedRawStringLiteral(text)
        | Value::DoubleQuotedRawStringLiteral(text) => Expr::string(text),
        Value::HexStringLiteral(hex) => Expr::Literal(ScalarValue::Binary(Some(binary_literal(hex)?))),
        Value::Boolean(value) => Expr::Literal(ScalarValue::Boolean(Some(*value))),
        Value::Null => Expr::Literal(ScalarValue::Null),
        other => return Err(Error::analysis("PARSE_SYNTAX_ERROR", format!("the literal {other} is not supported"))),
    })
}

fn binary_literal(hex: &str) -> Result<Vec<u8>> {
    let padded = if hex.len() % 2 == 1 { format!("0{hex}") } else { hex.to_owned() };
    let digits: Option<Vec<u8>> = padded.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect();
    let digits = digits.ok_or_else(|| Error::analysis("INVALID_TYPED_LITERAL", format!("X'{hex}' is not hexadecimal.")))?;
    Ok(digits.chunks(2).map(|pair| pair[0] * 16 + pair[1]).collect())
}

/// A number by its form and suffix: `1` is an int, `10000000000` a bigint, `1.5` a decimal, `1e3` and `1.5D` doubles.
fn number(text: &str, long: bool) -> Result<Expr> {
    let invalid = |to: &str| {
        Error::analysis("INVALID_NUMERIC_LITERAL_RANGE", format!("Numeric literal {text} is outside the valid range for {to}."))
    };
    let (digits, suffix) = match text.find(|c: char| c.is_ascii_alphabetic() && !matches!(c, 'e' | 'E')) {
        Some(at) => text.split_at(at),
        None => (text, if long { "L" } else { "" }),
    };
    let value = match suffix {
        "L" => ScalarValue::Int64(Some(digits.parse().map_err(|_| invalid("bigint"))?)),
        "S" => ScalarValue::Int16(Some(digits.parse().map_err(|_| invalid("smallint"))?)),
        "Y" => ScalarValue::Int8(Some(digits.parse().map_err(|_| invalid("tinyint"))?)),
        "D" => ScalarValue::Float64(Some(finite(digits).ok_or_else(|| invalid("double"))?)),
        "F" => ScalarValue::Float32(Some(digits.parse().map_err(|_| invalid("float"))?)),
        "BD" => decimal(digits).ok_or_else(|| invalid("decimal"))?,
        _ if digits.contains(['e', 'E']) => ScalarValue::Float64(Some(finite(digits).ok_or_else(|| invalid("double"))?)),
        _ if digits.contains('.') => decimal(digits).ok_or_else(|| invalid("decimal"))?,
        _ => match (digits.parse(), digits.parse()) {
            (Ok(int), _) => ScalarValue::Int32(Some(int)),
            (_, Ok(long)) => ScalarValue::Int64(Some(long)),
            _ => decimal(digits).ok_or_else(|| invalid("decimal"))?,
        },
    };
    Ok(Expr::Literal(value))
}

fn finite(text: &str) -> Option<f64> {
    text.parse().ok().filter(|value: &f64| value.is_finite())
}

/// A decimal with exactly the digits that are written.
fn decimal(text: &str) -> Option<ScalarValue> {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let unscaled: i128 = format!("{whole}{fraction}").parse().ok()?;
    let scale = i32::try_from(fraction.len()).ok()? - exponent;
    let (unscaled, scale) =
        if scale < 0 { (unscaled.checked_mul(10i128.checked_pow(scale.unsigned_abs())?)?, 0) } else { (unscaled, scale) };
    let digits = unscaled.unsigned_abs().checked_ilog10().map_or(1, |digits| digits + 1);
    let precision = digits.max(scale.unsigned_abs()).max(1);
    (precision <= 38).then(|| ScalarValue::Decimal128(Some(unscaled), precision as u8, scale as i8))
}

/// `DATE'…'`, `TIMESTAMP'…'` and the like: a cast of the text.
fn typed_string(typed: &ast::TypedString) -> Result<Expr> {
    let Value::SingleQuotedString(text) = &typed.value.value else {
        return Err(Error::analysis("INVALID_TYPED_LITERAL", format!("the literal {typed} is not supported")));
    };
    typed_literal(&typed.data_type.to_string(), text)
}

/// A literal whose type the parser does not know: `TIMESTAMP_NTZ'…'`, `X'…'`, `r'…'`.
fn prefixed(prefix: &ast::Ident, value: &ast::Expr) -> Result<Expr> {
    match value {
        ast::Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => typed_literal(&prefix.value, text),
            other => Err(Error::analysis("INVALID_TYPED_LITERAL", format!("the literal {prefix} {other} is not supported"))),
        },
        other => Err(Error::analysis("INVALID_TYPED_LITERAL", format!("the literal {prefix} {other} is not supported"))),
    }
}

fn typed_literal(type_name: &str, text: &str) -> Result<Expr> {
    let to = match type_name.to_ascii_lowercase().as_str() {
        "date" => DataType::Date32,
        "timestamp" | "timestamp_ltz" => types::timestamp(),
        "timestamp_ntz" => types::TIMESTAMP_NTZ,
        "x" => return Ok(Expr::Literal(ScalarValue::Binary(Some(binary_literal(text)?)))),
        "interval" => return Ok(Expr::Literal(parse_interval_literal(text, None, None)?)),
        other => {
            return Err(Error::analysis(
                "UNSUPPORTED_TYPED_LITERAL",
                format!("Literals of the type \"{}\" are not supported.", other.to_uppercase()),
            ));
        }
    };
    Ok(Expr::Call(Call {
        name: "typed literal".to_owned(),
        args: vec![Expr::Cast { expr: Box::new(Expr::string(text)), to, is_try: false }],
        ..Call::default()
    }))
}

fn interval_literal(interval: &ast::Interval) -> Result<Expr> {
    let text = scalar_text(&interval.value);
    let unit = |field: &Option<ast::DateTimeField>| field.as_ref().map(|field| field.to_string().to_lowercase());
    let (from, to) = (unit(&interval.leading_field), unit(&interval.last_field));
    match (text, from) {
        (Some(text), from) => Ok(Expr::Literal(parse_interval_literal(&text, from.as_deref(), to.as_deref())?)),
        (None, Some(unit)) => {
            // A computed amount: the unit's interval times the amount.
            let one = Expr::Literal(parse_interval_literal("1", Some(&unit), None)?);
            Ok(Expr::call("*", vec![one, expression(&interval.value)?]))
        }
        (None, None) => Err(Error::analysis("CANNOT_PARSE_INTERVAL", format!("Unable to parse '{interval}'."))),
    }
}

/// The text of a literal string or number.
fn scalar_text(expr: &ast::Expr) -> Option<String> {
    match expr {
        ast::Expr::Value(value) => match &value.value {
            Value::Number(text, _) | Value::SingleQuotedString(text) => Some(text.clone()),
            _ => None,
        },
        ast::Expr::UnaryOp { op: UnaryOperator::Minus, expr } => scalar_text(expr).map(|text| format!("-{text}")),
        ast::Expr::Nested(expr) => scalar_text(expr),
        _ => None,
    }
}

fn function_call(function: &ast::Function) -> Result<Expr> {
    let at = function.name.0.first().and_then(|part| part.as_ident()).map(Position::of).unwrap_or_default();
    let name = path(&function.name).join(".").to_lowercase();
    let mut call = Call { name, at, ..Call::default() };
    if let ast::FunctionArguments::List(list) = &function.args {
        call.distinct = list.duplicate_treatment == Some(ast::DuplicateTreatment::Distinct);
        call.args = list.args.iter().map(argument).collect::<Result<_>>()?;
        for clause in &list.clauses {
            match clause {
                ast::FunctionArgumentClause::IgnoreOrRespectNulls(treatment) => {
                    call.ignore_nulls = *treatment == ast::NullTreatment::IgnoreNulls;
                }
                other => return Err(Error::unsupported(format!("{other} in the call of {}", call.name))),
            }
        }
    }
    call.ignore_nulls |= function.null_treatment == Some(ast::NullTreatment::IgnoreNulls);
    call.filter = function.filter.as_deref().map(expression).transpose()?.map(Box::new);
    call.within = order_keys(&function.within_group)?;
    call.over = match &function.over {
        None => None,
        Some(ast::WindowType::WindowSpec(spec)) => Some(Box::new(window(spec)?)),
        Some(ast::WindowType::NamedWindow(name)) => {
            Some(Box::new(Over { partition_by: Vec::new(), order_by: Vec::new(), frame: None, name: Some(name.value.clone()) }))
        }
    };
    Ok(Expr::Call(call))
}

/// The window of a window function.
pub(crate) fn window(spec: &ast::WindowSpec) -> Result<Over> {
    Ok(Over {
        partition_by: spec.partition_by.iter().map(expression).collect::<Result<_>>()?,
        order_by: order_keys(&spec.order_by)?,
        frame: spec.window_frame.clone(),
        name: spec.window_name.as_ref().map(|name| name.value.clone()),
    })
}

fn argument(arg: &ast::FunctionArg) -> Result<Expr> {
    let star = |qualifier| Expr::Star { qualifier, except: Vec::new(), replace: Vec::new() };
    let arg = match arg {
        ast::FunctionArg::Unnamed(arg) => arg,
        named => return Err(Error::unsupported(format!("the named argument {named}"))),
    };
    Ok(match arg {
        ast::FunctionArgExpr::Expr(expr) => expression(expr)?,
        ast::FunctionArgExpr::QualifiedWildcard(name) => star(path(name)),
        ast::FunctionArgExpr::Wildcard | ast::FunctionArgExpr::WildcardWithOptions(_) => star(Vec::new()),
    })
}

/// Sort keys, with Spark's order of nulls: first in ascending order, last in descending.
pub(crate) fn order_keys(keys: &[ast::OrderByExpr]) -> Result<Vec<SortKey>> {
    let key = |key: &ast::OrderByExpr| {
        let ascending = key.options.asc.unwrap_or(true);
        Ok(SortKey { expr: expression(&key.expr)?, ascending, nulls_first: key.options.nulls_first.unwrap_or(ascending) })
    };
    keys.iter().map(key).collect()
}
