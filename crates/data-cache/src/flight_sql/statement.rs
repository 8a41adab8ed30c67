//! One query from its text to its result.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::sql::{
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest,
    ActionCreatePreparedStatementResult, Any, CommandPreparedStatementQuery, CommandStatementQuery,
    DoPutPreparedStatementResult, ProstMessageExt,
};
use arrow_flight::{FlightDescriptor, FlightInfo, IpcMessage};
use futures_util::future::{Either, select};
use futures_util::{TryStreamExt, stream};
use parking_lot::Mutex;
use prost::Message;
use prost::bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::bind;
use super::client::Client;
use super::fault::{CANCELLED, Fault, FaultKind};
use super::login::Credential;
use super::results::{self, Received};
use crate::error::Error;
use crate::params::Params;

/// Pause before the second attempt; it doubles before each further one.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const MAX_WAIT: Duration = Duration::from_secs(2);
/// Time limit for asking the server, in the background, to cancel the query and close prepared statements.
const CLEANUP: Duration = Duration::from_secs(5);

/// A running query, and its resources on the server.
struct Run {
    client: Arc<Client>,
    sql: String,
    params: Params,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    attempts: u32,
    credential: Credential,
    info: Option<FlightInfo>,
    /// Handles of the prepared statements, one per attempt.
    prepared: Vec<Bytes>,
}

/// Runs one query until its result is complete, `stop` is notified, or the deadline has passed.
pub(super) async fn run(
    client: Arc<Client>,
    sql: String,
    params: Params,
    stop: Arc<Notify>,
) -> Result<Vec<RecordBatch>, Error> {
    let run = Run {
        client,
        sql,
        params,
        held: Mutex::default(),
    };
    let limit = run.client.config.deadline;
    let ended = {
        let attempts = Box::pin(timeout(limit, run.attempts()));
        match select(attempts, Box::pin(stop.notified())).await {
            Either::Left((Ok(done), _)) => done,
            Either::Left((Err(_), _)) => Err(Fault::unavailable(format!(
                "no complete result from the Flight SQL server within {limit:?} (FlightSqlConfig::deadline)"
            ))),
            Either::Right(_) => Err(Fault::new(CANCELLED)),
        }
    };
    let held = std::mem::take(&mut *run.held.lock());
    let (attempts, secrets) = (held.attempts, held.credential.secrets.clone());
    run.clean_up(held, ended.is_ok());
    ended.map_err(|fault| fault.into_error(attempts, &secrets))
}

impl Run {
    async fn attempts(&self) -> Result<Vec<RecordBatch>, Fault> {
        let mut refused = None;
        let mut is_asked_again = false;
        let mut wait = FIRST_WAIT;
        loop {
            self.held.lock().attempts += 1;
            let received = Received::default();
            let fault = match self.attempt(refused, &received).await {
                Ok(batches) => return Ok(batches),
                Err(fault) => fault,
            };
            let attempts = {
                let held = self.held.lock();
                refused = (fault.kind == FaultKind::Login).then_some(held.credential.number);
                held.attempts
            };
            match fault.kind {
                _ if !received.is_nothing() => return Err(fault),
                FaultKind::Login if !is_asked_again => is_asked_again = true,
                FaultKind::Connection if attempts <= self.client.config.retries => {
                    sleep(wait).await;
                    wait = (wait * 2).min(MAX_WAIT);
                }
                _ => return Err(fault),
            }
        }
    }

    async fn attempt(
        &self,
        refused: Option<u64>,
        received: &Received,
    ) -> Result<Vec<RecordBatch>, Fault> {
        let client = &self.client;
        let credential = client.login(refused).await?;
        self.held.lock().credential = credential.clone();
        let info = match self.params.0.is_empty() {
            true => {
                let command = CommandStatementQuery {
                    query: self.sql.clone(),
                    transaction_id: None,
                };
                client.info(&command, &credential).await?
            }
            false => {
                let handle = self.prepare(&credential).await?;
                let command = CommandPreparedStatementQuery {
                    prepared_statement_handle: handle,
                };
                client.info(&command, &credential).await?
            }
        };
        self.held.lock().info = Some(info.clone());
        results::read(client, info, &credential, received).await
    }

    /// Returns the handle of a prepared statement with its parameters bound.
    async fn prepare(&self, credential: &Credential) -> Result<Bytes, Fault> {
        let client = &self.client;
        let request = ActionCreatePreparedStatementRequest {
            query: self.sql.clone(),
            transaction_id: None,
        };
        let body = request.as_any().encode_to_vec();
        let answer = client
            .act("CreatePreparedStatement", body, credential)
            .await?;
        let malformed = |what: &dyn std::fmt::Display| {
            Fault::new(format!(
                "the server's prepared statement is malformed: {what}"
            ))
        };
        let any = Any::decode(answer.unwrap_or_default()).map_err(|error| malformed(&error))?;
        let prepared: ActionCreatePreparedStatementResult = any
            .unpack()
            .map_err(|error| malformed(&error))?
            .ok_or_else(|| malformed(&"unexpected type"))?;
        let handle = prepared.prepared_statement_handle;
        self.held.lock().prepared.push(handle.clone());
        let expected = match prepared.parameter_schema.is_empty() {
            true => Schema::empty(),
            false => Schema::try_from(IpcMessage(prepared.parameter_schema))
                .map_err(|error| malformed(&error))?,
        };
        let batch = bind::batch(&self.params, &expected)?;
        let command = CommandPreparedStatementQuery {
            prepared_statement_handle: handle.clone(),
        };
        let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
        let messages = FlightDataEncoderBuilder::new()
            .with_flight_descriptor(Some(descriptor))
            .build(stream::iter([Ok(batch)]))
            .try_collect()
            .await
            .map_err(Fault::of_stream)?;
        let answer = client.put(messages, credential).await?;
        let bound = DoPutPreparedStatementResult::decode(answer.unwrap_or_default())
            .map_err(|error| malformed(&error))?;
        let handle = match bound.prepared_statement_handle {
            Some(other) if !other.is_empty() && other != handle => other,
            _ => return Ok(handle),
        };
        // it replaces the handle that was bound
        if let Some(last) = self.held.lock().prepared.last_mut() {
            *last = handle.clone();
        }
        Ok(handle)
    }

    /// Asks the server, in the background, to cancel the query and close the prepared statements.
    fn clean_up(&self, held: Held, is_complete: bool) {
        let info = held.info.filter(|_| !is_complete);
        if info.is_none() && held.prepared.is_empty() {
            return;
        }
        let (client, credential) = (self.client.clone(), held.credential);
        tokio::spawn(timeout(CLEANUP, async move {
            // failures are ignored: there is nothing else to try
            if let Some(info) = info {
                let _ = client.cancel(info, &credential).await;
            }
            for handle in held.prepared {
                let request = ActionClosePreparedStatementRequest {
                    prepared_statement_handle: handle,
                };
                let body = request.as_any().encode_to_vec();
                let _ = client
                    .act("ClosePreparedStatement", body, &credential)
                    .await;
            }
        }));
    }
}
