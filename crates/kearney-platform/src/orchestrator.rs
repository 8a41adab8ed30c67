//! Runs a job phase by phase: each phase timed, each run counted, every log line of it says which.

use std::time::{Duration, Instant};

use ops_layer::metrics::Label;

use crate::domain_metrics::{self, Phase, RunStatus};

/// One run of a job.
#[derive(Debug)]
pub struct Run {
    id: String,
    started: Instant,
    done: bool,
}

impl Run {
    pub fn start(job: &str) -> Self {
        let id = format!("{job}-{}", std::process::id());
        ops_layer::log::bind_context!(run_id = id.as_str());
        domain_metrics::orchestrator_runs_in_flight().set(1.0);
        ops_layer::log::info!("run_started");
        Self {
            id,
            started: Instant::now(),
            done: false,
        }
    }

    /// Runs one phase.
    pub fn phase<T>(
        &mut self,
        phase: Phase,
        work: impl FnOnce() -> Result<T, String>,
    ) -> Result<T, String> {
        ops_layer::log::bind_context!(phase = phase.text());
        let started = Instant::now();
        let result = work();
        let took = started.elapsed();
        domain_metrics::orchestrator_phase_seconds(phase).observe(took.as_secs_f64());
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        match &result {
            Ok(_) => ops_layer::log::info!("phase_finished", took_ms = took_ms),
            Err(why) => {
                ops_layer::log::error!("phase_failed", took_ms = took_ms, error = why.as_str())
            }
        }
        ops_layer::log::unbind_context(["phase"]);
        result
    }

    /// The run reached its end.
    pub fn finish(mut self) -> Duration {
        self.done = true;
        self.started.elapsed()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let status = if self.done {
            RunStatus::Success
        } else {
            RunStatus::Failed
        };
        domain_metrics::orchestrator_runs_total(status).inc();
        domain_metrics::orchestrator_runs_in_flight().set(0.0);
        ops_layer::log::info!(
            "run_finished",
            status = status.text(),
            run = self.id.as_str()
        );
        ops_layer::log::unbind_context(["run_id"]);
    }
}
