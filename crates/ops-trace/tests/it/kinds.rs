use std::fmt;
use std::time::{Duration, SystemTime};

use ops_trace::{Span, SpanIds, SpanKind, span};

use crate::{flush_all, traced};

#[test]
fn spans_have_kinds_and_links_from_their_start() {
    let (collector, tracer) = traced();
    let message = span!(tracer: tracer, kind: SpanKind::Producer, "send");
    let to = message.ids().unwrap();
    drop(message);
    let nothing = SpanIds::new([0; 16], [0; 8]);
    drop(span!(tracer: tracer, kind: SpanKind::Consumer, links: [to, nothing], "handle", n = 1));
    drop(span!(tracer: tracer, links: Some(to), "linked"));
    drop(span!(tracer: tracer, links: [to], kind: SpanKind::Server, "serve", a.b = "c"));
    span!(tracer: tracer, kind: SpanKind::Client, "call").in_scope(|span| span.add_link(to));
    span!(tracer: tracer, kind: SpanKind::Internal, "inside").in_scope(|span| {
        span.add_link(nothing);
        span.set_name("renamed");
    });
    let now = SystemTime::now();
    let completed = tracer.completed_span("query", now, Duration::from_millis(1));
    completed.kind(SpanKind::Client).link(to).record();
    tracer.flush();
    assert_eq!(
        collector.snapshot(),
        "send (producer)\nhandle (consumer) n=1 +link\nlinked +link\nserve (server) a.b=c +link\n\
         call (client) +link\nrenamed\nquery (client) +link\n"
    );
    let spans = collector.spans();
    let link = &spans[1].links[0];
    assert_eq!(
        (&link.trace_id, &link.span_id),
        (&spans[0].trace_id, &spans[0].span_id)
    );
}

#[derive(Debug)]
struct Failed(Option<Box<Failed>>, &'static str);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.1)
    }
}

impl std::error::Error for Failed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.as_deref().map(|cause| cause as _)
    }
}

#[test]
fn spans_have_events_exceptions_and_a_status() {
    let (collector, tracer) = traced();
    let cause = Failed(
        Some(Box::new(Failed(None, "no route to host"))),
        "cannot connect",
    );
    let error = Failed(Some(Box::new(cause)), "cannot load");
    span!(tracer: tracer, "load").in_scope(|span| {
        span.add_event("retry", [("attempt", 2.into()), ("", "no key".into())]);
        span.record_exception(&error);
        let error: &dyn std::error::Error = &error;
        span.record_exception(error);
        span.set_error_with("timeout", "no answer within 3 s");
    });
    span!(tracer: tracer, "fine").in_scope(|span| {
        span.set_ok();
        span.set_error("late");
    });
    tracer.flush();
    let spans = collector.spans();
    let (load, fine) = (&spans[0], &spans[1]);
    let names: Vec<&str> = load
        .events
        .iter()
        .map(|event| event.name.as_str())
        .collect();
    assert_eq!(names, ["retry", "exception", "exception"]);
    assert_eq!(
        load.events[0].attributes,
        [("attempt".to_owned(), "2".to_owned())]
    );
    let attributes: Vec<(&str, &str)> = load.events[1]
        .attributes
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    assert_eq!(attributes[0].0, "exception.type");
    assert!(attributes[0].1.ends_with("::Failed"), "{attributes:?}");
    assert_eq!(attributes[1], ("exception.message", "cannot load"));
    let causes = "caused by: cannot connect\ncaused by: no route to host";
    assert_eq!(attributes[2], ("exception.stacktrace", causes));
    assert!(load.error);
    assert_eq!(load.status_message, "no answer within 3 s");
    assert_eq!(load.attribute("error.type"), Some("timeout"));
    assert!(!fine.error, "success on purpose stays");
}

/// The SDK would keep the greatest of several descriptions.
#[test]
fn the_last_error_of_a_span_describes_it_and_none_is_left_of_one_that_succeeded() {
    let (collector, tracer) = traced();
    let attempts = |name: &'static str, end: fn(&Span)| {
        span!(tracer: tracer, name).in_scope(|span| {
            span.set_error_with("timeout", "timed out");
            end(span);
        });
    };
    attempts("again", |span| span.set_error_with("refused", "no route"));
    attempts("later", |span| span.set_error_with("timeout", "too late"));
    attempts("bare", |span| span.set_error("refused"));
    let panics = |_: &Span| std::panic::resume_unwind(Box::new("on purpose"));
    assert!(std::panic::catch_unwind(|| attempts("panics", panics)).is_err());
    attempts("works", Span::set_ok);
    attempts("worked", |span| {
        span.set_ok();
        span.set_error_with("refused", "unused");
    });
    flush_all(&tracer);
    let ends: Vec<_> = collector
        .spans()
        .into_iter()
        .map(|span| (span.error, span.status_message, span.attributes))
        .collect();
    let failed = |kind: &str, description: &str| {
        (
            true,
            description.to_owned(),
            vec![("error.type".to_owned(), kind.to_owned())],
        )
    };
    let worked = (false, String::new(), vec![]);
    let expected = [
        failed("refused", "no route"),
        failed("timeout", "too late"),
        failed("refused", ""),
        failed("panic", "timed out"),
        worked.clone(),
        worked,
    ];
    assert_eq!(ends, expected);
}

#[test]
fn methods_have_no_effect_on_an_unsampled_span() {
    let (collector, tracer) = traced();
    tracer
        .set_sampling_ratio(0.0, Duration::from_secs(60))
        .unwrap();
    span!(tracer: tracer, kind: SpanKind::Client, "a").in_scope(|span| {
        span.add_event("event", []);
        span.record_exception(&Failed(None, "x"));
        span.set_ok();
        span.set_name("b");
        assert!(span.ids().is_some(), "it has ids all the same");
    });
    tracer.flush();
    assert_eq!(collector.requests(), 0);
}
