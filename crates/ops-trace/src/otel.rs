//! The versions of OpenTelemetry's crates that this crate uses, for what it has no words for: events, links, baggage.
//!
//! They follow their own releases, and a new major version of theirs is none of ours.

pub use {opentelemetry, opentelemetry_sdk};
