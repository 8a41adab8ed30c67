use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use ops_layer::StopSignal;
use ops_layer::log::{bind_context, error, info, warn};
use ops_layer::metrics::Label;
use ops_layer::trace::{Span, SpanIds, get_current_trace_id, span, with_trace_context};
use tokio::sync::RwLock;
use tokio::time::timeout;

use super::agents;
use super::progress::Progress;
use crate::domain_metrics::{self, Agent, Phase};
use crate::error::{Error, Kind, Result, chain};
use crate::orchestrator::{PhaseRecord, Record, Status, now};
use crate::platform::Platform;
use crate::registry::Dataset;

/// Pauses before the second and third attempt of an agent; after the third one the phase fails.
const PAUSES: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(1)];
/// Maximum duration of a run; a longer one ends as `timeout`.
const RUN_MAX: Duration = Duration::from_secs(600);
/// Maximum wait for agents still at work after a run ended early; exceeded only if a file system hangs.
const AGENT_MAX: Duration = Duration::from_secs(60);

/// Signals that end a run early.
#[derive(Clone, Debug)]
pub struct Signals {
    /// Signal that cancels this run.
    pub cancel: StopSignal,
    /// Signal that stops the process.
    pub stopping: StopSignal,
}

/// Executes a job and returns its record, which is saved at each step. `request` is the span of the caller: the run has
/// its own trace, with a link to that span.
pub async fn execute(
    platform: Arc<Platform>,
    record: Record,
    signals: Signals,
    request: Option<SpanIds>,
    progress: Progress,
) -> Record {
    let run_id = record.run_id.to_string();
    bind_context!(run_id = run_id.as_str(), phase = Phase::Ingest.text());
    if let Some(client) = &record.client {
        bind_context!(client = client.as_str());
    }
    let span = span!(links: request, "orchestrator.run", run_id = run_id.as_str(), job = record.job.name());
    if let Some(client) = &record.client {
        span.set_attribute("client", client.as_str().to_owned());
    }
    let crew = Arc::new(Crew {
        platform,
        retries: AtomicU32::new(0),
        at_work: Arc::default(),
        progress,
    });
    let run = Run {
        record,
        signals,
        crew,
        started: Instant::now(),
    };
    let current = entered(&span, run.run());
    let (record, result) = current.await;
    fail(&span, result.as_ref().err());
    record
}

/// A run in progress.
struct Run {
    record: Record,
    signals: Signals,
    crew: Arc<Crew>,
    started: Instant,
}

/// Shared state of the agents of one run.
pub struct Crew {
    pub platform: Arc<Platform>,
    retries: AtomicU32,
    /// Read lock held by each thread that works for an agent.
    at_work: Arc<RwLock<()>>,
    progress: Progress,
}

impl Run {
    async fn run(mut self) -> (Record, Result<()>) {
        let in_flight = InFlight::begin();
        self.record.status = Status::Running;
        self.record.started_at = Some(now());
        let trace_id = get_current_trace_id();
        self.record.trace_id = (trace_id != "no-trace").then_some(trace_id);
        self.save().await;
        info!("run_started", job = self.record.job.name());
        let result = self.steps().await;
        self.wait_for_agents().await;
        self.record.retries = self.crew.retries.load(Ordering::Relaxed);
        let took = self.started.elapsed();
        self.record.took_ms = Some(millis(took));
        let status = self.status_of(result.as_ref().err());
        let why = result.as_ref().err().map(|error| chain(error));
        self.record.end(status, why.clone());
        // visible to everyone before it is counted
        self.save().await;
        drop(in_flight);
        if let Some(outcome) = status.outcome() {
            domain_metrics::orchestrator_runs_total(outcome).inc();
        }
        let (job, status) = (self.record.job.name(), status.as_str());
        let took_ms = millis(took);
        match why {
            None => info!(
                "run_finished",
                job = job,
                status = status,
                took_ms = took_ms
            ),
            Some(why) => error!(
                "run_finished",
                job = job,
                status = status,
                took_ms = took_ms,
                error = why
            ),
        }
        (self.record, result.map(drop))
    }

    async fn steps(&mut self) -> Result<()> {
        let (crew, job) = (self.crew.clone(), self.record.job);
        self.phase(Phase::Ingest, agents::ingest(&crew)).await?;
        let profile = self.phase(Phase::Profile, agents::profile(&crew)).await?;
        let rows = match job.analysis() {
            None => None,
            Some(sql) => Some(
                self.phase(Phase::Analyze, agents::analyze(&crew, sql))
                    .await?,
            ),
        };
        let record = self.record.clone();
        let published: Option<Dataset> = self
            .phase(
                Phase::Publish,
                agents::publish(&crew, &record, profile, rows),
            )
            .await?;
        self.record.result = published;
        Ok(())
    }

    async fn phase<T>(&mut self, phase: Phase, work: impl Future<Output = Result<T>>) -> Result<T> {
        bind_context!(phase = phase.text());
        self.record.phase = Some(phase.text().to_owned());
        self.record.retries = self.crew.retries.load(Ordering::Relaxed);
        self.save().await;
        info!("phase_started");
        let timer = domain_metrics::orchestrator_phase_seconds(phase).start_timer();
        let started = Instant::now();
        let span = span!("orchestrator.phase", phase = phase.text());
        let result = within(span, self.until_stopped(phase, work)).await;
        drop(timer);
        let took_ms = millis(started.elapsed());
        self.record.phases.push(PhaseRecord {
            phase: phase.text().to_owned(),
            took_ms,
            ok: result.is_ok(),
        });
        let line = |how: &str| format!("{:8} {how} after {took_ms} ms", phase.text());
        match &result {
            // the phase is repeated here, since console lines omit the context
            Ok(_) => {
                info!("phase_finished", phase = phase.text(), took_ms = took_ms);
                self.crew.progress.line(&line("done"));
            }
            Err(why) => {
                let why = chain(why);
                self.crew.progress.line(&line(&format!("failed: {why}")));
                error!(
                    "phase_failed",
                    phase = phase.text(),
                    took_ms = took_ms,
                    error = why
                );
            }
        }
        result
    }

