//! Histories in a bucket of S3, or of a server that speaks its protocol: a replica's directory that was copied there.
//!
//! A [`Prefix`] is not read in place: [`fetch`](Prefix::fetch) copies the files that a question needs into a directory for as long as
//! it is asked, within limits, [`fetch`](fetch()) those of several prefixes within limits for all together, and [`export`](Prefix::export) copies files the other way. Any number of replicas may share a prefix,
//! with or without folders of their own.

mod bucket;
mod fetch;
mod http;
mod prefix;

pub use fetch::{LocalCopy, Wanted};
pub use prefix::{Prefix, fetch};
