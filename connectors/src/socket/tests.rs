//! Tests of the socket source against a server in the test.

use std::io::Write;
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::TimestampMicrosecondType;
use tidegate_runtime::Notifier;

use super::*;
use crate::testing::{read, source_context, strings};

struct Session {
    server: TcpStream,
    source: Box<dyn Source>,
    news: Receiver<()>,
}

/// A source that is connected to a server here.
fn connect(offset: Option<u64>, timestamp: bool) -> Session {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = SocketSource::new("127.0.0.1", listener.local_addr().unwrap().port()).include_timestamp(timestamp);
    let (tell, news) = channel();
    let mut context = source_context(offset.map(|offset| Offset::encode(&offset).unwrap()), Vec::new());
    context.notifier = Notifier::new(move || tell.send(()).unwrap_or_default());
    let mut source = config.supply().unwrap();
    source.open(context).unwrap();
    Session { server: listener.accept().unwrap().0, source, news }
}

impl Session {
    fn send(&mut self, text: &[u8]) {
        self.server.write_all(text).unwrap();
    }

    fn close(&mut self) {
        self.server.shutdown(Shutdown::Both).unwrap();
    }

    fn wait(&self) {
        self.news.recv_timeout(Duration::from_secs(10)).expect("the source tells of its lines");
    }

    /// Waits until the source has this many lines, and plans them.
    fn plan(&mut self, start: Option<u64>, end: u64) -> OffsetRange {
        let start = start.map(|start| Offset::encode(&start).unwrap());
        loop {
            match self.source.latest_offset(start.as_ref(), ReadLimit::Configured).unwrap() {
                Some(found) if found.decode::<u64>().unwrap() >= end => return OffsetRange { start, end: found },
                _ => self.wait(),
            }
        }
    }
}

#[test]
fn lines_until_the_server_closes() {
    let mut session = connect(None, false);
    session.send("first\r\nsec".as_bytes());
    let range = session.plan(None, 1);
    assert_eq!(strings(&read(&mut *session.source, &range).unwrap()), ["first"]);
    session.source.commit(&range.end).unwrap();
    session.send("ond\n\nla\u{E9}st".as_bytes());
    session.close();
    let range = session.plan(Some(1), 4);
    assert_eq!(session.source.splits(&range).unwrap().len(), 2);
    assert_eq!(strings(&read(&mut *session.source, &range).unwrap()), ["second", "", "la\u{E9}st"]);
    while !session.source.is_finished() {
        session.wait();
    }
    assert_eq!(session.source.latest_offset(Some(&range.end), ReadLimit::Configured).unwrap(), None);
}

#[test]
fn timestamps_are_arrival_times() {
    let mut session = connect(None, true);
    session.send(b"a\n");
    let range = session.plan(None, 1);
    let batch = read(&mut *session.source, &range).unwrap().remove(0);
    let arrived = batch.column(1).as_primitive::<TimestampMicrosecondType>().value(0);
    assert!((crate::clock::now_micros() - arrived).abs() < 60_000_000);
    assert_eq!(*batch.schema_ref(), SocketSource::new("h", 1).include_timestamp(true).schema().unwrap());
}

#[test]
fn a_repeated_epoch_has_no_rows_and_new_lines_follow_it() {
    let mut session = connect(Some(7), false);
    let replay = OffsetRange { start: Some(Offset::from_json("3")), end: Offset::from_json("7") };
    assert!(read(&mut *session.source, &replay).unwrap().is_empty());
    session.send(b"new\n");
    let range = session.plan(Some(7), 8);
    assert_eq!(strings(&read(&mut *session.source, &range).unwrap()), ["new"]);
}

#[test]
fn text_that_is_not_utf8_fails_the_query() {
    let mut session = connect(None, false);
    session.send(b"ok\n\xFF\n");
    session.wait();
    while !session.source.is_finished() {
        session.wait();
    }
    let error = session.source.latest_offset(None, ReadLimit::Configured).unwrap_err().to_string();
    assert!(error.starts_with("line 2 from 127.0.0.1:") && error.ends_with("is not UTF-8"), "{error}");
}

#[test]
fn freezing_fixes_the_end() {
    let mut session = connect(None, false);
    session.send(b"a\n");
    session.plan(None, 1);
    session.source.freeze().unwrap();
    session.send(b"b\n");
    session.close();
    session.wait();
    assert!(session.source.is_finished());
    assert_eq!(session.plan(None, 1).end.as_json(), "1");
}

#[test]
fn dropping_the_source_ends_its_thread() {
    let Session { server, source, news } = connect(None, false);
    drop(source);
    // The thread holds the notifier: when it ends, the channel does.
    while news.recv_timeout(Duration::from_secs(10)).is_ok() {}
    assert!(matches!(news.try_recv(), Err(std::sync::mpsc::TryRecvError::Disconnected)));
    drop(server);
}

#[test]
fn a_refused_connection_says_what_to_do() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = SocketSource::new("127.0.0.1", port).supply().unwrap().open(source_context(None, Vec::new())).unwrap_err();
    assert!(matches!(error, Error::Connection { .. }));
    let text = error.to_string();
    assert!(text.starts_with(&format!("can't connect to 127.0.0.1:{port}: ")) && text.contains("nc -lk"), "{text}");
}
