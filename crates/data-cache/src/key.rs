//! Keys of entries: everything that a result depends on.

use std::fmt;
use std::hash::{Hash, Hasher};

use sha2::{Digest, Sha256};

use crate::params::Params;
use crate::scope::Scope;
use crate::sql::Dialect;

/// Key of an entry: SHA-256 over scope, database, its state, normalized SQL and parameters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key([u8; 32]);

/// Everything but the parameters that a result depends on.
pub(crate) struct KeyInputs<'a> {
    pub(crate) scope: &'a Scope,
    /// Identity of the database, or `default` for results stored by [`Cache::set`](crate::Cache::set) and the like.
    pub(crate) database: &'a str,
    /// State of the data, the search path and the settings that affect results.
    pub(crate) state: &'a str,
    pub(crate) dialect: Dialect,
    pub(crate) normal_sql: &'a str,
}

impl Key {
    /// Digests the inputs. Each field is prefixed with a tag and
    /// its length, so that adjacent fields cannot be confused.
    pub(crate) fn of(inputs: &KeyInputs<'_>, params: &Params) -> Self {
        let mut bytes = Vec::with_capacity(256 + inputs.normal_sql.len());
        let mut field = |tag: u8, value: &[u8]| {
            bytes.push(tag);
            bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
            bytes.extend_from_slice(value);
        };
        field(b'v', b"data-cache/key/2");
        inputs.scope.key_fields(&mut field);
        field(b'd', inputs.database.as_bytes());
        field(b's', inputs.state.as_bytes());
        field(b'l', &[inputs.dialect.tag()]);
        field(b'q', inputs.normal_sql.as_bytes());
        for (name, value) in &params.0 {
            field(b'n', name.as_bytes());
            value.key_field(&mut field);
        }
        Self(Sha256::digest(&bytes).into())
    }

    /// Returns the key of the same result under an epoch.
    #[cfg(feature = "shared")]
    pub(crate) fn under(&self, epoch: &str) -> Self {
        let mut digest = Sha256::new_with_prefix(b"data-cache/epoch/1");
        digest.update(self.0);
        digest.update(epoch.as_bytes());
        Self(digest.finalize().into())
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(crate) const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns a number by which keys are distributed over shards.
    pub(crate) fn shard(&self) -> usize {
        usize::from(self.0[8])
    }

    /// Parses a key of 64 lower-case hexadecimal digits.
    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        if text.bytes().any(|digit| digit.is_ascii_uppercase()) {
            return None;
        }
        let mut key = [0; 32];
        ::hex::decode_to_slice(text, &mut key).ok()?;
        Some(Self(key))
    }
}

/// Encodes bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    ::hex::encode(bytes)
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        state.write_u64(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
    }
}

/// Hasher of keys: a key is a digest already, so eight of its bytes are its hash.
#[derive(Clone, Copy, Default)]
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

pub(crate) type BuildKeyHasher = std::hash::BuildHasherDefault<KeyHasher>;
