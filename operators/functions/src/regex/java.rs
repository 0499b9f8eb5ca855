//! Java's regular expressions, said in the syntax of the crates that run them.
//!
//! What differs: Java's classes (`\d`, `\w`, `\s`, POSIX names) and its ignoring of case are ASCII unless flags say otherwise; `.`
//! and `$` know more line ends than `\n`; there are possessive quantifiers, quoting with `\Q…\E`, and some other escapes. Flags are
//! resolved here, so that the result needs none.

use std::fmt::Write;

/// What `$` means outside of multi-line mode. It matches before a line end at the end of the text too, which takes a look-ahead.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum End {
    /// Only at the end: the same for text that doesn't end with a line end, and much faster.
    Absolute,
    /// As Java has it.
    BeforeLineEnd,
}

/// A translated pattern.
#[derive(Debug)]
pub(super) struct Translated {
    /// The pattern.
    pub(super) pattern: String,
    /// Whether it looks around or back, which only a backtracking engine can do.
    pub(super) backtracks: bool,
    /// Whether it depends on [`End`].
    pub(super) has_end: bool,
    /// How many groups it has.
    pub(super) groups: usize,
    /// The text that it stands for, if it is nothing but text.
    pub(super) literal: Option<String>,
}

/// A pattern that Java refuses, or that has no translation.
#[derive(Debug, PartialEq)]
pub(super) struct BadPattern;

type Result<T> = std::result::Result<T, BadPattern>;

const ANY: &str = r"[^\n\r\x{85}\x{2028}\x{2029}]";
const LINE_START: &str = r"(?:\A|(?<=[\n\x{85}\x{2028}\x{2029}])(?!\z)|(?<=\r)(?!\n|\z))";
const LINE_END: &str = r"(?:\z|(?=[\r\x{85}\x{2028}\x{2029}])|(?<!\r)(?=\n))";
const TEXT_END: &str = r"(?:\z|(?=\r\n\z)|(?=[\r\x{85}\x{2028}\x{2029}]\z)|(?<!\r)(?=\n\z))";

/// Translates a pattern of Java's.
pub(super) fn translate(pattern: &str, end: End) -> Result<Translated> {
    let mut translator = Translator {
        rest: pattern.chars().collect(),
        at: 0,
        out: String::new(),
        flags: Flags::default(),
        end,
        backtracks: false,
        has_end: false,
        groups: 0,
        literal: Some(String::new()),
        depth: 0,
    };
    translator.alternatives()?;
    if translator.at < translator.rest.len() {
        return Err(BadPattern);
    }
    Ok(Translated {
        pattern: translator.out,
        backtracks: translator.backtracks,
        has_end: translator.has_end,
        groups: translator.groups,
        literal: translator.literal,
    })
}

#[derive(Debug, Clone, Copy, Default)]
struct Flags {
    ignore_case: bool,
    unicode_case: bool,
    unicode_classes: bool,
    multi_line: bool,
    dot_all: bool,
    comments: bool,
    unix_lines: bool,
}

struct Translator {
    rest: Vec<char>,
    at: usize,
    out: String,
    flags: Flags,
    end: End,
    backtracks: bool,
    has_end: bool,
    groups: usize,
    literal: Option<String>,
    depth: usize,
}

impl Translator {
    fn peek(&self) -> Option<char> {
        self.rest.get(self.at).copied()
    }

    fn next(&mut self) -> Result<char> {
        let c = self.peek().ok_or(BadPattern)?;
        self.at += 1;
        Ok(c)
    }

    fn eat(&mut self, text: &str) -> bool {
        let found = text.chars().enumerate().all(|(index, c)| self.rest.get(self.at + index) == Some(&c));
        if found {
            self.at += text.chars().count();
        }
        found
    }

    /// Reads up to a closing sign, which is eaten.
    fn until(&mut self, close: char) -> Result<String> {
        let mut text = String::new();
        loop {
            match self.next()? {
                c if c == close => return Ok(text),
                c => text.push(c),
            }
        }
    }

    fn skip_comments(&mut self) {
        while self.flags.comments {
            match self.peek() {
                Some('\t' | '\n' | '\x0B' | '\x0C' | '\r' | ' ') => self.at += 1,
                Some('#') => {
                    while self.peek().is_some_and(|c| !matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')) {
                        self.at += 1;
                    }
                }
                _ => return,
            }
        }
    }

