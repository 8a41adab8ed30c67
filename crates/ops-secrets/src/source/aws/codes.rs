//! Classification of AWS error codes.

use crate::error::ErrorKind;

/// Returns the class of a code, because the SDK models neither denial nor throttling for these services.
pub(crate) fn kind_of(code: &str, message: &str, status: u16) -> ErrorKind {
    match code {
        "AccessDeniedException" | "AccessDenied" if is_about_the_key(message) => ErrorKind::Decrypt,
        "AccessDeniedException" | "AccessDenied" | "UnauthorizedOperation" => {
            ErrorKind::AccessDenied
        }
        "ThrottlingException"
        | "Throttling"
        | "ThrottledException"
        | "KMSThrottlingException"
        | "TooManyRequestsException"
        | "RequestLimitExceeded"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "SlowDown"
        | "ProvisionedThroughputExceededException"
        | "BandwidthLimitExceeded" => ErrorKind::Throttled,
        "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "AuthFailure"
        | "NotAuthorized"
        | "OptInRequired"
        | "InvalidIdentityToken"
        | "IDPRejectedClaim"
        | "RequestTimeTooSkewed"
        | "RequestInTheFuture"
        | "RequestExpired" => ErrorKind::Unauthenticated,
        _ if code.starts_with("ExpiredToken") => ErrorKind::Unauthenticated,
        "KMSAccessDeniedException" => ErrorKind::AccessDenied,
        "DecryptionFailure"
        | "InvalidKeyId"
        | "KMSDisabledException"
        | "KMSInvalidStateException"
        | "KMSNotFoundException" => ErrorKind::Decrypt,
        "ValidationException" | "InvalidParameterException" => ErrorKind::Config,
        _ if status == 403 => ErrorKind::AccessDenied,
        _ if status == 429 => ErrorKind::Throttled,
        _ => ErrorKind::Transient,
    }
}

/// Returns whether a denial comes from KMS: Parameter Store returns it under the code of its own denials.
fn is_about_the_key(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    // names of roles and parameters may contain "kms", too
    ["kms:", "access to kms", "ciphertext", "customer master key"]
        .iter()
        .any(|word| message.contains(word))
}

/// Returns whether Secrets Manager has no such secret. AWS returns "marked for deletion", moto "marked deleted".
pub(crate) fn is_absent_secret(code: &str, message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    code == "ResourceNotFoundException"
        || (code == "InvalidRequestException"
            && message.contains("marked")
            && message.contains("delet"))
}

/// Returns whether Parameter Store has no such parameter.
pub(crate) fn is_absent_parameter(code: &str, _: &str) -> bool {
    matches!(code, "ParameterNotFound" | "ParameterVersionNotFound")
}
