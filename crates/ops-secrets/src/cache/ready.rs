//! The answer that most calls get, apart from what is known.

use spin::mutex::SpinMutex;

use crate::{Secret, SecretSource};

/// A value for callers without a time to live, while nothing else needs doing.
///
/// It has a lock that nobody waits for to read: one instruction that processors have to agree on, where a value that is swapped
/// as a whole needs two and a counter a third.
#[derive(Default)]
pub(crate) struct Ready(SpinMutex<State, spin::relax::Yield>);

#[derive(Default)]
struct State {
    answer: Option<Answer>,
    /// Answers so far, by source.
    hits: Hits,
}

/// Numbers of answers, in the order of [`SecretSource::ALL`].
pub(crate) type Hits = [u64; SecretSource::ALL.len()];

pub(crate) struct Answer {
    pub(crate) secret: Secret,
    /// It holds before this millisecond.
    pub(crate) until: u64,
}

impl Ready {
    /// Returns and counts the answer; `None` also while another thread is at it.
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

    /// Makes a change to what is known, and replaces the answer by the one that belongs to it; leaves it if there was no change.
    pub(crate) fn replace(&self, change: impl FnOnce() -> bool, answer: Option<Answer>) -> bool {
        let mut state = self.0.lock();
        if !change() {
            return false;
        }
        let before = std::mem::replace(&mut state.answer, answer);
        drop(state);
        // zeroed without the lock
        drop(before);
        true
    }

    pub(crate) fn hits(&self) -> Hits {
        self.0.lock().hits
    }
}
