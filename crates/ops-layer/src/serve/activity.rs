//! State of one connection with respect to its time limits: what it waits for, and since when.

use std::collections::HashMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use super::frames::Frames;

/// First bytes of a client that uses HTTP/2 (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Time limits of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Time from the first byte of a head, or the opening of the connection, to the end of the head.
    pub(super) head: Duration,
    /// Time without a request.
    pub(super) idle: Duration,
    /// Time in which the client takes no byte of a response.
    pub(super) write: Duration,
}

#[derive(Debug)]
enum Wire {
    /// This many bytes of the preface arrived, and nothing else.
    Unknown(usize),
    Http1,
    Http2(Frames),
}

#[derive(Debug)]
pub(super) struct Activity {
    wire: Wire,
    /// Start of the wait for the rest of a head.
    head_since: Option<Instant>,
    idle_since: Instant,
    /// Start of the wait for the client to take bytes.
    write_since: Option<Instant>,
    /// HTTP/2 responses with more to send, each with the time since
    /// which its client takes no more because its window is full.
    untaken: HashMap<u64, Instant>,
    in_flight: usize,
    requests: u64,
    /// The last response left the server's buffers.
    flushed: bool,
    /// Bytes arrived that may belong to a request after the one in flight.
    read_ahead: bool,
    /// The body of the request in flight has not completely arrived.
    reads_body: bool,
    any_byte: bool,
    /// Time at which the client was asked to leave.
    pub(super) leaving: Option<Instant>,
    /// The socket has bytes for which the server was not woken yet.
    pub(super) unread: bool,
}

