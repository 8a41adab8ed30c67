use std::time::{Duration, Instant, SystemTime};

use crate::mapbox_stand_in::{Behavior, StandIn, TOKEN};
use crate::served::{Home, Served};

const SOON: Duration = Duration::from_secs(60);
const AREA: &str = "/api/isochrone?lat=37.6&lon=-122.4&minutes=10&mode=walking";
/// Statuses of a call, as in the catalog.
const STATUSES: [&str; 10] = [
    "ok",
    "no_area",
    "http_4xx",
    "http_429",
    "http_5xx",
    "timeout",
    "network",
    "invalid_response",
    "circuit_open",
    "cancelled",
];

fn with_mapbox(url: &str) -> (Home, Served) {
    let mut home = Home::new();
    home.set("MAPBOX_ACCESS_TOKEN", TOKEN);
    home.set("KEARNEY_MAPBOX_URL", url.to_owned().leak());
    let served = home.serve();
    (home, served)
}

fn calls(served: &Served, status: &str) -> u64 {
    let series = format!(
        "isochrone_requests_total{{provider=\"mapbox\",mode=\"walking\",status=\"{status}\"}} "
    );
    let metrics = served.get("/metrics").body;
    let line = metrics.lines().find_map(|line| line.strip_prefix(&series));
    line.unwrap_or_else(|| panic!("{series}")).parse().unwrap()
}

#[test]
fn without_a_token_the_answer_is_an_estimate_that_says_so() {
    let served = Home::new().serve();
    let answer = served.get(AREA);
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, "application/geo+json")
    );
    let feature = &answer.json()["features"][0];
    let about = &feature["properties"];
    assert_eq!(
        (&about["provider"], &about["is_estimate"]),
        (&"estimate".into(), &true.into())
    );
    assert!(
        about["note"]
            .as_str()
            .unwrap()
            .contains("the Mapbox token is missing"),
        "{about}"
    );
    assert_eq!(
        feature["geometry"]["coordinates"][0]
            .as_array()
            .unwrap()
            .len(),
        65
    );
    let metrics = served.get("/metrics").body;
    assert!(metrics.contains(
        "isochrone_requests_total{provider=\"estimate\",mode=\"walking\",status=\"ok\"} 1\n"
    ));
}

#[test]
fn mapbox_is_asked_as_it_documents_and_its_area_is_the_answer() {
    let mapbox = StandIn::start();
    let (_, served) = with_mapbox(&mapbox.url);
    let answer = served.get(AREA);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let feature = &answer.json()["features"][0];
    assert_eq!(
        (
            &feature["properties"]["provider"],
            &feature["properties"]["is_estimate"]
        ),
        (&"mapbox".into(), &false.into())
    );
    assert_eq!(
        feature["geometry"]["coordinates"][0]
            .as_array()
            .unwrap()
            .len(),
        5
    );
    let target = format!(
        "/isochrone/v1/mapbox/walking/-122.400000,37.600000?contours_minutes=10&polygons=true&access_token={TOKEN}"
    );
    assert_eq!(mapbox.asked(), [target]);
    assert_eq!(calls(&served, "ok"), 1);
}

#[test]
fn each_way_to_fail_has_an_answer_and_a_status_and_the_token_is_nowhere() {
    let mapbox = StandIn::start();
    let (home, served) = with_mapbox(&mapbox.url);
    let mut printed = Vec::new();
    // behavior, response status, calls, and the label under which they are counted
    for (behavior, status, tries, label) in [
        (Behavior::NoRoute, 422, 1, "no_area"),
        (Behavior::Refuses, 502, 1, "http_4xx"),
        (Behavior::WantsRest(429, "0"), 503, 3, "http_429"),
        (Behavior::Nonsense, 502, 1, "invalid_response"),
        (Behavior::BrokenOnce, 200, 2, "http_5xx"),
        (Behavior::CutBody, 502, 3, "network"),
        (Behavior::Sound, 200, 1, "ok"),
    ] {
        mapbox.behave(behavior);
        let answer = served.get(AREA);
        assert_eq!(answer.status, status, "{behavior:?}: {}", answer.body);
        assert_eq!(mapbox.asked().len(), tries, "{behavior:?}");
        assert!(calls(&served, label) > 0, "{behavior:?}");
        printed.push(answer.body);
    }
    // a client that disconnects, and a provider that hangs
    mapbox.behave(Behavior::Hangs);
    let leaver = client(&served);
    let asked = Instant::now();
    while mapbox.asked().is_empty() {
        assert!(asked.elapsed() < SOON);
        std::thread::park_timeout(Duration::from_millis(5));
    }
    drop(leaver);
    while calls(&served, "cancelled") == 0 {
        assert!(asked.elapsed() < SOON);
        std::thread::park_timeout(Duration::from_millis(5));
    }
    // a request does not hang with its provider, which never responds
    let slow = served.get(AREA);
    assert_eq!(slow.status, 504, "{}", slow.body);
    assert!(calls(&served, "timeout") > 0);
    printed.push(slow.body);

    // five consecutive failures open the breaker
    mapbox.behave(Behavior::Broken);
    mapbox.asked();
    let open = (0..5)
        .map(|_| served.get(AREA))
        .find(|answer| answer.status == 503)
        .unwrap();
    let seconds: u64 = open.header("retry-after").parse().unwrap();
    assert!((1..=30).contains(&seconds), "{seconds}");
    let before = mapbox.asked().len();
    assert_eq!(
        (served.get(AREA).status, mapbox.asked().len()),
        (503, 0),
        "{before}"
    );
    printed.push(open.body);
    for status in STATUSES {
        assert!(calls(&served, status) > 0, "{status} has no producer");
    }

    printed.push(served.state().to_string());
    printed.push(served.get("/metrics").body);
    assert!(served.stop().success());
    printed.push(std::fs::read_to_string(home.path("logs/app.log")).unwrap());
    for text in printed {
        assert!(!text.contains(TOKEN), "{text}");
    }
}

