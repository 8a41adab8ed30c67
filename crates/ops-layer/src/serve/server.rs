//! A running service, from its sockets to its end.

use std::time::{Duration, Instant};

use super::acceptor::{Acceptor, Spare};
use super::admin::{self, AdminThread};
use super::app;
use super::connections::{Connections, Phase};
use super::crowded;
use super::failure::Failure;
use super::listen::Listeners;
use super::readiness::Readiness;
use super::settings;
use super::supervisor;
use super::tasks::Tasks;
use super::{Service, Start};
use crate::{Error, Ops, StopSignal};

/// Descriptors that a process needs besides its connections: files, sockets of clients, the runtime.
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
    let (grace, budget) = (settings.grace()?, settings.shutdown()?);
    // before anything that takes time: a stop that is asked for meanwhile is not missed
    let stop = match stop {
        Some(stop) => stop,
        None => {
            StopSignal::listen().map_err(|cause| Error::new("serve", Failure::Signals(cause)))?
        }
    };
    stop.end_within(budget);
    let listeners = Listeners::bind(&settings)?;
    let ops = match start {
        Start::Ops(ops) => ops,
        Start::Config(config) => crate::init(*config)?,
    };
    ops.watch_runtime();
    let readiness = Readiness::new(checks, tokio::runtime::Handle::current());
    let mount = calls
        .mount(router, &readiness)
        .map_err(|failure| Error::new("serve", failure))?;
    listeners.report();
    let (addresses, at) = (listeners.addresses(), listeners.api.at);
    let admin = match listeners.admin {
        Some(socket) => Some(AdminThread::start(
            socket,
            Some(at),
            &ops,
            &settings,
            readiness.clone(),
            sections,
        )?),
        None => None,
    };
    let connections = Connections::new();
    let acceptor = Acceptor {
        name: "api",
        app: app::compose(mount, &ops, &settings, readiness.clone()),
        limits: settings.limits,
        max_connections: max_connections(settings.max_connections),
        spare: Spare::new(0),
        connections: connections.clone(),
    };
    let api = tokio::net::TcpListener::from_std(listeners.api.listener)
        .map_err(|cause| Error::new("serve", Failure::Passed(cause)))?;
    tracing::info!(
        target: "ops_layer",
        service = ops.service(),
        address = %addresses.api,
        admin = addresses.admin.map(tracing::field::display),
        max_connections = acceptor.max_connections,
        "listening"
    );
    if let Some(wanted) = settings.grace_shortened()? {
        tracing::warn!(
            target: "ops_layer",
            wanted_seconds = wanted.as_secs_f64(),
            grace_seconds = grace.as_secs_f64(),
            budget_seconds = budget.as_secs_f64(),
            hint = "requests need time behind it: raise the shutdown budget",
            "grace_period_shortened"
        );
    }
    crowded::watch(&ops, &connections, acceptor.max_connections);
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
        on_listening(&addresses);
    }
    let background = background
        .into_iter()
        .map(|work| tasks.spawn(crate::with_context(work)));
    let mut background: Vec<_> = background.collect();

    stop.wait().await;
    let asked = Instant::now();
    first_ready.abort();
    supervisor::stopping();
    // clients of a service that was never ready have nothing to notice
    let grace = if readiness.was_ready() {
        grace
    } else {
        Duration::ZERO
    };
    readiness.drain();
    connections.set_phase(Phase::Draining);
    tracing::info!(target: "ops_layer", grace_seconds = grace.as_secs_f64(), "stopping");
    let for_requests = || settings::for_requests(budget).saturating_sub(asked.elapsed());
    tokio::time::sleep(grace).await;
    connections.set_phase(Phase::Closing);
    let drained = async {
        // they end by themselves; a panic of one is a line of the log
        let _ = accepting.await;
        connections.all_left().await;
        for work in &mut background {
            let _ = work.await;
        }
    };
    if tokio::time::timeout(for_requests(), drained).await.is_err() {
        let cut_off = connections.cut_off();
        if cut_off > 0 {
            tracing::warn!(
                target: "ops_layer", connections = cut_off, budget_seconds = budget.as_secs_f64(), "requests_cut_off"
            );
        }
        let at_work = background.iter().filter(|work| !work.is_finished());
        let at_work = at_work.inspect(|work| work.abort()).count();
        if at_work > 0 {
            tracing::warn!(
                target: "ops_layer", futures = at_work, budget_seconds = budget.as_secs_f64(), "background_cut_off"
            );
        }
    }
    end(ops, admin, budget.saturating_sub(asked.elapsed())).await;
    drop(tasks);
    Ok(())
}

/// Writes and sends what the parts still hold, then closes the admin page.
pub(super) async fn end(ops: Ops, admin: Option<AdminThread>, budget: Duration) {
    ops.shutdown(budget).await;
    // joins its thread
    let _ = tokio::task::spawn_blocking(move || drop(admin)).await;
}

/// Returns the limit, lowered to what the operating system allows beside everything else that the process opens.
pub(super) fn max_connections(wanted: usize) -> usize {
    let allowed = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let Some(allowed) = allowed else {
        return wanted; // no limit
    };
    let of_admin = (admin::MAX_CONNECTIONS / 2 + admin::SPARE_DESCRIPTORS) as u64;
    let reserved = (DESCRIPTORS_OF_OTHERS + of_admin).max(allowed / 8);
    let left = allowed.saturating_sub(reserved).max(8);
    usize::try_from(left).map_or(wanted, |left| wanted.min(left))
}
