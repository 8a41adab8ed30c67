//! Running service, from its sockets to its end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use axum::Router;
use tokio::task::JoinHandle;

use super::acceptor::{Acceptor, Spare};
use super::admin::{self, AdminThread, Sections};
use super::app;
use super::connections::{Connections, Phase};
use super::connections_full;
use super::failure::Failure;
use super::grpc;
use super::listen::Listeners;
use super::readiness::{Check, Readiness};
use super::settings::{self, Addresses, Settings};
use super::supervisor;
use super::tasks::Tasks;
use super::{Background, OnListening, Service, Start};
use crate::{Error, Ops, StopSignal};

/// Number of descriptors that a process needs besides its connections: files, sockets of clients, the runtime.
const DESCRIPTORS_OF_OTHERS: u64 = 24;

pub(super) async fn run(service: Service) -> Result<(), Error> {
    let Service {
        start,
        router,
        settings,
        checks,
        stop,
        on_listening,
        sections,
        calls,
        background,
    } = service;
    let (early, ops) = begin(start, stop, &settings).await?;
    let EarlySetup {
        times,
        stop,
        listeners,
    } = early;
    let prepared = prepare(&ops, listeners, &settings, checks, router, calls, sections);
    let prepared = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return Err(refused(ops, &settings, error).await),
    };
    log_start(&ops, &prepared, &times);
    let running = Running::start(ops, prepared, on_listening, background);
    stop.wait().await;
    running.stop(&times).await;
    Ok(())
}

/// Checks the settings, binds the sockets and starts the operations layer, unless it was started before.
async fn begin(
    start: Start,
    stop: Option<StopSignal>,
    settings: &Settings,
) -> Result<(EarlySetup, Ops), Error> {
    if let Start::Ops(ops) = &start {
        ops.begin();
    }
    match (set_up_early(settings, stop), start) {
        (Ok(early), Start::Ops(ops)) => Ok((early, ops)),
        (Ok(early), Start::Config(config)) => {
            let ops = crate::init(*config)?;
            ops.begin();
            Ok((early, ops))
        }
        (Err(error), Start::Ops(ops)) => Err(refused(ops, settings, error).await),
        (Err(error), Start::Config(_)) => Err(error),
    }
}

fn log_start(ops: &Ops, prepared: &Prepared, times: &Times) {
    tracing::info!(
        target: "ops_layer",
        service = ops.service(),
        address = %prepared.addresses.api,
        admin = prepared.addresses.admin.map(tracing::field::display),
        max_connections = prepared.acceptor.max_connections,
        "listening"
    );
    if let Some(wanted) = times.shortened {
        tracing::warn!(
            target: "ops_layer",
            wanted_seconds = wanted.as_secs_f64(),
            grace_seconds = times.grace.as_secs_f64(),
            budget_seconds = times.budget.as_secs_f64(),
            hint = "requests need time after the grace period: raise the shutdown budget",
            "grace_period_shortened"
        );
    }
}

/// Service that accepts connections. Its tasks end before the operations layer if it is dropped.
struct Running {
    tasks: Tasks,
    work: Work,
    /// Waits until the service is ready, and reports it to the supervisor.
    first_ready: JoinHandle<()>,
    admin: Option<AdminThread>,
    readiness: Readiness,
    ops: Ops,
}

impl Running {
    fn start(
        ops: Ops,
        prepared: Prepared,
        on_listening: Option<OnListening>,
        background: Vec<Background>,
    ) -> Self {
        let Prepared {
            readiness,
            admin,
            addresses,
            acceptor,
            api,
        } = prepared;
        let connections = acceptor.connections.clone();
        connections_full::watch(&ops, &connections, acceptor.max_connections);
        let mut tasks = Tasks::of(&connections);
        let accepting = tasks.spawn(acceptor.run(api));
        tasks.spawn(supervisor::keep_watchdog());
        let first_ready = tasks.spawn({
            let readiness = readiness.clone();
            async move {
                readiness.first_ready().await;
                supervisor::ready();
            }
        });
        if let Some(on_listening) = on_listening {
            // the panic is logged
            let _ = catch_unwind(AssertUnwindSafe(|| on_listening(&addresses)));
        }
        let background = background.into_iter();
        let background = background.map(|work| tasks.spawn(crate::with_context(work)));
        let work = Work {
            accepting,
            connections,
            background: background.collect(),
        };
        Self {
            tasks,
            work,
            first_ready,
            admin,
            readiness,
            ops,
        }
    }

    /// Drains the service and ends it, after a stop was requested.
    async fn stop(self, times: &Times) {
        let stop_requested = Instant::now();
        self.first_ready.abort();
        supervisor::stopping();
        // a service that was never ready has no clients that have to notice
        let grace = match self.readiness.was_ready() {
            true => times.grace,
            false => Duration::ZERO,
        };
        self.readiness.drain();
        let connections = self.work.connections.clone();
        connections.set_phase(Phase::Draining);
        tracing::info!(target: "ops_layer", grace_seconds = grace.as_secs_f64(), "stopping");
        tokio::time::sleep(grace).await;
        connections.set_phase(Phase::Closing);
        self.work.finish(times.budget, stop_requested).await;
        let left = times.budget.saturating_sub(stop_requested.elapsed());
        end(self.ops, self.admin, left).await;
        drop(self.tasks);
    }
}