/// A client that has sent a request, and does not read the response.
fn client(served: &Served) -> std::net::TcpStream {
    let address = served.api.trim_start_matches("http://");
    let mut client = std::net::TcpStream::connect(address).unwrap();
    let request = format!("GET {AREA} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    std::io::Write::write_all(&mut client, request.as_bytes()).unwrap();
    client
}

#[test]
fn a_provider_that_wants_to_be_left_alone_is_not_asked_until_then_for_whichever_client() {
    for (status, is_date) in [(429, false), (429, true), (503, false)] {
        let mapbox = StandIn::start();
        let (_, served) = with_mapbox(&mapbox.url);
        let asked = Instant::now();
        let date = SystemTime::now() + Duration::from_secs(600);
        let until = match is_date {
            true => httpdate::fmt_http_date(date).leak(),
            false => "600",
        };
        mapbox.behave(Behavior::WantsRest(status, until));
        // the least that may be left when this is checked: a date has no fractions of a second
        let least = || 598_u64.saturating_sub(asked.elapsed().as_secs());
        let first = served.get(AREA);
        let is_reported = status == 429;
        assert_eq!(first.status, if is_reported { 503 } else { 502 }, "{until}");
        if is_reported {
            let left: u64 = first.header("retry-after").parse().unwrap();
            assert!((least()..=600).contains(&left), "{left}");
        }
        assert_eq!(mapbox.asked().len(), 1, "{until}");
        mapbox.behave(Behavior::Sound);
        let second = served.get(AREA);
        assert_eq!(second.status, 503, "{}", second.body);
        let left: u64 = second.header("retry-after").parse().unwrap();
        assert!((least()..=600).contains(&left), "{left}");
        assert_eq!(mapbox.asked().len(), 0);
        assert_eq!(calls(&served, "circuit_open"), 1);
    }
}

#[test]
fn a_request_beyond_the_limit_is_busy_and_no_failure_of_the_provider() {
    assert!((0..5).any(|_| is_busy_beyond_the_limit()));
}

/// Returns `false` if a call timed out, as it does after a few seconds on a busy machine: it left its place to others.
fn is_busy_beyond_the_limit() -> bool {
    let mapbox = StandIn::start();
    let (_, served) = with_mapbox(&mapbox.url);
    mapbox.behave(Behavior::Hangs);
    let clients: Vec<_> = (0..16).map(|_| client(&served)).collect();
    let (started, mut asked) = (Instant::now(), 0);
    while asked < clients.len() {
        asked += mapbox.asked().len();
        assert!(started.elapsed() < SOON);
        std::thread::park_timeout(Duration::from_millis(5));
    }
    let busy = served.get(AREA);
    if calls(&served, "timeout") > 0 {
        return false;
    }
    assert_eq!(busy.status, 503, "{}", busy.body);
    assert!(
        busy.body.contains("too many concurrent requests"),
        "{}",
        busy.body
    );
    assert_eq!(busy.header("retry-after"), "2");
    assert_eq!(calls(&served, "busy"), 1);
    true
}

#[test]
fn a_rejected_token_is_reported_without_its_value() {
    let mapbox = StandIn::start();
    let mut home = Home::new();
    home.set("MAPBOX_ACCESS_TOKEN", "pk.another-token-0815");
    home.set("KEARNEY_MAPBOX_URL", mapbox.url.clone().leak());
    let served = home.serve();
    let answer = served.get(AREA);
    assert_eq!(answer.status, 502);
    assert!(
        answer.body.contains("rejected the token"),
        "{}",
        answer.body
    );
    assert!(!answer.body.contains("0815"));
    assert_eq!(calls(&served, "http_4xx"), 1);
}
