//! Values in use, and the listeners that are notified of them.
//!
//! Listeners run on the thread that is about to hand a value out, never inside a lookup: no lookup and none of its
//! waiters depends on them. One caller at a time notifies listeners; the others wait for it, up to the deadline.

use std::cell::Cell;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock, RwLockReadGuard};

use crate::cache::in_use::InUse;
use crate::caught::caught;
use crate::resolver::tracked::{Place, Tracked};
use crate::{Secret, SecretSource};

/// Minimum size of a value that listeners are notified of: redacting shorter values would cut into ordinary text.
pub const MIN_ANNOUNCED_BYTES: usize = 8;

/// Notification for a listener of [`on_resolved`](crate::Secrets::on_resolved).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Resolved {
    /// Name in the catalog, or the requested name.
    pub name: String,
    /// Source of the value.
    pub source: SecretSource,
    /// The value.
    pub secret: Secret,
    /// The value was replaced and no other name has it: this is its last notification.
    pub retired: bool,
}

pub(crate) type Listener = Arc<dyn Fn(&[Resolved]) + Send + Sync>;

type Uncataloged = HashMap<String, Arc<InUse>, foldhash::fast::RandomState>;

thread_local! {
    /// This thread runs a listener: secrets that the listener requests itself are reported later.
    static IN_LISTENER: Cell<bool> = const { Cell::new(false) };
}

/// Listeners, and the values in use of uncataloged names. Those of cataloged secrets are in their entries.
pub(crate) struct Listeners {
    uncataloged: RwLock<Uncataloged>,
    listeners: RwLock<Vec<Listener>>,
    /// Number of names that use each reported value. Locked while listeners run.
    reported: Mutex<HashMap<ByValue, usize>>,
    failures: AtomicU64,
    patience: Duration,
}

/// Secret as a key, compared by its text.
struct ByValue(Secret);

impl Listeners {
    pub(crate) fn new(patience: Duration) -> Self {
        Self {
            uncataloged: RwLock::default(),
            listeners: RwLock::default(),
            reported: Mutex::default(),
            failures: AtomicU64::new(0),
            patience,
        }
    }

