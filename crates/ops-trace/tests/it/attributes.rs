use ops_trace::testing::Collector;
use ops_trace::{Tracer, Value, span};

use crate::{config, traced};

#[test]
fn the_last_value_of_a_key_wins_however_often_it_is_set() {
    let (collector, tracer) = traced();
    span!(tracer: tracer, "loop", step = 0, name = "a").in_scope(|span| {
        for step in 1..=500 {
            span.set_attribute("step", step);
        }
        span.set_attribute("name", "b");
        span.set_attribute("", "no key");
    });
    tracer.flush();
    assert_eq!(collector.snapshot(), "loop step=500 name=b\n");
}

#[test]
fn more_than_128_attributes_are_dropped_and_counted() {
    let (collector, tracer) = traced();
    span!(tracer: tracer, "many").in_scope(|span| {
        for n in 0..200 {
            span.set_attribute(format!("key{n}"), n);
        }
    });
    tracer.flush();
    let span = &collector.spans()[0];
    assert_eq!((span.attributes.len(), span.attributes_dropped), (128, 72));
    assert_eq!(tracer.stats().attributes_dropped, 72);
}

#[test]
fn a_low_limit_keeps_last_values_and_descriptions_and_counts_keys() {
    for (limit, attributes, dropped) in [
        ("0", &[][..], 2),
        ("1", &[("step", "20")], 1),
        ("2", &[("step", "20"), ("error.type", "late")], 0),
    ] {
        let collector = Collector::start().unwrap();
        let config = config(&collector.endpoint());
        let config = config.environment([("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", limit)]);
        let tracer = Tracer::new(config).unwrap();
        span!(tracer: tracer, "a").in_scope(|span| {
            for step in 1..=20 {
                span.set_attribute("step", step);
            }
            span.set_error_with("early", "z: the greatest text");
            span.set_error_with("late", "a: the last one");
        });
        tracer.flush();
        let span = &collector.spans()[0];
        let kept: Vec<_> = span.attributes.iter().map(|(k, v)| (&**k, &**v)).collect();
        assert_eq!((&*kept, span.attributes_dropped), (attributes, dropped));
        assert_eq!(span.status_message, "a: the last one");
    }
}

#[test]
fn long_text_is_cut_at_a_character_and_odd_numbers_become_text() {
    let (collector, tracer) = traced();
    span!(tracer: tracer, "odd", nan = f64::NAN, big = u64::MAX).in_scope(|span| {
        span.set_attribute("text", "ä".repeat(100_000));
        span.set_attribute("edge", format!("a{}", "ä".repeat(2048)));
        span.set_attribute("fits", "x".repeat(4096));
    });
    tracer.flush();
    let span = &collector.spans()[0];
    assert_eq!(span.attribute("nan"), Some("NaN"));
    assert_eq!(span.attribute("big"), Some("18446744073709551615"));
    let cut = |text: &str| format!("{text}...(truncated)");
    assert_eq!(span.attribute("text"), Some(&*cut(&"ä".repeat(2048))));
    assert_eq!(
        span.attribute("edge"),
        Some(&*cut(&format!("a{}", "ä".repeat(2047))))
    );
    assert_eq!(span.attribute("fits"), Some(&*"x".repeat(4096)));
}

fn filter() {
    ops_trace::set_attribute_filter(|key, value| match key {
        "filter.panic" => panic!("on purpose"),
        "filter.masked" => Some("***".to_owned()),
        "filter.secret" | "event.name" | "span.name" if value.contains("hunter2") => {
            Some(value.replace("hunter2", "***"))
        }
        _ => None,
    });
}

#[test]
fn the_filter_sees_text_before_anybody_else_and_a_panic_in_it_gives_nothing_away() {
    filter();
    let (collector, tracer) = traced();
    span!(tracer: tracer, "filtered", other = "hunter2").in_scope(|span| {
        span.add_event("login with hunter2", Vec::<(&str, Value)>::new());
        span.set_attribute("filter.secret", "password hunter2");
        span.set_attribute("filter.panic", "hunter2");
        // a secret that the limit would cut in two is filtered as a whole
        span.set_attribute("filter.secret", format!("{}hunter2", "x".repeat(4093)));
    });
    tracer.flush();
    let span = &collector.spans()[0];
    let expected = format!("{}***", "x".repeat(4093));
    assert_eq!(span.attribute("filter.secret"), Some(&*expected));
    assert_eq!(span.attribute("filter.panic"), Some("***"));
    assert_eq!(span.attribute("other"), Some("hunter2"));
    assert_eq!(span.events[0].name, "login with ***");
    let recent = tracer.recent().recent;
    let attributes = format!("{:?}", recent[0].spans[0].attributes);
    assert_eq!(attributes.matches("hunter2").count(), 1, "{attributes}");
}

