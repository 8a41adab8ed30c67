use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use http::StatusCode;
use ops_admin::{Admin, Check, Finding, Severity};
use serde_json::Value;

use crate::get;

#[tokio::test]
async fn the_state_is_one_json_document_with_a_part_for_each_room() {
    let router = Admin::new("it")
        .readiness(|| async { Some("warming up".to_owned()) })
        .router();
    let answer = get(&router, "/api/state").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers["content-type"], "application/json");
    let state: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(state["service"], "it");
    assert_eq!(state["not_ready"], "warming up");
    assert!(state["uptime_seconds"].is_u64());
    #[cfg(feature = "metrics")]
    assert!(
        state["metrics"]
            .as_array()
            .unwrap()
            .iter()
            .any(|line| line["name"] == "p95_seconds")
    );
    #[cfg(feature = "trace")]
    for part in ["recent_traces", "slow_traces", "failed_traces"] {
        assert!(state[part].is_array(), "{part}");
    }
    #[cfg(feature = "log")]
    {
        assert!(state["log_levels"]["level"].is_string());
        assert!(state["recent_lines"].is_array());
    }
    #[cfg(feature = "secrets")]
    assert!(state.get("secrets").is_none(), "none were handed over");
}

#[tokio::test]
async fn a_panic_of_what_is_asked_is_a_reason_why_the_service_is_not_ready() {
    let at_once = Admin::new("it").readiness(|| {
        panic!("at once");
        #[expect(unreachable_code, reason = "its type")]
        std::future::ready(None)
    });
    let later = Admin::new("it").readiness(|| async { panic!("later") });
    let of_checks = Admin::new("it").checks(|| panic!("checks"));
    for (admin, probed) in [(at_once, 503), (later, 503), (of_checks, 200)] {
        let router = admin.router();
        for _ in 0..2 {
            assert_eq!(get(&router, "/readyz").await.status.as_u16(), probed);
            let state = get(&router, "/api/state").await;
            let state: Value = serde_json::from_str(&state.body).unwrap();
            let reason = state["not_ready"].as_str().unwrap();
            assert!(reason.ends_with("panicked"), "{reason}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_does_not_say_whether_it_is_ready_has_its_page_all_the_same() {
    let hangs = Admin::new("it").readiness(std::future::pending::<Option<String>>);
    let router = hangs.router();
    for path in ["/", "/api/state"] {
        let look = tokio::time::timeout(Duration::from_secs(5), get(&router, path));
        let body = look.await.unwrap().body;
        assert!(body.contains("has not returned for 3 s"), "{path}: {body}");
    }
    // a slow function is waited for
    let slow = Admin::new("it").readiness(|| async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        None
    });
    let state = get(&slow.router(), "/api/state").await;
    let state: Value = serde_json::from_str(&state.body).unwrap();
    assert_eq!(state["verdict"]["state"], "ok", "{state}");
}

#[tokio::test]
async fn the_state_calls_readiness_first_and_shows_its_result() {
    let answer = Arc::new(Mutex::new("asked hours ago".to_owned()));
    let (asked, known) = (Arc::clone(&answer), answer);
    let number = AtomicUsize::new(0);
    let router = Admin::new("it")
        .readiness(move || {
            let now = number.fetch_add(1, Relaxed) + 1;
            *asked.lock().unwrap() = format!("asked {now} times");
            std::future::ready(None)
        })
        .checks(move || {
            let (name, reason) = ("db".to_owned(), Some(known.lock().unwrap().clone()));
            let state = "degraded";
            (
                None,
                vec![Check {
                    name,
                    state,
                    reason,
                }],
            )
        })
        .router();
    for n in 1..4 {
        let state = get(&router, "/api/state").await;
        let state: Value = serde_json::from_str(&state.body).unwrap();
        assert_eq!(state["checks"][0]["reason"], format!("asked {n} times"));
    }
}

/// Creates a page whose check results are outdated until the readiness function responds.
fn slow_to_answer(answer: impl Fn() -> Answer + Send + Sync + 'static) -> Router {
    let asked = Arc::new(AtomicBool::new(false));
    let known = Arc::clone(&asked);
    Admin::new("it")
        .readiness(move || {
            let (asked, answer) = (Arc::clone(&asked), answer());
            async move {
                let (reason, is_known) = answer.await;
                asked.store(is_known, Relaxed);
                reason
            }
        })
        .checks(move || {
            let state = if known.load(Relaxed) {
                "ready"
            } else {
                "unknown"
            };
            let (name, reason) = ("db".to_owned(), None);
            (
                None,
                vec![Check {
                    name,
                    state,
                    reason,
                }],
            )
        })
        .router()
}

type Answer = Pin<Box<dyn Future<Output = (Option<String>, bool)> + Send>>;

#[tokio::test(start_paused = true)]
async fn the_state_waits_for_checks_whose_results_are_outdated() {
    let router = slow_to_answer(|| {
        Box::pin(async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            (None, true)
        })
    });
    let state = get(&router, "/api/state").await;
    let state: Value = serde_json::from_str(&state.body).unwrap();
    assert_eq!(state["checks"][0]["state"], "ready", "{state}");
    assert_eq!(state["verdict"]["state"], "ok", "{state}");
}

#[tokio::test(start_paused = true)]
async fn a_service_whose_checks_do_not_answer_is_failing_as_its_probe_says() {
    let router = slow_to_answer(|| {
        Box::pin(async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            (Some("the checks do not answer".to_owned()), false)
        })
    });
    let look = async || -> Value {
        let state = get(&router, "/api/state").await;
        serde_json::from_str(&state.body).unwrap()
    };
    assert_eq!(look().await["verdict"]["state"], "degraded");
    tokio::time::sleep(Duration::from_secs(5)).await;
    let state = look().await;
    assert_eq!(state["verdict"]["state"], "failing", "{state}");
    assert_eq!(state["not_ready"], "the checks do not answer", "{state}");
}

