//! Patterns for names of files, as Hadoop's.

use tidegate_runtime::{Error, Result};

/// Braces within each other.
const MAX_DEPTH: usize = 16;
/// What braces may multiply to: tokens of all alternatives together.
const MAX_TOKENS: usize = 1 << 16;

/// A pattern for one name, as Hadoop's: `*`, `?`, `[a-z]`, `[^a]`, `{a,b}`, and `\` before a character that is meant itself.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    /// One of these must match: braces multiply them.
    alternatives: Vec<Vec<Token>>,
}

#[derive(Debug, Clone)]
enum Token {
    Any,
    One,
    Char(char),
    Class { negated: bool, ranges: Vec<(char, char)> },
}

impl Pattern {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let characters: Vec<char> = text.chars().collect();
        let mut parser = Parser { text, rest: &characters, depth: 0 };
        let alternatives = parser.sequence(false)?;
        Ok(Pattern { alternatives })
    }

    pub(crate) fn matches(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().collect();
        self.alternatives.iter().any(|tokens| matches(tokens, &name))
    }
}

struct Parser<'a> {
    text: &'a str,
    rest: &'a [char],
    depth: usize,
}

impl Parser<'_> {
    fn next(&mut self) -> Option<char> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    /// Up to the end, or inside braces up to a comma or the closing brace, which is left.
    fn sequence(&mut self, in_braces: bool) -> Result<Vec<Vec<Token>>> {
        let mut alternatives = vec![Vec::new()];
        while let Some(character) = self.rest.first().copied() {
            if in_braces && matches!(character, ',' | '}') {
                return Ok(alternatives);
            }
            self.next();
            let token = match character {
                '*' => Token::Any,
                '?' => Token::One,
                '[' => self.class()?,
                '\\' => Token::Char(self.next().ok_or_else(|| self.unfinished())?),
                '{' => {
                    let choices = self.choices()?;
                    let tokens = |sequences: &[Vec<Token>]| sequences.iter().map(|tokens| tokens.len() + 1).sum::<usize>();
                    if tokens(&alternatives).saturating_mul(choices.len()) + tokens(&choices).saturating_mul(alternatives.len())
                        > MAX_TOKENS
                    {
                        return Err(self.too_large());
                    }
                    let joined = |head: &Vec<Token>| choices.iter().map(move |tail| [&head[..], &tail[..]].concat()).collect();
                    alternatives = alternatives.iter().flat_map::<Vec<_>, _>(joined).collect();
                    continue;
                }
                other => Token::Char(other),
            };
            alternatives.iter_mut().for_each(|tokens| tokens.push(token.clone()));
            if alternatives.len() > 1 && alternatives.iter().map(Vec::len).sum::<usize>() > MAX_TOKENS {
                return Err(self.too_large());
            }
        }
        if in_braces { Err(self.unfinished()) } else { Ok(alternatives) }
    }

    fn choices(&mut self) -> Result<Vec<Vec<Token>>> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.too_large());
        }
        let mut choices = self.sequence(true)?;
        while self.next() == Some(',') {
            choices.extend(self.sequence(true)?);
        }
        self.depth -= 1;
        Ok(choices)
    }

    fn class(&mut self) -> Result<Token> {
        let negated = matches!(self.rest.first(), Some('^' | '!'));
        if negated {
            self.next();
        }
        let mut ranges = Vec::new();
        loop {
            let first = match self.next() {
                Some(']') if !ranges.is_empty() => return Ok(Token::Class { negated, ranges }),
                Some('\\') => self.next(),
                other => other,
            };
            let first = first.ok_or_else(|| self.unfinished())?;
            match self.rest {
                ['-', last, ..] if *last != ']' => {
                    ranges.push((first, *last));
                    self.rest = &self.rest[2..];
                }
                _ => ranges.push((first, first)),
            }
        }
    }

    fn too_large(&self) -> Error {
        let start: String = self.text.chars().take(100).collect();
        Error::InvalidArgument(format!("the pattern {start} has too many braces: give fewer alternatives"))
    }

    fn unfinished(&self) -> Error {
        Error::InvalidArgument(format!("the pattern {} has an opening bracket or backslash without its end", self.text))
    }
}

fn matches(tokens: &[Token], name: &[char]) -> bool {
    let (mut token, mut at) = (0, 0);
    // Where to go on if what follows the last star does not match: the star takes one character more.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        let fits = match (tokens.get(token), name.get(at)) {
            (None, None) => return true,
            (Some(Token::Any), _) => {
                retry = Some((token, at));
                token += 1;
                continue;
            }
            (Some(Token::One), Some(_)) => true,
            (Some(Token::Char(wanted)), Some(found)) => wanted == found,
            (Some(Token::Class { negated, ranges }), Some(found)) => {
                ranges.iter().any(|(first, last)| (first..=last).contains(&found)) != *negated
            }
            (None, Some(_)) | (Some(_), None) => false,
        };
        if fits {
            (token, at) = (token + 1, at + 1);
            continue;
        }
        match retry {
            Some((star, from)) if from < name.len() => {
                retry = Some((star, from + 1));
                (token, at) = (star + 1, from + 1);
            }
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_as_hadoops() {
        let cases = [
            ("*.json", "a.json", true),
            ("*.json", "a.jsonl", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("{a,b*}.txt", "bcd.txt", true),
            ("{a,b*}.txt", "c.txt", false),
            ("x{,-{1,2}}y", "x-2y", true),
            ("x{,-{1,2}}y", "xy", true),
            ("[a-c]1", "b1", true),
            ("[^a-c]1", "b1", false),
            ("*a*b", "xaxxab", true),
            ("*a*b", "xaxxabc", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("*", "", true),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(Pattern::parse(pattern).unwrap().matches(name), expected, "{pattern} {name}");
        }
        for wrong in ["{a", "[a", "a\\"] {
            assert!(Pattern::parse(wrong).is_err(), "{wrong}");
        }
        // Neither memory nor stack is spent on what multiplies without bound.
        for wrong in ["{a,b}".repeat(100), "{".repeat(100_000), format!("{}{}", "{a,".repeat(17), "}".repeat(17))] {
            assert!(Pattern::parse(&wrong).unwrap_err().to_string().contains("too many braces"));
        }
        assert!(Pattern::parse(&"{a,b}".repeat(8)).unwrap().matches("abababab"));
    }
}