#[test]
fn each_text_is_filtered_whatever_the_spans_before_it_in_its_batch_had() {
    filter();
    let (collector, tracer) = traced();
    let text = |at: usize| match at % 3 {
        0 => "fine".to_owned(),
        1 => "hunter2".to_owned(),
        _ => format!("hunter2 {at}"),
    };
    let spans = 90;
    for at in 0..spans {
        // two kinds of names, and a key that some spans have twice
        let name = ["one", "hunter2"][at / 2 % 2];
        let span = tracer.create_span(name.to_owned(), [("before", Value::from(at))]);
        if at % 5 == 0 {
            span.set_attribute("filter.secret", "earlier");
        }
        span.set_attribute("filter.secret", text(at));
        span.set_attribute("other", "hunter2");
    }
    tracer.flush();
    let received = collector.spans();
    assert_eq!(received.len(), spans);
    for (at, span) in received.iter().enumerate() {
        let expected = text(at).replace("hunter2", "***");
        assert_eq!(span.attribute("filter.secret"), Some(&*expected), "{at}");
        assert_eq!(span.name, ["one", "***"][at / 2 % 2]);
        assert_eq!(span.attribute("other"), Some("hunter2"));
        assert_eq!(span.attribute("before"), Some(&*at.to_string()));
        assert_eq!(span.attributes.len(), 3, "{span:?}");
    }
}

#[test]
fn a_text_is_filtered_though_the_end_of_its_span_took_another_one_away() {
    filter();
    let (collector, tracer) = traced();
    let attributes = ["error.type", "user", "filter.masked"].map(|key| (key, "admin"));
    let of = |attributes: &[(&'static str, &'static str)]| {
        let attributes = attributes
            .iter()
            .map(|(key, text)| (*key, Value::from(*text)));
        tracer.create_span("login", attributes.collect::<Vec<_>>())
    };
    drop(of(&attributes));
    // a successful span has no `error.type`
    of(&attributes).set_ok();
    drop(of(&attributes[1..]));
    tracer.flush();
    let received = collector.spans();
    assert_eq!(received.len(), 3);
    for span in received {
        assert_eq!(span.attribute("filter.masked"), Some("***"), "{span:?}");
        assert_eq!(span.attribute("user"), Some("admin"));
    }
}

/// Returns the names of the received spans.
fn names(collector: &Collector) -> Vec<String> {
    let spans = collector.spans().into_iter();
    spans.map(|span| span.name).collect()
}

#[test]
fn the_filter_sees_a_name_that_a_literal_had_before() {
    filter();
    let (collector, tracer) = traced();
    drop(tracer.create_span("hunter2", []));
    drop(tracer.create_span("hunter2".to_owned(), []));
    tracer.flush();
    assert_eq!(names(&collector), ["hunter2", "***"]);
}

#[test]
fn the_filter_sees_the_name_of_a_span_too() {
    // this process has one filter, which other tests set too
    filter();
    let (collector, tracer) = traced();
    tracer.create_span("literal", []).set_name("fetch hunter2");
    drop(tracer.create_span(format!("login\nwith {}", "hunter2"), []));
    tracer.flush();
    assert_eq!(
        names(&collector),
        ["fetch hunter2", "login\u{fffd}with ***"]
    );
    let shown = tracer.recent().recent;
    let shown: Vec<_> = shown.iter().map(|trace| &*trace.spans[0].name).collect();
    assert!(shown.contains(&"login\u{fffd}with ***"), "{shown:?}");
}

#[test]
fn the_last_value_of_a_key_of_an_event_wins() {
    let (collector, tracer) = traced();
    span!(tracer: tracer, "work").in_scope(|span| {
        let attributes = [("step", 1), ("of", 3), ("step", 2)];
        span.add_event(
            "tick",
            attributes.map(|(key, value)| (key, Value::from(value))),
        );
    });
    tracer.flush();
    let attributes = &collector.spans()[0].events[0].attributes;
    let attributes: Vec<_> = attributes.iter().map(|(k, v)| (&**k, &**v)).collect();
    assert_eq!(attributes, [("step", "2"), ("of", "3")]);
}

#[test]
fn a_batch_that_is_too_large_for_a_collector_is_sent_in_parts() {
    let collector = Collector::start().unwrap();
    let tracer = Tracer::new(config(&collector.endpoint())).unwrap();
    let text = "x".repeat(4096);
    for _ in 0..40 {
        let attributes = (0..100).map(|_| ("unused", Value::from(0)));
        let span = tracer.create_span("large", attributes.take(0));
        for n in 0..100 {
            span.set_attribute(format!("key{n}"), &text);
        }
    }
    tracer.flush();
    assert_eq!(tracer.stats().exported, 40);
    assert_eq!(collector.spans().len(), 40);
    assert!(collector.requests() >= 4, "{}", collector.requests());
    for (name, value) in collector.last_headers() {
        if name == "content-length" {
            assert!(value.parse::<usize>().unwrap() < 5 * 1024 * 1024, "{value}");
        }
    }
}
