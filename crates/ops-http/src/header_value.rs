use std::cell::RefCell;

use bytes::BytesMut;
use http::HeaderValue;

/// Space for about twenty ids, whose headers share one allocation. HTTP/2 keeps some
/// headers as long as their connection, and each of them keeps the whole buffer.
const SHARED_BYTES: usize = 1024;

thread_local! {
    static SHARED: RefCell<BytesMut> = RefCell::new(BytesMut::new());
}

/// Returns a header value that is created for each request, such as an id; `None` if the text is not a valid value.
///
/// Its bytes are part of a buffer that many values share and that is freed
/// when the last of them is dropped: do not use it for values that are kept.
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
