use std::borrow::Cow;
use std::collections::HashMap;

use axum::response::{IntoResponse, Response};
use http::{StatusCode, Uri};

/// Default and maximum number of lines or traces in a response.
#[cfg(any(feature = "log", feature = "trace"))]
const LIMIT: usize = 1000;

/// Conditions of a request. Each is accepted at most once, and unknown ones are refused.
pub(crate) struct Conditions<'a>(HashMap<Cow<'a, str>, Cow<'a, str>>);

impl<'a> Conditions<'a> {
    pub(crate) fn read(uri: &'a Uri, accepted: &[&str]) -> Result<Self, Refused> {
        let mut found = HashMap::new();
        for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
            let is_known = accepted.contains(&name.as_ref());
            if !is_known || found.insert(name, value).is_some() {
                let accepted = accepted.join(", ");
                return Err(refused(&format!(
                    "unknown or repeated parameter, accepted once each: {accepted}\n"
                )));
            }
        }
        Ok(Self(found))
    }

    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let text = self.0.get(name).map(|text| text.trim());
        text.filter(|text| !text.is_empty()).map(str::to_owned)
    }

    #[cfg(any(feature = "log", feature = "profile", feature = "trace"))]
    pub(crate) fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Refused> {
        let number = self.text(name).map(|text| text.parse());
        number
            .transpose()
            .map_err(|_| refused(&format!("{name} must be a non-negative integer\n")))
    }

    #[cfg(any(feature = "log", feature = "trace"))]
    pub(crate) fn limit(&self) -> Result<usize, Refused> {
        Ok(self.number("limit")?.unwrap_or(LIMIT).min(LIMIT))
    }
}

/// Refusal of a condition, with what is accepted.
pub(crate) struct Refused(String);

pub(crate) fn refused(why: &str) -> Refused {
    Refused(why.to_owned())
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (StatusCode::BAD_REQUEST, self.0).into_response()
    }
}
