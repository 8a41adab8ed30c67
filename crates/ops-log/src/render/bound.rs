use std::borrow::Cow;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::Value;
use crate::redact::deny::{self, DenyList};
use crate::redact::scrub::has_url;
use crate::render::fields::Fields;

/// Bound fields: rendered once, then shared and never changed.
#[derive(Debug, Default)]
pub(crate) struct BoundFields {
    pub(crate) fields: Fields,
    pub(crate) pairs: Vec<(Cow<'static, str>, Value)>,
    /// Set if there may be a URL or a query in them.
    pub(crate) has_url: bool,
    /// The deny list that they were rendered by.
    deny_id: u64,
    /// The same rendered by the list that was asked for last.
    other: Mutex<Option<Arc<Self>>>,
}

impl BoundFields {
    /// Renders them by the list of the process.
    pub(crate) fn new(pairs: Vec<(Cow<'static, str>, Value)>) -> Arc<Self> {
        deny::with_current(|deny| Self::by(pairs, deny))
    }

    /// Renders them by this list.
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

    /// Empties the rendered fields, to be filled by this list again; the pairs stay, to be overwritten.
    #[cfg(feature = "http")]
    pub(crate) fn begin(&mut self, deny: &DenyList) {
        self.fields.clear();
        self.has_url = false;
        self.deny_id = deny.id();
        *self.other.get_mut() = None;
    }

    /// The same fields as this list wants them; `None` if they are.
    #[inline]
    pub(crate) fn unless_by(&self, deny: &DenyList) -> Option<Arc<Self>> {
        (self.deny_id != deny.id()).then(|| self.again(deny))
    }

    #[cold]
    fn again(&self, deny: &DenyList) -> Arc<Self> {
        let mut other = self.other.lock();
        match &*other {
            Some(known) if known.deny_id == deny.id() => Arc::clone(known),
            _ => Arc::clone(other.insert(Self::by(self.pairs.clone(), deny))),
        }
    }

    pub(crate) fn pairs(&self) -> &[(Cow<'static, str>, Value)] {
        &self.pairs
    }

    /// These fields and one more, which replaces the one of its name.
    pub(crate) fn with(of: Option<&Arc<Self>>, key: Cow<'static, str>, value: Value) -> Arc<Self> {
        let mut pairs = of.map_or_else(Vec::new, |layer| layer.pairs.clone());
        bind(&mut pairs, key, value);
        Self::new(pairs)
    }
}

/// Adds a pair, in the place of the one of its key.
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
