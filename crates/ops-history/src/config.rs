use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::step::Steps;

/// Bytes of all files unless configured.
pub const MAX_BYTES: u64 = 4 << 30;
/// Bytes of all files at least.
pub const MIN_BYTES: u64 = 1 << 20;
/// Age of the oldest file unless configured.
pub const MAX_AGE: Duration = Duration::from_secs(24 * 3600);
/// Bytes that may wait in memory for the writer; what is offered beyond them is dropped and counted.
pub const QUEUE_BYTES: usize = 8 << 20;
/// Longest line in bytes; a longer one is dropped and counted.
pub const MAX_LINE_BYTES: usize = 256 * 1024;

/// Place and bounds of a history.
#[derive(Clone)]
pub struct Config {
    pub(crate) dir: PathBuf,
    pub(crate) service: String,
    pub(crate) max_bytes: u64,
    pub(crate) max_age: Duration,
    pub(crate) every: Duration,
    pub(crate) retry: Duration,
    pub(crate) reserve: Option<u64>,
    pub(crate) clock: Clock,
    pub(crate) steps: Steps,
}

impl Config {
    /// Creates the configuration of the history of this service. The directory is made if it is not there.
    pub fn new(dir: impl Into<PathBuf>, service: impl Into<String>) -> Self {
        Self {
            dir: dir.into(),
            service: service.into(),
            max_bytes: MAX_BYTES,
            max_age: MAX_AGE,
            every: Duration::from_secs(10),
            retry: Duration::from_secs(60),
            reserve: None,
            clock: Clock::default(),
            steps: Steps::default(),
        }
    }

    /// Sets the bytes of all files together; the oldest ones are removed beyond them. At least [`MIN_BYTES`], which are 1 MiB; [`MAX_BYTES`] unless set.
    /// One file of each table may be there in addition, until the next look.
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes.max(MIN_BYTES);
        self
    }

    /// Sets the age from which a file is removed, at least an hour; [`MAX_AGE`] unless set. A file has the rows of one hour, and
    /// goes once its newest possible row is that old.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = age.max(Duration::from_secs(3600));
        self
    }

    /// Sets the time between two files of a table, at least 100 ms; 10 s unless set. As much may be lost if the process is killed.
    #[must_use]
    pub fn every(mut self, time: Duration) -> Self {
        self.every = time.max(Duration::from_millis(100));
        self
    }

    /// Sets the time between a failure to write and the next attempt; 60 s unless set.
    #[must_use]
    pub fn retry_after(mut self, time: Duration) -> Self {
        self.retry = time;
        self
    }

    /// Sets the bytes of the file system that others keep: with fewer free ones nothing is written. The smaller of 256 MiB and a
    /// twentieth of the file system unless set.
    #[must_use]
    pub fn reserve(mut self, bytes: u64) -> Self {
        self.reserve = Some(bytes);
        self
    }

    /// Sets the clocks: wall and monotonic.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn clock(
        mut self,
        read: impl Fn() -> (SystemTime, Duration) + Send + Sync + 'static,
    ) -> Self {
        self.clock = Clock(Some(Arc::new(read)));
        self
    }

    /// Calls a function at each [`Step`](crate::Step) of writing, which may fail it or end the process.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn on_step(
        mut self,
        hook: impl Fn(crate::Step) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.steps = Steps::new(hook);
        self
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("dir", &self.dir)
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}

type ReadClock = Arc<dyn Fn() -> (SystemTime, Duration) + Send + Sync>;

/// Both clocks at one moment.
#[derive(Clone, Default)]
pub(crate) struct Clock(Option<ReadClock>);

impl Clock {
    pub(crate) fn read(&self) -> (SystemTime, Duration) {
        static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
        match &self.0 {
            Some(read) => read(),
            None => (SystemTime::now(), START.elapsed()),
        }
    }
}
