use std::panic::{AssertUnwindSafe, catch_unwind};

use http::{request, response};

use crate::Outcome;

/// Observer of requests while they are served.
///
/// The calls for one request come in this order: `start`, any number of `enter`, `response` (unless there was
/// no response), any number of `enter`, `end`. A tuple of observers is an observer; they are called in order.
///
/// # Panics
///
/// A panic in `end` is caught, because `end` may be called while the panic of a
/// handler unwinds. A panic in another method counts as a panic of the handler.
pub trait Observe: Clone + Send + Sync + 'static {
    /// State of one request. It lives in the response future, then in the response body.
    type Scope: Send + 'static;

    /// Guard of a scope that is entered on this thread; dropping it leaves the scope. `()` if nothing is entered.
    type Entered<'a>
    where
        Self: 'a;

    /// Called before any handler sees the request. Headers and extensions may be added.
    fn start(&self, request: &mut request::Parts) -> Self::Scope;

    /// Called before handler or body are polled or dropped on this thread.
    fn enter<'a>(&'a self, scope: &'a mut Self::Scope) -> Self::Entered<'a>;

    /// Called with the head of the response. Headers may be added.
    fn response(&self, scope: &mut Self::Scope, response: &mut response::Parts);

    /// Called exactly once, when the request is over.
    fn end(&self, scope: Self::Scope, outcome: &Outcome);
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
                // if one observer panics, the next ones are still called
                $(
                    let end = || self.$index.end(scope.$index, outcome);
                    drop(catch_unwind(AssertUnwindSafe(end)));
                )+
            }
        }
    };
}

observe_tuple!(A 0);
observe_tuple!(A 0, B 1);
observe_tuple!(A 0, B 1, C 2);
observe_tuple!(A 0, B 1, C 2, D 3);
