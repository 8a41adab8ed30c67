//! Batches as an Arrow IPC stream.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{
    ArrayData, ArrayRef, GenericStringArray, OffsetSizeTrait, RecordBatch, RecordBatchOptions,
    UInt64Array, layout, make_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Schema};
use arrow::ipc::convert::{MessageBuffer, fb_to_schema};
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::writer::StreamWriter;
use arrow::ipc::{RecordBatch as Header, root_as_message};
use bytes::Bytes;
use parking_lot::Mutex;

use super::codec::{BATCH_ROWS, SchemaAndBatches, holds};

pub(super) fn encode(schema: &Arc<Schema>, batches: &[RecordBatch]) -> Result<Vec<u8>, String> {
    // a growing vector exists twice while it moves
    let columns = batches.iter().flat_map(RecordBatch::columns);
    let size = columns.map(|column| column.to_data().get_slice_memory_size().unwrap_or(0));
    let sink = Vec::with_capacity(size.sum());
    let mut writer = StreamWriter::try_new(sink, schema).map_err(|error| error.to_string())?;
    for batch in joined(schema, batches)? {
        writer.write(&batch).map_err(|error| error.to_string())?;
    }
    let stream = writer.into_inner().map_err(|error| error.to_string())?;
    // for run-end encoding without a value, within another column, the writer produces streams that no reader accepts
    let is_run = |part: &DataType| matches!(part, DataType::RunEndEncoded(..));
    let mut fields = schema.fields().iter();
    if !fields.any(|field| holds(field.data_type(), &is_run)) {
        return Ok(stream);
    }
    let stream = Buffer::from(stream);
    decode_any(stream.clone())?;
    let stream = stream.into_vec();
    Ok(stream.unwrap_or_else(|shared| shared.to_vec()))
}

/// Joins batches up to [`BATCH_ROWS`]: an engine may return many small ones, and decoding one costs as much as some
/// thousand rows. Batches that are not [flat](is_flat) are not joined: their columns could change shape.
fn joined(schema: &Arc<Schema>, batches: &[RecordBatch]) -> Result<Vec<RecordBatch>, String> {
    // from empty batches with run-end encoding and other types, the writer produces streams that no reader accepts
    let batches = batches.iter().filter(|batch| batch.num_rows() > 0);
    if !is_flat(schema) {
        return batches.map(|batch| whole(schema, batch)).collect();
    }
    let batches: Vec<RecordBatch> = batches.cloned().collect();
    let mut joined: Vec<RecordBatch> = Vec::new();
    let mut rest = &batches[..];
    while !rest.is_empty() {
        let mut rows = 0;
        let fitting = rest.iter().take_while(|batch| {
            rows += batch.num_rows();
            rows <= BATCH_ROWS
        });
        let (group, behind) = rest.split_at(fitting.count().max(1));
        rest = behind;
        match group {
            [alone] => joined.push(alone.clone()),
            _ => joined
                .push(concat_batches(schema, group.iter()).map_err(|error| error.to_string())?),
        }
    }
    Ok(joined)
}

/// Returns the batch, copied if it contains unions, since it may be a slice of a larger one: for unions in lists, the
/// writer takes other values than those of the slice.
fn whole(schema: &Schema, batch: &RecordBatch) -> Result<RecordBatch, String> {
    let is_union = |part: &DataType| matches!(part, DataType::Union(..));
    let mut fields = schema.fields().iter();
    if !fields.any(|field| holds(field.data_type(), &is_union)) {
        return Ok(batch.clone());
    }
    let rows = (0..batch.num_rows() as u64).collect::<Vec<_>>();
    take_record_batch(batch, &UInt64Array::from(rows)).map_err(|error| error.to_string())
}

/// Returns `true` if each column is a single nullable array of values whose buffers are those of its layout.
fn is_flat(schema: &Schema) -> bool {
    schema.fields().iter().all(|field| match field.data_type() {
        DataType::Null | DataType::Utf8View | DataType::BinaryView => false,
        DataType::Dictionary(..) | DataType::RunEndEncoded(..) | DataType::Union(..) => false,
        other => !other.is_nested(),
    })
}

