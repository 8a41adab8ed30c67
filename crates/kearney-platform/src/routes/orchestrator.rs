use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use ops_layer::cache::params;
use serde_json::{Value, json};

use super::registry::Authorized;
use crate::domain_metrics::{Agent, Phase};
use crate::orchestrator::Run;
use crate::platform::Platform;
use crate::problem::Problem;
use crate::registry::Dataset;
use crate::run_queue::WAITING_MAX;
use crate::warehouse::rows_of;

/// Has the datasets of the registry counted anew, in a run of its own, for whoever holds the API key.
pub async fn start_run(
    _: Authorized,
    State(platform): State<Arc<Platform>>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let refused = |why: String| Problem::new(StatusCode::SERVICE_UNAVAILABLE, why);
    if let Some(why) = platform.not_ready() {
        return Err(refused(why));
    }
    let (runtime, shared) = (tokio::runtime::Handle::current(), platform.clone());
    let submitted = platform
        .runs
        .submit("count", move |run| count_datasets(run, &shared, &runtime));
    let run_id = submitted.ok_or_else(|| refused(format!("{WAITING_MAX} runs wait already")))?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "run_id": run_id }))))
}

fn count_datasets(
    run: &mut Run,
    platform: &Platform,
    runtime: &tokio::runtime::Handle,
) -> Result<(), String> {
    let mut datasets = platform.registry.datasets();
    run.attempt(Agent::Analyst, Phase::Analyze, || {
        datasets
            .iter_mut()
            .try_for_each(|dataset| count(dataset, platform, runtime))
    })?;
    run.phase(Phase::Publish, || platform.registry.set_datasets(datasets))
}

fn count(
    dataset: &mut Dataset,
    platform: &Platform,
    runtime: &tokio::runtime::Handle,
) -> Result<(), String> {
    let warehouse = platform.warehouse().ok_or("the warehouse is not loaded")?;
    // a name of the warehouse's own tables
    let sql = format!("SELECT count(*) AS rows FROM {}", dataset.name);
    let query = warehouse.query(sql, params! {}).into_future();
    let counted = runtime.block_on(query).map_err(|error| error.to_string())?;
    let rows = rows_of(counted.batches())?;
    let rows = rows.first().and_then(|row| row["rows"].as_u64());
    dataset.rows = rows.ok_or_else(|| format!("{} could not be counted", dataset.name))?;
    Ok(())
}
