//! Any body, over both HTTP versions, read by a client in any way: the outcome matches what the server took.
//!
//! `OPS_TEST_FULL=1` runs 2 000 cases instead of 100.

use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use ops_http::{Ending, ObserveLayer, Outcome};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use tokio::sync::Notify;

use crate::record::Record;
use crate::script::{Script, Step, Taken};
use crate::server::Server;

/// Frames of a large body. A machine buffers at most 4 MiB per connection at the sender
/// and 6 MiB at the receiver (`tcp_wmem`, `tcp_rmem`), and HTTP/2 another 64 KiB.
const LARGE_FRAMES: usize = 80;
const LARGE_FRAME_BYTES: usize = 256 * 1024;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Length {
    /// Neither head nor body declares a length.
    Unknown,
    /// The body declares it.
    Exact,
    /// The head declares it, the body does not.
    Head,
    /// The head declares less than the body has.
    TooSmall,
    /// The head declares more than the body has.
    TooLarge,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Last {
    End,
    Trailers,
    Fail,
    Panic,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Reader {
    All,
    /// Leaves after this number of bytes.
    Some(usize),
    /// Leaves after the head.
    Nothing,
    /// Leaves before the head, which is never sent.
    NotEvenTheHead,
}

#[derive(Clone, Debug)]
struct Case {
    http2: bool,
    head_only: bool,
    events: bool,
    frames: Vec<usize>,
    waits: bool,
    reports_last: bool,
    length: Length,
    last: Last,
    reader: Reader,
}

impl Case {
    fn bytes(&self) -> usize {
        self.frames.iter().sum()
    }

    fn is_large(&self) -> bool {
        self.frames.len() == LARGE_FRAMES
    }

    fn declared(&self) -> Option<u64> {
        let bytes = self.bytes() as u64;
        match self.length {
            Length::Unknown => None,
            Length::Exact | Length::Head => Some(bytes),
            Length::TooSmall => Some(bytes - 1),
            Length::TooLarge => Some(bytes + 7),
        }
    }

    fn body(&self, taken: Arc<Mutex<Taken>>) -> Script {
        let source = Bytes::from_static(&[b'x'; LARGE_FRAME_BYTES]);
        let mut steps = Vec::new();
        for (at, size) in self.frames.iter().enumerate() {
            if self.waits && at % 2 == 0 {
                steps.push(Step::Wait);
            }
            steps.push(Step::Data(source.slice(..*size)));
        }
        match self.last {
            Last::End => {}
            Last::Trailers => steps.push(Step::Trailers),
            Last::Fail => steps.push(Step::Fail),
            Last::Panic => steps.push(Step::Panic),
        }
        Script {
            steps: steps.into(),
            exact: (self.length == Length::Exact).then(|| self.bytes() as u64),
            reports_last: self.reports_last,
            taken,
        }
    }

    fn response(&self, taken: Arc<Mutex<Taken>>) -> Response<Script> {
        let mut head = Response::builder();
        if self.length != Length::Exact
            && let Some(length) = self.declared()
        {
            head = head.header("content-length", length);
        }
        if self.events {
            head = head.header("content-type", "text/event-stream");
        }
        head.header("trailer", "x-checksum")
            .body(self.body(taken))
            .unwrap()
    }

    /// Applies the definition to what the server took of the body.
    fn expected(&self, taken: &Taken) -> Ending {
        if self.reader == Reader::NotEvenTheHead {
            return Ending::Aborted;
        }
        if taken.panicked {
            return Ending::Panicked;
        }
        if taken.failed {
            return Ending::Failed;
        }
        match self.declared() {
            _ if self.head_only => Ending::Complete,
            // the client refuses it
            Some(length) if self.http2 && taken.bytes > length => Ending::Failed,
            Some(length) if taken.bytes >= length => Ending::Complete,
            Some(_) if taken.ended => Ending::Failed,
            Some(_) => Ending::Aborted,
            None if taken.ended || self.events => Ending::Complete,
            None => Ending::Aborted,
        }
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let length = prop_oneof![
        3 => Just(Length::Unknown),
        2 => Just(Length::Exact),
        3 => Just(Length::Head),
        1 => Just(Length::TooSmall),
        1 => Just(Length::TooLarge),
    ];
    let last = prop_oneof![
        4 => Just(Last::End),
        1 => Just(Last::Trailers),
        1 => Just(Last::Fail),
        1 => Just(Last::Panic),
    ];
    let reader = prop_oneof![
        4 => Just(Reader::All),
        2 => (1_usize..400_000).prop_map(Reader::Some),
        2 => Just(Reader::Nothing),
        1 => Just(Reader::NotEvenTheHead),
    ];
    let size = prop_oneof![Just(0), 1_usize..100, Just(16_384), 1_usize..200_000];
    let frames = prop_oneof![
        6 => vec(size, 0..6),
        1 => Just(vec![LARGE_FRAME_BYTES; LARGE_FRAMES]),
    ];
    let flags = (
        any::<bool>(),
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.1),
        any::<bool>(),
        any::<bool>(),
    );
    (flags, frames, length, last, reader).prop_map(|(flags, frames, length, last, reader)| {
        let (http2, head_only, events, waits, reports_last) = flags;
        let empty = frames.iter().sum::<usize>() == 0;
        let lies = matches!(length, Length::TooSmall | Length::TooLarge);
        Case {
            http2,
            head_only,
            events,
            frames,
            waits,
            reports_last,
            // hyper, compiled for tests, refuses a head with a length and no body
            length: if empty && lies {
                Length::Unknown
            } else {
                length
            },
            last,
            reader,
        }
    })
}

/// The client's view.
#[derive(Debug, Default)]
struct Seen {
    head: bool,
    bytes: usize,
    /// Set if the whole response arrived, as far as the client can tell.
    end: bool,
}

async fn read(server: &Server, case: &Case, arrived: &Notify) -> Seen {
    let mut seen = Seen::default();
    let mut client = server.connect(case.http2).await;
    let method = if case.head_only {
        Method::HEAD
    } else {
        Method::GET
    };
    let request = client.send(Request::builder().method(method).uri("/"));
    if case.reader == Reader::NotEvenTheHead {
        tokio::select! {
            _ = request => panic!("no head comes"),
            () = arrived.notified() => {}
        }
        return seen;
    }
    let Ok(response) = request.await else {
        return seen;
    };
    seen.head = true;
    let mut body = response.into_body();
    let until = match case.reader {
        Reader::All => usize::MAX,
        Reader::Some(bytes) => bytes,
        Reader::Nothing | Reader::NotEvenTheHead => 0,
    };
    while seen.bytes < until {
        match body.frame().await {
            Some(Ok(frame)) => seen.bytes += frame.data_ref().map_or(0, Bytes::len),
            Some(Err(_)) => break,
            None => {
                seen.end = true;
                break;
            }
        }
    }
    seen
}

async fn run(case: &Case) -> (Outcome, Taken, Seen) {
    let record = Record::new();
    let taken = Arc::new(Mutex::new(Taken::default()));
    let arrived = Arc::new(Notify::new());
    let service = tower::service_fn({
        let (case, taken, arrived) = (case.clone(), taken.clone(), arrived.clone());
        move |_: Request<hyper::body::Incoming>| {
            let response = case.response(taken.clone());
            let hangs = case.reader == Reader::NotEvenTheHead;
            arrived.notify_one();
            async move {
                if hangs {
                    std::future::pending::<()>().await;
                }
                Ok::<_, std::convert::Infallible>(response)
            }
        }
    });
    let service = tower::Layer::layer(&ObserveLayer::new(record.clone()), service);
    let server = Server::start_service(service).await;
    let seen = read(&server, case, &arrived).await;
    let outcome = record.next().await;
    let taken = std::mem::take(&mut *taken.lock().unwrap());
    (outcome, taken, seen)
}

fn check(case: &Case, outcome: &Outcome, taken: &Taken, seen: &Seen) -> Result<(), TestCaseError> {
    let shown = format!("{outcome:?} {taken:?} {seen:?}");
    let ending = outcome.ending;
    prop_assert_eq!(ending, case.expected(taken), "{}", shown);
    prop_assert_eq!(outcome.body_bytes, taken.bytes, "{}", shown);

    let status = match (ending, case.reader) {
        (Ending::Aborted, _) => 499,
        _ => 200,
    };
    prop_assert_eq!(outcome.status, status, "{}", shown);
    let unsent = case.reader == Reader::NotEvenTheHead;
    prop_assert_eq!(outcome.sent_status.is_none(), unsent, "{}", shown);

    // what the client knows, independent of what the body declares
    let reads_all = case.reader == Reader::All && !case.head_only;
    if reads_all && seen.end {
        prop_assert_eq!(ending, Ending::Complete, "{}", shown);
    }
    // over HTTP/2 a client refuses a body that is longer than declared
    let refused = case.http2 && case.length == Length::TooSmall;
    if reads_all && !seen.end {
        let failed = matches!(ending, Ending::Failed | Ending::Panicked);
        prop_assert!(failed, "{}", shown);
    }
    let honest = matches!(case.last, Last::End | Last::Trailers) && case.length != Length::TooLarge;
    if reads_all && honest && !refused {
        prop_assert!(seen.end, "{}", shown);
        let expected = case.declared().unwrap_or(case.bytes() as u64);
        prop_assert_eq!(
            seen.bytes as u64,
            expected.min(case.bytes() as u64),
            "{}",
            shown
        );
    }
    // no buffer is large enough for a large body that the client hardly reads
    let left = matches!(case.reader, Reader::Some(_) | Reader::Nothing) && !case.head_only;
    if left && case.is_large() {
        let closed = case.events && case.length == Length::Unknown;
        let expected = if closed {
            Ending::Complete
        } else {
            Ending::Aborted
        };
        prop_assert_eq!(ending, expected, "{}", shown);
    }
    Ok(())
}

#[test]
fn the_outcome_is_what_the_server_took_of_the_body() {
    let cases_to_run = if std::env::var_os("OPS_TEST_FULL").is_some() {
        2_000
    } else {
        100
    };
    let config = Config {
        cases: cases_to_run,
        failure_persistence: None,
        ..Config::default()
    };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let endings = Mutex::new(std::collections::HashMap::<Ending, u32>::new());
    let mut runner = TestRunner::new_with_rng(config, rng);
    let result = runner.run(&cases(), |case| {
        let (outcome, taken, seen) = runtime.block_on(run(&case));
        *endings.lock().unwrap().entry(outcome.ending).or_default() += 1;
        check(&case, &outcome, &taken, &seen)
    });
    let endings = endings.into_inner().unwrap();
    println!("{cases_to_run} cases: {endings:?}");
    if let Err(error) = result {
        panic!("{error}");
    }
    for ending in [
        Ending::Complete,
        Ending::Aborted,
        Ending::Failed,
        Ending::Panicked,
    ] {
        let seen = endings.get(&ending).copied().unwrap_or_default();
        assert!(seen * 50 >= cases_to_run, "{ending:?} is rare: {seen}");
    }
}
