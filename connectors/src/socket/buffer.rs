//! The lines that wait between the connection and the tasks.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tidegate_runtime::{Error, Result};

/// What a line costs beyond its text.
const LINE_OVERHEAD: usize = 48;

/// One line.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) text: Arc<str>,
    /// When it arrived, in microseconds since 1970-01-01 UTC.
    pub(crate) arrived: i64,
}

/// Lines by number, from the last committed one on. Full at a number of bytes: who adds then waits until lines are committed.
#[derive(Debug)]
pub(crate) struct LineBuffer {
    capacity: usize,
    state: Mutex<State>,
    /// Told when lines are dropped, or the buffer is closed.
    room: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Line>,
    /// The number of the first of `lines`.
    first: u64,
    bytes: usize,
    end: End,
}

/// Whether and why no more lines come.
#[derive(Debug, Default)]
enum End {
    #[default]
    Open,
    /// The server closed the connection in good order.
    Finished,
    /// The source was dropped.
    Closed,
    Failed(Failure),
}

/// Why the connection can't be read any further.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    Connection(std::io::ErrorKind, String),
    /// What a line is that can't be a row.
    Line(&'static str),
}

impl LineBuffer {
    pub(crate) fn new(capacity: usize) -> Self {
        LineBuffer { capacity, state: Mutex::default(), room: Condvar::new() }
    }

    /// Numbers the first line.
    pub(crate) fn start_at(&self, first: u64) {
        self.lock().first = first;
    }

    /// Adds lines and waits until there is room for more. `false` if no more are wanted.
    pub(crate) fn add(&self, lines: Vec<Line>) -> bool {
        let mut state = self.lock();
        state.bytes += lines.iter().map(cost).sum::<usize>();
        state.lines.extend(lines);
        !matches!(state.end, End::Closed)
    }

    /// Waits until lines can be added. `false` if no more are wanted.
    pub(crate) fn wait_for_room(&self) -> bool {
        let full = |state: &mut State| state.bytes >= self.capacity && !matches!(state.end, End::Closed);
        let state = self.room.wait_while(self.lock(), full).unwrap_or_else(PoisonError::into_inner);
        !matches!(state.end, End::Closed)
    }

    /// No more lines will be added.
    pub(crate) fn finish(&self, failure: Option<Failure>) {
        let mut state = self.lock();
        if matches!(state.end, End::Open) {
            state.end = failure.map_or(End::Finished, End::Failed);
        }
    }

    /// No more lines are wanted.
    pub(crate) fn close(&self) {
        self.lock().end = End::Closed;
        self.room.notify_all();
    }

    pub(crate) fn is_ended(&self) -> bool {
        !matches!(self.lock().end, End::Open)
    }

    /// The numbers of the lines in it.
    pub(crate) fn held(&self) -> Range<u64> {
        self.lock().held()
    }

    /// The number after the newest line.
    ///
    /// # Errors
    /// When the connection failed.
    pub(crate) fn end(&self, host: &str, port: u16) -> Result<u64> {
        let state = self.lock();
        match &state.end {
            End::Open | End::Finished | End::Closed => Ok(state.held().end),
            End::Failed(Failure::Connection(kind, what)) => Err(Error::Connection {
                action: "read from",
                endpoint: format!("{host}:{port}"),
                source: std::io::Error::new(*kind, what.clone()),
            }),
            End::Failed(Failure::Line(what)) => {
                let number = state.held().end + 1;
                Err(Error::user(format!("line {number} from {host}:{port} {what}")))
            }
        }
    }

    /// The lines with these numbers, as far as they are in it.
    pub(crate) fn copy(&self, numbers: Range<u64>) -> Vec<Line> {
        let state = self.lock();
        numbers.filter_map(|number| state.lines.get(usize::try_from(number.checked_sub(state.first)?).ok()?).cloned()).collect()
    }

    /// Drops the lines with smaller numbers.
    pub(crate) fn drop_before(&self, number: u64) {
        let mut state = self.lock();
        while state.first < number
            && let Some(line) = state.lines.pop_front()
        {
            state.first += 1;
            state.bytes -= cost(&line);
        }
        self.room.notify_all();
    }

    /// A thread that panicked while it held the lock left nothing half done.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn held(&self) -> Range<u64> {
        self.first..self.first + self.lines.len() as u64
    }
}

fn cost(line: &Line) -> usize {
    line.text.len() + LINE_OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    fn line(text: &str) -> Line {
        Line { text: text.into(), arrived: 0 }
    }

    #[test]
    fn a_full_buffer_makes_the_connection_wait_until_a_commit_or_the_end() {
        for free in [|buffer: &LineBuffer| buffer.drop_before(1), |buffer: &LineBuffer| buffer.close()] {
            let buffer = Arc::new(LineBuffer::new(10));
            assert!(buffer.wait_for_room());
            assert!(buffer.add(vec![line("0123456789")]));
            let (done, finished) = mpsc::channel();
            let waiting = Arc::clone(&buffer);
            let thread = std::thread::Builder::new().spawn(move || {
                let wanted = waiting.wait_for_room();
                done.send(wanted).unwrap();
            });
            assert!(finished.recv_timeout(Duration::from_millis(50)).is_err());
            free(&buffer);
            let wanted = finished.recv_timeout(Duration::from_secs(10)).unwrap();
            assert_eq!(wanted, buffer.held() == (1..1));
            thread.unwrap().join().unwrap();
        }
    }

    #[test]
    fn lines_keep_their_numbers() {
        let buffer = LineBuffer::new(1_000);
        buffer.start_at(5);
        buffer.add(vec![line("five"), line("six")]);
        buffer.drop_before(6);
        assert_eq!(buffer.held(), 6..7);
        let copy = buffer.copy(4..9);
        assert_eq!(copy.iter().map(|line| &*line.text).collect::<Vec<_>>(), ["six"]);
    }
}
