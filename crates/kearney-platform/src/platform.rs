//! State that the routes share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use ops_layer::cache::CachedWarehouse;
use ops_layer::secrets::Secrets;

use crate::domain_metrics;
use crate::registry::{Dataset, Model, Registry};
use crate::run_queue::RunQueue;

/// Registry, secrets, and the warehouse once it is loaded.
pub struct Platform {
    pub registry: Registry,
    pub runs: RunQueue,
    secrets: Secrets,
    warehouse: OnceLock<CachedWarehouse>,
    loading: Mutex<String>,
    draining: AtomicBool,
}

impl Platform {
    pub fn new(registry: Registry, secrets: Secrets) -> Self {
        let platform = Self {
            registry,
            runs: RunQueue::new(),
            secrets,
            warehouse: OnceLock::new(),
            loading: Mutex::new("the warehouse is being loaded".to_owned()),
            draining: AtomicBool::new(false),
        };
        platform.count_registry();
        platform
    }

    /// Reason why queries cannot be answered yet.
    pub fn not_ready(&self) -> Option<String> {
        if self.is_draining() {
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

    /// From here on queries are answered.
    pub fn loaded(&self, warehouse: CachedWarehouse, datasets: Vec<Dataset>) -> Result<(), String> {
        self.registry.set_datasets(datasets)?;
        self.count_registry();
        let _ = self.warehouse.set(warehouse);
        Ok(())
    }

    pub fn load_failed(&self, why: &str) {
        *self.loading.lock().unwrap_or_else(PoisonError::into_inner) =
            format!("the warehouse could not be loaded: {why}");
    }

    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub fn add_model(&self, model: Model) -> Result<bool, String> {
        let added = self.registry.add_model(model)?;
        self.count_registry();
        Ok(added)
    }

    /// Returns true for the key that may write to the registry; compares in constant time.
    pub async fn is_registry_key(&self, given: &[u8]) -> Result<bool, String> {
        let key = self
            .secrets
            .get("registry_api_key")
            .await
            .map_err(|error| error.to_string())?;
        Ok(key.ct_eq(given))
    }

    fn count_registry(&self) {
        domain_metrics::registry_models_total().set(self.registry.models().len() as f64);
        domain_metrics::registry_datasets_total().set(self.registry.datasets().len() as f64);
    }
}
