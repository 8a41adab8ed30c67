use std::thread;

use http::HeaderValue;
use ops_http::header_value;
use proptest::collection::vec;
use proptest::prelude::*;

/// Lengths below, around and above that of the shared buffer.
fn texts() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => vec(any::<u8>(), 0..80),
        8 => vec(b' '..=b'~', 0..80),
        1 => vec(b'a'..=b'z', 500..520),
        1 => vec(b'a'..=b'z', 4096),
    ]
}

proptest! {
    /// The values of one thread share a buffer: no value shows a part
    /// of another, and all stay valid, whatever the order of drops.
    #[test]
    fn each_value_is_what_was_asked_for(texts in vec(texts(), 1..200)) {
        let mut kept = Vec::new();
        for (at, text) in texts.iter().enumerate() {
            let value = header_value(text);
            prop_assert_eq!(&value, &HeaderValue::from_bytes(text).ok());
            if at % 3 > 0 {
                kept.push((text, value));
            }
        }
        for (text, value) in kept {
            prop_assert_eq!(value, HeaderValue::from_bytes(text).ok());
        }
    }
}

#[test]
fn a_value_outlives_the_thread_that_made_it() {
    let made = thread::spawn(|| [1, 2].map(|n| header_value(format!("id-{n}").as_bytes())));
    let values = made.join().unwrap();
    assert_eq!(values[0].as_ref().unwrap(), "id-1");
    assert_eq!(values[1].as_ref().unwrap(), "id-2");
}
