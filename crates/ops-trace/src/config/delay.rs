//! Delays before pending items are exported.

use std::time::Duration;

use super::environment::{Environment, Warning, clamped_time, overridden_by};
#[cfg(feature = "otlp-logs")]
use super::environment::{LOGS_SCHEDULE_DELAY, warn};

const EXPORT_DELAY: Duration = Duration::from_secs(1);

/// Minimum and maximum delay that a variable may set, in milliseconds.
const MILLIS: (u64, u64) = (100, 60_000);

/// Long enough to mean never, and short enough to be added to any instant.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Returns a time that the program set, clamped to 100 ms to a day.
pub(super) fn bounded(
    setting: &'static str,
    time: Duration,
    warnings: &mut Vec<Warning>,
) -> Duration {
    let least = Duration::from_millis(MILLIS.0);
    clamped_time(setting, time, (least, DAY), warnings)
}

/// Delay as the program set it, and as it is set with lower precedence than the environment.
#[derive(Clone, Copy)]
pub(super) struct Delay {
    pub(super) set: Option<Duration>,
    pub(super) below: Option<Duration>,
}

impl Delay {
    /// Returns the delay in effect: the program's, or else that
    /// of this variable, or else the one below the environment.
    pub(super) fn settled(
        self,
        env: &Environment,
        variable: &'static str,
        warnings: &mut Vec<Warning>,
    ) -> Duration {
        if let Some(delay) = self.set {
            return bounded("export_delay_ms", delay, warnings);
        }
        let below = self.below.unwrap_or(EXPORT_DELAY);
        overridden_by(
            env,
            &[variable],
            |warnings| bounded("export_delay_ms", below, warnings),
            |below, warnings| env.millis(&[variable], MILLIS, below, warnings),
            warnings,
        )
    }

    /// Returns the delay of log lines; the sizes of their queue and of their batches are fixed.
    #[cfg(feature = "otlp-logs")]
    pub(super) fn of_logs(self, env: &Environment, warnings: &mut Vec<Warning>) -> Duration {
        use crate::signals::lines::{BATCH_LINES, MAX_LINES};
        for (variable, size) in [
            ("OTEL_BLRP_MAX_QUEUE_SIZE", MAX_LINES),
            ("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", BATCH_LINES),
        ] {
            let size = size.to_string();
            if let Some(value) = env.get(variable).filter(|value| *value != size) {
                warn(warnings, variable, value, &size, &size);
            }
        }
        self.settled(env, LOGS_SCHEDULE_DELAY, warnings)
    }
}
