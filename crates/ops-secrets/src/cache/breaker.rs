//! Circuit breaker: an unreachable source is not queried for a while.

use std::time::Duration;

use parking_lot::Mutex;

use crate::error::ErrorKind;

/// Time for which a source that could not be reached is not queried again.
pub const BREAKER_OPEN: Duration = Duration::from_secs(60);
/// Time for which a probe of an unreachable source blocks further queries.
const PROBE: Duration = Duration::from_secs(5);

/// Closed, or open until a point in time; after that, one probe at a time.
#[derive(Default)]
pub(crate) struct Breaker(Mutex<Option<Open>>);

struct Open {
    until: Duration,
    kind: ErrorKind,
    why: String,
}

/// Change of state that is worth reporting to the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Opened,
    Closed,
    None,
}

impl Breaker {
    /// Returns the reason the breaker is open; `None` if the caller may query the source.
    pub(crate) fn refuses(&self, now: Duration) -> Option<(ErrorKind, String)> {
        let mut open = self.0.lock();
        let open = open.as_mut()?;
        if now < open.until {
            return Some((open.kind, open.why.clone()));
        }
        open.until = now + PROBE;
        None
    }

    pub(crate) fn is_open(&self) -> bool {
        self.0.lock().is_some()
    }

    pub(crate) fn record(&self, unreachable: Option<(ErrorKind, &str)>, now: Duration) -> Change {
        let mut open = self.0.lock();
        let was_open = open.is_some();
        *open = unreachable.map(|(kind, why)| Open {
            until: now + BREAKER_OPEN,
            kind,
            why: why.to_owned(),
        });
        match (was_open, open.is_some()) {
            (false, true) => Change::Opened,
            (true, false) => Change::Closed,
            _ => Change::None,
        }
    }
}