/// Decodes what [`encode`] produced. The batches point into `bytes`.
pub(super) fn decode(bytes: Bytes, schemas: &Schemas) -> Result<SchemaAndBatches, String> {
    let stream = Buffer::from(bytes);
    let mut rest = stream.clone();
    let schema = schemas.of(&next_message(&mut rest)?.ok_or("no message")?)?;
    if !is_flat(&schema) {
        return decode_any(stream);
    }
    let mut batches = Vec::new();
    while let Some(message) = next_message(&mut rest)? {
        let message = MessageBuffer::try_new(message).map_err(|error| error.to_string())?;
        let message = message.as_ref();
        let body = part(&rest, 0, message.bodyLength())?;
        rest.advance(body.len());
        let header = message.header_as_record_batch().ok_or("no batch")?;
        batches.push(flat_batch(&schema, header, &body)?);
    }
    match rest.len() {
        0 => Ok((schema, batches)),
        more => Err(format!("{more} trailing bytes")),
    }
}

/// Recently decoded schemas, with the messages that they were decoded from.
/// Checking and decoding one again would cost as much as ten thousand strings.
#[derive(Default)]
pub(super) struct Schemas(Mutex<VecDeque<MessageAndSchema>>);

type MessageAndSchema = (Box<[u8]>, Arc<Schema>);

impl Schemas {
    const MAX: usize = 64;
    /// Maximum size of a message, and of its schema, which may be far
    /// larger: its parts may refer to the same bytes of the message.
    const MAX_BYTES: usize = 256 << 10;

    fn of(&self, message: &[u8]) -> Result<Arc<Schema>, String> {
        let known = self.0.lock();
        if let Some((_, schema)) = known.iter().find(|(bytes, _)| **bytes == *message) {
            return Ok(schema.clone());
        }
        drop(known);
        let decoded = root_as_message(message).map_err(|error| error.to_string())?;
        let schema = decoded.header_as_schema().ok_or("no schema")?;
        if decoded.bodyLength() != 0 {
            return Err("the schema message has a body".to_owned());
        }
        let schema = Arc::new(fb_to_schema(schema));
        if message.len().max(size(&schema)) <= Self::MAX_BYTES {
            let mut known = self.0.lock();
            known.push_front((message.into(), schema.clone()));
            known.truncate(Self::MAX);
        }
        Ok(schema)
    }
}

/// Size of a schema in bytes.
fn size(schema: &Schema) -> usize {
    let of_metadata = schema
        .metadata()
        .iter()
        .map(|(key, value)| key.len() + value.len());
    schema.fields().size() + of_metadata.sum::<usize>()
}

/// Decodes any stream.
fn decode_any(mut stream: Buffer) -> Result<SchemaAndBatches, String> {
    let mut decoder = StreamDecoder::new();
    let mut batches = Vec::new();
    while !stream.is_empty() {
        match decoder.decode(&mut stream) {
            Ok(Some(batch)) => batches.push(batch),
            Ok(None) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    decoder.finish().map_err(|error| error.to_string())?;
    let schema = decoder.schema().ok_or("no schema")?;
    Ok((schema, batches))
}

/// Takes a message off a stream, in which its body remains; `None` at the end-of-stream marker.
/// <https://arrow.apache.org/docs/format/Columnar.html#encapsulated-message-format>
fn next_message(stream: &mut Buffer) -> Result<Option<Buffer>, String> {
    let (head, _) = stream
        .split_first_chunk::<8>()
        .ok_or("unexpected end of the stream")?;
    let [0xff, 0xff, 0xff, 0xff, length @ ..] = *head else {
        return Err("expected the start of a message".to_owned());
    };
    stream.advance(head.len());
    let length = u32::from_le_bytes(length);
    if length == 0 {
        return Ok(None);
    }
    let message = part(stream, 0, i64::from(length))?;
    stream.advance(message.len());
    Ok(Some(message))
}

fn part(whole: &Buffer, offset: i64, length: i64) -> Result<Buffer, String> {
    let outside = || format!("{length} bytes at offset {offset} are outside the stream");
    let offset = usize::try_from(offset).map_err(|_| outside())?;
    let length = usize::try_from(length).map_err(|_| outside())?;
    match offset.checked_add(length) {
        Some(end) if end <= whole.len() => Ok(whole.slice_with_length(offset, length)),
        _ => Err(outside()),
    }
}

/// Decodes a batch of [flat](is_flat) columns with the result of [`StreamDecoder`], or fails. With many short strings
/// it takes a quarter of the time: [`StreamDecoder`] checks them one by one.
fn flat_batch(
    schema: &Arc<Schema>,
    header: Header<'_>,
    body: &Buffer,
) -> Result<RecordBatch, String> {
    if header.compression().is_some() {
        return Err("the batch is compressed".to_owned());
    }
    let mut nodes = header.nodes().ok_or("no nodes")?.iter();
    let mut buffers = header.buffers().ok_or("no buffers")?.iter();
    let mut next_buffer = || {
        let buffer = buffers.next().ok_or("too few buffers")?;
        part(body, buffer.offset(), buffer.length())
    };
    let mut columns = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let node = nodes.next().ok_or("too few nodes")?;
        let rows = usize::try_from(node.length()).map_err(|error| error.to_string())?;
        let nulls = validity(rows, node.null_count(), next_buffer()?)?;
        columns.push(match field.data_type() {
            DataType::Utf8 => strings::<i32>(rows, nulls, next_buffer()?, next_buffer()?)?,
            DataType::LargeUtf8 => strings::<i64>(rows, nulls, next_buffer()?, next_buffer()?)?,
            other => {
                let buffers = layout(other).buffers.into_iter().map(|_| next_buffer());
                let data = ArrayData::builder(other.clone())
                    .len(rows)
                    .nulls(nulls)
                    .buffers(buffers.collect::<Result<_, _>>()?)
                    .align_buffers(true)
                    .build();
                make_array(data.map_err(|error| error.to_string())?)
            }
        });
    }
    let rows = usize::try_from(header.length()).map_err(|error| error.to_string())?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options)
        .map_err(|error| error.to_string())
}

