//! The whole of a hit: what most calls are, without the structures that a lookup needs.

use std::ffi::OsString;

use crate::resolver::Inner;
use crate::resolver::listeners::InUse;
use crate::source::env;
use crate::{Secret, SecretSource};

impl Inner {
    /// The answer for a caller who names no time to live, where it is at hand and nothing else needs doing. `None` says
    /// nothing; the question starts over.
    ///
    /// A value travels in one register from here to the caller: carried through the results of the general path, the
    /// same hit takes half as long again.
    pub(crate) fn quick(&self, name: &str) -> Option<Secret> {
        let Some(entry) = self.catalogue.find(name) else {
            return self.quick_uncatalogued(name);
        };
        if let Some(value) = self.config.environment.get(&entry.env_var) {
            return self.quick_env(value, entry.slot.in_use.load().as_deref());
        }
        let secret = entry.slot.at_hand(self.config.clock.millis())?;
        self.counters.hit(secret.source());
        Some(secret)
    }

    /// Only what the general path has found fit before.
    fn quick_uncatalogued(&self, name: &str) -> Option<Secret> {
        let others = self.listeners.others();
        let in_use = others.get(name)?;
        self.quick_env(self.config.environment.get(name)?, Some(in_use))
    }

    fn quick_env(&self, value: OsString, in_use: Option<&InUse>) -> Option<Secret> {
        let mut bytes = value.into_encoded_bytes();
        let secret = in_use.and_then(|now| now.unless_changed(&bytes, SecretSource::Env));
        env::wipe(&mut bytes);
        if secret.is_some() {
            self.counters.answered(SecretSource::Env);
        }
        secret
    }
}
