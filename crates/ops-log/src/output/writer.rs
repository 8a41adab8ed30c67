//! Ways to write a line: to a file, to a device, to a stream with
//! a reader at its other end, or through code of the application.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::Level;
use crate::output::log_file::{self, LogFile};
use crate::output::rotation::Rotation;
use crate::output::stream::{self, StallBudget};
use crate::render::callback::caught;

/// Number of bytes per write to a pipe or a terminal, which either accepts that many at once or reports that it is full.
const PIPE_BYTES: usize = 4096;

/// Interval at which a pipe without a reader is reopened.
const REOPEN_EVERY: Duration = Duration::from_secs(1);

pub(super) enum Writer {
    /// A file, which never blocks for long.
    File(LogFile),
    /// A standard stream that is a file or a device.
    Device(Arc<File>),
    /// A stream with a reader at its other end, which may stall.
    Stream(Stream),
    /// A writer of the application.
    Given(Mutex<Box<dyn Write + Send>>),
    /// The stream was closed before the process started.
    Gone,
    /// Another configuration was applied, whose outputs get the lines.
    Closed,
}

/// Pipe, socket or terminal.
pub(super) struct Stream {
    /// `None` while a named pipe has no reader.
    file: Option<File>,
    path: Option<PathBuf>,
    opened: Instant,
    pub(super) stall_budget: StallBudget,
}

/// Failure, with the number of bytes written before.
pub(super) struct Failed {
    pub(super) written: usize,
    pub(super) error: io::Error,
}

impl Writer {
    /// Returns the writer of a standard stream, and `true` if that is a terminal.
    pub(super) fn standard(stream: Option<(File, bool)>, blocking: bool) -> (Self, bool) {
        match stream {
            Some((file, terminal)) => (Self::of(file, None, blocking), terminal),
            None => (Self::Gone, false),
        }
    }

    /// Opens a path: a file, or a pipe or device of that name.
    pub(super) fn open(path: &Path, rotation: Rotation, blocking: bool) -> io::Result<Self> {
        // the process may change its directory
        let path = &std::path::absolute(path)?;
        let file = match log_file::open(path) {
            Ok(file) => file,
            // a pipe without a reader yet
            Err(error) if stream::is_pipe(path) && stream::has_no_reader(&error) => {
                return Ok(Self::Stream(Stream::new(None, Some(path), blocking)));
            }
            Err(error) => return Err(error),
        };
        if file.metadata()?.is_file() && !is_of_system(path) {
            return Ok(Self::File(LogFile::new(path, file, rotation)?));
        }
        Ok(Self::of(file, Some(path), blocking))
    }

    fn of(file: File, path: Option<&Path>, blocking: bool) -> Self {
        if stream::may_stall(&file) {
            Self::Stream(Stream::new(Some(file), path, blocking))
        } else {
            Self::Device(Arc::new(file))
        }
    }

    #[inline]
    pub(super) fn write_all(&mut self, bytes: &[u8], level: Level) -> Result<(), Failed> {
        match self {
            Self::File(file) => write_chunks(bytes, usize::MAX, |chunk| file.write(chunk)),
            Self::Device(file) => write_chunks(bytes, usize::MAX, |chunk| (&**file).write(chunk)),
            Self::Given(writer) => write_chunks(bytes, usize::MAX, |chunk| {
                caught(|| writer.get_mut().write(chunk))
                    .unwrap_or_else(|| Err(io::Error::other("the writer panicked")))
            }),
            Self::Stream(stream) => stream.write_all(bytes, level),
            Self::Gone | Self::Closed => Err(Failed {
                written: 0,
                error: io::ErrorKind::NotConnected.into(),
            }),
        }
    }
}

/// Returns `true` for a name like `/dev/stdout`, also behind
/// links: the file behind it must not be renamed or truncated.
fn is_of_system(path: &Path) -> bool {
    let mut path = path.to_owned();
    // a kernel does not follow more links
    for _ in 0..40 {
        let is_device = path.starts_with("/dev") && !path.starts_with("/dev/shm");
        if is_device || path.starts_with("/proc") {
            return true;
        }
        let Ok(target) = std::fs::read_link(&path) else {
            break;
        };
        path.pop();
        path.push(target);
    }
    false
}

impl Stream {
    fn new(file: Option<File>, path: Option<&Path>, blocking: bool) -> Self {
        Self {
            file,
            path: path.map(Path::to_owned),
            opened: Instant::now(),
            stall_budget: StallBudget::new(blocking),
        }
    }

    fn write_all(&mut self, bytes: &[u8], level: Level) -> Result<(), Failed> {
        if self.file.is_none() && self.opened.elapsed() >= REOPEN_EVERY {
            self.opened = Instant::now();
            self.file = self
                .path
                .as_deref()
                .and_then(|path| log_file::open_existing(path).ok());
        }
        let (file, stall_budget) = (&mut self.file, &mut self.stall_budget);
        let Some(open) = file else {
            return Err(Failed {
                written: 0,
                error: io::ErrorKind::NotConnected.into(),
            });
        };
        let result = write_chunks(bytes, PIPE_BYTES, |chunk| {
            stall_budget.write(open, chunk, level)
        });
        if let Err(failed) = &result
            && failed.error.kind() == io::ErrorKind::BrokenPipe
            && self.path.is_some()
        {
            // another reader may open it later
            *file = None;
        }
        result
    }
}

#[inline]
fn write_chunks(
    bytes: &[u8],
    longest: usize,
    mut write: impl FnMut(&[u8]) -> io::Result<usize>,
) -> Result<(), Failed> {
    let mut written = 0;
    while written < bytes.len() {
        let end = bytes.len().min(written.saturating_add(longest));
        let error = match write(&bytes[written..end]) {
            Ok(0) => io::ErrorKind::WriteZero.into(),
            Ok(count) => {
                written += count;
                continue;
            }
            Err(error) => error,
        };
        match error.kind() {
            io::ErrorKind::Interrupted => {}
            io::ErrorKind::WouldBlock if longest != usize::MAX => {}
            _ => return Err(Failed { written, error }),
        }
    }
    Ok(())
}
