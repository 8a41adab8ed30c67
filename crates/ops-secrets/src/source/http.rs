//! HTTP requests to a store, from a thread that may block.

use std::io::ErrorKind;
use std::process;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use ureq::Timeout;
use ureq::http::{Request, StatusCode};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{ConnectionDetails, Connector, NextTimeout, TcpConnector};
use zeroize::Zeroizing;

use crate::error::ErrorKind as Kind;
use crate::source::FetchError;

/// Maximum size of a response.
const MAX_ANSWER_BYTES: u64 = 4 * 1024 * 1024;

/// Maximum wait for a connection, without TLS: Linux resends a lost first packet after one second.
const CONNECT: Duration = Duration::from_millis(2500);

/// Client of one store; clones share their connections.
#[derive(Clone)]
pub(crate) struct HttpClient(Arc<PerProcess>);

struct PerProcess {
    settings: ureq::config::Config,
    /// Connections, and the process that created them: a forked child that
    /// used its parent's connections would get the parent's responses.
    agent: Mutex<Option<(u32, ureq::Agent)>>,
}

impl HttpClient {
    pub(crate) fn new(settings: ureq::config::ConfigBuilder<ureq::typestate::AgentScope>) -> Self {
        Self(Arc::new(PerProcess {
            settings: settings.build(),
            agent: Mutex::new(None),
        }))
    }

    fn agent(&self) -> ureq::Agent {
        let mut current = self.0.agent.lock();
        match current
            .as_ref()
            .filter(|(made_by, _)| *made_by == process::id())
        {
            Some((_, agent)) => agent.clone(),
            None => {
                let connector = Limited(TcpConnector::default());
                #[cfg(feature = "vault-tls")]
                let connector =
                    connector.chain(ureq::unversioned::transport::RustlsConnector::default());
                let settings = self.0.settings.clone();
                let agent =
                    ureq::Agent::with_parts(settings, connector, DefaultResolver::default());
                // leave the parent's connections alone: closing them here would end them in the parent
                std::mem::forget(current.replace((process::id(), agent.clone())));
                agent
            }
        }
    }
}

/// Connector that waits at most [`CONNECT`], and at most half of the request's timeout. The
/// client's own limit would include TLS, although a server with a slow handshake is reachable.
#[derive(Debug)]
struct Limited(TcpConnector);

impl Connector for Limited {
    type Out = <TcpConnector as Connector>::Out;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<()>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let whole = details.config.timeouts().global;
        let limit = whole.map_or(CONNECT, |whole| CONNECT.min(whole / 2));
        // a slow lookup of the host name may have left less time, which is not the server's fault
        let is_ours = limit < *details.timeout.after;
        let timeout = match is_ours {
            true => NextTimeout {
                after: limit.into(),
                reason: Timeout::Connect,
                ..details.timeout
            },
            false => details.timeout,
        };
        let details = ConnectionDetails {
            uri: details.uri,
            addrs: details.addrs.clone(),
            config: details.config,
            request_level: details.request_level,
            resolver: details.resolver,
            now: details.now,
            timeout,
            current_time: Arc::clone(&details.current_time),
            run_connector: Arc::clone(&details.run_connector),
            register_shutdown: Arc::clone(&details.register_shutdown),
        };
        let connected = self.0.connect(&details, chained);
        connected.map_err(|error| match error {
            ureq::Error::Timeout(_) => ureq::Error::Timeout(timeout.reason),
            error => error,
        })
    }
}

/// Returns the settings of every client.
pub(crate) fn settings() -> ureq::config::ConfigBuilder<ureq::typestate::AgentScope> {
    // a redirect or a proxy from the environment would forward the token to a third party
    ureq::Agent::config_builder()
        .proxy(None)
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
}

/// Sends a request within the time left until the deadline; returns the response whatever its status.
pub(crate) async fn exchange(
    client: &HttpClient,
    request: Request<()>,
    body: Option<Zeroizing<String>>,
    until: Instant,
) -> Result<(StatusCode, Zeroizing<Vec<u8>>), FetchError> {
    let agent = client.agent();
    let sent = tokio::task::spawn_blocking(move || blocking(&agent, request, body, until)).await;
    let given_up = |_| FetchError::failed(Kind::Transient, "the request was aborted");
    sent.map_err(given_up)?
}

fn blocking(
    agent: &ureq::Agent,
    request: Request<()>,
    body: Option<Zeroizing<String>>,
    until: Instant,
) -> Result<(StatusCode, Zeroizing<Vec<u8>>), FetchError> {
    let left = until.saturating_duration_since(Instant::now());
    let left = left.max(Duration::from_millis(1));
    let answer = match body {
        Some(body) => {
            let request = request.map(|()| body.as_bytes());
            let request = agent.configure_request(request).timeout_global(Some(left));
            agent.run(request.build())
        }
        None => {
            let request = agent.configure_request(request).timeout_global(Some(left));
            agent.run(request.build())
        }
    };
    let mut answer = answer.map_err(|error| network(&error))?;
    let body = answer.body_mut().with_config().limit(MAX_ANSWER_BYTES);
    let body = body.read_to_vec().map_err(|error| network(&error))?;
    Ok((answer.status(), Zeroizing::new(body)))
}

/// Classifies a failure: no server was reached, or the response was interrupted.
fn network(error: &ureq::Error) -> FetchError {
    use ureq::Error;
    match error {
        Error::Timeout(Timeout::Connect) => {
            FetchError::unreachable(Kind::Unavailable, "connection timed out")
        }
        Error::Timeout(_) => FetchError::failed(Kind::Transient, "no response within the deadline"),
        Error::BodyExceedsLimit(_) => {
            FetchError::failed(Kind::Malformed, "the response exceeds the limit of 4 MiB")
        }
        // a server was reached: the next connection may work
        Error::Io(error)
            if matches!(
                error.kind(),
                ErrorKind::ConnectionReset
                    | ErrorKind::ConnectionAborted
                    | ErrorKind::BrokenPipe
                    | ErrorKind::UnexpectedEof
            ) =>
        {
            FetchError::failed(Kind::Transient, error.to_string())
        }
        Error::HostNotFound | Error::ConnectionFailed | Error::Io(_) | Error::Tls(_) => {
            FetchError::unreachable(Kind::Unavailable, error.to_string())
        }
        other => FetchError::failed(Kind::Transient, other.to_string()),
    }
}
