//! CPU profile of the process, on request.

mod format;
mod sampler;

use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{Extensions, StatusCode, Uri, header};

use crate::Admin;
use crate::audit::AuditedRequest;
use crate::conditions::{Conditions, Refused, refused};
use sampler::{Failed, Sampler, Turn};

/// Default duration of a profile in seconds.
const SECONDS: u64 = 10;
/// Maximum duration of a profile in seconds.
const MAX_SECONDS: u64 = 30;

/// `GET /debug/pprof/profile?seconds=`: returns where the process spends
/// processor time, in the format of pprof. A client that leaves ends the profile.
pub(crate) async fn take(
    State(admin): State<Admin>,
    extensions: Extensions,
    uri: Uri,
) -> Result<Response, Failure> {
    if !admin.is_profiled() {
        return Err(Failure::Off);
    }
    if admin.token_check().is_none() {
        return Err(Failure::NoToken);
    }
    let seconds = seconds(&uri)?;
    let turn = Turn::take()?;
    let sampler = blocking(move || Sampler::start(turn)).await?;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let bytes = blocking(move || format::gzip(&sampler.end()?)).await?;
    let audited = AuditedRequest::without_reason(&extensions, None, "");
    let done = format!("{seconds} s of CPU profile, {} bytes", bytes.len());
    audited.report("take_profile", &seconds.to_string(), &done);
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"cpu.pb.gz\"",
        ),
    ];
    Ok((headers, bytes).into_response())
}

/// Runs work that takes long, or waits for locks, on a separate thread: the page responds meanwhile.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failed> + Send + 'static,
) -> Result<T, Failed> {
    let worked = tokio::task::spawn_blocking(work).await;
    worked.unwrap_or(Err(Failed::Broken))
}

fn seconds(uri: &Uri) -> Result<u64, Refused> {
    let conditions = Conditions::read(uri, &["seconds"])?;
    let seconds = conditions.number("seconds")?.unwrap_or(SECONDS);
    if (1..=MAX_SECONDS).contains(&seconds) {
        Ok(seconds)
    } else {
        Err(refused(&format!(
            "seconds must be between 1 and {MAX_SECONDS}\n"
        )))
    }
}

/// Reason why no profile is taken.
pub(crate) enum Failure {
    Off,
    NoToken,
    Refused(Refused),
    Failed(Failed),
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<Failed> for Failure {
    fn from(failed: Failed) -> Self {
        Self::Failed(failed)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, why) = match self {
            Self::Off => (
                StatusCode::NOT_FOUND,
                "CPU profiles are off: set OPS_ADMIN_PROFILE=on, or Admin::profile(true)\n",
            ),
            Self::NoToken => (
                StatusCode::FORBIDDEN,
                "CPU profiles require a token: set OPS_ADMIN_TOKEN, or Admin::token\n",
            ),
            Self::Refused(refused) => return refused.into_response(),
            Self::Failed(Failed::Busy) => (
                StatusCode::CONFLICT,
                "another CPU profile is being taken; only one runs at a time, for at most 30 seconds\n",
            ),
            Self::Failed(Failed::Broken) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "cannot take the profile: the timer or a temporary file (in TMPDIR, else /tmp) could not be created; a failure of the \
                 latter lasts until the process restarts\n",
            ),
        };
        (status, why).into_response()
    }
}
