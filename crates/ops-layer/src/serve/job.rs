use std::error::Error as StdError;
use std::future::Future;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::ExitCode;
use std::time::Instant;

use super::admin::{AdminThread, Sections};
use super::failure::Failure;
use super::listen;
use super::readiness::Readiness;
use super::settings::{self, Settings};
use super::tasks::Tasks;
use super::{server, supervisor};
use crate::error::chain;
use crate::{Config, Error, Ops, StopSignal};

/// Runs a worker, or a job without HTTP: `ops_layer::run("my-worker", job).await`.
///
/// Starts the operations layer with [`Config::new`], runs the job, and shuts down in order. See [`Ops::run`].
///
/// ```no_run
/// use ops_layer::StopSignal;
///
/// async fn work(stop: StopSignal) -> Result<(), std::io::Error> {
///     stop.wait().await;
///     Ok(())
/// }
///
/// #[tokio::main]
/// async fn main() -> std::process::ExitCode {
///     ops_layer::run("worker", work).await
/// }
/// ```
pub async fn run<J, F, E>(service_name: impl Into<String>, job: J) -> ExitCode
where
    J: FnOnce(StopSignal) -> F,
    F: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<Box<dyn StdError + Send + Sync>> + Send + 'static,
{
    match crate::init(Config::new(service_name)) {
        Ok(ops) => ops.run(job).await,
        Err(error) => refuse(&error),
    }
}

impl Ops {
    /// Runs a job with an admin page until it ends; then writes and sends the pending data of the parts.
    ///
    /// The job gets a signal that SIGTERM and Ctrl-C raise, and should end soon afterwards: it is cut off when its part
    /// of the shutdown budget (`OPS_SHUTDOWN_SECONDS`, 25) is used up. The exit code is 0 if the job returned `Ok`, and
    /// 1 if it failed, panicked or was cut off, each of which is logged. If this future is dropped, so is the job.
    pub async fn run<J, F, E>(self, job: J) -> ExitCode
    where
        J: FnOnce(StopSignal) -> F,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>> + Send + 'static,
    {
        self.begin();
        self.watch_runtime();
        let started = start(&self);
        let (stop, admin, budget) = match started {
            Ok(started) => started,
            Err(error) => {
                return refuse(&server::refused(self, &Settings::default(), error).await);
            }
        };
        let mut asked = None;
        let mut tasks = Tasks::default();
        let made = catch_unwind(AssertUnwindSafe(|| job(stop.clone())));
        let mut running = tasks.spawn(crate::with_context(async move {
            let ended = match made {
                Ok(work) => work.await,
                // ends the task, as a panic of the work itself does
                Err(panic) => resume_unwind(panic),
            };
            // here, because the text of an error is code of the program, too
            ended.map_err(|error| chain(error.into().as_ref()))
        }));
        tasks.spawn(supervisor::keep_watchdog());
        supervisor::ready();
        let ended = tokio::select! {
            ended = &mut running => Some(ended),
            () = stop.wait() => {
                supervisor::stopping();
                tracing::info!(target: "ops_layer", "stopping");
                asked = Some(Instant::now());
                tokio::time::timeout(settings::for_requests(budget), &mut running).await.ok()
            }
        };
        let code = match ended {
            Some(Ok(Ok(()))) => {
                tracing::info!(target: "ops_layer", "job_finished");
                ExitCode::SUCCESS
            }
            Some(Ok(Err(error))) => {
                tracing::error!(target: "ops_layer", error, "job_failed");
                ExitCode::FAILURE
            }
            Some(Err(error)) => {
                tracing::error!(target: "ops_layer", error = %error, "job_failed");
                ExitCode::FAILURE
            }
            None => {
                running.abort();
                tracing::error!(target: "ops_layer", budget_seconds = budget.as_secs_f64(), "job_cut_off");
                ExitCode::FAILURE
            }
        };
        let spent = asked.map_or_else(Default::default, |asked: Instant| asked.elapsed());
        server::end(self, admin, budget.saturating_sub(spent)).await;
        drop(tasks);
        code
    }
}

type Started = (StopSignal, Option<AdminThread>, std::time::Duration);

fn start(ops: &Ops) -> Result<Started, Error> {
    let settings = Settings::default();
    let budget = settings.shutdown()?;
    let stop =
        StopSignal::listen().map_err(|cause| Error::new("serve", Failure::Signals(cause)))?;
    stop.end_within(budget);
    let (socket, taken) = listen::admin(&settings)?;
    let address = socket.as_ref().map(|socket| socket.at.address);
    if let (Some(taken), Some(address)) = (taken, address) {
        listen::report_taken(taken, address);
    }
    tracing::info!(
        target: "ops_layer", service = ops.service(), admin = address.map(tracing::field::display), "job_started"
    );
    let admin = match socket {
        None => None,
        Some(socket) => {
            let readiness = Readiness::new(Vec::new(), tokio::runtime::Handle::current());
            Some(AdminThread::start(
                socket,
                None,
                ops,
                &settings,
                readiness,
                Sections::default(),
            )?)
        }
    };
    Ok((stop, admin, budget))
}

/// Reports the error on standard error, because the log may not have started. A failure to write is ignored.
fn refuse(error: &Error) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "{error:?}");
    ExitCode::FAILURE
}
