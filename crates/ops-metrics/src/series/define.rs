/// Declares metrics: one function for each, which takes the labels and returns the series.
///
/// A header `pub catalog NAME;` also exports them as data, for [`register`](crate::register). The metric has the
/// name of the function, unless `= "name"` follows. The known values of a label can be listed after its type, the
/// buckets of a histogram before or after its labels. Besides `counter`, `gauge` and `histogram` there is
/// `seconds`, a counter of time. The prefix `reported_` (`reported_counter`, `reported_gauge`, `reported_seconds`)
/// hides the metric until it has a value, because a value that nobody reports is not 0. A name that is invalid in
/// Prometheus, or buckets that are not ascending, do not compile.
///
/// ```
/// ops_metrics::define! {
///     /// Metrics of this service.
///     pub catalog MINE;
///     /// Jobs done.
///     pub counter jobs_total { queue: &'static str = ["mail", "report"] }
///     /// Jobs that wait.
///     pub gauge jobs_waiting {}
///     /// Time a job took.
///     pub histogram job_time = "job_seconds" { queue: &'static str } buckets [0.1, 1.0, 10.0]
/// }
/// ops_metrics::register(MINE);
/// jobs_total("mail").inc();
/// jobs_waiting().set(3.0);
/// job_time("mail").observe(0.5);
/// assert_eq!(job_time("mail").count(), 1);
/// ```
///
/// Labels that Prometheus reserves do not compile either:
///
/// ```compile_fail
/// ops_metrics::define! { /** Time a job took. */ histogram job_seconds { le: &'static str } }
/// ```
///
/// ```compile_fail
/// ops_metrics::define! { /** Jobs done. */ gauge jobs { quantile: &'static str } }
/// ```
#[macro_export]
macro_rules! define {
    ($(#[$doc:meta])* $vis:vis catalog $catalog:ident; $($rest:tt)*) => {
        $crate::__names! { [$(#[$doc])* $vis $catalog] [] $($rest)* }
        $crate::__metrics! { $($rest)* }
    };
    ($($rest:tt)*) => { $crate::__metrics! { $($rest)* } };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __names {
    ([$(#[$doc:meta])* $vis:vis $catalog:ident] [$($name:ident)*]) => {
        $(#[$doc])*
        $vis static $catalog: &[fn() -> &'static $crate::Family] = &[$($name::family),*];
    };
    ($head:tt $done:tt
        $(#[doc = $help:literal])+ $vis:vis $kind:ident $name:ident $(= $metric:literal)?
        { $($labels:tt)* } buckets $buckets:tt $($rest:tt)*) => {
        $crate::__names! {
            $head $done $(#[doc = $help])+ $vis $kind $name $(= $metric)? buckets $buckets { $($labels)* } $($rest)*
        }
    };
    ($head:tt [$($done:ident)*]
        $(#[doc = $help:literal])+ $vis:vis $kind:ident $name:ident $(= $metric:literal)?
        $(buckets [$($bucket:literal),+ $(,)?])? { $($labels:tt)* } $($rest:tt)*) => {
        $crate::__names! { $head [$($done)* $name] $($rest)* }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __metrics {
    () => {};
    ($(#[doc = $help:literal])+ $vis:vis $kind:ident $name:ident $(= $metric:literal)?
        { $($labels:tt)* } buckets $buckets:tt $($rest:tt)*) => {
        $crate::__metrics! {
            $(#[doc = $help])+ $vis $kind $name $(= $metric)? buckets $buckets { $($labels)* } $($rest)*
        }
    };
    ($(#[doc = $help:literal])+ $vis:vis $kind:ident $name:ident $(= $metric:literal)?
        $(buckets [$($bucket:literal),+ $(,)?])?
        { $($label:ident : $type:ty $(= [$($known:literal),+ $(,)?])?),* $(,)? } $($rest:tt)*) => {
        #[doc(hidden)]
        #[expect(non_camel_case_types, reason = "carries the function's name as a type")]
        $vis struct $name {}

        impl $name {
            /// The family of these series.
            $vis fn family() -> &'static $crate::Family {
                static FAMILY: $crate::Family = $crate::Family::new($crate::MetricDefinition {
                    name: $crate::__first!($($metric,)? stringify!($name)),
                    kind: $crate::__kind!($kind),
                    help: concat!($($help),+),
                    labels: &[$($crate::LabelDefinition {
                        name: stringify!($label),
                        values: $crate::__first!($(&[$($known),+],)? <$type as $crate::Label>::VALUES),
                    }),*],
                    at_start: $crate::__at_start!($kind),
                    buckets: $crate::__first!($(&[$($bucket),+],)? $crate::MetricDefinition::BUCKETS),
                });
                &FAMILY
            }
        }

        $(#[doc = $help])+
        #[inline]
        $vis fn $name($($label: $type),*) -> &'static $crate::__handle!($kind) {
            $crate::__lookup!($kind)($name::family(), [$($crate::Label::identity(&$label)),*], || {
                [$($crate::Label::text(&$label)),*]
            })
        }

        $crate::__metrics! { $($rest)* }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __first {
    ($first:expr $(, $rest:expr)*) => {
        $first
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __at_start {
    (reported_gauge) => {
        false
    };
    (reported_counter) => {
        false
    };
    (reported_seconds) => {
        false
    };
    ($kind:ident) => {
        true
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __kind {
    (counter) => {
        $crate::Kind::Counter
    };
    (reported_counter) => {
        $crate::Kind::Counter
    };
    (seconds) => {
        $crate::Kind::Seconds
    };
    (reported_seconds) => {
        $crate::Kind::Seconds
    };
    (gauge) => {
        $crate::Kind::Gauge
    };
    (reported_gauge) => {
        $crate::Kind::Gauge
    };
    (histogram) => {
        $crate::Kind::Histogram
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __handle {
    (counter) => {
        $crate::Counter
    };
    (reported_counter) => {
        $crate::Counter
    };
    (seconds) => {
        $crate::Seconds
    };
    (reported_seconds) => {
        $crate::Seconds
    };
    (gauge) => {
        $crate::Gauge
    };
    (reported_gauge) => {
        $crate::Gauge
    };
    (histogram) => {
        $crate::Histogram
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __lookup {
    (counter) => {
        $crate::Family::counter_by
    };
    (reported_counter) => {
        $crate::Family::counter_by
    };
    (seconds) => {
        $crate::Family::seconds_by
    };
    (reported_seconds) => {
        $crate::Family::seconds_by
    };
    (gauge) => {
        $crate::Family::gauge_by
    };
    (reported_gauge) => {
        $crate::Family::gauge_by
    };
    (histogram) => {
        $crate::Family::histogram_by
    };
}
