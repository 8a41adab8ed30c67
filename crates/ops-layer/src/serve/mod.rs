//! One call that runs a service.

mod acceptor;
mod activity;
#[cfg_attr(not(feature = "admin"), path = "absent_admin.rs")]
mod admin;
mod app;
mod body;
mod connection;
mod connections;
mod connections_full;
#[cfg(feature = "admin")]
mod effective_settings;
mod failure;
mod frames;
#[cfg_attr(not(feature = "grpc"), path = "absent_grpc.rs")]
mod grpc;
mod health;
mod host;
mod job;
mod listen;
mod probe;
mod problem;
mod readiness;
mod server;
mod settings;
mod stream;
mod supervisor;
mod tasks;
#[cfg(feature = "admin")]
mod token;

use std::fmt;
use std::future::{Future, IntoFuture};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::time::Duration;

use axum::Router;

pub use health::Health;
pub use job::run;
pub use settings::Addresses;

use crate::{Config, Error, Ops, StopSignal};
use admin::Sections;
use readiness::Check;
use settings::{Admin, Settings, bounded};

/// Runs a service: `ops_layer::serve("my-service", router).await`.
///
/// Starts the operations layer with [`Config::new`], serves until SIGTERM or Ctrl-C, and shuts
/// down in order. Use [`Ops::serve`] to configure it first, or to share its parts with the routes.
///
/// ```no_run
/// use axum::{Router, routing::get};
///
/// #[tokio::main]
/// async fn main() -> Result<(), ops_layer::Error> {
///     let app = Router::new().route("/hello", get(|| async { "hello\n" }));
///     ops_layer::serve("hello", app).await
/// }
/// ```
pub fn serve(service_name: impl Into<String>, router: Router) -> Service {
    Service::new(Start::Config(Box::new(Config::new(service_name))), router)
}

impl Ops {
    /// Runs a service with this router until SIGTERM or Ctrl-C, then shuts the operations layer down, for all its
    /// clones. A service whose start is refused also shuts it down: the start cannot be repeated with the same `Ops`.
    pub fn serve(self, router: Router) -> Service {
        Service::new(Start::Ops(self), router)
    }
}

enum Start {
    Config(Box<Config>),
    Ops(Ops),
}

type OnListening = Box<dyn FnOnce(&Addresses) + Send>;
type Background = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Service that runs when it is awaited.
///
/// # Guarantees
///
/// - The API listens on `HOST` (127.0.0.1) and `PORT` (8000), or on the first socket that
///   systemd passes; the admin page on `OPS_ADMIN_ADDR` (127.0.0.1:8001, `off` for none),
///   or on the second one. Port 0 takes a free port. A value set in code takes precedence.
/// - Each request has a span, an access line and metrics. If a handler panics, the response is 500.
/// - `/healthz`, `/livez`, `/readyz` and `/metrics` are answered, unless the router has that very route. No limit
///   applies to them. With the feature `grpc`, the same holds for `grpc.health.v1.Health`; `grpc` adds tonic services.
/// - A head must be complete within 10 s after its first byte, or after the connection opened. An idle
///   connection is kept for 75 s. A body gets 30 s, and a second more for each 16 KiB that arrived. A client
///   that takes nothing of its response is disconnected after 60 s. At most 10 000 connections are open, or
///   as many as the limit of open files allows; the one that was idle longest makes room for the next.
/// - The admin page has its own thread, runtime, descriptors and limits. An address that is not loopback needs
///   a token of at least 16 characters in `OPS_ADMIN_TOKEN`, or in the file that `OPS_ADMIN_TOKEN_FILE` names.
/// - When asked to stop, `/readyz` turns 503 and clients are asked to leave (`Connection: close`, GOAWAY)
///   while serving continues for the grace period (`OPS_GRACE_SECONDS`, 0; at most four fifths of the time for
///   requests). Then requests in flight and work in the [background](Self::background) finish, and cache
///   writes, spans and lines are written, for which a fifth of the time, at most 5 s, is reserved: all within
///   `OPS_SHUTDOWN_SECONDS` (25). A second signal ends the process immediately, and so does the first one a
///   second after the budget, whatever blocks the program. A service that was never ready has no grace period.
/// - If its future is dropped, for example by a timeout, it closes its listeners and connections immediately.
/// - systemd is notified when the service is ready (its checks passed), alive (`WatchdogSec=`) and stopping.
///
/// A request with no host, several, or an invalid one gets the response 400 (RFC
/// 9112, section 3.2; RFC 9113, section 8.3.1); HTTP/1.0 may omit the host.
///
/// TLS is not included: a proxy in front terminates it. Trace context is accepted from private addresses only.
#[must_use = "a service does nothing unless awaited"]
pub struct Service {
    start: Start,
    router: Router,
    settings: Settings,
    checks: Vec<Check>,
    stop: Option<StopSignal>,
    on_listening: Option<OnListening>,
    sections: Sections,
    calls: grpc::Calls,
    background: Vec<Background>,
}

