//! The state of one secret's remote value: what is known, the lookup under way, the clock that ages it.

pub(crate) mod clock;
pub(crate) mod flight;
pub(crate) mod slot;
