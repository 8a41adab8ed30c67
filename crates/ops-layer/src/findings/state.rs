use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::explain::ordered;
use super::history::{History, stepped};
use super::snapshot::Snapshot;
use super::{Finding, RULES, Severity};

/// Time without a match after which a finding ends: a problem that comes and goes is one finding.
pub(crate) const HOLD: Duration = Duration::from_secs(20);

/// Current findings, and the past that the rules need.
#[derive(Debug, Default)]
pub(crate) struct State {
    history: History,
    standing: Vec<Standing>,
}

#[derive(Debug)]
struct Standing {
    finding: Finding,
    /// Rule that found it; `None` for rules of the application.
    rule: Option<usize>,
    began: Duration,
    seen_last: Duration,
}

/// Finding that appeared, or one that ended, with the time for which it stood.
#[derive(Debug)]
pub(crate) enum Change {
    Appeared(Finding),
    Cleared(Finding, Duration),
}

impl State {
    /// Evaluates the rules on a snapshot, and adds the findings of the
    /// application's rules. Returns the findings in order, and the changes.
    pub(crate) fn evaluate(
        &mut self,
        now: Snapshot,
        of_application: Vec<Finding>,
    ) -> (Vec<Finding>, Vec<Change>) {
        self.follow_clock(&now);
        let mut changes = Vec::new();
        let mut found: Vec<(Option<usize>, Finding)> = Vec::new();
        for (at, rule) in RULES.iter().enumerate() {
            let checked = catch_unwind(AssertUnwindSafe(|| (rule.check)(&now, &self.history)));
            match checked {
                Ok(Some(finding)) => found.push((Some(at), finding)),
                Ok(None) => {}
                Err(_) => found.push((None, super::app::failing(rule.ids[0], "it panicked"))),
            }
        }
        found.extend(of_application.into_iter().map(|finding| (None, finding)));
        let mut noted = Vec::new();
        for (rule, finding) in found {
            // of findings with one name, the first counts
            if noted.contains(&finding.id) {
                continue;
            }
            noted.push(finding.id);
            self.note(rule, finding, &now, &mut changes);
        }
        let at = now.at;
        let is_over = |standing: &Standing| standing.seen_last + HOLD <= at;
        let (over, standing) = self.standing.drain(..).partition(is_over);
        self.standing = standing;
        let over: Vec<Standing> = over;
        changes.extend(over.into_iter().map(Standing::cleared));
        let ids = self.standing.iter().map(|standing| standing.finding.id);
        self.history.set_active(ids.collect());
        self.history.push(Arc::new(now));
        let all = self
            .standing
            .iter()
            .map(|standing| standing.finding.clone());
        let all = ordered(all.collect());
        // the log line names the cause
        for change in &mut changes {
            if let Change::Appeared(finding) = change
                && let Some(known) = all.iter().find(|known| known.id == finding.id)
            {
                finding.explained_by = known.explained_by;
            }
        }
        (all, changes)
    }

    /// Moves start times along if the clock was set forward, so that the age of
    /// findings does not change. A clock that was set back needs no correction here.
    fn follow_clock(&mut self, now: &Snapshot) {
        let step = self.history.last().and_then(|before| stepped(before, now));
        let Some(Ok(forward)) = step.map(Duration::try_from_secs_f64) else {
            return;
        };
        for standing in &mut self.standing {
            let since = &mut standing.finding.since;
            *since = since.checked_add(forward).unwrap_or(*since);
        }
    }

    fn note(
        &mut self,
        rule: Option<usize>,
        mut finding: Finding,
        now: &Snapshot,
        changes: &mut Vec<Change>,
    ) {
        finding.since = finding.since.min(now.wall);
        // another finding of the same rule replaces the previous one at once
        let is_replaced = |standing: &Standing| {
            rule.is_some() && standing.rule == rule && standing.finding.id != finding.id
        };
        if let Some(at) = self.standing.iter().position(is_replaced) {
            changes.push(self.standing.remove(at).cleared());
        }
        let mut standing = self.standing.iter_mut();
        match standing.find(|standing| standing.finding.id == finding.id) {
            Some(known) => {
                finding.since = known.finding.since.min(now.wall);
                known.finding = finding;
                known.seen_last = now.at;
            }
            None => {
                changes.push(Change::Appeared(finding.clone()));
                self.standing.push(Standing {
                    finding,
                    rule,
                    began: now.at,
                    seen_last: now.at,
                });
            }
        }
    }
}

impl Standing {
    fn cleared(self) -> Change {
        let stood = self.seen_last.saturating_sub(self.began);
        Change::Cleared(self.finding, stood)
    }
}

/// Returns the names of all findings, each with the severity with which its metric starts at 0.
pub(crate) fn known() -> impl Iterator<Item = (&'static str, Severity)> {
    RULES
        .iter()
        .flat_map(|rule| rule.ids.iter().map(|id| (*id, rule.severity)))
}
