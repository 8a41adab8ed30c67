//! Login methods, and the lifetime of tokens.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use crate::error::ErrorKind;
use crate::source::FetchError;
use crate::source::file::MAX_SECRET_FILE_BYTES;
use crate::source::trusted_file::{self, Refused};
use crate::source::vault::client::{Answer, Client};

/// Path at which Kubernetes mounts the token of a pod's service account.
pub(super) const SERVICE_ACCOUNT_TOKEN: &str =
    "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// Path at which a token looks up its own lease.
const LOOKUP: &str = "auth/token/lookup-self";

#[derive(Clone)]
pub(super) enum Login {
    None,
    Token(Zeroizing<String>),
    TokenFile(PathBuf),
    AppRole {
        mount: String,
        role_id: String,
        secret_id: Zeroizing<String>,
    },
    Kubernetes {
        mount: String,
        role: String,
        token: PathBuf,
    },
}

/// Token and its lease.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) text: Zeroizing<String>,
    renewable: bool,
    /// Time at which two thirds of the lease have passed; `None` for a lease that does not expire.
    pub(super) renew_at: Option<Instant>,
    ends_at: Option<Instant>,
}

#[derive(serde::Deserialize)]
struct LoggedIn {
    auth: Auth,
}

#[derive(serde::Deserialize)]
struct Auth {
    client_token: String,
    lease_duration: u64,
    renewable: bool,
}

#[derive(serde::Deserialize)]
struct LookedUp {
    data: Lease,
}

#[derive(serde::Deserialize)]
struct Lease {
    ttl: u64,
    #[serde(default)]
    renewable: bool,
}

impl Login {
    /// Obtains a token. For a given token, the lease is looked up if that is permitted.
    pub(super) async fn token(&self, client: &Client, until: Instant) -> Result<Token, FetchError> {
        let (path, body) = match self {
            Self::None => {
                return Err(unauthenticated(
                    "no token or login method is configured".to_owned(),
                ));
            }
            Self::Token(token) => return looked_up(client, token.clone(), until).await,
            Self::TokenFile(path) => return looked_up(client, file(path)?, until).await,
            Self::AppRole {
                mount,
                role_id,
                secret_id,
            } => (
                format!("auth/{mount}/login"),
                json([("role_id", role_id), ("secret_id", secret_id)]),
            ),
            Self::Kubernetes { mount, role, token } => (
                format!("auth/{mount}/login"),
                json([("role", role), ("jwt", &*file(token)?)]),
            ),
        };
        let asked = Instant::now();
        let answer = client.post(None, &path, body, until).await?;
        if answer.is_refused_login() {
            return Err(unauthenticated(refusal(
                &format!("the login at {path} was refused"),
                &answer,
            )));
        }
        Ok(Token::of(answer.json::<LoggedIn>()?.auth, asked))
    }

    /// Returns whether the token file holds a token other than this one.
    pub(super) fn has_other_than(&self, token: &str) -> Result<bool, FetchError> {
        match self {
            Self::TokenFile(path) => Ok(**file(path)? != *token),
            _ => Ok(false),
        }
    }

    /// Returns whether each login creates a new token.
    pub(super) fn makes_tokens(&self) -> bool {
        matches!(self, Self::AppRole { .. } | Self::Kubernetes { .. })
    }
}

impl Token {
    fn of(auth: Auth, asked: Instant) -> Self {
        Self::new(
            Zeroizing::new(auth.client_token),
            auth.lease_duration,
            auth.renewable,
            asked,
        )
    }

    fn new(text: Zeroizing<String>, seconds: u64, renewable: bool, asked: Instant) -> Self {
        // a lease of zero does not expire
        let after = |millis: u64| (seconds > 0).then(|| asked + Duration::from_millis(millis));
        Self {
            text,
            renewable,
            renew_at: after(seconds.saturating_mul(1000) / 3 * 2),
            ends_at: after(seconds.saturating_mul(1000)),
        }
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.renew_at.is_some_and(|at| at <= now)
    }

    pub(super) fn has_ended(&self, now: Instant) -> bool {
        self.ends_at.is_some_and(|at| at <= now)
    }

    /// Returns whether the server knows the token, as far as can be determined: not every token may look itself up.
    pub(super) async fn is_known(
        &self,
        client: &Client,
        until: Instant,
    ) -> Result<bool, FetchError> {
        let answer = client.get(&self.text, LOOKUP, until).await?;
        Ok(!answer.is_refused())
    }

    /// Returns the same token with a longer lease; `None` if it cannot be renewed.
    pub(super) async fn renewed(&self, client: &Client, until: Instant) -> Option<Self> {
        if !self.renewable {
            return None;
        }
        let asked = Instant::now();
        let (path, body) = ("auth/token/renew-self", Zeroizing::new("{}".to_owned()));
        let answer = client
            .post(Some(&self.text), path, body, until)
            .await
            .ok()?;
        Some(Self::of(answer.json::<LoggedIn>().ok()?.auth, asked))
    }
}

/// Returns a given token, with its lease if it may look itself up.
async fn looked_up(
    client: &Client,
    text: Zeroizing<String>,
    until: Instant,
) -> Result<Token, FetchError> {
    let asked = Instant::now();
    let answer = client.get(&text, LOOKUP, until).await?;
    if answer.is_refused() {
        // without the policy `default` the token may not look itself
        // up, but may still read secrets; its lease is unknown
        return Ok(Token::new(text, 0, false, asked));
    }
    let Lease { ttl, renewable } = answer.json::<LookedUp>()?.data;
    Ok(Token::new(text, ttl, renewable, asked))
}

/// Formats a refusal.
pub(super) fn refusal(what: &str, answer: &Answer) -> String {
    let status = answer.status.as_u16();
    match answer.message() {
        Some(message) => format!("{what}: http status {status}: {message}"),
        None => format!("{what}: http status {status}"),
    }
}

pub(super) fn unauthenticated(detail: String) -> FetchError {
    FetchError::failed(ErrorKind::Unauthenticated, detail)
}

/// Reads a token from a file that other users cannot write.
fn file(path: &Path) -> Result<Zeroizing<String>, FetchError> {
    let problem = |why: &str| unauthenticated(format!("{}: {why}", path.display()));
    let read =
        trusted_file::read(path, MAX_SECRET_FILE_BYTES).map_err(|refused| match refused {
            Refused::NotFound => problem("no such file"),
            Refused::Problem(why) => problem(&why),
            Refused::Failed(why) => {
                let detail = format!("{}: {why}", path.display());
                FetchError::failed(ErrorKind::Transient, detail)
            }
        })?;
    match std::str::from_utf8(&read.bytes).map(str::trim) {
        Ok("") => Err(problem("the file contains no token")),
        Ok(token) => Ok(Zeroizing::new(token.to_owned())),
        Err(_) => Err(problem("not UTF-8")),
    }
}

fn json<const N: usize>(pairs: [(&str, &str); N]) -> Zeroizing<String> {
    let object: std::collections::BTreeMap<_, _> = pairs.into_iter().collect();
    Zeroizing::new(serde_json::to_string(&object).unwrap_or_default())
}
