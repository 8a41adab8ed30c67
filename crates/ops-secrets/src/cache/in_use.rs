//! The value that callers use now.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::{Secret, SecretSource};

/// A value in use, kept so that an unchanged one is neither allocated nor announced again.
pub(crate) struct InUse {
    pub(crate) secret: Secret,
    /// Listeners hear of it.
    pub(crate) sensitive: bool,
    /// Listeners heard of it, if they have to: only then it is handed out without a lock.
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

    /// Returns the secret if it has this text and source. No guess of an outsider is compared here, so it need not take
    /// constant time.
    #[inline]
    pub(crate) fn unless_changed(&self, text: &[u8], source: SecretSource) -> Option<Secret> {
        let same = self.secret.source() == source && self.secret.expose().as_bytes() == text;
        same.then(|| self.secret.clone())
    }
}
