//! Kept traces that show a finding: the way from the finding to the request, its lines and its statements.

use super::Finding;

/// Kind of trace that shows a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TraceKind {
    /// A request that failed.
    Failure,
    /// A slow request.
    SlowAnswer,
    /// A query that was slow at the engine.
    SlowQuery,
    /// A query that failed at the engine.
    FailedQuery,
}

/// Kept trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Example {
    pub(crate) trace_id: String,
    /// Method and route of its request.
    pub(crate) route: Option<String>,
}

/// Function that finds a trace of a kind: of the wanted route, and the preferred trace while it is kept.
pub(crate) type Find = fn(TraceKind, Option<&str>, Option<&str>) -> Option<Example>;

/// Built-in findings that a trace can show.
const TRACE_KINDS: [(&str, TraceKind); 5] = [
    ("requests_failing", TraceKind::Failure),
    ("requests_slow", TraceKind::SlowAnswer),
    ("requests_usually_slow", TraceKind::SlowAnswer),
    ("duckdb_slow", TraceKind::SlowQuery),
    ("duckdb_failing", TraceKind::FailedQuery),
];

/// Traces that findings were last linked to: a link stays the same while its trace is kept.
#[derive(Debug, Default)]
pub(crate) struct Examples(Vec<(&'static str, Example)>);

impl Examples {
    /// Adds route and trace to the findings that a trace can show. `find`
    /// works as [`Find`]; it is called only if there is such a finding.
    pub(crate) fn add(
        &mut self,
        findings: &mut [Finding],
        find: impl Fn(TraceKind, Option<&str>, Option<&str>) -> Option<Example>,
    ) {
        let mut known = Vec::new();
        for finding in findings {
            let named = TRACE_KINDS.iter().find(|(id, _)| *id == finding.id);
            // a rule that sets the route means failed requests of that route
            let of_route = finding.route.as_ref().map(|_| TraceKind::Failure);
            let Some(kind) = named.map(|(_, kind)| *kind).or(of_route) else {
                continue;
            };
            if finding.trace_id.is_some() {
                continue;
            }
            let before = self.0.iter().find(|(id, _)| *id == finding.id);
            let before = before.map(|(_, example)| example.trace_id.as_str());
            let Some(example) = find(kind, finding.route.as_deref(), before) else {
                continue;
            };
            finding.trace_id = Some(example.trace_id.clone());
            finding.route = finding.route.take().or_else(|| example.route.clone());
            known.push((finding.id, example));
        }
        self.0 = known;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::findings::Severity;

    fn example(trace: &str) -> Example {
        Example {
            trace_id: trace.to_owned(),
            route: Some("GET /a".to_owned()),
        }
    }

    #[test]
    fn a_finding_keeps_the_trace_that_it_was_linked_to() {
        let mut examples = Examples::default();
        let mut findings = [
            Finding::new("duckdb_slow", Severity::Warning),
            Finding::new("disk_full", Severity::Critical),
            Finding::new("of_the_application", Severity::Critical).route("GET /b"),
            Finding::new("with_a_trace", Severity::Critical)
                .route("GET /c")
                .trace_id("c"),
        ];
        examples.add(&mut findings, |kind, route, before| {
            let right = match route {
                None => TraceKind::SlowQuery,
                Some(_) => TraceKind::Failure,
            };
            assert_eq!((kind, before), (right, None));
            Some(example(route.unwrap_or("first")))
        });
        let linked = findings.each_ref().map(|finding| {
            let texts = [&finding.trace_id, &finding.route];
            texts.map(|text| text.as_deref().unwrap_or("-"))
        });
        let right = [
            ["first", "GET /a"],
            ["-", "-"],
            ["GET /b", "GET /b"],
            ["c", "GET /c"],
        ];
        assert_eq!(linked, right);

        let mut again = [Finding::new("duckdb_slow", Severity::Warning)];
        examples.add(&mut again, |_, _, before| {
            assert_eq!(before, Some("first"));
            Some(example("first"))
        });
        // the finding ends, and appears again later
        examples.add(&mut [], |_, _, _| unreachable!());
        examples.add(
            &mut again.map(|_| Finding::new("duckdb_slow", Severity::Warning)),
            |_, _, before| {
                assert_eq!(before, None);
                None
            },
        );
    }
}
