//! Outcomes of the last queries.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use ops_layer::cache::{Error as CacheError, ErrorKind};
use ops_layer::{Finding, Severity};

/// Number of consecutive queries without a response from the server.
#[derive(Debug)]
pub(super) struct Outcomes {
    address: String,
    login: String,
    unanswered: Mutex<Option<Unanswered>>,
}

#[derive(Debug)]
struct Unanswered {
    count: u64,
    last: Instant,
    cause: String,
}

impl Outcomes {
    /// Creates a record without failures; `login` describes how the platform logs in to the server.
    pub(super) fn new(address: &str, login: String) -> Self {
        Self {
            address: address.to_owned(),
            login,
            unanswered: Mutex::default(),
        }
    }

    /// Records the outcome of a query. A server that rejects a statement counts as reachable.
    pub(super) fn record(&self, error: Option<&CacheError>) {
        let mut unanswered = self.lock();
        *unanswered = match error {
            Some(error) if error.kind() == ErrorKind::Unavailable => Some(Unanswered {
                count: unanswered.as_ref().map_or(0, |before| before.count) + 1,
                last: Instant::now(),
                cause: error.to_string(),
            }),
            _ => None,
        };
    }

    /// Returns a finding if the last query got no response.
    pub(super) fn finding(&self) -> Option<Finding> {
        let unanswered = self.lock();
        let Unanswered { count, last, cause } = unanswered.as_ref()?;
        let queries = match count {
            1 => "a query".to_owned(),
            count => format!("{count} queries in a row"),
        };
        let seen = format!(
            "{} failed to answer {queries}, the last {} s ago ({}): {cause}",
            self.address,
            last.elapsed().as_secs(),
            self.login
        );
        let finding = Finding::new("engine_unreachable", Severity::Critical)
            .seen(seen)
            .means("Flights and airports are served from the cache, at most 11 minutes old; requests that it cannot serve return 503.")
            .action("Start the server, fix the network path to it, or set the token that it accepts. The next query that it answers clears this finding.")
            .runbook("engine-unreachable")
            .route("GET /api/flights/summary");
        Some(finding)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Unanswered>> {
        self.unanswered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_does_not_answer_is_found_until_it_answers() {
        let login = "without credentials".to_owned();
        let outcomes = Outcomes::new("flight-sql://cluster:32010", login);
        assert!(outcomes.finding().is_none());
        let gone = CacheError::unavailable("no connection");
        outcomes.record(Some(&gone));
        outcomes.record(Some(&gone));
        let seen = outcomes.finding().map(|finding| finding.seen);
        let expected = "flight-sql://cluster:32010 failed to answer 2 queries in a row, the last 0 s ago (without credentials): no connection";
        assert_eq!(seen.as_deref(), Some(expected));
        // a rejected statement: the server is reachable
        outcomes.record(Some(&CacheError::engine("no such table")));
        assert!(outcomes.finding().is_none());
        outcomes.record(Some(&gone));
        outcomes.record(None);
        assert!(outcomes.finding().is_none());
    }
}
