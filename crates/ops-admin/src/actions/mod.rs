//! Changes requested by a person: each needs a reason and is logged,
//! and a change of a level or a ratio reverts automatically.

#[cfg(feature = "cache")]
pub(crate) mod cache;
#[cfg(feature = "log")]
pub(crate) mod level;
#[cfg(feature = "trace")]
pub(crate) mod sampling;

use std::fmt;
use std::marker::PhantomData;

use axum::Json;
use axum::extract::{FromRequest, Request};
#[cfg(any(feature = "log", feature = "trace"))]
use http::Extensions;
use http::StatusCode;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};

#[cfg(any(feature = "log", feature = "trace"))]
use crate::audit::AuditedRequest;
use crate::text::printable;

/// Maximum size of a request's body in bytes; a larger one is refused with 413.
pub(crate) const REQUEST_BYTES: usize = 16 * 1024;

/// Requested change, in JSON. Errors name fields of the request, and are read in terminals.
pub(crate) struct Change<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Change<T> {
    type Rejection = (StatusCode, String);

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        match Json::from_request(request, state).await {
            Ok(Json(Object(change))) => Ok(Self(change)),
            Err(refused) => {
                let status = refused.status();
                let why = match status {
                    StatusCode::PAYLOAD_TOO_LARGE => {
                        format!("the body is too large: at most {REQUEST_BYTES} bytes are accepted")
                    }
                    _ => printable(&refused.body_text()),
                };
                Err((status, why + "\n"))
            }
        }
    }
}

/// JSON object: serde would accept an array of its values too.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields(PhantomData)).map(Self)
    }
}

struct Fields<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(fields))
    }
}

/// Returns the person and the reason of a temporary change. Fails without
/// a reason or with a time of 0; the message names what is accepted.
#[cfg(any(feature = "log", feature = "trace"))]
fn temporary_change(
    extensions: &Extensions,
    who: Option<&str>,
    why: &str,
    ttl_seconds: Option<u64>,
) -> Result<AuditedRequest, (StatusCode, String)> {
    match AuditedRequest::new(extensions, who, why) {
        Ok(audited) if ttl_seconds != Some(0) => Ok(audited),
        _ => {
            let accepted = "why must not be empty, and ttl_seconds must be at least 1\n";
            Err((StatusCode::BAD_REQUEST, accepted.to_owned()))
        }
    }
}
