use std::sync::Arc;

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, TraceId, TraceState};

const MAX_BYTES: usize = 512;
const MAX_MEMBERS: usize = 32;
const MAX_KEY_BYTES: usize = 256;
const MAX_TENANT_BYTES: usize = 241;
const MAX_SYSTEM_BYTES: usize = 14;
const MAX_VALUE_BYTES: usize = 256;

/// A valid `tracestate`.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// The members that the SDK can hold.
    pub(crate) sdk: TraceState,
    /// The whole list, if the SDK cannot hold all of it.
    pub(crate) whole: Option<Arc<str>>,
}

/// The whole list of a trace if the SDK cannot hold all members: it refuses keys with a system id of 14 characters. The
/// list is kept in the context, beside the span.
#[derive(Clone, Debug)]
pub(crate) struct WholeState {
    pub(crate) trace_id: TraceId,
    pub(crate) text: Arc<str>,
}

/// Returns the `tracestate` of a span in its context; empty if there is none.
pub(crate) fn header(context: &Context, span: &SpanContext) -> String {
    match context.get::<WholeState>() {
        Some(whole) if whole.trace_id == span.trace_id() => whole.text.to_string(),
        _ => span.trace_state().header(),
    }
}

/// Parses the joined `tracestate` headers. A list with an invalid member, or above a limit, is discarded as a whole.
///
/// Keys follow the grammar of level 1, the stricter one, which the W3C test
/// suite demands at both levels. If members share a key, the first one wins.
pub(crate) fn parse(text: &str) -> Option<State> {
    let mut members: Vec<(&str, &str)> = Vec::new();
    let mut count = 0;
    for member in text.split(',') {
        let member = member.trim_matches([' ', '\t']);
        if member.is_empty() {
            continue;
        }
        let (key, value) = member.split_once('=')?;
        count += 1;
        if !is_key(key) || !is_value(value) || count > MAX_MEMBERS {
            return None;
        }
        if !members.iter().any(|(known, _)| *known == key) {
            members.push((key, value));
        }
    }
    let text: Vec<String> = members.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let text = text.join(",");
    if text.len() > MAX_BYTES {
        return None;
    }
    Some(match TraceState::from_key_value(members.iter().copied()) {
        Ok(sdk) => State { sdk, whole: None },
        Err(_) => State {
            sdk: held_by_sdk(&members),
            whole: Some(text.into()),
        },
    })
}

fn held_by_sdk(members: &[(&str, &str)]) -> TraceState {
    let is_held = |member: &&(&str, &str)| TraceState::from_key_value([**member]).is_ok();
    let held = members.iter().filter(is_held).copied();
    TraceState::from_key_value(held).unwrap_or_default()
}

/// Checks a key: `lcalpha 0*255( keychar )`, or `( lcalpha / DIGIT ) 0*240( keychar ) "@" lcalpha 0*13( keychar )`.
fn is_key(key: &str) -> bool {
    let part = |part: &str, most: usize, digit_first: bool| {
        let first = part.bytes().next();
        first.is_some_and(|b| b.is_ascii_lowercase() || digit_first && b.is_ascii_digit())
            && part.len() <= most
            && part.bytes().all(is_key_char)
    };
    match key.split_once('@') {
        Some((tenant, system)) => {
            part(tenant, MAX_TENANT_BYTES, true) && part(system, MAX_SYSTEM_BYTES, false)
        }
        None => part(key, MAX_KEY_BYTES, false),
    }
}

fn is_key_char(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-' | b'*' | b'/')
}

/// Checks a value: 1 to 256 printable characters except `,` and `=`; the caller has trimmed the end.
fn is_value(value: &str) -> bool {
    let is_char = |b: u8| matches!(b, b' '..=b'~') && b != b',' && b != b'=';
    (1..=MAX_VALUE_BYTES).contains(&value.len()) && value.bytes().all(is_char)
}
