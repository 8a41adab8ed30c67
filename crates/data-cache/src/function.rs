//! Calls that `#[cached_query]` expands to.

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
    /// Type name of a closure in it: the function or impl block around it, with its types, is a part of this path.
    pub path: &'static str,
    /// Digest of its text.
    pub digest: u64,
}

impl FunctionSite {
    /// Path of an item in the function: keys of functions without generics are those of earlier versions.
    fn outer_path(&self) -> &'static str {
        self.path.strip_suffix("{{closure}}").unwrap_or(self.path)
    }

    /// Returns `false` if a type of the path is a closure: all closures of one function have the same name.
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
    /// `None`: there is no cache, what it reads is being written, or its types cannot be told apart; the function runs.
    target: Option<(Cache, Key)>,
    label: &'static str,
    tables: &'static [&'static str],
    ttl_seconds: u64,
    /// Other machines mean the same by it.
    is_shareable: bool,
    /// Says if the settings of its engine were the same since the key was made.
    is_unchanged: Option<IsUnchanged>,
}

impl FunctionCall {
    /// Asks the process-wide cache.
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

    /// The same for a function that reads this warehouse: its writes make the result unreachable. Of an engine that classifies no
    /// statements the result obeys its time alone.
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
            // a cached function asks to be kept; an engine that asks a server for its state has no statement to ask about here
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
            // the state of a warehouse is that of one machine
            is_shareable: false,
            is_unchanged: Some(warehouse.is_unchanged_since(changes)),
        }
    }

    /// Age up to which a result is taken: an earlier build may have kept it for longer.
    fn limits(&self) -> Limits {
        Limits::within(self.ttl_seconds)
    }

    fn plan(&self, key: Key) -> Plan {
        Plan {
            key,
            label: self.label.into(),
            // as an invalidation names them: the last part counts
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

    /// Returns the kept result, or that of `compute`.
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

    /// Returns the kept result, or that of `compute`.
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

/// The process-wide cache. That there is none is logged once.
fn process_cache() -> Option<Cache> {
    static IS_REPORTED: AtomicBool = AtomicBool::new(false);
    let cache = get_cache();
    if let Err(error) = &cache
        && !IS_REPORTED.swap(true, Ordering::Relaxed)
    {
        tracing::warn!(target: "data_cache", %error, effect = "cached functions run at each call", "process_cache_unavailable");
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
