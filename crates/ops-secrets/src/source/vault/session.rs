//! Session with a token that is kept alive, and the reads that use it.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::error::ErrorKind;
use crate::source::vault::client::{Answer, Client};
use crate::source::vault::login::{Login, Token, refusal, unauthenticated};
use crate::source::{FetchError, FetchResult};

/// Pause after a failed renewal.
const RETRY_PAUSE: Duration = Duration::from_secs(5);
/// Time for which a refused login is also returned to the callers that wait behind it: otherwise a
/// lookup of many paths would make one failing login each, for which a server may lock the role.
const REFUSED_FOR: Duration = Duration::from_secs(1);
/// Time limit of one renewal.
const RENEWAL_BUDGET: Duration = Duration::from_secs(5);

/// Exclusive access to the token of a session.
type Held<'a> = tokio::sync::MutexGuard<'a, Option<Token>>;

pub(super) struct Session {
    client: Client,
    login: Login,
    /// Locked during a login or a renewal: others wait for its token.
    token: tokio::sync::Mutex<Option<Token>>,
    /// Last refused login, with its time.
    refused: Mutex<Option<(Instant, FetchError)>>,
    /// Renewal task, and the process that started it: a forked child starts its own.
    renewal: Mutex<Option<(u32, JoinHandle<()>)>>,
}

impl Session {
    pub(super) fn new(client: Client, login: Login) -> Self {
        Self {
            client,
            login,
            token: tokio::sync::Mutex::new(None),
            refused: Mutex::new(None),
            renewal: Mutex::new(None),
        }
    }

    /// Reads a secret. After a refusal, reads once more if there is a token other than the refused one.
    pub(super) async fn read(self: &Arc<Self>, path: &str, until: Instant) -> FetchResult {
        let token = self.token(until).await?;
        let answer = self.client.read(&token.text, path, until).await?;
        if !answer.is_refused() {
            return answer.secret();
        }
        match self.replacement_for(&token, &answer, until).await? {
            Some(other) => self.client.read(&other.text, path, until).await?.secret(),
            None => answer.secret(),
        }
    }

    /// Returns the token of the session: renewed if two thirds of its lease have passed, replaced if that fails.
    async fn token(self: &Arc<Self>, until: Instant) -> Result<Token, FetchError> {
        let mut held = self.held(until).await?;
        let now = Instant::now();
        if let Some(token) = held.as_ref().filter(|token| !token.is_due(now)) {
            return Ok(token.clone());
        }
        let renewed = match held.as_ref() {
            Some(token) => token.renewed(&self.client, until).await,
            None => None,
        };
        let token = match renewed {
            Some(token) => token,
            None => match (self.log_in(until).await, held.as_ref()) {
                (Ok(token), _) => token,
                // the rest of the lease is still valid
                (Err(_), Some(old)) if !old.has_ended(now) => return Ok(old.clone()),
                (Err(error), _) => {
                    *held = None;
                    return Err(error);
                }
            },
        };
        Ok(self.hold(held, token))
    }

    /// Returns the token to use instead of a refused one; `None` if the refused one is valid but
    /// may not read the secret. It is kept until there is another: it may read other secrets.
    async fn replacement_for(
        self: &Arc<Self>,
        refused: &Token,
        answer: &Answer,
        until: Instant,
    ) -> Result<Option<Token>, FetchError> {
        let held = self.held(until).await?;
        if let Some(other) = held.as_ref().filter(|token| token.text != refused.text) {
            return Ok(Some(other.clone()));
        }
        let has_other = self.login.has_other_than(&refused.text)?;
        if !has_other && refused.is_known(&self.client, until).await? {
            return Ok(None);
        }
        if !has_other && !self.login.makes_tokens() {
            let what = "the token is expired or unknown, or is not allowed to read the secret or to look itself up";
            return Err(unauthenticated(refusal(what, answer)));
        }
        match self.log_in(until).await {
            Ok(token) => Ok(Some(self.hold(held, token))),
            Err(error) => Err(combined(refusal("the token was refused", answer), error)),
        }
    }

    /// Logs in. Fails immediately if a login was refused less than [`REFUSED_FOR`] ago.
    async fn log_in(&self, until: Instant) -> Result<Token, FetchError> {
        if let Some(error) = self.just_refused() {
            return Err(error);
        }
        let token = self.login.token(&self.client, until).await;
        if let Err(error) = &token
            && self.login.makes_tokens()
            && error.is_refusal()
        {
            *self.refused.lock() = Some((Instant::now(), error.clone()));
        }
        token
    }

    /// Returns the failure of a login that was refused less than [`REFUSED_FOR`] ago.
    fn just_refused(&self) -> Option<FetchError> {
        let refused = self.refused.lock();
        let (at, error) = refused.as_ref()?;
        (at.elapsed() < REFUSED_FOR).then(|| error.clone())
    }

    async fn held(&self, until: Instant) -> Result<Held<'_>, FetchError> {
        let late = |_| FetchError::failed(ErrorKind::Transient, "timed out waiting for a login");
        let held = tokio::time::timeout_at(until.into(), self.token.lock());
        held.await.map_err(late)
    }

    fn hold(self: &Arc<Self>, mut held: Held<'_>, token: Token) -> Token {
        *held = Some(token.clone());
        drop(held);
        if token.renew_at.is_some() {
            self.start_renewal();
        }
        token
    }

    /// Starts the task that renews the token, unless it is running.
    fn start_renewal(self: &Arc<Self>) {
        let process = std::process::id();
        let mut renewal = self.renewal.lock();
        let runs = matches!(&*renewal, Some((of, task)) if *of == process && !task.is_finished());
        if !runs {
            *renewal = Some((process, tokio::spawn(renew(Arc::downgrade(self)))));
        }
    }
}

impl FetchError {
    /// Returns whether the server refused the login.
    fn is_refusal(&self) -> bool {
        matches!(self, Self::Failed { kind, .. } if *kind == ErrorKind::Unauthenticated)
    }
}

/// Login failure, reported after the refusal that triggered the login.
fn combined(refusal: String, login: FetchError) -> FetchError {
    let text = |detail| format!("{refusal}; {detail}");
    match login {
        FetchError::Failed { kind, detail } => FetchError::failed(kind, text(detail)),
        FetchError::Unreachable { kind, detail } => FetchError::unreachable(kind, text(detail)),
        FetchError::Absent => FetchError::Absent,
    }
}

/// Renews the token while the session lives. Ends if the session has no token, or one that does not expire.
async fn renew(session: Weak<Session>) {
    let mut pause = Duration::ZERO;
    loop {
        let due = match session.upgrade() {
            Some(session) => session
                .token
                .lock()
                .await
                .as_ref()
                .and_then(|token| token.renew_at),
            None => return,
        };
        let Some(due) = due else { return };
        tokio::time::sleep_until(due.max(Instant::now() + pause).into()).await;
        let Some(session) = session.upgrade() else {
            return;
        };
        pause = match session.token(Instant::now() + RENEWAL_BUDGET).await {
            Ok(token) if !token.is_due(Instant::now()) => Duration::ZERO,
            _ => RETRY_PAUSE,
        };
    }
}
