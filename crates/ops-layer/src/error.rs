use std::fmt;

/// Failure to start or run the operations layer: the part, with its cause in [`source`](std::error::Error::source).
///
/// `Display` names only the part. `Debug` prints each cause once, so
/// that a `main` that returns this error ends with a readable line.
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

    /// Returns the name of the part that failed: `init`, `config`, `log`,
    /// `secrets`, `trace`, `metrics`, `cache`, `findings`, `serve` or `admin`.
    pub fn part(&self) -> &'static str {
        self.part
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.part {
            "init" => f.write_str("cannot start the operations layer"),
            "config" => f.write_str("cannot load the configuration"),
            part => write!(f, "cannot start {part}"),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&chain(self))
    }
}

/// Returns the message of an error, followed by those of its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    // an error that is its own cause would never end
    causes
        .take(100)
        .fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.source.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    #[derive(Debug)]
    struct OwnCause;

    impl fmt::Display for OwnCause {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("again")
        }
    }

    impl std::error::Error for OwnCause {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(self)
        }
    }

    #[test]
    fn an_error_that_is_its_own_cause_has_an_end() {
        assert_eq!(chain(&OwnCause), format!("again{}", ": again".repeat(100)));
    }
}
