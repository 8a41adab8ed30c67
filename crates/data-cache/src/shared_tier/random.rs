//! Names that nobody else has.

use std::hash::{BuildHasher, Hasher, RandomState};

/// 128 bits that the system made up, as hexadecimal digits.
pub(super) fn random_hex() -> String {
    let number = || {
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u128(std::process::id().into());
        hasher.finish()
    };
    format!("{:016x}{:016x}", number(), number())
}
