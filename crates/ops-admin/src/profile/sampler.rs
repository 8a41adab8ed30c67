use std::time::{Duration, Instant, SystemTime};

use pprof::{Error, ProfilerGuard, ProfilerGuardBuilder, Report};
use rustix::time::{ClockId, clock_gettime};

/// Samples for each second of processor time. An odd number, so that nothing periodic is met at the same place each time.
const HZ: i32 = 99;

/// Libraries in which no sample is taken: a stack is walked by the unwinder, which takes locks of these.
const UNSAMPLED: [&str; 4] = ["libc", "libgcc", "pthread", "vdso"];

/// Reason for which there is no profile.
#[derive(Debug)]
pub(crate) enum Failed {
    Busy,
    Broken,
}

fn failed(error: Error) -> Failed {
    match error {
        Error::Running => Failed::Busy,
        _ => Failed::Broken,
    }
}

/// Profile that is being taken. Dropping it ends it.
pub(super) struct Sampler {
    guard: ProfilerGuard<'static>,
    started: (Instant, SystemTime),
    cpu: Duration,
}

/// Samples of a time.
pub(super) struct Taken {
    pub(super) report: Report,
    pub(super) started: SystemTime,
    /// Time from start to end.
    pub(super) duration: Duration,
    /// Processor time of all threads in that time.
    pub(super) cpu: Duration,
    /// Processor time that one sample stands for.
    pub(super) period: Duration,
}

impl Sampler {
    /// Starts sampling. Fails if somebody in this process samples already.
    pub(super) fn start() -> Result<Self, Failed> {
        let builder = ProfilerGuardBuilder::default().frequency(HZ);
        let guard = builder.blocklist(&UNSAMPLED).build().map_err(failed)?;
        Ok(Self {
            guard,
            started: (Instant::now(), SystemTime::now()),
            cpu: cpu(),
        })
    }

    /// Ends sampling, and looks up the names of functions, which takes a second in a large program.
    pub(super) fn end(self) -> Result<Taken, Failed> {
        let duration = self.started.0.elapsed();
        let cpu = cpu().saturating_sub(self.cpu);
        Ok(Taken {
            report: self.guard.report().build().map_err(failed)?,
            started: self.started.1,
            duration,
            cpu,
            period: Duration::from_secs(1) / HZ.unsigned_abs(),
        })
    }
}

/// Processor time of the process, all threads.
fn cpu() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}
