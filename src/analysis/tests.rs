//! Queries and what Spark answers.
#![allow(clippy::unwrap_used, reason = "a test may")]

use tidegate_functions::Settings;
use tidegate_functions::cast::format_value;

use crate::Session;

/// The rows of a query, sorted: values with spaces between, rows with semicolons. Of an error, its condition.
fn answer(query: &str) -> String {
    let session = Session::builder().build().unwrap();
    let batches = match session.sql(query).and_then(|frame| frame.collect()) {
        Ok(batches) => batches,
        Err(error) => return error.condition().unwrap_or_else(|| error.to_string()),
    };
    let mut rows = Vec::new();
    for batch in &batches {
        for row in 0..batch.num_rows() {
            let value = |column| format_value(column, row, &Settings::default()).unwrap_or_else(|| "NULL".to_owned());
            rows.push(batch.columns().iter().map(|column| value(column.as_ref())).collect::<Vec<_>>().join(" "));
        }
    }
    rows.sort();
    rows.join("; ")
}

fn check(table: &[(&str, &str)]) {
    for (query, expected) in table {
        assert_eq!(answer(query), *expected, "{query}");
    }
}

#[test]
fn operators_bind_as_in_spark() {
    check(&[
        ("SELECT 1 + 1 || 'x'", "2x"),
        ("SELECT 'a' || 'b' = 'ab'", "true"),
        ("SELECT 1 << 3, -8 >> 1, -8 >>> 1, 1 + 1 << 2", "8 -4 2147483644 8"),
        ("SELECT 5 & 3 | 8 ^ 1", "9"),
        (
            "SELECT s LIKE ANY ('a%', 'x'), s LIKE ALL ('a%', 'x'), s NOT LIKE ANY ('a%', 'x') FROM VALUES ('abc') AS t(s)",
            "true false true",
        ),
        ("SELECT (a, b) IN ((1, 2), (3, 4)) FROM VALUES (1, 2) AS t(a, b)", "true"),
        (
            "SELECT typeof(x * 2), typeof(x * (1 + 1)), typeof(x + CAST('12' AS INT)) FROM VALUES (1.25) AS t(x)",
            "decimal(5,2) decimal(14,2) decimal(13,2)",
        ),
        ("SELECT typeof(ceil(x)), typeof(ceil(ceil(x))) FROM VALUES (1.25) AS t(x)", "decimal(2,0) decimal(2,0)"),
        ("SELECT 1e400", "INVALID_NUMERIC_LITERAL_RANGE"),
    ]);
}

