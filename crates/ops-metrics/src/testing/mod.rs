//! Metrics for tests: a registry for each test, so that tests run in
//! parallel and count from 0, and snapshots to assert differences.
//!
//! ```
//! use ops_metrics::testing::Registry;
//! ops_metrics::define! { /** Jobs done. */ counter jobs_total { queue: &'static str } }
//!
//! let registry = Registry::new();
//! registry.run(|| jobs_total("mail").add(2));
//! assert_eq!(registry.value(r#"jobs_total{queue="mail"}"#), Some(2.0));
//! assert_eq!(jobs_total("mail").get(), 0, "outside, nothing happened");
//! ```

mod registry;
mod scoped;
mod snapshot;

pub use registry::Registry;
pub use scoped::Scoped;
pub use snapshot::Snapshot;
