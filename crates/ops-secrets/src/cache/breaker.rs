//! A source that cannot be reached is not asked for a while.

use std::time::Duration;

use parking_lot::Mutex;

use crate::error::ErrorKind;

/// A source that could not be reached is not asked again for this long.
pub const BREAKER_OPEN: Duration = Duration::from_secs(60);
/// Time for which one probe of a broken source keeps the others away.
const PROBE: Duration = Duration::from_secs(5);

/// Closed, or open until a moment; then one probe at a time.
#[derive(Default)]
pub(crate) struct Breaker(Mutex<Option<Open>>);

struct Open {
    until: Duration,
    kind: ErrorKind,
    why: String,
}

/// Change of state that an operator should know of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Opened,
    Closed,
    None,
}

impl Breaker {
    /// Returns the reason it was opened for, unless the caller may ask.
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
