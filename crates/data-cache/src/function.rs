//! What `#[cached_query]` expands to.

use arrow::array::RecordBatch;

use crate::cache::{Cache, key};
use crate::global::get_cache;
use crate::params::{Params, Value};

/// One call of a cached function.
#[doc(hidden)]
pub struct FunctionCall {
    cache: Option<Cache>,
    key: String,
    label: &'static str,
    ttl_seconds: u64,
    generation: u64,
}

impl FunctionCall {
    /// `label` is `fn:module::name`.
    pub fn new(
        label: &'static str,
        ttl_seconds: u64,
        arguments: Vec<(&'static str, Value)>,
    ) -> Self {
        let cache = get_cache().ok();
        let params = arguments
            .into_iter()
            .fold(Params::new(), |params, (name, value)| {
                params.set(name, value)
            });
        let generation = cache.as_ref().map_or(0, Cache::generation);
        Self {
            key: key("function", "", label, &params),
            cache,
            label,
            ttl_seconds,
            generation,
        }
    }

    /// The kept result.
    pub fn get(&self) -> Option<Vec<RecordBatch>> {
        Some(self.cache.as_ref()?.get_key(&self.key)?.into_batches())
    }

    /// Keeps a result; trouble is logged by the cache.
    pub fn keep(&self, batches: &[RecordBatch]) {
        if let Some(cache) = &self.cache
            && let Err(error) = cache.set_key(
                &self.key,
                self.label,
                batches,
                Some(self.ttl_seconds),
                self.generation,
            )
        {
            tracing::warn!(target: "data_cache", %error, label = self.label, "result_not_cached");
        }
    }
}
