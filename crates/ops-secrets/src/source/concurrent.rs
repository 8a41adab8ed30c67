//! Concurrent requests to a store without a bulk call.

use std::time::Instant;

use tokio::task::JoinSet;

use crate::error::ErrorKind;
use crate::source::{FetchError, FetchResult};

/// Maximum number of concurrent requests.
const MAX_REQUESTS: usize = 8;

/// Requests each key; returns the results that arrived before the deadline.
pub(crate) async fn fetch<K, F>(
    keys: impl IntoIterator<Item = K>,
    deadline: Instant,
    request: impl Fn(&K) -> F,
) -> Vec<(K, FetchResult)>
where
    F: Future<Output = FetchResult> + Send + 'static,
{
    let mut keys: Vec<Option<K>> = keys.into_iter().map(Some).collect();
    let (mut sent, mut running, mut answers) = (0, JoinSet::new(), Vec::new());
    loop {
        while running.len() < MAX_REQUESTS
            && let Some(Some(key)) = keys.get(sent)
        {
            let (at, request) = (sent, request(key));
            running.spawn(async move { (at, request.await) });
            sent += 1;
        }
        match tokio::time::timeout_at(deadline.into(), running.join_next()).await {
            Ok(Some(Ok((at, answer)))) => {
                let key = keys.get_mut(at).and_then(Option::take);
                answers.extend(key.map(|key| (key, answer)));
            }
            // a request that panicked has no result; the others keep theirs
            Ok(Some(Err(_))) => {}
            Ok(None) | Err(_) => return answers,
        }
    }
}

/// Creates the failure of a name without a result.
pub(crate) fn late() -> FetchError {
    FetchError::failed(ErrorKind::Transient, "no response within the deadline")
}
