//! Copies of small results.
//!
//! An engine returns results in allocations that it frees itself, with an overhead of 0.7 KiB per column. For a result
//! of a few rows this overhead is most of the memory, and it is not counted.

use arrow::array::{Array, ArrayData, RecordBatch, RecordBatchOptions, make_array};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::error::ArrowError;

/// Size of a column in bytes above which the engine's overhead is less than a twentieth.
const SMALL_BYTES: usize = 16 << 10;

/// Copies batches whose columns are small and shares the others.
pub(crate) fn small_ones(batches: &[RecordBatch]) -> Vec<RecordBatch> {
    batches.iter().map(owned).collect()
}

fn owned(batch: &RecordBatch) -> RecordBatch {
    let columns = batch.columns().iter();
    let bytes: usize = columns.map(|column| shown_bytes(&column.to_data())).sum();
    if bytes > SMALL_BYTES * batch.num_columns() {
        return batch.clone();
    }
    copied(batch).unwrap_or_else(|_| batch.clone())
}

fn copied(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter();
    let columns = columns.map(|column| Ok(make_array(data_of(column.to_data())?)));
    let columns = columns.collect::<Result<Vec<_>, ArrowError>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(batch.schema(), columns, &options)
}

/// Returns the number of bytes of the allocations that the buffers cover.
fn shown_bytes(data: &ArrayData) -> usize {
    let buffers = data.buffers().iter().map(Buffer::len).sum::<usize>();
    let nulls = data.nulls().map_or(0, |nulls| nulls.buffer().len());
    buffers + nulls + data.child_data().iter().map(shown_bytes).sum::<usize>()
}

/// Copies the bytes that the buffers cover, without the rest of their allocations.
fn data_of(data: ArrayData) -> Result<ArrayData, ArrowError> {
    let buffers = data.buffers().iter().map(bytes_of).collect();
    let nulls = data.nulls().map(|nulls| {
        let bits = bytes_of(nulls.buffer());
        NullBuffer::new(BooleanBuffer::new(bits, nulls.offset(), nulls.len()))
    });
    let children = data.child_data().iter().cloned().map(data_of);
    let children = children.collect::<Result<Vec<_>, ArrowError>>()?;
    let builder = data.into_builder().buffers(buffers).nulls(nulls);
    builder.child_data(children).build()
}

/// Copies a buffer with the largest alignment that any type needs, and no larger one: the C library's allocator does
/// not reuse freed blocks of a larger alignment, and memory grew to twice its limit.
fn bytes_of(buffer: &Buffer) -> Buffer {
    let word = |bytes: &[u8]| {
        let mut word = [0; 16];
        word[..bytes.len()].copy_from_slice(bytes);
        i128::from_ne_bytes(word)
    };
    let words: Vec<i128> = buffer.as_slice().chunks(16).map(word).collect();
    Buffer::from_vec(words).slice_with_length(0, buffer.len())
}
