//! URLs: their parts, and their encoding.

use arrow::datatypes::DataType;
use datafusion::error::{DataFusionError, Result};

use super::columns::{all_text, build, text, texts, try_build};
use crate::error::spark_error;
use crate::function::{Call, Invocation, Resolved};

pub(super) fn parse_url(call: &Call<'_>) -> Result<Resolved> {
    resolve(call, true)
}

pub(super) fn try_parse_url(call: &Call<'_>) -> Result<Resolved> {
    resolve(call, false)
}

fn resolve(call: &Call<'_>, strict: bool) -> Result<Resolved> {
    let kernel = move |invocation: &Invocation<'_>| {
        let (urls, parts) = (texts(invocation, 0)?, texts(invocation, 1)?);
        let keys = (invocation.args.len() > 2).then(|| texts(invocation, 2)).transpose()?;
        try_build(invocation.rows, |row, out: &mut String| {
            let key = match &keys {
                Some(keys) => match keys.get(row) {
                    Some(key) => Some(key),
                    None => return Ok(None),
                },
                None => None,
            };
            let (Some(url), Some(part)) = (urls.get(row), parts.get(row)) else { return Ok(None) };
            let Some(parsed) = Url::parse(url) else {
                return if strict { Err(invalid(url)) } else { Ok(None) };
            };
            Ok(parsed.part(part, key).map(|text| out.push_str(&text)))
        })
    };
    let resolved = Resolved::new(all_text(call)?, DataType::Utf8, kernel);
    Ok(if strict { resolved.fallible() } else { resolved })
}

fn invalid(url: &str) -> DataFusionError {
    spark_error(
        "INVALID_URL",
        format!("The url is invalid: {url}. Use `try_parse_url` to tolerate invalid URL and return NULL instead."),
    )
}

/// A URI as `java.net.URI` takes it apart (RFC 2396, and characters beyond ASCII).
#[derive(Debug, Default, PartialEq)]
struct Url<'a> {
    scheme: Option<&'a str>,
    authority: Option<&'a str>,
    user: Option<&'a str>,
    host: Option<&'a str>,
    path: Option<&'a str>,
    query: Option<&'a str>,
    fragment: Option<&'a str>,
}

impl<'a> Url<'a> {
    fn parse(text: &'a str) -> Option<Url<'a>> {
        const URIC: &str = ";/?:@&=+$,[]";
        let mut url = Url::default();
        let (mut rest, fragment) = split(text, '#');
        url.fragment = fragment.map(|fragment| legal(fragment, URIC)).transpose_option()?;
        if let Some(at) = rest.find([':', '/', '?']).filter(|at| rest[*at..].starts_with(':')) {
            let (scheme, specific) = (&rest[..at], &rest[at + 1..]);
            let follows = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
            if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.chars().all(follows) || specific.is_empty() {
                return None;
            }
            url.scheme = Some(scheme);
            if !specific.starts_with('/') {
                // Opaque: it has no parts.
                legal(specific, URIC)?;
                return Some(url);
            }
            rest = specific;
        }
        if let Some(after) = rest.strip_prefix("//") {
            let end = after.find(['/', '?']).unwrap_or(after.len());
            if after.is_empty() {
                return None;
            }
            if end > 0 {
                url.authority(legal(&after[..end], "$,;:@&=+[]")?);
            }
            rest = &after[end..];
        }
        let (path, query) = split(rest, '?');
        url.path = Some(legal(path, "/:@&=+$,;")?);
        url.query = query.map(|query| legal(query, URIC)).transpose_option()?;
        Some(url)
    }

    /// `user@host:port`, if it has that form; other forms are legal but have no parts.
    fn authority(&mut self, authority: &'a str) {
        self.authority = Some(authority);
        let (user, server) = match authority.split_once('@') {
            Some((user, server)) => (Some(user), server),
            None => (None, authority),
        };
        let end = match server.strip_prefix('[').and_then(|_| server.find(']')) {
            Some(end) => end + 1,
            None => server.find(':').unwrap_or(server.len()),
        };
        let (host, port) = server.split_at(end);
        let port_fits = port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()));
        if port_fits && is_host(host) {
            (self.user, self.host) = (user, Some(host));
        }
    }

    fn part(&self, part: &str, key: Option<&str>) -> Option<String> {
        if let Some(key) = key {
            let query = self.query.filter(|_| part == "QUERY")?;
            let mut values = query.split('&').filter_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
            return values.next().map(str::to_owned);
        }
        let found = match part {
            "HOST" => self.host,
            "PATH" => self.path,
            "QUERY" => self.query,
            "REF" => self.fragment,
            "PROTOCOL" => self.scheme,
            "AUTHORITY" => self.authority,
            "USERINFO" => self.user,
            "FILE" => return Some(self.path?.to_owned() + &self.query.map(|query| format!("?{query}")).unwrap_or_default()),
            _ => None,
        };
        found.map(str::to_owned)
    }
}