impl Service {
    fn new(start: Start, router: Router) -> Self {
        Self {
            start,
            router,
            settings: Settings::default(),
            checks: Vec::new(),
            stop: None,
            on_listening: None,
            sections: Sections::default(),
            calls: grpc::Calls::default(),
            background: Vec::new(),
        }
    }

    fn set(mut self, set: impl FnOnce(&mut Settings)) -> Self {
        set(&mut self.settings);
        self
    }

    /// Adds a readiness check. `/readyz` is 200 while no check fails; a check that takes longer than `timeout` (at most
    /// 5 s, the deadline of all checks together) fails. Reasons are shown on the admin page, and logged when checks
    /// begin to fail (`checks_failing`, and `checks_passing` when they pass again), but are not part of the response.
    ///
    /// Checks run concurrently on the runtime of the service: at most twice a second, however many
    /// probes arrive, and in addition every 200 ms until all of them passed for the first time.
    pub fn check<F, R>(
        mut self,
        name: impl Into<String>,
        check: impl Fn() -> F + Send + Sync + 'static,
        timeout: Duration,
    ) -> Self
    where
        F: Future<Output = R> + Send + 'static,
        R: Into<Health>,
    {
        self.checks.push(Check::new(name.into(), timeout, check));
        self
    }

    /// Sets the maximum time from a request to the head of its response, which is 503 afterwards. Unlimited by default.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.set(|settings| settings.timeout = Some(bounded(timeout)))
    }

    /// Sets the maximum number of requests in flight; one more gets 503 with `Retry-After`. Unlimited by default.
    pub fn max_in_flight(self, max: usize) -> Self {
        self.set(|settings| settings.max_in_flight = Some(max))
    }

    /// Sets the maximum number of open connections; defaults to 10 000,
    /// and is never more than the limit of open files allows.
    pub fn max_connections(self, max: usize) -> Self {
        self.set(|settings| settings.max_connections = max.max(1))
    }

    /// Sets the maximum time for the head of a request, on both listeners; defaults to 10 s.
    pub fn head_timeout(self, timeout: Duration) -> Self {
        self.set(|settings| settings.limits.head = bounded(timeout))
    }

    /// Sets the time for which a connection without a request is kept;
    /// defaults to 75 s. Make it longer than the load balancer's own.
    pub fn idle_timeout(self, timeout: Duration) -> Self {
        self.set(|settings| settings.limits.idle = bounded(timeout))
    }

    /// Sets the maximum time for which a client may take nothing of a response before its connection is closed;
    /// defaults to 60 s. An HTTP/2 client that continues to take other responses is asked to leave first.
    pub fn write_timeout(self, timeout: Duration) -> Self {
        self.set(|settings| settings.limits.write = bounded(timeout))
    }

    /// Sets the maximum time to wait for the bytes of a request's body, to which each 16 KiB
    /// add a second, on both listeners; defaults to 30 s. The response is 408 afterwards.
    pub fn body_timeout(self, timeout: Duration) -> Self {
        self.set(|settings| settings.body = bounded(timeout))
    }

    /// Sets the address of the API, instead of `HOST`.
    pub fn host(self, host: IpAddr) -> Self {
        self.set(|settings| settings.host = Some(host))
    }

    /// Sets the port of the API, instead of `PORT`; 0 takes a free one.
    pub fn port(self, port: u16) -> Self {
        self.set(|settings| settings.port = Some(port))
    }

    /// Sets the address of the admin page, instead of `OPS_ADMIN_ADDR`; port 0 takes a free one.
    pub fn admin_addr(self, address: SocketAddr) -> Self {
        self.set(|settings| settings.admin = Some(Admin::At(address)))
    }

    /// Disables the admin page.
    pub fn without_admin(self) -> Self {
        self.set(|settings| settings.admin = Some(Admin::Off))
    }

    /// Sets whether `/debug/pprof/profile` of the admin page serves CPU profiles, instead
    /// of `OPS_ADMIN_PROFILE` (`on` or `off`); off by default. A profile requires the
    /// page's token, takes 1 to 30 s, and samples 99 times a second by SIGPROF.
    ///
    /// ```text
    /// curl -u ops:$OPS_ADMIN_TOKEN 'localhost:8001/debug/pprof/profile?seconds=10' -o cpu.pb.gz
    /// go tool pprof -http : cpu.pb.gz
    /// ```
    #[cfg(feature = "profile")]
    pub fn profile(self, on: bool) -> Self {
        self.set(|settings| settings.profile = Some(on))
    }

    /// Adds a section with this title to the admin page: background work, newest first, each
    /// with its phases on a timeline. The function is called for each `/api/state`, and at
    /// most every second while a page is open; it must return known data without waiting.
    ///
    /// ```no_run
    /// use ops_layer::admin::{Job, JobState, Phase};
    ///
    /// # fn add(service: ops_layer::Service) -> ops_layer::Service {
    /// service.jobs("Imports", || {
    ///     vec![Job::new("1", "import", JobState::Running, 1_763_000_000_000).phase(Phase::running("load"))]
    /// })
    /// # }
    /// ```
    #[cfg(feature = "admin")]
    pub fn jobs(
        mut self,
        title: impl Into<String>,
        jobs: impl Fn() -> Vec<ops_admin::Job> + Send + Sync + 'static,
    ) -> Self {
        self.sections.jobs = Some((title.into(), Box::new(jobs)));
        self
    }

    /// Serves a tonic service on the same port as the routes: `ops.serve(router).grpc(PricesServer::new(prices))`.
    ///
    /// Its calls have spans, access lines and metrics as requests have, with their method and `grpc-status`. An
    /// HTTP error status of the routes, such as 503 for too many requests, reaches a gRPC client as
    /// `grpc-status` with a message. The time limit for a request's body does not apply to streams of a client.
    ///
    /// `grpc.health.v1.Health` responds as `/readyz` does, for the whole server (the empty
    /// name) and for each service: a `Watch` gets changes within a second, and ends when
    /// the service stops. It is served even without any service, unless the router has it.
    ///
    /// A service that is added twice, or is already a route, is refused when the service starts.
    #[cfg(feature = "grpc")]
    pub fn grpc<S>(mut self, service: S) -> Self
    where
        S: tower_service::Service<
                http::Request<tonic::body::Body>,
                Error = std::convert::Infallible,
            > + tonic::server::NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Response: axum::response::IntoResponse,
        S::Future: Send + 'static,
    {
        self.calls.add(service);
        self
    }

    /// Sets the time to keep serving after a stop was requested, instead of `OPS_GRACE_SECONDS`; defaults to 0.
    pub fn grace(self, grace: Duration) -> Self {
        self.set(|settings| settings.grace = Some(bounded(grace)))
    }

    /// Sets the time from the signal to the end, instead of `OPS_SHUTDOWN_SECONDS`; defaults to 25 s.
    pub fn shutdown_budget(self, budget: Duration) -> Self {
        self.set(|settings| settings.shutdown = Some(bounded(budget)))
    }

    /// Stops on this signal, instead of listening for SIGTERM and Ctrl-C.
    pub fn stop(mut self, stop: StopSignal) -> Self {
        self.stop = Some(stop);
        self
    }

    /// Calls this function with the listening addresses, once requests are accepted. If it panics, nothing else ends.
    pub fn on_listening(mut self, call: impl FnOnce(&Addresses) + Send + 'static) -> Self {
        self.on_listening = Some(Box::new(call));
        self
    }

    /// Runs a future beside the requests, spawned once they are
    /// accepted: for example a queue consumer, or a loop that refreshes.
    ///
    /// It should end soon after a [stop](StopSignal): the shutdown waits for it as
    /// for requests in flight, so that its lines and spans are written, and cuts it
    /// off when their time is over. If it ends earlier, or panics, nothing else ends.
    ///
    /// ```no_run
    /// # async fn next_job() {}
    /// # fn add(service: ops_layer::Service) -> std::io::Result<ops_layer::Service> {
    /// let stop = ops_layer::StopSignal::listen()?;
    /// let stopping = stop.clone();
    /// let service = service.stop(stop).background(async move {
    ///     while !stopping.is_raised() {
    ///         tokio::select! {
    ///             () = next_job() => {}
    ///             () = stopping.wait() => {}
    ///         }
    ///     }
    /// });
    /// # Ok(service)
    /// # }
    /// ```
    pub fn background(mut self, work: impl Future<Output = ()> + Send + 'static) -> Self {
        self.background.push(Box::pin(work));
        self
    }
}

impl IntoFuture for Service {
    type Output = Result<(), Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(server::run(self))
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
