//! Spark's SQL as a dialect of sqlparser.

use datafusion::sql::sqlparser::ast::{self, BinaryOperator};
use datafusion::sql::sqlparser::dialect::{Dialect, Precedence, SparkSqlDialect};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Location, Token};

use super::tokens::tokens;
use crate::error::{Error, Result};

/// sqlparser's Spark dialect, with the operators that it lacks and Spark's precedences.
#[derive(Debug, Default)]
pub(super) struct Spark(SparkSqlDialect);

macro_rules! yes {
    ($($name:ident),* $(,)?) => { $(fn $name(&self) -> bool { true })* };
}

impl Dialect for Spark {
    // Tokenizing and parsing ask for the type of a dialect; to them this one is Spark's.
    fn dialect(&self) -> std::any::TypeId {
        self.0.dialect()
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        self.0.is_delimited_identifier_start(ch)
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        self.0.is_identifier_start(ch) || (ch.is_alphabetic() && !ch.is_ascii())
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        self.0.is_identifier_part(ch) || (ch.is_alphanumeric() && !ch.is_ascii())
    }

    yes!(
        supports_filter_during_aggregation,
        supports_group_by_expr,
        supports_group_by_with_modifier,
        supports_lambda_functions,
        supports_select_wildcard_except,
        supports_nested_comments,
        supports_create_table_using,
        supports_long_type_as_bigint,
        supports_values_as_table_factor,
        supports_bang_not_operator,
        supports_bitwise_shift_operators,
        supports_from_first_select,
        supports_select_item_multi_column_alias,
        supports_cte_without_as,
        supports_string_literal_backslash_escape,
        supports_within_after_array_aggregation,
        supports_window_function_null_treatment_arg,
        supports_order_by_all,
        allow_extract_custom,
        allow_extract_single_quotes,
    );

    fn ignores_wildcard_escapes(&self) -> bool {
        true
    }

    fn parse_infix(&self, parser: &mut Parser<'_>, expr: &ast::Expr, precedence: u8) -> Option<Result<ast::Expr, ParserError>> {
        let (op, tokens) = own_operator(parser)?;
        for _ in 0..tokens {
            parser.advance_token();
        }
        let left = Box::new(expr.clone());
        let right = parser.parse_subexpr(precedence).map(Box::new);
        Some(right.map(|right| ast::Expr::BinaryOp { left, op, right }))
    }

    fn get_next_precedence(&self, parser: &Parser<'_>) -> Option<Result<u8, ParserError>> {
        // From strong to weak: DIV as *, || as +, shifts, &, ^, |, comparisons.
        Some(Ok(match (own_operator(parser)?.0, self.prec_value(Precedence::PlusMinus)) {
            (BinaryOperator::MyIntegerDivide, _) => self.prec_value(Precedence::MulDivModOp),
            (BinaryOperator::StringConcat, plus) => plus,
            (BinaryOperator::BitwiseAnd, plus) => plus - 2,
            (BinaryOperator::BitwiseXor, plus) => plus - 3,
            (BinaryOperator::BitwiseOr, plus) => plus - 4,
            (_, plus) => plus - 1,
        }))
    }
}

/// The operator that comes next, if it is one that the parser does not know or binds in another way, and its number of tokens.
fn own_operator(parser: &Parser<'_>) -> Option<(BinaryOperator, usize)> {
    let [next, after] = parser.peek_tokens_ref();
    Some(match &next.token {
        Token::Word(word) if word.keyword == Keyword::DIV => (BinaryOperator::MyIntegerDivide, 1),
        Token::StringConcat => (BinaryOperator::StringConcat, 1),
        Token::Ampersand => (BinaryOperator::BitwiseAnd, 1),
        Token::Caret => (BinaryOperator::BitwiseXor, 1),
        Token::Pipe => (BinaryOperator::BitwiseOr, 1),
        Token::ShiftLeft => (BinaryOperator::PGBitwiseShiftLeft, 1),
        Token::ShiftRight if after.token == Token::Gt => (BinaryOperator::Custom(">>>".to_owned()), 2),
        Token::ShiftRight => (BinaryOperator::PGBitwiseShiftRight, 1),
        _ => return None,
    })
}

/// Parses statements.
pub(crate) fn parse_statements(sql: &str) -> Result<Vec<ast::Statement>> {
    let tokens = tokens(sql)?;
    let dialect = Spark::default();
    let mut parser = Parser::new(&dialect).with_tokens_with_locations(tokens);
    parser.parse_statements().map_err(|error| syntax_error(sql, &parser, &error))
}

/// Parses one select item: an expression, perhaps with an alias.
pub(crate) fn parse_expression(sql: &str) -> Result<ast::SelectItem> {
    let tokens = tokens(sql)?;
    let dialect = Spark::default();
    let mut parser = Parser::new(&dialect).with_tokens_with_locations(tokens);
    let item = parser.parse_select_item().map_err(|error| syntax_error(sql, &parser, &error))?;
    match parser.peek_token_ref().token {
        Token::EOF => Ok(item),
        _ => Err(syntax_error(sql, &parser, &ParserError::ParserError(String::new()))),
    }
}

fn syntax_error(sql: &str, parser: &Parser<'_>, error: &ParserError) -> Error {
    if matches!(error, ParserError::RecursionLimitExceeded) {
        return Error::analysis(
            "FAILED_TO_PARSE_TOO_COMPLEX",
            "the statement is nested too deeply: split it with views".to_owned(),
        );
    }
    // The parser names the token that it found in its message; that is where the error is, not where the parser stands now.
    let found = parser.peek_token_ref();
    let located = message_location(&error.to_string());
    let Location { line, column } = located.unwrap_or(found.span.start);
    let at_end = line == 0 || matches!(found.token, Token::EOF) && located.is_none();
    let near = if at_end { "end of input".to_owned() } else { word_at(sql, line, column) };
    Error::syntax(sql, near, (!at_end).then_some((line, column)))
}

/// The location at the end of a parser's message: `… at Line: 1, Column: 8`.
fn message_location(message: &str) -> Option<Location> {
    let (_, rest) = message.rsplit_once("Line: ")?;
    let (line, column) = rest.split_once(", Column: ")?;
    let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok();
    Some(Location { line: digits(line)?, column: digits(column)? })
}

fn word_at(sql: &str, line: u64, column: u64) -> String {
    let line = sql.lines().nth(usize::try_from(line.saturating_sub(1)).unwrap_or(0)).unwrap_or("");
    let rest: String = line.chars().skip(usize::try_from(column.saturating_sub(1)).unwrap_or(0)).collect();
    let end = rest
        .find(|c: char| !(c.is_alphanumeric() || c == '_'))
        .unwrap_or(rest.len())
        .max(rest.chars().next().map_or(0, char::len_utf8));
    if rest.is_empty() { "end of input".to_owned() } else { rest[..end].to_owned() }
}
