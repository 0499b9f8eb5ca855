//! Expressions in SQL, as Spark names columns: `(a + b)`, `upper(a)`, `CAST(a AS INT)`.
//!
//! Spark writes what it has made of the text, not the text: arguments that were left out are there, other names of a function are
//! replaced, and some functions shout.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ColumnarValue;
use datafusion::sql::sqlparser::ast;
use tidegate_functions::cast::{CastMode, cast, format_value};
use tidegate_functions::types::{is_nested, sql_name};
use tidegate_functions::{Invocation, Settings};

use super::{Call, Expr, Over, SortKey, SubqueryKind};

const INFIX: [&str; 20] =
    ["+", "-", "*", "/", "%", "div", "=", "<", "<=", ">", ">=", "<=>", "and", "or", "&", "|", "^", "<<", ">>", ">>>"];

/// Functions whose names Spark writes in capitals.
const LOUD: [&str; 35] = [
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cbrt",
    "ceil",
    "cos",
    "cosh",
    "cot",
    "csc",
    "degrees",
    "e",
    "exp",
    "expm1",
    "floor",
    "hypot",
    "log",
    "log10",
    "log1p",
    "log2",
    "pi",
    "power",
    "radians",
    "regexp",
    "regexp_like",
    "rlike",
    "sec",
    "signum",
    "sin",
    "sinh",
    "spark_partition_id",
    "sqrt",
];

/// Names that stand for another function.
const RENAMED: [(&str, &str); 6] = [
    ("array_agg", "collect_list"),
    ("curdate", "current_date"),
    ("current_database", "current_schema"),
    ("dateadd", "date_add"),
    ("random", "rand"),
    ("to_varchar", "to_char"),
];

/// Arguments that are added when a call has so many without them.
const DEFAULTS: [(&str, usize, &[&str]); 45] = [
    ("approx_percentile", 2, &["10000"]),
    ("percentile_approx", 2, &["10000"]),
    ("bround", 1, &["0"]),
    ("round", 1, &["0"]),
    ("from_unixtime", 1, &["yyyy-MM-dd HH:mm:ss"]),
    ("unix_timestamp", 1, &["yyyy-MM-dd HH:mm:ss"]),
    ("unix_timestamp", 0, &["current_timestamp()", "yyyy-MM-dd HH:mm:ss"]),
    ("to_unix_timestamp", 1, &["yyyy-MM-dd HH:mm:ss"]),
    ("instr", 3, &["1"]),
    ("lag", 1, &["1", "NULL"]),
    ("from_avro", 2, &["NULL"]),
    ("from_protobuf", 3, &["NULL"]),
    ("lag", 2, &["NULL"]),
    ("lead", 1, &["1", "NULL"]),
    ("lead", 2, &["NULL"]),
    ("listagg", 1, &["NULL"]),
    ("locate", 2, &["1"]),
    ("position", 2, &["1"]),
    ("lpad", 2, &[" "]),
    ("rpad", 2, &[" "]),
    ("make_dt_interval", 0, &["0", "0", "0", "0.000000"]),
    ("make_dt_interval", 1, &["0", "0", "0.000000"]),
    ("make_dt_interval", 2, &["0", "0.000000"]),
    ("make_dt_interval", 3, &["0.000000"]),
    ("make_ym_interval", 0, &["0", "0"]),
    ("make_ym_interval", 1, &["0"]),
    ("mask", 1, &["X", "x", "n", "NULL"]),
    ("mask", 2, &["x", "n", "NULL"]),
    ("mask", 3, &["n", "NULL"]),
    ("mask", 4, &["NULL"]),
    ("months_between", 2, &["true"]),
    ("overlay", 3, &["-1"]),
    ("percentile", 2, &["1"]),
    ("regexp_extract", 2, &["1"]),
    ("regexp_extract_all", 2, &["1"]),
    ("regexp_instr", 2, &["0"]),
    ("regexp_replace", 3, &["1"]),
    ("split", 2, &["-1"]),
    ("string_agg", 1, &["NULL"]),
    ("str_to_map", 1, &[",", ":"]),
    ("to_avro", 1, &["NULL"]),
    ("to_protobuf", 3, &["NULL"]),
    ("str_to_map", 2, &[":"]),
    ("substr", 2, &["2147483647"]),
    ("substring", 2, &["2147483647"]),
];

/// Functions that only show so many of their arguments; the others are options.
const SHOWN: [(&str, usize); 13] = [
    ("any_value", 1),
    ("first", 1),
    ("first_value", 1),
    ("from_csv", 1),
    ("from_json", 1),
    ("ilike", 2),
    ("last", 1),
    ("last_value", 1),
    ("mode", 1),
    ("schema_of_csv", 1),
    ("schema_of_json", 1),
    ("to_csv", 1),
    ("to_json", 1),
];

