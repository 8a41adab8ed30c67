/// A kind of telemetry: the path it is posted to, and its variables. Lists begin with the most specific name.
#[derive(Debug)]
pub(crate) struct Signal {
    /// Path appended to the endpoint of the collector.
    pub(super) path: &'static str,
    pub(super) endpoint: &'static str,
    pub(super) headers: [&'static str; 2],
    pub(super) protocol: [&'static str; 2],
    pub(super) compression: [&'static str; 2],
    pub(super) timeout: [&'static str; 3],
    #[cfg(feature = "tls")]
    pub(super) certificate: [&'static str; 2],
    #[cfg(feature = "tls")]
    pub(super) client_certificate: [&'static str; 2],
    #[cfg(feature = "tls")]
    pub(super) client_key: [&'static str; 2],
}

macro_rules! signal {
    ($name:literal, $path:literal, $timeout:literal) => {
        Signal {
            path: $path,
            endpoint: concat!("OTEL_EXPORTER_OTLP_", $name, "_ENDPOINT"),
            headers: signal!(pair $name, "HEADERS"),
            protocol: signal!(pair $name, "PROTOCOL"),
            compression: signal!(pair $name, "COMPRESSION"),
            timeout: [
                concat!("OTEL_EXPORTER_OTLP_", $name, "_TIMEOUT"),
                "OTEL_EXPORTER_OTLP_TIMEOUT",
                $timeout,
            ],
            #[cfg(feature = "tls")]
            certificate: signal!(pair $name, "CERTIFICATE"),
            #[cfg(feature = "tls")]
            client_certificate: signal!(pair $name, "CLIENT_CERTIFICATE"),
            #[cfg(feature = "tls")]
            client_key: signal!(pair $name, "CLIENT_KEY"),
        }
    };
    (pair $name:literal, $what:literal) => {
        [
            concat!("OTEL_EXPORTER_OTLP_", $name, "_", $what),
            concat!("OTEL_EXPORTER_OTLP_", $what),
        ]
    };
}

pub(crate) const TRACES: Signal = signal!("TRACES", "/v1/traces", "OTEL_BSP_EXPORT_TIMEOUT");
#[cfg(feature = "otlp-metrics")]
pub(crate) const METRICS: Signal = signal!("METRICS", "/v1/metrics", "OTEL_METRIC_EXPORT_TIMEOUT");
#[cfg(feature = "otlp-logs")]
pub(crate) const LOGS: Signal = signal!("LOGS", "/v1/logs", "OTEL_BLRP_EXPORT_TIMEOUT");
