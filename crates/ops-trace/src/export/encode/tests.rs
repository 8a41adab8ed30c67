use std::borrow::Cow;
use std::sync::{Arc, Once};
use std::time::{Duration, UNIX_EPOCH};

use opentelemetry::trace::{
    Event, Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{Array, InstrumentationScope, KeyValue, Value};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::brief::{Batch, Brief, Shape};
use crate::limits::{Limits, set_attribute_filter};

/// Texts whose lengths need one, two or three bytes.
fn words() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,12}",
        (0..300_usize).prop_map(|len| "é".repeat(len)),
        (16_000..17_000_usize).prop_map(|len| "x".repeat(len)),
    ]
}

fn values() -> impl Strategy<Value = Value> {
    prop_oneof![
        words().prop_map(Value::from),
        Just(Value::from("")),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        vec(any::<bool>(), 0..4).prop_map(|all| Value::Array(Array::Bool(all))),
        vec(any::<i64>(), 0..4).prop_map(|all| Value::Array(Array::I64(all))),
        vec(any::<f64>(), 0..4).prop_map(|all| Value::Array(Array::F64(all))),
        vec("\\PC{0,80}", 0..4).prop_map(|all| {
            Value::Array(Array::String(all.into_iter().map(Into::into).collect()))
        }),
    ]
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    let pair = ("\\PC{0,20}", values());
    vec(
        pair.prop_map(|(key, value)| KeyValue::new(key, value)),
        0..6,
    )
}

fn contexts() -> impl Strategy<Value = SpanContext> {
    let ids = (any::<u128>(), any::<u64>(), any::<u8>(), any::<bool>());
    (ids, any::<bool>()).prop_map(|((trace, span, flags, is_remote), has_state)| {
        let state = [("vendor", "value"), ("b", "2")];
        let state = has_state.then(|| TraceState::from_key_value(state).unwrap());
        SpanContext::new(
            TraceId::from(trace),
            SpanId::from(span),
            TraceFlags::new(flags),
            is_remote,
            state.unwrap_or_default(),
        )
    })
}

fn scopes() -> impl Strategy<Value = InstrumentationScope> {
    (0..4_u8, any::<bool>()).prop_map(|(number, is_full)| {
        let scope = InstrumentationScope::builder(["", "a", "b", "long name"][number as usize]);
        if is_full {
            let attributes = [KeyValue::new("team", "x"), KeyValue::new("n", 7)];
            return scope
                .with_version("1.2")
                .with_schema_url("https://example.org/1")
                .with_attributes(attributes)
                .build();
        }
        scope.build()
    })
}

fn events() -> impl Strategy<Value = SpanEvents> {
    let event = (words(), any::<u32>(), attributes(), any::<u32>());
    let event = event.prop_map(|(name, at, attributes, dropped)| {
        let at = UNIX_EPOCH + Duration::from_micros(u64::from(at));
        Event::new(name, at, attributes, dropped)
    });
    (vec(event, 0..3), any::<u32>()).prop_map(|(all, dropped)| {
        let mut events = SpanEvents::default();
        (events.events, events.dropped_count) = (all, dropped);
        events
    })
}

fn links() -> impl Strategy<Value = SpanLinks> {
    let link = (contexts(), attributes(), any::<u32>());
    let link = link.prop_map(|(to, attributes, dropped)| Link::new(to, attributes, dropped));
    (vec(link, 0..3), any::<u32>()).prop_map(|(all, dropped)| {
        let mut links = SpanLinks::default();
        (links.links, links.dropped_count) = (all, dropped);
        links
    })
}

