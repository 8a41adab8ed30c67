use std::sync::Arc;
use std::time::Duration;

use ops_layer::Ops;
use ops_layer::cache::arrow::array::RecordBatch;
use ops_layer::cache::{
    Bypass, CachedEngine, Cancel, Dialect, Error as CacheError, FlightSql, FlightSqlConfig, Params,
    QueryEngine, QueryResult, State,
};

use super::outcomes::Outcomes;
use crate::error::{Error, Kind, Result};

/// Name of the secret that is sent as a bearer token.
const TOKEN: &str = "KEARNEY_ENGINE_TOKEN";
/// Maximum age of a cached result: the platform is not notified when the server's data changes.
const TTL: Duration = Duration::from_secs(60);
/// Age up to which a cached result is served while the server does not respond.
const STALE_TIME: Duration = Duration::from_secs(600);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const QUERY_TIMEOUT: Duration = Duration::from_secs(20);
const MAX_RESULT_BYTES: usize = 64 << 20;

/// A Flight SQL server behind the cache of the process.
pub struct Cluster {
    address: String,
    engine: CachedEngine<Observed>,
}

impl Cluster {
    /// Checks the address and adds the diagnostic rule for an unreachable server. The first query connects.
    pub async fn open(address: &str, ops: &Ops) -> Result<Self> {
        let mut config = FlightSqlConfig::new(address)
            .connect_timeout(CONNECT_TIMEOUT)
            .deadline(QUERY_TIMEOUT)
            .max_result_bytes(MAX_RESULT_BYTES);
        let secrets = ops.secrets().clone();
        // if a source fails now, the first query tries it again
        let login = match secrets.get(TOKEN).optional().await {
            Ok(None) => format!("without credentials: the secret {TOKEN} is not set"),
            Ok(Some(_)) | Err(_) => {
                config = config.bearer("kearney-platform", move || {
                    let token = secrets.refresh_after_failure_blocking(TOKEN);
                    Ok(token
                        .map_err(|error| error.to_string())?
                        .expose()
                        .to_owned())
                });
                format!("with the secret {TOKEN}")
            }
        };
        let refused = |error| Error::new(Kind::Config, "cannot use --engine").because(error);
        let server = FlightSql::open(config).map_err(refused)?;
        let outcomes = Arc::new(Outcomes::new(address, login));
        let read = outcomes.clone();
        ops.add_rule("engine_unreachable", move || read.finding());
        let observed = Observed { server, outcomes };
        Ok(Self {
            address: address.to_owned(),
            engine: CachedEngine::new(observed, ops.cache().clone()),
        })
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    pub async fn query(&self, sql: &str, bound: Params) -> Result<QueryResult, CacheError> {
        let query = self.engine.query(sql, bound);
        query.ttl(TTL).stale_while(STALE_TIME).await
    }
}

/// The server, with a record of how each query ended: queries that refresh the cache have no caller who would see their
/// errors.
struct Observed {
    server: FlightSql,
    outcomes: Arc<Outcomes>,
}

impl QueryEngine for Observed {
    fn identity(&self) -> String {
        self.server.identity()
    }

    fn system(&self) -> &'static str {
        self.server.system()
    }

    fn dialect(&self) -> Dialect {
        self.server.dialect()
    }

    fn knows(&self, sql: &str) -> bool {
        self.server.knows(sql)
    }

    fn state(&self, sql: &str) -> Result<State, Bypass> {
        self.server.state(sql)
    }

    fn state_if_asked(&self, sql: &str) -> Result<State, Bypass> {
        self.server.state_if_asked(sql)
    }

    fn is_current(&self, sql: &str, state: &State) -> bool {
        self.server.is_current(sql, state)
    }

    fn check(&self, sql: &str) -> Result<(), CacheError> {
        self.server.check(sql)
    }

    fn run(
        &self,
        sql: &str,
        params: &Params,
        cancel: &Cancel,
    ) -> Result<Vec<RecordBatch>, CacheError> {
        let ended = self.server.run(sql, params, cancel);
        // a cancelled query says nothing about the server
        if !cancel.is_cancelled() {
            self.outcomes.record(ended.as_ref().err());
        }
        ended
    }
}
