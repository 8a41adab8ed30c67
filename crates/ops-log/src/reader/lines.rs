use std::io::{self, Read};

/// Maximum length of a line in bytes; the rest of a longer line is dropped, and the line is counted.
pub const MAX_STORED_LINE_BYTES: usize = 8 * 1024 * 1024;

/// Number of bytes per read.
const PIECE: usize = 64 * 1024;

/// Number of bytes compared to detect replaced content: longer than most lines, whose times differ.
pub(super) const LAST_BYTES: usize = 1024;

/// Lines of an input that does not grow: a pipe, or decompressed data.
///
/// A line ends with `\n`, `\r\n`, `\r`, or NULs, which a crash of the machine
/// leaves in files. A byte order mark is skipped. Invalid UTF-8 is replaced.
///
/// ```
/// use ops_log::reader::Lines;
///
/// let mut lines = Lines::new(&b"\xef\xbb\xbfone\n\0\0\0two\rthree"[..]);
/// let mut next = || lines.next_line();
/// assert_eq!(next()?.as_deref(), Some("one"));
/// assert_eq!(next()?.as_deref(), Some("two"));
/// assert_eq!(next()?.as_deref(), Some("three"));
/// assert_eq!(next()?, None);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Lines<R> {
    input: R,
    buffer: LineBuffer,
}

impl<R: Read> Lines<R> {
    /// Reads from the start of this input.
    pub fn new(input: R) -> Self {
        let buffer = LineBuffer::default();
        Self { input, buffer }
    }

    /// Returns the next line without its line end, or `None` after the last one.
    ///
    /// # Errors
    ///
    /// Fails if the input cannot be read.
    pub fn next_line(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(line) = self.buffer.take_line() {
                return Ok(Some(line));
            }
            match self.buffer.fill(&mut self.input) {
                Ok(0) => return Ok(self.buffer.finish()),
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
        }
    }

    /// Returns `true` if the next line is in memory, so that
    /// [`next_line`](Self::next_line) does not wait for the input.
    pub fn has_line(&self) -> bool {
        self.buffer.has_line()
    }

    /// Returns the number of lines that were cut, because they are longer than [`MAX_STORED_LINE_BYTES`].
    pub fn cut_lines(&self) -> u64 {
        self.buffer.cut_lines
    }
}

/// Bytes that were read, but not yet returned as lines.
#[derive(Debug, Default)]
pub(super) struct LineBuffer {
    bytes: Vec<u8>,
    /// Start of the first line not yet returned.
    start: usize,
    /// End of the bytes searched for the end of that line.
    searched: usize,
    /// Set if the line exceeds the limit: bytes up to its end are dropped.
    overlong: bool,
    /// Set if the last line ended with `\r` or a NUL: a following `\n` belongs to it.
    split: bool,
    pub(super) cut_lines: u64,
}

impl LineBuffer {
    /// Reads once; returns the number of bytes, 0 at the end.
    pub(super) fn fill(&mut self, input: &mut impl Read) -> io::Result<usize> {
        self.bytes.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        let len = self.bytes.len();
        self.bytes.resize(len + PIECE, 0);
        let read = input.read(&mut self.bytes[len..]);
        let taken = read.as_ref().map_or(0, |read| *read);
        self.bytes.truncate(len + taken);
        read
    }

    /// Updates the last bytes read; the last read returned `read` bytes.
    pub(super) fn keep_last(&self, read: usize, last: &mut Vec<u8>) {
        let read = read.min(LAST_BYTES);
        let kept = last.len().min(LAST_BYTES - read);
        last.drain(..last.len() - kept);
        last.extend_from_slice(&self.bytes[self.bytes.len() - read..]);
    }

    /// Takes the next line whose end was read.
    pub(super) fn take_line(&mut self) -> Option<String> {
        self.skip();
        let Some(end) = self.end() else {
            self.bound();
            return None;
        };
        let line = self.text(end);
        self.split = self.bytes[end] != b'\n';
        self.start = end + 1;
        self.searched = self.start;
        self.overlong = false;
        // the rest of a two-byte line end is not an empty line
        self.skip();
        Some(line)
    }

    /// Takes the last line if it has no line end.
    pub(super) fn finish(&mut self) -> Option<String> {
        self.skip();
        let rest = self.text(self.bytes.len());
        self.clear();
        (!rest.is_empty()).then_some(rest)
    }

    pub(super) fn has_line(&self) -> bool {
        self.end().is_some()
    }

    /// Ends an incomplete line.
    pub(super) fn end_line(&mut self) {
        if self.start < self.bytes.len() || self.overlong {
            self.bytes.push(b'\n');
        }
        self.split = false;
    }

    /// Drops everything not yet returned.
    pub(super) fn clear(&mut self) {
        *self = Self {
            cut_lines: self.cut_lines,
            ..Self::default()
        };
    }

    fn end(&self) -> Option<usize> {
        let rest = self.bytes.get(self.searched..)?;
        memchr::memchr3(b'\n', b'\r', 0, rest).map(|end| self.searched + end)
    }

    /// Skips the rest of the previous line end.
    fn skip(&mut self) {
        if self.overlong {
            return;
        }
        while let Some(&first) = self.bytes.get(self.start) {
            let is_newline = self.split && first == b'\n';
            self.split &= first == 0;
            if first != 0 && !is_newline {
                break;
            }
            self.start += 1;
        }
        self.searched = self.searched.max(self.start);
    }

    /// Returns the line up to `end`.
    fn text(&mut self, end: usize) -> String {
        let line = &self.bytes[self.start..end];
        let kept = &line[..line.len().min(MAX_STORED_LINE_BYTES)];
        let is_cut = self.overlong || kept.len() < line.len();
        self.cut_lines += u64::from(is_cut);
        let text = String::from_utf8_lossy(kept);
        text.trim_start_matches('\u{feff}').to_owned()
    }

    /// Limits a line without end to its start.
    fn bound(&mut self) {
        self.searched = self.bytes.len();
        if self.bytes.len() - self.start > MAX_STORED_LINE_BYTES {
            self.bytes.truncate(self.start + MAX_STORED_LINE_BYTES);
            self.searched = self.bytes.len();
            self.overlong = true;
        }
    }
}
