use std::borrow::Cow;
use std::cell::LazyCell;
use std::net::Ipv6Addr;

use percent_encoding::percent_decode_str;

/// Parts of keys that mark a credential at any position: `user[password]`, `new_password_2`, `clientSecret`.
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

/// Minimum length of a key that contains one of [`CREDENTIAL_PARTS`], or has the ending of a credential key.
const PART_BYTES: usize = 5;

const REDACTED: &str = "REDACTED";

/// Maximum levels of percent-encoding that are decoded in a value: each redirect of a login may add one.
const ENCODINGS: u8 = 3;

/// Returns the query with the values of credentials replaced by `REDACTED`; keys and everything else stay.
pub(super) fn redacted(query: &str) -> Cow<'_, str> {
    let mut redacted: Option<String> = None;
    let (mut start, mut in_user) = (0, false);
    // searched once: each pair may contain a URL
    let last_at = LazyCell::new(|| query.rfind('@'));
    // an array is searched one character at a time, which is faster for short queries
    for pair in query.split(['&']) {
        let before = start;
        let rest = query.get(before..).unwrap_or_default();
        start += pair.len() + 1;
        if in_user {
            in_user = !pair.contains('@');
            continue;
        }
        let (key, value) = match pair.split_once(['=']) {
            Some((key, value)) => (key, Some(value)),
            None => (pair, None),
        };
        let is_cut = |part, shown: &str, is_whole| {
            let after = rest.get(shown.len()..).unwrap_or_default();
            let has_at = || last_at.is_some_and(|at| at >= before + shown.len());
            is_cut(part, after, has_at, is_whole)
        };
        // the whole query may be a URL
        let is_key_cut = is_cut(key, key, true);
        let is_value_cut = value.is_some_and(|value| is_cut(value, pair, false));
        in_user = is_value_cut || is_key_cut && !pair.contains('@');
        let (shown, is_redacted) = match value {
            _ if is_key_cut || holds_credential(key, ENCODINGS) => ("", true),
            Some(value)
                if is_value_cut || is_credential(key) || holds_credential(value, ENCODINGS) =>
            {
                (pair.get(..=key.len()).unwrap_or_default(), true)
            }
            _ => (pair, false),
        };
        if redacted.is_none() && is_redacted {
            let mut text = String::with_capacity(query.len());
            text.push_str(query.get(..before.saturating_sub(1)).unwrap_or_default());
            redacted = Some(text);
        }
        if let Some(text) = &mut redacted {
            if before > 0 {
                text.push('&');
            }
            text.push_str(shown);
            text.push_str(if is_redacted { REDACTED } else { "" });
        }
    }
    redacted.map_or(Cow::Borrowed(query), Cow::Owned)
}

/// Returns the path without credentials: the values of credential parameters, as in `/cart;jsessionid=REDACTED/2`, and
/// the users of URLs, as in `/fetch/https://REDACTED@host/`, are replaced.
pub(super) fn redacted_path(path: &str) -> Cow<'_, str> {
    if !path.bytes().any(|byte| matches!(byte, b';' | b'@' | b'%')) {
        return Cow::Borrowed(path);
    }
    let path = without_user(path);
    // a URL in one segment has encoded slashes
    let may_hold_url = path.contains('%') && (path.contains("2F") || path.contains("2f"));
    if !may_hold_url && !path.contains(';') {
        return path;
    }
    let mut text = String::with_capacity(path.len());
    let mut is_parameter = false;
    for part in path.split_inclusive(['/', ';']) {
        let body = part.strip_suffix(['/', ';']).unwrap_or(part);
        match body.split_once('=') {
            Some((key, value))
                if is_parameter && (is_credential(key) || holds_credential(value, ENCODINGS)) =>
            {
                text.push_str(key);
                text.push('=');
                text.push_str(REDACTED);
            }
            _ if holds_user(body, ENCODINGS) => text.push_str(REDACTED),
            _ => text.push_str(body),
        }
        let end = part.get(body.len()..).unwrap_or_default();
        text.push_str(end);
        is_parameter = end == ";";
    }
    Cow::Owned(text)
}

/// Returns the path with `REDACTED` for the user of a URL that is part of it, as in paths of proxies.
fn without_user(path: &str) -> Cow<'_, str> {
    // the colon may be encoded, and the slashes not
    let mark = path.find("://").map(|at| at + 1);
    let Some(start) = mark.or_else(|| path.find("//")).map(|at| at + "//".len()) else {
        return Cow::Borrowed(path);
    };
    if !has_user(path) && !holds_user(path, ENCODINGS) {
        return Cow::Borrowed(path);
    }
    let end = path.rfind('@').filter(|end| start < *end);
    let (before, after) = (&path[..start], &path[end.unwrap_or(path.len())..]);
    format!("{before}{REDACTED}{after}").into()
}

