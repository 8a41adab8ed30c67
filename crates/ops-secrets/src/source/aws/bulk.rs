//! Bulk requests with a separate result for each name.
//!
//! The error of a bulk request does not show which of its names failed, so the bulk is split until
//! each name has its own result. Some of its names are requested together; if they succeed, a bad
//! one is among the others, which are then split without being requested together again. A name
//! that the error mentions is requested singly, and the others together: the error is a hint,
//! never the result. Requests that were throttled or interrupted are repeated while there is time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::error::ErrorKind;
use crate::source::aws::classify::{Refused, Retry};
use crate::source::aws::pace::{MAX_IN_FLIGHT, Pace};
use crate::source::{FetchError, FetchResult, SourceValue};

/// Maximum size of a failed bulk that is requested name by name.
const SMALL: usize = 3;
/// Number of throttled attempts after which a bulk is split: one of its names may be the cause.
const BULK_TRIES: u32 = 4;
/// Number of failures probably caused by the service, without a single result, after which it is not queried further.
const OUTAGE: u32 = 4;
/// First pause before a request is repeated; each one doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// Maximum pause before a request is repeated.
const MAX_PAUSE: Duration = Duration::from_millis(250);
/// Time before the deadline at which requests end, so that their results still count.
const MARGIN: Duration = Duration::from_millis(20);

/// Calls that both services offer.
pub(crate) trait BulkApi: Send + Sync + 'static {
    /// Maximum number of names in one bulk call.
    const SIZE: usize;

    fn fetch_one(&self, name: &str) -> impl Future<Output = Result<SourceValue, Refused>> + Send;

    /// Returns `true` for a name that the bulk call does not support.
    fn is_single(&self, name: &str) -> bool;

    /// Returns the results of the names in the response. Names that it does not mention are requested singly.
    fn fetch_many(
        &self,
        names: &[String],
    ) -> impl Future<Output = Result<HashMap<String, FetchResult>, Refused>> + Send;
}

/// Looks up all names by `deadline`, with at most [`MAX_IN_FLIGHT`] requests at a time.
pub(crate) async fn look_up<A: BulkApi>(
    api: Arc<A>,
    pace: Arc<Pace>,
    names: &[String],
    deadline: Instant,
) -> Vec<FetchResult> {
    let mut work = Work::new(&*api, names);
    let until = deadline.checked_sub(MARGIN).unwrap_or(deadline);
    let mut running = JoinSet::new();
    loop {
        while running.len() < MAX_IN_FLIGHT
            && let Some(part) = work.next()
        {
            let (api, pace) = (Arc::clone(&api), Arc::clone(&pace));
            running.spawn(async move {
                let reply = ask(&*api, &pace, &part.names, until).await;
                (part, reply)
            });
        }
        match tokio::time::timeout_at(deadline.into(), running.join_next()).await {
            Ok(Some(Ok((part, reply)))) => work.take(part, reply),
            Ok(Some(Err(_))) => {} // this part panicked; its names have no result
            Ok(None) | Err(_) => break,
        }
    }
    work.finish(names)
}

/// Names that are left to request, and the results so far.
struct Work {
    /// Taken from the end: halves come before other bulks.
    parts: Vec<Part>,
    answers: HashMap<String, FetchResult>,
    groups: Vec<Group>,
    /// The bulk call itself is denied: all names are requested singly.
    singly: bool,
    throttled: bool,
    outage: u32,
    /// Result of every name that is left.
    stopped: Option<FetchError>,
}

struct Part {
    names: Vec<String>,
    /// Group of a denied bulk whose names are requested singly.
    group: Option<usize>,
    /// Other names of a bulk that failed as a whole: if `names` succeed, one of these is bad.
    suspects: Vec<String>,
}

impl Part {
    fn new(names: &[String], group: Option<usize>) -> Self {
        Self {
            names: names.to_vec(),
            group,
            suspects: Vec::new(),
        }
    }
}