fn validity(rows: usize, null_count: i64, bits: Buffer) -> Result<Option<NullBuffer>, String> {
    if null_count == 0 {
        return Ok(None);
    }
    if bits.len() < rows.div_ceil(8) {
        return Err("too few validity bits".to_owned());
    }
    let nulls = NullBuffer::new(BooleanBuffer::new(bits, 0, rows));
    if usize::try_from(null_count) != Ok(nulls.null_count()) {
        return Err(format!(
            "expected {null_count} nulls, found {}",
            nulls.null_count()
        ));
    }
    Ok(Some(nulls))
}

/// Creates an array of strings after all checks that arrow makes, applied
/// to all strings at once. Bytes outside of the strings must be UTF-8 too.
fn strings<O: OffsetSizeTrait>(
    rows: usize,
    nulls: Option<NullBuffer>,
    offsets: Buffer,
    values: Buffer,
) -> Result<ArrayRef, String> {
    let width = size_of::<O>();
    let length = rows.checked_add(1).and_then(|n| n.checked_mul(width));
    let offsets = match length {
        Some(length) if length <= offsets.len() => offsets.slice_with_length(0, length),
        _ if rows == 0 => Buffer::from_slice_ref([O::zero()]),
        _ => return Err("too few offsets".to_owned()),
    };
    let is_aligned = offsets.as_ptr().align_offset(width) == 0;
    let offsets = ScalarBuffer::<O>::from(if is_aligned {
        offsets
    } else {
        Buffer::from_slice_ref(offsets.as_slice())
    });
    // without an early exit from the loop, the compiler compares many at once
    let ascend = offsets
        .windows(2)
        .fold(true, |ascend, pair| ascend & (pair[0] <= pair[1]));
    let within = match (offsets.first(), offsets.last()) {
        (Some(first), Some(last)) => {
            *first >= O::zero() && last.to_usize().is_some_and(|last| last <= values.len())
        }
        _ => false,
    };
    if !(ascend && within && are_boundaries(&offsets, &values)) {
        return Err("offsets do not split the values into UTF-8 strings".to_owned());
    }
    #[expect(
        unsafe_code,
        reason = "the safe constructors look at one offset after the other: a third of a hit of 10,000 rows"
    )]
    // SAFETY: the offsets are `rows + 1`, at least one, and were checked to ascend from 0 or more to at most the length
    // of the text; the text is UTF-8, and each offset a character boundary; `nulls` has `rows` bits.
    let array = unsafe {
        GenericStringArray::<O>::new_unchecked(OffsetBuffer::new_unchecked(offsets), values, nulls)
    };
    Ok(Arc::new(array))
}

/// Returns `true` if the text is UTF-8 and each offset a character boundary.
fn are_boundaries<O: OffsetSizeTrait>(offsets: &[O], text: &[u8]) -> bool {
    // each byte is a character
    text.is_ascii()
        || std::str::from_utf8(text).is_ok_and(|text| {
            offsets
                .iter()
                .all(|at| text.is_char_boundary(at.as_usize()))
        })
}
