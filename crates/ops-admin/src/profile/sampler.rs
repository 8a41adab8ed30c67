use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use pprof::{Error, ProfilerGuard, ProfilerGuardBuilder, Report};
use rustix::time::{ClockId, clock_gettime};

/// Number of samples per second of processor time. Odd, so that
/// periodic work is not sampled at the same place each time.
const HZ: i32 = 99;

/// Libraries in which no sample is taken: the unwinder, which walks a stack, takes locks of theirs.
const UNSAMPLED: [&str; 4] = ["libc", "libgcc", "pthread", "vdso"];

/// Reason why there is no profile.
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

/// Permission to take a profile. There is one per process.
#[derive(Debug)]
pub(super) struct Turn(());

static IS_TAKEN: AtomicBool = AtomicBool::new(false);

impl Turn {
    /// Takes the permission. Fails if a profile is being taken.
    pub(super) fn take() -> Result<Self, Failed> {
        match IS_TAKEN.swap(true, Ordering::AcqRel) {
            true => Err(Failed::Busy),
            false => Ok(Self(())),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        IS_TAKEN.store(false, Ordering::Release);
    }
}

/// Profile in progress. Dropping it ends it.
pub(super) struct Sampler {
    /// `None` once it has ended.
    running: Option<(ProfilerGuard<'static>, Turn)>,
    started: (Instant, SystemTime),
    cpu: Duration,
}

/// Samples of a profile.
pub(super) struct Taken {
    pub(super) report: Report,
    pub(super) started: SystemTime,
    /// Time from start to end.
    pub(super) duration: Duration,
    /// Processor time of all threads in that time.
    pub(super) cpu: Duration,
    /// Processor time that one sample represents.
    pub(super) period: Duration,
}

impl Sampler {
    /// Starts sampling, which takes some milliseconds. Fails if other code in this process is sampling.
    pub(super) fn start(turn: Turn) -> Result<Self, Failed> {
        let builder = ProfilerGuardBuilder::default().frequency(HZ);
        let guard = builder.blocklist(&UNSAMPLED).build().map_err(failed)?;
        Ok(Self {
            running: Some((guard, turn)),
            started: (Instant::now(), SystemTime::now()),
            cpu: cpu(),
        })
    }

    /// Ends sampling and looks up the names of functions, which takes a second in a large program.
    pub(super) fn end(mut self) -> Result<Taken, Failed> {
        let duration = self.started.0.elapsed();
        let cpu = cpu().saturating_sub(self.cpu);
        let (guard, turn) = self.running.take().ok_or(Failed::Broken)?;
        let report = guard.report().build().map_err(failed);
        // in this order: the next one may start once this one is gone
        drop(guard);
        drop(turn);
        Ok(Taken {
            report: report?,
            started: self.started.1,
            duration,
            cpu,
            period: Duration::from_secs(1) / HZ.unsigned_abs(),
        })
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        if let Some((guard, turn)) = self.running.take() {
            // ending it, which allows the next profile, takes a while: not on the thread that serves requests
            let end = move || {
                drop(guard);
                drop(turn);
            };
            // without a thread, it ends here
            let _ = std::thread::Builder::new()
                .name("ops-profile".to_owned())
                .spawn(end);
        }
    }
}

/// Returns the processor time of the process, all threads.
fn cpu() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}