/// Reports whether a part of a path is a percent-encoded URL with a user.
fn holds_user(part: &str, encodings: u8) -> bool {
    if encodings == 0 || !part.contains('%') {
        return false;
    }
    let decoded = percent_decode_str(part).decode_utf8_lossy();
    has_user(&decoded) || holds_user(&decoded, encodings - 1)
}

/// Reports whether a value contains a credential: it may be a URL
/// with a query, or JSON, and some servers treat `;` like `&`.
fn holds_credential(value: &str, encodings: u8) -> bool {
    let may_hold = |byte| matches!(byte, b'?' | b';' | b'%' | b'=' | b'@');
    if !value.bytes().any(may_hold) {
        return false;
    }
    let decoded: Cow<'_, [u8]> = percent_decode_str(value).into();
    let decoded = String::from_utf8_lossy(&decoded);
    decoded
        .split(['?', ';', '&', '#'])
        .filter_map(|pair| pair.split_once('='))
        .any(|(key, _)| is_credential(key))
        || has_user(&decoded)
        || has_member(&decoded)
        || (encodings > 1 && decoded.contains('%') && holds_credential(&decoded, encodings - 1))
}

/// Reports whether the user of the last URL of this text continues after the text, up to an `@`: `&` and
/// `=` may be part of a user. `is_whole` is true if the text after it is also part of the URL by its
/// position; `has_at` returns true if that text contains an `@`.
fn is_cut(text: &str, after: &str, has_at: impl FnOnce() -> bool, is_whole: bool) -> bool {
    // searching one character is faster, and most texts do not contain it
    if !text.contains([':']) {
        return false;
    }
    let Some((scheme, rest)) = text.rsplit_once("://") else {
        return false;
    };
    if rest.contains('@') || !has_at() {
        return false;
    }
    let authority = authority(rest);
    let goes_on = is_whole && authority == rest && self::authority(after).contains('@');
    has_password(authority) || goes_on && (is_web(scheme) || authority.contains(':'))
}

/// Returns the text up to the first character that ends an authority.
fn authority(text: &str) -> &str {
    text.split(['/', '?', '#']).next().unwrap_or_default()
}

/// Reports whether there is a password in the position of the port:
/// it may contain a character that ends the authority before its `@`.
fn has_password(authority: &str) -> bool {
    let port = authority.split_once(':').map(|(_, port)| port);
    port.is_some_and(|port| !port.bytes().all(|byte| byte.is_ascii_digit()))
        && !is_bracketed(authority)
}

/// Reports whether a URL contains a password, or a web address contains a user, which may be a token.
fn has_user(text: &str) -> bool {
    let Some(last_at) = text.rfind('@') else {
        return false;
    };
    text.match_indices("://").any(|(scheme_end, mark)| {
        let (scheme, rest) = (&text[..scheme_end], &text[scheme_end + mark.len()..]);
        let authority = authority(rest);
        match authority.rsplit_once('@') {
            Some((user, _)) => user.contains(':') || (is_web(scheme) && !user.is_empty()),
            None => scheme_end < last_at && has_password(authority),
        }
    })
}

/// Reports whether this is an IPv6 address in brackets, whose colons do not begin a port.
fn is_bracketed(authority: &str) -> bool {
    let parts = authority
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'));
    parts.is_some_and(|(address, port)| {
        let address = address.split('%').next().unwrap_or_default();
        let is_port = |byte: u8| byte == b':' || byte.is_ascii_digit();
        address.parse::<Ipv6Addr>().is_ok() && port.bytes().all(is_port)
    })
}

/// Reports whether the text ends with `http` or `https`, in any case.
fn is_web(text: &str) -> bool {
    ["http", "https"].iter().any(|scheme| {
        let end = text.len().checked_sub(scheme.len());
        end.and_then(|end| text.get(end..))
            .is_some_and(|end| end.eq_ignore_ascii_case(scheme))
    })
}

/// Reports whether JSON contains a member with the name of a credential.
fn has_member(text: &str) -> bool {
    let mut strings = text.split('"').peekable();
    while let Some(name) = strings.next() {
        let is_name = |next: &&str| next.trim_start().starts_with(':');
        if strings.peek().is_some_and(is_name) && is_credential(name.trim_end_matches('\\')) {
            return true;
        }
    }
    false
}

