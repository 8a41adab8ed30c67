//! Waiting for other processes that compute the same result.

use std::time::{Duration, Instant};

use super::hit::Hit;
use super::inner::Inner;
use super::look_up::Limits;
use crate::disk::{KeyLock, KeyTurn};
use crate::key::Key;
use crate::pool::Lent;

/// A process waits for the computation of another one for this long; then it computes too.
const MAX_WAIT: Duration = Duration::from_secs(30);
/// Time between two looks, at most.
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// Next step of a process.
pub(crate) enum Turn {
    /// Another process computed it meanwhile.
    Hit(Hit),
    /// It computes; the lock is to be held until the result is stored.
    Compute(Option<KeyLock>),
}

/// The thread that waits for another process or machine.
#[derive(Clone, Copy)]
pub(crate) enum Waits {
    /// One of the workers: another one works in its place.
    Worker,
    /// A thread of the caller.
    Caller,
}

impl Inner {
    /// A place among those who wait; `None` if too many do.
    pub(super) fn wait_place(&self, waits: Waits) -> Option<Lent> {
        match waits {
            Waits::Worker => self.workers.lend(),
            Waits::Caller => Some(Lent::of_nobody()),
        }
    }

    /// Waits for other processes that compute this key, while `is_wanted`. Blocks.
    pub(crate) fn take_turn(
        &self,
        key: &Key,
        limits: Limits,
        is_wanted: impl Fn() -> bool,
        waits: Waits,
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
                        // the one before may have stored it between the lookup and now
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
                    place = self.wait_place(waits);
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
