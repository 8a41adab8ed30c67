use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use ops_admin::Admin;
use serde_json::Value;
use tower::ServiceExt as _;

/// Far longer than an event takes.
const PATIENCE: Duration = Duration::from_secs(60);

struct Events {
    body: Body,
    text: String,
}

#[derive(Debug)]
struct Event {
    id: String,
    name: String,
    data: Value,
}

async fn open(router: &Router, last: Option<&str>) -> Result<Events, StatusCode> {
    let mut request = Request::get("/api/stream").header("host", "localhost");
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let request = request.body(Body::empty()).unwrap();
    let Ok(response) = router.clone().oneshot(request).await;
    if response.status() != 200 {
        assert_eq!(response.headers()["retry-after"], "5");
        return Err(response.status());
    }
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers()["cache-control"], "no-store");
    Ok(Events {
        body: response.into_body(),
        text: String::new(),
    })
}

impl Events {
    /// Returns the next event that has a name.
    async fn next(&mut self) -> Event {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let prefix = format!("{name}: ");
                    event
                        .lines()
                        .find_map(|line| line.strip_prefix(prefix.as_str()))
                        .map(str::to_owned)
                };
                let found = (field("id"), field("event"), field("data"));
                self.text = rest.to_owned();
                if let (Some(id), Some(name), Some(data)) = found {
                    let data = serde_json::from_str(&data).unwrap();
                    return Event { id, name, data };
                }
                continue;
            }
            let frame = tokio::time::timeout(PATIENCE, self.body.frame())
                .await
                .unwrap();
            let bytes = frame.unwrap().unwrap().into_data().unwrap();
            self.text += std::str::from_utf8(&bytes).unwrap();
        }
    }

    async fn named(&mut self, name: &str) -> Event {
        loop {
            let event = self.next().await;
            if event.name == name {
                return event;
            }
        }
    }
}

#[tokio::test]
async fn a_stream_begins_with_a_reset_ticks_and_is_resumed_where_it_ended() {
    let router = Admin::new("it").router();
    let mut first = open(&router, None).await.unwrap();
    assert_eq!(first.next().await.name, "reset");
    let seen = first.named("tick").await;
    assert!(seen.data["at"].is_u64());
    let next = first.next().await;
    drop(first);
    let mut again = open(&router, Some(&seen.id)).await.unwrap();
    let resumed = again.next().await;
    assert_eq!(
        (&resumed.id, &resumed.name),
        (&next.id, &next.name),
        "nothing is missing or sent twice"
    );
    for foreign in [
        "1-1",
        "",
        "x",
        "99999999999999999999-1",
        &format!("{}0", seen.id),
    ] {
        let mut anew = open(&router, Some(foreign)).await.unwrap();
        assert_eq!(anew.next().await.name, "reset", "{foreign}");
    }
}

#[cfg(feature = "log")]
#[tokio::test]
async fn what_changes_is_sent_and_nothing_else() {
    crate::start();
    let router = Admin::new("it").router();
    let mut events = open(&router, None).await.unwrap();
    events.named("tick").await;
    ops_log::warn!("line_of_the_stream", markup = "<b>\u{1b}[0m");
    loop {
        let lines = events.named("lines").await.data["lines"].to_string();
        if lines.contains("line_of_the_stream") {
            assert!(!lines.contains('\u{1b}'), "{lines}");
            break;
        }
    }
    ops_log::set_level("it_stream", ops_log::Level::Debug, None, "ada", "stream").unwrap();
    loop {
        let state = events.named("state").await.data;
        assert!(
            state.get("service").is_none() && state.get("configuration").is_none(),
            "{state}"
        );
        if state["levels"].to_string().contains("it_stream") {
            break;
        }
    }
}

#[tokio::test]
async fn sixteen_may_read_at_a_time() {
    let router = Admin::new("it").router();
    let mut open_ones = Vec::new();
    for _ in 0..16 {
        open_ones.push(open(&router, None).await.unwrap());
    }
    assert_eq!(
        open(&router, None).await.err(),
        Some(StatusCode::SERVICE_UNAVAILABLE)
    );
    open_ones.pop();
    let mut last = open(&router, None).await.unwrap();
    assert_eq!(last.next().await.name, "reset");
}
