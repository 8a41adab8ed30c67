//! SQL text, read by a lexer: its normal form, its form for logs, and the words in it.

mod lexer;
mod normal;
mod words;

#[cfg(any(feature = "duckdb", feature = "flight-sql"))]
pub(crate) use lexer::{Lexer, Token};
pub(crate) use normal::normalize;
pub use normal::{Dialect, sanitize};
pub(crate) use normal::{sanitize_as, shown_label};
#[cfg(feature = "duckdb")]
pub(crate) use words::Words;
#[cfg(any(feature = "duckdb", feature = "flight-sql"))]
pub(crate) use words::statements;
#[cfg(feature = "duckdb")]
pub(crate) use words::unquoted;
pub(crate) use words::{contains_word, could_name, first_word, lower_case, table_name};
