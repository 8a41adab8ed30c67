//! Settings of a client.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::address::Address;
use super::login::Login;
use crate::engine::State;
use crate::error::Error;
use crate::sql::Dialect;

pub(super) type StateFn = Arc<dyn Fn(&str) -> Option<State> + Send + Sync>;

/// Settings of a [`FlightSql`](crate::FlightSql) client.
#[derive(Clone)]
pub struct FlightSqlConfig {
    pub(super) address: String,
    pub(super) login: Login,
    pub(super) authority_pem: Option<Vec<u8>>,
    pub(super) server_name: Option<String>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) deadline: Duration,
    pub(super) connect_timeout: Duration,
    pub(super) max_result_bytes: usize,
    pub(super) retries: u32,
    pub(super) ignores_locations: bool,
    pub(super) dialect: Dialect,
    pub(super) state: Option<StateFn>,
}

impl FlightSqlConfig {
    /// Creates settings for the server at `flight-sql://HOST:PORT` or `flight-sql+tls://HOST:PORT`: no login, 300 s for
    /// a query, 256 MiB for a result, two retries, 10 s for a connection.
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            login: Login::None,
            authority_pem: None,
            server_name: None,
            headers: Vec::new(),
            deadline: Duration::from_secs(300),
            connect_timeout: Duration::from_secs(10),
            max_result_bytes: 256 << 20,
            retries: 2,
            ignores_locations: false,
            dialect: Dialect::Unknown,
            state: None,
        }
    }

    /// Sends the string returned by `token` as a bearer token. `token` is called on a thread that may
    /// block: before the first query, and again each time the server refuses the last token. If it
    /// panics or returns an error, the query fails.
    ///
    /// `principal` names the subject of the token. It is part of the engine's
    /// identity: results of one principal are not served to another.
    #[must_use]
    pub fn bearer<F>(mut self, principal: impl Into<String>, token: F) -> Self
    where
        F: Fn() -> Result<String, String> + Send + Sync + 'static,
    {
        self.login = Login::bearer(principal.into(), Arc::new(token));
        self
    }

    /// Logs in as `user` by the Flight handshake, with the password returned by `password`, and sends the token that
    /// the server issues. If the server issues none, user and password are sent with each call. `password` is called
    /// like the function of [`bearer`](Self::bearer).
    #[must_use]
    pub fn basic<F>(mut self, user: impl Into<String>, password: F) -> Self
    where
        F: Fn() -> Result<String, String> + Send + Sync + 'static,
    {
        self.login = Login::basic(user.into(), Arc::new(password));
        self
    }

    /// Trusts only these certificates (PEM). By default, those of the system are trusted.
    #[must_use]
    pub fn certificate_authority(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.authority_pem = Some(pem.into());
        self
    }

    /// Sets the name that the server's certificate must contain, instead of the host in the address.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Sends a header with each call, such as `database` or `schema`.
    /// It is part of the engine's identity: do not use it for secrets.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the maximum time from the start of a query to the last byte of its result, retries included. A query that
    /// exceeds it fails, and the server is asked to stop.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Sets the timeout for opening a connection.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets the maximum size of a result, as received or in memory, whichever is larger. A query with a larger result
    /// fails while it is received: at most this size and one message of the server are in memory per running query.
    #[must_use]
    pub fn max_result_bytes(mut self, bytes: usize) -> Self {
        self.max_result_bytes = bytes;
        self
    }

    /// Sets how often a query is retried after the connection failed before anything of its result was received. The
    /// server may have run it already: only statements that read are sent at all.
    #[must_use]
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Reads every result from the configured address. Otherwise a result that the server offers only at other
    /// addresses is an error, since the login is not sent elsewhere.
    #[must_use]
    pub fn ignore_locations(mut self) -> Self {
        self.ignores_locations = true;
        self
    }

    /// Sets the server's dialect, so that spellings that it reads
    /// alike share a result. Queries still have to request caching.
    #[must_use]
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self
    }

    /// Sets a function that returns the state of the data that a statement reads: a snapshot id, a table version.
    /// Results of another state are not served, and a result is not stored if the state changed during its run. `None`
    /// means that the state is unknown: the result is not cached. The function is called on a thread that may block,
    /// before and after a run and for each hit. A panic counts as `None`.
    #[must_use]
    pub fn state(mut self, state: impl Fn(&str) -> Option<State> + Send + Sync + 'static) -> Self {
        self.state = Some(Arc::new(state));
        self
    }

    /// Returns the identity of the database as seen with this login and these headers.
    pub(super) fn identity(&self) -> Result<String, Error> {
        let address = Address::parse(&self.address)?;
        let (kind, principal) = self.login.principal();
        let parts = (
            address.authority,
            address.is_tls,
            kind,
            principal,
            &self.headers,
        );
        // quoted as a list, so that adjacent names cannot be confused
        Ok(format!("flight-sql {parts:?}"))
    }
}

impl fmt::Debug for FlightSqlConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlightSqlConfig")
            .field("identity", &self.identity().ok())
            .field("deadline", &self.deadline)
            .field("max_result_bytes", &self.max_result_bytes)
            .field("retries", &self.retries)
            .finish_non_exhaustive()
    }
}
