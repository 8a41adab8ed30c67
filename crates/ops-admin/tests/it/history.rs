use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use http::{Request, StatusCode};
use ops_admin::{Admin, History, Rows, Statement};
use serde_json::{Value, json};

use crate::{Answer, get, send};

const TOKEN: &str = "a-token-of-sixteen";

/// Creates a history whose results contain the question.
pub(crate) fn some() -> History {
    History::new("/var/history", || 3, |_| true)
        .question("runs", "starts", None)
        .question("trace", "one trace", Some("a trace id"))
        .engine(|ask| match ask.statement {
            Statement::Named {
                name: "runs",
                argument: None,
            } => Ok(Rows::new(["run", "n"])
                .row(["\"a<b>\"", "170141183460469231731687303715884105727"])),
            Statement::Named { name, argument } => Err(format!("{name} {argument:?}\u{1b}[31m")),
            Statement::Sql("SELECT 1") => {
                let mut rows = Rows::new(["1"]).row([ask.rows.to_string()]);
                rows.is_truncated = true;
                Ok(rows)
            }
            Statement::Sql(_) => Err("Parser Error: no\nLINE 1: x".to_owned()),
        })
}

async fn sql(admin: Admin, body: &str) -> Answer {
    let request = Request::post("/api/sql")
        .header("host", "localhost")
        .header("authorization", format!("Bearer {TOKEN}"))
        .header("x-ops-admin", "1")
        .header("content-type", "application/json");
    send(&admin.router(), request, body).await
}

#[tokio::test]
async fn a_question_is_answered_with_all_digits_and_what_is_wrong_is_named() {
    let router = Admin::new("it").history(some()).router();
    let answer = get(&router, "/api/history/runs").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(
        answer
            .body
            .contains("170141183460469231731687303715884105727"),
        "{}",
        answer.body
    );
    let answer: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(answer["columns"], json!(["run", "n"]));
    assert_eq!(answer["rows"][0][0], "a<b>");
    assert_eq!(answer["current"], true);
    for (path, status, why) in [
        (
            "/api/history/nothing",
            404,
            "unknown query, expected one of: runs, trace\n",
        ),
        (
            "/api/history/trace?argument=%3Cx%3E",
            400,
            "trace Some(\"<x>\")\u{fffd}[31m\n",
        ),
        (
            "/api/history/runs?hue=1",
            400,
            "unknown or repeated parameter, accepted once each: argument\n",
        ),
    ] {
        let refused = get(&router, path).await;
        assert_eq!(
            (refused.status.as_u16(), refused.body.as_str()),
            (status, why)
        );
    }
    let state: Value = serde_json::from_str(&get(&router, "/api/state").await.body).unwrap();
    let right = json!({
        "directory": "/var/history", "run": 3, "has_engine": true, "takes_sql": false,
        "questions": [
            {"name": "runs", "about": "starts", "argument": null},
            {"name": "trace", "about": "one trace", "argument": "a trace id"},
        ],
    });
    assert_eq!(state["history"], right);
}

#[tokio::test]
async fn sql_is_answered_with_a_token_only_and_nothing_without_a_history_or_an_engine() {
    let statement = r#"{"sql": "SELECT 1", "limit": 7}"#;
    let open = sql(Admin::new("it").history(some()), statement).await;
    assert_eq!(open.status, StatusCode::FORBIDDEN);
    assert!(open.body.contains("OPS_ADMIN_TOKEN"), "{}", open.body);
    let closed = || Admin::new("it").token(TOKEN);
    let answered = sql(closed().history(some()), statement).await;
    assert_eq!(answered.status, StatusCode::OK);
    let answer: Value = serde_json::from_str(&answered.body).unwrap();
    assert_eq!(
        (&answer["rows"], &answer["truncated"]),
        (&json!([[7]]), &json!(true))
    );
    // a limit never exceeds that of the page
    let all = sql(
        closed().history(some()),
        r#"{"sql": "SELECT 1", "limit": 99999}"#,
    )
    .await;
    assert!(all.body.contains("[[1000]]"), "{}", all.body);
    let wrong = sql(closed().history(some()), r#"{"sql": "x"}"#).await;
    assert_eq!(
        (wrong.status, wrong.body.as_str()),
        (StatusCode::BAD_REQUEST, "Parser Error: no\nLINE 1: x\n")
    );
    assert_eq!(sql(closed(), statement).await.status, StatusCode::NOT_FOUND);
    let engineless = History::new("/var/history", || 1, |_| true);
    let engineless = sql(closed().history(engineless), statement).await;
    assert_eq!(engineless.status, StatusCode::NOT_IMPLEMENTED);
    assert!(
        engineless.body.contains("feature duckdb"),
        "{}",
        engineless.body
    );
}

#[cfg(feature = "log")]
#[tokio::test]
async fn a_statement_is_a_line_of_the_log_with_its_outcome() {
    crate::start();
    let admin = Admin::new("it").token(TOKEN).history(some());
    let body = r#"{"sql": "SELECT 'told-7c1'", "who": "ada"}"#;
    assert_eq!(sql(admin, body).await.status, StatusCode::BAD_REQUEST);
    let lines = ops_log::recent(2000);
    let line = lines.iter().find(|line| line.contains("told-7c1")).unwrap();
    let line: Value = serde_json::from_str(line).unwrap();
    assert_eq!(
        (
            &line["event"],
            &line["action"],
            &line["who"],
            &line["outcome"]
        ),
        (
            &json!("admin_action"),
            &json!("sql"),
            &json!("ada"),
            &json!("Parser Error: no\nLINE 1: x")
        )
    );
}

#[tokio::test]
async fn what_waits_is_written_before_each_question_and_one_is_answered_at_a_time() {
    let (flushed, at_once, most) =
        <(Arc<AtomicUsize>, Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
    let (of_flush, of_answer) = (flushed.clone(), most.clone());
    let (seen, of_run) = (flushed.clone(), flushed.clone());
    let run = move || of_run.load(SeqCst) as u64;
    let history = History::new("/var/history", run, move |_| {
        of_flush.fetch_add(1, SeqCst);
        false
    });
    let history = history.question("runs", "starts", None).engine(move |_| {
        of_answer.fetch_max(at_once.fetch_add(1, SeqCst) + 1, SeqCst);
        std::thread::yield_now();
        at_once.fetch_sub(1, SeqCst);
        Ok(Rows::new(["flushed"]).row([seen.load(SeqCst).to_string()]))
    });
    let router = Admin::new("it").history(history).router();
    let asked = (0..8).map(|_| {
        let router = router.clone();
        tokio::spawn(async move { get(&router, "/api/history/runs").await.body })
    });
    for answer in asked.collect::<Vec<_>>() {
        let answer: Value = serde_json::from_str(&answer.await.unwrap()).unwrap();
        assert!(answer["rows"][0][0].as_u64().unwrap() >= 1);
        // the flush exceeded its time, and the response shows that
        assert_eq!(answer["current"], false);
    }
    assert_eq!((flushed.load(SeqCst), most.load(SeqCst)), (8, 1));
    let request = Request::post("/api/history/flush")
        .header("host", "localhost")
        .header("x-ops-admin", "1")
        .header("content-type", "application/json");
    let answer = send(&router, request, "{}").await;
    let right = json!({"directory": "/var/history", "run": 9, "written": false});
    assert_eq!(serde_json::from_str::<Value>(&answer.body).unwrap(), right);
    assert_eq!(flushed.load(SeqCst), 9);
}