/// Names of a denied bulk that are requested singly: if none of them is denied, the bulk call itself is.
struct Group {
    left: usize,
    denied: bool,
}

/// Results of one part, or the reason why there are none.
type Reply = Result<HashMap<String, FetchResult>, Refused>;

impl Work {
    fn new<A: BulkApi>(api: &A, names: &[String]) -> Self {
        let names = names.iter().cloned();
        let (single, together): (Vec<_>, Vec<_>) = names.partition(|name| api.is_single(name));
        let parts = together.chunks(A::SIZE).chain(single.chunks(1));
        let mut parts: Vec<_> = parts.map(|names| Part::new(names, None)).collect();
        parts.reverse();
        Self {
            parts,
            answers: HashMap::new(),
            groups: Vec::new(),
            singly: false,
            throttled: false,
            outage: 0,
            stopped: None,
        }
    }

    fn next(&mut self) -> Option<Part> {
        if self.stopped.is_some() {
            return None;
        }
        let part = self.parts.pop()?;
        if self.singly && part.names.len() > 1 {
            self.split(part.names, 1, None);
            self.split(part.suspects, 1, None);
            return self.parts.pop();
        }
        Some(part)
    }

    fn take(&mut self, part: Part, reply: Reply) {
        match reply {
            Ok(answers) => {
                self.outage = 0;
                let left = part
                    .names
                    .iter()
                    .filter(|name| !answers.contains_key(*name));
                let left: Vec<String> = left.cloned().collect();
                self.settle(part.group, false);
                self.answers.extend(answers);
                self.split(left, 1, None);
                if !part.suspects.is_empty() {
                    self.narrow(part.suspects);
                }
            }
            Err(refused) => self.refused(part, refused),
        }
    }

    fn refused(&mut self, part: Part, refused: Refused) {
        let denied = matches!(&refused.error, FetchError::Failed { kind, .. } if *kind == ErrorKind::AccessDenied);
        self.settle(part.group, denied);
        self.throttled |= refused.retry == Retry::Later;
        match &refused.error {
            FetchError::Unreachable { .. } => self.stopped = Some(refused.error.clone()),
            FetchError::Failed {
                kind: ErrorKind::Transient,
                ..
            } if self.answers.is_empty() => {
                self.outage += 1;
                if self.outage >= OUTAGE {
                    self.stopped = Some(refused.error.clone());
                }
            }
            _ => {}
        }
        let is_about_all = matches!(
            &refused.error,
            FetchError::Failed {
                kind: ErrorKind::Unauthenticated,
                ..
            } | FetchError::Unreachable { .. }
        );
        if !part.suspects.is_empty() {
            // nothing is known about these names yet
            self.parts.push(Part::new(&part.suspects, None));
        }
        if part.names.len() == 1 || is_about_all {
            let answers = part.names.into_iter();
            self.answers
                .extend(answers.map(|name| (name, Err(refused.error.clone()))));
        } else if refused.retry != Retry::No {
            // the service is as likely the cause as one of the names
            let half = part.names.len().div_ceil(2);
            self.split(part.names, half, None);
        } else if let Some(at) = named_by(&refused.error, &part.names) {
            let mut others = part.names;
            let named = others.swap_remove(at);
            let group = denied.then(|| self.group(1));
            self.parts.push(Part::new(&others, None));
            self.parts.push(Part::new(&[named], group));
        } else if part.names.len() <= SMALL {
            let group = denied.then(|| self.group(part.names.len()));
            self.split(part.names, 1, group);
        } else {
            self.narrow(part.names);
        }
    }

    /// Splits names, one of which is bad.
    fn narrow(&mut self, mut names: Vec<String>) {
        if names.len() <= SMALL {
            return self.split(names, 1, None);
        }
        // a third: if these names succeed, the bad one is among the
        // others, which are then split without a request for all of them
        let suspects = names.split_off(names.len().div_ceil(3).max(2));
        self.parts.push(Part {
            names,
            group: None,
            suspects,
        });
    }

