//! Histories in a bucket of S3 or of an S3-compatible server: copies of the replicas' directories.
//!
//! A [`Prefix`] is not queried in place. [`fetch`](Prefix::fetch) copies the files that a query needs to a temporary
//! directory, within limits; [`fetch`](fetch()) does so for several prefixes with common limits;
//! [`export`](Prefix::export) copies files to the bucket. Any number of replicas may share a prefix, with or without a
//! folder for each.

mod bucket;
mod fetch;
mod http;
mod prefix;
mod settings;

pub use fetch::{LocalCopy, Wanted};
pub use prefix::{Prefix, fetch};
