use std::time::Instant;

use super::page::{Page, Scene};
use super::prometheus::Prometheus;
use super::provider::AREA;
use super::{KEY, SOON, until, wait};
use crate::mapbox_stand_in::{Behavior, StandIn, TOKEN};
use crate::served::{Home, Served, datasets};

/// One platform with a failing provider, an unreadable file and an empty cache.
#[test]
fn latency_misses_slow_queries_and_a_growing_queue_lead_to_their_reasons() {
    let (mapbox, files) = (StandIn::start(), datasets());
    let mut home = Home::with_datasets(files.path());
    home.set("MAPBOX_ACCESS_TOKEN", TOKEN);
    home.set("KEARNEY_MAPBOX_URL", mapbox.url.clone().leak());
    std::fs::create_dir(home.path("configs")).unwrap();
    let text = "query_cache: {slow_query_ms: 1}\n";
    std::fs::write(home.path("configs/cache.yaml"), text).unwrap();
    let served = home.serve();
    let Some(prometheus) = Prometheus::start(&served) else {
        return;
    };
    let scene = Scene::of(&home, &served).with_prometheus(&prometheus);
    until("=> 1 ", || {
        scene.follow("promtool query instant http://127.0.0.1:9090 'sum(up)'")
    });

    std::fs::write(files.path().join("zipcodes.csv"), "broken").unwrap();
    fill_the_queue(&served);
    latency(&served, &scene, &mapbox);
    misses(&served, &scene);
    queue(&served, &scene);
}

fn fill_the_queue(served: &Served) {
    let body = r#"{"job": "delays"}"#;
    while served.post("/api/orchestrator/runs", &[KEY], body).status == 202 {}
}

fn latency(served: &Served, scene: &Scene<'_>, mapbox: &StandIn) {
    let page = Page::read("high-api-latency.md");
    served.get("/api/flights/summary?origin=SFO");
    let slowest = || {
        // fails once per question, and succeeds on the second attempt
        mapbox.behave(Behavior::BrokenOnce);
        assert_eq!(served.get(AREA).status, 200);
        page.step(1, scene)
    };
    wait("the slowest route", slowest, |printed| {
        is_first(printed, "/api/isochrone")
    });
    assert!(!page.step(2, scene).is_empty());
    assert!(page.step(3, scene).contains("=> "));
    wait(
        "failures",
        || page.step(4, scene),
        |printed| printed.contains("{} => ") && !printed.contains("=> 0 "),
    );
    page.concludes("- The provider fails or is slow");
}

fn misses(served: &Served, scene: &Scene<'_>) {
    let page = Page::read("cache-miss-rate-elevated.md");
    let mut turn = 0;
    let why = until("reason=\"absent\"", || {
        turn += 1;
        served.get(&format!("/api/airports?near=37.{turn},-122&limit=3"));
        page.step(1, scene)
    });
    assert!(why.lines().count() <= 6, "{why}");
    page.step(2, scene);
    until("reason=\"invalidated\"", || page.step(3, scene));
    assert!(page.step(4, scene).contains("entries: "));
    page.concludes("`absent`: never asked before");

    let page = Page::read("duckdb-slow.md");
    until("query_type=\"SELECT\"", || page.step(1, scene));
    let printed = until("FROM airports", || page.step(2, scene));
    assert!(printed.contains("\"duration_ms\":"), "{printed}");
    assert!(page.step(3, scene).contains("=> "));
    page.concludes("- Repeated queries: cache them");
}

fn queue(served: &Served, scene: &Scene<'_>) {
    let page = Page::read("orchestrator-queue-growing.md");
    let (mut printed, asked) = (String::new(), Instant::now());
    let is_long = |printed: &str| printed.contains("_depth 1") && printed.contains("_in_flight 1");
    while !is_long(&printed) {
        assert!(asked.elapsed() < SOON, "{printed}");
        fill_the_queue(served);
        printed = page.step(1, scene);
    }
    // until a run has ended between two scrapes, each phase has taken 0 seconds
    wait(
        "the phase that takes the time",
        || {
            fill_the_queue(served);
            page.step(2, scene)
        },
        |printed| is_first(printed, "phase=\"ingest\""),
    );
    let printed = page.step(3, scene);
    assert!(printed.contains(" delays - queued - "), "{printed}");
    page.concludes("- One phase became slow: its log lines carry `run_id` and `phase`");
    page.concludes("answers 429 with `Retry-After`");
}

fn is_first(printed: &str, wanted: &str) -> bool {
    let first = printed.lines().next();
    first.is_some_and(|line| line.contains(wanted))
}
