//! Import graph between the files and subfolders ("rooms") of one folder, and its cycles.

use super::{Circle, Import};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// One import for each edge between two rooms.
#[derive(Default)]
pub(super) struct Graph {
    arrows: BTreeMap<PathBuf, BTreeMap<PathBuf, Import>>,
}

impl Graph {
    pub(super) fn add(&mut self, from: PathBuf, to: PathBuf, import: &Import) {
        if from == to {
            return;
        }
        let targets = self.arrows.entry(from).or_default();
        targets.entry(to).or_insert_with(|| import.clone());
    }

    /// Returns each set of rooms that reach each other.
    pub(super) fn circles(&self) -> Vec<Circle> {
        let reached: BTreeMap<_, _> = self
            .arrows
            .keys()
            .map(|room| (room, self.reached_from(room)))
            .collect();
        let mut seen: BTreeSet<&PathBuf> = BTreeSet::new();
        let mut circles = Vec::new();
        for (room, reaches) in &reached {
            if seen.contains(room) || !reaches.contains(*room) {
                continue;
            }
            let back = |other: &&PathBuf| {
                reached
                    .get(*other)
                    .is_some_and(|reaches| reaches.contains(*room))
            };
            let rooms: Vec<PathBuf> = reaches.iter().filter(back).cloned().collect();
            seen.extend(reached.keys().filter(|room| rooms.contains(room)));
            circles.push(Circle {
                arrows: self.between(&rooms),
                rooms,
            });
        }
        circles
    }

    fn reached_from(&self, room: &PathBuf) -> BTreeSet<PathBuf> {
        let mut reached = BTreeSet::new();
        let mut left = vec![room];
        while let Some(room) = left.pop() {
            for target in self.arrows.get(room).into_iter().flat_map(BTreeMap::keys) {
                if reached.insert(target.clone()) {
                    left.push(target);
                }
            }
        }
        reached
    }

    fn between(&self, rooms: &[PathBuf]) -> Vec<Import> {
        let from_inside = self.arrows.iter().filter(|(from, _)| rooms.contains(from));
        from_inside
            .flat_map(|(_, targets)| targets)
            .filter(|(to, _)| rooms.contains(to))
            .map(|(_, import)| import.clone())
            .collect()
    }
}
