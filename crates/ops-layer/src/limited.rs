//! Numbers of requests that limits of a service answered with 503, for a finding.

use std::sync::atomic::AtomicU64;

/// Requests that were refused because too many were in flight.
pub(crate) static REFUSED: AtomicU64 = AtomicU64::new(0);
/// Requests that took too long.
pub(crate) static LATE: AtomicU64 = AtomicU64::new(0);
