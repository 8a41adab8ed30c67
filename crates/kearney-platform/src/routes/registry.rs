use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequestParts, State};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::error::chain;
use crate::params::Params;
use crate::platform::Platform;
use crate::problem::Problem;
use crate::registry::Model;

/// Maximum bytes of a model in JSON.
pub const MODEL_BYTES: usize = 8 * 1024;

/// Proof that the request has the API key. Checked in the request head, before the body is read.
pub struct Authorized;

impl FromRequestParts<Arc<Platform>> for Authorized {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        platform: &Arc<Platform>,
    ) -> Result<Self, Problem> {
        authorize(platform, &parts.headers).await.map(|()| Self)
    }
}

pub async fn models(
    State(platform): State<Arc<Platform>>,
    params: Params,
) -> Result<Json<Value>, Problem> {
    params.none()?;
    Ok(Json(json!({ "models": platform.registry.models() })))
}

pub async fn datasets(
    State(platform): State<Arc<Platform>>,
    params: Params,
) -> Result<Json<Value>, Problem> {
    params.none()?;
    Ok(Json(json!({ "datasets": platform.registry.datasets() })))
}

/// Registers a model; requires the API key.
pub async fn add_model(
    _: Authorized,
    State(platform): State<Arc<Platform>>,
    params: Params,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Model>), Problem> {
    params.finish("no parameters: the model is given in the body")?;
    let body = received(body, MODEL_BYTES)?;
    let model = parse(&body)?;
    let stored = model.clone();
    let added = run_blocking("the registry", move || platform.add_model(stored)).await?;
    if added {
        Ok((StatusCode::CREATED, Json(model)))
    } else {
        let detail = format!("{} {} is already registered", model.name, model.version);
        Err(Problem::new(StatusCode::CONFLICT, detail))
    }
}

async fn authorize(platform: &Platform, headers: &HeaderMap) -> Result<(), Problem> {
    let denied = |detail: &str| Problem::new(StatusCode::UNAUTHORIZED, detail);
    let given = headers
        .get("x-api-key")
        .ok_or_else(|| denied("missing X-API-Key header"))?;
    match platform.is_registry_key(given.as_bytes()).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(denied("invalid X-API-Key")),
        Err(why) => {
            ops_layer::log::error!("registry_key_unavailable", error = chain(&why));
            let detail = "the registry key is currently unavailable";
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail))
        }
    }
}

fn parse(body: &[u8]) -> Result<Model, Problem> {
    let accepts = r#"{"name": string, "version": string, "description": string (optional)}, name and version of 1 to 100 characters"#;
    let model: Model = object(body, accepts)?;
    for (field, text) in [("name", &model.name), ("version", &model.version)] {
        if text.trim().is_empty() || text.chars().count() > 100 {
            return Err(Problem::parameter(
                field,
                "must have 1 to 100 characters and not be blank",
                accepts,
            ));
        }
    }
    Ok(model)
}

/// Returns the body of a request; the problem of a body that is too large names the limit.
pub fn received(body: Result<Bytes, BytesRejection>, most: usize) -> Result<Bytes, Problem> {
    body.map_err(|rejected| match rejected.status() {
        status @ StatusCode::PAYLOAD_TOO_LARGE => {
            let detail = format!("the body is too large: at most {most} bytes are accepted");
            Problem::new(status, detail)
        }
        status => Problem::new(status, rejected.body_text()),
    })
}

/// Parses a body, which must be an object: serde would accept an array of its values too.
pub fn object<T: DeserializeOwned>(body: &[u8], accepts: &str) -> Result<T, Problem> {
    let wrong = |why: String| Problem::parameter("body", why, accepts);
    if body
        .trim_ascii_start()
        .first()
        .is_some_and(|first| *first != b'{')
    {
        return Err(wrong("not a JSON object".to_owned()));
    }
    serde_json::from_slice(body).map_err(|error| wrong(error.to_string()))
}

/// Runs `work` on a thread that may wait for the disk.
pub async fn run_blocking<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> crate::error::Result<T> + Send + 'static,
) -> Result<T, Problem> {
    let failed = |why: String| {
        ops_layer::log::error!("write_failed", what = what, error = why);
        let detail = format!("cannot write {what}");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
    };
    match ops_layer::spawn_blocking(work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(failed(chain(&error))),
        Err(error) => Err(failed(error.to_string())),
    }
}
