use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use http::Extensions;

/// Template of the matched route, such as `/api/users/{id}`. It may become a label, which a path may not.
///
/// [`Route::get`] finds it in the extensions of a request: with the feature `axum` it is what that router matched, before
/// [`Observe::start`](crate::Observe::start) is called. Where no router known here matches one, wrap the
/// service in [`route`](crate::route), or let it put a `Route` into the response's extensions; that one wins.
///
/// Templates are code, not input: any UTF-8 is handed on as it was given. Metrics accept up to 256 bytes.
#[derive(Clone, Debug)]
pub struct Route {
    template: Arc<str>,
}

impl Route {
    /// Returns a route with this template.
    pub fn new(template: impl Into<Arc<str>>) -> Self {
        Self {
            template: template.into(),
        }
    }

    /// Returns the template, as it was given to the router.
    pub fn template(&self) -> &str {
        &self.template
    }

    /// Returns the template, to be kept without a copy.
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.template)
    }

    /// Returns the route that the router matched, or else the one that is among the extensions; `None` if none was matched, or
    /// none is known yet.
    pub fn get(extensions: &Extensions) -> Option<Self> {
        #[cfg(feature = "axum")]
        if let Some(matched) = extensions.get::<axum::extract::MatchedPath>() {
            return Some(remembered(matched.as_str()));
        }
        extensions.get().cloned()
    }

    /// Removes what a router matched for the request that is served, which is not the route of one that is sent with its
    /// extensions.
    pub(crate) fn remove_matched(extensions: &mut Extensions) {
        #[cfg(feature = "axum")]
        extensions.remove::<axum::extract::MatchedPath>();
        #[cfg(not(feature = "axum"))]
        let _ = extensions;
    }
}

/// Number of templates that a thread remembers.
#[cfg(feature = "axum")]
const PLACES: usize = 64;

#[cfg(feature = "axum")]
thread_local! {
    static REMEMBERED: std::cell::RefCell<[Option<Route>; PLACES]> =
        const { std::cell::RefCell::new([const { None }; PLACES]) };
}

/// Returns the route of this template without an allocation, if it was matched on this thread before.
#[cfg(feature = "axum")]
fn remembered(template: &str) -> Route {
    // the text is in the router, so that its address tells templates apart; the text itself decides
    let place = (template.as_ptr().addr() >> 4) % PLACES;
    let found = REMEMBERED.try_with(|all| {
        let mut all = all.try_borrow_mut().ok()?;
        match &all[place] {
            Some(route) if route.template() == template => Some(route.clone()),
            _ => Some(all[place].insert(Route::new(template)).clone()),
        }
    });
    found.ok().flatten().unwrap_or_else(|| Route::new(template))
}

impl PartialEq for Route {
    fn eq(&self, other: &Self) -> bool {
        self.template == other.template
    }
}

impl Eq for Route {}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.template)
    }
}

/// Place in a request's extensions for a route that an inner service knows.
///
/// Unlike the extensions of the response, it is read even if the request ends before there is a response.
#[derive(Clone, Debug)]
pub(crate) struct RouteSlot(Arc<Mutex<Option<Route>>>);

impl RouteSlot {
    /// Returns the slot of an outer observer, or else a new one.
    pub(crate) fn in_extensions(extensions: &mut Extensions) -> Self {
        extensions
            .get_or_insert_with(|| Self(Arc::default()))
            .clone()
    }

    pub(crate) fn get(&self) -> Option<Route> {
        let route = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        route.clone()
    }

    /// Names the route, in place of what a layer further out named.
    pub(crate) fn fill(extensions: &Extensions, route: &Route) {
        if let Some(slot) = extensions.get::<Self>() {
            let mut named = slot.0.lock().unwrap_or_else(PoisonError::into_inner);
            *named = Some(route.clone());
        }
    }
}
