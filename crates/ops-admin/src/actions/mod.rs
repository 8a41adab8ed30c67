//! Changes that a person asked for: each has a reason, is a line of the log, and ends by itself where it changes a level or a
//! ratio.

#[cfg(feature = "cache")]
pub(crate) mod cache;
#[cfg(feature = "log")]
pub(crate) mod level;
#[cfg(feature = "trace")]
pub(crate) mod sampling;

use std::net::SocketAddr;

use axum::Json;
use axum::extract::{ConnectInfo, FromRequest, Request};
use http::{Extensions, StatusCode};
use serde::de::DeserializeOwned;

use crate::text::printable;

/// Characters of a text that are kept.
const TEXT_MAX: usize = 200;
/// Name of a person who gives none.
const SOMEBODY: &str = "admin";

/// A change as it was asked for, in JSON. Errors name fields of the request, and are read in terminals.
pub(crate) struct Change<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Change<T> {
    type Rejection = (StatusCode, String);

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        match Json::from_request(request, state).await {
            Ok(Json(change)) => Ok(Self(change)),
            Err(refused) => Err((refused.status(), printable(&refused.body_text()) + "\n")),
        }
    }
}

/// The person who asks, and the reason.
pub(crate) struct Asked {
    pub(crate) who: String,
    pub(crate) why: String,
    peer: String,
}

impl Asked {
    /// Fails, with what is accepted, if there is no reason.
    pub(crate) fn new(
        extensions: &Extensions,
        who: Option<&str>,
        why: &str,
    ) -> Result<Self, &'static str> {
        if why.trim().is_empty() {
            return Err("why takes a text\n");
        }
        Ok(Self::without_reason(extensions, who, why))
    }

    /// For what ends a change.
    pub(crate) fn without_reason(extensions: &Extensions, who: Option<&str>, why: &str) -> Self {
        let peer = extensions.get::<ConnectInfo<SocketAddr>>();
        Self {
            who: cut(who.filter(|who| !who.trim().is_empty()).unwrap_or(SOMEBODY)),
            why: cut(why),
            peer: peer.map_or_else(String::new, |ConnectInfo(peer)| peer.ip().to_string()),
        }
    }

    /// Writes what was done into the log.
    pub(crate) fn report(&self, action: &'static str, change: &str, outcome: &str) {
        let Self { who, why, peer } = self;
        tracing::info!(target: "ops_admin", action, change, outcome, who, why, peer, "admin_action");
    }
}

pub(crate) fn cut(text: &str) -> String {
    text.chars().take(TEXT_MAX).collect()
}
