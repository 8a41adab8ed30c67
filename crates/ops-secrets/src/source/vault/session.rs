//! A token that is kept alive, and reads with it.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::error::ErrorKind;
use crate::source::vault::client::Client;
use crate::source::vault::login::{Login, Token};
use crate::source::{FetchError, FetchResult};

/// Pause after a renewal that failed.
const RETRY_PAUSE: Duration = Duration::from_secs(5);
/// Time for one renewal.
const RENEWAL_BUDGET: Duration = Duration::from_secs(5);

pub(super) struct Session {
    client: Client,
    login: Login,
    /// Held while a login or a renewal is under way: others wait for its token.
    token: tokio::sync::Mutex<Option<Token>>,
    /// Process that started the renewals, and their task: a forked child starts its own.
    keeper: Mutex<Option<(u32, JoinHandle<()>)>>,
}

impl Session {
    pub(super) fn new(client: Client, login: Login) -> Self {
        Self {
            client,
            login,
            token: tokio::sync::Mutex::new(None),
            keeper: Mutex::new(None),
        }
    }

    /// Reads a secret. A token that is refused is replaced once if a login may bring another one.
    pub(super) async fn read(self: &Arc<Self>, path: &str, until: Instant) -> FetchResult {
        let token = self.token(until).await?;
        let answer = self.client.read(&token.text, path, until).await?;
        if !answer.is_refused() {
            return answer.secret();
        }
        self.forget(&token).await;
        let again = self.token(until).await?;
        if !self.login.can_change() && again.text == token.text {
            // the token is good, and may not read this
            return answer.secret();
        }
        self.client.read(&again.text, path, until).await?.secret()
    }

    /// The token of the session: renewed if two thirds of its lease are over, replaced if that fails.
    async fn token(self: &Arc<Self>, until: Instant) -> Result<Token, FetchError> {
        let late = |_| FetchError::failed(ErrorKind::Transient, "no login within the deadline");
        let held = tokio::time::timeout_at(until.into(), self.token.lock());
        let mut held = held.await.map_err(late)?;
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
            None => match (self.login.token(&self.client, until).await, held.take()) {
                (Ok(token), _) => token,
                // only a refusal says that it is worth nothing: else what is left of the lease still counts
                (Err(error), Some(old)) if !is_refusal(&error) && !old.has_ended(now) => {
                    *held = Some(old.clone());
                    return Ok(old);
                }
                (Err(error), _) => return Err(error),
            },
        };
        *held = Some(token.clone());
        drop(held);
        if token.renew_at.is_some() {
            self.keep();
        }
        Ok(token)
    }

    async fn forget(&self, refused: &Token) {
        let mut held = self.token.lock().await;
        if held
            .as_ref()
            .is_some_and(|token| token.text == refused.text)
        {
            *held = None;
        }
    }

    /// Starts the task that renews the token, unless it runs.
    fn keep(self: &Arc<Self>) {
        let process = std::process::id();
        let mut keeper = self.keeper.lock();
        let runs = matches!(&*keeper, Some((of, task)) if *of == process && !task.is_finished());
        if !runs {
            *keeper = Some((process, tokio::spawn(renew(Arc::downgrade(self)))));
        }
    }
}

fn is_refusal(error: &FetchError) -> bool {
    let kind = match error {
        FetchError::Failed { kind, .. } => kind,
        _ => return false,
    };
    matches!(kind, ErrorKind::Unauthenticated | ErrorKind::AccessDenied)
}

/// Renews the token for as long as the session lives and has one.
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
