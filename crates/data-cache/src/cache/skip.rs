use std::fmt;

/// Reason why a result was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Skip {
    /// The cache is disabled.
    Disabled,
    /// The TTL is 0.
    ZeroTtl,
    /// There is no batch and thus no schema: pass an empty batch.
    NoSchema,
    /// There was an invalidation while it was computed.
    Invalidated,
    /// Its file would exceed a quarter of `max_size_mb`, or, if no file is written, it is too large for memory.
    TooLarge,
    /// The disk is full, or was less than 30 s ago: writes are paused that long.
    NoSpace,
    /// The file cannot be written, or a write failed less than 30 s ago so that further ones are paused.
    Io,
    /// No codec can encode it.
    NoCodec,
    /// A newer result was stored while this one was written.
    Outdated,
    /// It is to be shared, and this machine could not read the current epoch for 30 s.
    UnknownEpoch,
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disabled => "the cache is disabled",
            Self::ZeroTtl => "a TTL of 0 stores nothing",
            Self::NoSchema => "no batches, so no schema: pass an empty batch",
            Self::Invalidated => "invalidated while it was computed",
            Self::TooLarge => "larger than a quarter of max_size_mb",
            Self::NoSpace => "no space left on the disk",
            Self::Io => "files cannot be written",
            Self::NoCodec => "no codec can encode it",
            Self::Outdated => "a newer result was stored meanwhile",
            Self::UnknownEpoch => "the epoch of shared results is unknown",
        })
    }
}
