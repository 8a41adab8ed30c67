//! State shared by the routes.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use ops_layer::cache::{Cache, CachedWarehouse, Warehouse};
use ops_layer::secrets::Secrets;
use ops_layer::{Ops, StopSignal};

use crate::cluster::Cluster;
use crate::datasets::Source;
use crate::domain_metrics;
use crate::error::{Error, Kind, Result};
use crate::files::DataDir;
use crate::isochrone::Isochrones;
use crate::orchestrator::{Queue, Runs, sweep_results};
use crate::registry::{Dataset, Model, Registry};
use crate::warehouse;

/// Registry, runs, secrets, and the warehouse once it is loaded.
pub struct Platform {
    pub registry: Registry,
    pub queue: Queue,
    pub isochrones: Isochrones,
    pub data_dir: PathBuf,
    pub source: Source,
    secrets: Secrets,
    cache: Cache,
    warehouse: OnceLock<CachedWarehouse>,
    cluster: Option<Cluster>,
    loading: Mutex<String>,
    stop: StopSignal,
}

impl Platform {
    /// Opens the data directory, except for the warehouse.
    pub fn open(
        data: &DataDir,
        ops: &Ops,
        source: Source,
        isochrones: Isochrones,
        stop: StopSignal,
        cluster: Option<Cluster>,
    ) -> Result<Arc<Self>> {
        let registry = Registry::open(data.path())?;
        sweep_results(data.path(), &registry)?;
        let platform = Self {
            registry,
            queue: Queue::new(Runs::open(data.path())?),
            isochrones,
            data_dir: data.path().to_owned(),
            source,
            secrets: ops.secrets().clone(),
            cache: ops.cache().clone(),
            warehouse: OnceLock::new(),
            cluster,
            loading: Mutex::new("the warehouse is being loaded".to_owned()),
            stop,
        };
        platform.count_registry();
        Ok(Arc::new(platform))
    }

    /// Returns the reason why queries cannot be served yet.
    pub fn not_ready(&self) -> Option<String> {
        if self.stop.is_raised() {
            return Some("shutting down".to_owned());
        }
        match self.warehouse.get() {
            Some(_) => None,
            None => Some(
                self.loading
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .clone(),
            ),
        }
    }

    pub fn warehouse(&self) -> Option<&CachedWarehouse> {
        self.warehouse.get()
    }

    /// Returns the server that is queried instead of the warehouse, if configured.
    pub fn cluster(&self) -> Option<&Cluster> {
        self.cluster.as_ref()
    }

    /// Returns the warehouse; fails until it is loaded.
    pub fn loaded_warehouse(&self) -> Result<&CachedWarehouse> {
        let missing = || Error::new(Kind::Warehouse, "the warehouse is not loaded");
        self.warehouse.get().ok_or_else(missing)
    }

    /// Sets the warehouse; queries are served from here on.
    pub fn set_warehouse(&self, warehouse: Warehouse) {
        // only one run loads at a time, and only once
        let _ = self.warehouse.set(warehouse.cached(self.cache.clone()));
    }

    pub fn load_failed(&self, why: &str) {
        *self.loading.lock().unwrap_or_else(PoisonError::into_inner) =
            format!("startup failed: {why}");
    }

    /// Counts the rows of the tables and registers them.
    pub fn register_tables(&self) -> Result<()> {
        let tables = warehouse::describe(self.loaded_warehouse()?.engine(), &self.source)?;
        self.registry.set_tables(tables)?;
        self.count_registry();
        Ok(())
    }

    /// Registers a published result and returns the one that it replaces.
    pub fn publish(&self, result: Dataset) -> Result<Option<Dataset>> {
        let replaced = self.registry.publish(result)?;
        self.count_registry();
        Ok(replaced)
    }

    pub fn add_model(&self, model: Model) -> Result<bool> {
        let added = self.registry.add_model(model)?;
        self.count_registry();
        Ok(added)
    }

    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Returns `true` for the key that allows writes to the registry; compares in constant time.
    pub async fn is_registry_key(&self, given: &[u8]) -> Result<bool> {
        let key = self.secrets.get("registry_api_key").await;
        let key = key.map_err(|error| {
            Error::new(Kind::Secret, "cannot resolve the registry key").because(error)
        })?;
        Ok(key.ct_eq(given))
    }

    fn count_registry(&self) {
        domain_metrics::registry_models_total().set(self.registry.models().len() as f64);
        domain_metrics::registry_datasets_total().set(self.registry.datasets().len() as f64);
    }
}
