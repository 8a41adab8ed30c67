//! Entity tags derived from content.

use std::hash::{Hash as _, Hasher};
use std::sync::{Arc, OnceLock};

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, GenericListArray, GenericListViewArray,
    ListArray, OffsetSizeTrait, RecordBatch, StructArray, UnionArray,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field};
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use arrow::row::{RowConverter, SortField};
use sha2::{Digest, Sha256};

use crate::key::hex;

/// Number of rows converted at a time.
const CHUNK_ROWS: usize = 8192;

/// Computes the weak entity tag (RFC 9110 section 8.8.3) of a body. Equal bytes have equal tags on every machine.
///
/// ```
/// assert_eq!(data_cache::compute_etag("{}"), data_cache::compute_etag(b"{}"));
/// assert!(data_cache::compute_etag("{}").starts_with("W/\""));
/// ```
pub fn compute_etag(body: impl AsRef<[u8]>) -> String {
    // weak, since a proxy may compress the body (section 8.8.1)
    weak(&Sha256::digest(body))
}

fn weak(digest: &[u8]) -> String {
    format!("W/\"{}\"", hex(&digest[..16]))
}

/// Digest of the rows of a result, computed on first use and
/// shared by the stored result and the results returned from it.
#[derive(Clone, Debug, Default)]
pub(crate) struct ContentDigest(Arc<OnceLock<[u8; 32]>>);

impl ContentDigest {
    /// Returns the tag of these rows in a representation. The division into batches does not matter.
    pub(crate) fn etag(&self, batches: &[RecordBatch], representation: &str) -> String {
        let content = self.0.get_or_init(|| content_digest(batches));
        let mut digest = Sha256::new_with_prefix(content);
        digest.update(representation);
        weak(&digest.finalize())
    }
}

fn content_digest(batches: &[RecordBatch]) -> [u8; 32] {
    let mut digest = Sha256::new();
    if let Some(first) = batches.first() {
        // hashed, because `Hash` sorts the metadata of a field by key
        first.schema().fields().hash(&mut Hashed(&mut digest));
    }
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    digest.update((rows as u64).to_le_bytes());
    if digest_rows(batches, &mut digest).is_none() {
        digest_stream(batches, &mut digest);
    }
    digest.finalize().into()
}

/// Hasher that writes into a digest.
struct Hashed<'a>(&'a mut Sha256);

impl Hasher for Hashed<'_> {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Unused.
    fn finish(&self) -> u64 {
        0
    }
}

/// Digests rows in a form that depends only on their values; `None` for types without such a form.
fn digest_rows(batches: &[RecordBatch], digest: &mut Sha256) -> Option<()> {
    let columns = batches.first()?.columns().iter();
    let sorted = columns.map(|column| {
        let column = without_map(&column.slice(0, 0));
        SortField::new(column.data_type().clone())
    });
    let converter = RowConverter::new(sorted.collect()).ok()?;
    for batch in batches {
        let mut from = 0;
        while from < batch.num_rows() {
            let length = CHUNK_ROWS.min(batch.num_rows() - from);
            let part = batch.slice(from, length);
            let columns: Vec<_> = part.columns().iter().map(without_map).collect();
            let rows = converter.convert_columns(&columns);
            for row in &rows.ok()? {
                digest.update((row.as_ref().len() as u64).to_le_bytes());
                digest.update(row.as_ref());
            }
            from += length;
        }
    }
    Some(())
}

/// Converts maps, including nested ones, to lists of their entries, since the row format does not support maps. Values
/// are neither copied nor read, since a slice of a batch points to the values of the whole batch.
fn without_map(column: &ArrayRef) -> ArrayRef {
    let as_it_is = SortField::new(column.data_type().clone());
    if RowConverter::supports_fields(&[as_it_is]) {
        return column.clone();
    }
    listed(column).unwrap_or_else(|_| column.clone())
}

