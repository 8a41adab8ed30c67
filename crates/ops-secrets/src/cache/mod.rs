//! The state of one secret's remote value: what is known of it, the lookup under way, and the time that ages it.

pub(crate) mod alarm;
pub(crate) mod breaker;
pub(crate) mod clock;
pub(crate) mod entry;
pub(crate) mod flight;
pub(crate) mod freshness;
pub(crate) mod in_use;
pub(crate) mod ready;
