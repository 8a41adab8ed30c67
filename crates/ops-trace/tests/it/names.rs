use std::collections::HashSet;

use axum::body::Body;
use axum::http::{Method, Request};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config as Runner, RngAlgorithm, TestRng, TestRunner};
use tower::ServiceExt;

use crate::served::{app, spans};
use crate::{flush_all, traced};

/// All routes of the application.
const ROUTES: [&str; 7] = [
    "/ids",
    "/users/{id}",
    "/orders",
    "/fails",
    "/missing",
    "/panics",
    "/api/items/{item}",
];

/// All known methods, and the name of all others.
const METHODS: [&str; 11] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY", "HTTP",
];

fn requests() -> impl Strategy<Value = (String, String)> {
    let method = prop_oneof![
        3 => proptest::sample::select(vec![
            "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY", "get",
        ])
        .prop_map(str::to_owned),
        1 => "[A-Za-z!#$%&'*+.^_`|~0-9-]{1,40}",
    ];
    let path = prop_oneof![
        2 => "/[a-z0-9._~!$&'()*+,;=:@%/-]{0,40}",
        1 => "/users/[a-z0-9]{1,20}",
        1 => "/api/items/[a-z0-9]{1,20}",
        1 => proptest::sample::select(vec!["/ids", "/orders", "/fails", "/missing", "/users/", "/api"])
            .prop_map(str::to_owned),
    ];
    (method, path)
}

#[tokio::test]
async fn random_paths_and_methods_make_no_more_names_than_known_methods_of_routes_and_one() {
    let full = std::env::var_os("OPS_TEST_FULL").is_some();
    let wanted = if full { 1_000_000 } else { 10_000 };
    let (collector, tracer) = traced();
    let app = app(spans(tracer.handle()));
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Runner::default(), rng);
    let (strategy, mut names, mut sent) = (requests(), HashSet::new(), 0);
    while sent < wanted {
        let (method, path) = strategy.new_tree(&mut runner).unwrap().current();
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let Ok(request) = Request::builder()
            .method(method)
            .uri(path)
            .body(Body::empty())
        else {
            continue;
        };
        drop(app.clone().oneshot(request).await.unwrap());
        sent += 1;
        if sent % 1000 == 0 {
            flush_all(&tracer);
            names.extend(collector.take_spans().into_iter().map(|span| span.name));
        }
    }
    assert_eq!(tracer.stats().exported, wanted, "all of them were seen");
    let of_route = |route| METHODS.map(|method| format!("{method} {route}"));
    let mut bound: HashSet<String> = ROUTES.into_iter().flat_map(of_route).collect();
    bound.insert("HTTP".to_owned()); // and the one name for what no route answers
    let more: Vec<_> = names.difference(&bound).collect();
    assert!(more.is_empty(), "{more:?}");
    // and enough requests reached a route
    assert!(names.len() >= 10, "{names:?}");
}
