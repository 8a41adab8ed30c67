//! Flight SQL server of `--engine`, which serves flights and airports instead of the warehouse.

#[cfg(not(feature = "flight-sql"))]
mod absent;
#[cfg(feature = "flight-sql")]
mod flight_sql;
#[cfg(feature = "flight-sql")]
mod outcomes;

#[cfg(not(feature = "flight-sql"))]
pub use absent::Cluster;
#[cfg(feature = "flight-sql")]
pub use flight_sql::Cluster;
