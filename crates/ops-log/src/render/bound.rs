use std::borrow::Cow;
use std::sync::Arc;

use crate::Value;
use crate::redact::deny;
use crate::render::fields::Fields;

/// Bound fields: rendered once, then shared and never changed.
#[derive(Debug, Default)]
pub(crate) struct BoundFields {
    pub(crate) fields: Fields,
    pub(crate) pairs: Vec<(Cow<'static, str>, Value)>,
}

impl BoundFields {
    pub(crate) fn new(pairs: Vec<(Cow<'static, str>, Value)>) -> Arc<Self> {
        let fields = deny::with_current(|deny| Fields::of(&pairs, deny));
        Arc::new(Self { fields, pairs })
    }

    /// Fields that are rendered already.
    pub(crate) fn of(fields: Fields, pairs: Vec<(Cow<'static, str>, Value)>) -> Arc<Self> {
        Arc::new(Self { fields, pairs })
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
