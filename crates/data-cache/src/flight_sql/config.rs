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
    /// Settings for the server at `flight-sql://HOST:PORT`, or `flight-sql+tls://HOST:PORT`: no login, 300 s for a query, 256 MiB
    /// for a result, two retries, ten seconds for a connection.
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

    /// Sends what `token` returns as a bearer token. It is called on a thread that may block: before the first query, and again
    /// each time the server refuses the token that it returned last. A panic or an error of it fails the query.
    ///
    /// `principal` names for whom the token stands. It is a part of the engine's identity: results of one principal are not
    /// served to another.
    #[must_use]
    pub fn bearer<F>(mut self, principal: impl Into<String>, token: F) -> Self
    where
        F: Fn() -> Result<String, String> + Send + Sync + 'static,
    {
        self.login = Login::bearer(principal.into(), Arc::new(token));
        self
    }

    /// Logs in as `user` by the handshake of Flight, with what `password` returns, and sends the token that the server
    /// hands out. If the server hands out none, it sends user and password with each call. `password` is called as
    /// [`bearer`](Self::bearer)'s function is.
    #[must_use]
    pub fn basic<F>(mut self, user: impl Into<String>, password: F) -> Self
    where
        F: Fn() -> Result<String, String> + Send + Sync + 'static,
    {
        self.login = Login::basic(user.into(), Arc::new(password));
        self
    }

    /// Trusts these certificates (PEM) and no others. Without them those of the system are trusted.
    #[must_use]
    pub fn certificate_authority(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.authority_pem = Some(pem.into());
        self
    }

    /// Sets the name that the server's certificate has to bear, in place of the host in the address.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Sends a header with each call, such as `database` or `schema`. It is a part of the engine's identity, and no place for
    /// secrets.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the time from the start of a query to the last byte of its result, retries included. A query that is over it fails,
    /// and the server is asked to stop.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Sets the time for opening a connection.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets the size of a result, as it is received or as it takes memory, whichever is more. A query with a larger one fails while it
    /// is received: at most this much, and one message of the server, is in memory for each query that runs.
    #[must_use]
    pub fn max_result_bytes(mut self, bytes: usize) -> Self {
        self.max_result_bytes = bytes;
        self
    }

    /// Sets how often a query is sent again after the connection failed before anything of its result was received. The server may
    /// have run it already: only statements that read are sent at all.
    #[must_use]
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Reads every result from the configured address. Without it, a result that the server offers at other addresses only is an
    /// error: the login is sent nowhere else.
    #[must_use]
    pub fn ignore_locations(mut self) -> Self {
        self.ignores_locations = true;
        self
    }

    /// Names the server's dialect, so that spellings that it reads alike share a result. It stays the query's to ask for
    /// caching.
    #[must_use]
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self
    }

    /// Sets a function that names the state of the data a statement reads: the id of a snapshot, the version of a table. Results
    /// of another state are not served, and a result during whose run the state changed is not kept. `None` means that the
    /// state is not known: the result is not cached. It is called on a thread that may block, before and after a run and for
    /// each hit. A panic counts as `None`.
    #[must_use]
    pub fn state(mut self, state: impl Fn(&str) -> Option<State> + Send + Sync + 'static) -> Self {
        self.state = Some(Arc::new(state));
        self
    }

    /// The name of the database as this login and these headers show it.
    pub(super) fn identity(&self) -> Result<String, Error> {
        let address = Address::parse(&self.address)?;
        let (kind, principal) = self.login.principal();
        let of = (
            address.authority,
            address.is_tls,
            kind,
            principal,
            &self.headers,
        );
        // as a list in quotes: no name runs into the next one
        Ok(format!("flight-sql {of:?}"))
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
