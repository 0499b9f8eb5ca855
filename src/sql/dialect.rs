//! Spark's SQL as a dialect of sqlparser, and what has to be done to its tokens before they are parsed.

use datafusion::sql::sqlparser::ast::{self, BinaryOperator};
use datafusion::sql::sqlparser::dialect::{Dialect, Precedence, SparkSqlDialect};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use crate::error::{Error, Result};

/// The longest text that is parsed, in bytes, and the most tokens: planning costs grow faster than the text.
const MAX_TEXT_BYTES: usize = 256 << 10;
const MAX_TOKENS: usize = 20_000;

/// sqlparser's Spark dialect, with Spark's string escapes and the precedence of `DIV`.
#[derive(Debug, Default)]
struct Spark(SparkSqlDialect);

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

    // Strings are unescaped here (`unescape`), as the parser's rules are not Spark's.
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
        if !parser.parse_keyword(Keyword::DIV) {
            return None;
        }
        let left = Box::new(expr.clone());
        let right = parser.parse_subexpr(precedence).map(Box::new);
        Some(right.map(|right| ast::Expr::BinaryOp { left, op: BinaryOperator::MyIntegerDivide, right }))
    }

    fn get_next_precedence(&self, parser: &Parser<'_>) -> Option<Result<u8, ParserError>> {
        match &parser.peek_token_ref().token {
            Token::Word(word) if word.keyword == Keyword::DIV => Some(Ok(self.prec_value(Precedence::MulDivModOp))),
            _ => None,
        }
    }
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

/// The text's tokens, with numbers and their type suffix (`1.5D`, `10BD`) made one.
fn tokens(sql: &str) -> Result<Vec<TokenWithSpan>> {
    if sql.len() > MAX_TEXT_BYTES {
        return Err(Error::analysis("PARSE_SYNTAX_ERROR", format!("the text is longer than {MAX_TEXT_BYTES} bytes")));
    }
    let dialect = Spark::default();
    let tokens = Tokenizer::new(&dialect, sql)
        .tokenize_with_location()
        .map_err(|error| Error::syntax(sql, error.message, Some((error.location.line, error.location.column))))?;
    if tokens.len() > MAX_TOKENS {
        return Err(Error::analysis("PARSE_SYNTAX_ERROR", format!("the text has more than {MAX_TOKENS} tokens")));
    }
    let mut merged: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    for token in tokens {
        match (merged.last_mut(), &token.token) {
            (Some(TokenWithSpan { token: Token::Number(number, false), span }), Token::Word(word))
                if word.quote_style.is_none() && span.end == token.span.start && is_suffix(&word.value) =>
            {
                number.push_str(&word.value.to_uppercase());
                span.end = token.span.end;
            }
            // Neighbouring strings are one string, as in Spark.
            (_, Token::SingleQuotedString(text)) => match previous_string(&mut merged) {
                Some(previous) => previous.push_str(text),
                None => merged.push(token),
            },
            (_, Token::DoubleQuotedString(text)) => {
                let span = token.span;
                merged.push(TokenWithSpan { token: Token::SingleQuotedString(text.clone()), span });
            }
            _ => merged.push(token),
        }
    }
    Ok(with_exists_functions(with_nested_types(merged)))
}

/// Nested types (`struct<a: int>`) become names in back-quotes: the parser knows other forms of them only. They are read from the
/// name later.
fn with_nested_types(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut output = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        let span = tokens[at].span;
        match nested_type(&tokens[at..]) {
            Some((text, used)) => {
                output.push(TokenWithSpan { token: Token::make_word(&text, Some('`')), span });
                at += used;
            }
            None => {
                output.push(tokens[at].clone());
                at += 1;
            }
        }
    }
    output
}

/// The nested type that these tokens begin with, and how many of them it has.
fn nested_type(tokens: &[TokenWithSpan]) -> Option<(String, usize)> {
    let is_nested = |word: &str| ["array", "map", "struct"].iter().any(|own| word.eq_ignore_ascii_case(own));
    match (&tokens.first()?.token, &tokens.get(1)?.token) {
        (Token::Word(word), Token::Lt) if word.quote_style.is_none() && is_nested(&word.value) => {}
        _ => return None,
    }
    let mut depth = 0usize;
    let mut text = String::new();
    for (index, token) in tokens.iter().enumerate() {
        match &token.token {
            Token::Lt => depth += 1,
            Token::Gt => depth = depth.checked_sub(1)?,
            Token::ShiftRight => depth = depth.checked_sub(2)?,
            Token::Word(_)
            | Token::Comma
            | Token::Colon
            | Token::LParen
            | Token::RParen
            | Token::Number(_, _)
            | Token::Whitespace(_) => {}
            _ => return None,
        }
        text.push_str(&token.token.to_string());
        if index > 0 && depth == 0 {
            return tidegate_functions::types::parse(&text).is_ok().then_some((text, index + 1));
        }
    }
    None
}

/// `exists(xs, x -> …)` is a function, unless a query follows.
fn with_exists_functions(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let meaningful: Vec<usize> = (0..tokens.len()).filter(|at| !matches!(tokens[*at].token, Token::Whitespace(_))).collect();
    for window in meaningful.windows(3) {
        let [word, paren, next] = window else { continue };
        let is_query = matches!(&tokens[*next].token, Token::Word(word) if matches!(word.keyword, Keyword::SELECT | Keyword::WITH | Keyword::FROM | Keyword::VALUES | Keyword::TABLE))
            || tokens[*next].token == Token::LParen;
        let is_exists =
            matches!(&tokens[*word].token, Token::Word(word) if word.keyword == Keyword::EXISTS && word.quote_style.is_none());
        if is_exists && tokens[*paren].token == Token::LParen && !is_query {
            tokens[*word].token = Token::make_word("exists", Some('`'));
        }
    }
    tokens
}

fn is_suffix(word: &str) -> bool {
    ["L", "S", "Y", "D", "F", "BD"].iter().any(|suffix| word.eq_ignore_ascii_case(suffix))
}

/// The string that is the last token but whitespace.
fn previous_string(tokens: &mut [TokenWithSpan]) -> Option<&mut String> {
    let last = tokens.iter().rposition(|token| !matches!(token.token, Token::Whitespace(_)))?;
    let after_space = last + 1 < tokens.len();
    match &mut tokens[last].token {
        Token::SingleQuotedString(text) if after_space => Some(text),
        _ => None,
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