    pub(crate) fn uncataloged(&self) -> RwLockReadGuard<'_, Uncataloged> {
        self.uncataloged.read()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.listeners.read().is_empty()
    }

    /// Returns the number of listener calls that panicked, or that other callers timed out waiting for.
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Adds a listener and notifies it of all values in use.
    pub(crate) fn listen(&self, listener: Listener, tracked: &[Arc<Tracked>]) {
        let _turn = self.lock_reported();
        self.listeners.write().push(Arc::clone(&listener));
        let cataloged = tracked
            .iter()
            .filter_map(|tracked| Some((tracked.entry.name.clone(), tracked.in_use()?)));
        let others: Vec<_> = {
            let others = self.uncataloged.read();
            let pairs = others.iter();
            pairs
                .map(|(name, now)| (name.clone(), Arc::clone(now)))
                .collect()
        };
        let in_use = cataloged
            .chain(others)
            .filter(|(_, now)| now.sensitive && now.is_settled());
        let resolved: Vec<_> = in_use
            .map(|(name, now)| resolved(&name, &now.secret, false))
            .collect();
        self.call(&listener, &resolved);
    }

    /// Returns the secret with this text: the one in use if unchanged, otherwise a new one.
    pub(crate) fn recognize(
        &self,
        place: Place<'_>,
        text: &[u8],
        source: SecretSource,
    ) -> Result<Secret, &'static str> {
        let unchanged = self.with_in_use(place, |now| now?.unless_changed(text, source));
        if let Some(secret) = unchanged {
            return Ok(secret);
        }
        let text = std::str::from_utf8(text).map_err(|_| "not UTF-8")?;
        if text.contains('\0') {
            return Err("contains a NUL character");
        }
        Ok(Secret::new(text, source))
    }

    /// Makes these the values in use before any caller gets them, and notifies
    /// listeners of all new ones together. Returns `false` if the notification has
    /// to wait: inside a listener, or after a timeout waiting for other callers.
    pub(crate) fn hand_out(&self, secrets: &[(Place<'_>, &Secret)]) -> bool {
        // listeners are not notified of binary values: they redact text
        let settled = |(place, secret): &(Place<'_>, &Secret)| {
            secret.is_binary() || self.is_settled(*place, secret)
        };
        if secrets.iter().all(settled) {
            return true;
        }
        if IN_LISTENER.get() {
            return false;
        }
        let Some(mut reported) = self.reported.try_lock_for(self.patience) else {
            self.failed("timed out waiting for a listener call of another caller");
            return false;
        };
        let (mut events, mut retired, mut now_in_use) = (Vec::new(), Vec::new(), Vec::new());
        for each in secrets {
            if settled(each) {
                continue;
            }
            let (place, secret) = each;
            let text = secret.expose();
            let sensitive = text.len() >= MIN_ANNOUNCED_BYTES && place.is_sensitive(text);
            let now = Arc::new(InUse::new((*secret).clone(), sensitive));
            let before = self.replace(*place, Arc::clone(&now));
            if sensitive {
                *reported.entry(ByValue((*secret).clone())).or_default() += 1;
                events.push(resolved(place.own_name(), secret, false));
            }
            if let Some(before) = before.filter(|before| before.sensitive) {
                release(&mut reported, &before.secret);
                retired.push(resolved(place.own_name(), &before.secret, true));
            }
            now_in_use.push(now);
        }
        let unused = |event: &Resolved| !reported.contains_key(&ByValue(event.secret.clone()));
        events.extend(retired.into_iter().filter(unused));
        if !events.is_empty() {
            let listeners = self.listeners.read().clone();
            listeners
                .iter()
                .for_each(|listener| self.call(listener, &events));
        }
        now_in_use.iter().for_each(|now| now.settle());
        true
    }

    /// Drops the value in use, unless a listener relies on being notified of its replacement.
    pub(crate) fn forget(&self, tracked: &Tracked) {
        if !self.is_empty() {
            return;
        }
        // a caller that holds the lock is notifying listeners, and uses the value
        if let Some(mut reported) = self.reported.try_lock()
            && let Some(before) = tracked.cache.in_use.swap(None)
            && before.sensitive
        {
            release(&mut reported, &before.secret);
        }
    }

    fn lock_reported(&self) -> Option<parking_lot::MutexGuard<'_, HashMap<ByValue, usize>>> {
        match IN_LISTENER.get() {
            true => None,
            false => self.reported.try_lock_for(self.patience),
        }
    }

    fn is_settled(&self, place: Place<'_>, secret: &Secret) -> bool {
        self.with_in_use(place, |now| {
            now.is_some_and(|now| now.is_settled() && now.secret.is_same(secret))
        })
    }

    fn with_in_use<T>(&self, place: Place<'_>, look: impl FnOnce(Option<&InUse>) -> T) -> T {
        match place.tracked {
            Some(tracked) => look(tracked.cache.in_use.load().as_deref()),
            None => look(self.uncataloged.read().get(place.name).map(|now| &**now)),
        }
    }

    fn replace(&self, place: Place<'_>, now: Arc<InUse>) -> Option<Arc<InUse>> {
        match place.tracked {
            Some(tracked) => tracked.cache.in_use.swap(Some(now)),
            None => self.uncataloged.write().insert(place.name.to_owned(), now),
        }
    }

    fn call(&self, listener: &Listener, resolved: &[Resolved]) {
        if resolved.is_empty() {
            return;
        }
        let before = IN_LISTENER.replace(true);
        let done = caught(|| listener(resolved));
        IN_LISTENER.set(before);
        if done.is_none() {
            self.failed("the listener panicked");
        }
    }

    fn failed(&self, why: &'static str) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        caught(|| tracing::error!(target: "ops_secrets", why, "secret_listener_failed"));
    }
}

/// Calls `listener` for one notification after the other; after a panic it continues with the next.
pub(crate) fn one_by_one(listener: impl Fn(&Resolved) + Send + Sync + 'static) -> Listener {
    Arc::new(move |resolved: &[Resolved]| {
        let mut panicked = false;
        for resolved in resolved {
            panicked |= caught(|| listener(resolved)).is_none();
        }
        if panicked {
            // the caller counts and logs it once; the panic hook has already run
            std::panic::resume_unwind(Box::new("an on_resolved listener panicked"));
        }
    })
}

fn release(reported: &mut HashMap<ByValue, usize>, secret: &Secret) {
    let key = ByValue(secret.clone());
    if let Some(names) = reported.get_mut(&key) {
        *names -= 1;
        if *names == 0 {
            reported.remove(&key);
        }
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

impl PartialEq for ByValue {
    fn eq(&self, other: &Self) -> bool {
        self.0.expose() == other.0.expose()
    }
}

impl Eq for ByValue {}

impl Hash for ByValue {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.expose().hash(state);
    }
}