/// The text of an expression. Parameters of the lambdas around it are no names.
pub(super) fn text(expr: &Expr, params: &[String]) -> String {
    let is_param = |name: &str| params.iter().any(|own| own.eq_ignore_ascii_case(name));
    match expr {
        Expr::Column { parts, .. } => match parts.as_slice() {
            [first, fields @ ..] if is_param(first) => {
                fields.iter().fold("namedlambdavariable()".to_owned(), |text, field| format!("{text}.{field}"))
            }
            parts => parts.join("."),
        },
        Expr::Exact { name, .. } => name.clone(),
        Expr::Literal(value) => literal_sql(value),
        Expr::Call(call) => call_text(call, params),
        // A cast of the fields in a value is not shown.
        Expr::Cast { expr, to, .. } if is_nested(to) => text(expr, params),
        Expr::Cast { expr, to, is_try } => {
            format!("{}({} AS {})", if *is_try { "TRY_CAST" } else { "CAST" }, text(expr, params), sql_name(to))
        }
        Expr::Case { operand, branches, otherwise } => {
            let branch = |(when, then): &(Expr, Expr)| match operand {
                Some(operand) => {
                    format!(" WHEN ({} = {}) THEN {}", text(operand, params), text(when, params), text(then, params))
                }
                None => format!(" WHEN {} THEN {}", text(when, params), text(then, params)),
            };
            let otherwise = otherwise.as_ref().map(|otherwise| format!(" ELSE {}", text(otherwise, params))).unwrap_or_default();
            format!("CASE{}{otherwise} END", branches.iter().map(branch).collect::<String>())
        }
        Expr::Lambda { params: own, body } => {
            let inside: Vec<String> = params.iter().chain(own).cloned().collect();
            format!("lambdafunction({}, {})", text(body, &inside), vec!["namedlambdavariable()"; own.len()].join(", "))
        }
        Expr::Alias { expr, names } => format!("{} AS {}", text(expr, params), names.join(", ")),
        Expr::Star { qualifier, .. } if qualifier.is_empty() => "*".to_owned(),
        Expr::Star { qualifier, .. } => format!("{}.*", qualifier.join(".")),
        Expr::Subquery { kind: SubqueryKind::Scalar, .. } => "scalarsubquery()".to_owned(),
        Expr::Subquery { kind: SubqueryKind::In { expr, negated }, .. } => {
            let test = format!("({} IN (listquery()))", text(expr, params));
            if *negated { format!("(NOT {test})") } else { test }
        }
        Expr::Subquery { kind: SubqueryKind::Exists { negated: false }, .. } => "exists()".to_owned(),
        Expr::Subquery { kind: SubqueryKind::Exists { negated: true }, .. } => "(NOT exists())".to_owned(),
    }
}