impl Activity {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            wire: Wire::Unknown(0),
            head_since: Some(now),
            idle_since: now,
            write_since: None,
            untaken: HashMap::new(),
            in_flight: 0,
            requests: 0,
            flushed: true,
            read_ahead: false,
            reads_body: false,
            any_byte: false,
            leaving: None,
            unread: false,
        }
    }

    /// Records the bytes that the client sent; returns the range of a PING acknowledgment in them.
    pub(super) fn read(&mut self, bytes: &[u8], now: Instant) -> Option<Range<usize>> {
        self.any_byte = true;
        self.unread = false;
        let rest = match &self.wire {
            Wire::Unknown(seen) => self.recognize(*seen, bytes),
            _ => bytes,
        };
        let before = bytes.len() - rest.len();
        match &mut self.wire {
            Wire::Unknown(_) => None,
            Wire::Http1 if self.in_flight > 0 => {
                self.read_ahead |= !self.reads_body;
                None
            }
            Wire::Http1 => {
                self.head_since.get_or_insert(now);
                None
            }
            Wire::Http2(frames) => {
                let pong = frames.read(rest);
                if frames.is_in_head() {
                    self.head_since.get_or_insert(now);
                } else {
                    self.head_since = None;
                }
                pong.map(|pong| before + pong.start..before + pong.end)
            }
        }
    }

    /// Returns whether the client is between two HTTP/2 frames.
    pub(super) fn is_between_frames(&self) -> bool {
        matches!(&self.wire, Wire::Http2(frames) if frames.is_between())
    }

    /// Determines the client's protocol as soon as its bytes show it; returns the bytes after the preface.
    fn recognize<'a>(&mut self, seen: usize, bytes: &'a [u8]) -> &'a [u8] {
        let wanted = &PREFACE[seen..];
        let common = wanted.iter().zip(bytes).take_while(|(a, b)| a == b).count();
        if common == wanted.len() {
            self.wire = Wire::Http2(Frames::default());
            return &bytes[common..];
        }
        self.wire = if common == bytes.len() {
            Wire::Unknown(seen + common)
        } else {
            Wire::Http1
        };
        bytes
    }

    /// Records that a head is complete, and its request begins; returns the number of the request.
    pub(super) fn began(&mut self, has_body: bool) -> u64 {
        self.in_flight += 1;
        self.requests += 1;
        self.flushed = false;
        if !self.is_http2() {
            self.head_since = None;
            // bytes after the head of a request with a body are that body
            self.read_ahead &= !has_body;
            self.reads_body = has_body;
        }
        self.requests
    }

    /// Records that the body of the request in flight has arrived: later bytes are another request.
    pub(super) fn body_arrived(&mut self) {
        self.reads_body = false;
    }

    /// Records that the next bytes of an HTTP/2 response wait for its client.
    pub(super) fn waits_for_client(&mut self, request: u64, now: Instant) {
        self.untaken.insert(request, now);
    }

    /// Records that a response waits for its handler.
    pub(super) fn waits_for_handler(&mut self, request: u64) {
        self.untaken.remove(&request);
    }

    /// Records that the response of one request was handed over.
    pub(super) fn ended(&mut self, request: u64, now: Instant) {
        self.untaken.remove(&request);
        self.in_flight = self.in_flight.saturating_sub(1);
        if self.in_flight == 0 {
            self.idle_since = now;
            if std::mem::take(&mut self.read_ahead) && !self.is_http2() {
                self.head_since = Some(now);
            }
        }
    }

    /// Records that everything that was handed over went to the operating system.
    pub(super) fn flushed(&mut self, now: impl FnOnce() -> Instant) {
        self.write_since = None;
        if self.in_flight == 0 && !self.flushed {
            self.flushed = true;
            self.idle_since = now();
        }
    }

    pub(super) fn wrote(&mut self) {
        self.write_since = None;
    }

    pub(super) fn write_blocked(&mut self, now: Instant) {
        self.write_since.get_or_insert(now);
    }

    pub(super) fn is_http2(&self) -> bool {
        matches!(self.wire, Wire::Http2(_))
    }

    pub(super) fn requests(&self) -> u64 {
        self.requests
    }

    /// Returns whether no request is in flight, and none has begun to arrive.
    pub(super) fn is_idle(&self) -> bool {
        self.in_flight == 0 && self.head_since.is_none()
    }

    /// Returns the start of the time without a request; `None` while one is in flight.
    pub(super) fn quiet_since(&self) -> Option<Instant> {
        let since = self.head_since.unwrap_or(self.idle_since);
        (self.in_flight == 0 && self.flushed).then_some(since)
    }

    /// Returns whether nothing is lost by closing the connection now: no request is in flight or arriving.
    pub(super) fn may_close(&self) -> bool {
        let in_head = self.head_since.is_some() && self.any_byte;
        self.in_flight == 0 && self.flushed && !in_head && !self.unread
    }

    /// Returns the time at which the first limit is reached; `None` while no limit applies.
    pub(super) fn deadline(&self, limits: &Limits) -> Option<Instant> {
        let idle = || match self.leaving {
            None => self.idle_since + limits.idle,
            Some(asked) => asked.max(self.idle_since) + limits.write,
        };
        [
            self.head_since.map(|since| since + limits.head),
            // buffered bytes are limited by the time in which the client takes them, not by the idle time
            (self.is_idle() && self.flushed).then(idle),
            self.write_since.map(|since| since + limits.write),
            self.untaken_since().map(|since| since + limits.write),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Returns the time since which the client takes nothing of a
    /// response; once it was asked to leave, nothing of any response.
    fn untaken_since(&self) -> Option<Instant> {
        let since = self.untaken.values().copied();
        match self.leaving {
            None => since.min(),
            Some(_) => since.max().filter(|_| self.untaken.len() == self.in_flight),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        head: Duration::from_secs(10),
        idle: Duration::from_secs(75),
        write: Duration::from_secs(60),
    };

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn a_connection_that_sends_nothing_or_half_a_preface_is_bound_by_the_limit_of_heads() {
        let start = Instant::now();
        let mut activity = Activity::new(start);
        assert_eq!(activity.deadline(&LIMITS), Some(after(start, 10)));
        for byte in &PREFACE[..20] {
            activity.read(&[*byte], after(start, 5));
        }
        assert_eq!(activity.deadline(&LIMITS), Some(after(start, 10)));
        assert!(!activity.is_http2() && !activity.may_close());
    }

    #[test]
    fn after_a_response_the_idle_limit_holds_until_the_next_head_begins() {
        let start = Instant::now();
        let mut activity = Activity::new(start);
        activity.read(b"GET / HTTP/1.1\r\n\r\n", start);
        activity.began(false);
        assert_eq!(activity.deadline(&LIMITS), None);
        activity.ended(1, after(start, 30));
        assert!(!activity.may_close(), "the response is still in a buffer");
        activity.flushed(|| after(start, 30));
        assert!(activity.may_close());
        assert_eq!(activity.deadline(&LIMITS), Some(after(start, 105)));
        activity.read(b"G", after(start, 50));
        assert_eq!(activity.deadline(&LIMITS), Some(after(start, 60)));
    }

    #[test]
    fn a_head_behind_a_request_in_flight_is_bound_once_that_one_is_answered() {
        let start = Instant::now();
        let mut activity = Activity::new(start);
        activity.read(b"GET / HTTP/1.1\r\n\r\n", start);
        activity.began(false);
        activity.read(b"GET /sec", after(start, 1));
        activity.ended(1, after(start, 2));
        activity.flushed(|| after(start, 2));
        assert_eq!(activity.deadline(&LIMITS), Some(after(start, 12)));
    }

    #[test]
    fn a_body_behind_its_head_is_no_head_and_what_follows_it_is_one() {
        let start = Instant::now();
        for (is_there, expected) in [(false, 77), (true, 12)] {
            let mut activity = Activity::new(start);
            activity.read(b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n", start);
            activity.began(true);
            activity.read(b"ab", after(start, 1));
            if is_there {
                activity.body_arrived();
                activity.read(b"GET /sec", after(start, 1));
            }
            activity.ended(1, after(start, 2));
            activity.flushed(|| after(start, 2));
            assert_eq!(activity.deadline(&LIMITS), Some(after(start, expected)));
            assert_eq!(activity.may_close(), !is_there);
        }
    }

    #[test]
    fn a_response_in_a_buffer_is_not_idle_however_long_its_client_takes() {
        let start = Instant::now();
        let mut activity = Activity::new(start);
        activity.read(b"GET / HTTP/1.1\r\n\r\n", start);
        activity.began(false);
        activity.ended(1, start);
        activity.write_blocked(after(start, 70));
        assert_eq!(activity.deadline(&LIMITS), Some(after(start, 130)));
        activity.wrote();
        assert_eq!(activity.deadline(&LIMITS), None);
        activity.flushed(|| after(start, 200));
        assert_eq!(activity.deadline(&LIMITS), Some(after(start, 275)));
    }

    #[test]
    fn http2_is_idle_between_requests_whatever_frames_arrive_and_waits_in_half_a_head() {
        let start = Instant::now();
        let mut activity = Activity::new(start);
        activity.read(PREFACE, start);
        let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        activity.read(&settings, after(start, 1));
        assert!(activity.is_http2());
        assert_eq!(activity.deadline(&LIMITS), Some(after(start, 75)));
        // HEADERS of three bytes without END_HEADERS
        activity.read(&[0, 0, 3, 1, 0, 0, 0, 0, 1, 7, 7, 7], after(start, 2));
        assert_eq!(activity.deadline(&LIMITS), Some(after(start, 12)));
        // CONTINUATION with END_HEADERS
        activity.read(&[0, 0, 1, 9, 4, 0, 0, 0, 1, 7], after(start, 3));
        assert_eq!(activity.deadline(&LIMITS), Some(after(start, 75)));
    }

    #[test]
    fn a_client_that_takes_no_bytes_is_bound_while_its_request_is_in_flight() {
        let start = Instant::now();
        let mut activity = Activity::new(start);
        activity.read(b"GET / HTTP/1.1\r\n\r\n", start);
        activity.began(false);
        activity.write_blocked(after(start, 1));
        activity.write_blocked(after(start, 30));
        assert_eq!(activity.deadline(&LIMITS), Some(after(start, 61)));
        activity.wrote();
        assert_eq!(activity.deadline(&LIMITS), None);
    }
}
