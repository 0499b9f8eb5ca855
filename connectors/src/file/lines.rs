//! Cuts blocks of bytes into lines: the pure part of the readers of line formats.
//!
//! Text goes from the block straight into the buffer of the batch that is being built, a line that spans blocks too; nothing is
//! copied twice, and where lines become a column of text, UTF-8 is checked once for a whole batch.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use memchr::{memchr, memchr2};
use tidegate_runtime::TARGET_BATCH_ROWS;

/// A batch is passed on at this many bytes of text, even if it has few rows.
const TARGET_BATCH_BYTES: usize = 8 << 20;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Why a file can't be cut into lines, and where: byte offsets in the file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LineError {
    InvalidUtf8 { at: u64 },
    TooLong { line_at: u64 },
}

/// What ends a line: Spark's option `lineSep`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LineEnd {
    /// Its last byte, and what precedes that.
    last: u8,
    before: Vec<u8>,
    /// A carriage return ends a line, too, and with a newline after it is one end.
    or_return: bool,
}

impl Default for LineEnd {
    /// `\n`, `\r\n` or `\r`
    fn default() -> Self {
        LineEnd { last: b'\n', before: Vec::new(), or_return: true }
    }
}

impl LineEnd {
    /// This text and no other; `None` if it is empty.
    pub(crate) fn of(text: &str) -> Option<Self> {
        let (last, before) = text.as_bytes().split_last()?;
        Some(LineEnd { last: *last, before: before.to_vec(), or_return: false })
    }

    /// Where the first byte is that may end a line.
    fn find(&self, text: &[u8]) -> Option<usize> {
        if self.or_return { memchr2(b'\r', self.last, text) } else { memchr(self.last, text) }
    }

    /// Whether a line's end is found from any byte on.
    pub(crate) fn is_one_byte(&self) -> bool {
        self.before.is_empty()
    }
}

/// Takes a file's bytes from a split's start on, block by block, and gives the lines that begin within the split.
#[derive(Debug)]
pub(crate) struct LineCutter {
    /// Where lines must begin to count.
    split: Range<u64>,
    max_line_bytes: usize,
    /// Position in the file of the next byte that is taken.
    position: u64,
    /// Whether the end of the line that began before the split is still to come.
    skipping: bool,
    /// Position in the file at which the open line began.
    line_start: u64,
    /// The byte before was a carriage return, which has ended a line: a newline that follows belongs to it.
    after_return: bool,
    end: LineEnd,
    batch: LineBatch,
}

impl LineCutter {
    /// For the lines of one split. Bytes must be given from [`position`](Self::position) on.
    pub(crate) fn new(split: Range<u64>, max_line_bytes: usize, end: LineEnd) -> Self {
        // The byte before the split tells whether a line begins right at its start.
        let position = split.start.saturating_sub(1);
        let batch = LineBatch::default();
        LineCutter { skipping: split.start > 0, line_start: 0, after_return: false, position, split, max_line_bytes, end, batch }
    }

    /// Where in the file the next block must begin.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Whether all lines of the split are in.
    pub(crate) fn is_done(&self) -> bool {
        !self.skipping && self.line_start >= self.split.end || self.skipping && self.position >= self.split.end
    }

    /// Cuts a block; `full` gets each batch that is complete.
    pub(crate) fn take<E: From<LineError>>(
        &mut self,
        block: &[u8],
        full: &mut impl FnMut(Lines) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut rest = block;
        while !rest.is_empty() && !self.is_done() {
            if std::mem::take(&mut self.after_return) && rest.first() == Some(&b'\n') {
                (self.position, self.line_start) = (self.position + 1, self.position + 1);
                rest = &rest[1..];
                continue;
            }
            let newline = self.end.find(rest);
            let (piece, after) = rest.split_at(newline.unwrap_or(rest.len()));
            self.position += piece.len() as u64;
            self.take_piece(piece)?;
            rest = after;
            if newline.is_some() {
                self.position += 1;
                self.after_return = self.end.or_return && after[0] == b'\r';
                rest = &after[1..];
                // Asked first, as to compare nothing with bytes that were just copied makes the processor wait for them.
                if self.end.is_one_byte() || self.batch.open_line().ends_with(&self.end.before) {
                    self.end_line(full)?;
                } else {
                    self.batch.text.push(self.end.last);
                }
            }
        }
        Ok(())
    }

    /// The file ends here: a last line without a newline counts if it is not empty.
    pub(crate) fn finish<E: From<LineError>>(&mut self, full: &mut impl FnMut(Lines) -> Result<(), E>) -> Result<(), E> {
        if !self.skipping && !self.is_done() && self.batch.open_line_len() > 0 {
            self.drop_byte_order_mark();
            // As in Spark, a file of nothing but a byte order mark has no line.
            if self.batch.open_line_len() > 0 {
                self.close_line()?;
            }
        }
        self.flush(full)
    }

