//! A pool of connections whose password may change at any time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use ops_secrets::{Secret, SecretError, Secrets};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

/// Pause before a refused password is requested again: it may be stored shortly after it was changed.
const PAUSE: Duration = Duration::from_millis(50);
/// Time for a new password to arrive.
const PATIENCE: Duration = Duration::from_secs(10);

/// Opens connections, each with the current password.
pub(crate) struct Logins {
    pub(crate) secrets: Secrets,
    /// Host, database and user, without a password.
    pub(crate) server: tokio_postgres::Config,
    /// Number of queries after which a connection is replaced.
    pub(crate) queries: u64,
    /// Number of passwords that the server refused.
    pub(crate) refused: AtomicU64,
}

/// Connection, and the password with which it was opened.
pub(crate) struct Connection {
    pub(crate) client: Client,
    pub(crate) password: Secret,
    used: u64,
}

/// Reason why there is no connection.
#[derive(Debug)]
pub(crate) enum LoginError {
    Secret(SecretError),
    Server(tokio_postgres::Error),
}

impl std::fmt::Display for LoginError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Secret(error) => write!(f, "cannot get the password: {error}"),
            Self::Server(error) => write!(f, "login failed: {error}"),
        }
    }
}

impl std::error::Error for LoginError {}

impl Logins {
    async fn connect(&self, password: &Secret) -> Result<Client, tokio_postgres::Error> {
        let mut server = self.server.clone();
        let (client, connection) = server.password(password.expose()).connect(NoTls).await?;
        // the user of the client notices its end
        tokio::spawn(connection);
        Ok(client)
    }
}

impl Manager for Logins {
    type Type = Connection;
    type Error = LoginError;

    async fn create(&self) -> Result<Connection, LoginError> {
        let start = Instant::now();
        let mut password = self
            .secrets
            .get("db_password")
            .await
            .map_err(LoginError::Secret)?;
        loop {
            let error = match self.connect(&password).await {
                Ok(client) => {
                    return Ok(Connection {
                        client,
                        password,
                        used: 0,
                    });
                }
                Err(error) => error,
            };
            let is_refused = error.code() == Some(&SqlState::INVALID_PASSWORD);
            if !is_refused || start.elapsed() > PATIENCE {
                return Err(LoginError::Server(error));
            }
            self.refused.fetch_add(1, Ordering::Relaxed);
            let next = self.secrets.refresh_after_failure("db_password").await;
            let next = next.map_err(LoginError::Secret)?;
            if next == password {
                tokio::time::sleep(PAUSE).await;
            }
            password = next;
        }
    }

    async fn recycle(&self, connection: &mut Connection, _: &Metrics) -> RecycleResult<LoginError> {
        connection.used += 1;
        if connection.client.is_closed() || connection.used >= self.queries {
            return Err(RecycleError::message(
                "the connection is closed or has reached its query limit",
            ));
        }
        Ok(())
    }
}
