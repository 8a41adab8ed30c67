//! A result while it is received: counted, complete, with one schema.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::{FlightData, FlightEndpoint, FlightInfo};
use futures_util::stream::{Stream, StreamExt};
use tonic::{Code, Streaming};

use super::client::Client;
use super::fault::Fault;
use super::login::Credential;

/// Number of bytes received of one attempt's result.
#[derive(Clone, Default)]
pub(super) struct Received(Arc<AtomicUsize>);

impl Received {
    pub(super) fn is_nothing(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    fn add(&self, data: &FlightData) -> usize {
        let bytes = data.data_header.len() + data.data_body.len() + data.app_metadata.len();
        self.0.fetch_add(bytes, Ordering::Relaxed) + bytes
    }
}

/// Reads the result from all of its endpoints, one after the other: at least one batch, which carries the schema.
pub(super) async fn read(
    client: &Client,
    info: FlightInfo,
    credential: &Credential,
    received: &Received,
) -> Result<Vec<RecordBatch>, Fault> {
    let limit = client.config.max_result_bytes;
    let mut batches = Vec::new();
    let mut schema: Option<SchemaRef> = None;
    let mut decoded = 0;
    for endpoint in &info.endpoint {
        let data = open(client, endpoint, credential).await?;
        let counted = counted(data, received.clone(), limit);
        let mut rows = FlightRecordBatchStream::new_from_flight_data(counted);
        while let Some(batch) = rows.next().await {
            let batch = batch.map_err(|error| fault_of_message(error, limit))?;
            decoded += memory_of(&batch);
            if decoded > limit {
                return Err(too_large(limit));
            }
            if batch.num_rows() > 0 {
                batches.push(batch);
            }
        }
        let found = rows.schema().cloned();
        let found = found.ok_or_else(|| Fault::new("the server sent a result without a schema"))?;
        if schema.get_or_insert_with(|| found.clone()) != &found {
            return Err(Fault::new(
                "the server sent parts of a result with different schemas",
            ));
        }
    }
    let schema = match schema {
        Some(schema) => schema,
        None => {
            let schema = info.try_decode_schema();
            Arc::new(schema.map_err(|error| {
                Fault::new(format!(
                    "a result without endpoints has no valid schema: {error}"
                ))
            })?)
        }
    };
    if batches.is_empty() {
        batches.push(RecordBatch::new_empty(schema));
    }
    Ok(batches)
}

async fn open(
    client: &Client,
    endpoint: &FlightEndpoint,
    credential: &Credential,
) -> Result<Streaming<FlightData>, Fault> {
    let ticket = endpoint.ticket.clone();
    let ticket = ticket
        .ok_or_else(|| Fault::new("the server sent an endpoint of the result without a ticket"))?;
    let mut places = endpoint.location.iter().map(|place| place.uri.as_str());
    let is_here = endpoint.location.is_empty() || places.any(|place| client.address.is_here(place));
    if !is_here && !client.config.ignores_locations {
        let first = endpoint
            .location
            .first()
            .map_or("", |place| place.uri.as_str());
        return Err(Fault::new(format!(
            "the server offers the result at {first:?}, but the login is for {:?}; FlightSqlConfig::ignore_locations reads it from the latter",
            client.config.address
        )));
    }
    client.get(ticket, credential).await
}

/// Passes messages on until their bytes exceed the limit. A stream that ends without the server's status, as behind a
/// proxy that was stopped, ends with an error of tonic.
fn counted(
    data: Streaming<FlightData>,
    received: Received,
    limit: usize,
) -> impl Stream<Item = Result<FlightData, FlightError>> + Send {
    data.map(move |message| {
        let message = message?;
        match received.add(&message) > limit {
            true => Err(external(too_large(limit))),
            false => Ok(message),
        }
    })
}

fn external(fault: Fault) -> FlightError {
    FlightError::ExternalError(Box::new(fault))
}

fn too_large(limit: usize) -> Fault {
    Fault::new(format!(
        "the result exceeds the limit of {limit} bytes (FlightSqlConfig::max_result_bytes) and is discarded"
    ))
}

/// Converts the error of a message. A single message beyond the limit is rejected by its length, before it is read.
fn fault_of_message(error: FlightError, limit: usize) -> Fault {
    match &error {
        FlightError::Tonic(status)
            if status.code() == Code::OutOfRange
                && status.message().contains("length too large") =>
        {
            too_large(limit)
        }
        _ => Fault::of_stream(error),
    }
}

fn memory_of(batch: &RecordBatch) -> usize {
    let columns = batch.columns().iter().map(|column| {
        let data = column.to_data();
        data.get_slice_memory_size()
            .unwrap_or_else(|_| column.get_array_memory_size())
    });
    columns.sum()
}
