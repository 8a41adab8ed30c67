use std::fmt;
use std::sync::Arc;

use http::Extensions;

/// The template of the matched route, `/api/users/{id}`: what may become a label, since a path may not.
///
/// [`ObserveLayer`](crate::ObserveLayer) puts one into the request's extensions before it calls
/// [`Observe::start`](crate::Observe::start) where the router matched one. A handler behind a router
/// that is not known here can put one into the response's extensions instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route(Arc<str>);

impl Route {
    /// A route with this template.
    pub fn new(template: impl Into<Arc<str>>) -> Self {
        Self(template.into())
    }

    /// The template, as it was given to the router.
    pub fn template(&self) -> &str {
        &self.0
    }

    /// The template, to be kept without a copy.
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    /// The route that was matched; `None` where nothing matched, or nothing is known yet.
    pub fn get(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }

    pub(crate) fn detect(extensions: &mut Extensions) {
        #[cfg(feature = "axum")]
        if let Some(matched) = extensions.get::<axum::extract::MatchedPath>() {
            let route = Self::new(matched.as_str());
            extensions.insert(route);
        }
        #[cfg(not(feature = "axum"))]
        let _ = extensions;
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
