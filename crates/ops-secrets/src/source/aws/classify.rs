//! Failures of the SDK and of the services, each as what it is.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use crate::error::ErrorKind;
use crate::source::aws::codes::kind_of;
use crate::source::aws::settings::AwsSettings;
use crate::source::{FetchError, shortened};

/// Detail of a request that reached nobody.
const NO_CONNECTION: &str = "no connection";

/// Failure of one request, and whether to send it again.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub(crate) error: FetchError,
    pub(crate) again: Again,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    No,
    /// It broke off: a second try may be luckier.
    Once,
    /// The service asked for fewer requests.
    Later,
}

impl Refused {
    fn no(error: FetchError) -> Self {
        let again = Again::No;
        Self { error, again }
    }

    pub(crate) fn late() -> Self {
        let detail = "no answer within the deadline";
        Self::no(FetchError::failed(ErrorKind::Transient, detail))
    }

    /// The failure of a request to a region that may not be the client's own: if nobody was reached there, the own one is still
    /// asked.
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
        Self::no(error)
    }
}

/// Returns the class of a failure. `absent` decides, from code and message, what means that there is no such secret.
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
        return of_service(code, message, status, absent);
    }
    if let Some(error) = cause::<CredentialsError>(error) {
        return Refused::no(of_credentials(settings, error));
    }
    if is_identity_late(error) {
        return Refused::no(late_credentials(settings));
    }
    let once = |detail: &str| Refused {
        error: FetchError::failed(ErrorKind::Transient, detail),
        again: Again::Once,
    };
    match error {
        // hyper's own errors are those of a connection that was made: this one broke off, and the service is there
        SdkError::DispatchFailure(_) if cause::<hyper::Error>(error).is_some() => {
            once("the connection broke off")
        }
        SdkError::DispatchFailure(failure) if failure.is_io() || failure.is_timeout() => {
            let error = FetchError::unreachable(no_connection(settings), NO_CONNECTION);
            Refused {
                error,
                again: Again::Once,
            }
        }
        SdkError::DispatchFailure(failure) if failure.is_user() => {
            let detail = format!("the request could not be made: {}", chain(error));
            Refused::no(FetchError::failed(ErrorKind::Config, detail))
        }
        SdkError::ConstructionFailure(_) => {
            let detail = format!("the request could not be made: {}", chain(error));
            Refused::no(FetchError::failed(ErrorKind::Config, detail))
        }
        SdkError::TimeoutError(_) => once("no answer in time"),
        // nothing was sent; the same class of the SDK has answers that it could not take
        SdkError::DispatchFailure(_) if is_without_endpoint(error) => {
            let detail = format!("the request could not be made: {}", chain(error));
            Refused::no(FetchError::failed(ErrorKind::Config, detail))
        }
        _ => once("the answer could not be read"),
    }
}

/// Reports whether there are no credentials, or they are refused. One that reached nobody says nothing of them: they may be good for
/// hours, and not to be had again meanwhile.
pub(crate) fn is_of_credentials(error: &FetchError) -> bool {
    match error {
        FetchError::Unreachable { detail, .. } => detail != NO_CONNECTION,
        FetchError::Failed { kind, .. } => *kind == ErrorKind::Unauthenticated,
        FetchError::Absent => false,
    }
}

/// Returns the class of a failed connection: if AWS is asked because of a hint alone, a machine without a route to it is
/// no error.
fn no_connection(settings: &AwsSettings) -> ErrorKind {
    match settings.automatic {
        true => ErrorKind::Unavailable,
        false => ErrorKind::Transient,
    }
}

fn of_service(code: &str, message: &str, status: u16, absent: fn(&str, &str) -> bool) -> Refused {
    if absent(code, message) {
        return Refused::no(FetchError::Absent);
    }
    let kind = kind_of(code, message, status);
    let mut detail = format!("{}, HTTP {status}", shortened(code));
    if is_clock_skew(code, message) {
        detail += ": the clocks of this machine and of AWS differ";
    }
    if !message.is_empty() {
        detail += &format!(": {}", shortened(message));
    }
    let again = match kind {
        ErrorKind::Throttled => Again::Later,
        ErrorKind::Transient => Again::Once,
        _ => Again::No,
    };
    let error = FetchError::failed(kind, detail);
    Refused { error, again }
}

/// Returns the failure of one name in the answer to a bulk call; `None` if it may pass when asked again.
#[cfg(feature = "secretsmanager")]
pub(crate) fn of_name(
    code: &str,
    message: &str,
    absent: fn(&str, &str) -> bool,
) -> Option<FetchError> {
    let refused = of_service(code, message, 200, absent);
    (refused.again == Again::No).then_some(refused.error)
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

/// Reports whether the wait for credentials ended without any. The SDK's error for that has no public type.
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

/// Reports whether the settings name no endpoint, or contradict themselves about it. The SDK's error for that is in no crate that is
/// used here; its name is.
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
            let detail = format!("{named}: no credentials in time");
            FetchError::unreachable(ErrorKind::Transient, detail)
        }
        None => FetchError::unreachable(ErrorKind::Unavailable, "no credentials in time"),
    }
}

/// Returns why there are no credentials. Those that somebody named are never passed over in silence.
fn of_credentials(settings: &AwsSettings, error: &CredentialsError) -> FetchError {
    let reason = chain(error);
    if let CredentialsError::ProviderTimedOut(_) = error {
        return late_credentials(settings);
    }
    if let Some(kind) = refusal_in(&reason) {
        let detail = format!("the credentials were refused: {reason}");
        return FetchError::unreachable(kind, detail);
    }
    let passing = passing_in(&reason);
    match settings.named_credentials() {
        Some(named) => {
            let detail = format!("{named}: no credentials: {reason}");
            FetchError::unreachable(passing.unwrap_or(ErrorKind::Config), detail)
        }
        None if matches!(error, CredentialsError::CredentialsNotLoaded(_)) => {
            FetchError::unreachable(ErrorKind::Unavailable, "no credentials")
        }
        None => {
            let kind = passing.unwrap_or(ErrorKind::Config);
            FetchError::unreachable(kind, format!("no credentials: {reason}"))
        }
    }
}

/// Returns the class of a trouble of STS, SSO or the metadata service that passes: it says nothing of what is configured.
fn passing_in(reason: &str) -> Option<ErrorKind> {
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

/// Returns the class of the refusal by STS or SSO that a message tells of.
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

/// The messages of an error and of its causes. The SDK's own hold paths, names and codes, and no key.
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
