//! Bound fields of finished requests, kept for reuse: most requests need no allocation for their fields.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;

use crate::Value;
use crate::redact::REDACTED;
use crate::redact::deny::{self, DenyList};
use crate::render::bound::{BoundFields, bind};
use crate::render::scalars;
use crate::render::static_key::StaticKey;

/// Maximum number of bound fields kept per thread.
const MAX_KEPT: usize = 64;
/// Maximum size of kept fields in bytes: at most 64 KiB of text per thread.
const MAX_KEPT_BYTES: usize = 1024;
const MAX_KEPT_FIELDS: usize = 4;
/// Number of other kept sets from which on a set that is still in use is dropped.
const MAX_WAITING: usize = 4;

thread_local! {
    static KEPT: RefCell<VecDeque<Arc<BoundFields>>> = const { RefCell::new(VecDeque::new()) };
}

/// Field whose text needs no escaping and cannot be part of a URL.
pub(crate) type PlainField<'a> = (&'static StaticKey, &'a str);

/// Returns these fields and the previously bound ones; the texts must be plain.
pub(crate) fn bound(
    before: Option<&Arc<BoundFields>>,
    fields: &[PlainField<'_>],
) -> Arc<BoundFields> {
    if let Some(before) = before {
        let mut pairs = before.pairs.clone();
        for (key, text) in fields {
            bind(&mut pairs, Cow::Borrowed(key.name()), Value::from(*text));
        }
        return BoundFields::new(pairs);
    }
    let mut bound = taken();
    if let Some(bound) = Arc::get_mut(&mut bound) {
        deny::with_current(|deny| fill(bound, fields, deny));
    }
    bound
}

/// Keeps the fields of a finished request for reuse.
pub(crate) fn keep(bound: Arc<BoundFields>) {
    let is_small =
        bound.pairs.len() <= MAX_KEPT_FIELDS && bound.fields.json.capacity() <= MAX_KEPT_BYTES;
    if !is_small {
        return;
    }
    let _ = KEPT.try_with(|kept| {
        if let Ok(mut kept) = kept.try_borrow_mut()
            && kept.len() < MAX_KEPT
        {
            kept.push_back(bound);
        }
    });
}

/// Returns fields that are not in use. The last line of a thread still uses its own,
/// which wait until the next call. Fields in use by a task that continues are dropped.
fn taken() -> Arc<BoundFields> {
    let oldest = KEPT.try_with(|kept| {
        let mut kept = kept.try_borrow_mut().ok()?;
        let mut oldest = kept.pop_front()?;
        if Arc::get_mut(&mut oldest).is_some() {
            return Some(oldest);
        }
        if kept.len() < MAX_WAITING {
            kept.push_back(oldest);
        }
        None
    });
    oldest.ok().flatten().unwrap_or_default()
}

fn fill(bound: &mut BoundFields, fields: &[PlainField<'_>], deny: &DenyList) {
    bound.begin(deny);
    let BoundFields {
        fields: rendered,
        pairs,
        ..
    } = bound;
    pairs.truncate(fields.len());
    for (at, (key, text)) in fields.iter().enumerate() {
        let pending = rendered.begin_static(key, deny);
        if pending.denied {
            scalars::text(REDACTED, &mut rendered.json);
        } else {
            rendered.json.extend_from_slice(text.as_bytes());
            rendered.json.push(b'"');
        }
        rendered.keep(pending);
        match pairs.get_mut(at) {
            Some((name, Value::Text(known))) => {
                *name = Cow::Borrowed(key.name());
                known.clear();
                known.push_str(text);
            }
            Some(pair) => *pair = (Cow::Borrowed(key.name()), Value::from(*text)),
            None => pairs.push((Cow::Borrowed(key.name()), Value::from(*text))),
        }
    }
}
