//! A Flight SQL server in this process, in front of DuckDB: with its
//! own port, a login, configurable faults, and counts of its requests.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes as arrow_types;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_server::{FlightService, FlightServiceServer};
use arrow_flight::sql::server::{FlightSqlService, PeekableFlightDataStream};
use arrow_flight::sql::{
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest,
    ActionCreatePreparedStatementResult, CommandPreparedStatementQuery, CommandStatementQuery,
    DoPutPreparedStatementResult, ProstMessageExt, SqlInfo, TicketStatementQuery,
};
use arrow_flight::{
    Action, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightDescriptor,
    FlightEndpoint, FlightInfo, HandshakeRequest, HandshakeResponse, IpcMessage, SchemaAsIpc,
    Ticket,
};
use duckdb::{Connection, InterruptHandle};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use prost::Message;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{Sender, channel};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, Server as Transport, ServerTlsConfig};
use tonic::{Code, Request, Response, Status, Streaming};

/// Maximum number of batches that wait for the client.
const WAITING: usize = 2;

/// Time limit that proves that nothing hangs.
const LIMIT: Duration = Duration::from_secs(30);

/// Requests that reached the server.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) handshakes: usize,
    pub(crate) infos: usize,
    pub(crate) results: usize,
    pub(crate) cancels: usize,
    pub(crate) prepared: usize,
    pub(crate) closed: usize,
    pub(crate) refused: usize,
    /// Queries that DuckDB is running.
    pub(crate) running: usize,
    pub(crate) interrupted: usize,
    pub(crate) batch_bytes: usize,
    /// Results that are stopped on purpose.
    pub(crate) held: usize,
}

/// Faults to inject, and the accepted login.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// Number of calls for a result that fail as if the server were unavailable.
    pub(crate) unavailable: usize,
    /// Error of each call for a result.
    pub(crate) failure: Option<Code>,
    /// Number of batches after which the connection breaks.
    pub(crate) break_after: Option<usize>,
    /// Number of batches after which the result stops.
    pub(crate) hold_after: Option<usize>,
    /// The result ends without trailers, as behind a proxy that was stopped.
    pub(crate) no_trailers: bool,
    /// Location of results, if it is not this server.
    pub(crate) location: Option<String>,
    pub(crate) token: Option<String>,
    pub(crate) password: Option<String>,
}

struct Prepared {
    sql: String,
    bound: Option<RecordBatch>,
}

struct Shared {
    database: Mutex<Connection>,
    counts: Mutex<Counts>,
    changed: Condvar,
    faults: Mutex<Faults>,
    no_trailers: AtomicBool,
    prepared: Mutex<HashMap<Vec<u8>, Prepared>>,
    running: Mutex<HashMap<Vec<u8>, Running>>,
}

/// A running query of DuckDB, which ignores an interrupt before it begins.
#[derive(Clone)]
struct Running {
    handle: Arc<InterruptHandle>,
    has_ended: Arc<(Mutex<bool>, Condvar)>,
}

