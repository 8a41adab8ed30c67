//! A stand-in for Mapbox's Isochrone API, written from its public documentation: path, parameters, responses, errors.
//! It is neither Mapbox nor a recording of it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

pub(crate) const TOKEN: &str = "pk.planted-token-4711";

/// Behavior of the stand-in from now on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Behavior {
    /// 200 with a polygon, or 401 for another token.
    Sound,
    /// 422: nothing is reachable from there.
    NoRoute,
    /// 403: not for this token.
    Refuses,
    /// This status, with this `Retry-After`.
    WantsRest(u16, &'static str),
    /// 500.
    Broken,
    /// 500 once, sound after that.
    BrokenOnce,
    /// No response until the client disconnects.
    Hangs,
    /// Half of a body, then the end of the stream.
    CutBody,
    /// 200 with an invalid body.
    Nonsense,
}

pub(crate) struct StandIn {
    pub(crate) url: String,
    state: Arc<Mutex<(Behavior, Vec<String>)>>,
}

impl StandIn {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new((Behavior::Sound, Vec::new())));
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = shared.clone();
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        Self { url, state }
    }

    pub(crate) fn behave(&self, behavior: Behavior) {
        self.state.lock().unwrap().0 = behavior;
    }

    /// Returns the request targets received since the last call.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().1)
    }
}

fn serve(mut stream: TcpStream, shared: &Mutex<(Behavior, Vec<String>)>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if line == "\r\n" {
                break;
            }
            head.push(line);
        }
        let target = head[0].split(' ').nth(1).unwrap().to_owned();
        let behavior = {
            let mut state = shared.lock().unwrap();
            state.1.push(target.clone());
            let behavior = state.0;
            if behavior == Behavior::BrokenOnce {
                state.0 = Behavior::Sound;
            }
            behavior
        };
        let (status, more, body) = match behavior {
            Behavior::Sound if !target.contains(&format!("access_token={TOKEN}")) => (
                401,
                String::new(),
                r#"{"message":"Not Authorized - Invalid Token"}"#.to_owned(),
            ),
            Behavior::Sound => (200, String::new(), contour(&target)),
            Behavior::NoRoute => (
                422,
                String::new(),
                r#"{"code":"NoSegment","message":"Could not find a matching segment"}"#.to_owned(),
            ),
            Behavior::Refuses => (403, String::new(), r#"{"message":"Forbidden"}"#.to_owned()),
            Behavior::WantsRest(status, until) => (
                status,
                format!("Retry-After: {until}\r\n"),
                r#"{"message":"Too Many Requests"}"#.to_owned(),
            ),
            Behavior::Broken | Behavior::BrokenOnce => {
                (500, String::new(), format!("oops {TOKEN}"))
            }
            Behavior::Nonsense => (200, String::new(), format!("{{\"token\":\"{TOKEN}\"}}")),
            Behavior::Hangs => {
                let _ = reader.read(&mut [0]);
                return;
            }
            Behavior::CutBody => {
                let body = contour(&target);
                let _ = write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}",
                    body.len(),
                    &body[..40]
                );
                return;
            }
        };
        let length = body.len();
        let written = write!(
            stream,
            "HTTP/1.1 {status} x\r\nContent-Type: application/json\r\n{more}Content-Length: {length}\r\n\r\n{body}"
        );
        if written.is_err() {
            return;
        }
    }
}

/// Returns a square around the requested point, in the documented format of a response with `polygons=true`.
fn contour(target: &str) -> String {
    let (path, query) = target.split_once('?').unwrap();
    let mut parts = path.split('/').skip(1);
    assert_eq!(
        [parts.next(), parts.next(), parts.next()],
        [Some("isochrone"), Some("v1"), Some("mapbox")]
    );
    assert!(["driving", "walking", "cycling"].contains(&parts.next().unwrap()));
    let (lon, lat) = parts.next().unwrap().split_once(',').unwrap();
    let (x, y): (f64, f64) = (lon.parse().unwrap(), lat.parse().unwrap());
    let minutes: f64 = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("contours_minutes="))
        .unwrap()
        .parse()
        .unwrap();
    assert!(query.contains("polygons=true"));
    let r = minutes / 100.0;
    serde_json::json!({
        "features": [{
            "properties": {"fill": "#bf4040", "fillOpacity": 0.33, "contour": minutes, "metric": "time"},
            "geometry": {"type": "Polygon", "coordinates": [[[x-r,y-r],[x+r,y-r],[x+r,y+r],[x-r,y+r],[x-r,y-r]]]},
            "type": "Feature"
        }],
        "type": "FeatureCollection"
    })
    .to_string()
}