fn spans() -> impl Strategy<Value = SpanData> {
    let kinds = prop_oneof![
        Just(SpanKind::Internal),
        Just(SpanKind::Server),
        Just(SpanKind::Client),
        Just(SpanKind::Producer),
        Just(SpanKind::Consumer),
    ];
    let status = prop_oneof![
        Just(Status::Unset),
        Just(Status::Ok),
        words().prop_map(Status::error),
    ];
    let ids = (contexts(), any::<u64>(), any::<bool>(), kinds);
    let times = (any::<u64>(), any::<u32>());
    let inner = (
        attributes(),
        any::<u32>(),
        events(),
        links(),
        status,
        scopes(),
    );
    (ids, words(), times, inner).prop_map(|(ids, name, (start, took), inner)| {
        let (span_context, parent, parent_span_is_remote, span_kind) = ids;
        let (attributes, dropped_attributes_count, events, links, status, scope) = inner;
        let start_time = UNIX_EPOCH + Duration::from_nanos(start / 2);
        SpanData {
            span_context,
            // every other span is a root
            parent_span_id: SpanId::from(if parent % 2 == 0 { 0 } else { parent }),
            parent_span_is_remote,
            span_kind,
            name: Cow::Owned(name),
            start_time,
            end_time: start_time + Duration::from_nanos(u64::from(took)),
            attributes,
            dropped_attributes_count,
            events,
            links,
            status,
            instrumentation_scope: scope,
        }
    })
}

/// Texts that are often equal, and often changed by the filter.
fn texts() -> impl Strategy<Value = String> {
    prop_oneof![Just("secret".to_owned()), Just("/api".to_owned()), words()]
}

proptest! {
    #[test]
    fn the_bytes_are_those_of_prost(spans in vec(spans(), 0..8), pairs in attributes(), url in any::<bool>()) {
        let resource = match url {
            true => Resource::builder_empty().with_schema_url(pairs, "https://example.org/2").build(),
            false => Resource::builder_empty().with_attributes(pairs).build(),
        };
        let mut ours = Vec::new();
        let none = (&InstrumentationScope::default(), &[][..]);
        request(&mut ours, &EncodedResource::new(&resource), &spans, none);
        let schema = ResourceAttributesWithSchema::from(&resource);
        let theirs = ExportTraceServiceRequest {
            resource_spans: group_spans_by_resource_and_scope(spans, &schema),
        };
        prop_assert_eq!(ours, theirs.encode_to_vec());
    }

    #[test]
    fn the_bytes_of_spans_in_brief_are_those_of_whole_ones(
        shapes in vec((spans(), 0..4_usize, 0..4_usize), 1..4),
        briefs in vec((0..4_usize, contexts(), any::<u64>(), texts(), texts()), 0..12),
        others in vec(spans(), 0..3),
        value_chars in proptest::option::of(0..10_usize),
    ) {
        static FILTER: Once = Once::new();
        FILTER.call_once(|| set_attribute_filter(|_, text| (text == "secret").then(|| "***".to_owned())));
        let limits = Limits { value_chars, attributes: 32, events: 0, links: 0, event_attributes: 0, link_attributes: 0 };
        let scope = InstrumentationScope::builder("a").build();
        let shapes: Vec<_> = shapes.into_iter().map(|(mut span, path, query)| {
            let place = path.min(span.attributes.len());
            span.attributes.insert(place, KeyValue::new("url.path", "/"));
            if query > 0 {
                let place = (place + query).min(span.attributes.len());
                span.attributes.insert(place, KeyValue::new("url.query", "q"));
            }
            Arc::new(Shape::of(span, ["url.path", "url.query"]))
        }).collect();
        let mut batch = Batch::default();
        batch.spans = others;
        for (shape, ids, at, path, query) in &briefs {
            let start = UNIX_EPOCH + Duration::from_nanos(at / 2);
            let brief = Brief {
                shape: Arc::clone(&shapes[shape % shapes.len()]),
                ids: ids.clone(),
                parent: SpanId::from(*at),
                parent_is_remote: at % 2 == 0,
                start,
                end: start + Duration::from_nanos(at % 1000),
            };
            batch.push_brief(brief, [path, query]);
        }
        let mut written = EncodedBriefs::new();
        written.write(&batch, &limits.cleaner(), &scope);
        let whole: Vec<_> = batch.briefs.iter().map(|brief| {
            let mut span = batch.expanded(brief, &scope);
            limits.cleaner().clean_span(&mut span);
            span
        }).collect();
        prop_assert_eq!(written.len(), whole.len());
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        let resource = EncodedResource::default();
        request(&mut ours, &resource, &batch.spans, (&scope, written.bytes(0..whole.len())));
        let all: Vec<_> = whole.into_iter().chain(batch.spans).collect();
        request(&mut theirs, &resource, &all, (&scope, &[]));
        prop_assert_eq!(ours, theirs);
    }
}
