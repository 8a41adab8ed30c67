//! The tier behind memory and files: results that machines share through an S3 bucket.
//!
//! # Decisions
//! - **A result is shared only if its name depends on content.** The name is SHA-256 over the digest of the database,
//!   the engine's version and settings, the machine's architecture, the format of these objects, scope, normalized SQL
//!   and parameters. A changed byte in the database changes the name, so nothing has to be invalidated and no clock
//!   matters. Results of an engine without [`content`](crate::QueryEngine::content), such as a warehouse that is
//!   written to, stay on their machine, which is logged once and counted.
//! - **Results without a content id depend on an epoch** (`epoch`), if sharing them is configured: results of
//!   [`set`](crate::Cache::set), [`get_or_compute`](crate::Cache::get_or_compute) and cached functions. The epoch is
//!   part of the name, on every tier. An invalidation increments its count; a machine that has not read the epoch for
//!   30 s uses no such result.
//! - **Nothing from the bucket is decoded before it is authenticated** (`frame`): HMAC-SHA-256 over the name and all
//!   bytes. For a bucket whose writers are all trusted, the setting `unauthenticated` turns this off.
//! - **The store is behind a narrow trait** (`store`): one object per result, written, replaced and removed as a whole.
//! - **A failure is a miss.** A lookup has 2 s for all of its calls to the store: the result, a lease, the
//!   result once more. The first call that fails or times out opens the breaker: lookups no longer wait, until
//!   a probe in the background succeeds. Writes run in the background: at most 16 writes and 64 MiB are
//!   pending, further ones are dropped and counted.
//! - **Waiting for a machine is not waiting for the store.** The 2 s end with the first pause for the lease of
//!   another machine. From then on each read of the lease has 2 s of its own, and the wait ends when the lease
//!   is gone or expired, at the latest after 30 s. If both rules apply, the store's wins: a read that fails
//!   ends the wait, and the result is computed.
//! - **Writes have their own breaker** (`writes`). A store that fails or denies writes is still read; nothing is
//!   written and no lease taken until a background probe succeeds, which runs every 5 s, after a denial every minute.
//! - **One machine computes each result that took 200 ms or more** (`lease`), or what is not known to take less
//!   (`costs`): it holds a note that was created on the condition that there was none. The others wait until it is
//!   gone, take the result, and compute if the note is unchanged for 5 s of their own clock. Clocks are never compared,
//!   and a lost lease costs work only. A store that ignores conditions is detected at the start (`conditional`), and
//!   leases are not used with it. At most 224 threads wait; further lookups compute.
//! - **Results that are quick to compute are not looked up**: a statement without
//!   its literals, or a function, whose recent runs took less than 200 ms.
//! - **A found result is stored in memory and files with its remaining lifetime**, never with a new one.
//! - HTTP is `ureq`, and TLS the `rustls` of the other crates: `object_store` accepts a connector, so that it adds
//!   neither `reqwest` nor a second cryptography provider.

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
mod lookup;
mod offer;
mod places;
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
pub(crate) use lookup::{LookupRequest, Offer};
pub use stats::SharedStats;
pub(crate) use tier::SharedTier;
