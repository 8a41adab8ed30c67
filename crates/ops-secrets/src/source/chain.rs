//! Remote sources in their order: Parameter Store, Secrets Manager, then custom sources.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cache::clock::Clock;
use crate::error::ErrorKind;
use crate::source::breaker_source::BreakerSource;
use crate::source::json_field::json_field;
use crate::source::target::Target;
use crate::source::{FetchError, FetchResult, Health, Source, SourceValue};
use crate::{Attempt, SecretSource};

/// Function that returns the name of a target at one stage; `None` if the stage does not apply to it.
type NameOf = fn(&Target) -> Option<&str>;

/// Remote sources, in the order in which they are queried.
pub(crate) struct SourceChain {
    stages: Vec<Stage>,
    /// Automatic mode: AWS is skipped if it is unavailable or refuses the credentials.
    automatic: bool,
    /// Source of the identity of the credentials.
    identity: Option<Arc<dyn Source>>,
}

struct Stage {
    source: Arc<BreakerSource>,
    name_of: NameOf,
    /// Second name at the source of the stage before.
    is_second_name: bool,
}

/// Result of all remote sources together for one secret.
pub(crate) struct Answer {
    pub(crate) result: Result<Option<(SourceValue, SecretSource)>, Refusal>,
    pub(crate) tried: Vec<Attempt>,
    /// A source before the one with the value failed and was skipped.
    pub(crate) skipped_failure: bool,
    /// Index of the stage that failed.
    failed_stage: usize,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal {
    pub(crate) kind: ErrorKind,
    /// The sources after it are queried despite the failure: in
    /// automatic mode, AWS is unavailable or refuses the credentials.
    pub(crate) falls_back: bool,
    /// Already logged, by the breaker for all names at once.
    pub(crate) reported: bool,
    /// Index of the failed attempt: sources after it may have been queried.
    pub(crate) at: usize,
}

impl SourceChain {
    pub(crate) fn new(automatic: bool) -> Self {
        Self {
            stages: Vec::new(),
            automatic,
            identity: None,
        }
    }

    #[cfg(feature = "aws")]
    pub(crate) fn set_identity(&mut self, source: Arc<dyn Source>) {
        self.identity = Some(source);
    }

    /// Returns the source of the identity of the credentials; `None` if AWS is not queried.
    pub(crate) fn identity(&self) -> Option<Arc<dyn Source>> {
        self.identity.clone()
    }

    pub(crate) fn add_ssm(&mut self, source: Arc<dyn Source>) {
        self.add(SecretSource::AwsSsm, source, &[Target::ssm_name]);
    }

    pub(crate) fn add_secrets_manager(&mut self, source: Arc<dyn Source>) {
        let names: [NameOf; 2] = [Target::sm_name, Target::sm_name_as_written];
        self.add(SecretSource::AwsSecretsManager, source, &names);
    }

    pub(crate) fn add_custom(&mut self, name: &'static str, source: Arc<dyn Source>) {
        self.add(SecretSource::Custom(name), source, &[Target::own_path]);
    }

    fn add(&mut self, origin: SecretSource, source: Arc<dyn Source>, names: &[NameOf]) {
        let source = Arc::new(BreakerSource::new(origin, source));
        let stages = names.iter().enumerate().map(|(at, name_of)| Stage {
            source: Arc::clone(&source),
            name_of: *name_of,
            is_second_name: at > 0,
        });
        self.stages.extend(stages);
    }

    /// Returns whether any source would be queried for the target.
    pub(crate) fn knows(&self, target: &Target) -> bool {
        self.stages
            .iter()
            .any(|stage| (stage.name_of)(target).is_some())
    }

    /// Returns the first source; `None` if there is none.
    pub(crate) fn first(&self) -> Option<SecretSource> {
        self.stages.first().map(|stage| stage.source.origin)
    }

    /// Returns the source that is queried first for the target; a failure before any result is attributed to it.
    pub(crate) fn first_for(&self, target: &Target) -> SecretSource {
        let mut stages = self.stages.iter();
        let first = stages.find(|stage| (stage.name_of)(target).is_some());
        first.map_or(SecretSource::Missing, |stage| stage.source.origin)
    }

    /// Returns each source with its number of requests and its state.
    pub(crate) fn sources(&self) -> impl Iterator<Item = (SecretSource, u64, Health)> {
        let stages = self.stages.iter().filter(|stage| !stage.is_second_name);
        stages.map(|stage| {
            let source = &stage.source;
            (source.origin, source.requests(), source.health())
        })
    }

    /// Returns the number of requests to one source; a bulk request counts once.
    pub(crate) fn requests(&self, origin: SecretSource) -> u64 {
        let mut stages = self.stages.iter();
        stages
            .find(|stage| stage.source.origin == origin)
            .map_or(0, |stage| stage.source.requests())
    }

