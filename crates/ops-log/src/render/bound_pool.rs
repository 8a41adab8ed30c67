//! Bound fields of requests that are over, which are filled again: the fields of most requests cost no allocation.

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

/// Maximum number of bound fields that a thread keeps.
const MAX_KEPT: usize = 64;
/// Larger ones are not kept: at most 64 KiB of text for each thread.
const MAX_KEPT_BYTES: usize = 1024;
const MAX_KEPT_FIELDS: usize = 4;
/// Number of kept ones above which those that somebody holds are given up.
const MAX_WAITING: usize = 4;

thread_local! {
    static KEPT: RefCell<VecDeque<Arc<BoundFields>>> = const { RefCell::new(VecDeque::new()) };
}

/// A field whose text needs no escapes and cannot be part of a URL.
pub(crate) type PlainField<'a> = (&'static StaticKey, &'a str);

/// Returns these fields and those that were bound before; the texts are plain.
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

/// Takes back what a request had bound, once the request is over.
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

/// Returns fields that nobody else holds. The last line of a thread still holds its own: these wait until the next one. Fields
/// that went along with a task that goes on are given up.
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
