//! Classification of failures of the SDK and of the services.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use crate::error::ErrorKind;
use crate::source::aws::codes::kind_of;
use crate::source::aws::settings::AwsSettings;
use crate::source::{FetchError, shortened};

/// Detail of a request that reached no server.
const NO_CONNECTION: &str = "cannot connect";

/// Failure of one request, and whether to repeat it.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub(crate) error: FetchError,
    pub(crate) retry: Retry,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retry {
    No,
    /// It was interrupted: a second attempt may succeed.
    Once,
    /// The service throttled it.
    Later,
}

impl Refused {
    fn without_retry(error: FetchError) -> Self {
        let retry = Retry::No;
        Self { error, retry }
    }

    pub(crate) fn late() -> Self {
        let detail = "no response within the deadline";
        Self::without_retry(FetchError::failed(ErrorKind::Transient, detail))
    }

    /// Adapts the failure of a request to a region that may differ from the client's own: if no
    /// server was reached there, only this name fails, and the client's own region is still queried.
    pub(crate) fn of_region(self, elsewhere: Option<&str>) -> Self {
        let error = match (self.error, elsewhere) {
            (FetchError::Unreachable { detail, .. }, Some(region)) if detail == NO_CONNECTION => {
                FetchError::failed(ErrorKind::Transient, format!("{detail} to {region}"))
            }
            (error, _) => error,
        };
        Self { error, ..self }
    }
}

impl From<FetchError> for Refused {
    fn from(error: FetchError) -> Self {
        Self::without_retry(error)
    }
}

/// Classifies a failure. `absent` decides, from code and message, whether the secret does not exist.
pub(crate) fn classify<E>(
    settings: &AwsSettings,
    error: &SdkError<E, HttpResponse>,
    absent: fn(&str, &str) -> bool,
) -> Refused
where
    E: ProvideErrorMetadata + Error + 'static,
{
    if let Some(service) = error.as_service_error() {
        let (code, message) = (
            service.code().unwrap_or("unknown"),
            service.message().unwrap_or_default(),
        );
        let response = error.raw_response();
        let status = response.map_or(0, |response| response.status().as_u16());
        return from_code(code, message, status, absent);
    }
    if let Some(error) = cause::<CredentialsError>(error) {
        return Refused::without_retry(credentials_failure(settings, error));
    }
    if is_identity_late(error) {
        return Refused::without_retry(late_credentials(settings));
    }
    let once = |detail: &str| Refused {
        error: FetchError::failed(ErrorKind::Transient, detail),
        retry: Retry::Once,
    };
    match error {
        // hyper's own errors occur on established connections: this one broke, and the service is reachable
        SdkError::DispatchFailure(_) if cause::<hyper::Error>(error).is_some() => {
            once("the connection was lost")
        }
        SdkError::DispatchFailure(failure) if failure.is_io() || failure.is_timeout() => {
            let error = FetchError::unreachable(no_connection(settings), NO_CONNECTION);
            Refused {
                error,
                retry: Retry::Once,
            }
        }
        SdkError::DispatchFailure(failure) if failure.is_user() => {
            let detail = format!("cannot send the request: {}", chain(error));
            Refused::without_retry(FetchError::failed(ErrorKind::Config, detail))
        }
        SdkError::ConstructionFailure(_) => {
            let detail = format!("cannot send the request: {}", chain(error));
            Refused::without_retry(FetchError::failed(ErrorKind::Config, detail))
        }
        SdkError::TimeoutError(_) => once("request timed out"),
        // nothing was sent; the SDK uses the same class for responses it could not handle
        SdkError::DispatchFailure(_) if is_without_endpoint(error) => {
            let detail = format!("cannot send the request: {}", chain(error));
            Refused::without_retry(FetchError::failed(ErrorKind::Config, detail))
        }
        _ => once("cannot read the response"),
    }
}

/// Returns whether credentials are missing or were refused. A request that reached no server is no
/// reason to drop them: they may be valid for hours, and not obtainable again meanwhile.
pub(crate) fn is_credentials_failure(error: &FetchError) -> bool {
    match error {
        FetchError::Unreachable { detail, .. } => detail != NO_CONNECTION,
        FetchError::Failed { kind, .. } => *kind == ErrorKind::Unauthenticated,
        FetchError::Absent => false,
    }
}

/// Returns the class of a failed connection: if AWS is queried only
/// because of a hint, a machine without a route to it is not an error.
fn no_connection(settings: &AwsSettings) -> ErrorKind {
    match settings.automatic {
        true => ErrorKind::Unavailable,
        false => ErrorKind::Transient,
    }
}

fn from_code(code: &str, message: &str, status: u16, absent: fn(&str, &str) -> bool) -> Refused {
    if absent(code, message) {
        return Refused::without_retry(FetchError::Absent);
    }
    let kind = kind_of(code, message, status);
    let mut detail = format!("{}, HTTP {status}", shortened(code));
    if is_clock_skew(code, message) {
        detail += ": clock skew between this machine and AWS";
    }
    if !message.is_empty() {
        detail += &format!(": {}", shortened(message));
    }
    let retry = match kind {
        ErrorKind::Throttled => Retry::Later,
        ErrorKind::Transient => Retry::Once,
        _ => Retry::No,
    };
    let error = FetchError::failed(kind, detail);
    Refused { error, retry }
}

