//! Waiting for other processes that compute the same result.

use std::time::{Duration, Instant};

use super::hit::Hit;
use super::inner::Inner;
use super::look_up::Limits;
use crate::disk::{KeyLock, KeyTurn};
use crate::key::Key;
use crate::pool::Waiting;

/// Maximum time that a process waits for another one's computation; then it computes too.
const MAX_WAIT: Duration = Duration::from_secs(30);
/// Maximum interval between two checks.
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// Next step of the calling process.
pub(crate) enum Turn {
    /// Another process has computed it meanwhile.
    Hit(Hit),
    /// The caller computes; the lock must be held until the result is stored.
    Compute(Option<KeyLock>),
}

/// Kind of thread that waits for another process or machine.
#[derive(Clone, Copy)]
pub(crate) enum WaitingThread {
    /// A worker: another thread may work meanwhile.
    Worker,
    /// A thread of the caller.
    Caller,
}

impl Inner {
    /// Registers a waiting thread; `None` if too many wait.
    pub(super) fn wait_place(&self, thread: WaitingThread) -> Option<Waiting> {
        match thread {
            WaitingThread::Worker => self.workers.mark_waiting(),
            WaitingThread::Caller => Some(Waiting::detached()),
        }
    }

    /// Waits for other processes that compute this key, as long as `is_wanted` returns `true`. Blocks.
    pub(crate) fn take_turn(
        &self,
        key: &Key,
        limits: Limits,
        is_wanted: impl Fn() -> bool,
        thread: WaitingThread,
    ) -> Turn {
        let Some(disk) = self.readable_disk() else {
            return Turn::Compute(None);
        };
        let deadline = Instant::now() + MAX_WAIT;
        let mut pause = Duration::from_millis(1);
        let mut place = None;
        'reopened: while let Ok(queue) = disk.key_queue(key) {
            loop {
                match queue.try_turn() {
                    Ok(KeyTurn::Mine(lock)) => {
                        // the previous process may have stored it between the lookup and now
                        return match self.find_on_disk(key, limits) {
                            Ok(hit) => Turn::Hit(hit),
                            Err(_) => Turn::Compute(Some(lock)),
                        };
                    }
                    Ok(KeyTurn::Ended) => match self.find_on_disk(key, limits) {
                        Ok(hit) => return Turn::Hit(hit),
                        Err(_) => continue 'reopened,
                    },
                    Ok(KeyTurn::Busy) => {}
                    Ok(KeyTurn::NotStored) | Err(_) => return Turn::Compute(None),
                }
                if Instant::now() >= deadline || !is_wanted() {
                    return Turn::Compute(None);
                }
                if place.is_none() {
                    place = self.wait_place(thread);
                    if place.is_none() {
                        return Turn::Compute(None);
                    }
                }
                std::thread::sleep(pause);
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
        Turn::Compute(None)
    }
}
