use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::limits::{MAX_TEXT_BYTES, cut};

/// Keys whose value is a credential, in lower case and without separators: `X-Amz-Signature` is `xamzsignature`.
///
/// The first four are those of OpenTelemetry's semantic conventions. The others are those of signed URLs (AWS,
/// CloudFront, Google Cloud), of OAuth 2 and OpenID Connect, SAML, CAS, and names that applications use.
const CREDENTIALS: &[&str] = &[
    "awsaccesskeyid",
    "signature",
    "sig",
    "xgoogsignature",
    "googleaccessid",
    "keypairid",
    "key",
    "appkey",
    "subscriptionkey",
    "ocpapimsubscriptionkey",
    "hmac",
    "auth",
    "authkey",
    "authorization",
    "basic",
    "bearer",
    "code",
    "authcode",
    "authorizationcode",
    "otpcode",
    "resetcode",
    "verificationcode",
    "codeverifier",
    "oauthverifier",
    "devicecode",
    "usercode",
    "clientassertion",
    "assertion",
    "idtokenhint",
    "samlart",
    "samlresponse",
    "ticket",
    "jwt",
    "pwd",
    "pass",
    "passcode",
    "pin",
    "otp",
    "totp",
    "mfa",
    "csrf",
    "xsrf",
    "session",
    "sessionid",
    "sessionkey",
    "sid",
    "jsessionid",
    "phpsessid",
    "cookie",
    "cookies",
    "accesskey",
    "accesskeyid",
    "accountkey",
    "encryptionkey",
    "signingkey",
    "dsn",
    "connectionstring",
];

/// Parts of keys that name a credential wherever they stand: `user[password]`, `new_password_2`, `clientSecret`.
const CREDENTIAL_PARTS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "secret",
    "credential",
    "signature",
    "apikey",
    "privatekey",
];

/// The end of keys such as `access_token`, `X-Amz-Security-Token` and `csrfToken`, and not of `max_tokens`.
const TOKEN: &str = "token";

/// No key below this length has one of [`CREDENTIAL_PARTS`] in it, or ends with [`TOKEN`].
const PART_BYTES: usize = 5;

const REDACTED: &str = "REDACTED";

/// Returns the query with the values of credentials replaced by `REDACTED`; keys and all else stay.
pub(super) fn redacted(query: &str) -> String {
    let mut text = String::with_capacity(query.len());
    // as an array a character is looked for one by one, which costs less where queries are short
    for (at, pair) in query.split(['&']).enumerate() {
        if at > 0 {
            text.push('&');
        }
        match pair.split_once(['=']) {
            Some((key, value)) if is_credential(key) || holds_credential(value) => {
                text.push_str(key);
                text.push('=');
                text.push_str(REDACTED);
            }
            _ => text.push_str(pair),
        }
    }
    cut(text, MAX_TEXT_BYTES)
}

/// A value may be a URL with a query of its own, and some servers take `;` for `&`.
fn holds_credential(value: &str) -> bool {
    if !value.contains(['?', ';', '%', '=']) {
        return false;
    }
    let decoded: Cow<'_, [u8]> = percent_decode_str(value).into();
    let decoded = String::from_utf8_lossy(&decoded);
    decoded
        .split(['?', ';', '&', '#'])
        .filter_map(|pair| pair.split_once('='))
        .any(|(key, _)| is_credential(key))
}

/// Digits at the end, as in `token_2`, make no other key.
fn is_credential(key: &str) -> bool {
    let key = Key::new(key);
    let (whole, last) = (undigited(key.whole()), undigited(key.last_part()));
    let is_listed = |key: &[u8]| CREDENTIALS.iter().any(|known| known.as_bytes() == key);
    if is_listed(whole) || (key.last > 0 && is_listed(last)) {
        return true;
    }
    whole.len() >= PART_BYTES
        && (whole.ends_with(TOKEN.as_bytes())
            || CREDENTIAL_PARTS
                .iter()
                .any(|part| contains(whole, part.as_bytes())))
}

fn undigited(key: &[u8]) -> &[u8] {
    let digits = key.iter().rev().take_while(|byte| byte.is_ascii_digit());
    key.get(..key.len() - digits.count()).unwrap_or_default()
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// A key as it is compared: decoded, in lower case, without separators.
struct Key {
    bytes: Buffer,
    /// Start of what follows the last `.`, `:` or bracket that something follows: `pwd` of `user[pwd]`.
    last: usize,
}

enum Buffer {
    Short([u8; Key::SHORT], usize),
    Long(Vec<u8>),
}

impl Key {
    const SHORT: usize = 48;

    fn new(key: &str) -> Self {
        let mut bytes = if key.len() <= Self::SHORT {
            Buffer::Short([0; Self::SHORT], 0)
        } else {
            Buffer::Long(Vec::with_capacity(key.len()))
        };
        let (mut last, mut in_part) = (0, true);
        for byte in percent_decode_str(key) {
            match byte {
                b'-' | b'_' | b' ' | b'+' => {}
                b'.' | b':' | b'[' | b']' | b'(' | b')' => in_part = false,
                _ => {
                    if !in_part {
                        (last, in_part) = (bytes.as_slice().len(), true);
                    }
                    bytes.push(byte.to_ascii_lowercase());
                }
            }
        }
        Self { bytes, last }
    }

    fn whole(&self) -> &[u8] {
        self.bytes.as_slice()
    }

    fn last_part(&self) -> &[u8] {
        self.whole().get(self.last..).unwrap_or_default()
    }
}

impl Buffer {
    fn push(&mut self, byte: u8) {
        match self {
            Self::Short(bytes, len) => {
                if let Some(place) = bytes.get_mut(*len) {
                    *place = byte;
                    *len += 1;
                }
            }
            Self::Long(bytes) => bytes.push(byte),
        }
    }

    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Short(bytes, len) => bytes.get(..*len).unwrap_or_default(),
            Self::Long(bytes) => bytes,
        }
    }
}
