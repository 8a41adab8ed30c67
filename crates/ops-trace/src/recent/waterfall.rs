use std::collections::HashMap;
use std::time::Duration;

use crate::{RecentSpan, RecentTrace};

/// Line of a waterfall: a span, its depth and its offset.
#[derive(Clone, Copy, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct Bar<'a> {
    /// The span.
    pub span: &'a RecentSpan,
    /// Number of ancestors in this trace.
    pub depth: usize,
    /// Time from the start of the trace to that of the span.
    pub offset: Duration,
}

impl RecentTrace {
    /// Returns the spans as a tree from top to bottom: each below its parent, siblings in order of their start.
    pub fn waterfall(&self) -> Vec<Bar<'_>> {
        let ids: HashMap<&str, usize> = self
            .spans
            .iter()
            .enumerate()
            .map(|(at, span)| (span.span_id.as_str(), at))
            .collect();
        let (mut roots, mut children) = (Vec::new(), vec![Vec::new(); self.spans.len()]);
        for (at, span) in self.spans.iter().enumerate() {
            let parent = span.parent_span_id.as_deref();
            match parent.and_then(|id| ids.get(id)) {
                Some(parent) => children[*parent].push(at),
                None => roots.push(at),
            }
        }
        let mut bars = Vec::with_capacity(self.spans.len());
        let mut open: Vec<(usize, usize)> = roots.into_iter().rev().map(|at| (at, 0)).collect();
        while let Some((at, depth)) = open.pop() {
            bars.push(self.bar(at, depth));
            open.extend(children[at].iter().rev().map(|child| (*child, depth + 1)));
        }
        bars
    }

    fn bar(&self, at: usize, depth: usize) -> Bar<'_> {
        let span = &self.spans[at];
        let offset = span.start.duration_since(self.start);
        Bar {
            span,
            depth,
            offset: offset.unwrap_or_default(),
        }
    }
}
