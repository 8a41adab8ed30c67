//! The ten lines of the top README compile.

#[doc = include_str!("../../../README.md")]
struct Readme;
