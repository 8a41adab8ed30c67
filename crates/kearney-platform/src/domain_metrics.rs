//! Metrics of the platform's own domain, declared as in any application that uses the ops layer.

use ops_layer::metrics;

metrics::labels! {
    /// A phase of the orchestrator's runs.
    pub enum Phase {
        Ingest = "ingest",
        Profile = "profile",
        Analyze = "analyze",
        Publish = "publish",
    }
}

metrics::labels! {
    /// Outcome of a run of the orchestrator.
    pub enum RunStatus {
        Success = "success",
        Failed = "failed",
        Cancelled = "cancelled",
        Timeout = "timeout",
        Interrupted = "interrupted",
    }
}

metrics::labels! {
    /// Provider of isochrones.
    pub enum Provider { Mapbox = "mapbox", Estimate = "estimate" }
}

metrics::labels! {
    /// Mode of travel in an isochrone.
    pub enum Mode { Driving = "driving", Walking = "walking", Cycling = "cycling" }
}

metrics::labels! {
    /// Outcome of an isochrone request.
    pub enum IsochroneStatus {
        Ok = "ok",
        ClientError = "http_4xx",
        RateLimited = "http_429",
        ServerError = "http_5xx",
        Timeout = "timeout",
        Network = "network",
        InvalidResponse = "invalid_response",
        CircuitOpen = "circuit_open",
        /// The provider finds no area around this point, which is a valid result.
        NoArea = "no_area",
        /// The limit of concurrent requests to the provider is reached.
        Busy = "busy",
        Cancelled = "cancelled",
    }
}

metrics::labels! {
    /// Agent that works in the orchestrator's runs.
    pub enum Agent {
        FlightsLoader = "flights_loader",
        AirportsLoader = "airports_loader",
        ZipcodesLoader = "zipcodes_loader",
        Profiler = "profiler",
        Analyst = "analyst",
        Publisher = "publisher",
    }
}

metrics::define! {
    /// The platform's metrics as data.
    pub catalog DOMAIN;

    /// Isochrone API calls
    pub counter isochrone_requests_total { provider: Provider, mode: Mode, status: IsochroneStatus }
    /// Isochrone API latency in seconds
    pub histogram isochrone_request_latency_seconds { provider: Provider, mode: Mode }
        buckets [0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 20.0, 30.0, 60.0]
    /// Orchestrator phase duration in seconds
    pub histogram orchestrator_phase_seconds { phase: Phase }
        buckets [0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0]
    /// Orchestrator agent retry count
    pub counter orchestrator_agent_retries_total { agent: Agent, phase: Phase }
    /// Total orchestrator runs
    pub counter orchestrator_runs_total { status: RunStatus }
    /// Orchestrator runs that wait
    pub gauge orchestrator_queue_depth {}
    /// Orchestrator runs in flight
    pub gauge orchestrator_runs_in_flight {}
    /// Total registered models
    pub gauge registry_models_total {}
    /// Total registered datasets
    pub gauge registry_datasets_total {}
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::DOMAIN;

    /// Compares the rows of `docs/metrics.md` about the platform's own metrics with the catalog.
    #[test]
    fn the_table_in_docs_is_the_catalog() {
        const HEAD: &str = "## Of the platform\n\n| metric | type | unit | labels | meaning |\n|---|---|---|---|---|\n";
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
        let page = std::fs::read_to_string(&file).unwrap();
        let (before, after) = page.split_once(HEAD).unwrap();
        let (found, after) = after.split_once("\n\n## ").unwrap();
        let rows: String = DOMAIN
            .iter()
            .map(|family| {
                let definition = family().definition();
                let labels = definition.labels.iter();
                let labels: Vec<_> = labels.map(|label| format!("`{}`", label.name)).collect();
                let (name, kind) = (definition.name, definition.kind.as_str());
                let (unit, help) = (definition.unit(), definition.help());
                format!(
                    "| `{name}` | {kind} | {unit} | {} | {help} |\n",
                    labels.join(", ")
                )
            })
            .collect();
        if std::env::var_os("OPS_TEST_UPDATE").is_some() {
            std::fs::write(&file, format!("{before}{HEAD}{rows}\n## {after}")).unwrap();
            return;
        }
        assert_eq!(format!("{found}\n"), rows, "run it with OPS_TEST_UPDATE=1");
    }
}
