/// Creates a span with attributes: `span!("query_database", table = "users", db.system.name = "duckdb")`.
///
/// Attributes are evaluated only if the span is recorded. `span!(tracer: handle, ..)`
/// uses this [`Handle`](crate::Handle) instead of the one that [`init`](crate::init)
/// installed. `kind:` and `links:` come before the name:
///
/// ```
/// # let message = ops_trace::current_span_ids();
/// let span = ops_trace::span!(kind: ops_trace::SpanKind::Consumer, links: message, "handle_order", items = 2);
/// ```
#[macro_export]
macro_rules! span {
    (@key $first:ident $(. $rest:ident)*) => {
        ::core::concat!(::core::stringify!($first) $(, ".", ::core::stringify!($rest))*)
    };
    (@attributes $span:ident $(,)?) => {};
    (@attributes $span:ident, $($attributes:tt)+) => {
        if $span.takes_attributes() {
            $crate::span!(@set $span, $($attributes)+);
        }
    };
    (@set $span:ident $(,)?) => {};
    (@set $span:ident, $($key:ident).+ = $value:literal $(, $($rest:tt)*)?) => {
        $span.attribute($crate::span!(@key $($key).+), $crate::Literal::value($value));
        $crate::span!(@set $span $(, $($rest)*)?)
    };
    (@set $span:ident, $($key:ident).+ = $value:expr $(, $($rest:tt)*)?) => {
        $span.attribute($crate::span!(@key $($key).+), $value);
        $crate::span!(@set $span $(, $($rest)*)?)
    };
    (@new $tracer:expr, $name:expr $(, $($attributes:tt)*)?) => {{
        // a match keeps a handle that is created here alive; temporaries
        // of the name are dropped before the attributes are evaluated
        match $tracer {
            tracer => {
                #[allow(unused_mut)]
                let mut starting = $crate::SpanStart::new(tracer, $name);
                $crate::span!(@attributes starting $(, $($attributes)*)?);
                starting.span()
            }
        }
    }};
    (@with $tracer:expr, $options:expr; kind: $kind:expr, $($rest:tt)+) => {
        $crate::span!(@with $tracer, $options.kind($kind); $($rest)+)
    };
    (@with $tracer:expr, $options:expr; links: $links:expr, $($rest:tt)+) => {
        $crate::span!(@with $tracer, $options.links($links); $($rest)+)
    };
    (@with $tracer:expr, $options:expr; $name:expr $(, $($attributes:tt)*)?) => {{
        // a match keeps a handle that is created here alive; temporaries
        // of the name are dropped before the attributes are evaluated
        match $tracer {
            tracer => {
                #[allow(unused_mut)]
                let mut starting = $crate::SpanStart::with_options(tracer, $name, $options);
                $crate::span!(@attributes starting $(, $($attributes)*)?);
                starting.span()
            }
        }
    }};
    (tracer: $tracer:expr, kind: $($rest:tt)+) => {
        $crate::span!(
            @with ::core::option::Option::Some($tracer.as_handle()), $crate::SpanOptions::default(); kind: $($rest)+
        )
    };
    (tracer: $tracer:expr, links: $($rest:tt)+) => {
        $crate::span!(
            @with ::core::option::Option::Some($tracer.as_handle()), $crate::SpanOptions::default(); links: $($rest)+
        )
    };
    (kind: $($rest:tt)+) => {
        $crate::span!(@with $crate::global(), $crate::SpanOptions::default(); kind: $($rest)+)
    };
    (links: $($rest:tt)+) => {
        $crate::span!(@with $crate::global(), $crate::SpanOptions::default(); links: $($rest)+)
    };
    (tracer: $tracer:expr, $($span:tt)+) => {
        $crate::span!(@new ::core::option::Option::Some($tracer.as_handle()), $($span)+)
    };
    ($($span:tt)+) => {
        $crate::span!(@new $crate::global(), $($span)+)
    };
}
