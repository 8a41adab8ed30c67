use std::cell::RefCell;
use std::sync::Arc;

use ::http::Version;
use opentelemetry_sdk::trace::SpanData;
use ops_http::{Outcome, Route, known_method};

use super::describe::{self, PATH, QUERY, Server};
use super::head::Head;
use crate::brief::Shape;
use crate::recent_values::RecentValues;

/// Number of shapes that a thread keeps.
const PLACES: usize = 64;

thread_local! {
    static SHAPES: RefCell<RecentValues<(ShapeKey, Arc<Shape>), PLACES>> =
        const { RefCell::new(RecentValues::new()) };
}

/// Properties that most requests of a route share: these requests differ only in path and query.
#[derive(PartialEq)]
pub(super) struct ShapeKey {
    route: Option<Route>,
    method: &'static str,
    scheme: &'static str,
    version: Version,
    status: Option<u16>,
    streamed: bool,
    has_query: bool,
    server: Option<Server>,
}

impl ShapeKey {
    /// Returns the shared properties of a request that did not fail; `None` if it has further attributes.
    pub(super) fn of(head: &Head, outcome: &Outcome) -> Option<Self> {
        let is_usual = head.link.is_none()
            && head.client.is_none()
            && (head.route.is_none() || head.route == outcome.route);
        let method = known_method(&head.method).filter(|_| is_usual)?;
        Some(Self {
            route: outcome.route.clone(),
            method,
            scheme: head.scheme(),
            version: head.version,
            status: describe::status(outcome),
            streamed: outcome.streamed,
            has_query: head.uri.query().is_some(),
            server: head.server(),
        })
    }

    /// Returns the shape of requests with these properties.
    pub(super) fn shape(self, span: impl FnOnce() -> SpanData) -> Arc<Shape> {
        let number = self.number();
        let known = SHAPES.try_with(|all| {
            let all = all.try_borrow().ok()?;
            let (_, shape) = all.find(number, |(known, _)| *known == self)?;
            Some(Arc::clone(shape))
        });
        if let Some(shape) = known.ok().flatten() {
            return shape;
        }
        let shape = Arc::new(Shape::of(span(), [PATH, QUERY]));
        let new = (self, Arc::clone(&shape));
        // the replaced value is dropped after the borrow
        let _before = SHAPES.try_with(|all| all.try_borrow_mut().ok()?.put(number, new));
        shape
    }

    /// Returns a number that all requests of this kind share, on every thread.
    fn number(&self) -> usize {
        let route = self.route.as_ref().map_or("", Route::template);
        let host = self.server.as_ref().map_or("", |(host, _)| host);
        let end = u64::from(self.status.unwrap_or_default()) << 2
            | u64::from(self.has_query) << 1
            | u64::from(self.streamed);
        let texts = [self.method, route, host];
        (texts.into_iter().fold(end, mixed) >> 58) as usize
    }
}

/// Returns a number that depends on this one and the whole text.
fn mixed(number: u64, text: &str) -> u64 {
    let (words, rest) = text.as_bytes().as_chunks();
    let words = words.iter().map(|word| u64::from_le_bytes(*word));
    let rest = rest.iter().map(|byte| u64::from(*byte));
    words.chain(rest).fold(number, |mixed, part| {
        (mixed.rotate_left(23) ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    })
}
