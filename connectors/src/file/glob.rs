//! Patterns for names of files, as Hadoop's.

use tidegate_runtime::{Error, Result};

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
        let mut parser = Parser { text, rest: &characters };
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
                    let joined = |head: &Vec<Token>| choices.iter().map(move |tail| [&head[..], &tail[..]].concat()).collect();
                    alternatives = alternatives.iter().flat_map::<Vec<_>, _>(joined).collect();
                    continue;
                }
                other => Token::Char(other),
            };
            alternatives.iter_mut().for_each(|tokens| tokens.push(token.clone()));
        }
        if in_braces { Err(self.unfinished()) } else { Ok(alternatives) }
    }

    fn choices(&mut self) -> Result<Vec<Vec<Token>>> {
        let mut choices = self.sequence(true)?;
        while self.next() == Some(',') {
            choices.extend(self.sequence(true)?);
        }
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
    }
}
