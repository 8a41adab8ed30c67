//! SQL text, read by a lexer: its normal form, its form for logs, and the words that it names.

mod lexer;
mod normal;
mod words;

#[cfg(feature = "duckdb")]
pub(crate) use lexer::{Lexer, Token};
pub(crate) use normal::normalize;
pub use normal::sanitize;
#[cfg(feature = "duckdb")]
pub(crate) use words::statements;
pub(crate) use words::{Words, first_word};
