//! The remote sources in their order: Parameter Store, then Secrets Manager; in bulk, each with a breaker.
#![cfg_attr(
    not(any(feature = "aws", feature = "testing")),
    expect(dead_code, reason = "there is no remote source")
)]

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use zeroize::Zeroizing;

use crate::catalogue::Target;
use crate::clock::Clock;
use crate::error::ErrorKind;
use crate::{Attempt, SecretSource};

/// A source that could not be reached is left alone for this long.
pub const BREAKER_OPEN: Duration = Duration::from_secs(60);
/// How long one probe of a broken source keeps the others away.
const PROBE: Duration = Duration::from_secs(5);

/// How a target is called at one stage; `None` where the stage is not for it.
type NameOf = fn(&Target) -> Option<&str>;

/// What a source says about one name.
pub(crate) type Fetched = Result<Zeroizing<String>, Fault>;

#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// The source answered, and has no such thing.
    Absent,
    /// Anything else, in words that hold no value.
    Failed(ErrorKind, String),
}

pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One remote source. Answers in the order of `names`.
pub(crate) trait Backend: Send + Sync {
    fn fetch(&self, names: Vec<String>) -> BoxFuture<'_, Vec<Fetched>>;
}

/// One secret's answer from all remote sources together.
pub(crate) struct Answer {
    pub(crate) result: Result<Option<(Zeroizing<String>, SecretSource)>, ErrorKind>,
    pub(crate) tried: Vec<Attempt>,
}

pub(crate) struct Remote {
    pub(crate) ssm: Option<Guarded>,
    pub(crate) secrets_manager: Option<Guarded>,
}

pub(crate) struct Guarded {
    source: SecretSource,
    backend: Arc<dyn Backend>,
    breaker: Breaker,
    pub(crate) asked: AtomicU64,
}

impl Remote {
    pub(crate) fn is_empty(&self) -> bool {
        self.ssm.is_none() && self.secrets_manager.is_none()
    }

    /// Asks for all targets, stage by stage; only what a stage definitely does not have goes to the next.
    pub(crate) async fn resolve(&self, targets: &[Target], clock: &Clock) -> Vec<Answer> {
        let mut answers: Vec<Answer> = targets
            .iter()
            .map(|_| Answer {
                result: Ok(None),
                tried: Vec::new(),
            })
            .collect();
        let stages: [(&Option<Guarded>, NameOf); 3] = [
            (&self.ssm, Target::ssm_name),
            (&self.secrets_manager, Target::sm_name),
            (&self.secrets_manager, Target::sm_name_as_written),
        ];
        for (source, name_of) in stages {
            if let Some(source) = source {
                source.stage(targets, name_of, &mut answers, clock).await;
            }
        }
        answers
    }
}

impl Guarded {
    pub(crate) fn new(source: SecretSource, backend: Arc<dyn Backend>) -> Self {
        Self {
            source,
            backend,
            breaker: Breaker::default(),
            asked: AtomicU64::new(0),
        }
    }

    async fn stage(
        &self,
        targets: &[Target],
        name_of: NameOf,
        answers: &mut [Answer],
        clock: &Clock,
    ) {
        let open =
            |answer: &Answer| matches!(answer.result, Ok(None) | Err(ErrorKind::Unavailable));
        let names: BTreeSet<&str> = targets
            .iter()
            .zip(&*answers)
            .filter(|(_, answer)| open(answer))
            .filter_map(|(t, _)| name_of(t))
            .collect();
        if names.is_empty() {
            return;
        }
        let found = self
            .ask(names.into_iter().map(str::to_owned).collect(), clock)
            .await;
        for (target, answer) in targets
            .iter()
            .zip(answers)
            .filter(|(_, answer)| open(answer))
        {
            if let Some(name) = name_of(target)
                && let Some(fetched) = found.get(name)
            {
                answer.take(self.source, name, fetched, target.member.as_deref());
            }
        }
    }

    async fn ask(&self, names: Vec<String>, clock: &Clock) -> HashMap<String, Fetched> {
        if !self.breaker.admits(clock.now()) {
            let broken = || {
                Err(Fault::Failed(
                    ErrorKind::Unavailable,
                    "not reachable a moment ago".into(),
                ))
            };
            return names.into_iter().map(|name| (name, broken())).collect();
        }
        self.asked.fetch_add(1, Ordering::Relaxed);
        let fetched = self.backend.fetch(names.clone()).await;
        let unreachable =
            |fetched: &Fetched| matches!(fetched, Err(Fault::Failed(ErrorKind::Unavailable, _)));
        self.breaker
            .record(fetched.iter().any(unreachable), clock.now());
        names.into_iter().zip(fetched).collect()
    }
}

impl Answer {
    fn take(&mut self, source: SecretSource, name: &str, fetched: &Fetched, member: Option<&str>) {
        let result = match fetched {
            Ok(text) => select(text, member)
                .map_err(|problem| Fault::Failed(ErrorKind::Malformed, problem.into())),
            Err(fault) => Err(fault.clone()),
        };
        let outcome = match result {
            Ok(text) => return self.result = Ok(Some((text, source))),
            Err(Fault::Absent) => "not there".to_owned(),
            Err(Fault::Failed(kind, detail)) => {
                self.result = Err(kind);
                detail
            }
        };
        self.tried.push(Attempt {
            source,
            outcome: format!("{name}: {outcome}"),
        });
    }
}

/// The member of a JSON text that a dotted path names, or the whole text.
fn select(
    text: &Zeroizing<String>,
    member: Option<&str>,
) -> Result<Zeroizing<String>, &'static str> {
    if text.contains('\0') {
        return Err("the value has a NUL character in it");
    }
    let Some(member) = member else {
        return Ok(text.clone());
    };
    let json: serde_json::Value =
        serde_json::from_str(text).map_err(|_| "the value is not JSON")?;
    let step = |at: &serde_json::Value, key: &str| at.get(key).cloned();
    let found = json
        .get(member)
        .cloned()
        .or_else(|| member.split('.').try_fold(json, |at, key| step(&at, key)));
    match found {
        Some(serde_json::Value::String(text)) => Ok(Zeroizing::new(text)),
        Some(scalar @ (serde_json::Value::Number(_) | serde_json::Value::Bool(_))) => {
            Ok(Zeroizing::new(scalar.to_string()))
        }
        Some(_) => Err("the JSON member is not a scalar"),
        None => Err("the JSON has no such member"),
    }
}

/// Open until a moment (milliseconds, 0 = closed); then one probe at a time.
#[derive(Default)]
struct Breaker(AtomicU64);

impl Breaker {
    fn admits(&self, now: Duration) -> bool {
        let (until, now_ms) = (self.0.load(Ordering::Acquire), now.as_millis() as u64);
        let probe = now_ms + PROBE.as_millis() as u64;
        until == 0
            || (now_ms >= until
                && self
                    .0
                    .compare_exchange(until, probe, Ordering::AcqRel, Ordering::Acquire)
                    .is_ok())
    }

    fn record(&self, unreachable: bool, now: Duration) {
        let until = if unreachable {
            (now + BREAKER_OPEN).as_millis() as u64
        } else {
            0
        };
        self.0.store(until, Ordering::Release);
    }
}
