use std::sync::Arc;

use ops_layer::StopSignal;
use uuid::Uuid;

use super::progress::Progress;
use super::run::{Signals, execute};
use crate::domain_metrics;
use crate::error::chain;
use crate::orchestrator::{Record, Status, Waiting};
use crate::platform::Platform;

/// Executes the queued runs one after the other until the process stops. Runs still queued then are `interrupted`.
pub async fn work(platform: Arc<Platform>, stopping: StopSignal) {
    loop {
        let (waiting, cancel) = tokio::select! {
            // no run starts once the process stops
            biased;
            () = stopping.wait() => break,
            next = platform.queue.next() => next,
        };
        let signals = Signals {
            cancel,
            stopping: stopping.clone(),
        };
        let Waiting { record, request } = waiting;
        let id = record.run_id;
        let running = execute(platform.clone(), record, signals, request, Progress::none());
        let mut running = ops_layer::spawn(running);
        let ended = tokio::select! {
            ended = &mut running => ended,
            // at once, since a run may take long to end
            () = stopping.wait() => {
                close(&platform).await;
                running.await
            }
        };
        let record = match ended {
            Ok(record) => Some(record),
            Err(error) => fail_panicked_run(&platform, id, &error),
        };
        if let Some(record) = record {
            platform.queue.ended(&record);
        }
    }
    close(&platform).await;
}

async fn close(platform: &Arc<Platform>) {
    let platform = platform.clone();
    let closed = ops_layer::spawn_blocking(move || platform.queue.close());
    // a panic is logged
    let _ = closed.await;
}

/// Records a run that panicked as failed; the panic itself is logged.
fn fail_panicked_run(
    platform: &Platform,
    id: Uuid,
    error: &dyn std::error::Error,
) -> Option<Record> {
    let mut record = platform.queue.runs().get(id)?;
    record.end(Status::Failed, Some(chain(error)));
    domain_metrics::orchestrator_runs_total(domain_metrics::RunStatus::Failed).inc();
    if let Err(error) = platform.queue.runs().save(&record) {
        ops_layer::log::warn!(
            "run_not_recorded",
            run_id = id.to_string(),
            error = chain(&error)
        );
    }
    Some(record)
}
