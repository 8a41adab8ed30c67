//! Places that take lines.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::output::{Output, Place, stream};
use crate::render::line_buffers::Style;

/// A pipe or a terminal takes this much at once, or says that it cannot.
const PIPE_BYTES: usize = 4096;

/// How long a line waits for a reader that stalls. Until it reads again, the lines after it are dropped at once.
pub const STALL_BUDGET: Duration = Duration::from_millis(100);

/// A place that takes lines in one format.
pub(crate) struct Sink {
    /// `None` is JSON.
    pub(crate) style: Option<Style>,
    target: Arc<Mutex<Target>>,
    path: Option<PathBuf>,
}

pub(crate) struct Target {
    writer: Writer,
    /// The last line was written in part only: the next one begins on a line of its own.
    torn: bool,
}

enum Writer {
    /// A file: it never blocks for long.
    File(File),
    /// Something with a reader at its other end, which may stall.
    Stream { file: File, stalled: bool },
    /// Whatever the application gave.
    Given(Box<dyn Write + Send>),
    /// The stream was closed before we started.
    Gone,
}

impl Sink {
    pub(crate) fn open(output: &Output) -> io::Result<Self> {
        let (target, terminal, path) = match &output.place {
            Place::Stdout => standard(stream::stdout()),
            Place::Stderr => standard(stream::stderr()),
            Place::File(path) => (Target::file(path)?, false, Some(path.clone())),
            Place::Given(target) => return Ok(Self::to(Arc::clone(target), false, None, output)),
        };
        Ok(Self::to(
            Arc::new(Mutex::new(target)),
            terminal,
            path,
            output,
        ))
    }

    fn to(
        target: Arc<Mutex<Target>>,
        terminal: bool,
        path: Option<PathBuf>,
        output: &Output,
    ) -> Self {
        let style = (!output.json).then(|| Style {
            color: output.color.unwrap_or_else(|| color_wanted(terminal)),
            context: output.context,
        });
        Self {
            style,
            target,
            path,
        }
    }

    /// Writes one line; false where it could not be written as a whole.
    #[inline]
    pub(crate) fn write(&self, line: &[u8]) -> bool {
        self.target.lock().write(line)
    }

    pub(crate) fn is_file(&self) -> bool {
        self.path.is_some()
    }

    /// Opens the file of this name again: after a rotation it is another one. Where that fails, the old one is kept.
    pub(crate) fn reopen(&self) -> io::Result<()> {
        if let Some(path) = &self.path {
            let target = Target::file(path)?;
            *self.target.lock() = target;
        }
        Ok(())
    }

    /// Waits for lines that are on their way; false where they took longer.
    pub(crate) fn flush(&self, budget: Duration) -> bool {
        let Some(mut target) = self.target.try_lock_for(budget) else {
            return false;
        };
        match &mut target.writer {
            Writer::Given(writer) => writer.flush().is_ok(),
            Writer::File(_) | Writer::Stream { .. } | Writer::Gone => true,
        }
    }
}

impl Target {
    /// Whatever the application gave.
    pub(crate) fn given(writer: Box<dyn Write + Send>) -> Self {
        Self::new(Writer::Given(writer))
    }

    /// A file that is appended to; what a killed process left of its last line stays on a line of its own.
    fn file(path: &Path) -> io::Result<Self> {
        Ok(Self {
            writer: Writer::File(append_to(path)?),
            torn: ends_within_a_line(path).unwrap_or(false),
        })
    }

    fn new(writer: Writer) -> Self {
        Self {
            writer,
            torn: false,
        }
    }

    fn write(&mut self, line: &[u8]) -> bool {
        if self.torn {
            match self.writer.write_all(b"\n") {
                Ok(()) => self.torn = false,
                Err(_) => return false,
            }
        }
        match self.writer.write_all(line) {
            Ok(()) => true,
            Err(written) => {
                self.torn = written > 0;
                false
            }
        }
    }
}

impl Writer {
    /// The error is how much was written before it.
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), usize> {
        match self {
            Self::File(file) => write_chunks(bytes, usize::MAX, |chunk| file.write(chunk)),
            Self::Given(writer) => write_chunks(bytes, usize::MAX, |chunk| writer.write(chunk)),
            Self::Stream { file, stalled } => {
                let budget = if *stalled {
                    Duration::ZERO
                } else {
                    STALL_BUDGET
                };
                write_chunks(bytes, PIPE_BYTES, |chunk| {
                    if stream::is_writable(file, budget)? {
                        *stalled = false;
                        file.write(chunk)
                    } else {
                        *stalled = true;
                        Err(io::ErrorKind::TimedOut.into())
                    }
                })
            }
            Self::Gone => Err(0),
        }
    }
}

fn write_chunks(
    bytes: &[u8],
    longest: usize,
    mut write: impl FnMut(&[u8]) -> io::Result<usize>,
) -> Result<(), usize> {
    let mut written = 0;
    while written < bytes.len() {
        let end = bytes.len().min(written.saturating_add(longest));
        match write(&bytes[written..end]) {
            Ok(0) => return Err(written),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && longest != usize::MAX => {}
            Err(_) => return Err(written),
        }
    }
    Ok(())
}

fn standard(stream: Option<(File, bool)>) -> (Target, bool, Option<PathBuf>) {
    let (writer, terminal) = match stream {
        Some((file, terminal)) if stream::may_stall(&file) => (
            Writer::Stream {
                file,
                stalled: false,
            },
            terminal,
        ),
        Some((file, terminal)) => (Writer::File(file), terminal),
        None => (Writer::Gone, false),
    };
    (Target::new(writer), terminal, None)
}

fn ends_within_a_line(path: &Path) -> io::Result<bool> {
    // a pipe or a device is not to be opened for reading
    let known = std::fs::metadata(path)?;
    if !known.is_file() || known.len() == 0 {
        return Ok(false);
    }
    let (mut file, mut last) = (File::open(path)?, [0]);
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

fn append_to(path: &Path) -> io::Result<File> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    parent
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| File::options().create(true).append(true).open(path))
}

fn color_wanted(terminal: bool) -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !set("NO_COLOR") && (set("FORCE_COLOR") || terminal)
}
