use serde_json::Value;

use crate::{full, get, post};

async fn state() -> Value {
    let answer = get(&full(), "/api/state").await;
    serde_json::from_str(&answer.body).unwrap()
}

/// Returns the log lines of actions, for a reason that no other test gives.
fn audited(why: &str) -> Vec<Value> {
    let lines = ops_log::recent(usize::MAX);
    let lines = lines
        .iter()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines
        .filter(|line| line["event"] == "admin_action" && line["why"] == why)
        .collect()
}

#[tokio::test]
async fn a_ratio_changes_for_a_time_is_a_line_and_is_taken_back() {
    crate::traffic().await;
    let router = full();
    let body = r#"{"ratio": 0.25, "why": "a flood", "ttl_seconds": 60, "who": "ada"}"#;
    let answer = post(&router, "/api/sampling", body).await;
    assert_eq!(answer.body, "the sampling ratio is 0.25 for 60 seconds\n");
    let document = get(&router, "/api/state").await;
    let document: Value = serde_json::from_str(&document.body).unwrap();
    let sampling = &document["sampling"];
    assert_eq!(
        (&sampling["ratio"], &sampling["configured"]),
        (&0.25.into(), &1.0.into())
    );
    assert_eq!(
        (&sampling["who"], &sampling["why"]),
        (&"ada".into(), &"a flood".into())
    );
    assert!(sampling["remaining_seconds"].as_u64().unwrap() <= 60);
    let lines = audited("a flood");
    assert_eq!(lines.len(), 1);
    assert_eq!(
        (&lines[0]["action"], &lines[0]["who"]),
        (&"set_sampling".into(), &"ada".into())
    );

    let short = r#"{"ratio": 0.125, "why": "for a second", "ttl_seconds": 1}"#;
    assert_eq!(post(&router, "/api/sampling", short).await.status, 200);
    let before = std::time::Instant::now();
    while !state().await["sampling"]["remaining_seconds"].is_null() {
        assert!(
            before.elapsed().as_secs() < 60,
            "the ratio has not reverted"
        );
        tokio::task::yield_now().await;
    }
    assert_eq!(state().await["sampling"]["ratio"], 1.0);

    assert_eq!(post(&router, "/api/sampling", body).await.status, 200);
    let answer = post(&router, "/api/sampling/revert", "{}").await;
    assert_eq!(answer.body, "the sampling ratio is 1 again\n");
    assert_eq!(state().await["sampling"]["remaining_seconds"], Value::Null);
    assert_eq!(
        post(&router, "/api/sampling/revert", "{}").await.status,
        404
    );
    let zero = r#"{"ratio": -0.0, "why": "none", "ttl_seconds": 60}"#;
    let answer = post(&router, "/api/sampling", zero).await;
    assert_eq!(answer.body, "the sampling ratio is 0 for 60 seconds\n");
    assert_eq!(
        post(&router, "/api/sampling/revert", "{}").await.status,
        200
    );
    for (body, accepted) in [
        (r#"{"ratio": 1.5, "why": "x"}"#, "1.5"),
        (r#"{"ratio": 0.5, "why": ""}"#, "why must not be empty"),
        (
            r#"{"ratio": 0.5, "why": "x", "ttl_seconds": 0}"#,
            "ttl_seconds must be at least 1",
        ),
    ] {
        let answer = post(&router, "/api/sampling", body).await;
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.body.contains(accepted), "{body}: {}", answer.body);
    }
}

#[tokio::test]
async fn a_level_is_taken_back_and_its_target_stays_text() {
    crate::start();
    let router = full();
    let target = "<script>\\u001b[31m";
    let body = format!(r#"{{"level": "debug", "why": "looks hostile", "target": "{target}"}}"#);
    let answer = post(&router, "/api/level", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let rules = state().await["levels"].clone();
    let is_there = |rules: &Value| {
        let rules = rules.as_array().unwrap();
        rules.iter().any(|rule| {
            rule["target"] == "<script>\u{1b}[31m" && rule["remaining_seconds"].is_u64()
        })
    };
    assert!(is_there(&rules), "{rules}");
    assert_eq!(audited("looks hostile").len(), 1);
    // the line in the log has the sequence escaped
    let raw = ops_log::recent(usize::MAX).join("\n");
    assert!(!raw.contains('\u{1b}'));

    let reverted = post(
        &router,
        "/api/level/revert",
        &format!(r#"{{"target": "{target}"}}"#),
    )
    .await;
    assert_eq!(reverted.status, 200, "{}", reverted.body);
    while is_there(&state().await["levels"]) {
        tokio::task::yield_now().await;
    }
    let again = post(
        &router,
        "/api/level/revert",
        &format!(r#"{{"target": "{target}"}}"#),
    )
    .await;
    assert_eq!(again.status, 404);
}

#[tokio::test]
async fn without_the_token_nothing_is_shown_or_changed() {
    const TOKEN: &str = "a-token-of-the-actions";
    crate::traffic().await;
    let router = ops_admin::Admin::new("it").token(TOKEN).router();
    let actions = [
        (
            "/api/level",
            r#"{"level": "debug", "why": "by nobody", "target": "it_by_nobody"}"#,
        ),
        ("/api/level/revert", r#"{"target": "it_by_nobody"}"#),
        ("/api/sampling", r#"{"ratio": 0.125, "why": "by nobody"}"#),
        ("/api/sampling/revert", "{}"),
    ];
    let basic = |password: &str| {
        use base64::Engine as _;
        let encoded = base64::engine::general_purpose::STANDARD.encode(format!("ops:{password}"));
        format!("Basic {encoded}")
    };
    let wrong = [
        None,
        Some("Bearer ".to_owned()),
        Some("Bearer a-token-of-the-action".to_owned()),
        Some(format!("bearer{TOKEN}")),
        Some(TOKEN.to_owned()),
        Some(basic("guess")),
        Some("Basic %%%".to_owned()),
    ];
    let asked = |path: &'static str, body: &'static str, authorization: Option<String>| {
        let router = router.clone();
        async move {
            let request = if body.is_empty() {
                http::Request::get(path)
            } else {
                http::Request::post(path)
            };
            let mut request = request
                .header("host", "localhost")
                .header("x-ops-admin", "1")
                .header("content-type", "application/json");
            if let Some(authorization) = authorization {
                request = request.header("authorization", authorization);
            }
            crate::send(&router, request, body).await
        }
    };
    for authorization in &wrong {
        for (path, body) in actions {
            let answer = asked(path, body, authorization.clone()).await;
            assert_eq!(answer.status, 401, "{path} {authorization:?}");
        }
        for path in [
            "/",
            "/api/state",
            "/api/stream",
            "/api/lines",
            "/api/traces",
            "/api/tiles",
            "/api/routes",
            "/api/openapi.json",
            "/metrics",
            "/readyz",
            "/assets/page.js",
        ] {
            let answer = asked(path, "", authorization.clone()).await;
            assert_eq!(answer.status, 401, "{path} {authorization:?}");
        }
    }
    assert_eq!(audited("by nobody").len(), 0);
    assert!(!state().await["levels"].to_string().contains("it_by_nobody"));

    for (authorization, body, why) in [
        (
            format!("Bearer {TOKEN}"),
            r#"{"level": "debug", "why": "by bearer", "target": "it_by_bearer"}"#,
            "by bearer",
        ),
        (
            basic(TOKEN),
            r#"{"level": "debug", "why": "by basic", "target": "it_by_basic"}"#,
            "by basic",
        ),
    ] {
        let answer = asked("/api/level", body, Some(authorization)).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(audited(why).len(), 1);
    }
}

#[tokio::test]
async fn a_level_reverts_by_itself() {
    crate::traffic().await;
    let router = full();
    let is_there = |state: &Value| state["levels"].to_string().contains("it_for_a_second");
    let before = std::time::Instant::now();
    // on a busy machine the second may be over before the state is read
    loop {
        let body = r#"{"level": "debug", "why": "for a second", "target": "it_for_a_second", "ttl_seconds": 1}"#;
        assert_eq!(post(&router, "/api/level", body).await.status, 200);
        if is_there(&state().await) {
            break;
        }
        assert!(before.elapsed().as_secs() < 60, "it is never there");
    }
    while is_there(&state().await) {
        assert!(
            before.elapsed().as_secs() < 60,
            "the level has not reverted"
        );
        tokio::task::yield_now().await;
    }
}

#[cfg(feature = "cache")]
#[tokio::test]
async fn entries_are_removed_by_pattern_or_table_with_a_reason() {
    use data_cache::arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use data_cache::{Cache, Params};

    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path().join("cache")).unwrap();
    let column: ArrayRef = std::sync::Arc::new(Int64Array::from(vec![1]));
    let batch = RecordBatch::try_from_iter([("id", column)]).unwrap();
    for table in ["flights", "airports", "zipcodes"] {
        let sql = format!("SELECT * FROM {table}");
        cache
            .set(
                &sql,
                std::slice::from_ref(&batch),
                &Params::new(),
                Some(3600),
            )
            .unwrap();
    }
    let router = ops_admin::Admin::new("it")
        .cache(cache.clone())
        .cache_limits(1 << 20, 1 << 19)
        .router();
    let remove = |body: &'static str| {
        let router = router.clone();
        async move { post(&router, "/api/cache/invalidate", body).await }
    };
    let answer = remove(r#"{"pattern": "*flights*", "why": "loaded anew"}"#).await;
    assert_eq!(answer.body, "1 entries removed\n");
    let answer = remove(r#"{"table": "airports", "why": "loaded anew"}"#).await;
    assert_eq!(answer.body, "1 entries removed\n");
    assert_eq!(audited("loaded anew").len(), 2);
    for body in [
        r#"{"pattern": "*", "why": " "}"#,
        r#"{"why": "x"}"#,
        r#"{"pattern": "*", "table": "zipcodes", "why": "x"}"#,
    ] {
        assert_eq!(remove(body).await.status, 400, "{body}");
    }
    // it would be matched with every entry
    let long: &'static str = format!(r#"{{"pattern": "{}", "why": "x"}}"#, "*a".repeat(501)).leak();
    let answer = remove(long).await;
    assert_eq!(
        (answer.status.as_u16(), answer.body.as_str()),
        (400, "pattern and table must not exceed 1000 characters\n")
    );
    let document = get(&router, "/api/state").await;
    let document: Value = serde_json::from_str(&document.body).unwrap();
    assert_eq!(document["cache"]["entries"], 1);
    assert_eq!(document["cache"]["evicted_invalidated"], 2);
    assert_eq!(document["cache"]["size_limit_bytes"], 1 << 20);
    assert_eq!(
        document["cache"]["invalidations"][0]["pattern"],
        "table:airports"
    );
    assert_eq!(
        post(
            &full(),
            "/api/cache/invalidate",
            r#"{"pattern": "*", "why": "x"}"#
        )
        .await
        .status,
        404
    );
}

#[cfg(feature = "cache")]
#[tokio::test]
async fn a_removal_that_the_disk_refuses_is_no_wrong_request() {
    crate::start();
    let folder = tempfile::tempdir().unwrap();
    let cache = data_cache::Cache::open(folder.path()).unwrap();
    let router = ops_admin::Admin::new("it").cache(cache).router();
    // counts removals for all processes
    let count = folder.path().join("generation");
    // the cache may create it again meanwhile
    while std::fs::create_dir(&count).is_err() {
        let _ = std::fs::remove_file(&count);
    }
    let body = r#"{"pattern": "*", "why": "a disk that fails"}"#;
    let answer = post(&router, "/api/cache/invalidate", body).await;
    assert_eq!(answer.status, 500, "{}", answer.body);
    assert!(
        answer.body.contains("cannot remove entries"),
        "{}",
        answer.body
    );
    assert_eq!(audited("a disk that fails").len(), 1);
    let wrong = r#"{"table": "no name", "why": "x"}"#;
    let answer = post(&router, "/api/cache/invalidate", wrong).await;
    assert_eq!(answer.status, 400, "{}", answer.body);
}

#[tokio::test]
async fn a_change_is_a_line_whatever_the_level_is() {
    crate::start();
    let router = full();
    // the line about the change itself, and that of another change
    let level = r#"{"level": "error", "target": "ops_admin", "why": "less of it"}"#;
    assert_eq!(post(&router, "/api/level", level).await.status, 200);
    let other = r#"{"level": "debug", "target": "it_whatever", "why": "while it is quiet"}"#;
    assert_eq!(post(&router, "/api/level", other).await.status, 200);
    for why in ["less of it", "while it is quiet"] {
        let lines = audited(why);
        assert_eq!(lines.len(), 1, "{why}");
        assert_eq!(lines[0]["level"], "error", "{why}");
    }
    for target in ["ops_admin", "it_whatever"] {
        let revert = format!(r#"{{"target": "{target}"}}"#);
        let answer = post(&router, "/api/level/revert", &revert).await;
        assert_eq!(answer.status, 200);
    }
}
