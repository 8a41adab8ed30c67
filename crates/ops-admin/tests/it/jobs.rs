use ops_admin::{Admin, Job, JobState, Phase};
use serde_json::{Value, json};

use crate::get;

async fn listed(admin: Admin) -> Value {
    let answer = get(&admin.router(), "/api/state").await;
    let state: Value = serde_json::from_str(&answer.body).unwrap();
    state["jobs"].clone()
}

#[tokio::test]
async fn jobs_have_their_phases_and_what_they_are_named_stays_text() {
    let jobs = || {
        let job = Job::new("a", "<b>import</b>", JobState::Failed, 1000)
            .status("timeout")
            .started(1200)
            .took_ms(300)
            .phase(Phase::ended("fetch", 100, true))
            .phase(Phase::ended("load\u{1b}[31m", 200, false))
            .note("no answer")
            .trace_id("0af7651916cd43dd8448eb211c80319c".to_owned());
        let waiting = Job::new("b", "import", JobState::Waiting, 1100);
        vec![job, waiting]
    };
    let part = listed(Admin::new("it").jobs("Imports", jobs)).await;
    let right = json!({
        "title": "Imports", "left_out": 0, "panicked": false,
        "items": [
            {
                "id": "a", "name": "<b>import</b>", "state": "failed", "status": "timeout",
                "requested_at": 1000, "started_at": 1200, "took_ms": 300, "note": "no answer",
                "trace_id": "0af7651916cd43dd8448eb211c80319c",
                "phases": [
                    {"name": "fetch", "took_ms": 100, "ok": true},
                    {"name": "load\u{1b}[31m", "took_ms": 200, "ok": false},
                ],
            },
            {
                "id": "b", "name": "import", "state": "waiting", "status": "", "requested_at": 1100,
                "started_at": null, "took_ms": null, "note": "", "trace_id": null, "phases": [],
            },
        ],
    });
    assert_eq!(part, right);
    assert_eq!(listed(Admin::new("it")).await, Value::Null);
}

#[tokio::test]
async fn many_jobs_are_the_first_twenty_and_a_panic_leaves_the_rest_of_the_state() {
    let many = || {
        let job = |id: i32| {
            let mut job = Job::new(id.to_string(), "x".repeat(5000), JobState::Done, 0);
            for _ in 0..100 {
                job = job.phase(Phase::ended("p", 1, true));
            }
            job
        };
        (0..50).map(job).collect()
    };
    let part = listed(Admin::new("it").jobs("Jobs", many)).await;
    let items = part["items"].as_array().unwrap();
    assert_eq!((items.len(), &part["left_out"]), (20, &json!(30)));
    assert_eq!(items[0]["name"].as_str().unwrap().len(), 300);
    assert_eq!(items[0]["phases"].as_array().unwrap().len(), 32);

    let part = listed(Admin::new("it").jobs("Jobs", || panic!("no list"))).await;
    assert_eq!(
        (&part["panicked"], &part["items"]),
        (&json!(true), &json!([]))
    );
}

#[tokio::test]
async fn of_many_phases_the_last_ones_are_shown_and_the_time_of_those_before() {
    let of = |failed: usize| {
        let mut job = Job::new("a", "import", JobState::Failed, 0);
        for number in 0..100 {
            job = job.phase(Phase::ended(format!("p{number}"), 2, number != failed));
        }
        job
    };
    for (failed, of_first, of_last) in [(99, true, false), (5, false, true)] {
        let part = listed(Admin::new("it").jobs("Jobs", move || vec![of(failed)])).await;
        let phases = part["items"][0]["phases"].as_array().unwrap();
        assert_eq!(phases.len(), 32);
        let right = json!({"name": "69 earlier", "took_ms": 138, "ok": of_first});
        assert_eq!(phases[0], right);
        assert_eq!(phases[1]["name"], "p69");
        let right = json!({"name": "p99", "took_ms": 2, "ok": of_last});
        assert_eq!(phases[31], right);
    }
}
