//! The connection to the server, and the thread that reads it.

use std::io::{ErrorKind, Read};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use memchr::memchr_iter;
use tidegate_runtime::{Error, Notifier, Result};

use super::buffer::{Failure, Line, LineBuffer};
use crate::clock::now_micros;

/// How long an address may take to answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A longer line is an error.
const MAX_LINE_BYTES: usize = 16 << 20;
const BLOCK_BYTES: usize = 64 << 10;

/// Connects to the first address of the host that answers.
pub(crate) fn connect(host: &str, port: u16) -> Result<TcpStream> {
    try_connect(host, port).map_err(|error| {
        let what = format!("{error}; is a server listening there? One for trying things out is: nc -lk {port}");
        Error::Connection {
            action: "connect to",
            endpoint: format!("{host}:{port}"),
            source: std::io::Error::new(error.kind(), what),
        }
    })
}

fn try_connect(host: &str, port: u16) -> std::io::Result<TcpStream> {
    let mut failed = std::io::Error::new(ErrorKind::NotFound, "the host has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// Starts the thread that fills `buffer`. It ends with the connection: shut down the stream that is returned.
pub(crate) fn start_reading(stream: TcpStream, buffer: Arc<LineBuffer>, notifier: Notifier) -> Result<TcpStream> {
    let handle = stream.try_clone().map_err(Error::io("share", "the socket"))?;
    let read = move || {
        let failure = read_lines(stream, &buffer, &notifier).err();
        buffer.finish(failure);
        notifier.notify();
    };
    thread::Builder::new().name("tg-socket".to_owned()).spawn(read).map_err(Error::io("start the thread of", "the socket"))?;
    Ok(handle)
}

fn read_lines(mut stream: impl Read, buffer: &LineBuffer, notifier: &Notifier) -> Result<(), Failure> {
    let (mut block, mut text) = (vec![0; BLOCK_BYTES], Vec::new());
    while buffer.wait_for_room() {
        match stream.read(&mut block) {
            Ok(0) => return add_lines(&mut text, true, buffer, notifier),
            Ok(read) => text.extend_from_slice(&block[..read]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(Failure::Connection(error.kind(), error.to_string())),
        }
        add_lines(&mut text, false, buffer, notifier)?;
    }
    Ok(())
}

/// Moves the complete lines of `text` into the buffer; at the end of the stream the last one too.
fn add_lines(text: &mut Vec<u8>, at_end: bool, buffer: &LineBuffer, notifier: &Notifier) -> Result<(), Failure> {
    let (mut lines, mut start, arrived) = (Vec::new(), 0, now_micros());
    let mut failure = None;
    for end in memchr_iter(b'\n', text).chain((at_end && !text.ends_with(b"\n") && !text.is_empty()).then_some(text.len())) {
        let line = &text[start..end];
        match row(line.strip_suffix(b"\r").unwrap_or(line)) {
            Ok(text) => lines.push(Line { text, arrived }),
            Err(error) => {
                failure = Some(error);
                break;
            }
        }
        start = end + 1;
    }
    text.drain(..start.min(text.len()));
    let added = !lines.is_empty();
    buffer.add(lines);
    if added {
        notifier.notify();
    }
    match failure {
        Some(failure) => Err(failure),
        None if text.len() > MAX_LINE_BYTES => Err(TOO_LONG),
        None => Ok(()),
    }
}

const TOO_LONG: Failure = Failure::Line("has more than 16 MiB");

fn row(line: &[u8]) -> Result<Arc<str>, Failure> {
    if line.len() > MAX_LINE_BYTES {
        return Err(TOO_LONG);
    }
    std::str::from_utf8(line).map(Arc::from).map_err(|_| Failure::Line("is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Gives a text in pieces, as a network does.
    struct Pieces<'a>(std::slice::Chunks<'a, u8>);

    impl Read for Pieces<'_> {
        fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
            let piece = self.0.next().unwrap_or_default();
            buf[..piece.len()].copy_from_slice(piece);
            Ok(piece.len())
        }
    }

    proptest! {
        #[test]
        fn any_pieces_give_the_same_lines(content in "([ab\u{E9}\n]|\r\n){0,60}", piece in 1_usize..70) {
            let buffer = LineBuffer::new(usize::MAX);
            read_lines(Pieces(content.as_bytes().chunks(piece)), &buffer, &Notifier::ignored()).unwrap();
            let lines: Vec<String> = buffer.copy(0..100).iter().map(|line| line.text.to_string()).collect();
            prop_assert_eq!(lines, content.lines().map(str::to_owned).collect::<Vec<_>>());
        }
    }
}