fn call_text(call: &Call, params: &[String]) -> String {
    let mut args: Vec<String> = call.args.iter().map(|arg| text(arg, params)).collect();
    let name = call.name.as_str();
    match (name, args.as_slice()) {
        ("in", [value, list @ ..]) => return format!("({value} IN ({}))", list.join(", ")),
        ("<>", [left, right]) => return format!("(NOT ({left} = {right}))"),
        ("||", [left, right]) => return format!("concat({left}, {right})"),
        ("==", [left, right]) => return format!("({left} = {right})"),
        ("and" | "or", [left, right]) => return format!("({left} {} {right})", name.to_uppercase()),
        (op, [left, right]) if INFIX.contains(&op) => return format!("({left} {op} {right})"),
        ("not", [arg]) => return format!("(NOT {arg})"),
        ("negative", [arg]) => return format!("(- {arg})"),
        ("positive", [arg]) => return format!("(+ {arg})"),
        ("~", [arg]) => return format!("~{arg}"),
        ("isnull", [arg]) => return format!("({arg} IS NULL)"),
        ("isnotnull", [arg]) => return format!("({arg} IS NOT NULL)"),
        ("istrue", [arg]) => return format!("({arg} <=> true)"),
        ("isfalse", [arg]) => return format!("({arg} <=> false)"),
        ("like", [left, right]) => return format!("{left} LIKE {right}"),
        ("like", [left, right, escape]) => return format!("{left} LIKE {right} ESCAPE '{escape}'"),
        ("if", [when, then, otherwise]) => return format!("(IF({when}, {then}, {otherwise}))"),
        ("extract" | "datepart", [field, value]) => return format!("{name}({field} FROM {value})"),
        ("[]", [value, index]) => return format!("{value}[{index}]"),
        (".", [value, field]) => return format!("{value}.{field}"),
        ("trim", [what, value]) => return format!("TRIM(BOTH {what} FROM {value})"),
        ("ltrim", [what, value]) => return format!("TRIM(LEADING {what} FROM {value})"),
        ("rtrim", [what, value]) => return format!("TRIM(TRAILING {what} FROM {value})"),
        ("typed literal", [_]) => return typed_literal(call),
        (
            "date" | "timestamp" | "string" | "int" | "bigint" | "double" | "float" | "boolean" | "binary" | "smallint"
            | "tinyint" | "decimal",
            [value],
        ) => return value.clone(),
        ("aggregate" | "reduce", [_, _, _]) => {
            args.push("lambdafunction(namedlambdavariable(), namedlambdavariable())".to_owned());
        }
        ("assert_true", [condition]) => {
            let message = format!("'{condition}' is not true!");
            args.push(message);
        }
        ("convert_timezone", [_, _]) => args.insert(0, "current_timezone()".to_owned()),
        _ => {}
    }
    let name = match (name, args.len()) {
        ("string_agg", _) if !call.within.is_empty() => "listagg",
        ("dateadd" | "date_add", 3) => "timestampadd",
        ("datediff" | "date_diff", 3) => "timestampdiff",
        _ => RENAMED.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, own)| own),
    };
    if name == "count" && matches!(call.args.as_slice(), [Expr::Star { qualifier, .. }] if qualifier.is_empty()) && !call.distinct
    {
        args = vec!["1".to_owned()];
    }
    if call.within.is_empty()
        && let Some((_, _, defaults)) = DEFAULTS.iter().find(|(own, given, _)| *own == name && *given == args.len())
    {
        args.extend(defaults.iter().map(|text| (*text).to_owned()));
    }
    if let Some((_, shown)) = SHOWN.iter().find(|(own, _)| *own == name) {
        args.truncate(*shown);
    }
    let is_rank = matches!(name, "rank" | "dense_rank" | "percent_rank");
    if is_rank {
        args.clear();
    }
    let is_rounding = matches!(name, "ceil" | "floor") && args.len() > 1;
    let shown = if LOUD.contains(&name) && !is_rounding
        || (is_rank && call.over.is_some())
        || name.starts_with("tan") && name.len() < 5
    {
        name.to_uppercase()
    } else {
        name.to_owned()
    };
    let mut out = format!("{shown}({}{})", if call.distinct { "DISTINCT " } else { "" }, args.join(", "));
    if let [key] = call.within.as_slice() {
        // The percentiles show the order if it is not the usual one, the others always show all of it.
        let order = match (name, key.ascending) {
            ("percentile_cont" | "percentile_disc", true) => text(&key.expr, params),
            ("percentile_cont" | "percentile_disc", false) => format!("{} DESC", text(&key.expr, params)),
            _ => key_text(key, params),
        };
        out.push_str(&format!(" WITHIN GROUP (ORDER BY {order})"));
    }
    if let Some(filter) = &call.filter {
        out.push_str(&format!(" FILTER (WHERE {})", text(filter, params)));
    }
    if let Some(over) = &call.over {
        out.push_str(&over_text(name, over, params));
    }
    out
}

fn key_text(key: &SortKey, params: &[String]) -> String {
    let (direction, nulls) = (if key.ascending { "ASC" } else { "DESC" }, if key.nulls_first { "FIRST" } else { "LAST" });
    format!("{} {direction} NULLS {nulls}", text(&key.expr, params))
}

fn over_text(function: &str, over: &Over, params: &[String]) -> String {
    let mut parts = Vec::new();
    if !over.partition_by.is_empty() {
        let keys: Vec<String> = over.partition_by.iter().map(|key| text(key, params)).collect();
        parts.push(format!("PARTITION BY {}", keys.join(", ")));
    }
    if !over.order_by.is_empty() {
        let keys: Vec<String> = over.order_by.iter().map(|key| key_text(key, params)).collect();
        parts.push(format!("ORDER BY {}", keys.join(", ")));
    }
    parts.push(match (function, &over.frame) {
        ("row_number" | "rank" | "dense_rank" | "percent_rank" | "ntile", _) => {
            "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW".to_owned()
        }
        ("lag", _) => "ROWS BETWEEN -1 FOLLOWING AND -1 FOLLOWING".to_owned(),
        ("lead", _) => "ROWS BETWEEN 1 FOLLOWING AND 1 FOLLOWING".to_owned(),
        (_, Some(frame)) => frame_text(frame),
        (_, None) if over.order_by.is_empty() => "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING".to_owned(),
        (_, None) => "RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW".to_owned(),
    });
    format!(" OVER ({})", parts.join(" "))
}

