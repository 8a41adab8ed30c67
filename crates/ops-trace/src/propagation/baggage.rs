//! W3C baggage, with the limits of its specification: 64 members, 8,192 bytes.

use std::collections::HashMap;

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::baggage::BaggageExt;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry_sdk::propagation::BaggagePropagator;

pub(super) const HEADER: HeaderName = HeaderName::from_static("baggage");

/// Returns the context with the baggage that the headers carry; beyond the limits there is none.
pub(crate) fn extract(headers: &HeaderMap, context: Context) -> Context {
    let values = headers.get_all(HEADER).iter();
    let values: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
    if values.is_empty() {
        return context;
    }
    let carried = HashMap::from([(HEADER.as_str().to_owned(), values.join(","))]);
    BaggagePropagator::new().extract_with_context(&context, &carried)
}

pub(super) fn inject(context: &Context, headers: &mut HeaderMap) {
    let mut carried = HashMap::new();
    BaggagePropagator::new().inject_context(context, &mut carried);
    if let Some(text) = carried.remove(HEADER.as_str())
        && let Ok(value) = HeaderValue::try_from(text)
    {
        headers.insert(HEADER, value);
    }
}

/// Returns the value of a baggage key.
#[cfg_attr(not(feature = "http"), expect(dead_code, reason = "servers read it"))]
pub(crate) fn value(context: &Context, key: &str) -> Option<String> {
    context
        .baggage()
        .get(key)
        .map(|value| value.as_str().to_owned())
}