    fn group(&mut self, left: usize) -> usize {
        self.groups.push(Group {
            left,
            denied: false,
        });
        self.groups.len() - 1
    }

    fn split(&mut self, names: Vec<String>, size: usize, group: Option<usize>) {
        let parts = names.chunks(size).map(|names| Part::new(names, group));
        self.parts.extend(parts);
    }

    fn settle(&mut self, group: Option<usize>, denied: bool) {
        if let Some(group) = group.and_then(|group| self.groups.get_mut(group)) {
            group.left = group.left.saturating_sub(1);
            group.denied |= denied;
            self.singly |= group.left == 0 && !group.denied;
        }
    }

    fn finish(mut self, names: &[String]) -> Vec<FetchResult> {
        let left = self.stopped.unwrap_or_else(|| match self.throttled {
            true => FetchError::failed(ErrorKind::Throttled, "throttled until the deadline"),
            false => FetchError::failed(ErrorKind::Transient, "no response within the deadline"),
        });
        let answer = |name: &String| {
            self.answers
                .remove(name)
                .unwrap_or_else(|| Err(left.clone()))
        };
        names.iter().map(answer).collect()
    }
}

/// Returns the index of the name that the error mentions, if it is exactly one: in a denial, AWS names the resource.
fn named_by(error: &FetchError, names: &[String]) -> Option<usize> {
    let FetchError::Failed { detail, .. } = error else {
        return None;
    };
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"/_.-".contains(&byte);
    let spoken_of = |name: &String| {
        detail.match_indices(name.as_str()).any(|(at, name)| {
            let behind = detail.as_bytes().get(at + name.len());
            behind.is_none_or(|byte| !is_name(*byte) || detail[at + name.len()..].starts_with(". "))
        })
    };
    let mut spoken = names.iter().enumerate().filter(|(_, name)| spoken_of(name));
    let (at, _) = spoken.next()?;
    spoken.next().is_none().then_some(at)
}

/// Sends one request, and repeats it while that may help and there is time.
async fn ask<A: BulkApi>(api: &A, pace: &Pace, names: &[String], until: Instant) -> Reply {
    let (mut tries, mut last) = (0, None);
    loop {
        let turn = async {
            let turn = pace.turn().await;
            let sent = turn.as_ref().map_or_else(Instant::now, |turn| turn.sent);
            (sent, once(api, names).await)
        };
        let (sent, reply) = match tokio::time::timeout_at(until.into(), turn).await {
            Ok(asked) => asked,
            Err(_) => return Err(last.unwrap_or_else(Refused::late)),
        };
        let refused = match reply {
            Ok(answers) => {
                pace.answered();
                return Ok(answers);
            }
            Err(refused) => refused,
        };
        tries += 1;
        if refused.retry == Retry::Later {
            pace.throttled(sent);
        }
        let pause = (FIRST_PAUSE * 2_u32.pow(tries.min(6) - 1)).min(MAX_PAUSE);
        let retry = match refused.retry {
            Retry::No => false,
            Retry::Once => tries < 2,
            Retry::Later => names.len() == 1 || tries < BULK_TRIES,
        };
        if !retry || Instant::now() + pause >= until {
            return Err(refused);
        }
        last = Some(refused);
        tokio::time::sleep(pause).await;
    }
}

async fn once<A: BulkApi>(api: &A, names: &[String]) -> Reply {
    match names {
        [name] => match api.fetch_one(name).await {
            Ok(value) => Ok(HashMap::from([(name.clone(), Ok(value))])),
            Err(Refused {
                error: FetchError::Absent,
                ..
            }) => Ok(HashMap::from([(name.clone(), Err(FetchError::Absent))])),
            Err(refused) => Err(refused),
        },
        _ => api.fetch_many(names).await,
    }
}
