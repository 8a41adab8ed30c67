use std::cell::RefCell;

use bytes::BytesMut;
use http::HeaderValue;

/// Room for about twenty ids, whose headers share one allocation. HTTP/2 keeps some headers of a connection for as long as that lasts, and the
/// buffer with each of them.
const SHARED_BYTES: usize = 1024;

thread_local! {
    static SHARED: RefCell<BytesMut> = RefCell::new(BytesMut::new());
}

/// Returns the value of a header that is made for each request, such as an id; `None` if the text cannot stand in one.
///
/// Its bytes are a part of a buffer that is allocated once for many, and freed when the last of them is dropped: not for values
/// that are kept.
pub fn header_value(text: &[u8]) -> Option<HeaderValue> {
    let shared = SHARED.try_with(|shared| {
        let mut shared = shared.try_borrow_mut().ok()?;
        if shared.capacity() < text.len() {
            shared.reserve(SHARED_BYTES.max(text.len()));
        }
        shared.extend_from_slice(text);
        Some(shared.split().freeze())
    });
    match shared.ok().flatten() {
        Some(bytes) => HeaderValue::from_maybe_shared(bytes).ok(),
        None => HeaderValue::from_bytes(text).ok(),
    }
}
