use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;

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
    /// This value was replaced by another one and is told of for the last time.
    pub retired: bool,
}

type Listener = Arc<dyn Fn(&Resolved) + Send + Sync>;

/// The values in use, so that an unchanged one is neither allocated nor announced again.
#[derive(Default)]
pub(crate) struct Listeners {
    in_use: RwLock<HashMap<String, InUse>>,
    listeners: RwLock<Vec<Listener>>,
}

struct InUse {
    secret: Secret,
    announced: bool,
}

impl Listeners {
    /// Tells the new listener of all values in use.
    pub(crate) fn add(&self, listener: Listener) {
        self.listeners.write().push(Arc::clone(&listener));
        let replay: Vec<Resolved> = {
            let in_use = self.in_use.read();
            in_use
                .iter()
                .filter(|(_, now)| now.announced)
                .map(|(name, now)| resolved(name, &now.secret, false))
                .collect()
        };
        replay.iter().for_each(|resolved| listener(resolved));
    }

    /// The secret with this text: the one in use if nothing changed, else a new one, which is announced.
    pub(crate) fn admit(
        &self,
        name: &str,
        text: &str,
        source: SecretSource,
        sensitive: bool,
    ) -> Secret {
        if let Some(now) = self.in_use.read().get(name)
            && now.secret.source() == source
            && now.secret.ct_eq(text)
        {
            return now.secret.clone();
        }
        let secret = Secret::new(text, source);
        let announced = sensitive && text.len() >= MIN_ANNOUNCED_BYTES;
        let before = self.in_use.write().insert(
            name.to_owned(),
            InUse {
                secret: secret.clone(),
                announced,
            },
        );
        if announced {
            self.announce(&resolved(name, &secret, false));
        }
        if let Some(before) = before.filter(|before| before.announced && before.secret != secret) {
            self.announce(&resolved(name, &before.secret, true));
        }
        secret
    }

    fn announce(&self, resolved: &Resolved) {
        let listeners = self.listeners.read().clone();
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

/// Whether a name that is not in the catalogue sounds like a secret's.
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
