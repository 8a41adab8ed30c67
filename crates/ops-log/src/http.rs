//! Request ids and access lines, as an observer of ops-http.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use http::{HeaderName, HeaderValue, request, response};
use ops_http::{Ending, Observe, Outcome, QUIET_CALLS, QUIET_ROUTES};

use crate::context::{Context, Scope, current};
use crate::logger::line_drain::LineDrain;
use crate::pipeline::Pipeline;
use crate::pipeline::late::LateRequest;
use crate::pipeline::trace_ids;
use crate::render::head::RecordMeta;
use crate::render::scalars::integer;
use crate::{Level, Value, bind_context};

/// Header that carries a request's id in and out.
pub const REQUEST_ID: &str = "x-request-id";

/// Header that names the client, unless configured otherwise.
pub const CLIENT: &str = "x-client";

/// Maximum length of an id or client in bytes; a longer one is replaced or ignored.
pub const MAX_ID_BYTES: usize = 64;

static COUNTER: AtomicU64 = AtomicU64::new(0);

/// Observer that binds `request_id` and `client`, and writes `request_completed` when a request is over.
///
/// An `x-request-id` of up to 64 letters, digits, `-`, `_` and `.` is kept, else a new one is made; the response
/// carries it. A client is a slug of `[a-z0-9-]{1,64}` in `x-client`; anything else is ignored. In a tuple of observers
/// it comes after the one of spans, so that its line has the trace id.
///
/// The line has the status that was sent, or 499 if the client went away before the end. If handler or body failed, the
/// line has `error_type` too (`panic`, `service_error`, `body_error`) and level `error`, whatever status was sent.
///
/// The line of a gRPC call (feature `grpc`) has `grpc_status` (`NOT_FOUND`) and, if the status has a message, `grpc_message`. Its
/// level is `error` for the codes that blame the server; `error_type` says why no status was sent.
#[derive(Clone, Debug)]
pub struct AccessLog {
    route_field: bool,
    client_header: HeaderName,
    quiet: Arc<[String]>,
    pipeline: Pipeline,
}

impl Default for AccessLog {
    fn default() -> Self {
        Self {
            route_field: false,
            client_header: HeaderName::from_static(CLIENT),
            quiet: QUIET_ROUTES
                .iter()
                .chain(QUIET_CALLS)
                .map(|path| (*path).to_owned())
                .collect(),
            pipeline: Pipeline::global(),
        }
    }
}

impl AccessLog {
    /// Returns the observer; its lines have `method`, `path`, `status` and `latency_ms`.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the template of the route after the path, if a route matched.
    #[must_use]
    pub fn route_field(mut self, route_field: bool) -> Self {
        self.route_field = route_field;
        self
    }

    /// Writes no line for these paths, in place of [`QUIET_ROUTES`] and [`QUIET_CALLS`], unless they panic, fail or answer 500. A probe that
    /// gets 503 did its job.
    #[must_use]
    pub fn quiet(mut self, paths: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.quiet = paths.into_iter().map(Into::into).collect();
        self
    }

    /// Writes to this pipeline, in place of the process's: for tests.
    #[must_use]
    pub fn pipeline(mut self, pipeline: &Pipeline) -> Self {
        self.pipeline = pipeline.clone();
        self
    }

    /// Sets the header that names the client, in place of `x-client`.
    #[must_use]
    pub fn client_header(mut self, name: HeaderName) -> Self {
        self.client_header = name;
        self
    }
}

/// State of one request.
#[derive(Debug)]
pub struct RequestScope {
    context: Context,
    late: LateRequest,
    id: Option<HeaderValue>,
    traced: bool,
    path: String,
}

impl Observe for AccessLog {
    type Scope = RequestScope;
    type Entered<'a> = Scope<'a>;

