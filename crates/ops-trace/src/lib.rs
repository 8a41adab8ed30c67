//! OpenTelemetry spans with an OTLP export that cannot hurt the service, and a ring of recent traces.
