//! Changes that a person asked for: each has a reason, is a line of the log, and ends by itself where it changes a level or a
//! ratio.

#[cfg(feature = "cache")]
pub(crate) mod cache;
#[cfg(feature = "log")]
pub(crate) mod level;
#[cfg(feature = "trace")]
pub(crate) mod sampling;

use axum::Json;
use axum::extract::{FromRequest, Request};
use http::StatusCode;
use serde::de::DeserializeOwned;

use crate::text::printable;

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
