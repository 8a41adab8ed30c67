//! Requests that limits of a service answered with 503: a finding names them.

use std::sync::atomic::AtomicU64;

/// Requests that were refused as too many were in flight.
pub(crate) static REFUSED: AtomicU64 = AtomicU64::new(0);
/// Requests that took too long.
pub(crate) static LATE: AtomicU64 = AtomicU64::new(0);
