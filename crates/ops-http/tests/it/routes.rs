//! The route under which a request is reported.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::routing::get;
use http::{Response, request as head, response};
use http_body_util::BodyExt as _;
use ops_http::{
    ClientLayer, Ending, Observe, ObserveLayer, Outcome, QUIET_ROUTES, Route, is_quiet,
};
use tower::{Layer as _, ServiceExt as _};
use tower_http::services::ServeDir;

use crate::record::Record;
use crate::server::request;

async fn outcome(router: Router, path: &str) -> Outcome {
    let record = Record::new();
    let app = router.layer(ObserveLayer::new(record.clone()));
    let response = app.oneshot(request(path)).await.unwrap();
    response.into_body().collect().await.unwrap();
    record.only()
}

fn template(outcome: &Outcome) -> Option<&str> {
    outcome.route.as_ref().map(Route::template)
}

#[tokio::test]
async fn a_nested_service_has_the_route_that_its_layer_names() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("app.js"), "1").unwrap();
    let files = || ServeDir::new(dir.path());
    let named = ops_http::route("/static/{*rest}").layer(files());
    for (path, status) in [("/static/app.js", 200), ("/static/missing.js", 404)] {
        let router = Router::new().nest_service("/static", named.clone());
        let outcome = outcome(router, path).await;
        assert_eq!(outcome.status, status);
        assert_eq!(template(&outcome), Some("/static/{*rest}"), "{path}");
        assert_eq!(outcome.served_without_route(), None);
    }
    let router = Router::new().nest_service("/static", files());
    let unnamed = outcome(router.clone(), "/static/app.js").await;
    assert_eq!(template(&unnamed), None);
    assert_eq!(unnamed.served_without_route(), Some("/static/app.js"));
    let missing = outcome(router, "/static/missing.js?q=1").await;
    assert_eq!(
        (missing.status, missing.served_without_route()),
        (404, None)
    );
    let router = Router::new().fallback_service(ops_http::route("/{*page}").layer(files()));
    let outcome = outcome(router, "/app.js").await;
    assert_eq!(template(&outcome), Some("/{*page}"));
}

#[tokio::test]
async fn a_preflight_that_a_layer_answers_was_served_by_no_nameless_service() {
    let cors = axum::middleware::from_fn(|request: Request, next: axum::middleware::Next| async {
        match *request.method() {
            http::Method::OPTIONS => Response::new(Body::empty()),
            _ => next.run(request).await,
        }
    });
    let record = Record::new();
    let router = Router::new().fallback(|| async { "the page" }).layer(cors);
    let app = router.layer(ObserveLayer::new(record.clone()));
    for (method, served) in [("OPTIONS", None), ("GET", Some("/missing"))] {
        let request = Request::builder().method(method).uri("/missing");
        let request = request.body(Body::empty()).unwrap();
        let response = app.clone().oneshot(request).await.unwrap();
        response.into_body().collect().await.unwrap();
        let outcome = record.next().await;
        assert_eq!(outcome.status, 200);
        assert_eq!(outcome.served_without_route(), served, "{method}");
    }
}

/// Observer that looks up the route before any handler sees the request.
#[derive(Clone, Default)]
struct RouteAtStart(Arc<Mutex<Vec<Option<Route>>>>);

impl Observe for RouteAtStart {
    type Scope = ();
    type Entered<'a> = ();

    fn start(&self, request: &mut head::Parts) {
        let route = Route::get(&request.extensions);
        self.0.lock().unwrap().push(route);
    }

    fn enter(&self, (): &mut ()) {}
    fn response(&self, (): &mut (), _: &mut response::Parts) {}
    fn end(&self, (): (), _: &Outcome) {}
}

#[tokio::test]
async fn an_observer_finds_the_route_that_was_matched_or_is_among_the_extensions() {
    let early = RouteAtStart::default();
    let router = Router::new().route("/users/{id}", get(|| async {}));
    let app = router.layer(ObserveLayer::new(early.clone()));
    for (path, added) in [
        ("/users/7", None),
        ("/users/7", Some("/other")),
        ("/missing", None),
        ("/missing", Some("/added")),
    ] {
        let mut request = request(path);
        if let Some(added) = added {
            request.extensions_mut().insert(Route::new(added));
        }
        app.clone().oneshot(request).await.unwrap();
    }
    let found = early.0.lock().unwrap().clone();
    let found: Vec<_> = found.iter().flatten().map(Route::template).collect();
    assert_eq!(found, ["/users/{id}", "/users/{id}", "/added"]);
}

#[tokio::test]
async fn a_request_that_is_passed_on_has_the_route_of_its_own_url_only() {
    for own in [None, Some("/orders/{id}"), Some("/{*rest}")] {
        let record = Record::new();
        let upstream = tower::service_fn(|_: Request| async {
            Ok::<_, Infallible>(Response::new(Body::empty()))
        });
        let client = ClientLayer::new(record.clone()).layer(upstream);
        let proxy = move |mut request: Request| async move {
            if let Some(own) = own {
                request.extensions_mut().insert(Route::new(own));
            }
            client.oneshot(request).await.map(|_| "passed on").unwrap()
        };
        let router = Router::new().route("/{*rest}", get(proxy));
        let served = outcome(router, "/orders/7").await;
        assert_eq!(template(&served), Some("/{*rest}"));
        assert_eq!(template(&record.only()), own);
    }
}

