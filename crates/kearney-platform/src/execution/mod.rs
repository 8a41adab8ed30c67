//! Runs at work: phases and their agents, one run after the other, or one alone for a command.

mod agents;
mod progress;
mod run;
mod worker;

pub use progress::Progress;
pub use run::{Signals, blocking, execute};
pub use worker::work;
