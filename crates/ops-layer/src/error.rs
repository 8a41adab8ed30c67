use std::fmt;

/// Why the operations layer could not start: the part, and what it said.
#[derive(Debug)]
pub struct Error {
    part: &'static str,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl Error {
    pub(crate) fn new(
        part: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            part,
            source: source.into(),
        }
    }

    /// The part that failed: `log`, `secrets`, `trace`, `metrics` or `cache`.
    pub fn part(&self) -> &'static str {
        self.part
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot start {}: {}", self.part, self.source)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.source.as_ref())
    }
}