#[tokio::test]
async fn findings_are_part_of_the_state_where_somebody_looks_for_them() {
    let bare = get(&Admin::new("it").router(), "/api/state").await;
    let bare: Value = serde_json::from_str(&bare.body).unwrap();
    assert!(bare.get("findings").is_none());

    let finding = Finding::new("traces_lost", Severity::Warning, "spans are dropped", 7)
        .seen("12 of 40")
        .explained_by("collector_down");
    let router = Admin::new("it")
        .findings(move || vec![finding.clone()])
        .router();
    let state = get(&router, "/api/state").await;
    let state: Value = serde_json::from_str(&state.body).unwrap();
    let found = &state["findings"][0];
    assert_eq!(found["id"], "traces_lost");
    assert_eq!(found["severity"], "warning");
    assert_eq!(found["since"], 7);
    assert_eq!(found["seen"], "12 of 40");
    assert_eq!(found["explained_by"], "collector_down");
    assert!(found["runbook"].is_null());
}

#[cfg(all(feature = "log", feature = "trace", feature = "metrics"))]
#[tokio::test]
async fn examples_of_refused_label_values_have_no_secret() {
    const SECRET: &str = "canary-in-a-name-of-a-host";
    crate::traffic().await;
    ops_log::redact(SECRET);
    let requests = ops_metrics::catalog::http_client_requests_total::family();
    for number in 0..300 {
        let host = format!("{number}.{SECRET}");
        requests.counter(&[&host, "GET", "200"]).inc();
    }
    let router = Admin::new("it").router();
    let state = get(&router, "/api/state").await;
    assert!(!state.body.contains(SECRET));
    let state: Value = serde_json::from_str(&state.body).unwrap();
    let sizes = state["cardinality"].as_array().unwrap();
    let size = sizes
        .iter()
        .find(|size| size["metric"] == "http_client_requests_total");
    let host = &size.unwrap()["labels"][0];
    assert!(host["refused"].as_u64().unwrap() > 0, "{host}");
    assert!(!host["examples"].as_array().unwrap().is_empty(), "{host}");
}

#[tokio::test]
async fn what_is_wrong_has_a_reason_whatever_explains_it() {
    let finding = |id: &str, severity, cause: Option<&str>| {
        let finding = Finding::new(id, severity, id, 7);
        match cause {
            Some(cause) => finding.explained_by(cause),
            None => finding,
        }
    };
    use Severity::{Critical, Info, Warning};
    for (found, reasons) in [
        (
            vec![
                finding("engine", Warning, None),
                finding("failing", Critical, Some("engine")),
            ],
            vec!["engine"],
        ),
        (
            vec![finding("failing", Critical, Some("gone"))],
            vec!["failing"],
        ),
        (
            vec![
                finding("canary", Info, None),
                finding("failing", Critical, Some("canary")),
            ],
            vec!["failing"],
        ),
        (
            vec![
                finding("disk", Warning, None),
                finding("canary", Info, None),
                finding("failing", Critical, Some("canary")),
            ],
            vec!["disk", "failing"],
        ),
        (
            vec![
                finding("slow", Warning, Some("failing")),
                finding("failing", Critical, Some("slow")),
            ],
            vec!["slow", "failing"],
        ),
        (
            vec![
                finding("disk", Warning, None),
                finding("slow", Warning, Some("failing")),
                finding("failing", Critical, Some("slow")),
            ],
            vec!["disk", "slow", "failing"],
        ),
        (
            vec![
                finding("failing", Critical, Some("slow")),
                finding("slow", Warning, Some("queue")),
                finding("queue", Warning, Some("slow")),
            ],
            vec!["slow", "queue"],
        ),
        (
            vec![finding("failing", Critical, Some("failing"))],
            vec!["failing"],
        ),
        (
            vec![
                finding("engine", Warning, None),
                finding("slow", Warning, Some("engine")),
                finding("failing", Critical, Some("slow")),
            ],
            vec!["engine"],
        ),
        (vec![finding("canary", Info, Some("gone"))], vec![]),
    ] {
        let router = Admin::new("it").findings(move || found.clone()).router();
        let state = get(&router, "/api/state").await;
        let state: Value = serde_json::from_str(&state.body).unwrap();
        let shown = state["verdict"]["reasons"].as_array().unwrap().iter();
        let shown: Vec<_> = shown.filter_map(Value::as_str).collect();
        assert_eq!(shown, reasons);
    }
}
