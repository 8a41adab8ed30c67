//! Checks the tracing files in `configs`, as far as that is possible without running them.

use serde_yaml::Value;

fn load(name: &str) -> Value {
    let path = format!("{}/../../configs/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_yaml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn names(value: &Value) -> Vec<String> {
    let keys = value.as_mapping().unwrap().keys();
    keys.map(|key| key.as_str().unwrap().to_owned()).collect()
}

/// Returns the texts of a list; empty without a list.
fn texts(value: &Value) -> Vec<String> {
    let items = value.as_sequence().into_iter().flatten();
    items
        .map(|item| item.as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn the_collector_takes_otlp_over_http_and_every_part_that_a_pipeline_names_is_there() {
    let config = load("otel-collector-config.yaml");
    let http = &config["receivers"]["otlp"]["protocols"]["http"]["endpoint"];
    assert_eq!(http.as_str(), Some("0.0.0.0:4318"));
    let pipeline = &config["service"]["pipelines"]["traces"];
    for part in ["receivers", "processors", "exporters"] {
        let defined = names(&config[part]);
        let used = texts(&pipeline[part]);
        assert!(!used.is_empty(), "{part}");
        for name in &used {
            assert!(defined.contains(name), "{part} `{name}` is not defined");
        }
        for name in &defined {
            assert!(used.contains(name), "{part} `{name}` is not used");
        }
    }
    // jaeger and logging were removed from the official collector;
    // otlp is named otlp_grpc since 0.144, and its old name warns
    let exporters = names(&config["exporters"]);
    for gone in ["jaeger", "logging", "otlp"] {
        assert!(!exporters.iter().any(|e| e.split('/').next() == Some(gone)));
    }
    let processors = texts(&pipeline["processors"]);
    assert_eq!(
        processors[0], "memory_limiter",
        "it has to be the first one"
    );
}

#[test]
fn compose_starts_collector_jaeger_prometheus_and_grafana_with_our_files() {
    let compose = load("compose.yaml");
    let services = &compose["services"];
    assert_eq!(
        names(services),
        ["otel-collector", "jaeger", "prometheus", "grafana"]
    );
    for name in names(services) {
        let image = services[name.as_str()]["image"].as_str().unwrap();
        let (_, tag) = image.rsplit_once(':').unwrap();
        assert!(
            tag.chars().any(|c| c.is_ascii_digit()),
            "{image} is not pinned"
        );
        for port in texts(&services[name.as_str()]["ports"]) {
            assert!(
                port.starts_with("127.0.0.1:"),
                "{name}: {port} is open to the world"
            );
        }
        for volume in texts(&services[name.as_str()]["volumes"]) {
            let (host, _) = volume.split_once(':').unwrap();
            let path = format!("{}/../../configs/{host}", env!("CARGO_MANIFEST_DIR"));
            assert!(
                std::path::Path::new(&path).exists(),
                "{volume}: {host} is not there"
            );
        }
    }
    for (name, config) in compose["configs"].as_mapping().unwrap() {
        let content = config["content"].as_str().unwrap();
        assert!(serde_yaml::from_str::<Value>(content).is_ok(), "{name:?}");
    }
    let ports = texts(&services["otel-collector"]["ports"]);
    assert!(
        ports.contains(&"127.0.0.1:4318:4318".to_owned()),
        "{ports:?}"
    );
    // each target of the collector is a service here
    let collector = load("otel-collector-config.yaml");
    let exporters = collector["exporters"].as_mapping().unwrap();
    let targets = exporters.values().filter_map(|e| e["endpoint"].as_str());
    for target in targets {
        let (host, port) = target.rsplit_once(':').unwrap();
        assert!(names(services).contains(&host.to_owned()), "{target}");
        assert_eq!(port, "4317", "Jaeger takes OTLP over gRPC there");
    }
}