    /// Runs a phase until it ends or the run is stopped. The last phase is short and not interrupted, so that results
    /// are published as a whole.
    async fn until_stopped<T>(
        &self,
        phase: Phase,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let left = RUN_MAX.saturating_sub(self.started.elapsed());
        let cancelled = |why: &str| Err(Error::new(Kind::Cancelled, why));
        if self.signals.cancel.is_raised() {
            return cancelled("the run was cancelled");
        }
        if self.signals.stopping.is_raised() {
            return cancelled("the process is shutting down");
        }
        if phase == Phase::Publish {
            return work.await;
        }
        tokio::select! {
            biased;
            () = self.signals.cancel.wait() => cancelled("the run was cancelled"),
            () = self.signals.stopping.wait() => cancelled("the process is shutting down"),
            result = work => result,
            () = tokio::time::sleep(left) => {
                let most = RUN_MAX.as_secs();
                Err(Error::new(Kind::Timeout, format!("the run took longer than {most} s")))
            }
        }
    }

    /// Waits for agents whose work cannot be undone, so that a finished run changes nothing more. Skipped when the
    /// process stops, as their writes are transactions.
    async fn wait_for_agents(&self) {
        tokio::select! {
            biased;
            () = self.signals.stopping.wait() => {}
            waited = timeout(AGENT_MAX, self.crew.at_work.write()) => if waited.is_err() {
                warn!("agent_still_works", waited_s = AGENT_MAX.as_secs());
            },
        }
    }

    fn status_of(&self, error: Option<&Error>) -> Status {
        match error.map(Error::kind) {
            None => Status::Success,
            Some(Kind::Cancelled) if self.signals.cancel.is_raised() => Status::Cancelled,
            Some(Kind::Cancelled) => Status::Interrupted,
            Some(Kind::Timeout) => Status::Timeout,
            Some(_) => Status::Failed,
        }
    }

    /// Saves the record. If that fails, the run continues: the log has the same information.
    async fn save(&self) {
        let (platform, record) = (self.crew.platform.clone(), self.record.clone());
        let saved = blocking(move || platform.queue.runs().save(&record)).await;
        if let Err(error) = saved {
            warn!("run_not_recorded", error = chain(&error));
        }
    }
}

impl Crew {
    /// Runs blocking work of an agent on another thread. The work continues even if its caller is dropped.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let at_work = self.at_work.clone().read_owned().await;
        blocking(move || {
            let result = work();
            drop(at_work);
            result
        })
        .await
    }

    /// Runs the work of an agent, with retries.
    pub async fn attempt<T, F: Future<Output = Result<T>>>(
        &self,
        agent: Agent,
        phase: Phase,
        mut work: impl FnMut() -> F,
    ) -> Result<T> {
        let span = span!(
            "orchestrator.agent",
            agent = agent.text(),
            phase = phase.text()
        );
        let started = Instant::now();
        let result = within(span, async {
            for pause in PAUSES {
                match work().await {
                    Ok(done) => return Ok(done),
                    Err(why) => {
                        domain_metrics::orchestrator_agent_retries_total(agent, phase).inc();
                        self.retries.fetch_add(1, Ordering::Relaxed);
                        let (why, pause_ms) = (chain(&why), millis(pause));
                        warn!(
                            "agent_retries",
                            agent = agent.text(),
                            pause_ms = pause_ms,
                            error = why
                        );
                        tokio::time::sleep(pause).await;
                    }
                }
            }
            work().await
        })
        .await;
        let took_ms = millis(started.elapsed());
        match &result {
            Ok(_) => info!("agent_finished", agent = agent.text(), took_ms = took_ms),
            Err(why) => error!(
                "agent_failed",
                agent = agent.text(),
                took_ms = took_ms,
                error = chain(why)
            ),
        }
        let how = if result.is_ok() { "done" } else { "failed" };
        let line = format!(
            "{:8} {} {how} after {took_ms} ms",
            phase.text(),
            agent.text()
        );
        self.progress.line(&line);
        result
    }
}

/// Runs blocking work on a separate thread, in this context and span.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match ops_layer::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Error::new(Kind::Run, "the task ended unexpectedly").because(error)),
    }
}

/// Runs the work inside the span, and marks the span as failed if the work fails.
async fn within<T>(span: Span, work: impl Future<Output = Result<T>>) -> Result<T> {
    let result = entered(&span, work).await;
    fail(&span, result.as_ref().err());
    result
}

fn fail(span: &Span, error: Option<&Error>) {
    if let Some(error) = error {
        span.set_error_with(format!("{:?}", error.kind()).to_lowercase(), chain(error));
    }
}

fn entered<F: Future>(span: &Span, work: F) -> impl Future<Output = F::Output> + use<F> {
    let _current = span.enter();
    with_trace_context(work)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Guard that counts a run as in flight until it is dropped.
struct InFlight;

impl InFlight {
    fn begin() -> Self {
        domain_metrics::orchestrator_runs_in_flight().add(1.0);
        Self
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        domain_metrics::orchestrator_runs_in_flight().add(-1.0);
    }
}