    /// Queries all targets, stage by stage; only what a stage definitely does not have goes to
    /// the next. Targets that are open at the deadline fail as late; earlier results are kept.
    pub(crate) async fn resolve(
        &self,
        targets: &[&Target],
        clock: &Clock,
        deadline: Duration,
    ) -> Vec<Answer> {
        let until = Instant::now() + deadline;
        let mut answers: Vec<Answer> = targets.iter().map(|_| Answer::open()).collect();
        for (place, stage) in self.stages.iter().enumerate() {
            let open = targets.iter().zip(&answers);
            let open = open.filter(|(_, answer)| answer.is_open());
            let names: BTreeSet<&str> = open
                .filter_map(|(target, _)| (stage.name_of)(target))
                .collect();
            let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
            if names.is_empty() {
                continue;
            }
            let in_time = Instant::now() < until;
            let found = match in_time {
                true => stage.source.ask(&names, clock, until).await,
                false => None,
            };
            for (target, answer) in targets.iter().zip(&mut answers) {
                if let Some(name) = (stage.name_of)(target).filter(|_| answer.is_open()) {
                    match &found {
                        Some(found) => self.take(answer, place, target, found.get(name), name),
                        None => answer.late(stage.source.origin, name, deadline),
                    }
                }
            }
        }
        answers
    }

    fn take(
        &self,
        answer: &mut Answer,
        place: usize,
        target: &Target,
        found: Option<&FetchResult>,
        name: &str,
    ) {
        let origin = self.stages[place].source.origin;
        let error = match found {
            None => FetchError::failed(
                ErrorKind::Transient,
                "the source returned no result for this name",
            ),
            Some(Err(error)) => error.clone(),
            Some(Ok(value)) => match json_field(value, target.field_at(origin)) {
                Ok(value) => {
                    self.record_skipped(answer, target);
                    return answer.result = Ok(Some((value, origin)));
                }
                Err(problem) => FetchError::failed(ErrorKind::Malformed, problem),
            },
        };
        let at = answer.tried.len();
        let refusal = |kind, reported| Refusal {
            kind,
            falls_back: self.automatic && origin.is_aws() && allows_fallback(kind),
            reported,
            at,
        };
        if !matches!(error, FetchError::Absent) {
            answer.failed_stage = place;
        }
        let outcome = match error {
            FetchError::Absent => "not found".to_owned(),
            FetchError::Failed { kind, detail } => {
                answer.result = Err(refusal(kind, false));
                detail
            }
            FetchError::Unreachable { kind, detail } => {
                answer.result = Err(refusal(kind, true));
                detail
            }
        };
        answer.note(origin, name, outcome);
    }

    /// Records that the failure before this value was skipped, and logs it if it was not logged yet.
    fn record_skipped(&self, answer: &mut Answer, target: &Target) {
        let Err(refusal) = &answer.result else { return };
        answer.skipped_failure = true;
        let stage = &self.stages[answer.failed_stage];
        let attempt = answer.tried.get(refusal.at).filter(|_| !refusal.reported);
        if let (Some(attempt), Some(name)) = (attempt, (stage.name_of)(target)) {
            stage.source.log_skipped(refusal.kind, name, attempt);
        }
    }
}

fn allows_fallback(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Unavailable | ErrorKind::Unauthenticated)
}

impl Target {
    fn field_at(&self, origin: SecretSource) -> Option<&str> {
        let aws = self.aws.as_ref().filter(|_| origin.is_aws());
        aws?.field.as_deref()
    }
}

impl Answer {
    fn open() -> Self {
        Self {
            result: Ok(None),
            tried: Vec::new(),
            skipped_failure: false,
            failed_stage: 0,
        }
    }

    /// Creates the result of a lookup that did not complete.
    pub(crate) fn abandoned(source: SecretSource, outcome: String) -> Self {
        Self {
            result: Err(Refusal {
                kind: ErrorKind::Transient,
                falls_back: false,
                reported: false,
                at: 0,
            }),
            tried: vec![Attempt { source, outcome }],
            skipped_failure: false,
            failed_stage: 0,
        }
    }

    fn is_open(&self) -> bool {
        match &self.result {
            Ok(found) => found.is_none(),
            Err(refusal) => refusal.falls_back,
        }
    }

    fn late(&mut self, source: SecretSource, name: &str, deadline: Duration) {
        self.result = Err(Refusal {
            kind: ErrorKind::Transient,
            falls_back: false,
            reported: false,
            at: self.tried.len(),
        });
        self.note(source, name, format!("no response within {deadline:?}"));
    }

    fn note(&mut self, source: SecretSource, name: &str, outcome: String) {
        let outcome = format!("{name}: {outcome}");
        self.tried.push(Attempt { source, outcome });
    }
}
