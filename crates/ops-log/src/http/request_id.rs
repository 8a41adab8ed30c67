use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use http::HeaderValue;

use crate::escape::HEX;

/// Length of `req-`, the microseconds, `-`, the process id and the counter, all in hexadecimal digits.
const MAX_BYTES: usize = 4 + 16 + 1 + 8 + 16;

static COUNTER: AtomicU64 = AtomicU64::new(0);

/// Id generated for a request that came without one.
#[derive(Debug)]
pub(super) struct RequestId {
    bytes: [u8; MAX_BYTES],
    len: usize,
}

impl Default for RequestId {
    fn default() -> Self {
        Self {
            bytes: [0; MAX_BYTES],
            len: 0,
        }
    }
}

impl RequestId {
    /// Generates an id: time in microseconds, process id and a counter. It is unique in this process.
    pub(super) fn make(&mut self) {
        // once, because it takes a system call
        static PROCESS: LazyLock<String> = LazyLock::new(|| format!("-{:x}", std::process::id()));
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        self.len = 0;
        self.push(b"req-");
        self.hex(u64::try_from(now.as_micros()).unwrap_or(u64::MAX));
        self.push(PROCESS.as_bytes());
        self.hex(COUNTER.fetch_add(1, Ordering::Relaxed));
    }

    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }

    /// Returns the id as a header value.
    pub(super) fn header(&self) -> Option<HeaderValue> {
        ops_http::header_value(&self.bytes[..self.len])
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    /// Writes the digits of the number, without leading zeros.
    fn hex(&mut self, mut number: u64) {
        let digits = (64 - number.leading_zeros()).div_ceil(4).max(1) as usize;
        for digit in self.bytes[self.len..][..digits].iter_mut().rev() {
            *digit = HEX[(number & 15) as usize];
            number >>= 4;
        }
        self.len += digits;
    }
}