/// Reports whether a key is that of a credential. Digits at the end, as in `token_2`, are ignored.
fn is_credential(key: &str) -> bool {
    let key = Key::new(key);
    let (whole, last) = (undigited(key.whole()), undigited(key.last_part()));
    if is_listed(whole) || (key.last > 0 && is_listed(last)) {
        return true;
    }
    whole.len() >= PART_BYTES
        && (ends_as_credential(whole, last)
            || CREDENTIAL_PARTS
                .iter()
                .any(|part| contains(whole, part.as_bytes())))
}

/// Reports whether a key ends like a credential, by the rules for log lines: `access_token`, `X-Amz-Security-Token`,
/// `user_session_id` and `my_jwt` do, `max_tokens` does not.
fn ends_as_credential(whole: &[u8], last: &[u8]) -> bool {
    match whole {
        [.., b'p', b'a', b's', b's'] => !matches!(last, b"bypass" | b"compass"),
        [.., b't', b'o', b'k', b'e', b'n'] | [.., b'p', b'w', b'd'] | [.., b'j', b'w', b't'] => {
            true
        }
        [.., b'i', b'd'] => whole.ends_with(b"sessionid"),
        [.., b'k', b'e', b'y'] => whole.ends_with(b"accesskey") || whole.ends_with(b"accountkey"),
        [.., b'i', b'o', b'n'] => whole.ends_with(b"authorization"),
        _ => false,
    }
}

/// Reports whether the value of a key is a credential; the key is in lower
/// case and without separators: `X-Amz-Signature` is `xamzsignature`.
///
/// The first four keys are those of OpenTelemetry's semantic conventions. The others are those of signed URLs (AWS,
/// CloudFront, Google Cloud, Akamai), of OAuth 2 and OpenID Connect, SAML, CAS, and names that applications use.
///
/// A pattern compares the length of the keys first, then byte by
/// byte; a list would be searched linearly for each key of a query.
fn is_listed(key: &[u8]) -> bool {
    matches!(
        key,
        b"awsaccesskeyid"
            | b"signature"
            | b"sig"
            | b"xgoogsignature"
            | b"googleaccessid"
            | b"keypairid"
            | b"key"
            | b"appkey"
            | b"subscriptionkey"
            | b"ocpapimsubscriptionkey"
            | b"hmac"
            | b"sign"
            | b"hdnea"
            | b"hdnts"
            | b"auth"
            | b"authkey"
            | b"authorization"
            | b"basic"
            | b"bearer"
            | b"code"
            | b"authcode"
            | b"authorizationcode"
            | b"otpcode"
            | b"resetcode"
            | b"oobcode"
            | b"mfacode"
            | b"smscode"
            | b"accesscode"
            | b"verificationcode"
            | b"codeverifier"
            | b"oauthverifier"
            | b"devicecode"
            | b"usercode"
            | b"clientassertion"
            | b"assertion"
            | b"idtokenhint"
            | b"samlart"
            | b"samlresponse"
            | b"ticket"
            | b"jwt"
            | b"pwd"
            | b"pass"
            | b"passcode"
            | b"passkey"
            | b"pin"
            | b"otp"
            | b"totp"
            | b"mfa"
            | b"csrf"
            | b"xsrf"
            | b"session"
            | b"sessionid"
            | b"sessionkey"
            | b"sessid"
            | b"sid"
            | b"jsessionid"
            | b"phpsessid"
            | b"cookie"
            | b"cookies"
            | b"accesskey"
            | b"accesskeyid"
            | b"accountkey"
            | b"encryptionkey"
            | b"signingkey"
            | b"masterkey"
            | b"sharedkey"
            | b"licensekey"
            | b"webhookkey"
            | b"dsn"
            | b"connectionstring"
    )
}

fn undigited(key: &[u8]) -> &[u8] {
    let digits = key.iter().rev().take_while(|byte| byte.is_ascii_digit());
    key.get(..key.len() - digits.count()).unwrap_or_default()
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// Key in the form that is compared: decoded, in lower case, without separators.
struct Key {
    bytes: Buffer,
    /// Start of the part after the last `.`, `:`, bracket or URL delimiter that is not followed by an index: `pwd` of
    /// `user[pwd]`, and `pwd0` of `user[pwd][0]`.
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
                b'.' | b':' | b'[' | b']' | b'(' | b')' | b'/' | b'?' | b'#' | b'&' | b';' => {
                    in_part = false;
                }
                _ => {
                    // an index belongs to the part before it
                    if !in_part && !byte.is_ascii_digit() {
                        last = bytes.as_slice().len();
                    }
                    in_part = true;
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