/// Work that continues after a stop was requested.
struct Work {
    accepting: JoinHandle<()>,
    connections: Connections,
    background: Vec<JoinHandle<()>>,
}

impl Work {
    /// Waits for requests and background futures within their part of the budget,
    /// which began when the stop was requested, and cuts off those that take longer.
    async fn finish(mut self, budget: Duration, stop_requested: Instant) {
        let left = settings::for_requests(budget).saturating_sub(stop_requested.elapsed());
        if tokio::time::timeout(left, self.ended()).await.is_err() {
            self.cut_off(budget);
        }
    }

    async fn ended(&mut self) {
        // they end on their own; a panic is logged
        let _ = (&mut self.accepting).await;
        self.connections.all_left().await;
        for work in &mut self.background {
            let _ = work.await;
        }
    }

    fn cut_off(&self, budget: Duration) {
        let cut_off = self.connections.cut_off();
        if cut_off > 0 {
            tracing::warn!(
                target: "ops_layer", connections = cut_off, budget_seconds = budget.as_secs_f64(), "requests_cut_off"
            );
        }
        let at_work = self.background.iter().filter(|work| !work.is_finished());
        let at_work = at_work.inspect(|work| work.abort()).count();
        if at_work > 0 {
            tracing::warn!(
                target: "ops_layer", futures = at_work, budget_seconds = budget.as_secs_f64(), "background_cut_off"
            );
        }
    }
}

/// Settings, signals and sockets of a service, which are prepared before the operations layer.
struct EarlySetup {
    times: Times,
    stop: StopSignal,
    listeners: Listeners,
}

/// Times that a stop may take.
struct Times {
    grace: Duration,
    /// Requested grace period, if there is no time for it.
    shortened: Option<Duration>,
    budget: Duration,
}

fn set_up_early(settings: &Settings, stop: Option<StopSignal>) -> Result<EarlySetup, Error> {
    let times = Times {
        grace: settings.grace()?,
        budget: settings.shutdown()?,
        shortened: settings.grace_shortened()?,
    };
    // before anything that takes time, so that a stop requested meanwhile is not missed
    let stop = match stop {
        Some(stop) => stop,
        None => {
            StopSignal::listen().map_err(|cause| Error::new("serve", Failure::Signals(cause)))?
        }
    };
    stop.end_within(times.budget);
    let listeners = Listeners::bind(settings)?;
    Ok(EarlySetup {
        times,
        stop,
        listeners,
    })
}

/// Logs why a start is refused, and ends what was started before, unless another
/// service or job runs on it. A refused start is not a crash, and its lines are kept.
pub(super) async fn refused(ops: Ops, settings: &Settings, error: Error) -> Error {
    ops.refuse_one(&error, settings.final_write_budget()).await;
    error
}

/// Parts of a service whose start can no longer be refused.
struct Prepared {
    readiness: Readiness,
    admin: Option<AdminThread>,
    addresses: Addresses,
    acceptor: Acceptor,
    api: tokio::net::TcpListener,
}

fn prepare(
    ops: &Ops,
    listeners: Listeners,
    settings: &Settings,
    checks: Vec<Check>,
    router: Router,
    calls: grpc::Calls,
    sections: Sections,
) -> Result<Prepared, Error> {
    ops.watch_runtime();
    let readiness = Readiness::new(checks, tokio::runtime::Handle::current());
    let mount = calls
        .mount(router, &readiness)
        .map_err(|failure| Error::new("serve", failure))?;
    listeners.report();
    let (addresses, at) = (listeners.addresses(), listeners.api.at);
    let api = tokio::net::TcpListener::from_std(listeners.api.listener)
        .map_err(|cause| Error::new("serve", Failure::Passed(cause)))?;
    // last: its thread ends only with the service
    let admin = match listeners.admin {
        Some(socket) => Some(AdminThread::start(
            socket,
            Some(at),
            ops,
            settings,
            readiness.clone(),
            sections,
        )?),
        None => None,
    };
    let acceptor = Acceptor {
        name: "api",
        app: app::compose(mount, ops, settings, readiness.clone()),
        limits: settings.limits,
        max_connections: max_connections(settings.max_connections),
        spare: Spare::new(0),
        connections: Connections::new(),
    };
    Ok(Prepared {
        readiness,
        admin,
        addresses,
        acceptor,
        api,
    })
}

/// Writes and sends the pending data of the parts, then closes the admin page.
pub(super) async fn end(ops: Ops, admin: Option<AdminThread>, budget: Duration) {
    ops.shutdown(budget).await;
    if let Some(admin) = admin {
        admin.end().await;
    }
}

/// Returns the limit, lowered to what the operating system allows besides everything else that the process opens.
pub(super) fn max_connections(wanted: usize) -> usize {
    let allowed = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let Some(allowed) = allowed else {
        return wanted; // unlimited
    };
    let of_admin = (admin::MAX_CONNECTIONS / 2 + admin::SPARE_DESCRIPTORS) as u64;
    let reserved = (DESCRIPTORS_OF_OTHERS + of_admin).max(allowed / 8);
    let left = allowed.saturating_sub(reserved).max(8);
    usize::try_from(left).map_or(wanted, |left| wanted.min(left))
}
