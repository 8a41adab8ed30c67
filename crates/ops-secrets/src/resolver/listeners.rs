use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{RwLock, RwLockReadGuard};

use crate::resolver::Inner;
use crate::setup::catalog::Entry;
use crate::{Secret, SecretSource};

/// Shorter values are not announced: redacting them would cut into ordinary text.
pub const MIN_ANNOUNCED_BYTES: usize = 8;

/// What a listener of [`on_resolved`](crate::Secrets::on_resolved) is told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Resolved {
    /// The catalogue's name, or the name that was asked for.
    pub name: String,
    /// Where it came from.
    pub source: SecretSource,
    /// The value.
    pub secret: Secret,
    /// This value was replaced, no other name has it, and it is told of for the last time.
    pub retired: bool,
}

type Listener = Arc<dyn Fn(&Resolved) + Send + Sync>;

type Others = HashMap<String, Arc<InUse>, foldhash::fast::RandomState>;

/// Who is told, and the values in use of names that no catalogue has; those of catalogued ones are in their slots.
#[derive(Default)]
pub(crate) struct Listeners {
    others: RwLock<Others>,
    listeners: RwLock<Vec<Listener>>,
}

/// A value in use, kept so that an unchanged one is neither allocated nor announced again.
pub(crate) struct InUse {
    secret: Secret,
    announced: bool,
}

impl Listeners {
    pub(crate) fn others(&self) -> RwLockReadGuard<'_, Others> {
        self.others.read()
    }
}

impl InUse {
    /// No guess of an outsider is compared here, so it need not be in constant time.
    #[inline]
    pub(crate) fn unless_changed(&self, text: &[u8], source: SecretSource) -> Option<Secret> {
        let same = self.secret.source() == source && self.secret.expose().as_bytes() == text;
        same.then(|| self.secret.clone())
    }
}

impl Inner {
    /// Tells the new listener of all values in use.
    pub(crate) fn listen(&self, listener: Listener) {
        self.listeners.listeners.write().push(Arc::clone(&listener));
        for (name, now) in self.in_use().iter().filter(|(_, now)| now.announced) {
            listener(&resolved(name, &now.secret, false));
        }
    }

    /// The secret with this text: the one in use if nothing changed, else a new one, which is announced.
    pub(crate) fn admit(
        &self,
        name: &str,
        entry: Option<&Arc<Entry>>,
        text: &[u8],
        source: SecretSource,
    ) -> Result<Secret, &'static str> {
        let unchanged = match entry {
            Some(entry) => {
                let now = entry.slot.in_use.load();
                now.as_deref()
                    .and_then(|now| now.unless_changed(text, source))
            }
            None => {
                let others = self.listeners.others.read();
                others
                    .get(name)
                    .and_then(|now| now.unless_changed(text, source))
            }
        };
        if let Some(secret) = unchanged {
            return Ok(secret);
        }
        let text = std::str::from_utf8(text).map_err(|_| "not UTF-8")?;
        if text.contains('\0') {
            return Err("a NUL character in it");
        }
        Ok(self.replace(name, entry, Secret::new(text, source)))
    }

    fn replace(&self, name: &str, entry: Option<&Arc<Entry>>, secret: Secret) -> Secret {
        let sensitive = entry.map_or_else(|| looks_secret(name), |entry| entry.sensitive);
        let now = Arc::new(InUse {
            announced: sensitive && secret.expose().len() >= MIN_ANNOUNCED_BYTES,
            secret: secret.clone(),
        });
        let name = entry.map_or(name, |entry| entry.name.as_str());
        let announced = now.announced;
        let before = match entry {
            Some(entry) => entry.slot.in_use.swap(Some(now)),
            None => self.listeners.others.write().insert(name.to_owned(), now),
        };
        if announced {
            self.announce(&resolved(name, &secret, false));
        }
        if let Some(before) = before.filter(|before| before.announced)
            && !self.is_in_use(&before.secret)
        {
            self.announce(&resolved(name, &before.secret, true));
        }
        secret
    }

    /// Forgets the value in use, unless a listener relies on being told when it is replaced.
    pub(crate) fn forget(&self, entry: &Entry) {
        if self.listeners.listeners.read().is_empty() {
            entry.slot.in_use.store(None);
        }
    }

    fn is_in_use(&self, secret: &Secret) -> bool {
        let in_use = self.in_use();
        in_use
            .iter()
            .any(|(_, now)| now.announced && now.secret == *secret)
    }

    fn in_use(&self) -> Vec<(String, Arc<InUse>)> {
        let catalogued = self.catalogue.entries().iter().filter_map(|entry| {
            let now = entry.slot.in_use.load_full()?;
            Some((entry.name.clone(), now))
        });
        let others = self.listeners.others.read();
        let others = others
            .iter()
            .map(|(name, now)| (name.clone(), Arc::clone(now)));
        catalogued.chain(others).collect()
    }

    fn announce(&self, resolved: &Resolved) {
        let listeners = self.listeners.listeners.read().clone();
        listeners.iter().for_each(|listener| listener(resolved));
    }
}

fn resolved(name: &str, secret: &Secret, retired: bool) -> Resolved {
    Resolved {
        name: name.to_owned(),
        source: secret.source(),
        secret: secret.clone(),
        retired,
    }
}

/// Whether a name sounds like a secret's.
pub(crate) fn looks_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    [
        "key",
        "token",
        "secret",
        "password",
        "passwd",
        "credential",
        "dsn",
    ]
    .iter()
    .any(|word| name.contains(word))
}
