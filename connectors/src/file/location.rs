//! Which files a path stands for: a directory's, one file, or what a pattern matches.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use tidegate_runtime::{Error, Result};

use super::listing::{FileState, file_state, list_files, visible_names};

/// Where a file source looks. Paths of files are relative to [`base`](Self::base).
#[derive(Debug, Clone)]
pub(crate) struct Location {
    base: PathBuf,
    /// What names below the base must match, one level each. None: the files right in the base.
    levels: Vec<Level>,
    /// What the name of a file must match besides.
    filter: Option<Pattern>,
}

#[derive(Debug, Clone)]
enum Level {
    Name(String),
    Pattern(Pattern),
}

impl Location {
    /// What `path` stands for now. A path that exists is taken as it is, whatever characters it has.
    pub(crate) fn of(path: &Path, filter: Option<&str>) -> Result<Self> {
        let filter = filter.map(Pattern::parse).transpose()?;
        if path.is_file() {
            let (Some(base), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
                return Err(Error::InvalidArgument(format!("{} names no file", path.display())));
            };
            return Ok(Location { base: or_here(base), levels: vec![Level::Name(name.to_owned())], filter });
        }
        if path.is_dir() || !path.components().any(|part| is_pattern(&part)) {
            return Ok(Location { base: path.to_path_buf(), levels: Vec::new(), filter });
        }
        let literal = path.components().take_while(|part| !is_pattern(part));
        let base: PathBuf = literal.clone().collect();
        let levels = path.components().skip(literal.count()).map(|part| match part.as_os_str().to_str() {
            Some(text) if is_pattern(&part) => Pattern::parse(text).map(Level::Pattern),
            Some(text) => Ok(Level::Name(text.to_owned())),
            None => Err(Error::InvalidArgument(format!("the pattern {} is not UTF-8", path.display()))),
        });
        Ok(Location { levels: levels.collect::<Result<_>>()?, base: or_here(&base), filter })
    }

    /// The directory that the paths of files are relative to.
    pub(crate) fn base(&self) -> &Path {
        &self.base
    }

    /// All visible files that are not in `seen`, oldest first.
    pub(crate) fn unseen_files(&self, seen: &HashSet<String>) -> Result<Vec<FileState>> {
        let passes = |name: &str| self.filter.as_ref().is_none_or(|filter| filter.matches(name));
        if self.levels.is_empty() {
            return list_files(&self.base, &|name| passes(name) && !seen.contains(name));
        }
        let mut files = Vec::new();
        for path in self.matches()? {
            // A directory that matches stands for the files in it.
            if self.base.join(&path).is_dir() {
                let names = visible_names(&self.base.join(&path))?.into_iter().filter(|name| passes(name));
                let below = names.map(|name| format!("{path}/{name}")).filter(|path| !seen.contains(path));
                for path in below {
                    files.extend(file_state(&self.base, path)?);
                }
            } else if !seen.contains(&path) && passes(path.rsplit('/').next().unwrap_or(&path)) {
                files.extend(file_state(&self.base, path)?);
            }
        }
        files.sort_unstable();
        Ok(files)
    }

    /// The paths that match all levels.
    fn matches(&self) -> Result<Vec<String>> {
        let mut paths = vec![String::new()];
        for level in &self.levels {
            let mut next = Vec::new();
            for path in &paths {
                let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
                match level {
                    Level::Name(name) => next.push(below(name)),
                    Level::Pattern(pattern) if self.base.join(path).is_dir() => {
                        let names = visible_names(&self.base.join(path))?;
                        next.extend(names.iter().filter(|name| pattern.matches(name)).map(|name| below(name)));
                    }
                    Level::Pattern(_) => {}
                }
            }
            paths = next;
        }
        Ok(paths)
    }
}

fn or_here(dir: &Path) -> PathBuf {
    if dir.as_os_str().is_empty() { PathBuf::from(".") } else { dir.to_path_buf() }
}

fn is_pattern(part: &Component<'_>) -> bool {
    part.as_os_str().as_encoded_bytes().iter().any(|byte| matches!(byte, b'*' | b'?' | b'{' | b'['))
}

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
    fn parse(text: &str) -> Result<Self> {
        let characters: Vec<char> = text.chars().collect();
        let mut parser = Parser { text, rest: &characters };
        let alternatives = parser.sequence(false)?;
        Ok(Pattern { alternatives })
    }

    fn matches(&self, name: &str) -> bool {
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

    #[test]
    fn directories_files_and_patterns() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["top.txt", "d1/a.txt", "d1/b.csv", "d1/_hidden.txt", "d2/c.txt", "d1/sub/x.txt"] {
            std::fs::create_dir_all(dir.path().join(path).parent().unwrap()).unwrap();
            std::fs::write(dir.path().join(path), "x").unwrap();
        }
        let found = |path: &str, filter| {
            let location = Location::of(&dir.path().join(path), filter).unwrap();
            let files = location.unseen_files(&HashSet::from(["d1/seen".to_owned()])).unwrap();
            let mut paths: Vec<String> = files.into_iter().map(|file| file.path).collect();
            paths.sort();
            paths
        };
        assert_eq!(found("d1", None), ["a.txt", "b.csv"]);
        assert_eq!(found("d1", Some("*.txt")), ["a.txt"]);
        assert_eq!(found("top.txt", None), ["top.txt"]);
        assert_eq!(found("*.txt", None), ["top.txt"]);
        assert_eq!(found("d*/*.txt", None), ["d1/a.txt", "d2/c.txt"]);
        assert_eq!(found("d*", None), ["d1/a.txt", "d1/b.csv", "d2/c.txt"]);
        assert_eq!(found("{d2,none}/c.txt", None), ["d2/c.txt"]);
        assert!(found("none*/x", None).is_empty());
    }
}