#[test]
fn conditions_are_booleans() {
    check(&[
        ("SELECT 1 WHERE 'true'", "DATATYPE_MISMATCH.FILTER_NOT_BOOLEAN"),
        ("SELECT 1 WHERE NULL", "DATATYPE_MISMATCH.FILTER_NOT_BOOLEAN"),
        ("SELECT NOT 'true', 'true' AND true, NULL AND false", "false true false"),
        ("SELECT NOT 1", "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        ("SELECT 1 AND 'a'", "DATATYPE_MISMATCH.BINARY_OP_WRONG_TYPE"),
        ("SELECT true AND 1", "DATATYPE_MISMATCH.BINARY_OP_DIFF_TYPES"),
        ("SELECT if(NULL, 1, 2)", "2"),
        ("SELECT decode(6, 1, 5, 2, 'no number'), decode(NULL, NULL, 'n', 'd')", "NULL n"),
        ("SELECT CASE WHEN 1 THEN 2 END", "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        ("SELECT sum(1) FILTER (WHERE 'true')", "INVALID_AGGREGATE_FILTER.NOT_BOOLEAN"),
        ("SELECT * FROM VALUES (1) a(x) JOIN VALUES (1) b(y) ON 'true'", "JOIN_CONDITION_IS_NOT_BOOLEAN_TYPE"),
    ]);
}

#[test]
fn groups_and_what_is_above_them() {
    check(&[
        ("SELECT transform(collect_list(a), x -> x + b) FROM VALUES (1, 2) AS t(a, b) GROUP BY b", "[3]"),
        ("SELECT filter(array(b, 2), x -> x > b) FROM VALUES (1) AS t(b) GROUP BY b", "[2]"),
        ("SELECT transform(array(1), x -> c) FROM VALUES (1, 2) AS t(b, c) GROUP BY b", "MISSING_AGGREGATION"),
        ("SELECT sum(a), b FROM VALUES (1, 2) AS t(a, b)", "MISSING_GROUP_BY"),
        ("SELECT a FROM VALUES (1) AS t(a) HAVING a > 1", "MISSING_GROUP_BY"),
        ("SELECT a, count(*) AS c FROM VALUES (1), (1), (2) AS t(a) GROUP BY ALL HAVING c > 1", "1 2"),
        ("SELECT listagg(a, ',') WITHIN GROUP (ORDER BY b DESC) FROM VALUES ('b', 1), ('a', 2), (NULL, 3) AS t(a, b)", "a,b"),
        ("SELECT listagg(a) WITHIN GROUP (ORDER BY a) FROM VALUES (CAST(NULL AS STRING)) AS t(a)", "NULL"),
        ("SELECT count(t.*) FROM VALUES (1) AS t(a)", "INVALID_USAGE_OF_STAR_WITH_TABLE_IDENTIFIER_IN_COUNT"),
        ("SELECT upper(DISTINCT 'a')", "INVALID_SQL_SYNTAX.FUNCTION_WITH_UNSUPPORTED_SYNTAX"),
        ("SELECT percentile_cont(0.5)", "INVALID_WITHIN_GROUP_EXPRESSION.WITHIN_GROUP_MISSING"),
        ("SELECT rank()", "WINDOW_FUNCTION_WITHOUT_OVER_CLAUSE"),
        ("SELECT factorial(l), bin(d), conv('ff', l, 10) FROM VALUES (16L, 2.7D) AS t(l, d)", "20922789888000 10 255"),
        ("SELECT factorial(l) FROM VALUES (9999999999L) AS t(l)", "CAST_OVERFLOW"),
        ("SELECT levenshtein('a', 'b', NULL)", "-1"),
        ("SELECT INTERVAL '1' DAY = '1'", "DATATYPE_MISMATCH.BINARY_OP_DIFF_TYPES"),
        ("SELECT to_json(struct(a, n)) FROM VALUES (2e23D, NULL) AS t(a, n)", "{\"a\":1.9999999999999998E23}"),
        ("SELECT to_json(map('b', 1, 'a', 2), map('sortKeys', 'true'))", "{\"a\":2,\"b\":1}"),
        (
            "SELECT instr('abcabc', 'b', 3), instr('abcabc', 'b', -1, 2), instr('aaa', 'aa', 1, 2), instr('abc', 'b', 0)",
            "5 2 2 0",
        ),
        ("SELECT instr('abc', '', -1), instr('abc', 'b', -5), instr('abc', 'b', NULL)", "1 0 NULL"),
        ("SELECT instr('abc', 'b', 1, 0)", "INVALID_PARAMETER_VALUE.OCCURRENCE"),
        ("SELECT try_add('x', 1), try_divide('4', 2)", "NULL 2.0"),
    ]);
}

#[test]
fn windows_of_functions() {
    check(&[
        ("SELECT row_number() OVER (PARTITION BY a ORDER BY b) FROM VALUES (1, 2), (1, 3) AS t(a, b)", "1; 2"),
        (
            "SELECT sum(b) OVER (ORDER BY b ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM VALUES (2), (3), (7) AS t(b)",
            "10; 2; 5",
        ),
        (
            "SELECT count(*) OVER (ORDER BY b RANGE BETWEEN 1 PRECEDING AND CURRENT ROW) FROM VALUES (2), (3), (7) AS t(b)",
            "1; 1; 2",
        ),
        ("SELECT lag(b) OVER w, lead(b) OVER w FROM VALUES (1), (2) AS t(b) WINDOW w AS (ORDER BY b)", "1 NULL; NULL 2"),
        ("SELECT lag(b) OVER w FROM VALUES (1) AS t(b)", "MISSING_WINDOW_SPECIFICATION"),
        ("SELECT sum(b) FILTER (WHERE b > 2) OVER () FROM VALUES (2), (3) AS t(b)", "3; 3"),
        ("SELECT rank() OVER (ORDER BY b), rank() OVER (ORDER BY b DESC) FROM VALUES (1), (2) AS t(b)", "1 2; 2 1"),
        ("SELECT 1 WHERE rank() OVER (ORDER BY 1) = 1", "WINDOW_FUNCTION_NOT_ALLOWED_IN_CLAUSE"),
    ]);
}

#[test]
fn tables_and_subqueries() {
    check(&[
        ("SELECT * FROM range(0, 5, 2)", "0; 2; 4"),
        ("SELECT * FROM range(5, 0, -2)", "1; 3; 5"),
        ("SELECT * FROM VALUES 1, 2", "1; 2"),
        ("SELECT x FROM VALUES (array(1, 2)) AS t(a), LATERAL explode(a) AS e(x)", "1; 2"),
        ("FROM VALUES (1) AS t(a) SELECT a", "1"),
        (
            "SELECT a IN (SELECT 1), EXISTS (SELECT 1), NOT EXISTS (SELECT 1) FROM VALUES (1), (2) AS t(a)",
            "false true false; true true false",
        ),
        ("SELECT a NOT IN (SELECT * FROM VALUES (2), (NULL)) FROM VALUES (1), (2), (NULL) AS t(a)", "NULL; NULL; false"),
        ("SELECT 1 LIMIT -1", "INVALID_LIMIT_LIKE_EXPRESSION.IS_NEGATIVE"),
        ("SELECT 1 LIMIT 'a'", "INVALID_LIMIT_LIKE_EXPRESSION.DATA_TYPE"),
        ("SELECT a FROM VALUES (1) AS t(a) LIMIT a", "INVALID_LIMIT_LIKE_EXPRESSION.IS_UNFOLDABLE"),
        ("SELECT * EXCEPT (z) FROM VALUES (1) AS t(a)", "UNRESOLVED_COLUMN.WITH_SUGGESTION"),
        ("SELECT current_user = current_user(), user = user(), current_date = current_date()", "true true true"),
        ("SELECT user FROM VALUES (1) AS t(user)", "1"),
        ("SELECT substr('a')", "WRONG_NUM_ARGS.WITHOUT_SUGGESTION"),
    ]);
}
