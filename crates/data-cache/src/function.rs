//! Expansion of `#[cached_query]`.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::RecordBatch;

use crate::cache::{Cache, IsUnchanged, Limits, Plan};
use crate::engine::QueryEngine;
use crate::global::get_cache;
use crate::key::{Key, KeyInputs};
use crate::params::{Params, Value};
use crate::query::CachedEngine;
use crate::sql::{self, Dialect};
use crate::stats::Bypass;

/// Identity of a cached function.
#[doc(hidden)]
pub struct FunctionSite {
    /// `fn:module::name`.
    pub label: &'static str,
    /// File, line and column.
    pub place: &'static str,
    /// Type name of a closure in the function: the path includes the enclosing function or impl block with its types.
    pub path: &'static str,
    /// Digest of its source text.
    pub digest: u64,
}

impl FunctionSite {
    /// Returns the path of an item in the function, so that keys of
    /// functions without generics equal those of earlier versions.
    fn outer_path(&self) -> &'static str {
        self.path.strip_suffix("{{closure}}").unwrap_or(self.path)
    }

    /// Returns `false` if a type in the path is a closure, since all closures of one function share a name.
    fn is_distinct(&self) -> bool {
        let mut behind_closures = self.outer_path().split("{{closure}}").skip(1);
        behind_closures.all(|rest| rest.starts_with("::"))
    }

    fn inputs(&self) -> String {
        let Self {
            label,
            place,
            digest,
            ..
        } = self;
        let path = self.outer_path();
        format!("{label}\n{place}\n{path}__Site\n{digest:x}")
    }
}

/// One call of a cached function.
#[doc(hidden)]
pub struct FunctionCall {
    /// `None` if there is no cache, its data is being written, or
    /// its types cannot be distinguished; the function then runs.
    target: Option<(Cache, Key)>,
    label: &'static str,
    tables: &'static [&'static str],
    ttl_seconds: u64,
    /// `true` if the key means the same result on other machines.
    is_shareable: bool,
    /// Returns `true` if the engine's settings are unchanged since the key was made.
    is_unchanged: Option<IsUnchanged>,
}

impl FunctionCall {
    /// Creates a call that uses the process-wide cache.
    pub fn new(
        site: FunctionSite,
        ttl_seconds: u64,
        tables: &'static [&'static str],
        arguments: Vec<(&'static str, Value)>,
    ) -> Self {
        let target = process_cache()
            .filter(|_| site.is_distinct())
            .map(|cache| with_key(cache, "function", "", &site, arguments));
        Self {
            target,
            label: site.label,
            tables,
            ttl_seconds,
            is_shareable: true,
            is_unchanged: None,
        }
    }

    /// Creates a call of a function that reads this warehouse: writes through the warehouse make its result
    /// unreachable. For an engine that does not classify statements, only the TTL limits the result.
    pub fn on<E: QueryEngine>(
        warehouse: &CachedEngine<E>,
        site: FunctionSite,
        ttl_seconds: u64,
        tables: &'static [&'static str],
        arguments: Vec<(&'static str, Value)>,
    ) -> Self {
        let engine = warehouse.engine();
        let changes = engine.changes();
        let state = match engine.state("") {
            // a cached function requests caching; an engine that queries
            // a server for its state has no statement to do that with
            Err(Bypass::Unclassified) if engine.knows("") => engine.state_if_asked(""),
            judged => judged,
        };
        let state = state.ok().filter(|_| site.is_distinct());
        let target = state.map(|state| {
            let database = format!("function {}", engine.identity());
            let cache = warehouse.cache().clone();
            with_key(cache, &database, &state.token, &site, arguments)
        });
        Self {
            target,
            label: site.label,
            tables,
            ttl_seconds,
            // the state of a warehouse is specific to one machine
            is_shareable: false,
            is_unchanged: Some(warehouse.is_unchanged_since(changes)),
        }
    }

    /// Maximum age of a usable result: an earlier build may have stored it with a longer TTL.
    fn limits(&self) -> Limits {
        Limits::within(self.ttl_seconds)
    }

    fn plan(&self, key: Key) -> Plan {
        Plan {
            key,
            label: self.label.into(),
            // as in an invalidation: only the last part of the name counts
            tables: self
                .tables
                .iter()
                .map(|name| sql::table_name(name).unwrap_or_else(|| name.to_lowercase()))
                .collect(),
            ttl: Some(self.ttl_seconds),
            limits: self.limits(),
            is_shared: false,
            is_unchanged: self.is_unchanged.clone(),
        }
    }

    /// Returns the stored result, or that of `compute`.
    ///
    /// # Errors
    ///
    /// Fails if `compute` does.
    pub fn run<E>(
        self,
        compute: impl FnOnce() -> Result<Vec<RecordBatch>, E>,
    ) -> Result<Vec<RecordBatch>, E> {
        match &self.target {
            Some((cache, key)) => {
                let (limits, is_shareable) = (self.limits(), self.is_shareable);
                let inner = cache.inner();
                inner.get_or_run(*key, limits, is_shareable, || self.plan(*key), compute)
            }
            None => compute(),
        }
    }

    /// Returns the stored result, or that of `compute`.
    ///
    /// # Errors
    ///
    /// Fails if `compute` does.
    pub async fn run_async<E>(
        self,
        compute: impl Future<Output = Result<Vec<RecordBatch>, E>>,
    ) -> Result<Vec<RecordBatch>, E> {
        match &self.target {
            Some((cache, key)) => {
                let plan = || self.plan(*key);
                let inner = cache.inner();
                inner
                    .get_or_await(*key, self.limits(), self.is_shareable, plan, compute)
                    .await
            }
            None => compute.await,
        }
    }
}

/// Returns the process-wide cache. If it cannot be opened, that is logged once.
fn process_cache() -> Option<Cache> {
    static IS_REPORTED: AtomicBool = AtomicBool::new(false);
    let cache = get_cache();
    if let Err(error) = &cache
        && !IS_REPORTED.swap(true, Ordering::Relaxed)
    {
        tracing::warn!(target: "data_cache", %error, effect = "cached functions run on every call", "process_cache_unavailable");
    }
    cache.ok()
}

fn with_key(
    cache: Cache,
    database: &str,
    state: &str,
    site: &FunctionSite,
    arguments: Vec<(&'static str, Value)>,
) -> (Cache, Key) {
    let named = arguments.into_iter();
    let params = named.fold(Params::new(), |params, (name, value)| {
        params.set(name, value)
    });
    let inputs = KeyInputs {
        scope: cache.own_scope(),
        database,
        state,
        dialect: Dialect::Unknown,
        normal_sql: &site.inputs(),
    };
    let key = Key::of(&inputs, &params);
    (cache, key)
}
