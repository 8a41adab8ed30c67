use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, StatusCode, header};
use subtle::ConstantTimeEq;

/// Number of wrong tokens that an address may send within [`WINDOW`]; then it is refused for [`REFUSED_FOR`].
const MAX_FAILURES: u32 = 5;
const WINDOW: Duration = Duration::from_secs(60);
const REFUSED_FOR: Duration = Duration::from_secs(60);
/// Maximum number of addresses whose failures are remembered; beyond that, the one that failed longest ago is evicted.
const MAX_ADDRESSES: usize = 1024;
/// Minimum length of a token: 16 random characters cannot be guessed at the rate that is allowed.
const MIN_BYTES: usize = 16;
/// User name that a browser sends with the token.
const USER: &str = "ops";

/// Token of the page, in both forms in which it may be sent.
pub(crate) struct Token {
    bearer: String,
    basic: String,
    /// `false` if the token is too short: it then grants no access.
    is_long_enough: bool,
    failures: Mutex<HashMap<IpAddr, Failures>>,
    /// It was logged that guesses are not limited.
    unlimited_logged: AtomicBool,
}

struct Failures {
    count: u32,
    first: Instant,
    last: Instant,
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Known,
    Unknown,
    Refused,
}

impl Token {
    pub(crate) fn new(token: &str) -> Self {
        // as read from a file: neither a header nor a password field contains its line break
        let token = token.trim();
        let is_long_enough = token.len() >= MIN_BYTES;
        if !is_long_enough {
            let (bytes, least) = (token.len(), MIN_BYTES);
            tracing::error!(target: "ops_admin", bytes, least, "admin_token_too_short");
        }
        Self {
            is_long_enough,
            bearer: token.to_owned(),
            basic: STANDARD.encode(format!("{USER}:{token}")),
            failures: Mutex::default(),
            unlimited_logged: AtomicBool::new(false),
        }
    }

    fn judge(&self, headers: &HeaderMap, peer: Option<IpAddr>, now: Instant) -> Verdict {
        let is_known = peer.is_some();
        let peer = peer.map(network).filter(|peer| !peer.is_loopback());
        if peer.is_some_and(|peer| self.is_refused(peer, now)) {
            return Verdict::Refused;
        }
        let sent = headers.get(header::AUTHORIZATION);
        if sent.is_some_and(|sent| self.is_sent(sent.as_bytes())) {
            return Verdict::Known;
        }
        // the first request of a browser has no token
        if sent.is_some() {
            match peer {
                Some(peer) => self.failed(peer, now),
                None if is_known => {}
                None => self.log_unlimited_guesses(),
            }
        }
        Verdict::Unknown
    }

    /// Logs once that guessing is not limited.
    fn log_unlimited_guesses(&self) {
        if !self.unlimited_logged.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                target: "ops_admin",
                hint = "serve router.into_make_service_with_connect_info::<SocketAddr>()",
                "admin_peer_unknown"
            );
        }
    }

    fn is_sent(&self, header: &[u8]) -> bool {
        let Some(at) = header.iter().position(|byte| *byte == b' ') else {
            return false;
        };
        if !self.is_long_enough {
            return false;
        }
        let (scheme, sent) = header.split_at(at);
        let sent = sent.trim_ascii();
        if scheme.eq_ignore_ascii_case(b"bearer") {
            self.bearer.as_bytes().ct_eq(sent).into()
        } else {
            scheme.eq_ignore_ascii_case(b"basic") && self.basic.as_bytes().ct_eq(sent).into()
        }
    }

    fn is_refused(&self, peer: IpAddr, now: Instant) -> bool {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.get(&peer).is_some_and(|failures| {
            failures.count >= MAX_FAILURES && now < failures.last + REFUSED_FOR
        })
    }

    fn failed(&self, peer: IpAddr, now: Instant) {
        let mut all = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MAX_ADDRESSES && !all.contains_key(&peer) {
            let oldest = all.iter().min_by_key(|(_, failures)| failures.last);
            if let Some(oldest) = oldest.map(|(address, _)| *address) {
                all.remove(&oldest);
            }
        }
        let failures = all.entry(peer).or_insert(Failures {
            count: 0,
            first: now,
            last: now,
        });
        if now >= failures.first + WINDOW {
            failures.count = 0;
            failures.first = now;
        }
        failures.count += 1;
        failures.last = now;
    }
}

/// Returns the address; for IPv6, its network of 64 bits, in which a client may choose any address.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            let network = address.to_bits() >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        address => address,
    }
}