    /// Alternatives, up to a `)` or the end.
    fn alternatives(&mut self) -> Result<()> {
        self.depth += 1;
        if self.depth > 200 {
            return Err(BadPattern);
        }
        let outer = self.flags;
        loop {
            self.skip_comments();
            match self.peek() {
                None | Some(')') => break,
                Some('|') => {
                    self.at += 1;
                    self.literal = None;
                    self.out.push('|');
                }
                Some(_) => self.quantified()?,
            }
        }
        self.flags = outer;
        self.depth -= 1;
        Ok(())
    }

    /// One item and how often it may come.
    fn quantified(&mut self) -> Result<()> {
        if self.eat("\\Q") {
            return self.quoted();
        }
        let start = self.out.len();
        if !self.item()? {
            return Ok(());
        }
        self.skip_comments();
        self.quantifier(start)
    }

    fn quoted(&mut self) -> Result<()> {
        while self.at < self.rest.len() && !self.eat("\\E") {
            let (start, c) = (self.out.len(), self.next()?);
            self.character(c);
            if self.rest.get(self.at..self.at + 2) == Some(&['\\', 'E']) {
                self.at += 2;
                return self.quantifier(start);
            }
        }
        Ok(())
    }

    /// How often what was written since `start` may come.
    fn quantifier(&mut self, start: usize) -> Result<()> {
        match self.peek() {
            Some(sign @ ('*' | '+' | '?')) => {
                self.at += 1;
                self.out.push(sign);
            }
            Some('{') => {
                self.at += 1;
                let counts = self.until('}')?;
                let (low, high) = counts.split_once(',').map_or((counts.as_str(), None), |(low, high)| (low, Some(high)));
                let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u32>().ok())?;
                let low = number(low).ok_or(BadPattern)?;
                match high {
                    None => write!(self.out, "{{{low}}}"),
                    Some("") => write!(self.out, "{{{low},}}"),
                    Some(high) => {
                        let high = number(high).filter(|high| *high >= low).ok_or(BadPattern)?;
                        write!(self.out, "{{{low},{high}}}")
                    }
                }
                .map_err(|_| BadPattern)?;
            }
            _ => return Ok(()),
        }
        self.literal = None;
        if self.eat("?") {
            self.out.push('?');
        } else if self.eat("+") {
            self.out.insert_str(start, "(?>");
            self.out.push(')');
            self.backtracks = true;
        }
        // A second quantifier has nothing to repeat.
        match self.peek() {
            Some('*' | '+' | '?' | '{') => Err(BadPattern),
            _ => Ok(()),
        }
    }

    /// One item. `false` if it can't be quantified.
    fn item(&mut self) -> Result<bool> {
        let c = self.next()?;
        if matches!(c, '(' | '[' | '.' | '^' | '$') {
            self.literal = None;
        }
        match c {
            '(' => return self.group(),
            '[' => {
                let class = self.class()?;
                self.push_class(&class);
            }
            '.' if self.flags.dot_all => self.out.push_str("(?s:.)"),
            '.' if self.flags.unix_lines => self.out.push_str(r"[^\n]"),
            '.' => self.out.push_str(ANY),
            '^' if self.flags.multi_line => self.look(LINE_START),
            '^' => self.out.push_str(r"\A"),
            '$' if self.flags.multi_line => self.look(LINE_END),
            '$' => self.text_end(),
            '*' | '+' | '?' | '{' => return Err(BadPattern),
            '\\' => self.escape()?,
            _ => self.character(c),
        }
        Ok(true)
    }

    fn look(&mut self, pattern: &str) {
        self.backtracks = true;
        self.out.push_str(pattern);
    }

    fn text_end(&mut self) {
        self.has_end = true;
        match self.end {
            End::Absolute => self.out.push_str(r"\z"),
            End::BeforeLineEnd => self.look(TEXT_END),
        }
    }

    /// A character that stands for itself.
    fn character(&mut self, c: char) {
        if let Some(literal) = &mut self.literal {
            literal.push(c);
        }
        if !self.flags.ignore_case {
            push_escaped(c, &mut self.out);
            return;
        }
        if c.is_alphabetic() {
            self.literal = None;
        }
        if self.flags.unicode_case {
            self.out.push_str("(?i:");
            push_escaped(c, &mut self.out);
            self.out.push(')');
        } else if c.is_ascii_alphabetic() {
            self.out.extend(['[', c.to_ascii_lowercase(), c.to_ascii_uppercase(), ']']);
        } else {
            push_escaped(c, &mut self.out);
        }
    }

    fn push_class(&mut self, class: &str) {
        if self.flags.ignore_case && self.flags.unicode_case {
            self.out.push_str("(?i:");
            self.out.push_str(class);
            self.out.push(')');
        } else {
            self.out.push_str(class);
        }
    }

    /// What follows a `(`.
    fn group(&mut self) -> Result<bool> {
        let flags = self.flags;
        if self.eat("?") {
            let looks = ["=", "!", "<=", "<!", ">"].into_iter().find(|look| self.eat(look));
            if let Some(look) = looks {
                self.backtracks = true;
                self.out.push_str("(?");
                self.out.push_str(look);
            } else if self.eat(":") {
                self.out.push_str("(?:");
            } else if self.eat("<") {
                let name = self.until('>')?;
                let valid =
                    name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(|c| c.is_ascii_alphanumeric());
                if !valid {
                    return Err(BadPattern);
                }
                self.groups += 1;
                self.out.push_str("(?P<");
                self.out.push_str(&name);
                self.out.push('>');
            } else if self.set_flags()? {
                // `(?i)`: they hold until the group that it stands in ends.
                return Ok(false);
            } else {
                self.out.push_str("(?:");
            }
        } else {
            self.groups += 1;
            self.out.push('(');
        }
        self.alternatives()?;
        if self.next()? != ')' {
            return Err(BadPattern);
        }
        self.out.push(')');
        self.flags = flags;
        Ok(true)
    }

    /// `i-m)` or `i-m:`; whether it was the former.
    fn set_flags(&mut self) -> Result<bool> {
        let mut on = true;
        loop {
            let flags = &mut self.flags;
            match self.rest.get(self.at).ok_or(BadPattern)? {
                '-' => on = false,
                'i' => flags.ignore_case = on,
                'u' => flags.unicode_case = on,
                'U' => (flags.unicode_classes, flags.unicode_case) = (on, on),
                'm' => flags.multi_line = on,
                's' => flags.dot_all = on,
                'x' => flags.comments = on,
                'd' => flags.unix_lines = on,
                ')' => {
                    self.at += 1;
                    return Ok(true);
                }
                ':' => {
                    self.at += 1;
                    return Ok(false);
                }
                _ => return Err(BadPattern),
            }
            self.at += 1;
        }
    }

    /// What follows a `\` outside of a class.
    fn escape(&mut self) -> Result<()> {
        let c = self.peek().ok_or(BadPattern)?;
        if let Some(class) = self.class_escape()? {
            self.literal = None;
            self.push_class(&format!("[{class}]"));
            return Ok(());
        }
        if "AzZGbBRX123456789k".contains(c) {
            self.at += 1;
            self.literal = None;
        }
        match c {
            'A' | 'z' | 'b' | 'B' => self.out.extend(['\\', c]),
            'G' => self.look(r"\G"),
            'Z' => self.text_end(),
            'R' => self.out.push_str(r"(?:\r\n|[\n\x{B}\x{C}\r\x{85}\x{2028}\x{2029}])"),
            'X' => self.out.push_str(r"(?:\r\n|\P{M}\p{M}*|\p{M}+)"),
            'k' => {
                if !self.eat("<") {
                    return Err(BadPattern);
                }
                let name = self.until('>')?;
                self.look(&format!("\\k<{name}>"));
            }
            '1'..='9' => {
                let mut group = c.to_digit(10).ok_or(BadPattern)? as usize;
                // More digits belong to it as long as there are so many groups.
                while let Some(digit) = self.peek().and_then(|c| c.to_digit(10)) {
                    let longer = group * 10 + digit as usize;
                    if longer > self.groups {
                        break;
                    }
                    self.at += 1;
                    group = longer;
                }
                if group > self.groups {
                    // A group that doesn't exist never matches.
                    self.out.push_str(r"[^\x{0}-\x{10FFFF}]");
                } else {
                    self.look(&format!("(?:\\{group})"));
                }
            }
            _ => {
                let c = self.character_escape()?;
                self.character(c);
            }
        }
        Ok(())
    }

    /// An escape that stands for one character, in a class or outside; the `\` is eaten.
    fn character_escape(&mut self) -> Result<char> {
        Ok(match self.next()? {
            't' => '\t',
            'n' => '\n',
            'r' => '\r',
            'f' => '\x0C',
            'a' => '\x07',
            'e' => '\x1B',
            '0' => {
                let mut value = 0;
                for count in 0..3 {
                    let Some(digit) = self.peek().and_then(|c| c.to_digit(8)) else { break };
                    if count == 2 && value * 8 + digit > 0o377 {
                        break;
                    }
                    self.at += 1;
                    value = value * 8 + digit;
                }
                char::from_u32(value).ok_or(BadPattern)?
            }
            'x' if self.eat("{") => {
                let digits = self.until('}')?;
                u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32).ok_or(BadPattern)?
            }
            'x' => char::from_u32(self.hex(2)?).ok_or(BadPattern)?,
            'u' => {
                let unit = self.hex(4)?;
                match unit {
                    0xD800..0xDC00 if self.eat("\\u") => {
                        let low = self.hex(4)?.checked_sub(0xDC00).filter(|low| *low < 0x400).ok_or(BadPattern)?;
                        char::from_u32(0x10000 + ((unit - 0xD800) << 10) + low).ok_or(BadPattern)?
                    }
                    _ => char::from_u32(unit).ok_or(BadPattern)?,
                }
            }
            'c' => char::from_u32(u32::from(self.next()?) ^ 64).ok_or(BadPattern)?,
            c if c.is_ascii_alphanumeric() => return Err(BadPattern),
            c => c,
        })
    }

    fn hex(&mut self, digits: usize) -> Result<u32> {
        let mut value = 0;
        for _ in 0..digits {
            value = value * 16 + self.next()?.to_digit(16).ok_or(BadPattern)?;
        }
        Ok(value)
    }

    /// An escape that stands for several characters, as what stands between `[` and `]`; `None` if it is another one.
    fn class_escape(&mut self) -> Result<Option<String>> {
        let c = self.peek().ok_or(BadPattern)?;
        let unicode = self.flags.unicode_classes;
        let (class, negated) = match c {
            'd' | 'D' => (if unicode { r"\p{Nd}" } else { "0-9" }, c == 'D'),
            'w' | 'W' => (if unicode { r"\w" } else { "0-9A-Za-z_" }, c == 'W'),
            's' | 'S' => (if unicode { r"\s" } else { r"\t\n\x{B}\x{C}\r\x{20}" }, c == 'S'),
            'h' | 'H' => (r"\x{20}\t\x{A0}\x{1680}\x{180E}\x{2000}-\x{200A}\x{202F}\x{205F}\x{3000}", c == 'H'),
            'v' | 'V' => (r"\n\x{B}\x{C}\r\x{85}\x{2028}\x{2029}", c == 'V'),
            'p' | 'P' => {
                self.at += 1;
                let name = if self.eat("{") { self.until('}')? } else { self.next()?.to_string() };
                let class = property(&name, unicode).ok_or(BadPattern)?;
                return Ok(Some(if c == 'P' { format!("[^{class}]") } else { class }));
            }
            _ => return Ok(None),
        };
        self.at += 1;
        Ok(Some(if negated { format!("[^{class}]") } else { class.to_owned() }))
    }

    /// What follows a `[`, with both brackets.
    fn class(&mut self) -> Result<String> {
        self.depth += 1;
        if self.depth > 200 {
            return Err(BadPattern);
        }
        let mut class = String::from(if self.eat("^") { "[^" } else { "[" });
        let mut first = true;
        loop {
            self.skip_comments();
            if self.eat("&&") {
                class.push_str("&&");
                // Nothing to the right of it restricts nothing.
                if self.peek() == Some(']') {
                    class.push_str(r"\x{0}-\x{10FFFF}");
                }
                continue;
            }
            match self.next()? {
                ']' if !first => break,
                '[' => class.push_str(&self.class()?),
                '\\' if self.eat("Q") => {
                    while !self.eat("\\E") {
                        let c = self.next()?;
                        self.range(c, c, &mut class);
                    }
                }
                '\\' => match self.class_escape()? {
                    Some(inner) => class.push_str(&inner),
                    None => {
                        let c = self.character_escape()?;
                        self.class_range(c, &mut class)?;
                    }
                },
                c => self.class_range(c, &mut class)?,
            }
            first = false;
        }
        class.push(']');
        self.depth -= 1;
        Ok(class)
    }

    /// A character of a class, which may be the start of a range.
    fn class_range(&mut self, low: char, class: &mut String) -> Result<()> {
        let is_range = self.peek() == Some('-') && !matches!(self.rest.get(self.at + 1), None | Some(']' | '['));
        let mut high = low;
        if is_range {
            self.at += 1;
            high = match self.next()? {
                '\\' => self.character_escape()?,
                c => c,
            };
            if high < low {
                return Err(BadPattern);
            }
        }
        self.range(low, high, class);
        Ok(())
    }

    fn range(&self, low: char, high: char, class: &mut String) {
        let mut push = |low: char, high: char| {
            push_code(low, class);
            if low != high {
                class.push('-');
                push_code(high, class);
            }
        };
        push(low, high);
        if self.flags.ignore_case && !self.flags.unicode_case {
            for (first, last, case) in
                [('a', 'z', char::to_ascii_uppercase as fn(&char) -> char), ('A', 'Z', char::to_ascii_lowercase)]
            {
                let (from, to) = (low.max(first), high.min(last));
                if from <= to {
                    push(case(&from), case(&to));
                }
            }
        }
    }
}

