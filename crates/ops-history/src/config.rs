use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::step::Steps;

/// Default limit for the bytes of all files.
pub const MAX_BYTES: u64 = 4 << 30;
/// Minimum limit for the bytes of all files.
pub const MIN_BYTES: u64 = 1 << 20;
/// Default age at which a file is removed.
pub const MAX_AGE: Duration = Duration::from_secs(24 * 3600);
/// Maximum number of bytes that wait in memory for the writer; further records are dropped and counted.
pub const QUEUE_BYTES: usize = 8 << 20;
/// Maximum length of a line in bytes; a longer one is dropped and counted.
pub const MAX_LINE_BYTES: usize = 256 * 1024;

/// Directory and limits of a history.
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
    /// Creates the configuration of this service's history. [`History::open`](crate::History::open) creates the
    /// directory if it is missing.
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

    /// Sets the limit for the bytes of all files together, at least [`MIN_BYTES`] (1 MiB); [`MAX_BYTES`] unless set.
    /// Beyond the limit the oldest files are removed. One more file per table may exist until the next check.
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes.max(MIN_BYTES);
        self
    }

    /// Sets the age at which a file is removed, at least an hour; [`MAX_AGE`] unless set. A file has the rows of one
    /// hour; its age counts from the end of that hour.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = age.max(Duration::from_secs(3600));
        self
    }

    /// Sets the time between two files of a table, at least 100 ms; 10 s unless set. Up to this much is lost if the
    /// process is killed.
    #[must_use]
    pub fn every(mut self, time: Duration) -> Self {
        self.every = time.max(Duration::from_millis(100));
        self
    }

    /// Sets the time between a failed write and the next attempt; 60 s unless set. Records due meanwhile are dropped
    /// and counted.
    #[must_use]
    pub fn retry_after(mut self, time: Duration) -> Self {
        self.retry = time;
        self
    }

    /// Sets the free bytes to leave on the file system: with less free space nothing is written. Unless set, the
    /// smaller of 256 MiB and a twentieth of the file system.
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

    /// Calls a function at each [`Step`](crate::Step) of writing; it can fail the step or end the process.
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

/// Wall clock and monotonic clock, read together.
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
