//! Recent traces, kept in this process.

mod passing;
pub(crate) mod ring;
mod waterfall;

pub use ring::{RecentSpan, RecentTrace, RecentTraces};
pub use waterfall::Bar;
