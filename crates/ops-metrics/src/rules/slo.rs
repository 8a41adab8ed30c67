use crate::error::Error;
use crate::rules::pattern::Pattern;
use crate::rules::query;
use crate::series::definition::Kind;
use crate::series::family::Family;

/// A label and the pattern that its values match.
pub(super) type Matcher = (&'static str, &'static str);

/// Name and text of an annotation of alerts.
pub(super) type Annotation = (&'static str, &'static str);

/// An objective for a metric; [`slo!`](crate::slo) declares it.
#[derive(Clone, Copy, Debug)]
pub struct Slo {
    name: &'static str,
    text: &'static str,
    percent: f64,
    family: fn() -> &'static Family,
    fails: &'static [Matcher],
    also: Option<fn() -> &'static Family>,
    within: Option<f64>,
    ignores: &'static [Matcher],
    annotations: &'static [Annotation],
}

impl Slo {
    #[doc(hidden)]
    #[must_use]
    pub const fn new(
        name: &'static str,
        text: &'static str,
        percent: f64,
        family: fn() -> &'static Family,
    ) -> Self {
        Self {
            name,
            text,
            percent,
            family,
            fails: &[],
            also: None,
            within: None,
            ignores: &[],
            annotations: &[],
        }
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn fails(mut self, fails: &'static [Matcher]) -> Self {
        self.fails = fails;
        self
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn also(mut self, also: fn() -> &'static Family) -> Self {
        self.also = Some(also);
        self
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn within(mut self, seconds: f64) -> Self {
        self.within = Some(seconds);
        self
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn ignores(mut self, ignores: &'static [Matcher]) -> Self {
        self.ignores = ignores;
        self
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn annotations(mut self, annotations: &'static [Annotation]) -> Self {
        self.annotations = annotations;
        self
    }

    /// Checks the declaration; `slo!` calls it at compile time.
    #[doc(hidden)]
    #[must_use]
    pub const fn check(self) -> Self {
        assert!(
            self.percent >= 50.0 && self.percent <= 99.999,
            "an objective must be between 50.0 and 99.999 percent"
        );
        assert!(
            self.fails.is_empty() == self.within.is_some(),
            "an objective must have either `fails` with label patterns or `within` with seconds"
        );
        let mut at = 0;
        let name = self.name.as_bytes();
        while at < name.len() {
            let fits =
                name[at].is_ascii_uppercase() || (at > 0 && name[at].is_ascii_alphanumeric());
            assert!(
                fits,
                "the name of an objective must match [A-Z][A-Za-z0-9]*"
            );
            at += 1;
        }
        let mut at = 0;
        while at < self.annotations.len() {
            let name = self.annotations[at].0;
            assert!(
                !is_same(name, "summary") && !is_same(name, "description"),
                "an annotation must not be named summary or description: alerts already have these"
            );
            let mut before = 0;
            while before < at {
                assert!(
                    !is_same(name, self.annotations[before].0),
                    "an objective must not have an annotation twice"
                );
                before += 1;
            }
            at += 1;
        }
        self
    }

    /// Returns the name, with which the names of its alerts begin.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the percentage of events that must be good.
    pub fn percent(&self) -> f64 {
        self.percent
    }
}

/// Returns true for equal texts, at compile time too.
const fn is_same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

/// A checked objective, with labels as Prometheus stores them.
#[derive(Debug)]
pub(super) struct Objective {
    pub(super) name: &'static str,
    /// `api_availability`
    pub(super) snake: String,
    /// Text without the period at its end.
    pub(super) text: &'static str,
    pub(super) percent: f64,
    pub(super) family: &'static Family,
    pub(super) bad: Bad,
    pub(super) ignores: Vec<LabelPattern>,
    pub(super) annotations: &'static [Annotation],
}

/// Events that spend the budget.
#[derive(Debug)]
pub(super) enum Bad {
    /// Events of the metric with these labels, and all events of a second metric.
    Failed(Vec<LabelPattern>, Option<&'static Family>),
    /// Events in buckets above this bound.
    SlowerThan(f64),
}

#[derive(Debug)]
pub(super) struct LabelPattern {
    /// Name as Prometheus stores it.
    pub(super) label: &'static str,
    pub(super) text: &'static str,
    pub(super) pattern: Pattern,
}

impl LabelPattern {
    /// Returns values that no pattern matches: of the known values,
    /// if there are any, otherwise first some that almost match.
    pub(super) fn others(patterns: &[&Self], known: &[&str]) -> Vec<String> {
        let mut values: Vec<String> = known.iter().map(|value| (*value).to_owned()).collect();
        if known.is_empty() {
            let matched: Vec<String> = patterns
                .iter()
                .flat_map(|one| one.pattern.examples())
                .collect();
            values.extend(matched.iter().map(|value| format!("{value}s")));
            values.extend(matched.iter().map(|value| format!("x{value}")));
            values.extend(["some", "none", "0"].map(str::to_owned));
        }
        values.retain(|value| !patterns.iter().any(|one| one.pattern.matches(value)));
        values
    }
}

impl Objective {
    /// # Errors
    ///
    /// [`Error::Slo`] if the metric has the wrong type, lacks a label, or has no bucket that ends at the threshold.
    pub(super) fn of(slo: &Slo) -> Result<Self, Error> {
        let family = (slo.family)();
        let definition = family.definition();
        let wrong = |why: String| Err(Error::Slo(format!("{}: {why}", slo.name)));
        let counts =
            |family: &Family| matches!(family.definition().kind, Kind::Counter | Kind::Histogram);
        let bad = match slo.within {
            Some(_) if definition.kind != Kind::Histogram => {
                return wrong(format!(
                    "{} is not a histogram, which `within` requires",
                    definition.name
                ));
            }
            Some(seconds) if !family.buckets().contains(&seconds) => {
                return wrong(format!(
                    "{} has no bucket that ends at {seconds}; expected one of {:?}",
                    definition.name,
                    family.buckets()
                ));
            }
            Some(seconds) => Bad::SlowerThan(seconds),
            None => {
                let also = slo.also.map(|also| also());
                if let Some(other) = [Some(family), also]
                    .into_iter()
                    .flatten()
                    .find(|one| !counts(one))
                {
                    return wrong(format!(
                        "{} is neither a counter nor a histogram, which `fails` requires",
                        other.definition().name
                    ));
                }
                if also.is_some_and(|also| std::ptr::eq(also, family)) {
                    return wrong(format!(
                        "{} is repeated after `and`; expected another metric that counts other failures",
                        definition.name
                    ));
                }
                let labels: Vec<_> = slo.fails.iter().map(|(label, _)| *label).collect();
                let mut numbered = labels.iter().enumerate();
                if let Some((_, label)) =
                    numbered.find(|(at, label)| labels.iter().take(*at).any(|one| one == *label))
                {
                    return wrong(format!(
                        "`fails` has the label {label} twice; expected one pattern, with | between values"
                    ));
                }
                Bad::Failed(patterns(slo, family, slo.fails)?, also)
            }
        };
        if let Bad::Failed(_, Some(also)) = &bad {
            patterns(slo, also, slo.ignores)?;
        }
        Ok(Self {
            name: slo.name,
            snake: snake(slo.name),
            text: slo.text.trim().trim_end_matches('.'),
            percent: slo.percent,
            family,
            bad,
            ignores: patterns(slo, family, slo.ignores)?,
            annotations: slo.annotations,
        })
    }

    /// Returns the share of events that may be bad, rounded to eight decimals.
    pub(super) fn budget(&self) -> f64 {
        let text = format!("{:.8}", (100.0 - self.percent) / 100.0);
        text.parse().unwrap_or_default()
    }
}

/// Returns the suffix of the series that count a metric's events.
pub(super) fn counted(family: &Family) -> &'static str {
    match family.definition().kind {
        Kind::Histogram => "_count",
        _ => "",
    }
}

fn patterns(slo: &Slo, family: &Family, matchers: &[Matcher]) -> Result<Vec<LabelPattern>, Error> {
    let definition = family.definition();
    let of_slo = |why: String| Error::Slo(format!("{}: {why}", slo.name));
    let one = |(label, text): &Matcher| {
        let Some(known) = definition.labels.iter().find(|known| known.name == *label) else {
            let labels: Vec<&str> = definition.labels.iter().map(|label| label.name).collect();
            let accepted = labels.join(", ");
            let metric = definition.name;
            return Err(of_slo(format!(
                "{metric} has no label {label}; its labels are: {accepted}"
            )));
        };
        let pattern = Pattern::parse(text)?;
        let matched = known.values.iter().any(|value| pattern.matches(value));
        if !known.values.is_empty() && !matched {
            let (metric, values) = (definition.name, known.values);
            return Err(of_slo(format!(
                "{text:?} matches no value of {label} of {metric}; its values are: {values:?}"
            )));
        }
        let one = LabelPattern {
            label: query::stored_name(family, known),
            text,
            pattern,
        };
        if LabelPattern::others(&[&one], known.values).is_empty() {
            let metric = definition.name;
            return Err(of_slo(format!(
                "{text:?} matches every value of {label} of {metric}"
            )));
        }
        Ok(one)
    };
    matchers.iter().map(one).collect()
}

fn snake(name: &str) -> String {
    let mut snake = String::new();
    for (at, char) in name.char_indices() {
        if at > 0 && char.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(char.to_ascii_lowercase());
    }
    snake
}

/// Declares objectives for metrics of [`define!`](crate::define), for [`rules`](crate::rules()).
///
/// Each objective names its metric by the function, which must be in scope. A counter, or a histogram as the
/// counter of its observations, `fails` with label values that match a pattern, and may have a second metric
/// of failures after `and`; observations of a histogram are good if they are `within` the bound of one of
/// its buckets. Label values in `ignores` are not counted. Entries of `annotations`, such as `runbook_url`,
/// are added to each of the alerts; a duplicate name, and `summary` and `description`, which alerts already
/// have, do not compile. The text of an annotation may contain `{{ $labels.job }}`, the only label of these
/// alerts; the test cases support no other template. A pattern is values separated by `|`, with `.` for a
/// character. An objective below 50 % or above 99.999 % does not compile.
///
/// ```
/// ops_metrics::define! {
///     /// Jobs done.
///     counter jobs_total { queue: &'static str, outcome: &'static str = ["done", "failed", "lost"] }
///     /// Time a job took.
///     histogram job_time = "job_seconds" { queue: &'static str } buckets [0.1, 1.0, 10.0]
/// }
/// ops_metrics::slo! {
///     /// Objectives of the jobs.
///     pub slos JOBS;
///     /// Jobs succeed
///     JobsSucceed: 99.5 % of jobs_total fails { outcome: "failed|lost" } ignores { queue: "test" };
///     /// Jobs are done within 10 s
///     JobsQuick: 95.0 % of job_time within 10.0;
/// }
/// # fn main() -> Result<(), ops_metrics::Error> {
/// let rules = ops_metrics::rules("jobs", &[], JOBS)?;
/// assert!(rules.rules().contains("alert: JobsSucceedBurnFast"));
/// # Ok(()) }
/// ```
///
/// ```compile_fail
/// ops_metrics::define! { /** Jobs done. */ counter jobs_total {} }
/// ops_metrics::slo! { /** All. */ slos ALL; /** Good */ Good: 100.0 % of jobs_total fails { a: "b" }; }
/// ```
#[macro_export]
macro_rules! slo {
    ($(#[$doc:meta])* $vis:vis slos $all:ident; $(
        $(#[doc = $text:literal])+
        $name:ident : $percent:literal % of $metric:ident
        $(fails { $($bad:ident : $bad_values:literal),+ $(,)? } $(and $also:ident)?)?
        $(within $seconds:literal)?
        $(ignores { $($ignored:ident : $ignored_values:literal),+ $(,)? })?
        $(annotations { $($annotation:ident : $annotation_text:literal),+ $(,)? })? ;
    )+) => {
        $(#[$doc])*
        $vis static $all: &[$crate::Slo] = &[$(
            $crate::Slo::new(stringify!($name), concat!($($text),+), $percent, $metric::family)
                $(.fails(&[$((stringify!($bad), $bad_values)),+]) $(.also($also::family))?)?
                $(.within($seconds))?
                $(.ignores(&[$((stringify!($ignored), $ignored_values)),+]))?
                $(.annotations(&[$((stringify!($annotation), $annotation_text)),+]))?
                .check()
        ),+];
    };
}
