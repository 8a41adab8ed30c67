//! Structured logging on slog: context that follows threads and tasks, JSON and console lines, redaction.
