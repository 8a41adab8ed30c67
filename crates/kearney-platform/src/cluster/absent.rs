use ops_layer::Ops;
use ops_layer::cache::{Error as CacheError, Params, QueryResult};

use crate::error::{Error, Kind, Result};

/// Not available in this build.
pub enum Cluster {}

impl Cluster {
    pub async fn open(_address: &str, _ops: &Ops) -> Result<Self> {
        let message =
            "--engine: this build does not support Flight SQL; rebuild with --features flight-sql";
        Err(Error::new(Kind::Config, message))
    }

    pub fn address(&self) -> &str {
        match *self {}
    }

    pub async fn query(&self, _sql: &str, _bound: Params) -> Result<QueryResult, CacheError> {
        match *self {}
    }
}
