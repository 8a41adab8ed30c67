//! Runs as resources: requests, states, history, published results.

mod job;
mod queue;
mod record;
mod results;
mod store;

pub use job::{Client, Job};
pub use queue::{Cancelled, Queue, Refused, Waiting};
pub use record::{PhaseRecord, Record, Status, now};
pub use results::{Content, publish, sweep as sweep_results};
pub use store::{PAGE_MAX, Runs};