impl Running {
    fn stop(self) {
        std::thread::spawn(move || {
            let (has_ended, ended) = &*self.has_ended;
            let mut guard = lock(has_ended);
            while !*guard {
                self.handle.interrupt();
                let waited = ended.wait_timeout(guard, Duration::from_millis(10));
                guard = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        });
    }

    fn end(&self) {
        *lock(&self.has_ended.0) = true;
        self.has_ended.1.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

impl Server {
    /// Serves a database that `setup` filled.
    pub(crate) fn start(setup: &str) -> Self {
        Self::start_with(setup, None)
    }

    /// Serves at this address once it is free.
    pub(crate) fn start_at(setup: &str, address: SocketAddr) -> Self {
        Self::serve(setup, None, address)
    }

    /// Serves TLS if there are a certificate and a key.
    pub(crate) fn start_with(setup: &str, tls: Option<(&str, &str)>) -> Self {
        Self::serve(setup, tls, SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    fn serve(setup: &str, tls: Option<(&str, &str)>, wanted: SocketAddr) -> Self {
        let database = Connection::open_in_memory().unwrap();
        database.execute_batch(setup).unwrap();
        let shared = Arc::new(Shared {
            database: Mutex::new(database),
            counts: Mutex::default(),
            changed: Condvar::new(),
            faults: Mutex::default(),
            no_trailers: AtomicBool::new(false),
            prepared: Mutex::default(),
            running: Mutex::default(),
        });
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let entered = runtime.enter();
        let incoming = bound(wanted).with_nodelay(Some(true));
        let address = incoming.local_addr().unwrap();
        let service = FlightServiceServer::new(Service(shared.clone()));
        let flagged = shared.clone();
        let mut transport = Transport::builder();
        if let Some((certificate, key)) = tls {
            // tonic's server uses the process-wide provider, which is not set if
            // two are compiled in; an error means that another test was first
            let _ = rustls::crypto::ring::default_provider().install_default();
            let identity = Identity::from_pem(certificate, key);
            transport = transport
                .tls_config(ServerTlsConfig::new().identity(identity))
                .unwrap();
        }
        let cut = tower::util::MapResponseLayer::new(move |response| {
            without_trailers(response, flagged.no_trailers.load(Ordering::Relaxed))
        });
        let served = transport.layer(cut).add_service(service);
        runtime.spawn(async move { served.serve_with_incoming(incoming).await });
        drop(entered);
        Self {
            address,
            shared,
            runtime: Some(runtime),
        }
    }

    pub(crate) fn address(&self) -> String {
        format!("flight-sql://{}", self.address)
    }

    pub(crate) fn socket(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn port(&self) -> u16 {
        self.socket().port()
    }

    pub(crate) fn execute(&self, sql: &str) {
        lock(&self.shared.database).execute_batch(sql).unwrap();
    }

    pub(crate) fn set(&self, faults: Faults) {
        let no_trailers = faults.no_trailers;
        self.shared
            .no_trailers
            .store(no_trailers, Ordering::Relaxed);
        *lock(&self.shared.faults) = faults;
    }

    pub(crate) fn counts(&self) -> Counts {
        *lock(&self.shared.counts)
    }

    /// Waits until the counts satisfy `is_so`; panics after 30 s.
    pub(crate) fn wait_until(&self, is_so: impl Fn(&Counts) -> bool) -> Counts {
        let counts = lock(&self.shared.counts);
        let waited = self
            .shared
            .changed
            .wait_timeout_while(counts, LIMIT, |counts| !is_so(counts));
        let (counts, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(!waited.timed_out(), "{counts:?}");
        *counts
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Binds an address, which a server that just ended may hold for a moment.
fn bound(wanted: SocketAddr) -> TcpIncoming {
    let begun = Instant::now();
    loop {
        match TcpIncoming::bind(wanted) {
            Ok(incoming) => return incoming,
            Err(error) => assert!(begun.elapsed() < LIMIT, "{wanted}: {error}"),
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// Role of a server process, until it is killed: it prints its address, and when it is working.
pub(crate) fn play(hold_after: Option<usize>) {
    let server = Server::start("");
    server.set(Faults {
        hold_after,
        ..Faults::default()
    });
    println!("at {}", server.address());
    server.wait_until(|counts| counts.running + counts.held > 0);
    if hold_after.is_some() {
        server.wait_until(|counts| counts.held > 0);
    }
    println!("at work");
    loop {
        std::thread::park();
    }
}

type HttpResponse = http::Response<tonic::body::Body>;

fn without_trailers(response: HttpResponse, is_cut: bool) -> HttpResponse {
    use http_body_util::{BodyStream, StreamBody};
    if !is_cut {
        return response;
    }
    response.map(|body| {
        let frames = BodyStream::new(body).filter(|frame| {
            std::future::ready(!frame.as_ref().is_ok_and(|frame| frame.is_trailers()))
        });
        tonic::body::Body::new(StreamBody::new(frames))
    })
}

impl Shared {
    fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut lock(&self.counts));
        self.changed.notify_all();
    }
}

/// Interrupts a query whose result is no longer read.
struct Watched(Arc<Shared>, Vec<u8>);

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(running) = lock(&self.0.running).remove(&self.1) {
            running.stop();
        }
    }
}

#[derive(Clone)]
struct Service(Arc<Shared>);

type Answer<T> = Result<Response<T>, Status>;
type Data = <Service as FlightService>::DoGetStream;

impl Service {
    fn admit<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let faults = lock(&self.0.faults).clone();
        let sent = request.metadata().get("authorization");
        let sent = sent.and_then(|value| value.to_str().ok());
        let wanted = faults.token.map(|token| format!("Bearer {token}"));
        if wanted.is_none() || wanted.as_deref() == sent {
            return Ok(());
        }
        self.0.count(|counts| counts.refused += 1);
        let said = format!("token expired: {}", sent.unwrap_or("none"));
        Err(Status::unauthenticated(said))
    }

    fn connection(&self) -> Result<Connection, Status> {
        lock(&self.0.database)
            .try_clone()
            .map_err(|error| Status::internal(error.to_string()))
    }

    fn info(&self, ticket: Vec<u8>, descriptor: FlightDescriptor) -> FlightInfo {
        let mut endpoint = FlightEndpoint::new().with_ticket(Ticket::new(ticket));
        if let Some(location) = &lock(&self.0.faults).location {
            endpoint = endpoint.with_location(location.clone());
        }
        FlightInfo::new()
            .with_descriptor(descriptor)
            .with_endpoint(endpoint)
    }

    /// Runs the statement in DuckDB on a new thread, batch by batch as the client reads them.
    async fn results(
        &self,
        ticket: Vec<u8>,
        sql: String,
        bound: Option<RecordBatch>,
    ) -> Answer<Data> {
        let shared = self.0.clone();
        shared.count(|counts| counts.results += 1);
        {
            let mut faults = lock(&shared.faults);
            if faults.unavailable > 0 {
                faults.unavailable -= 1;
                return Err(Status::unavailable("the node is restarting"));
            }
            if let Some(code) = faults.failure {
                return Err(Status::new(code, "the queue is full"));
            }
        }
        let Faults {
            break_after,
            hold_after,
            ..
        } = lock(&shared.faults).clone();
        let connection = self.connection()?;
        let running = Running {
            handle: connection.interrupt_handle(),
            has_ended: Arc::default(),
        };
        lock(&shared.running).insert(ticket.clone(), running.clone());
        shared.count(|counts| counts.running += 1);
        let watched = Watched(shared.clone(), ticket);
        let (sender, receiver) = channel(WAITING);
        let (schema_sender, schema) = tokio::sync::oneshot::channel();
        tokio::task::spawn_blocking(move || {
            let ended = run(
                &connection,
                &sql,
                bound.as_ref(),
                schema_sender,
                &sender,
                &shared,
            );
            running.end();
            shared.count(|counts| {
                counts.running -= 1;
                let is_interrupt = |error: &Status| error.message().contains("INTERRUPT");
                counts.interrupted += usize::from(ended.as_ref().is_err_and(is_interrupt));
            });
            if let Err(status) = ended {
                let _ = sender.blocking_send(Err(status.into()));
            }
        });
        let batches = stream::unfold(
            (receiver, watched, 0),
            move |(mut receiver, watched, sent)| async move {
                if hold_after == Some(sent) {
                    watched.0.count(|counts| counts.held += 1);
                    std::future::pending::<()>().await;
                }
                if break_after == Some(sent) {
                    let lost = Status::unavailable("connection reset by peer");
                    return Some((Err(FlightError::from(lost)), (receiver, watched, sent + 1)));
                }
                let next = receiver.recv().await?;
                Some((next, (receiver, watched, sent + 1)))
            },
        );
        let encoder = FlightDataEncoderBuilder::new();
        let encoder = match schema.await {
            Ok(schema) => encoder.with_schema(schema),
            Err(_) => encoder,
        };
        let data = encoder.build(batches).map_err(|error| match error {
            FlightError::Tonic(status) => *status,
            error => Status::internal(error.to_string()),
        });
        Ok(Response::new(Box::pin(data)))
    }
}

fn failed(error: impl std::fmt::Display) -> Status {
    Status::invalid_argument(error.to_string())
}

type Sent = Result<RecordBatch, FlightError>;

fn run(
    connection: &Connection,
    sql: &str,
    bound: Option<&RecordBatch>,
    schema: tokio::sync::oneshot::Sender<Arc<Schema>>,
    sender: &Sender<Sent>,
    shared: &Shared,
) -> Result<(), Status> {
    let mut statement = connection.prepare(sql).map_err(failed)?;
    for at in 0..statement.parameter_count() {
        let bound = bound.ok_or_else(|| failed("no value for a parameter"))?;
        let value = value_of(bound.column(at).as_ref())?;
        statement
            .raw_bind_parameter(at + 1, value)
            .map_err(failed)?;
    }
    statement.raw_execute().map_err(failed)?;
    let found = statement.schema();
    let _ = schema.send(found.clone());
    while let Some(rows) = statement.step().map_err(failed)? {
        let batch = RecordBatch::try_new(found.clone(), rows.columns().to_vec()).map_err(failed)?;
        let bytes: usize = batch
            .columns()
            .iter()
            .map(|c| c.get_buffer_memory_size())
            .sum();
        if sender.blocking_send(Ok(batch)).is_err() {
            return Err(Status::cancelled("nobody reads"));
        }
        shared.count(|counts| counts.batch_bytes += bytes);
    }
    Ok(())
}

/// Returns the first value of a column for binding in DuckDB.
fn value_of(column: &dyn Array) -> Result<duckdb::types::Value, Status> {
    use duckdb::types::{Decimal, TimeUnit, Value};
    macro_rules! first {
        ($kind:ident) => {
            column.as_primitive::<arrow_types::$kind>().value(0)
        };
    }
    if column.is_null(0) || column.data_type() == &DataType::Null {
        return Ok(Value::Null);
    }
    Ok(match column.data_type() {
        DataType::Boolean => Value::Boolean(column.as_boolean().value(0)),
        DataType::Int8 => Value::TinyInt(first!(Int8Type)),
        DataType::Int16 => Value::SmallInt(first!(Int16Type)),
        DataType::Int32 => Value::Int(first!(Int32Type)),
        DataType::Int64 => Value::BigInt(first!(Int64Type)),
        DataType::UInt8 => Value::UTinyInt(first!(UInt8Type)),
        DataType::UInt16 => Value::USmallInt(first!(UInt16Type)),
        DataType::UInt32 => Value::UInt(first!(UInt32Type)),
        DataType::UInt64 => Value::UBigInt(first!(UInt64Type)),
        DataType::Float32 => Value::Float(first!(Float32Type)),
        DataType::Float64 => Value::Double(first!(Float64Type)),
        DataType::Utf8 => Value::Text(column.as_string::<i32>().value(0).to_owned()),
        DataType::Binary => Value::Blob(column.as_binary::<i32>().value(0).to_vec()),
        DataType::Date32 => Value::Date32(first!(Date32Type)),
        DataType::Time64(_) => Value::Time64(TimeUnit::Microsecond, first!(Time64MicrosecondType)),
        DataType::Timestamp(_, None) => {
            Value::Timestamp(TimeUnit::Microsecond, first!(TimestampMicrosecondType))
        }
        DataType::Decimal128(width, scale) => {
            let scale = u8::try_from(*scale).map_err(failed)?;
            let decimal = Decimal::new(*width, scale, first!(Decimal128Type));
            Value::Decimal(decimal.map_err(failed)?)
        }
        other => return Err(failed(format!("no parameter of type {other}"))),
    })
}

#[tonic::async_trait]
impl FlightSqlService for Service {
    type FlightService = Self;

    async fn do_handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Answer<Pin<Box<dyn Stream<Item = Result<HandshakeResponse, Status>> + Send>>> {
        self.0.count(|counts| counts.handshakes += 1);
        let faults = lock(&self.0.faults).clone();
        let sent = request.metadata().get("authorization").cloned();
        let wanted = faults.password.unwrap_or_default();
        let sent = sent.as_ref().and_then(|sent| sent.to_str().ok());
        if sent != Some(&format!("Basic {wanted}")) {
            let said = format!("user or password is wrong: {}", sent.unwrap_or("none"));
            return Err(Status::unauthenticated(said));
        }
        let token = faults.token.unwrap_or_default();
        let answer = HandshakeResponse {
            protocol_version: 0,
            payload: token.into_bytes().into(),
        };
        Ok(Response::new(Box::pin(stream::iter([Ok(answer)]))))
    }

    async fn get_flight_info_statement(
        &self,
        query: CommandStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Answer<FlightInfo> {
        self.admit(&request)?;
        self.0.count(|counts| counts.infos += 1);
        self.connection()?.prepare(&query.query).map_err(failed)?;
        let number = self.0.counts.lock().map_or(0, |counts| counts.infos);
        // a separate ticket for each query, so that a cancellation applies to one of them
        let handle = format!("{number} {}", query.query).into_bytes();
        let ticket = TicketStatementQuery {
            statement_handle: handle.into(),
        };
        let ticket = ticket.as_any().encode_to_vec();
        Ok(Response::new(self.info(ticket, request.into_inner())))
    }

    async fn get_flight_info_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Answer<FlightInfo> {
        self.admit(&request)?;
        self.0.count(|counts| counts.infos += 1);
        let ticket = query.as_any().encode_to_vec();
        Ok(Response::new(self.info(ticket, request.into_inner())))
    }

    async fn do_get_statement(
        &self,
        ticket: TicketStatementQuery,
        request: Request<Ticket>,
    ) -> Answer<Data> {
        self.admit(&request)?;
        let text = String::from_utf8(ticket.statement_handle.to_vec()).map_err(failed)?;
        let (_, sql) = text.split_once(' ').ok_or_else(|| failed("ticket"))?;
        let id = ticket.as_any().encode_to_vec();
        self.results(id, sql.to_owned(), None).await
    }

    async fn do_get_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<Ticket>,
    ) -> Answer<Data> {
        self.admit(&request)?;
        let id = query.as_any().encode_to_vec();
        let (sql, bound) = {
            let prepared = lock(&self.0.prepared);
            let found = prepared.get(query.prepared_statement_handle.as_ref());
            let found = found.ok_or_else(|| Status::not_found("prepared statement"))?;
            (found.sql.clone(), found.bound.clone())
        };
        self.results(id, sql, bound).await
    }

    async fn do_action_create_prepared_statement(
        &self,
        query: ActionCreatePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        self.admit(&request)?;
        self.0.count(|counts| counts.prepared += 1);
        let schema = {
            let connection = self.connection()?;
            let statement = connection.prepare(&query.query).map_err(failed)?;
            let names = 1..=statement.parameter_count();
            let fields: Result<Vec<_>, _> = names
                .map(|at| statement.parameter_name(at))
                .map(|name| name.map(|name| Field::new(name, DataType::Null, true)))
                .collect();
            Schema::new(fields.map_err(failed)?)
        };
        let options = IpcWriteOptions::default();
        let message: IpcMessage = SchemaAsIpc::new(&schema, &options)
            .try_into()
            .map_err(failed)?;
        let handle = format!(
            "{}",
            self.0.counts.lock().map_or(0, |counts| counts.prepared)
        );
        let prepared = Prepared {
            sql: query.query,
            bound: None,
        };
        lock(&self.0.prepared).insert(handle.clone().into_bytes(), prepared);
        Ok(ActionCreatePreparedStatementResult {
            prepared_statement_handle: handle.into_bytes().into(),
            dataset_schema: Default::default(),
            parameter_schema: message.0,
        })
    }

    async fn do_put_prepared_statement_query(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<DoPutPreparedStatementResult, Status> {
        self.admit(&request)?;
        let data = request.into_inner().map_err(FlightError::from);
        let mut rows = FlightRecordBatchStream::new_from_flight_data(data);
        let batch = rows.next().await.transpose().map_err(failed)?;
        let mut prepared = lock(&self.0.prepared);
        let found = prepared.get_mut(query.prepared_statement_handle.as_ref());
        found
            .ok_or_else(|| Status::not_found("prepared statement"))?
            .bound = batch;
        Ok(DoPutPreparedStatementResult {
            prepared_statement_handle: Some(query.prepared_statement_handle),
        })
    }

    async fn do_action_close_prepared_statement(
        &self,
        query: ActionClosePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<(), Status> {
        self.admit(&request)?;
        lock(&self.0.prepared).remove(query.prepared_statement_handle.as_ref());
        self.0.count(|counts| counts.closed += 1);
        Ok(())
    }

    async fn do_action_fallback(
        &self,
        request: Request<Action>,
    ) -> Answer<<Self as FlightService>::DoActionStream> {
        self.admit(&request)?;
        if request.get_ref().r#type != "CancelFlightInfo" {
            return Err(failed("action"));
        }
        let asked = CancelFlightInfoRequest::decode(request.into_inner().body).map_err(failed)?;
        let endpoints = asked.info.into_iter().flat_map(|info| info.endpoint);
        for ticket in endpoints.filter_map(|endpoint| endpoint.ticket) {
            if let Some(running) = lock(&self.0.running).get(ticket.ticket.as_ref()) {
                running.clone().stop();
            }
        }
        self.0.count(|counts| counts.cancels += 1);
        let body = CancelFlightInfoResult::new(CancelStatus::Cancelled).encode_to_vec();
        let result = arrow_flight::Result::new(body);
        Ok(Response::new(Box::pin(stream::iter([Ok(result)]))))
    }

    async fn register_sql_info(&self, _id: i32, _result: &SqlInfo) {}
}