#[tokio::test]
async fn a_named_route_is_known_even_if_no_response_came() {
    let hangs = tower::service_fn(|_: Request| {
        std::future::pending::<Result<Response<Body>, Infallible>>()
    });
    let panics = tower::service_fn(|_: Request| async {
        std::panic::resume_unwind(Box::new("on purpose")) as Result<Response<Body>, Infallible>
    });
    let route = ops_http::route("/inner/{*rest}");
    let record = Record::new();
    let router = Router::new()
        .nest_service("/hangs", route.layer(hangs))
        .nest_service("/panics", route.layer(panics))
        .layer(ObserveLayer::new(record.clone()));
    let panicking = tokio::spawn(router.clone().oneshot(request("/panics/1")));
    assert!(panicking.await.unwrap_err().is_panic());
    let outcome = record.next().await;
    assert_eq!(
        (outcome.ending, template(&outcome)),
        (Ending::Panicked, Some("/inner/{*rest}"))
    );

    let mut hanging = Box::pin(router.oneshot(request("/hangs/1")));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(hanging.as_mut().poll(&mut cx).is_pending());
    drop(hanging);
    let outcome = record.next().await;
    assert_eq!(
        (outcome.ending, template(&outcome)),
        (Ending::Aborted, Some("/inner/{*rest}"))
    );
}

#[tokio::test]
async fn the_innermost_named_route_wins_and_any_wins_over_the_router() {
    let answer =
        tower::service_fn(|_: Request| async { Ok::<_, Infallible>(Response::new(Body::empty())) });
    let inner = ops_http::route("/a/b/{*rest}").layer(answer);
    let outer = ops_http::route("/a/{*rest}").layer(inner.clone());
    let nested = Router::new().nest_service("/a", outer.clone());
    assert_eq!(
        template(&outcome(nested, "/a/b/c").await),
        Some("/a/b/{*rest}")
    );
    let matched = Router::new().route_service("/{*all}", outer);
    assert_eq!(
        template(&outcome(matched, "/a/b/c").await),
        Some("/a/b/{*rest}")
    );
}

#[tokio::test]
async fn the_innermost_named_route_wins_even_if_no_response_came() {
    let hangs = tower::service_fn(|_: Request| {
        std::future::pending::<Result<Response<Body>, Infallible>>()
    });
    let inner = ops_http::route("/a/b/{*rest}").layer(hangs);
    let outer = ops_http::route("/a/{*rest}").layer(inner);
    let record = Record::new();
    let router = Router::new()
        .nest_service("/a", outer)
        .layer(ObserveLayer::new(record.clone()));
    let mut hanging = Box::pin(router.oneshot(request("/a/b/c")));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(hanging.as_mut().poll(&mut cx).is_pending());
    drop(hanging);
    assert_eq!(template(&record.next().await), Some("/a/b/{*rest}"));
}

#[tokio::test]
async fn two_observers_around_one_named_service_agree() {
    let answer =
        tower::service_fn(|_: Request| async { Ok::<_, Infallible>(Response::new(Body::empty())) });
    let (inner, outer) = (Record::new(), Record::new());
    let router = Router::new()
        .nest_service("/a", ops_http::route("/a/{*rest}").layer(answer))
        .layer(ObserveLayer::new(inner.clone()))
        .layer(ObserveLayer::new(outer.clone()));
    drop(router.oneshot(request("/a/b")).await);
    for record in [inner, outer] {
        assert_eq!(template(&record.only()), Some("/a/{*rest}"));
    }
}

#[tokio::test]
async fn templates_are_handed_over_as_the_router_has_them() {
    let long = format!("/{}/{{id}}", "x".repeat(249));
    assert_eq!(long.len(), 255);
    let gitlab = "/api/v4/projects/{id}/merge_requests/{merge_request_iid}/discussions/{discussion_id}/notes/{note_id}";
    for (template_text, path) in [
        (
            gitlab,
            "/api/v4/projects/1/merge_requests/2/discussions/3/notes/4".to_owned(),
        ),
        ("/zürich", "/zürich".to_owned()),
        ("/東京/{*rest}", "/東京/a/b".to_owned()),
        (&long, format!("/{}/7", "x".repeat(249))),
    ] {
        let router = Router::new().route(template_text, get(|| async {}));
        let outcome = outcome(router, &path).await;
        assert_eq!(
            (outcome.status, template(&outcome)),
            (200, Some(template_text))
        );
    }
}

#[test]
fn probes_and_scrapes_are_quiet_and_nothing_that_only_begins_like_them() {
    for path in ["/healthz", "/livez", "/readyz", "/metrics"] {
        assert!(is_quiet(path) && QUIET_ROUTES.contains(&path));
    }
    for path in ["/", "/healthz/", "/metrics2", "/api/metrics", ""] {
        assert!(!is_quiet(path), "{path}");
    }
}
