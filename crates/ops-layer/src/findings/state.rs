use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::explain::ordered;
use super::history::{History, stepped};
use super::snapshot::Snapshot;
use super::{Finding, RULES, Severity};

/// A finding ends when its rule has been silent for this long: what comes and goes is one finding.
pub(crate) const HOLD: Duration = Duration::from_secs(20);

/// The findings that stand, and what the rules have to know of the past.
#[derive(Debug, Default)]
pub(crate) struct State {
    history: History,
    standing: Vec<Standing>,
}

#[derive(Debug)]
struct Standing {
    finding: Finding,
    /// Rule that found it; those of the application have none.
    rule: Option<usize>,
    began: Duration,
    seen_last: Duration,
}

/// A finding that appeared, or one that is over and stood for so long.
#[derive(Debug)]
pub(crate) enum Change {
    Appeared(Finding),
    Cleared(Finding, Duration),
}

impl State {
    /// Judges a snapshot, and takes what the rules of the application found. Returns the findings in order.
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
            // the first of two with one name
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
        // a line names the cause
        for change in &mut changes {
            if let Change::Appeared(finding) = change
                && let Some(known) = all.iter().find(|known| known.id == finding.id)
            {
                finding.explained_by = known.explained_by;
            }
        }
        (all, changes)
    }

    /// Lets starts keep their distance from now if the clock was set forward. One that is set back shows by itself.
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
        // another answer of the same rule takes the place of the one before at once
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

/// Severity that metrics start with at 0.
pub(crate) fn known() -> impl Iterator<Item = (&'static str, Severity)> {
    RULES
        .iter()
        .flat_map(|rule| rule.ids.iter().map(|id| (*id, rule.severity)))
}
