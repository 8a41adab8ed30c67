//! Random names.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Returns 128 random bits from the system, as hexadecimal digits.
pub(super) fn random_hex() -> String {
    let number = || {
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u128(std::process::id().into());
        hasher.finish()
    };
    format!("{:016x}{:016x}", number(), number())
}