fn split(text: &str, sign: char) -> (&str, Option<&str>) {
    match text.split_once(sign) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

/// `Option<Option<T>>` the other way round: what was given must be right.
trait TransposeOption<T> {
    fn transpose_option(self) -> Option<Option<T>>;
}

impl<T> TransposeOption<T> for Option<Option<T>> {
    fn transpose_option(self) -> Option<Option<T>> {
        match self {
            Some(inner) => inner.map(Some),
            None => Some(None),
        }
    }
}

/// The text, if it is made of unreserved characters, escapes, characters beyond ASCII and `others`.
fn legal<'a>(text: &'a str, others: &str) -> Option<&'a str> {
    let bytes = text.as_bytes();
    let is_legal = |(at, c): (usize, char)| match c {
        '%' => bytes.get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)),
        _ if c.is_ascii() => c.is_ascii_alphanumeric() || "_-!.~'()*".contains(c) || others.contains(c),
        _ => !c.is_control() && !c.is_whitespace(),
    };
    text.char_indices().all(is_legal).then_some(text)
}

fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.split('%').next().is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok());
    }
    if host.parse::<std::net::Ipv4Addr>().is_ok() {
        return true;
    }
    let labels: Vec<&str> = host.strip_suffix('.').unwrap_or(host).split('.').collect();
    let is_label = |label: &&str| {
        let edge = |c: char| c.is_ascii_alphanumeric();
        label.starts_with(edge) && label.ends_with(edge) && label.chars().all(|c| edge(c) || c == '-')
    };
    labels.iter().all(is_label) && labels.last().is_some_and(|last| last.starts_with(|c: char| c.is_ascii_alphabetic()))
}

pub(super) fn url_encode(call: &Call<'_>) -> Result<Resolved> {
    let kernel = |invocation: &Invocation<'_>| {
        let values = texts(invocation, 0)?;
        build(invocation.rows, |row, out: &mut String| {
            for byte in values.get(row)?.bytes() {
                match byte {
                    b' ' => out.push('+'),
                    b'*' | b'-' | b'.' | b'_' => out.push(char::from(byte)),
                    _ if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
                    _ => {
                        out.push('%');
                        super::push_hex(&[byte], b"0123456789ABCDEF", out);
                    }
                }
            }
            Some(())
        })
    };
    Ok(Resolved::new(vec![text(call, 0)?], DataType::Utf8, kernel))
}

pub(super) fn url_decode(call: &Call<'_>) -> Result<Resolved> {
    let kernel = |invocation: &Invocation<'_>| {
        let values = texts(invocation, 0)?;
        try_build(invocation.rows, |row, out: &mut String| {
            let Some(value) = values.get(row) else { return Ok(None) };
            let decoded = decode(value).ok_or_else(|| {
                let message = format!(
                    "The provided URL cannot be decoded: {value}. Please ensure that the URL is properly formatted and try again."
                );
                spark_error("CANNOT_DECODE_URL", message)
            })?;
            out.push_str(&decoded);
            Ok(Some(()))
        })
    };
    Ok(Resolved::new(vec![text(call, 0)?], DataType::Utf8, kernel).fallible())
}

pub(super) fn try_url_decode(call: &Call<'_>) -> Result<Resolved> {
    let kernel = |invocation: &Invocation<'_>| {
        let values = texts(invocation, 0)?;
        build(invocation.rows, |row, out: &mut String| {
            out.push_str(&decode(values.get(row)?)?);
            Some(())
        })
    };
    Ok(Resolved::new(vec![text(call, 0)?], DataType::Utf8, kernel))
}

fn decode(value: &str) -> Option<String> {
    let mut bytes = value.bytes();
    let mut decoded = Vec::with_capacity(value.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                (digit()? * 16 + digit()?) as u8
            }
            _ => byte,
        });
    }
    Some(String::from_utf8(decoded).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}
