use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::lines::{LAST_BYTES, LineBuffer};
use super::rotated::{MAX_OPEN, has_name, newer_than, older_than};

/// Reader of a log file that continues with the next file after a rotation.
///
/// A renamed file is read to its end first. A truncated file is read from its start, also if it has grown
/// again since, as with logrotate's `copytruncate`. If a file was removed or moved away, the next file of
/// its name is read; older files never are. Each time that lines may have been lost between two reads
/// counts as a [gap](Self::gaps). A line is returned once its end was read, as by [`Lines`](super::Lines);
/// at the end of an input that does not grow, [`finish`](Self::finish) returns the rest.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    file: File,
    position: u64,
    /// Last bytes read before the position.
    read_last: Vec<u8>,
    buffer: LineBuffer,
    /// Files that follow, the newest first; kept open, so that a rotation cannot remove them.
    ahead: Vec<File>,
    /// Files that were read, or are older than the first one read, the
    /// newest last; kept open, so that none is taken for a new file.
    older: VecDeque<File>,
    gaps: u64,
}

impl Tail {
    /// Opens a file at its start.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be opened.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let file = File::open(&path)?;
        Ok(Self {
            file,
            position: 0,
            read_last: Vec::new(),
            buffer: LineBuffer::default(),
            ahead: Vec::new(),
            older: older_than(&path).into(),
            gaps: 0,
            path,
        })
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the next line without its line end, or `None` if there is none yet. Invalid UTF-8 is replaced.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read. A missing file is not an error, because a rotation may be in progress.
    pub fn next_line(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(line) = self.buffer.take_line() {
                return Ok(Some(line));
            }
            if !self.read_piece()? && !self.open_next()? {
                return Ok(None);
            }
        }
    }

    /// Returns `true` if the next line is in memory, so that [`next_line`](Self::next_line) does not wait for a pipe.
    pub fn has_line(&self) -> bool {
        self.buffer.has_line()
    }

    /// Returns the last line if it has no line end.
    pub fn finish(&mut self) -> Option<String> {
        self.buffer.finish()
    }

    /// Returns `true` if the input may still grow at its end; `false` for a pipe.
    ///
    /// # Errors
    ///
    /// Fails if the metadata of the file cannot be read.
    pub fn can_grow(&self) -> io::Result<bool> {
        Ok(self.file.metadata()?.is_file())
    }

    /// Returns how often lines may have been removed before they were read: the file was
    /// truncated, or it and all older files were gone although newer ones had been rotated.
    pub fn gaps(&self) -> u64 {
        self.gaps
    }

    /// Returns the number of lines that were cut, because they are longer
    /// than [`MAX_STORED_LINE_BYTES`](super::MAX_STORED_LINE_BYTES).
    pub fn cut_lines(&self) -> u64 {
        self.buffer.cut_lines
    }

    /// Reads once; returns `false` at the end.
    fn read_piece(&mut self) -> io::Result<bool> {
        if self.was_truncated()? {
            self.file.seek(SeekFrom::Start(0))?;
            self.position = 0;
            self.read_last.clear();
            self.buffer.clear();
            self.gaps += 1;
        }
        let read = match self.buffer.fill(&mut self.file) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(true),
            read => read?,
        };
        self.position += read as u64;
        self.buffer.keep_last(read, &mut self.read_last);
        Ok(read > 0)
    }

    /// Returns `true` if the file is shorter than the position, or its
    /// content before it has changed. Leaves the file at the position.
    fn was_truncated(&mut self) -> io::Result<bool> {
        let metadata = self.file.metadata()?;
        // a pipe has no length
        if !metadata.is_file() || self.position == 0 {
            return Ok(false);
        }
        if metadata.len() < self.position {
            return Ok(true);
        }
        let len = self.read_last.len();
        let mut there = [0; LAST_BYTES];
        let there = &mut there[..len];
        self.file
            .seek(SeekFrom::Start(self.position - len as u64))?;
        match self.file.read_exact(there) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(true),
            read => read.map(|()| *there != self.read_last[..]),
        }
    }

    /// Continues with the next file; `false` if there is none.
    fn open_next(&mut self) -> io::Result<bool> {
        if self.ahead.is_empty() && self.can_grow()? {
            self.look_ahead()?;
        }
        if self.ahead.is_empty() {
            return Ok(false);
        }
        // bytes written between the last read and the rename
        if self.read_piece()? {
            return Ok(true);
        }
        let Some(next) = self.ahead.pop() else {
            return Ok(false);
        };
        self.buffer.end_line();
        if self.older.len() == MAX_OPEN {
            self.older.pop_front();
        }
        self.older
            .push_back(std::mem::replace(&mut self.file, next));
        self.position = 0;
        self.read_last.clear();
        if self.ahead.is_empty() {
            // before a rotation removes the files that exist now
            self.look_ahead()?;
        }
        Ok(true)
    }

    fn look_ahead(&mut self) -> io::Result<()> {
        self.older.retain(has_name);
        let older = self.older.make_contiguous();
        let Some(newer) = newer_than(&self.path, &self.file, older)? else {
            return Ok(());
        };
        // a rotation removes the oldest file first, and leaves at least two files, one of them renamed
        let is_swept = !newer.is_there && !newer.has_older && newer.files.len() > 1;
        self.gaps += u64::from(is_swept);
        self.ahead = newer.files;
        Ok(())
    }
}
