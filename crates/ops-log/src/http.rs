//! Request ids and access lines, as an observer of ops-http.

mod request_id;

use std::fmt;
use std::panic::catch_unwind;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Uri, request, response};
use ops_http::{Observe, Outcome, QUIET_CALLS, QUIET_ROUTES};

use crate::context::{Context, Scope, current};
use crate::logger::line_drain::LineDrain;
use crate::pipeline::Pipeline;
use crate::pipeline::late::LateRequest;
use crate::pipeline::trace_ids::{self, TraceIds};
use crate::render::bound_pool;
use crate::render::head::RecordMeta;
use crate::render::scalars;
use crate::render::static_key::StaticKey;
use crate::{Level, bind_context, escape};
use request_id::RequestId;

/// Header that carries a request's id, in requests and responses.
pub const REQUEST_ID: &str = "x-request-id";

/// Header that names the client; can be changed.
pub const CLIENT: &str = "x-client";

/// Maximum length of an id or client in bytes; a longer id is replaced, a longer client ignored.
pub const MAX_ID_BYTES: usize = 64;

const REQUEST_ID_HEADER: HeaderName = HeaderName::from_static(REQUEST_ID);

/// Observer that binds `request_id` and `client`, and writes `request_completed` when a request ends.
///
/// An `x-request-id` of up to 64 letters, digits, `-`, `_` and `.` is kept, otherwise a new one is generated;
/// the response carries it. A client is a slug of `[a-z0-9-]{1,64}` in `x-client`; anything else is ignored.
/// In a tuple of observers put it after the observer of spans, so that its line has the trace id.
///
/// The line has the status that was sent, or 499 if the client went away before the end of a response
/// without a 5xx. If handler or body failed, or the server gave the request up, the line also has `error_type`
/// (`panic`, `service_error`, `body_error`, `cut_off`) and level `error`, whatever status was sent.
///
/// The line of a gRPC call (feature `grpc`) has `grpc_status` (`NOT_FOUND`) and, if
/// the status has a message, `grpc_message`. Its level is `error` if the call failed, see
/// [`GrpcEnd::error_type`](ops_http::GrpcEnd::error_type); `error_type` is the reason why no status was sent.
#[derive(Clone, Debug)]
pub struct AccessLog(Arc<Settings>);

#[derive(Clone, Debug)]
struct Settings {
    route_field: bool,
    client_header: HeaderName,
    quiet: Vec<String>,
    pipeline: Pipeline,
    fields: Option<FieldSource>,
}

/// Function that returns fields for the lines of a request, as names and values.
pub type FieldSource = fn() -> Vec<(String, String)>;

impl Default for AccessLog {
    fn default() -> Self {
        Self(Arc::new(Settings {
            route_field: false,
            client_header: HeaderName::from_static(CLIENT),
            quiet: QUIET_ROUTES
                .iter()
                .chain(QUIET_CALLS)
                .map(|path| (*path).to_owned())
                .collect(),
            pipeline: Pipeline::global(),
            fields: None,
        }))
    }
}

impl AccessLog {
    /// Returns the observer; its lines have `method`, `path`, `status` and `latency_ms`.
    pub fn new() -> Self {
        Self::default()
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// Adds the template of the route after the path, if a route matched.
    #[must_use]
    pub fn route_field(self, route_field: bool) -> Self {
        self.with(|settings| settings.route_field = route_field)
    }

    /// Sets the paths without an access line, in place of [`QUIET_ROUTES`] and [`QUIET_CALLS`]. A line is still written
    /// if they panic, fail, are cut off or return 500; a probe that returns 503 works as intended and gets none.
    #[must_use]
    pub fn quiet(self, paths: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.with(|settings| settings.quiet = paths.into_iter().map(Into::into).collect())
    }

    /// Writes to this pipeline instead of the global one; for tests.
    #[must_use]
    pub fn pipeline(self, pipeline: &Pipeline) -> Self {
        self.with(|settings| settings.pipeline = pipeline.clone())
    }

    /// Binds the fields returned by this function to all lines of a request: fields
    /// that came with its trace context, such as baggage. The function is called once,
    /// before the handler; the span of an observer before this one is then current.
    ///
    /// At most 16 fields; each value is cut after 256 bytes. Values are escaped and
    /// redacted like those of any field. A name that is bound already (`request_id`,
    /// `client`, `trace_id`) keeps its value. If the function panics, no fields are added.
    #[must_use]
    pub fn fields_from(self, source: FieldSource) -> Self {
        self.with(|settings| settings.fields = Some(source))
    }

    /// Sets the header that names the client, instead of `x-client`.
    #[must_use]
    pub fn client_header(self, name: HeaderName) -> Self {
        self.with(|settings| settings.client_header = name)
    }
}

/// State of one request.
pub struct RequestScope {
    context: Context,
    late: LateRequest,
    /// Id from the request, or else a generated one; sent in the response.
    id: Option<HeaderValue>,
    client: Option<HeaderValue>,
    /// Set once the fields are bound: when the request is entered first, because its trace is known then.
    bound: bool,
    uri: Uri,
}

impl fmt::Debug for RequestScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // a query may contain secrets
        f.debug_struct("RequestScope")
            .field("path", &self.uri.path())
            .finish_non_exhaustive()
    }
}

impl RequestScope {
    fn bind(&mut self, trace: Option<TraceIds>) {
        if std::mem::replace(&mut self.bound, true) {
            return;
        }
        let mut made = RequestId::default();
        if self.id.is_none() {
            made.make();
            self.id = made.header();
        }
        let id = text(&self.id).unwrap_or_else(|| made.text());
        let mut hex = [0; 32];
        // at most three fields
        let mut fields = [(&KEYS[0], id); 3];
        let mut count = 1;
        if let Some(client) = text(&self.client) {
            fields[count] = (&KEYS[1], client);
            count += 1;
        }
        if let Some(ids) = trace {
            fields[count] = (&KEYS[2], escape::hex(&ids.trace_id, &mut hex));
            count += 1;
        }
        let bound = bound_pool::bound(self.context.bound.as_ref(), &fields[..count]);
        self.context.bound = Some(bound);
    }
}

