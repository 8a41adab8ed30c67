use std::fmt;

/// Outcome of a readiness check.
///
/// `Ok(())` and `Err(cause)` of a check's own result become [`Ready`](Self::Ready) and [`Failed`](Self::Failed).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// Requests can be answered.
    Ready,
    /// Requests can be answered, though not as well as usual: shown on the admin page, `/readyz` stays 200.
    Degraded(String),
    /// Requests should go elsewhere: `/readyz` is 503.
    Failed(String),
}

impl Health {
    /// Returns a degraded outcome for this reason.
    pub fn degraded(reason: impl fmt::Display) -> Self {
        Self::Degraded(reason.to_string())
    }

    /// Returns a failed outcome for this reason.
    pub fn failed(reason: impl fmt::Display) -> Self {
        Self::Failed(reason.to_string())
    }

    #[cfg(feature = "admin")]
    pub(super) fn state(&self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Degraded(_) => "degraded",
            Self::Failed(_) => "failed",
        }
    }

    #[cfg(feature = "admin")]
    pub(super) fn reason(&self) -> Option<&str> {
        match self {
            Self::Ready => None,
            Self::Degraded(reason) | Self::Failed(reason) => Some(reason),
        }
    }
}

impl<E: fmt::Display> From<Result<(), E>> for Health {
    fn from(result: Result<(), E>) -> Self {
        match result {
            Ok(()) => Self::Ready,
            Err(error) => Self::failed(error),
        }
    }
}
