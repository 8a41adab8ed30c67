use std::time::Duration;

use http::{Method, request, response};

use crate::Route;

/// Looks on while requests are served.
///
/// The calls of one request come in this order: `start`, any number of `enter`, `response` (unless there
/// was none), any number of `enter`, `end`. A tuple of observers is an observer: they are started in order.
pub trait Observe: Clone + Send + Sync + 'static {
    /// What is kept for one request: it lives in the response future, then in the response body.
    type Scope: Send + 'static;

    /// What holds while handler or body run on this thread, undone on drop; `()` where nothing does.
    type Entered<'a>
    where
        Self: 'a;

    /// The request is here, and no handler has seen it. Headers and extensions may be added.
    fn start(&self, request: &mut request::Parts) -> Self::Scope;

    /// Handler or body are about to be polled or dropped on this thread.
    fn enter<'a>(&'a self, scope: &'a mut Self::Scope) -> Self::Entered<'a>;

    /// The head of the response is known. Headers may be added.
    fn response(&self, scope: &mut Self::Scope, response: &mut response::Parts);

    /// The request is over. Called exactly once.
    fn end(&self, scope: Self::Scope, outcome: &Outcome);
}

/// How a request ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// The method, as sent.
    pub method: Method,
    /// The matched route; `None` where none was.
    pub route: Option<Route>,
    /// The status that was sent; 499 where the client went away, 500 where the handler panicked or failed.
    pub status: u16,
    /// What ended it.
    pub ending: Ending,
    /// From the request's arrival to the end of the response body.
    pub elapsed: Duration,
    /// From the request's arrival to the response's head; `None` where there was no response.
    pub time_to_headers: Option<Duration>,
    /// Bytes of the response body that were handed to the server.
    pub body_bytes: u64,
    /// Whether the body's length was unknown when its head was sent.
    pub streamed: bool,
}

impl Outcome {
    /// An outcome without a body, for tests of observers.
    pub fn new(
        method: Method,
        route: Option<Route>,
        status: u16,
        ending: Ending,
        elapsed: Duration,
    ) -> Self {
        Self {
            method,
            route,
            status,
            ending,
            elapsed,
            time_to_headers: None,
            body_bytes: 0,
            streamed: false,
        }
    }
}

/// What ended a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ending {
    /// The whole response was handed over.
    Complete,
    /// It was dropped before its end: the client went away.
    Aborted,
    /// Handler or body panicked.
    Panicked,
    /// The service or the body returned an error.
    Failed,
}

macro_rules! observe_tuple {
    ($($name:ident $index:tt),+) => {
        impl<$($name: Observe),+> Observe for ($($name,)+) {
            type Scope = ($($name::Scope,)+);
            type Entered<'a> = ($($name::Entered<'a>,)+);

            fn start(&self, request: &mut request::Parts) -> Self::Scope {
                ($(self.$index.start(request),)+)
            }

            fn enter<'a>(&'a self, scope: &'a mut Self::Scope) -> Self::Entered<'a> {
                ($(self.$index.enter(&mut scope.$index),)+)
            }

            fn response(&self, scope: &mut Self::Scope, response: &mut response::Parts) {
                $(self.$index.response(&mut scope.$index, response);)+
            }

            fn end(&self, scope: Self::Scope, outcome: &Outcome) {
                $(self.$index.end(scope.$index, outcome);)+
            }
        }
    };
}

observe_tuple!(A 0);
observe_tuple!(A 0, B 1);
observe_tuple!(A 0, B 1, C 2);
observe_tuple!(A 0, B 1, C 2, D 3);
