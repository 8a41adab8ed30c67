//! Events of the `tracing` crate, with the fields of their spans.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::subscriber::Interest;
use tracing::{Metadata, Subscriber, span};
use tracing_subscriber::layer::{Context, Filter, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use crate::bridge::noise;
use crate::pipeline::GLOBAL;
use crate::render::bound::BoundFields;
use crate::render::formatted::formatted_text;
use crate::render::head::{Event, RecordMeta};
use crate::render::serialize::{Chain, TracingFields};
use crate::{Level, Value};

/// Returns the layer with its filter.
pub(super) fn layer<S>() -> impl Layer<S> + Send + Sync + 'static
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    LAYERS.fetch_add(1, Ordering::Relaxed);
    Lines(PhantomData::<fn(S)>).with_filter(Wanted)
}

/// Installs a subscriber with the layer; an existing subscriber
/// stays. Returns `false` if no subscriber has the layer.
pub(super) fn install() -> bool {
    // counted first, because the layer below may outlive a failed call for a moment in another thread
    let has_layers = LAYERS.load(Ordering::Relaxed) > 0;
    let ours = tracing_subscriber::registry().with(layer());
    tracing::subscriber::set_global_default(ours).is_ok() || has_layers
}

/// Number of existing layers: in subscribers, or not yet added to one.
static LAYERS: AtomicUsize = AtomicUsize::new(0);

fn level(of: &tracing::Level) -> Level {
    match *of {
        tracing::Level::ERROR => Level::Error,
        tracing::Level::WARN => Level::Warning,
        tracing::Level::INFO => Level::Info,
        tracing::Level::DEBUG => Level::Debug,
        tracing::Level::TRACE => Level::Trace,
    }
}

/// Filter by the current levels.
struct Wanted;

impl<S> Filter<S> for Wanted {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        noise::enabled(level(metadata.level()), metadata.target())
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        // captured and kept lines depend on the caller, and those
        // that tracing-log makes of `log` records on the record
        if metadata.target() == "log" || GLOBAL.levels.asks_context() {
            Interest::sometimes()
        } else if noise::enabled(level(metadata.level()), metadata.target()) {
            Interest::always()
        } else {
            Interest::never()
        }
    }
}

struct Lines<S>(PhantomData<fn(S)>);

impl<S> Drop for Lines<S> {
    fn drop(&mut self) {
        LAYERS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Rendered fields of a span.
struct SpanFields(Mutex<Arc<BoundFields>>);

impl<S> Layer<S> for Lines<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn on_new_span(
        &self,
        attributes: &span::Attributes<'_>,
        id: &span::Id,
        context: Context<'_, S>,
    ) {
        let mut pairs = Pairs::default();
        attributes.record(&mut pairs);
        if let Some(span) = context.span(id) {
            let fields = SpanFields(Mutex::new(BoundFields::new(pairs.0)));
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        // a value may log while it is formatted: no lock may be held meanwhile
        let mut recorded = Pairs::default();
        values.record(&mut recorded);
        let Some(span) = context.span(id) else { return };
        let extensions = span.extensions();
        let Some(SpanFields(fields)) = extensions.get() else {
            return;
        };
        let mut fields = fields.lock();
        let mut pairs = Pairs(fields.pairs().to_vec());
        for (name, value) in recorded.0 {
            pairs.put(name, value);
        }
        *fields = BoundFields::new(pairs.0);
    }

    fn on_event(&self, event: &tracing::Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let mut origin = Origin::default();
        event.record(&mut origin);
        let target = origin.target.as_deref().unwrap_or(metadata.target());
        if origin.target.is_some() && !noise::enabled(level(metadata.level()), target) {
            return;
        }
        let message = origin.message.as_deref().unwrap_or(metadata.name());
        let meta = RecordMeta {
            level: level(metadata.level()),
            logger: Some(target),
            event: &Message {
                text: message,
                call_site: metadata.name(),
            },
            module: None,
            location: metadata.file().zip(metadata.line()),
            always: false,
        };
        let spans: Vec<Arc<BoundFields>> = context
            .event_scope(event)
            .into_iter()
            .flat_map(|scope| scope.from_root())
            .filter_map(|span| {
                let extensions = span.extensions();
                let SpanFields(fields) = extensions.get()?;
                Some(Arc::clone(&fields.lock()))
            })
            .collect();
        let bound: Vec<&Arc<BoundFields>> = spans.iter().collect();
        GLOBAL.write(&meta, &bound, &mut |line| {
            event.record(&mut TracingFields(line));
        });
    }
}

/// Text of an event, and the name of its call site, because formatted text differs each time.
struct Message<'a> {
    text: &'a str,
    call_site: &'static str,
}

impl Event for Message<'_> {
    fn known(&self) -> Option<&str> {
        Some(self.text)
    }

    fn arguments(&self) -> fmt::Arguments<'_> {
        format_args!("")
    }

    fn limited(&self) -> Option<&str> {
        Some(self.call_site)
    }
}

/// Message and target of an event, needed before its fields are written.
#[derive(Default)]
struct Origin {
    message: Option<String>,
    /// Target of the record from which `tracing-log` made the event.
    target: Option<String>,
}

impl Visit for Origin {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = Some(text_of(value)),
            "log.target" => self.target = Some(text_of(value)),
            _ => {}
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message = Some(value.to_owned()),
            "log.target" => self.target = Some(value.to_owned()),
            _ => {}
        }
    }
}

fn text_of(value: &dyn fmt::Debug) -> String {
    formatted_text(&format_args!("{value:?}"), &GLOBAL.counters)
}

/// Fields of a span, to be stored.
#[derive(Default)]
struct Pairs(Vec<(std::borrow::Cow<'static, str>, Value)>);

impl Pairs {
    fn put(&mut self, name: std::borrow::Cow<'static, str>, value: Value) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some(slot) => slot.1 = value,
            None => self.0.push((name, value)),
        }
    }
}

impl Visit for Pairs {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field.name().into(), text_of(value).into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field.name().into(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field.name().into(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field.name().into(), value.into());
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.put(field.name().into(), value.into());
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.put(field.name().into(), value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let text = formatted_text(&format_args!("{}", Chain(value)), &GLOBAL.counters);
        self.put(field.name().into(), text.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field.name().into(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field.name().into(), value.into());
    }
}
