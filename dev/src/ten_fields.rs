//! Event with ten fields that the benches of ops-log write, and a writer for it.

use std::io::{self, Write};

/// Writes the event with a macro and a logger of ops-log.
#[macro_export]
macro_rules! ten_fields {
    ([$($macro:tt)+], $log:expr) => {
        $($macro)+!(
            $log,
            "request_completed",
            method = "GET",
            path = "/api/registry/models",
            status = 200_u16,
            latency_ms = 45_u64,
            user_id = 456_u64,
            cached = false,
            bytes = 18_324_u64,
            ratio = 0.75,
            region = "eu-central-1",
            agent = "k6/1.1.0"
        )
    };
}

/// Binds the same ten fields to a logger of ops-log.
#[macro_export]
macro_rules! ten_bound_fields {
    ($log:expr) => {
        $log.bind("method", "GET")
            .bind("path", "/api/registry/models")
            .bind("status", 200_u16)
            .bind("latency_ms", 45_u64)
            .bind("user_id", 456_u64)
            .bind("cached", false)
            .bind("bytes", 18_324_u64)
            .bind("ratio", 0.75)
            .bind("region", "eu-central-1")
            .bind("agent", "k6/1.1.0")
    };
}

/// Writer that accepts everything and keeps at most the newest megabyte.
pub struct Memory(Vec<u8>);

impl Memory {
    /// Returns an empty buffer with capacity for two megabytes.
    #[must_use]
    pub fn new() -> Self {
        Self(Vec::with_capacity(2 << 20))
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Write for Memory {
    // inlined as in a bench in a single file: otherwise a renderer that writes in small pieces would pay for calls
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() > 1 << 20 {
            self.0.clear();
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    #[inline]
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Trace id of every event.
pub const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