pub(crate) async fn check(
    State(token): State<Arc<Token>>,
    request: Request,
    next: Next,
) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let peer = peer.map(|ConnectInfo(peer)| peer.ip());
    match token.judge(request.headers(), peer, Instant::now()) {
        Verdict::Known => next.run(request).await,
        Verdict::Unknown => {
            let asked = [(header::WWW_AUTHENTICATE, "Basic realm=\"ops\", Bearer")];
            let why = "a token is required, as Bearer or as the password of the user ops\n";
            (StatusCode::UNAUTHORIZED, asked, why).into_response()
        }
        Verdict::Refused => {
            let later = [(header::RETRY_AFTER, "60")];
            let why = "too many invalid tokens; try again in a minute\n";
            (StatusCode::TOO_MANY_REQUESTS, later, why).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(text: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, text.parse().unwrap());
        headers
    }

    #[test]
    fn the_token_is_known_as_bearer_and_as_the_password_of_ops() {
        let token = Token::new("a-token-of-16-chars");
        let now = Instant::now();
        let basic = STANDARD.encode("ops:a-token-of-16-chars");
        for right in [
            "Bearer a-token-of-16-chars".to_owned(),
            "bearer  a-token-of-16-chars".to_owned(),
            format!("Basic {basic}"),
        ] {
            assert_eq!(
                token.judge(&sent(&right), None, now),
                Verdict::Known,
                "{right}"
            );
        }
        for wrong in [
            "Bearer",
            "Bearer a-token-of-16-char",
            "Basic a-token-of-16-chars",
            "a-token-of-16-chars",
        ] {
            assert_eq!(
                token.judge(&sent(wrong), None, now),
                Verdict::Unknown,
                "{wrong}"
            );
        }
        assert_eq!(token.judge(&HeaderMap::new(), None, now), Verdict::Unknown);
    }

    #[test]
    fn a_token_of_a_file_is_known_without_its_line_break() {
        let token = Token::new(" a-token-of-16-chars\r\n");
        let basic = STANDARD.encode("ops:a-token-of-16-chars");
        for right in ["Bearer a-token-of-16-chars", &format!("Basic {basic}")] {
            let verdict = token.judge(&sent(right), None, Instant::now());
            assert_eq!(verdict, Verdict::Known, "{right}");
        }
        assert!(!Token::new(&format!("short{}", " ".repeat(16))).is_long_enough);
    }

    #[test]
    fn an_address_that_guesses_is_refused_for_a_minute_and_loopback_never_is() {
        let token = Token::new("a-token-of-16-chars");
        let (wrong, right) = (sent("Bearer wrong"), sent("Bearer a-token-of-16-chars"));
        let start = Instant::now();
        let peer = |text: &str| Some(text.parse().unwrap());
        for _ in 0..MAX_FAILURES {
            assert_eq!(
                token.judge(&wrong, peer("2001:db8::1"), start),
                Verdict::Unknown
            );
        }
        // same network, even with the right token
        assert_eq!(
            token.judge(&right, peer("2001:db8::2"), start),
            Verdict::Refused
        );
        assert_eq!(
            token.judge(&right, peer("192.0.2.1"), start),
            Verdict::Known
        );
        let later = start + REFUSED_FOR;
        assert_eq!(
            token.judge(&right, peer("2001:db8::1"), later),
            Verdict::Known
        );
        for loopback in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            for _ in 0..=MAX_FAILURES {
                assert_eq!(token.judge(&wrong, peer(loopback), start), Verdict::Unknown);
            }
        }
    }

    #[test]
    fn guessing_without_peer_addresses_is_logged_once() {
        let token = Token::new("a-token-of-16-chars");
        let is_logged = || token.unlimited_logged.load(Ordering::Relaxed);
        let (wrong, now) = (sent("Bearer wrong"), Instant::now());
        for peer in ["127.0.0.1", "192.0.2.1"] {
            token.judge(&wrong, Some(peer.parse().unwrap()), now);
        }
        token.judge(&sent("Bearer a-token-of-16-chars"), None, now);
        token.judge(&HeaderMap::new(), None, now);
        assert!(!is_logged());
        token.judge(&wrong, None, now);
        assert!(is_logged());
    }

    #[test]
    fn failures_that_are_a_minute_apart_do_not_add_up_and_few_addresses_are_remembered() {
        let token = Token::new("a-token-of-16-chars");
        let wrong = sent("Bearer wrong");
        let start = Instant::now();
        for minute in 0..20 {
            let now = start + Duration::from_secs(61) * minute;
            let peer = Some("192.0.2.1".parse().unwrap());
            assert_eq!(token.judge(&wrong, peer, now), Verdict::Unknown);
        }
        for number in 0..3000_u32 {
            token.judge(
                &wrong,
                Some(std::net::Ipv4Addr::from_bits(number << 8).into()),
                start,
            );
        }
        assert!(token.failures.lock().unwrap().len() <= MAX_ADDRESSES);
    }
}