fn frame_text(frame: &ast::WindowFrame) -> String {
    let end = frame.end_bound.clone().unwrap_or(ast::WindowFrameBound::CurrentRow);
    format!("{} BETWEEN {} AND {end}", frame.units, frame.start_bound)
}

/// `DATE '2024-01-31'`: the value as text, not what was written. A time without a zone is the same text in every zone.
fn typed_literal(call: &Call) -> String {
    let [Expr::Cast { expr, to, .. }] = call.args.as_slice() else {
        return call.args.iter().map(|arg| text(arg, &[])).collect();
    };
    let written = text(expr, &[]);
    let value = cast(&DataType::Utf8, to, CastMode::Try, &Settings::default()).ok().and_then(|cast| {
        let argument = [ColumnarValue::Scalar(ScalarValue::from(written.as_str()))];
        let array = (cast.kernel)(&Invocation { args: &argument, rows: 1 }).ok()?;
        format_value(array.as_ref(), 0, &Settings::default())
    });
    format!("{} '{}'", sql_name(to), value.unwrap_or(written))
}

/// A literal as Spark writes it in a column's name.
pub(crate) fn literal_sql(value: &ScalarValue) -> String {
    if value.is_null() {
        return "NULL".to_owned();
    }
    match value {
        ScalarValue::Utf8(Some(text)) => text.clone(),
        ScalarValue::Binary(Some(bytes)) => {
            format!("X'{}'", bytes.iter().map(|byte| format!("{byte:02X}")).collect::<String>())
        }
        other => {
            let formatted = other.to_array().ok().and_then(|array| format_value(array.as_ref(), 0, &Settings::default()));
            formatted.unwrap_or_else(|| other.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::analysis::select_item;
    use crate::sql::parse_expression;

    #[test]
    fn columns_are_named_as_in_spark() {
        for (written, name) in [
            ("a + b * 2", "(a + (b * 2))"),
            ("a || 'x' || 1", "concat(concat(a, x), 1)"),
            ("7 DIV b", "(7 div b)"),
            ("a <> 1", "(NOT (a = 1))"),
            ("a == 1", "(a = 1)"),
            ("a BETWEEN 1 AND 2", "between(a, 1, 2)"),
            ("a IN (1, 2)", "(a IN (1, 2))"),
            ("NOT a IS NULL", "(NOT (a IS NULL))"),
            ("-a", "(- a)"),
            ("CAST(a + 1 AS BIGINT)", "CAST((a + 1) AS BIGINT)"),
            ("CAST(a AS BIGINT)", "a"),
            ("CAST(array(1) AS ARRAY<STRING>)", "array(1)"),
            ("count(*)", "count(1)"),
            ("count(DISTINCT a) FILTER (WHERE b)", "count(DISTINCT a) FILTER (WHERE b)"),
            ("sqrt(a)", "SQRT(a)"),
            ("array_agg(a)", "collect_list(a)"),
            ("substring(a, 2)", "substring(a, 2, 2147483647)"),
            ("round(a)", "round(a, 0)"),
            ("from_json(a, 'b INT')", "from_json(a)"),
            ("from_json(a, 'b INT').b", "from_json(a).b"),
            ("if(a, 1, 2)", "(IF(a, 1, 2))"),
            ("transform(a, x -> x + b)", "transform(a, lambdafunction((namedlambdavariable() + b), namedlambdavariable()))"),
            ("X'1f'", "X'1F'"),
            ("DATE'2024-01-31'", "DATE '2024-01-31'"),
            ("TIMESTAMP'2024-1-31'", "TIMESTAMP '2024-01-31 00:00:00'"),
            ("date(a)", "a"),
            ("1e3", "1000.0"),
            ("trim(BOTH 'x' FROM a)", "TRIM(BOTH x FROM a)"),
            ("extract(YEAR FROM a)", "extract(YEAR FROM a)"),
            ("a LIKE 'x/%' ESCAPE '/'", "a LIKE x/% ESCAPE '/'"),
            (
                "sum(a) OVER (PARTITION BY b ORDER BY c)",
                "sum(a) OVER (PARTITION BY b ORDER BY c ASC NULLS FIRST RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)",
            ),
        ] {
            let item = parse_expression(written).unwrap();
            assert_eq!(select_item(&item).unwrap().result_name(), name, "{written}");
        }
    }
}
