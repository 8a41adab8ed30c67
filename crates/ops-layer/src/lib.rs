//! The operations layer in two lines: secrets, logs, traces, metrics and caching, wired.
