//! From text to the tokens that the parser is given: what Spark writes in another way than the parser reads it is rewritten here.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan, Tokenizer};

use super::dialect::Spark;
use crate::error::{Error, Result};

/// The longest text that is parsed, in bytes, and the most tokens: planning costs grow faster than the text.
const MAX_TEXT_BYTES: usize = 256 << 10;
const MAX_TOKENS: usize = 20_000;

/// The text's tokens, in a form that the parser knows.
pub(super) fn tokens(sql: &str) -> Result<Vec<TokenWithSpan>> {
    if sql.len() > MAX_TEXT_BYTES {
        return Err(Error::analysis("PARSE_SYNTAX_ERROR", format!("the text is longer than {MAX_TEXT_BYTES} bytes")));
    }
    let dialect = Spark::default();
    let tokens = Tokenizer::new(&dialect, sql)
        .with_unescape(false)
        .tokenize_with_location()
        .map_err(|error| Error::syntax(sql, error.message, Some((error.location.line, error.location.column))))?;
    if tokens.len() > MAX_TOKENS {
        return Err(Error::analysis("PARSE_SYNTAX_ERROR", format!("the text has more than {MAX_TOKENS} tokens")));
    }
    let mut tokens = with_exists_functions(with_nested_types(with_literals(tokens)));
    for rewrite in [trim_sides, interval_units, value_rows, partitions_first, partition_after_columns, describe_table] {
        tokens = rewritten(&tokens, rewrite);
    }
    Ok(tokens)
}

/// Numbers with a suffix (`1.5D`, `10BD`), strings side by side, strings with a prefix (`r'\d'`, `X '1F'`) as one token each.
fn with_literals(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut merged: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    for token in tokens {
        let (text, quote) = match (merged.last_mut(), &token.token) {
            (Some(TokenWithSpan { token: Token::Number(number, false), span }), Token::Word(word))
                if word.quote_style.is_none() && span.end == token.span.start && is_suffix(&word.value) =>
            {
                number.push_str(&word.value.to_uppercase());
                span.end = token.span.end;
                continue;
            }
            (_, Token::SingleQuotedString(text)) => (text, '\''),
            (_, Token::DoubleQuotedString(text)) => (text, '"'),
            // A back-quote in a name is written twice.
            (_, Token::Word(word)) if word.quote_style == Some('`') => {
                merged
                    .push(TokenWithSpan { token: Token::make_word(&word.value.replace("``", "`"), Some('`')), span: token.span });
                continue;
            }
            _ => {
                merged.push(token);
                continue;
            }
        };
        let span = token.span;
        let is_raw = merged.last().is_some_and(|last| last.span.end == span.start && is_word(&last.token, "r"));
        if is_raw {
            merged.pop();
        }
        let text = if is_raw { text.replace([quote; 2].iter().collect::<String>().as_str(), "") } else { unescape(text, quote) };
        let prefix = merged.iter().rposition(|token| !matches!(token.token, Token::Whitespace(_)));
        match prefix.map(|at| (at, &mut merged[at].token)) {
            Some((at, prefix)) if is_word(prefix, "x") => {
                merged.truncate(at);
                merged.push(TokenWithSpan { token: Token::HexStringLiteral(text), span });
            }
            Some((at, prefix)) if is_word(prefix, "timestamp_ltz") => {
                merged[at].token = Token::make_keyword("TIMESTAMP");
                merged.push(TokenWithSpan { token: Token::SingleQuotedString(text), span });
            }
            Some((_, Token::SingleQuotedString(previous))) => previous.push_str(&text),
            _ => merged.push(TokenWithSpan { token: Token::SingleQuotedString(text), span }),
        }
    }
    merged
}

fn is_suffix(word: &str) -> bool {
    ["L", "S", "Y", "D", "F", "BD"].iter().any(|suffix| word.eq_ignore_ascii_case(suffix))
}

/// Whether the token is this word, not in quotes.
fn is_word(token: &Token, text: &str) -> bool {
    matches!(token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(text))
}

/// The value of a string that is written like this between quotes.
fn unescape(text: &str, quote: char) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c == quote {
            // A quote is written twice.
            rest.next();
            out.push(quote);
        } else if c == '\\' {
            escaped(&mut rest, &mut out);
        } else {
            out.push(c);
        }
    }
    out
}

