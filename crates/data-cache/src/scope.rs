//! Scopes of results: who may receive them.

/// Callers that may receive a result. Two scopes never share an entry.
///
/// ```
/// use data_cache::{Cache, Params, Scope};
/// # let dir = tempfile::tempdir()?;
/// # let cache = Cache::open(dir.path())?;
/// # let column: data_cache::arrow::array::ArrayRef = std::sync::Arc::new(data_cache::arrow::array::Int64Array::from(vec![1]));
/// # let batch = data_cache::arrow::array::RecordBatch::try_from_iter([("n", column)])?;
/// cache.scope(Scope::tenant("acme")).set("SELECT n FROM t", &[batch], &Params::new(), None)?;
/// assert!(cache.scope(Scope::tenant("acme")).get("SELECT n FROM t", &Params::new()).is_some());
/// assert!(cache.scope(Scope::tenant("other")).get("SELECT n FROM t", &Params::new()).is_none());
/// assert!(cache.get("SELECT n FROM t", &Params::new()).is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scope {
    /// Everybody.
    #[default]
    Shared,
    /// One tenant.
    Tenant(String),
    /// One principal, for as long as the fingerprint of its policy stays the same.
    Principal {
        /// Name of the principal.
        id: String,
        /// Fingerprint of its permissions; a different policy is a different scope.
        policy: String,
    },
}

impl Scope {
    /// One tenant.
    pub fn tenant(id: impl Into<String>) -> Self {
        Self::Tenant(id.into())
    }

    /// One principal under one policy.
    pub fn principal(id: impl Into<String>, policy: impl Into<String>) -> Self {
        Self::Principal {
            id: id.into(),
            policy: policy.into(),
        }
    }

    pub(crate) fn key_fields(&self, field: &mut impl FnMut(u8, &[u8])) {
        match self {
            Self::Shared => field(b'S', &[]),
            Self::Tenant(id) => field(b'T', id.as_bytes()),
            Self::Principal { id, policy } => {
                field(b'P', id.as_bytes());
                field(b'p', policy.as_bytes());
            }
        }
    }
}
