//! Runs a job phase by phase: each phase timed, each run counted, every log line of it says which.

use std::time::{Duration, Instant};

use ops_layer::metrics::Label;

use crate::domain_metrics::{self, Agent, Phase, RunStatus};

/// Number of tries of an agent before its phase has failed.
const ATTEMPTS: u32 = 3;
/// A run that takes longer begins no further phase.
const RUN_MAX: Duration = Duration::from_secs(600);

/// One run of a job.
#[derive(Debug)]
pub struct Run {
    id: String,
    started: Instant,
    status: RunStatus,
}

impl Run {
    pub fn start(job: &str) -> Self {
        Self::with_id(format!("{job}-{}", std::process::id()))
    }

    pub fn with_id(id: String) -> Self {
        ops_layer::log::bind_context!(run_id = id.as_str());
        domain_metrics::orchestrator_runs_in_flight().add(1.0);
        ops_layer::log::info!("run_started");
        Self {
            id,
            started: Instant::now(),
            status: RunStatus::Failed, // unless it reaches its end
        }
    }

    /// Runs one phase.
    pub fn phase<T>(
        &mut self,
        phase: Phase,
        work: impl FnOnce() -> Result<T, String>,
    ) -> Result<T, String> {
        if self.started.elapsed() > RUN_MAX {
            self.status = RunStatus::Timeout;
            let most = RUN_MAX.as_secs();
            return Err(format!(
                "the run took longer than {most} s before {}",
                phase.text()
            ));
        }
        ops_layer::log::bind_context!(phase = phase.text());
        let timer = domain_metrics::orchestrator_phase_seconds(phase).start_timer();
        let started = Instant::now();
        let result = work();
        drop(timer);
        let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        match &result {
            // the phase again, since a line for people leaves its context out
            Ok(_) => {
                ops_layer::log::info!("phase_finished", phase = phase.text(), took_ms = took_ms);
            }
            Err(why) => ops_layer::log::error!(
                "phase_failed",
                phase = phase.text(),
                took_ms = took_ms,
                error = why.as_str()
            ),
        }
        ops_layer::log::unbind_context(["phase"]);
        result
    }

    /// Runs one phase by an agent, who tries again if it fails.
    pub fn attempt<T>(
        &mut self,
        agent: Agent,
        phase: Phase,
        mut work: impl FnMut() -> Result<T, String>,
    ) -> Result<T, String> {
        self.phase(phase, || {
            for _ in 1..ATTEMPTS {
                match work() {
                    Ok(done) => return Ok(done),
                    Err(why) => {
                        domain_metrics::orchestrator_agent_retries_total(agent, phase).inc();
                        ops_layer::log::warn!("agent_retries", agent = agent.text(), error = why);
                    }
                }
            }
            work()
        })
    }

    /// The run reached its end.
    pub fn finish(mut self) -> Duration {
        self.status = RunStatus::Success;
        self.started.elapsed()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        domain_metrics::orchestrator_runs_total(self.status).inc();
        domain_metrics::orchestrator_runs_in_flight().add(-1.0);
        ops_layer::log::info!(
            "run_finished",
            status = self.status.text(),
            run = self.id.as_str()
        );
        ops_layer::log::unbind_context(["run_id"]);
    }
}
