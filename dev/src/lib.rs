//! Tools shared by the benches and tests of several crates. Never published: crates depend on it by path, as a
//! dev-dependency without a version, which cargo leaves out of their packages.
#![expect(
    clippy::print_stdout,
    reason = "a bench speaks through its standard output"
)]

pub mod collector;
pub mod file_system;
pub mod moto;
pub mod peer;
pub mod ratio;
pub mod role;
pub mod ten_fields;
pub mod tool;
