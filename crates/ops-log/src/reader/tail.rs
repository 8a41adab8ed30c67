use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Maximum length of a line that is read, in bytes; the rest of a longer line is dropped.
pub const MAX_STORED_LINE_BYTES: usize = 1024 * 1024;

/// Bytes of one read.
const PIECE: usize = 64 * 1024;

/// Reader of a log file that goes on with the next file after a rotation.
///
/// A file that was renamed is read to its end first. A file that became shorter is read from its beginning. A line is
/// returned once its newline is there; at the end of an input that does not grow, [`finish`](Self::finish) returns what is
/// left.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    file: File,
    position: u64,
    buffer: Vec<u8>,
    /// The beginning of the line was longer than the limit.
    overlong: bool,
}

impl Tail {
    /// Opens a file at its beginning.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be opened.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let file = File::open(&path)?;
        Ok(Self {
            path,
            file,
            position: 0,
            buffer: Vec::new(),
            overlong: false,
        })
    }

    /// Returns the next line without its newline, or `None` if there is none yet. Bytes that are not UTF-8 are replaced.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read. A missing file is not an error: it may be in the middle of a rotation.
    pub fn next_line(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(line) = self.buffered_line() {
                return Ok(Some(line));
            }
            if !self.read_piece()? && !self.reopen()? {
                return Ok(None);
            }
        }
    }

    /// Returns the last line if no newline ends it.
    pub fn finish(&mut self) -> Option<String> {
        let rest = std::mem::take(&mut self.buffer);
        let line = std::mem::take(&mut self.overlong);
        (!rest.is_empty() || line).then(|| String::from_utf8_lossy(&rest).into_owned())
    }

    fn buffered_line(&mut self) -> Option<String> {
        let end = self.buffer.iter().position(|byte| *byte == b'\n');
        let Some(end) = end else {
            if self.buffer.len() > MAX_STORED_LINE_BYTES {
                self.buffer.truncate(MAX_STORED_LINE_BYTES);
                self.overlong = true;
            }
            return None;
        };
        let rest = self.buffer.split_off(end + 1);
        let mut line = std::mem::replace(&mut self.buffer, rest);
        line.truncate(end.min(MAX_STORED_LINE_BYTES));
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        self.overlong = false;
        Some(String::from_utf8_lossy(&line).into_owned())
    }

    /// Reads what is there; `false` at the end.
    fn read_piece(&mut self) -> io::Result<bool> {
        let metadata = self.file.metadata()?;
        // a pipe has no length
        if metadata.is_file() && metadata.len() < self.position {
            self.file.seek(SeekFrom::Start(0))?;
            self.position = 0;
            self.buffer.clear();
            self.overlong = false;
        }
        let start = self.buffer.len();
        self.buffer.resize(start + PIECE, 0);
        let read = self.file.read(&mut self.buffer[start..]);
        self.buffer
            .truncate(start + read.as_ref().copied().unwrap_or(0));
        let read = read?;
        self.position += read as u64;
        if self.overlong {
            self.drop_rest_of_line(start);
        }
        Ok(read > 0)
    }

    /// Keeps the cut beginning, and what follows the newline.
    fn drop_rest_of_line(&mut self, start: usize) {
        let end = self.buffer[start..].iter().position(|byte| *byte == b'\n');
        let end = end.map_or(self.buffer.len(), |end| start + end);
        self.buffer.drain(start..end);
    }

    /// Goes on with the file that follows; `false` if there is none.
    fn reopen(&mut self) -> io::Result<bool> {
        let Some(next) = self.following()? else {
            return Ok(false);
        };
        // what was written between the last read and the rename
        if self.read_piece()? {
            return Ok(true);
        }
        if !self.buffer.is_empty() {
            self.buffer.push(b'\n');
        }
        self.file = next;
        self.position = 0;
        Ok(true)
    }

    /// The file that was begun after the one that is read. If that one is gone, the file that has the name now.
    fn following(&self) -> io::Result<Option<File>> {
        let mut newest = None;
        let mut next = None;
        for path in with_rotated(&self.path).iter().rev() {
            let file = match File::open(path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            if is_same(&self.file, &file)? {
                return Ok(next);
            }
            if newest.is_none() {
                newest = Some(file.try_clone()?);
            }
            next = Some(file);
        }
        Ok(newest)
    }
}

/// Returns the files of a rotated log that are there, the oldest first and `path` last: `app.log.2`, `app.log.1`, `app.log`.
pub fn with_rotated(path: &Path) -> Vec<PathBuf> {
    let numbered = |number: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    };
    let mut files: Vec<PathBuf> = (1..)
        .map(numbered)
        .take_while(|file| file.exists())
        .collect();
    files.reverse();
    files.push(path.to_owned());
    files
}

#[cfg(unix)]
fn is_same(one: &File, other: &File) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let (one, other) = (one.metadata()?, other.metadata()?);
    Ok((one.dev(), one.ino()) == (other.dev(), other.ino()))
}

/// Without inodes a file is taken as the same while it does not become shorter.
#[cfg(not(unix))]
fn is_same(one: &File, other: &File) -> io::Result<bool> {
    Ok(one.metadata()?.len() <= other.metadata()?.len())
}
