//! Queries of dashboards and alerts: parsed as PromQL, and compared with the table of metrics.

mod check;
pub(crate) mod queries;
pub(crate) mod table;

pub(crate) use check::{Place, faults, selectors};
pub(crate) use queries::Query;
pub(crate) use table::Table;
