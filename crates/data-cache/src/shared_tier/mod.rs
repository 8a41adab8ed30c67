//! The tier behind memory and files: results that machines share through a bucket of S3.
//!
//! # Decisions
//! - **A result is shared only if its name follows from content.** The name is SHA-256 over the digest of the database, the
//!   engine's version and settings, the machine's architecture, the format of these objects, scope, normal SQL and parameters.
//!   Another byte in the database is another name, so nothing has to be invalidated and no clock decides. An engine without
//!   [`content`](crate::QueryEngine::content), such as a warehouse that is written, stays on its machine, which is logged once
//!   and counted.
//! - **What has no content id obeys an epoch** (`epoch`), if the configuration asks for sharing it at all: what
//!   [`set`](crate::Cache::set), [`get_or_compute`](crate::Cache::get_or_compute) and cached functions keep. Lineage and count of
//!   the epoch are part of the name, on every tier. An invalidation counts up; whoever has not seen the epoch for 30 s uses none of
//!   it.
//! - **Nothing from the bucket reaches a decoder before it is known to be ours** (`frame`): HMAC-SHA-256 over the name and all
//!   bytes. A bucket whose writers are all trusted may go without, by a setting of that name.
//! - **The store is behind a narrow trait** (`store`): one object for each result, written whole, never changed.
//! - **Trouble is a miss.** A lookup has 2 s for all that it asks the store: the result, a lease, the result once more. The first
//!   call that fails or comes too late opens the breaker: lookups do not wait any more, until a probe in the background is
//!   answered. Writes are in the background: at most 16 of them and 64 MiB wait, more are dropped and counted.
//! - **Waiting for a machine is not waiting for the store.** The 2 s end with the first pause for the lease of another machine.
//!   From then on each look at it has 2 s of its own, and the wait ends when the lease is gone or expired, at the latest after
//!   30 s. Where both rules apply the one of the store wins: a look that fails ends the wait, and the result is computed.
//! - **Writes have a breaker of their own** (`writes`). A store that takes none, or denies them, is read on; nothing is written and
//!   no lease taken until it takes one in the background, which is tried every 5 s, after a denial every minute.
//! - **One machine computes what took 200 ms or more** (`lease`), or what is not known to take less (`costs`): it holds a note that
//!   was made on the condition that there is none. The others wait until it is gone, take the result, and compute if the note
//!   stays the same for 5 s of their own clock. No clocks are compared, and a lease that is lost costs work only. A store that
//!   ignores conditions is found out at the start (`conditional`), and gets none. At most 224 threads wait; more lookups compute.
//! - **What is quick to compute is not asked for**: a statement without its literals, or a function, whose runs took less than
//!   200 ms of late.
//! - **What is found goes to memory and files with the time that it has left**, never with a new one.
//! - HTTP is `ureq`, and TLS the `rustls` of the other crates: `object_store` takes a connector, so that it brings neither
//!   `reqwest` nor a second provider of cryptography.

mod applicant;
mod attached;
mod breaker;
mod conditional;
mod config;
mod costs;
mod epoch;
mod find;
mod frame;
mod http;
mod lease;
mod offer;
mod places;
mod question;
mod random;
mod s3;
mod stats;
mod store;
mod ticks;
mod tier;
mod writes;

pub(crate) use attached::Attached;
pub use config::SharedConfig;
pub(crate) use epoch::Standing;
pub(crate) use find::Joined;
pub(crate) use lease::Lease;
pub(crate) use question::{Offer, Question};
pub use stats::SharedStats;
pub(crate) use tier::SharedTier;
