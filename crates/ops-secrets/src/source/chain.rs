//! The remote sources in their order: Parameter Store, Secrets Manager, then a team's own.

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

/// Name of a target at one stage; `None` if the stage is not for it.
type NameOf = fn(&Target) -> Option<&str>;

/// The remote sources in the order in which they are asked.
pub(crate) struct SourceChain {
    stages: Vec<Stage>,
    /// Automatic mode: AWS is passed over if it is not there or refuses the credentials.
    automatic: bool,
    /// Tells who the credentials belong to.
    identity: Option<Arc<dyn Source>>,
}

struct Stage {
    source: Arc<BreakerSource>,
    name_of: NameOf,
    /// A second name at the source of the stage before.
    again: bool,
}

/// One secret's answer from all remote sources together.
pub(crate) struct Answer {
    pub(crate) result: Result<Option<(SourceValue, SecretSource)>, Refusal>,
    pub(crate) tried: Vec<Attempt>,
    /// A source before the one that answered failed, and was passed over.
    pub(crate) passed_over: bool,
    /// Place of the stage that failed.
    failed_stage: usize,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal {
    pub(crate) kind: ErrorKind,
    /// The sources after it are asked all the same: AWS is not there, in automatic mode.
    pub(crate) passes: bool,
    /// The operator was told already: by the breaker, for all names at once.
    pub(crate) reported: bool,
    /// Place among the attempts of the one that failed: sources behind it may have been asked.
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

    /// The source that tells who the credentials belong to; `None` where AWS is not asked.
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
            again: at > 0,
        });
        self.stages.extend(stages);
    }

    /// Returns whether any source would be asked for the target.
    pub(crate) fn knows(&self, target: &Target) -> bool {
        self.stages
            .iter()
            .any(|stage| (stage.name_of)(target).is_some())
    }

    /// The source that is asked first for whatever it knows; `None` if there is none.
    pub(crate) fn first(&self) -> Option<SecretSource> {
        self.stages.first().map(|stage| stage.source.origin)
    }

    /// The source that is asked first for the target; a failure before any answer is that one's.
    pub(crate) fn first_for(&self, target: &Target) -> SecretSource {
        let mut stages = self.stages.iter();
        let first = stages.find(|stage| (stage.name_of)(target).is_some());
        first.map_or(SecretSource::Missing, |stage| stage.source.origin)
    }

    /// Each source with its count of requests and its state.
    pub(crate) fn sources(&self) -> impl Iterator<Item = (SecretSource, u64, Health)> {
        let stages = self.stages.iter().filter(|stage| !stage.again);
        stages.map(|stage| {
            let source = &stage.source;
            (source.origin, source.asked(), source.health())
        })
    }

    /// Number of requests to one source; a bulk counts once.
    pub(crate) fn asked(&self, origin: SecretSource) -> u64 {
        let mut stages = self.stages.iter();
        stages
            .find(|stage| stage.source.origin == origin)
            .map_or(0, |stage| stage.source.asked())
    }

    /// Asks for all targets, stage by stage; only what a stage definitely does not have goes to the next. What is open
    /// when the time is up is late; what was answered by then stays answered.
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
            None => FetchError::failed(ErrorKind::Transient, "no answer for this name"),
            Some(Err(error)) => error.clone(),
            Some(Ok(value)) => match json_field(value, target.field_at(origin)) {
                Ok(value) => {
                    self.pass_over(answer, target);
                    return answer.result = Ok(Some((value, origin)));
                }
                Err(problem) => FetchError::failed(ErrorKind::Malformed, problem),
            },
        };
        let at = answer.tried.len();
        let refusal = |kind, reported| Refusal {
            kind,
            passes: self.automatic && origin.is_aws() && is_not_here(kind),
            reported,
            at,
        };
        if !matches!(error, FetchError::Absent) {
            answer.failed_stage = place;
        }
        let outcome = match error {
            FetchError::Absent => "not there".to_owned(),
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

    /// Notes the refusal before this answer, and tells of it if nobody was told.
    fn pass_over(&self, answer: &mut Answer, target: &Target) {
        let Err(refusal) = &answer.result else { return };
        answer.passed_over = true;
        let stage = &self.stages[answer.failed_stage];
        let attempt = answer.tried.get(refusal.at).filter(|_| !refusal.reported);
        if let (Some(attempt), Some(name)) = (attempt, (stage.name_of)(target)) {
            stage.source.pass_over(refusal.kind, name, attempt);
        }
    }
}

fn is_not_here(kind: ErrorKind) -> bool {
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
            passed_over: false,
            failed_stage: 0,
        }
    }

    /// Answer of a lookup that never was.
    pub(crate) fn abandoned(source: SecretSource, outcome: String) -> Self {
        Self {
            result: Err(Refusal {
                kind: ErrorKind::Transient,
                passes: false,
                reported: false,
                at: 0,
            }),
            tried: vec![Attempt { source, outcome }],
            passed_over: false,
            failed_stage: 0,
        }
    }

    fn is_open(&self) -> bool {
        match &self.result {
            Ok(found) => found.is_none(),
            Err(refusal) => refusal.passes,
        }
    }

    fn late(&mut self, source: SecretSource, name: &str, deadline: Duration) {
        self.result = Err(Refusal {
            kind: ErrorKind::Transient,
            passes: false,
            reported: false,
            at: self.tried.len(),
        });
        self.note(source, name, format!("no answer within {deadline:?}"));
    }

    fn note(&mut self, source: SecretSource, name: &str, outcome: String) {
        let outcome = format!("{name}: {outcome}");
        self.tried.push(Attempt { source, outcome });
    }
}