/// A character of a class: by its number unless it is a plain one.
fn push_code(c: char, out: &mut String) {
    if c.is_alphanumeric() {
        out.push(c);
    } else {
        out.push_str(&format!("\\x{{{:X}}}", u32::from(c)));
    }
}

fn push_escaped(c: char, out: &mut String) {
    if c.is_control() {
        push_code(c, out);
    } else {
        out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
    }
}

/// The characters that have a property, as what stands between `[` and `]`.
fn property(name: &str, unicode: bool) -> Option<String> {
    let posix = match name {
        "Lower" => r"a-z",
        "Upper" => r"A-Z",
        "ASCII" => r"\x{0}-\x{7F}",
        "Alpha" => r"a-zA-Z",
        "Digit" => r"0-9",
        "Alnum" => r"0-9a-zA-Z",
        "Punct" => r"!-/:-@\[-`{-\x{7E}",
        "Graph" => r"!-\x{7E}",
        "Print" => r"\x{20}-\x{7E}",
        "Blank" => r"\x{20}\t",
        "Cntrl" => r"\x{0}-\x{1F}\x{7F}",
        "XDigit" => r"0-9a-fA-F",
        "Space" => r"\t\n\x{B}\x{C}\r\x{20}",
        _ => "",
    };
    let own = match name {
        "Lower" | "javaLowerCase" | "IsLowercase" => r"\p{Lowercase}",
        "Upper" | "javaUpperCase" | "IsUppercase" => r"\p{Uppercase}",
        "Alpha" | "javaAlphabetic" | "IsAlphabetic" => r"\p{Alphabetic}",
        "Digit" | "javaDigit" | "IsDigit" => r"\p{Nd}",
        "Alnum" => r"\p{Alphabetic}\p{Nd}",
        "Space" | "javaWhitespace" | "IsWhite_Space" | "IsWhiteSpace" => r"\s",
        "Punct" | "IsPunctuation" => r"\p{P}",
        "Cntrl" | "IsControl" => r"\p{Cc}",
        "javaLetter" | "IsLetter" => r"\p{L}",
        "javaLetterOrDigit" => r"\p{L}\p{Nd}",
        "L1" => r"\x{0}-\x{FF}",
        _ => "",
    };
    if !posix.is_empty() && (!unicode || own.is_empty()) {
        return Some(posix.to_owned());
    }
    if !own.is_empty() {
        return Some(own.to_owned());
    }
    let bare = match name.split_once('=') {
        Some(("script" | "sc" | "block" | "blk" | "general_category" | "gc" | "IsScript", value)) => value,
        Some(_) => return None,
        None => name.strip_prefix("Is").or_else(|| name.strip_prefix("In")).unwrap_or(name),
    };
    let class = format!("\\p{{{bare}}}");
    regex::Regex::new(&class).is_ok().then_some(class)
}
