//! Rules of the application, on a separate thread: a rule that hangs does not delay built-in rules.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{EVERY, Finding, Severity};

/// Maximum number of rules that an application may add; further ones are ignored, with a warning.
const MAX_RULES: usize = 64;
/// Name of the finding about a faulty rule.
const FAILING: &str = "rule_failing";
/// Duration of a rule above which the rule itself is a finding.
const MAX_RULE_TIME: Duration = Duration::from_millis(100);
/// Duration of a rule from which it counts as hanging.
const HANGING_AFTER: Duration = Duration::from_secs(2);
/// Time for which results remain valid while a rule hangs: no rule is called meanwhile.
const RESULTS_VALID_FOR: Duration = Duration::from_secs(20);

type Rule = Box<dyn FnMut() -> Option<Finding> + Send>;

/// Rules of the application and their results.
#[derive(Clone, Default)]
pub(crate) struct AppRules(Arc<Mutex<Shared>>);

#[derive(Default)]
struct Shared {
    /// Rules added since the thread last looked.
    added: Vec<(&'static str, Rule)>,
    count: usize,
    has_thread: bool,
    running: Option<(&'static str, Instant)>,
    /// Findings of each rule that was called, in the order of the rules: several rules may share a name.
    answers: Vec<Vec<Finding>>,
    stopped: bool,
}

impl AppRules {
    pub(crate) fn add(&self, name: &'static str, rule: Rule) {
        let mut shared = self.lock();
        if shared.count >= MAX_RULES {
            tracing::warn!(target: "ops_layer", rule = name, max = MAX_RULES, "finding_rule_ignored");
            return;
        }
        shared.count += 1;
        shared.added.push((name, rule));
        if !shared.has_thread {
            let rules = self.clone();
            let started = std::thread::Builder::new()
                .name("ops-rules".to_owned())
                .spawn(move || rules.run());
            match started {
                Ok(_) => shared.has_thread = true,
                Err(error) => {
                    tracing::warn!(target: "ops_layer", error = %error, "finding_rules_not_started");
                }
            }
        }
    }

    pub(crate) fn stop(&self) {
        self.lock().stopped = true;
    }

    /// Returns the latest findings, and one about a rule that hangs.
    pub(crate) fn found(&self) -> Vec<Finding> {
        let shared = self.lock();
        let answers = shared.answers.iter();
        let mut found: Vec<_> = answers.flatten().cloned().collect();
        let Some((name, since)) = shared.running else {
            return found;
        };
        let elapsed = since.elapsed();
        if elapsed >= RESULTS_VALID_FOR {
            found.clear();
        }
        if elapsed >= HANGING_AFTER {
            let why = format!("it has not returned for {} s", elapsed.as_secs());
            let hanging = failing(name, &why)
                .means("Findings of all application rules are outdated or missing: rules run one after the other.");
            // before a finding about a rule that is merely slow: of findings with one name, the first counts
            found.insert(0, hanging);
        }
        found
    }

    fn run(&self) {
        let mut rules: Vec<(&'static str, Rule)> = Vec::new();
        loop {
            let mut shared = self.lock();
            if shared.stopped {
                return;
            }
            rules.append(&mut shared.added);
            drop(shared);
            self.ask(&mut rules, MAX_RULE_TIME);
            std::thread::sleep(EVERY);
        }
    }

    /// Calls each rule once. The finding of a rule that took longer than
    /// `limit` is kept: on an overloaded machine it is needed most.
    fn ask(&self, rules: &mut [(&'static str, Rule)], limit: Duration) {
        for (at, (name, rule)) in rules.iter_mut().enumerate() {
            let started = Instant::now();
            self.lock().running = Some((name, started));
            let answer = catch_unwind(AssertUnwindSafe(rule));
            let took = started.elapsed();
            let mut found = Vec::new();
            match answer {
                Ok(answer) => found.extend(answer),
                Err(_) => found.push(failing(name, "it panicked")),
            }
            if found.iter().all(|finding| finding.id != FAILING) && took > limit {
                let took = took.as_millis();
                let slow = failing(
                    name,
                    &format!("it took {took} ms, which exceeds the limit of 100 ms"),
                );
                found.push(slow.means("Findings of the application rules are delayed."));
            }
            let mut shared = self.lock();
            shared.running = None;
            match shared.answers.get_mut(at) {
                Some(known) => *known = found,
                None => shared.answers.push(found),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Creates the finding about an unreliable rule.
pub(crate) fn failing(rule: &str, why: &str) -> Finding {
    Finding::new(FAILING, Severity::Warning)
        .seen(format!("rule {rule}: {why}"))
        .means("Findings of this rule are missing.")
        .action(
            "Fix the rule: it must only read values that are already measured, and must not block.",
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_hold_for_a_time_while_a_rule_hangs_and_the_hanging_one_is_named() {
        let rules = AppRules::default();
        let queue = Finding::new("queue_growing", Severity::Warning);
        let slow = failing("queue", "it took 150 ms, which exceeds the limit of 100 ms");
        rules.lock().answers.push(vec![queue, slow]);
        for (seconds, right) in [
            (0, &["queue_growing", "rule_failing"][..]),
            (5, &["rule_failing", "queue_growing", "rule_failing"]),
            (25, &["rule_failing"]),
        ] {
            let since = Instant::now().checked_sub(Duration::from_secs(seconds));
            rules.lock().running = since.map(|since| ("disk", since));
            let found = rules.found();
            let ids: Vec<_> = found.iter().map(|finding| finding.id).collect();
            assert_eq!(ids, right, "{seconds} s");
            let failing = found.iter().find(|finding| finding.id == FAILING);
            let is_hanging = failing.is_some_and(|first| first.seen.starts_with("rule disk:"));
            assert_eq!(is_hanging, seconds >= 2, "{found:?}");
        }
    }

    #[test]
    fn a_rule_does_not_take_back_what_another_one_of_its_name_found() {
        let rules = AppRules::default();
        let growing = || Some(Finding::new("queue_growing", Severity::Warning));
        let mut both: [(&'static str, Rule); 2] =
            [("queue", Box::new(growing)), ("queue", Box::new(|| None))];
        for _ in 0..2 {
            rules.ask(&mut both, HANGING_AFTER);
            let found = rules.found();
            let ids: Vec<_> = found.iter().map(|finding| finding.id).collect();
            assert_eq!(ids, ["queue_growing"]);
        }
    }

    #[test]
    fn what_a_slow_rule_found_stands_beside_that_it_is_slow() {
        let rules = AppRules::default();
        let mut asked = 0;
        let growing = move || {
            asked += 1;
            assert!(asked < 2, "it panics the second time");
            Some(Finding::new("queue_growing", Severity::Critical))
        };
        let mut slow: [(&'static str, Rule); 1] = [("queue", Box::new(growing))];
        for right in [&["queue_growing", "rule_failing"][..], &["rule_failing"]] {
            rules.ask(&mut slow, Duration::ZERO);
            let found = rules.found();
            let ids: Vec<_> = found.iter().map(|finding| finding.id).collect();
            assert_eq!(ids, right);
        }
        assert_eq!(rules.found()[0].seen, "rule queue: it panicked");
    }
}