fn text(value: &Option<HeaderValue>) -> Option<&str> {
    value.as_ref()?.to_str().ok()
}

static KEYS: [StaticKey; 3] = [
    StaticKey::new("request_id"),
    StaticKey::new("client"),
    StaticKey::new("trace_id"),
];

impl Observe for AccessLog {
    type Scope = RequestScope;
    type Entered<'a> = Scope<'a>;

    fn start(&self, request: &mut request::Parts) -> RequestScope {
        let mut context = current();
        let late = LateRequest::begin(&self.0.pipeline.0, &mut context);
        RequestScope {
            late,
            context,
            id: header(&request.headers, &REQUEST_ID_HEADER, is_id),
            client: header(&request.headers, &self.0.client_header, is_slug),
            bound: false,
            uri: request.uri.clone(),
        }
    }

    fn enter<'a>(&'a self, scope: &'a mut RequestScope) -> Scope<'a> {
        if !scope.bound {
            // the span of an observer before this one is current here, and has ended when the access line is written
            scope.bind(trace_ids::current());
            let fields = self.0.fields.map_or_else(Vec::new, call_source);
            if !fields.is_empty() {
                let _scope = Scope::enter(&mut scope.context);
                bind_new(fields);
            }
        }
        Scope::enter(&mut scope.context)
    }

    fn response(&self, scope: &mut RequestScope, response: &mut response::Parts) {
        scope.bind(None);
        if let Some(id) = scope.id.take() {
            response.headers.insert(REQUEST_ID_HEADER, id);
        }
    }

    fn end(&self, mut scope: RequestScope, outcome: &Outcome) {
        scope.bind(None);
        self.write(&mut scope, outcome);
        if let Some(bound) = scope.context.bound.take() {
            bound_pool::keep(bound);
        }
    }
}

impl AccessLog {
    fn write(&self, scope: &mut RequestScope, outcome: &Outcome) {
        let path = scope.uri.path();
        let failed = outcome.ending.is_of_server();
        if !failed && outcome.status != 500 && self.0.quiet.iter().any(|quiet| quiet == path) {
            return;
        }
        let level = if outcome.is_server_error() {
            Level::Error
        } else {
            Level::Info
        };
        let _scope = Scope::enter(&mut scope.context);
        // an event stream is long, but not slow
        let head = outcome.time_to_headers.filter(|_| outcome.streamed);
        let took = head.unwrap_or(outcome.elapsed);
        let late = &scope.late;
        late.end(&self.0.pipeline.0, outcome.is_server_error(), took);
        let log = LineDrain::new(self.0.pipeline.0.clone(), None);
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
        let route = outcome.route.as_ref().filter(|_| self.0.route_field);
        self.0.pipeline.0.write(&meta, &[], &mut |line| {
            line.put_text(const { &StaticKey::new("method") }, outcome.method.as_str());
            line.put_text(const { &StaticKey::new("path") }, path);
            if let Some(route) = route {
                line.put_text(const { &StaticKey::new("route") }, route.template());
            }
            line.put_u64(
                const { &StaticKey::new("status") },
                u64::from(outcome.status),
            );
            line.put_u64(const { &StaticKey::new("latency_ms") }, latency);
            let mut error_type = outcome.error_type().filter(|_| failed);
            if let Some(call) = &outcome.grpc {
                line.put_text(const { &StaticKey::new("grpc_status") }, call.code.name());
                if let Some(message) = &call.message {
                    line.put_text(const { &StaticKey::new("grpc_message") }, message);
                }
                error_type = call.error_type.filter(|kind| *kind != call.code.name());
            }
            if let Some(error_type) = error_type {
                line.put_text(const { &StaticKey::new("error_type") }, error_type);
            }
        });
    }
}

/// Maximum number of fields from the function; further ones are ignored.
const MAX_FIELDS: usize = 16;

/// Maximum length of the value of such a field in bytes; a longer value is cut.
const MAX_FIELD_BYTES: usize = 256;

fn call_source(source: FieldSource) -> Vec<(String, String)> {
    catch_unwind(source).unwrap_or_default()
}

/// Binds the fields whose names are not bound yet.
fn bind_new(fields: Vec<(String, String)>) {
    let bound = current().bound;
    let is_bound = |name: &str| {
        let pairs = bound.as_ref().map_or(&[][..], |bound| bound.pairs());
        pairs.iter().any(|(key, _)| key == name)
    };
    for (name, mut value) in fields.into_iter().take(MAX_FIELDS) {
        if !is_bound(&name) {
            if value.len() > MAX_FIELD_BYTES {
                // redacted before it is cut, so that no part of a secret is left
                value = scalars::kept(&value, value.len(), MAX_FIELD_BYTES).into_owned();
            }
            bind_context(name, value);
        }
    }
}

/// Returns the header if its value has 1 to [`MAX_ID_BYTES`] accepted bytes.
fn header(
    headers: &HeaderMap,
    name: &HeaderName,
    is_kind: impl FnMut(u8) -> bool,
) -> Option<HeaderValue> {
    let value = headers.get(name)?;
    let text = value.to_str().ok()?;
    let accepted = (1..=MAX_ID_BYTES).contains(&text.len()) && text.bytes().all(is_kind);
    accepted.then(|| value.clone())
}

fn is_id(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

fn is_slug(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'
}
