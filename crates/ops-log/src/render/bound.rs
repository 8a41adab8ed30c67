use std::borrow::Cow;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::Value;
use crate::redact::deny::{self, DenyList};
use crate::redact::scrub::has_url;
use crate::render::fields::Fields;

/// Bound fields: rendered once, then shared and not changed.
#[derive(Debug, Default)]
pub(crate) struct BoundFields {
    pub(crate) fields: Fields,
    pub(crate) pairs: Vec<(Cow<'static, str>, Value)>,
    /// Set if they may contain a URL or a query.
    pub(crate) has_url: bool,
    /// Id of the deny list by which they were rendered.
    deny_id: u64,
    /// The same fields rendered by another deny list, the last one requested.
    other: Mutex<Option<Arc<Self>>>,
}

impl BoundFields {
    /// Renders the fields by the list of the process.
    pub(crate) fn new(pairs: Vec<(Cow<'static, str>, Value)>) -> Arc<Self> {
        deny::with_current(|deny| Self::by(pairs, deny))
    }

    /// Renders the fields by this list.
    pub(crate) fn by(pairs: Vec<(Cow<'static, str>, Value)>, deny: &DenyList) -> Arc<Self> {
        let fields = Fields::of(&pairs, deny);
        Arc::new(Self {
            has_url: has_url(&fields.json),
            fields,
            pairs,
            deny_id: deny.id(),
            other: Mutex::new(None),
        })
    }

    /// Clears the rendered fields, to be filled again by this list; the pairs stay, to be overwritten.
    #[cfg(feature = "http")]
    pub(crate) fn begin(&mut self, deny: &DenyList) {
        self.fields.clear();
        self.has_url = false;
        self.deny_id = deny.id();
        *self.other.get_mut() = None;
    }

    /// Returns the fields rendered by this list; `None` if they already are.
    #[inline]
    pub(crate) fn rerendered_by(&self, deny: &DenyList) -> Option<Arc<Self>> {
        (self.deny_id != deny.id()).then(|| self.rerender(deny))
    }

    #[cold]
    fn rerender(&self, deny: &DenyList) -> Arc<Self> {
        let mut other = self.other.lock();
        match &*other {
            Some(known) if known.deny_id == deny.id() => Arc::clone(known),
            _ => Arc::clone(other.insert(Self::by(self.pairs.clone(), deny))),
        }
    }

    pub(crate) fn pairs(&self) -> &[(Cow<'static, str>, Value)] {
        &self.pairs
    }

    /// Returns these fields and another one, which replaces a field of the same name.
    pub(crate) fn with(of: Option<&Arc<Self>>, key: Cow<'static, str>, value: Value) -> Arc<Self> {
        let mut pairs = of.map_or_else(Vec::new, |layer| layer.pairs.clone());
        bind(&mut pairs, key, value);
        Self::new(pairs)
    }
}

/// Adds a pair, or replaces the value of its key.
pub(crate) fn bind(
    pairs: &mut Vec<(Cow<'static, str>, Value)>,
    key: Cow<'static, str>,
    value: Value,
) {
    match pairs.iter_mut().find(|(known, _)| *known == key) {
        Some(slot) => slot.1 = value,
        None => pairs.push((key, value)),
    }
}
