//! Cached state of one secret: its remote value, the running lookup, and the clock that ages it.

pub(crate) mod alarm;
pub(crate) mod breaker;
pub(crate) mod clock;
pub(crate) mod entry;
pub(crate) mod flight;
pub(crate) mod freshness;
pub(crate) mod in_use;
pub(crate) mod ready;
