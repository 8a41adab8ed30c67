//! One call that runs a service.

mod acceptor;
mod activity;
#[cfg_attr(not(feature = "admin"), path = "absent_admin.rs")]
mod admin;
mod app;
mod body;
mod connection;
mod connections;
mod crowded;
mod failure;
mod frames;
#[cfg_attr(not(feature = "grpc"), path = "absent_grpc.rs")]
mod grpc;
mod health;
mod host;
#[cfg(feature = "admin")]
mod in_force;
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
/// Starts the operations layer with [`Config::new`], serves until SIGTERM or Ctrl-C, and ends it in order. Use
/// [`Ops::serve`] to configure it first, or to share its parts with the routes.
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
    /// Runs a service with this router until SIGTERM or Ctrl-C, then shuts the operations layer down, for all its clones. So does a
    /// service whose start is refused: it cannot be tried again with the same one.
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

/// A service that runs when it is awaited.
///
/// # Guarantees
///
/// - The API answers on `HOST` (127.0.0.1) and `PORT` (8000), or on the first socket that systemd passes; the admin page
///   on `OPS_ADMIN_ADDR` (127.0.0.1:8001, `off` for none), or on the second one. Port 0 takes a free port. A value set in code wins.
/// - Each request has a span, an access line and metrics. A panic of a handler is answered with 500.
/// - `/healthz`, `/livez`, `/readyz` and `/metrics` are answered, except where the router has that very route. They are
///   subject to no limit. With the feature `grpc`, so is `grpc.health.v1.Health`; `grpc` adds tonic services.
/// - A head must be complete within 10 s after its first byte, or after the connection opened; an idle connection is kept for
///   75 s; a body gets 30 s, and a second more for each 16 KiB that arrived; a client that takes nothing of its response is
///   waited for for 60 s. Of 10 000 connections, or as many as the
///   limit of open files allows, the one that was idle for longest makes room for the next.
/// - The admin page has a thread, a runtime, descriptors and limits of its own. An address that is not loopback needs a
///   token of at least 16 characters in `OPS_ADMIN_TOKEN`, or in the file that `OPS_ADMIN_TOKEN_FILE` names.
/// - When asked to stop, `/readyz` turns 503 and clients are asked to go (`Connection: close`, GOAWAY) while serving goes
///   on for the grace period (`OPS_GRACE_SECONDS`, 0; at most four fifths of the time for requests). Then requests in flight
///   and work in the [background](Self::background) are finished, and cache writes, spans and lines are written, for which a
///   fifth of the time is kept, at most 5 s: all within `OPS_SHUTDOWN_SECONDS` (25). A second signal ends the process at once, and so does the first a second after the budget,
///   whatever blocks the program. A service that was never ready has no grace period.
/// - If its future is dropped, for example by a timeout, it closes its listeners and connections at once.
/// - systemd is notified when the service is ready (its checks passed), alive (`WatchdogSec=`) and stopping.
///
/// A request that names no host, several, or one that is none is answered with 400 (RFC 9112, section 3.2; RFC 9113, section 8.3.1);
/// HTTP/1.0 may name none.
///
/// There is no TLS: a proxy in front ends it. Trace context is taken over from private addresses only.
#[must_use = "a service runs when it is awaited"]
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

    /// Adds a readiness check. `/readyz` is 200 while no check fails; an answer that takes longer than `timeout` (at most
    /// 5 s, the deadline of all checks together) is a failure. Reasons are shown on the admin page, and logged when checks begin to
    /// fail (`checks_failing`, and `checks_passing` when they pass again), but not answered.
    ///
    /// Checks run on the runtime of the service, at the same time: at most twice a second, whoever asks, and beside that every
    /// 200 ms until all of them passed for the first time.
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

    /// Maximum time from a request to the head of its response; 503 afterwards. Unlimited unless set.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.set(|settings| settings.timeout = Some(bounded(timeout)))
    }

    /// Maximum number of requests that are answered at a time; 503 with `Retry-After` for one more. Unlimited unless set.
    pub fn max_in_flight(self, max: usize) -> Self {
        self.set(|settings| settings.max_in_flight = Some(max))
    }

    /// Maximum number of open connections; 10 000 unless set, and never more than the limit of open files allows.
    pub fn max_connections(self, max: usize) -> Self {
        self.set(|settings| settings.max_connections = max.max(1))
    }

    /// Maximum time for the head of a request, on both listeners; 10 s unless set.
    pub fn head_timeout(self, timeout: Duration) -> Self {
        self.set(|settings| settings.limits.head = bounded(timeout))
    }

    /// Time for which a connection without a request is kept; 75 s unless set. Keep it longer than the load balancer's own.
    pub fn idle_timeout(self, timeout: Duration) -> Self {
        self.set(|settings| settings.limits.idle = bounded(timeout))
    }

    /// Maximum time for which a client may take nothing of a response that it is sent, before its connection is closed; 60 s
    /// unless set. A client of HTTP/2 that goes on to take other responses is asked to go first.
    pub fn write_timeout(self, timeout: Duration) -> Self {
        self.set(|settings| settings.limits.write = bounded(timeout))
    }

    /// Maximum time to wait for the bytes of a request's body, which each 16 KiB prolong by a second, on both listeners; 30 s
    /// unless set. Answered with 408 afterwards.
    pub fn body_timeout(self, timeout: Duration) -> Self {
        self.set(|settings| settings.body = bounded(timeout))
    }

    /// Address of the API, instead of `HOST`.
    pub fn host(self, host: IpAddr) -> Self {
        self.set(|settings| settings.host = Some(host))
    }

    /// Port of the API, instead of `PORT`; 0 takes a free one.
    pub fn port(self, port: u16) -> Self {
        self.set(|settings| settings.port = Some(port))
    }

    /// Address of the admin page, instead of `OPS_ADMIN_ADDR`; port 0 takes a free one.
    pub fn admin_addr(self, address: SocketAddr) -> Self {
        self.set(|settings| settings.admin = Some(Admin::At(address)))
    }

    /// Serves no admin page.
    pub fn without_admin(self) -> Self {
        self.set(|settings| settings.admin = Some(Admin::Off))
    }

    /// Answers `/debug/pprof/profile` of the admin page with CPU profiles, instead of `OPS_ADMIN_PROFILE` (`on` or `off`); off
    /// unless set. A profile is given with the page's token only, takes 1 to 30 s, and samples 99 times a second by SIGPROF.
    ///
    /// ```text
    /// curl -u ops:$OPS_ADMIN_TOKEN 'localhost:8001/debug/pprof/profile?seconds=10' -o cpu.pb.gz
    /// go tool pprof -http : cpu.pb.gz
    /// ```
    #[cfg(feature = "profile")]
    pub fn profile(self, on: bool) -> Self {
        self.set(|settings| settings.profile = Some(on))
    }

    /// Adds a section with this title to the admin page: work in the background, newest first, each with its phases on a
    /// timeline. The function is called for each `/api/state`, and at most every second while a page is open; it returns what
    /// is known, and waits for nothing.
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
    /// Its calls have spans, access lines and metrics as requests have, with their method and `grpc-status`. What the routes
    /// answer with a status of HTTP, such as 503 for too many requests, reaches a gRPC client as `grpc-status` with a message.
    /// The limit of time for a request's body does not hold for streams of a client.
    ///
    /// `grpc.health.v1.Health` answers as `/readyz` does, for the whole server (the empty name) and for each service: a
    /// `Watch` gets changes within a second, and its end when the service stops. It is served without any service, too, unless
    /// the router has it.
    ///
    /// A service that is added twice, or is a route already, is refused when the service starts.
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

    /// Time to go on serving after a stop was asked for, instead of `OPS_GRACE_SECONDS`; 0 unless set.
    pub fn grace(self, grace: Duration) -> Self {
        self.set(|settings| settings.grace = Some(bounded(grace)))
    }

    /// Time for everything between the signal and the end, instead of `OPS_SHUTDOWN_SECONDS`; 25 s unless set.
    pub fn shutdown_budget(self, budget: Duration) -> Self {
        self.set(|settings| settings.shutdown = Some(bounded(budget)))
    }

    /// Stops on this signal, instead of listening for SIGTERM and Ctrl-C.
    pub fn stop(mut self, stop: StopSignal) -> Self {
        self.stop = Some(stop);
        self
    }

    /// Calls this function once requests are accepted, with the addresses that are answered on. A panic of it ends nothing else.
    pub fn on_listening(mut self, call: impl FnOnce(&Addresses) + Send + 'static) -> Self {
        self.on_listening = Some(Box::new(call));
        self
    }

    /// Runs a future beside the requests, spawned once they are accepted: a consumer of a queue, a loop that refreshes.
    ///
    /// It should end itself soon after a [stop](StopSignal): it is waited for as requests in flight are, so that its lines and
    /// spans are written, and cut off when their time is over. One that ends earlier, or panics, ends nothing else.
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
