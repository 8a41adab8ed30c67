//! Value that callers currently use.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::{Secret, SecretSource};

/// Value in use, kept so that an unchanged value is neither allocated nor reported to listeners again.
pub(crate) struct InUse {
    pub(crate) secret: Secret,
    /// Listeners are notified of it.
    pub(crate) sensitive: bool,
    /// Listeners were notified if they have to be: only then is the value handed out without a lock.
    settled: AtomicBool,
}

impl InUse {
    pub(crate) fn new(secret: Secret, sensitive: bool) -> Self {
        Self {
            secret,
            sensitive,
            settled: AtomicBool::new(false),
        }
    }

    pub(crate) fn settle(&self) {
        self.settled.store(true, Ordering::Release);
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Acquire)
    }

    /// Returns the secret if it has this text and source. The text is not
    /// an outsider's guess, so the comparison need not take constant time.
    #[inline]
    pub(crate) fn unless_changed(&self, text: &[u8], source: SecretSource) -> Option<Secret> {
        let same = self.secret.source() == source && self.secret.expose().as_bytes() == text;
        same.then(|| self.secret.clone())
    }
}