/// What a backslash and the characters after it stand for.
fn escaped(rest: &mut std::str::Chars<'_>, out: &mut String) {
    let after = rest.as_str();
    let digits = |skip: usize, count: usize, radix: u32| {
        let digits = after.get(skip..skip + count)?;
        if digits.chars().all(|c| c.is_digit(radix)) { u32::from_str_radix(digits, radix).ok() } else { None }
    };
    let (code, used) = match after.chars().next() {
        Some('u') => match (digits(1, 4, 16), digits(7, 4, 16)) {
            // Half a pair of surrogates, and the other half.
            (Some(high @ 0xD800..=0xDBFF), Some(low @ 0xDC00..=0xDFFF)) if after[5..].starts_with("\\u") => {
                (Some(0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00)), 11)
            }
            (code, _) => (code, 5),
        },
        Some('U') => (digits(1, 8, 16), 9),
        Some('0'..='1') => (digits(0, 3, 8), 3),
        _ => (None, 0),
    };
    if let Some(code) = code {
        out.push(char::from_u32(code).unwrap_or('\u{FFFD}'));
        rest.by_ref().take(used).for_each(drop);
        return;
    }
    match rest.next() {
        None => out.push('\\'),
        Some('0') => out.push('\0'),
        Some('b') => out.push('\u{8}'),
        Some('n') => out.push('\n'),
        Some('r') => out.push('\r'),
        Some('t') => out.push('\t'),
        Some('Z') => out.push('\u{1A}'),
        // They keep the backslash: it means something to LIKE.
        Some(wildcard @ ('%' | '_')) => out.extend(['\\', wildcard]),
        Some(other) => out.push(other),
    }
}