fn listed(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let nulls = column.nulls().cloned();
    Ok(match column.data_type() {
        DataType::Map(field, _) => {
            let map = column.as_map();
            let entries: ArrayRef = Arc::new(map.entries().clone());
            let (field, entries) = within(field, &entries);
            let lists = ListArray::try_new(field, map.offsets().clone(), entries, nulls);
            Arc::new(lists?)
        }
        DataType::List(field) => list::<i32>(field, column)?,
        DataType::LargeList(field) => list::<i64>(field, column)?,
        DataType::ListView(field) => list_view::<i32>(field, column)?,
        DataType::LargeListView(field) => list_view::<i64>(field, column)?,
        DataType::FixedSizeList(field, length) => {
            let (field, values) = within(field, column.as_fixed_size_list().values());
            Arc::new(FixedSizeListArray::try_new(field, *length, values, nulls)?)
        }
        DataType::Struct(fields) => {
            let columns = fields.iter().zip(column.as_struct().columns());
            let (fields, columns): (Vec<_>, _) =
                columns.map(|(field, part)| within(field, part)).unzip();
            Arc::new(StructArray::try_new(fields.into(), columns, nulls)?)
        }
        DataType::Union(fields, _) => {
            let union = column.as_union();
            let parts = fields.iter().map(|(id, field)| {
                let (field, part) = within(field, union.child(id));
                ((id, field), part)
            });
            let (fields, parts): (Vec<_>, _) = parts.unzip();
            let (ids, offsets) = (union.type_ids().clone(), union.offsets().cloned());
            let fields = fields.into_iter().collect();
            Arc::new(UnionArray::try_new(fields, ids, offsets, parts)?)
        }
        _ => column.clone(),
    })
}

fn within(field: &Arc<Field>, values: &ArrayRef) -> (Arc<Field>, ArrayRef) {
    let values = without_map(values);
    let field = field
        .as_ref()
        .clone()
        .with_data_type(values.data_type().clone());
    (Arc::new(field), values)
}

fn list<O: OffsetSizeTrait>(field: &Arc<Field>, column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let lists = column.as_list::<O>();
    let (field, values) = within(field, lists.values());
    let nulls = lists.nulls().cloned();
    let lists = GenericListArray::try_new(field, lists.offsets().clone(), values, nulls)?;
    Ok(Arc::new(lists))
}

fn list_view<O: OffsetSizeTrait>(
    field: &Arc<Field>,
    column: &ArrayRef,
) -> Result<ArrayRef, ArrowError> {
    let lists = column.as_list_view::<O>();
    let (field, values) = within(field, lists.values());
    let (offsets, sizes) = (lists.offsets().clone(), lists.sizes().clone());
    let nulls = lists.nulls().cloned();
    let lists = GenericListViewArray::try_new(field, offsets, sizes, values, nulls)?;
    Ok(Arc::new(lists))
}

fn digest_stream(batches: &[RecordBatch], digest: &mut Sha256) {
    let Some(schema) = batches.first().map(RecordBatch::schema) else {
        return;
    };
    let written = concat_batches(&schema, batches).and_then(|whole| {
        let mut writer = StreamWriter::try_new(Vec::new(), &schema)?;
        writer.write(&whole)?;
        writer.into_inner()
    });
    match written {
        Ok(bytes) => digest.update(bytes),
        // nothing else identifies the content: the tag is unique
        Err(_) => digest.update(crate::disk::unique_id()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use arrow::array::Int64Array;
    use arrow::datatypes::Schema;

    use super::*;

    fn tag(comment: &str) -> String {
        // each map has a different iteration order
        let metadata = |name: &str| -> HashMap<String, String> {
            let more = ('a'..='h').map(|key| (key.to_string(), format!("{name} {key}")));
            more.chain([("comment".to_owned(), comment.to_owned())])
                .collect()
        };
        let item = Field::new("item", DataType::Int64, true).with_metadata(metadata("item"));
        let nested = Field::new_list("all", item, true).with_metadata(metadata("all"));
        let number = Field::new("n", DataType::Int64, false).with_metadata(metadata("n"));
        let schema = Arc::new(Schema::new(vec![number, nested.clone()]));
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let lists = arrow::array::new_null_array(nested.data_type(), 2);
        let batch = RecordBatch::try_new(schema, vec![numbers, lists]).unwrap();
        ContentDigest::default().etag(&[batch], "json")
    }

    #[test]
    fn a_tag_does_not_depend_on_the_order_of_metadata() {
        let tags: HashSet<String> = (0..20).map(|_| tag("x")).collect();
        assert_eq!(tags.len(), 1);
        assert!(!tags.contains(&tag("y")));
    }
}