    fn start(&self, request: &mut request::Parts) -> RequestScope {
        let id = header(request, REQUEST_ID, is_id).map_or_else(new_id, str::to_owned);
        let client = header(request, self.client_header.as_str(), is_slug);
        let mut fields = vec![("request_id".into(), Value::from(id.as_str()))];
        fields.extend(client.map(|client| ("client".into(), Value::from(client))));
        let mut context = current().with_all(fields);
        let late = LateRequest::begin(&self.pipeline.0, &mut context);
        RequestScope {
            late,
            context,
            id: HeaderValue::from_str(&id).ok(),
            traced: false,
            path: request.uri.path().to_owned(),
        }
    }

    fn enter<'a>(&'a self, scope: &'a mut RequestScope) -> Scope<'a> {
        // the span of an observer before this one is current here, and over when the access line is written
        if !std::mem::replace(&mut scope.traced, true)
            && let Some(ids) = trace_ids::current()
        {
            let _scope = Scope::enter(&mut scope.context);
            bind_context(
                "trace_id",
                format!("{:032x}", u128::from_be_bytes(ids.trace_id)),
            );
        }
        Scope::enter(&mut scope.context)
    }

    fn response(&self, scope: &mut RequestScope, response: &mut response::Parts) {
        if let Some(id) = scope.id.take() {
            response.headers.insert(REQUEST_ID, id);
        }
    }

    fn end(&self, mut scope: RequestScope, outcome: &Outcome) {
        let failed = matches!(outcome.ending, Ending::Failed | Ending::Panicked);
        if !failed && outcome.status != 500 && self.quiet.contains(&scope.path) {
            return;
        }
        let level = if outcome.is_server_error() {
            Level::Error
        } else {
            Level::Info
        };
        let _scope = Scope::enter(&mut scope.context);
        // an event stream is long, not slow
        let head = outcome.time_to_headers.filter(|_| outcome.streamed);
        let took = head.unwrap_or(outcome.elapsed);
        let late = &scope.late;
        late.end(&self.pipeline.0, outcome.is_server_error(), took);
        let log = LineDrain::new(self.pipeline.0.clone(), None);
        if !log.enabled(level, "") {
            return;
        }
        let latency = u64::try_from(outcome.elapsed.as_millis()).unwrap_or(u64::MAX);
        let meta = RecordMeta {
            level,
            logger: None,
            event: &"request_completed",
            module: None,
            location: None,
            always: false,
        };
        let route = outcome.route.as_ref().filter(|_| self.route_field);
        self.pipeline.0.write(&meta, &[], &mut |line| {
            line.field("method", |line| line.text(outcome.method.as_str()));
            line.field("path", |line| line.text(&scope.path));
            if let Some(route) = route {
                line.field("route", |line| line.text(route.template()));
            }
            line.field("status", |line| integer(outcome.status, line.json()));
            line.field("latency_ms", |line| integer(latency, line.json()));
            let mut error_type = outcome.error_type().filter(|_| failed);
            if let Some(call) = &outcome.grpc {
                line.field("grpc_status", |line| line.text(call.code.name()));
                if let Some(message) = &call.message {
                    line.field("grpc_message", |line| line.text(message));
                }
                error_type = call.error_type.filter(|kind| *kind != call.code.name());
            }
            if let Some(error_type) = error_type {
                line.field("error_type", |line| line.text(error_type));
            }
        });
    }
}

/// Returns the header if its text is of this kind.
fn header<'a>(
    request: &'a request::Parts,
    name: &str,
    is_kind: impl FnMut(u8) -> bool,
) -> Option<&'a str> {
    let text = request.headers.get(name)?.to_str().ok()?;
    let accepted = (1..=MAX_ID_BYTES).contains(&text.len()) && text.bytes().all(is_kind);
    accepted.then_some(text)
}

fn is_id(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

fn is_slug(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'
}

/// Unique in this process, and across processes as far as their starts differ.
fn new_id() -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    format!(
        "req-{:x}-{:x}{number:x}",
        now.as_micros(),
        std::process::id()
    )
}
