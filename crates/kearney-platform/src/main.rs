//! The reference platform.
fn main() {}