    /// The file can't be read on: gives the lines that are whole.
    pub(crate) fn give_up<E: From<LineError>>(&mut self, full: &mut impl FnMut(Lines) -> Result<(), E>) -> Result<(), E> {
        self.batch.text.truncate(self.batch.closed_len());
        self.flush(full)
    }

    fn take_piece(&mut self, piece: &[u8]) -> Result<(), LineError> {
        if self.skipping {
            return Ok(());
        }
        self.batch.text.extend_from_slice(piece);
        // A byte order mark in it, or a part of its end, is not counted, which is known only at the end of the line.
        let slack = BYTE_ORDER_MARK.len() + self.end.before.len();
        if self.batch.open_line_len() > self.max_line_bytes.saturating_add(slack) { Err(self.too_long()) } else { Ok(()) }
    }

    fn end_line<E: From<LineError>>(&mut self, full: &mut impl FnMut(Lines) -> Result<(), E>) -> Result<(), E> {
        if self.skipping {
            self.skipping = false;
        } else {
            self.batch.text.truncate(self.batch.text.len() - self.end.before.len());
            self.drop_byte_order_mark();
            self.close_line()?;
        }
        self.line_start = self.position;
        if self.batch.is_full() { self.flush(full) } else { Ok(()) }
    }

    fn close_line(&mut self) -> Result<(), LineError> {
        if self.batch.open_line_len() > self.max_line_bytes {
            return Err(self.too_long());
        }
        self.batch.close_line(self.line_start);
        Ok(())
    }

    fn drop_byte_order_mark(&mut self) {
        if self.line_start == 0 && self.batch.open_line().starts_with(BYTE_ORDER_MARK) {
            // The first line of the file is the first of its batch.
            self.batch.text.drain(..BYTE_ORDER_MARK.len());
            self.line_start = BYTE_ORDER_MARK.len() as u64;
        }
    }

    fn flush<E: From<LineError>>(&mut self, full: &mut impl FnMut(Lines) -> Result<(), E>) -> Result<(), E> {
        match self.batch.take() {
            Some(lines) => full(lines),
            None => Ok(()),
        }
    }

    fn too_long(&self) -> LineError {
        LineError::TooLong { line_at: self.line_start }
    }
}

/// Lines on their way to becoming a column, and the bytes of the line that is still open.
#[derive(Debug, Default)]
struct LineBatch {
    /// Closed lines without their ends, one after the other, then the open line.
    text: Vec<u8>,
    /// Where each closed line ends in `text`.
    ends: Vec<i32>,
    /// Where each closed line began in the file, to say where text is not UTF-8.
    starts_in_file: Vec<u64>,
}

impl LineBatch {
    fn open_line(&self) -> &[u8] {
        &self.text[self.closed_len()..]
    }

    fn open_line_len(&self) -> usize {
        self.text.len() - self.closed_len()
    }

    fn closed_len(&self) -> usize {
        self.ends.last().map_or(0, |end| *end as usize)
    }

    fn close_line(&mut self, start_in_file: u64) {
        // Fits: a batch is flushed at 8 MiB, and no line is longer than 1 GiB.
        self.ends.push(self.text.len() as i32);
        self.starts_in_file.push(start_in_file);
    }

    fn is_full(&self) -> bool {
        self.ends.len() >= TARGET_BATCH_ROWS || self.text.len() >= TARGET_BATCH_BYTES
    }

    /// The closed lines. There must be no open line.
    fn take(&mut self) -> Option<Lines> {
        if self.ends.is_empty() {
            return None;
        }
        // The next batch is likely as large as this one.
        let next = LineBatch {
            text: Vec::with_capacity(self.text.len()),
            ends: Vec::with_capacity(self.ends.len()),
            starts_in_file: Vec::with_capacity(self.ends.len()),
        };
        let LineBatch { text, ends, starts_in_file } = std::mem::replace(self, next);
        Some(Lines { text, ends, starts_in_file })
    }
}

/// Whole lines, at least one, without their ends.
#[derive(Debug)]
pub(crate) struct Lines {
    text: Vec<u8>,
    ends: Vec<i32>,
    starts_in_file: Vec<u64>,
}