/// Returns the failure of one name in a bulk response; `None` if it may be temporary.
#[cfg(feature = "secretsmanager")]
pub(crate) fn name_failure(
    code: &str,
    message: &str,
    absent: fn(&str, &str) -> bool,
) -> Option<FetchError> {
    let refused = from_code(code, message, 200, absent);
    (refused.retry == Retry::No).then_some(refused.error)
}

fn is_clock_skew(code: &str, message: &str) -> bool {
    let named = [
        "RequestTimeTooSkewed",
        "RequestInTheFuture",
        "RequestExpired",
    ];
    let signature = code == "InvalidSignatureException" || code == "SignatureDoesNotMatch";
    let message = message.to_ascii_lowercase();
    named.contains(&code)
        || (signature && (message.contains("expired") || message.contains("not yet current")))
}

/// Returns whether the wait for credentials timed out. The SDK's error for that has no public type.
fn is_identity_late(error: &(dyn Error + 'static)) -> bool {
    let mut at = Some(error);
    while let Some(error) = at {
        if error.to_string().starts_with("identity resolver timed out") {
            return true;
        }
        at = error.source();
    }
    false
}

/// Returns whether the settings name no endpoint, or contradictory ones. The type
/// of the SDK's error is in no crate that is used here, so its name is compared.
fn is_without_endpoint(error: &(dyn Error + 'static)) -> bool {
    let mut at = Some(error);
    while let Some(error) = at {
        if format!("{error:?}").starts_with("ResolveEndpointError ") {
            return true;
        }
        at = error.source();
    }
    false
}

fn late_credentials(settings: &AwsSettings) -> FetchError {
    match settings.named_credentials() {
        Some(named) => {
            let detail = format!("{named}: loading credentials timed out");
            FetchError::unreachable(ErrorKind::Transient, detail)
        }
        None => FetchError::unreachable(ErrorKind::Unavailable, "loading credentials timed out"),
    }
}

/// Returns the reason why there are no credentials. Explicitly configured credentials are never skipped silently.
fn credentials_failure(settings: &AwsSettings, error: &CredentialsError) -> FetchError {
    let reason = chain(error);
    if let CredentialsError::ProviderTimedOut(_) = error {
        return late_credentials(settings);
    }
    if let Some(kind) = refusal_in(&reason) {
        let detail = format!("the credentials were refused: {reason}");
        return FetchError::unreachable(kind, detail);
    }
    let temporary = temporary_failure_in(&reason);
    match settings.named_credentials() {
        Some(named) => {
            let detail = format!("{named}: no credentials: {reason}");
            FetchError::unreachable(temporary.unwrap_or(ErrorKind::Config), detail)
        }
        None if matches!(error, CredentialsError::CredentialsNotLoaded(_)) => {
            FetchError::unreachable(ErrorKind::Unavailable, "no credentials found")
        }
        None => {
            let kind = temporary.unwrap_or(ErrorKind::Config);
            FetchError::unreachable(kind, format!("no credentials: {reason}"))
        }
    }
}

/// Returns the class of a temporary failure of STS, SSO or the metadata
/// service, which does not mean that the configuration is wrong.
fn temporary_failure_in(reason: &str) -> Option<ErrorKind> {
    let has_word = |known: &[&str]| {
        let mut words = reason.split(|letter: char| !letter.is_ascii_alphanumeric());
        words.any(|word| known.contains(&word))
    };
    let throttled = [
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "RequestThrottled",
        "RequestThrottledException",
        "RequestLimitExceeded",
        "TooManyRequestsException",
        "SlowDown",
    ];
    if has_word(&throttled) {
        return Some(ErrorKind::Throttled);
    }
    let down = [
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "ServiceUnavailable",
        "ServiceUnavailableException",
    ];
    let broken = [
        "connection refused",
        "connection reset",
        "connection closed",
        "dispatch failure",
        "timed out",
        "timeout",
    ];
    let lower = reason.to_ascii_lowercase();
    let is_down = has_word(&down) || broken.iter().any(|word| lower.contains(word));
    is_down.then_some(ErrorKind::Transient)
}

/// Returns the class of a refusal by STS or SSO that a message mentions.
fn refusal_in(reason: &str) -> Option<ErrorKind> {
    let codes = [
        "AccessDenied",
        "AccessDeniedException",
        "UnauthorizedException",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidIdentityToken",
        "IDPRejectedClaim",
        "InvalidClientTokenId",
        "UnrecognizedClientException",
        "SignatureDoesNotMatch",
        "RequestExpired",
    ];
    let words = reason.split(|letter: char| !letter.is_ascii_alphanumeric());
    let code = words.into_iter().find(|word| codes.contains(word))?;
    match code {
        "UnauthorizedException" => Some(ErrorKind::Unauthenticated),
        code => Some(kind_of(code, "", 0)),
    }
}

/// Returns the messages of an error and of its causes. Those of the SDK contain paths, names and codes, but no keys.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut messages = vec![error.to_string()];
    let mut at = error.source();
    while let Some(error) = at {
        let message = error.to_string();
        if !messages.contains(&message) {
            messages.push(message);
        }
        at = error.source();
    }
    shortened(&messages.join(": "))
}

fn cause<'a, C: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a C> {
    let mut at = Some(error);
    while let Some(error) = at {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        at = error.source();
    }
    None
}
