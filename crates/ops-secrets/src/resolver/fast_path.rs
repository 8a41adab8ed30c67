//! The whole of a hit: most calls, without the structures that a lookup needs.

use std::ffi::OsString;

use crate::cache::in_use::InUse;
use crate::resolver::Resolver;
use crate::source::env::wipe;
use crate::{Secret, SecretSource};

impl Resolver {
    /// Returns the answer for a caller without a time to live, if it is at hand and nothing else needs doing. `None` means
    /// nothing; the question starts over.
    ///
    /// A value travels in one register from here to the caller: carried through the results of the general path, the
    /// same hit takes half as long again.
    pub(super) fn at_hand(&self, name: &str) -> Option<Secret> {
        let Some(tracked) = self.find(name) else {
            return self.uncataloged_at_hand(name);
        };
        if let Some(value) = self.config.environment.get(&tracked.entry.env_var) {
            return self.env_at_hand(value, tracked.cache.in_use.load().as_deref());
        }
        tracked.cache.ready.take(self.config.clock.millis())
    }

    /// Only a value that the general path has found fit before.
    fn uncataloged_at_hand(&self, name: &str) -> Option<Secret> {
        let others = self.listeners.others();
        let in_use = others.get(name)?;
        self.env_at_hand(self.config.environment.get(name)?, Some(in_use))
    }

    fn env_at_hand(&self, value: OsString, in_use: Option<&InUse>) -> Option<Secret> {
        let mut bytes = value.into_encoded_bytes();
        let settled = in_use.filter(|now| now.is_settled());
        let secret = settled.and_then(|now| now.unless_changed(&bytes, SecretSource::Env));
        wipe(&mut bytes);
        if secret.is_some() {
            self.counters.answered(SecretSource::Env);
        }
        secret
    }
}
