//! Keys: their maximum length, the reserved ones, and the bit of a key in a mask.

/// Maximum length of a key in bytes; longer keys are cut.
pub const MAX_KEY_BYTES: usize = 256;

/// Keys reserved on every line: a field with such a name gets a `_` appended.
pub(crate) const RESERVED: [&[u8]; 4] = [b"timestamp", b"level", b"logger", b"event"];

/// Returns `true` if a cheap check shows that a key need not be changed.
pub(crate) const fn is_usual(key: &str) -> bool {
    !key.is_empty() && key.len() <= MAX_KEY_BYTES && bit(key.as_bytes()) & RESERVED_BITS == 0
}

/// Returns the bit of a key in a mask.
#[inline]
pub(crate) const fn bit(key: &[u8]) -> u64 {
    let len = key.len();
    if len == 0 {
        return 1;
    }
    let mix = key[0] as u64
        | (key[len - 1] as u64) << 8
        | (key[len / 2] as u64) << 16
        | (len as u64) << 24;
    1 << (mix.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58)
}

pub(crate) const RESERVED_BITS: u64 =
    bit(RESERVED[0]) | bit(RESERVED[1]) | bit(RESERVED[2]) | bit(RESERVED[3]);
