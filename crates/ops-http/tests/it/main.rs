//! Reports to observers, in process and from a server with real clients.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod endings;
mod header_values;
mod methods;
mod property;
mod record;
mod routes;
mod script;
mod served;
mod server;
