use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use http::Extensions;

/// Template of the matched route, such as `/api/users/{id}`. Unlike a path, it may become a label.
///
/// [`Route::get`] finds it in the extensions of a request. With the feature `axum` that is the route matched by
/// axum's router, which is known when [`Observe::start`](crate::Observe::start) is called. If no known router matches a
/// route, wrap the service in [`route`](crate::route), or let it put a `Route` into the extensions of the response,
/// which wins.
///
/// Templates are code, not input: any UTF-8 is passed on unchanged. Metrics accept up to 256 bytes.
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

    /// Returns the template, as given to the router.
    pub fn template(&self) -> &str {
        &self.template
    }

    /// Returns the template as a shared string, without a copy.
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.template)
    }

    /// Returns the route that the router matched, or else the `Route` in
    /// the extensions; `None` if no route matched or none is known yet.
    pub fn get(extensions: &Extensions) -> Option<Self> {
        #[cfg(feature = "axum")]
        if let Some(matched) = extensions.get::<axum::extract::MatchedPath>() {
            return Some(cached(matched.as_str()));
        }
        extensions.get().cloned()
    }

    /// Removes the route that was matched for the request being served: it
    /// is not the route of the outgoing request that reuses its extensions.
    pub(crate) fn remove_matched(extensions: &mut Extensions) {
        #[cfg(feature = "axum")]
        extensions.remove::<axum::extract::MatchedPath>();
        #[cfg(not(feature = "axum"))]
        let _ = extensions;
    }
}

/// Number of templates that a thread remembers.
#[cfg(feature = "axum")]
const MAX_CACHED: usize = 64;

#[cfg(feature = "axum")]
thread_local! {
    static ROUTES: std::cell::RefCell<[Option<Route>; MAX_CACHED]> =
        const { std::cell::RefCell::new([const { None }; MAX_CACHED]) };
}

/// Returns the route of this template, without an allocation if this thread matched it before.
#[cfg(feature = "axum")]
fn cached(template: &str) -> Route {
    // the text belongs to the router, so its address selects the slot; the text itself is compared
    let slot = (template.as_ptr().addr() >> 4) % MAX_CACHED;
    let found = ROUTES.try_with(|routes| {
        let mut routes = routes.try_borrow_mut().ok()?;
        match &routes[slot] {
            Some(route) if route.template() == template => Some(route.clone()),
            _ => Some(routes[slot].insert(Route::new(template)).clone()),
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

/// Slot in a request's extensions for a route that an inner service knows.
///
/// Unlike the extensions of the response, it is read even if the request ends without a response.
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

    /// Names the route; replaces a name set by an outer layer.
    pub(crate) fn fill(extensions: &Extensions, route: &Route) {
        if let Some(slot) = extensions.get::<Self>() {
            let mut named = slot.0.lock().unwrap_or_else(PoisonError::into_inner);
            *named = Some(route.clone());
        }
    }
}
