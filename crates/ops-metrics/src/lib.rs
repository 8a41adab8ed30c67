//! Typed Prometheus metrics with a cardinality guard, /metrics and sparkline rings.
