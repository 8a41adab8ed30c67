//! The admin page and the operational endpoints: health, readiness, log level, traces, caches.
