//! Several requests to a store that knows no bulk call.

use std::time::Instant;

use tokio::task::JoinSet;

use crate::error::ErrorKind;
use crate::source::{FetchError, FetchResult};

/// Requests under way at a time.
const MAX_REQUESTS: usize = 8;

/// Asks for each key; returns the answers that came before the deadline.
pub(crate) async fn ask<K, F>(
    keys: impl IntoIterator<Item = K>,
    deadline: Instant,
    request: impl Fn(&K) -> F,
) -> Vec<(K, FetchResult)>
where
    F: Future<Output = FetchResult> + Send + 'static,
{
    let mut keys: Vec<Option<K>> = keys.into_iter().map(Some).collect();
    let (mut sent, mut under_way, mut answers) = (0, JoinSet::new(), Vec::new());
    loop {
        while under_way.len() < MAX_REQUESTS
            && let Some(Some(key)) = keys.get(sent)
        {
            let (at, request) = (sent, request(key));
            under_way.spawn(async move { (at, request.await) });
            sent += 1;
        }
        match tokio::time::timeout_at(deadline.into(), under_way.join_next()).await {
            Ok(Some(Ok((at, answer)))) => {
                let key = keys.get_mut(at).and_then(Option::take);
                answers.extend(key.map(|key| (key, answer)));
            }
            // one that panicked has no answer; the others have theirs
            Ok(Some(Err(_))) => {}
            Ok(None) | Err(_) => return answers,
        }
    }
}

/// Failure of a name that has no answer.
pub(crate) fn late() -> FetchError {
    FetchError::failed(ErrorKind::Transient, "no answer within the deadline")
}
