//! Execution of runs: phases and their agents, in sequence for the service, or a single run for a command.

mod agents;
mod progress;
mod run;
mod worker;

pub use progress::Progress;
pub use run::{Signals, blocking, execute};
pub use worker::work;
