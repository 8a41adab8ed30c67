//! Reasons why a command fails.

use std::error::Error;
use std::fmt;

/// Something that was attempted and failed; its cause is its [`source`](Error::source).
#[derive(Debug)]
pub struct Failure {
    attempted: String,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    pub fn new(
        attempted: impl Into<String>,
        cause: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self {
            attempted: attempted.into(),
            cause: Some(cause.into()),
        }
    }
}

impl From<String> for Failure {
    fn from(attempted: String) -> Self {
        Self {
            attempted,
            cause: None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.attempted)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.cause.as_deref()?)
    }
}

/// One line with each cause once.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let own = error.to_string();
        // some foreign errors repeat their cause in their own text
        if !text.ends_with(&own) {
            text = format!("{text}: {own}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_told_once() {
        let cause = std::io::Error::other("the disk is full");
        let failure = Failure::new("a", Failure::new("b: the disk is full", cause));
        assert_eq!(chain(&failure), "a: b: the disk is full");
    }
}
