//! Precomputed answer for most calls, separate from the full cached state.

use spin::mutex::SpinMutex;

use crate::{Secret, SecretSource};

/// Value for callers that set no time to live, as long as no other work is due.
///
/// Protected by a lock that readers never wait for: that is one atomic instruction,
/// whereas a value that is swapped as a whole needs two, and a counter a third.
#[derive(Default)]
pub(crate) struct Ready(SpinMutex<State, spin::relax::Yield>);

#[derive(Default)]
struct State {
    answer: Option<Answer>,
    /// Number of answers so far, by source.
    hits: Hits,
}

/// Numbers of answers, in the order of [`SecretSource::ALL`].
pub(crate) type Hits = [u64; SecretSource::ALL.len()];

pub(crate) struct Answer {
    pub(crate) secret: Secret,
    /// The answer is valid before this millisecond.
    pub(crate) until: u64,
}

impl Ready {
    /// Returns and counts the answer; `None` also while another thread holds the lock.
    #[inline]
    pub(crate) fn take(&self, now_millis: u64) -> Option<Secret> {
        let mut state = self.0.try_lock()?;
        let answer = state.answer.as_ref();
        let secret = answer
            .filter(|answer| now_millis < answer.until)?
            .secret
            .clone();
        state.hits[secret.source().index()] += 1;
        Some(secret)
    }

    /// Changes the cached state and replaces the answer with the
    /// matching one. Leaves the answer if `change` returns `false`.
    pub(crate) fn replace(&self, change: impl FnOnce() -> bool, answer: Option<Answer>) -> bool {
        let mut state = self.0.lock();
        if !change() {
            return false;
        }
        let before = std::mem::replace(&mut state.answer, answer);
        drop(state);
        // zeroed outside the lock
        drop(before);
        true
    }

    pub(crate) fn hits(&self) -> Hits {
        self.0.lock().hits
    }
}
