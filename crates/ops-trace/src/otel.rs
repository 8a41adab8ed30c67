//! OpenTelemetry's crates in the versions that this crate uses,
//! for features that it does not cover: events, links, baggage.
//!
//! They have their own releases: a new major version of them is not a new major version of this crate.

pub use {opentelemetry, opentelemetry_sdk};
