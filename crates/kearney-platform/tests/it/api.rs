use crate::served::{Home, datasets, extract};

const SUMMARY: &str = "/api/flights/summary?origin=SFO";
const MODELS: &str = "/api/registry/models";
const KEY: (&str, &str) = ("X-API-Key", "kearney-registry-key");

#[test]
fn a_query_is_a_miss_then_a_hit_and_after_a_restart_still_a_hit() {
    let home = Home::new();
    let served = home.serve();
    let first = served.get(SUMMARY);
    assert_eq!((first.status, first.header("x-cache")), (200, "miss"));
    assert!(
        first.json()["flights"].as_u64().unwrap() > 0,
        "{}",
        first.body
    );
    let second = served.get(SUMMARY);
    assert_eq!(second.header("x-cache"), "hit");
    assert!(served.stop().success());

    let again = home.serve();
    let third = again.get(SUMMARY);
    assert_eq!(third.header("x-cache"), "hit");
    assert_eq!([&second.body, &third.body], [&first.body, &first.body]);
    // each start writes the registry, which does not invalidate the cache
    let model = r#"{"name": "delays", "version": "1"}"#;
    assert_eq!(again.post(MODELS, &[KEY], model).status, 201);
    assert_eq!(again.get(SUMMARY).header("x-cache"), "hit");
}

#[test]
fn the_summary_counts_what_the_data_holds() {
    let served = Home::new().serve();
    let whole = served.get(SUMMARY).json();
    let by_month: u64 = (1..=12)
        .map(|month| served.get(&format!("{SUMMARY}&month={month}")).json())
        .map(|summary| summary["flights"].as_u64().unwrap())
        .sum();
    assert_eq!(whole["flights"].as_u64().unwrap(), by_month);
    let near = served.get("/api/airports?near=37.6,-122.4&limit=3").json();
    let codes: Vec<&str> = near["airports"]
        .as_array()
        .unwrap()
        .iter()
        .map(|airport| airport["iata"].as_str().unwrap())
        .collect();
    assert_eq!((codes[0], codes.len()), ("SFO", 3));
    // at an airport's antipode, rounding makes the argument of `asin` exceed 1
    for far in ["-57.74996784,27.50614464", "-35.50592471,81.65763883"] {
        let near = served.get(&format!("/api/airports?near={far}&limit=1"));
        assert_eq!(near.status, 200, "{}", near.body);
    }
}

#[test]
fn the_registry_takes_models_from_whoever_holds_the_key_and_keeps_them() {
    let home = Home::new();
    let served = home.serve();
    let model = r#"{"name": "delays", "version": "1", "description": "how late"}"#;
    assert_eq!(served.post(MODELS, &[], model).status, 401);
    let wrong = served.post(MODELS, &[("X-API-Key", "kearney-registry-kex")], model);
    assert_eq!(wrong.status, 401);
    assert_eq!(served.post(MODELS, &[KEY], model).status, 201);
    assert_eq!(served.post(MODELS, &[KEY], model).status, 409);
    assert!(served.stop().success());

    let again = home.serve();
    let models = again.get(MODELS).json();
    assert_eq!(models["models"][0]["name"], "delays");
    assert_eq!(models["models"].as_array().unwrap().len(), 1);
    let datasets = again.get("/api/registry/datasets").json();
    let names: Vec<_> = datasets["datasets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| d["name"].clone())
        .collect();
    assert_eq!(names, ["flights", "airports", "zipcodes"]);
    assert!(
        again
            .get("/metrics")
            .body
            .contains("\nregistry_models_total 1\n")
    );
}

#[test]
fn a_stable_endpoint_has_cache_headers_and_returns_304() {
    let served = Home::new().serve();
    let palette = served.get("/api/viz/palette");
    assert_eq!(palette.header("cache-control"), "public, max-age=86400");
    let tag = palette.header("etag");
    assert!(tag.starts_with("W/\""), "{tag}");
    let unchanged = served.get_with("/api/viz/palette", &[("If-None-Match", tag)]);
    assert_eq!((unchanged.status, unchanged.body.as_str()), (304, ""));
    assert_eq!(unchanged.header("etag"), tag);

    let probe = served.get_with("/readyz", &[("If-None-Match", "*")]);
    assert_eq!(
        (probe.status, probe.header("cache-control")),
        (200, "no-store")
    );

    let page = served.get("/");
    let names: Vec<&str> = page
        .body
        .split('"')
        .filter(|text| text.starts_with("/assets/"))
        .collect();
    assert_eq!(names.len(), 2, "{}", page.body);
    for name in names {
        let asset = served.get(name);
        assert_eq!(asset.status, 200, "{name}");
        assert_eq!(asset.header("cache-control"), "public, max-age=31536000");
    }
}

#[test]
fn the_start_block_lists_the_addresses() {
    let home = Home::new();
    let served = home.serve_and_load();
    let block = served.block.join("\n");
    for part in [
        "/metrics",
        "admin ",
        "flights: ",
        "embedded extract",
        "secrets.yaml (embedded), cache.yaml (embedded)",
        "registry_api_key from default",
        "collector ",
        "Ctrl-C",
    ] {
        assert!(block.contains(part), "{part} is not in {block}");
    }
    assert_eq!(served.get("/healthz").status, 200);
    assert_eq!(served.get("/readyz").status, 200);
    assert!(served.stop().success());
    assert!(!home.path("data/addresses.json").exists());
}

#[test]
fn files_that_were_replaced_are_loaded_at_the_next_start() {
    let files = datasets();
    let home = Home::with_datasets(files.path());
    let airports = || {
        let served = home.serve();
        let datasets = served.get("/api/registry/datasets").json();
        assert!(served.stop().success());
        datasets["datasets"][1]["rows"].as_u64().unwrap()
    };
    let before = airports();
    let text = std::fs::read_to_string(extract().join("airports.csv")).unwrap();
    let fewer: Vec<_> = text.lines().take(101).collect();
    std::fs::write(files.path().join("airports.csv"), fewer.join("\n")).unwrap();
    assert_eq!((before > 100, airports()), (true, 100));
}
