use std::collections::{HashMap, HashSet};
use std::fmt::Write;

use super::ReceivedSpan;

/// Renders traces as text: one line for each span, children indented below their parent, without ids and times.
pub(super) fn render(spans: &[ReceivedSpan]) -> String {
    let known: HashSet<&str> = spans.iter().map(|span| span.span_id.as_str()).collect();
    let (mut roots, mut children) = (Vec::new(), HashMap::<&str, Vec<&ReceivedSpan>>::new());
    for span in spans {
        if known.contains(span.parent_span_id.as_str()) {
            let siblings = children.entry(span.parent_span_id.as_str()).or_default();
            siblings.push(span);
        } else {
            roots.push(span);
        }
    }
    let mut text = String::new();
    below(&mut text, &mut roots, &mut children, 0);
    text
}

fn below<'a>(
    text: &mut String,
    siblings: &mut [&'a ReceivedSpan],
    children: &mut HashMap<&'a str, Vec<&'a ReceivedSpan>>,
    depth: usize,
) {
    siblings.sort_by_key(|span| span.start);
    for span in siblings {
        line(text, span, depth);
        if let Some(mut own) = children.remove(span.span_id.as_str()) {
            below(text, &mut own, children, depth + 1);
        }
    }
}

fn line(text: &mut String, span: &ReceivedSpan, depth: usize) {
    let _ = write!(text, "{:indent$}{}", "", span.name, indent = depth * 2);
    if span.kind != "internal" {
        let _ = write!(text, " ({})", span.kind);
    }
    if span.error {
        text.push_str(" ERROR");
    }
    for (key, value) in &span.attributes {
        if value.is_empty() || value.contains([' ', '"', '\n']) {
            let _ = write!(text, " {key}={value:?}");
        } else {
            let _ = write!(text, " {key}={value}");
        }
    }
    for _ in &span.links {
        text.push_str(" +link");
    }
    text.push('\n');
}
