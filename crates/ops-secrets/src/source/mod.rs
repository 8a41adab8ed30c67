//! The remote sources in their order: Parameter Store, then Secrets Manager; in bulk, each with a breaker.
#![cfg_attr(
    not(any(feature = "aws", feature = "testing")),
    expect(dead_code, reason = "there is no remote source")
)]

pub(crate) mod aws;
pub(crate) mod dotenv;
pub(crate) mod env;
pub(crate) mod json_field;

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use zeroize::Zeroizing;

use crate::cache::clock::Clock;
use crate::error::ErrorKind;
use crate::setup::catalog::Target;
use crate::source::json_field::select;
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
    /// The source answered, or began to: in words that hold no value.
    Failed(ErrorKind, String),
    /// Nobody was reached, so that no other name needs to be tried either.
    Unreachable(ErrorKind, String),
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
    /// Somebody else told the operator already: the breaker, for all names at once.
    pub(crate) told: bool,
}

pub(crate) struct Remote {
    pub(crate) ssm: Option<Guarded>,
    pub(crate) secrets_manager: Option<Guarded>,
    /// Automatic mode: a source that is not there is passed over.
    pub(crate) automatic: bool,
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

    /// Asks for all targets, stage by stage; only what a stage definitely does not have goes to the next. What is open
    /// when the time is up is late; what was answered by then stays answered.
    pub(crate) async fn resolve(
        &self,
        targets: &[Target],
        clock: &Clock,
        deadline: Duration,
    ) -> Vec<Answer> {
        let until = tokio::time::Instant::now() + deadline;
        let mut answers: Vec<Answer> = targets.iter().map(|_| Answer::open()).collect();
        let stages: [(&Option<Guarded>, NameOf); 3] = [
            (&self.ssm, Target::ssm_name),
            (&self.secrets_manager, Target::sm_name),
            (&self.secrets_manager, Target::sm_name_as_written),
        ];
        for (source, name_of) in stages {
            let Some(source) = source else { continue };
            let names = self.open_names(targets, &answers, name_of);
            if names.is_empty() {
                continue;
            }
            let found = tokio::time::timeout_at(until, source.ask(&names, clock)).await;
            for (target, answer) in targets.iter().zip(&mut answers) {
                let Some(name) = name_of(target).filter(|_| self.is_open(answer)) else {
                    continue;
                };
                match &found {
                    Ok(found) => answer.take(source.source, target, name, found.get(name)),
                    Err(_) => answer.late(source.source, name, deadline),
                }
            }
        }
        answers
    }

    fn open_names(&self, targets: &[Target], answers: &[Answer], name_of: NameOf) -> Vec<String> {
        let pairs = targets.iter().zip(answers);
        let open = pairs.filter(|(_, answer)| self.is_open(answer));
        let names: BTreeSet<&str> = open.filter_map(|(target, _)| name_of(target)).collect();
        names.into_iter().map(str::to_owned).collect()
    }

    fn is_open(&self, answer: &Answer) -> bool {
        match answer.result {
            Ok(None) => true,
            Err(ErrorKind::Unavailable) => self.automatic,
            _ => false,
        }
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

    async fn ask(&self, names: &[String], clock: &Clock) -> HashMap<String, Fetched> {
        if let Some((kind, why)) = self.breaker.refuses(clock.now()) {
            let fault = || Fault::Unreachable(kind, format!("{why}, a moment ago"));
            return names
                .iter()
                .map(|name| (name.clone(), Err(fault())))
                .collect();
        }
        self.asked.fetch_add(1, Ordering::Relaxed);
        let fetched = self.backend.fetch(names.to_vec()).await;
        let unreachable = fetched.iter().find_map(|fetched| match fetched {
            Err(Fault::Unreachable(kind, why)) => Some((*kind, why.as_str())),
            _ => None,
        });
        self.breaker.record(unreachable, clock.now(), self.source);
        names.iter().cloned().zip(fetched).collect()
    }
}

impl Answer {
    fn open() -> Self {
        Self {
            result: Ok(None),
            tried: Vec::new(),
            told: false,
        }
    }

    /// What was to be asked and never was.
    pub(crate) fn abandoned(source: SecretSource) -> Self {
        let outcome = "the lookup was abandoned".to_owned();
        Self {
            result: Err(ErrorKind::Transient),
            tried: vec![Attempt { source, outcome }],
            told: false,
        }
    }

    fn take(&mut self, source: SecretSource, target: &Target, name: &str, found: Option<&Fetched>) {
        let member = target.member.as_deref();
        let fault = match found {
            None => Fault::Failed(ErrorKind::Transient, "no answer for this name".into()),
            Some(Err(fault)) => fault.clone(),
            Some(Ok(text)) => match select(text, member) {
                Ok(text) => return self.result = Ok(Some((text, source))),
                Err(problem) => Fault::Failed(ErrorKind::Malformed, problem.into()),
            },
        };
        let outcome = match fault {
            Fault::Absent => "not there".to_owned(),
            Fault::Failed(kind, detail) => {
                (self.result, self.told) = (Err(kind), false);
                detail
            }
            Fault::Unreachable(kind, detail) => {
                (self.result, self.told) = (Err(kind), true);
                detail
            }
        };
        self.tell(source, name, outcome);
    }

    fn late(&mut self, source: SecretSource, name: &str, deadline: Duration) {
        self.result = Err(ErrorKind::Transient);
        self.told = false;
        self.tell(source, name, format!("no answer within {deadline:?}"));
    }

    fn tell(&mut self, source: SecretSource, name: &str, outcome: String) {
        let outcome = format!("{name}: {outcome}");
        self.tried.push(Attempt { source, outcome });
    }
}

/// Open until a moment; then one probe at a time.
#[derive(Default)]
struct Breaker(Mutex<Option<Open>>);

struct Open {
    until: Duration,
    kind: ErrorKind,
    why: String,
}

impl Breaker {
    /// What it was opened for, unless the caller may ask.
    fn refuses(&self, now: Duration) -> Option<(ErrorKind, String)> {
        let mut open = self.0.lock();
        let open = open.as_mut()?;
        if now < open.until {
            return Some((open.kind, open.why.clone()));
        }
        open.until = now + PROBE;
        None
    }

    fn record(&self, unreachable: Option<(ErrorKind, &str)>, now: Duration, source: SecretSource) {
        let mut open = self.0.lock();
        match unreachable {
            Some((kind, why)) => {
                if open.is_none() {
                    let seconds = BREAKER_OPEN.as_secs();
                    tracing::warn!(target: "ops_secrets", %source, kind = kind.as_str(), why, seconds, "secret_source_unreachable");
                }
                *open = Some(Open {
                    until: now + BREAKER_OPEN,
                    kind,
                    why: why.to_owned(),
                });
            }
            None => {
                if open.take().is_some() {
                    tracing::info!(target: "ops_secrets", %source, "secret_source_reachable_again");
                }
            }
        }
    }
}
