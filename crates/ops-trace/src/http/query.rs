use crate::limits::{MAX_TEXT_BYTES, cut};

/// Keys of a query whose value is not recorded; the first four are OpenTelemetry's.
const SECRET_KEYS: [&str; 18] = [
    "awsaccesskeyid",
    "signature",
    "sig",
    "x-goog-signature",
    "x-amz-signature",
    "x-amz-credential",
    "x-amz-security-token",
    "token",
    "access_token",
    "refresh_token",
    "id_token",
    "api_key",
    "apikey",
    "api-key",
    "key",
    "password",
    "secret",
    "client_secret",
];

/// The query with the values of secret keys taken out; keys and all else stay.
pub(super) fn redacted(query: &str) -> String {
    let mut text = String::with_capacity(query.len());
    // as an array a character is looked for one by one, which costs less where queries are short
    for (at, pair) in query.split(['&']).enumerate() {
        if at > 0 {
            text.push('&');
        }
        match pair.split_once(['=']) {
            Some((key, _)) if is_secret(key) => {
                text.push_str(key);
                text.push_str("=REDACTED");
            }
            _ => text.push_str(pair),
        }
    }
    cut(text, MAX_TEXT_BYTES)
}

/// A key may be percent-encoded in part, to get past such a list.
fn is_secret(key: &str) -> bool {
    let plain = |key: &str| SECRET_KEYS.iter().any(|s| key.eq_ignore_ascii_case(s));
    plain(key) || key.contains('%') && plain(&crate::config::environment::percent_decoded(key))
}
