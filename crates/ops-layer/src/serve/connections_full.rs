//! Rule about a server with no free connection.

use std::time::Duration;

use crate::{Finding, Ops, Severity};

use super::connections::Connections;

/// Adds the rule `connections_full`.
pub(super) fn watch(ops: &Ops, connections: &Connections, max: usize) {
    let connections = connections.clone();
    let mut full = FullConnections::default();
    ops.add_rule("connections_full", move || {
        let (busy, oldest) = connections.busy();
        full.look(busy, oldest, max)
    });
}

#[derive(Default)]
struct FullConnections {
    was_full: bool,
}

impl FullConnections {
    /// Returns the finding if no connection is free, and none can make room because every one has a request or switched
    /// the protocol. Two evaluations in a row must see that: a burst that is served in between does not count.
    fn look(&mut self, busy: usize, oldest: Duration, max: usize) -> Option<Finding> {
        let is_full = busy >= max;
        let was_full = std::mem::replace(&mut self.was_full, is_full);
        (is_full && was_full).then(|| {
            Finding::new("connections_full", Severity::Critical)
                .seen(format!(
                    "{busy} of {max} connections are in use by requests or WebSockets; the oldest was accepted {} s ago",
                    oldest.as_secs()
                ))
                .means("No other client is served: new connections wait to be accepted.")
                .action(
                    "If workers and queries are idle, clients send or read slowly: list them with `ss -tn`, and use a buffering \
                     proxy in front. Otherwise, requests are slow. The limit is `max_connections`, or follows \
                     `ulimit -n` if that is lower.",
                )
                .runbook("file-descriptors-low")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_looks_in_a_row_without_a_place_are_a_finding() {
        let mut full = FullConnections::default();
        let rows = [
            (4, false),
            (3, false),
            (4, false),
            (4, true),
            (5, true),
            (3, false),
        ];
        for (at, (busy, right)) in rows.into_iter().enumerate() {
            let found = full.look(busy, Duration::from_secs(31), 4);
            assert_eq!(found.is_some(), right, "look {at}: {found:?}");
            if let Some(finding) = found {
                assert!(finding.seen.ends_with(
                    "of 4 connections are in use by requests or WebSockets; the oldest was accepted 31 s ago"
                ));
            }
        }
    }
}
