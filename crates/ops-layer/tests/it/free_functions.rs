use ops_layer::cache::{Params, get_cache};
use ops_layer::secrets::get_secret;

use crate::OPS;

#[test]
fn free_functions_ask_the_parts_that_init_made() {
    let ops = &*OPS;
    let greeting = get_secret("greeting").blocking().unwrap();
    assert_eq!(greeting.expose(), "hello from the catalog");
    get_cache()
        .unwrap()
        .set("SELECT 1", &[batch()], &Params::new(), None)
        .unwrap();
    assert!(ops.cache().get("SELECT 1", &Params::new()).is_some());
}

fn batch() -> ops_layer::cache::arrow::array::RecordBatch {
    use ops_layer::cache::arrow::array::{ArrayRef, Int64Array, RecordBatch};
    let column: ArrayRef = std::sync::Arc::new(Int64Array::from(vec![1]));
    RecordBatch::try_from_iter([("n", column)]).unwrap()
}
