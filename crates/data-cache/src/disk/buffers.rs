//! Buffers for reading files.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::Mutex;

/// Minimum size of a kept buffer in bytes; the allocator itself reuses smaller ones.
const WORTH_KEEPING_BYTES: usize = 1 << 20;

/// Buffers of dropped results, kept for reuse. A result that is too large for memory is read at each hit, and most of
/// that time would be spent in the kernel, on fresh pages.
pub(super) struct Buffers(Arc<Idle>);

struct Idle {
    /// Oldest first.
    buffers: Mutex<Vec<Vec<u8>>>,
    /// Maximum total size of the kept buffers in bytes.
    limit: usize,
}

impl Buffers {
    /// Keeps at most `limit` bytes of unused buffers.
    pub(super) fn new(limit: usize) -> Self {
        let buffers = Mutex::default();
        Self(Arc::new(Idle { buffers, limit }))
    }

    /// Returns an empty buffer of this capacity, or of up to a quarter more.
    pub(super) fn take(&self, capacity: usize) -> Vec<u8> {
        let fitting = capacity..=capacity + capacity / 4;
        let mut idle = self.0.buffers.lock();
        let found = idle
            .iter()
            .rposition(|buffer| fitting.contains(&buffer.capacity()));
        match found {
            Some(at) => idle.remove(at),
            None => {
                drop(idle);
                Vec::with_capacity(capacity)
            }
        }
    }

    /// Wraps the bytes so that their buffer returns here once nothing refers to them any more.
    pub(super) fn lend(&self, bytes: Vec<u8>) -> Bytes {
        if bytes.capacity() < WORTH_KEEPING_BYTES {
            return bytes.into();
        }
        Bytes::from_owner(Lent {
            bytes,
            home: Arc::downgrade(&self.0),
        })
    }
}

struct Lent {
    bytes: Vec<u8>,
    home: Weak<Idle>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some(home) = self.home.upgrade() else {
            return;
        };
        let mut buffer = std::mem::take(&mut self.bytes);
        buffer.clear();
        let mut idle = home.buffers.lock();
        idle.push(buffer);
        let mut bytes: usize = idle.iter().map(Vec::capacity).sum();
        let too_many = idle
            .iter()
            .take_while(|oldest| {
                let is_over = bytes > home.limit;
                bytes -= oldest.capacity();
                is_over
            })
            .count();
        let dropped: Vec<_> = idle.drain(..too_many).collect();
        drop(idle);
        drop(dropped);
    }
}