/// Nested types (`struct<a: int>`) become names in back-quotes: the parser knows other forms of them only. They are read from the
/// name later.
fn with_nested_types(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut output = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        let span = tokens[at].span;
        match nested_type(&tokens[at..]).or_else(|| interval_type(&output, &tokens[at..])) {
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

/// The type of an interval (`INTERVAL DAY TO SECOND`) that these tokens begin with after `AS`.
fn interval_type(before: &[TokenWithSpan], tokens: &[TokenWithSpan]) -> Option<(String, usize)> {
    let last = before.iter().rev().find(|token| !matches!(token.token, Token::Whitespace(_)))?;
    if !is_word(&last.token, "as") || !is_word(&tokens.first()?.token, "interval") {
        return None;
    }
    let end = tokens.iter().position(|token| !matches!(token.token, Token::Word(_) | Token::Whitespace(_)))?;
    let text = tokens[..end].iter().map(|token| token.token.to_string()).collect::<String>();
    tidegate_functions::types::parse(text.trim()).is_ok().then(|| (text.trim().to_owned(), end))
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

/// What the tokens that a place begins with become, and how many of them that are.
type Rewrite = fn(&[&TokenWithSpan]) -> Option<(Vec<Token>, usize)>;

/// The tokens without white space, rewritten wherever a rule applies.
fn rewritten(tokens: &[TokenWithSpan], rule: Rewrite) -> Vec<TokenWithSpan> {
    let tokens: Vec<&TokenWithSpan> = tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).collect();
    let mut output = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        match rule(&tokens[at..]) {
            Some((replacement, used)) => {
                let span = Span { start: tokens[at].span.start, end: tokens[at + used - 1].span.end };
                output.extend(replacement.into_iter().map(|token| TokenWithSpan { token, span }));
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

/// `trim(LEADING FROM x)` is `ltrim(x)`, and so on.
fn trim_sides(tokens: &[&TokenWithSpan]) -> Option<(Vec<Token>, usize)> {
    let [trim, paren, side, from, ..] = tokens else { return None };
    if !is_word(&trim.token, "trim") || paren.token != Token::LParen || !is_word(&from.token, "from") {
        return None;
    }
    let names = [("both", "trim"), ("leading", "ltrim"), ("trailing", "rtrim")];
    let (_, name) = names.iter().find(|(own, _)| is_word(&side.token, own))?;
    Some((vec![Token::make_word(name, None), Token::LParen], 4))
}

/// `USING parquet LOCATION '…' PARTITIONED BY (…)`, in any order, is `PARTITIONED BY (…) USING parquet LOCATION '…'`.
fn partitions_first(tokens: &[&TokenWithSpan]) -> Option<(Vec<Token>, usize)> {
    let mut at = 0;
    while ["using", "location"].iter().any(|word| tokens.get(at).is_some_and(|token| is_word(&token.token, word))) {
        at += 2;
    }
    let [partitioned, by, ..] = tokens.get(at..)? else { return None };
    if at == 0 || !is_word(&partitioned.token, "partitioned") || !is_word(&by.token, "by") {
        return None;
    }
    let end = at + 2 + parenthesised(tokens.get(at + 2..)?)?;
    let moved = tokens.get(at..end)?.iter().chain(tokens.get(..at)?);
    Some((moved.map(|token| token.token.clone()).collect(), end))
}

/// `PARTITION (k = 1) (a, b) SELECT` is `(a, b) PARTITION (k = 1) SELECT`.
fn partition_after_columns(tokens: &[&TokenWithSpan]) -> Option<(Vec<Token>, usize)> {
    if !is_word(&tokens.first()?.token, "partition") {
        return None;
    }
    let columns = 1 + parenthesised(tokens.get(1..)?)?;
    let end = columns + parenthesised(tokens.get(columns..)?)?;
    // What is in parentheses may be the query.
    let first = &tokens.get(columns + 1)?.token;
    if ["select", "values", "with", "from", "table"].iter().any(|word| is_word(first, word)) || *first == Token::LParen {
        return None;
    }
    let moved = tokens.get(columns..end)?.iter().chain(tokens.get(..columns)?);
    Some((moved.map(|token| token.token.clone()).collect(), end))
}

/// How many tokens from an opening parenthesis to its closing one.
fn parenthesised(tokens: &[&TokenWithSpan]) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return (at > 0).then_some(at + 1);
        }
    }
    None
}

/// `DESCRIBE TABLE EXTENDED t` is `DESCRIBE EXTENDED t`.
fn describe_table(tokens: &[&TokenWithSpan]) -> Option<(Vec<Token>, usize)> {
    let [describe, table, name, ..] = tokens else { return None };
    let is_described = is_word(&describe.token, "describe") || is_word(&describe.token, "desc");
    if !is_described || !is_word(&table.token, "table") || !matches!(name.token, Token::Word(_)) {
        return None;
    }
    // `SELECT desc table FROM t` is none.
    let is_extended = is_word(&name.token, "extended") || is_word(&name.token, "formatted");
    let ends = |token: &&&TokenWithSpan| matches!(token.token, Token::EOF | Token::SemiColon | Token::Period);
    if !is_extended && tokens.get(3).is_some_and(|after| !ends(&after)) {
        return None;
    }
    Some((vec![Token::make_keyword("DESCRIBE")], 2))
}

const INTERVAL_UNITS: [&str; 9] = ["year", "month", "week", "day", "hour", "minute", "second", "millisecond", "microsecond"];

/// `INTERVAL 1 DAY 2 HOURS` is `INTERVAL '1 day 2 hours'`.
fn interval_units(tokens: &[&TokenWithSpan]) -> Option<(Vec<Token>, usize)> {
    if !is_word(&tokens.first()?.token, "interval") {
        return None;
    }
    let unit = |token: &TokenWithSpan| match &token.token {
        Token::Word(word) if word.quote_style.is_none() => {
            let word = word.value.to_lowercase();
            INTERVAL_UNITS.iter().find(|unit| word.strip_prefix(**unit).is_some_and(|rest| matches!(rest, "" | "s"))).copied()
        }
        _ => None,
    };
    let (mut at, mut parts) = (1, Vec::new());
    while let Some(first) = tokens.get(at) {
        let negative = first.token == Token::Minus;
        let amount = at + usize::from(negative);
        let (Some(value), Some(unit)) = (tokens.get(amount), tokens.get(amount + 1).and_then(|token| unit(token))) else { break };
        let (Token::Number(text, _) | Token::SingleQuotedString(text)) = &value.token else { break };
        parts.push(format!("{}{text} {unit}", if negative { "-" } else { "" }));
        at = amount + 2;
    }
    let is_range = tokens.get(at).is_some_and(|next| is_word(&next.token, "to"));
    (parts.len() > 1 && !is_range)
        .then(|| (vec![Token::make_keyword("INTERVAL"), Token::SingleQuotedString(parts.join(" "))], at))
}

/// `VALUES 1, 2` is `VALUES (1), (2)`: rows of one literal each.
fn value_rows(tokens: &[&TokenWithSpan]) -> Option<(Vec<Token>, usize)> {
    if !is_word(&tokens.first()?.token, "values") {
        return None;
    }
    let (mut at, mut output) = (1, vec![tokens[0].token.clone()]);
    loop {
        let start = at;
        at += usize::from(matches!(tokens.get(at)?.token, Token::Minus));
        match &tokens.get(at)?.token {
            Token::Number(_, _) | Token::SingleQuotedString(_) | Token::HexStringLiteral(_) => at += 1,
            literal @ Token::Word(_) if ["null", "true", "false"].iter().any(|own| is_word(literal, own)) => at += 1,
            // A typed literal or a call.
            Token::Word(word) if word.quote_style.is_none() => match &tokens.get(at + 1)?.token {
                Token::SingleQuotedString(_) => at += 2,
                Token::LParen => at += 1 + closing(&tokens[at + 1..])?,
                _ => return None,
            },
            _ => return None,
        }
        output.push(Token::LParen);
        output.extend(tokens[start..at].iter().map(|token| token.token.clone()));
        output.push(Token::RParen);
        match tokens.get(at).map(|token| &token.token) {
            Some(Token::Comma) => {
                output.push(Token::Comma);
                at += 1;
            }
            Some(Token::RParen | Token::Word(_) | Token::EOF | Token::SemiColon) | None => return Some((output, at)),
            Some(_) => return None,
        }
    }
}

/// How many tokens there are up to the parenthesis that closes the first one.
fn closing(tokens: &[&TokenWithSpan]) -> Option<usize> {
    let mut depth = 0usize;
    for (index, token) in tokens.iter().enumerate() {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return Some(index + 1);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_unescaped_as_in_spark() {
        for (written, quote, value) in [
            (r"it''s", '\'', "it's"),
            (r#"a""b"#, '"', "a\"b"),
            (r"\u0041\x41\101", '\'', "Ax41A"),
            (r"\uD83D\uDE00", '\'', "😀"),
            (r"\U0001F600", '\'', "😀"),
            (r"a\tb\n\\\'", '\'', "a\tb\n\\'"),
            (r"\%\_\a\f", '\'', "\\%\\_af"),
            (r"\0\u12", '\'', "\0u12"),
        ] {
            assert_eq!(unescape(written, quote), value, "{written}");
        }
    }

    #[test]
    fn what_the_parser_does_not_know_is_rewritten() {
        for (written, given) in [
            ("r'\\d+' R\"\\t\"", r"'\d+\t'"),
            ("X 'aB' x'1'", "X'aB' X'1'"),
            ("TIMESTAMP_LTZ'2024-01-01'", "TIMESTAMP '2024-01-01'"),
            ("trim(LEADING FROM x), trim(BOTH 'a' FROM x)", "ltrim ( x ) , trim ( BOTH 'a' FROM x )"),
            ("INTERVAL 1 DAY -2 HOURS", "INTERVAL '1 day -2 hour'"),
            ("INTERVAL '1 2' DAY TO HOUR", "INTERVAL '1 2' DAY TO HOUR"),
            ("VALUES 1, -2, f(3, (4)) AS t(x)", "VALUES ( 1 ) , ( - 2 ) , ( f ( 3 , ( 4 ) ) ) AS t ( x )"),
            ("VALUES (1), (2)", "VALUES ( 1 ) , ( 2 )"),
            ("CAST(x AS INTERVAL DAY TO SECOND)", "CAST ( x AS `INTERVAL DAY TO SECOND` )"),
            ("CAST(x AS array<int>)", "CAST ( x AS `array<int>` )"),
        ] {
            let found: Vec<String> = tokens(written).unwrap().iter().map(|token| token.token.to_string()).collect();
            assert_eq!(found.join(" "), given, "{written}");
        }
    }
}