impl Lines {
    /// Each line, and where in the file it began.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let lines = starts.zip(&self.ends).map(|(start, end)| &self.text[start as usize..*end as usize]);
        self.starts_in_file.iter().copied().zip(lines)
    }

    /// The lines as a column of text.
    pub(crate) fn into_column(self) -> Result<ArrayRef, LineError> {
        if let Some(at) = self.first_invalid_byte() {
            return Err(LineError::InvalidUtf8 { at });
        }
        let invalid = LineError::InvalidUtf8 { at: self.starts_in_file.first().copied().unwrap_or_default() };
        let offsets: Vec<i32> = std::iter::once(0).chain(self.ends).collect();
        let text = Buffer::from_vec(self.text);
        let column = StringArray::try_new(OffsetBuffer::new(ScalarBuffer::from(offsets)), text, None).map_err(|_| invalid)?;
        Ok(Arc::new(column))
    }

    fn first_invalid_byte(&self) -> Option<u64> {
        // One pass over the text as a whole; lines are looked at one by one only if it is wrong, or if a character could have
        // been made of the end of one line and the start of the next.
        let text = std::str::from_utf8(&self.text);
        if text.is_ok_and(|text| self.ends.iter().all(|end| text.is_char_boundary(*end as usize))) {
            return None;
        }
        self.iter().find_map(|(in_file, line)| std::str::from_utf8(line).err().map(|e| in_file + e.valid_up_to() as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::AsArray;
    use proptest::prelude::*;

    /// The lines of `content` in splits of `split` bytes, given in blocks of `block` bytes.
    fn cut(content: &[u8], split: u64, block: usize, max: usize) -> Result<Vec<String>, LineError> {
        let mut lines = Vec::new();
        let len = content.len() as u64;
        for start in (0..len).step_by(split as usize) {
            let mut cutter = LineCutter::new(start..len.min(start + split), max, LineEnd::default());
            let mut full = |batch: Lines| {
                let column = batch.into_column()?;
                lines.extend(column.as_string::<i32>().iter().map(|line| line.unwrap().to_owned()));
                Ok::<_, LineError>(())
            };
            let from = cutter.position() as usize;
            for bytes in content[from..].chunks(block) {
                cutter.take(bytes, &mut full)?;
            }
            cutter.finish(&mut full)?;
        }
        Ok(lines)
    }

    /// What the reader must give, by the standard library.
    fn naive(content: &str) -> Vec<String> {
        let content = content.strip_prefix('\u{FEFF}').unwrap_or(content);
        content.replace("\r\n", "\n").replace('\r', "\n").lines().map(str::to_owned).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn any_split_and_block_size_gives_the_same_lines(
            content in "(\u{FEFF})?([ab\u{E9}\u{1F30A}\r\n]|\r\n){0,60}", split in 1_u64..80, block in 1_usize..80
        ) {
            prop_assert_eq!(cut(content.as_bytes(), split, block, 1_000).unwrap(), naive(&content));
        }

        #[test]
        fn any_bytes_are_lines_or_an_error_at_the_first_wrong_byte(
            content in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(0xC3), Just(0xA9), any::<u8>()], 0..60),
            split in 1_u64..80, block in 1_usize..80
        ) {
            let expected = match std::str::from_utf8(&content) {
                Ok(text) => Ok(naive(text)),
                Err(error) => Err(LineError::InvalidUtf8 { at: error.valid_up_to() as u64 }),
            };
            prop_assert_eq!(cut(&content, split, block, 1_000), expected);
        }
    }

    #[test]
    fn a_character_torn_by_a_line_end_is_invalid() {
        assert_eq!(cut(b"ok\na\xC3\n\xA9b\n", 100, 100, 100), Err(LineError::InvalidUtf8 { at: 4 }));
    }

    #[test]
    fn line_length_is_limited_without_its_end() {
        assert_eq!(cut(b"1234\r\n12345", 100, 1, 5).unwrap(), ["1234", "12345"]);
        assert_eq!(cut(b"1234\n123456\r\n", 100, 1, 5), Err(LineError::TooLong { line_at: 5 }));
        assert_eq!(cut("x".repeat(1_000).as_bytes(), 100, 7, 5), Err(LineError::TooLong { line_at: 0 }));
    }

    #[test]
    fn other_ends_of_lines() {
        let cut = |content: &[u8], end: &str, block: usize| {
            let mut lines = Vec::new();
            let mut cutter = LineCutter::new(0..u64::MAX, 100, LineEnd::of(end).unwrap());
            let mut full = |batch: Lines| {
                lines.extend(batch.iter().map(|(_, line)| String::from_utf8_lossy(line).into_owned()));
                Ok::<_, LineError>(())
            };
            content.chunks(block).for_each(|bytes| cutter.take(bytes, &mut full).unwrap());
            cutter.finish(&mut full).unwrap();
            lines
        };
        for block in 1..9 {
            assert_eq!(cut(b"a\r\nb\r;c", ";", block), ["a\r\nb\r", "c"]);
            assert_eq!(cut(b"a||b|c||||d", "||", block), ["a", "b|c", "", "d"]);
            assert_eq!(cut(b"a\r\nb\nc\r\n", "\r\n", block), ["a", "b\nc"]);
        }
        assert_eq!(LineEnd::of(""), None);
    }

    #[test]
    fn batches_end_at_the_row_limit() {
        let content = "\n".repeat(2 * TARGET_BATCH_ROWS + 1);
        let mut sizes = Vec::new();
        let mut cutter = LineCutter::new(0..content.len() as u64, 100, LineEnd::default());
        let mut full = |lines: Lines| {
            sizes.push(lines.into_column()?.len());
            Ok::<_, LineError>(())
        };
        cutter.take(content.as_bytes(), &mut full).unwrap();
        cutter.finish(&mut full).unwrap();
        assert_eq!(sizes, [TARGET_BATCH_ROWS, TARGET_BATCH_ROWS, 1]);
    }
}
