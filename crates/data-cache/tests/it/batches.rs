//! Small results.

use std::sync::Arc;

use data_cache::arrow::array::{ArrayRef, Int64Array, RecordBatch};

/// Returns one column of these numbers.
pub(crate) fn numbers(values: &[i64]) -> RecordBatch {
    let column: ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
    RecordBatch::try_from_iter([("n", column)]).unwrap()
}

/// Returns the first number of the first column.
pub(crate) fn number(batches: &[RecordBatch]) -> i64 {
    let column = batches[0].column(0).as_any();
    column.downcast_ref::<Int64Array>().unwrap().value(0)
}

/// Returns `true` if the long version of a test is requested.
pub(crate) fn is_full() -> bool {
    std::env::var_os("OPS_TEST_FULL").is_some_and(|value| value == "1")
}

/// A small reproducible generator (xorshift64*).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap() % limit
    }
}
